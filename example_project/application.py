"""The Django project, served by gunicorn on a free port of 127.0.0.1."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from .nginx import die_with_parent, listen, stop_process

PROJECT = Path(__file__).resolve().parent

_START_TIMEOUT = 30.0


class ApplicationError(Exception):
    """gunicorn or the project does not start; the message says why."""


class Application:
    """gunicorn with the example project; a context manager.

    *environment* is added to this process's own. The application's output goes to the
    terminal, or to *log* if that is given.
    """

    def __init__(self, environment: Mapping[str, str], log: Path | None = None) -> None:
        self.environment = environment
        self.log = log
        self.address = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether gunicorn is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start gunicorn and return when the project has responded to a request.

        Raises:
            ApplicationError: it did not.
        """
        # gunicorn inherits the socket, so no other program can take the port.
        with listen(0) as listener:
            port = listener.getsockname()[1]
            self.address = f"127.0.0.1:{port}"
            self._process = self._spawn(listener.fileno())
        try:
            self._wait(self._process, port)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop gunicorn, if it runs."""
        process, self._process = self._process, None
        if process is not None:
            stop_process(process)

    def __enter__(self) -> Application:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _spawn(self, descriptor: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "gunicorn"]
        command += ["--config", str(PROJECT / "gunicorn.conf.py")]
        command += ["--chdir", str(PROJECT), "--bind", f"fd://{descriptor}"]
        command += ["--log-level", "warning"]
        environment = {**os.environ, **self.environment}
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(PROJECT.parent), environment.get("PYTHONPATH")])
        )
        with (self.log or Path(os.devnull)).open("wb") as output:
            return subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=None if self.log is None else output,
                stderr=None if self.log is None else subprocess.STDOUT,
                pass_fds=[descriptor],
                # The demonstration handles Ctrl-C and stops its children in order.
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    def _wait(self, process: subprocess.Popen[bytes], port: int) -> None:
        """Return when the project has responded: an open socket proves nothing."""
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            if process.poll() is not None:
                raise ApplicationError(f"gunicorn exited immediately{self._where()}")
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            try:
                connection.request("GET", "/", headers={"Host": "localhost"})
                status = connection.getresponse().status
            except (OSError, http.client.HTTPException):
                if time.monotonic() > deadline:
                    raise ApplicationError(
                        f"The project does not respond{self._where()}"
                    ) from None
                time.sleep(0.05)
            else:
                if status == 200:
                    return
                raise ApplicationError(
                    f"The project responds with status {status}{self._where()}"
                )
            finally:
                connection.close()

    def _where(self) -> str:
        if self.log is None:
            return ": see above."
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return ":\n" + "\n".join(lines[-20:])
