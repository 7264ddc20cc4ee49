"""Whose certificates a revocation hits, as far as the tables know them."""

from __future__ import annotations

from collections.abc import Iterator

from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
    SeenCertificate,
    serial_key,
)
from django_clientcert.x509.certificates import ClientCertificate

_CHUNK = 500


def find_mappings(revocation: Revocation) -> Iterator[CertificateMapping]:
    """Yield the mappings with a stored certificate that *revocation* revokes.

    Every stored certificate is read: a public key is not in a column of its own.
    """
    rows = CertificateMapping.objects.exclude(certificate=None).order_by("pk")
    for row in rows.select_related("user").iterator(chunk_size=_CHUNK):
        certificate = row.client_certificate()
        if certificate is not None and is_hit(revocation, certificate):
            yield row


def find_seen(revocation: Revocation) -> Iterator[SeenCertificate]:
    """Yield the certificates let in lately that *revocation* revokes."""
    rows = SeenCertificate.objects.order_by("pk").select_related("user")
    for row in rows.iterator(chunk_size=_CHUNK):
        if is_hit(revocation, row.client_certificate()):
            yield row


def is_hit(revocation: Revocation, certificate: ClientCertificate) -> bool:
    """Tell whether *certificate* is one that *revocation* revokes.

    One that cannot be read is none: it lets nobody in.
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
            return in_time and bool(authority.validator().issuers_of(certificate))
        if revocation.serial != serial_key(certificate.serial_number):
            return False
        issuers = authority.validator().issuers_of(certificate)
        return revocation.issuer_key in {one.public_key_bytes for one in issuers}
    except ClientCertError:
        return False
