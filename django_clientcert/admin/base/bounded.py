"""Counts with an upper bound: as fast for a huge table as for a small one."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.utils.translation import gettext as _

MAX_COUNTED = 1000


class Count(NamedTuple):
    """A number; with ``is_more``, the actual number is higher."""

    number: int
    is_more: bool = False

    @classmethod
    def up_to(cls, limit: int, number: int) -> Count:
        """Return *number*, or “more than *limit*” if it is greater than that."""
        return cls(min(number, limit), number > limit)

    def __add__(self, other: Any) -> Count:
        number = self.number + other.number
        return Count(number, self.is_more or other.is_more)

    def __str__(self) -> str:
        if self.is_more:
            return _("more than %(count)d") % {"count": self.number}
        return str(self.number)


def count(rows: QuerySet[Any], limit: int | None = None) -> Count:
    """Return how many *rows* there are, up to *limit* (default: ``MAX_COUNTED``)."""
    limit = MAX_COUNTED if limit is None else limit
    return Count.up_to(limit, rows.order_by().values("pk")[: limit + 1].count())
