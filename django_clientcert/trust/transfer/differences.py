"""The differences between two exports."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from django_clientcert.models import Revocation

from .records import AUTHORITY, LIST, MAPPING, REVOCATION, SERIALS, Record

_KEYS = {
    AUTHORITY: ("name",),
    LIST: ("authority", "fingerprint"),
    REVOCATION: Revocation.IDENTITY,
    MAPPING: ("user", "kind", "value", "authority"),
}
_Key = tuple[str, ...]


class Difference(NamedTuple):
    """A record that was ``added``, ``removed`` or ``changed``, with those fields."""

    change: str
    type: str
    key: dict[str, str]
    fields: tuple[str, ...] = ()


def compare(old: Iterable[Record], new: Iterable[Record]) -> Iterator[Difference]:
    """Yield what was added, changed and removed from *old* to *new*.

    Only digests of *old* are kept in memory; *new* is read once.
    """
    known = {key: fields for key, fields in map(_digest, old) if key}
    for key, fields in map(_digest, new):
        if not key:
            continue
        before = known.pop(key, None)
        if before is None:
            yield _say("added", key)
        elif before != fields:
            names = sorted({**before, **fields})
            changed = tuple(
                name for name in names if before.get(name) != fields.get(name)
            )
            yield _say("changed", key, changed)
    for key in known:
        yield _say("removed", key)


def _digest(record: Record) -> tuple[_Key, dict[str, bytes]]:
    """Return the key of *record* and a digest of each other field; no key if unknown.

    The serial numbers of a CRL need no comparison: its fingerprint covers them.
    """
    kind = str(record.get("type"))
    if kind == SERIALS or kind not in _KEYS:
        return (), {}
    if kind == LIST:
        info = record.get("info")
        fingerprint = info.get("fingerprint") if isinstance(info, dict) else None
        record = {**record, "fingerprint": fingerprint}
    names = _KEYS[kind]
    key = (kind, *(str(record.get(name) or "") for name in names))
    fields = {
        name: hashlib.blake2b(json.dumps(value).encode(), digest_size=16).digest()
        for name, value in record.items()
        if name not in names and name != "type" and value not in (None, "")
    }
    return key, fields


def _say(change: str, key: _Key, fields: tuple[str, ...] = ()) -> Difference:
    kind, *values = key
    named = dict(zip(_KEYS[kind], values, strict=True))
    return Difference(change, kind, named, fields)
