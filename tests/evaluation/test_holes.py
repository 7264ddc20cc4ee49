"""Holes that reviewers found, each with the request that went through it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.views import View
from django.views.decorators.cache import cache_page

from django_clientcert.backends import find_backend
from django_clientcert.decorators import client_cert_required
from django_clientcert.evaluation.presented import read_request
from django_clientcert.exceptions import CertificateParseError, PathError, Refusal
from django_clientcert.mixins import ClientCertRequiredMixin
from django_clientcert.requests import attach, get_state
from django_clientcert.testing import ThrowawayCA, proxy_meta
from django_clientcert.x509.bundles import sort_bundle
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.paths import PathValidator
from tests.conftest import Asgi

NOW = dt.datetime.now(dt.timezone.utc)


def read(certificate: Any) -> ClientCertificate:
    """Return a certificate as a client presents it."""
    return ClientCertificate(certificate.der)


def validator(*cas: ThrowawayCA) -> PathValidator:
    """Return the validator of a bundle."""
    trust = sort_bundle([read(one) for one in cas])
    return PathValidator(trust.anchors, trust.intermediates)


def test_n12_a_key_that_cannot_sign_is_not_loaded(
    ask: Any, alice_cert: Any, authority: Any, alice: Any
) -> None:
    """To load Diffie-Hellman parameters may cost many seconds."""
    from django_clientcert.models import CertificateMapping

    elliptic, finite = "06072a8648ce3d0201", "06072a8648ce3e0201"
    der = alice_cert.der.replace(bytes.fromhex(elliptic), bytes.fromhex(finite))
    assert der != alice_cert.der
    with pytest.raises(
        CertificateParseError, match="not supported: TLS clients do not sign with"
    ):
        _ = ClientCertificate(der).public_key
    CertificateMapping.objects.create(
        user=alice, kind="subject", value="CN=alice", authority=authority
    )
    assert ask("/open/", der).json()["reason"] == "malformed_certificate"


def test_the_lighter_check_keeps_path_lengths() -> None:
    """A CA below one that may have none is no issuer, whatever the proxy found."""
    root = ThrowawayCA.create("Root")
    last = root.issue_ca("Last", path_length=0)
    below = last.issue_ca("Below")
    known = validator(root, last, below)
    assert known.find_issuer(read(last.issue("x")), NOW)
    with pytest.raises(Refusal) as caught:
        known.find_issuer(read(below.issue("x")), NOW)
    assert caught.value.reason == "untrusted_issuer"


def test_the_lighter_check_keeps_a_cas_purpose() -> None:
    """A CA for servers only vouches for no client."""
    root = ThrowawayCA.create("Root")
    for usage, accepted in (
        (x509.ExtendedKeyUsageOID.SERVER_AUTH, False),
        (x509.ExtendedKeyUsageOID.CLIENT_AUTH, True),
        (x509.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, True),
    ):
        issuing = root.issue_ca(
            "Issuing", extensions=[(x509.ExtendedKeyUsage([usage]), False)]
        )
        known = validator(root, issuing)
        if accepted:
            assert known.find_issuer(read(issuing.issue("x")), NOW)
        else:
            with pytest.raises(Refusal):
                known.find_issuer(read(issuing.issue("x")), NOW)


def test_the_lighter_check_keeps_name_constraints() -> None:
    """The proxy may have found a path through a CA without them."""
    root = ThrowawayCA.create("Root")
    limited = root.issue_ca(
        "Partner",
        extensions=[
            (x509.NameConstraints([x509.RFC822Name("mallory.example")], None), True)
        ],
    )
    known = validator(root, limited)
    inside = limited.issue("x", emails=["x@mallory.example"])
    outside = limited.issue("x", emails=["zoe@example.com"])
    assert known.find_issuer(read(inside), NOW)
    with pytest.raises(Refusal) as caught:
        known.find_issuer(read(outside), NOW)
    assert caught.value.reason == "invalid_path"


def test_n05_a_sharp_s_is_another_spelling(alice_cert: Any, mapping: Any) -> None:
    """Django makes SS of it, in upper case."""
    line = ("\xdfl-client-cert".encode("latin-1"), b"x")
    for der in (None, alice_cert.der):
        answer = Asgi()("/open/", der, lines=[line]).json()
        assert (answer["user"], answer["reason"]) == ("", "ambiguous_header")


def test_a_peer_that_is_no_text_is_nobody(rf: Any) -> None:
    """Whatever a server puts there."""
    request = rf.get("/")
    request.META["REMOTE_ADDR"] = b"10.1.2.3"
    assert read_request(request).peer is None


@cache_page(60)
@client_cert_required
def cached_outside(request: HttpRequest) -> HttpResponse:
    """A page kept by a decorator in front of ours."""
    return HttpResponse(request.user.get_username())


@client_cert_required
@cache_page(60)
def cached_inside(request: HttpRequest) -> HttpResponse:
    """A page kept by a decorator behind ours."""
    return HttpResponse(request.user.get_username())


@cache_page(60)
def cached_public(request: HttpRequest) -> HttpResponse:
    """A page that looks at nobody."""
    return HttpResponse(str(next(counter)))


counter = iter(range(100))


def answer(rf: Any, view: Any, certificate: Any = None) -> bytes:
    """Return what *view* says to a client."""
    meta = proxy_meta(certificate.der) if certificate else {}
    request = rf.get("/", secure=True, **meta)
    attach(request, find_backend())
    response = view(request)
    return bytes(response.content)


@pytest.mark.parametrize("view", [cached_outside, cached_inside])
def test_n63_cache_page_keeps_nothing_of_a_certificate(
    rf: Any,
    view: Any,
    alice: Any,
    bob: Any,
    alice_cert: Any,
    mallory_cert: Any,
    mapping: Any,
) -> None:
    """The next client gets its own page, or none."""
    from django.core.exceptions import PermissionDenied

    from django_clientcert.models import CertificateMapping

    CertificateMapping.objects.create(
        user=bob, kind="fingerprint", value=mallory_cert.fingerprint
    )
    cache.clear()
    assert answer(rf, view, alice_cert) == b"alice"
    assert answer(rf, view, mallory_cert) == b"bob"
    with pytest.raises(PermissionDenied):
        answer(rf, view)


def test_cache_page_keeps_what_looks_at_nobody(rf: Any, alice_cert: Any) -> None:
    """A public page is cached as ever."""
    cache.clear()
    assert answer(rf, cached_public) == answer(rf, cached_public, alice_cert)


def test_the_state_is_found_through_a_wrapped_request(rf: Any) -> None:
    """Django REST framework hands its own request to a view."""

    class Wrapper:
        def __init__(self, request: HttpRequest) -> None:
            self._request = request

    request = rf.get("/")
    state = attach(request, find_backend())
    assert get_state(Wrapper(request)) is state  # type: ignore[arg-type]


def test_the_mixin_behind_the_view_is_refused() -> None:
    """It would do nothing there."""
    with pytest.raises(ImproperlyConfigured, match="first among the bases"):

        class _Open(View, ClientCertRequiredMixin):
            pass

    class _Own(ClientCertRequiredMixin, View):
        @classmethod
        def as_view(cls, *args: Any, **initkwargs: Any) -> Any:
            return super().as_view(*args, **initkwargs)

    assert _Own.as_view()


def test_django_sees_whether_it_was_asked_to_cache(rf: Any) -> None:
    """The cache middleware asks with hasattr()."""
    request = rf.get("/")
    attach(request, find_backend())
    assert not hasattr(request, "_cache_update_cache")
    request._cache_update_cache = True
    assert request._cache_update_cache is True


def test_constraints_that_cannot_be_read_are_never_ignored(ca: ThrowawayCA) -> None:
    """They may limit alternative names, so the path is refused."""
    from django_clientcert.x509.certificates import NAME_CONSTRAINTS
    from django_clientcert.x509.paths import _limits_alternative_names
    from tests import der_writer as w

    broken = w.certificate(
        ca, extensions=[*w.CA_EXTENSIONS, w.extension(NAME_CONSTRAINTS, b"\x30\x01")]
    )
    with pytest.raises(PathError, match="the name constraints of a CA"):
        _limits_alternative_names(ClientCertificate(broken))


def test_a_setting_that_raises_something_else_is_reported(settings: Any) -> None:
    """The check never raises, and does not repeat the value."""
    from django_clientcert.checks.configuration import check_settings_are_usable

    class Broken(list):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            raise RuntimeError("secret")

    settings.CLIENTCERT_TRUSTED_PROXIES = Broken(["x"])
    (message,) = check_settings_are_usable()
    assert "RuntimeError" in message.msg
    assert "secret" not in message.msg
