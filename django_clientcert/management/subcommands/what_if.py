"""``clientcert what-if``: who would be locked out, before anything is changed."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
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
from django_clientcert.management.progress import ProgressBar
from django_clientcert.management.text import one_line, show_moment
from django_clientcert.models import CertificateMapping, SeenCertificate
from django_clientcert.presented import Presented
from django_clientcert.revoking import certificate_of

if TYPE_CHECKING:
    from django_clientcert.management.commands.clientcert import Command

LOCKED_OUT = "locked_out"
REFUSED_NOW = "refused_now"
STAYS = "stays"
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
    ``examined`` and ``refused_now`` (how many, of which not let in today either),
    ``locked_out`` and ``unknown``: lists of objects with ``what`` (``mapping`` or
    ``seen_certificate``), ``id``, ``name``, ``user``, ``reason`` and ``detail``.
    Unknown is what cannot be tried: a mapping without a certificate, of which none
    was seen.

    Raises:
        CommandError: somebody would be locked out, or there is nothing to ask.
    """
    if not options["without"] and options["at"] is None:
        raise CommandError("Give --without-authority, --at or both.", returncode=2)
    without = {find_authority(name).pk for name in options["without"]}
    at = timezone.now() if options["at"] is None else options["at"].at
    bar = ProgressBar(command.stderr, "examining", quiet=options["verbosity"] == 0)
    rows = list(_examine(frozenset(without), at, bar))
    bar.finish()
    by_outcome = Counter(one.outcome for one in rows)
    locked_out = [one for one in rows if one.outcome == LOCKED_OUT]
    unknown = [one for one in rows if one.outcome == UNKNOWN]
    if options["json"]:
        told = {
            "at": at.isoformat(),
            "without_authorities": [visible(one) for one in options["without"]],
            "examined": len(rows),
            "refused_now": by_outcome[REFUSED_NOW],
            "locked_out": [_as_json(one) for one in locked_out],
            "unknown": [_as_json(one) for one in unknown],
        }
        command.say(json.dumps(told, indent=2, default=str))
    else:
        _print(command, locked_out, unknown)
        command.say(
            f"Of {len(rows)}: {by_outcome[LOCKED_OUT]} would be locked out at "
            f"{show_moment(at)}, {by_outcome[STAYS]} would not, {by_outcome[UNKNOWN]} "
            f"cannot be told, {by_outcome[REFUSED_NOW]} are not let in today either."
        )
    if locked_out:
        raise CommandError(f"{len(locked_out)} would be locked out.")


def _examine(
    without: frozenset[Any], at: dt.datetime, bar: ProgressBar
) -> Iterator[Row]:
    """Yield a row for each mapping that is not disabled, and each certificate seen."""
    mappings = CertificateMapping.objects.exclude(
        state=CertificateMapping.State.DISABLED
    ).select_related("user", "authority")
    seen = SeenCertificate.objects.select_related("user")
    total, done = mappings.count() + seen.count(), 0
    for mapping in mappings.order_by("pk").iterator():
        certificate = certificate_of(mapping)
        host = (mapping.hosts.split() or [""])[0].lstrip(".")
        yield (
            _guess(mapping, without, at)
            if certificate is None
            else _compare(mapping, certificate, host, without, at)
        )
        bar(done := done + 1, total)
    for one in seen.order_by("pk").iterator():
        yield _compare(one, one.client_certificate(), one.host, without, at)
        bar(done := done + 1, total)


def _compare(
    row: CertificateMapping | SeenCertificate,
    certificate: ClientCertificate,
    host: str,
    without: frozenset[Any],
    at: dt.datetime,
) -> Row:
    """Return what would become of a certificate.

    Both times by ``evaluate()`` itself: what was found in the database is changed in
    memory, so there is no second opinion and nothing that has to be rolled back.
    """

    def leave_out(found: Found) -> None:
        found.leave_out(without)

    now = _decide(certificate, host, timezone.now(), None)
    if not now.accepted:
        return _row(row, REFUSED_NOW, str(now.reason), now.detail)
    then = _decide(certificate, host, at, leave_out)
    if then.accepted:
        return _row(row, STAYS)
    return _row(row, LOCKED_OUT, str(then.reason), then.detail)


def _guess(
    mapping: CertificateMapping, without: frozenset[Any], at: dt.datetime
) -> Row:
    """Return what can be said of a mapping whose certificate nobody has seen."""
    now = timezone.now()
    begin, end = mapping.valid_from or now, mapping.valid_until
    if begin > now or (end is not None and end <= now):
        return _row(mapping, REFUSED_NOW)
    if mapping.authority_id in without:
        return _row(mapping, LOCKED_OUT, detail="its authority would be gone")
    if end is not None and end <= at:
        return _row(mapping, LOCKED_OUT, detail="it would have ended")
    return _row(mapping, UNKNOWN, detail="no certificate is stored, and none was seen")


def _row(
    row: CertificateMapping | SeenCertificate,
    outcome: str,
    reason: str = "",
    detail: str = "",
) -> Row:
    return Row(
        "mapping" if isinstance(row, CertificateMapping) else "seen_certificate",
        row.pk,
        one_line(str(row)),
        _username(row.user),
        outcome,
        reason,
        one_line(detail),
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
