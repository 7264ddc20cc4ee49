"""What both screens have in common: nothing that was typed gets into a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import BinaryField, Field, ForeignKey
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.debug import get_default_exception_reporter_filter
from django.views.decorators.debug import (
    sensitive_post_parameters,
    sensitive_variables,
)

from django_clientcert.bundles import holds_private_key

if TYPE_CHECKING:
    BaseAdmin = admin.ModelAdmin[Any]
else:
    BaseAdmin = admin.ModelAdmin

# The groups of fields on a page: title and options of each
Fieldsets = list[tuple[Any, Any]]


class GuardedAdmin(BaseAdmin):
    """Keeps private keys out of reports of errors, and junk out of the database."""

    # Fields that the address of the add page may fill in
    prefilled_fields: tuple[str, ...] = ()

    @method_decorator(sensitive_post_parameters())
    @sensitive_variables()
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show or save the form; an error report shows nothing of what was sent."""
        hide_from_reports(request)
        response: HttpResponse = super().changeform_view(
            request, object_id, form_url, extra_context
        )
        return response

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list or run an action; on rows that can exist.

        Raises:
            BadRequest: Django itself would fail on such a key.
        """
        for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
            if not is_possible_key(self.opts.pk, key):
                raise BadRequest("This is no key of a row.")
        response: HttpResponse = super().changelist_view(request, extra_context)
        return response

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the address of the add page may fill in, if it is sound."""
        initial = super().get_changeform_initial_data(request)
        return {
            name: value
            for name, value in initial.items()
            if name in self.prefilled_fields and self._is_sound(name, value)
        }

    def _is_sound(self, name: str, value: Any) -> bool:
        """Tell whether *value* may stand in the field *name*."""
        if not isinstance(value, str) or "\0" in value or holds_private_key(value):
            return False
        field = self.opts.get_field(name)
        if not isinstance(field, ForeignKey):
            return True
        return is_possible_key(field.target_field, value)

    def _address(self, name: str, *arguments: Any) -> str:
        """Return the address of one of this admin’s pages."""
        return reverse(
            f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}",
            args=arguments,
            current_app=self.admin_site.name,
        )

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Refuse filters that a database cannot take, with 400.

        A NUL is one for PostgreSQL, and text never is binary.
        """
        field = lookup.partition("__")[0]
        binary = {one.name for one in self.opts.fields if isinstance(one, BinaryField)}
        if "\0" in str(value) or field in binary:
            return False
        allowed: bool = super().lookup_allowed(lookup, value, request)
        return allowed


def is_possible_key(field: Field[Any, Any], value: Any) -> bool:
    """Tell whether *value* could be one of *field*, a primary key."""
    try:
        field.clean(value, None)
    except ValidationError:
        return False
    return True


def hide_from_reports(request: HttpRequest) -> None:
    """Let reports of errors leave out what was posted, under ``DEBUG`` too."""
    base = type(get_default_exception_reporter_filter())
    hiding = type("Hiding" + base.__name__, (base,), {"is_active": _always})
    setattr(request, "exception_reporter_filter", hiding())  # noqa: B010


def _always(self: object, request: HttpRequest | None) -> bool:
    return True
