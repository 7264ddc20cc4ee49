"""A compiled plan outlives the connection that it was compiled with."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from threading import Thread, current_thread, main_thread
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.core.signals import request_finished
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_clientcert.evaluation import shortcut
from django_clientcert.models import CertificateMapping
from django_clientcert.testing import IssuedCertificate
from tests.conftest import Wsgi, merge_headers

pytestmark = pytest.mark.django_db(transaction=True)

REQUESTS = 12


def count_wrappers() -> int:
    """Return how many connection wrappers are alive."""
    gc.collect()
    # The type, because isinstance() would evaluate lazy objects
    return sum(issubclass(type(each), BaseDatabaseWrapper) for each in gc.get_objects())


def hang_up(**kwargs: Any) -> None:
    """Close a connection to SQLite's database in memory: Django never does."""
    if connection.vendor != "sqlite" or current_thread() is main_thread():
        return
    if connection.connection is not None:
        connection.connection.close()


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Leave no connection to be closed by a later test."""
    request_finished.connect(hang_up)
    yield
    request_finished.disconnect(hang_up)


def ask_wsgi(der: bytes, results: list[int]) -> None:
    """Make one request on a connection of this thread's own."""
    try:
        results.append(Wsgi()("/ledger/", der).status_code)
    finally:
        connections.close_all()


def ask_asgi(der: bytes, results: list[int]) -> None:
    """Make one request as an ASGI server does: the connection ends with it."""
    headers = [
        (name.encode("ascii"), value.encode("latin-1"))
        for name, value in merge_headers(der, "SUCCESS", None).items()
    ]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/aledger/",
        "scheme": "https",
        "server": ("testserver", 443),
        "client": ["10.1.2.3", 1234],
        "query_string": b"",
        "headers": [(b"host", b"testserver"), *headers],
    }

    async def ask() -> None:
        application = ApplicationCommunicator(get_asgi_application(), scope)
        await application.send_input({"type": "http.request", "body": b""})
        start = await application.receive_output(10)
        results.append(start["status"])
        await application.receive_output(10)
        await application.wait(10)

    asyncio.run(ask())


def in_threads(
    ask: Callable[[bytes, list[int]], None], der: bytes, count: int
) -> list[int]:
    """Return the status of *count* requests, each in a new thread."""
    results: list[int] = []
    for _ in range(count):
        thread = Thread(target=ask, args=(der, results))
        thread.start()
        thread.join()
    return results


@pytest.mark.parametrize("ask", [ask_wsgi, ask_asgi], ids=["wsgi", "asgi"])
def test_l01_no_connection_outlives_its_requests(
    ask: Callable[[bytes, list[int]], None],
    mapping: CertificateMapping,
    alice_cert: IssuedCertificate,
) -> None:
    """A wrapper that is kept keeps its connection to the server, too."""
    in_threads(ask, alice_cert.der, 2)
    before = count_wrappers()
    assert in_threads(ask, alice_cert.der, REQUESTS) == [200] * REQUESTS
    # One may be on its way out: the thread that had it has only just ended.
    assert count_wrappers() <= before + 1


@pytest.mark.parametrize("ask", [ask_wsgi, ask_asgi], ids=["wsgi", "asgi"])
def test_l02_the_query_is_compiled_once_for_all_connections(
    ask: Callable[[bytes, list[int]], None],
    mapping: CertificateMapping,
    alice_cert: IssuedCertificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Compiling takes a hundred times as long as the query."""
    compiled: list[Any] = []
    compile_statement = shortcut._compile

    def count(*arguments: Any) -> Any:
        compiled.append(arguments)
        return compile_statement(*arguments)

    monkeypatch.setattr(shortcut, "_compile", count)
    shortcut._statements.clear()
    assert in_threads(ask, alice_cert.der, REQUESTS) == [200] * REQUESTS
    assert len(compiled) == 1
