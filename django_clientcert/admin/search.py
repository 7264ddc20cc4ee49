"""Fingerprints in a search box, in whatever spelling a log or tool prints them."""

from __future__ import annotations

import re

from django_clientcert.exceptions import NameSyntaxError
from django_clientcert.identities import parse_sha256

_LABEL = re.compile(r"\A.{0,12}fingerprint\s*[=:]\s*", re.IGNORECASE)
_MARKED = re.compile(r"[0-9A-Fa-f]{2}(?:[: ][0-9A-Fa-f]{2})+[: ]?[0-9A-Fa-f]?")
# Shorter ones are words too often: “ada”, “beef”, “facade”.
_PLAIN = re.compile(r"[0-9A-Fa-f]{8,64}")


def fingerprint_digits(term: str) -> str | None:
    """Return the hex digits that a fingerprint begins with, if *term* spells some.

    A whole SHA-256 in any spelling, or the first octets with colons or spaces, or
    at least eight digits without.
    """
    term = term.strip().strip("…").strip()
    try:
        return parse_sha256(term).hex()
    except NameSyntaxError:
        pass  # perhaps the beginning of one
    term = _LABEL.sub("", term)
    if not (_MARKED.fullmatch(term) or _PLAIN.fullmatch(term)):
        return None
    digits = term.replace(":", "").replace(" ", "").lower()
    return digits if len(digits) <= 64 else None
