"""Screens of our own: view functions of a model admin, with one decorator.

A model admin names them in its table ``screens``, as rows of path, view and name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

import django
from django.contrib.admin.helpers import AdminForm
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.views.debug import get_default_exception_reporter_filter
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

View = TypeVar("View", bound=Callable[..., HttpResponseBase])

# Django asks these about a row, if there is one.
ROW_PERMISSIONS = frozenset({"view", "change", "delete"})


def screen(permission: str, *others: str) -> Callable[[View], View]:
    """Make ``view(model_admin, request)`` a screen that needs these permissions.

    Each is the middle of a method of the model admin: “add” asks
    ``has_add_permission(request)``. If the path of the screen has an ``object_id``, the
    view gets that row as a third argument, and ``ROW_PERMISSIONS`` are asked about it
    too. Error reports show nothing of what was sent, nor any variable of the view.

    Raises:
        PermissionDenied: the user lacks one of the permissions.
        Http404: there is no such row.
    """
    permissions = (permission, *others)

    def decorate(view: View) -> View:
        @method_decorator(sensitive_post_parameters())
        @sensitive_variables()
        @wraps(view)
        def checked(
            model_admin: Any,
            request: HttpRequest,
            object_id: str | None = None,
            **kwargs: Any,
        ) -> HttpResponseBase:
            hide_from_reports(request)
            _check(model_admin, request, permissions)
            if object_id is None:
                return view(model_admin, request, **kwargs)
            row = model_admin.get_object(request, unquote(object_id))
            if row is None:
                raise Http404
            _check(model_admin, request, ROW_PERMISSIONS & {*permissions}, row)
            return view(model_admin, request, row, **kwargs)

        setattr(checked, "permissions", permissions)  # noqa: B010
        return checked  # type: ignore[return-value]

    return decorate


def _check(
    model_admin: Any, request: HttpRequest, permissions: Iterable[str], *row: Any
) -> None:
    for permission in permissions:
        if not getattr(model_admin, f"has_{permission}_permission")(request, *row):
            raise PermissionDenied


def posted(request: HttpRequest) -> tuple[Any, ...]:
    """Return the arguments that bind a form to what was posted; none for a GET."""
    return (request.POST, request.FILES) if request.method == "POST" else ()


def show_page(
    model_admin: Any,
    request: HttpRequest,
    template: str,
    *,
    title: str,
    form: Any = None,
    fieldsets: Any = (),
    **context: Any,
) -> TemplateResponse:
    """Return the page around *form*; without a form, it has nothing to send.

    *context* may have ``back``, where “Cancel” leads (default: the changelist), and
    ``action_url``, where the form is sent (default: the page itself).
    """
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
            "adminform": form and AdminForm(form, fieldsets, {}, None, model_admin),
            "errors": {} if form is None else form.errors,
            "back": model_admin.page_url("changelist"),
            "action_url": request.path,
            **context,
        },
    )


def hide_from_reports(request: HttpRequest) -> None:
    """Leave everything posted out of error reports, even under ``DEBUG``."""
    base = type(get_default_exception_reporter_filter())
    always = {"is_active": lambda self, request: True}
    hiding = type("Hiding" + base.__name__, (base,), always)
    setattr(request, "exception_reporter_filter", hiding())  # noqa: B010
