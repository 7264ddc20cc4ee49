"""Renewed certificates: finding the mapping that one continues, and renewing it."""

from __future__ import annotations

import datetime as dt

from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.utils.translation import gettext as _

from django_clientcert.exceptions import (
    CertificateParseError,
    ClientCertError,
    NameNotMatchableError,
)
from django_clientcert.models import CertificateMapping
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import (
    IdentityKind,
    identity_of_kind,
    subject_identity,
)

from .issuers import find_issuers, signers_in

# More mappings with the same subject are not considered
MAX_CANDIDATES = 50


def find_predecessors(certificate: ClientCertificate) -> list[CertificateMapping]:
    """Return the mappings whose certificate *certificate* seems to renew.

    The same stored authority signed both, for the same subject. Newest first; none if
    the certificate is self-signed or cannot be read.
    """
    try:
        if not certificate.subject:
            return []
        key = subject_identity(certificate.subject).key
        authorities = find_issuers(certificate).signed
    except (CertificateParseError, NameNotMatchableError):
        return []
    if not authorities:
        return []
    rows = CertificateMapping.objects.filter(certificate_subject_key=key)
    rows = rows.exclude(certificate=None).select_related("user", "authority")
    return [
        mapping
        for mapping in rows.order_by("-pk")[:MAX_CANDIDATES]
        if (old := mapping.client_certificate()) is not None
        and old != certificate
        and any(signers_in(authority, old) for authority in authorities)
    ]


def renew(
    mapping: CertificateMapping,
    certificate: ClientCertificate,
    *,
    retire_on: dt.datetime,
    valid_from: dt.datetime | None = None,
) -> CertificateMapping:
    """Map *certificate* to the user of *mapping*, which retires on *retire_on*.

    The new mapping has the same kind, authority and hosts, and is scheduled if
    *valid_from* is given. The old one is never extended. Both are saved, or neither.

    Returns:
        The new mapping.

    Raises:
        ValidationError: the certificate does not renew that of the mapping, the
            mapping is disabled, or it matches the new certificate already.
    """
    kind, states = IdentityKind(mapping.kind), CertificateMapping.State
    if mapping.state == states.DISABLED:
        # Retiring it would accept its certificate again.
        message = _(
            "Mapping %(pk)s is disabled. Enable it first, or map the certificate "
            "without renewing it."
        )
        raise ValidationError(message, "disabled", {"pk": mapping.pk})
    if mapping not in find_predecessors(certificate):
        message = _(
            "This certificate does not renew that of mapping %(pk)s, because the same "
            "authority must have issued both for the same subject."
        )
        raise ValidationError(message, "no_successor", {"pk": mapping.pk})
    try:
        identity = identity_of_kind(kind, certificate)
    except ClientCertError as error:
        raise ValidationError(str(error), code="value") from error
    if identity.value == mapping.value:
        message = _(
            "Mapping %(pk)s already covers this certificate, which has the same "
            "%(kind)s. There is nothing to do."
        )
        params = {"pk": mapping.pk, "kind": mapping.get_kind_display()}
        raise ValidationError(message, "still_matches", params)
    successor = CertificateMapping.for_identity(
        identity,
        certificate,
        user=mapping.user,
        authority=mapping.authority,
        hosts=mapping.hosts,
        note=_("Renews mapping %(pk)s.") % {"pk": mapping.pk},
        state=states.SCHEDULED if valid_from else states.ACTIVE,
        valid_from=valid_from,
    )
    mapping.state = states.RETIRING
    if mapping.valid_until is None or mapping.valid_until > retire_on:
        mapping.valid_until = retire_on
    with transaction.atomic(using=router.db_for_write(CertificateMapping)):
        successor.full_clean()
        successor.save()
        mapping.full_clean()
        mapping.save()
    return successor
