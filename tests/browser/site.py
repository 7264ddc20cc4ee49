"""The site that the browser visits: gunicorn behind nginx, and what is in its rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from example_project.programs import Program
from tests.end_to_end.servers import Server

ROOT = Path(__file__).parents[2]

# What a careful site sends. Nothing in it allows a script or a style of a page's own.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_PASS_ON = "            proxy_pass http://127.0.0.1:8000;\n"


class Site:
    """A context manager; *folder* is empty, and holds all that is made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[str, Any] = {}
        self.url = ""
        self._running = ExitStack()

    def __enter__(self) -> Site:
        subprocess.run(
            [sys.executable, "-m", "tests.browser.seed", str(self.folder)],
            cwd=ROOT,
            env=self._environment(),
            check=True,
        )
        self.rows = json.loads(self.read("rows.json"))
        with ExitStack() as stack:
            server = Server(
                "gunicorn", ROOT, self.folder / "gunicorn.log", self._environment()
            )
            stack.callback(server.stop)
            server.wait()
            header = f'add_header Content-Security-Policy "{CONTENT_SECURITY_POLICY}"'
            proxy = Program(
                "nginx",
                self.folder / "nginx",
                upstream=server.address,
                certificate=self.read("server.crt"),
                key=self.read("server.key"),
                ca=self.read("ca.crt"),
                change=[(_PASS_ON, f"            {header} always;\n{_PASS_ON}")],
            )
            self.url = stack.enter_context(proxy).url
            self._running = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._running.close()

    def read(self, name: str) -> str:
        """Return a file of the folder, such as ``sam.crt``."""
        return (self.folder / name).read_text()

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.browser.settings",
            "BROWSER_DATABASE": str(self.folder / "db.sqlite3"),
        }
