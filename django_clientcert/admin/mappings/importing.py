"""The pages that import: choose files, look at each row, and then store them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, cast

from django.contrib import messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, router, transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import (
    sensitive_post_parameters,
    sensitive_variables,
)

from django_clientcert.admin.base.permissions import why_not_map
from django_clientcert.admin.base.screens import hide_from_reports, show_page
from django_clientcert.models import CertificateMapping, PendingImport
from django_clientcert.trust.transfer import Loader, Outcome, Status, TransferError
from django_clientcert.trust.transfer.records import MAPPING_FIELDS
from django_clientcert.x509.identities import IdentityKind

from .exporting import ExportingAdmin
from .transfer_forms import ImportForm, Which, WhichForm, kept_rows

_WILL = {
    Status.NEW: _("will be created"),
    Status.EXISTS: _("exists already"),
    Status.REFUSED: _("refused"),
}
_DONE = {
    Status.NEW: _("was created"),
    Status.EXISTS: _("existed already"),
    Status.REFUSED: _("was left out"),
}


class _Trial(NamedTuple):
    """What became, or would become, of each row; or why of none."""

    outcomes: Sequence[Outcome]
    refused_others: int = 0
    problem: str = ""

    def count(self, status: Status) -> int:
        """Return how many rows there are of *status*."""
        return sum(one.status is status for one in self.outcomes)

    def is_storable(self, which: Which) -> bool:
        """Tell whether *which* may be stored.

        Without an authority or a revocation, others would be let in: nothing but
        mappings is left out.
        """
        if self.problem:
            return False
        if which is Which.ALL:
            return not self.count(Status.REFUSED)
        return not self.refused_others


class ImportingAdmin(ExportingAdmin):
    """An admin with pages that import mappings."""

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses, with those of the pages."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_import"
        view = self.admin_site.admin_view
        return [
            path("import/", view(self.import_view), name=name),
            path("import/<int:key>/", view(self.preview_view), name=f"{name}_preview"),
            *super().get_urls(),
        ]

    @method_decorator(sensitive_post_parameters())
    @sensitive_variables()
    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for files; what they hold is kept, and shown on the next page.

        Raises:
            PermissionDenied: this person may not add mappings.
        """
        hide_from_reports(request)
        if not self.has_add_permission(request):
            raise PermissionDenied
        sent = (request.POST, request.FILES) if request.method == "POST" else ()
        form = ImportForm(*sent)
        if sent and form.is_valid():
            PendingImport.forget_old(timezone.now())
            pending = PendingImport(owner=cast(Any, request.user))
            kind, rows = form.cleaned_data["kind"], form.cleaned_data["rows"]
            pending.pack({"kind": kind, "rows": rows})
            pending.save()
            return HttpResponseRedirect(self.page_url("import_preview", pending.pk))
        return show_page(
            self,
            request,
            "import.html",
            title=gettext("Import"),
            back=self.page_url("changelist"),
            form=form,
            fieldsets=[(_("What to import"), {"fields": tuple(form.fields)})],
            columns=MAPPING_FIELDS,
            action_url=self.page_url("import"),
            button=gettext("Look at it first"),
        )

    @method_decorator(sensitive_post_parameters())
    @sensitive_variables()
    def preview_view(self, request: HttpRequest, key: int) -> HttpResponse:
        """Show what would become of each row, store them, or show what has become.

        Raises:
            PermissionDenied: this person may not add mappings.
        """
        hide_from_reports(request)
        if not self.has_add_permission(request):
            raise PermissionDenied
        pending = PendingImport.objects.filter(pk=key, owner=request.user.pk).first()
        if pending is None:
            text = gettext("There is no such import any more: choose the files again.")
            self.message_user(request, text, messages.WARNING)
            return HttpResponseRedirect(self.page_url("import"))
        if pending.stored_at is not None:
            return self._report(request, pending)
        form = None
        if request.method == "POST":
            form = WhichForm(request.POST)
            if form.is_valid():
                which = Which(form.cleaned_data["which"])
                why_not = self._store(request, pending, which)
                if not why_not:
                    address = self.page_url("import_preview", pending.pk)
                    return HttpResponseRedirect(address)
                form.add_error("which", why_not)
        return self._preview(request, pending, form)

    # --- loading

    def _store(self, request: HttpRequest, pending: PendingImport, which: Which) -> str:
        """Store the rows, once; return why not, or an empty text."""
        using = router.db_for_write(CertificateMapping)
        try:
            with transaction.atomic(using=using):
                # Sent twice, it waits here, and finds that it is done.
                locked = PendingImport.objects.using(using).select_for_update()
                found = locked.filter(pk=pending.pk).first()
                if found is None:
                    return gettext("Nothing was stored: this import is gone.")
                pending = found
                if pending.stored_at is not None:
                    return ""
                trial = self._load(request, pending, partial(_log, request))
                if not trial.is_storable(which):
                    transaction.set_rollback(True, using=using)
                    return gettext(
                        "Nothing was stored: some rows cannot be, as is shown below."
                    )
                pending.stored_at = timezone.now()
                pending.pack(
                    [
                        (one.place, one.what, one.status.value, one.detail)
                        for one in trial.outcomes
                    ]
                )
                pending.save()
        except IntegrityError:
            return gettext(
                "Nothing was stored: something that the rows need was deleted at the "
                "same moment. Look at them again."
            )
        return ""

    def _try(self, request: HttpRequest, pending: PendingImport) -> _Trial:
        """Return what would become of the rows."""
        using = router.db_for_write(CertificateMapping)
        with transaction.atomic(using=using):
            trial = self._load(request, pending, lambda rows: None)
            transaction.set_rollback(True, using=using)
        return trial

    def _load(
        self, request: HttpRequest, pending: PendingImport, stored: Any
    ) -> _Trial:
        content = pending.unpack()
        loader = Loader(
            kind=IdentityKind(content["kind"]),
            refuse_user=partial(why_not_map, request.user),
            mappings_only=not getattr(request.user, "is_superuser", False),
            stored=stored,
        )
        outcomes: list[Outcome] = []
        try:
            outcomes.extend(loader.load(kept_rows(content["rows"])))
        except TransferError as error:
            return _Trial(outcomes, problem=str(error))
        return _Trial(outcomes, loader.refused_others)

    # --- showing

    def _preview(
        self, request: HttpRequest, pending: PendingImport, form: WhichForm | None
    ) -> HttpResponse:
        trial = self._try(request, pending)
        new, refused = trial.count(Status.NEW), trial.count(Status.REFUSED)
        which = Which.VALID if refused else Which.ALL
        problem = trial.problem
        if not new and not problem:
            problem = gettext("There is nothing in it that could be created.")
        elif trial.refused_others:
            problem = gettext(
                "Something else than a mapping is refused. Without an authority or a "
                "revocation others would be let in: nothing can be stored."
            )
        if not trial.is_storable(which) or not new:
            form = None
        elif form is None:
            form = WhichForm(initial={"which": which.value})
        button = ngettext("Import %(n)d", "Import %(n)d", new) % {"n": new}
        return self._show(
            request,
            pending,
            trial.outcomes,
            _WILL,
            form=form,
            problem=problem,
            button=button,
        )

    def _report(self, request: HttpRequest, pending: PendingImport) -> HttpResponse:
        outcomes = [
            Outcome(place, what, Status(status), detail)
            for place, what, status, detail in pending.unpack()
        ]
        return self._show(request, pending, outcomes, _DONE, form=None, is_done=True)

    def _show(
        self,
        request: HttpRequest,
        pending: PendingImport,
        outcomes: Sequence[Outcome],
        words: dict[Status, Any],
        *,
        form: WhichForm | None,
        **context: Any,
    ) -> HttpResponse:
        wanted = request.GET.get("status", "")
        counts = [
            {
                "status": status.value,
                "words": words[status],
                "count": sum(one.status is status for one in outcomes),
                "is_chosen": status.value == wanted,
            }
            for status in Status
        ]
        return show_page(
            self,
            request,
            "import_preview.html",
            title=gettext("What was imported")
            if pending.stored_at
            else gettext("What would be imported"),
            back=self.page_url("changelist" if pending.stored_at else "import"),
            form=form,
            fieldsets=[(_("How"), {"fields": ("which",)})],
            counts=counts,
            wanted=wanted,
            total=len(outcomes),
            rows=[
                {
                    "place": one.place,
                    "what": one.what,
                    "result": words[one.status],
                    "detail": one.detail,
                    "is_refused": one.status is Status.REFUSED,
                }
                for one in outcomes
                if wanted in ("", one.status.value)
            ],
            action_url=self.page_url("import_preview", pending.pk),
            **context,
        )


def _log(request: HttpRequest, rows: list[Model]) -> None:
    """Write into the history of *rows* that they were imported."""
    LogEntry.objects.log_actions(
        cast(Any, request.user).pk, rows, ADDITION, [{"added": {}}]
    )
