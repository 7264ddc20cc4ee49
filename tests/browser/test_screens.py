"""Every screen: accessible, without inline code, and as wide as the window."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin

from .chromium import NARROW, WIDE
from .screens import NO_SCREENS, Screen, list_screens
from .site import Site

Window = Callable[..., Any]

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

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": NARROW, "height": 800}},
    "right-to-left": {"locale": "he"},
}


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


def violations(page: Any) -> list[tuple[str, str, list[Any]]]:
    """Return rule, help and places of what is wrong with a page."""
    page.evaluate(axe())
    found = page.evaluate("() => axe.run()")
    return [
        (one["id"], one["help"], [node["target"] for node in one["nodes"]])
        for one in found["violations"]
    ]


@pytest.mark.needs_program("chromium", "nginx")
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", NAMES)
def test_screen(site: Site, window: Window, name: str, look: str) -> None:
    """No violation of any rule of axe; nothing that has to be scrolled sideways."""
    screen = find_screen(site, name)
    page = window("anna", **LOOKS[look])
    assert page.goto(screen.path).status == 200
    if screen.act is not None and look != "right-to-left":
        screen.act(page, site)
    direction = page.locator("html").get_attribute("dir")
    assert direction == ("rtl" if look == "right-to-left" else "ltr")
    assert violations(page) == []
    width = page.evaluate("() => document.documentElement.scrollWidth")
    assert width <= (NARROW if look == "narrow" else WIDE), json.dumps(width)


def find_screen(site: Site, name: str) -> Screen:
    """Return a screen with the addresses of the site."""
    return next(one for one in list_screens(site.rows) if one.name == name)
