"""The path to an authority, and what its lists and revocations say of it."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from itertools import pairwise

from django_clientcert.exceptions import (
    BundleError,
    CertificateParseError,
    PathError,
    Reason,
    Refusal,
)
from django_clientcert.models import CertificateAuthority, serial_key
from django_clientcert.models.authority_state import AuthorityState
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl import (
    Entry,
    Hits,
    Outcome,
    RevocationPolicy,
    check_path,
    collect_hits,
    read_reason,
    status,
)
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.paths import Path, PathValidator

from .lookup import LookupResult

logger = logging.getLogger("django_clientcert.evaluation")


def find_path(
    authority: CertificateAuthority,
    certificate: ClientCertificate,
    intermediates: Sequence[ClientCertificate],
    at: dt.datetime,
    *,
    proxy_verified: bool,
) -> Path:
    """Return the path from *certificate* to *authority*.

    By the authority's own certificates if they suffice. Otherwise by those that were
    sent *intermediates* it too, and then the whole path is validated here.

    Raises:
        Refusal: there is none (``untrusted_issuer``), it breaks a rule, or the
            authority cannot be used.
    """
    validator = get_validator(authority)
    find = validator.find_issuer if proxy_verified else validator.validate
    try:
        try:
            return find(certificate, at)
        except PathError:
            if not intermediates:
                raise
            return validator.validate(certificate, at, intermediates)
    except Refusal as refusal:
        raise Refusal(
            refusal.reason, f"{authority}: {visible(refusal.detail)}"
        ) from refusal


def get_validator(authority: CertificateAuthority) -> PathValidator:
    """Return the validator of *authority*.

    Raises:
        Refusal: its certificates cannot be used.
    """
    try:
        return authority.validator()
    except (BundleError, CertificateParseError) as error:
        raise unavailable(authority, error) from error


def unavailable(authority: CertificateAuthority, error: object) -> Refusal:
    """Return the refusal for what an authority holds and cannot be used; logs it."""
    logger.error("the authority %s cannot be used: %s", authority.pk, error)
    return Refusal(
        Reason.TRUST_UNAVAILABLE,
        f"the authority {authority} cannot be used: {visible(str(error))}",
    )


def _state(
    authority: CertificateAuthority,
) -> tuple[RevocationPolicy, AuthorityState]:
    try:
        return authority.policy(), authority.state()
    except ValueError as error:
        raise unavailable(authority, error) from error


def check_revoked(
    certificate: ClientCertificate,
    result: LookupResult,
    at: dt.datetime,
    intermediates: Sequence[ClientCertificate] = (),
) -> str:
    """Return if neither an administrator nor its issuer has revoked *certificate*.

    Whatever it may be mapped by: a revocation beats every permission, a pin without
    an authority too. Only what revokes counts here, see ``check_crls()``.

    Raises:
        Refusal: it is revoked, or that cannot be told.
    """
    _check_key(certificate, result)
    for authority in result.authorities:
        policy, state = _state(authority)
        hits = _hits([certificate], state, result)
        if not (
            result.revocations
            or (hits and policy is not RevocationPolicy.OFF)
            or any(one.covers(certificate.not_before) for one in state.periods)
        ):
            continue
        # Rarely: somebody's certificate of that serial number, or of that time
        for issuer in get_validator(authority).issuers_of(certificate, intermediates):
            _check_own(certificate, issuer, result, state)
            if policy is not RevocationPolicy.OFF:
                _check_listed(certificate, issuer, state, hits, at)
    return "no revocation names it"


def _check_key(certificate: ClientCertificate, result: LookupResult) -> None:
    """Refuse what is revoked here by its public key."""
    for hit in result.revocations:
        if hit.public_key == certificate.public_key_bytes:
            raise Refusal(
                Reason.REVOKED, f"revocation {hit.number} is of its public key"
            )


def _check_own(
    certificate: ClientCertificate,
    issuer: ClientCertificate,
    result: LookupResult,
    state: AuthorityState,
) -> None:
    """Refuse what is revoked here by its serial number, or by when it was issued."""
    serial = serial_key(certificate.serial_number)
    for hit in result.revocations:
        if hit.serial == serial and hit.issuer_key == issuer.public_key_bytes:
            raise Refusal(
                Reason.REVOKED, f"revocation {hit.number} is of its serial number"
            )
    for period in state.periods:
        if period.covers(certificate.not_before):
            raise Refusal(
                Reason.REVOKED,
                f"revocation {period.number} is of all that was issued from "
                f"{period.begin:%Y-%m-%d} to {period.end:%Y-%m-%d}",
            )


def _check_listed(
    certificate: ClientCertificate,
    issuer: ClientCertificate,
    state: AuthorityState,
    hits: Hits,
    at: dt.datetime,
) -> None:
    """Refuse what a list of the issuer lists, stale or not."""
    lists = list(state.lists.values())
    # Whoever signed a list that was imported may revoke; clearing is another matter.
    keys = {one.issuer_key: False for one in lists if not one.own_key_only}
    known = status(certificate, issuer, lists, hits, at=at, other_keys=keys)
    if known.outcome is Outcome.REVOKED:
        raise Refusal(Reason.REVOKED, known.detail)


def check_crls(
    path: Path, authority: CertificateAuthority, result: LookupResult, at: dt.datetime
) -> str:
    """Return if *authority*, as its policy demands, lets all of *path* pass.

    Raises:
        Refusal: a certificate of the path is revoked, or that cannot be told and
            the policy requires it.
    """
    policy, state = _state(authority)
    validator = get_validator(authority)
    for one in path.certificates:
        number = state.revoked.get(one.fingerprint)
        if number is not None:
            raise Refusal(
                Reason.REVOKED,
                f"revocation {number} is of a CA that the path leads through",
            )
    # What is in the bundle was looked at when it came there, or the revocation did.
    sent = [
        (one, issuer)
        for one, issuer in pairwise(path.certificates)
        if one is path.certificates[0] or one not in validator
    ]
    for one, issuer in sent:
        _check_key(one, result)
        _check_own(one, issuer, result, state)
    if policy is RevocationPolicy.OFF:
        return f"{authority}: lists are not looked at"
    if policy is RevocationPolicy.IF_LOADED and not state.lists:
        return f"{authority}: no list is loaded"
    statuses = check_path(
        path,
        list(state.lists.values()),
        {**state.hits, **_hits([one for one, _ in sent], state, result)},
        at=at,
        policy=policy,
        signers=validator,
    )
    known = sum(one.outcome is Outcome.GOOD for one in statuses)
    return f"{authority}: lists clear {known} of {len(statuses)} certificates"


def _hits(
    certificates: Sequence[ClientCertificate],
    state: AuthorityState,
    result: LookupResult,
) -> dict[tuple[str, int], Entry]:
    """Return what the authority's lists say of the serial numbers."""
    if not result.entries:
        return {}
    numbers: dict[bytes, set[int]] = {}
    for one in certificates:
        number = one.serial_number
        numbers.setdefault(serial_key(number), set()).add(number)
    return collect_hits(
        (
            state.lists[entry.crl_number].fingerprint,
            Entry(number, read_reason(entry.reason), entry.revoked_at),
        )
        for entry in result.entries
        if entry.crl_number in state.lists
        for number in numbers.get(entry.serial, ())
    )
