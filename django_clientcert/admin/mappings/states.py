"""Actions that enable and disable mappings."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from django_clientcert.admin.base.history import change
from django_clientcert.models import CertificateMapping

_ENABLED = ngettext_lazy(
    "%(count)d mapping was enabled.", "%(count)d mappings were enabled.", "count"
)
_DISABLED = ngettext_lazy(
    "%(count)d mapping was disabled.", "%(count)d mappings were disabled.", "count"
)
_UNCHANGED = ngettext_lazy(
    "%(count)d mapping already had this state.",
    "%(count)d mappings already had this state.",
    "count",
)
_REFUSED = ngettext_lazy(
    "%(count)d mapping was not changed, because you may not change it.",
    "%(count)d mappings were not changed, because you may not change them.",
    "count",
)

Rows = QuerySet[CertificateMapping]


@admin.action(
    permissions=["change"], description=_("Enable selected %(verbose_name_plural)s")
)
def enable(model_admin: Any, request: HttpRequest, queryset: Rows) -> None:
    """Make the disabled mappings of *queryset* active."""
    _set_state(model_admin, request, queryset, "active", _ENABLED)


@admin.action(
    permissions=["change"], description=_("Disable selected %(verbose_name_plural)s")
)
def disable(model_admin: Any, request: HttpRequest, queryset: Rows) -> None:
    """Disable the mappings of *queryset*: the certificates they match are refused."""
    _set_state(model_admin, request, queryset, "disabled", _DISABLED)


def _set_state(
    model_admin: Any, request: HttpRequest, queryset: Rows, state: str, done: Any
) -> None:
    """Enable or disable the mappings that the user may change; report the counts.

    Each change is recorded in the history of its mapping.
    """
    changed, unchanged, refused = 0, 0, 0
    with transaction.atomic(using=router.db_for_write(CertificateMapping)):
        rows = queryset.select_related("user").defer("certificate", "note")
        for mapping in rows.iterator(chunk_size=500):
            if not model_admin.has_change_permission(request, mapping):
                refused += 1
            elif (mapping.state == "disabled") is (state == "disabled"):
                unchanged += 1
            else:
                field = change("State", mapping.state, state)
                mapping.state = state
                mapping.save(update_fields=["state"])
                model_admin.log_change(
                    request, mapping, [{"changed": {"fields": [field]}}]
                )
                changed += 1
    for level, count, text in (
        (messages.INFO, unchanged, _UNCHANGED),
        (messages.WARNING, refused, _REFUSED),
        (messages.SUCCESS, changed, done),
    ):
        if count:
            model_admin.message_user(request, text % {"count": count}, level)
