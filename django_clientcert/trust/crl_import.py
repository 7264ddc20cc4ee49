"""The import of a CRL: verified first, then stored completely or not at all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from django_clientcert.models import (
    CertificateAuthority,
    RevocationList,
    RevokedSerial,
    serial_key,
)
from django_clientcert.models.derived import renew_revisions
from django_clientcert.x509.crl.reading import CRLInfo, read_crl
from django_clientcert.x509.crl.structure import Entry
from django_clientcert.x509.escaping import visible_once

from .crl_warnings import find_warnings

# Called with the number of entries stored so far, and their total
Progress = Callable[[int, int], None]

_BATCH = 1000
# Many entries share a date, but those of a million may all differ.
_REMEMBERED = 4096
_COLUMNS = ("crl", "serial", "reason", "revoked_at")


class Imported(NamedTuple):
    """The result of an import: the new row, and the labels of the CRLs it replaced.

    ``warnings`` are sentences, see ``find_warnings()``.
    """

    row: RevocationList
    info: CRLInfo
    replaced: tuple[str, ...]
    warnings: tuple[str, ...]


def import_crl(
    authority: CertificateAuthority,
    data: bytes,
    *,
    source: str = "",
    at: dt.datetime | None = None,
    progress: Progress = lambda done, total: None,
) -> Imported:
    """Store the CRL in *data* (DER or PEM) for *authority*, and apply it.

    In one transaction: if anything fails, the CRLs in force stay in force. Of two
    concurrent imports, the second waits, and sees what the first has stored. *source*
    says where the CRL came from, for display.

    Raises:
        RevocationListError: the CRL is refused, see ``x509.crl.reading.read_crl()``.
        BundleError, CertificateParseError: the authority cannot be used.
        CertificateAuthority.DoesNotExist: it was deleted.
    """
    using = router.db_for_write(RevocationList)
    now = at or timezone.now()
    rows = RevocationList._base_manager.using(using)
    with transaction.atomic(using=using):
        authority = _lock(authority, using)
        before = list(rows.select_for_update().filter(authority=authority))
        parsed = read_crl(
            data,
            authority.certificates(),
            at=now,
            previous=[crl.crl_info() for crl in before],
            signers=authority.validator(),
        )
        replaced = [crl for crl in before if parsed.info.replaces(crl.crl_info())]
        row = RevocationList.of(
            authority,
            parsed.info,
            issuer=parsed.signer.subject.rfc4514(),
            source=visible_once(source, 500),
        )
        row.save(using=using)
        _insert(row, parsed.entries(), using, parsed.info.entry_count, progress)
        kept = [crl for crl in before if crl not in replaced]
        warnings = tuple(find_warnings(row, replaced, kept, at=now, using=using))
        # delete() would load a million rows if a project has a receiver for every
        # deletion.
        entries = RevokedSerial._base_manager.using(using)
        entries.filter(crl__in=replaced)._raw_delete(using)
        rows.filter(pk__in=[crl.pk for crl in replaced]).delete()
        # Once more, because the entries are there only now.
        renew_revisions([authority.pk], using)
    labels = tuple(crl.label() for crl in replaced)
    return Imported(row, parsed.info, labels, warnings)


def _lock(authority: CertificateAuthority, using: str) -> CertificateAuthority:
    """Return the authority, reloaded and locked until the transaction ends.

    Raises:
        CertificateAuthority.DoesNotExist: it was deleted.
    """
    # SQLite has no lock of a row. There, a transaction that begins with a write waits
    # for its turn; one that writes only later fails if another has written meanwhile.
    renew_revisions([authority.pk], using)
    rows = CertificateAuthority._base_manager.using(using).filter(pk=authority.pk)
    # If there is a lock that still lets others refer to the row, that one: a CRL of a
    # million entries must not hold up those who log in with a new certificate.
    no_key = connections[using].features.has_select_for_no_key_update
    locked = rows.select_for_update(no_key=no_key).first()
    if locked is None:
        raise CertificateAuthority.DoesNotExist(f"{authority} was deleted.")
    return locked


def _insert(
    row: RevocationList,
    entries: Iterator[Entry],
    using: str,
    total: int,
    progress: Progress,
) -> None:
    """Store *entries* in batches, without model instances, which would take minutes."""
    connection = connections[using]
    prepared = _prepare(row, entries, connection)
    quote = connection.ops.quote_name
    table = quote(RevokedSerial._meta.db_table)
    by_name = {
        field.name: field.column for field in RevokedSerial._meta.concrete_fields
    }
    columns = ", ".join(quote(str(by_name[name])) for name in _COLUMNS)
    limit = connection.features.max_query_params
    size = min(_BATCH, limit // len(_COLUMNS)) if limit else _BATCH
    done = 0
    with connection.cursor() as cursor:
        while batch := list(islice(prepared, size)):
            places = ", ".join(["(%s, %s, %s, %s)"] * len(batch))
            cursor.execute(
                f"INSERT INTO {table} ({columns}) VALUES {places}",  # noqa: S608
                [value for values in batch for value in values],
            )
            done += len(batch)
            progress(done, total)


def _prepare(
    row: RevocationList, entries: Iterator[Entry], connection: BaseDatabaseWrapper
) -> Iterator[tuple[Any, Any, int | None, Any]]:
    """Yield the values of each entry as the database driver expects them."""
    serial = RevokedSerial._meta.get_field("serial")
    revoked_at = RevokedSerial._meta.get_field("revoked_at")
    moment = lru_cache(_REMEMBERED)(
        lambda at: revoked_at.get_db_prep_save(at, connection)
    )
    for entry in entries:
        yield (
            row.pk,
            serial.get_db_prep_save(serial_key(entry.serial), connection),
            None if entry.reason is None else int(entry.reason),
            moment(entry.revoked_at),
        )
