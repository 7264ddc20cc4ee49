"""The form of a question: which certificate, and under which circumstances."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from typing import Any, NamedTuple

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.certificate_form import (
    CODE,
    MomentField,
    pasted_field,
    upload_field,
)
from django_clientcert.admin.base.entries import read_bundle, read_end_entity, read_file
from django_clientcert.admin.base.private_keys import FormWithoutModel
from django_clientcert.conf import conf
from django_clientcert.explaining import (
    Assumption,
    ExplainQuery,
    as_wsgi,
    ask_about_certificates,
    ask_about_header,
    choose_host,
)
from django_clientcert.models import CertificateMapping
from django_clientcert.wire import Proxy
from django_clientcert.x509.bundles import to_pem
from django_clientcert.x509.certificates import ClientCertificate


class Given(NamedTuple):
    """The certificate that was given, and all that came with it."""

    certificate: ClientCertificate
    everything: tuple[ClientCertificate, ...]


class ExplainForm(FormWithoutModel):
    """A certificate, or what the proxy would send; host, verdict, peer and date.

    *stored* is the certificate that is meant where none is given.

    Raises:
        ImproperlyConfigured: there is no proxy to speak of.
    """

    pasted = pasted_field()
    upload = upload_field()
    header = forms.CharField(
        label=_("Or the value of the header"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={**CODE, "rows": 4}),
        help_text=_(
            "The whole value, as the proxy sends it. Then a request is judged, and "
            "not only a certificate."
        ),
    )
    host = forms.CharField(
        label=_("Host"),
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={**CODE, "class": "vTextField"}),
        help_text=_("The host name that is asked for."),
    )
    verdict = forms.ChoiceField(label=_("The proxy says"), required=False)
    peer = forms.CharField(
        label=_("Sent by"),
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={**CODE, "class": "vTextField"}),
        help_text=_(
            "With a header: the address that sends the request. Empty: the first "
            "trusted proxy."
        ),
    )
    at = MomentField(
        label=_("Date"),
        required=False,
        help_text=_("Judge as of this moment. Empty: now."),
    )

    class Meta:
        model = CertificateMapping
        fields: tuple[str, ...] = ()

    def __init__(
        self, stored: ClientCertificate | None, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.stored = stored
        self.proxy = conf.CLIENTCERT_PROXY
        verdict: Any = self.fields["verdict"]
        verdict.choices = [
            ("", _("what is usual: success for a header, nothing for a certificate")),
            *_verdicts(self.proxy),
        ]

    def clean_pasted(self) -> Given | None:
        """Return the certificates in the pasted text."""
        text: str = self.cleaned_data["pasted"]
        return _read(_without_armour(text)) if text.strip() else None

    def clean_upload(self) -> Given | None:
        """Return the certificates in the uploaded file."""
        upload = self.cleaned_data["upload"]
        return None if upload is None else _read(read_file(upload))

    def clean(self) -> dict[str, Any]:
        """See that there is one thing to be explained."""
        cleaned = super().clean()
        if self.errors:
            return cleaned
        pasted, upload = cleaned["pasted"], cleaned["upload"]
        header = cleaned["header"].strip()
        if pasted and upload and pasted.certificate != upload.certificate:
            self._refuse("upload", _("The uploaded certificate is not the pasted one."))
        elif header and (pasted or upload):
            self._refuse("header", _("Give a certificate or a header, not both."))
        elif not (header or pasted or upload or self.stored is not None):
            self._refuse(
                "pasted", _("Paste or upload a certificate, or the value of a header.")
            )
        elif cleaned["peer"] and not header:
            self._refuse(
                "peer", _("This is about a request: give the value of a header.")
            )
        return cleaned

    def answer(self) -> dict[str, Any]:
        """Return what ``explaining.make_report()`` has; after ``is_valid()``."""
        cleaned = self.cleaned_data
        question = self._question()
        host, about_host = choose_host(cleaned["host"] or None)
        said: tuple[Assumption, ...] = (*question.assumptions, *about_host)
        at: dt.datetime = cleaned["at"] or timezone.now()
        return question.answer(host=host, at=at, assumptions=[one.text for one in said])

    def pem(self) -> str:
        """Return the certificates that were given, to be asked about once more."""
        given = self.cleaned_data["pasted"] or self.cleaned_data["upload"]
        return to_pem(given.everything) if given else ""

    def _question(self) -> ExplainQuery:
        cleaned = self.cleaned_data
        words = dict(_words(self.proxy))
        verdict = words.get(cleaned["verdict"])
        # A browser ends what was pasted with a line of its own.
        header = cleaned["header"].strip("\r\n")
        if header.strip():
            return ask_about_header(
                as_wsgi(header), verdict=verdict, peer=cleaned["peer"].strip() or None
            )
        given = cleaned["pasted"] or cleaned["upload"]
        if given:
            return ask_about_certificates(
                given.everything, given.certificate, verdict=verdict
            )
        assert self.stored is not None  # noqa: S101 - clean() has seen to it
        return ask_about_certificates([self.stored], self.stored, verdict=verdict)

    def _refuse(self, name: str, text: Any) -> None:
        self.add_error(name, ValidationError(text, code="source"))


def _read(data: bytes | str) -> Given:
    """Return the certificates in *data*.

    Raises:
        ValidationError: with what is wrong, and where.
    """
    return Given(read_end_entity(data), read_bundle(data))


def _without_armour(text: str) -> bytes | str:
    """Return the DER where *text* is its base64 and nothing else; or *text* itself."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return text


def _words(proxy: Proxy) -> list[tuple[str, str]]:
    """Return by the names of the choices what the proxy would say."""
    if proxy.verdict is None:
        return []
    failures = [(f"failure-{n}", word) for n, word in enumerate(proxy.failure)]
    return [("success", proxy.success), *failures, ("nothing", "")]


def _verdicts(proxy: Proxy) -> list[tuple[str, Any]]:
    """Return the choices."""
    texts = {"success": _("%(word)s: it is verified"), "nothing": _("nothing at all")}
    return [
        (
            name,
            texts.get(name, _("%(word)s it could not be verified")) % {"word": word},
        )
        for name, word in _words(proxy)
    ]
