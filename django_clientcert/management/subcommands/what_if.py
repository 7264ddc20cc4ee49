"""List who would lose access, before you change anything.

Lists the mappings, and the certificates accepted recently, that would be
refused without an authority, at another time, under another revocation policy,
or all of these. Nothing is changed.

Examples:
  manage.py clientcert what-if --without-authority "Old CA"
  manage.py clientcert what-if --at 2027-01-01 --json
  manage.py clientcert what-if --policy Partners=required

Exit status: 0 nobody would lose access, 1 somebody would, 2 wrong usage.
"""

# Every answer is that of ``evaluate()``. The objects that it has read from the
# database are changed in memory before it decides, so there is no transaction that
# must be rolled back, nothing can be written by accident, and databases do not differ.

from __future__ import annotations

import argparse
import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from django.core.management.base import CommandError
from django.utils import timezone

from django_clientcert.evaluation.lookup import LookupResult
from django_clientcert.evaluation.presented import present_certificates, success_verdict
from django_clientcert.evaluation.run import CanAuthenticate, evaluate
from django_clientcert.explaining.asking import user_rule
from django_clientcert.explaining.report import one_line, username_of
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    SeenCertificate,
)
from django_clientcert.trust.revoke import certificate_of
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.text import show_moment

from .console.arguments import JSON, Arguments, moment
from .console.command import ClientCertCommand, UsageError
from .console.lookups import find_authority
from .console.progress import ProgressBar

LOCKED_OUT = "locked_out"
REFUSED_NOW = "refused_now"
STAYS = "stays"
UNKNOWN = "unknown"

# How many of each are listed, but for --json
MAX_LISTED = 1000


class Effect(NamedTuple):
    """What a change does to a mapping, or to a certificate that was seen."""

    row: CertificateMapping | SeenCertificate
    outcome: str
    reason: str = ""
    detail: str = ""

    def facts(self) -> dict[str, Any]:
        """Return it as --json prints it."""
        is_mapping = isinstance(self.row, CertificateMapping)
        return {
            "what": "mapping" if is_mapping else "seen_certificate",
            "id": self.row.pk,
            "name": one_line(str(self.row)),
            "user": username_of(self.row.user),
            "reason": self.reason,
            "detail": one_line(self.detail),
        }


@dataclass(frozen=True)
class WhatIf:
    """The change to try: another time, fewer authorities, other policies."""

    at: dt.datetime
    without: frozenset[Any]
    # By the authority's primary key
    policies: Mapping[Any, str]
    can_authenticate: CanAuthenticate

    def override(self, result: LookupResult) -> None:
        """Apply the change to what was read from the database."""
        result.leave_out(self.without)
        authorities = [mapping.authority for mapping in result.mappings]
        for authority in [*result.authorities, *authorities]:
            if authority is not None and authority.pk in self.policies:
                authority.revocation_policy = self.policies[authority.pk]


def _name_and_policy(text: str) -> tuple[str, str]:
    name, _, policy = text.rpartition("=")
    if not name or policy not in CertificateAuthority.Policy.values:
        raise argparse.ArgumentTypeError(
            "write the name of an authority and a policy, like Partners=required; "
            f"the policies are {', '.join(CertificateAuthority.Policy.values)}"
        )
    return name, policy


