"""The mappings of certificates to users."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.db import connections, models, router
from django.http.request import validate_host
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_clientcert.exceptions import (
    CertificateParseError,
    ClientCertError,
    NameNotMatchableError,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.identities import (
    PINS,
    Identity,
    IdentityKind,
    parse_identity,
    show_value,
    subject_identity,
)
from django_clientcert.x509.names import Order

from .authorities import CertificateAuthority
from .bases import OptionalCertificate, describe
from .fields import KeyField, KeyPlaceholder, prefix_range
from .validators import (
    field_error,
    normalise_hosts,
    optional_text,
    validate_no_private_key,
)

# What is derived from the certificate
_DESCRIPTION = (
    "certificate_subject",
    "certificate_not_after",
    "certificate_subject_key",
)


class CertificateMappingQuerySet(models.QuerySet["CertificateMapping"]):
    """Queries on mappings."""

    def matching(
        self, keys: Iterable[bytes | KeyPlaceholder]
    ) -> CertificateMappingQuerySet:
        """Return the mappings with one of *keys*, with user and authority.

        One query over the index of ``key``, however many mappings there are.
        """
        return (
            self.filter(key__in=list(keys))
            .select_related("user", "authority")
            .order_by()
        )

    def fingerprint_prefix(self, digits: str) -> CertificateMappingQuerySet:
        """Return the pins whose hex value begins with *digits* (an index range)."""
        return self.filter(key__range=prefix_range(digits)).of_kinds(*PINS)

    def of_kinds(self, *kinds: str) -> CertificateMappingQuerySet:
        """Return the mappings of *kinds*, without using the index on the kind.

        SQLite expects that index to find few rows, and would read half of the table.
        """
        return self.exclude(
            kind__in=[kind.value for kind in IdentityKind if kind.value not in kinds]
        )

    def record_use(self, mapping: CertificateMapping) -> int:
        """Set ``last_used_at`` of *mapping*, unless another process just has."""
        rows = self.filter(pk=mapping.pk, last_used_at=mapping.last_used_at)
        return rows.update(last_used_at=timezone.now())


def _read_value(kind: IdentityKind, value: str) -> Identity:
    """Return the identity of a stored or typed value.

    A stored name is RFC 4514, most specific part first, even if its parts look as if
    they were in the opposite order.
    """
    with suppress(ClientCertError):
        identity = parse_identity(kind, value, order=Order.MOST_SPECIFIC_FIRST)
        if identity.value == value:
            return identity
    return parse_identity(kind, value)


class MappingLock(models.Model):
    """The row that is locked before looking for an equal mapping and storing one.

    A unique constraint could not replace it: pins need no authority, and in an index
    every NULL is different.
    """

    is_taken = models.BooleanField(default=True, editable=False)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return "the lock on mappings"

    @classmethod
    def acquire(cls, using: str) -> None:
        """Wait for others who store mappings; hold the lock until the transaction ends.

        Does nothing outside of a transaction. Call it first in one: SQLite has no lock
        on a row, and its transactions wait for each other only if they begin with a
        write.
        """
        if not connections[using].in_atomic_block:
            return
        # One statement that inserts the row or locks it. Two statements could deadlock
        # on MariaDB, because an INSERT that finds the row takes a shared lock first.
        targets = connections[using].features.supports_update_conflicts_with_target
        cls._base_manager.using(using).bulk_create(
            [cls(pk=1)],
            update_conflicts=True,
            update_fields=["is_taken"],
            unique_fields=["id"] if targets else None,
        )


class CertificateMapping(OptionalCertificate):
    """ "A certificate that looks like this is that user." """

    class MappingKind(models.TextChoices):
        FINGERPRINT = IdentityKind.FINGERPRINT.value, _("fingerprint (SHA-256)")
        PUBLIC_KEY = IdentityKind.PUBLIC_KEY.value, _("public key (SHA-256)")
        ISSUER_SERIAL = IdentityKind.ISSUER_SERIAL.value, _("issuer and serial number")
        SUBJECT = IdentityKind.SUBJECT.value, _("subject")
        SAN_EMAIL = IdentityKind.SAN_EMAIL.value, _("e-mail address (SAN)")
        SAN_DNS = IdentityKind.SAN_DNS.value, _("DNS name (SAN)")
        SAN_URI = IdentityKind.SAN_URI.value, _("URI (SAN)")
        SAN_UPN = IdentityKind.SAN_UPN.value, _("user principal name (SAN)")

    class State(models.TextChoices):
        ACTIVE = "active", _("active")
        SCHEDULED = "scheduled", _("scheduled")
        RETIRING = "retiring", _("retiring")
        DISABLED = "disabled", _("disabled")

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="certificate_mappings",
        verbose_name=_("user"),
    )
    kind = models.CharField(
        _("kind"),
        max_length=16,
        choices=MappingKind.choices,
        default=MappingKind.FINGERPRINT,
    )
    value = models.TextField(
        _("value"),
        help_text=_("The value that the certificate must contain, in canonical form."),
        validators=[validate_no_private_key],
    )
    key = KeyField(_("key"), editable=False)
    authority = models.ForeignKey(
        CertificateAuthority,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="mappings",
        verbose_name=_("authority"),
        help_text=_(
            "The CA that must have issued the certificate. Required unless the "
            "mapping is a fingerprint or public key."
        ),
    )
    state = models.CharField(
        _("state"), max_length=16, choices=State.choices, default=State.ACTIVE
    )
    valid_from = models.DateTimeField(_("valid from"), null=True, blank=True)
    valid_until = models.DateTimeField(_("valid until"), null=True, blank=True)
    hosts = optional_text(
        _("hosts"),
        _(
            "Host names that this mapping applies to, one per line; “.example.com” "
            "covers all subdomains. Leave empty for all hosts."
        ),
    )
    # Read from the certificate when it is saved, for lists, searches and filters; no
    # decision depends on it.
    certificate_subject = models.TextField(
        _("certificate’s subject"), blank=True, editable=False
    )
    certificate_not_after = models.DateTimeField(
        _("certificate valid until"), null=True, blank=True, editable=False
    )
    # To find the mapping that an unmapped certificate renews
    certificate_subject_key = KeyField(null=True, editable=False)
    note = optional_text(_("note"))
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    last_used_at = models.DateTimeField(
        _("last used at"), null=True, blank=True, editable=False
    )

    objects = CertificateMappingQuerySet.as_manager()

    # Kind and value that ``key`` was derived from, and that key
    _derived_from: tuple[str, str, bytes] | None = None

    class Meta:
        verbose_name = _("certificate mapping")
        verbose_name_plural = _("certificate mappings")
        ordering = ("-pk",)
        indexes = (
            models.Index(fields=["key"], name="clientcert_mapping_key"),
            models.Index(
                fields=["certificate_subject_key"], name="clientcert_mapping_subject"
            ),
            # For expiry lists, filters and notices. With the primary key, a list can be
            # read along the index, although many rows have no date.
            models.Index(
                fields=["certificate_not_after", "id"],
                name="clientcert_mapping_cert_end",
            ),
            models.Index(fields=["valid_until"], name="clientcert_mapping_end"),
            # For the filters of the admin
            models.Index(fields=["state", "id"], name="clientcert_mapping_state"),
            models.Index(fields=["kind", "id"], name="clientcert_mapping_kind"),
            models.Index(fields=["last_used_at", "id"], name="clientcert_mapping_used"),
        )
        constraints = (
            # Any other state would be refused, see ``is_enabled``.
            models.CheckConstraint(
                condition=models.Q(state__in=["active", "retiring", "disabled"])
                | models.Q(state="scheduled", valid_from__isnull=False),
                name="clientcert_mapping_known_state",
            ),
        )

    def __str__(self) -> str:
        try:
            value = show_value(
                IdentityKind(self.kind), self.value, 16 if self.is_pin else 80
            )
        except ValueError:
            value = visible(self.value, 80)
        return f"{self.get_kind_display()}: {value}"

    @classmethod
    def for_identity(
        cls,
        identity: Identity,
        certificate: ClientCertificate | None = None,
        **fields: Any,
    ) -> CertificateMapping:
        """Return a mapping of *identity*, not saved."""
        der = None if certificate is None else certificate.der
        mapping = cls(certificate=der, **fields)
        mapping.set_identity(identity)
        return mapping

    def set_identity(self, identity: Identity) -> None:
        """Set kind, value and key together."""
        self.kind, self.value = identity.kind.value, identity.value
        self.key = identity.key
        self._derived_from = (self.kind, self.value, self.key)

    def save(self, **kwargs: Any) -> None:
        """Save, with what is derived from the value and the certificate.

        Raises:
            ValidationError: the value is not of the mapping's kind.
        """
        names = kwargs.get("update_fields")
        if names is None:
            self.normalise()
            if "certificate" not in self.get_deferred_fields():
                self.describe_certificate()
        else:
            names = set(names)
            if names & {"kind", "value"}:
                self.normalise()
                names |= {"value", "key"}
            if "certificate" in names:
                self.describe_certificate()
                names |= set(_DESCRIPTION)
            kwargs["update_fields"] = names
        super().save(**kwargs)

    def clean(self) -> None:
        """Bring the value into canonical form and refuse what could never work.

        Raises:
            ValidationError: says what to enter instead.
        """
        super().clean()
        self.clean_alone()
        twin = self.find_twin()
        if twin is None:
            return
        # Two users would lock out both.
        message = (
            _("Mapping %(pk)s already maps this to the same user (%(state)s).")
            if twin.user_id == self.user_id
            else _(
                "Mapping %(pk)s already maps this to another user (%(state)s). A "
                "certificate that is mapped to two users is refused, so delete that "
                "mapping first."
            )
        )
        state = twin.get_state_display()
        raise field_error("value", message, "duplicate", pk=twin.pk, state=state)

    def clean_alone(self) -> None:
        """See clean(); needs no query, because it ignores other mappings."""
        self.normalise()
        if self.authority_id is None and not self.is_pin:
            message = _(
                "Choose the authority that must have issued the certificate, because "
                "any other CA could issue one with the same name."
            )
            raise field_error("authority", message, "authority_required")
        if self.valid_from and self.valid_until and self.valid_from >= self.valid_until:
            message = _("This must be later than “valid from”.")
            raise field_error("valid_until", message, "dates")
        if self.state == self.State.RETIRING and self.valid_until is None:
            message = _("Enter the date on which the mapping retires.")
            raise field_error("valid_until", message, "retiring")
        if self.state == self.State.SCHEDULED and self.valid_from is None:
            message = _("Enter the date from which the mapping is valid.")
            raise field_error("valid_from", message, "scheduled")

    def describe_certificate(self) -> None:
        """Set what lists show of the certificate, as far as it can be read."""
        certificate = self.client_certificate()
        self.certificate_subject, self.certificate_not_after = (
            ("", None) if certificate is None else describe(certificate)
        )
        self.certificate_subject_key = None
        with suppress(CertificateParseError, NameNotMatchableError):
            if certificate is not None and certificate.subject:
                self.certificate_subject_key = subject_identity(certificate.subject).key

    def normalise(self) -> None:
        """Set ``value``, ``key`` and ``hosts`` to their canonical form.

        Raises:
            ValidationError: the value is not of the mapping's kind.
        """
        self.hosts = normalise_hosts(self.hosts)
        if self._derived_from == (self.kind, self.value, self.key):
            return
        try:
            kind = IdentityKind(self.kind)
        except ValueError:
            return  # validation of the field lists the kinds
        try:
            self.set_identity(_read_value(kind, self.value))
        except ClientCertError as error:
            message = _("Cannot be used: %(why)s")
            raise field_error("value", message, "value", why=str(error)) from error

    def is_twin(self, other: CertificateMapping) -> bool:
        """Return whether *other* covers the same certificates, for whichever user.

        A pin is the same with and without an authority.
        """
        return (
            self.kind == other.kind
            and bytes(self.key) == bytes(other.key)
            and (self.is_pin or self.authority_id == other.authority_id)
        )

    def find_twin(self) -> CertificateMapping | None:
        """Return a stored mapping of the same certificates, of the same user if any.

        In a transaction, nobody else stores one until it ends.
        """
        MappingLock.acquire(router.db_for_write(CertificateMapping))
        twins = [
            other
            for other in CertificateMapping.objects.matching([self.key])
            if other.pk != self.pk and self.is_twin(other)
        ]
        twins.sort(key=lambda other: (other.user_id != self.user_id, other.pk))
        return next(iter(twins), None)

    @property
    def is_enabled(self) -> bool:
        """Whether the state, compared exactly, is one that authenticates a user.

        Whatever else is in the column, a typing error in SQL for example, does not.
        """
        if self.state == self.State.SCHEDULED:
            return self.valid_from is not None
        return self.state in (self.State.ACTIVE, self.State.RETIRING)

    @property
    def is_pin(self) -> bool:
        """Whether possession of the key is the only proof needed."""
        return self.kind in PINS

    @property
    def is_exact(self) -> bool:
        """Whether it matches one certificate or key exactly: a pin or a serial number.

        Every other kind is a name, as trustworthy as the authority that vouches for it.
        """
        return self.is_pin or self.kind == IdentityKind.ISSUER_SERIAL.value

    @property
    def specificity(self) -> int:
        """The rank of the kind, the most specific first."""
        return IdentityKind(self.kind).specificity

    def covers_host(self, host: str) -> bool:
        """Return whether the mapping applies to *host* (lower case, no port)."""
        patterns = self.hosts.split()
        return not patterns or validate_host(host, patterns)

    @property
    def first_host(self) -> str:
        """A host that the mapping applies to; empty if it applies to all."""
        return (self.hosts.split() or [""])[0].lstrip(".")
