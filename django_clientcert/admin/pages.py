"""Pages of the screens' own: a form of the admin's kind between two of its pages."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.helpers import AdminForm
from django.contrib.admin.options import ModelAdmin
from django.http import HttpRequest
from django.template.response import TemplateResponse

from .guarded import Fieldsets


def show_page(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    template: str,
    *,
    title: str,
    back: str,
    form: Any,
    fieldsets: Fieldsets,
    **context: Any,
) -> TemplateResponse:
    """Return the page around *form*; without one, there is nothing to send.

    *back* is where “Cancel” leads.
    """
    adminform = None
    if form is not None:
        adminform = AdminForm(form, fieldsets, {}, model_admin=model_admin)
    request.current_app = model_admin.admin_site.name
    return TemplateResponse(
        request,
        f"admin/django_clientcert/{template}",
        {
            **model_admin.admin_site.each_context(request),
            "title": title,
            "opts": model_admin.opts,
            "adminform": adminform,
            "errors": form.errors if form is not None else {},
            "back": back,
            **context,
        },
    )
