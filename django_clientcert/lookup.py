"""The one query of a request, with its SQL compiled once for each connection.

Compiling the join costs Django's ORM several times what the database needs to
answer it. What is executed is the SQL of ``CertificateMapping.objects.matching()``,
through Django's own cursor, so that routers, ``assertNumQueries`` and every
instrumentation see it. Instances are new for each request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from .models import KEY_BYTES, CertificateMapping

# What no decision needs; loaded when somebody asks for it
_DEFERRED = {
    "": frozenset(
        {"certificate", "certificate_subject", "certificate_not_after", "note"}
    ),
    "authority": frozenset({"note"}),
    "user": frozenset(),
}

_Converter = Callable[[Any, Any, BaseDatabaseWrapper], Any]


class _Part(NamedTuple):
    """The columns of one model in a row."""

    relation: str
    model: type[Model]
    names: list[str]
    start: int
    end: int


class _Plan(NamedTuple):
    """A compiled query for a number of keys."""

    sql: str
    converters: dict[int, tuple[list[_Converter], Any]]
    parts: list[_Part]


_plans: WeakKeyDictionary[BaseDatabaseWrapper, dict[int, _Plan]] = WeakKeyDictionary()


def find_mappings(keys: Sequence[bytes]) -> list[CertificateMapping]:
    """Return the mappings with one of *keys*, with user and authority: one query."""
    queryset = CertificateMapping.objects.all()
    connection = connections[queryset.db]
    plans = _plans.setdefault(connection, {})
    size = _round_up(len(keys))
    plan = plans.get(size)
    if plan is None:
        plan = plans[size] = _compile(connection, size)
    field = CertificateMapping._meta.get_field("key")
    # The last key fills up the places: looking it up again changes nothing.
    filled = [*keys, *[keys[-1]] * (size - len(keys))]
    parameters = [
        field.get_db_prep_value(key, connection, prepared=False) for key in filled
    ]
    with connection.cursor() as cursor:
        cursor.execute(plan.sql, parameters)
        rows = cursor.fetchall()
    return [_build(connection, plan, row) for row in rows]


async def afind_mappings(keys: Sequence[bytes]) -> list[CertificateMapping]:
    """See find_mappings()."""
    return await sync_to_async(find_mappings)(keys)


def _round_up(count: int) -> int:
    """Return the next power of two, so that there are few statements to prepare."""
    return 1 << max(2, (count - 1).bit_length())


def _compile(connection: BaseDatabaseWrapper, size: int) -> _Plan:
    parts: list[_Part] = []
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
        start = len(columns)
        columns += [f"{relation}__{name}" if relation else name for name in names]
        parts.append(_Part(relation, model, names, start, len(columns)))
    placeholders = [number.to_bytes(KEY_BYTES, "big") for number in range(size)]
    queryset = (
        CertificateMapping.objects.using(connection.alias)
        .matching(placeholders)
        .values_list(*columns)
    )
    compiler = queryset.query.get_compiler(connection=connection)
    sql, _parameters = compiler.as_sql()
    converters = compiler.get_converters([select[0] for select in compiler.select])
    return _Plan(sql, converters, parts)


def _build(
    connection: BaseDatabaseWrapper, plan: _Plan, row: Sequence[Any]
) -> CertificateMapping:
    values = list(row)
    for position, (converters, expression) in plan.converters.items():
        for convert in converters:
            values[position] = convert(values[position], expression, connection)
    built: dict[str, Any] = {}
    for part in plan.parts:
        own = values[part.start : part.end]
        primary_key = part.names.index(part.model._meta.pk.attname)
        built[part.relation] = (
            None
            if own[primary_key] is None
            else part.model.from_db(connection.alias, part.names, own)
        )
    mapping: CertificateMapping = built[""]
    for relation in ("user", "authority"):
        setattr(mapping, relation, built[relation])
    return mapping
