"""Every screen: accessible, without inline code, and as wide as the window."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin

from .chromium import LOOKS, NARROW, WIDE, open_window
from .screens import NO_SCREENS, list_screens
from .site import Site

MODELS = (
    "certificatemapping",
    "certificateauthority",
    "revocationlist",
    "revocation",
    "seencertificate",
    "unknowncertificate",
    "pendingimport",
)
# The addresses are completed when the site has its rows.
NAMES = [one.name for one in list_screens(dict.fromkeys(MODELS, 0))]


def test_no_screen_is_forgotten() -> None:
    """Each address of the app's admin is a screen, or is said to be none."""
    known = {one.url for one in list_screens(dict.fromkeys(MODELS, 0))}
    prefix = "django_clientcert_"
    names = {
        pattern.name.removeprefix(prefix)
        for model, screens in admin.site._registry.items()
        if model._meta.app_label == "django_clientcert"
        for pattern in screens.get_urls()
        if pattern.name
    }
    assert names == (known - {"app_list"}) | set(NO_SCREENS)
    assert not known & set(NO_SCREENS)


@cache
def axe() -> str:
    """Return the script that looks for what keeps people out."""
    import axe_playwright_python

    folder = Path(axe_playwright_python.__file__).parent
    return (folder / "axe.min.js").read_text("utf-8")


Violations = set[tuple[str, str]]


# Where a node is: in Django's breadcrumbs, or by the last part of its selector
FIND = """async () => {
    const found = await axe.run(document, {resultTypes: ["violations"]});
    const place = (target) => document.querySelector(target)?.closest(".breadcrumbs")
        ? ".breadcrumbs" : target.split(" > ").pop();
    return found.violations.flatMap((one) =>
        one.nodes.map((node) => [one.id, place(node.target[node.target.length - 1])]));
}"""


def violations(page: Any) -> Violations:
    """Return each rule that a page violates, and where."""
    page.evaluate(axe())
    return {(rule, place) for rule, place in page.evaluate(FIND)}


@pytest.fixture(scope="module")
def of_django(browser: Any, site: Site) -> Violations:
    """What Django's own screens of users and groups violate, as they come."""
    found: Violations = set()
    with open_window(browser, site, "anna") as page:
        for path in ("", "user/", "user/1/change/", "group/"):
            page.goto(f"/admin/auth/{path}")
            found |= violations(page)
    return found


@pytest.mark.needs_program("chromium", "nginx", "playwright")
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", NAMES)
def test_screen(
    site: Site,
    look_at: Callable[[str], Any],
    of_django: Violations,
    name: str,
    look: str,
) -> None:
    """No rule of axe is violated but by Django itself; nothing goes off sideways."""
    screen = next(one for one in list_screens(site.rows) if one.name == name)
    page, complaints = look_at(look)
    assert page.goto(screen.path).status == 200
    direction = page.locator("html").get_attribute("dir")
    from_right = look.startswith("right-to-left")
    if from_right:
        assert direction == "rtl"
        # What isolates dates is not shown as an escape.
        assert "\\u{20" not in page.content()
    else:
        assert direction == "ltr"
        if screen.act is not None:
            screen.act(page, site)
    width = page.evaluate("() => document.documentElement.scrollWidth")
    assert width <= (NARROW if "narrow" in look else WIDE)
    assert complaints == []
    if not from_right:
        # From right to left, the document is the same, and so are the violations.
        # It comes last, as axe sets styles itself, of which the policy complains.
        assert violations(page) - of_django == set()


_PAIRS_IN_ORDER = """() => [...document.querySelectorAll(".clientcert-copyable code")]
    .map(code => [...code.childNodes].filter(one => one.nodeType === Node.TEXT_NODE))
    .map(pairs => pairs.map(one => {
        const range = document.createRange();
        range.setStart(one, 0);
        range.setEnd(one, 2);
        return range.getBoundingClientRect();
    }))
    .map(places => places.every((one, n) => n === 0
        || one.top > places[n - 1].top + 1 || one.left > places[n - 1].left))"""


_TITLE_IS_COVERED = """() => {
    const title = document.createRange();
    title.selectNodeContents(document.querySelector("#content h1"));
    const covers = (one, other) => one.left < other.right && other.left < one.right
        && one.top < other.bottom && other.top < one.bottom;
    return [...document.querySelectorAll(".object-tools a")].some(button =>
        [...title.getClientRects()].some(line =>
            covers(button.getBoundingClientRect(), line)));
}"""


@pytest.mark.needs_program("chromium", "nginx")
@pytest.mark.parametrize("look", LOOKS)
def test_no_button_hides_the_title(
    look_at: Callable[[str], Any], site: Site, look: str
) -> None:
    """The list of the mappings has more buttons than Django’s own pages."""
    page, _complaints = look_at(look)
    page.goto("/admin/django_clientcert/certificatemapping/")
    assert page.locator(".object-tools a").count() == 5
    assert page.evaluate(_TITLE_IS_COVERED) is False


@pytest.mark.needs_program("chromium", "nginx")
def test_a_fingerprint_is_read_from_left_to_right(
    site: Site, look_at: Callable[[str], Any]
) -> None:
    """Where a page runs the other way too: people compare it by eye."""
    page, _complaints = look_at("right-to-left")
    key = site.rows["seencertificate"]
    page.goto(f"/admin/django_clientcert/seencertificate/{key}/change/")
    assert page.locator("html").get_attribute("dir") == "rtl"
    assert page.evaluate(_PAIRS_IN_ORDER) == [True, True, True]
