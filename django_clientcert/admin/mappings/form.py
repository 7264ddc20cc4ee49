"""The form of a mapping."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django import forms
from django.contrib.admin.widgets import AutocompleteSelect
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base import entries
from django_clientcert.admin.base.base_admin import is_possible_key
from django_clientcert.admin.base.certificate_form import CODE, CertificateForm
from django_clientcert.admin.base.permissions import why_not_map
from django_clientcert.models import CertificateMapping
from django_clientcert.trust.issuers import check_authority, find_authority
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import (
    Identity,
    IdentityKind,
    find_identities,
    show_value,
)
from django_clientcert.x509.names import Order

from .known import known_certificates, refuse_other_digest

_MAX_NOTICES = 10


class UserSelect(AutocompleteSelect):
    """Django’s autocomplete widget, which fails on a value that cannot be a key.

    A script gives its search box a name for screen readers.
    """

    @property
    def media(self) -> forms.Media:
        """Django’s files, followed by that script."""
        own = "django_clientcert/name_selects.js"
        before = ("admin/js/jquery.init.js", "admin/js/autocomplete.js")
        return super().media + forms.Media(js=[*before, own])

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        """Return the selected user."""
        field = self.field.target_field
        possible = [key for key in value if is_possible_key(field, key)]
        return super().optgroups(name, possible, attr)


class CertificateMappingForm(CertificateForm):
    """A mapping made from a pasted or uploaded certificate, or from a typed value.

    *actor* is the user who fills it in, and ``offered_kinds`` are the kinds that an
    unbound form offers. After ``is_valid()``, ``certificate`` is the certificate of
    the mapping, if any, and ``notices`` lists what the form filled in or changed.
    """

    actor: Any = AnonymousUser()
    offered_kinds: Collection[IdentityKind] = tuple(IdentityKind)

    order = forms.TypedChoiceField(
        label=_("Order of the name"),
        required=False,
        coerce=Order,
        empty_value=None,
        choices=[
            ("", _("detect automatically")),
            (
                Order.MOST_SPECIFIC_FIRST.value,
                _("person or device first: CN=alice,O=Example,C=FR"),
            ),
            (
                Order.MOST_GENERAL_FIRST.value,
                _("country or organisation first: C=FR, O=Example, CN=alice"),
            ),
        ],
        help_text=_(
            "Needed only if it is unclear whether a typed name begins with the person "
            "or with the country."
        ),
    )

    class Meta:
        model = CertificateMapping
        fields = (
            *("user", "kind", "value", "authority", "state"),
            *("valid_from", "valid_until", "hosts", "note"),
        )
        widgets = {
            "value": forms.Textarea(attrs={**CODE, "rows": 2}),
            "hosts": forms.Textarea(attrs={**CODE, "rows": 2}),
            "note": forms.Textarea(attrs={"class": "vLargeTextField", "rows": 3}),
        }
        help_texts = {
            "kind": _(
                "“Public key” survives a renewal with the same key; “fingerprint” "
                "matches this one certificate only. Neither needs an authority. All "
                "other kinds are only as trustworthy as the CA that issued the "
                "certificate."
            ),
            "value": _(
                "Filled in from the certificate. Enter it only if you have no "
                "certificate (SHA-256 hex or a name), or to choose one of several "
                "alternative names."
            ),
            "authority": _(
                "Filled in from the certificate. The CA that must have issued it; a "
                "fingerprint or public key needs none."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Not everyone may change the mapping: a form without these fields is shown.
        value: Any = self.fields.get("value")
        kind: Any = self.fields.get("kind")
        if value is not None and kind is not None:
            value.required = False
            value.strip = False  # a name may end with an escaped space
            choices = CertificateMapping.MappingKind.choices
            # The kind that survives a renewal comes first.
            kind.choices = [
                choice
                for choice in sorted(
                    choices, key=lambda choice: choice[0] != IdentityKind.PUBLIC_KEY
                )
                if self.is_bound or choice[0] in self.offered_kinds
            ]
        for name in {"valid_from", "valid_until"} & set(self.fields):
            self.fields[name].validators.append(entries.check_year)
        self.certificate: ClientCertificate | None = None
        self.identity: Identity | None = None
        self.notices: list[str] = []

    def clean_user(self) -> Any:
        """Return the user, unless certificates may not be mapped to that user."""
        user = self.cleaned_data["user"]
        error = why_not_map(self.actor, user)
        if error is not None:
            raise error
        return user

    def clean(self) -> dict[str, Any]:
        """Find the certificate, value and authority, and check that they agree."""
        cleaned = super().clean()
        if self.errors:
            return cleaned
        kind, field = IdentityKind(cleaned["kind"]), None
        try:
            given = self.given_certificate()
            field = "value"
            self.identity = self._find_identity(kind, given)
            if self.certificate is None and self.identity and kind.is_pin:
                refuse_other_digest(self.identity)
        except ValidationError as error:
            self.add_error(field, error)
            return cleaned
        if self.identity is not None:
            cleaned["value"] = self.identity.value
        touched = {"user", "kind", "value", "authority"} & set(self.changed_data)
        if given is not None or touched:
            key = self.instance.key if self.identity is None else self.identity.key
            self._check_other_users(key, is_pin=kind.is_pin)
            self._settle_authority(kind)
        return cleaned

    def _post_clean(self) -> None:
        if self.identity is not None and not self.errors:
            self.instance.set_identity(self.identity)
        super()._post_clean()
        if not self.errors:
            self.instance.certificate = (
                None if self.certificate is None else self.certificate.der
            )

    def _find_identity(
        self, kind: IdentityKind, given: ClientCertificate | None
    ) -> Identity | None:
        """Return what identifies the certificate, or None if that does not change.

        Sets ``certificate``.

        Raises:
            ValidationError: there is no value, or the certificate does not have it.
        """
        text: str = self.cleaned_data["value"]
        stored: str = self.instance.value
        is_unchanged = self.instance.pk is not None and text.strip() == stored.strip()
        is_kept = is_unchanged and self.instance.kind == kind.value
        self.certificate = given or self.instance.client_certificate()
        if is_kept and given is None:
            return None
        # A certificate must have the value that was typed before it was uploaded.
        is_typed = not is_unchanged or (is_kept and self.instance.certificate is None)
        if text.strip() and is_typed:
            return self._typed_identity(kind, text, given)
        if self.certificate is None:
            raise ValidationError(
                _("This value belongs to the previous kind. Enter one of the new kind.")
                if is_unchanged
                else _("Paste or upload a certificate, or enter the value."),
                code="required",
            )
        if is_kept:
            for identity in entries.offered_identities(kind, self.certificate):
                if identity.value == stored:
                    return identity
        identity = entries.find_identity(kind, self.certificate)
        if is_kept:
            notice = gettext("The value was updated from the new certificate.")
            self.notices.append(notice)
        return identity

    def _typed_identity(
        self, kind: IdentityKind, text: str, given: ClientCertificate | None
    ) -> Identity:
        """Return the typed identity, which a *given* certificate must have.

        A stored certificate that does not have it is removed from the mapping.

        Raises:
            ValidationError: it is not of *kind*, or *given* does not have it.
        """
        order: Order | None = self.cleaned_data["order"]
        if self.certificate is None:
            identity = entries.parse_entry(kind, text, order)
            reading = entries.guessed_reading(kind, text, order, identity)
            if reading is not None:
                notice = gettext("The name was read as %(reading)s.")
                self.notices.append(notice % {"reading": reading})
            return identity
        keys = {reading.key for reading in entries.all_readings(kind, text, order)}
        try:
            offered = entries.offered_identities(kind, self.certificate)
        except ValidationError:
            if given is not None:
                raise
            offered = []
        for identity in offered:
            if identity.key in keys:
                return identity
        if given is not None:
            listed = "; ".join(
                show_value(kind, identity.value, 100) for identity in offered[:5]
            )
            message = _(
                "The certificate does not contain this value, but: %(values)s. "
                "Leave the field empty to fill it in from the certificate."
            )
            params = {"values": listed or _("nothing of this kind")}
            raise ValidationError(message, "disagree", params)
        identity = entries.parse_entry(kind, text, order)
        self.certificate = None
        notice = gettext(
            "The stored certificate does not contain the new value, so it was removed "
            "from the mapping."
        )
        self.notices.append(notice)
        return identity

    def _check_other_users(self, key: bytes, *, is_pin: bool) -> None:
        """Refuse a key that belongs to another user, and mention other mappings.

        If *key*, that of the mapping, was typed, the certificates that are known by it
        count. Those with a name count only where some users may not be mapped.
        """
        user = self.cleaned_data["user"]
        is_limited = not getattr(self.actor, "is_superuser", False)
        known = []
        if is_pin or is_limited:
            known = list(known_certificates([key], of_privileged=is_limited))
        certificates = [certificate for certificate, _owner in known]
        if self.certificate is not None:
            certificates = [self.certificate]
        keys = {
            identity.key
            for certificate in certificates
            for identity in find_identities(certificate).found
        }
        rows = CertificateMapping.objects.matching(keys).exclude(pk=self.instance.pk)
        others = list(rows.exclude(user=user).order_by("pk"))
        owners = {owner for _certificate, owner in known} - {None, user}
        owners |= {other.user for other in others}
        if any(why_not_map(self.actor, owner) for owner in owners):
            message = _(
                "This certificate belongs to a user whose mappings you may not change."
            )
            self.add_error(None, ValidationError(message, "user_not_allowed"))
            return
        for other in others:
            params = {"pk": other.pk, "kind": other.get_kind_display()}
            if other.is_pin:
                message = _(
                    "Mapping %(pk)s (%(kind)s) maps the key of this certificate to "
                    "another user. A key can belong to one user only: delete that "
                    "mapping first."
                )
                self.add_error(None, ValidationError(message, "shared_key", params))
            elif len(self.notices) < _MAX_NOTICES:
                notice = gettext(
                    "Mapping %(pk)s (%(kind)s) maps this certificate to another user. "
                    "The more specific of the two mappings takes precedence; if they "
                    "are equally specific, the certificate is refused."
                )
                self.notices.append(notice % params)

    def _settle_authority(self, kind: IdentityKind) -> None:
        """Check that the chosen authority issued the certificate, or fill it in."""
        certificate, authority = self.certificate, self.cleaned_data["authority"]
        if certificate is None:
            return
        try:
            if authority is not None:
                check_authority(authority, certificate)
            elif not kind.is_pin:
                authority = find_authority(certificate)
                self.cleaned_data["authority"] = authority
                notice = gettext(
                    "The authority was set to “%(authority)s”, which issued the "
                    "certificate."
                )
                self.notices.append(notice % {"authority": authority})
        except ValidationError as error:
            self.add_error("authority", error)
