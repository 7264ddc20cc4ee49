"""The form of a renewal."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.revocations.forms import FormWithCertificate, MomentField
from django_clientcert.models import CertificateMapping
from django_clientcert.trust.renewals import renew

RETIRES_AFTER = dt.timedelta(days=7)


def next_week() -> dt.datetime:
    """Return when an old certificate should be out of use."""
    return timezone.now() + RETIRES_AFTER


class RenewalForm(FormWithCertificate):
    """The certificate that takes the place of a mapped one, and when.

    It is mapped when the form is checked, or the reason is said why not. After
    ``is_valid()``, ``successor`` is the new mapping.
    """

    retire_on = MomentField(
        label=_("The old mapping retires on"),
        initial=next_week,
        help_text=_("Until then, both certificates are good."),
    )
    valid_from = MomentField(
        label=_("The new one holds from"),
        required=False,
        help_text=_("Leave empty to let it in at once."),
    )

    class Meta:
        model = CertificateMapping
        fields: tuple[str, ...] = ()

    def __init__(self, mapping: CertificateMapping, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mapping = mapping
        self.successor: CertificateMapping | None = None

    def clean(self) -> dict[str, Any]:
        """Map the certificate and let the other retire, or say why not."""
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
