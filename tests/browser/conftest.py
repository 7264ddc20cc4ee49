"""One site and one browser for the session; the tests run in the browser's thread.

Playwright's loop runs as long as its browser does. In the thread of the other tests,
Django would take their queries for calls from a coroutine.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.plugins.required_programs import find_program

if TYPE_CHECKING:
    from .visiting import Visitors


@pytest.fixture(scope="session")
def thread() -> Iterator[ThreadPoolExecutor]:
    """The browser's thread."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="browser") as executor:
        yield executor


@pytest.fixture(scope="session")
def visitors(
    tmp_path_factory: pytest.TempPathFactory, thread: ThreadPoolExecutor
) -> Iterator[Visitors]:
    """People with certificates in front of one browser."""
    from .site import Site
    from .visiting import start_browser

    chromium = find_program("chromium")
    assert chromium is not None
    with ExitStack() as stack:
        site = stack.enter_context(Site(tmp_path_factory.mktemp("browser")))
        browser = start_browser(site, chromium)
        yield thread.submit(browser.__enter__).result()
        thread.submit(browser.__exit__, None, None, None).result()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that uses the browser in the browser's thread."""
    if "visitors" not in pyfuncitem.fixturenames:
        return None
    executor: ThreadPoolExecutor = pyfuncitem.funcargs["thread"]
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    executor.submit(pyfuncitem.obj, **arguments).result()
    return True
