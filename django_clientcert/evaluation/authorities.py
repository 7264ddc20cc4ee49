"""The path to an authority, and whether anything on it is revoked."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from itertools import pairwise

from django_clientcert.exceptions import PathError, Reason, Refusal
from django_clientcert.models import CertificateAuthority, serial_key
from django_clientcert.models.authority_state import AuthorityState
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl.reasons import read_reason
from django_clientcert.x509.crl.status import (
    Hits,
    Outcome,
    RevocationPolicy,
    check_path,
    collect_hits,
    status,
)
from django_clientcert.x509.crl.structure import Entry
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.paths import Path, PathValidator

from .lookup import LookupResult

logger = logging.getLogger("django_clientcert.evaluation")


def find_path(
    authority: CertificateAuthority,
    result: LookupResult,
    certificate: ClientCertificate,
    intermediates: Sequence[ClientCertificate],
    at: dt.datetime,
    *,
    proxy_verified: bool,
) -> Path:
    """Return the path from *certificate* to *authority*.

    The authority's own certificates are used if they suffice. Otherwise the
    *intermediates* that the client sent are used too, and the whole path is validated
    here.

    Raises:
        Refusal: there is none (``untrusted_issuer``), it breaks a rule, or the
            authority cannot be used.
    """
    validator = _get_validator(authority, result)
    find = validator.find_issuer if proxy_verified else validator.validate
    try:
        try:
            return find(certificate, at)
        except PathError:
            if not validator.below_bundle(intermediates):
                raise  # none of them leads anywhere, so the answer is the same
            return validator.validate(certificate, at, intermediates)
    except Refusal as refusal:
        raise Refusal(
            refusal.reason, f"{authority}: {visible(refusal.detail)}"
        ) from refusal


def _get_validator(
    authority: CertificateAuthority, result: LookupResult
) -> PathValidator:
    """Return the validator of *authority*.

    Raises:
        Refusal: its certificates cannot be used.
    """
    try:
        return result.state_of(authority).validator
    except ValueError as error:
        raise unavailable(authority, error) from error


def unavailable(authority: CertificateAuthority, error: object) -> Refusal:
    """Log that *authority* cannot be used, and return the refusal."""
    logger.error("the authority %s cannot be used: %s", authority.pk, error)
    return Refusal(
        Reason.TRUST_UNAVAILABLE,
        f"the authority {authority} cannot be used: {visible(str(error))}",
    )


def _get_policy(
    authority: CertificateAuthority, result: LookupResult
) -> tuple[RevocationPolicy, AuthorityState]:
    try:
        return authority.policy(), result.state_of(authority)
    except ValueError as error:
        raise unavailable(authority, error) from error


def check_revoked(
    certificate: ClientCertificate,
    result: LookupResult,
    at: dt.datetime,
    intermediates: Sequence[ClientCertificate] = (),
) -> str:
    """Raise if an administrator or its issuer has revoked *certificate*.

    However it is mapped: a revocation beats every mapping, also a pin without an
    authority. A CRL that is missing or stale does not matter here, see
    ``check_crls()``.

    Raises:
        Refusal: it is revoked, or that cannot be determined.
    """
    _check_key(certificate, result)
    for authority in result.authorities:
        policy, state = _get_policy(authority, result)
        hits = _find_hits([certificate], state, result)
        if not (
            result.revocations
            or (hits and policy is not RevocationPolicy.OFF)
            or any(period.covers(certificate.not_before) for period in state.periods)
        ):
            continue
        # Rare: some certificate with this serial number or from this period
        validator = _get_validator(authority, result)
        for issuer in validator.issuers_of(certificate, intermediates):
            _check_serial_and_periods(certificate, issuer, result, state)
            if policy is not RevocationPolicy.OFF:
                _check_entries(certificate, issuer, state, hits, at)
    return "not revoked"


def _check_key(certificate: ClientCertificate, result: LookupResult) -> None:
    """Refuse a certificate whose public key is revoked here."""
    for hit in result.revocations:
        if hit.public_key == certificate.public_key_bytes:
            raise _revoked(hit.number, "its public key")


def _check_serial_and_periods(
    certificate: ClientCertificate,
    issuer: ClientCertificate,
    result: LookupResult,
    state: AuthorityState,
) -> None:
    """Refuse a certificate that is revoked here by serial number or date of issue."""
    serial = serial_key(certificate.serial_number)
    for hit in result.revocations:
        if hit.serial == serial and hit.issuer_key == issuer.public_key_bytes:
            raise _revoked(hit.number, "its serial number")
    for period in state.periods:
        if period.covers(certificate.not_before):
            dates = f"{period.begin:%Y-%m-%d} to {period.end:%Y-%m-%d}"
            raise _revoked(period.number, f"everything issued from {dates}")


def _revoked(number: str, what: str) -> Refusal:
    return Refusal(Reason.REVOKED, f"revocation {number} revokes {what}")


def _check_entries(
    certificate: ClientCertificate,
    issuer: ClientCertificate,
    state: AuthorityState,
    hits: Hits,
    at: dt.datetime,
) -> None:
    """Refuse a certificate that any CRL of its issuer revokes, even a stale one."""
    crls = list(state.crls.values())
    # Every key that signed an imported CRL may revoke; clearing is another matter.
    keys = {crl.issuer_key: False for crl in crls if not crl.own_key_only}
    known = status(certificate, issuer, crls, hits, at=at, other_keys=keys)
    if known.outcome is Outcome.REVOKED:
        raise Refusal(Reason.REVOKED, known.detail)


def check_crls(
    path: Path, authority: CertificateAuthority, result: LookupResult, at: dt.datetime
) -> str:
    """Raise unless the CRLs of *authority* clear *path*, as its policy demands.

    Raises:
        Refusal: a certificate of the path is revoked, or that cannot be determined
            and the policy requires it.
    """
    policy, state = _get_policy(authority, result)
    validator = _get_validator(authority, result)
    for certificate in path.certificates:
        number = state.revoked.get(certificate.fingerprint)
        if number is not None:
            raise _revoked(number, "a CA on the path")
    # The certificates of the bundle were compared when the state was read.
    sent = [
        (certificate, issuer)
        for certificate, issuer in pairwise(path.certificates)
        if certificate is path.certificates[0] or certificate not in validator
    ]
    for certificate, issuer in sent:
        _check_key(certificate, result)
        _check_serial_and_periods(certificate, issuer, result, state)
    if policy is RevocationPolicy.OFF:
        return f"{authority}: CRLs are not checked"
    if policy is RevocationPolicy.IF_LOADED and not state.crls:
        return f"{authority}: no CRL is loaded"
    hits = _find_hits([certificate for certificate, _ in sent], state, result)
    statuses = check_path(
        path,
        list(state.crls.values()),
        {**state.hits, **hits},
        at=at,
        policy=policy,
        signers=validator,
    )
    good = sum(status.outcome is Outcome.GOOD for status in statuses)
    return f"{authority}: CRLs clear {good} of {len(statuses)} certificates"


def _find_hits(
    certificates: Sequence[ClientCertificate],
    state: AuthorityState,
    result: LookupResult,
) -> dict[tuple[str, int], Entry]:
    """Return the entries of the authority's CRLs with one of the serial numbers."""
    if not result.entries:
        return {}
    numbers: dict[bytes, set[int]] = {}
    for certificate in certificates:
        number = certificate.serial_number
        numbers.setdefault(serial_key(number), set()).add(number)
    return collect_hits(
        (
            state.crls[entry.crl_number].fingerprint,
            Entry(number, read_reason(entry.reason), entry.revoked_at),
        )
        for entry in result.entries
        if entry.crl_number in state.crls
        for number in numbers.get(entry.serial, ())
    )
