"""What the app’s index page says at a glance: how much needs somebody’s attention."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.sites import all_sites
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_clientcert.endings import Span, living
from django_clientcert.models import CertificateMapping, UnknownCertificate

from .bounded import Count, count
from .permissions import may_see
from .timeline import (
    count_mappings,
    find_others,
    list_address,
    unused_address,
)
from .times import LONG_UNUSED, WITHIN

# What is said of the number of mappings that end in a time
_ENDS = {
    "expired": _("expired"),
    "week": _("expire within 7 days"),
    "soon": _("expire within 30 days"),
    "quarter": _("expire within 90 days"),
}
# The same of authorities’ certificates, and of lists
_OTHERS = (
    {
        "expired": _("authorities’ certificates expired"),
        "quarter": _("authorities’ certificates expire within 90 days"),
    },
    {
        "expired": _("revocation lists are out of date"),
        "quarter": _("revocation lists are out of date within 90 days"),
    },
)


def find_site(request: HttpRequest) -> AdminSite | None:
    """Return the admin site whose page this is."""
    match = request.resolver_match
    names = [] if match is None else match.namespaces
    return next((one for one in all_sites if one.name in names), None)


def make_card(request: HttpRequest) -> dict[str, Any] | None:
    """Return the groups of counts that this person may see; None without any."""
    site = find_site(request)
    if site is None:
        return None
    groups = []
    timeline = ""
    if may_see(site, request, CertificateMapping):
        timeline = _timeline_of(site)
        groups += [_of_mappings(site), _of_others(site, request, timeline)]
    if may_see(site, request, UnknownCertificate):
        address = _list_of(site, UnknownCertificate)
        waiting = count(UnknownCertificate.objects.all())
        entry = _entry(_("waiting to be mapped"), waiting, address)
        groups.append({"title": _("Unknown certificates"), "entries": [entry]})
    shown = [one for one in groups if one["entries"]]
    return {"groups": shown, "timeline": timeline} if shown else None


def _of_mappings(site: AdminSite) -> dict[str, Any]:
    now = timezone.now()
    spans = {
        "expired": Span(None, now),
        **{name: Span(now, now + within) for name, within in WITHIN.items()},
    }
    entries = [
        _entry(
            _ENDS[name], count_mappings(span), list_address(site, f"validity={name}")
        )
        for name, span in spans.items()
    ]
    unused = living().filter(last_used_at__lt=now - LONG_UNUSED)
    never = living().filter(last_used_at=None)
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
    for words, endings in zip(
        _OTHERS, find_others(site, request, Span(None, until)), strict=True
    ):
        past = sum(one.expires_at <= now for one in endings)
        for name, number in (("expired", past), ("quarter", len(endings) - past)):
            if number:
                where = f"{address}?show={name}"
                entries.append(_entry(words[name], Count(number), where))
    return {"title": _("Authorities"), "entries": entries}


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
