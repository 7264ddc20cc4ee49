"""The page that explains a decision: every step, and what would have to change."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import (
    sensitive_post_parameters,
    sensitive_variables,
)

from django_clientcert.admin.base.base_admin import GuardedAdmin, hide_from_reports
from django_clientcert.admin.base.pages import show_page
from django_clientcert.admin.base.permissions import may_see
from django_clientcert.models import CertificateMapping
from django_clientcert.x509.escaping import visible_once

from .form import ExplainForm
from .report_html import in_words
from .sources import Chosen, find_source


class ExplainingAdmin(GuardedAdmin):
    """An admin with a page that explains what becomes of a certificate."""

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses, with that of the page."""
        own = path(
            "explain/",
            self.admin_site.admin_view(self.explain_view),
            name=f"{self.opts.app_label}_{self.opts.model_name}_explain",
        )
        return [own, *super().get_urls()]

    @method_decorator(sensitive_post_parameters())
    @sensitive_variables()
    def explain_view(self, request: HttpRequest) -> HttpResponse:
        """Ask about a certificate, or show every step of the decision on it.

        A row is named in the address (``sources``); what was pasted is sent. Nothing
        is written.

        Raises:
            PermissionDenied: this person may not see mappings.
        """
        hide_from_reports(request)
        if not self.has_view_permission(request):
            raise PermissionDenied
        source = find_source(self.admin_site, request)
        try:
            form, report = _ask(request, source)
        except ImproperlyConfigured as error:
            text = gettext("The settings cannot be used: %(why)s")
            problem = text % {"why": visible_once(str(error), 500)}
            return self._page(request, source, None, problem=problem)
        answer = None if report is None else in_words(self, request, report)
        return self._page(
            request, source, form, answer=answer, problem=_problem(request, source)
        )

    def _page(
        self,
        request: HttpRequest,
        source: Chosen | None,
        form: ExplainForm | None,
        **context: Any,
    ) -> HttpResponse:
        query = f"?{urlencode(source.query)}" if source is not None else ""
        return show_page(
            self,
            request,
            "explain.html",
            title=gettext("Explain a decision"),
            back=self._address("changelist"),
            form=form,
            fieldsets=[
                (_("Certificate"), {"fields": ("pasted", "upload", "header")}),
                (
                    _("Circumstances"),
                    {"fields": ("host", "verdict", "peer", "at")},
                ),
            ],
            action_url=self._address("explain") + query,
            source=source,
            button=gettext("Explain"),
            **context,
        )


def may_explain(site: AdminSite, request: HttpRequest) -> bool:
    """Tell whether there is the page, and this person may use it."""
    return may_see(site, request, CertificateMapping)


def _ask(
    request: HttpRequest, source: Chosen | None
) -> tuple[ExplainForm, dict[str, Any] | None]:
    """Return the form to show, and the answer if there was a question."""
    stored = None if source is None else source.certificate
    if request.method == "POST":
        form = ExplainForm(stored, request.POST, request.FILES)
        if not form.is_valid():
            return form, None
        report = form.answer()
        if "upload" in request.FILES:
            # A browser does not send a file twice: the next question has its text.
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
    """Return why the row in the address cannot be explained, if one is there."""
    if source is None:
        return (
            gettext("There is no such certificate, or you may not see it.")
            if request.GET
            else ""
        )
    if source.certificate is None:
        return gettext(
            "No certificate is stored there, and none was seen. Paste one that it "
            "should match."
        )
    return ""
