"""Times and validity in words."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language_bidi, gettext, ngettext_lazy

from django_clientcert.x509.text import show_day, show_moment

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


def moment_and_distance(at: dt.datetime) -> str:
    """Return when *at* is, and how far from now."""
    return f"{moment(at)}, {relative(at, timezone.now())}"


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
