"""The known certificates that a revocation revokes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
    SeenCertificate,
    serial_key,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import IdentityKind, parse_identity
from django_clientcert.x509.names import Order
from django_clientcert.x509.text import show_serial

_CHUNK = 500


def find_mappings(revocation: Revocation) -> Iterator[CertificateMapping]:
    """Yield the mappings with a stored certificate that *revocation* revokes.

    Reads every stored certificate, because no column holds the public key.
    """
    rows = CertificateMapping.objects.exclude(certificate=None).order_by("pk")
    for row in rows.select_related("user").iterator(chunk_size=_CHUNK):
        certificate = row.client_certificate()
        if certificate is not None and is_revoked(revocation, certificate):
            yield row


def find_seen(revocation: Revocation) -> Iterator[SeenCertificate]:
    """Yield the recently accepted certificates that *revocation* revokes."""
    rows = SeenCertificate.objects.order_by("pk").select_related("user")
    for row in rows.iterator(chunk_size=_CHUNK):
        if is_revoked(revocation, row.client_certificate()):
            yield row


def is_known(revocation: Revocation) -> bool:
    """Return whether any mapping or recently accepted certificate is revoked.

    *revocation* is that of a serial number.
    """
    numbered = CertificateMapping.objects.matching(issuer_serial_keys(revocation))
    known = chain(numbered, find_mappings(revocation), find_seen(revocation))
    return next(known, None) is not None


def issuer_serial_keys(revocation: Revocation) -> list[bytes]:
    """Return the keys of mappings of the serial number that *revocation* revokes."""
    # No mapping has one so long that only its digest is stored.
    number = int.from_bytes(revocation.serial, "big", signed=True)
    authority: CertificateAuthority | None = revocation.authority
    keys = []
    for ca in () if authority is None else authority.certificates():
        if ca.public_key_bytes == revocation.issuer_key:
            # A name that cannot be mapped has no mapping.
            with suppress(ClientCertError):
                kind, order = IdentityKind.ISSUER_SERIAL, Order.MOST_SPECIFIC_FIRST
                value = f"{show_serial(number)} {ca.subject}"
                keys.append(parse_identity(kind, value, order=order).key)
    return keys


def is_revoked(revocation: Revocation, certificate: ClientCertificate) -> bool:
    """Return whether *revocation* revokes *certificate*.

    False for one that cannot be read, which is never accepted.
    """
    authority: CertificateAuthority | None = revocation.authority
    begin, end = revocation.issued_from, revocation.issued_until
    try:
        if revocation.public_key == certificate.public_key_bytes:
            return True
        if authority is None:
            return False
        if begin is not None and end is not None:
            in_time = begin <= certificate.not_before <= end
            return in_time and bool(authority.issuer_keys(certificate))
        if revocation.serial != serial_key(certificate.serial_number):
            return False
        return revocation.issuer_key in authority.issuer_keys(certificate)
    except ClientCertError:
        return False
