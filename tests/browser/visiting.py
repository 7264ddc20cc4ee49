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
_PATIENCE = 30_000


class Visitors:
    """People at one browser, each with a certificate; used in one thread only."""

    def __init__(self, site: Site, browser: Browser) -> None:
        self.site = site
        self._browser = browser
        self._contexts: dict[tuple[str | None, str], BrowserContext] = {}

    @contextmanager
    def open(
        self, person: str | None, look: Look = LIGHT, expected: tuple[int, ...] = ()
    ) -> Iterator[Page]:
        """Yield a new page of *person*; None has no certificate.

        What the browser complains of is an error: a script that fails, a file that is
        missing, whatever the Content-Security-Policy forbids. Only answers with a
        status of *expected* are none.

        Raises:
            AssertionError: at the end, with the complaints.
        """
        page = self._context(person, look.language).new_page()
        complaints = listen_to(page, expected)
        page.set_default_timeout(_PATIENCE)
        dress(page, look)
        try:
            yield page
            if complaints:
                raise AssertionError("\n".join(complaints))
        finally:
            page.close()

    def _context(self, person: str | None, language: str) -> BrowserContext:
        key = (person, language)
        if key not in self._contexts:
            # Without one, there is no entry for this site: TLS still is Playwright's,
            # which trusts the CA of the site, as the browser does not.
            origin = self.site.url if person else "https://elsewhere.invalid"
            files = self.site.folder / (person or "sam")
            self._contexts[key] = self._browser.new_context(
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
        return self._contexts[key]


def dress(page: Page, look: Look) -> None:
    """Give *page* the width and the colours of *look*; the language stays."""
    page.set_viewport_size({"width": look.width, "height": HEIGHT})
    page.emulate_media(color_scheme=look.scheme)  # type: ignore[arg-type]


def listen_to(page: Page, expected: tuple[int, ...] = ()) -> list[str]:
    """Return a list that fills with what the browser complains of about *page*."""
    complaints: list[str] = []
    allowed = [f"the server responded with a status of {one} " for one in expected]

    def note(message: Any) -> None:
        text = str(message.text)
        if message.type in ("error", "warning") and not any(
            one in text for one in allowed
        ):
            complaints.append(f"{page.url}: {text}")

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
            executable_path=chromium, timeout=2 * _PATIENCE
        )
        try:
            yield Visitors(site, browser)
        finally:
            browser.close()
    finally:
        manager.__exit__(None, None, None)
