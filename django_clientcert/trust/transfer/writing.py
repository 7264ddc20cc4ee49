"""Records written as JSON or CSV, in pieces."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .records import MAPPING_FIELDS, Record

# Where a spreadsheet would see a formula: at the beginning of a cell, or after what it
# may split a line at. The writer puts an apostrophe there, and the reader removes it.
_BEGINNING = r"(?:^|(?<=[;\t\r\n]))"
_FORMULA = r"(?=[\s'\"]*[=+\-@\t\r\n])"
_TO_GUARD = re.compile(_BEGINNING + _FORMULA)
_GUARDED = re.compile(f"{_BEGINNING}'{_FORMULA}")
JSON_HEAD = '{"format": "django-clientcert", "version": 1, "records": ['


def write_json(records: Iterable[Record]) -> Iterator[str]:
    """Yield one JSON object, with one record per line."""
    yield JSON_HEAD
    separator = "\n"
    for record in records:
        yield separator + json.dumps(record)
        separator = ",\n"
    yield "\n]}\n"


class _Echo:
    """A file that returns what is written, so that ``writerow()`` does."""

    def write(self, text: str) -> str:
        return text


def write_csv(records: Iterable[Record]) -> Iterator[str]:
    """Yield the mappings *records* as CSV, see ``write_table()``.

    Every cell is quoted, which keeps most spreadsheets from splitting it.
    """
    return write_table(MAPPING_FIELDS, records, quoting=csv.QUOTE_ALL)


def write_table(
    columns: Sequence[str], rows: Iterable[Record], **dialect: Any
) -> Iterator[str]:
    """Yield the *columns* of *rows* as CSV, of which a spreadsheet runs nothing."""
    writer = csv.writer(_Echo(), **dialect)
    yield writer.writerow(columns)
    for row in rows:
        values = ("" if row[name] is None else str(row[name]) for name in columns)
        yield writer.writerow(map(guard, values))


def guard(cell: str) -> str:
    """Return *cell* so that no spreadsheet takes it, or a part of it, for a formula."""
    return _TO_GUARD.sub("'", cell)


def unguard(cell: str) -> str:
    """Return the cell that ``guard()`` was given."""
    return _GUARDED.sub("", cell)
