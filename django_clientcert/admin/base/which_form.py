"""The choice between all rows and those that have no problem."""

from __future__ import annotations

from django import forms
from django.db import models
from django.utils.translation import gettext_lazy as _

from .private_keys import FormWithoutModel


class Which(models.TextChoices):
    """What to do if some rows have a problem."""

    ALL = "all", _("save nothing")
    VALID = "valid", _("save only the rows without problems")


class WhichForm(FormWithoutModel):
    """Whether a row with a problem prevents the others from being saved."""

    which = forms.ChoiceField(
        label=_("If some rows have problems"),
        choices=Which.choices,
        widget=forms.RadioSelect(attrs={"class": "radiolist"}),
    )
