"""The import screens: choose files, preview the result for each row, store the rows."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

from django import forms
from django.contrib import messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.core.exceptions import ValidationError
from django.db import IntegrityError, router, transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.base_admin import fieldset
from django_clientcert.admin.base.permissions import why_not_map
from django_clientcert.admin.base.private_keys import FormWithoutModel
from django_clientcert.admin.base.screens import posted, screen, show_page
from django_clientcert.admin.base.which_form import Which, WhichForm
from django_clientcert.models import CertificateMapping, MappingLock, PendingImport
from django_clientcert.trust.transfer import reading
from django_clientcert.trust.transfer.loading import Loader, Outcome, Status
from django_clientcert.trust.transfer.records import MAPPING_FIELDS
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import IdentityKind

from .known import known_certificates

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

_EXPECTED = {
    Status.NEW: _("will be created"),
    Status.EXISTS: _("already exists"),
    Status.REFUSED: _("refused"),
}
_DONE = {
    Status.NEW: _("created"),
    Status.EXISTS: _("already existed"),
    Status.REFUSED: _("refused"),
}


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
        choices=[(name, _USER_FROM[name]) for name in reading.USER_FROM],
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
            reading.refuse_bombs(uploads, MAX_BYTES)
            rows = reading.read_uploads(uploads, user_from=cleaned["user_from"])
            cleaned["rows"] = _keep(rows)
        except reading.TransferError as error:
            self.add_error("uploads", ValidationError(str(error), code="unreadable"))
        return cleaned


def _keep(rows: Iterable[reading.Row]) -> list[KeptRow]:
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
            raise reading.TransferError(
                _TOO_MUCH % {"rows": MAX_ROWS, "size": MAX_BYTES // 1024**2}
            )
    return kept


class _Result(NamedTuple):
    """The outcome of each row, or the *problem* that all of them have."""

    outcomes: Sequence[Outcome]
    refused_others: int = 0
    problem: str = ""

    def count(self, status: Status) -> int:
        """Return the number of rows of *status*."""
        return sum(outcome.status is status for outcome in self.outcomes)

    def can_be_stored(self, which: Which) -> bool:
        """Return whether *which* rows can be stored.

        Only mappings may be left out: without an authority or a revocation, other
        certificates would be accepted.
        """
        if self.problem:
            return False
        if which is Which.ALL:
            return not self.count(Status.REFUSED)
        return not self.refused_others


@screen("add")
def import_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Ask for files, keep their rows, and redirect to the preview."""
    form = ImportForm(*posted(request))
    if form.is_valid():
        PendingImport.forget_old(timezone.now())
        pending = PendingImport(owner=cast(Any, request.user))
        pending.pack({name: form.cleaned_data[name] for name in ("kind", "rows")})
        pending.save()
        return HttpResponseRedirect(model_admin.page_url("import_preview", pending.pk))
    return show_page(
        model_admin,
        request,
        "import.html",
        title=gettext("Import"),
        form=form,
        fieldsets=[fieldset(_("What to import"), *form.fields)],
        columns=MAPPING_FIELDS,
        button=gettext("Preview"),
    )


@screen("add")
def preview_view(model_admin: Any, request: HttpRequest, key: int) -> HttpResponse:
    """Preview the result for each row, store the rows, or show what was stored."""
    pending = PendingImport.objects.filter(pk=key, owner=request.user.pk).first()
    if pending is None:
        text = gettext("This import no longer exists. Choose the files again.")
        model_admin.message_user(request, text, messages.WARNING)
        return HttpResponseRedirect(model_admin.page_url("import"))
    if pending.stored_at is not None:
        outcomes = [
            Outcome(place, what, Status(status), detail)
            for place, what, status, detail in pending.unpack()
        ]
        return show_page(
            model_admin,
            request,
            "import_preview.html",
            title=gettext("Import result"),
            is_done=True,
            **_table(request, _Result(outcomes), _DONE),
        )
    form = WhichForm(*posted(request))
    if form.is_valid():
        error = store(request, pending, Which(form.cleaned_data["which"]))
        if not error:
            here = model_admin.page_url("import_preview", pending.pk)
            return HttpResponseRedirect(here)
        form.add_error("which", error)
    return _preview(model_admin, request, pending, form)


