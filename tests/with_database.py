"""Run a command beside a throw-away database server.

    python -m tests.with_database postgresql -- python -m pytest
    python -m tests.with_database mariadb -- python -m pytest

The server is made of the distribution's programs, in a new folder below the
system's temporary one, listens on a Unix socket in there and nowhere else, and
is gone when the command ends. The command finds its way by the variables that
``tests/settings.py`` reads. The exit status is the command's; as with env(1),
125 says that the server could not be started, 126 and 127 that the command
could not.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import ClassVar, NoReturn

from tests.plugins.required_programs import find_program

SERVER_FAILED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127
START_TIMEOUT = 120
STOP_TIMEOUT = 60
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

ACCOUNT = "clientcert"
DATABASE = "clientcert"


class ServerError(Exception):
    """The server could not be started; the text says what to do."""


class Server(ABC):
    """A database server in a folder."""

    name: ClassVar[str]
    # What Debian calls the package
    package: ClassVar[str]
    # Whom root becomes: neither server agrees to be run by root
    unprivileged: ClassVar[str]
    programs: ClassVar[tuple[str, ...]]
    # Ends the sessions that are open, and then the server
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, folder: Path, account: str = "") -> None:
        self.folder = folder
        self.account = account
        self.data = folder / "data"
        self.log = folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it answers.

        Raises:
            ServerError: it ended, or does not answer in time.
        """
        with _undisturbed(), self.log.open("wb") as log:
            self.process = _popen(self.serve(), self.account, log.fileno())
        _wait(self, self.process)

    def stop(self) -> None:
        """End its sessions and it, if it was started."""
        if self.process is None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @abstractmethod
    def initialise(self) -> list[str]:
        """Return the command that makes the folder of the data."""

    @abstractmethod
    def serve(self) -> list[str]:
        """Return the command that is the server."""

    @abstractmethod
    def ping(self) -> list[str]:
        """Return the command that succeeds as soon as the server answers."""

    @abstractmethod
    def create(self) -> list[str]:
        """Return the command that makes the database."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return what tells ``tests/settings.py`` where the server is."""

    @classmethod
    def find(cls, program: str) -> str:
        """Return the path of *program*.

        Raises:
            ServerError: it is not installed.
        """
        path = find_program(program)
        if path is None:
            raise ServerError(
                f"{program} is not installed; on Debian and Ubuntu: "
                f"apt-get install {cls.package}"
            )
        return path


class PostgreSQL(Server):
    """PostgreSQL; whoever may enter the folder may connect."""

    name = "postgresql"
    package = "postgresql"
    unprivileged = "postgres"
    programs = ("initdb", "postgres", "pg_isready", "createdb")
    stop_signal = signal.SIGINT
    port = "5432"  # the last part of the socket's name, whatever PGPORT says

    def initialise(self) -> list[str]:
        """See Server; C.UTF-8 knows the case of all letters, C of A to Z only."""
        command = [self.find("initdb"), "--pgdata", str(self.data), "--no-sync"]
        command += ["--username", ACCOUNT, "--auth", "trust"]
        return [*command, "--encoding", "UTF8", "--locale", "C.UTF-8"]

    def serve(self) -> list[str]:
        """See Server; nothing has to outlive a power cut."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "port": self.port,
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
        }
        command = [self.find("postgres"), "-D", str(self.data)]
        for option, value in options.items():
            command += ["-c", f"{option}={value}"]
        return command

    def _connect(self) -> list[str]:
        return ["--host", str(self.folder), "--port", self.port, "--username", ACCOUNT]

    def ping(self) -> list[str]:
        """See Server."""
        return [self.find("pg_isready"), *self._connect(), "--dbname", "postgres"]

    def create(self) -> list[str]:
        """See Server."""
        return [self.find("createdb"), *self._connect(), DATABASE]

    def environment(self) -> dict[str, str]:
        """See Server."""
        return {
            "CLIENTCERT_TEST_DATABASE": self.name,
            "CLIENTCERT_TEST_DATABASE_HOST": str(self.folder),
            "CLIENTCERT_TEST_DATABASE_PORT": self.port,
            "CLIENTCERT_TEST_DATABASE_USER": ACCOUNT,
            "CLIENTCERT_TEST_DATABASE_PASSWORD": "",
            "CLIENTCERT_TEST_DATABASE_NAME": DATABASE,
        }


class MariaDB(Server):
    """MariaDB; its root has no password, but only we may enter the folder."""

    name = "mariadb"
    package = "mariadb-server"
    unprivileged = "mysql"
    programs = ("mariadb-install-db", "mariadbd", "mariadb-admin")
    stop_signal = signal.SIGTERM

    @property
    def socket(self) -> Path:
        """The Unix socket."""
        return self.folder / "mariadb.sock"

    def initialise(self) -> list[str]:
        """See Server."""
        command = [self.find("mariadb-install-db"), "--no-defaults"]
        command += [f"--datadir={self.data}", "--skip-test-db", "--skip-name-resolve"]
        return [*command, "--auth-root-authentication-method=normal"]

    def serve(self) -> list[str]:
        """See Server; nothing has to outlive a power cut."""
        command = [self.find("mariadbd"), "--no-defaults", f"--datadir={self.data}"]
        command += [f"--socket={self.socket}", "--skip-networking"]
        command += [f"--pid-file={self.folder / 'mariadb.pid'}"]
        command += ["--innodb-flush-log-at-trx-commit=0"]
        return [*command, "--character-set-server=utf8mb4"]

    def _admin(self, *action: str) -> list[str]:
        command = [self.find("mariadb-admin"), "--no-defaults", "--user=root"]
        return [*command, f"--socket={self.socket}", *action]

    def ping(self) -> list[str]:
        """See Server."""
        return self._admin("ping")

    def create(self) -> list[str]:
        """See Server."""
        return self._admin("create", DATABASE)

    def environment(self) -> dict[str, str]:
        """See Server."""
        return {
            "CLIENTCERT_TEST_DATABASE": self.name,
            "CLIENTCERT_TEST_DATABASE_HOST": str(self.socket),
            "CLIENTCERT_TEST_DATABASE_PORT": "",
            "CLIENTCERT_TEST_DATABASE_USER": "root",
            "CLIENTCERT_TEST_DATABASE_PASSWORD": "",
            "CLIENTCERT_TEST_DATABASE_NAME": DATABASE,
        }


SERVERS: dict[str, type[Server]] = {each.name: each for each in (PostgreSQL, MariaDB)}


@contextmanager
def running(kind: type[Server]) -> Iterator[Server]:
    """Start a server, and stop it and remove its folder whatever happens.

    Raises:
        ServerError: a program is missing, or does not do what it should.
    """
    for program in kind.programs:
        kind.find(program)
    account = _account(kind)
    folder = Path(tempfile.mkdtemp(prefix=f"clientcert-{kind.name}-"))
    server = kind(folder, account)
    try:
        if account:
            shutil.chown(folder, account, account)
        _run(server.initialise(), account)
        server.start()
        _run(server.create(), "")
        yield server
    finally:
        with _undisturbed():
            server.stop()
            shutil.rmtree(folder)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let signals wait: until a process that begins is known, or has ended."""
    waiting: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: waiting.append(number))
        for number in SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for first in waiting[:1]:
        signal.raise_signal(first)


