"""What changed, in the history of a row: from what to what, where that says more."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import override

from django_clientcert.x509.escaping import visible_once
from django_clientcert.x509.text import show_moment

from .base_admin import GuardedAdmin

_MAX_SHOWN = 100


class TellsChanges(GuardedAdmin):
    """An admin whose history has the values of the fields in ``told_fields``."""

    told_fields: tuple[str, ...] = ()
    # What fields that are no columns stand for; "" where they change nothing
    renamed_fields: Mapping[str, str] = {}

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Return Django's own message, with what the values were and are."""
        if add:
            return super().construct_change_message(request, form, formsets, add)
        with override(None):  # as Django does: what is stored is not translated
            told = [self._tell(form, name) for name in form.fields]
        fields = list(dict.fromkeys(one for one in told if one))
        return [{"changed": {"fields": fields}}] if fields else []

    def _tell(self, form: Any, name: str) -> str:
        """Return what became of one field, or "" if nothing did.

        A value may be another though nobody touched it: it came out of a certificate.
        """
        label = str(form.fields[name].label or name)
        if name in self.told_fields:
            old, new = form[name].initial, form.cleaned_data.get(name)
            return "" if _show(old) == _show(new) else change(label, old, new)
        if name not in form.changed_data:
            return ""
        return self.renamed_fields.get(name, label)


def change(label: str, old: Any, new: Any) -> str:
    """Return what became of one field: “State (active → disabled)”."""
    return f"{label} ({_show(old)} → {_show(new)})"


def _show(value: Any) -> str:
    if isinstance(value, Model):
        value = value.pk
    if isinstance(value, dt.datetime):
        return show_moment(value)
    if value in (None, ""):
        return "—"
    return visible_once(" ".join(str(value).split()), _MAX_SHOWN)
