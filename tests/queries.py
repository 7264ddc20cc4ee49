"""What is sent to the database, and how the database goes about it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from django.db import DatabaseError, connection
from django.db.models import Model

from django_clientcert.models import CertificateAuthority, authority_state


@dataclass
class Query:
    """A statement and its parameters, as they are handed to the driver.

    ``connection.queries`` has them in one text, in which the drivers write bytes
    down each in its own way, and MariaDB's not so that it could be executed again.
    """

    sql: str
    # In a list, or by name
    given: Any

    @classmethod
    def made(cls, sql: str, parameters: Any) -> Query:
        """Return a query whose binary parameters are bytes, whatever the driver's."""
        if isinstance(parameters, dict):
            return cls(sql, {name: _as_bytes(one) for name, one in parameters.items()})
        return cls(sql, [_as_bytes(each) for each in parameters or ()])

    @property
    def parameters(self) -> list[Any]:
        """The values of the parameters."""
        return list(self.given.values() if isinstance(self.given, dict) else self.given)

    def plan(self) -> list[Access]:
        """Return how the database would answer it."""
        aliases = {
            alias: table
            for table, alias in re.findall(r"[\"`](\w+)[\"`] AS (\w)\b", self.sql)
        }
        return [
            Access(aliases.get(each.table, each.table), each.index)
            for each in _EXPLAIN[connection.vendor](self.sql, self.given)
            # The one row that the short statement begins with is of no table.
            if each.table not in ("o", "CONSTANT", None)
        ]

    def sorts(self) -> set[str]:
        """Return what would be sorted: all rows ("") or those of the same "last term".

        Not on MariaDB.
        """
        if connection.vendor == "postgresql":
            nodes = list(_nodes(_plan_of_postgresql(self.sql, self.given)))
            return {
                {"Sort": "", "Incremental Sort": "last term"}[each["Node Type"]]
                for each in nodes
                if each["Node Type"] in {"Sort", "Incremental Sort"}
            }
        steps = _execute(f"EXPLAIN QUERY PLAN {self.sql}", self.given)
        # "USE TEMP B-TREE FOR ORDER BY", "… FOR LAST TERM OF ORDER BY"
        said = [each["detail"] for each in steps if "B-TREE" in each["detail"]]
        return {"last term" if "LAST TERM" in each else "" for each in said}


@dataclass(frozen=True)
class Access:
    """One access to one table: by an index, or to all rows."""

    table: str
    index: str | None


def assert_only_hashes(query: Query) -> None:
    """Assert that no text of a certificate is among the parameters of a lookup.

    They are digests, a serial number, and the constants of the query itself.
    """
    texts = {each for each in query.parameters if isinstance(each, str)}
    octets = [each for each in query.parameters if isinstance(each, bytes)]
    assert all(len(each) <= 32 for each in octets)
    assert sum(len(each) == 32 for each in octets) >= 7
    assert texts <= {""}


@contextmanager
def captured(
    process: Literal["warm", "cold", "as it is"] = "warm",
) -> Iterator[list[Query]]:
    """Collect the statements that are executed.

    A “warm” process has read the authorities before, and a “cold” one has not.
    """
    if process == "cold":
        authority_state._states.clear()
    if process == "warm":
        with suppress(DatabaseError):
            for authority in CertificateAuthority.objects.all()[:20]:
                with suppress(ValueError):
                    authority_state.get_state(authority)
    queries: list[Query] = []

    def collect(
        execute: Any, sql: str, parameters: Any, many: bool, context: Any
    ) -> Any:
        queries.append(Query.made(sql, parameters))
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(collect):
        yield queries


@contextmanager
def dropped(*models: type[Model]) -> Iterator[None]:
    """Take the tables of *models* away, as before ``migrate``.

    Only outside of a transaction: MariaDB ends it at each change of a table.
    """
    with connection.schema_editor() as editor:
        for model in models:
            editor.delete_model(model)
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            for model in reversed(models):
                editor.create_model(model)


def _as_bytes(parameter: Any) -> Any:
    """Return the bytes of SQLite's memoryview, of psycopg's and psycopg2's Binary."""
    for attribute in ("obj", "adapted"):
        parameter = getattr(parameter, attribute, parameter)
    return bytes(parameter) if isinstance(parameter, memoryview) else parameter


def _execute(sql: str, parameters: Any) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _explain_sqlite(sql: str, parameters: Any) -> list[Access]:
    accesses = []
    for row in _execute(f"EXPLAIN QUERY PLAN {sql}", parameters):
        # "SEARCH table USING [COVERING] INDEX name (…)", "… USING INTEGER PRIMARY
        # KEY (…)", "SCAN table"
        words = row["detail"].split()
        if words[0] not in {"SEARCH", "SCAN"}:
            continue
        index = None
        if words[0] == "SEARCH":
            index = "PRIMARY" if "PRIMARY" in words else words[words.index("INDEX") + 1]
        accesses.append(Access(words[1], index))
    return accesses


def _plan_of_postgresql(sql: str, parameters: Any) -> dict[str, Any]:
    (row,) = _execute(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
    (plan,) = (
        row["QUERY PLAN"]
        if isinstance(row["QUERY PLAN"], list)
        else json.loads(row["QUERY PLAN"])
    )
    found: dict[str, Any] = plan["Plan"]
    return found


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a node of a plan and all below."""
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _explain_postgresql(sql: str, parameters: Any) -> list[Access]:
    return list(_walk(_plan_of_postgresql(sql, parameters), None))


def _walk(node: dict[str, Any], table: str | None) -> Iterator[Access]:
    """Yield the accesses of a plan: of a bitmap, its index scans."""
    table = node.get("Relation Name", table)
    if "Index Name" in node:
        assert table is not None
        yield Access(table, node["Index Name"])
    elif node["Node Type"] == "Seq Scan":
        yield Access(node["Relation Name"], None)
    for child in node.get("Plans", ()):
        yield from _walk(child, table)


def _explain_mariadb(sql: str, parameters: Any) -> list[Access]:
    return [
        # "index" is all of the index, from one end to the other
        Access(row["table"], None if row["type"] == "index" else row["key"])
        for row in _execute(f"EXPLAIN {sql}", parameters)
        # A part that no row can fit has no table, and the whole is none.
        if row["table"] is not None and not row["table"].startswith("<")
    ]


_EXPLAIN = {
    "sqlite": _explain_sqlite,
    "postgresql": _explain_postgresql,
    "mysql": _explain_mariadb,
}
