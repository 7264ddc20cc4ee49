"""THREATS N01-N14: who may speak for a client, and in which words.

Every test runs under WSGI and ASGI. Alice's fingerprint is mapped throughout, so
each refusal is one of the header, not of the certificate.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from django_clientcert.testing import (
    IssuedCertificate,
    encode_escaped_pem,
    proxy_headers,
)
from django_clientcert.x509.names import DistinguishedName
from tests.conftest import Asgi

pytestmark = pytest.mark.usefixtures("mapping")


def refused(response: Any, reason: str) -> dict[str, Any]:
    """Check that nobody was let in, and why; return what the view saw."""
    assert response.status_code == 200
    seen: dict[str, Any] = response.json()
    assert seen["accepted"] is False
    assert seen["user"] == ""
    assert seen["fingerprint"] is None
    assert seen["reason"] == reason
    assert "sessionid" not in response.cookies
    return seen


def test_n01_only_the_proxy_may_speak(ask: Any, alice_cert: IssuedCertificate) -> None:
    """A header from elsewhere is refused and gone, with its siblings."""
    response = ask("/open/", alice_cert.der, peer="203.0.113.9")
    assert refused(response, "untrusted_peer")["left"] == []
    assert ask("/ledger/", alice_cert.der, peer="203.0.113.9").status_code == 403


def test_n01_siblings_without_a_certificate_go_too(ask: Any) -> None:
    """A stranger's verdict is taken away although there is no certificate."""
    response = ask(
        headers={"ssl-client-verify": "SUCCESS", "ssl-client-subject-dn": "CN=alice"},
        peer="203.0.113.9",
    )
    assert refused(response, "no_certificate")["left"] == []


@pytest.mark.parametrize(
    "peer", ["unix:", "10.1.2.3:443", "10.1.2.3%eth0", "10.1.2.3, 10.1.2.3", "x"]
)
def test_n02_a_peer_that_is_no_address_is_not_trusted(
    ask: Any, alice_cert: IssuedCertificate, peer: str
) -> None:
    """What cannot be parsed is refused, without an error."""
    refused(ask("/open/", alice_cert.der, peer=peer), "untrusted_peer")


def test_n02_no_peer_is_refused_unless_unix_is_trusted(
    ask: Any, alice_cert: IssuedCertificate, settings: Any
) -> None:
    """A Unix socket has no address; it has to be trusted in so many words."""
    refused(ask("/open/", alice_cert.der, peer=None), "untrusted_peer")
    settings.CLIENTCERT_TRUSTED_PROXIES = ["unix"]
    assert ask("/open/", alice_cert.der, peer=None).json()["user"] == "alice"
    refused(ask("/open/", alice_cert.der), "untrusted_peer")
    refused(ask("/open/", alice_cert.der, peer="unix:"), "untrusted_peer")


@pytest.mark.parametrize("trusted", [None, [], ()])
def test_n03_unset_trust_is_not_open_trust(
    ask: Any, alice_cert: IssuedCertificate, settings: Any, trusted: Any
) -> None:
    """Nobody is trusted until somebody is."""
    settings.CLIENTCERT_TRUSTED_PROXIES = trusted
    refused(ask("/open/", alice_cert.der), "untrusted_peer")
    refused(ask("/open/", alice_cert.der, peer=None), "untrusted_peer")


def test_n04_the_socket_counts_not_x_forwarded_for(
    ask: Any, alice_cert: IssuedCertificate
) -> None:
    """A client may write what it likes into X-Forwarded-For."""
    response = ask(
        "/open/",
        alice_cert.der,
        peer="203.0.113.9",
        headers={"x-forwarded-for": "10.1.2.3", "forwarded": "for=10.1.2.3"},
    )
    refused(response, "untrusted_peer")


def test_n04_an_ipv4_mapped_peer_is_the_ipv4_peer(
    ask: Any, alice_cert: IssuedCertificate
) -> None:
    """A dual-stack socket reports ::ffff:10.1.2.3 for 10.1.2.3."""
    response = ask("/open/", alice_cert.der, peer="::ffff:10.1.2.3")
    assert response.json()["user"] == "alice"
    refused(ask("/open/", alice_cert.der, peer="::ffff:203.0.113.9"), "untrusted_peer")


ALIASES = [
    "ssl_client_cert",
    "Ssl_Client-Cert",
    "ssl-client_cert",
    "SSL_CLIENT_VERIFY",
    "ssl_client-subject-dn",
    "ssl-client-issuer_dn",
]


