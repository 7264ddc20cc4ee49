"""List or delete refused certificates that are not mapped to a user.

Clients have proved that they hold the keys of these certificates. Map one in
the admin or with "clientcert map".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.utils import timezone

from django_clientcert.explaining.report import one_line
from django_clientcert.models import UnknownCertificate
from django_clientcert.trust.transfer.records import to_json
from django_clientcert.x509.escaping import visible_once

from .console.arguments import JSON, Arguments, Subcommands, duration
from .console.command import ClientCertCommand
from .console.text import show_iso

_COLUMNS = (
    *("id", "subject", "issuer", "fingerprint", "public_key", "not_after", "reason"),
    *("detail", "host", "address", "count", "first_seen_at", "last_seen_at"),
)
_PURGING: Arguments = {
    "--older-than TIME": {
        "help": "only what was not seen for 12h, 30d, 6w (default: everything)",
        "type": duration,
    },
}


def add_actions(actions: Subcommands) -> None:
    """Add the actions and their arguments."""
    actions.add("list", run_list, JSON)
    actions.add("purge", run_purge, _PURGING)


def run_list(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """List the inbox, the most recently seen first.

    Exit status: 0 listed, 1 the database cannot be used, 2 wrong usage.
    """
    rows = UnknownCertificate.objects.defer("certificate").iterator(chunk_size=500)
    command.list_rows(
        "unknown_certificates",
        [_describe(row) for row in rows],
        _lines,
        empty="The inbox is empty.",
    )


def run_purge(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Delete what is in the inbox.

    A certificate that is presented again is added again, and counted from 1.

    Exit status: 0 deleted, 1 the database cannot be used, 2 wrong usage.
    """
    rows = UnknownCertificate.objects.all()
    if options["older_than"] is not None:
        rows = rows.filter(last_seen_at__lt=timezone.now() - options["older_than"])
    count, _ = rows.delete()
    command.say(f"{count} deleted.")


def _describe(row: UnknownCertificate) -> dict[str, Any]:
    """Return *row* as ``inbox list --json`` prints it.

    ``fingerprint`` and ``public_key`` are SHA-256, in hex.
    """
    return {name: to_json(getattr(row, name)) for name in _COLUMNS}


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    name = visible_once(facts["subject"] or facts["fingerprint"], 120)
    address = f" from {one_line(facts['address'])}" if facts["address"] else ""
    host = f" for {one_line(facts['host'])}" if facts["host"] else ""
    yield (
        f"{facts['id']}  {name}: {one_line(facts['reason'])}, {facts['count']} times, "
        f"last {show_iso(facts['last_seen_at'])}{address}{host}"
    )
    yield f"    SHA-256 {facts['fingerprint']}"
