"""What is revoked, by the CRLs of CAs and by administrators."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl.reading import CRLInfo
from django_clientcert.x509.crl.reasons import read_reason
from django_clientcert.x509.crl.structure import Entry
from django_clientcert.x509.escaping import visible, visible_once
from django_clientcert.x509.text import show_minute

from .authorities import CertificateAuthority
from .bases import OptionalCertificate, SavedInTransaction, describe
from .fields import KeyField, KeyPlaceholder, serial_key
from .validators import field_error, optional_text


class RevocationList(SavedInTransaction):
    """A CRL (RFC 5280, 5), as it was imported.

    Created by ``crl_import.import_crl()``, which verifies it, and never edited.
    """

    authority = models.ForeignKey(
        CertificateAuthority,
        on_delete=models.CASCADE,
        related_name="revocation_lists",
        verbose_name=_("authority"),
    )
    # CRLInfo as JSON, which decisions depend on. The columns below show parts of it.
    info = models.TextField(editable=False)
    fingerprint = models.CharField(
        _("SHA-256 fingerprint"), max_length=64, editable=False
    )
    issuer = models.TextField(_("issuer"), editable=False)
    number = models.CharField(_("number"), max_length=50, blank=True, editable=False)
    is_delta = models.BooleanField(_("delta CRL"), default=False, editable=False)
    this_update = models.DateTimeField(_("issued"), editable=False)
    next_update = models.DateTimeField(
        _("next update"), null=True, blank=True, editable=False
    )
    entry_count = models.PositiveIntegerField(_("entries"), editable=False)
    source = models.CharField(_("source"), max_length=500, blank=True, editable=False)
    imported_at = models.DateTimeField(_("imported"), auto_now_add=True)

    class Meta:
        verbose_name = _("CRL")
        verbose_name_plural = _("CRLs")
        ordering = ("-imported_at", "-pk")
        constraints = (
            models.UniqueConstraint(
                fields=["authority", "fingerprint"], name="clientcert_list_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.label()}, {visible_once(self.issuer, 80)}"

    @classmethod
    def of(
        cls,
        authority: CertificateAuthority,
        info: CRLInfo,
        *,
        issuer: str,
        source: str = "",
    ) -> RevocationList:
        """Return the row for a CRL, not saved."""
        return cls(
            authority=authority,
            info=json.dumps(info.to_json()),
            fingerprint=info.fingerprint,
            issuer=issuer,
            number="" if info.number is None else str(info.number),
            is_delta=info.is_delta,
            this_update=info.this_update,
            next_update=info.next_update,
            entry_count=info.entry_count,
            source=source[:500],
        )

    def label(self) -> str:
        """Return the name of the CRL in a sentence; see ``CRLInfo.label()``."""
        info = self.crl_info()
        if info.number is None:
            # A delta CRL without a number is not imported.
            date = show_minute(info.this_update)
            return gettext("CRL of %(date)s") % {"date": date}
        text = (
            gettext("delta CRL number %(number)s")
            if info.is_delta
            else gettext("CRL number %(number)s")
        )
        return text % {"number": info.number}

    def crl_info(self) -> CRLInfo:
        """Return everything about the CRL except its entries."""
        return CRLInfo.from_json(json.loads(self.info))


class RevokedSerial(models.Model):
    """One entry of a CRL: a serial number that its CA has revoked."""

    crl = models.ForeignKey(
        RevocationList, on_delete=models.CASCADE, related_name="entries"
    )
    serial = KeyField(_("serial number"))
    reason = models.SmallIntegerField(_("reason"), null=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True)

    class Meta:
        verbose_name = _("revoked serial number")
        verbose_name_plural = _("revoked serial numbers")
        indexes = (models.Index(fields=["serial"], name="clientcert_revoked_serial"),)

    def __str__(self) -> str:
        return f"{self.serial.hex()} ({self.crl_id})"

    def entry(self, serial_number: int) -> Entry:
        """Return the entry for *serial_number*, which this row is the key of."""
        return Entry(serial_number, read_reason(self.reason), self.revoked_at)


class RevocationQuerySet(models.QuerySet["Revocation"]):
    """Queries on revocations."""

    def matching(
        self,
        public_keys: Iterable[bytes | KeyPlaceholder],
        serials: Iterable[bytes | KeyPlaceholder],
    ) -> RevocationQuerySet:
        """Return those of any of the keys or serial numbers (indexed).

        A serial number belongs to one issuer, so compare ``issuer_key`` as well.
        """
        return self.filter(
            models.Q(public_key__in=list(public_keys))
            | models.Q(serial__in=list(serials))
        ).order_by()

    def equal_to(self, revocation: Revocation) -> RevocationQuerySet:
        """Return the stored ones that revoke the same as *revocation*."""
        return self.filter(
            **{name: getattr(revocation, name) for name in Revocation.IDENTITY}
        )


class Revocation(OptionalCertificate, SavedInTransaction):
    """A revocation of a certificate, or of all that an authority issued in a period.

    It overrides every mapping and rule. A certificate is identified by its public key
    and by the issuer's key with the serial number, as far as they are known, but never
    by its fingerprint, because an ECDSA signature can be written in two ways, which
    gives the same certificate several fingerprints.
    """

    # What is revoked; two rows that are equal in these revoke the same.
    IDENTITY: ClassVar[tuple[str, ...]] = (
        *("authority", "public_key", "issuer_key", "serial"),
        *("issued_from", "issued_until"),
    )

    class RevocationReasonChoice(models.IntegerChoices):
        UNSPECIFIED = 0, _("not specified")
        KEY_COMPROMISE = 1, _("the private key was compromised")
        CA_COMPROMISE = 2, _("the CA was compromised")
        AFFILIATION_CHANGED = 3, _("the holder has left or changed")
        SUPERSEDED = 4, _("replaced by another certificate")
        CESSATION_OF_OPERATION = 5, _("no longer needed")
        CERTIFICATE_HOLD = 6, _("on hold")
        PRIVILEGE_WITHDRAWN = 9, _("privilege withdrawn")

    authority = models.ForeignKey(
        CertificateAuthority,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="revocations",
        verbose_name=_("authority"),
    )
    public_key = KeyField(_("public key"), null=True, editable=False)
    issuer_key = KeyField(_("issuer’s key"), null=True, editable=False)
    serial = KeyField(_("serial number"), null=True, editable=False)
    issued_from = models.DateTimeField(
        _("issued from"), null=True, blank=True, editable=False
    )
    issued_until = models.DateTimeField(
        _("issued until"), null=True, blank=True, editable=False
    )
    description = models.TextField(_("what"), editable=False)
    reason = models.SmallIntegerField(
        _("reason"), choices=RevocationReasonChoice.choices, default=0
    )
    note = optional_text(_("note"))
    revoked_at = models.DateTimeField(_("revoked at"), auto_now_add=True)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("revoked by"),
    )

    objects = RevocationQuerySet.as_manager()

    class Meta:
        verbose_name = _("revocation")
        verbose_name_plural = _("revocations")
        ordering = ("-revoked_at", "-pk")
        indexes = (
            models.Index(fields=["public_key"], name="clientcert_revoked_key"),
            models.Index(fields=["serial"], name="clientcert_revocation_serial"),
            # For the changelist
            models.Index(fields=["revoked_at"], name="clientcert_revocation_at"),
        )

    def __str__(self) -> str:
        return visible(self.description, 120)

    def clean(self) -> None:
        """Refuse a revocation that could not revoke anything.

        Raises:
            ValidationError: what to revoke is missing or incomplete.
        """
        super().clean()
        period = (self.issued_from, self.issued_until)
        if self.public_key is None and self.serial is None and None in period:
            raise ValidationError(
                _("Choose what to revoke: a certificate, a serial number or a period."),
                code="nothing",
            )
        if self.serial is not None and self.issuer_key is None:
            raise ValidationError(
                _("A serial number needs the CA that issued it."), code="issuer"
            )
        if self.issued_from is not None and self.authority_id is None:
            message = _("Choose the authority that issued the certificates.")
            raise field_error("authority", message, "authority_required")
        if None not in period and self.issued_from > self.issued_until:  # type: ignore[operator]
            raise ValidationError(_("The period ends before it begins."), code="dates")

    @property
    def is_period(self) -> bool:
        """Whether it covers everything that was issued in a period."""
        return self.issued_from is not None

    def name_certificate(
        self, certificate: ClientCertificate, issuer: ClientCertificate | None
    ) -> None:
        """Set the key of *certificate* and, if *issuer* is known, its serial number.

        Raises:
            CertificateParseError: neither can be read.
        """
        self.public_key = certificate.public_key_bytes
        if issuer is not None:
            self.issuer_key = issuer.public_key_bytes
            self.serial = serial_key(certificate.serial_number)
        self.certificate = certificate.der
        self.description = describe(certificate)[0] or certificate.fingerprint
