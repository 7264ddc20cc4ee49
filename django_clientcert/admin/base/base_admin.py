"""The base of every model admin: hides what was sent, and copes with long tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import AdminSite
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.widgets import AdminSplitDateTime
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
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from django_clientcert.x509.bundles import holds_private_key

from .bounded import count
from .long_lists import MAX_COUNTED, BoundedChangeList, BoundedPaginator
from .markup import link
from .screens import hide_from_reports
from .search import first_keys, newest

# The groups of fields on a page: title and options of each
Fieldsets = list[tuple[Any, Any]]
# A path, a view (see ``screen()``) and a name for each screen
Screens = tuple[tuple[str, Callable[..., HttpResponseBase], str], ...]


class LabelledSplitDateTime(AdminSplitDateTime):
    """A date and a time input, each with an accessible name (Django 5.2 has none)."""

    def get_context(
        self, name: str, value: Any, attrs: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Return the template’s context, with a label for each of the two inputs."""
        context = super().get_context(name, value, attrs)
        date, time = context["widget"]["subwidgets"]
        date["attrs"]["aria-label"] = context["date_label"]
        time["attrs"]["aria-label"] = context["time_label"]
        return context


class ClientCertModelAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Keeps private keys out of error reports, and invalid keys out of queries."""

    # Screens in addition to Django's
    screens: Screens = ()
    # Actions that read rows one by one, so that any number may be selected
    streaming_actions: frozenset[str] = frozenset()
    # Fields that the add page's query string may prefill
    prefilled_fields: tuple[str, ...] = ()
    formfield_overrides = {DateTimeField: {"widget": LabelledSplitDateTime}}
    paginator = BoundedPaginator
    # Each of these would count all rows once more.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ("django_clientcert/certificates.css",)}

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

    def is_in_reach(self, actor: Any, row: Any) -> bool:
        """Return whether *actor* may change and delete *row*, given the permission."""
        return True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may change rows, and *obj* in particular."""
        return super().has_change_permission(request, obj) and (
            obj is None or self.is_in_reach(request.user, obj)
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may delete rows, and *obj* in particular."""
        return super().has_delete_permission(request, obj) and (
            obj is None or self.is_in_reach(request.user, obj)
        )

    @method_decorator(sensitive_post_parameters())
    @sensitive_variables()
    def changeform_view(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show or save the form; error reports show nothing that was sent."""
        hide_from_reports(request)
        return super().changeform_view(request, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Show the changelist or run an action.

        Raises:
            BadRequest: a selected key is impossible, which Django would fail on.
        """
        for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
            if not is_possible_key(self.opts.pk, key):
                raise BadRequest("This is not the key of a row.")
        return super().changelist_view(request, *args, **kwargs)

    def response_action(
        self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """Run an action; on all rows of a list only if they are not too many."""
        across = request.POST.getlist("select_across")
        is_limited = not set(request.POST.getlist("action")) <= self.streaming_actions
        is_across = any(map(forms.BooleanField().to_python, across))
        if is_limited and is_across and count(queryset, MAX_COUNTED).is_more:
            text = gettext(
                "At most %(count)d rows at a time: narrow the list down first. "
                "Nothing was done."
            ) % {"count": MAX_COUNTED}
            self.message_user(request, text, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset, *args, **kwargs)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Return the form class, whose forms know the user as ``actor``."""
        form: Any = super().get_form(request, obj, change, **kwargs)
        # modelform_factory() returns a new class per call.
        form.actor = request.user
        return form

    def get_changelist(
        self, request: HttpRequest, **kwargs: Any
    ) -> type[BoundedChangeList]:
        """Return the changelist class, which copes with many rows."""
        return BoundedChangeList

    def prepare_rows(self, rows: Sequence[Any]) -> None:
        """Give the *rows* of a changelist what its columns need."""

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """Return the rows that the term names exactly, or else all that contain it.

        Those are the rows found by index, and the newest rows that contain the term.
        """
        term = search_term.strip()
        if not term or not self.get_search_fields(request):
            return super().get_search_results(request, queryset, search_term)
        if "\0" in term:
            return queryset.none(), False  # PostgreSQL would fail
        exact = self.find_exactly(request, queryset, term)
        if exact.exists():
            return exact, False
        by_text, _ = super().get_search_results(request, newest(queryset), term)
        results = [*self.find_by_index(request, queryset.db, term), by_text]
        return queryset.filter(pk__in=first_keys(results, request)), False

    def find_exactly(self, request: HttpRequest, queryset: Any, term: str) -> Any:
        """Return the rows that *term* names by a number, such as a fingerprint."""
        return queryset.none()

    def find_by_index(self, request: HttpRequest, using: str, term: str) -> list[Any]:
        """Return a queryset of the rows that *term* names, for each way to find them.

        Each reads one range of an index, however many rows there are. The filters of
        the changelist are applied later, because SQLite would begin with them.
        """
        return []

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return the valid values of ``prefilled_fields`` in the query string."""
        initial = super().get_changeform_initial_data(request)
        return {
            name: value
            for name, value in initial.items()
            if name in self.prefilled_fields and self._is_valid_initial(name, value)
        }

    def _is_valid_initial(self, name: str, value: Any) -> bool:
        if not isinstance(value, str) or "\0" in value or holds_private_key(value):
            return False
        field = self.opts.get_field(name)
        if not isinstance(field, ForeignKey):
            return True
        return is_possible_key(field.target_field, value)

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Refuse filters that a database cannot process, with status 400.

        PostgreSQL cannot process a NUL, and no database text for binary columns.
        """
        name = lookup.partition("__")[0]
        binary = {
            field.name for field in self.opts.fields if isinstance(field, BinaryField)
        }
        if "\0" in str(value) or name in binary:
            return False
        return bool(super().lookup_allowed(lookup, value, request))


def fieldset(title: Any, *fields: Any, **options: Any) -> tuple[Any, Any]:
    """Return a group of *fields* for ``fieldsets``, with Django’s *options*."""
    return title, {"fields": fields, **options}


def row_link(site: AdminSite, row: Model, text: str) -> SafeString:
    """Return *text* as a link to the page of *row* in *site*."""
    return link(admin_url(site, type(row), "change", row.pk), text)


def is_possible_key(field: Field[Any, Any], value: Any) -> bool:
    """Return whether *value* could be a value of *field*, a primary key."""
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
