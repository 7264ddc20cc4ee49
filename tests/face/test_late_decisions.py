"""Whatever is decided after the view has returned is recorded, and never shared."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncRequestFactory

from django_clientcert.middleware import ClientCertMiddleware
from django_clientcert.models import (
    CertificateMapping,
    SeenCertificate,
    UnknownCertificate,
)
from django_clientcert.testing import IssuedCertificate, proxy_meta
from django_clientcert.testing.forwarding import proxy_headers

# Closing a response closes the connections to the databases.
pytestmark = pytest.mark.django_db(transaction=True)


def stream(request: Any) -> StreamingHttpResponse:
    """Tell who is there, when the response is already being sent."""

    def content() -> Iterator[str]:
        yield request.user.get_username()

    return StreamingHttpResponse(content())


def ask_late(request: Any) -> HttpResponse:
    """Let something ask for the user while the response is closed."""
    response = HttpResponse()
    response._resource_closers.append(lambda: str(request.user))  # type: ignore[attr-defined]
    return response


def test_a12_l12_a_stream_is_private_and_its_use_is_recorded(
    rf: Any, alice_cert: IssuedCertificate, mapping: CertificateMapping
) -> None:
    """The generator runs after the middleware has returned."""
    request = rf.get("/", **proxy_meta(alice_cert.der))
    response: Any = ClientCertMiddleware(stream)(request)
    assert "private" in response["Cache-Control"]
    assert b"".join(response.streaming_content) == b"alice"
    response.close()
    mapping.refresh_from_db()
    assert mapping.last_used_at is not None
    assert SeenCertificate.objects.count() == 1


def test_a12_l12_a_refusal_in_a_stream_reaches_the_inbox(
    rf: Any, mallory_cert: IssuedCertificate, open_inbox: Any, db: None
) -> None:
    """As it would from a view."""
    request = rf.get("/", **proxy_meta(mallory_cert.der))
    response: Any = ClientCertMiddleware(stream)(request)
    assert b"".join(response.streaming_content) == b""
    response.close()
    assert UnknownCertificate.objects.count() == 1


def test_a12_l12_a_stream_without_a_certificate_may_be_cached(rf: Any) -> None:
    """It depends on nobody."""
    response: Any = ClientCertMiddleware(stream)(rf.get("/", secure=True))
    assert "Cache-Control" not in response


def test_a12_l12_an_asynchronous_stream(
    alice_cert: IssuedCertificate, mapping: CertificateMapping
) -> None:
    """Closing it happens in a thread, which may ask the database."""

    async def view(request: Any) -> StreamingHttpResponse:
        async def content() -> AsyncIterator[str]:
            yield (await request.auser()).get_username()

        return StreamingHttpResponse(content())

    async def run() -> list[bytes]:
        headers = {**proxy_headers(alice_cert.der), "X-Forwarded-Proto": "https"}
        request = AsyncRequestFactory().get("/", headers=headers, secure=True)
        response: Any = await ClientCertMiddleware(view)(request)  # type: ignore[misc]
        assert "private" in response["Cache-Control"]
        parts = [part async for part in response.streaming_content]
        from asgiref.sync import sync_to_async

        await sync_to_async(response.close)()
        return parts

    assert async_to_sync(run)() == [b"alice"]
    mapping.refresh_from_db()
    assert mapping.last_used_at is not None


def test_a12_l12_who_asks_after_the_response_is_recorded(
    rf: Any, alice_cert: IssuedCertificate, mapping: CertificateMapping
) -> None:
    """Nobody had asked before; the response itself shows nothing of it."""
    request = rf.get("/", **proxy_meta(alice_cert.der))
    response: Any = ClientCertMiddleware(ask_late)(request)
    assert "Cache-Control" not in response
    assert str(request.user) == "alice"
    response.close()
    mapping.refresh_from_db()
    assert mapping.last_used_at is not None
