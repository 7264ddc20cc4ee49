"""``clientcert diff``: what two environments do not have in common."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from django_clientcert.management.console.command import ClientCertCommand
from django_clientcert.management.console.files import refuse_private_keys, show_name
from django_clientcert.trust.transfer import (
    TransferError,
    compare,
    export_records,
    read_rows,
)
from django_clientcert.trust.transfer.records import MAPPING, Record
from django_clientcert.x509.escaping import visible

_MARKS = {"added": "+", "removed": "-", "changed": "~"}


def add_parser(subparsers: Any) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "diff",
        help="compare an export with this database, or with another",
        description=(
            "Say what this database, or OTHER, has more (+), less (-) and\n"
            "otherwise (~) than an export. Where one of them is CSV, mappings only."
        ),
        epilog=(
            "Example:\n"
            "  manage.py clientcert diff staging.json\n"
            "\n"
            "Exit status: 0 no difference, 1 there are some, or a file cannot be\n"
            "read, 2 wrong usage."
        ),
    )
    parser.add_argument("file", metavar="FILE", help="an export, JSON or CSV")
    parser.add_argument(
        "other",
        metavar="OTHER",
        nargs="?",
        help="another export (default: this database)",
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object, for programs"
    )
    parser.set_defaults(run=run)


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Print the differences.

    Raises:
        CommandError: there are some, or a file cannot be read.
    """
    refuse_private_keys(file=options["file"], other=options["other"])
    names = [one for one in (options["file"], options["other"]) if one is not None]
    mappings_only = any(Path(one).suffix.lower() == ".csv" for one in names)
    old = _read(options["file"], mappings_only)
    new = (
        export_records(mappings_only=mappings_only)
        if options["other"] is None
        else _read(options["other"], mappings_only)
    )
    found = list(compare(old, new))
    if options["json"]:
        command.say(
            json.dumps({"differences": [one._asdict() for one in found]}, indent=2)
        )
    else:
        for one in found:
            named = ", ".join(
                f"{name} {visible(value, 80)}"
                for name, value in one.key.items()
                if value
            )
            fields = ", ".join(visible(name, 40) for name in one.fields)
            command.say(
                f"{_MARKS[one.change]} {one.type}: {named}"
                + (f" ({fields})" if fields else "")
            )
    if found:
        raise CommandError(f"Differences: {len(found)}.")
    if not options["json"]:
        command.say("No differences.")


def _read(name: str, mappings_only: bool) -> Iterator[Record]:
    try:
        for row in read_rows(Path(name)):
            if row.problem:
                raise CommandError(f"{show_name(name)}, {row.place}: {row.problem}.")
            if not mappings_only or row.record.get("type") == MAPPING:
                yield row.record
    except (TransferError, OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise CommandError(f"{show_name(name)}: {what.rstrip('.')}.") from error
