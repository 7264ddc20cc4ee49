"""The command that subcommands write through."""

from __future__ import annotations

from django.core.management.base import BaseCommand

from .text import encodable


class ClientCertCommand(BaseCommand):
    """A command whose output fits any terminal encoding."""

    def say(self, text: str = "") -> None:
        """Write a line to standard output, whatever its encoding."""
        self.stdout.write(encodable(text, self.stdout))

    def warn(self, text: str) -> None:
        """Write a line to standard error."""
        self.stderr.write(encodable(f"Warning: {text}", self.stderr))
