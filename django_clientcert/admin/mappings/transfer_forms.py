"""The forms of the pages that import and export."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.private_keys import FormWithoutModel
from django_clientcert.models import CertificateMapping
from django_clientcert.trust.transfer import Row, TransferError, read_uploads
from django_clientcert.trust.transfer.reading import USER_FROM, refuse_bombs
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import IdentityKind

# What a page shows and a request stores; more is the command’s.
MAX_ROWS = 5000
MAX_BYTES = 8 * 1024 * 1024

_TOO_MUCH = _(
    "This is more than %(rows)d rows or %(size)d MiB. Use “manage.py clientcert "
    "import”, which takes a file of any size and shows its progress."
)
_USER_FROM = {
    "file-name": _("the name of its file, without the ending"),
    "common-name": _("the common name in it"),
    "email": _("the e-mail address in it"),
    "upn": _("the user principal name in it"),
}

# A row as JSON has it: where it stands, the record, and why there is none
KeptRow = tuple[str, dict[str, Any], str]


class _FilesInput(forms.FileInput):
    allow_multiple_selected = True


class _FilesField(forms.FileField):
    """One file or several: the value is a list of uploads."""

    widget = _FilesInput

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        """Return the uploads.

        Raises:
            ValidationError: there is none, or one is empty.
        """
        files = data if isinstance(data, (list, tuple)) else [data]
        one = super().clean
        return [one(file, initial) for file in files or [None]]


class ImportForm(FormWithoutModel):
    """Files, and what is assumed where they do not say it."""

    uploads = _FilesField(
        label=_("Files"),
        help_text=_(
            "A CSV file, an export in JSON, a zip archive of certificates, or several "
            "certificates. Never a private key."
        ),
    )
    user_from = forms.ChoiceField(
        label=_("The user of a certificate is"),
        choices=[(name, _USER_FROM[name]) for name in USER_FROM],
        help_text=_("In CSV and JSON, each row names its user."),
    )
    kind = forms.ChoiceField(
        label=_("Map by"),
        choices=CertificateMapping.MappingKind.choices,
        initial=IdentityKind.FINGERPRINT.value,
        help_text=_("Where a row does not name a kind."),
    )

    class Meta:
        model = CertificateMapping
        fields: tuple[str, ...] = ()

    def clean(self) -> dict[str, Any]:
        """Read the files: ``rows`` is what they hold.

        Raises:
            ValidationError: they cannot be read, or hold too much.
        """
        cleaned = super().clean()
        if self.errors:
            return cleaned
        uploads = [(str(one.name), one.file) for one in cleaned["uploads"]]
        try:
            refuse_bombs(uploads, MAX_BYTES)
            rows = read_uploads(uploads, user_from=cleaned["user_from"])
            cleaned["rows"] = _keep(rows)
        except TransferError as error:
            self.add_error("uploads", ValidationError(str(error), code="unreadable"))
        return cleaned


class Which(models.TextChoices):
    """What to do where some rows cannot be stored."""

    ALL = "all", _("all rows, or none")
    VALID = "valid", _("those that can be stored; the others are left out")


class WhichForm(FormWithoutModel):
    """Whether all rows have to go in."""

    which = forms.ChoiceField(
        label=_("Import"),
        choices=Which.choices,
        widget=forms.RadioSelect(attrs={"class": "radiolist"}),
    )

    class Meta:
        model = CertificateMapping
        fields: tuple[str, ...] = ()


class ExportForm(FormWithoutModel):
    """What to write, and how; everything only for those who may see everything."""

    what = forms.ChoiceField(
        label=_("Export"), widget=forms.RadioSelect(attrs={"class": "radiolist"})
    )

    class Meta:
        model = CertificateMapping
        fields: tuple[str, ...] = ()

    def __init__(self, *args: Any, everything: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [
            ("csv", _("the mappings as CSV, for a spreadsheet")),
            ("json", _("the mappings as JSON")),
        ]
        if everything:
            text = _(
                "everything that decisions rest on as JSON: authorities with their "
                "rules, revocation lists, revocations and mappings"
            )
            choices.append(("everything", text))
        field: Any = self.fields["what"]
        field.choices = choices
        field.initial = "csv"


def kept_rows(rows: Iterable[KeptRow]) -> Iterable[Row]:
    """Return what was kept as rows again."""
    return (Row(*one) for one in rows)


def _keep(rows: Iterable[Row]) -> list[KeptRow]:
    """Return *rows* as JSON has them.

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
