"""Text that is safe to print; times, certificates and users as text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from django_clientcert.explaining.report import one_line
from django_clientcert.x509.text import show_moment


def encodable(text: str, stream: object) -> str:
    """Return *text*; what *stream* cannot encode becomes a backslash escape."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def show_messages(error: ValidationError) -> str:
    """Return the messages of *error* on one line, after the names of their fields."""
    if not hasattr(error, "error_dict"):
        return " ".join(map(one_line, error.messages))
    return " ".join(
        one_line(message if field == NON_FIELD_ERRORS else f"{field}: {message}")
        for field, messages in error.message_dict.items()
        for message in messages
    )


def show_iso(text: str | None) -> str:
    """Return a moment of ``describe_certificate()`` as ``show_moment()`` would."""
    if text is None:
        return "(cannot be read)"
    return show_moment(dt.datetime.fromisoformat(text))


def show_crl(facts: Mapping[str, Any]) -> str:
    """Return how many entries a CRL has, and until when it is current."""
    state = "STALE since" if facts["stale"] else "valid until"
    return f"{facts['entries']} entries, {state} {show_iso(facts['expires_at'])}"


def show_validity(facts: Mapping[str, Any]) -> str:
    """Return the validity period that ``describe_certificate()`` found."""
    return (
        f"valid from {show_iso(facts['not_before'])} until "
        f"{show_iso(facts['not_after'])}"
    )
