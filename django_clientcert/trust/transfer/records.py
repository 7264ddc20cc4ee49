"""Rows of the database as records, and what records say as values of columns.

A record contains no primary keys: users are written by the name they log in with,
authorities by name, moments in UTC.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from django.db.models import Model, QuerySet
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
    RevocationList,
    RevokedSerial,
)
from django_clientcert.models.users import is_storable
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.text import to_iso

Record = dict[str, Any]

AUTHORITY = "authority"
LIST = "revocation_list"
SERIALS = "revoked_serials"
REVOCATION = "revocation"
MAPPING = "mapping"

AUTHORITY_TEXTS = (
    *("bundle", "profile", "revocation_policy", "crl_urls", "note"),
    *("rule_identity", "rule_user_field", "rule_pattern", "rule_hosts"),
    *("rule_policies", "rule_extended_key_usages"),
)
AUTHORITY_FLAGS = ("rule_creates_users", "rule_allows_privileged")
MAPPING_FIELDS = (
    *("user", "kind", "value", "authority", "state", "valid_from", "valid_until"),
    *("hosts", "note", "certificate"),
)
_CHUNK = 1000


class Refused(Exception):
    """The row cannot be stored; the text is safe to show."""


# --- rows to records --------------------------------------------------------------


def export_records(
    *,
    mappings_only: bool = False,
    rows_of: Callable[[type[Model]], QuerySet[Any]] = lambda model: (
        model._default_manager.all()
    ),
) -> Iterator[Record]:
    """Yield every record that decisions depend on, referenced records first.

    *rows_of* returns the rows of a model that are exported; by default, all of them.
    Rows are read in chunks, so memory does not grow with the tables.
    """
    if not mappings_only:
        authorities = rows_of(CertificateAuthority).prefetch_related("rule_groups")
        yield from map(authority_record, authorities.order_by("pk").iterator(100))
        for crl in rows_of(RevocationList).select_related("authority").order_by("pk"):
            yield from _crl_records(crl)
        revocations = rows_of(Revocation).select_related("authority", "revoked_by")
        yield from map(revocation_record, revocations.order_by("pk").iterator(_CHUNK))
    yield from export_mappings(rows_of(CertificateMapping))


def export_mappings(rows: QuerySet[CertificateMapping]) -> Iterator[Record]:
    """Yield *rows* as records, read in chunks."""
    rows = rows.select_related("user", "authority").order_by("pk")
    return map(mapping_record, rows.iterator(chunk_size=_CHUNK))


def mapping_record(mapping: CertificateMapping) -> Record:
    """Return *mapping* as a record."""
    return _record(MAPPING, mapping, MAPPING_FIELDS)


def authority_record(authority: CertificateAuthority) -> Record:
    """Return *authority* with its rule as a record."""
    names = ("name", *AUTHORITY_TEXTS, *AUTHORITY_FLAGS)
    groups = sorted(group.name for group in authority.rule_groups.all())
    return {**_record(AUTHORITY, authority, names), "rule_groups": groups}


def revocation_record(revocation: Revocation) -> Record:
    """Return *revocation* as a record."""
    names = ("authority", *REVOCATION_VALUES, "revoked_at", "revoked_by")
    return _record(REVOCATION, revocation, names)


def _crl_records(crl: RevocationList) -> Iterator[Record]:
    yield {
        **_record(LIST, crl, ("authority", "info", "issuer", "source")),
        "info": json.loads(crl.info),
    }
    entries = (
        RevokedSerial.objects.filter(crl=crl)
        .order_by("pk")
        .values_list("serial", "reason", "revoked_at")
        .iterator(chunk_size=_CHUNK)
    )
    while batch := list(islice(entries, _CHUNK)):
        yield {
            "type": SERIALS,
            "authority": crl.authority.name,
            "list": crl.fingerprint,
            "serials": [
                [bytes(serial).hex(), reason, to_iso(at)]
                for serial, reason, at in batch
            ],
        }


def _record(kind: str, row: Model, names: Iterable[str]) -> Record:
    return {"type": kind, **{name: _show(name, getattr(row, name)) for name in names}}


def _show(name: str, value: Any) -> Any:
    """Return the value of a column as it is written in JSON."""
    if value is None:
        return None
    if name in ("user", "revoked_by"):
        return value.get_username()
    if name == "authority":
        return value.name
    if name == "certificate":
        return base64.b64encode(bytes(value)).decode()
    return to_json(value)


def to_json(value: Any) -> Any:
    """Return *value* with bytes in hex and moments in ISO 8601."""
    if isinstance(value, dt.datetime):
        return to_iso(value)
    return value.hex() if isinstance(value, bytes) else value


# --- values of records to those of columns -----------------------------------------


def check_texts(record: Record) -> None:
    """Refuse text that some database cannot store.

    Raises:
        Refused: names the field.
    """
    for name, value in record.items():
        if isinstance(value, str) and not is_storable(value):
            text = _("%(name)s contains a character that cannot be stored")
            raise Refused(text % {"name": visible(name, 40)})


def to_text(value: Any) -> str:
    """Return *value*, which must be text.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def to_flag(value: Any) -> bool:
    """Return *value*, which must be true or false.

    Raises:
        TypeError: it is neither.
    """
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value


def to_small(value: Any) -> int:
    """Return *value*, the number of a reason (RFC 5280, 5.3.1).

    Raises:
        ValueError: it is not such a number.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 100:
        raise ValueError("no reason")
    return value


def to_key(value: Any) -> bytes | None:
    """Return the bytes, at most 32, that *value* spells in hex; None for None.

    Raises:
        TypeError, ValueError: it is not such a value.
    """
    return None if value is None else to_needed_key(value)


def to_needed_key(value: Any) -> bytes:
    """See to_key(); None is not allowed."""
    octets = bytes.fromhex(to_text(value))
    if not 0 < len(octets) <= 32:
        raise ValueError("no key")
    return octets


def to_der(value: Any) -> bytes | None:
    """Return the DER of a certificate that is base64, PEM, or parsed; None for None.

    Raises:
        Refused: it is not a certificate.
        TypeError: it is not text.
    """
    if value is None:
        return None
    if isinstance(value, ClientCertificate):
        return value.der
    body = "".join(
        line for line in to_text(value).splitlines() if not line.startswith("-----")
    )
    try:
        der = base64.b64decode("".join(body.split()), validate=True)
        ClientCertificate(der).x509  # noqa: B018 - loads it
    except (binascii.Error, ValueError, ClientCertError) as error:
        raise Refused(_("The certificate cannot be read")) from error
    return der


def to_moment(value: Any) -> dt.datetime | None:
    """Return the moment that *value* spells, in UTC; None for None.

    Raises:
        Refused: says how to write one.
    """
    if value is None:
        return None
    at = None
    with suppress(TypeError, ValueError):
        at = parse_datetime(to_text(value))
    if at is None:
        raise Refused(
            _("A date cannot be read. Write it like 2027-01-31T23:59:00+01:00")
        )
    at = at if at.tzinfo is not None else at.replace(tzinfo=dt.timezone.utc)
    return at.astimezone(dt.timezone.utc)


# How the columns of a revocation are read, without those that refer to other rows
REVOCATION_VALUES: dict[str, Callable[[Any], Any]] = {
    "public_key": to_key,
    "issuer_key": to_key,
    "serial": to_key,
    "issued_from": to_moment,
    "issued_until": to_moment,
    "certificate": to_der,
    "description": to_text,
    "reason": to_small,
    "note": to_text,
}
