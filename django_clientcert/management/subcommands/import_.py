"""Import many mappings at once.

Imports a file written by "clientcert export", or maps the certificates of a
CSV file, a folder or a zip archive. Prints for each row whether it is new,
exists already or is refused. Either all rows are stored, or none.

Examples:
  manage.py clientcert import clientcert.json --dry-run
  manage.py clientcert import certificates.zip --user-from common-name

Exit status: 0 no row was refused, 1 at least one was, 2 wrong usage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import router, transaction

from django_clientcert.models import CertificateMapping
from django_clientcert.trust.transfer.loading import Loader, Status
from django_clientcert.trust.transfer.reading import USER_FROM, read_rows
from django_clientcert.x509.identities import IdentityKind

from .console.arguments import Arguments
from .console.command import ClientCertCommand
from .console.files import errors_of_file

ARGUMENTS: Arguments = {
    "source SOURCE": "a CSV, JSON or zip file, or a folder",
    "--format": {
        "help": "the format of the file (default: by its name)",
        "choices": ("csv", "json", "zip"),
    },
    "--dry-run": "print what would happen, but store nothing",
    "--valid-only": "store the valid mappings, and skip the others",
    "--kind KIND": {
        "help": "the kind of rows that name none: %(choices)s (default: fingerprint)",
        "choices": [kind.value for kind in IdentityKind],
        "default": IdentityKind.FINGERPRINT.value,
    },
    "--user-from NAME": {
        "help": "what names the user of a certificate in a folder or zip: %(choices)s "
        "(default: file-name, without its extension)",
        "choices": USER_FROM,
        "default": USER_FROM[0],
    },
}


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Store the rows.

    Raises:
        CommandError: a row was refused, or the file cannot be read.
    """
    loader = Loader(kind=IdentityKind(options["kind"]))
    using = router.db_for_write(CertificateMapping)
    with (
        errors_of_file(options["source"], end=" Nothing was stored."),
        transaction.atomic(using=using),
    ):
        _load(command, loader, options)
        refused = loader.counts[Status.REFUSED]
        stored = not options["dry_run"] and (
            not refused or (options["valid_only"] and not loader.refused_others)
        )
        if not stored:
            transaction.set_rollback(True, using=using)
    counts = ", ".join(f"{loader.counts[status]} {status.value}" for status in Status)
    if options["dry_run"]:
        end = "Nothing was stored, because this was a dry run."
    elif stored:
        is_new = bool(loader.counts[Status.NEW])
        end = "The new rows were stored." if is_new else "There was nothing to store."
    elif options["valid_only"]:
        end = (
            "Nothing was stored: --valid-only skips mappings only. Without an "
            "authority or a revocation that was refused, certificates could be "
            "accepted that should not be."
        )
    else:
        end = "Nothing was stored, because either all rows are stored or none."
    command.say(f"{counts}. {end}")
    if refused:
        raise CommandError(f"Rows that were refused: {refused}.")


def _load(command: ClientCertCommand, loader: Loader, options: dict[str, Any]) -> None:
    path = Path(options["source"])
    with command.progress("Rows") as bar:
        rows = read_rows(path, options["format"], user_from=options["user_from"])
        for number, outcome in enumerate(loader.load(rows), 1):
            if number % 100 == 0:
                bar(number, 0)
            if outcome.status is Status.REFUSED or not command.quiet:
                detail = f": {outcome.detail}" if outcome.detail else ""
                command.say(
                    f"{outcome.place}: {outcome.status.value}: {outcome.what}{detail}"
                )
