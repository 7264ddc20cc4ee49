"""The box in which a user is searched."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.widgets import AutocompleteSelect
from django.forms import Media

from django_clientcert.admin.base.base_admin import is_possible_key


class UserSelect(AutocompleteSelect):
    """The autocomplete widget, which fails on a key that cannot be one.

    And whose box has no name for a screen reader, without a script that gives it one.
    """

    @property
    def media(self) -> Media:
        """Return Django's files, and that script behind them."""
        own = "django_clientcert/name_selects.js"
        before = ("admin/js/jquery.init.js", "admin/js/autocomplete.js")
        return super().media + Media(js=[*before, own])

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        """Return the selected user."""
        key = self.field.target_field
        possible = [one for one in value if is_possible_key(key, one)]
        return super().optgroups(name, possible, attr)
