"""Run what the documentation shows, in a folder and environment of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.plugins.required_programs import find_program

from .pages import ROOT


def make_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a reader, with ``python3`` and nginx on PATH."""
    programs = folder / "programs"
    programs.mkdir()
    for name, program in (
        ("python3", sys.executable),
        ("nginx", find_program("nginx")),
    ):
        if program is not None:
            (programs / name).write_text(f'#!/bin/sh\nexec "{program}" "$@"\n')
            (programs / name).chmod(0o755)
    return {
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "NO_PROXY": "*",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }


def run(script: str, folder: Path, environment: dict[str, str]) -> str:
    """Run shell commands up to the first failure; return their output."""
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, f"{script}\n{result.stdout}"
    return result.stdout


@contextmanager
def run_server(
    script: str, folder: Path, environment: dict[str, str], port: int, log: Path
) -> Iterator[None]:
    """Run a server, wait until *port* accepts connections, and stop it at the end."""
    with log.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {script.strip()}"],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            # runserver has a child process, which must be stopped too.
            start_new_session=True,
        )
    try:
        until = time.monotonic() + 30
        while not answers(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def answers(port: int) -> bool:
    """Return whether *port* accepts connections."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def find_free_ports(count: int) -> list[int]:
    """Return ports on which no program listens."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for server in sockets:
            server.bind(("127.0.0.1", 0))
        return [server.getsockname()[1] for server in sockets]


def write_named_block(block: str, folder: Path) -> None:
    """Write a block to the file that its first line names; append to settings.py."""
    first, _, _ = block.partition("\n")
    file = folder / first.removeprefix("# ")
    with file.open("a" if file.name == "settings.py" else "w") as output:
        output.write(f"\n{block}")
