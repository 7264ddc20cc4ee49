"""The table of faults is that of the tests."""

from __future__ import annotations

from .faults import TABLE, find_rows, table


def test_the_table_is_up_to_date() -> None:
    """``python -m tests.project.faults`` writes it again."""
    assert TABLE.read_text("utf-8") == table()


def test_every_row_says_what_its_test_shows() -> None:
    """A name alone does not say it."""
    rows = list(find_rows())
    assert rows
    assert all(row.shows for row in rows)
