"""The one query of a request, with its SQL compiled once for each connection.

Compiling the joins costs Django's ORM several times what the database needs to
answer them. What is executed goes through Django's own cursor, so that routers,
``assertNumQueries`` and every instrumentation see it. Instances are new for each
request.

The parts are put together with UNION ALL, each found by an index of its own: the
mappings with one of the certificate's keys; the authorities that have its issuer's
name; the revocations of its public key or serial number; the entries of lists with
its serial number; and when it was seen before. All but the first and the last look
for the certificates that were sent above it as well. A row has the columns of a mapping
with its user and authority, most of them NULL in the other parts, and a few more.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Model, QuerySet, Value
from django.db.models.functions import Cast

from django_clientcert.models import (
    KEY_BYTES,
    AuthorityCertificate,
    CertificateAuthority,
    CertificateMapping,
    KeyField,
    Revocation,
    RevokedSerial,
    SeenCertificate,
)

# What no decision needs; loaded when somebody asks for it
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
    "authority": frozenset({"note", "crl_urls"}),
    "user": frozenset(),
}

_Converter = Callable[[Any, Any, BaseDatabaseWrapper], Any]

# Which part of the query a row comes from
_MAPPING, _AUTHORITY, _REVOCATION, _ENTRY, _SEEN = range(5)

# The columns that a row has besides. In the part of the mappings they mean nothing,
# but the database takes the types from there.
_EXTRA: dict[str, Any] = {
    "number": Value("", models.TextField()),
    "first": Value(b"", KeyField()),
    "second": Value(b"", KeyField()),
    "third": Value(b"", KeyField()),
    "code": Value(0),
    # A constant would be text for MariaDB
    "moment": F("created_at"),
    "part": Value(_MAPPING),
}


@dataclass(frozen=True)
class LookupKeys:
    """What a certificate is looked up with; each at most 32 bytes.

    The certificates that were sent above it are looked up too, for authorities and
    revocations: so names of issuers, public keys and serial numbers are several, the
    certificate's own first, and as many of each.
    """

    identities: Sequence[bytes]
    issuer_names: Sequence[bytes]
    public_keys: Sequence[bytes]
    serials: Sequence[bytes]
    fingerprint: bytes


class RevocationHit(NamedTuple):
    """A revocation of a public key, or of a serial number."""

    number: str
    public_key: bytes | None
    issuer_key: bytes | None
    serial: bytes | None


class EntryHit(NamedTuple):
    """What a list says of a serial number."""

    list_number: str
    serial: bytes
    reason: int | None
    revoked_at: dt.datetime | None


@dataclass
class Found:
    """All that a decision rests on."""

    mappings: list[CertificateMapping] = field(default_factory=list)
    # Those with a CA of the issuer's name
    authorities: list[CertificateAuthority] = field(default_factory=list)
    revocations: list[RevocationHit] = field(default_factory=list)
    entries: list[EntryHit] = field(default_factory=list)
    last_seen_at: dt.datetime | None = None

    def leave_out(self, authorities: Collection[Any]) -> None:
        """Forget the authorities with these keys, and the mappings that name them."""
        self.authorities = [
            one for one in self.authorities if one.pk not in authorities
        ]
        self.mappings = [
            one for one in self.mappings if one.authority_id not in authorities
        ]


class _Part(NamedTuple):
    """The columns of one model in a row, and what makes Python's values of them."""

    model: type[Model]
    names: list[str]
    start: int
    end: int
    # Where the primary key stands; None: there is no such row
    key: int
    converters: list[tuple[int, list[_Converter], Any]]


class _Size(NamedTuple):
    """For how many keys a query is compiled."""

    identities: int
    certificates: int


class _Plan(NamedTuple):
    """A compiled query for a number of keys."""

    sql: str
    # By name: constants, and in the places of keys their position in the list of keys.
    # With names, Django need not rewrite the statement for SQLite each time.
    parameters: dict[str, Any]
    # By their relation to a mapping
    parts: dict[str, _Part]
    extra: _Part


_plans: WeakKeyDictionary[BaseDatabaseWrapper, dict[_Size, _Plan]] = WeakKeyDictionary()


class _Key(int):
    """The position of a key among the parameters."""


def look_up(keys: LookupKeys) -> Found:
    """Return all that there is on a certificate: one query."""
    queryset = CertificateMapping.objects.all()
    connection = connections[queryset.db]
    plans = _plans.setdefault(connection, {})
    size = _Size(_round_up(max(4, len(keys.identities))), _round_up(len(keys.serials)))
    plan = plans.get(size)
    if plan is None:
        plan = plans[size] = _compile(connection, size)
    given = [
        keys.fingerprint,
        *_fill_up(keys.issuer_names, size.certificates),
        *_fill_up(keys.public_keys, size.certificates),
        *_fill_up(keys.serials, size.certificates),
        *_fill_up(keys.identities, size.identities),
    ]
    key_field = CertificateMapping._meta.get_field("key")
    prepared = [
        key_field.get_db_prep_value(key, connection, prepared=False) for key in given
    ]
    parameters = {
        name: prepared[one] if isinstance(one, _Key) else one
        for name, one in plan.parameters.items()
    }
    with connection.cursor() as cursor:
        cursor.execute(plan.sql, parameters)
        rows = cursor.fetchall()
    return _collect(connection, plan, rows)


def _round_up(count: int) -> int:
    """Return the next power of two, so that there are few statements to prepare."""
    return 1 << (count - 1).bit_length()


