"""The authorities: which CAs answer for names, and what each of them asks."""

from __future__ import annotations

import uuid
from functools import lru_cache
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_clientcert.exceptions import BundleError, ClientCertError
from django_clientcert.x509.bundles import TrustStore, read_certificates, sort_bundle
from django_clientcert.x509.ca_problems import check_bundle
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl import RevocationPolicy
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.paths import PROFILES, PathValidator

from .bases import SavedInTransaction
from .fields import KeyField, name_key, serial_key
from .rules import IdentityRuleFields
from .validators import normalise_urls, validate_no_private_key


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
        OFF = RevocationPolicy.OFF.value, _("off: lists are not looked at")
        IF_LOADED = RevocationPolicy.IF_LOADED.value, _("what the loaded lists list")
        REQUIRED = (
            RevocationPolicy.REQUIRED.value,
            _("required: refuse unless a current list clears the certificate"),
        )

    name = models.CharField(_("name"), max_length=100, unique=True)
    bundle = models.TextField(
        _("certificates"),
        help_text=_(
            "One or more certificates, PEM, one behind the other: the ca.crt of the "
            "proxy. Self-signed ones are the trust anchors, the others may stand "
            "between them and a client."
        ),
        validators=[validate_no_private_key],
    )
    profile = models.CharField(
        _("profile"),
        max_length=16,
        choices=Profile.choices,
        default=Profile.PRIVATE,
        help_text=_(
            "Private: what company CAs issue. Strict: certificates must state their "
            "key usage, extended key usage and a subject alternative name."
        ),
    )
    revocation_policy = models.CharField(
        _("revocation lists"),
        max_length=16,
        choices=Policy.choices,
        default=Policy.IF_LOADED,
        help_text=_(
            "“Required” refuses everybody where a list is missing or stale; what a "
            "stale list lists stays revoked in any case."
        ),
    )
    crl_urls = models.TextField(
        _("addresses of the lists"),
        blank=True,
        help_text=_(
            "Where the CA publishes its revocation lists, http or https, one a line. "
            "Fetched by “manage.py clientcert crl fetch”, never during a request."
        ),
        validators=[validate_no_private_key],
    )
    # Replaced by each change of the bundle, the CRLs and the revocations
    # (``authority_state``), so that a process may keep what it has read of them.
    revision = models.UUIDField(default=uuid.uuid4, editable=False)
    note = models.TextField(_("note"), blank=True, validators=[validate_no_private_key])
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
        """Refuse a bundle that cannot be read or holds what is no CA's certificate."""
        super().clean()
        try:
            check_bundle(self.certificates())
            self.validator()
        except ClientCertError as error:
            raise ValidationError(
                {
                    "bundle": ValidationError(
                        _("Cannot be used: %(why)s"),
                        code="bundle",
                        params={"why": str(error)},
                    )
                }
            ) from error
        self.clean_crl_urls()

    def clean_crl_urls(self) -> None:
        """Refuse what is no web address.

        Raises:
            ValidationError: says which one.
        """
        self.crl_urls = normalise_urls(self.crl_urls, "crl_urls")

    def certificates(self) -> tuple[ClientCertificate, ...]:
        """Return the certificates of the bundle, in order.

        Raises:
            BundleError: the bundle cannot be read.
        """
        return read_certificates(self.bundle)

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

    def policy(self) -> RevocationPolicy:
        """Return what is asked of revocation lists.

        Raises:
            ValueError: the column holds something else.
        """
        return RevocationPolicy(self.revocation_policy)


class AuthorityCertificate(models.Model):
    """A certificate of an authority's bundle, by what a request looks it up with.

    Derived from the bundle whenever that is saved.
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
        verbose_name = _("certificate of an authority")
        verbose_name_plural = _("certificates of authorities")
        indexes = (
            models.Index(fields=["subject_key"], name="clientcert_ca_subject"),
            models.Index(fields=["public_key"], name="clientcert_ca_key"),
            models.Index(fields=["serial"], name="clientcert_ca_serial"),
        )

    def __str__(self) -> str:
        return f"{self.subject_key.hex()} ({self.authority_id})"

    @classmethod
    def of(
        cls, authority: CertificateAuthority, certificate: ClientCertificate
    ) -> AuthorityCertificate:
        """Return the row for *certificate*, not saved.

        Raises:
            CertificateParseError: it cannot be read.
        """
        return cls(
            authority=authority,
            subject_key=name_key(certificate.subject_der),
            public_key=certificate.public_key_bytes,
            serial=serial_key(certificate.serial_number),
        )


@lru_cache(maxsize=256)
def build_validator(bundle: str, profile: str) -> PathValidator:
    """Return the path validator of a bundle with a profile.

    Raises:
        BundleError: the bundle cannot be read or has no anchor.
        CertificateParseError: one of its certificates cannot be used.
    """
    trust = sort_bundle(read_certificates(bundle))
    try:
        return PathValidator(trust.anchors, trust.intermediates, PROFILES[profile])
    except (KeyError, ValueError) as error:
        raise BundleError(f"The certificates cannot be used: {error}") from error
