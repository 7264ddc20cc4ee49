"""One step from a certificate to the one that takes its place."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import (
    sensitive_post_parameters,
    sensitive_variables,
)

from django_clientcert.admin.base.screens import hide_from_reports, show_page
from django_clientcert.admin.base.times import moment
from django_clientcert.admin.base.warnings import certificate_warnings
from django_clientcert.admin.inbox.prefill import FromInboxAdmin
from django_clientcert.models import CertificateMapping
from django_clientcert.x509.bundles import to_pem
from django_clientcert.x509.identities import IdentityKind

from .renewal_form import RenewalForm


class RenewingAdmin(FromInboxAdmin):
    """An admin of the mappings with a page on which one is renewed."""

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses, with that of the renewal."""
        own = path(
            "<path:object_id>/renew/",
            self.admin_site.admin_view(self.renew_view),
            name=f"{self.opts.app_label}_{self.opts.model_name}_renew",
        )
        return [own, *super().get_urls()]

    @method_decorator(sensitive_post_parameters())
    @sensitive_variables()
    def renew_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Map a renewed certificate, and let the old mapping retire.

        Raises:
            PermissionDenied: this person may not.
        """
        hide_from_reports(request)
        mapping: CertificateMapping | None = self.get_object(
            request, unquote(object_id)
        )
        if mapping is None:
            # Django's own page for it: a message, and back to the start
            return self.change_view(request, object_id)
        if not self._may_renew(request, mapping):
            raise PermissionDenied
        sent = (request.POST, request.FILES) if request.method == "POST" else ()
        initial = {}
        if not sent and (row := self._unknown(request)) is not None:
            initial["pasted"] = to_pem([row.client_certificate()])
        form = RenewalForm(mapping, *sent, initial=initial)
        if sent and form.is_valid():
            return self._renewed(request, mapping, form)
        return show_page(
            self,
            request,
            "renew_mapping.html",
            title=gettext("Renew"),
            back=self.page_url("change", mapping.pk),
            original=str(mapping),
            form=form,
            fieldsets=[
                (_("Renewed certificate"), {"fields": ("pasted", "upload")}),
                (_("Dates"), {"fields": ("retire_on", "valid_from")}),
            ],
            action_url=self.page_url("renew", mapping.pk),
            button=gettext("Renew"),
        )

    def _renewed(
        self, request: HttpRequest, mapping: CertificateMapping, form: RenewalForm
    ) -> HttpResponse:
        """Write down and say what was done."""
        successor: Any = form.successor
        self.log_addition(request, successor, [{"added": {}}])
        mapping.refresh_from_db()
        self.log_change(
            request, mapping, [{"changed": {"fields": ["State", "Valid until"]}}]
        )
        until: Any = mapping.valid_until
        text = gettext(
            "Mapping %(new)s was made for the renewed certificate; mapping %(old)s "
            "retires on %(when)s."
        ) % {
            "new": successor.pk,
            "old": mapping.pk,
            "when": moment(until),
        }
        self.message_user(request, text, messages.SUCCESS)
        certificate = successor.client_certificate()
        self._clear_inbox(request, certificate)
        for remark in certificate_warnings(
            certificate, IdentityKind(successor.kind), successor.authority
        ):
            self.message_user(request, remark, messages.WARNING)
        return HttpResponseRedirect(self.page_url("change", successor.pk))

    def _may_renew(self, request: HttpRequest, obj: CertificateMapping) -> bool:
        return self.has_change_permission(request, obj) and self.has_add_permission(
            request
        )
