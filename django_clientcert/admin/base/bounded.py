"""How many there are, counted no further than anybody reads: flat for any table."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.utils.translation import gettext as _

MAX_COUNTED = 1000


class Count(NamedTuple):
    """A number; with ``is_more``, there are more than that."""

    number: int
    is_more: bool = False

    def __add__(self, other: Any) -> Count:
        number = self.number + other.number
        return Count(number, self.is_more or other.is_more)

    def __str__(self) -> str:
        if self.is_more:
            return _("more than %(count)d") % {"count": self.number}
        return str(self.number)


def count(rows: QuerySet[Any]) -> Count:
    """Return how many *rows* there are, up to ``MAX_COUNTED``."""
    found = rows.order_by()[: MAX_COUNTED + 1].count()
    return Count(min(found, MAX_COUNTED), found > MAX_COUNTED)
