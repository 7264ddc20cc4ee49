"""Private keys are not shown, logged or stored, whichever field they arrive in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from django_clientcert.models import CertificateMapping
from django_clientcert.models.validators import PRIVATE_KEY_MESSAGE
from django_clientcert.x509.bundles import holds_private_key


class FormWithoutPrivateKeys(forms.ModelForm):  # type: ignore[type-arg]
    """A form that first removes private keys from the bound data.

    Wherever they are: in a text, in a select, or under a name that is not a field.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._leaking: list[str] = []
        if self.is_bound:
            self.data, self._leaking = forget_private_keys(self.data)

    def clean(self) -> dict[str, Any]:
        """Report in which fields the private keys were."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for name in self._leaking:
            field = self._field_of(name)
            if field is not None:
                # The emptied field may report that it is required.
                self.errors.pop(field, None)
            self.add_error(
                field, ValidationError(PRIVATE_KEY_MESSAGE, code="private_key")
            )
        return cleaned

    def add_error(self, field: str | None, error: Any) -> None:
        """Add an error; if its field is not in the form, to the form as a whole.

        The model may refuse the value of a field that this user cannot change.
        """
        if field is None and hasattr(error, "error_dict"):
            for name, errors in error.error_dict.items():
                super().add_error(name if name in self.fields else None, errors)
        else:
            super().add_error(field, error)

    def _field_of(self, name: str) -> str | None:
        """Return the field that is sent as *name*, or in parts such as ``…_0``."""
        if self.prefix:
            name = name.removeprefix(f"{self.prefix}-")
        for field in (name, name.rpartition("_")[0]):
            if field in self.fields:
                return field
        return None

    def _post_clean(self) -> None:
        """Validate the model only if the form has no errors.

        It would only repeat that something cannot be read.
        """
        if not self.errors:
            super()._post_clean()  # type: ignore[misc]


class FormWithoutModel(FormWithoutPrivateKeys):
    """A form whose fields are not those of its model.

    ``clean()`` creates the instance, if the form creates one.
    """

    class Meta:
        model = CertificateMapping
        fields: tuple[str, ...] = ()

    def _post_clean(self) -> None:
        """Do not build an instance from the fields."""

    def save(self, commit: bool = True) -> Any:
        """Return the instance that ``clean()`` has saved."""
        return self.instance

    def save_m2m(self) -> None:
        """Do nothing, because ``clean()`` has saved everything."""


def forget_private_keys(data: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """Return a copy of *data* without private keys, and the names that held some."""
    cleaned: Any = data.copy()  # type: ignore[attr-defined]
    leaking = []
    for name in list(cleaned):
        values = (
            cleaned.getlist(name) if hasattr(cleaned, "getlist") else [cleaned[name]]
        )
        if any(isinstance(text, str) and holds_private_key(text) for text in values):
            leaking.append(name)
            cleaned[name] = ""
    return cleaned, leaking
