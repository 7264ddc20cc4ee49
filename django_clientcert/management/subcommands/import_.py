"""``clientcert import``: many mappings at once, all of them or the valid ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import router, transaction

from django_clientcert.management.console.command import ClientCertCommand
from django_clientcert.management.console.files import refuse_private_keys, show_name
from django_clientcert.management.console.progress import ProgressBar
from django_clientcert.models import CertificateMapping
from django_clientcert.trust.transfer import (
    Loader,
    Row,
    Status,
    TransferError,
    read_rows,
)
from django_clientcert.trust.transfer.reading import USER_FROM
from django_clientcert.x509.identities import IdentityKind


def add_parser(subparsers: Any) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "import",
        help="map many certificates at once",
        description=(
            "Store what a file of “clientcert export” has, or map the certificates of\n"
            "a CSV file, a folder or a zip archive. Says of each row whether it is\n"
            "new, exists or is refused. All rows go in, or none."
        ),
        epilog=(
            "Examples:\n"
            "  manage.py clientcert import clientcert.json --dry-run\n"
            "  manage.py clientcert import certificates.zip --user-from common-name\n"
            "\n"
            "Exit status: 0 no row was refused, 1 one was, 2 wrong usage."
        ),
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="a CSV, JSON or zip file, or a folder"
    )
    parser.add_argument(
        "--format",
        choices=("csv", "json", "zip"),
        help="of the file (default: by its name)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would happen; store nothing"
    )
    parser.add_argument(
        "--valid-only",
        action="store_true",
        help="store the mappings that can be stored, and leave out the others",
    )
    parser.add_argument(
        "--kind",
        choices=[one.value for one in IdentityKind],
        default=IdentityKind.FINGERPRINT.value,
        metavar="KIND",
        help="of rows that name none: %(choices)s (default: fingerprint)",
    )
    parser.add_argument(
        "--user-from",
        choices=USER_FROM,
        default=USER_FROM[0],
        metavar="NAME",
        help="what names the user of a certificate in a folder or zip: %(choices)s "
        "(default: file-name, without its ending)",
    )
    parser.set_defaults(run=run)


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Store the rows.

    Raises:
        CommandError: a row was refused, or the file cannot be read.
    """
    refuse_private_keys(source=options["source"])
    loader = Loader(kind=IdentityKind(options["kind"]))
    using = router.db_for_write(CertificateMapping)
    try:
        with transaction.atomic(using=using):
            _load(command, loader, options)
            refused = loader.counts[Status.REFUSED]
            stored = not options["dry_run"] and (
                not refused or (options["valid_only"] and not loader.refused_others)
            )
            if not stored:
                transaction.set_rollback(True, using=using)
    except (TransferError, OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise CommandError(
            f"{show_name(options['source'])}: {what.rstrip('.')}. Nothing was stored."
        ) from error
    counts = ", ".join(f"{loader.counts[one]} {one.value}" for one in Status)
    if options["dry_run"]:
        end = "Nothing was stored: this was a dry run."
    elif stored:
        end = "The new rows were stored."
    elif options["valid_only"]:
        end = (
            "Nothing was stored: --valid-only leaves out mappings only, and without "
            "an authority or a revocation others would be let in."
        )
    else:
        end = "Nothing was stored: all rows go in, or none."
    command.say(f"{counts}. {end}")
    if refused:
        raise CommandError(f"Rows that were refused: {refused}.")


def _load(command: ClientCertCommand, loader: Loader, options: dict[str, Any]) -> None:
    path = Path(options["source"])
    bar = ProgressBar(command.stderr, "Rows", quiet=options["verbosity"] < 1)
    with bar:
        rows = read_rows(path, options["format"], user_from=options["user_from"])
        for outcome in loader.load(_counted(rows, bar)):
            if outcome.status is Status.REFUSED or options["verbosity"] > 0:
                detail = f": {outcome.detail}" if outcome.detail else ""
                command.say(
                    f"{outcome.place}: {outcome.status.value}: {outcome.what}{detail}"
                )


def _counted(rows: Iterator[Row], bar: ProgressBar) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        if number % 100 == 0:
            bar(number, 0)
        yield row
