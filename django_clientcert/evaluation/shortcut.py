"""The short way to a decision: one narrow query, for nearly every request.

The query reads the mappings with one of a certificate's keys, with their users; the
authorities with a CA of its issuer's name; and whether there is a revocation or a CRL
entry that could be about it. If one mapping applies and nothing else does, the
certificate is accepted at once. In all other cases, the steps are taken one by one with
what was read, or with what the wide query of ``lookup`` reads if that is not enough.

The statement has few columns, because each takes the driver as long as a row, and is
put together once. It outlives the connection that it was compiled with, so nothing in
it may refer to that connection.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from functools import cache
from inspect import getattr_static
from typing import Any

from django.contrib.auth import get_user_model
from django.db import Error as DatabaseError
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField, Model, UUIDField
from django.db.models.base import ModelState
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.lookups import Exact
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init
from django.http.request import validate_host

from django_clientcert.exceptions import Refusal
from django_clientcert.models import (
    AuthorityCertificate,
    CertificateAuthority,
    CertificateMapping,
    Revocation,
    RevokedSerial,
    SeenCertificate,
)
from django_clientcert.models.authority_state import AuthorityState, known_state
from django_clientcert.models.users import is_hidden, may_hide
from django_clientcert.x509.crl.status import RevocationPolicy
from django_clientcert.x509.identities import PINS
from django_clientcert.x509.paths import Path

from .authorities import check_crls
from .lookup import LookupKeys, LookupResult, fill_up, find_alias, round_up
from .peer import Peer

State = CertificateMapping.State

# The columns of a row: those of a mapping and of an authority, in the order of their
# models, two more, and all of the user's
_MAPPING = (
    *("id", "kind", "value", "key", "authority_id", "state"),
    *("valid_from", "valid_until", "hosts", "last_used_at"),
)
_RULE = (
    *("rule_identity", "rule_user_field", "rule_pattern", "rule_hosts"),
    *("rule_policies", "rule_extended_key_usages"),
    *("rule_creates_users", "rule_allows_privileged"),
)
_AUTHORITY = ("id", *_RULE, "name", "revocation_policy", "revision")
_ID, _KIND, _, _KEY, _AUTHORITY_ID, _STATE = range(6)
_VALID_FROM, _VALID_UNTIL, _HOSTS, _LAST_USED = range(6, 10)
_FIRST_OF_AUTHORITY = len(_MAPPING)
_AUTHORITY_KEY = _FIRST_OF_AUTHORITY
_POLICY = _AUTHORITY_KEY + _AUTHORITY.index("revocation_policy")
_REVISION = _AUTHORITY_KEY + _AUTHORITY.index("revision")
_IS_UNUSUAL = _FIRST_OF_AUTHORITY + len(_AUTHORITY)
_LAST_SEEN = _IS_UNUSUAL + 1
_FIRST_OF_USER = _LAST_SEEN + 1

# Without a mapping or an authority, the row has NULL in its columns.
_SQL = """
SELECT {columns},
CASE WHEN EXISTS (SELECT 1 FROM {revocation} WHERE public_key IN ({public_keys}))
OR EXISTS (SELECT 1 FROM {revocation} WHERE serial IN ({serials}))
OR EXISTS (SELECT 1 FROM {entry} WHERE serial IN ({serials})) THEN 1 ELSE 0 END,
{sign}(SELECT last_seen_at FROM {seen} WHERE fingerprint = %(fingerprint)s),
{user_columns}
FROM (SELECT 1 AS one) AS o
LEFT JOIN {mapping} AS m ON m.{key} IN ({identities})
LEFT JOIN {user} AS u ON u.{user_key} = m.user_id
LEFT JOIN {certificate} AS c ON c.subject_key IN ({issuer_names})
LEFT JOIN {authority} AS a ON a.id = c.authority_id
"""


@dataclass(frozen=True, eq=False)
class _Statement:
    """The compiled query for a number of keys. Refers to no connection."""

    sql: str
    user_model: type[Model]
    user_names: list[str]
    # The position of the user's primary key
    user_key: int
    # By position in a row
    expressions: dict[int, Any]


# By what the SQL depends on: the database, its backend, and the numbers of identities
# and of certificates; None if the columns of the user are in several tables
_statements: dict[tuple[str, type[BaseDatabaseWrapper], int, int], _Statement | None]
_statements = {}

# What the values of columns nearly always are; another may be changed in place.
_IMMUTABLE = (str, int, bool, type(None), dt.datetime, uuid.UUID, bytes)

# How many texts a connection keeps that it has read
MAX_READ = 4096

# The attribute of a connection with its converters by statement. They belong to the
# connection and refer to it, so they must not be kept anywhere else.
_CONVERTERS = "_clientcert_shortcut_converters"


def find_shortcut(keys: LookupKeys) -> Shortcut | None:
    """Return what the narrow query finds; None if it does not suit the user model.

    Raises:
        DatabaseError: nothing can be read.
    """
    connection: Any = connections[find_alias()]
    sizes = round_up(max(4, len(keys.identities))), round_up(len(keys.serials))
    place = connection.alias, type(connection), *sizes
    if place not in _statements:
        _statements[place] = _compile(connection, *sizes)
    statement = _statements[place]
    if statement is None:
        return None
    binary = connection.Database.Binary
    if binary not in keys.prepared:
        keys.prepared[binary] = _prepare(keys, binary, *sizes)
    with connection.cursor() as cursor:
        cursor.execute(statement.sql, keys.prepared[binary])
        rows = cursor.fetchall()
    return Shortcut(connection, statement, rows)


def _prepare(
    keys: LookupKeys, binary: Callable[[bytes], Any], identities: int, certificates: int
) -> dict[str, Any]:
    """Return the parameters of a statement, by their names in it."""
    parameters = {"fingerprint": binary(keys.fingerprint)}
    for letter, values, size in (
        ("i", keys.identities, identities),
        ("n", keys.issuer_names, certificates),
        ("p", keys.public_keys, certificates),
        ("s", keys.serials, certificates),
    ):
        for number, value in enumerate(fill_up(values, size)):
            parameters[f"{letter}{number}"] = binary(value)
    return parameters


class _Columns:
    """The columns that a statement selects, as SQL and as expressions."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.compiler = CertificateMapping.objects.using(
            connection.alias
        ).query.get_compiler(connection=connection)
        # As an expression: of a column, the driver of SQLite looks up the type in each
        # query, and the converters read every value without that.
        self.sign = "+" if connection.vendor == "sqlite" else ""
        # By position
        self.expressions: dict[int, Any] = {}

    def select(self, fields: Sequence[Any], alias: str, first: int) -> str:
        """Return the SQL of *fields*, which are in a row from *first* on."""
        selected = []
        for position, field in enumerate(fields, first):
            column = field.get_col(alias)
            sql, _ = column.select_format(self.compiler, *self.compiler.compile(column))
            selected.append(self.sign + sql)
            self.expressions[position] = column
        return ", ".join(selected)


