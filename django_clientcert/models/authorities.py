"""The certificate authorities, and how strictly each of them is applied."""

from __future__ import annotations

import uuid
from functools import lru_cache
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_clientcert.exceptions import BundleError, ClientCertError
from django_clientcert.x509.bundles import TrustStore, read_items, sort_bundle
from django_clientcert.x509.ca_problems import read_bundle
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl.status import RevocationPolicy
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.paths import PROFILES, PathValidator
from django_clientcert.x509.text import some_of

from .bases import SavedInTransaction
from .fields import KeyField
from .rules import IdentityRuleFields
from .validators import (
    field_error,
    normalise_urls,
    optional_text,
    validate_no_private_key,
)


class CertificateAuthorityQuerySet(models.QuerySet["CertificateAuthority"]):
    """Queries on authorities."""

    def update(self, **kwargs: Any) -> int:
        """Update, with a new revision: the bundle may be among the fields."""
        return super().update(**{"revision": uuid.uuid4(), **kwargs})


class CertificateAuthority(IdentityRuleFields, SavedInTransaction):
    """One PKI: its root and intermediate certificates, exactly a ``ca.crt``."""

    class Profile(models.TextChoices):
        PRIVATE = "private", _("private PKI")
        STRICT = "strict", _("strict (as for public web servers)")

    class Policy(models.TextChoices):
        OFF = RevocationPolicy.OFF.value, _("off: ignore CRLs")
        IF_LOADED = RevocationPolicy.IF_LOADED.value, _("use the CRLs that are loaded")
        REQUIRED = (
            RevocationPolicy.REQUIRED.value,
            _("required: refuse unless a current CRL clears the certificate"),
        )

    name = models.CharField(_("name"), max_length=100, unique=True)
    bundle = models.TextField(
        _("certificates"),
        help_text=_(
            "One or more PEM certificates, one after the other: the contents of the "
            "proxy’s ca.crt. Self-signed certificates are trust anchors; the others "
            "are intermediates."
        ),
        validators=[validate_no_private_key],
    )
    profile = models.CharField(
        _("profile"),
        max_length=16,
        choices=Profile.choices,
        default=Profile.PRIVATE,
        help_text=_(
            "Private: for certificates of a company CA. Strict: certificates must "
            "have key usage, extended key usage and a subject alternative name."
        ),
    )
    revocation_policy = models.CharField(
        _("CRLs"),
        max_length=16,
        choices=Policy.choices,
        default=Policy.IF_LOADED,
        help_text=_(
            "“Required” refuses everyone while a CRL is missing or out of date. "
            "Unless CRLs are off, certificates in an out-of-date CRL remain revoked."
        ),
    )
    crl_urls = optional_text(
        _("CRL URLs"),
        _(
            "Where the CA publishes its CRLs: http or https URLs, one per line. "
            "“manage.py clientcert crl fetch” downloads them; requests never do."
        ),
    )
    # Replaced by each change of the bundle, the CRLs and the revocations
    # (``authority_state``), so that a process may keep what it has read of them.
    revision = models.UUIDField(default=uuid.uuid4, editable=False)
    note = optional_text(_("note"))
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    objects = CertificateAuthorityQuerySet.as_manager()

    class Meta:
        verbose_name = _("certificate authority")
        verbose_name_plural = _("certificate authorities")
        ordering = ("name",)

    def __str__(self) -> str:
        return visible(self.name)

    def save(self, **kwargs: Any) -> None:
        """Save, with a new revision and what is derived from the bundle."""
        self.revision = uuid.uuid4()
        if kwargs.get("update_fields") is not None:
            kwargs["update_fields"] = {*kwargs["update_fields"], "revision"}
        super().save(**kwargs)

    def clean(self) -> None:
        """Refuse a bundle that cannot be read, or that holds a non-CA certificate."""
        super().clean()
        try:
            left_out = read_bundle(self.bundle)[1]
            if others := set(left_out).difference(self.unreadable_certificates()):
                listed = some_of(sorted(others))
                raise BundleError(f"Only CA certificates belong here: {listed}")
            self.validator()
        except ClientCertError as error:
            message = _("Cannot be used: %(why)s")
            raise field_error("bundle", message, "bundle", why=str(error)) from error
        self.clean_crl_urls()

    def clean_crl_urls(self) -> None:
        """Refuse anything but web addresses.

        Raises:
            ValidationError: names the invalid one.
        """
        self.crl_urls = normalise_urls(self.crl_urls, "crl_urls")

    def certificates(self) -> tuple[ClientCertificate, ...]:
        """Return the certificates of the bundle, in order, as far as they are readable.

        One that a newer library does not read any more costs only itself.

        Raises:
            BundleError: none can be read.
        """
        items = read_items(self.bundle)
        return tuple(item.certificate for item in items if not item.problem)

    def unreadable_certificates(self) -> list[str]:
        """Return a line on each certificate of the bundle that cannot be read.

        Raises:
            BundleError: none can be read.
        """
        return [str(item) for item in read_items(self.bundle) if item.problem]

    def trust_store(self) -> TrustStore:
        """Return the anchors and the intermediates of the bundle."""
        return sort_bundle(self.certificates())

    def validator(self) -> PathValidator:
        """Return the path validator for this authority, built once per process.

        Raises:
            BundleError: the bundle cannot be read or has no anchor.
            CertificateParseError: one of its certificates cannot be used.
        """
        return build_validator(self.bundle, self.profile)

    def issuer_keys(self, certificate: ClientCertificate) -> set[bytes]:
        """Return the public keys (SHA-256) of the bundle that signed *certificate*.

        Raises:
            BundleError, CertificateParseError: something cannot be read.
        """
        issuers = self.validator().issuers_of(certificate)
        return {issuer.public_key_bytes for issuer in issuers}

    def policy(self) -> RevocationPolicy:
        """Return how strictly CRLs are applied.

        Raises:
            ValueError: the column holds an unknown value.
        """
        return RevocationPolicy(self.revocation_policy)


class AuthorityCertificate(models.Model):
    """A certificate of an authority's bundle, with the keys it is looked up by.

    Derived from the bundle each time that is saved.
    """

    authority = models.ForeignKey(
        CertificateAuthority,
        on_delete=models.CASCADE,
        related_name="indexed_certificates",
    )
    subject_key = KeyField()  # SHA-256 of the Name, DER
    public_key = KeyField()  # SHA-256 of the SubjectPublicKeyInfo
    serial = KeyField()

    class Meta:
        verbose_name = _("authority certificate")
        verbose_name_plural = _("authority certificates")
        indexes = (
            models.Index(fields=["subject_key"], name="clientcert_ca_subject"),
            models.Index(fields=["public_key"], name="clientcert_ca_key"),
            models.Index(fields=["serial"], name="clientcert_ca_serial"),
        )

    def __str__(self) -> str:
        return f"{self.subject_key.hex()} ({self.authority_id})"


@lru_cache(maxsize=256)
def build_validator(bundle: str, profile: str) -> PathValidator:
    """Return the path validator of a bundle with a profile.

    Raises:
        BundleError: the bundle cannot be read or has no anchor.
        CertificateParseError: one of its certificates cannot be used.
    """
    items = read_items(bundle)
    trust = sort_bundle([item.certificate for item in items if not item.problem])
    try:
        return PathValidator(trust.anchors, trust.intermediates, PROFILES[profile])
    except (KeyError, ValueError) as error:
        raise BundleError(f"The certificates cannot be used: {error}") from error
