"""Presets, and the descriptions of a proxy that a project writes itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from django_clientcert.exceptions import ClientCertError
from django_clientcert.testing import IssuedCertificate, proxy_headers
from django_clientcert.wire import (
    DECODERS,
    INGRESS_NGINX,
    NGINX,
    PRESETS,
    Proxy,
    ProxyConfigurationError,
    get_proxy,
    meta_key,
)
from django_clientcert.wire.proxy import ABSENT


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_sound(name: str, alice_cert: IssuedCertificate) -> None:
    """Every preset is a proxy that a project could have described, and documented."""
    proxy = get_proxy(name)
    assert proxy.name == name
    assert get_proxy(proxy) == proxy
    assert proxy.encoding in DECODERS
    assert proxy.title
    assert proxy.reference
    # A proxy that validates says so in every request.
    assert not proxy.verifies or proxy.verdict is not None
    if proxy.is_header:
        chain = [alice_cert.der] * len(proxy.chain)
        headers = proxy_headers(alice_cert.der, preset=name, chain=chain)
        assert set(headers) == set(proxy.names)


def test_ingress_nginx() -> None:
    """The four headers of the controller's template."""
    assert INGRESS_NGINX.names == (
        "ssl-client-cert",
        "ssl-client-verify",
        "ssl-client-subject-dn",
        "ssl-client-issuer-dn",
    )
    assert INGRESS_NGINX.names_required
    assert INGRESS_NGINX.verifies
    assert INGRESS_NGINX.meta_key("ssl-client-cert") == "HTTP_SSL_CLIENT_CERT"


def test_meta_key() -> None:
    """As WSGI spells a header field."""
    assert meta_key("X-SSL-Client-Cert") == "HTTP_X_SSL_CLIENT_CERT"


def test_n25_absent() -> None:
    """N25: what programs write for no certificate, and nothing more."""
    assert {"", "-", "(null)", "::", "<nil>"} == ABSENT


def test_a_dict_starts_from_a_preset() -> None:
    """Only what differs is written; header names in any case."""
    proxy = get_proxy({"certificate": "X-Cert", "verdict": "X-Verify"})
    assert proxy == replace(
        NGINX, name="custom", certificate="x-cert", verdict="x-verify"
    )
    other = get_proxy({"preset": "ingress-nginx", "verifies": False})
    assert other == replace(INGRESS_NGINX, name="custom", verifies=False)
    assert get_proxy({}) == replace(NGINX, name="custom")
    assert get_proxy({"preset": {"preset": "ingress-nginx"}}).names_required


def test_an_object_is_normalised_too() -> None:
    """Lines of ASGI are compared in lower case, so the names must be."""
    proxy = get_proxy(replace(NGINX, certificate="X-Cert", subject_dn=None))
    assert proxy.names == ("x-cert", "x-ssl-client-verify", "x-ssl-client-i-dn")


def test_environ_keys_stay_as_they_are() -> None:
    """Keys of the environ have no wire form."""
    proxy = get_proxy(
        {
            "source": "environ",
            "certificate": "SSL_CLIENT_CERT",
            "verdict": "SSL_CLIENT_VERIFY",
            "subject_dn": None,
            "issuer_dn": None,
            "encoding": "pem",
        }
    )
    assert not proxy.is_header
    assert proxy.names == ("SSL_CLIENT_CERT", "SSL_CLIENT_VERIFY")
    assert proxy.meta_key("SSL_CLIENT_CERT") == "SSL_CLIENT_CERT"


def test_lists_and_dicts_become_tuples() -> None:
    """A description is frozen, whatever it was written as."""
    proxy = get_proxy(
        {
            "failure": "FAILED",
            "conditions": {"X-Used": "1"},
            "chain": ["X-Chain"],
            "chain_encoding": "rfc9440_list",
        }
    )
    assert proxy.failure == ("FAILED",)
    assert proxy.conditions == (("x-used", "1"),)
    assert proxy.chain == ("x-chain",)
    assert proxy.names[-2:] == ("x-used", "x-chain")
    assert proxy.forwards_chains
    assert not get_proxy("nginx").forwards_chains
    assert get_proxy("traefik").forwards_chains
    assert hash(proxy)


def test_a_sidecar_may_have_a_gateway_identity() -> None:
    """The identity of the gateway."""
    uri = "spiffe://cluster.local/ns/istio-system/sa/ingress"
    proxy = get_proxy({"preset": "istio-sidecar", "gateway_identity": uri})
    assert proxy.gateway_identity == uri


def test_a_proxy_that_does_not_verify_needs_no_verdict() -> None:
    """Then the app validates every path."""
    proxy = get_proxy({"verdict": None, "verifies": False})
    assert proxy.verdict is None
    assert "x-ssl-client-verify" not in proxy.names


