"""The certificates that were accepted recently, to answer “what if” questions."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_clientcert.x509.certificates import ClientCertificate

from .authorities import CertificateAuthority
from .bases import MAX_HOST, CappedQuerySet, ObservedCertificate, describe
from .fields import KeyField
from .mappings import CertificateMapping


class SeenCertificateQuerySet(CappedQuerySet["SeenCertificate"]):
    """Queries on the accepted certificates."""


class SeenCertificate(ObservedCertificate):
    """A certificate that was accepted: when last, as which user, and through what."""

    fingerprint = KeyField(_("SHA-256 fingerprint"), unique=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name=_("user"),
    )
    mapping = models.ForeignKey(
        CertificateMapping,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="seen_certificates",
        verbose_name=_("mapping"),
    )
    authority = models.ForeignKey(
        CertificateAuthority,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="seen_certificates",
        verbose_name=_("authority"),
    )

    objects = SeenCertificateQuerySet.as_manager()

    class Meta(ObservedCertificate.Meta):
        verbose_name = _("accepted certificate")
        verbose_name_plural = _("accepted certificates")
        indexes = (models.Index(fields=["last_seen_at"], name="clientcert_seen_at"),)

    @staticmethod
    def record(
        certificate: ClientCertificate,
        *,
        user: Any,
        mapping: CertificateMapping | None,
        authority: CertificateAuthority | None,
        host: str,
        size: int,
        at: dt.datetime,
    ) -> None:
        """Record that *certificate* was accepted; keep at most *size* rows."""
        values = {
            "user_id": user.pk,
            "mapping_id": None if mapping is None else mapping.pk,
            "authority_id": None if authority is None else authority.pk,
            "host": host[:MAX_HOST],
            "last_seen_at": at,
        }
        seen = SeenCertificate.objects
        rows = seen.filter(fingerprint=certificate.fingerprint_bytes)
        if rows.update(**values):
            return
        subject, not_after = describe(certificate)
        row = SeenCertificate(
            fingerprint=certificate.fingerprint_bytes,
            certificate=certificate.der,
            subject=subject,
            not_after=not_after,
            first_seen_at=at,
            **values,
        )
        # Of two processes that come here at once, only one adds a row.
        seen.bulk_create([row], ignore_conflicts=True)
        seen.all().prune(size)
