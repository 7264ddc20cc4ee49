"""What changed, in the history of a row: old and new values, if they help."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any

from django.db.models import Model
from django.utils.translation import override

from django_clientcert.x509.escaping import visible_once
from django_clientcert.x509.text import show_moment

_MAX_SHOWN = 100


def describe_changes(
    form: Any, valued: Collection[str], renamed: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the message of Django’s history, with old and new values.

    The values are shown of the fields *valued*, which may change although nobody
    touched them, because they came out of a certificate. *renamed* has the labels of
    fields that are not columns; "" for those that change nothing.
    """
    with override(None):  # as Django does: what is stored is not translated
        changes = [_describe(form, name, valued, renamed) for name in form.fields]
    fields = list(dict.fromkeys(text for text in changes if text))
    return [{"changed": {"fields": fields}}] if fields else []


def _describe(
    form: Any, name: str, valued: Collection[str], renamed: Mapping[str, str]
) -> str:
    """Return how a field changed, or "" if it did not."""
    label = str(form.fields[name].label or name)
    if name in valued:
        old, new = form[name].initial, form.cleaned_data.get(name)
        return "" if _show(old) == _show(new) else change(label, old, new)
    if name not in form.changed_data:
        return ""
    return renamed.get(name, label)


def change(label: str, old: Any, new: Any) -> str:
    """Return how a field changed: “State (active → disabled)”."""
    return f"{label} ({_show(old)} → {_show(new)})"


def _show(value: Any) -> str:
    if isinstance(value, Model):
        value = value.pk
    if isinstance(value, dt.datetime):
        return show_moment(value)
    if value in (None, ""):
        return "—"
    return visible_once(" ".join(str(value).split()), _MAX_SHOWN)
