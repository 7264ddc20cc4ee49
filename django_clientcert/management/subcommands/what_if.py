"""``clientcert what-if``: who would be locked out, before anything is changed.

Every answer is that of ``evaluate()``, the only one there is. What it found in the
database is changed in memory before it decides: an authority is left out, or has
another policy. So there is no transaction that must not be forgotten to be rolled
back, nothing that could be written by accident, and no difference between databases.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from django.core.management.base import CommandError
from django.utils import timezone

from django_clientcert.evaluation import CanAuthenticate, evaluate
from django_clientcert.evaluation.lookup import LookupResult
from django_clientcert.evaluation.presented import present_certificates, success_verdict
from django_clientcert.management.console.arguments import moment
from django_clientcert.management.console.command import ClientCertCommand
from django_clientcert.management.console.files import refuse_private_keys
from django_clientcert.management.console.lookups import find_authority, find_user_rule
from django_clientcert.management.console.progress import ProgressBar
from django_clientcert.management.console.text import one_line, show_moment
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    SeenCertificate,
)
from django_clientcert.trust.revoke import certificate_of
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible

LOCKED_OUT = "locked_out"
REFUSED_NOW = "refused_now"
STAYS = "stays"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Question:
    """What is asked: at another time, without authorities, with other policies."""

    at: dt.datetime
    without: frozenset[Any]
    # By the authority's primary key
    policies: Mapping[Any, str]
    can_authenticate: CanAuthenticate

    def override(self, result: LookupResult) -> None:
        """Change what was looked up to what is asked about."""
        result.leave_out(self.without)
        asked = [
            *result.authorities,
            *(mapping.authority for mapping in result.mappings),
        ]
        for authority in asked:
            if authority is not None and authority.pk in self.policies:
                authority.revocation_policy = self.policies[authority.pk]


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
            "would be locked out without an authority, at another time, under another\n"
            "policy, or all of these. Nothing is changed."
        ),
        epilog=(
            "Examples:\n"
            '  manage.py clientcert what-if --without-authority "Old CA"\n'
            "  manage.py clientcert what-if --at 2027-01-01 --json\n"
            "  manage.py clientcert what-if --policy Partners=required\n"
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
        "--policy",
        action="append",
        default=[],
        dest="policies",
        type=_name_and_policy,
        metavar="NAME=POLICY",
        help="as if this authority had this revocation policy (off, if_loaded, "
        "required); may be repeated",
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object, for programs"
    )
    parser.set_defaults(run=run)


def _name_and_policy(text: str) -> tuple[str, str]:
    name, _, policy = text.rpartition("=")
    if not name or policy not in CertificateAuthority.Policy.values:
        raise argparse.ArgumentTypeError(
            "write the name of an authority and a policy, like Partners=required; "
            f"there are {', '.join(CertificateAuthority.Policy.values)}"
        )
    return name, policy


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Print who would be locked out.

    As JSON: one object with ``at`` (ISO 8601, UTC), ``without_authorities``,
    ``policies`` (by the names of authorities), ``examined`` and ``refused_now`` (how
    many, of which not let in today either), ``locked_out`` and ``unknown``: lists of
    objects with ``what`` (``mapping`` or ``seen_certificate``), ``id``, ``name``,
    ``user``, ``reason`` and ``detail``.
    Unknown is what cannot be tried: a mapping without a certificate, of which none
    was seen.

    Raises:
        CommandError: somebody would be locked out, or there is nothing to ask.
    """
    names = [*options["without"], *(name for name, _ in options["policies"])]
    if not names and options["at"] is None:
        raise CommandError(
            "Give --without-authority, --at, --policy or several.", returncode=2
        )
    refuse_private_keys(without_authority=" ".join(names))
    said: list[str] = []
    question = Question(
        at=timezone.now() if options["at"] is None else options["at"].at,
        without=frozenset(find_authority(name).pk for name in options["without"]),
        policies={find_authority(name).pk: one for name, one in options["policies"]},
        can_authenticate=find_user_rule(said),
    )
    for sentence in said:
        command.warn(sentence)
    at = question.at
    bar = ProgressBar(command.stderr, "examining", quiet=options["verbosity"] == 0)
    by_outcome: Counter[str] = Counter()
    # Those who stay may be hundreds of thousands: they are counted.
    told_of: dict[str, list[Row]] = {LOCKED_OUT: [], UNKNOWN: []}
    for row in _examine(question, bar):
        by_outcome[row.outcome] += 1
        if row.outcome in told_of:
            told_of[row.outcome].append(row)
    bar.finish()
    locked_out, unknown = told_of[LOCKED_OUT], told_of[UNKNOWN]
    examined = sum(by_outcome.values())
    if options["json"]:
        told = {
            "at": at.isoformat(),
            "without_authorities": [visible(one) for one in options["without"]],
            "policies": {visible(name): one for name, one in options["policies"]},
            "examined": examined,
            "refused_now": by_outcome[REFUSED_NOW],
            "locked_out": [_as_json(one) for one in locked_out],
            "unknown": [_as_json(one) for one in unknown],
        }
        command.say(json.dumps(told, indent=2, default=str))
    else:
        _print(command, locked_out, unknown)
        command.say(
            f"Of {examined}: {by_outcome[LOCKED_OUT]} would be locked out at "
            f"{show_moment(at)}, {by_outcome[STAYS]} would not, {by_outcome[UNKNOWN]} "
            f"cannot be told, {by_outcome[REFUSED_NOW]} are not let in today either."
        )
    if locked_out:
        raise CommandError(f"{len(locked_out)} would be locked out.")


