"""The form of an authority."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django import forms
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base import entries
from django_clientcert.admin.base.certificate_form import CODE
from django_clientcert.admin.base.permissions import may_use_cas
from django_clientcert.admin.base.private_keys import FormWithoutPrivateKeys
from django_clientcert.exceptions import CertificateParseError
from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.models.rules import user_fields
from django_clientcert.trust.replacing import find_orphans
from django_clientcert.x509.bundles import MAX_BUNDLE_BYTES, to_pem
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
    """A text in which white space, which browsers change, does not matter."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Return whether *data* differs from *initial* in more than white space."""
        before, after = ("".join(str(text or "").split()) for text in (initial, data))
        return before != after


class CertificateAuthorityForm(FormWithoutPrivateKeys):
    """An authority, from a bundle that is pasted or uploaded, and its rule.

    *actor* is the user who fills it in. After ``is_valid()``, ``filled_in`` says which
    fields the preset filled in, if any.
    """

    actor: Any = AnonymousUser()
    filled_in = ""

    upload = forms.FileField(
        label=_("Or upload them"),
        required=False,
        widget=forms.FileInput,
        help_text=_("The ca.crt of the proxy: PEM, DER or PKCS#7."),
    )

    rule_preset = forms.ChoiceField(
        label=_("Preset"),
        required=False,
        choices=[
            ("", _("no preset")),
            ("cac", _("CAC: the EDIPI is the username")),
            ("piv", _("PIV: the user principal name is the username")),
            ("spiffe", _("SPIFFE: the URI in a trust domain contains the username")),
        ],
        help_text=_(
            "On save, fills in the fields below that you left empty. For SPIFFE, also "
            "enter the pattern, such as spiffe://your.trust.domain/*."
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
                attrs={**CODE, "rows": 10, "placeholder": "-----BEGIN CERTIFICATE-----"}
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
        self.left_out: list[str] = []
        self.orphans: tuple[Sequence[CertificateMapping], int] = (), 0
        if "bundle" in self.fields:
            self.fields["bundle"].required = False
        if "rule_user_field" in self.fields:
            self._offer_user_fields()

    def clean_upload(self) -> Sequence[ClientCertificate]:
        """Return the certificates in the uploaded file."""
        upload = self.cleaned_data["upload"]
        return () if upload is None else self._read_bundle(entries.read_file(upload))

    def _read_bundle(self, data: bytes | str) -> Sequence[ClientCertificate]:
        """Return the CA certificates in *data*, and keep why others are left out."""
        certificates, self.left_out = entries.read_bundle(data)
        return certificates

    def clean(self) -> dict[str, Any]:
        """Fill in the preset, and normalise the PEM of the certificates."""
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
        """Offer the fields of the user model, and the stored value in any case."""
        stored: str = self.instance.rule_user_field
        default = self.instance._meta.model(rule_user_field="").user_field
        names = [name for name in user_fields() if name != default]
        if stored not in ("", default, *names):
            names.append(stored)
        self.fields["rule_user_field"].widget = forms.Select(
            choices=[
                ("", default),
                *([(default, default)] if stored == default else []),
                *((name, visible(name, 100)) for name in names),
            ]
        )

    def _fill_in_rule(self, cleaned: dict[str, Any]) -> None:
        """Fill in the empty fields of the rule from the chosen preset.

        Raises:
            ValidationError: the pattern still has the trust domain of the example.
        """
        filled = []
        for name, value in PRESETS.get(cleaned["rule_preset"], {}).items():
            if cleaned.get(name):
                continue
            cleaned[name] = value
            # The page shows it, should it come back with an error.
            data: Any = self.data
            data[self.add_prefix(name)] = value
            label = str(self.fields[name].label)
            shown = dict(getattr(self.fields[name], "choices", ())).get(value, value)
            filled.append(f"{label}: {shown}")
        if filled:
            text = gettext("Filled in from the preset: %(fields)s.")
            self.filled_in = text % {"fields": "; ".join(filled)}
        if f"//{PLACEHOLDER_DOMAIN}/" in cleaned["rule_pattern"].lower():
            raise entries.field_error(
                "rule_pattern",
                _(
                    "“%(domain)s” is only an example: replace it with your own trust "
                    "domain."
                ),
                "placeholder",
                domain=PLACEHOLDER_DOMAIN,
            )

    def _find_bundle(self, uploaded: Sequence[ClientCertificate], text: str) -> str:
        """Return the bundle as PEM.

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
        if not uploaded and "bundle" not in self.changed_data:
            # It may be larger than an upload, or not wholly readable any more.
            stored: str = self.instance.bundle
            return stored
        certificates = uploaded or self._read_bundle(text)
        self._check_use(certificates)
        self.orphans = find_orphans(self.instance, certificates)
        bundle = to_pem(certificates)
        if len(bundle) > MAX_BUNDLE_BYTES:
            raise ValidationError(
                _("These are more certificates than an authority can store (2 MiB)."),
                code="too_large",
            )
        return bundle

    def _check_use(self, certificates: Sequence[ClientCertificate]) -> None:
        """Raise unless the user may put these CAs into an authority.

        Raises:
            ValidationError: one is in another authority, which the user may not change.
        """
        keys = set()
        for certificate in certificates:
            with suppress(CertificateParseError):  # reported by the model's validation
                keys.add(certificate.public_key_bytes)
        if not may_use_cas(self.actor, keys):
            raise ValidationError(
                _(
                    "One of these CAs is also in an authority that you may not change. "
                    "What is revoked here would be revoked there too."
                ),
                code="not_in_reach",
            )
