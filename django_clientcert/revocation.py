"""Whether a certificate is revoked, given the lists that are loaded (RFC 5280, 6.3).

Pure: the lists are ``ListInfo``, the entries only those that somebody has looked up
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

from .certificates import ClientCertificate
from .escaping import visible_once
from .exceptions import Reason, Refusal
from .revocation_lists import (
    ALL_REASONS,
    LEEWAY,
    MAX_AGE,
    Entry,
    ListInfo,
    RevocationReason,
    SignerPaths,
    show_reasons,
)
from .verification import Path

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
    lists: Sequence[ListInfo],
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
    keys = {**(other_keys or {}), issuer.public_key_bytes: True}
    name = hashlib.sha256(issuer.subject_der).digest()
    shown = visible_once(str(issuer.subject), 120)
    named = [one for one in lists if one.issuer_name == name]
    own = [one for one in named if one.issuer_key == issuer.public_key_bytes]
    others = [
        one
        for one in named
        if one.issuer_key in keys
        and one.issuer_key != issuer.public_key_bytes
        and not one.own_key_only
    ]
    judged = [
        _judge(group, certificate, hits, at, max_age)
        for group in _groups([*own, *others])
    ]
    for one in judged:
        if one.entry is not None:
            return _revoked(one, shown)
    # A CA that signs lists with each of its keys for that key's certificates
    # looks like one that has changed its key. So where the issuer's own key has
    # signed a list that speaks of the certificate, another's silence says nothing.
    in_scope = [one for one in judged if one.reasons is not None]
    with_own_key = [one for one in in_scope if one.key == issuer.public_key_bytes]
    relevant = with_own_key or [one for one in in_scope if keys[one.key]]
    covered = frozenset[RevocationReason]().union(
        *(one.reasons or () for one in relevant if not one.problem)
    )
    if covered >= ALL_REASONS:
        fresh_until = min(
            one.fresh_until for one in relevant if not one.problem and one.reasons
        )
        return Status(
            Outcome.GOOD,
            f"not on the lists of {shown}, which count until "
            f"{fresh_until:%Y-%m-%d %H:%M} UTC",
            fresh_until=fresh_until,
        )
    if not named:
        why = f"no revocation list of {shown} is loaded"
    elif not judged:
        why = f"the lists of {shown} that are loaded are signed with another key"
    elif not relevant and in_scope:
        why = f"who signed the lists of {shown} is not known to be good"
    elif not relevant:
        why = (
            f"the lists of {shown} that are loaded do not speak of this certificate "
            f"({'; '.join(_scopes(judged))})"
        )
    elif problems := list(
        dict.fromkeys(one.problem for one in relevant if one.problem)
    ):
        why = f"of {shown}: {'; '.join(problems)}"
    else:
        why = f"the lists of {shown} only cover {show_reasons(covered)}"
    return Status(Outcome.UNKNOWN, why)


@dataclass(frozen=True)
class _Judgement:
    """What the lists of one key and scope say together."""

    key: bytes
    scope: str
    # None: the certificate is not in the scope
    reasons: frozenset[RevocationReason] | None
    # Why its silence says nothing; empty where it does
    problem: str
    fresh_until: dt.datetime
    entry: Entry | None
    label: str


def _groups(lists: Sequence[ListInfo]) -> list[list[ListInfo]]:
    """Return the lists that build on each other: of one key and one scope."""
    groups: dict[tuple[bytes, bytes], list[ListInfo]] = {}
    for one in lists:
        groups.setdefault((one.issuer_key, one.scope.digest), []).append(one)
    return list(groups.values())


def _judge(
    group: Sequence[ListInfo],
    certificate: ClientCertificate,
    hits: Hits,
    at: dt.datetime,
    max_age: dt.timedelta,
) -> _Judgement:
    """Combine the newest complete list with the delta lists behind it (5.2.4)."""
    serial = certificate.serial_number
    complete = max(
        (one for one in group if not one.is_delta),
        key=lambda one: (one.this_update, one.number or 0),
        default=None,
    )
    deltas = sorted(
        (one for one in group if one.is_delta and not _is_overtaken(one, complete)),
        key=lambda one: (one.number or 0, one.this_update),
    )
    newest = complete or deltas[-1]
    entry = None if complete is None else hits.get((complete.fingerprint, serial))
    label = newest.label()
    fresh_until = newest.expires(max_age)
    for delta in deltas:
        builds_on = _builds_on(delta, complete)
        expires = delta.expires(max_age)
        fresh = builds_on and _begins(delta) <= at <= expires
        said = hits.get((delta.fingerprint, serial))
        if said is None:
            pass
        elif said.reason is not RevocationReason.REMOVE_FROM_CRL:
            entry, label = said, delta.label()
        elif (
            fresh
            and entry is not None
            and entry.reason is RevocationReason.CERTIFICATE_HOLD
        ):
            # The only way out of a list, and only of a hold (5.3.1)
            entry = None
        if fresh:
            newest = delta
            fresh_until = max(fresh_until, expires)
    return _Judgement(
        key=newest.issuer_key,
        scope=str(newest.scope),
        reasons=newest.scope.reasons_for(certificate),
        problem=_problem(complete, newest, fresh_until, at),
        fresh_until=fresh_until,
        entry=entry,
        label=label,
    )


def _is_overtaken(delta: ListInfo, complete: ListInfo | None) -> bool:
    """Tell whether a complete list already says all that *delta* does."""
    return (
        complete is not None
        and complete.number is not None
        and (delta.number or 0) < complete.number
    )


def _builds_on(delta: ListInfo, complete: ListInfo | None) -> bool:
    """Tell whether *delta* continues *complete* without a gap (6.3.3 (c))."""
    return (
        complete is not None
        and complete.number is not None
        and (delta.base_number or 0) <= complete.number < (delta.number or 0)
    )


def _begins(one: ListInfo) -> dt.datetime:
    return one.this_update - LEEWAY


def _problem(
    complete: ListInfo | None,
    newest: ListInfo,
    fresh_until: dt.datetime,
    at: dt.datetime,
) -> str:
    """Return why the silence of lists says nothing, or an empty text."""
    if complete is None:
        return (
            f"the {newest.label()} is loaded without the complete list that it "
            f"builds on (number {newest.base_number} or later)"
        )
    if at < _begins(newest):
        return f"the {newest.label()} begins on {newest.this_update:%Y-%m-%d %H:%M} UTC"
    if at > fresh_until:
        return f"the {newest.label()} is stale since {fresh_until:%Y-%m-%d %H:%M} UTC"
    return ""


def _revoked(judgement: _Judgement, issuer: str) -> Status:
    entry = judgement.entry
    assert entry is not None  # noqa: S101 - for the type checker
    since = "" if entry.revoked_at is None else f" since {entry.revoked_at:%Y-%m-%d}"
    reason = "" if entry.reason is None else f" ({entry.reason.rfc_name})"
    return Status(
        Outcome.REVOKED,
        f"revoked{since}{reason} by the {judgement.label} of {issuer}",
        reason=entry.reason,
        revoked_at=entry.revoked_at,
    )


def _scopes(judged: Sequence[_Judgement]) -> list[str]:
    return list(dict.fromkeys(one.scope for one in judged))


# --- the whole path --------------------------------------------------------------


def check_path(
    path: Path,
    lists: Sequence[ListInfo],
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
                raise Refusal(reason, f"{_show(certificate)}: {one.detail}")
    return found


def lookups(
    path: Path,
    lists: Sequence[ListInfo],
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
        lists: Sequence[ListInfo],
        hits: Hits,
        at: dt.datetime,
        policy: RevocationPolicy,
        max_age: dt.timedelta,
        signers: SignerPaths | None,
    ) -> None:
        self.by_name: dict[bytes, list[ListInfo]] = {}
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
        return tuple(
            status(
                certificate,
                issuer,
                self.lists_of(issuer),
                self.hits,
                at=self.at,
                max_age=self.max_age,
                other_keys=self.other_keys(issuer, anchor, trail),
            )
            for certificate, issuer in _links(path)
        )

    def lists_of(self, issuer: ClientCertificate) -> list[ListInfo]:
        """Return the lists of an issuer's name, whatever key signed them."""
        return self.by_name.get(hashlib.sha256(issuer.subject_der).digest(), [])

    def other_keys(
        self,
        issuer: ClientCertificate,
        anchor: ClientCertificate,
        trail: frozenset[bytes],
    ) -> dict[bytes, bool]:
        """Return the other keys that sign for *issuer*, and whether to rely on them."""
        found: dict[bytes, bool] = {}
        for key, path in self.signer_paths(issuer, trail):
            if _same_key(path.certificates[-1], anchor):
                reliable = all(map(self.passes, self.statuses(path, trail | {key})))
                found[key] = found.get(key, False) or reliable
        return found

    def signer_paths(
        self, issuer: ClientCertificate, trail: frozenset[bytes]
    ) -> Iterator[tuple[bytes, Path]]:
        """Yield the other keys with lists in the issuer's name, with their paths."""
        if self.signers is None or len(trail) >= MAX_SIGNER_DEPTH:
            return
        keys = {one.issuer_key for one in self.lists_of(issuer) if not one.own_key_only}
        for key in sorted(keys - trail - {issuer.public_key_bytes}):
            for path in self.signers.signer_paths(issuer.subject_der, key, self.at):
                yield key, path

    def lookups(self, path: Path, trail: frozenset[bytes]) -> Iterator[tuple[str, int]]:
        """Yield what ``statuses()`` may ask for."""
        for certificate, issuer in _links(path):
            for one in self.lists_of(issuer):
                yield one.fingerprint, certificate.serial_number
            for key, other in self.signer_paths(issuer, trail):
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


def _show(certificate: ClientCertificate) -> str:
    subject = visible_once(str(certificate.subject), 120)
    return subject or f"serial number {certificate.serial_number_hex}"
