"""The site, and the browser in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from .chromium import open_window, start_browser
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


@pytest.fixture
def window(browser: Any, site: Site) -> Iterator[Callable[..., Any]]:
    """Open windows, and close them at the end; what they complain of is an error."""
    complaints: list[str] = []
    with ExitStack() as stack:

        def open_one(client: str | None = None, **options: Any) -> Any:
            page = stack.enter_context(open_window(browser, site, client, **options))
            page.on("console", note)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            return page

        def note(message: Any) -> None:
            # Tests send certificates that are refused; browsers ask for an icon.
            is_wanted = "status of 403" in message.text or message.location.get(
                "url", ""
            ).endswith("/favicon.ico")
            if message.type == "error" and not is_wanted:
                complaints.append(f"{message.text} ({message.location})")

        yield open_one
    assert not complaints
