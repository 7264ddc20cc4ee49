"""Searches: indexed lookups, plus a text search of the newest rows.

Searching a million rows for a term inside a text takes too long. So whole names, and
beginnings of user names and fingerprints, are looked up by index, and a term inside a
text is searched for in the newest rows only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from django.db.models import Field, Q
from django.http import HttpRequest
from django.utils.translation import gettext as _

from django_clientcert.exceptions import ClientCertError, NameSyntaxError
from django_clientcert.x509.identities import IdentityKind, parse_identity, parse_sha256
from django_clientcert.x509.names import Order

# How many rows of each lookup a search shows
MAX_FOUND = 500
# How many of the newest rows a text search reads
MAX_SEARCHED = 10_000

_LABEL = re.compile(r"\A.{0,12}fingerprint\s*[=:]\s*", re.IGNORECASE)
_MARKED = re.compile(r"[0-9A-Fa-f]{2}(?:[: ][0-9A-Fa-f]{2})+[: ]?[0-9A-Fa-f]?")
# Shorter ones are often words: “ada”, “beef”, “facade”.
_PLAIN = re.compile(r"[0-9A-Fa-f]{8,64}")

_NOTE = "_client_cert_search_note"


def fingerprint_digits(term: str) -> str | None:
    """Return the leading hex digits of a fingerprint that *term* spells, or None.

    Either a whole SHA-256 in any spelling, or its first octets with colons or spaces,
    or at least eight digits without.
    """
    term = term.strip().strip("…").strip()
    try:
        return parse_sha256(term).hex()
    except NameSyntaxError:
        pass  # perhaps its beginning
    term = _LABEL.sub("", term)
    if not (_MARKED.fullmatch(term) or _PLAIN.fullmatch(term)):
        return None
    digits = term.replace(":", "").replace(" ", "").lower()
    return digits if len(digits) <= 64 else None


def name_keys(term: str) -> dict[bytes, IdentityKind]:
    """Return the keys, with their kind, that mappings by the name *term* would have.

    A DN is read in either order, and a text may be a name of several kinds.
    """
    keys = {}
    for kind in IdentityKind:
        if kind.is_pin:
            continue
        for order in (None, Order.MOST_SPECIFIC_FIRST):
            try:
                keys[parse_identity(kind, term, order=order).key] = kind
            except ClientCertError:
                continue
    return keys


def begins_with(field: Field[Any, Any], text: str, vendor: str) -> Q:
    """Return the condition that *field* begins with *text*, such that an index is used.

    *text* is tried as typed, in lower case, in upper case and capitalised, because
    only MariaDB’s indexes ignore case.
    """
    name = field.name
    if vendor == "mysql":
        return Q(**{f"{name}__istartswith": text})
    condition = Q()
    for start in dict.fromkeys((text, text.lower(), text.upper(), text.capitalize())):
        if vendor == "sqlite":
            # LIKE ignores case there, so it cannot use the index, which does not.
            last = start + "\U0010ffff"
            condition |= Q(**{f"{name}__gte": start, f"{name}__lte": last})
        else:
            condition |= Q(**{f"{name}__startswith": start})
    return condition


def with_words(fields: Iterable[Field[Any, Any]], term: str) -> Q:
    """Return the condition that each word of *term* is in one of *fields*."""
    condition = Q()
    for word in term.split():
        somewhere = Q(pk__in=[])
        for field in fields:
            somewhere |= Q(**{f"{field.name}__icontains": word})
        condition &= somewhere
    return condition


def is_indexed(field: Field[Any, Any]) -> bool:
    """Return whether the database has an index that begins with *field*."""
    if field.unique or getattr(field, "db_index", False):
        return True
    options: Any = field.model._meta
    return any(
        index.fields[:1] in ([field.name], (field.name,)) and not index.condition
        for index in (*options.indexes, *options.total_unique_constraints)
    )


def newest(rows: Any) -> Any:
    """Return the *rows* that are among the newest of their table."""
    model = rows.model
    keys = model._base_manager.using(rows.db).order_by("-pk").values_list("pk")
    last = keys[MAX_SEARCHED - 1 : MAX_SEARCHED].first()
    return rows if last is None else rows.filter(pk__gte=last[0])


def first_keys(querysets: Iterable[Any], request: HttpRequest) -> set[Any]:
    """Return the primary keys of the rows of *querysets*, up to a limit of each.

    If there are more, ``search_note(request)`` says so.
    """
    keys: set[Any] = set()
    for rows in querysets:
        found = list(rows.order_by().values_list("pk", flat=True)[: MAX_FOUND + 1])
        if len(found) > MAX_FOUND:
            setattr(request, _NOTE, True)
        keys.update(found[:MAX_FOUND])
    return keys


def search_note(request: HttpRequest) -> str:
    """Return the note below the search box: that the results are truncated, if so."""
    if not hasattr(request, _NOTE):
        return ""
    return _("Not all results are shown. Make the search term longer to see others.")
