"""The one query of a request; its SQL is compiled once per process.

Compiling the joins costs Django's ORM several times what the database needs to
answer them. The statement is executed through Django's own cursor, so that routers,
``assertNumQueries`` and every instrumentation see it. Each request gets new
instances.

The query is a UNION ALL of parts, each with an index of its own: the mappings with
one of the certificate's keys; the authorities with a CA of its issuer's name; the
revocations of its public key or serial number; the CRL entries with its serial
number; and when the certificate was last seen. All but the first and the last also
cover the intermediates. A row has the columns of a mapping with its user and
authority, most of them NULL in the other parts, and a few more.

A compiled plan outlives the connection that it was compiled with, so nothing in it
may refer to that connection: under ASGI, each request has a connection of its own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any, NamedTuple

from django.db import DatabaseError, connections, models, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Model, QuerySet, Value
from django.db.models.functions import Cast

from django_clientcert.models import (
    AuthorityCertificate,
    CertificateAuthority,
    CertificateMapping,
    KeyField,
    KeyPlaceholder,
    Revocation,
    RevokedSerial,
    SeenCertificate,
)
from django_clientcert.models.authority_state import (
    ATTEMPTS,
    AuthorityState,
    get_state,
)

# Columns that no decision needs; loaded on access
_DEFERRED = {
    "": frozenset(
        {
            "certificate",
            "certificate_subject",
            "certificate_not_after",
            "certificate_subject_key",
            "note",
        }
    ),
    "authority": frozenset({"bundle", "note", "crl_urls"}),
    "user": frozenset(),
}

_Converter = Callable[[Any, Any, BaseDatabaseWrapper], Any]
# Converters of some columns: the position in the part, the functions, the expression
_Converters = list[tuple[int, list[_Converter], Any]]

# Which part of the query a row comes from
_MAPPING, _AUTHORITY, _REVOCATION, _ENTRY, _SEEN = range(5)

# The key that is an empty constant; those of a request follow.
_EMPTY_KEY = KeyPlaceholder(0)

# The additional columns of a row. In the part of the mappings they mean nothing,
# but the database takes the types from there.
_EXTRA: dict[str, Any] = {
    "number": Value("", models.TextField()),
    "first": Value(_EMPTY_KEY, KeyField()),
    "second": Value(_EMPTY_KEY, KeyField()),
    "third": Value(_EMPTY_KEY, KeyField()),
    "code": Value(0),
    # A constant would be text for MariaDB
    "moment": F("created_at"),
    "part": Value(_MAPPING),
}


@dataclass(frozen=True)
class LookupKeys:
    """The keys that a certificate is looked up with; each at most 32 bytes.

    The intermediates are looked up too, for authorities and revocations. So there
    are several issuer names, public keys and serial numbers: as many of each, the
    certificate's own first.
    """

    identities: Sequence[bytes]
    issuer_names: Sequence[bytes]
    public_keys: Sequence[bytes]
    serials: Sequence[bytes]
    fingerprint: bytes
    # What the driver of each database takes for them, made once
    prepared: dict[Any, dict[str, Any]] = field(
        default_factory=dict, compare=False, repr=False
    )


class RevocationHit(NamedTuple):
    """A revocation of a public key, or of a serial number."""

    number: str
    public_key: bytes | None
    issuer_key: bytes | None
    serial: bytes | None


class EntryHit(NamedTuple):
    """A CRL entry with one of the serial numbers."""

    crl_number: str
    serial: bytes
    reason: int | None
    revoked_at: dt.datetime | None


@dataclass
class LookupResult:
    """Everything that a decision depends on."""

    mappings: list[CertificateMapping] = field(default_factory=list)
    # Those that contain a CA with the name of the issuer
    authorities: list[CertificateAuthority] = field(default_factory=list)
    revocations: list[RevocationHit] = field(default_factory=list)
    entries: list[EntryHit] = field(default_factory=list)
    last_seen_at: dt.datetime | None = None
    # Of the authorities, by primary key
    _states: dict[Any, AuthorityState] = field(default_factory=dict)

    def state_of(self, authority: CertificateAuthority) -> AuthorityState:
        """Return the state of an authority.

        Raises:
            ValueError: one of its CRLs cannot be read.
        """
        state = self._states.get(authority.pk)
        if state is None:
            state = self._states[authority.pk] = get_state(authority)
        return state

    def is_consistent(self) -> bool:
        """Return whether the states of all authorities are of the same moment.

        Reads those that this process does not know. Entries of a CRL and the CRL
        itself must not be of two moments, or the entries would belong to none.
        """
        mapped = (mapping.authority for mapping in self.mappings)
        for authority in filter(None, (*self.authorities, *mapped)):
            with suppress(ValueError):  # raised again when the state is needed
                if self.state_of(authority).revision != authority.revision:
                    return False
        return True

    def leave_out(self, keys: Collection[Any]) -> None:
        """Remove the authorities with these primary keys, and their mappings."""
        self.authorities = [row for row in self.authorities if row.pk not in keys]
        self.mappings = [row for row in self.mappings if row.authority_id not in keys]


class _Part(NamedTuple):
    """The columns of one model in a row."""

    model: type[Model]
    names: list[str]
    place: slice
    # The column of the primary key; if it is NULL, the row has no such instance.
    key: int
    # The expressions of the columns whose values have to be converted
    expressions: list[tuple[int, Any]]


class _Size(NamedTuple):
    """For how many keys a query is compiled."""

    identities: int
    certificates: int


@dataclass(frozen=True, eq=False)
class _Plan:
    """A compiled query for a number of keys. Refers to no connection."""

    sql: str
    # By name, because Django need not rewrite the statement for SQLite then
    parameters: dict[str, Any]
    # By relation to a mapping; "extra" has the additional columns.
    parts: dict[str, _Part]


# By what the SQL depends on: the database, its backend, and the number of keys
_plans: dict[tuple[str, type[BaseDatabaseWrapper], _Size], _Plan] = {}

# The attribute of a connection with its converters by plan. They belong to the
# connection and refer to it, so they must not be kept anywhere else.
_CONVERTERS = "_clientcert_converters"


def look_up(keys: LookupKeys) -> LookupResult:
    """Return everything that the database holds on a certificate.

    One query, and a few more for each authority that has changed since this process
    read it.

    Raises:
        DatabaseError: nothing can be read, or an authority changes all the time.
    """
    for _ in range(ATTEMPTS):
        result = _execute(keys)
        if result.is_consistent():
            return result
    raise DatabaseError("the authorities change while they are read")


def find_alias() -> str:
    """Return the alias of the database that decisions are read from.

    Where changes are written: a replica that lags must not delay a revocation.
    """
    return router.db_for_write(CertificateMapping)


def _execute(keys: LookupKeys) -> LookupResult:
    """Make the one query."""
    connection: Any = connections[find_alias()]
    size = _Size(round_up(max(4, len(keys.identities))), round_up(len(keys.serials)))
    plan_key = connection.alias, type(connection), size
    plan = _plans.get(plan_key)
    if plan is None:
        plan = _plans[plan_key] = _compile(connection, size)
    values = [
        b"",
        keys.fingerprint,
        *fill_up(keys.issuer_names, size.certificates),
        *fill_up(keys.public_keys, size.certificates),
        *fill_up(keys.serials, size.certificates),
        *fill_up(keys.identities, size.identities),
    ]
    prepared = list(map(connection.Database.Binary, values))  # as BinaryField does
    parameters = {
        name: prepared[value] if isinstance(value, KeyPlaceholder) else value
        for name, value in plan.parameters.items()
    }
    with connection.cursor() as cursor:
        cursor.execute(plan.sql, parameters)
        rows = cursor.fetchall()
    return build_result(connection, plan, rows)


def round_up(count: int) -> int:
    """Return the next power of two, so that there are few statements to prepare."""
    return 1 << (count - 1).bit_length()


def fill_up(keys: Sequence[bytes], size: int) -> list[bytes]:
    """Return *size* keys: looking up the last one again changes nothing."""
    return [*keys, *[keys[-1]] * (size - len(keys))]


# --- compiling -------------------------------------------------------------------


def _compile(connection: BaseDatabaseWrapper, size: _Size) -> _Plan:
    # In the order of the values in look_up()
    places = map(KeyPlaceholder, count(_EMPTY_KEY + 1))
    fingerprint = next(places)
    issuer_names = list(islice(places, size.certificates))
    public_keys = list(islice(places, size.certificates))
    serials = list(islice(places, size.certificates))
    identities = list(islice(places, size.identities))
    parts_of, columns = _columns()
    using = connection.alias
    mappings = (
        CertificateMapping.objects.using(using)
        .matching(identities)
        .annotate(**_EXTRA)
        .values_list(*columns, *_EXTRA)
    )
    authorities = _select(
        AuthorityCertificate._base_manager.using(using).filter(
            subject_key__in=issuer_names
        ),
        columns,
        {"part": Value(_AUTHORITY)},
        # The authority's own columns, under the names that they have in a mapping
        [name for name in columns if name.startswith("authority__")],
    )
    revocations = _select(
        Revocation.objects.using(using).matching(public_keys, serials),
        columns,
        {
            "part": Value(_REVOCATION),
            "number": _as_text("pk"),
            "first": F("public_key"),
            "second": F("issuer_key"),
            "third": F("serial"),
        },
    )
    entries = _select(
        RevokedSerial._base_manager.using(using).filter(serial__in=serials),
        columns,
        {
            "part": Value(_ENTRY),
            "number": _as_text("crl_id"),
            "first": F("serial"),
            "code": F("reason"),
            "moment": F("revoked_at"),
        },
    )
    seen = _select(
        SeenCertificate._base_manager.using(using).filter(fingerprint=fingerprint),
        columns,
        {"part": Value(_SEEN), "moment": F("last_seen_at")},
    )
    statements, parameters = [], []
    for queryset in (mappings, authorities, revocations, entries, seen):
        sql, given = queryset.query.get_compiler(connection=connection).as_sql()
        statements.append(sql)
        parameters += given
    compiler = mappings.query.get_compiler(connection=connection)
    compiler.as_sql()  # sets up the selected columns
    converted = {
        place: expression
        for place, (_, expression) in compiler.get_converters(
            [column for column, *_ in compiler.select]
        ).items()
    }

    def part(model: type[Model], names: list[str], start: int) -> _Part:
        end = start + len(names)
        key = model._meta.pk.attname
        return _Part(
            model,
            names,
            slice(start, end),
            start + (names.index(key) if key in names else 0),
            [
                (place - start, expression)
                for place, expression in converted.items()
                if start <= place < end
            ],
        )

    parts_of["extra"] = CertificateMapping, list(_EXTRA), len(columns)
    return _Plan(
        _name_places(" UNION ALL ".join(statements)),
        {f"p{number}": value for number, value in enumerate(parameters)},
        {relation: part(*columns_of) for relation, columns_of in parts_of.items()},
    )


def _name_places(sql: str) -> str:
    """Return *sql* with its places for parameters named p0, p1, and so on."""
    first, *rest = sql.split("%s")
    return first + "".join(f"%(p{number})s{piece}" for number, piece in enumerate(rest))


def _columns() -> tuple[dict[str, tuple[type[Model], list[str], int]], list[str]]:
    """Return the columns of a mapping, its authority and its user.

    By relation: the model, the names of its columns, and the position of the first.
    """
    parts: dict[str, tuple[type[Model], list[str], int]] = {}
    columns: list[str] = []
    for relation, deferred in _DEFERRED.items():
        model: type[Model] = CertificateMapping
        if relation:
            related = CertificateMapping._meta.get_field(relation).related_model
            assert isinstance(related, type)  # noqa: S101 - no longer a string
            model = related
        names = [
            column.attname
            for column in model._meta.concrete_fields
            if column.name not in deferred
        ]
        parts[relation] = model, names, len(columns)
        columns += [f"{relation}__{name}" if relation else name for name in names]
    return parts, columns


def _select(
    queryset: QuerySet[Any],
    columns: Sequence[str],
    extra: dict[str, Any],
    own: Collection[str] = (),
) -> QuerySet[Any, Any]:
    """Return *queryset* with the columns of a row, NULL if neither own nor extra."""
    expressions = {
        f"c{number}": F(name) if name in own else _null()
        for number, name in enumerate(columns)
    }
    for name in _EXTRA:
        expressions[f"x_{name}"] = extra.get(name, _null())
    selected: QuerySet[Any, Any] = queryset.order_by().annotate(**expressions)
    return selected.values_list(*expressions)


def _null() -> Value:
    return Value(None, models.TextField())


def _as_text(name: str) -> Any:
    return Cast(name, models.CharField(max_length=40))


# --- reading ---------------------------------------------------------------------


def build_result(
    connection: BaseDatabaseWrapper, plan: _Plan, rows: Sequence[Sequence[Any]]
) -> LookupResult:
    """Return what *rows* say, with one instance per authority."""
    converters = _get_converters(connection, plan)
    result = LookupResult()
    authorities: dict[Any, CertificateAuthority] = {}
    issuers: dict[Any, CertificateAuthority] = {}

    def convert(relation: str, row: Sequence[Any]) -> list[Any]:
        part = plan.parts[relation]
        values = list(row[part.place])
        for position, functions, expression in converters[relation]:
            for function in functions:
                values[position] = function(values[position], expression, connection)
        return values

    def build(relation: str, row: Sequence[Any]) -> Any:
        part = plan.parts[relation]
        values = convert(relation, row)
        return part.model.from_db(connection.alias, part.names, values)

    def build_authority(row: Sequence[Any]) -> CertificateAuthority | None:
        key = row[plan.parts["authority"].key]
        if key is not None and key not in authorities:
            authorities[key] = build("authority", row)
        return authorities.get(key)

    for row in rows:
        number, first, second, third, code, moment, part = convert("extra", row)
        if part == _MAPPING:
            mapping: CertificateMapping = build("", row)
            mapping.user = build("user", row)
            mapping.authority = build_authority(row)
            result.mappings.append(mapping)
        elif part == _AUTHORITY:
            authority: Any = build_authority(row)
            issuers[authority.pk] = authority
        elif part == _REVOCATION:
            result.revocations.append(RevocationHit(number, first, second, third))
        elif part == _ENTRY:
            result.entries.append(EntryHit(number, first, code, moment))
        else:
            result.last_seen_at = moment
    result.authorities = list(issuers.values())
    return result


def _get_converters(
    connection: BaseDatabaseWrapper, plan: _Plan
) -> dict[str, _Converters]:
    """Return the converters of *connection* for the columns of *plan*, by part."""
    known: dict[_Plan, dict[str, _Converters]]
    known = vars(connection).setdefault(_CONVERTERS, {})
    if plan not in known:
        known[plan] = {
            relation: [
                (
                    position,
                    connection.ops.get_db_converters(expression)
                    + expression.get_db_converters(connection),
                    expression,
                )
                for position, expression in part.expressions
            ]
            for relation, part in plan.parts.items()
        }
    return known[plan]
