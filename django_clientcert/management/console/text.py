"""Text that is safe to print, and how times and certificates are written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from django_clientcert.explaining import describe_certificate, one_line, show_value

__all__ = [
    "describe_certificate",
    "encodable",
    "list_some",
    "one_line",
    "show_iso",
    "show_moment",
    "show_validity",
    "show_value",
]

MAX_LISTED = 10


def encodable(text: str, stream: object) -> str:
    """Return *text* with what *stream* cannot print as a backslash escape."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def show_moment(at: dt.datetime) -> str:
    """Return *at* in UTC, to the second."""
    # Not strftime: it leaves out the zeros in front of a year before 1000.
    return (
        at.astimezone(dt.timezone.utc).replace(tzinfo=None).isoformat(" ", "seconds")
        + " UTC"
    )


def show_iso(text: str | None) -> str:
    """Return a moment of ``describe_certificate()`` as ``show_moment()`` would."""
    if text is None:
        return "(cannot be read)"
    return show_moment(dt.datetime.fromisoformat(text))


def show_validity(facts: Mapping[str, Any]) -> str:
    """Return from when until when, out of what ``describe_certificate()`` found."""
    return (
        f"valid from {show_iso(facts['not_before'])} until "
        f"{show_iso(facts['not_after'])}"
    )


def list_some(names: Iterable[str]) -> str:
    """Return the first of *names* with commas, and how many there are besides."""
    names = list(names)
    listed = ", ".join(names[:MAX_LISTED])
    more = len(names) - MAX_LISTED
    return f"{listed} and {more} more" if more > 0 else listed