def _examine(question: Question, bar: ProgressBar) -> Iterator[Row]:
    """Yield a row for each mapping that is not disabled, and each certificate seen."""
    mappings = CertificateMapping.objects.exclude(
        state=CertificateMapping.State.DISABLED
    ).select_related("user", "authority")
    seen = SeenCertificate.objects.select_related("user")
    total, done = mappings.count() + seen.count(), 0
    for mapping in mappings.order_by("pk").iterator():
        certificate = certificate_of(mapping)
        host = mapping.first_host
        yield (
            _guess(mapping, question)
            if certificate is None
            else _compare(mapping, certificate, host, question)
        )
        bar(done := done + 1, total)
    for one in seen.order_by("pk").iterator():
        yield _compare(one, one.client_certificate(), one.host, question)
        bar(done := done + 1, total)


def _compare(
    row: CertificateMapping | SeenCertificate,
    certificate: ClientCertificate,
    host: str,
    question: Question,
) -> Row:
    """Return what would become of a certificate."""
    presented = present_certificates([certificate], verdict=success_verdict())
    decide = partial(
        evaluate, presented, host=host, can_authenticate=question.can_authenticate
    )
    now = decide()
    if not now.accepted:
        return _row(row, REFUSED_NOW, str(now.reason), now.detail)
    then = decide(at=question.at, overrides=question.override)
    if then.accepted:
        return _row(row, STAYS)
    return _row(row, LOCKED_OUT, str(then.reason), then.detail)


def _guess(mapping: CertificateMapping, question: Question) -> Row:
    """Return what can be said of a mapping whose certificate nobody has seen."""
    now = timezone.now()
    begin, end = mapping.valid_from or now, mapping.valid_until
    if (
        begin > now
        or (end is not None and end <= now)
        or not question.can_authenticate(mapping.user)
        or (mapping.authority is None and not mapping.is_pin)
    ):
        return _row(mapping, REFUSED_NOW)
    if mapping.authority_id in question.without:
        return _row(mapping, LOCKED_OUT, detail="its authority would be gone")
    if end is not None and end <= question.at:
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


def _username(user: Any) -> str:
    return visible(str(user.get_username()))


def _as_json(row: Row) -> dict[str, Any]:
    told = row._asdict()
    del told["outcome"]
    return told


def _print(
    command: ClientCertCommand, locked_out: list[Row], unknown: list[Row]
) -> None:
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
