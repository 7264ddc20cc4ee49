"""Exports: selected mappings, all of them, or everything that decisions rest on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.base_admin import ClientCertModelAdmin
from django_clientcert.admin.base.screens import show_page
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
    RevocationList,
)
from django_clientcert.trust.transfer import (
    export_mappings,
    export_records,
    write_csv,
    write_json,
)
from django_clientcert.trust.transfer.records import Record

from .transfer_forms import ExportForm

_CHUNK = 64 * 1024
_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


class ExportingAdmin(ClientCertModelAdmin):
    """An admin with a page, and actions, that export."""

    streaming_actions = frozenset({"export_csv", "export_json"})

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses, with that of the page."""
        own = path(
            "export/",
            self.admin_site.admin_view(self.export_view),
            name=f"{self.opts.app_label}_{self.opts.model_name}_export",
        )
        return [own, *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Ask what to export, and send it.

        Raises:
            PermissionDenied: this person may not see mappings.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        everything = _may_see_everything(request)
        sent = (request.POST,) if request.method == "POST" else ()
        form = ExportForm(*sent, everything=everything)
        if sent and form.is_valid():
            what = form.cleaned_data["what"]
            records = export_records(mappings_only=what != "everything")
            return _send(request, records, "csv" if what == "csv" else "json")
        return show_page(
            self,
            request,
            "export.html",
            title=gettext("Export"),
            back=self.page_url("changelist"),
            form=form,
            fieldsets=[(_("What to export"), {"fields": ("what",)})],
            action_url=self.page_url("export"),
            button=gettext("Download"),
        )

    @admin.action(permissions=["view"], description=_("Export as CSV"))
    def export_csv(
        self, request: HttpRequest, queryset: QuerySet[CertificateMapping]
    ) -> HttpResponseBase:
        """Send the selected mappings as CSV."""
        return _send(request, export_mappings(queryset), "csv")

    @admin.action(permissions=["view"], description=_("Export as JSON"))
    def export_json(
        self, request: HttpRequest, queryset: QuerySet[CertificateMapping]
    ) -> HttpResponseBase:
        """Send the selected mappings as JSON."""
        return _send(request, export_mappings(queryset), "json")


def _may_see_everything(request: HttpRequest) -> bool:
    user: Any = request.user
    return all(
        user.has_perm(f"{one.app_label}.{get_permission_codename('view', one)}")
        for one in (
            model._meta for model in (CertificateAuthority, RevocationList, Revocation)
        )
    )


def _send(
    request: HttpRequest, records: Iterable[Record], format: str
) -> StreamingHttpResponse:
    """Return a file to be saved; it is written while it is sent."""
    pieces = _join(write_csv(records) if format == "csv" else write_json(records))
    now = timezone.now()
    day = timezone.localdate(now) if timezone.is_aware(now) else now.date()
    name = f"certificate-mappings-{day}.{format}"
    return StreamingHttpResponse(
        _in_threads(pieces) if isinstance(request, ASGIRequest) else pieces,
        content_type=_TYPES[format],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _join(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the same text in fewer pieces: each costs the server something."""
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
    """Yield *pieces*, each asked for in a thread that may query the database."""
    ask = sync_to_async(lambda: next(pieces, None))
    while (piece := await ask()) is not None:
        yield piece
