"""A site to look at: PKI, database, gunicorn and nginx, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django_clientcert.testing import SERVER_AUTH, IssuedCertificate, ThrowawayCA
from example_project.nginx import Nginx

ROOT = Path(__file__).parents[2]

# Two administrators, and a client that nobody knows yet
CLIENTS = ("anna", "berta", "stranger")


class Site:
    """What runs; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = ThrowawayCA.create("Company CA")
        self.clients: dict[str, IssuedCertificate] = {
            name: self.ca.issue(name, emails=[f"{name}@example.com"])
            for name in CLIENTS
        }
        self._stack = ExitStack()

    def __enter__(self) -> Site:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        (self.folder / "ca.crt").write_text(self.ca.pem)
        for name, issued in self.clients.items():
            (self.folder / f"{name}.crt").write_text(issued.pem)
        self.run("-m", "tests.browser.seed", str(self.folder))
        self.rows: dict[str, Any] = json.loads((self.folder / "rows.json").read_text())
        server = self.ca.issue("localhost", dns=["localhost"], eku=[SERVER_AUTH])
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(64)
            upstream = f"127.0.0.1:{listener.getsockname()[1]}"
            application = self._start_application(listener)
        stack.callback(_stop, application)
        self.nginx = stack.enter_context(
            Nginx(
                self.folder / "nginx",
                upstream=upstream,
                certificate=server.pem,
                key=server.key_pem,
                ca=self.ca.pem,
                verify_client="optional",
            )
        )

    def _start_application(self, listener: socket.socket) -> subprocess.Popen[bytes]:
        command = ["-m", "gunicorn", "--bind", f"fd://{listener.fileno()}"]
        command += ["--threads", "4", "--limit-request-field_size", "16384"]
        command += ["--log-level", "warning", "tests.browser.wsgi"]
        with (self.folder / "application.log").open("wb") as output:
            # It inherits the socket, so nobody can take the port in between.
            return subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=self._environment(),
                pass_fds=[listener.fileno()],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def run(self, *arguments: str) -> str:
        """Run Python with the settings of the site; return what it prints."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self._environment(),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.browser.settings",
            "END_TO_END_DATABASE": str(self.folder / "db.sqlite3"),
        }

    @property
    def url(self) -> str:
        """The beginning of every address."""
        return self.nginx.url


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(10)
