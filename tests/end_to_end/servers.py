"""Application servers that are started by their own command, each on a free port."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

WSGI, ASGI = "tests.end_to_end.wsgi:application", "tests.end_to_end.asgi:application"

# By name: the command, for a port
COMMANDS: dict[str, Callable[[str], list[str]]] = {
    "gunicorn": lambda port: ["gunicorn", "--bind", f"127.0.0.1:{port}", WSGI],
    "uvicorn": lambda port: ["uvicorn", "--port", port, "--lifespan", "off", ASGI],
    "hypercorn-asgi": lambda port: ["hypercorn", "--bind", f"127.0.0.1:{port}", ASGI],
    "hypercorn-wsgi": lambda port: [
        "hypercorn",
        "--bind",
        f"127.0.0.1:{port}",
        f"wsgi:{WSGI}",
    ],
    "daphne": lambda port: ["daphne", "-b", "127.0.0.1", "-p", port, ASGI],
    "granian-asgi": lambda port: [
        "granian",
        "--port",
        port,
        "--interface",
        "asgi",
        ASGI,
    ],
    "granian-wsgi": lambda port: [
        "granian",
        "--port",
        port,
        "--interface",
        "wsgi",
        WSGI,
    ],
    # It takes X-Forwarded-Proto away from whoever is not trusted.
    "waitress": lambda port: [
        "waitress-serve",
        f"--listen=127.0.0.1:{port}",
        "--trusted-proxy=127.0.0.1",
        "--trusted-proxy-headers=x-forwarded-proto",
        WSGI,
    ],
    "cheroot": lambda port: ["cheroot", "--bind", f"127.0.0.1:{port}", WSGI],
    "uwsgi": lambda port: [
        "uwsgi",
        "--plugins",
        "python3",
        "--http-socket",
        f"127.0.0.1:{port}",
        "--module",
        WSGI,
        "--buffer-size",
        "32768",
    ],
}


class Server:
    """One server, until it is stopped."""

    def __init__(
        self, name: str, root: Path, log: Path, environment: Mapping[str, str]
    ) -> None:
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.log = log
        program, *arguments = COMMANDS[name](str(self.port))
        path = shutil.which(program, path=sysconfig.get_path("scripts"))
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [path or program, *arguments],
                cwd=root,
                env={**environment, "PYTHONPATH": self._path(root, environment)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @staticmethod
    def _path(root: Path, environment: Mapping[str, str]) -> str:
        return ":".join(filter(None, [str(root), environment.get("PYTHONPATH")]))

    def wait(self) -> None:
        """Return when it listens."""
        deadline = time.monotonic() + 30
        while True:
            with closing(socket.socket()) as client:
                client.settimeout(1)
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End it and its workers, at once: it has nothing to lose."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


def install_for_debian(folder: Path) -> Path:
    """Return a folder with Django for the Python that Debian's programs are linked to.

    Apache's module and uWSGI bring their own, which is not the one that runs here.
    """
    version = subprocess.run(
        [
            "/usr/bin/python3",
            "-c",
            "import sys; print('%d.%d' % sys.version_info[:2])",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    target = folder / f"site-packages-{version}"
    subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--target",
                str(target),
            ),
            *("--python-version", version, "--only-binary=:all:"),
            *("Django>=5.2.13,<6.0", "cryptography>=49", "hypothesis"),
        ],
        check=True,
    )
    return target
