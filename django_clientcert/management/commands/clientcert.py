"""``manage.py clientcert``: from the shell what the admin does on screens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from django_clientcert.management.console.arguments import (
    HelpFormatter,
    SubcommandParser,
)
from django_clientcert.management.console.command import ClientCertCommand
from django_clientcert.management.console.text import one_line
from django_clientcert.management.subcommands import (
    authority,
    crl,
    expiring,
    explain,
    inbox,
    notify,
    probe,
    proxy_config,
    revoke,
    what_if,
)
from django_clientcert.management.subcommands import diff as diff
from django_clientcert.management.subcommands import export as export
from django_clientcert.management.subcommands import import_ as import_
from django_clientcert.management.subcommands import map as map

SUBCOMMANDS = (
    map,
    authority,
    revoke,
    crl,
    explain,
    what_if,
    expiring,
    inbox,
    notify,
    probe,
    proxy_config,
    import_,
    export,
    diff,
)

Run = Callable[[ClientCertCommand, dict[str, Any]], None]


class Command(ClientCertCommand):
    """Dispatches to the modules in ``management/subcommands``."""

    help = "Say whose a client certificate is, and find out why one is refused."
    # "explain" has to work where a check fails: that is when it is needed.
    requires_system_checks: list[str] = []

    def create_parser(
        self, prog_name: str, subcommand: str, **kwargs: Any
    ) -> CommandParser:
        """Return the parser, with what the exit status means below the options."""
        return super().create_parser(
            prog_name,
            subcommand,
            **{
                "formatter_class": HelpFormatter,
                "epilog": (
                    "Exit status: 0 done or accepted, 1 failed or refused, 2 wrong "
                    "usage.\n"
                    "Each subcommand has its own --help."
                ),
                **kwargs,
            },
        )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the parser of every subcommand."""
        subparsers = parser.add_subparsers(
            title="subcommands",
            dest="subcommand",
            metavar="SUBCOMMAND",
            required=True,
            parser_class=SubcommandParser,
        )
        for module in SUBCOMMANDS:
            module.add_parser(subparsers)

    def handle(self, *args: Any, run: Run, **options: Any) -> None:
        """Run the chosen subcommand.

        Raises:
            CommandError: it failed, or the certificate was refused.
        """
        try:
            run(self, options)
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot be used: {one_line(str(error).strip())}. Did "
                "you run “manage.py migrate”?"
            ) from error
        except ImproperlyConfigured as error:
            raise CommandError(f"{error} See “manage.py check”.") from error
