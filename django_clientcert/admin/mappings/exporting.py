"""Exports: selected mappings, all mappings, or the full configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django import forms
from django.contrib import admin
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base import permissions
from django_clientcert.admin.base.base_admin import fieldset
from django_clientcert.admin.base.private_keys import FormWithoutModel
from django_clientcert.admin.base.screens import posted, screen, show_page
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
    RevocationList,
)
from django_clientcert.trust.transfer import records, writing

_CHUNK = 64 * 1024
_WRITERS = {"csv": writing.write_csv, "json": writing.write_json}
_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}

Rows = QuerySet[CertificateMapping]


class ExportForm(FormWithoutModel):
    """What to export, and in which format.

    The full configuration is offered only with *everything*.
    """

    what = forms.ChoiceField(
        label=_("Export"),
        initial="csv",
        widget=forms.RadioSelect(attrs={"class": "radiolist"}),
    )

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


@screen("view")
def export_view(model_admin: Any, request: HttpRequest) -> HttpResponseBase:
    """Ask what to export, and send it."""
    site = model_admin.admin_site
    may_export_everything = all(
        permissions.may_see(site, request, model)
        for model in (CertificateAuthority, RevocationList, Revocation)
    )
    form = ExportForm(*posted(request), everything=may_export_everything)
    if form.is_valid():
        what = form.cleaned_data["what"]
        # A project’s own admin may show each user only some of the rows.
        if what == "everything":
            rows_of: Any = partial(permissions.visible_rows, site, request)
            return _send(request, records.export_records(rows_of=rows_of), "json")
        rows = model_admin.get_queryset(request)
        return _send(request, records.export_mappings(rows), what)
    return show_page(
        model_admin,
        request,
        "export.html",
        title=gettext("Export"),
        form=form,
        fieldsets=[fieldset(_("What to export"), "what")],
        button=gettext("Download"),
    )


@admin.action(permissions=["view"], description=_("Export as CSV"))
def export_csv(
    model_admin: Any, request: HttpRequest, queryset: Rows
) -> HttpResponseBase:
    """Send the selected mappings as CSV."""
    return _send(request, records.export_mappings(queryset), "csv")


@admin.action(permissions=["view"], description=_("Export as JSON"))
def export_json(
    model_admin: Any, request: HttpRequest, queryset: Rows
) -> HttpResponseBase:
    """Send the selected mappings as JSON."""
    return _send(request, records.export_mappings(queryset), "json")


def _send(
    request: HttpRequest, rows: Iterable[records.Record], format: str
) -> StreamingHttpResponse:
    """Return a file to be saved, which is written while it is sent."""
    pieces = _join(_WRITERS[format](rows))
    now = timezone.now()
    day = timezone.localdate(now) if timezone.is_aware(now) else now.date()
    name = f"certificate-mappings-{day}.{format}"
    return StreamingHttpResponse(
        _in_threads(pieces) if isinstance(request, ASGIRequest) else pieces,
        content_type=_TYPES[format],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _join(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the same text in fewer pieces, because each costs the server time."""
    held: list[str] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _CHUNK:
            yield "".join(held)
            held, size = [], 0
    yield "".join(held)


async def _in_threads(pieces: Iterator[str]) -> AsyncIterator[str]:
    """Yield *pieces*, each fetched in a thread that may query the database."""
    fetch = sync_to_async(lambda: next(pieces, None))
    while (piece := await fetch()) is not None:
        yield piece