@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize("beside", [True, False], ids=["beside", "alone"])
def test_n05_one_spelling_only(
    alice_cert: IssuedCertificate, alias: str, beside: bool
) -> None:
    """Under ASGI an underscore is seen, whatever Django makes of it."""
    lines = [(alias.encode(), encode_escaped_pem(alice_cert.der).encode())]
    response = Asgi()("/open/", alice_cert.der if beside else None, lines=lines)
    assert refused(response, "ambiguous_header")["left"] == []


def test_n05_stripped_headers_are_gone_from_the_scope(
    alice_cert: IssuedCertificate, rf: Any
) -> None:
    """Nobody can read a refused header in request.scope or request.headers."""
    from django.core.handlers.asgi import ASGIRequest

    from django_clientcert.backends import find_backend
    from django_clientcert.requests import attach

    lines = [
        (name.encode(), value.encode())
        for name, value in proxy_headers(alice_cert.der).items()
    ]
    request = ASGIRequest(
        {
            "type": "http",
            "method": "GET",
            "path": "/",
            "query_string": b"",
            "scheme": "https",
            "client": ["203.0.113.9", 1],
            "headers": [*lines, (b"accept", b"*/*")],
        },
        None,
    )
    assert "ssl-client-cert" in request.headers
    attach(request, find_backend())
    assert "ssl-client-cert" not in request.headers
    assert request.scope["headers"] == [(b"accept", b"*/*")]


@pytest.mark.parametrize("twice", ["{0},{1}", "{1},{0}", "{0},", ",{0}", "{0}, {1}"])
def test_n06_no_duplicates(
    ask: Any,
    alice_cert: IssuedCertificate,
    mallory_cert: IssuedCertificate,
    twice: str,
) -> None:
    """Two lines joined by a comma are nobody's, in either order."""
    value = twice.format(
        encode_escaped_pem(alice_cert.der), encode_escaped_pem(mallory_cert.der)
    )
    response = ask("/open/", alice_cert.der, headers={"ssl-client-cert": value})
    refused(response, "ambiguous_header")


def test_n06_two_lines_under_asgi(
    alice_cert: IssuedCertificate, mallory_cert: IssuedCertificate
) -> None:
    """Django joins them; they are counted before."""
    for name, value in proxy_headers(mallory_cert.der).items():
        response = Asgi()(
            "/open/", alice_cert.der, lines=[(name.encode(), value.encode())]
        )
        refused(response, "ambiguous_header")


@pytest.mark.parametrize(
    "verdict",
    [
        None,
        "",
        "NONE",
        "FAILED:unable to verify",
        "FAILED",
        "GENEROUS",
        "success",
        "SUCCESS ",
        " SUCCESS",
        "SUCCESS,SUCCESS",
        "SUCCESS:0",
        "FAILED,SUCCESS",
        "0",
        "-",
    ],
)
def test_n07_the_verdict_is_one_exact_word(
    ask: Any, alice_cert: IssuedCertificate, verdict: str | None
) -> None:
    """Only SUCCESS is success, also for a pinned certificate."""
    response = ask("/open/", alice_cert.der, headers={"ssl-client-verify": verdict})
    refused(response, "proxy_verdict")


def test_n07_failed_is_for_who_verifies_himself(
    ask: Any, alice_cert: IssuedCertificate, settings: Any
) -> None:
    """With optional_no_ca the app validates, so FAILED: may come; NONE may not."""
    settings.CLIENTCERT_PROXY_VERIFIES = False
    failed = "FAILED:unable to verify the first certificate"
    assert ask("/open/", alice_cert.der, verdict=failed).json()["user"] == "alice"
    for verdict in ("NONE", "FAILED", "GENEROUS", "failed:x", ""):
        refused(ask("/open/", alice_cert.der, verdict=verdict), "proxy_verdict")


def swapped(victim: IssuedCertificate, mallory: IssuedCertificate) -> dict[str, str]:
    """Return what passes a holed ingress: the victim's certificate, Mallory's names."""
    names = proxy_headers(mallory.der)
    return {**names, "ssl-client-cert": encode_escaped_pem(victim.der)}


def test_n09_certificate_swap(
    ask: Any,
    ca: Any,
    alice_cert: IssuedCertificate,
    mallory_cert: IssuedCertificate,
) -> None:
    """Somebody else's certificate beside a genuine SUCCESS is uncovered."""
    refused(ask(headers=swapped(alice_cert, mallory_cert)), "header_mismatch")
    assert ask("/ledger/", headers=swapped(alice_cert, mallory_cert)).status_code == 403


@pytest.mark.parametrize("name", ["ssl-client-subject-dn", "ssl-client-issuer-dn"])
@pytest.mark.parametrize("value", ["CN=mallory", "", None, "CN=alice,O=x", "alice"])
def test_n09_each_name_counts(
    ask: Any, alice_cert: IssuedCertificate, name: str, value: str | None
) -> None:
    """One name that differs, or is missing, is enough."""
    refused(ask("/open/", alice_cert.der, headers={name: value}), "header_mismatch")


