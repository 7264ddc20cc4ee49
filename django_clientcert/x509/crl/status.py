"""Whether a certificate is revoked, given the CRLs that are loaded (RFC 5280, 6.3).

Pure: the CRLs are ``CRLInfo``, the entries only those that the caller has looked up
by serial number, and the time is an argument. ``lookups()`` returns what to look up.

What cannot be established is unknown, never good. A CRL's entries are believed for
longer than its silence: an entry in a stale CRL still revokes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from django_clientcert.exceptions import Reason, Refusal, Word
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.paths import Path, PathValidator
from django_clientcert.x509.text import show_day, show_minute

from .problems import show_subject
from .reading import LEEWAY, CRLInfo
from .reasons import ALL_REASONS, RevocationReason, show_reasons
from .scopes import Scope
from .structure import Entry

# The entry of a serial number, by the CRL's fingerprint and that number
Hits = Mapping[tuple[str, int], Entry]

# How many steps the signers of CRLs may lead away from the path: the signer of a CRL
# for the path, and the signer of a CRL for that signer's path
MAX_SIGNER_DEPTH = 2


class RevocationPolicy(Word):
    """How strictly an authority applies CRLs."""

    OFF = "off"
    IF_LOADED = "if_loaded"
    REQUIRED = "required"


class Outcome(Word):
    """What is known of one certificate."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Status:
    """What the CRLs say of one certificate, and why.

    ``detail`` is for operators. ``reason`` and ``revoked_at`` are the entry's;
    ``fresh_until`` is when the first CRL that a good status relies on becomes stale.
    """

    outcome: Outcome
    detail: str
    reason: RevocationReason | None = None
    revoked_at: dt.datetime | None = None
    fresh_until: dt.datetime | None = None


