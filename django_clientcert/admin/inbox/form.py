"""The form that maps several unknown certificates."""

from __future__ import annotations

from django import forms

from django_clientcert.admin.base.which_form import WhichForm
from django_clientcert.models import CertificateMapping


class MapSeveralForm(WhichForm):
    """Whether all certificates have to be mapped, and a note for each mapping."""

    class Meta:
        model = CertificateMapping
        fields = ("note",)
        widgets = {
            "note": forms.Textarea(attrs={"class": "vLargeTextField", "rows": 3}),
        }
