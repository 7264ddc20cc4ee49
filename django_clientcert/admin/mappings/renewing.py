"""The screen that maps a renewed certificate and lets the old mapping retire."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.base_admin import fieldset
from django_clientcert.admin.base.certificate_form import CertificateForm, MomentField
from django_clientcert.admin.base.private_keys import FormWithoutModel
from django_clientcert.admin.base.screens import posted, screen, show_page
from django_clientcert.admin.base.times import moment
from django_clientcert.admin.inbox.suggestions import (
    find_suggestions,
    report_certificate,
)
from django_clientcert.models import CertificateMapping
from django_clientcert.trust.renewals import renew


class RenewalForm(CertificateForm, FormWithoutModel):
    """The certificate that replaces a mapped one, and the dates of both mappings.

    The certificate is mapped when the form is validated. After ``is_valid()``,
    ``successor`` is the new mapping.
    """

    retire_on = MomentField(
        label=_("Retire the old mapping on"),
        initial=lambda: timezone.now() + dt.timedelta(days=7),
        help_text=_("Until then, both certificates are accepted."),
    )
    valid_from = MomentField(
        label=_("Accept the new certificate from"),
        required=False,
        help_text=_("Leave empty to accept it immediately."),
    )

    def __init__(self, mapping: CertificateMapping, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mapping = mapping
        self.successor: CertificateMapping | None = None

    def clean(self) -> dict[str, Any]:
        """Map the certificate and let the old mapping retire, or add the error."""
        cleaned = super().clean()
        if self.errors:
            return cleaned
        try:
            certificate = self.given_certificate()
            if certificate is None:
                raise ValidationError(
                    {"pasted": _("Paste or upload the renewed certificate.")}
                )
            self.successor = renew(
                self.mapping,
                certificate,
                retire_on=cleaned["retire_on"],
                valid_from=cleaned["valid_from"],
            )
        except ValidationError as error:
            self.add_error(None, error)
        return cleaned


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
            fieldset(_("Renewed certificate"), "pasted", "upload"),
            fieldset(_("Dates"), "retire_on", "valid_from"),
        ],
        button=gettext("Renew"),
    )


def _finish(
    model_admin: Any, request: HttpRequest, mapping: Any, form: RenewalForm
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
