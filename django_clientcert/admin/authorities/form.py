"""The form of an authority."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.certificate_form import CODE
from django_clientcert.admin.base.entries import (
    MAX_BUNDLE_BYTES,
    read_bundle,
    read_file,
)
from django_clientcert.admin.base.private_keys import FormWithoutPrivateKeys
from django_clientcert.exceptions import CertificateParseError
from django_clientcert.models import CertificateAuthority
from django_clientcert.models.rules import user_fields
from django_clientcert.x509.bundles import to_pem
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.rules import PLACEHOLDER_DOMAIN, PRESETS

RULE_FIELDS = (
    "rule_identity",
    "rule_user_field",
    "rule_pattern",
    "rule_hosts",
    "rule_policies",
    "rule_extended_key_usages",
    "rule_creates_users",
    "rule_groups",
    "rule_allows_privileged",
)


class PemField(forms.CharField):
    """A text in which white space, which browsers change, means nothing."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Tell whether *data* is anything but *initial*."""
        before, after = ("".join(str(one or "").split()) for one in (initial, data))
        return before != after


class CertificateAuthorityForm(FormWithoutPrivateKeys):
    """An authority, from a bundle that is pasted or uploaded, and its rule.

    ``may_use_cas`` may be set to a function that tells whether the person at the
    keyboard may put CAs with these public keys into an authority. After
    ``is_valid()``, ``remarks`` says what was done without being asked.
    """

    may_use_cas: Callable[[Collection[bytes]], bool] | None = None

    upload = forms.FileField(
        label=_("or upload them"),
        required=False,
        widget=forms.FileInput,
        help_text=_("The ca.crt of the proxy: PEM, DER or PKCS#7."),
    )

    rule_preset = forms.ChoiceField(
        label=_("Start from"),
        required=False,
        choices=[
            ("", _("nothing: the fields below as they are")),
            ("cac", _("CAC: the EDIPI is the user’s name")),
            ("piv", _("PIV: the user principal name is the user’s name")),
            ("spiffe", _("SPIFFE: the URI with a trust domain holds the name")),
        ],
        help_text=_(
            "Fills those of the fields below that are empty when you save. For SPIFFE, "
            "write the pattern too: spiffe://your.trust.domain/*."
        ),
    )

    class Meta:
        model = CertificateAuthority
        fields = (
            "name",
            "bundle",
            "profile",
            "note",
            "revocation_policy",
            "crl_urls",
            *RULE_FIELDS,
        )
        field_classes = {"bundle": PemField}
        widgets = {
            "bundle": forms.Textarea(
                attrs={
                    "class": "vLargeTextField",
                    "rows": 10,
                    "spellcheck": "false",
                    "autocomplete": "off",
                    "placeholder": "-----BEGIN CERTIFICATE-----",
                }
            ),
            "note": forms.Textarea(attrs={"class": "vLargeTextField", "rows": 3}),
            "crl_urls": forms.Textarea(attrs={**CODE, "rows": 2}),
            "rule_user_field": forms.Select,
            "rule_pattern": forms.TextInput(attrs={**CODE, "class": "vTextField"}),
            "rule_hosts": forms.Textarea(attrs={**CODE, "rows": 2}),
            "rule_policies": forms.Textarea(attrs={**CODE, "rows": 2}),
            "rule_extended_key_usages": forms.Textarea(attrs={**CODE, "rows": 2}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.remarks: list[str] = []
        if "bundle" in self.fields:
            self.fields["bundle"].required = False
        if "rule_user_field" in self.fields:
            self._offer_user_fields()

    def clean_upload(self) -> Sequence[ClientCertificate]:
        """Return the certificates in the uploaded file."""
        upload = self.cleaned_data["upload"]
        return () if upload is None else read_bundle(read_file(upload))

    def clean(self) -> dict[str, Any]:
        """Fill in the preset; bring the certificates into one form of PEM."""
        cleaned = super().clean()
        if "rule_preset" in self.fields and not self.errors:
            self._fill_in_rule(cleaned)
        if not self.errors:
            try:
                cleaned["bundle"] = self._find_bundle(
                    cleaned["upload"], cleaned["bundle"]
                )
            except ValidationError as error:
                self.add_error("bundle", error)
        return cleaned

    def _offer_user_fields(self) -> None:
        """Offer the fields of the user, and what is stored, though it be none."""
        stored: str = self.instance.rule_user_field
        default = self.instance._meta.model(rule_user_field="").user_field
        names = [one for one in user_fields() if one != default]
        if stored not in ("", default, *names):
            names.append(stored)
        self.fields["rule_user_field"].widget = forms.Select(
            choices=[
                ("", default),
                *([(default, default)] if stored == default else []),
                *((one, visible(one, 100)) for one in names),
            ]
        )

    def _fill_in_rule(self, cleaned: dict[str, Any]) -> None:
        """Fill the empty ones of the rule's fields from the chosen preset."""
        filled = []
        for name, value in PRESETS.get(cleaned["rule_preset"], {}).items():
            if cleaned.get(name):
                continue
            cleaned[name] = value
            # So that the page shows it, should it come back with an error.
            data: Any = self.data
            data[self.add_prefix(name)] = value
            label = str(self.fields[name].label)
            shown = dict(getattr(self.fields[name], "choices", ())).get(value, value)
            filled.append(f"{label}: {shown}")
        if filled:
            self.remarks.append(
                gettext("Filled in from the preset: %(fields)s.")
                % {"fields": "; ".join(filled)}
            )
        if f"//{PLACEHOLDER_DOMAIN}/" in cleaned["rule_pattern"].lower():
            self.add_error(
                "rule_pattern",
                ValidationError(
                    _(
                        "“%(domain)s” is only an example: write your own trust domain "
                        "in its place."
                    ),
                    code="placeholder",
                    params={"domain": PLACEHOLDER_DOMAIN},
                ),
            )

    def _find_bundle(self, uploaded: Sequence[ClientCertificate], text: str) -> str:
        """Return the bundle, PEM.

        Raises:
            ValidationError: there is none, there are two, or it cannot be read.
        """
        if not uploaded and not text.strip():
            raise ValidationError(
                _("Paste or upload the certificates of the CA."), code="required"
            )
        if uploaded and text.strip() and "bundle" in self.changed_data:
            raise ValidationError(
                _("Paste the certificates or upload them, not both."),
                code="two_bundles",
            )
        certificates = uploaded or read_bundle(text)
        if uploaded or "bundle" in self.changed_data:
            self._check_use(certificates)
        bundle = to_pem(certificates)
        if len(bundle) > MAX_BUNDLE_BYTES:
            raise ValidationError(
                _("These are more certificates than fit into one authority (1 MiB)."),
                code="too_large",
            )
        return bundle

    def _check_use(self, certificates: Sequence[ClientCertificate]) -> None:
        """Return if these CAs may be put into an authority.

        Raises:
            ValidationError: one is of another, which is out of reach.
        """
        keys = set()
        for one in certificates:
            with suppress(CertificateParseError):  # said when the model is checked
                keys.add(one.public_key_bytes)
        if self.may_use_cas is not None and not self.may_use_cas(keys):
            raise ValidationError(
                _(
                    "One of these CAs is in another authority, which you may not "
                    "change. What is revoked here would be revoked there too."
                ),
                code="not_in_reach",
            )