def test_n09_two_lines_of_a_name_are_a_mismatch(
    ask: Any, alice_cert: IssuedCertificate
) -> None:
    """Joined names are another name."""
    header = {"ssl-client-subject-dn": "CN=alice,CN=alice"}
    refused(ask("/open/", alice_cert.der, headers=header), "header_mismatch")


def test_n09_another_spelling_of_the_same_name_agrees(
    ask: Any, ca: Any, alice: Any
) -> None:
    """Escapes may differ (a proxy that is not nginx), values and order may not."""
    from django_clientcert.models import CertificateMapping

    jose = ca.issue("José, Jr.")
    CertificateMapping.objects.create(
        user=alice, kind="fingerprint", value=jose.fingerprint
    )
    assert ask("/open/", jose.der).json()["user"] == "alice"
    spelling = {"ssl-client-subject-dn": r"CN=Jos\c3\a9\2C Jr."}
    assert ask("/open/", jose.der, headers=spelling).json()["user"] == "alice"
    spelling = {"ssl-client-subject-dn": r"CN=JOS\C3\A9\, Jr."}
    refused(ask("/open/", jose.der, headers=spelling), "header_mismatch")


def test_n10_a_missing_header_is_not_an_optional_one(ask: Any, alice: Any) -> None:
    """A session does not open a door that asks for a certificate."""
    ask.client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    assert ask("/open/").json()["user"] == "alice"
    assert ask("/ledger/").status_code == 403


def test_n11_plain_http_is_refused(
    ask: Any, alice_cert: IssuedCertificate, settings: Any
) -> None:
    """The header is worth nothing on a request that is not secure."""
    refused(ask("/open/", alice_cert.der, scheme="http"), "insecure_transport")
    settings.CLIENTCERT_REQUIRE_SECURE = False
    assert ask("/open/", alice_cert.der, scheme="http").json()["user"] == "alice"


@pytest.mark.parametrize(
    "value", ["A" * 2**20, "," * 65536, "%" * 30000, "%41" * 16000]
)
def test_n12_a_long_header_is_refused_before_any_work(
    ask: Any, alice_cert: IssuedCertificate, value: str
) -> None:
    """The cap comes first."""
    headers = {"ssl-client-cert": value}
    refused(ask("/open/", alice_cert.der, headers=headers), "header_too_large")


@pytest.mark.parametrize(
    "name", ["ssl-client-verify", "ssl-client-subject-dn", "ssl-client-issuer-dn"]
)
def test_n12_the_cap_holds_for_every_header(
    ask: Any, alice_cert: IssuedCertificate, name: str
) -> None:
    """No header of the preset is read without limit."""
    headers = {name: "A" * 16385}
    refused(ask("/open/", alice_cert.der, headers=headers), "header_too_large")


@pytest.mark.parametrize(
    "value",
    [
        "x",
        "%",
        "%zz",
        "%ff%fe",
        "%00",
        "-----BEGIN%20CERTIFICATE-----%0A-----END%20CERTIFICATE-----%0A",
        "-----BEGIN%20CERTIFICATE-----%0AQUJD%0A-----END%20CERTIFICATE-----%0A",
        "-----BEGIN%20CERTIFICATE-----%0AMIL%2F%2F%2F8%3D%0A-----END%20CERTIFICATE-----%0A",
        "(nil)",
        "\xff\xfe",
        "é",
    ],
)
def test_n12_junk_is_refused_without_an_error(
    ask: Any, alice_cert: IssuedCertificate, value: str
) -> None:
    """Whatever stands in the header, the answer is a decision."""
    response = ask("/open/", alice_cert.der, headers={"ssl-client-cert": value})
    reason = response.json()["reason"]
    assert reason in ("malformed_header", "malformed_certificate")
    refused(response, reason)


def test_n13_a_post_quantum_certificate_fits(ask: Any, alice: Any, ca: Any) -> None:
    """A header of 10,900 bytes is below the default cap."""
    from django_clientcert.models import CertificateMapping

    big = ca.issue("big", dns=[f"host-{n:04}.some.example.com" for n in range(270)])
    assert 10_900 < len(encode_escaped_pem(big.der)) < 16_384
    CertificateMapping.objects.create(
        user=alice, kind="fingerprint", value=big.fingerprint
    )
    assert ask("/open/", big.der).json()["user"] == "alice"


@pytest.mark.parametrize("value", ["", "-", "(null)"])
def test_n25_an_empty_value_is_no_certificate(ask: Any, value: str) -> None:
    """What proxies write without a certificate is not malformed."""
    refused(ask(headers={"ssl-client-cert": value}), "no_certificate")


