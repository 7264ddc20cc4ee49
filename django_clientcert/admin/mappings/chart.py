"""A stacked bar chart as data for an SVG.

Series are told apart by a pattern, not by colour alone, and the numbers are also in a
table below the chart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.utils.translation import get_language_bidi

from django_clientcert.admin.base.bounded import Count

WIDTH, HEIGHT = 780, 220
_TOP, _BOTTOM = 24, 28
_GAP = 12
# The height of a bar for the smallest number other than 0
_MIN_BAR = 4


class Series(NamedTuple):
    """What is counted: its label, and the id of the pattern of its bars."""

    label: Any
    pattern: str = ""

    @property
    def fill(self) -> str:
        """The SVG attribute; without a pattern, the style sheet sets the colour."""
        return f"url(#{self.pattern})" if self.pattern else ""


class Column(NamedTuple):
    """A column: a short label, the name for the table, and a count per series."""

    label: str
    name: str
    counts: Mapping[str, Count]

    @property
    def total(self) -> Count:
        """The sum of the counts."""
        return sum(self.counts.values(), Count(0))


def draw_chart(
    columns: Sequence[Column], series: Mapping[str, Series]
) -> dict[str, Any]:
    """Return the chart: sizes, columns with their bars, and the series.

    In a right-to-left language, the first column is on the right.
    """
    step = WIDTH / len(columns)
    height = HEIGHT - _TOP - _BOTTOM - _MIN_BAR * len(series)
    most = max(column.total.number for column in columns) or 1
    drawn = []
    for number, column in enumerate(columns):
        place = len(columns) - 1 - number if get_language_bidi() else number
        left = place * step + _GAP / 2
        base = float(HEIGHT - _BOTTOM)
        bars = []
        for name, each_series in series.items():
            if amount := column.counts[name].number:
                bar_height = max(_MIN_BAR, amount / most * height)
                base -= bar_height
                bars.append(
                    {
                        "fill": each_series.fill,
                        "x": _number(left),
                        "y": _number(base),
                        "width": _number(step - _GAP),
                        "height": _number(bar_height),
                    }
                )
        drawn.append(
            {
                "label": column.label,
                "name": column.name,
                "total": column.total,
                "counts": [column.counts[name] for name in series],
                "bars": bars,
                "middle": _number(left + (step - _GAP) / 2),
                "top": _number(base - 6),
            }
        )
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "base": HEIGHT - _BOTTOM,
        "label_at": HEIGHT - 8,
        "columns": drawn,
        "series": list(series.values()),
    }


def _number(size: float) -> str:
    # Not localized: SVG does not accept a decimal comma.
    return f"{size:.1f}"
