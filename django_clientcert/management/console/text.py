"""Text that is safe to print, and how times and certificates are written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django_clientcert.explaining import describe_certificate, one_line, show_value
from django_clientcert.x509.text import show_moment, some_of

__all__ = [
    "describe_certificate",
    "encodable",
    "one_line",
    "show_iso",
    "show_moment",
    "show_validity",
    "show_value",
    "some_of",
]


def encodable(text: str, stream: object) -> str:
    """Return *text* with what *stream* cannot print as a backslash escape."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


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
