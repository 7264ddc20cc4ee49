"""Without a mouse: what the app's own pages offer can be reached, and used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .screens import APP
from .site import Site

pytestmark = pytest.mark.needs_program("chromium", "nginx", "playwright")

MAX_STEPS = 120
FOCUSED = """() => {
    const one = document.activeElement;
    return [one.textContent || one.value || "", one.matches(":focus-visible")];
}"""


def tab_to(page: Any, wanted: str) -> None:
    """Press the tab key until what has the focus says *wanted*, and shows its focus."""
    for _ in range(MAX_STEPS):
        page.keyboard.press("Tab")
        text, is_visible = page.evaluate(FOCUSED)
        if text.strip() == wanted:
            assert is_visible
            return
    pytest.fail(f"{wanted!r} is not reached by the tab key")


@pytest.mark.parametrize(
    ("path", "wanted", "leads_to"),
    [
        ("unknowncertificate/{unknowncertificate}/change/", "Map to…", "/add/?unknown"),
        ("certificatemapping/", "Import", "/import/"),
        ("certificatemapping/timeline/", "Expiring within 7 days: 2", "?show=week"),
        (
            "certificatemapping/import/{pendingimport}/",
            "Refused: 1",
            "?status=refused",
        ),
        ("", "Expiry timeline", "/timeline/"),
    ],
)
def test_links(
    site: Site, window: Callable[..., Any], path: str, wanted: str, leads_to: str
) -> None:
    """Reached with Tab, followed with Enter."""
    page = window("anna")
    page.goto(APP + path.format(**site.rows))
    tab_to(page, wanted)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert leads_to in page.url


def test_export(window: Callable[..., Any]) -> None:
    """A choice with the arrow keys, and the button with the space bar."""
    page = window("anna")
    page.goto(f"{APP}certificatemapping/export/")
    tab_to(page, "csv")
    page.keyboard.press("ArrowDown")
    tab_to(page, "Download")
    with page.expect_download() as started:
        page.keyboard.press("Space")
    assert started.value.suggested_filename.endswith(".json")
