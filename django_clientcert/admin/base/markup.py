"""HTML that the screens share: hex digits, names, lists and links, all escaped."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Any

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_clientcert.x509.escaping import visible_once

# Long enough for every honest name
MAX_NAME = 1000
# Rows of a table on a page
MAX_SHOWN = 100


def column(label: Any, show: Callable[[Any], str], ordering: str | None = None) -> Any:
    """Return a method for ``list_display`` or ``readonly_fields``: ``show(row)``."""

    @admin.display(description=label, ordering=ordering)
    def shown(self: Any, obj: Any) -> str:
        return show(obj)

    return shown


def hex_pairs(digits: str, sign: str = "") -> SafeString:
    """Return hex *digits* as pairs with colons, at which a narrow page may break."""
    upper = digits.upper()
    return format_html(
        # A right-to-left page would otherwise reorder the numbers.
        '<code dir="ltr">{}{}</code>',
        sign,
        format_html_join(
            SafeString(":<wbr>"),
            "{}",
            ((upper[start : start + 2],) for start in range(0, len(upper), 2)),
        ),
    )


def breakable_name(name: str, after: str = ",") -> SafeString:
    """Return a *name* that a narrow column may break *after* these characters."""
    parts = re.split(f"(?<=[{after}])", name)
    return format_html_join(SafeString("<wbr>"), "{}", ((part,) for part in parts))


def join_lines(texts: Iterable[str]) -> SafeString:
    """Return *texts*, one per line."""
    return format_html_join(SafeString("<br>"), "{}", ((text,) for text in texts))


def with_quiet(text: str, below: str) -> SafeString:
    """Return *text*, and *below* it something less important."""
    return format_html('{}<br><span class="quiet">{}</span>', text, below)


def link(url: str, text: str) -> SafeString:
    """Return *text* as a link to *url*."""
    return format_html('<a href="{}">{}</a>', url, text)


def more_than(count: int, limit: int) -> str:
    """Return “and 3 more” if *count* exceeds *limit* by 3; else an empty text."""
    more = count - limit
    if more <= 0:
        return ""
    return ngettext("and %(more)d more", "and %(more)d more", more) % {"more": more}


def with_more(content: str, count: int, limit: int) -> SafeString:
    """Return *content*, and after it how many of *count* exceed *limit*, if any."""
    more = more_than(count, limit)
    return format_html("{}<p>{}</p>" if more else "{}", content, more)


def list_some(texts: Collection[str], limit: int) -> str:
    """Return the first *limit* of *texts*, with commas, and how many more there are."""
    listed = ", ".join(islice(texts, limit))
    more = more_than(len(texts), limit)
    return f"{listed} {more}" if more else listed


def unreadable(error: Exception, limit: int = 100) -> str:
    """Return that something cannot be read, and why in up to *limit* characters."""
    return _("cannot be read: %(why)s") % {"why": visible_once(str(error), limit)}
