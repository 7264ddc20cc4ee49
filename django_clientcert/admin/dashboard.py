"""The card on the app’s index page: how many rows need attention."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from django_clientcert.models import CertificateMapping, UnknownCertificate
from django_clientcert.trust.expiry import Interval, enabled_mappings

from .base.base_admin import admin_url
from .base.bounded import Count, count
from .base.permissions import visible_rows
from .base.times import LONG_UNUSED, WITHIN
from .mappings.timeline import (
    AUTHORITIES,
    CRLS,
    PERIODS,
    UNUSED,
    changelist_url,
    count_mappings,
    find_others,
    intervals_of_periods,
)

# Label, number and URL of the rows that need attention
Entry = tuple[Any, Count, str]

_OTHER_LABELS = {
    (AUTHORITIES, "expired"): ngettext_lazy(
        "authority’s certificate expired", "authorities’ certificates expired"
    ),
    (AUTHORITIES, "quarter"): ngettext_lazy(
        "authority’s certificate expires within 90 days",
        "authorities’ certificates expire within 90 days",
    ),
    (CRLS, "expired"): ngettext_lazy("CRL is out of date", "CRLs are out of date"),
    (CRLS, "quarter"): ngettext_lazy(
        "CRL expires within 90 days", "CRLs expire within 90 days"
    ),
}


def find_site(request: HttpRequest) -> AdminSite | None:
    """Return the admin site that *request*’s page belongs to."""
    # Not by its name: a project that makes its own site without a name has two that
    # are called “admin”, with different screens and permissions.
    match = request.resolver_match
    return getattr(getattr(match, "func", None), "admin_site", None)


def make_card(request: HttpRequest) -> dict[str, Any] | None:
    """Return the groups of counts that the user may see; None if there are none."""
    site = find_site(request)
    if site is None:
        return None
    groups: list[tuple[Any, list[Entry]]] = []
    timeline = ""
    mappings = visible_rows(site, request, CertificateMapping)
    if mappings is not None:
        timeline = admin_url(site, CertificateMapping, "timeline")
        groups = [
            (_("Certificates and mappings"), _mapping_entries(site, mappings)),
            (_("Authorities"), _other_entries(site, request, timeline)),
        ]
    unknown = visible_rows(site, request, UnknownCertificate)
    if unknown is not None:
        url = admin_url(site, UnknownCertificate, "changelist")
        entry = (_("refused certificates"), count(unknown), url)
        groups.append((_("Unknown certificates"), [entry]))
    shown = [(title, entries) for title, entries in groups if entries]
    return {"groups": shown, "timeline": timeline} if shown else None


def _mapping_entries(
    site: AdminSite, mappings: QuerySet[CertificateMapping]
) -> list[Entry]:
    mappings = enabled_mappings(mappings)
    now = timezone.now()
    intervals = intervals_of_periods(now)
    unused = {
        "never": mappings.filter(last_used_at=None),
        "before": mappings.filter(last_used_at__lt=now - LONG_UNUSED),
    }
    return [
        *(
            (
                PERIODS[name],
                count_mappings(mappings, intervals[name]),
                changelist_url(site, f"validity={name}"),
            )
            for name in ("expired", *WITHIN)
        ),
        *(
            (label, count(unused[name]), changelist_url(site, f"used={name}"))
            for name, label in UNUSED.items()
        ),
    ]


def _other_entries(site: AdminSite, request: HttpRequest, timeline: str) -> list[Entry]:
    """Return the counts, other than 0, of what expires in the next 90 days."""
    now = timezone.now()
    entries: list[Entry] = []
    others = find_others(site, request, Interval(None, now + WITHIN["quarter"]))
    for series, expiries in others.items():
        expired = sum(expiry.expires_at <= now for expiry in expiries)
        for period, number in (
            ("expired", expired),
            ("quarter", len(expiries) - expired),
        ):
            if number:
                label = _OTHER_LABELS[series, period] % number
                url = f"{timeline}?show={period}"
                entries.append((label, Count(number), url))
    return entries
