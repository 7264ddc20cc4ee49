"""Text that is safe to print, and how times and certificates are written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django_clientcert import identities
from django_clientcert.certificates import ClientCertificate
from django_clientcert.escaping import visible_once
from django_clientcert.exceptions import CertificateParseError

MAX_LISTED = 10
MAX_CHARACTERS = 4096


def encodable(text: str, stream: object) -> str:
    """Return *text* with what *stream* cannot print as a backslash escape."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def one_line(text: str) -> str:
    """Return *text*, which is usually escaped already, so that it stays on its line."""
    return visible_once(text, MAX_CHARACTERS)


def show_value(kind: str, value: str) -> str:
    """Return the value of an identity as it may be shown."""
    return identities.show_value(identities.Kind(kind), value, MAX_CHARACTERS)


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


def describe_certificate(certificate: ClientCertificate) -> dict[str, Any]:
    """Return what *certificate* says of itself, by stable keys; never raises.

    ``subject``, ``issuer``, ``serial_number`` (hex), ``not_before``, ``not_after``
    (ISO 8601), ``fingerprint``, ``public_key`` (SHA-256, hex), each None where it
    cannot be read, and ``problems``, which says why.
    """
    problems: list[str] = []

    def read(get: Callable[[], str]) -> str | None:
        try:
            return one_line(get())
        except CertificateParseError as error:
            if (problem := one_line(error.detail)) not in problems:
                problems.append(problem)
            return None

    return {
        "subject": read(lambda: str(certificate.subject)),
        "issuer": read(lambda: str(certificate.issuer)),
        "serial_number": read(lambda: certificate.serial_number_hex),
        "not_before": read(lambda: certificate.not_before.isoformat()),
        "not_after": read(lambda: certificate.not_after.isoformat()),
        "fingerprint": certificate.fingerprint,
        "public_key": read(lambda: certificate.public_key_fingerprint),
        "problems": problems,
    }
