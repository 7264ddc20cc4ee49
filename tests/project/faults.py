"""The table of faults that were found, each with the tests that hold it.

``python -m tests.project.faults`` writes ``tests/FAULTS.md`` from the names and
docstrings of the tests. A test carries the ids of the faults that it guards against in
its name: ``test_l03_…``, ``test_a12_l12_…``. The ids of the trial as a new user begin
with N, as do those of threats, so their tests are called ``test_first_use_n07_…``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parents[1]
TABLE = TESTS / "FAULTS.md"
_NAME = re.compile(r"test_((?:(?:[adlpr]\d\d|first_use_n\d\d)_)+)")
_HEAD = """\
# Faults, and the tests that hold them

What went wrong in trials of December 2026, by id: A security review, D real
certificates, L load and concurrency, N first use, P newer platforms, R public reports.
`python -m tests.project.faults` writes this table from the tests' names and docstrings.

| Fault | Test | What it shows |
|---|---|---|
"""


class Row(NamedTuple):
    """A fault, a test that guards against it, and what the test shows."""

    fault: str
    test: str
    shows: str


def find_rows() -> Iterator[Row]:
    """Yield a row for each id in the name of each test."""
    for file in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            if (match := _NAME.match(node.name)) is None:
                continue
            shows = (ast.get_docstring(node) or "").partition("\n")[0]
            test = f"{file.relative_to(TESTS.parent).as_posix()}::{node.name}"
            for fault in re.findall(r"[adlnpr]\d\d", match[1]):
                yield Row(fault.upper(), test, shows.replace("|", "\\|"))


def table() -> str:
    """Return the text of the table, sorted by fault."""
    rows = sorted(find_rows())
    return _HEAD + "".join(
        f"| {row.fault} | `{row.test}` | {row.shows} |\n" for row in rows
    )


if __name__ == "__main__":
    TABLE.write_text(table(), "utf-8")
