"""Rows of the database as records, which contain no primary keys.

Users are written by the name they log in with, authorities by name, moments in UTC.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from django.db.models import Model, QuerySet

from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
    RevocationList,
    RevokedSerial,
)
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


def all_rows(model: type[Model]) -> QuerySet[Any]:
    """Return the rows of *model*."""
    return model._default_manager.all()


def export_records(
    *,
    mappings_only: bool = False,
    rows_of: Callable[[type[Model]], QuerySet[Any]] = all_rows,
) -> Iterator[Record]:
    """Yield every record that decisions depend on, referenced records first.

    *rows_of* returns the rows of a model that are exported; by default, all of them.
    Rows are read in chunks, so memory does not grow with the tables.
    """
    if not mappings_only:
        yield from _authorities(rows_of(CertificateAuthority))
        yield from _lists(rows_of(RevocationList))
        yield from _revocations(rows_of(Revocation))
    yield from export_mappings(rows_of(CertificateMapping))


def export_mappings(rows: QuerySet[CertificateMapping]) -> Iterator[Record]:
    """Yield *rows* as records, read in chunks."""
    rows = rows.select_related("user", "authority").order_by("pk")
    for mapping in rows.iterator(chunk_size=_CHUNK):
        yield mapping_record(mapping)


def mapping_record(mapping: CertificateMapping) -> Record:
    """Return *mapping* as a record."""
    return {
        "type": MAPPING,
        "user": mapping.user.get_username(),
        "kind": mapping.kind,
        "value": mapping.value,
        "authority": _name(mapping.authority),
        "state": mapping.state,
        "valid_from": to_iso(mapping.valid_from),
        "valid_until": to_iso(mapping.valid_until),
        "hosts": mapping.hosts,
        "note": mapping.note,
        "certificate": _show_bytes(mapping.certificate),
    }


def authority_record(authority: CertificateAuthority) -> Record:
    """Return *authority* with its rule as a record."""
    return {
        "type": AUTHORITY,
        "name": authority.name,
        **{
            name: getattr(authority, name)
            for name in (*AUTHORITY_TEXTS, *AUTHORITY_FLAGS)
        },
        "rule_groups": sorted(one.name for one in authority.rule_groups.all()),
    }


def revocation_record(revocation: Revocation) -> Record:
    """Return *revocation* as a record."""
    by = revocation.revoked_by
    return {
        "type": REVOCATION,
        "authority": _name(revocation.authority),
        "public_key": _show_key(revocation.public_key),
        "issuer_key": _show_key(revocation.issuer_key),
        "serial": _show_key(revocation.serial),
        "issued_from": to_iso(revocation.issued_from),
        "issued_until": to_iso(revocation.issued_until),
        "certificate": _show_bytes(revocation.certificate),
        "description": revocation.description,
        "reason": revocation.reason,
        "note": revocation.note,
        "revoked_at": to_iso(revocation.revoked_at),
        "revoked_by": None if by is None else by.get_username(),
    }


def _authorities(rows: QuerySet[CertificateAuthority]) -> Iterator[Record]:
    rows = rows.prefetch_related("rule_groups").order_by("pk")
    for authority in rows.iterator(chunk_size=100):
        yield authority_record(authority)


def _lists(rows: QuerySet[RevocationList]) -> Iterator[Record]:
    for row in rows.select_related("authority").order_by("pk"):
        name = row.authority.name
        yield {
            "type": LIST,
            "authority": name,
            "info": json.loads(row.info),
            "issuer": row.issuer,
            "source": row.source,
        }
        entries = (
            RevokedSerial.objects.filter(crl=row)
            .order_by("pk")
            .values_list("serial", "reason", "revoked_at")
            .iterator(chunk_size=_CHUNK)
        )
        while batch := list(islice(entries, _CHUNK)):
            yield {
                "type": SERIALS,
                "authority": name,
                "list": row.fingerprint,
                "serials": [
                    [bytes(serial).hex(), reason, to_iso(at)]
                    for serial, reason, at in batch
                ],
            }


def _revocations(rows: QuerySet[Revocation]) -> Iterator[Record]:
    rows = rows.select_related("authority", "revoked_by").order_by("pk")
    for revocation in rows.iterator(chunk_size=_CHUNK):
        yield revocation_record(revocation)


def _name(authority: CertificateAuthority | None) -> str | None:
    return None if authority is None else authority.name


def _show_key(key: bytes | None) -> str | None:
    return None if key is None else bytes(key).hex()


def _show_bytes(octets: bytes | memoryview | None) -> str | None:
    return None if octets is None else base64.b64encode(bytes(octets)).decode()
