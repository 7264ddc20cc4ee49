"""Whether a certificate is revoked, given the lists that are loaded (RFC 5280, 6.3).

Pure: the lists are ``CRLInfo``, the entries only those that somebody has looked up
by serial number, and the time is an argument. ``lookups()`` says what to look up.

What cannot be established is unknown, never good. What a list has said is believed
for longer than its silence: an entry in a list that has become stale still revokes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from django_clientcert.exceptions import Reason, Refusal
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.paths import Path
from django_clientcert.x509.text import show_day, show_minute

from .problems import show_subject
from .reading import LEEWAY, MAX_AGE, CRLInfo
from .reasons import ALL_REASONS, RevocationReason, show_reasons
from .scopes import Scope
from .signers import SignerPaths
from .structure import Entry

# Fingerprint of the list and serial number: what that list says of it
Hits = Mapping[tuple[str, int], Entry]

# How far the keys that sign lists may lead away from the path: the signer of a
# list for the path, and the signer of a list for that one's path.
MAX_SIGNER_DEPTH = 2


class RevocationPolicy(str, Enum):
    """What an authority asks of revocation lists."""

    OFF = "off"
    IF_LOADED = "if_loaded"
    REQUIRED = "required"

    def __str__(self) -> str:
        return self.value


class Outcome(str, Enum):
    """What is known of one certificate."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Status:
    """What the lists say of one certificate, and why.

    ``detail`` is for operators. ``reason`` and ``revoked_at`` are the entry's;
    ``fresh_until`` is when the first list that a good status rests on becomes stale.
    """

    outcome: Outcome
    detail: str
    reason: RevocationReason | None = None
    revoked_at: dt.datetime | None = None
    fresh_until: dt.datetime | None = None


def collect_hits(rows: Iterable[tuple[str, Entry]]) -> dict[tuple[str, int], Entry]:
    """Return entries that were looked up, by list fingerprint and serial number.

    Where a list speaks of one serial number twice, what revokes it counts.
    """
    hits: dict[tuple[str, int], Entry] = {}
    for fingerprint, entry in rows:
        known = hits.get((fingerprint, entry.serial))
        if known is None or known.reason is RevocationReason.REMOVE_FROM_CRL:
            hits[fingerprint, entry.serial] = entry
    return hits


def status(
    certificate: ClientCertificate,
    issuer: ClientCertificate,
    lists: Sequence[CRLInfo],
    hits: Hits,
    *,
    at: dt.datetime,
    max_age: dt.timedelta = MAX_AGE,
    other_keys: Mapping[bytes, bool] | None = None,
) -> Status:
    """Return what *lists* say at *at* of *certificate*, which *issuer* issued.

    Lists of another issuer or key are left alone: a serial number is unique for one
    CA only. *other_keys* are keys (SHA-256) that sign lists in the issuer's name as
    well, and whether their lists may also clear a certificate or only revoke it;
    ``check_path()`` finds them.

    Raises:
        CertificateParseError: what has to be read of a certificate cannot be.
    """
    name = hashlib.sha256(issuer.subject_der).digest()
    named = [one for one in lists if one.issuer_name == name]
    return _status(certificate, issuer, named, hits, at, max_age, other_keys or {})


