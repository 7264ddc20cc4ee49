"""The demonstration does what it prints, stops when told to, and fails loudly."""

from __future__ import annotations

import ast
import os
import random
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from example_project import nginx
from example_project.nginx import Nginx, NginxError, PortBusy, Program

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "example_project" / "demo.py"

# demo.py without the making of an environment, and in another folder
RUN = f"""
import os, sys
sys.path[:0] = [{str(ROOT)!r}, {str(DEMO.parent)!r}]
os.umask(0o077)
from argparse import Namespace
from pathlib import Path
from example_project.demonstration import run
folder, check, port, mode, reset, proxy = sys.argv[1:]
sys.exit(run(Namespace(
    check=check == "check", port=int(port), verify_client=mode,
    reset=reset == "reset", proxy=proxy,
), Path(folder)))
"""


def command(
    folder: Path,
    what: str,
    *,
    port: int = 0,
    mode: str = "optional",
    reset: str = "",
    proxy: str = "ingress-nginx",
) -> list[str]:
    """Return the command that runs the demonstration in *folder*."""
    arguments = [str(folder), what, str(port), mode, reset, proxy]
    return [sys.executable, "-c", RUN, *arguments]


def environment() -> dict[str, str]:
    """Return this process's environment without what belongs to the tests."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DJANGO_", "CLIENTCERT_", "EXAMPLE_", "PYTHONWARN"))
    }


def demonstrate(folder: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``--check`` in *folder*."""
    return subprocess.run(
        command(folder, "check", **options),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def started(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the demonstration until the block ends; yield it and what it printed."""
    with subprocess.Popen(
        command(folder, "wait"),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        printed = ""
        try:
            for line in process.stdout:
                printed += line
                if line.startswith("Ctrl-C stops"):
                    break
            else:
                pytest.fail(printed)
            yield process, printed
        finally:
            process.kill()


@pytest.fixture(scope="module")
def first(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The folder of a demonstration that has run once, and how that went."""
    folder = tmp_path_factory.mktemp("demo") / "with a space"
    folder.mkdir(mode=0o700)
    return folder, demonstrate(folder)


@pytest.fixture
def folder(first: tuple[Path, subprocess.CompletedProcess[str]]) -> Path:
    """The folder alone; what it holds is used again."""
    return first[0]


@pytest.mark.needs_program("nginx")
def test_the_first_start_prepares_everything(
    first: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """From an empty folder to requests answered, and only its owner may look in."""
    folder, result = first
    as_expected(result)
    for path in folder.rglob("*"):
        # Started by root, nginx gives its folders for uploads to somebody else.
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.needs_program("nginx")
@pytest.mark.parametrize("mode", ["on", "optional_no_ca"])
def test_every_printed_request_is_answered_as_expected(folder: Path, mode: str) -> None:
    """``--check`` finds no surprise, whatever nginx does with certificates."""
    as_expected(demonstrate(folder, mode=mode))


@pytest.mark.parametrize(
    "proxy",
    [
        pytest.param(name, marks=pytest.mark.needs_program(name))
        for name in ("nginx", "caddy", "traefik", "envoy")
    ],
)
def test_every_other_proxy_answers_as_expected(folder: Path, proxy: str) -> None:
    """``--proxy``, with the configuration of ``proxies/`` as it stands."""
    result = demonstrate(folder, proxy=proxy)
    as_expected(result)
    assert f'CLIENTCERT_PROXY = "{proxy}"' in result.stdout


@pytest.mark.needs_program("nginx", "caddy")
def test_python_sees_a_handshake_end_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without curl, an alert is no surprise either."""
    monkeypatch.setenv("PATH", str(tmp_path))
    as_expected(demonstrate(folder, proxy="caddy"))


def as_expected(result: subprocess.CompletedProcess[str]) -> None:
    """Check that all requests were sent, with the expected results."""
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("as expected") >= 12
    assert "UNEXPECTED" not in result.stdout


@pytest.mark.needs_program("nginx")
def test_python_asks_where_there_is_no_curl(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without curl on ``PATH`` the same requests are sent by Python."""
    monkeypatch.setenv("PATH", str(tmp_path))
    as_expected(demonstrate(folder))


@pytest.mark.needs_program("nginx")
def test_an_unexpected_result_is_reported_and_counts(
    folder: Path, tmp_path: Path
) -> None:
    """A mapping that somebody disabled changes the exit status; a reset restores it."""
    changed = tmp_path / "changed"
    shutil.copytree(folder, changed)
    with closing(sqlite3.connect(changed / "db.sqlite3")) as database, database:
        database.execute(
            "UPDATE django_clientcert_certificatemapping SET state = 'disabled' "
            "WHERE user_id = (SELECT id FROM auth_user WHERE username = 'leo')"
        )
    result = demonstrate(changed)
    assert result.returncode == 1
    assert "status 403 instead of 200" in result.stdout
    assert result.stdout.count("UNEXPECTED") == 1

    password = (changed / "admin-password.txt").read_text()
    as_expected(demonstrate(changed, reset="reset"))
    assert (changed / "admin-password.txt").read_text() != password


@pytest.mark.needs_program("nginx", "curl")
def test_printed_lines_can_be_pasted(folder: Path) -> None:
    """A shell that is given a printed line prints the status beside it last."""
    with started(folder) as (_, printed):
        found = re.findall(r"(?m)^(\d{3})  .*\n  (curl .*)$", printed)
        assert len(found) >= 12
        for status, line in found:
            result = subprocess.run(
                ["sh", "-c", line], capture_output=True, text=True, check=True
            )
            assert result.stdout.split()[-1] == status, line


@pytest.mark.needs_program("nginx")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(folder: Path, number: signal.Signals) -> None:
    """It ends with status 0, and so have gunicorn and nginx."""
    with started(folder) as (process, _):
        children = child_processes(process.pid)
        assert len(children) == 2
        process.send_signal(number)
        assert process.wait(15) == 0
        assert process.stdout is not None
        assert "Stopped." in process.stdout.read()
    assert not any(is_alive(child) for child in children)


@pytest.mark.needs_program("nginx")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's part")
def test_children_do_not_outlive_a_killed_parent(folder: Path) -> None:
    """Not even SIGKILL leaves a server behind."""
    with started(folder) as (process, _):
        children = child_processes(process.pid)
        assert len(children) == 2
        process.kill()
        process.wait()
    deadline = time.monotonic() + 10
    while any(is_alive(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.needs_program("nginx")
def test_two_at_a_time_are_refused(folder: Path) -> None:
    """The second says who was first, and changes nothing."""
    with started(folder) as (process, _):
        result = demonstrate(folder, reset="reset")
        assert result.returncode == 1
        assert f"already running (process {process.pid})" in result.stdout
        assert (folder / "pki").exists()


def find_neighbours() -> int:
    """Return the first of two free ports, below those that the kernel hands out."""
    for port in random.sample(range(20_000, 32_000), 100):
        with suppress(nginx.PortBusy), nginx.listen(port), nginx.listen(port + 1):
            return port
    raise AssertionError("no two free ports")


@pytest.mark.needs_program("nginx")
@pytest.mark.parametrize("offset", [0, 1])
def test_a_busy_port_is_named(folder: Path, offset: int) -> None:
    """Nothing is started on half of the ports."""
    first = find_neighbours()
    port = first + offset
    with nginx.listen(port):
        result = demonstrate(folder, port=first)
    assert result.returncode == 1
    assert f"Port {port} of 127.0.0.1 cannot be used" in result.stdout
    assert "--port N" in result.stdout


def test_old_pythons_can_read_the_entry() -> None:
    """They get as far as the sentence that says which Python is needed."""
    source = DEMO.read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 4))
    assert not re.search(r"\bf[\"']|\bfrom __future__|:=|->|\bprint\b", source)


def test_help_needs_no_environment(tmp_path: Path) -> None:
    """Neither Django nor a virtual environment is wanted for a look."""
    result = subprocess.run(
        [sys.executable, "-I", "-S", str(DEMO), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "--verify-client" in result.stdout


def test_a_machine_without_nginx_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message names the packages."""
    monkeypatch.setattr(nginx, "find_programs", list)
    with pytest.raises(NginxError, match="apt-get install nginx"):
        nginx.find_program()


@pytest.mark.parametrize(
    "output",
    [
        "exit 1",
        "echo nginx version: nginx/1.12.2; echo --with-http_ssl_module",
        "echo nginx version: nginx/1.26.0",
        "echo no nginx at all",
    ],
    ids=["fails", "too-old", "no-tls", "stranger"],
)
def test_an_unfit_nginx_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    """What cannot forward certificates is not tried."""
    fake = tmp_path / "nginx"
    fake.write_text(f"#!/bin/sh\n{output}\n")
    fake.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert str(fake) not in [program.path for program in nginx.find_programs()]


@pytest.mark.parametrize(
    ("version", "directives"),
    [
        ((1, 22, 1), ("listen 127.0.0.1:0 ssl http2;",)),
        ((1, 25, 1), ("listen 127.0.0.1:0 ssl;", "http2 on;")),
    ],
)
def test_http2_is_written_as_the_version_wants_it(
    tmp_path: Path, version: tuple[int, ...], directives: tuple[str, ...]
) -> None:
    """The directive came with 1.25.1, which also warns of the older form."""
    made = Nginx(tmp_path, upstream="127.0.0.1:1", certificate="", key="")
    lines = made.configuration(Program("nginx", version, has_http2=True)).split("\n")
    http2 = [one.strip() for one in lines if "http2" in one or " ssl;" in one]
    assert tuple(http2) == directives


@pytest.mark.needs_program("nginx")
def test_nginx_says_why_it_does_not_start(tmp_path: Path) -> None:
    """A configuration that it refuses is shown, not waited for."""
    broken = Nginx(tmp_path, upstream="127.0.0.1:1", certificate="none", key="none")
    with pytest.raises(NginxError, match=r"server\.crt"):
        broken.start()
    assert broken.pid is None


@pytest.mark.needs_program("nginx")
def test_nginx_refuses_a_port_that_is_taken(tmp_path: Path) -> None:
    """A port that was asked for is not replaced by another."""
    with nginx.listen(0) as listener:
        port = listener.getsockname()[1]
        busy = Nginx(
            tmp_path, upstream="127.0.0.1:1", certificate="", key="", port=port
        )
        with pytest.raises(PortBusy, match=str(port)):
            busy.start()


def child_processes(parent: int) -> list[int]:
    """Return the processes that *parent* has started."""
    result = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    pairs = (line.split() for line in result.stdout.splitlines())
    return [int(pid) for pid, ppid in pairs if int(ppid) == parent]


def is_alive(pid: int) -> bool:
    """Return whether the process exists and is not just waiting to be noticed."""
    result = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return bool(result.stdout.strip()) and not result.stdout.startswith("Z")
