"""The known certificates that a revocation revokes."""

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
        same_serial = revocation.serial == serial_key(certificate.serial_number)
        return same_serial and revocation.issuer_key in authority.issuer_keys(
            certificate
        )
    except ClientCertError:
        return False
