"""Filters of changelists, each a table of choices with a condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest


class ConditionFilter(admin.SimpleListFilter):
    """Shows the rows that meet the condition of the chosen label."""

    labels: Mapping[str, Any]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the choices."""
        return list(self.labels.items())

    def conditions(self) -> dict[str, Q]:
        """Return the condition of each choice: by default, a value of the field."""
        return {name: Q((self.parameter_name, name)) for name in self.labels}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows that meet the condition; all of them without a choice."""
        return queryset.filter(self.conditions().get(self.value() or "", Q()))
