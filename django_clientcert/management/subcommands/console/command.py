"""The command that subcommands write through."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from .progress import ProgressBar
from .text import encodable


class UsageError(CommandError):
    """The command was used in a wrong way, so its exit status is 2."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=2)


class ClientCertCommand(BaseCommand):
    """A command whose output fits the encoding of any terminal."""

    quiet = False
    as_json = False

    def say(self, text: str = "") -> None:
        """Write a line to standard output."""
        self.stdout.write(encodable(text, self.stdout))

    def say_lines(self, lines: Iterable[str]) -> None:
        """Write *lines* to standard output."""
        for line in lines:
            self.say(line)

    def say_fields(self, fields: Mapping[str, Any]) -> None:
        """Write a line for each of *fields* that has a value, in two columns."""
        self.say_lines(
            f"  {name:<15} {fields[name]}" for name in fields if fields[name]
        )

    def say_unless_quiet(self, text: str) -> None:
        """Write a line to standard output, but not with ``--verbosity 0``."""
        if not self.quiet:
            self.say(text)

    def say_json(self, value: Any) -> None:
        """Write *value* to standard output as indented JSON."""
        self.say(json.dumps(value, indent=2, default=str))

    def warn(self, text: str) -> None:
        """Write a line to standard error."""
        self.stderr.write(encodable(f"Warning: {text}", self.stderr))

    def progress(self, label: str) -> ProgressBar:
        """Return a progress bar on standard error, if that is a terminal."""
        return ProgressBar(self.stderr, label, quiet=self.quiet)

    def list_rows(
        self,
        key: str,
        rows: list[dict[str, Any]],
        lines_of: Callable[[dict[str, Any]], Iterable[str]],
        *,
        empty: str,
    ) -> None:
        """Print *rows* as text or, with ``--json``, as one JSON object with one *key*.

        As text, each row has the lines that *lines_of* returns for it; *empty* is
        printed if there are no rows.
        """
        if self.as_json:
            self.say_json({key: rows})
            return
        for row in rows:
            self.say_lines(lines_of(row))
        if not rows:
            self.say(empty)
