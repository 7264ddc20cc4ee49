"""What a request keeps of the certificate and the secret, and what a copy has."""

from __future__ import annotations

import pickle
from copy import copy
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.test import AsyncRequestFactory

from django_clientcert.decorators import client_cert_required
from django_clientcert.middleware import ClientCertMiddleware
from django_clientcert.models import CertificateMapping
from django_clientcert.requests import get_state
from django_clientcert.testing import IssuedCertificate, proxy_headers, proxy_meta

SECRET = "fourteen letters and more"


def after(request: Any) -> Any:
    """Return *request* as a view gets it."""
    ClientCertMiddleware(lambda request: HttpResponse())(request)
    return request


@pytest.fixture
def secret(settings: Any) -> None:
    """A secret in a header whose name hides nothing from error mails."""
    settings.CLIENTCERT_PROXY_SECRET = ("X-Hop", SECRET)


@pytest.mark.parametrize("given", [SECRET, "wrong"])
def test_a17_the_secret_is_gone_once_it_was_compared(
    rf: Any, alice_cert: IssuedCertificate, mapping: Any, secret: None, given: str
) -> None:
    """Error mails and debug pages print META; views need it for nothing."""
    request = rf.get("/", HTTP_X_HOP=given, **proxy_meta(alice_cert.der))
    assert "X-Hop" in request.headers  # computed, and kept by Django
    after(request)
    assert "HTTP_X_HOP" not in request.META
    assert "X-Hop" not in request.headers
    assert request.client_cert_decision.accepted is (given == SECRET)


def test_a17_the_secret_without_a_certificate(rf: Any, secret: None) -> None:
    """The proxy sends it with every request."""
    assert "HTTP_X_HOP" not in after(rf.get("/", HTTP_X_HOP=SECRET)).META


def test_a17_the_secret_leaves_the_scope_of_asgi(secret: None) -> None:
    """Frameworks read the header lines there."""
    request = AsyncRequestFactory().get("/", headers={"X-Hop": SECRET})
    before = request.scope

    async def view(request: Any) -> HttpResponse:
        return HttpResponse()

    async_to_sync(ClientCertMiddleware(view))(request)  # type: ignore[arg-type]
    assert not [name for name, _ in request.scope["headers"] if b"hop" in name.lower()]
    assert [name for name, _ in before["headers"] if b"hop" in name.lower()]


def test_a18_a_lone_surrogate_in_the_secret_is_a_refusal(
    rf: Any, alice_cert: IssuedCertificate, mapping: Any, secret: None
) -> None:
    """No server sends one, but tests and other middleware may."""
    request = rf.get("/", **proxy_meta(alice_cert.der))
    request.META["HTTP_X_HOP"] = "\ud800"
    assert after(request).client_cert_decision.reason == "bad_proxy_secret"


@pytest.mark.parametrize("given", [SECRET, "wrong"])
def test_a18_the_middleware_twice_decides_once(
    rf: Any, alice_cert: IssuedCertificate, mapping: Any, secret: None, given: str
) -> None:
    """The inner one sees neither the secret nor the headers that were refused."""
    request = rf.get("/", HTTP_X_HOP=given, **proxy_meta(alice_cert.der))
    inner = ClientCertMiddleware(lambda request: HttpResponse())
    ClientCertMiddleware(inner)(request)  # type: ignore[arg-type]
    wanted = None if given == SECRET else "bad_proxy_secret"
    assert request.client_cert_decision.reason == wanted


def test_a18_l11_a_request_is_pickled_as_the_original(
    rf: Any, alice_cert: IssuedCertificate, mapping: Any
) -> None:
    """With its user, as a request of Django's own; without certificate and decision."""
    request = after(rf.get("/", **proxy_meta(alice_cert.der)))
    for asked in (False, True):
        if asked:
            assert request.client_cert_decision.accepted
        again = pickle.loads(pickle.dumps(request))  # noqa: S301 - our own
        assert type(again) is WSGIRequest
        assert again.user.get_username() == "alice"
        assert async_to_sync(again.auser)().get_username() == "alice"
        assert get_state(again) is None
        with pytest.raises(ImproperlyConfigured):
            client_cert_required(lambda request: HttpResponse())(again)
        assert type(request) is not WSGIRequest


def test_a18_l11_a_request_without_a_certificate(rf: Any) -> None:
    """It has no user of ours."""
    again = pickle.loads(pickle.dumps(after(rf.get("/"))))  # noqa: S301 - our own
    assert type(again) is WSGIRequest
    assert not hasattr(again, "auser")


def test_a18_l11_a_request_of_asgi(
    alice_cert: IssuedCertificate, mapping: Any, db: None
) -> None:
    """As that of WSGI."""
    headers = {**proxy_headers(alice_cert.der), "X-Forwarded-Proto": "https"}
    request = after(AsyncRequestFactory().get("/", headers=headers))
    request.__dict__.pop("_read_started", None)
    assert type(pickle.loads(pickle.dumps(request))) is ASGIRequest  # noqa: S301


def test_a18_l11_certificate_and_decision_are_pickled(
    rf: Any, alice_cert: IssuedCertificate, mapping: CertificateMapping
) -> None:
    """A task queue or a cache may hold them."""
    request = after(rf.get("/", **proxy_meta(alice_cert.der)))
    assert request.client_cert.subject  # kept in the object, and not pickled
    decision = request.client_cert_decision
    again = pickle.loads(pickle.dumps(decision))  # noqa: S301 - our own
    assert again == decision
    assert again.certificate == request.client_cert
    assert (again.mapping, again.user) == (mapping, mapping.user)


def test_a18_l11_a_shallow_copy_has_the_same_decision(
    rf: Any, alice_cert: IssuedCertificate, mapping: Any
) -> None:
    """Frameworks copy requests; a copy is not pickled."""
    request = after(rf.get("/", **proxy_meta(alice_cert.der)))
    shallow = copy(request)
    assert type(shallow) is type(request)
    assert shallow.client_cert_decision is request.client_cert_decision
    assert shallow.META is request.META
