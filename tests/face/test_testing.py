"""The helpers for tests of others: what they do, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509

from django_clientcert.models import CertificateAuthority
from django_clientcert.testing import (
    IssuedCertificate,
    ThrowawayCA,
    TlsConnection,
    make_key,
    proxy_headers,
    proxy_meta,
)
from django_clientcert.wire import PRESETS
from tests.deciding import map_to


def test_an_unknown_kind_of_key() -> None:
    """It lists the known ones."""
    with pytest.raises(ValueError, match="no kind of key 'dsa'; use one of p256"):
        make_key("dsa")


def test_an_unknown_preset() -> None:
    """It lists the known ones."""
    with pytest.raises(ValueError, match="no preset 'nginks'; use one of"):
        proxy_headers(b"", preset="nginks")


def test_a_preset_without_headers() -> None:
    """What to use instead."""
    with pytest.raises(ValueError, match=r"has no headers; use proxy_meta\(\)"):
        proxy_headers(b"", preset="gunicorn")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_authenticates_the_mapped_user(
    preset: str, client: Any, mapping: Any, settings: Any, alice_cert: IssuedCertificate
) -> None:
    """From the helper through the middleware to the view."""
    settings.CLIENTCERT_PROXY = preset
    settings.CLIENTCERT_TRUSTED_PROXIES = ["127.0.0.1"]
    meta = proxy_meta(alice_cert.der, preset=preset)
    assert client.get("/ledger/", **meta).json()["user"] == "alice"


CHAINED = [name for name, proxy in PRESETS.items() if proxy.forwards_chains]


@pytest.mark.parametrize("preset", CHAINED)
def test_every_chain_leads_to_its_anchor(
    preset: str, client: Any, alice: Any, ca: ThrowawayCA, settings: Any
) -> None:
    """The intermediate is only in the request."""
    settings.CLIENTCERT_PROXY = preset
    settings.CLIENTCERT_TRUSTED_PROXIES = ["127.0.0.1"]
    issuing = ca.issue_ca("Issuing")
    leaf = issuing.issue("deep")
    authority = CertificateAuthority.objects.create(name="PKI", bundle=ca.pem)
    map_to(alice, "subject", "CN=deep", authority=authority)
    meta = proxy_meta(leaf.der, preset=preset)
    assert client.get("/ledger/", **meta).status_code == 403
    meta = proxy_meta(leaf.der, preset=preset, chain=[issuing.der, ca.der])
    assert client.get("/ledger/", **meta).json()["user"] == "alice"


@pytest.mark.parametrize("preset", PRESETS)
def test_n07_another_verdict(
    preset: str, client: Any, mapping: Any, settings: Any, alice_cert: IssuedCertificate
) -> None:
    """A word other than the proxy's is refused; some proxies have no verdict."""
    settings.CLIENTCERT_PROXY = preset
    settings.CLIENTCERT_TRUSTED_PROXIES = ["127.0.0.1"]
    meta = proxy_meta(alice_cert.der, preset=preset, verdict="perhaps")
    status = 200 if PRESETS[preset].verdict is None else 403
    assert client.get("/ledger/", **meta).status_code == status


def test_a_connection_has_its_certificate_as_der_only() -> None:
    """Like ssl for a certificate that was not verified."""
    assert TlsConnection(b"x").getpeercert() == {}
    assert TlsConnection(None).getpeercert(True) is None


def test_a_crl_with_an_extension() -> None:
    """An extension that a test adds is in the CRL."""
    name = x509.IssuerAlternativeName([x509.DNSName("ca.example")])
    der = ThrowawayCA.create().crl(extensions=[(name, False)])
    loaded = x509.load_der_x509_crl(der)
    assert loaded.extensions.get_extension_for_class(x509.IssuerAlternativeName)
