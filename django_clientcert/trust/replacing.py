"""Who loses their issuer if the certificates of an authority are replaced."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    SeenCertificate,
)
from django_clientcert.models.authorities import build_validator
from django_clientcert.x509.bundles import to_pem
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.paths import PathValidator

# How many of the newest mappings, and of the certificates seen, are looked at
MAX_CHECKED = 1000


def find_orphans(
    authority: CertificateAuthority, bundle: Sequence[ClientCertificate]
) -> tuple[list[CertificateMapping], int]:
    """Return what *bundle* would not have issued, but the stored certificates have.

    The mappings, and how many certificates that were accepted through the authority
    lately: among the newest thousand of each.
    """
    orphans: list[CertificateMapping] = []
    count = 0
    if authority._state.adding:
        return orphans, count
    with suppress(ClientCertError):  # one of them cannot be used, as others report
        before = CertificateAuthority.objects.get(pk=authority.pk).validator()
        after = build_validator(to_pem(bundle), authority.profile)
        mappings = authority.mappings.exclude(certificate=None).order_by("-pk")
        for mapping in mappings.select_related("user")[:MAX_CHECKED]:
            certificate = mapping.client_certificate()
            if certificate is not None and _loses(certificate, before, after):
                orphans.append(mapping)
        seen = SeenCertificate.objects.filter(authority=authority).order_by("-pk")
        for row in seen[:MAX_CHECKED]:
            count += _loses(row.client_certificate(), before, after)
    return orphans, count


def _loses(
    certificate: ClientCertificate, before: PathValidator, after: PathValidator
) -> bool:
    return bool(before.issuers_of(certificate)) > bool(after.issuers_of(certificate))