ARGUMENTS: Arguments = {
    "--without-authority NAME ...": "as if this authority did not exist",
    "--at DATE": {
        "help": "at this moment (ISO 8601; UTC if it names no time zone) instead of "
        "now",
        "type": moment,
    },
    "--policy NAME=POLICY ...": {
        "help": "as if this authority had this revocation policy (off, if_loaded, "
        "required)",
        "type": _name_and_policy,
    },
    **JSON,
}


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Print who would be locked out.

    As JSON: one object with ``at`` (ISO 8601, UTC), ``without_authorities``,
    ``policies`` (by the names of authorities), ``examined`` and ``refused_now`` (the
    numbers of all, and of those refused today already), ``locked_out`` and
    ``unknown``: lists of objects with ``what`` (``mapping`` or
    ``seen_certificate``), ``id``, ``name``, ``user``, ``reason`` and ``detail``.
    Unknown is what cannot be tried: a mapping without a certificate that has accepted
    none.

    Raises:
        CommandError: somebody would be locked out, or no change was given.
    """
    without, policies = options["without_authority"], dict(options["policy"])
    if not without and not policies and options["at"] is None:
        raise UsageError(
            "Give --without-authority, --at or --policy, or several of them."
        )
    can_authenticate, why = user_rule()
    if why:
        command.warn(why)
    change = WhatIf(
        at=timezone.now() if options["at"] is None else options["at"].at,
        without=frozenset(find_authority(name).pk for name in without),
        policies={find_authority(name).pk: policies[name] for name in policies},
        can_authenticate=can_authenticate,
    )
    counts: Counter[str] = Counter()
    # There may be a million of them, so most are only counted.
    effects: dict[str, list[dict[str, Any]]] = {LOCKED_OUT: [], UNKNOWN: []}
    with command.progress("examining") as bar:
        for effect in _examine(change, bar):
            counts[effect.outcome] += 1
            listed = effects.get(effect.outcome)
            if listed is not None and (options["json"] or len(listed) < MAX_LISTED):
                listed.append(effect.facts())
    if options["json"]:
        command.say_json(
            {
                "at": change.at.isoformat(),
                "without_authorities": [visible(name) for name in without],
                "policies": {visible(name): policies[name] for name in policies},
                "examined": counts.total(),
                "refused_now": counts[REFUSED_NOW],
                **effects,
            }
        )
    else:
        for title, outcome in (
            ("Would be locked out", LOCKED_OUT),
            ("Cannot be told", UNKNOWN),
        ):
            command.say_lines(_lines(title, effects[outcome], counts[outcome]))
        command.say(
            f"Of {counts.total()}: {counts[LOCKED_OUT]} would be locked out at "
            f"{show_moment(change.at)}, {counts[STAYS]} would not, {counts[UNKNOWN]} "
            f"cannot be told, {counts[REFUSED_NOW]} are refused today already."
        )
    if counts[LOCKED_OUT]:
        raise CommandError(f"{counts[LOCKED_OUT]} would be locked out.")


def _examine(change: WhatIf, bar: ProgressBar) -> Iterator[Effect]:
    """Yield the effect on each mapping that is enabled, and each certificate seen."""
    mappings = CertificateMapping.objects.exclude(
        state=CertificateMapping.State.DISABLED
    ).select_related("user", "authority")
    seen = SeenCertificate.objects.select_related("user")
    total, done = mappings.count() + seen.count(), 0
    with_seen = set(seen.values_list("mapping", flat=True))
    for mapping in mappings.order_by("pk").iterator():
        # Most mappings without a certificate were never used, and take no query.
        is_known = mapping.certificate is not None or mapping.pk in with_seen
        certificate = certificate_of(mapping) if is_known else None
        host = mapping.first_host
        yield (
            _guess(mapping, change)
            if certificate is None
            else _compare(mapping, certificate, host, change)
        )
        bar(done := done + 1, total)
    for row in seen.order_by("pk").iterator():
        yield _compare(row, row.client_certificate(), row.host, change)
        bar(done := done + 1, total)


def _compare(
    row: CertificateMapping | SeenCertificate,
    certificate: ClientCertificate,
    host: str,
    change: WhatIf,
) -> Effect:
    """Return the effect of *change* on a certificate."""
    presented = present_certificates([certificate], verdict=success_verdict())
    decide = partial(
        evaluate, presented, host=host, can_authenticate=change.can_authenticate
    )
    now = decide()
    if not now.accepted:
        return Effect(row, REFUSED_NOW, str(now.reason), now.detail)
    then = decide(at=change.at, overrides=change.override)
    if then.accepted:
        return Effect(row, STAYS)
    return Effect(row, LOCKED_OUT, str(then.reason), then.detail)


def _guess(mapping: CertificateMapping, change: WhatIf) -> Effect:
    """Return the effect on a mapping whose certificate is not known."""
    now = timezone.now()
    begin, end = mapping.valid_from or now, mapping.valid_until
    if (
        begin > now
        or (end is not None and end <= now)
        or not change.can_authenticate(mapping.user)
        or (mapping.authority is None and not mapping.is_pin)
    ):
        return Effect(mapping, REFUSED_NOW)
    if mapping.authority_id in change.without:
        return Effect(mapping, LOCKED_OUT, detail="its authority would be gone")
    if end is not None and end <= change.at:
        return Effect(mapping, LOCKED_OUT, detail="it would have ended")
    return Effect(
        mapping, UNKNOWN, detail="no certificate is stored, and it has accepted none"
    )


def _lines(title: str, effects: list[dict[str, Any]], count: int) -> Iterator[str]:
    if not effects:
        return
    yield f"{title}:"
    width = max(len(str(facts["id"])) for facts in effects)
    for facts in effects:
        what = facts["what"].replace("_", " ")
        why = ": ".join(filter(None, (facts["reason"], facts["detail"])))
        yield f"  {what:<16} {facts['id']!s:>{width}}  {facts['user']}  {facts['name']}"
        yield f"  {'':<16} {'':>{width}}  {why}"
    if count > len(effects):
        yield f"  and {count - len(effects)} more; --json lists all"
