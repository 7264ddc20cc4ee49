"""Fixtures: a throw-away PKI, users, mappings, and requests through the proxy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import hypothesis
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.test import AsyncClient, Client
from django.test.client import FakePayload
from django.utils import translation

from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.recording import refusals as inbox
from django_clientcert.recording.writing import writer
from django_clientcert.testing import (
    IssuedCertificate,
    ThrowawayCA,
    headers_to_meta,
    proxy_headers,
)

# Shared machines are slow at times; what must be fast is tested for just that.
hypothesis.settings.register_profile(
    "shared machine", hypothesis.settings(), deadline=None
)
hypothesis.settings.load_profile("shared machine")

PROXY = "10.1.2.3"


@pytest.fixture(scope="session")
def ca() -> ThrowawayCA:
    """A root CA."""
    return ThrowawayCA.create("Test Root CA")


@pytest.fixture(scope="session")
def other_ca() -> ThrowawayCA:
    """Another root CA, of the same name and with another key."""
    return ThrowawayCA.create("Test Root CA")


@pytest.fixture(scope="session")
def alice_cert(ca: ThrowawayCA) -> IssuedCertificate:
    """Alice's certificate."""
    return ca.issue(
        "alice",
        emails=["alice@example.com"],
        upns=["alice@corp.example"],
        dns=["alice.example.com"],
        uris=["spiffe://example.com/alice"],
    )


@pytest.fixture(scope="session")
def mallory_cert(ca: ThrowawayCA) -> IssuedCertificate:
    """A certificate of the same CA that nobody has mapped."""
    return ca.issue("mallory", emails=["mallory@example.com"])


@pytest.fixture
def alice(db: None) -> Any:
    """A user."""
    return get_user_model().objects.create_user("alice", email="alice@example.com")


@pytest.fixture
def bob(db: None) -> Any:
    """Another user."""
    return get_user_model().objects.create_user("bob", email="bob@example.com")


@pytest.fixture
def authority(db: None, ca: ThrowawayCA) -> CertificateAuthority:
    """The root CA, in the database."""
    return CertificateAuthority.objects.create(name="Test CA", bundle=ca.pem)


@pytest.fixture
def mapping(alice: Any, alice_cert: IssuedCertificate) -> CertificateMapping:
    """Alice's fingerprint."""
    return CertificateMapping.objects.create(
        user=alice, kind="fingerprint", value=alice_cert.fingerprint
    )


class ClosedThrottle(inbox.Throttle):
    """Lets nothing be written."""

    def take(self) -> None:
        """Return that nothing is to be written."""


@pytest.fixture(autouse=True)
def own_language() -> Iterator[None]:
    """What a request has asked for does not outlive its test."""
    yield
    translation.deactivate()


@pytest.fixture(autouse=True)
def unpaused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no write that failed in another test hold up this one's."""
    monkeypatch.setattr(writer, "_paused_until", float("-inf"))


@pytest.fixture(autouse=True)
def closed_inbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test has a query more for the inbox; ``open_inbox`` is for those about it."""
    monkeypatch.setattr(inbox, "throttles", defaultdict(ClosedThrottle))


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def open_inbox(closed_inbox: None, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Refusals are written; the clock that decides how often."""
    clock = Clock()
    throttles = defaultdict(lambda: inbox.Throttle(clock))
    monkeypatch.setattr(inbox, "throttles", throttles)
    monkeypatch.setattr(writer, "_clock", clock)
    return clock


class Wsgi:
    """Sends requests as a WSGI server would hand them over."""

    name = "wsgi"

    def __init__(self) -> None:
        self.client = Client()

    def __call__(
        self,
        path: str = "/open/",
        der: bytes | None = None,
        *,
        verdict: str = "SUCCESS",
        headers: dict[str, str | None] | None = None,
        method: str = "GET",
        peer: str | None = PROXY,
        scheme: str = "https",
        host: str = "testserver",
        data: bytes = b"",
        meta: dict[str, Any] | None = None,
    ) -> Any:
        """Return the response to a request that the proxy forwards.

        *headers* replaces single headers of the proxy; None takes one away.
        """
        extra: dict[str, Any] = {
            "REMOTE_ADDR": peer,
            "wsgi.url_scheme": scheme,
            "HTTP_HOST": host,
            **headers_to_meta(merge_headers(der, verdict, headers)),
            **(meta or {}),
        }
        if peer is None:
            # Django's client puts one in; a server on a Unix socket does not.
            extra["REMOTE_ADDR"] = ""
        return self.client.generic(
            method, path, data, "application/x-www-form-urlencoded", **extra
        )


class Asgi(Wsgi):
    """The same, as an ASGI server would; async views where there is a twin."""

    name = "asgi"

    def __init__(self) -> None:
        self.client = AsyncClient()  # type: ignore[assignment]

    def __call__(
        self,
        path: str = "/open/",
        der: bytes | None = None,
        *,
        verdict: str = "SUCCESS",
        headers: dict[str, str | None] | None = None,
        method: str = "GET",
        peer: str | None = PROXY,
        scheme: str = "https",
        host: str = "testserver",
        data: bytes = b"",
        meta: dict[str, Any] | None = None,
        lines: Iterable[tuple[bytes, bytes]] = (),
    ) -> Any:
        """See Wsgi; *lines* are header lines as they stand on the wire."""
        if path in ASYNC_TWINS:
            path = "/a" + path.removeprefix("/")
        sent = merge_headers(der, verdict, headers)
        scope: dict[str, Any] = {
            "method": method,
            "path": path,
            "scheme": scheme,
            "server": (host, "443" if scheme == "https" else "80"),
            "client": [peer, 1234] if peer is not None else None,
            "query_string": "",
            "headers": [
                (b"host", host.encode()),
                *(
                    (name.encode("latin-1"), value.encode("latin-1"))
                    for name, value in sent.items()
                ),
                *lines,
            ],
        }
        if data:
            scope["_body_file"] = FakePayload(data)
            scope["headers"] += [
                (b"content-length", str(len(data)).encode()),
                (b"content-type", b"application/x-www-form-urlencoded"),
            ]
        # Run here, in this thread, so that the test's transaction is seen.
        return async_to_sync(self.client.request)(**scope)


ASYNC_TWINS = frozenset({"/open/", "/ledger/", "/partner/", "/class/"})


@pytest.fixture(params=[Wsgi, Asgi], ids=["wsgi", "asgi"])
def ask(request: pytest.FixtureRequest) -> Wsgi:
    """Send a request through the proxy: every test runs under WSGI and ASGI."""
    interface: Wsgi = request.param()
    return interface


def merge_headers(
    der: bytes | None, verdict: str, headers: dict[str, str | None] | None
) -> dict[str, str]:
    """Return the proxy's headers for *der*, changed as a test wants them."""
    sent: dict[str, str | None] = (
        {**proxy_headers(der, verdict=verdict)} if der is not None else {}
    )
    sent.update(headers or {})
    return {name: value for name, value in sent.items() if value is not None}