def test_secret_is_demanded_and_rotates(
    ask: Any, alice_cert: IssuedCertificate, settings: Any
) -> None:
    """One of two secrets opens the gate; nothing else does."""
    settings.CLIENTCERT_PROXY_SECRET = ("X-Proxy-Secret", ["new", "old"])
    for secret in ("new", "old"):
        response = ask("/open/", alice_cert.der, headers={"x-proxy-secret": secret})
        assert response.json()["user"] == "alice"
    for wrong in ("", None, "new ", "New", "new,old", "é"):
        response = ask("/open/", alice_cert.der, headers={"x-proxy-secret": wrong})
        assert refused(response, "bad_proxy_secret")["left"] == []


def test_hosts_limit_where_the_header_is_believed(
    ask: Any, alice_cert: IssuedCertificate, settings: Any
) -> None:
    """N59: elsewhere nobody sets the headers, so nobody strips them."""
    settings.CLIENTCERT_HOSTS = ["api.example.com", ".secure.example.com"]
    for host in ("api.example.com", "API.example.com:8443", "x.secure.example.com"):
        assert ask("/open/", alice_cert.der, host=host).json()["user"] == "alice"
    for host in ("www.example.com", "example.com", "xapi.example.com"):
        response = ask("/open/", alice_cert.der, host=host)
        assert refused(response, "host_not_covered")["left"] == []


def test_an_invalid_host_is_covered_by_nothing(rf: Any, settings: Any) -> None:
    """A Host header that Django refuses makes no error here."""
    from django_clientcert.evaluation.peer import Peer
    from django_clientcert.evaluation.presented import get_host, read_request

    settings.CLIENTCERT_HOSTS = ["testserver"]
    request = rf.get("/", HTTP_HOST="a b", REMOTE_ADDR="10.1.2.3", secure=True)
    assert get_host(request) == ""
    refusal = Peer(read_request(request), "").gate_refusal
    assert refusal is not None
    assert refusal.reason == "host_not_covered"


def test_a_gate_is_logged_though_nobody_looks(
    ask: Any, alice_cert: IssuedCertificate, caplog: pytest.LogCaptureFixture
) -> None:
    """One line, without the certificate, even on a view that asks for nothing."""
    with caplog.at_level(logging.WARNING, "django_clientcert"):
        ask("/untouched/", alice_cert.der, peer="203.0.113.9")
    lines = [one.getMessage() for one in caplog.records]
    assert len(lines) == 1
    assert "reason=untrusted_peer" in lines[0]
    assert "CERTIFICATE" not in lines[0]


def test_n29_a_log_line_stays_one_line(
    ask: Any, ca: Any, alice: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Line breaks, escapes and bidi controls are shown, not obeyed."""
    evil = ca.issue("a\nb\x1b[31m\u202ec", emails=["x\ny@example.com"])
    with caplog.at_level(logging.DEBUG):
        response = ask("/open/", evil.der)
    refused_reason = response.json()["reason"]
    assert refused_reason == "malformed_certificate"
    for record in caplog.records:
        for bad in ("\n", "\x1b", "\u202e"):
            assert bad not in record.getMessage()


def test_n68_the_answer_is_the_same_for_every_reason(
    ask: Any,
    alice_cert: IssuedCertificate,
    mallory_cert: IssuedCertificate,
) -> None:
    """An outsider cannot tell one refusal from another."""
    bodies = {
        ask("/ledger/").content,
        ask("/ledger/", mallory_cert.der).content,
        ask("/ledger/", alice_cert.der, verdict="NONE").content,
        ask("/ledger/", alice_cert.der, peer="203.0.113.9").content,
        ask("/ledger/", headers={"ssl-client-cert": "junk"}).content,
        ask("/ledger/", headers=swapped(alice_cert, mallory_cert)).content,
    }
    assert len(bodies) == 1


def test_debug_page_tells_the_reason(
    ask: Any, mallory_cert: IssuedCertificate, settings: Any
) -> None:
    """Only a developer is told why."""
    settings.DEBUG = True
    page = ask("/ledger/", mallory_cert.der)
    assert page.status_code == 403
    assert b"unmapped" in page.content


def test_names_of_the_test_certificates_are_real(
    alice_cert: IssuedCertificate,
) -> None:
    """The encoder of the helpers and the comparison are not the same code path."""
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_der_x509_certificate

    loaded = load_der_x509_certificate(alice_cert.der)
    assert loaded.public_bytes(Encoding.DER) == alice_cert.der
    name = DistinguishedName.from_der(loaded.subject.public_bytes())
    assert name.openssl_rfc2253() == loaded.subject.rfc4514_string()
    assert get_user_model().objects.filter(username="alice").exists()
