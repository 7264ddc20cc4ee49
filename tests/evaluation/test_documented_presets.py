"""Presets without a capture, from documentation, and hints at the right preset."""

from __future__ import annotations

from typing import Any

import pytest

from django_clientcert import requests
from django_clientcert.testing import IssuedCertificate, proxy_headers
from tests.conftest import Wsgi

pytestmark = pytest.mark.django_db


def user_of(ask: Wsgi, headers: dict[str, Any]) -> tuple[str, str | None]:
    """Return who comes in with these headers, or the reason."""
    seen = ask("/open/", headers=headers).json()
    return seen["user"], seen["reason"]


@pytest.mark.parametrize(
    ("preset", "header"),
    [
        ("cloudfront", "cloudfront-viewer-cert-pem"),
        ("openshift", "x-ssl-client-der"),
        ("azure-container-apps", "x-forwarded-client-cert"),
        ("cloud-foundry", "x-forwarded-client-cert"),
    ],
)
def test_r01_r02_r14_r29_documented_presets(
    ask: Wsgi,
    alice_cert: IssuedCertificate,
    mapping: Any,
    settings: Any,
    preset: str,
    header: str,
) -> None:
    """The value as the documentation has it, and nothing without the certificate."""
    settings.CLIENTCERT_PROXY = preset
    headers = proxy_headers(alice_cert.der, preset=preset)
    assert header in headers
    assert user_of(ask, headers) == ("alice", None)
    del headers[header]
    assert user_of(ask, headers) == ("", "no_certificate")


@pytest.mark.parametrize("present", ["0", "", None])
def test_r01_cloudfront_has_to_say_that_there_is_a_certificate(
    ask: Wsgi, alice_cert: IssuedCertificate, mapping: Any, settings: Any, present: Any
) -> None:
    """A certificate without that word is somebody else’s doing."""
    settings.CLIENTCERT_PROXY = "cloudfront"
    headers = proxy_headers(alice_cert.der, preset="cloudfront")
    headers["cloudfront-viewer-cert-present"] = present or ""
    if present is None:
        del headers["cloudfront-viewer-cert-present"]
    assert user_of(ask, headers) == ("", "proxy_verdict")


def test_r14_openshift_says_success_without_a_certificate(
    ask: Wsgi, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """So that is no sign of a wrong configuration."""
    settings.CLIENTCERT_PROXY = "openshift"
    assert user_of(ask, {"x-ssl-client-verify": "0"})[1] == "no_certificate"
    assert caplog.messages == []
    settings.CLIENTCERT_PROXY = "nginx"
    user_of(ask, {"x-ssl-client-verify": "SUCCESS"})
    assert "the proxy says SUCCESS but forwards no certificate" in caplog.messages[0]


@pytest.mark.parametrize("name", ["/C=DE/CN=Bob", "/SN=Curie/GN=Marie/CN=x"])
def test_r14_names_in_the_old_form_are_named(
    ask: Wsgi,
    alice_cert: IssuedCertificate,
    mapping: Any,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    """Honest certificates differ in it, so nobody is sent after an attacker."""
    settings.CLIENTCERT_PROXY = "nginx"
    headers = proxy_headers(alice_cert.der, preset="nginx")
    headers["x-ssl-client-s-dn"] = name
    assert user_of(ask, headers) == ("", "header_mismatch")
    assert "is in OpenSSL’s old form (/C=…/CN=…), which cannot be" in caplog.text


def test_r29_base64_under_the_header_of_envoy(
    ask: Wsgi,
    alice_cert: IssuedCertificate,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The message names the preset that reads it."""
    settings.CLIENTCERT_PROXY = "envoy"
    headers = proxy_headers(alice_cert.der, preset="cloud-foundry")
    assert user_of(ask, headers) == ("", "malformed_header")
    assert "CLIENTCERT_PROXY = “cloud-foundry”" in caplog.text


def test_first_use_n03_headers_of_another_preset_are_named(
    ask: Wsgi,
    alice_cert: IssuedCertificate,
    mapping: Any,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once in the log, because anyone may send them; they decide nothing."""
    monkeypatch.setattr(requests, "_told", set())
    settings.CLIENTCERT_PROXY = "ingress-nginx"
    headers = proxy_headers(alice_cert.der, preset="nginx")
    for _ in range(2):
        assert user_of(ask, headers) == ("", "no_certificate")
    (line,) = caplog.messages
    assert "there is no header ssl-client-cert, but there is x-ssl-client-cert" in line
    assert "(CLIENTCERT_PROXY = “nginx”)" in line
    settings.DEBUG = True
    page = ask("/ledger/", headers=headers)
    assert page.status_code == 403
    assert "x-ssl-client-cert (CLIENTCERT_PROXY = “nginx”)" in page.content.decode()
    settings.DEBUG = False
    page = ask("/ledger/", headers=headers)
    assert "x-ssl-client-cert" not in page.content.decode()


def test_first_use_n03_n12_a_missing_header_is_named(ask: Wsgi, settings: Any) -> None:
    """On the page that only DEBUG shows, in place of nothing."""
    settings.DEBUG = True
    text = ask("/ledger/").content.decode()
    assert "The request has no ssl-client-cert, where CLIENTCERT_PROXY" in text
    assert "runserver" in text


def test_first_use_n12_a_malformed_header_is_named(
    ask: Wsgi, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """With what to forward instead."""
    value = "-----BEGIN CERTIFICATE----- x"
    headers = {"ssl-client-cert": value, "ssl-client-verify": "SUCCESS"}
    assert user_of(ask, headers) == ("", "malformed_header")
    assert "ssl-client-cert: not URL-encoded (with nginx, forward $ssl_" in caplog.text


def test_r30_haproxy_with_the_verdict_in_words(
    ask: Wsgi, alice_cert: IssuedCertificate, mapping: Any, settings: Any
) -> None:
    """As its page says; quotation marks are another word."""
    settings.CLIENTCERT_PROXY = {"preset": "haproxy", "success": "X509_V_OK"}
    headers = proxy_headers(alice_cert.der, preset="haproxy")
    headers["x-ssl-client-verify"] = "X509_V_OK"
    assert user_of(ask, headers) == ("alice", None)
    headers["x-ssl-client-verify"] = '"X509_V_OK"'
    assert user_of(ask, headers) == ("", "proxy_verdict")
