"""The inbox: certificates that clients proved to hold, and that nobody has mapped."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress

from django.db import models
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_clientcert.exceptions import CertificateParseError, Reason
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible, visible_once

from .fields import KEY_BYTES, KeyField
from .mappings import MAX_SUBJECT
from .seen import describe

MAX_DETAIL = 500
MAX_HOST = 255
MAX_ADDRESS = 45  # the longest spelling of an IPv6 address

# Not every database holds an earlier one
_FIRST_YEAR = 1000


class UnknownCertificateQuerySet(models.QuerySet["UnknownCertificate"]):
    """Queries on the inbox."""

    def prune(self, size: int) -> int:
        """Delete down to *size*; return how many.

        What was refused least often goes first, and of that what was not seen for
        longest: a flood does not push out a client that tries again.
        """
        surplus = self.count() - size
        if surplus <= 0:
            return 0
        least = list(
            self.order_by("count", "last_seen_at", "pk").values_list("pk", flat=True)[
                :surplus
            ]
        )
        return self.filter(pk__in=least).delete()[0]

    def of_keys(self, *certificates: ClientCertificate) -> UnknownCertificateQuerySet:
        """Return the rows of the public keys of *certificates*, if there are any.

        Of a certificate whose key cannot be read, there is none.
        """
        keys = []
        for certificate in certificates:
            with suppress(CertificateParseError):
                keys.append(certificate.public_key_bytes)
        return self.filter(public_key__in=keys)

    def digest_prefix(self, digits: str) -> UnknownCertificateQuerySet:
        """Return those whose fingerprint, or that of the key, begins with *digits*."""
        low = bytes.fromhex(digits.lower().ljust(2 * KEY_BYTES, "0"))
        high = bytes.fromhex(digits.lower().ljust(2 * KEY_BYTES, "f"))
        return self.filter(
            models.Q(fingerprint__gte=low, fingerprint__lte=high)
            | models.Q(public_key__gte=low, public_key__lte=high)
        )


class UnknownCertificate(models.Model):
    """A certificate that was proven and let nobody in: one row for each public key.

    No decision rests on it. Whatever stands in it, a stranger may have written.
    """

    public_key = KeyField(_("SHA-256 of the public key"), unique=True)
    fingerprint = KeyField(_("SHA-256 fingerprint"))
    # The latest one for this key
    certificate = models.BinaryField(_("certificate"))
    subject = models.TextField(_("subject"), blank=True)
    issuer = models.TextField(_("issuer"), blank=True)
    not_after = models.DateTimeField(_("valid until"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=32)
    detail = models.TextField(_("detail"), blank=True)
    host = models.CharField(_("host"), max_length=MAX_HOST, blank=True)
    address = models.CharField(_("address"), max_length=MAX_ADDRESS, blank=True)
    count = models.PositiveBigIntegerField(_("count"), default=1)
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    last_seen_at = models.DateTimeField(_("last seen"), default=timezone.now)

    objects = UnknownCertificateQuerySet.as_manager()

    class Meta:
        verbose_name = _("unknown certificate")
        verbose_name_plural = _("unknown certificates")
        ordering = ("-last_seen_at", "-pk")
        indexes = (
            models.Index(fields=["last_seen_at"], name="clientcert_unknown_at"),
            models.Index(fields=["fingerprint"], name="clientcert_unknown_print"),
        )

    def __str__(self) -> str:
        return visible_once(self.subject or self.fingerprint.hex(), 120)

    def client_certificate(self) -> ClientCertificate:
        """Return the latest certificate for this key."""
        return ClientCertificate(bytes(self.certificate))

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
        """Write down *count* refusals of *certificate*; keep *size* rows at most.

        Raises:
            CertificateParseError: its public key cannot be read.
        """
        key = certificate.public_key_bytes
        subject, not_after = describe(certificate)
        if not_after is not None and not_after.year < _FIRST_YEAR:
            not_after = None
        values = {
            "fingerprint": certificate.fingerprint_bytes,
            "certificate": certificate.der,
            "subject": visible_once(subject, MAX_SUBJECT),
            "issuer": _issuer_of(certificate),
            "not_after": not_after,
            "reason": reason.value,
            "detail": visible_once(detail, MAX_DETAIL),
            "host": visible(host, MAX_HOST)[:MAX_HOST],
            "address": address[:MAX_ADDRESS],
            "last_seen_at": at,
        }
        unknown = UnknownCertificate.objects
        rows = unknown.filter(public_key=key)
        if rows.update(count=F("count") + count, **values):
            return
        # Before and not behind it: a newcomer is not what is refused least often.
        unknown.all().prune(size - 1)
        row = UnknownCertificate(
            public_key=key, count=count, first_seen_at=at, **values
        )
        # Two processes may come here at once: the second row is not one more.
        unknown.bulk_create([row], ignore_conflicts=True)


def _issuer_of(certificate: ClientCertificate) -> str:
    try:
        return visible_once(certificate.issuer.rfc4514(), MAX_SUBJECT)
    except CertificateParseError:
        return ""  # the page of the certificate says so
