"""The site, and the browser in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from .chromium import LOOKS, open_window, start_browser
from .site import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that a module's tests have for themselves."""
    with Site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser; not for longer than a module, as no query can be made beside it."""
    with start_browser() as running:
        yield running


class Windows:
    """Opens windows; ``complaints`` is what their consoles say of errors."""

    def __init__(self, browser: Any, site: Site, stack: ExitStack) -> None:
        self.complaints: list[str] = []
        self._opening = browser, site
        self._stack = stack

    def __call__(self, client: str | None = None, **options: Any) -> Any:
        """Return a page in a window of its own, with the certificate of *client*."""
        page = self._stack.enter_context(open_window(*self._opening, client, **options))
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def _note(self, message: Any) -> None:
        # Tests send certificates that are refused; browsers ask for an icon.
        is_icon = message.location.get("url", "").endswith("/favicon.ico")
        is_wanted = "status of 403" in message.text or is_icon
        if message.type == "error" and not is_wanted:
            self.complaints.append(f"{message.text} ({message.location})")


@pytest.fixture
def window(browser: Any, site: Site) -> Iterator[Windows]:
    """Open windows, and close them at the end; what they complain of is an error."""
    with ExitStack() as stack:
        windows = Windows(browser, site, stack)
        yield windows
    assert not windows.complaints


@pytest.fixture(scope="module")
def look_at(browser: Any, site: Site) -> Iterator[Callable[[str], Any]]:
    """Return an administrator's window that looks as it is called, once for all."""
    pages: dict[str, Any] = {}
    with ExitStack() as stack:
        windows = Windows(browser, site, stack)

        def look(name: str) -> Any:
            if name not in pages:
                pages[name] = windows("anna", **LOOKS[name])
            windows.complaints.clear()
            return pages[name], windows.complaints

        yield look
