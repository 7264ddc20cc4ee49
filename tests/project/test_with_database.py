"""The throw-away servers: they answer while the command runs, and then are gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests import with_database
from tests.with_database import SERVERS, PostgreSQL, Server, ServerError, running

ROOT = Path(__file__).resolve().parents[2]

KINDS = [
    pytest.param(kind, id=name, marks=pytest.mark.needs_program(*kind.programs))
    for name, kind in SERVERS.items()
]


def call(
    kind: type[Server], *command: str, **environment: str
) -> subprocess.Popen[str]:
    """Run a command beside a server of the kind, as from a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.with_database", kind.name, *command],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def answers(server: Server) -> bool:
    """Tell whether a client gets through to the server."""
    return subprocess.run(server.ping(), capture_output=True).returncode == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_is_there_and_then_gone(kind: type[Server]) -> None:
    """Whatever happens; nothing is left of it, neither files nor processes."""
    with pytest.raises(ZeroDivisionError), running(kind) as server:  # noqa: PT012
        assert answers(server)
        assert server.folder.stat().st_mode & 0o077 == 0
        1 / 0  # noqa: B018
    assert not server.folder.exists()
    assert not answers(server)


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_is_told_where_the_server_is(kind: type[Server]) -> None:
    """By the variables of the tests' settings; its exit status is handed on."""
    process = call(kind, "--", "sh", "-c", "env; exit 7")
    output, error = process.communicate()
    assert (process.returncode, error) == (7, "")
    told = dict(line.partition("=")[::2] for line in output.splitlines())
    assert told["CLIENTCERT_TEST_DATABASE"] == kind.name
    folder = Path(told["CLIENTCERT_TEST_DATABASE_HOST"])
    assert f"clientcert-{kind.name}-" in str(folder)
    assert not folder.exists()


@pytest.mark.needs_program(*PostgreSQL.programs)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_command_and_server(number: signal.Signals) -> None:
    """Ctrl-C reaches the command by the terminal, the other one does not."""
    script = "echo $$ $CLIENTCERT_TEST_DATABASE_HOST; exec sleep 600"
    process = call(PostgreSQL, "sh", "-c", script)
    assert process.stdout is not None
    pid, folder = process.stdout.readline().split()
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (128 + number, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
    server = PostgreSQL(Path(folder))
    assert not server.folder.exists()
    assert not answers(server)


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "kill -KILL $$"], 128 + signal.SIGKILL),
        (["./setup.cfg"], 126),
        (["./no-such-program"], 127),
    ],
)
def test_the_status_of_a_command(
    command: list[str], status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is what a shell would say."""
    assert with_database._call([*command], {}) == status
    error = capfd.readouterr().err
    assert (command[0] in error) is (status in {126, 127})


@pytest.mark.parametrize("kind", SERVERS.values(), ids=SERVERS)
def test_a_program_that_is_missing(kind: type[Server], monkeypatch: Any) -> None:
    """The message says what to install; nothing was begun."""
    monkeypatch.setattr(with_database, "find_program", lambda name: None)
    with pytest.raises(ServerError, match=f"apt-get install {kind.package}"):
        running(kind).__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
@pytest.mark.parametrize("kind", KINDS)
def test_an_account_that_is_missing(kind: type[Server], monkeypatch: Any) -> None:
    """Neither server is run by root."""
    monkeypatch.setattr(kind, "unprivileged", "no-such-user")
    with pytest.raises(ServerError, match="there is no user no-such-user"):
        running(kind).__enter__()


@pytest.mark.needs_program(*PostgreSQL.programs)
def test_a_server_that_does_not_start() -> None:
    """Its own words are shown, its folder is gone, and the status is no command's."""
    with tempfile.TemporaryDirectory() as folder:
        # Longer than the path of a Unix socket may be
        long = Path(folder, "x" * 100)
        long.mkdir()
        Path(folder).chmod(0o755)
        process = call(PostgreSQL, "true", TMPDIR=str(long))
        _, error = process.communicate()
        assert process.returncode == 125
        assert error.startswith("with_database: postgresql does not answer:\n")
        assert "Unix-domain socket path" in error
        assert "Traceback" not in error
        assert list(long.iterdir()) == []


@pytest.mark.parametrize("arguments", [[], ["postgresql"], ["oracle", "true"]])
def test_what_is_typed_wrong(arguments: list[str]) -> None:
    """Usage, and no server."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.with_database", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 2
    assert "usage: python -m tests.with_database" in process.stderr
