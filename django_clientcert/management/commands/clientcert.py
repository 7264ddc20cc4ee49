"""``manage.py clientcert``: the features of the admin, on the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from django_clientcert.evaluation.outages import describe_failure
from django_clientcert.exceptions import ClientCertError
from django_clientcert.explaining.report import one_line
from django_clientcert.management.subcommands import SUBCOMMANDS
from django_clientcert.management.subcommands.console.arguments import (
    HelpFormatter,
    Subcommands,
)
from django_clientcert.management.subcommands.console.command import ClientCertCommand
from django_clientcert.management.subcommands.console.files import (
    refuse_private_keys,
)
from django_clientcert.management.subcommands.console.text import show_messages

Run = Callable[[ClientCertCommand, dict[str, Any]], None]


class Command(ClientCertCommand):
    """Dispatches to the modules in ``management/subcommands``."""

    help = "Map client certificates to users, and find out why one is refused."
    # "explain" is needed most when a check fails.
    requires_system_checks: list[str] = []

    def create_parser(
        self, prog_name: str, subcommand: str, **kwargs: Any
    ) -> CommandParser:
        """Return the parser, which explains the exit status below the options."""
        kwargs.setdefault("formatter_class", HelpFormatter)
        kwargs.setdefault(
            "epilog",
            "Exit status: 0 done or accepted, 1 failed or refused, 2 wrong usage.\n"
            "Each subcommand has its own --help.",
        )
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the parser of every subcommand."""
        subcommands = Subcommands(parser, "subcommand")
        for name, module in SUBCOMMANDS.items():
            subcommands.add_module(name, module)

    def handle(self, *args: Any, run: Run, **options: Any) -> None:
        """Run the chosen subcommand.

        Raises:
            CommandError: it failed, or the certificate was refused.
        """
        self.quiet = options["verbosity"] == 0
        self.as_json = options.get("json", False)
        refuse_private_keys(options)
        try:
            run(self, options)
        except ValidationError as error:
            raise CommandError(show_messages(error)) from error
        except ClientCertError as error:
            raise CommandError(one_line(str(error))) from error
        except DatabaseError as error:
            failure = describe_failure(error)
            raise CommandError(f"The database cannot be used: {failure}") from error
        except ImproperlyConfigured as error:
            raise CommandError(f"{error} See “manage.py check”.") from error
