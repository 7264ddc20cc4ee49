"""Changelists of long tables: counted up to a limit, and read along an index.

Counting reads every row. So a filtered list is counted up to a limit only, and for a
whole table, PostgreSQL, which has no faster way, is asked for its estimate.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Page, Paginator
from django.db import connections
from django.db.models import IntegerField, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from .bounded import Count, count
from .search import search_note

Key = TypeVar("Key", bound=Hashable)

# Rows after these are neither counted nor shown: nobody turns a hundred pages.
MAX_COUNTED = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """A paginator for lists that may have a million rows."""

    is_estimate = False
    # Whether there are more than ``count``
    has_more = False

    @cached_property
    def count(self) -> int:
        """The number of rows: see ``is_estimate`` and ``has_more``."""
        rows: Any = self.object_list
        if _is_filtered(rows):
            counted = count(rows, MAX_COUNTED)
            self.has_more = counted.is_more
            return counted.number
        find_estimate = _ESTIMATES.get(connections[rows.db].vendor)
        estimate = 0 if find_estimate is None else find_estimate(rows)
        if estimate > MAX_COUNTED:
            self.is_estimate = True
            return estimate
        return int(rows.count())

    def page(self, number: int | str) -> Page[Any]:
        """Return a page; the last page of an estimated number is found by counting.

        Raises:
            InvalidPage: there is no such page.
        """
        if self.is_estimate and self.validate_number(number) == self.num_pages:
            self._count_all()
        page: Page[Any] = super().page(number)
        first = (page.number - 1) * self.per_page
        if first < MAX_COUNTED:
            return page
        # Skipping keys costs a fraction of what skipping rows costs.
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
        # Both are cached properties.
        self.__dict__.pop("num_pages", None)
        self.__dict__["count"] = rows.count()


class BoundedChangeList(ChangeList):
    """A changelist that says how far it was counted, and is sorted along an index."""

    paginator: Any
    model_admin: Any
    # Shown below the search box
    search_note = ""

    def get_results(self, request: HttpRequest) -> None:
        """Fetch the rows of the page; fetching the last page may have counted all."""
        super().get_results(request)
        self.result_list: Any = list(self.result_list)
        self.model_admin.prepare_rows(self.result_list)
        self.result_count = self.paginator.count
        self.search_note = search_note(request)

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        """Return the columns to sort by, the key in the direction of the one before it.

        An index can then be read from one end, and nothing needs to be sorted.
        """
        ordering = super().get_ordering(request, queryset)
        *before, last = ordering
        if last == "-pk" and before and not str(before[-1]).startswith("-"):
            return [*before, "pk"]
        return ordering

    @property
    def count_note(self) -> str:
        """Why the number of rows may be inexact, shown below it."""
        if self.paginator.is_estimate:
            return _(
                "Approximate count (database estimate). Open the last page for the "
                "exact one."
            )
        if self.paginator.has_more:
            return _(
                "There are more than these %(count)d rows: narrow the list down to see "
                "others."
            ) % {"count": self.paginator.count}
        return ""


def count_each(some: QuerySet[Any], querysets: Mapping[Key, Any]) -> dict[Key, Count]:
    """Return the number of rows of each of *querysets*, up to a limit, in one query.

    *some* is any queryset that returns rows.
    """
    columns = {
        f"count_{number}": _Counted(rows.order_by().values("pk")[: MAX_COUNTED + 1])
        for number, rows in enumerate(querysets.values())
    }
    rows: Any = some.order_by().annotate(**columns)
    (counts,) = rows.values_list(*columns)[:1]
    bounded = (Count.up_to(MAX_COUNTED, number) for number in counts)
    return dict(zip(querysets, bounded, strict=True))


class _Counted(Subquery):
    """The number of rows of a query."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()


def _is_filtered(rows: Any) -> bool:
    query = rows.query
    return bool(query.where or query.distinct or query.is_sliced or query.combinator)


def _planned(rows: Any) -> int:
    """Return how many rows PostgreSQL expects, by the size of the table’s file."""
    return _expected(rows.order_by().values("pk").explain(format="json"))


def _expected(plan: str) -> int:
    """Return the number of rows in a query plan of PostgreSQL."""
    (root,) = json.loads(plan)
    return int(root["Plan"]["Plan Rows"])


# SQLite counts fast, and MariaDB's estimates are bad.
_ESTIMATES: dict[str, Callable[[Any], int]] = {"postgresql": _planned}
