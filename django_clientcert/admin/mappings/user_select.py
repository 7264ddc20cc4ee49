"""The autocomplete widget of the user."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.widgets import AutocompleteSelect
from django.forms import Media

from django_clientcert.admin.base.base_admin import is_possible_key


class UserSelect(AutocompleteSelect):
    """Django’s autocomplete widget, which fails on a value that cannot be a key.

    A script gives its search box a name for screen readers.
    """

    @property
    def media(self) -> Media:
        """Django’s files, followed by that script."""
        own = "django_clientcert/name_selects.js"
        before = ("admin/js/jquery.init.js", "admin/js/autocomplete.js")
        return super().media + Media(js=[*before, own])

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        """Return the selected user."""
        field = self.field.target_field
        possible = [key for key in value if is_possible_key(field, key)]
        return super().optgroups(name, possible, attr)
