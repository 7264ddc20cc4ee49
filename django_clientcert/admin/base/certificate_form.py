"""Fields and a form for a certificate that is pasted or uploaded."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils import timezone
from django.utils.functional import lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.x509.certificates import ClientCertificate

from .entries import check_year, field_error, read_end_entity, read_file
from .private_keys import FormWithoutPrivateKeys

CODE = {"class": "vLargeTextField", "spellcheck": "false", "autocomplete": "off"}


def _with_time_zone(help_text: Any) -> str:
    zone = timezone.get_current_timezone()
    text = gettext("In the time zone %(zone)s.") % {"zone": zone}
    return f"{help_text} {text}".lstrip()


class MomentField(forms.DateTimeField):
    """A date and time, entered with the browser's own widget.

    The help text names the time zone, because the screens show times in UTC.
    """

    default_validators = [check_year]

    def __init__(self, help_text: Any = "", **kwargs: Any) -> None:
        widget = forms.DateTimeInput(
            attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"
        )
        help_text = lazy(_with_time_zone, str)(help_text)
        super().__init__(widget=widget, help_text=help_text, **kwargs)


class CertificateForm(FormWithoutPrivateKeys):
    """A form with fields to paste or upload a certificate."""

    pasted = forms.CharField(
        label=_("Paste a certificate"),
        required=False,
        strip=False,
        widget=forms.Textarea(
            attrs={**CODE, "rows": 6, "placeholder": "-----BEGIN CERTIFICATE-----"}
        ),
        help_text=_("PEM. If you paste a chain, the client’s certificate is used."),
    )
    upload = forms.FileField(
        label=_("Or upload a certificate"),
        required=False,
        widget=forms.FileInput,
        help_text=_(
            "PEM, DER or PKCS#7 (.pem, .crt, .cer, .der, .p7b). Do not "
            "upload a .p12, which contains the private key."
        ),
    )

    def read(self, data: bytes | str) -> ClientCertificate:
        """Return the end-entity certificate in what was pasted or uploaded."""
        return read_end_entity(data)

    def clean_pasted(self) -> ClientCertificate | None:
        """Return the end-entity certificate in the pasted text."""
        text: str = self.cleaned_data["pasted"]
        return self.read(text) if text.strip() else None

    def clean_upload(self) -> ClientCertificate | None:
        """Return the end-entity certificate in the uploaded file."""
        upload = self.cleaned_data["upload"]
        return None if upload is None else self.read(read_file(upload))

    def given_certificate(self) -> ClientCertificate | None:
        """Return the certificate that was pasted or uploaded, if any.

        Raises:
            ValidationError: two different certificates were given.
        """
        pasted: ClientCertificate | None = self.cleaned_data["pasted"]
        upload: ClientCertificate | None = self.cleaned_data["upload"]
        if pasted is not None and upload is not None and pasted != upload:
            message = _("The uploaded certificate is not the pasted one.")
            raise field_error("upload", message, "two_certificates")
        return upload if pasted is None else pasted
