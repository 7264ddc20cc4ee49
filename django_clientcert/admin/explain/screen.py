"""The page that explains a decision: every step, and what would have to change."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.base_admin import fieldset, is_possible_key
from django_clientcert.admin.base.permissions import may_see
from django_clientcert.admin.base.screens import screen, show_page
from django_clientcert.explaining.report import Report
from django_clientcert.models import (
    CertificateMapping,
    SeenCertificate,
    UnknownCertificate,
)
from django_clientcert.trust.revoke import certificate_of
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible_once

from .form import ExplainForm
from .report_html import ReportPage

SOURCES: dict[str, Any] = {
    "mapping": CertificateMapping,
    "seen": SeenCertificate,
    "unknown": UnknownCertificate,
}


class Source(NamedTuple):
    """A row in the query string; ``certificate`` is None if it stores none."""

    query: dict[str, str]
    name: str
    certificate: ClientCertificate | None
    host: str


@screen("view")
def explain_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Ask for a certificate, or show every step of the decision about it.

    The query string may name a row (see ``SOURCES``). Nothing is written.
    """
    source = _find_source(model_admin.admin_site, request)
    problem = ""
    if source is None and request.GET:
        problem = gettext("There is no such certificate, or you may not view it.")
    elif source is not None and source.certificate is None:
        problem = gettext(
            "No certificate is stored there, and none was seen. Paste one that should "
            "match it."
        )
    form: ExplainForm | None = None
    report: Report | None = None
    try:
        form, report = _ask(request, source)
    except ImproperlyConfigured as error:
        text = gettext("The settings cannot be used: %(why)s")
        problem = text % {"why": visible_once(str(error), 500)}
    query = f"?{urlencode(source.query)}" if source is not None else ""
    return show_page(
        model_admin,
        request,
        "explain.html",
        title=gettext("Explain a decision"),
        form=form,
        fieldsets=[
            fieldset(_("Certificate"), "pasted", "upload", "header"),
            fieldset(_("Circumstances"), "host", "verdict", "peer", "at"),
        ],
        action_url=request.path + query,
        source=source,
        answer=report and ReportPage(model_admin, request, report).context(),
        problem=problem,
        button=gettext("Explain"),
    )


def may_explain(site: AdminSite, request: HttpRequest) -> bool:
    """Return whether *site* has the page and the user may use it."""
    return may_see(site, request, CertificateMapping)


def _find_source(site: AdminSite, request: HttpRequest) -> Source | None:
    """Return the row that the query string names, if the user may view it."""
    for name, model in SOURCES.items():
        key = request.GET.get(name, "")
        if not (
            key and site.is_registered(model) and is_possible_key(model._meta.pk, key)
        ):
            continue
        model_admin: Any = site.get_model_admin(model)
        row = model_admin.get_object(request, key)
        if row is not None and model_admin.has_view_permission(request, row):
            is_mapping = isinstance(row, CertificateMapping)
            return Source(
                {name: str(row.pk)},
                f"{model_admin.opts.verbose_name} {row.pk}: {row}",
                certificate_of(row) if is_mapping else row.client_certificate(),
                "" if is_mapping else str(row.host),
            )
    return None


def _ask(
    request: HttpRequest, source: Source | None
) -> tuple[ExplainForm, dict[str, Any] | None]:
    """Return the form to show, and the report if there was a question."""
    stored = None if source is None else source.certificate
    if request.method == "POST":
        form = ExplainForm(stored, request.POST, request.FILES)
        if not form.is_valid():
            return form, None
        report = form.answer()
        if "upload" in request.FILES:
            # Browsers do not send a file twice, so the next question has its text.
            data = request.POST.copy()
            data["pasted"] = form.pem()
            form = ExplainForm(stored, data)
        return form, report
    initial = {"host": "" if source is None else source.host}
    if stored is None:
        return ExplainForm(None, initial=initial), None
    first = ExplainForm(stored, initial)
    answer = first.answer() if first.is_valid() else None
    return ExplainForm(stored, initial=initial), answer