def _fill_up(keys: Sequence[bytes], size: int) -> list[bytes]:
    """Return *size* keys: looking up the last one again changes nothing."""
    return [*keys, *[keys[-1]] * (size - len(keys))]


# --- compiling -------------------------------------------------------------------

# Keys that stand for those of a request while the query is compiled
_PLACEHOLDER = b"\x00placeholder"


def _placeholder(position: int) -> bytes:
    return _PLACEHOLDER + position.to_bytes(KEY_BYTES - len(_PLACEHOLDER), "big")


def _compile(connection: BaseDatabaseWrapper, size: _Size) -> _Plan:
    places = map(_placeholder, count())
    fingerprint = next(places)
    issuer_names = list(islice(places, size.certificates))
    public_keys = list(islice(places, size.certificates))
    serials = list(islice(places, size.certificates))
    identities = list(islice(places, size.identities))
    models_of, columns = _columns()
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
        # The authority's own columns, under the names that they have in a mapping
        {one: one for one in columns if one.startswith("authority__")},
        {"part": Value(_AUTHORITY)},
    )
    revocations = _select(
        Revocation.objects.using(using).matching(public_keys, serials),
        columns,
        {},
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
        {},
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
        {},
        {"part": Value(_SEEN), "moment": F("last_seen_at")},
    )
    statements, parameters = [], []
    for one in (mappings, authorities, revocations, entries, seen):
        sql, given = one.query.get_compiler(connection=connection).as_sql()
        statements.append(sql)
        parameters += [_as_key(each) for each in given]
    compiler = mappings.query.get_compiler(connection=connection)
    compiler.as_sql()  # sets up what is selected
    converters = compiler.get_converters([select[0] for select in compiler.select])

    def part(model: type[Model], names: list[str], start: int) -> _Part:
        end = start + len(names)
        key = model._meta.pk.attname
        return _Part(
            model,
            names,
            start,
            end,
            start + (names.index(key) if key in names else 0),
            [
                (place - start, found, expression)
                for place, (found, expression) in converters.items()
                if start <= place < end
            ],
        )

    return _Plan(
        _name_places(" UNION ALL ".join(statements)),
        {f"p{number}": one for number, one in enumerate(parameters)},
        {relation: part(*one) for relation, one in models_of.items()},
        part(CertificateMapping, list(_EXTRA), len(columns)),
    )


def _name_places(sql: str) -> str:
    """Return *sql* with its places for parameters named p0, p1, and so on."""
    first, *rest = sql.split("%s")
    return first + "".join(f"%(p{number})s{piece}" for number, piece in enumerate(rest))


def _columns() -> tuple[dict[str, tuple[type[Model], list[str], int]], list[str]]:
    """Return the columns of a mapping, its authority and its user.

    By relation: the model, the names of its columns, and where they begin.
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
            each.attname
            for each in model._meta.concrete_fields
            if each.name not in deferred
        ]
        parts[relation] = model, names, len(columns)
        columns += [f"{relation}__{name}" if relation else name for name in names]
    return parts, columns


def _select(
    queryset: QuerySet[Any],
    columns: Sequence[str],
    own: dict[str, str],
    extra: dict[str, Any],
) -> QuerySet[Any, Any]:
    """Return *queryset* with the columns of a row, NULL where nothing is given."""
    expressions = {
        f"c{number}": F(own[name]) if name in own else _null()
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


def _as_key(parameter: Any) -> Any:
    """Return a parameter, or the position of the key that it stands for."""
    for attribute in ("obj", "adapted"):
        parameter_bytes = getattr(parameter, attribute, parameter)
        if isinstance(parameter_bytes, (bytes, memoryview)):
            octets = bytes(parameter_bytes)
            if octets.startswith(_PLACEHOLDER):
                return _Key(int.from_bytes(octets[len(_PLACEHOLDER) :], "big"))
    return parameter


# --- reading ---------------------------------------------------------------------


def _collect(
    connection: BaseDatabaseWrapper, plan: _Plan, rows: Sequence[Sequence[Any]]
) -> Found:
    found = Found()
    authorities: dict[Any, CertificateAuthority] = {}

    def build(relation: str, row: Sequence[Any]) -> Any:
        part = plan.parts[relation]
        if row[part.key] is None:
            return None
        values = _convert(connection, part, row)
        return part.model.from_db(connection.alias, part.names, values)

    def build_authority(row: Sequence[Any]) -> CertificateAuthority | None:
        built: CertificateAuthority | None = build("authority", row)
        return None if built is None else authorities.setdefault(built.pk, built)

    for row in rows:
        number, first, second, third, code, moment, kind = _convert(
            connection, plan.extra, row
        )
        if kind == _MAPPING:
            mapping: CertificateMapping = build("", row)
            mapping.user = build("user", row)
            mapping.authority = build_authority(row)
            found.mappings.append(mapping)
        elif kind == _AUTHORITY:
            authority = build_authority(row)
            if authority is not None and authority not in found.authorities:
                found.authorities.append(authority)
        elif kind == _REVOCATION:
            found.revocations.append(RevocationHit(number, first, second, third))
        elif kind == _ENTRY:
            found.entries.append(EntryHit(number, first, code, moment))
        else:
            found.last_seen_at = moment
    return found


def _convert(
    connection: BaseDatabaseWrapper, part: _Part, row: Sequence[Any]
) -> list[Any]:
    """Return the values of a part of *row* as Python has them."""
    values = list(row[part.start : part.end])
    for position, converters, expression in part.converters:
        for convert in converters:
            values[position] = convert(values[position], expression, connection)
    return values
