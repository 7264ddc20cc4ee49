"""The page that explains a decision: every step, and what would have to change."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.base_admin import fieldset
from django_clientcert.admin.base.permissions import may_see
from django_clientcert.admin.base.screens import screen, show_page
from django_clientcert.explaining.report import Report
from django_clientcert.models import CertificateMapping
from django_clientcert.x509.escaping import visible_once

from .form import ExplainForm
from .report_html import render_report
from .sources import Chosen, find_source


@screen("view")
def explain_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Ask for a certificate, or show every step of the decision about it.

    The query string may name a row (see ``sources``). Nothing is written.
    """
    source = find_source(model_admin.admin_site, request)
    problem = _problem(request, source)
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
        answer=report and render_report(model_admin, request, report),
        problem=problem,
        button=gettext("Explain"),
    )


def may_explain(site: AdminSite, request: HttpRequest) -> bool:
    """Return whether *site* has the page and the user may use it."""
    return may_see(site, request, CertificateMapping)


def _ask(
    request: HttpRequest, source: Chosen | None
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


def _problem(request: HttpRequest, source: Chosen | None) -> str:
    """Return why the row in the query string cannot be explained, if one is given."""
    if source is None:
        return (
            gettext("There is no such certificate, or you may not view it.")
            if request.GET
            else ""
        )
    if source.certificate is None:
        return gettext(
            "No certificate is stored there, and none was seen. Paste one that should "
            "match it."
        )
    return ""
