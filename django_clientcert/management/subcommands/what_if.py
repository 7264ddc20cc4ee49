"""``clientcert what-if``: who would be locked out, before anything is changed."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.management.base import CommandError
from django.utils import timezone

from django_clientcert.certificates import ClientCertificate
from django_clientcert.conf import conf
from django_clientcert.escaping import visible
from django_clientcert.evaluation import Adapt, Decision, evaluate
from django_clientcert.lookup import Found
from django_clientcert.management.arguments import moment
from django_clientcert.management.lookups import find_authority
from django_clientcert.management.text import one_line, show_moment
from django_clientcert.models import CertificateMapping, SeenCertificate
from django_clientcert.presented import Presented

if TYPE_CHECKING:
    from django_clientcert.management.commands.clientcert import Command

LOCKED_OUT = "locked_out"
UNKNOWN = "unknown"


class Row(NamedTuple):
    """A mapping or a certificate seen lately, and what would become of it."""

    what: str
    id: Any
    name: str
    user: str
    outcome: str
    reason: str
    detail: str


def add_parser(subparsers: Any) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "what-if",
        help="tell who would be locked out without an authority, or at another time",
        description=(
            "Tell which mappings, and which certificates that were let in lately,\n"
            "would be locked out without an authority, at another time, or both.\n"
            "Nothing is changed."
        ),
        epilog=(
            "Examples:\n"
            '  manage.py clientcert what-if --without-authority "Old CA"\n'
            "  manage.py clientcert what-if --at 2027-01-01 --json\n"
            "\n"
            "Exit status: 0 nobody, 1 somebody would be locked out, 2 wrong usage."
        ),
    )
    parser.add_argument(
        "--without-authority",
        action="append",
        default=[],
        dest="without",
        metavar="NAME",
        help="as if this authority were gone; may be repeated",
    )
    parser.add_argument(
        "--at",
        type=moment,
        metavar="DATE",
        help="at this moment (ISO 8601; UTC where it names no zone) instead of now",
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object, for programs"
    )
    parser.set_defaults(run=run)


def run(command: Command, options: dict[str, Any]) -> None:
    """Print who would be locked out.

    As JSON: one object with ``at`` (ISO 8601, UTC), ``without_authorities``,
    ``examined``, ``locked_out`` and ``unknown``; the last two are lists of objects
    with ``what`` (``mapping`` or ``seen_certificate``), ``id``, ``name``, ``user``,
    ``reason`` and ``detail``. Unknown is what cannot be tried: a mapping without
    a certificate, of which none was seen.

    Raises:
        CommandError: somebody would be locked out, or there is nothing to ask.
    """
    if not options["without"] and options["at"] is None:
        raise CommandError("Give --without-authority, --at or both.", returncode=2)
    without = {find_authority(name).pk for name in options["without"]}
    at = timezone.now() if options["at"] is None else options["at"].at
    rows, examined = [], 0
    for row in _examine(frozenset(without), at):
        examined += 1
        if row is not None:
            rows.append(row)
    locked_out = [one for one in rows if one.outcome == LOCKED_OUT]
    unknown = [one for one in rows if one.outcome == UNKNOWN]
    if options["json"]:
        told = {
            "at": at.isoformat(),
            "without_authorities": [visible(one) for one in options["without"]],
            "examined": examined,
            "locked_out": [_as_json(one) for one in locked_out],
            "unknown": [_as_json(one) for one in unknown],
        }
        command.say(json.dumps(told, indent=2, default=str))
    else:
        _print(command, locked_out, unknown)
    if locked_out:
        raise CommandError(
            f"{len(locked_out)} of {examined} would be locked out at {show_moment(at)}."
        )
    if not options["json"]:
        command.say(f"Of {examined}, nobody would be locked out at {show_moment(at)}.")


def _examine(without: frozenset[Any], at: dt.datetime) -> Iterator[Row | None]:
    """Yield a row for each that is let in now and would not be, or is not known."""
    mappings = CertificateMapping.objects.exclude(
        state=CertificateMapping.State.DISABLED
    ).select_related("user", "authority")
    for mapping in mappings.order_by("pk").iterator():
        certificate = mapping.client_certificate()
        host = (mapping.hosts.split() or [""])[0].lstrip(".")
        if certificate is not None:
            yield _compare(
                "mapping",
                mapping,
                str(mapping),
                mapping.user,
                certificate,
                host,
                without,
                at,
            )
        elif not mapping.seen_certificates.exists():
            yield _guess(mapping, without, at)
    seen = SeenCertificate.objects.select_related("user").order_by("pk")
    for one in seen.iterator():
        yield _compare(
            "seen_certificate",
            one,
            str(one),
            one.user,
            one.client_certificate(),
            one.host,
            without,
            at,
        )


def _compare(
    what: str,
    row: CertificateMapping | SeenCertificate,
    name: str,
    user: Any,
    certificate: ClientCertificate,
    host: str,
    without: frozenset[Any],
    at: dt.datetime,
) -> Row | None:
    """Return what would become of a certificate that is let in now, if it is refused.

    Both times by ``evaluate()`` itself: what was found in the database is changed in
    memory, so there is no second opinion and nothing that has to be rolled back.
    """

    def leave_out(found: Found) -> None:
        found.leave_out(without)

    now = _decide(certificate, host, timezone.now(), None)
    then = _decide(certificate, host, at, leave_out)
    if not now.accepted or then.accepted:
        return None
    return Row(
        what,
        row.pk,
        one_line(name),
        _username(user),
        LOCKED_OUT,
        str(then.reason),
        one_line(then.detail),
    )


def _guess(
    mapping: CertificateMapping, without: frozenset[Any], at: dt.datetime
) -> Row | None:
    """Return what can be said of a mapping whose certificate nobody has seen."""
    outcome, reason = UNKNOWN, "no certificate is stored, and none was seen"
    if mapping.authority_id in without:
        outcome, reason = LOCKED_OUT, "its authority would be gone"
    elif mapping.valid_until is not None and mapping.valid_until <= at:
        outcome, reason = LOCKED_OUT, "it would have ended"
    return Row(
        "mapping",
        mapping.pk,
        one_line(str(mapping)),
        _username(mapping.user),
        outcome,
        "",
        reason,
    )


def _decide(
    certificate: ClientCertificate, host: str, at: dt.datetime, adapt: Adapt | None
) -> Decision:
    proxy = conf.CLIENTCERT_PROXY
    verified = conf.CLIENTCERT_PROXY_VERIFIES and proxy.verdict is not None
    presented = Presented(
        proxy,
        verdict=proxy.success if verified else None,
        certificates=(certificate.der,),
    )
    return evaluate(presented, host=host, at=at, adapt=adapt)


def _username(user: Any) -> str:
    return visible(str(user.get_username()))


def _as_json(row: Row) -> dict[str, Any]:
    told = row._asdict()
    del told["outcome"]
    return told


def _print(command: Command, locked_out: list[Row], unknown: list[Row]) -> None:
    for title, rows in (
        ("Would be locked out", locked_out),
        ("Cannot be told", unknown),
    ):
        if not rows:
            continue
        command.say(f"{title}:")
        width = max(len(str(one.id)) for one in rows)
        for one in rows:
            what = one.what.replace("_", " ")
            why = ": ".join(text for text in (one.reason, one.detail) if text)
            command.say(f"  {what:<16} {one.id!s:>{width}}  {one.user}  {one.name}")
            command.say(f"  {'':<16} {'':>{width}}  {why}")
