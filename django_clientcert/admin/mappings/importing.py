"""The import screens: choose files, preview the result for each row, store the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

from django.contrib import messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.db import IntegrityError, router, transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.permissions import why_not_map
from django_clientcert.admin.base.screens import posted, screen, show_page
from django_clientcert.admin.base.which_form import Which, WhichForm
from django_clientcert.models import CertificateMapping, MappingLock, PendingImport
from django_clientcert.trust.transfer.loading import Loader, Outcome, Status
from django_clientcert.trust.transfer.reading import Row, TransferError
from django_clientcert.trust.transfer.records import MAPPING_FIELDS
from django_clientcert.x509.identities import IdentityKind

from .known import known_certificates
from .transfer_forms import ImportForm

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
        fieldsets=[(_("What to import"), {"fields": tuple(form.fields)})],
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
        return _show_stored(model_admin, request, pending)
    form = None
    if request.method == "POST":
        form = WhichForm(request.POST)
        if form.is_valid():
            error = store(request, pending, Which(form.cleaned_data["which"]))
            if not error:
                return HttpResponseRedirect(
                    model_admin.page_url("import_preview", pending.pk)
                )
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
            result = _load(request, current, partial(_log, request))
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
    request: HttpRequest, pending: PendingImport, stored: Callable[[list[Model]], None]
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
        outcomes.extend(loader.load(Row(*row) for row in content["rows"]))
    except TransferError as error:
        return _Result(outcomes, problem=str(error))
    return _Result(outcomes, loader.refused_others)


def _log(request: HttpRequest, rows: list[Model]) -> None:
    """Record in the history of *rows* that they were imported."""
    LogEntry.objects.log_actions(
        cast(Any, request.user).pk, rows, ADDITION, [{"added": {}}]
    )


def _preview(
    model_admin: Any,
    request: HttpRequest,
    pending: PendingImport,
    form: WhichForm | None,
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
    if not result.can_be_stored(which) or not new:
        form = None
    elif form is None:
        form = WhichForm(initial={"which": which.value})
    return _show(
        model_admin,
        request,
        result,
        _EXPECTED,
        title=gettext("Import preview"),
        back=model_admin.page_url("import"),
        form=form,
        problem=problem,
        button=ngettext("Import %(n)d", "Import %(n)d", new) % {"n": new},
    )


def _show_stored(
    model_admin: Any, request: HttpRequest, pending: PendingImport
) -> HttpResponse:
    result = _Result(
        [
            Outcome(place, what, Status(status), detail)
            for place, what, status, detail in pending.unpack()
        ]
    )
    title = gettext("Import result")
    return _show(model_admin, request, result, _DONE, title=title, is_done=True)


def _show(
    model_admin: Any,
    request: HttpRequest,
    result: _Result,
    labels: dict[Status, Any],
    **context: Any,
) -> HttpResponse:
    wanted = request.GET.get("status", "")
    counts = [
        {
            "status": status.value,
            "label": labels[status],
            "count": result.count(status),
            "is_chosen": status.value == wanted,
        }
        for status in Status
    ]
    return show_page(
        model_admin,
        request,
        "import_preview.html",
        fieldsets=[(_("Options"), {"fields": ("which",)})],
        counts=counts,
        wanted=wanted,
        total=len(result.outcomes),
        rows=[
            {
                **outcome._asdict(),
                "result": labels[outcome.status],
                "is_refused": outcome.status is Status.REFUSED,
            }
            for outcome in result.outcomes
            if wanted in ("", outcome.status.value)
        ],
        **context,
    )
