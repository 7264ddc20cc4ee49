"""What the app’s index page says at a glance: how much needs somebody’s attention."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_clientcert.models import CertificateMapping, UnknownCertificate
from django_clientcert.trust.expiry import Interval, enabled_mappings

from .base.bounded import Count, count
from .base.permissions import visible_rows
from .base.times import LONG_UNUSED, WITHIN
from .mappings.timeline import count_mappings, find_others, list_address, unused_address

# What is said of the number of mappings that end in a time
_ENDS = {
    "expired": _("expired"),
    "week": _("expiring within 7 days"),
    "soon": _("expiring within 30 days"),
    "quarter": _("expiring within 90 days"),
}


def find_site(request: HttpRequest) -> AdminSite | None:
    """Return the admin site whose page this is."""
    # Not by its name: a project that makes a site of its own without one has two of
    # the name “admin”, with screens and permissions that differ.
    match = request.resolver_match
    site: AdminSite | None = getattr(getattr(match, "func", None), "admin_site", None)
    return site


def make_card(request: HttpRequest) -> dict[str, Any] | None:
    """Return the groups of counts that this person may see; None without any."""
    site = find_site(request)
    if site is None:
        return None
    groups = []
    timeline = ""
    mappings = visible_rows(site, request, CertificateMapping)
    if mappings is not None:
        timeline = _timeline_of(site)
        groups += [
            _of_mappings(site, mappings),
            _of_others(site, request, timeline),
        ]
    unknown = visible_rows(site, request, UnknownCertificate)
    if unknown is not None:
        address = _list_of(site, UnknownCertificate)
        waiting = count(unknown)
        entry = _entry(_("waiting to be mapped"), waiting, address)
        groups.append({"title": _("Unknown certificates"), "entries": [entry]})
    shown = [one for one in groups if one["entries"]]
    return {"groups": shown, "timeline": timeline} if shown else None


def _of_mappings(
    site: AdminSite, mappings: QuerySet[CertificateMapping]
) -> dict[str, Any]:
    mappings = enabled_mappings(mappings)
    now = timezone.now()
    spans = {
        "expired": Interval(None, now),
        **{name: Interval(now, now + within) for name, within in WITHIN.items()},
    }
    entries = [
        _entry(
            _ENDS[name],
            count_mappings(mappings, span),
            list_address(site, f"validity={name}"),
        )
        for name, span in spans.items()
    ]
    unused = mappings.filter(last_used_at__lt=now - LONG_UNUSED)
    never = mappings.filter(last_used_at=None)
    entries += [
        _entry(_("never used"), count(never), unused_address(site, "never")),
        _entry(
            _("not used for 90 days"), count(unused), unused_address(site, "before")
        ),
    ]
    return {"title": _("Certificates and mappings"), "entries": entries}


def _of_others(site: AdminSite, request: HttpRequest, address: str) -> dict[str, Any]:
    """Return how many certificates of authorities, and lists, end within 90 days."""
    now = timezone.now()
    until = now + max(WITHIN.values())
    entries = []
    others = find_others(site, request, Interval(None, until))
    for what, expiries in others._asdict().items():
        past = sum(one.expires_at <= now for one in expiries)
        for name, number in (("expired", past), ("quarter", len(expiries) - past)):
            if number:
                where = f"{address}?show={name}"
                entries.append(
                    _entry(_others_end(what, name, number), Count(number), where)
                )
    return {"title": _("Authorities"), "entries": entries}


def _others_end(what: str, name: str, n: int) -> str:
    """Return what is said of *n* certificates of authorities, or lists."""
    return {
        ("authorities", "expired"): ngettext(
            "authority’s certificate expired", "authorities’ certificates expired", n
        ),
        ("authorities", "quarter"): ngettext(
            "authority’s certificate expires within 90 days",
            "authorities’ certificates expire within 90 days",
            n,
        ),
        ("lists", "expired"): ngettext(
            "revocation list is out of date", "revocation lists are out of date", n
        ),
        ("lists", "quarter"): ngettext(
            "revocation list is out of date within 90 days",
            "revocation lists are out of date within 90 days",
            n,
        ),
    }[what, name]


def _entry(words: Any, number: Count, address: str) -> dict[str, Any]:
    return {"words": words, "count": number, "address": address}


def _timeline_of(site: AdminSite) -> str:
    return reverse(
        "admin:django_clientcert_certificatemapping_timeline", current_app=site.name
    )


def _list_of(site: AdminSite, model: Any) -> str:
    options = model._meta
    return reverse(
        f"admin:{options.app_label}_{options.model_name}_changelist",
        current_app=site.name,
    )