def _is_in_one_table(model: type[Model]) -> bool:
    table = model._meta.db_table
    return all(
        field.model._meta.db_table == table for field in model._meta.concrete_fields
    )


def _compile(
    connection: BaseDatabaseWrapper, identities: int, certificates: int
) -> _Statement | None:
    user_model = get_user_model()
    user_meta = user_model._meta
    if not _is_in_one_table(user_model):
        return None
    quote = connection.ops.quote_name
    columns = _Columns(connection)

    def fields_of(model: type[Model], names: Sequence[str]) -> list[Any]:
        by_name = {field.attname: field for field in model._meta.concrete_fields}
        return [by_name[name] for name in names]

    def places(letter: str, size: int) -> str:
        return ", ".join(f"%({letter}{number})s" for number in range(size))

    user_fields = list(user_meta.concrete_fields)
    seen = SeenCertificate._meta.get_field("last_seen_at")
    sql = _SQL.format(
        sign=columns.sign,
        columns=columns.select(fields_of(CertificateMapping, _MAPPING), "m", 0)
        + ", "
        + columns.select(
            fields_of(CertificateAuthority, _AUTHORITY), "a", _FIRST_OF_AUTHORITY
        ),
        user_columns=columns.select(user_fields, "u", _FIRST_OF_USER),
        **{
            name: quote(model._meta.db_table)
            for name, model in (
                ("revocation", Revocation),
                ("entry", RevokedSerial),
                ("seen", SeenCertificate),
                ("mapping", CertificateMapping),
                ("user", user_model),
                ("certificate", AuthorityCertificate),
                ("authority", CertificateAuthority),
            )
        },
        key=quote("key"),
        user_key=quote(str(user_meta.pk.column)),
        identities=places("i", identities),
        issuer_names=places("n", certificates),
        public_keys=places("p", certificates),
        serials=places("s", certificates),
    )
    columns.expressions[_LAST_SEEN] = seen.get_col("s")
    names = [field.attname for field in user_fields]
    user_key = _FIRST_OF_USER + names.index(user_meta.pk.attname)
    return _Statement(
        " ".join(sql.split()), user_model, names, user_key, columns.expressions
    )


