"""Decisions that a process keeps for a while: ``CLIENTCERT_DECISION_SECONDS``.

Off by default, because another process may change what they depend on. Kept is only
what a mapping accepts in the short way, with the values that were read: the dates and
the host are checked each time, and every request gets an instance of the user of its
own. A change that this process makes, by whatever statement on the tables involved,
ends all of them at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connections, transaction

from django_clientcert.conf import current
from django_clientcert.models.users import may_hide

from .lookup import find_alias
from .shortcut import Shortcut

# Tables that are written for the record; no decision depends on them.
_RECORDS = ("seencertificate", "unknowncertificate")

# The number of changes so far
_changes = 0
_is_unnoticed: ContextVar[bool] = ContextVar("_is_unnoticed", default=False)


class Kept(NamedTuple):
    """What a decision was made with, and how long it may be used again."""

    shortcut: Shortcut
    alias: str
    changes: int
    # Seconds of the monotonic clock
    until: float


def count_changes() -> int:
    """Return how often this process has changed something; see ``keep()``."""
    return _changes


def keep(shortcut: Shortcut, seconds: int, changes: int) -> Kept | None:
    """Return what to keep for *seconds*; None if this database does not permit it.

    *changes* is ``count_changes()`` from before the query. In a transaction, others do
    not see what was read; a backend of a project's own may have another schema for each
    request, and a manager that hides users may hide others in each.
    """
    alias = find_alias()
    connection: Any = connections[alias]
    engine: str = connections.settings[alias]["ENGINE"]
    if (
        connection.in_atomic_block
        or not connection.get_autocommit()
        or not engine.startswith("django.db.")
        or may_hide(get_user_model())
    ):
        return None
    return Kept(shortcut.detached(), alias, changes, time.monotonic() + seconds)


def is_current(kept: Kept) -> bool:
    """Return whether *kept* may still be used: no I/O."""
    return (
        kept.changes == _changes
        and time.monotonic() < kept.until
        and kept.alias == find_alias()
    )


def forget_all() -> None:
    """End every decision that is kept."""
    global _changes
    _changes += 1


@contextmanager
def unnoticed() -> Iterator[None]:
    """Let statements end no decision: they write only for the record."""
    token = _is_unnoticed.set(True)
    try:
        yield
    finally:
        _is_unnoticed.reset(token)


def watch(connection: Any, **kwargs: Any) -> None:
    """Notice the changes that are made on a new *connection*."""
    wrappers = connection.execute_wrappers  # they outlive what is connected anew
    if current().CLIENTCERT_DECISION_SECONDS and _notice not in wrappers:
        wrappers.append(_notice)


def _notice(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
) -> Any:
    """Execute a statement, and end what is kept if it changes a table involved."""
    text = str(sql)
    if text.lstrip(" (").startswith("SELECT") or _is_unnoticed.get():
        return execute(sql, params, many, context)
    try:
        return execute(sql, params, many, context)
    finally:
        if any(table in text for table in _tables()):
            forget_all()
            connection = context["connection"]
            if connection.in_atomic_block:
                # Another thread may keep what was there before, until the commit.
                transaction.on_commit(forget_all, using=connection.alias)


@cache
def _tables() -> tuple[str, ...]:
    """Return the tables that decisions depend on."""
    models = [get_user_model(), *apps.get_app_config("django_clientcert").get_models()]
    tables = (model._meta.db_table for model in models)
    return tuple(table for table in tables if not table.endswith(_RECORDS))
