"""``clientcert expiring``: what ends soon, for people and for cron."""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from django_clientcert.management.console.command import ClientCertCommand
from django_clientcert.management.console.text import show_moment
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
from django_clientcert.x509.escaping import visible

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"([0-9]{1,5})([hdw])\Z")
# What a spreadsheet takes for a formula (OWASP, CSV injection)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = ("what", "id", "name", "user", "expires_at", "expired")


def duration(text: str) -> dt.timedelta:
    """Return a time such as 12h, 30d or 6w.

    Raises:
        ArgumentTypeError: it is written in another way.
    """
    match = _DURATION.match(text)
    if match is None:
        raise argparse.ArgumentTypeError("write a time like 12h, 30d or 6w")
    return dt.timedelta(**{_UNITS[match[2]]: int(match[1])})


def add_parser(subparsers: Any) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "expiring",
        help="list what expires soon",
        description=(
            "List what expires soon or has expired: certificates of mappings and\n"
            "those seen lately, mappings, certificates of authorities, revocation\n"
            "lists. Disabled mappings are left out."
        ),
        epilog=(
            "Examples:\n"
            "  manage.py clientcert expiring --within 30d\n"
            "  manage.py clientcert expiring --within 2w --format csv > expiring.csv\n"
            "\n"
            "Exit status, for cron: 0 nothing expires, 1 something does, 2 wrong usage."
        ),
    )
    parser.add_argument(
        "--within",
        type=duration,
        default=dt.timedelta(days=30),
        metavar="TIME",
        help="12h, 30d, 6w (default: 30d)",
    )
    parser.add_argument(
        "--format",
        choices=("text", "csv", "json"),
        default="text",
        help="how to print it (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Print what expires, the first first; leave with status 1 if anything does.

    As JSON: one object with ``at``, ``until`` and ``expiring``, a list of objects
    with ``what`` (``certificate``, ``mapping``, ``seen_certificate``,
    ``authority``, ``revocation_list``), ``id``, ``name``, ``user`` (empty where
    there is none), ``expires_at`` (ISO 8601, UTC), ``expired``. As CSV: those as
    columns.

    Raises:
        CommandError: something expires.
    """
    now = timezone.now()
    until = now + options["within"]
    found = sorted(
        find_expiries(now, until), key=lambda one: (one.expires_at, one.what)
    )
    {"text": _print_text, "csv": _print_csv, "json": _print_json}[options["format"]](
        command, found, now, until
    )
    if found:
        expired = sum(one.expires_at <= now for one in found)
        raise CommandError(
            f"{len(found)} of these expire until {show_moment(until)}, "
            f"{expired} of them already have."
        )


def find_expiries(now: dt.datetime, until: dt.datetime) -> Iterator[Expiry]:
    """Yield what has an end before *until*, or has ended."""
    span = Interval(None, until)
    unread = ("certificate", "note")
    yield from certificate_expiries(expiring_with_certificate(span).defer(*unread))
    yield from date_expiries(expiring_by_date(span).defer(*unread))
    # One that has expired cannot come back: nothing is to be done about it.
    yield from seen_expiries(Interval(now, until))
    yield from authority_expiries(span)
    yield from crl_expiries(span)


def _describe(one: Expiry, now: dt.datetime) -> dict[str, Any]:
    user = "" if one.user is None else visible(str(one.user.get_username()))
    return {
        "what": one.what,
        "id": one.instance.pk,
        "name": one.name,
        "user": user,
        "expires_at": one.expires_at.isoformat(),
        "expired": one.expires_at <= now,
    }


def _print_text(
    command: ClientCertCommand,
    found: list[Expiry],
    now: dt.datetime,
    until: dt.datetime,
) -> None:
    for one in found:
        row = _describe(one, now)
        when = "EXPIRED" if row["expired"] else "expires"
        user = f" of {row['user']}" if row["user"] else ""
        what = one.what.replace("_", " ")
        command.say(
            f"{when} {show_moment(one.expires_at)}  {what} {row['id']}{user}: "
            f"{one.name}"
        )
    if not found:
        command.say(f"Nothing expires until {show_moment(until)}.")


def _print_csv(
    command: ClientCertCommand,
    found: list[Expiry],
    now: dt.datetime,
    until: dt.datetime,
) -> None:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in found:
        cells = map(str, _describe(one, now).values())
        writer.writerow([_no_formula(cell) for cell in cells])
    command.say(file.getvalue().rstrip("\n"))


def _print_json(
    command: ClientCertCommand,
    found: list[Expiry],
    now: dt.datetime,
    until: dt.datetime,
) -> None:
    rows = [_describe(one, now) for one in found]
    told = {"at": now.isoformat(), "until": until.isoformat(), "expiring": rows}
    command.say(json.dumps(told, indent=2, default=str))


def _no_formula(cell: str) -> str:
    """Return *cell* so that a spreadsheet shows it, whatever a subject begins with."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
