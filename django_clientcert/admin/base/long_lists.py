"""Long lists: counted no further than is useful, and read along an index.

Counting reads every row. So a list that is narrowed down is counted up to a limit, and
of a whole table PostgreSQL, which has no quicker way, is asked what it believes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Page, Paginator
from django.db import connections
from django.db.models import IntegerField, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from .search import search_note

if TYPE_CHECKING:
    BaseChangeList = ChangeList
    BasePaginator = Paginator[Any]
else:
    BaseChangeList, BasePaginator = ChangeList, Paginator

Key = TypeVar("Key", bound=Hashable)

# What is found beyond is not counted, and not shown: nobody turns a hundred pages
MAX_COUNTED = 10_000


class BoundedPaginator(BasePaginator):
    """Pages of a list that may have a million rows."""

    is_estimate = False
    # Whether there are more than ``count``
    has_more = False

    @cached_property
    def count(self) -> int:
        """The number of rows: see ``is_estimate`` and ``has_more``."""
        rows: Any = self.object_list
        if _is_narrowed(rows):
            return self._count_some(rows)
        estimate = _ESTIMATES.get(connections[rows.db].vendor, _no_estimate)(rows)
        if estimate is not None and estimate > MAX_COUNTED:
            self.is_estimate = True
            return estimate
        return int(rows.count())

    def _count_some(self, rows: Any) -> int:
        counted: int = rows.order_by().values("pk")[: MAX_COUNTED + 1].count()
        self.has_more = counted > MAX_COUNTED
        return min(counted, MAX_COUNTED)

    def page(self, number: int | str) -> Page[Any]:
        """Return a page; of an estimated number, the last one is found by counting.

        Raises:
            InvalidPage: there is no such page.
        """
        if self.is_estimate and self.validate_number(number) == self.num_pages:
            self._count_all()
        page: Page[Any] = super().page(number)
        first = (page.number - 1) * self.per_page
        if first < MAX_COUNTED:
            return page
        # Skipping keys costs a fraction of skipping rows.
        rows: Any = self.object_list
        keys = list(rows.values_list("pk", flat=True)[first : first + self.per_page])
        if not keys:
            self._count_all()
            return super().page(number)
        page.object_list = rows.filter(pk__in=keys)
        return page

    def _count_all(self) -> None:
        self.is_estimate = False
        rows: Any = self.object_list
        # Both are remembered.
        self.__dict__.pop("num_pages", None)
        self.__dict__["count"] = rows.count()


class BoundedChangeList(BaseChangeList):
    """A list that says how far it was counted, and is sorted along an index."""

    # What is said of the rows that were found, below the search
    search_note = ""

    def get_results(self, request: HttpRequest) -> None:
        """Find the rows of the page; finding the last one may have counted all."""
        super().get_results(request)
        paginator: Any = self.paginator
        self.result_count = paginator.count
        self.search_note = search_note(request)

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        """Return the columns to sort by; the key the same way as the one before it.

        An index can then be read from one end, and nothing is sorted.
        """
        ordering = super().get_ordering(request, queryset)
        *before, last = ordering
        if last == "-pk" and before and not str(before[-1]).startswith("-"):
            return [*before, "pk"]
        return ordering

    @property
    def count_note(self) -> str:
        """What the number of rows does not say."""
        paginator: Any = self.paginator
        if paginator.is_estimate:
            return _("The number is the database’s estimate; the last page knows it.")
        if paginator.has_more:
            return _(
                "There are more than these %(count)d: narrow the list down to see "
                "others."
            ) % {"count": paginator.count}
        return ""


def count_each(some: QuerySet[Any], ways: Mapping[Key, Any]) -> dict[Key, int]:
    """Return the number of rows of each of *ways*, up to a limit: one query.

    *some* is any query that returns rows.
    """
    columns = {
        f"count_{number}": _Counted(rows.order_by().values("pk")[: MAX_COUNTED + 1])
        for number, rows in enumerate(ways.values())
    }
    rows: Any = some.order_by().annotate(**columns)
    (counts,) = rows.values_list(*columns)[:1]
    return dict(zip(ways, counts, strict=True))


class _Counted(Subquery):
    """The number of rows of a query."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()


def _is_narrowed(rows: Any) -> bool:
    query = rows.query
    return bool(query.where or query.distinct or query.is_sliced or query.combinator)


def _planned(rows: Any) -> int:
    """Return how many rows PostgreSQL expects: by the size of the table's file."""
    return _expected(rows.order_by().values("pk").explain(format="json"))


def _expected(plan: str) -> int:
    """Return the number of rows in a plan of PostgreSQL's."""
    (found,) = json.loads(plan)
    return int(found["Plan"]["Plan Rows"])


def _no_estimate(rows: Any) -> int | None:
    """Return that there is none: SQLite's count is quick, MariaDB's guess is bad."""
    return None


_ESTIMATES: dict[str, Callable[[Any], int | None]] = {"postgresql": _planned}
