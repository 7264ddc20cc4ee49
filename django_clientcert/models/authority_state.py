"""Everything a decision needs of an authority besides its row, and when it changed.

The query of a request brings an authority's ``revision``, a random value that every
change of its bundle, CRLs or revocations replaces in the same transaction. For each
revision, a process reads the state once: the certificates, the CRLs that are loaded,
what they say of the certificates in the bundle, which of those are revoked here, and
the periods whose certificates are.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any, NamedTuple

from django.db import DatabaseError, connections, models

from django_clientcert.exceptions import CertificateParseError, ClientCertError
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl.reading import CRLInfo
from django_clientcert.x509.crl.status import Hits, collect_hits
from django_clientcert.x509.paths import PathValidator

from .authorities import CertificateAuthority, build_validator
from .fields import serial_key
from .revocations import Revocation, RevocationList, RevokedSerial

# How many states a process keeps
MAX_KEPT = 512
# How often a state is read again because it changed meanwhile
ATTEMPTS = 5
# Longer bundles are read one by one, because a query has a limited number of parameters
MAX_PRELOADED = 20_000


@dataclass(frozen=True)
class Period:
    """Everything issued between two moments, both included, is revoked.

    ``number`` is the primary key of the revocation, as text.
    """

    number: str
    begin: dt.datetime
    end: dt.datetime

    def covers(self, not_before: dt.datetime) -> bool:
        """Return whether a certificate valid from *not_before* was issued in it."""
        return self.begin <= not_before <= self.end


@dataclass(frozen=True)
class AuthorityState:
    """What one revision of an authority holds.

    ``crls`` are by their primary key, as text. ``hits`` are what they say of the
    certificates in the bundle. ``revoked`` are those of the bundle's certificates
    that are revoked here: SHA-256 of the DER, hex, and the revocation's key.
    """

    revision: uuid.UUID | None = field(default=None, compare=False)
    bundle: str = field(default="", compare=False, repr=False)
    profile: str = field(default="", compare=False)
    crls: Mapping[str, CRLInfo] = field(default_factory=dict)
    hits: Hits = field(default_factory=dict)
    revoked: Mapping[str, str] = field(default_factory=dict)
    periods: tuple[Period, ...] = ()

    @cached_property
    def validator(self) -> PathValidator:
        """The path validator, built once.

        Raises:
            BundleError: the bundle cannot be read or has no anchor.
            CertificateParseError: one of its certificates cannot be used.
        """
        return build_validator(self.bundle, self.profile)


_states: OrderedDict[tuple[str, Any, uuid.UUID], AuthorityState] = OrderedDict()
_lock = Lock()


def get_state(authority: CertificateAuthority) -> AuthorityState:
    """Return the state of *authority*, which may be of a later revision than it.

    Without a query if this process knows the revision.

    Raises:
        ValueError: one of its CRLs cannot be read; never taken for "no CRL".
        DatabaseError: nothing can be read, or it changes all the time.
    """
    using = authority._state.db
    if using is None:
        return AuthorityState()  # not saved yet
    connection = connections[using]
    state = known_state(connection, authority.pk, authority.revision)
    if state is not None:
        return state
    state = load_state(authority.pk, using)
    if _is_consistent(connection):
        _keep(authority.pk, using, state)
    return state


def known_state(
    connection: Any, authority_id: Any, revision: uuid.UUID
) -> AuthorityState | None:
    """Return the state of a revision, if this process has read it. No query."""
    if not _is_consistent(connection):
        return None
    key = connection.alias, authority_id, revision
    with _lock:
        state = _states.get(key)
        if state is not None:
            _states.move_to_end(key)
    return state


def preload_states(authorities: Sequence[CertificateAuthority]) -> None:
    """Read the states of *authorities* that this process does not know, in 5 queries.

    ``get_state()`` then finds them, unless one cannot be read or changes meanwhile.
    """
    unknown = [
        row.pk
        for row in authorities
        if (row._state.db, row.pk, row.revision) not in _states
        and len(row.bundle) <= MAX_PRELOADED
    ]
    using = authorities[0]._state.db if unknown else None
    if using is None or not _is_consistent(connections[using]):
        return
    rows = CertificateAuthority._base_manager.using(using).filter(pk__in=unknown)
    read = list(rows)
    stored = _read_rows(read, using)
    current = dict(rows.values_list("pk", "revision"))
    for authority in read:
        if current.get(authority.pk) == authority.revision:
            with suppress(ValueError):  # raised again by get_state()
                _keep(authority.pk, using, _build_state(authority, stored))


def _keep(authority_id: Any, using: str, state: AuthorityState) -> None:
    if state.revision is None:
        return
    with _lock:
        _states[using, authority_id, state.revision] = state
        while len(_states) > MAX_KEPT:
            _states.popitem(last=False)


def _is_consistent(connection: Any) -> bool:
    """Return whether a revision that is read now says what all the tables hold.

    In a REPEATABLE READ transaction of MySQL or MariaDB it does not: once the
    transaction has written to the authority's row, it sees the newest revision of
    that row beside an older snapshot of the other tables.
    """
    return bool(
        connection.vendor != "mysql"
        or connection.get_autocommit()
        or connection.isolation_level == "read committed"
    )


def load_state(authority_id: Any, using: str) -> AuthorityState:
    """Return the state of an authority as it is now; it has no revision if deleted.

    The revision is read before and after everything else: a change between the two
    would have replaced it, and everything is read again.

    Raises:
        ValueError: one of its CRLs cannot be read.
        DatabaseError: nothing can be read, or it changes all the time.
    """
    rows = CertificateAuthority._base_manager.using(using).filter(pk=authority_id)
    for _ in range(ATTEMPTS):
        authority = rows.first()
        if authority is None:
            return AuthorityState()
        state = _build_state(authority, _read_rows([authority], using))
        if rows.filter(revision=authority.revision).exists():
            return state
    raise DatabaseError(f"authority {authority_id} changes while it is read")


class _Rows(NamedTuple):
    """The rows that name one of some authorities, or one of their certificates."""

    crls: list[RevocationList]
    entries: list[RevokedSerial]
    revocations: list[Revocation]


def _read_rows(authorities: list[CertificateAuthority], using: str) -> _Rows:
    certificates = [
        certificate
        for authority in authorities
        for certificate in readable_certificates(authority)
    ]
    serials = {serial_key(certificate.serial_number) for certificate in certificates}
    public_keys = {certificate.public_key_bytes for certificate in certificates}
    crls = list(
        RevocationList._base_manager.using(using)
        .filter(authority__in=authorities)
        .order_by("pk")
    )
    entries = RevokedSerial._base_manager.using(using).filter(
        crl__in=[row.pk for row in crls], serial__in=serials
    )
    revocations = (
        Revocation._base_manager.using(using)
        .filter(
            models.Q(public_key__in=public_keys)
            | models.Q(serial__in=serials)
            | models.Q(authority__in=authorities, issued_from__isnull=False)
        )
        .order_by("pk")
    )
    return _Rows(crls, list(entries), list(revocations))


def _build_state(authority: CertificateAuthority, rows: _Rows) -> AuthorityState:
    """Return the state of *authority* from *rows*, which may name others too.

    Raises:
        ValueError: one of its CRLs cannot be read.
    """
    certificates = readable_certificates(authority)
    by_serial: dict[bytes, set[int]] = {}
    for certificate in certificates:
        number = certificate.serial_number
        by_serial.setdefault(serial_key(number), set()).add(number)
    crls = {
        row.pk: _read_info(row) for row in rows.crls if row.authority_id == authority.pk
    }
    return AuthorityState(
        revision=authority.revision,
        bundle=authority.bundle,
        profile=authority.profile,
        crls={str(key): info for key, info in crls.items()},
        hits=collect_hits(
            (crls[entry.crl_id].fingerprint, entry.entry(number))
            for entry in rows.entries
            if entry.crl_id in crls
            for number in by_serial.get(entry.serial, ())
        ),
        revoked=_find_revoked(authority, certificates, rows.revocations),
        periods=tuple(
            Period(str(row.pk), row.issued_from, row.issued_until)
            for row in rows.revocations
            if row.authority_id == authority.pk
            and row.issued_from is not None
            and row.issued_until is not None
        ),
    )


def _read_info(row: RevocationList) -> CRLInfo:
    try:
        return row.crl_info()
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"CRL {row.pk} cannot be read: {error!r}") from error


def readable_certificates(authority: CertificateAuthority) -> list[ClientCertificate]:
    """Return the certificates of the bundle that can be looked up."""
    readable = []
    with suppress(ClientCertError):  # a check reports what is wrong with the bundle
        for certificate in dict.fromkeys(authority.certificates()):
            with suppress(CertificateParseError):
                certificate.serial_number  # noqa: B018
                certificate.subject_der  # noqa: B018
                certificate.public_key_der  # noqa: B018
                readable.append(certificate)
    return readable


def _find_revoked(
    authority: CertificateAuthority,
    certificates: list[ClientCertificate],
    revocations: list[Revocation],
) -> dict[str, str]:
    """Return the certificates of the bundle that are revoked here, and by what."""
    revoked: dict[str, str] = {}
    for row in revocations:
        for certificate in certificates:
            is_revoked = certificate.public_key_bytes == row.public_key
            if serial_key(certificate.serial_number) == row.serial:
                with suppress(ClientCertError):
                    is_revoked |= row.issuer_key in authority.issuer_keys(certificate)
            if is_revoked:
                revoked.setdefault(certificate.fingerprint, str(row.pk))
    return revoked
