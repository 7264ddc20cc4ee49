"""A picture of numbers: columns of stacked bars, as data for an SVG.

No colour alone tells the sorts apart: each has a pattern too, and the numbers stand
in a table behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.utils.translation import get_language_bidi

from django_clientcert.admin.base.bounded import Count

WIDTH, HEIGHT = 780, 220
_TOP, _BOTTOM = 24, 28
_GAP = 12
# Of the smallest number that is not nothing
_MIN_BAR = 4


class Sort(NamedTuple):
    """What is counted: its name, and the id of the pattern that its bars have."""

    words: Any
    pattern: str = ""

    @property
    def fill(self) -> str:
        """The attribute of SVG; of no pattern, the style sheet has the colour."""
        return f"url(#{self.pattern})" if self.pattern else ""


class Column(NamedTuple):
    """One column: a short label, the name for the table, and a number for each sort."""

    label: str
    name: str
    counts: Mapping[str, Count]

    @property
    def total(self) -> Count:
        """Return the sum."""
        return sum(self.counts.values(), Count(0))


def draw(columns: Sequence[Column], sorts: Mapping[str, Sort]) -> dict[str, Any]:
    """Return the picture: sizes, columns with their bars, and the sorts’ names.

    From right to left where the language is written so.
    """
    step = WIDTH / len(columns)
    room = HEIGHT - _TOP - _BOTTOM
    most = max((one.total.number for one in columns), default=0) or 1
    drawn = []
    for number, column in enumerate(columns):
        place = len(columns) - 1 - number if get_language_bidi() else number
        left = place * step + _GAP / 2
        base = float(HEIGHT - _BOTTOM)
        bars = []
        for name, sort in sorts.items():
            amount = column.counts[name].number
            if not amount:
                continue
            height = max(_MIN_BAR, amount / most * (room - _MIN_BAR * len(sorts)))
            base -= height
            bars.append(
                {
                    "fill": sort.fill,
                    "x": _round(left),
                    "y": _round(base),
                    "width": _round(step - _GAP),
                    "height": _round(height),
                }
            )
        drawn.append(
            {
                "label": column.label,
                "name": column.name,
                "total": column.total,
                "counts": [column.counts[name] for name in sorts],
                "bars": bars,
                "middle": _round(left + (step - _GAP) / 2),
                "top": _round(base - 6),
            }
        )
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "base": HEIGHT - _BOTTOM,
        "label_at": HEIGHT - 8,
        "columns": drawn,
        "sorts": list(sorts.values()),
    }


def _round(size: float) -> str:
    # A localized number, with a comma, is no number of SVG.
    return f"{size:.1f}"
