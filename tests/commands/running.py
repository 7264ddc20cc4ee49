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
class Outcome:
    """What a command printed, and how it ended."""

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
        """Everything that anybody gets to see."""
        return self.out + self.err + self.error


def clientcert(*arguments: str, stdin: bytes = b"") -> Outcome:
    """Run ``clientcert`` and return how it went; the status is the shell's."""
    out, err = io.StringIO(), io.StringIO()
    status, message = 0, ""
    with _standard_input(stdin):
        try:
            call_command("clientcert", *arguments, stdout=out, stderr=err)
        except CommandError as error:
            status, message = error.returncode, str(error)
    return Outcome(out.getvalue(), err.getvalue(), status, message)


@contextmanager
def _standard_input(octets: bytes) -> Iterator[None]:
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(octets))
    try:
        yield
    finally:
        sys.stdin = before
