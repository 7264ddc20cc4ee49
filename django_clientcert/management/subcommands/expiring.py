"""List what expires soon or has expired.

Covers mappings and their certificates, certificates that were used recently,
certificates of authorities, and CRLs. Disabled mappings are left out.

Examples:
  manage.py clientcert expiring --within 30d
  manage.py clientcert expiring --within 2w --format csv > expiring.csv

Exit status, for cron: 0 nothing is listed, 1 something is, 2 wrong usage.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from django_clientcert.explaining.report import username_of
from django_clientcert.trust.expiry import (
    Expiry,
    Interval,
    authority_expiries,
    certificate_expiries,
    crl_expiries,
    date_expiries,
    expiring_by_date,
    expiring_with_certificate,
    seen_expiries,
)
from django_clientcert.trust.transfer.writing import write_table
from django_clientcert.x509.text import show_moment

from .console.arguments import Arguments, duration
from .console.command import ClientCertCommand
from .console.text import show_iso

_COLUMNS = ("what", "id", "name", "user", "expires_at", "expired")

ARGUMENTS: Arguments = {
    "--within TIME": {
        "help": "12h, 30d, 6w (default: 30d)",
        "type": duration,
        "default": dt.timedelta(days=30),
    },
    "--format": {
        "help": "how to print it (default: %(default)s)",
        "choices": ("text", "csv", "json"),
        "default": "text",
    },
}


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Print what expires, the earliest first; exit with status 1 if anything does.

    As JSON: one object with ``at``, ``until`` and ``expiring``, a list of objects
    with ``what`` (``certificate``, ``mapping``, ``seen_certificate``,
    ``authority``, ``revocation_list``), ``id``, ``name``, ``user`` (empty if there
    is none), ``expires_at`` (ISO 8601, UTC), ``expired``. As CSV: those as columns.

    Raises:
        CommandError: something expires.
    """
    now = timezone.now()
    until = now + options["within"]
    expiries = sorted(
        find_expiries(now, until), key=lambda expiry: (expiry.expires_at, expiry.what)
    )
    rows = [_describe(expiry, now) for expiry in expiries]
    if options["format"] == "csv":
        command.say_lines(write_table(_COLUMNS, rows, lineterminator=""))
    elif options["format"] == "json":
        command.say_json(
            {"at": now.isoformat(), "until": until.isoformat(), "expiring": rows}
        )
    else:
        command.say_lines(map(_line, rows))
    if rows:
        expired = sum(row["expired"] for row in rows)
        raise CommandError(
            f"{len(rows)} of these expire by {show_moment(until)}; {expired} of them "
            "have expired already."
        )
    if options["format"] == "text":
        command.say(f"Nothing expires by {show_moment(until)}.")


def find_expiries(now: dt.datetime, until: dt.datetime) -> Iterator[Expiry]:
    """Yield what expires by *until*, or has expired."""
    span = Interval(None, until)
    unread = ("certificate", "note")
    yield from certificate_expiries(expiring_with_certificate(span).defer(*unread))
    yield from date_expiries(expiring_by_date(span).defer(*unread))
    # Nothing needs to be done about one that has expired: it cannot be used again.
    yield from seen_expiries(Interval(now, until))
    yield from authority_expiries(span)
    yield from crl_expiries(span)


def _describe(expiry: Expiry, now: dt.datetime) -> dict[str, Any]:
    return {
        "what": expiry.what,
        "id": expiry.instance.pk,
        "name": expiry.name,
        "user": username_of(expiry.user),
        "expires_at": expiry.expires_at.isoformat(),
        "expired": expiry.expires_at <= now,
    }


def _line(row: dict[str, Any]) -> str:
    when = "EXPIRED" if row["expired"] else "expires"
    user = f" of {row['user']}" if row["user"] else ""
    what = row["what"].replace("_", " ")
    return f"{when} {show_iso(row['expires_at'])}  {what} {row['id']}{user}: " + str(
        row["name"]
    )
