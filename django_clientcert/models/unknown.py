"""The inbox: certificates whose key clients proved to hold, and that were refused."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress

from django.db import models
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from django_clientcert.exceptions import CertificateParseError, Reason
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible, visible_once

from .bases import (
    MAX_HOST,
    MAX_SUBJECT,
    CappedQuerySet,
    ObservedCertificate,
    describe,
)
from .fields import KEY_BYTES, KeyField

MAX_DETAIL = 500
MAX_ADDRESS = 45  # the longest spelling of an IPv6 address


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
        low = bytes.fromhex(digits.lower().ljust(2 * KEY_BYTES, "0"))
        high = bytes.fromhex(digits.lower().ljust(2 * KEY_BYTES, "f"))
        return self.filter(
            models.Q(fingerprint__gte=low, fingerprint__lte=high)
            | models.Q(public_key__gte=low, public_key__lte=high)
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
        # Before adding the newcomer, which is the row refused least often.
        unknown.all().prune(size - 1)
        row = UnknownCertificate(
            public_key=key, count=count, first_seen_at=at, **values
        )
        # Of two processes that come here at once, only one adds a row.
        unknown.bulk_create([row], ignore_conflicts=True)


def _issuer_of(certificate: ClientCertificate) -> str:
    try:
        return visible_once(certificate.issuer.rfc4514(), MAX_SUBJECT)
    except CertificateParseError:
        return ""  # the certificate’s page shows the problem
