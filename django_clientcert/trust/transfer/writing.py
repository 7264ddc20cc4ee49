"""Records as text, piece by piece."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator

from .records import MAPPING_FIELDS, Record

# What a spreadsheet takes for a formula, behind any apostrophes; the reader takes one
# apostrophe away again.
FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
JSON_HEAD = '{"format": "django-clientcert", "version": 1, "records": ['


def write_json(records: Iterable[Record]) -> Iterator[str]:
    """Yield one JSON object, a record a line."""
    yield JSON_HEAD
    separator = "\n"
    for record in records:
        yield separator + json.dumps(record)
        separator = ",\n"
    yield "\n]}\n"


def write_csv(records: Iterable[Record]) -> Iterator[str]:
    """Yield the mappings among *records* as CSV, which no spreadsheet runs."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(MAPPING_FIELDS)
    for record in records:
        writer.writerow([_guard(record[name] or "") for name in MAPPING_FIELDS])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _guard(cell: str) -> str:
    return f"'{cell}" if FORMULA.match(cell) else cell
