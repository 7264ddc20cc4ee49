"""The screen that shows what expires when, as a chart and as a table."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from heapq import merge
from itertools import islice, pairwise, starmap
from operator import attrgetter
from typing import Any

from django.contrib.admin import AdminSite
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.base_admin import admin_url
from django_clientcert.admin.base.bounded import Count, count
from django_clientcert.admin.base.permissions import may_see_row, visible_rows
from django_clientcert.admin.base.screens import screen, show_page
from django_clientcert.admin.base.times import WITHIN, moment, relative
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    RevocationList,
)
from django_clientcert.trust.expiry import (
    Expiry,
    Interval,
    authority_expiries,
    certificate_expiries,
    crl_expiries,
    date_expiries,
    enabled_mappings,
    expiring_first,
)
from django_clientcert.x509.escaping import visible

from .chart import Column, Series, draw_chart

MAX_LISTED = 100
YEAR = dt.timedelta(days=365)
# The smallest step of a database’s clock
_INSTANT = dt.timedelta(microseconds=1)

Rows = QuerySet[CertificateMapping]

MAPPINGS, AUTHORITIES, CRLS = "mappings", "authorities", "crls"
SERIES = {
    MAPPINGS: Series(_("certificates and mappings")),
    AUTHORITIES: Series(_("authorities’ certificates"), "timeline-stripes"),
    CRLS: Series(_("CRLs"), "timeline-dots"),
}

_TYPES = {
    "certificate": _("certificate"),
    "mapping": _("mapping"),
    "authority": _("certificate of an authority"),
    "revocation_list": _("CRL"),
}

# What can be chosen, by the names that the changelist’s filter has for it
PERIODS = {
    "expired": _("expired"),
    "week": _("expiring within 7 days"),
    "soon": _("expiring within 30 days"),
    "quarter": _("expiring within 90 days"),
    "year": _("expiring within 12 months"),
}

# Mappings that nobody uses, by the names that the changelist’s filter has for them
UNUSED = {"never": _("never used"), "before": _("not used for 90 days")}

# The expiries of an authority’s certificates and of CRLs, by the name of their series
OtherExpiries = dict[str, list[Expiry]]


@screen("view")
def timeline_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Chart what expires within a year, and list what expires in a chosen period."""
    now = timezone.now()
    site = model_admin.admin_site
    mappings = enabled_mappings(model_admin.get_queryset(request))
    others = find_others(site, request, Interval(None, now + YEAR))
    chosen = request.GET.get("show", "")
    if chosen not in PERIODS:
        chosen = "soon"
    intervals = intervals_of_periods(now)
    listed, more = _list_expiries(mappings, intervals[chosen], others)
    return show_page(
        model_admin,
        request,
        "timeline.html",
        title=gettext("Expiry timeline"),
        chart=draw_chart(list(_columns(now, mappings, others)), SERIES),
        choices=[
            {
                "name": name,
                "label": label,
                "count": _count_all(mappings, intervals[name], others),
                "is_chosen": name == chosen,
            }
            for name, label in PERIODS.items()
        ],
        unused=[
            (changelist_url(site, f"used={name}"), label)
            for name, label in UNUSED.items()
        ],
        chosen=PERIODS[chosen],
        rows=[
            _table_row(site, expiry, now)
            for expiry in listed
            if may_see_row(site, request, expiry.instance)
        ],
        more=more,
    )


def _table_row(site: AdminSite, expiry: Expiry, now: dt.datetime) -> dict[str, Any]:
    instance, at = expiry.instance, expiry.expires_at
    return {
        "at": moment(at),
        "relative": relative(at, now),
        "is_near": now < at <= now + WITHIN["week"],
        "what": _TYPES[expiry.what],
        "name": expiry.name,
        "user": "" if expiry.user is None else visible(str(expiry.user), 50),
        "url": admin_url(site, type(instance), "change", instance.pk),
    }


def find_others(
    site: AdminSite, request: HttpRequest, interval: Interval
) -> OtherExpiries:
    """Return what else expires in *interval*, if the user may see it.

    There are never many authorities and CRLs, so all of them are read.
    """
    others: OtherExpiries = {AUTHORITIES: [], CRLS: []}
    authorities = visible_rows(site, request, CertificateAuthority)
    if authorities is not None:
        others[AUTHORITIES] += authority_expiries(interval, authorities)
    crls = visible_rows(site, request, RevocationList)
    if crls is not None:
        others[CRLS] += crl_expiries(interval, crls)
    return others


