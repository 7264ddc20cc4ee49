"""``clientcert inbox``: what was refused and is nobody yet, to see and to delete."""

from __future__ import annotations

import json
from typing import Any

from django.utils import timezone

from django_clientcert.management.console.command import ClientCertCommand
from django_clientcert.management.console.text import one_line, show_moment
from django_clientcert.models import UnknownCertificate

from .expiring import duration


def add_parser(subparsers: Any) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "inbox",
        help="list or delete certificates that were refused and are nobody's",
        description=(
            "Certificates that clients proved to hold, and that let nobody in. They\n"
            "are mapped in the admin, or with “clientcert map”."
        ),
    )
    actions = parser.add_subparsers(
        title="actions", dest="action", metavar="ACTION", required=True
    )
    listing = actions.add_parser(
        "list",
        help="list them, the latest first",
        description="List the inbox, what was seen last first.",
    )
    listing.add_argument(
        "--json", action="store_true", help="one JSON object, for programs"
    )
    listing.set_defaults(run=run_list)
    purging = actions.add_parser(
        "purge",
        help="delete them",
        description=(
            "Delete what is in the inbox. What calls again comes back, counted anew."
        ),
    )
    purging.add_argument(
        "--older-than",
        type=duration,
        metavar="TIME",
        help="only what was not seen for 12h, 30d, 6w (default: everything)",
    )
    purging.set_defaults(run=run_purge)


def run_list(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Print the inbox, as text or as one JSON object.

    The object has one key, ``unknown_certificates``: a list of objects with ``id``,
    ``subject``, ``issuer``, ``fingerprint`` and ``public_key`` (SHA-256, hex),
    ``not_after`` (or null), ``reason``, ``detail``, ``host``, ``address``, ``count``,
    ``first_seen_at``, ``last_seen_at``.
    """
    rows = UnknownCertificate.objects.defer("certificate").iterator(chunk_size=500)
    if options["json"]:
        told = {"unknown_certificates": [_as_dict(row) for row in rows]}
        command.say(json.dumps(told, indent=2))
        return
    number = 0
    for number, row in enumerate(rows, 1):  # noqa: B007 - counted
        where = f" from {one_line(row.address)}" if row.address else ""
        host = f" for {one_line(row.host)}" if row.host else ""
        command.say(
            f"{row.pk}  {one_line(str(row))}: {one_line(row.reason)}, "
            f"{row.count} times, last {show_moment(row.last_seen_at)}{where}{host}\n"
            f"    SHA-256 {row.fingerprint.hex()}"
        )
    if not number:
        command.say("The inbox is empty.")


def run_purge(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Delete what is in the inbox, or what is old there; say how many that was."""
    rows = UnknownCertificate.objects.all()
    if options["older_than"] is not None:
        rows = rows.filter(last_seen_at__lt=timezone.now() - options["older_than"])
    count, _ = rows.delete()
    command.say(f"{count} deleted.")


def _as_dict(row: UnknownCertificate) -> dict[str, Any]:
    return {
        "id": row.pk,
        "subject": row.subject,
        "issuer": row.issuer,
        "fingerprint": row.fingerprint.hex(),
        "public_key": row.public_key.hex(),
        "not_after": None if row.not_after is None else row.not_after.isoformat(),
        "reason": row.reason,
        "detail": row.detail,
        "host": row.host,
        "address": row.address,
        "count": row.count,
        "first_seen_at": row.first_seen_at.isoformat(),
        "last_seen_at": row.last_seen_at.isoformat(),
    }
