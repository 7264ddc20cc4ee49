"""The form of the page that explains: a certificate and the circumstances."""

from __future__ import annotations

import base64
import binascii
from typing import Any, NoReturn

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.certificate_form import (
    CODE,
    CertificateForm,
    MomentField,
)
from django_clientcert.admin.base.entries import field_error, read_certificates
from django_clientcert.admin.base.private_keys import FormWithoutModel
from django_clientcert.conf import conf
from django_clientcert.explaining import asking
from django_clientcert.wire import Proxy
from django_clientcert.x509.bundles import to_pem
from django_clientcert.x509.certificates import ClientCertificate


class ExplainForm(CertificateForm, FormWithoutModel):
    """A certificate or header value, with host, verdict, peer and date.

    *stored* is the certificate to use if none is given.

    Raises:
        ImproperlyConfigured: the setting of the proxy is missing or invalid.
    """

    header = forms.CharField(
        label=_("Or the header value"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={**CODE, "rows": 4}),
        help_text=_(
            "The whole value, as the proxy sends it. A request is then explained, not "
            "only a certificate."
        ),
    )
    host = forms.CharField(
        label=_("Host"),
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={**CODE, "class": "vTextField"}),
        help_text=_("The host name that the request is for."),
    )
    verdict = forms.ChoiceField(label=_("Proxy verdict"), required=False)
    peer = forms.CharField(
        label=_("Sender"),
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={**CODE, "class": "vTextField"}),
        help_text=_(
            "Only with a header: the address that the request comes from. Leave empty "
            "for the first trusted proxy."
        ),
    )
    at = MomentField(
        label=_("Date"),
        required=False,
        help_text=_("When the request arrives. If empty, the current time is used."),
    )

    def __init__(
        self, stored: ClientCertificate | None, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.stored = stored
        # What was given: the certificate and, perhaps, those of its issuers
        self.chain: tuple[ClientCertificate, ...] = ()
        self.proxy = conf.CLIENTCERT_PROXY
        verdict: Any = self.fields["verdict"]
        verdict.choices = [
            ("", _("default (success for a header, none for a certificate)")),
            *((name, label) for name, _word, label in _verdicts(self.proxy)),
        ]

    def read(self, data: bytes | str) -> ClientCertificate:
        """Return the end-entity certificate, and keep the whole chain."""
        data = _without_armour(data) if isinstance(data, str) else data
        certificate = super().read(data)
        self.chain = self.chain or read_certificates(data)
        return certificate

    def clean(self) -> dict[str, Any]:
        """Check that there is exactly one thing to explain.

        Raises:
            ValidationError: there is nothing, too much, or a peer without a header.
        """
        cleaned = super().clean()
        if self.errors:
            return cleaned
        given, has_header = self.given_certificate(), bool(cleaned["header"].strip())
        if has_header and given:
            _refuse("header", _("Give a certificate or a header, not both."))
        cleaned["certificate"] = given or self.stored
        if not (has_header or cleaned["certificate"]):
            _refuse(
                "pasted", _("Paste or upload a certificate, or enter a header value.")
            )
        if cleaned["peer"] and not has_header:
            _refuse("peer", _("This needs a request: enter a header value too."))
        return cleaned

    def answer(self) -> dict[str, Any]:
        """Return the report of ``make_report()``; call ``is_valid()`` first."""
        cleaned = self.cleaned_data
        words = {name: word for name, word, _label in _verdicts(self.proxy)}
        verdict = words.get(cleaned["verdict"])
        # A pasted value may end with a line break.
        header = cleaned["header"].strip("\r\n")
        if header.strip():
            peer = cleaned["peer"].strip() or None
            query = asking.ask_about_header(
                asking.as_wsgi(header), verdict=verdict, peer=peer
            )
        else:
            certificate: ClientCertificate = cleaned["certificate"]
            query = asking.ask_about_certificates(
                self.chain or [certificate], certificate, verdict=verdict
            )
        return query.answer(
            host=cleaned["host"] or None, at=cleaned["at"] or timezone.now()
        )

    def pem(self) -> str:
        """Return the certificates that were given, for the next question."""
        return to_pem(self.chain)


def _refuse(name: str, text: Any) -> NoReturn:
    raise field_error(name, text, "source")


def _without_armour(text: str) -> bytes | str:
    """Return the DER if *text* is nothing but its base64; else *text* itself."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return text


def _verdicts(proxy: Proxy) -> list[tuple[str, str, Any]]:
    """Return the choices, each a name, the proxy's word and a label."""
    if proxy.verdict is None:
        return []
    choices = [("success", proxy.success, _("%(word)s: it is verified"))]
    choices += [
        (f"failure-{number}", word, _("%(word)s it could not be verified"))
        for number, word in enumerate(proxy.failure)
    ]
    choices.append(("nothing", "", _("nothing at all")))
    return [(name, word, label % {"word": word}) for name, word, label in choices]
