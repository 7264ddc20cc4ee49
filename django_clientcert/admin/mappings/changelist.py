"""The changelist of mappings: columns, filters and search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import connections
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base import (
    base_admin,
    markup,
    revocation_status,
    search,
    times,
)
from django_clientcert.exceptions import Reason
from django_clientcert.models import CertificateMapping
from django_clientcert.models.users import name_fields
from django_clientcert.x509.escaping import visible, visible_once
from django_clientcert.x509.identities import IdentityKind, show_value

from .validity import LastUsedFilter, ValidityFilter, mapping_validity

_SHOWN_DIGITS = 16
_SHOWN_NAME = 50


class MappingChangelistAdmin(base_admin.ClientCertModelAdmin):
    """The part of the mappings’ admin that is about their changelist."""

    list_display = (
        "shown_user",
        "list_kind",
        "list_value",
        "validity",
        "list_state",
        "list_last_used",
    )
    list_select_related = ("user", "authority")
    list_filter = (
        "state",
        ValidityFilter,
        LastUsedFilter,
        "kind",
        "authority",
    )
    search_fields = ("value", "certificate_subject")
    search_help_text = _(
        "Enter the start of a username or fingerprint (with or without colons), or a "
        "complete value or subject. Parts of names and addresses are searched for in "
        "the newest 10,000 mappings and users only."
    )

    def prepare_rows(self, rows: Sequence[Any]) -> None:
        """Set ``is_revoked``."""
        refusals = revocation_status.revoked_mappings(rows)
        for row in rows:
            refusal = refusals.get(row.pk)
            row.is_revoked = refusal is not None and refusal.reason is Reason.REVOKED

    def find_exactly(self, request: HttpRequest, queryset: Any, term: str) -> Any:
        """Return the pins that begin with *term*."""
        digits = search.fingerprint_digits(term)
        if digits is None:
            return queryset.none()
        pins = CertificateMapping.objects.using(queryset.db)
        keys = search.first_keys([pins.fingerprint_prefix(digits)], request)
        return queryset.filter(pk__in=keys)

    def find_by_index(self, request: HttpRequest, using: str, term: str) -> list[Any]:
        """Return mappings of users whose name begins with *term*, or by their own name.

        That is the value, or the subject of the stored certificate.
        """
        rows = CertificateMapping.objects.using(using)
        keys = search.name_keys(term)
        subjects = [key for key, kind in keys.items() if kind is IdentityKind.SUBJECT]
        querysets = [rows.filter(key__in=[*keys])] if keys else []
        if subjects:
            querysets.append(rows.filter(certificate_subject_key__in=subjects))
        users: Any = get_user_model()._default_manager.using(using)
        fields = list(dict.fromkeys(name_fields().values()))
        # In separate queries, because PostgreSQL would read all users for a join.
        vendor = connections[using].vendor
        named = [
            users.filter(search.begins_with(field, term, vendor))
            for field in filter(search.is_indexed, fields)
        ]
        inside = search.newest(users.all()).filter(search.with_words(fields, term))
        of_users = rows.filter(user__in=search.first_keys([*named, inside], request))
        return [*querysets, of_users] if fields else querysets

    shown_user = markup.column(
        _("user"), lambda row: visible(str(row.user), _SHOWN_NAME), ordering="user_id"
    )

    @admin.display(description=_("kind"), ordering="kind")
    def list_kind(self, obj: CertificateMapping) -> str:
        """Return the kind, and whether it is exact or a name."""
        strength = gettext("strong") if obj.is_exact else gettext("by name")
        return markup.with_quiet(obj.get_kind_display(), strength)

    @admin.display(description=_("state"), ordering="state")
    def list_state(self, obj: Any) -> str:
        """Return the state, and whether the certificate is revoked."""
        state: str = obj.get_state_display()
        if not obj.is_revoked:
            return state
        return format_html(
            "{}<br><strong>{}</strong>", state, gettext("certificate revoked")
        )

    @admin.display(description=_("value"))
    def list_value(self, obj: CertificateMapping) -> str:
        """Return the shortened value, and the certificate’s subject and authority."""
        if obj.is_pin:
            value = format_html("<code>{}…</code>", visible(obj.value[:_SHOWN_DIGITS]))
        else:
            value = markup.breakable_name(self.shown_value(obj, _SHOWN_NAME))
        below: list[str] = []
        if obj.is_pin and obj.certificate_subject:
            subject = visible_once(obj.certificate_subject, _SHOWN_NAME)
            below.append(markup.breakable_name(subject))
        if obj.authority is not None:
            # A separate column would push the last ones out of sight.
            text = gettext("issued by %(authority)s")
            below.append(text % {"authority": obj.authority})
        return markup.with_quiet(value, markup.join_lines(below)) if below else value

    # Of the mapping and its certificate
    validity = markup.column(
        _("validity"),
        lambda row: times.validity_status(*mapping_validity(row), timezone.now()),
        ordering="certificate_not_after",
    )

    @admin.display(description=_("last used"), ordering="last_used_at")
    def list_last_used(self, obj: CertificateMapping) -> str:
        """Return how long ago the mapping last accepted a certificate."""
        if obj.last_used_at is None:
            return gettext("never")
        return times.relative(obj.last_used_at, timezone.now())

    @admin.display(description=_("value"))
    def shown_value(self, obj: CertificateMapping, limit: int = markup.MAX_NAME) -> str:
        """Return the value, escaped."""
        if obj.is_pin:
            return markup.hex_pairs(visible(obj.value, 64))
        try:
            return show_value(IdentityKind(obj.kind), obj.value, limit)
        except ValueError:  # a kind of another version
            return visible(obj.value, limit)
