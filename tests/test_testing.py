"""The helpers for tests of others: what they refuse."""

from __future__ import annotations

import pytest
from cryptography import x509

from django_clientcert.testing import ThrowawayCA, make_key, proxy_headers


def test_a_key_of_no_known_kind() -> None:
    """It names what was asked for."""
    with pytest.raises(ValueError, match="dsa"):
        make_key("dsa")


def test_a_preset_without_encoder(alice_cert: object) -> None:
    """It names the preset."""
    with pytest.raises(ValueError, match="envoy"):
        proxy_headers(alice_cert.der, preset="envoy")  # type: ignore[attr-defined]


def test_a_list_with_an_extension() -> None:
    """What a test adds to a revocation list is in it."""
    name = x509.IssuerAlternativeName([x509.DNSName("ca.example")])
    der = ThrowawayCA.create().crl(extensions=[(name, False)])
    loaded = x509.load_der_x509_crl(der)
    assert loaded.extensions.get_extension_for_class(x509.IssuerAlternativeName)