def store(request: HttpRequest, pending: PendingImport, which: Which) -> str:
    """Store the rows, only once; return why they were not, or an empty text."""
    using = router.db_for_write(CertificateMapping)
    try:
        with transaction.atomic(using=using):
            MappingLock.acquire(using)
            # A second request waits here, and then finds that the rows are stored.
            locked = PendingImport.objects.using(using).select_for_update()
            current = locked.filter(pk=pending.pk).first()
            if current is None:
                return gettext("Nothing was stored: this import no longer exists.")
            if current.stored_at is not None:
                return ""
            log = partial(
                LogEntry.objects.log_actions,
                cast(Any, request.user).pk,
                action_flag=ADDITION,
                change_message=[{"added": {}}],
            )
            result = _load(request, current, log)
            if not result.can_be_stored(which):
                transaction.set_rollback(True, using=using)
                return gettext(
                    "Nothing was stored, because some rows are refused (see below)."
                )
            current.stored_at = timezone.now()
            current.pack(
                [
                    (outcome.place, outcome.what, outcome.status.value, outcome.detail)
                    for outcome in result.outcomes
                ]
            )
            current.save()
    except IntegrityError:
        return gettext(
            "Nothing was stored, because something that the rows refer to was deleted "
            "at the same time. Review the rows again."
        )
    return ""


def _load(
    request: HttpRequest, pending: PendingImport, stored: Callable[[list[Model]], Any]
) -> _Result:
    content = pending.unpack()
    loader = Loader(
        kind=IdentityKind(content["kind"]),
        refuse_user=partial(why_not_map, request.user),
        find_known=partial(known_certificates, of_privileged=True),
        mappings_only=not getattr(request.user, "is_superuser", False),
        stored=stored,
    )
    outcomes: list[Outcome] = []
    try:
        outcomes.extend(loader.load(reading.Row(*row) for row in content["rows"]))
    except reading.TransferError as error:
        return _Result(outcomes, problem=str(error))
    return _Result(outcomes, loader.refused_others)


def _preview(
    model_admin: Any, request: HttpRequest, pending: PendingImport, form: WhichForm
) -> HttpResponse:
    using = router.db_for_write(CertificateMapping)
    with transaction.atomic(using=using):
        result = _load(request, pending, lambda rows: None)
        transaction.set_rollback(True, using=using)
    new = result.count(Status.NEW)
    which = Which.VALID if result.count(Status.REFUSED) else Which.ALL
    problem = result.problem
    if not new and not problem:
        problem = gettext("The files contain nothing that can be created.")
    elif result.refused_others:
        problem = gettext(
            "A record that is not a mapping is refused, so nothing can be stored: "
            "without that authority or revocation, other certificates would be "
            "accepted."
        )
    form.initial = {"which": which.value}
    return show_page(
        model_admin,
        request,
        "import_preview.html",
        title=gettext("Import preview"),
        back=model_admin.page_url("import"),
        form=form if new and result.can_be_stored(which) else None,
        fieldsets=[fieldset(_("Options"), "which")],
        problem=problem,
        button=ngettext("Import %(n)d row", "Import %(n)d rows", new) % {"n": new},
        **_table(request, result, _EXPECTED),
    )


def _table(
    request: HttpRequest, result: _Result, labels: dict[Status, Any]
) -> dict[str, Any]:
    """Return the context of the outcomes, of which the query string may choose some."""
    wanted = request.GET.get("status", "")
    return {
        "counts": [
            (status.value, labels[status], result.count(status)) for status in Status
        ],
        "wanted": wanted,
        "total": len(result.outcomes),
        "rows": [
            (outcome, labels[outcome.status])
            for outcome in result.outcomes
            if wanted in ("", outcome.status.value)
        ],
    }
