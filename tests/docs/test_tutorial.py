"""The tutorial works from its first line to its last."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .pages import DOCS, expect, find_blocks
from .running import (
    find_free_ports,
    make_environment,
    run,
    run_server,
    write_named_block,
)


def find_steps(text: str) -> Iterator[tuple[str, str]]:
    """Yield the blocks of a page, and the comments that begin with "run:", in order."""
    pattern = r"^```(\w+)\n(.*?)^```$|^<!-- run: (.*?) -->$"
    for match in re.finditer(pattern, text, re.MULTILINE | re.DOTALL):
        yield (match[1], match[2]) if match[1] else ("sh", match[3])


@pytest.mark.needs_program("bash", "curl", "nginx", "openssl")
def test_the_tutorial_works_as_it_stands(tmp_path: Path) -> None:
    """Every file, command and output is used unchanged except for the ports."""
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    tls_port, http_port = find_free_ports(2)
    text = text.replace("8443", str(tls_port)).replace("8000", str(http_port))
    environment = make_environment(tmp_path)
    folder = tmp_path / "bank"
    folder.mkdir()
    printed, checked = "", 0
    log = tmp_path / "django.log"
    with ExitStack() as stack:
        for language, block in find_steps(text):
            if language in ("python", "nginx"):
                write_named_block(block, folder)
            elif language == "text":
                logged = log.read_text() if log.exists() else ""
                expect(block, f"{printed}\n{logged}")
                checked += 1
            elif "runserver" in block:
                server = run_server(block, folder, environment, http_port, log)
                stack.enter_context(server)
            elif block.startswith("nginx "):
                nginx_log = tmp_path / "nginx.log"
                server = run_server(block, folder, environment, tls_port, nginx_log)
                stack.enter_context(server)
            elif "pip install" not in block and "demo.py" not in block:
                printed = run(block, folder, environment)
    assert checked == len(find_blocks(text, "text"))
