"""The form of an authority."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from django_clientcert.bundles import to_pem
from django_clientcert.certificates import ClientCertificate
from django_clientcert.models import CertificateAuthority

from .entries import MAX_BUNDLE_BYTES, read_bundle, read_file
from .private_keys import FormWithoutPrivateKeys


class PemField(forms.CharField):
    """A text in which white space, which browsers change, means nothing."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Tell whether *data* is anything but *initial*."""
        before, after = ("".join(str(one or "").split()) for one in (initial, data))
        return before != after


class CertificateAuthorityForm(FormWithoutPrivateKeys):
    """An authority, from a bundle that is pasted or uploaded."""

    upload = forms.FileField(
        label=_("or upload them"),
        required=False,
        widget=forms.FileInput,
        help_text=_("The ca.crt of the proxy: PEM, DER or PKCS#7."),
    )

    class Meta:
        model = CertificateAuthority
        fields = ("name", "bundle", "profile", "note")
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
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "bundle" in self.fields:
            self.fields["bundle"].required = False

    def clean_upload(self) -> Sequence[ClientCertificate]:
        """Return the certificates in the uploaded file."""
        upload = self.cleaned_data["upload"]
        return () if upload is None else read_bundle(read_file(upload))

    def clean(self) -> dict[str, Any]:
        """Bring the certificates into one form: PEM, one behind the other."""
        cleaned = super().clean()
        if not self.errors:
            try:
                cleaned["bundle"] = self._find_bundle(
                    cleaned["upload"], cleaned["bundle"]
                )
            except ValidationError as error:
                self.add_error("bundle", error)
        return cleaned

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
        bundle = to_pem(uploaded or read_bundle(text))
        if len(bundle) > MAX_BUNDLE_BYTES:
            raise ValidationError(
                _("These are more certificates than fit into one authority (1 MiB)."),
                code="too_large",
            )
        return bundle