def _status(
    certificate: ClientCertificate,
    issuer: ClientCertificate,
    named: Sequence[CRLInfo],
    hits: Hits,
    at: dt.datetime,
    max_age: dt.timedelta,
    other_keys: Mapping[bytes, bool],
) -> Status:
    """See status(); *named* are the lists of the issuer's name."""
    own_key = issuer.public_key_bytes
    judged = [
        _judge(group, certificate, hits, at, max_age)
        for group in _groups(
            one
            for one in named
            if one.issuer_key == own_key
            or (one.issuer_key in other_keys and not one.own_key_only)
        )
    ]
    for one in judged:
        if one.entry is not None:
            return _revoked(one.entry, one.source, issuer)
    # A CA that signs lists with each of its keys for that key's certificates
    # looks like one that has changed its key. So where the issuer's own key has
    # signed a list that speaks of the certificate, another's silence says nothing.
    in_scope = [one for one in judged if one.reasons is not None]
    with_own_key = [one for one in in_scope if one.key == own_key]
    relevant = with_own_key or [one for one in in_scope if other_keys[one.key]]
    speaking = [one for one in relevant if not one.problem]
    covered: frozenset[RevocationReason] = frozenset()
    for one in speaking:
        covered |= one.reasons or frozenset()
    if covered >= ALL_REASONS:
        fresh_until = min([one.fresh_until for one in speaking])
        return Status(
            Outcome.GOOD,
            f"not listed; that counts until {show_minute(fresh_until)}",
            fresh_until=fresh_until,
        )
    shown = show_subject(issuer)
    if not named:
        why = f"no revocation list of {shown} is loaded"
    elif not judged:
        why = f"the lists of {shown} that are loaded are signed with another key"
    elif not in_scope:
        scopes = dict.fromkeys(str(one.scope) for one in judged)
        why = (
            f"the lists of {shown} that are loaded do not speak of this certificate "
            f"({'; '.join(scopes)})"
        )
    elif not relevant:
        why = f"the lists of {shown} are signed by somebody who may be revoked"
    elif len(speaking) < len(relevant):
        problems = dict.fromkeys(one.problem for one in relevant if one.problem)
        why = f"{'; '.join(problems)} (lists of {shown})"
    else:
        why = f"the lists of {shown} only cover {show_reasons(covered)}"
    return Status(Outcome.UNKNOWN, why)


def _revoked(entry: Entry, source: CRLInfo, issuer: ClientCertificate) -> Status:
    since = "" if entry.revoked_at is None else f" since {show_day(entry.revoked_at)}"
    reason = "" if entry.reason is None else f" ({entry.reason.rfc_name})"
    return Status(
        Outcome.REVOKED,
        f"revoked{since}{reason}, says {source.label()} of {show_subject(issuer)}",
        reason=entry.reason,
        revoked_at=entry.revoked_at,
    )


class _Judgement(NamedTuple):
    """What the lists of one key and scope say together."""

    key: bytes
    scope: Scope
    # None: the certificate is not in the scope
    reasons: frozenset[RevocationReason] | None
    # Why its silence says nothing; empty where it does
    problem: str
    fresh_until: dt.datetime
    entry: Entry | None
    source: CRLInfo


def _groups(lists: Iterable[CRLInfo]) -> list[list[CRLInfo]]:
    """Return the lists that build on each other: of one key and one scope."""
    groups: dict[tuple[bytes, bytes], list[CRLInfo]] = {}
    for one in lists:
        groups.setdefault((one.issuer_key, one.scope.digest), []).append(one)
    return list(groups.values())


def _judge(
    group: Sequence[CRLInfo],
    certificate: ClientCertificate,
    hits: Hits,
    at: dt.datetime,
    max_age: dt.timedelta,
) -> _Judgement:
    """Combine the newest complete list with the delta lists behind it (5.2.4)."""
    serial = certificate.serial_number
    complete, deltas = _sort(group)
    chain = _chain(complete, deltas, at, max_age) if deltas else []
    last = chain[-1] if chain else complete or deltas[-1]
    entry = None if complete is None else hits.get((complete.fingerprint, serial))
    source = complete
    for delta in deltas:
        said = hits.get((delta.fingerprint, serial))
        if said is None:
            continue
        if said.reason is not RevocationReason.REMOVE_FROM_CRL:
            entry, source = said, delta
        elif (
            delta in chain
            and entry is not None
            and entry.reason is RevocationReason.CERTIFICATE_HOLD
        ):
            # The only way out of a list, and only of a hold (5.3.1)
            entry = None
    fresh_until = max((complete or last).expires(max_age), last.expires(max_age))
    return _Judgement(
        key=last.issuer_key,
        scope=last.scope,
        reasons=last.scope.reasons_for(certificate),
        problem=_problem(complete, last, deltas, fresh_until, at),
        fresh_until=fresh_until,
        entry=entry,
        source=source or last,
    )


