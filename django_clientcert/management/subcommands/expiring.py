"""``clientcert expiring``: what ends soon, for people and for cron."""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import io
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.management.base import CommandError
from django.utils import timezone

from django_clientcert.escaping import visible
from django_clientcert.exceptions import ClientCertError
from django_clientcert.management.text import (
    describe_certificate,
    one_line,
    show_moment,
)
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    RevocationList,
    SeenCertificate,
)

if TYPE_CHECKING:
    from django_clientcert.management.commands.clientcert import Command

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"([0-9]{1,5})([hdw])\Z")
# What a spreadsheet takes for a formula (OWASP, CSV injection)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NO_END = "9999-12-31T23:59:59+00:00"
_COLUMNS = ("what", "id", "name", "user", "expires_at", "expired")


class Ending(NamedTuple):
    """Something that ends, and when."""

    what: str
    id: Any
    name: str
    user: str
    expires_at: dt.datetime


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


def run(command: Command, options: dict[str, Any]) -> None:
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
    found = sorted(find_endings(until), key=lambda one: (one.expires_at, one.what))
    {"text": _print_text, "csv": _print_csv, "json": _print_json}[options["format"]](
        command, found, now, until
    )
    if found:
        expired = sum(one.expires_at <= now for one in found)
        raise CommandError(
            f"{len(found)} of these expire until {show_moment(until)}, "
            f"{expired} of them already have."
        )


def find_endings(until: dt.datetime) -> Iterator[Ending]:
    """Yield what has an end before *until*."""
    mappings = (
        CertificateMapping.objects.exclude(state=CertificateMapping.State.DISABLED)
        .select_related("user")
        .defer("certificate", "note")
    )
    for mapping in mappings.filter(certificate_not_after__lte=until).iterator():
        assert mapping.certificate_not_after is not None  # noqa: S101 - filtered
        yield Ending(
            "certificate",
            mapping.pk,
            one_line(mapping.certificate_subject) or str(mapping),
            _username(mapping.user),
            mapping.certificate_not_after,
        )
    for mapping in mappings.filter(valid_until__lte=until).iterator():
        assert mapping.valid_until is not None  # noqa: S101 - filtered
        yield Ending(
            "mapping",
            mapping.pk,
            str(mapping),
            _username(mapping.user),
            mapping.valid_until,
        )
    # One that has expired cannot come back: nothing is to be done about it.
    seen = SeenCertificate.objects.filter(
        not_after__lte=until, not_after__gt=timezone.now()
    )
    for one in seen.select_related("user").defer("certificate").iterator():
        assert one.not_after is not None  # noqa: S101 - filtered
        yield Ending(
            "seen_certificate", one.pk, str(one), _username(one.user), one.not_after
        )
    yield from _of_authorities(until)


def _of_authorities(until: dt.datetime) -> Iterator[Ending]:
    for authority in CertificateAuthority.objects.iterator():
        try:
            certificates = authority.certificates()
        except ClientCertError:
            continue  # check --database says so
        for certificate in certificates:
            facts = describe_certificate(certificate)
            # One that cannot be read has no end; authority list says what is wrong.
            end = dt.datetime.fromisoformat(facts["not_after"] or _NO_END)
            if end <= until:
                name = f"{authority}: {facts['subject']}"
                yield Ending("authority", authority.pk, name, "", end)
    for row in RevocationList.objects.select_related("authority").iterator():
        end = row.list_info().expires()
        if end <= until:
            name = f"{row.authority}: {one_line(str(row))}"
            yield Ending("revocation_list", row.pk, name, "", end)


def _username(user: Any) -> str:
    return visible(str(user.get_username()))


def _print_text(
    command: Command, found: list[Ending], now: dt.datetime, until: dt.datetime
) -> None:
    for one in found:
        when = "EXPIRED" if one.expires_at <= now else "expires"
        user = f" of {one.user}" if one.user else ""
        what = one.what.replace("_", " ")
        command.say(
            f"{when} {show_moment(one.expires_at)}  {what} {one.id}{user}: {one.name}"
        )
    if not found:
        command.say(f"Nothing expires until {show_moment(until)}.")


def _print_csv(
    command: Command, found: list[Ending], now: dt.datetime, until: dt.datetime
) -> None:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in found:
        cells = [*one[:4], one.expires_at.isoformat(), one.expires_at <= now]
        writer.writerow([_no_formula(str(cell)) for cell in cells])
    command.say(file.getvalue().rstrip("\n"))


def _print_json(
    command: Command, found: list[Ending], now: dt.datetime, until: dt.datetime
) -> None:
    rows = [
        {
            **one._asdict(),
            "expires_at": one.expires_at.isoformat(),
            "expired": one.expires_at <= now,
        }
        for one in found
    ]
    told = {"at": now.isoformat(), "until": until.isoformat(), "expiring": rows}
    command.say(json.dumps(told, indent=2, default=str))


def _no_formula(cell: str) -> str:
    """Return *cell* so that a spreadsheet shows it, whatever a subject begins with."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