# --- the users whom a rule names -------------------------------------------------

# By database, its backend, the model and the name of the field
_user_statements: dict[tuple[str, type[Any], type[Model], str], _Statement] = {}


def find_users(name: str, value: str, limit: int) -> list[Any] | None:
    """Return the users whose field *name* is *value*, in one query.

    None if there are more than *limit* with a similar value, or if the user model needs
    Django's own query: it is in several tables, its manager leaves out users, or the
    field compares in its own way.
    """
    model: Any = get_user_model()
    field = model._meta.get_field(name)
    if (
        may_hide(model)
        or not _is_in_one_table(model)
        # A field of a project's own may compare in its own way.
        or field.get_lookup("exact") is not Exact
    ):
        return None
    connection: Any = connections[router.db_for_write(model)]
    place = connection.alias, type(connection), model, name
    if place not in _user_statements:
        _user_statements[place] = _compile_users(connection, model, name)
    statement = _user_statements[place]
    parameters = {
        "value": field.get_db_prep_value(value, connection),
        "limit": limit + 1,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement.sql, parameters)
        rows = cursor.fetchall()
    if len(rows) > limit:
        return None
    converters = _get_converters(connection, statement)
    columns = range(len(statement.user_names))
    users = [
        make_user(statement, connection.alias, converters.convert_all(row, columns))
        for row in rows
    ]
    return [user for user in users if getattr(user, name) == value]


def _compile_users(connection: Any, model: type[Model], name: str) -> _Statement:
    quote, columns = connection.ops.quote_name, _Columns(connection)
    fields = model._meta.concrete_fields
    column: Any = model._meta.get_field(name)
    sql = (
        f"SELECT {columns.select(fields, 'u', 0)} FROM {quote(model._meta.db_table)} "  # noqa: S608 - names of the model, quoted
        f"AS u WHERE u.{quote(column.column)} = %(value)s LIMIT %(limit)s"
    )
    names = [field.attname for field in fields]
    return _Statement(sql, model, names, 0, columns.expressions)


def make_user(statement: _Statement, alias: str, values: Sequence[Any]) -> Any:
    """Return an instance of the user model with the *values* of its columns."""
    model: Any = statement.user_model
    if not is_plain(model):
        return model.from_db(alias, statement.user_names, values)
    # As unpickling does, in a fraction of the time
    user = model.__new__(model)
    vars(user).update(zip(statement.user_names, values, strict=True))
    user._state = ModelState()
    user._state.adding, user._state.db = False, alias
    return user


class _Converters:
    """Converts the values of a statement's columns, for one connection.

    Texts of moments and UUIDs are read once: most requests bring the same again.
    """

    def __init__(self, connection: Any, statement: _Statement) -> None:
        self._connection = connection
        # By position
        self._functions: dict[int, tuple[list[Any], Any, bool]] = {}
        for position, expression in statement.expressions.items():
            functions = connection.ops.get_db_converters(expression)
            functions += expression.get_db_converters(connection)
            is_read_once = type(expression.output_field) in (DateTimeField, UUIDField)
            if functions:
                self._functions[position] = functions, expression, is_read_once
        self._read: dict[tuple[int, Any], Any] = {}

    def convert(self, value: Any, position: int) -> Any:
        """Return the *value* of the column at *position* as a model has it."""
        if position not in self._functions:
            return value
        functions, expression, is_read_once = self._functions[position]
        key = position, value
        if is_read_once and key in self._read:
            return self._read[key]
        for function in functions:
            value = function(value, expression, self._connection)
        if is_read_once:
            if len(self._read) >= MAX_READ:
                self._read.clear()
            self._read[key] = value
        return value

    def convert_all(self, row: Sequence[Any], columns: range) -> list[Any]:
        """Return the values of some *columns* of a row."""
        values = list(row[columns.start : columns.stop])
        for position in self._functions:
            if position in columns:
                place = position - columns.start
                values[place] = self.convert(values[place], position)
        return values


