"""The screen that maps a renewed certificate and lets the old mapping retire."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.screens import posted, screen, show_page
from django_clientcert.admin.base.times import moment
from django_clientcert.admin.base.warnings import certificate_warnings
from django_clientcert.admin.inbox.prefill import clear_inbox, find_suggestions
from django_clientcert.models import CertificateMapping
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import IdentityKind

from .renewal_form import RenewalForm


@screen("view", "change", "add")
def renew_view(
    model_admin: Any, request: HttpRequest, mapping: CertificateMapping
) -> HttpResponse:
    """Map a renewed certificate, and let the old mapping retire."""
    suggestions = find_suggestions(model_admin, request)
    initial = {} if suggestions is None else {"pasted": suggestions.pem}
    form = RenewalForm(mapping, *posted(request), initial=initial)
    if form.is_valid():
        return _finish(model_admin, request, mapping, form)
    return show_page(
        model_admin,
        request,
        "renew_mapping.html",
        title=gettext("Renew"),
        back=model_admin.page_url("change", mapping.pk),
        original=str(mapping),
        form=form,
        fieldsets=[
            (_("Renewed certificate"), {"fields": ("pasted", "upload")}),
            (_("Dates"), {"fields": ("retire_on", "valid_from")}),
        ],
        button=gettext("Renew"),
    )


def _finish(
    model_admin: Any,
    request: HttpRequest,
    mapping: Any,
    form: RenewalForm,
) -> HttpResponse:
    """Record and report the renewal."""
    successor: Any = form.successor
    model_admin.log_addition(request, successor, [{"added": {}}])
    mapping.refresh_from_db()
    changes = [{"changed": {"fields": ["State", "Valid until"]}}]
    model_admin.log_change(request, mapping, changes)
    text = gettext(
        "Mapping %(new)s was added for the renewed certificate. Mapping %(old)s "
        "retires on %(when)s."
    ) % {"new": successor.pk, "old": mapping.pk, "when": moment(mapping.valid_until)}
    model_admin.message_user(request, text, messages.SUCCESS)
    report_certificate(model_admin, request, successor, successor.client_certificate())
    return HttpResponseRedirect(model_admin.page_url("change", successor.pk))


def report_certificate(
    model_admin: Any,
    request: HttpRequest,
    mapping: CertificateMapping,
    certificate: ClientCertificate,
) -> None:
    """Warn of what will be refused, and remove *certificate* from the inbox."""
    for warning in certificate_warnings(
        certificate, IdentityKind(mapping.kind), mapping.authority
    ):
        model_admin.message_user(request, warning, messages.WARNING)
    clear_inbox(model_admin, request, certificate)
