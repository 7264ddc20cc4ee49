"""Users by their names, compared exactly, however the database compares text.

MariaDB and MySQL find “alice” for “álice”. A certificate could name either.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import router
from django.db.models import (
    BinaryField,
    Case,
    F,
    Field,
    Func,
    Manager,
    Q,
    Value,
    When,
)
from django.db.models.functions import Lower
from django.db.models.lookups import Exact

from django_clientcert.x509.names import fold_ascii


class _Octets(Func):
    """The text of a column as UTF-8."""

    template = "CAST(%(expressions)s AS BLOB)"
    output_field = BinaryField()

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """See as_sql()."""
        template = "CAST(CONVERT(%(expressions)s USING utf8mb4) AS BINARY)"
        return self.as_sql(compiler, connection, template=template, **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """See as_sql()."""
        template = "convert_to(%(expressions)s::text, 'UTF8')"
        return self.as_sql(compiler, connection, template=template, **context)


def name_fields() -> dict[str, Field[Any, Any]]:
    """Return the columns of “username” and “email”, by these names, if they exist."""
    model: Any = get_user_model()
    names = {"username": model.USERNAME_FIELD}
    if hasattr(model, "get_email_field_name"):
        names["email"] = model.get_email_field_name()
    fields = {
        field.name: field
        for field in model._meta.concrete_fields
        if not field.is_relation
    }
    return {role: fields[name] for role, name in names.items() if name in fields}


def find_by_fields(wanted: Collection[tuple[str, str]], limit: int) -> list[Any]:
    """Return the users with any of *wanted*, pairs of field and value: one query.

    Of more than *limit*, that many, with a second query: others with a similar value
    hide nobody.
    """
    condition, exact = Q(), []
    for field, value in wanted:
        condition |= Q(**{field: value})
        octets = Value(value.encode(), BinaryField())
        exact.append(When(Exact(_Octets(F(field)), octets), then=0))
    model: Any = get_user_model()
    # Not from a replica: a user who was just deactivated or created counts at once.
    users = model._default_manager.using(router.db_for_write(model))
    rows = list(users.filter(condition)[: limit + 1])
    if len(rows) > limit:
        rows = list(users.filter(condition).order_by(Case(*exact, default=1))[:limit])
    return [
        user
        for user in rows
        if any(getattr(user, field) == value for field, value in wanted)
    ]


def find_folded(
    field: str, values: Collection[str], fold: Callable[[str], str], limit: int
) -> dict[str, list[Any]]:
    """Return at most *limit* users by the folded value of *field*: one query."""
    users: Any = get_user_model()._default_manager
    rows = users.annotate(_lower=Lower(field)).filter(
        Q(_lower__in={value.lower() for value in values})
        | Q(**{f"{field}__in": set(values)})
    )
    by_value: dict[str, list[Any]] = {}
    for user in rows.order_by("pk")[:limit]:
        by_value.setdefault(fold(str(getattr(user, field))), []).append(user)
    return by_value


def find_by_name(names: Collection[str]) -> dict[str, Any]:
    """Return the users by what they log in with; without those of nobody or several.

    A user model whose natural key ignores case has its way, for ASCII letters.
    """
    model: Any = get_user_model()
    manager = model._default_manager
    names = [name for name in names if is_storable(name)]
    try:
        rows = list(manager.filter(**{f"{model.USERNAME_FIELD}__in": names}))
    except (TypeError, ValueError, ValidationError):
        rows = []  # a field that is not text: look each name up
    by_name: dict[str, list[Any]] = {}
    for user in rows:
        by_name.setdefault(str(user.get_username()), []).append(user)
    nobody = (ObjectDoesNotExist, TypeError, ValueError, ValidationError)
    if hasattr(manager, "get_by_natural_key"):
        for name in set(names) - by_name.keys():
            with suppress(*nobody, model.MultipleObjectsReturned):
                user = manager.get_by_natural_key(name)
                if fold_ascii(str(user.get_username())) == fold_ascii(name):
                    by_name[name] = [user]
    return {name: by_name[name][0] for name in names if len(by_name.get(name, ())) == 1}


def may_hide(model: Any) -> bool:
    """Return whether the default manager of *model* may leave out some users."""
    return type(model._default_manager).get_queryset is not Manager.get_queryset


def is_hidden(user: Any) -> bool:
    """Return whether the default manager hides *user*, so that nobody can log in.

    A project’s manager may leave out deleted users, or those of other tenants. One
    query, but none for a manager that leaves out nobody.
    """
    model = type(user)
    if not may_hide(model):
        return False
    users = model._default_manager.using(router.db_for_write(model))
    return not users.filter(pk=user.pk).exists()


def is_storable(text: str) -> bool:
    """Return whether every database can store *text*."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
