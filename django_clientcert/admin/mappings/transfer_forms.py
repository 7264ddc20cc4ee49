"""The forms of the import and export screens."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.private_keys import FormWithoutModel
from django_clientcert.models import CertificateMapping
from django_clientcert.trust.transfer.reading import (
    USER_FROM,
    Row,
    TransferError,
    read_uploads,
    refuse_bombs,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import IdentityKind

# What a page can show and a request can store; the command takes larger files.
MAX_ROWS = 5000
MAX_BYTES = 8 * 1024 * 1024

_TOO_MUCH = _(
    "This is more than %(rows)d rows or %(size)d MiB. Use “manage.py clientcert "
    "import”, which accepts files of any size and shows its progress."
)
_USER_FROM = {
    "file-name": _("the name of its file, without the extension"),
    "common-name": _("its common name"),
    "email": _("its e-mail address"),
    "upn": _("its user principal name"),
}

# A row as JSON: its place in the file, the record, and why there is none
KeptRow = tuple[str, dict[str, Any], str]


class _FilesInput(forms.FileInput):
    allow_multiple_selected = True


class _FilesField(forms.FileField):
    """One or more files: the value is a list of uploads."""

    widget = _FilesInput

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        """Return the uploads.

        Raises:
            ValidationError: there is no file, or one is empty.
        """
        files = data if isinstance(data, (list, tuple)) else [data]
        clean_file = super().clean
        return [clean_file(file, initial) for file in files or [None]]


class ImportForm(FormWithoutModel):
    """Files to import, and defaults for what they do not specify."""

    uploads = _FilesField(
        label=_("Files"),
        help_text=_(
            "A CSV file, an export in JSON, a zip archive of certificates, or several "
            "certificates. Never upload a private key."
        ),
    )
    user_from = forms.ChoiceField(
        label=_("Username of a certificate’s user"),
        choices=[(name, _USER_FROM[name]) for name in USER_FROM],
        help_text=_("In CSV and JSON files, each row names its user."),
    )
    kind = forms.ChoiceField(
        label=_("Map by"),
        choices=CertificateMapping.MappingKind.choices,
        initial=IdentityKind.FINGERPRINT.value,
        help_text=_("Used for rows that do not specify a kind."),
    )

    class Meta:
        model = CertificateMapping
        fields: tuple[str, ...] = ()

    def clean(self) -> dict[str, Any]:
        """Read the files into ``rows``, or add the error."""
        cleaned = super().clean()
        if self.errors:
            return cleaned
        uploads = [(str(upload.name), upload.file) for upload in cleaned["uploads"]]
        try:
            refuse_bombs(uploads, MAX_BYTES)
            rows = read_uploads(uploads, user_from=cleaned["user_from"])
            cleaned["rows"] = _keep(rows)
        except TransferError as error:
            self.add_error("uploads", ValidationError(str(error), code="unreadable"))
        return cleaned


class ExportForm(FormWithoutModel):
    """What to export, and in which format.

    The full configuration is offered only with *everything*.
    """

    what = forms.ChoiceField(
        label=_("Export"),
        initial="csv",
        widget=forms.RadioSelect(attrs={"class": "radiolist"}),
    )

    class Meta:
        model = CertificateMapping
        fields: tuple[str, ...] = ()

    def __init__(self, *args: Any, everything: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        full = _(
            "full configuration (JSON): authorities with their rules, CRLs, "
            "revocations and mappings"
        )
        what: Any = self.fields["what"]
        what.choices = [
            ("csv", _("mappings (CSV), for a spreadsheet")),
            ("json", _("mappings (JSON)")),
            *([("everything", full)] if everything else []),
        ]


def _keep(rows: Iterable[Row]) -> list[KeptRow]:
    """Return *rows* as values that JSON can represent.

    Raises:
        TransferError: there are too many, or they are too large.
    """
    kept: list[KeptRow] = []
    size = 0
    for place, record, problem in rows:
        certificate = record.get("certificate")
        if isinstance(certificate, ClientCertificate):
            text = base64.b64encode(certificate.der).decode()
            record = {**record, "certificate": text}
        kept.append((place, record, problem))
        size += len(json.dumps(kept[-1]))
        if len(kept) > MAX_ROWS or size > MAX_BYTES:
            raise TransferError(
                _TOO_MUCH % {"rows": MAX_ROWS, "size": MAX_BYTES // 1024**2}
            )
    return kept
