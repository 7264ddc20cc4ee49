"""What is typed into a search box, looked up by index; the newest rows besides.

Of a million rows nobody wants to wait for the one that has the term somewhere in its
text. So whole names, and beginnings of user names and fingerprints, are looked up by
index, and a term inside a text is looked for in the newest rows.
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

# How many rows a search shows, from each way to find them
MAX_FOUND = 500
# In how many rows a term is looked for inside a text
MAX_SEARCHED = 10_000

_LABEL = re.compile(r"\A.{0,12}fingerprint\s*[=:]\s*", re.IGNORECASE)
_MARKED = re.compile(r"[0-9A-Fa-f]{2}(?:[: ][0-9A-Fa-f]{2})+[: ]?[0-9A-Fa-f]?")
# Shorter ones are words too often: “ada”, “beef”, “facade”.
_PLAIN = re.compile(r"[0-9A-Fa-f]{8,64}")

_NOTE = "_client_cert_search_note"


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


def name_keys(term: str) -> dict[bytes, IdentityKind]:
    """Return what mappings by the name *term* have as their key, and of which kind.

    A name in either order of its parts; text may be a name of several kinds.
    """
    found = {}
    for kind in IdentityKind:
        if kind.is_pin:
            continue
        for order in (None, Order.MOST_SPECIFIC_FIRST):
            try:
                found[parse_identity(kind, term, order=order).key] = kind
            except ClientCertError:
                continue
    return found


def begins_with(field: Field[Any, Any], text: str, vendor: str) -> Q:
    """Return the condition that *field* begins with *text*, by its index.

    In the case that it is typed in, or in lower or upper case, or capitalised: no
    index of Django's finds every mixture but MariaDB's.
    """
    name = field.name
    if vendor == "mysql":
        return Q(**{f"{name}__istartswith": text})
    found = Q()
    for one in dict.fromkeys((text, text.lower(), text.upper(), text.capitalize())):
        if vendor == "sqlite":
            # Its LIKE knows no case, so it cannot use the index, which does.
            last = one + "\U0010ffff"
            found |= Q(**{f"{name}__gte": one, f"{name}__lte": last})
        else:
            found |= Q(**{f"{name}__startswith": one})
    return found


def with_words(fields: Iterable[Field[Any, Any]], term: str) -> Q:
    """Return the condition that each word of *term* is in one of *fields*."""
    found = Q()
    for word in term.split():
        words = Q(pk__in=[])
        for field in fields:
            words |= Q(**{f"{field.name}__icontains": word})
        found &= words
    return found


def is_indexed(field: Field[Any, Any]) -> bool:
    """Tell whether the database can find a value of *field* by an index."""
    if field.unique or getattr(field, "db_index", False):
        return True
    options: Any = field.model._meta
    return any(
        one.fields[:1] in ([field.name], (field.name,)) and not one.condition
        for one in (*options.indexes, *options.total_unique_constraints)
    )


def newest(rows: Any) -> Any:
    """Return those of *rows* that are among the newest of their table."""
    model = rows.model
    keys = model._base_manager.using(rows.db).order_by("-pk").values_list("pk")
    last = keys[MAX_SEARCHED - 1 : MAX_SEARCHED].first()
    return rows if last is None else rows.filter(pk__gte=last[0])


def first_keys(ways: Iterable[Any], request: HttpRequest) -> set[Any]:
    """Return the primary keys of what *ways* find, up to a limit of each."""
    keys: set[Any] = set()
    for rows in ways:
        found = rows.order_by().values_list("pk", flat=True)[: MAX_FOUND + 1]
        some = list(found)
        if len(some) > MAX_FOUND:
            say_more_were_found(request)
        keys.update(some[:MAX_FOUND])
    return keys


def say_more_were_found(request: HttpRequest) -> None:
    """Let the page say that not all that was found is shown."""
    request.__dict__[_NOTE] = _(
        "More was found; these are some of it. Type more of what you look for."
    )


def search_note(request: HttpRequest) -> str:
    """Return what the page has to say of what was found."""
    note: str = request.__dict__.get(_NOTE, "")
    return note
