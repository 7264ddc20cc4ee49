"""The certificates that were let in lately, for questions of the kind “what if”."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_clientcert.exceptions import CertificateParseError
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible_once

from .authorities import CertificateAuthority
from .fields import KeyField
from .mappings import MAX_SUBJECT, CertificateMapping


class SeenCertificateQuerySet(models.QuerySet["SeenCertificate"]):
    """Queries on the certificates that were let in."""

    def prune(self, size: int) -> int:
        """Delete those not seen for longest, down to *size*; return how many."""
        surplus = self.count() - size
        if surplus <= 0:
            return 0
        oldest = list(
            self.order_by("last_seen_at", "pk").values_list("pk", flat=True)[:surplus]
        )
        return self.filter(pk__in=oldest).delete()[0]


class SeenCertificate(models.Model):
    """A certificate that let somebody in: when last, as whom, and through what.

    No decision rests on it.
    """

    fingerprint = KeyField(_("SHA-256 fingerprint"), unique=True)
    certificate = models.BinaryField(_("certificate"))
    subject = models.TextField(_("subject"), blank=True)
    not_after = models.DateTimeField(_("valid until"), null=True, blank=True)
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
    host = models.CharField(_("host"), max_length=255, blank=True)
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    last_seen_at = models.DateTimeField(_("last seen"), default=timezone.now)

    objects = SeenCertificateQuerySet.as_manager()

    class Meta:
        verbose_name = _("certificate seen")
        verbose_name_plural = _("certificates seen")
        ordering = ("-last_seen_at", "-pk")
        indexes = (models.Index(fields=["last_seen_at"], name="clientcert_seen_at"),)

    def __str__(self) -> str:
        return visible_once(self.subject or self.fingerprint.hex(), 120)

    def client_certificate(self) -> ClientCertificate:
        """Return the certificate."""
        return ClientCertificate(bytes(self.certificate))

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
        """Write down that *certificate* was let in; keep *size* rows at most."""
        values = {
            "user_id": user.pk,
            "mapping_id": None if mapping is None else mapping.pk,
            "authority_id": None if authority is None else authority.pk,
            "host": host[:255],
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
        # Two processes may come here at once: the second row is not one more.
        seen.bulk_create([row], ignore_conflicts=True)
        seen.all().prune(size)


def describe(certificate: ClientCertificate) -> tuple[str, dt.datetime | None]:
    """Return subject and end of *certificate*, as far as they can be read."""
    subject, not_after = "", None
    try:
        not_after = certificate.not_after
        subject = certificate.subject.rfc4514()[:MAX_SUBJECT]
    except CertificateParseError:
        pass  # a subject that cannot be read has no text
    return subject, not_after
