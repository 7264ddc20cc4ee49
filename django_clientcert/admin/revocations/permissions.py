"""Whom a revocation locks out, and who may therefore make it or take it back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Q

from django_clientcert.admin.base.permissions import (
    authorities_with,
    has_flags,
    may_change_authority,
    why_not_map,
)
from django_clientcert.exceptions import CertificateParseError, ClientCertError
from django_clientcert.models import (
    AuthorityCertificate,
    CertificateAuthority,
    CertificateMapping,
    Revocation,
    SeenCertificate,
    serial_key,
)
from django_clientcert.trust.revoke import certificate_of
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import IdentityKind, find_identities


def may_revoke(actor: Any, revocation: Revocation) -> bool:
    """Tell whether *actor* may lock out, and let in again, whom *revocation* hits.

    Those are the users whom *actor* could map a certificate to. Where nobody can
    say whose certificates they are, the whole authority has to be in reach.
    """
    if getattr(actor, "is_superuser", False):
        return True
    if not all(may_change_authority(actor, one) for one in _authorities(revocation)):
        return False
    return all(why_not_map(actor, user) is None for user in _users(revocation))


def count_period(
    authority: CertificateAuthority, revocation: Revocation
) -> tuple[int, int]:
    """Return how many mappings and certificates seen a time of *authority* hits.

    As far as their certificates are stored.
    """
    mappings = CertificateMapping.objects.exclude(certificate=None).only("certificate")
    seen = SeenCertificate.objects.only("certificate")
    return tuple(  # type: ignore[return-value]
        sum(
            _is_hit(
                revocation, ClientCertificate(bytes(row.certificate or b"")), authority
            )
            for row in rows.iterator(chunk_size=500)
        )
        for rows in (mappings, seen)
    )


def _authorities(revocation: Revocation) -> Iterator[CertificateAuthority]:
    """Yield the authorities of which anybody may be locked out."""
    authority = revocation.authority
    if revocation.certificate is None and authority is not None:
        yield authority
    elif _is_bare_key(revocation):
        # Whoever issues certificates for it
        yield from CertificateAuthority.objects.filter(rule_allows_privileged=True)
    elif revocation.issuer_key is not None:
        for one in authorities_with([revocation.issuer_key]):
            if one.rule_allows_privileged:
                yield one
    named = Q(pk__in=[])
    if revocation.public_key is not None:
        named |= Q(public_key=revocation.public_key)
    if revocation.serial is not None:
        named |= Q(serial=revocation.serial)
    cas = AuthorityCertificate.objects.filter(named).select_related("authority")
    yield from {one.authority_id: one.authority for one in cas}.values()


def _users(revocation: Revocation) -> Iterator[Any]:
    """Yield the users of the mappings and certificates seen that are hit.

    Where the database can tell, only those who are not everybody's to map.
    """
    mappings = CertificateMapping.objects.select_related("user", "authority")
    seen = SeenCertificate.objects.select_related("user", "authority")
    if has_flags():
        privileged = Q(user__is_superuser=True) | Q(user__is_staff=True)
        mappings, seen = mappings.filter(privileged), seen.filter(privileged)
    certificate = revocation.client_certificate()
    keys = set()
    if certificate is not None:
        keys = {one.key for one in find_identities(certificate).found}
    for mapping in mappings.iterator(chunk_size=500):
        known = certificate_of(mapping)
        if (
            mapping.key in keys
            or (
                mapping.kind == IdentityKind.PUBLIC_KEY.value
                and mapping.key == revocation.public_key
            )
            or (
                _may_be_hit(revocation, mapping)
                if known is None
                else _is_hit(revocation, known, revocation.authority)
            )
        ):
            yield mapping.user
    for row in seen.iterator(chunk_size=500):
        if _is_hit(revocation, row.client_certificate(), revocation.authority):
            yield row.user


def _is_bare_key(revocation: Revocation) -> bool:
    """Tell whether nothing but a public key is known of what is revoked."""
    return revocation.certificate is None and revocation.authority is None


def _may_be_hit(revocation: Revocation, mapping: CertificateMapping) -> bool:
    """Tell whether *mapping*, whose certificate nobody here has seen, may be hit.

    What names an authority is that authority's to issue, and asked for with it.
    """
    if revocation.certificate is not None:
        return False  # its names were compared
    if _is_bare_key(revocation):
        return mapping.kind != IdentityKind.PUBLIC_KEY.value
    return mapping.authority is None


def _is_hit(
    revocation: Revocation,
    certificate: ClientCertificate,
    authority: CertificateAuthority | None,
) -> bool:
    """Tell whether *certificate* is one that *revocation* revokes.

    *authority* is the one that issued it, if any did.
    """
    try:
        if revocation.public_key == certificate.public_key_bytes:
            return True
        begin, end = revocation.issued_from, revocation.issued_until
        in_time = (
            begin is not None
            and end is not None
            and begin <= certificate.not_before <= end
        )
        same_serial = revocation.serial == serial_key(certificate.serial_number)
        if authority is None or not (in_time or same_serial):
            return False
        issuers = authority.validator().issuers_of(certificate)
    except CertificateParseError:
        return False  # it lets nobody in
    except ClientCertError:
        return True  # whose it is cannot be told: not less than it may be
    keys = {one.public_key_bytes for one in issuers}
    return bool(keys) if in_time else revocation.issuer_key in keys