def collect_hits(rows: Iterable[tuple[str, Entry]]) -> dict[tuple[str, int], Entry]:
    """Return entries that were looked up, by CRL fingerprint and serial number.

    If a CRL has two entries for one serial number, the one that revokes counts.
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
    crls: Sequence[CRLInfo],
    hits: Hits,
    *,
    at: dt.datetime,
    other_keys: Mapping[bytes, bool] | None = None,
) -> Status:
    """Return what *crls* say at *at* of *certificate*, which *issuer* issued.

    CRLs of another issuer or key are ignored: a serial number is unique for one
    CA only. *other_keys* are keys (SHA-256) that also sign CRLs in the issuer's name,
    and whether their CRLs may clear a certificate too or only revoke it;
    ``check_path()`` finds them.

    Raises:
        CertificateParseError: a part of a certificate that is needed is unreadable.
    """
    check = _Check(crls, hits, at)
    return check.status(certificate, issuer, other_keys or {})


def check_path(
    path: Path,
    crls: Sequence[CRLInfo],
    hits: Hits,
    *,
    at: dt.datetime,
    policy: RevocationPolicy,
    signers: PathValidator | None = None,
) -> tuple[Status, ...]:
    """Return the status of every certificate of *path* but the anchor, leaf first.

    *signers* (the authority's ``PathValidator``) finds who signs CRLs in the
    name of a CA with another key than its certificates: the signer's certificate must
    lead to the same anchor, and its own revocation status must satisfy *policy*.

    Raises:
        Refusal: ``revoked`` if one is; ``revocation_unknown`` if the status of one
            is unknown and *policy* requires it.
        CertificateParseError: a part of a certificate that is needed is unreadable.
    """
    if policy is RevocationPolicy.OFF:
        return ()
    check = _Check(crls, hits, at, policy, signers)
    statuses = check.statuses(path)
    for outcome, reason in (
        (Outcome.REVOKED, Reason.REVOKED),
        (Outcome.UNKNOWN, Reason.REVOCATION_UNKNOWN),
    ):
        for certificate, result in zip(path.certificates, statuses, strict=False):
            if result.outcome is outcome and not check.passes(result):
                raise Refusal(reason, f"{show_subject(certificate)}: {result.detail}")
    return statuses


def lookups(
    path: Path,
    crls: Sequence[CRLInfo],
    *,
    at: dt.datetime,
    signers: PathValidator | None = None,
) -> frozenset[tuple[str, int]]:
    """Return what ``check_path()`` may need: CRL fingerprints with serial numbers.

    Without CRLs of other keys that is one serial number per certificate, in
    the CRLs of its issuer.
    """
    check = _Check(crls, {}, at, signers=signers)
    return frozenset(check.lookups(path, frozenset()))


class _Judgement(NamedTuple):
    """What the CRLs of one key and scope say together."""

    key: bytes
    scope: Scope
    # None: the certificate is not in the scope
    reasons: frozenset[RevocationReason] | None
    # Why its silence proves nothing; empty if it does
    problem: str
    fresh_until: dt.datetime
    entry: Entry | None
    source: CRLInfo


@dataclass
class _Check:
    """The CRLs, by the name of their issuer, and what applies to all of them."""

    crls: Sequence[CRLInfo]
    hits: Hits
    at: dt.datetime
    policy: RevocationPolicy = RevocationPolicy.OFF
    signers: PathValidator | None = None
    by_name: dict[bytes, list[CRLInfo]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for crl in self.crls:
            self.by_name.setdefault(crl.issuer_name, []).append(crl)

    # --- the whole path

    def passes(self, status: Status) -> bool:
        """Return whether the policy accepts a certificate of this status."""
        if self.policy is RevocationPolicy.REQUIRED:
            return status.outcome is Outcome.GOOD
        return status.outcome is not Outcome.REVOKED

    def statuses(
        self, path: Path, trail: frozenset[bytes] = frozenset()
    ) -> tuple[Status, ...]:
        """Return the status of every certificate of *path* but the anchor.

        *trail* are the keys of the signers that the check has come through.
        """
        anchor = path.certificates[-1]
        return tuple(
            self.status(certificate, issuer, self.other_keys(issuer, anchor, trail))
            for certificate, issuer in _links(path)
        )

    def crls_of(self, issuer: ClientCertificate) -> list[CRLInfo]:
        """Return the CRLs of an issuer's name, whichever key signed them."""
        return self.by_name.get(hashlib.sha256(issuer.subject_der).digest(), [])

    def other_keys(
        self,
        issuer: ClientCertificate,
        anchor: ClientCertificate,
        trail: frozenset[bytes],
    ) -> dict[bytes, bool]:
        """Return the other keys that sign for *issuer*, and whether to rely on them."""
        keys: dict[bytes, bool] = {}
        for key, path in self.signer_paths(issuer, trail):
            if _same_key(path.certificates[-1], anchor):
                reliable = all(map(self.passes, self.statuses(path, trail | {key})))
                keys[key] = keys.get(key, False) or reliable
        return keys

    def signer_paths(
        self, issuer: ClientCertificate, trail: frozenset[bytes]
    ) -> Iterator[tuple[bytes, Path]]:
        """Yield the other keys with CRLs in the issuer's name, with their paths."""
        if self.signers is None or len(trail) >= MAX_SIGNER_DEPTH:
            return
        keys = {crl.issuer_key for crl in self.crls_of(issuer) if not crl.own_key_only}
        for key in sorted(keys - trail - {issuer.public_key_bytes}):
            for path in self.signers.signer_paths(issuer.subject_der, key, self.at):
                yield key, path

    def lookups(self, path: Path, trail: frozenset[bytes]) -> Iterator[tuple[str, int]]:
        """Yield what ``statuses()`` may need."""
        for certificate, issuer in _links(path):
            for crl in self.crls_of(issuer):
                yield crl.fingerprint, certificate.serial_number
            for key, other in self.signer_paths(issuer, trail):
                yield from self.lookups(other, trail | {key})

    # --- one certificate

    def status(
        self,
        certificate: ClientCertificate,
        issuer: ClientCertificate,
        other_keys: Mapping[bytes, bool],
    ) -> Status:
        """See status()."""
        own_key = issuer.public_key_bytes
        groups = _group(
            crl
            for crl in self.crls_of(issuer)
            if crl.issuer_key == own_key
            or (crl.issuer_key in other_keys and not crl.own_key_only)
        )
        judgements = [self.judge(group, certificate) for group in groups]
        for judgement in judgements:
            if judgement.entry is not None:
                return _revoked(judgement.entry, judgement.source, issuer)
        # A CA that signs CRLs with each of its keys for that key's certificates
        # looks like one that has changed its key. So if the issuer's own key has
        # signed a CRL that covers the certificate, another's silence proves nothing.
        in_scope = [
            judgement for judgement in judgements if judgement.reasons is not None
        ]
        with_own_key = [judgement for judgement in in_scope if judgement.key == own_key]
        relevant = with_own_key or [
            judgement for judgement in in_scope if other_keys[judgement.key]
        ]
        current = [judgement for judgement in relevant if not judgement.problem]
        covered = frozenset[RevocationReason]().union(
            *(judgement.reasons or () for judgement in current)
        )
        if covered >= ALL_REASONS:
            fresh_until = min(judgement.fresh_until for judgement in current)
            return Status(
                Outcome.GOOD,
                f"not revoked, according to CRLs that are current until "
                f"{show_minute(fresh_until)}",
                fresh_until=fresh_until,
            )
        shown = show_subject(issuer)
        if not self.crls_of(issuer):
            why = f"no CRL of {shown} is loaded"
        elif not judgements:
            why = f"the loaded CRLs of {shown} are signed with another key"
        elif not in_scope:
            scopes = "; ".join(
                dict.fromkeys(str(judgement.scope) for judgement in judgements)
            )
            why = f"the loaded CRLs of {shown} do not cover this certificate ({scopes})"
        elif not relevant:
            why = f"the CRLs of {shown} are signed by a key that may be revoked"
        elif problems := dict.fromkeys(
            judgement.problem for judgement in relevant if judgement.problem
        ):
            why = f"{'; '.join(problems)} (CRLs of {shown})"
        else:
            why = f"the CRLs of {shown} only cover {show_reasons(covered)}"
        return Status(Outcome.UNKNOWN, why)

    def judge(
        self, group: Sequence[CRLInfo], certificate: ClientCertificate
    ) -> _Judgement:
        """Combine the newest complete CRL with the delta CRLs after it (5.2.4)."""
        serial = certificate.serial_number
        complete, deltas = _sort(group)
        chain = self.chain(complete, deltas)
        last = chain[-1] if chain else complete or deltas[-1]
        source = complete or last
        entry = self.hits.get((source.fingerprint, serial)) if complete else None
        for delta in deltas:
            hit = self.hits.get((delta.fingerprint, serial))
            if hit is None:
                continue
            if hit.reason is not RevocationReason.REMOVE_FROM_CRL:
                entry, source = hit, delta
            elif (
                delta in chain
                and entry is not None
                and entry.reason is RevocationReason.CERTIFICATE_HOLD
            ):
                # The only way to lift a revocation, and only a hold (5.3.1)
                entry = None
        fresh_until = max(crl.expires() for crl in (complete or last, last))
        return _Judgement(
            key=last.issuer_key,
            scope=last.scope,
            reasons=last.scope.reasons_for(certificate),
            problem=self.problem(complete, last, deltas, fresh_until),
            fresh_until=fresh_until,
            entry=entry,
            source=source,
        )

    def chain(
        self, complete: CRLInfo | None, deltas: Sequence[CRLInfo]
    ) -> list[CRLInfo]:
        """Return the delta CRLs that continue *complete* without a gap (6.3.3 (c)).

        The last one is not stale; earlier ones may be, as it includes them.
        """
        chain: list[CRLInfo] = []
        if complete is None or complete.number is None:
            return chain
        reached = complete.number
        for delta in deltas:
            if (delta.base_number or 0) <= reached < (delta.number or 0):
                chain.append(delta)
                reached = delta.number or 0
        while chain and not self.is_fresh(chain[-1]):
            chain.pop()
        return chain

    def is_fresh(self, crl: CRLInfo) -> bool:
        """Return whether a CRL has begun and is not stale."""
        return crl.this_update <= self.at + LEEWAY and self.at <= crl.expires()

    def problem(
        self,
        complete: CRLInfo | None,
        last: CRLInfo,
        deltas: Sequence[CRLInfo],
        fresh_until: dt.datetime,
    ) -> str:
        """Return why the silence of the CRLs proves nothing, or an empty text."""
        if complete is None:
            return (
                f"{last.label()} is loaded without the complete CRL that it builds on "
                f"(number {last.base_number} or later)"
            )
        if last.this_update > self.at + LEEWAY:
            return f"{last.label()} is not valid until {show_minute(last.this_update)}"
        if self.at <= fresh_until:
            return ""
        problem = f"{last.label()} has been stale since {show_minute(fresh_until)}"
        later = (crl for crl in deltas if (crl.number or 0) > (last.number or 0))
        gap = next(later, None)
        if gap is not None and gap.next_update is not None and self.is_fresh(gap):
            problem += (
                f", and {gap.label()} builds on number {gap.base_number}, which is "
                "missing"
            )
        return problem


def _revoked(entry: Entry, source: CRLInfo, issuer: ClientCertificate) -> Status:
    since = "" if entry.revoked_at is None else f" since {show_day(entry.revoked_at)}"
    reason = "" if entry.reason is None else f" ({entry.reason.rfc_name})"
    return Status(
        Outcome.REVOKED,
        f"revoked{since}{reason}, according to {source.label()} of "
        f"{show_subject(issuer)}",
        reason=entry.reason,
        revoked_at=entry.revoked_at,
    )


def _group(crls: Iterable[CRLInfo]) -> list[list[CRLInfo]]:
    """Return the CRLs that build on each other: of one key and one scope."""
    groups: dict[tuple[bytes, ...], list[CRLInfo]] = {}
    for crl in crls:
        groups.setdefault(crl.series, []).append(crl)
    return list(groups.values())


def _sort(group: Sequence[CRLInfo]) -> tuple[CRLInfo | None, list[CRLInfo]]:
    """Return the newest complete CRL, and the delta CRLs that are not older."""
    complete = max(
        (crl for crl in group if not crl.is_delta),
        key=lambda crl: (crl.this_update, crl.number or 0),
        default=None,
    )
    least = 0 if complete is None else complete.number or 0
    deltas = [crl for crl in group if crl.is_delta and (crl.number or 0) >= least]
    deltas.sort(key=lambda crl: (crl.number or 0, crl.this_update))
    return complete, deltas


def _links(path: Path) -> Iterator[tuple[ClientCertificate, ClientCertificate]]:
    """Yield each certificate of a path with its issuer."""
    return zip(path.certificates, path.certificates[1:], strict=False)


def _same_key(anchor: ClientCertificate, other: ClientCertificate) -> bool:
    """Return whether two anchors are the same CA: an anchor is a name and a key."""
    return (
        anchor.subject_der == other.subject_der
        and anchor.public_key_bytes == other.public_key_bytes
    )
