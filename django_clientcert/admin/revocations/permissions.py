"""Who may make or delete a revocation: that depends on the users it affects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.permissions import (
    may_be_privileged,
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
    """Return whether *actor* may make or delete *revocation*.

    *actor* must be allowed to map certificates to every affected user. If it is unknown
    whose certificates are affected, *actor* must be allowed to change the authority. A
    certificate stands for all certificates of the same key.
    """
    if getattr(actor, "is_superuser", False):
        return True
    if not all(may_change_authority(actor, row) for row in _authorities(revocation)):
        return False
    return all(why_not_map(actor, user) is None for user in _users(revocation))


def check_reach(actor: Any, revocation: Revocation) -> None:
    """Raise unless *actor* may make *revocation*.

    Raises:
        ValidationError: see ``may_revoke()``.
    """
    if not may_revoke(actor, revocation):
        raise ValidationError(
            _(
                "It would revoke certificates of users whom you may not map: a "
                "superuser, other staff users, or every user of an authority."
            ),
            code="not_in_reach",
        )


def count_period(
    authority: CertificateAuthority, revocation: Revocation
) -> tuple[int, int]:
    """Return how many mappings and seen certificates a period of *authority* affects.

    Mappings without a stored certificate are not counted.
    """

    def count(rows: QuerySet[Any]) -> int:
        certificates = rows.values_list("certificate", flat=True)
        return sum(
            _revokes(revocation, ClientCertificate(bytes(der)), authority)
            for der in certificates.iterator(chunk_size=500)
        )

    mappings = CertificateMapping.objects.exclude(certificate=None)
    return count(mappings), count(SeenCertificate.objects.all())


def _authorities(revocation: Revocation) -> Iterator[CertificateAuthority]:
    """Yield the authorities of which any user may be affected."""
    authority = revocation.authority
    if revocation.certificate is None and authority is not None:
        yield authority
    else:
        # Any CA may have issued certificates for the key.
        yield from CertificateAuthority.objects.filter(rule_allows_privileged=True)
    named = Q(pk__in=[])
    if revocation.public_key is not None:
        named |= Q(public_key=revocation.public_key)
    if revocation.serial is not None:
        named |= Q(serial=revocation.serial)
    cas = AuthorityCertificate.objects.filter(named).select_related("authority")
    yield from {ca.authority_id: ca.authority for ca in cas}.values()


def _users(revocation: Revocation) -> Iterator[Any]:
    """Yield the users of the affected mappings and seen certificates.

    If the database can select them, only users that not everyone may map.
    """
    mappings = CertificateMapping.objects.select_related("user", "authority")
    seen = SeenCertificate.objects.select_related("user", "authority")
    privileged = may_be_privileged("user__")
    certificate = revocation.client_certificate()
    keys = set()
    if certificate is not None:
        keys = {identity.key for identity in find_identities(certificate).found}
    for mapping in mappings.filter(privileged).iterator(chunk_size=500):
        if mapping.key in keys or _affects(revocation, mapping):
            yield mapping.user
    for row in seen.filter(privileged).iterator(chunk_size=500):
        if _revokes(revocation, row.client_certificate(), revocation.authority):
            yield row.user


def _affects(revocation: Revocation, mapping: CertificateMapping) -> bool:
    """Return whether *revocation* affects the certificate of *mapping*, or may.

    A certificate that was never seen may have the key that is revoked. If no key is,
    the check of the authority covers its mappings.
    """
    is_key = mapping.kind == IdentityKind.PUBLIC_KEY.value
    if is_key and mapping.key == revocation.public_key:
        return True
    certificate = certificate_of(mapping)
    if certificate is not None:
        return _revokes(revocation, certificate, revocation.authority)
    if revocation.public_key is not None:
        return not is_key
    return mapping.authority is None


def _revokes(
    revocation: Revocation,
    certificate: ClientCertificate,
    authority: CertificateAuthority | None,
) -> bool:
    """Return whether *revocation* revokes *certificate*.

    *authority* is the one that issued it, if any.
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
        return False  # it is never accepted
    except ClientCertError:
        return True  # owner unknown: assume the widest effect
    keys = {issuer.public_key_bytes for issuer in issuers}
    return bool(keys) if in_time else revocation.issuer_key in keys