@pytest.mark.parametrize(
    ("value", "says"),
    [
        pytest.param("ngnix", "there is no preset 'ngnix'", id="misspelt"),
        pytest.param("", "there is no preset ''", id="empty"),
        pytest.param(None, "not NoneType", id="None"),
        pytest.param(["nginx"], "not list", id="a list"),
        pytest.param({"preset": "x"}, "there is no preset", id="unknown preset"),
        pytest.param({"header": "x"}, "unknown key 'header'", id="unknown key"),
        pytest.param({"name": "x"}, "unknown key 'name'", id="a name"),
        pytest.param({1: "x", "b": "y"}, "unknown key 1", id="keys that are not texts"),
        pytest.param({"encoding": "x"}, "no encoding 'x'", id="unknown encoding"),
        pytest.param({"encoding": ""}, "no encoding ''", id="n08 empty encoding"),
        pytest.param({"encoding": ["pem"]}, "no encoding", id="a list of encodings"),
        pytest.param({"source": "x"}, "'source' must be", id="unknown source"),
        pytest.param({"source": None}, "'source' must be", id="no source"),
        pytest.param({"certificate": ""}, "'certificate' is ''", id="n08 empty name"),
        pytest.param({"certificate": None}, "'certificate' is None", id="no name"),
        pytest.param(
            {"certificate": None, "verdict": None, "verifies": False},
            "'certificate' is None",
            id="no name, not verifying",
        ),
        pytest.param({"verdict": ""}, "'verdict' is ''", id="n08 empty verdict"),
        pytest.param({"verdict": None}, "'verdict' is None", id="n08 no verdict"),
        pytest.param({"verdict": []}, "'verdict' is", id="a list for a name"),
        pytest.param({"subject_dn": ""}, "'subject_dn' is ''", id="n08 empty DN"),
        pytest.param(
            {"certificate": "ssl_client_cert"}, "hyphens", id="n05 underscores"
        ),
        pytest.param({"certificate": "a b"}, "hyphens", id="a space"),
        pytest.param({"certificate": "a\n"}, "hyphens", id="a line end"),
        pytest.param({"certificate": "x-ä"}, "hyphens", id="another letter"),
        pytest.param(
            {"certificate": "X-SSL-Client-Verify"}, "same header", id="doubled"
        ),
        pytest.param(
            {"subject_dn": "x-dn", "issuer_dn": "X-DN"}, "same header", id="DNs doubled"
        ),
        pytest.param(
            {"source": "environ"}, "a key of the environ", id="headers as keys"
        ),
        pytest.param(
            {
                "source": "environ",
                "certificate": "HTTP_SSL_CLIENT_CERT",
                "verdict": "SSL_CLIENT_VERIFY",
                "subject_dn": None,
                "issuer_dn": None,
            },
            "come from the client",
            id="keys of headers",
        ),
        pytest.param({"verifies": "false"}, "'verifies' must be", id="n08 a word"),
        pytest.param({"verifies": 0}, "'verifies' must be", id="n08 a number"),
        pytest.param(
            {"names_required": None}, "'names_required' must be", id="n08 None"
        ),
        pytest.param({"success": ""}, "'success' must not", id="n08 empty success"),
        pytest.param({"success": None}, "'success' must not", id="n08 no success"),
        pytest.param({"failure": ""}, "'failure' must not", id="n08 empty failure"),
        pytest.param({"failure": []}, "'failure' must not", id="n08 no failure"),
        pytest.param({"failure": ["x", ""]}, "'failure' must not", id="n08 one empty"),
        pytest.param({"failure": ["x", 1]}, "'failure' must not", id="a number"),
        pytest.param({"failure": 1}, "a text or a list of texts", id="one number"),
        pytest.param({"conditions": "x"}, "be a dict", id="conditions a text"),
        pytest.param({"conditions": [1]}, "be a dict", id="conditions of numbers"),
        pytest.param({"conditions": {"x-a": ""}}, "be a dict", id="n08 empty word"),
        pytest.param({"conditions": {"x-a": None}}, "be a dict", id="n08 no word"),
        pytest.param({"conditions": {"x_a": "1"}}, "hyphens", id="n05 a condition"),
        pytest.param({"conditions": [("x-a",)]}, "be a dict", id="half a condition"),
        pytest.param({"chain": ["x-a"]}, "no encoding None", id="chain, no encoding"),
        pytest.param(
            {"chain": ["x_a"], "chain_encoding": "pem"}, "hyphens", id="n05 a chain"
        ),
        pytest.param(
            {"chain_encoding": "pem"}, "without 'chain'", id="encoding, no chain"
        ),
        pytest.param(
            {"chain": "X-SSL-Client-Cert", "chain_encoding": "pem"},
            "same header",
            id="the chain is the certificate",
        ),
        pytest.param(
            {"gateway_identity": "spiffe://x"}, "xfcc_two_hops", id="gateway_identity"
        ),
        pytest.param(
            {"preset": "istio-sidecar", "gateway_identity": "gateway"},
            "the URI in the gateway",
            id="a gateway_identity that is not a URI",
        ),
        pytest.param(
            {"preset": "istio-sidecar", "gateway_identity": ""},
            "the URI in the gateway",
            id="n08 empty gateway_identity",
        ),
        pytest.param(
            {"preset": "gunicorn", "certificate": "HTTP_X"},
            "has the connection",
            id="a socket of a header",
        ),
        pytest.param(
            {"preset": "gunicorn", "certificate": "wsgi url"},
            "has the connection",
            id="a socket with a space",
        ),
        pytest.param(
            {"preset": "gunicorn", "verdict": "x-verify"},
            "a key of the environ",
            id="a header beside a socket",
        ),
    ],
)
def test_n08_refused(value: Any, says: str) -> None:
    """N08: nothing is switched off by emptiness; the message says what to write."""
    with pytest.raises(ProxyConfigurationError, match=says) as error:
        get_proxy(value)
    assert isinstance(error.value, (ClientCertError, ValueError))


def test_an_object_is_checked_too() -> None:
    """It may have been written by hand."""
    with pytest.raises(ProxyConfigurationError, match="no encoding"):
        get_proxy(
            Proxy(name="x", certificate="x-cert", encoding="x", verdict="x-verify")
        )
