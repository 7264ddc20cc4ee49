"""The form that maps several certificates of the inbox."""

from __future__ import annotations

from django import forms
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.private_keys import FormWithoutModel
from django_clientcert.models import CertificateMapping


class Which(models.TextChoices):
    """What to do where some certificates cannot be mapped."""

    ALL = "all", _("all of them, or none")
    VALID = "valid", _("those that can be mapped; the others stay in the inbox")


class MapSeveralForm(FormWithoutModel):
    """Whether all have to be mapped, and a note for each mapping."""

    which = forms.ChoiceField(
        label=_("Map"),
        choices=Which.choices,
        initial=Which.ALL.value,
        widget=forms.RadioSelect(attrs={"class": "radiolist"}),
    )

    class Meta:
        model = CertificateMapping
        fields = ("note",)
        widgets = {
            "note": forms.Textarea(attrs={"class": "vLargeTextField", "rows": 3}),
        }
