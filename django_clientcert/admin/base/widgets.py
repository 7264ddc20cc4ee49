"""Widgets that Django's own forms lack something of."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.widgets import AdminSplitDateTime


class LabelledSplitDateTime(AdminSplitDateTime):
    """A date and a time, each with its name: Django 5.2 has it beside them only."""

    def get_context(
        self, name: str, value: Any, attrs: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Return what the template shows, with a name for each of the two inputs."""
        context = super().get_context(name, value, attrs)
        date, time = context["widget"]["subwidgets"]
        date["attrs"]["aria-label"] = context["date_label"]
        time["attrs"]["aria-label"] = context["time_label"]
        return context
