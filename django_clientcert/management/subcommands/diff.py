"""Compare an export with this database, or with another export.

Prints what this database, or OTHER, has in addition to the first export (+),
what it lacks (-) and what differs (~). If one of the two is CSV, only mappings
are compared.

Example:
  manage.py clientcert diff staging.json

Exit status: 0 no differences, 1 some differences, or a file cannot be read,
2 wrong usage.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from django_clientcert.trust.transfer.differences import compare
from django_clientcert.trust.transfer.reading import read_rows
from django_clientcert.trust.transfer.records import MAPPING, Record, export_records
from django_clientcert.x509.escaping import visible

from .console.arguments import JSON, Arguments
from .console.command import ClientCertCommand
from .console.files import errors_of_file, show_name

_MARKS = {"added": "+", "removed": "-", "changed": "~"}

ARGUMENTS: Arguments = {
    "old FILE": "an export, JSON or CSV",
    "other [OTHER]": "another export (default: this database)",
    **JSON,
}


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Print the differences.

    Raises:
        CommandError: there are some, or a file cannot be read.
    """
    names = [options["old"], options["other"] or ""]
    mappings_only = any(Path(name).suffix.lower() == ".csv" for name in names)
    old = _read(options["old"], mappings_only)
    new = (
        export_records(mappings_only=mappings_only)
        if options["other"] is None
        else _read(options["other"], mappings_only)
    )
    differences = [difference._asdict() for difference in compare(old, new)]
    command.list_rows(
        "differences",
        differences,
        _lines,
        empty="No differences.",
    )
    if differences:
        raise CommandError(f"Differences: {len(differences)}.")


def _lines(difference: dict[str, Any]) -> Iterator[str]:
    key = ", ".join(
        f"{name} {visible(value, 80)}"
        for name, value in difference["key"].items()
        if value
    )
    fields = ", ".join(visible(name, 40) for name in difference["fields"])
    mark = _MARKS[difference["change"]]
    yield f"{mark} {difference['type']}: {key}" + (f" ({fields})" if fields else "")


def _read(name: str, mappings_only: bool) -> Iterator[Record]:
    with errors_of_file(name):
        for row in read_rows(Path(name)):
            if row.problem:
                raise CommandError(f"{show_name(name)}, {row.place}: {row.problem}.")
            if not mappings_only or row.record.get("type") == MAPPING:
                yield row.record
