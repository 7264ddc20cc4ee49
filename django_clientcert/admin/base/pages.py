"""Pages of the screens' own: a form of the admin's kind between two of its pages."""

from __future__ import annotations

from typing import Any

import django
from django.contrib.admin.helpers import AdminForm
from django.contrib.admin.options import ModelAdmin
from django.http import HttpRequest
from django.template.response import TemplateResponse

from .base_admin import Fieldsets


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
            # Django 6.1 has a list of them.
            "breadcrumbs_are_a_list": django.VERSION >= (6, 1),
            "has_view_permission": model_admin.has_view_permission(request),
            "opts": model_admin.opts,
            "adminform": adminform,
            "errors": form.errors if form is not None else {},
            "back": back,
            **context,
        },
    )
