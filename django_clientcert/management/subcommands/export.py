"""``clientcert export``: what is decided by, as a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from django_clientcert.management.console.command import ClientCertCommand
from django_clientcert.management.console.files import refuse_private_keys, show_name
from django_clientcert.trust.transfer import export_records, write_csv, write_json


def add_parser(subparsers: Any) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "export",
        help="write all mappings and authorities to a file",
        description=(
            "Write what decisions rest on: authorities with their rules, revocation\n"
            "lists, revocations and mappings (JSON), or the mappings only (CSV)."
        ),
        epilog=(
            "Example:\n"
            "  manage.py clientcert export --output clientcert.json\n"
            "\n"
            "Exit status: 0 written, 1 failed, 2 wrong usage."
        ),
    )
    parser.add_argument(
        "--format",
        choices=("json", "csv"),
        default="json",
        help="json (default): everything; csv: the mappings, for spreadsheets",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="a new file, which only its owner may read (default: standard output)",
    )
    parser.set_defaults(run=run)


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Write the file.

    Raises:
        CommandError: it is there already, or cannot be written.
    """
    refuse_private_keys(output=options["output"])
    is_csv = options["format"] == "csv"
    records = export_records(mappings_only=is_csv)
    pieces = write_csv(records) if is_csv else write_json(records)
    if options["output"] is None:
        for piece in pieces:
            command.stdout.write(piece, ending="")
        return
    name = options["output"]
    try:
        with open(
            name, "x", encoding="utf-8", newline="", opener=_open_privately
        ) as file:
            try:
                file.writelines(pieces)
            except BaseException:
                # Half a file must not be taken for a whole one.
                Path(name).unlink(missing_ok=True)
                raise
    except FileExistsError as error:
        raise CommandError(f"{show_name(name)} is there already.") from error
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise CommandError(f"{show_name(name)} cannot be written: {what}.") from error


def _open_privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
