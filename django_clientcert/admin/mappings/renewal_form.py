"""The form of a renewal."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.certificate_form import CertificateForm, MomentField
from django_clientcert.admin.base.private_keys import FormWithoutModel
from django_clientcert.models import CertificateMapping
from django_clientcert.trust.renewals import renew


def next_week() -> dt.datetime:
    """Return the date on which an old mapping retires by default."""
    return timezone.now() + dt.timedelta(days=7)


class RenewalForm(CertificateForm, FormWithoutModel):
    """The certificate that replaces a mapped one, and the dates of both mappings.

    The certificate is mapped when the form is validated. After ``is_valid()``,
    ``successor`` is the new mapping.
    """

    retire_on = MomentField(
        label=_("Retire the old mapping on"),
        initial=next_week,
        help_text=_("Until then, both certificates are accepted."),
    )
    valid_from = MomentField(
        label=_("Accept the new certificate from"),
        required=False,
        help_text=_("Leave empty to accept it immediately."),
    )

    class Meta:
        model = CertificateMapping
        fields: tuple[str, ...] = ()

    def __init__(self, mapping: CertificateMapping, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mapping = mapping
        self.successor: CertificateMapping | None = None

    def clean(self) -> dict[str, Any]:
        """Map the certificate and let the old mapping retire, or add the error."""
        cleaned = super().clean()
        if self.errors:
            return cleaned
        try:
            certificate = self.given_certificate()
            if certificate is None:
                raise ValidationError(
                    {"pasted": _("Paste or upload the renewed certificate.")}
                )
            self.successor = renew(
                self.mapping,
                certificate,
                retire_on=cleaned["retire_on"],
                valid_from=cleaned["valid_from"],
            )
        except ValidationError as error:
            self.add_error(None, error)
        return cleaned
