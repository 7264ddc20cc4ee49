"""How long mappings are valid and when they were last used, and the filters by that."""

from __future__ import annotations

import datetime as dt

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.filters import ConditionFilter
from django_clientcert.admin.base.times import LONG_UNUSED, WITHIN
from django_clientcert.exceptions import CertificateParseError
from django_clientcert.models import CertificateMapping


def mapping_validity(
    mapping: CertificateMapping,
) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Return from when until when a mapping accepts the certificate it stores.

    A bound is None if it is unlimited, not stored or cannot be read.
    """
    begins, ends = [mapping.valid_from], [mapping.valid_until]
    certificate = mapping.client_certificate()
    if certificate is not None:
        try:
            begins.append(certificate.not_before)
            ends.append(certificate.not_after)
        except CertificateParseError:
            pass  # the page of the mapping says so
    return (
        max(filter(None, begins), default=None),
        min(filter(None, ends), default=None),
    )


class ValidityFilter(ConditionFilter):
    """Filters mappings by the expiry of the mapping or of its certificate."""

    title = _("validity")
    parameter_name = "validity"
    labels = {
        "valid": _("valid"),
        "week": _("expires within 7 days"),
        "soon": _("expires within 30 days"),
        "quarter": _("expires within 90 days"),
        "expired": _("expired"),
        "unknown": _("unknown"),
    }

    def conditions(self) -> dict[str, Q]:
        """Return the condition of each choice."""
        now = timezone.now()
        soon = (now, now + WITHIN["week"])
        expired = Q(certificate_not_after__lt=now) | Q(valid_until__lt=now)
        unknown = Q(certificate_not_after=None, valid_until=None)
        conditions = {
            "valid": ~expired & ~unknown,
            "expired": expired,
            "unknown": unknown,
            # Few rows, which two index ranges find fastest. For a longer time, SQLite
            # would sort all rows in the ranges and look up each.
            "week": Q(certificate_not_after__range=soon)
            & (Q(valid_until=None) | Q(valid_until__gte=now))
            | Q(valid_until__range=soon)
            & (Q(certificate_not_after=None) | Q(certificate_not_after__gte=now)),
        }
        for name in ("soon", "quarter"):
            until = now + WITHIN[name]
            ending = Q(certificate_not_after__lt=until) | Q(valid_until__lt=until)
            conditions[name] = ending & ~expired
        return conditions


class LastUsedFilter(ConditionFilter):
    """Filters mappings by when a request last used them."""

    title = _("last used")
    parameter_name = "used"
    labels = {
        "recently": _("in the last 90 days"),
        "before": _("longer ago"),
        "never": _("never"),
    }

    def conditions(self) -> dict[str, Q]:
        """Return the condition of each choice."""
        limit = timezone.now() - LONG_UNUSED
        return {
            "recently": Q(last_used_at__gte=limit),
            "before": Q(last_used_at__lt=limit),
            "never": Q(last_used_at=None),
        }
