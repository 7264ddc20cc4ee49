"""Every screen, in every look: accessible, within its width, clean for the CSP."""

from __future__ import annotations

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from playwright.sync_api import Page

from .accessibility import COLOURS, STRUCTURE, find_violations
from .looks import LIGHT, NARROW_DARK, NARROW_RTL, Look
from .screens import APP, NO_SCREENS, SCREENS, SHOWN_BY, Screen
from .visiting import Visitors, dress

pytestmark = pytest.mark.needs_program("chromium", "nginx")

# What has no scroll bar of its own, and so would move the whole page sideways
_WIDER = """() => [...document.querySelectorAll(
    "html, body, #container, #main, .main > .content, #content, #content-main")
].filter(one => one.scrollWidth > one.clientWidth && one.clientWidth)
 .map(one => `${one.tagName}#${one.id}: ${one.scrollWidth} > ${one.clientWidth}`)"""


def test_no_screen_is_forgotten() -> None:
    """Each address of the app's admin has a screen in the list, or a reason."""
    names = {one.url_name for one in SCREENS}
    assert _names_of_addresses() == names | set(SHOWN_BY) | set(NO_SCREENS)
    assert not names & set(NO_SCREENS)
    assert set(SHOWN_BY.values()) <= {one.name for one in SCREENS}
    assert len({one.name for one in SCREENS}) == len(SCREENS)


def _names_of_addresses() -> set[str]:
    def walk(patterns: list[URLPattern | URLResolver]) -> set[str]:
        found: set[str] = set()
        for one in patterns:
            if isinstance(one, URLResolver):
                found |= walk(one.url_patterns)
            elif one.name and (one.name.startswith(f"{APP}_") or one.name == "app_list"):
                found.add(one.name)
        return found

    return walk(get_resolver("tests.browser.urls").url_patterns)


@pytest.mark.parametrize("screen", SCREENS, ids=lambda one: one.name)
def test_screen(screen: Screen, visitors: Visitors) -> None:
    """Zero violations, nothing wider than the page, and no complaint of the browser.

    Light, dark, narrow and from right to left, in as few pages as can be: what is asked
    of each is what differs.
    """
    wrong: list[str] = []

    def examine(page: Page, look: Look, *questions: str) -> None:
        dress(page, look)
        found = find_violations(page, *questions) + page.evaluate(_WIDER)
        wrong.extend(f"{look.name}: {one}" for one in found)

    with visitors.open(screen.person) as page:
        screen.show(page, visitors.site)
        examine(page, LIGHT, STRUCTURE, COLOURS)
        examine(page, NARROW_DARK, COLOURS)
    with visitors.open(screen.person, NARROW_RTL) as page:
        screen.show(page, visitors.site)
        assert page.evaluate("document.dir") == "rtl"
        examine(page, NARROW_RTL, STRUCTURE)
    assert not wrong, "\n".join(wrong)
