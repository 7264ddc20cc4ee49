"""Records written as JSON or CSV, in pieces."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator

from .records import MAPPING_FIELDS, Record

# What a spreadsheet takes for a formula, after any apostrophes; the reader removes one
# apostrophe again.
FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
JSON_HEAD = '{"format": "django-clientcert", "version": 1, "records": ['


def write_json(records: Iterable[Record]) -> Iterator[str]:
    """Yield one JSON object, with one record per line."""
    yield JSON_HEAD
    separator = "\n"
    for record in records:
        yield separator + json.dumps(record)
        separator = ",\n"
    yield "\n]}\n"


def write_csv(records: Iterable[Record]) -> Iterator[str]:
    """Yield the mappings among *records* as CSV, of which a spreadsheet runs nothing.

    Every cell is quoted: some spreadsheets split a line at semicolons or tabs too.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    writer.writerow(MAPPING_FIELDS)
    for record in records:
        writer.writerow([_guard(record[name] or "") for name in MAPPING_FIELDS])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _guard(cell: str) -> str:
    return f"'{cell}" if FORMULA.match(cell) else cell
