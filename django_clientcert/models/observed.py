"""The certificates that clients presented: those accepted recently, and the inbox.

The inbox holds certificates whose key clients proved to hold, and that were refused.
No decision depends on these tables.
"""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_clientcert.exceptions import CertificateParseError, Reason
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible, visible_once

from .authorities import CertificateAuthority
from .bases import MAX_SUBJECT, describe
from .fields import KeyField, prefix_range
from .mappings import CertificateMapping

MAX_HOST = 255
MAX_DETAIL = 500
MAX_ADDRESS = 45  # the longest spelling of an IPv6 address
# How many surplus rows one call deletes: it may happen during a request
MAX_PRUNED = 500

Row = TypeVar("Row", bound=models.Model)


class CappedQuerySet(models.QuerySet[Row]):
    """Rows of a table that is kept at a size."""

    # The rows that come first are deleted first; ends with the primary key.
    pruned_by: ClassVar[tuple[str, ...]] = ("last_seen_at", "pk")

    def prune(self, size: int) -> int:
        """Delete rows down to *size*, at most ``MAX_PRUNED``; return how many.

        By a bound on the ordering: a list of keys may be longer than a query can be.
        """
        surplus = min(self.count() - size, MAX_PRUNED)
        rows = self.order_by(*self.pruned_by).values_list(*self.pruned_by)
        last = rows[surplus - 1 : surplus].first() if surplus > 0 else None
        if last is None:
            return 0
        *equal, (field, value) = zip(self.pruned_by, last, strict=True)
        before = models.Q(**dict(equal), **{f"{field}__lte": value})
        while equal:
            field, value = equal.pop()
            before |= models.Q(**dict(equal), **{f"{field}__lt": value})
        return self.filter(before).delete()[0]

    def add(self, **values: Any) -> None:
        """Store a row; of two processes that add the same at once, only one does."""
        self.bulk_create([self.model(**values)], ignore_conflicts=True)


class ObservedCertificate(models.Model):
    """A certificate that a client presented."""

    certificate = models.BinaryField(_("certificate"))
    subject = models.TextField(_("subject"), blank=True)
    not_after = models.DateTimeField(_("valid until"), null=True, blank=True)
    host = models.CharField(_("host"), max_length=MAX_HOST, blank=True)
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    last_seen_at = models.DateTimeField(_("last seen"), default=timezone.now)

    class Meta:
        abstract = True
        ordering = ("-last_seen_at", "-pk")

    fingerprint: Any

    def __str__(self) -> str:
        return visible_once(self.subject or self.fingerprint.hex(), 120)

    def client_certificate(self) -> ClientCertificate:
        """Return the certificate."""
        return ClientCertificate(bytes(self.certificate))


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
        seen.all().add(
            fingerprint=certificate.fingerprint_bytes,
            certificate=certificate.der,
            subject=subject,
            not_after=not_after,
            first_seen_at=at,
            **values,
        )
        seen.all().prune(size)


class UnknownCertificateQuerySet(CappedQuerySet["UnknownCertificate"]):
    """Queries on the inbox."""

    # What was refused least often goes first, and of that what was not seen for
    # longest: a flood does not push out a client that tries again.
    pruned_by = ("count", "last_seen_at", "pk")

    def of_keys(self, *certificates: ClientCertificate) -> UnknownCertificateQuerySet:
        """Return the rows with the public keys of *certificates*.

        Certificates whose key cannot be read have none.
        """
        keys = []
        for certificate in certificates:
            with suppress(CertificateParseError):
                keys.append(certificate.public_key_bytes)
        return self.filter(public_key__in=keys)

    def digest_prefix(self, digits: str) -> UnknownCertificateQuerySet:
        """Return the rows whose fingerprint or key digest begins with *digits*."""
        digests = prefix_range(digits)
        return self.filter(
            models.Q(fingerprint__range=digests) | models.Q(public_key__range=digests)
        )


class UnknownCertificate(ObservedCertificate):
    """The latest certificate that was refused, one row per public key.

    The client proved that it holds the key. A stranger may have written the rest.
    """

    public_key = KeyField(_("SHA-256 of the public key"), unique=True)
    fingerprint = KeyField(_("SHA-256 fingerprint"))
    issuer = models.TextField(_("issuer"), blank=True)
    reason = models.CharField(_("reason"), max_length=32)
    detail = models.TextField(_("detail"), blank=True)
    address = models.CharField(_("address"), max_length=MAX_ADDRESS, blank=True)
    count = models.PositiveBigIntegerField(_("count"), default=1)

    objects = UnknownCertificateQuerySet.as_manager()

    class Meta(ObservedCertificate.Meta):
        verbose_name = _("unknown certificate")
        verbose_name_plural = _("unknown certificates")
        indexes = (
            models.Index(fields=["last_seen_at"], name="clientcert_unknown_at"),
            models.Index(fields=["fingerprint"], name="clientcert_unknown_print"),
        )

    @staticmethod
    def record(
        certificate: ClientCertificate,
        *,
        reason: Reason,
        detail: str,
        host: str,
        address: str,
        count: int,
        size: int,
        at: dt.datetime,
    ) -> None:
        """Record *count* refusals of *certificate*; keep at most *size* rows.

        Raises:
            CertificateParseError: its public key cannot be read.
        """
        key = certificate.public_key_bytes
        subject, not_after = describe(certificate)
        issuer = ""
        with suppress(
            CertificateParseError
        ):  # the certificate’s page shows the problem
            issuer = certificate.issuer.rfc4514()
        values = {
            "fingerprint": certificate.fingerprint_bytes,
            "certificate": certificate.der,
            "subject": visible_once(subject, MAX_SUBJECT),
            "issuer": visible_once(issuer, MAX_SUBJECT),
            "not_after": not_after,
            "reason": reason.value,
            "detail": visible_once(detail, MAX_DETAIL),
            "host": visible(host, MAX_HOST)[:MAX_HOST],
            "address": address[:MAX_ADDRESS],
            "last_seen_at": at,
        }
        unknown = UnknownCertificate.objects
        rows = unknown.filter(public_key=key)
        if rows.update(count=models.F("count") + count, **values):
            return
        # Before adding the newcomer, which is the row refused least often.
        unknown.all().prune(size - 1)
        unknown.all().add(public_key=key, count=count, first_seen_at=at, **values)