def intervals_of_periods(now: dt.datetime) -> dict[str, Interval]:
    """Return the interval of each of ``PERIODS``."""
    return {
        "expired": Interval(None, now),
        **{name: Interval(now, now + within) for name, within in WITHIN.items()},
        "year": Interval(now, now + YEAR),
    }


def count_mappings(mappings: Rows, interval: Interval) -> Count:
    """Return how many of *mappings* expire in *interval*."""
    by_certificate, by_date = expiring_first(mappings, interval)
    return count(by_certificate) + count(by_date)


def changelist_url(site: AdminSite, query: str) -> str:
    """Return the URL of the mappings that are not disabled, filtered by *query*."""
    url = admin_url(site, CertificateMapping, "changelist")
    return f"{url}?{query}&state__in=active,scheduled,retiring"


def _count_all(mappings: Rows, interval: Interval, others: OtherExpiries) -> Count:
    counts = (_count_in(interval, expiries) for expiries in others.values())
    return sum(counts, count_mappings(mappings, interval))


def _count_in(interval: Interval, expiries: list[Expiry]) -> Count:
    return Count(sum(interval.has(expiry.expires_at) for expiry in expiries))


def _months(now: dt.datetime) -> Iterator[Interval]:
    """Yield the rest of this month, the following months, and the year's last days.

    A certificate that was issued today for one year must not be missing.
    """
    last = now + YEAR
    firsts = (_first_of_month(now, number) for number in range(1, 13))
    ends = [first - _INSTANT for first in firsts if first < last]
    return starmap(Interval, pairwise([now, *ends, last]))


def _first_of_month(now: dt.datetime, number: int) -> dt.datetime:
    """Return the beginning of the month that is *number* months after this one.

    In local time: the offset from UTC differs between months.
    """
    today = timezone.localtime(now)
    years, month = divmod(today.month - 1 + number, 12)
    return timezone.make_aware(dt.datetime(today.year + years, month + 1, 1))  # noqa: DTZ001


def _columns(
    now: dt.datetime, mappings: Rows, others: OtherExpiries
) -> Iterator[Column]:
    """Yield the columns of the chart: what has expired, and each month."""
    for number, interval in enumerate([Interval(None, now), *_months(now)]):
        day = timezone.localtime((interval.after or now) + _INSTANT)
        yield Column(
            label=date_format(day, "M") if number else gettext("expired"),
            name=date_format(day, "F Y") if number else gettext("expired"),
            counts={
                MAPPINGS: count_mappings(mappings, interval),
                **{
                    name: _count_in(interval, expiries)
                    for name, expiries in others.items()
                },
            },
        )


def _list_expiries(
    mappings: Rows, interval: Interval, others: OtherExpiries
) -> tuple[list[Expiry], str]:
    """Return what expires in *interval*, earliest first, and a note if it is cut off.

    What has already expired is listed latest first.
    """
    is_past = interval.after is None
    limit = MAX_LISTED + 1
    by_certificate, by_date = (
        rows.order_by(f"-{field}" if is_past else field, "pk").defer(
            "certificate", "note"
        )[:limit]
        for rows, field in zip(
            expiring_first(mappings, interval),
            ("certificate_not_after", "valid_until"),
            strict=True,
        )
    )
    by_time = attrgetter("expires_at")
    groups: list[Any] = [certificate_expiries(by_certificate), date_expiries(by_date)]
    for expiries in others.values():
        within = [expiry for expiry in expiries if interval.has(expiry.expires_at)]
        groups.append(sorted(within, key=by_time, reverse=is_past))
    listed = list(islice(merge(*groups, key=by_time, reverse=is_past), limit))
    if len(listed) < limit:
        return listed, ""
    total = _count_all(mappings, interval, others)
    text = gettext("Showing %(shown)d of %(total)s.")
    return listed[:MAX_LISTED], text % {"shown": MAX_LISTED, "total": total}
