"""The page that shows what expires when, as a picture and as a table."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.base_admin import ClientCertModelAdmin
from django_clientcert.admin.base.bounded import Count, count
from django_clientcert.admin.base.permissions import visible_rows
from django_clientcert.admin.base.screens import show_page
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

from .chart import Column, Sort, draw

MAX_LISTED = 100
YEAR = dt.timedelta(days=365)
# The smallest step of the databases’ clock
_INSTANT = dt.timedelta(microseconds=1)

Rows = QuerySet[CertificateMapping]

MAPPINGS, AUTHORITIES, LISTS = "mappings", "authorities", "lists"
SORTS = {
    MAPPINGS: Sort(_("certificates and mappings")),
    AUTHORITIES: Sort(_("authorities’ certificates"), "timeline-stripes"),
    LISTS: Sort(_("revocation lists"), "timeline-dots"),
}

_WHAT = {
    "certificate": _("certificate"),
    "mapping": _("mapping"),
    "authority": _("certificate of an authority"),
    "revocation_list": _("revocation list"),
}

# What the page can be asked for, and what the list of the mappings calls it
CHOICES = {
    "expired": _("expired"),
    "week": _("within 7 days"),
    "soon": _("within 30 days"),
    "quarter": _("within 90 days"),
    "year": _("within 12 months"),
}


class TimelineAdmin(ClientCertModelAdmin):
    """An admin with a page about what expires."""

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses, with that of the page."""
        own = path(
            "timeline/",
            self.admin_site.admin_view(self.timeline_view),
            name=f"{self.opts.app_label}_{self.opts.model_name}_timeline",
        )
        return [own, *super().get_urls()]

    def timeline_view(self, request: HttpRequest) -> HttpResponse:
        """Show what expires within a year, and list what expires in a chosen time.

        Raises:
            PermissionDenied: this person may not see mappings.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = timezone.now()
        months = list(_months(now))
        mappings = enabled_mappings(self.get_queryset(request))
        others = find_others(self.admin_site, request, Interval(None, now + YEAR))
        chosen = request.GET.get("show", "")
        if chosen not in CHOICES:
            chosen = "soon"
        spans = _spans(now)
        found, more = _list(mappings, spans[chosen], others)
        return show_page(
            self,
            request,
            "timeline.html",
            title=gettext("What expires when"),
            back=self.page_url("changelist"),
            form=None,
            fieldsets=[],
            chart=draw(list(_columns(now, months, mappings, others)), SORTS),
            choices=[
                {
                    "name": name,
                    "words": words,
                    "count": sum_of(mappings, spans[name], others),
                    "is_chosen": name == chosen,
                }
                for name, words in CHOICES.items()
            ],
            unused=[
                (unused_address(self.admin_site, used), words)
                for used, words in (
                    ("never", _("Never used")),
                    ("before", _("Not used for 90 days")),
                )
            ],
            chosen=CHOICES[chosen],
            rows=[
                self._row(one, now)
                for one in found
                if self._may_look_at(request, one.instance)
            ],
            more=more,
        )

    def _may_look_at(self, request: HttpRequest, row: Any) -> bool:
        screens = self.admin_site.get_model_admin(type(row))
        return screens.has_view_permission(request, row)

    def _row(self, one: Expiry, now: dt.datetime) -> Any:
        user = "" if one.user is None else visible(str(one.user), 50)
        options = one.instance._meta
        address = reverse(
            f"admin:{options.app_label}_{options.model_name}_change",
            args=[one.instance.pk],
            current_app=self.admin_site.name,
        )
        return {
            "at": moment(one.expires_at),
            "relative": relative(one.expires_at, now),
            "is_near": now < one.expires_at <= now + WITHIN["week"],
            "what": _WHAT[one.what],
            "name": one.name,
            "user": user,
            "address": address,
        }


class Others(NamedTuple):
    """The ends of what is not a mapping, as far as somebody may see it."""

    authorities: list[Expiry]
    lists: list[Expiry]


def find_others(site: AdminSite, request: HttpRequest, span: Interval) -> Others:
    """Return the ends in *span* of authorities and lists; there are never many."""
    authorities = visible_rows(site, request, CertificateAuthority)
    lists = visible_rows(site, request, RevocationList)
    return Others(
        [] if authorities is None else list(authority_expiries(span, authorities)),
        [] if lists is None else list(crl_expiries(span, lists)),
    )


def sum_of(mappings: Rows, span: Interval, others: Others) -> Count:
    """Return how many things end in *span*."""
    theirs = sum(span.has(one.expires_at) for group in others for one in group)
    return count_mappings(mappings, span) + Count(theirs)


def count_mappings(mappings: Rows, span: Interval) -> Count:
    """Return how many of *mappings* end in *span*."""
    first, second = expiring_first(mappings, span)
    return count(first) + count(second)


def unused_address(site: AdminSite, used: str) -> str:
    """Return the address of the list of the mappings that nobody uses."""
    return list_address(site, f"used={used}")


def list_address(site: AdminSite, query: str) -> str:
    """Return the address of the list of the mappings that are not disabled."""
    address = reverse(
        "admin:django_clientcert_certificatemapping_changelist", current_app=site.name
    )
    return f"{address}?{query}&state__in=active,scheduled,retiring"


def _spans(now: dt.datetime) -> dict[str, Interval]:
    return {
        "expired": Interval(None, now),
        **{name: Interval(now, now + within) for name, within in WITHIN.items()},
        "year": Interval(now, now + YEAR),
    }


def _months(now: dt.datetime) -> Iterator[Interval]:
    """Yield the rest of this month, the months after it, and the year's last days.

    What was issued today for a year must not be missing.
    """
    begin, last = now, now + YEAR
    number = 1
    while (first := _first_of_month(now, number)) < last:
        yield Interval(begin, first - _INSTANT)
        begin = first - _INSTANT
        number += 1
    yield Interval(begin, last)


def _first_of_month(now: dt.datetime, number: int) -> dt.datetime:
    """Return the beginning of the month that is *number* months after this one.

    Of the wall clock: not every month begins at the same distance from UTC.
    """
    today = timezone.localtime(now)
    years, month = divmod(today.month - 1 + number, 12)
    return timezone.make_aware(dt.datetime(today.year + years, month + 1, 1))  # noqa: DTZ001


def _columns(
    now: dt.datetime, months: list[Interval], mappings: Rows, others: Others
) -> Iterator[Column]:
    """Yield the columns of the picture: what has expired, and each month."""
    for number, span in enumerate([Interval(None, now), *months]):
        day = timezone.localtime((span.after or now) + _INSTANT)
        yield Column(
            label=date_format(day, "M") if number else gettext("expired"),
            name=date_format(day, "F Y") if number else gettext("expired"),
            counts={
                MAPPINGS: count_mappings(mappings, span),
                AUTHORITIES: _count(span, others.authorities),
                LISTS: _count(span, others.lists),
            },
        )


def _count(span: Interval, expiries: list[Expiry]) -> Count:
    return Count(sum(span.has(one.expires_at) for one in expiries))


def _list(mappings: Rows, span: Interval, others: Others) -> tuple[list[Expiry], str]:
    """Return what ends in *span*, the first first, and how much more there is."""
    first, second = expiring_first(mappings, span)
    unread = ("certificate", "note")
    limit = MAX_LISTED + 1
    # Of what has expired, the latest: what is long gone is nobody's business now.
    is_past = span.after is None
    sign = "-" if is_past else ""
    groups = [
        certificate_expiries(
            _head(first, f"{sign}certificate_not_after", limit, unread)
        ),
        date_expiries(_head(second, f"{sign}valid_until", limit, unread)),
        *(
            iter(
                sorted(
                    (one for one in group if span.has(one.expires_at)),
                    key=_end_of,
                    reverse=is_past,
                )
            )
            for group in others
        ),
    ]
    found = list(islice(merge(*groups, key=_end_of, reverse=is_past), limit))
    if len(found) < limit:
        return found, ""
    total = sum_of(mappings, span, others)
    text = gettext("%(shown)d of %(total)s are shown.")
    return found[:MAX_LISTED], text % {"shown": MAX_LISTED, "total": total}


def _head(rows: Any, order: str, limit: int, unread: tuple[str, ...]) -> Any:
    return rows.order_by(order, "pk").defer(*unread)[:limit]


def _end_of(one: Expiry) -> dt.datetime:
    return one.expires_at
