"""Export all mappings and authorities to a file.

JSON contains everything that decisions depend on: authorities with their
rules, CRLs, revocations and mappings. CSV contains only the mappings.

Example:
  manage.py clientcert export --output clientcert.json

Exit status: 0 written, 1 failed, 2 wrong usage.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from django_clientcert.trust.transfer.records import export_records
from django_clientcert.trust.transfer.writing import write_csv, write_json

from .console.arguments import Arguments
from .console.command import ClientCertCommand
from .console.files import errors_of_file

_OPEN_PRIVATELY = partial(os.open, mode=0o600)

ARGUMENTS: Arguments = {
    "--format": {
        "help": "json (default): everything; csv: the mappings, for spreadsheets",
        "choices": ("json", "csv"),
        "default": "json",
    },
    "--output FILE": "a new file, which only its owner may read (default: standard "
    "output)",
}


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Write the file.

    Raises:
        CommandError: it exists already, or cannot be written.
    """
    is_csv = options["format"] == "csv"
    records = export_records(mappings_only=is_csv)
    pieces = write_csv(records) if is_csv else write_json(records)
    if options["output"] is None:
        for piece in pieces:
            command.stdout.write(piece, ending="")
        return
    name = options["output"]
    with (
        errors_of_file(name, " cannot be written"),
        open(name, "x", encoding="utf-8", newline="", opener=_OPEN_PRIVATELY) as file,
    ):
        try:
            file.writelines(pieces)
        except BaseException:
            # Half a file must not be mistaken for a whole one.
            Path(name).unlink(missing_ok=True)
            raise
