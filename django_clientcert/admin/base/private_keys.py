"""No private key is shown, logged or stored, whatever field it was pasted into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError

from django_clientcert.models.validators import PRIVATE_KEY_MESSAGE
from django_clientcert.x509.bundles import holds_private_key

if TYPE_CHECKING:
    BaseForm = forms.ModelForm[Any]
else:
    BaseForm = forms.ModelForm


class FormWithoutPrivateKeys(BaseForm):
    """A form that takes a private key out of the bound data before all else.

    Whatever it stands in: a text, a select, or a name that is no field at all.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._leaking: list[str] = []
        if self.is_bound:
            self.data, self._leaking = forget_private_keys(self.data)

    def clean(self) -> dict[str, Any]:
        """Say where the private keys were."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for name in self._leaking:
            field = self._field_of(name)
            if field is not None:
                # Emptied, the field may say that it is required: not the point.
                self.errors.pop(field, None)
            self.add_error(
                field, ValidationError(PRIVATE_KEY_MESSAGE, code="private_key")
            )
        return cleaned

    def add_error(self, field: str | None, error: Any) -> None:
        """Add an error; of a field that is not in the form, to the form as a whole.

        The model may complain of what this person cannot change.
        """
        if field is None and hasattr(error, "error_dict"):
            for name, errors in error.error_dict.items():
                super().add_error(name if name in self.fields else None, errors)
        else:
            super().add_error(field, error)

    def _field_of(self, name: str) -> str | None:
        """Return the field that *name*, or a part of it such as ``…_0``, is sent by."""
        if self.prefix:
            name = name.removeprefix(f"{self.prefix}-")
        for field in (name, name.rpartition("_")[0]):
            if field in self.fields:
                return field
        return None

    def _post_clean(self) -> None:
        """Leave the model's rules until the form itself has nothing to say.

        They would complain of what could not be read a second time.
        """
        if not self.errors:
            super()._post_clean()  # type: ignore[misc]


class FormWithoutModel(FormWithoutPrivateKeys):
    """A form whose input is more, or less, than the columns of a row.

    Whoever uses it makes the row, and what is to be said of that is said in
    ``clean()``.
    """

    def _post_clean(self) -> None:
        """Leave the instance alone."""

    def save(self, commit: bool = True) -> Any:
        """Return the row that ``clean()`` has made, and saved."""
        return self.instance

    def save_m2m(self) -> None:
        """Save nothing more."""


def forget_private_keys(data: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """Return a copy of *data* without private keys, and the names they were under."""
    cleaned: Any = data.copy()  # type: ignore[attr-defined]
    leaking = []
    for name in list(cleaned):
        values = (
            cleaned.getlist(name) if hasattr(cleaned, "getlist") else [cleaned[name]]
        )
        if any(isinstance(one, str) and holds_private_key(one) for one in values):
            leaking.append(name)
            cleaned[name] = ""
    return cleaned, leaking