def _sort(group: Sequence[CRLInfo]) -> tuple[CRLInfo | None, list[CRLInfo]]:
    """Return the newest complete list, and the delta lists that are not older."""
    complete = None
    for one in group:
        if one.base_number is None and (
            complete is None
            or (one.this_update, one.number or 0)
            > (complete.this_update, complete.number or 0)
        ):
            complete = one
    least = 0 if complete is None else complete.number or 0
    deltas = [
        one
        for one in group
        if one.base_number is not None and (one.number or 0) >= least
    ]
    if len(deltas) > 1:
        deltas.sort(key=lambda one: (one.number or 0, one.this_update))
    return complete, deltas


def _chain(
    complete: CRLInfo | None,
    deltas: Sequence[CRLInfo],
    at: dt.datetime,
    max_age: dt.timedelta,
) -> list[CRLInfo]:
    """Return the delta lists that continue *complete* without a gap (6.3.3 (c)).

    The last one is not stale; those before it may be, it has taken them over.
    """
    chain: list[CRLInfo] = []
    reached = None if complete is None else complete.number
    if reached is None:
        return chain
    for delta in deltas:
        if (delta.base_number or 0) <= reached < (delta.number or 0):
            chain.append(delta)
            reached = delta.number or 0
    while chain and not _is_fresh(chain[-1], at, max_age):
        chain.pop()
    return chain


def _is_fresh(one: CRLInfo, at: dt.datetime, max_age: dt.timedelta) -> bool:
    return one.this_update <= at + LEEWAY and at <= one.expires(max_age)


def _problem(
    complete: CRLInfo | None,
    last: CRLInfo,
    deltas: Sequence[CRLInfo],
    fresh_until: dt.datetime,
    at: dt.datetime,
) -> str:
    """Return why the silence of the lists says nothing, or an empty text."""
    if complete is None:
        return (
            f"{last.label()} is loaded without the complete list that it builds on "
            f"(number {last.base_number} or later)"
        )
    if last.this_update > at + LEEWAY:
        return f"{last.label()} begins on {show_minute(last.this_update)}"
    if at <= fresh_until:
        return ""
    problem = f"{last.label()} is stale since {show_minute(fresh_until)}"
    gap = next((one for one in deltas if (one.number or 0) > (last.number or 0)), None)
    if gap is not None and _is_fresh(gap, at, dt.timedelta(0)):
        problem += (
            f", and {gap.label()} builds on number {gap.base_number}, which is missing"
        )
    return problem


# --- the whole path --------------------------------------------------------------


def check_path(
    path: Path,
    lists: Sequence[CRLInfo],
    hits: Hits,
    *,
    at: dt.datetime,
    policy: RevocationPolicy,
    max_age: dt.timedelta = MAX_AGE,
    signers: SignerPaths | None = None,
) -> tuple[Status, ...]:
    """Return the status of every certificate of *path* but the anchor, leaf first.

    *signers* (the authority's ``PathValidator``) finds whoever signs lists in the
    name of a CA with another key than its certificates: its certificate must lead
    to the same anchor and be no more revoked than *policy* allows.

    Raises:
        Refusal: ``revoked`` where one is; ``revocation_unknown`` where nothing is
            known of one, and *policy* requires it.
        CertificateParseError: what has to be read of a certificate cannot be.
    """
    if policy is RevocationPolicy.OFF:
        return ()
    check = _PathCheck(lists, hits, at, policy, max_age, signers)
    found = check.statuses(path)
    for outcome, reason in (
        (Outcome.REVOKED, Reason.REVOKED),
        (Outcome.UNKNOWN, Reason.REVOCATION_UNKNOWN),
    ):
        for certificate, one in zip(path.certificates, found, strict=False):
            if one.outcome is outcome and not check.passes(one):
                raise Refusal(
                    reason,
                    f"{show_subject(certificate)}: {one.detail}",
                )
    return found


def lookups(
    path: Path,
    lists: Sequence[CRLInfo],
    *,
    at: dt.datetime,
    signers: SignerPaths | None = None,
) -> frozenset[tuple[str, int]]:
    """Return what ``check_path()`` may ask for: list fingerprints and serials.

    Without lists of other keys that is one serial number for each certificate, in
    the lists of its issuer.
    """
    check = _PathCheck(lists, {}, at, RevocationPolicy.OFF, MAX_AGE, signers)
    return frozenset(check.lookups(path, frozenset()))


