"""The form that maps several unknown certificates."""

from __future__ import annotations

from django import forms

from django_clientcert.admin.base.which_form import WhichForm


class MapSeveralForm(WhichForm):
    """Whether all certificates have to be mapped, and a note for each mapping."""

    class Meta(WhichForm.Meta):
        fields = ("note",)
        widgets = {
            "note": forms.Textarea(attrs={"class": "vLargeTextField", "rows": 3}),
        }
