"""A Chromium whose people have client certificates, and what it complains of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from .looks import HEIGHT, LIGHT, Look
from .site import Site

# Longer than any page needs; on a machine that does much else, a page takes seconds.
PATIENCE = 30_000


class Visitors:
    """People at one browser, each with a certificate; used in one thread only."""

    def __init__(self, site: Site, browser: Browser) -> None:
        self.site = site
        self._browser = browser
        # A process of the browser for each new page would take most of the time.
        self._pages: dict[tuple[str | None, str], tuple[Page, list[Any]]] = {}

    @contextmanager
    def open(
        self, person: str | None, look: Look = LIGHT, expected: tuple[int, ...] = ()
    ) -> Iterator[Page]:
        """Yield the page of *person*; None has no certificate.

        What the browser complains of is an error: a script that fails, a file that is
        missing, whatever the Content-Security-Policy forbids. Only answers with a
        status of *expected* are none.

        Raises:
            AssertionError: at the end, with the complaints.
        """
        key = (person, look.language)
        if key not in self._pages:
            page = self._new_context(person, look.language).new_page()
            page.set_default_timeout(PATIENCE)
            self._pages[key] = page, listen_to(page)
        page, complaints = self._pages[key]
        complaints.clear()
        dress(page, look)
        yield page
        allowed = tuple(f"the server responded with a status of {n} " for n in expected)
        wrong = [one for one in complaints if not any(text in one for text in allowed)]
        if wrong:
            raise AssertionError("\n".join(wrong))

    def _new_context(self, person: str | None, language: str) -> BrowserContext:
        # Without one, there is no entry for this site. TLS still is Playwright's, which
        # trusts the CA of the site, as the browser does not.
        origin = self.site.url if person else "https://elsewhere.invalid"
        files = self.site.folder / (person or "sam")
        return self._browser.new_context(
            client_certificates=[
                {
                    "origin": origin,
                    "certPath": files.with_suffix(".crt"),
                    "keyPath": files.with_suffix(".key"),
                }
            ],
            locale=language,
            timezone_id="UTC",
            reduced_motion="reduce",
        )


def dress(page: Page, look: Look) -> None:
    """Give *page* the width and the colours of *look*; the language stays."""
    page.set_viewport_size({"width": look.width, "height": HEIGHT})
    page.emulate_media(color_scheme=look.scheme)  # type: ignore[arg-type]
    # The admin lets colours change slowly.
    page.evaluate("document.getAnimations().forEach(one => one.finish())")


def listen_to(page: Page) -> list[str]:
    """Return a list that fills with what the browser complains of about *page*."""
    complaints: list[str] = []

    def note(message: Any) -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"{page.url}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
    return complaints


@contextmanager
def start_browser(site: Site, chromium: str) -> Iterator[Visitors]:
    """Yield visitors of *site*, until the block ends; *chromium* is the program.

    Nothing of Playwright's own is downloaded.
    """
    # Read by Playwright's process when it starts
    before = os.environ.get("NODE_EXTRA_CA_CERTS")
    os.environ["NODE_EXTRA_CA_CERTS"] = str(Path(site.folder) / "ca.crt")
    try:
        manager = sync_playwright()
        playwright = manager.__enter__()
    finally:
        if before is None:
            del os.environ["NODE_EXTRA_CA_CERTS"]
        else:
            os.environ["NODE_EXTRA_CA_CERTS"] = before
    try:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--disable-gpu"], timeout=2 * PATIENCE
        )
        try:
            yield Visitors(site, browser)
        finally:
            browser.close()
    finally:
        manager.__exit__(None, None, None)