class _PathCheck:
    """The check of one path: the lists by the name of their issuer, and the rest."""

    def __init__(
        self,
        lists: Sequence[CRLInfo],
        hits: Hits,
        at: dt.datetime,
        policy: RevocationPolicy,
        max_age: dt.timedelta,
        signers: SignerPaths | None,
    ) -> None:
        self.by_name: dict[bytes, list[CRLInfo]] = {}
        for one in lists:
            self.by_name.setdefault(one.issuer_name, []).append(one)
        self.hits = hits
        self.at = at
        self.policy = policy
        self.max_age = max_age
        self.signers = signers

    def passes(self, one: Status) -> bool:
        """Tell whether the policy lets a certificate of this status pass."""
        if self.policy is RevocationPolicy.REQUIRED:
            return one.outcome is Outcome.GOOD
        return one.outcome is not Outcome.REVOKED

    def statuses(
        self, path: Path, trail: frozenset[bytes] = frozenset()
    ) -> tuple[Status, ...]:
        """Return the status of every certificate of *path* but the anchor.

        *trail* are the keys of the signers that the check came along.
        """
        anchor = path.certificates[-1]
        found = []
        for certificate, issuer in _links(path):
            named = self.lists_of(issuer)
            other_keys = self.other_keys(issuer, named, anchor, trail)
            found.append(
                _status(
                    certificate,
                    issuer,
                    named,
                    self.hits,
                    self.at,
                    self.max_age,
                    other_keys,
                )
            )
        return tuple(found)

    def lists_of(self, issuer: ClientCertificate) -> list[CRLInfo]:
        """Return the lists of an issuer's name, whatever key signed them."""
        return self.by_name.get(hashlib.sha256(issuer.subject_der).digest(), [])

    def other_keys(
        self,
        issuer: ClientCertificate,
        named: Sequence[CRLInfo],
        anchor: ClientCertificate,
        trail: frozenset[bytes],
    ) -> dict[bytes, bool]:
        """Return the other keys that sign for *issuer*, and whether to rely on them."""
        found: dict[bytes, bool] = {}
        for key, path in self.signer_paths(issuer, named, trail):
            if _same_key(path.certificates[-1], anchor):
                reliable = all(map(self.passes, self.statuses(path, trail | {key})))
                found[key] = found.get(key, False) or reliable
        return found

    def signer_paths(
        self,
        issuer: ClientCertificate,
        named: Sequence[CRLInfo],
        trail: frozenset[bytes],
    ) -> Iterator[tuple[bytes, Path]]:
        """Yield the other keys with lists in the issuer's name, with their paths."""
        if self.signers is None or len(trail) >= MAX_SIGNER_DEPTH:
            return
        own_key = issuer.public_key_bytes
        keys = {
            one.issuer_key
            for one in named
            if one.issuer_key != own_key and not one.own_key_only
        }
        for key in sorted(keys - trail):
            for path in self.signers.signer_paths(issuer.subject_der, key, self.at):
                yield key, path

    def lookups(self, path: Path, trail: frozenset[bytes]) -> Iterator[tuple[str, int]]:
        """Yield what ``statuses()`` may ask for."""
        for certificate, issuer in _links(path):
            named = self.lists_of(issuer)
            for one in named:
                yield one.fingerprint, certificate.serial_number
            for key, other in self.signer_paths(issuer, named, trail):
                yield from self.lookups(other, trail | {key})


def _links(path: Path) -> Iterator[tuple[ClientCertificate, ClientCertificate]]:
    """Yield each certificate of a path with its issuer."""
    return zip(path.certificates, path.certificates[1:], strict=False)


def _same_key(one: ClientCertificate, other: ClientCertificate) -> bool:
    """Tell whether two anchors are the same CA: an anchor is a name and a key."""
    return (
        one.subject_der == other.subject_der
        and one.public_key_bytes == other.public_key_bytes
    )
