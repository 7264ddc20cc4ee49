"""Debian's Chromium, driven by Playwright: with a client certificate, or without."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .site import Site

# The widths of a desk and of a telephone, in CSS pixels
WIDE, NARROW = 1200, 400

# How a screen is looked at
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark-narrow": {
        "color_scheme": "dark",
        "viewport": {"width": NARROW, "height": 800},
    },
    "right-to-left": {"locale": "he"},
    "right-to-left-narrow": {
        "locale": "he",
        "viewport": {"width": NARROW, "height": 800},
    },
}


@contextmanager
def start_browser() -> Iterator[Any]:
    """Yield a browser without a window.

    While it runs, this thread has an event loop, and Django's synchronous ORM refuses
    to work in it.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@contextmanager
def open_window(
    browser: Any, site: Site, client: str | None = None, **options: Any
) -> Iterator[Any]:
    """Yield a page in a window of its own, with the certificate of *client*."""
    if client is not None:
        issued = site.clients[client]
        options["client_certificates"] = [
            {
                "origin": site.url,
                "cert": issued.pem.encode(),
                "key": issued.key_pem.encode(),
            }
        ]
    context = browser.new_context(
        base_url=site.url,
        ignore_https_errors=True,
        **{"viewport": {"width": WIDE, "height": 900}, **options},
    )
    page = context.new_page()
    page.set_default_timeout(15_000)
    yield page
    context.close()
