"""Runs ``manage.py clientcert`` in this process, for the tests of the commands."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError


@dataclass(frozen=True)
class CommandResult:
    """The output of a command, and its exit status."""

    out: str
    err: str
    status: int
    error: str

    @property
    def data(self) -> Any:
        """Standard output, which is one JSON value and nothing else."""
        return json.loads(self.out)

    @property
    def text(self) -> str:
        """Everything that was printed."""
        return self.out + self.err + self.error


def clientcert(*arguments: str, stdin: bytes = b"") -> CommandResult:
    """Run ``clientcert``; the status is that of the shell."""
    out, err = io.StringIO(), io.StringIO()
    status, message = 0, ""
    with _standard_input(stdin):
        try:
            call_command("clientcert", *arguments, stdout=out, stderr=err)
        except CommandError as error:
            status, message = error.returncode, str(error)
    return CommandResult(out.getvalue(), err.getvalue(), status, message)


@contextmanager
def _standard_input(octets: bytes) -> Iterator[None]:
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(octets))
    try:
        yield
    finally:
        sys.stdin = before
