"""What both screens have in common: nothing that was typed gets into a report."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import AdminSite
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import BinaryField, DateTimeField, Field, ForeignKey, Model
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
)
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.views.decorators.debug import (
    sensitive_post_parameters,
    sensitive_variables,
)

from django_clientcert.x509.bundles import holds_private_key

from .long_lists import MAX_COUNTED, BoundedChangeList, BoundedPaginator
from .screens import hide_from_reports
from .search import first_keys, newest
from .widgets import LabelledSplitDateTime

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

# The groups of fields on a page: title and options of each
Fieldsets = list[tuple[Any, Any]]
# A path, a view (see ``screen()``) and a name for each screen
Screens = tuple[tuple[str, Callable[..., HttpResponseBase], str], ...]


class ClientCertModelAdmin(ModelAdmin):
    """Keeps private keys out of reports of errors, and junk out of the database."""

    # Actions that read rows one by one, and may be run on any number of them
    streaming_actions: frozenset[str] = frozenset()

    formfield_overrides = {DateTimeField: {"widget": LabelledSplitDateTime}}

    class Media:
        css = {"all": ("django_clientcert/certificates.css",)}

    # Screens besides those of Django
    screens: Screens = ()
    # Fields that the add page's query string may prefill
    prefilled_fields: tuple[str, ...] = ()
    paginator = BoundedPaginator
    show_full_result_count = False
    # Each would count all rows once more.
    show_facets = admin.ShowFacets.NEVER

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

    def response_action(
        self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """Run an action; on all rows of a list only where they are not too many."""
        across = request.POST.getlist("select_across")
        is_limited = not set(request.POST.getlist("action")) <= self.streaming_actions
        if is_limited and any(map(forms.BooleanField().to_python, across)):
            rows = queryset.order_by().values("pk")
            if rows[: MAX_COUNTED + 1].count() > MAX_COUNTED:
                text = gettext(
                    "At most %(count)d rows at a time: narrow the list down first. "
                    "Nothing was done."
                )
                self.message_user(
                    request, text % {"count": MAX_COUNTED}, messages.ERROR
                )
                return HttpResponseRedirect(request.get_full_path())
        response: HttpResponse | None = super().response_action(
            request, queryset, *args, **kwargs
        )
        return response

    def get_changelist(
        self, request: HttpRequest, **kwargs: Any
    ) -> type[BoundedChangeList]:
        """Return the kind of list: one that may be long."""
        return BoundedChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """Return what an index finds, and the newest rows with the term in a text."""
        term = search_term.strip()
        if not term or not self.get_search_fields(request):
            return super().get_search_results(request, queryset, search_term)
        if "\0" in term:
            return queryset.none(), False  # PostgreSQL would fail
        by_text, _ = super().get_search_results(request, newest(queryset), term)
        ways = [*self.find_by_index(request, queryset.db, term), by_text]
        return queryset.filter(pk__in=first_keys(ways, request)), False

    def find_by_index(self, request: HttpRequest, using: str, term: str) -> list[Any]:
        """Return the rows that *term* names, for each way to find them.

        Each is one range of an index, however many rows there are: the filters of the
        list come later, as SQLite would begin with them.
        """
        return []

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

    def get_urls(self) -> list[URLPattern]:
        """Return the URLs, those of the table ``screens`` first."""
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            path(
                route,
                self.admin_site.admin_view(MethodType(view, self)),
                name=f"{prefix}_{name}",
            )
            for route, view, name in self.screens
        ]
        return [*own, *super().get_urls()]

    def page_url(self, name: str, *arguments: Any) -> str:
        """Return the URL of one of this admin’s pages."""
        return admin_url(self.admin_site, self.model, name, *arguments)

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


def admin_url(site: AdminSite, model: type[Model], page: str, *arguments: Any) -> str:
    """Return the URL of a page of *model* in *site*, such as “changelist”."""
    options = model._meta
    return reverse(
        f"admin:{options.app_label}_{options.model_name}_{page}",
        args=arguments,
        current_app=site.name,
    )
