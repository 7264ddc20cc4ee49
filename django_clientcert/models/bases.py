"""Abstract models that several tables share."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import Any

from django.db import models, router, transaction
from django.utils.translation import gettext_lazy as _

from django_clientcert.exceptions import CertificateParseError
from django_clientcert.x509.certificates import ClientCertificate

# How much of a certificate’s subject is kept for searching
MAX_SUBJECT = 1000
# Not every database stores earlier dates
_FIRST_YEAR = 1000


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
