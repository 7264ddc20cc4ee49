"""Certificates that were stored before, and that a typed value would match."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q

from django_clientcert.admin.base.entries import OTHER_DIGESTS
from django_clientcert.admin.base.permissions import may_be_privileged
from django_clientcert.models import (
    CertificateMapping,
    SeenCertificate,
    UnknownCertificate,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import PINS, Identity, find_identities


def known_certificates(
    keys: Collection[bytes], *, of_privileged: bool
) -> Iterator[tuple[ClientCertificate, Any]]:
    """Yield the certificates with any of the identities *keys*, with their user.

    They were refused (their user is None) or accepted. With *of_privileged*, every
    certificate of staff and superusers is read, including those that mappings store.
    """
    is_fingerprint = Q(fingerprint__in=keys)
    seen = SeenCertificate.objects.select_related("user")
    rows: list[Any] = [
        UnknownCertificate.objects.filter(is_fingerprint | Q(public_key__in=keys)),
        seen.filter(is_fingerprint),
    ]
    if of_privileged:
        mapped = CertificateMapping.objects.exclude(certificate=None)
        condition = may_be_privileged("user__")
        rows += [
            seen.filter(condition),
            mapped.filter(condition).select_related("user"),
        ]
    for row in chain(*(queryset.iterator(chunk_size=500) for queryset in rows)):
        certificate = row.client_certificate()
        if any(identity.key in keys for identity in find_identities(certificate).found):
            yield certificate, getattr(row, "user", None)


def refuse_other_digest(identity: Identity) -> None:
    """Refuse a typed digest that is known as one of the other kind.

    Raises:
        ValidationError: the mapping would never match.
    """
    key, kind = identity.key, identity.kind
    mapped = CertificateMapping.objects.filter(key=key, kind__in=PINS)
    # A mapping that was typed and never used may have the wrong kind itself.
    proved = mapped.exclude(certificate=None, last_used_at=None)
    if proved.exclude(kind=kind.value).exists() or any(
        known.key == key and known.kind is not kind
        for certificate, _user in known_certificates([key], of_privileged=False)
        for known in find_identities(certificate).found
    ):
        raise ValidationError(OTHER_DIGESTS[kind], code="other_digest")