def _get_converters(connection: Any, statement: _Statement) -> _Converters:
    known = vars(connection).setdefault(_CONVERTERS, {})
    if statement not in known:
        known[statement] = _Converters(connection, statement)
    converters: _Converters = known[statement]
    return converters


def is_plain(model: type[Model]) -> bool:
    """Return whether nothing but Django takes part when an instance is made."""
    return (
        model.__init__ is Model.__init__
        and model.from_db.__func__ is Model.from_db.__func__  # type: ignore[attr-defined]
        and _has_plain_columns(model)
        and not pre_init.has_listeners(model)
        and not post_init.has_listeners(model)
    )


@cache
def _has_plain_columns(model: type[Model]) -> bool:
    """Return whether each value is kept as it is, in the attribute of its column."""
    return all(
        type(getattr_static(model, field.attname))
        in (DeferredAttribute, ForeignKeyDeferredAttribute)
        for field in model._meta.concrete_fields
    )


class Shortcut:
    """What the narrow query found, and what can be decided with it."""

    def __init__(
        self, connection: Any, statement: _Statement, rows: Sequence[Sequence[Any]]
    ) -> None:
        self._connection = connection
        self._alias: str = connection.alias
        self._statement = statement
        self._path: Path | None = None
        self._is_unusual = bool(rows[0][_IS_UNUSUAL])
        self._last_seen = rows[0][_LAST_SEEN]
        self._converters: _Converters | None = _get_converters(connection, statement)
        self.user: Any = None
        self._accepted: Sequence[Any] = ()
        self._states: dict[Any, AuthorityState | None] = {}
        # By primary key; a mapping is in as many rows as there are authorities.
        user_key = statement.user_key
        self._mappings = {row[_ID]: row for row in rows if row[user_key] is not None}
        self._authorities = {
            row[_AUTHORITY_KEY]: row for row in rows if row[_AUTHORITY_KEY] is not None
        }

    def detached(self) -> Shortcut:
        """Return this without the connection, with all values converted.

        Only for a certificate that was accepted.
        """
        detached = copy(self)
        width = range(len(self._accepted))

        def convert(rows: dict[Any, Sequence[Any]]) -> dict[Any, Sequence[Any]]:
            return {key: self._values(row, width) for key, row in rows.items()}

        detached._mappings = convert(self._mappings)
        detached._authorities = convert(self._authorities)
        detached._accepted = detached._mappings[self._accepted[_ID]]
        detached._last_seen = self.last_seen_at
        detached._converters = detached._connection = None
        return detached

    def accept_again(
        self, peer: Peer, at: dt.datetime, can_authenticate: Callable[[Any], bool]
    ) -> Shortcut | None:
        """Return a copy with a user of its own, if the mapping still accepts."""
        again = copy(self)
        again.user = again._build_user(again._accepted)
        if (
            again._is_in_force(again._accepted, peer, at)
            and (again._path is None or again._path.covers(at))
            and can_authenticate(again.user)
        ):
            return again
        return None

    def _value(self, row: Sequence[Any], position: int) -> Any:
        if self._converters is None:
            return row[position]
        return self._converters.convert(row[position], position)

    def _values(self, row: Sequence[Any], columns: range) -> list[Any]:
        if self._converters is not None:
            return self._converters.convert_all(row, columns)
        values = row[columns.start : columns.stop]
        return [item if type(item) in _IMMUTABLE else deepcopy(item) for item in values]

    def _instance(
        self, model: Any, names: Sequence[str], row: Sequence[Any], first: int
    ) -> Any:
        values = self._values(row, range(first, first + len(names)))
        return model.from_db(self._alias, names, values)

    @property
    def last_seen_at(self) -> dt.datetime | None:
        """When the certificate was last accepted, as far as that was recorded."""
        last_seen_at: dt.datetime | None = self._last_seen
        if self._converters is not None:
            last_seen_at = self._converters.convert(last_seen_at, _LAST_SEEN)
        return last_seen_at

    @property
    def last_used_at(self) -> dt.datetime | None:
        """When the mapping was last used, as far as that was recorded."""
        last_used_at: dt.datetime | None = self._value(self._accepted, _LAST_USED)
        return last_used_at

    def accept(
        self,
        peer: Peer,
        kinds: Mapping[bytes, str],
        at: dt.datetime,
        can_authenticate: Callable[[Any], bool],
    ) -> bool:
        """Return whether one mapping accepts the certificate; then there is a ``user``.

        If not, nothing is decided: the steps find out why, or accept it after all.
        """
        found = self._matching(kinds)
        if self._is_unusual or len(found) != 1:
            return False
        row = found[0]
        try:
            if (
                self._is_in_force(row, peer, at)
                and self._find_states()
                and self._is_vouched_for(row, peer, at)
            ):
                user = self._build_user(row)
                if not is_hidden(user) and can_authenticate(user):
                    self.user, self._accepted = user, row
                    return True
        except (Refusal, ValueError, DatabaseError):
            pass  # the steps run into the same, and report it
        return False

    def _matching(self, kinds: Mapping[bytes, str]) -> list[Sequence[Any]]:
        """Return the mappings of *kinds*, which is by key: a row each."""
        return [
            row
            for row in self._mappings.values()
            if kinds.get(bytes(row[_KEY])) == row[_KIND]
        ]

    def _is_in_force(self, row: Sequence[Any], peer: Peer, at: dt.datetime) -> bool:
        """Return whether state, dates and hosts of a mapping let it accept."""
        state, hosts = row[_STATE], row[_HOSTS]
        begin, end = row[_VALID_FROM], row[_VALID_UNTIL]
        return (
            (
                state in (State.ACTIVE.value, State.RETIRING.value)
                or (state == State.SCHEDULED.value and begin is not None)
            )
            and (begin is None or self._value(row, _VALID_FROM) <= at)
            and (end is None or at < self._value(row, _VALID_UNTIL))
            and (not hosts or validate_host(peer.host, hosts.split()))
        )

    def _find_states(self) -> bool:
        """Return whether the states of all authorities are known, without a query.

        And whether none of them revokes certificates by their date of issue.
        """
        connection = self._connection
        for key, row in self._authorities.items():
            RevocationPolicy(row[_POLICY])  # or a ValueError
            revision = self._value(row, _REVISION)
            state = self._states[key] = known_state(connection, key, revision)
            if state is None or state.periods:
                return False
        return True

    def _is_vouched_for(self, row: Sequence[Any], peer: Peer, at: dt.datetime) -> bool:
        """Return whether the authority of a mapping, if any, issued the certificate.

        Raises:
            Refusal: there is no valid path to it, or its CRLs refuse the path.
        """
        key = row[_AUTHORITY_ID]
        if key is None:
            return row[_KIND] in PINS
        state = self._states.get(key)
        if state is None or peer.certificate is None:
            return False
        validator = state.validator
        find = validator.find_issuer if peer.is_vouched_for else validator.validate
        path = self._path = find(peer.certificate, at)
        policy = RevocationPolicy(self._authorities[key][_POLICY])
        if (
            state.revoked
            or policy is RevocationPolicy.REQUIRED
            or (policy is RevocationPolicy.IF_LOADED and state.crls)
        ):
            check_crls(path, self._authority(key), self._result([]), at)
        return True

    def _build_user(self, row: Sequence[Any]) -> Any:
        statement = self._statement
        columns = range(_FIRST_OF_USER, _FIRST_OF_USER + len(statement.user_names))
        return make_user(statement, self._alias, self._values(row, columns))

    def _authority(self, key: Any) -> CertificateAuthority:
        row = self._authorities[key]
        authority: CertificateAuthority = self._instance(
            CertificateAuthority, _AUTHORITY, row, _FIRST_OF_AUTHORITY
        )
        return authority

    def result(self, kinds: Mapping[bytes, str]) -> LookupResult | None:
        """Return what was read, for the steps; None if they need more than that."""
        found = self._matching(kinds)
        if self._is_unusual or any(
            row[_AUTHORITY_ID] not in (None, *self._authorities) for row in found
        ):
            return None
        result = self._result(found)
        return result if self.user is not None or result.is_consistent() else None

    def _result(self, found: Sequence[Sequence[Any]]) -> LookupResult:
        authorities = {key: self._authority(key) for key in self._authorities}
        mappings = []
        for row in found:
            mapping = self._instance(CertificateMapping, _MAPPING, row, 0)
            mapping.user = self.user or self._build_user(row)
            mapping.authority = authorities.get(row[_AUTHORITY_ID])
            mappings.append(mapping)
        return LookupResult(
            mappings,
            list(authorities.values()),
            last_seen_at=self.last_seen_at,
            _states={key: state for key, state in self._states.items() if state},
        )