def _account(kind: type[Server]) -> str:
    """Return whom to become, or nothing: only root has to become somebody."""
    if os.geteuid() != 0:
        return ""
    import pwd

    try:
        pwd.getpwnam(kind.unprivileged)
    except KeyError:
        raise ServerError(
            f"{kind.name} cannot be run by root, and there is no user "
            f"{kind.unprivileged}; on Debian and Ubuntu: apt-get install {kind.package}"
        ) from None
    return kind.unprivileged


def _popen(command: list[str], account: str, output: int) -> subprocess.Popen[bytes]:
    """Start *command* as *account*, out of reach of the terminal's Ctrl-C."""
    return subprocess.Popen(
        command,
        cwd="/",
        # PGOPTIONS and their like are meant for other servers.
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        user=account or None,
        group=account or None,
        extra_groups=[] if account else None,
    )


def _run(command: list[str], account: str) -> None:
    """Run *command* to its end.

    Raises:
        ServerError: it failed.
    """
    with _popen(command, account, subprocess.PIPE) as process:
        output, _ = process.communicate()
    if process.returncode != 0:
        raise ServerError(
            f"{shlex.join(command)} failed with {process.returncode}:\n"
            + output.decode(errors="replace")
        )


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Return when the server answers.

    Raises:
        ServerError: it ended, or does not answer in time.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        try:
            _run(server.ping(), "")
        except ServerError:
            time.sleep(0.1)  # not there yet
        else:
            return
    raise ServerError(
        f"{server.name} does not answer:\n{server.log.read_text(errors='replace')}"
    )


def _call(command: Sequence[str], environment: dict[str, str]) -> int:
    """Return the exit status of *command*, as a shell would give it."""
    process: subprocess.Popen[bytes] | None = None
    try:
        with _undisturbed():
            process = subprocess.Popen(command, env={**os.environ, **environment})
        status = process.wait()
    except OSError as error:
        _say(f"{command[0]}: {error.strerror}")
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    except BaseException:
        # At Ctrl-C it had the signal already, and is given the time to end.
        if process is not None:
            process.terminate()
            process.wait()
        raise
    return status if status >= 0 else 128 - status


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """Turn a signal into an exception, so that the server is stopped."""
    sys.exit(128 + number)


def _say(text: str) -> None:
    print(f"with_database: {text}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status of the command that *arguments* name."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.with_database",
        usage="%(prog)s {" + ",".join(SERVERS) + "} [--] COMMAND ...",
        description="Run a command beside a throw-away database server.",
    )
    parser.add_argument("server", choices=sorted(SERVERS))
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    command = options.command[options.command[:1] == ["--"] :]
    if not command:
        parser.error("a command is missing")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        with running(SERVERS[options.server]) as server:
            return _call(command, server.environment())
    except ServerError as error:
        _say(str(error))
        return SERVER_FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
