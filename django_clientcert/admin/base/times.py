"""Times and validity in words, and the filters by them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language_bidi, gettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

from django_clientcert.exceptions import CertificateParseError
from django_clientcert.models import CertificateMapping
from django_clientcert.x509.text import show_day, show_moment

if TYPE_CHECKING:
    Rows = QuerySet[CertificateMapping]

SOON = dt.timedelta(days=30)
LONG_UNUSED = dt.timedelta(days=90)

# Choices of the filter by validity; each includes the shorter ones
WITHIN = {
    "week": dt.timedelta(days=7),
    "soon": SOON,
    "quarter": dt.timedelta(days=90),
}

# RFC 5280, 4.1.2.5: "no well-defined expiration date"
NO_END = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.timezone.utc)


# Unicode’s bidirectional algorithm leaves the text between these in its order.
_LEFT_TO_RIGHT, _END = "\u2066", "\u2069"


def moment(at: dt.datetime) -> str:
    """Return *at* in UTC; a right-to-left page keeps it in order."""
    text = show_moment(at)
    return f"{_LEFT_TO_RIGHT}{text}{_END}" if get_language_bidi() else text


def on_day(at: dt.datetime, status: str) -> SafeString:
    """Return the day of *at*, which does not wrap, and the *status* of that day."""
    return format_html('<span class="nowrap">{}:</span> {}', show_day(at), status)


_AHEAD = {
    "year": ngettext_lazy("in %(count)d year", "in %(count)d years", "count"),
    "day": ngettext_lazy("in %(count)d day", "in %(count)d days", "count"),
    "hour": ngettext_lazy("in %(count)d hour", "in %(count)d hours", "count"),
    "minute": ngettext_lazy("in %(count)d minute", "in %(count)d minutes", "count"),
}
_AGO = {
    "year": ngettext_lazy("%(count)d year ago", "%(count)d years ago", "count"),
    "day": ngettext_lazy("%(count)d day ago", "%(count)d days ago", "count"),
    "hour": ngettext_lazy("%(count)d hour ago", "%(count)d hours ago", "count"),
    "minute": ngettext_lazy("%(count)d minute ago", "%(count)d minutes ago", "count"),
}


def relative(at: dt.datetime, now: dt.datetime) -> str:
    """Return how far *at* is from *now*: “in 13 days”, “3 hours ago”."""
    count, unit = _largest_unit(abs(at - now))
    texts = (_AHEAD if at > now else _AGO)[unit]
    return str(texts % {"count": count})


def _largest_unit(distance: dt.timedelta) -> tuple[int, str]:
    if distance.days >= 2 * 365:
        return distance.days // 365, "year"
    if distance.days >= 2:
        return distance.days, "day"
    minutes = int(distance.total_seconds()) // 60
    return (minutes // 60, "hour") if minutes >= 120 else (minutes, "minute")


def validity_status(
    begin: dt.datetime | None, end: dt.datetime | None, now: dt.datetime
) -> str:
    """Return whether *now* is between *begin* and *end*, in a few words."""
    if end is not None and now > end:
        return gettext("expired")
    if begin is not None and now < begin:
        return gettext("not yet valid")
    if end is None:
        return gettext("unknown")
    if end - now < SOON:
        return gettext("expires %(when)s") % {"when": relative(end, now)}
    return gettext("valid")


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


class ValidityFilter(admin.SimpleListFilter):
    """Filters mappings by the expiry of the mapping or of its certificate."""

    title = _("validity")
    parameter_name = "validity"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]
    ) -> list[tuple[str, Any]]:
        """Return the choices."""
        return [
            ("valid", _("valid")),
            ("week", _("expires within 7 days")),
            ("soon", _("expires within 30 days")),
            ("quarter", _("expires within 90 days")),
            ("expired", _("expired")),
            ("unknown", _("unknown")),
        ]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        """Return the mappings with the chosen validity."""
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
        return queryset.filter(conditions.get(self.value() or "", Q()))


class LastUsedFilter(admin.SimpleListFilter):
    """Filters mappings by when a request last used them."""

    title = _("last used")
    parameter_name = "used"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]
    ) -> list[tuple[str, Any]]:
        """Return the choices."""
        return [
            ("recently", _("in the last 90 days")),
            ("before", _("longer ago")),
            ("never", _("never")),
        ]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        """Return the mappings last used in the chosen time."""
        limit = timezone.now() - LONG_UNUSED
        conditions = {
            "recently": Q(last_used_at__gte=limit),
            "before": Q(last_used_at__lt=limit),
            "never": Q(last_used_at=None),
        }
        return queryset.filter(conditions.get(self.value() or "", Q()))
