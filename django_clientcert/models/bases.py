"""Abstract models that several tables share."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

from django.db import models, router, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_clientcert.exceptions import CertificateParseError
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible_once

# How much of a certificate’s subject is kept for searching
MAX_SUBJECT = 1000
MAX_HOST = 255
# How many surplus rows one call deletes: it may happen during a request
MAX_PRUNED = 500
# Not every database stores earlier dates
_FIRST_YEAR = 1000

Row = TypeVar("Row", bound=models.Model)


def describe(certificate: ClientCertificate) -> tuple[str, dt.datetime | None]:
    """Return the subject and the end of *certificate*, as far as they can be read."""
    subject, not_after = "", None
    with suppress(CertificateParseError):
        subject = certificate.subject.rfc4514()[:MAX_SUBJECT]
    with suppress(CertificateParseError):
        if certificate.not_after.year >= _FIRST_YEAR:
            not_after = certificate.not_after
    return subject, not_after


class SavedInTransaction(models.Model):
    """A row whose ``post_save`` receivers save more: all of it, or nothing."""

    class Meta:
        abstract = True

    def save(self, **kwargs: Any) -> None:
        """Save in a transaction."""
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using):
            super().save(**kwargs)


class OptionalCertificate(models.Model):
    """A row that stores the certificate it was made from, if there was one."""

    certificate = models.BinaryField(_("certificate"), null=True, editable=False)

    class Meta:
        abstract = True

    def client_certificate(self) -> ClientCertificate | None:
        """Return the stored certificate, if any."""
        der = self.certificate
        return None if der is None else ClientCertificate(bytes(der))


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


class ObservedCertificate(models.Model):
    """A certificate that a client presented. No decision depends on it."""

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
