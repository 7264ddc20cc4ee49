"""A real nginx, configured as ingress-nginx does it, in every mode.

Each test runs against gunicorn (WSGI) and uvicorn (ASGI).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from django_clientcert.testing import proxy_headers

from .conftest import Answer
from .pki import Pki

pytestmark = [
    pytest.mark.needs_program("nginx"),
    # The client leaves sockets to the garbage collector where a server hangs up.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

Send = Callable[..., Answer]
Proxies = Callable[..., Any]

REFUSED_BY_NGINX = 400


@pytest.fixture(params=["wsgi", "asgi"])
def interface(request: pytest.FixtureRequest) -> str:
    """Run a test under WSGI and under ASGI."""
    return str(request.param)


def views(interface: str, *paths: str) -> list[str]:
    """Return *paths*, of the async views under ASGI."""
    return [f"/a{path[1:]}" if interface == "asgi" else path for path in paths]


# certificate, status of the view that demands one, user
TABLE = {
    "on": [
        (None, REFUSED_BY_NGINX, None),
        ("alice", 200, "alice"),
        ("bob", 200, "bob"),
        ("carol", 200, "carol"),
        ("special", 200, "special"),
        ("big", 200, "big"),
        ("mallory", 403, None),
        ("expired", REFUSED_BY_NGINX, None),
        ("pinned", REFUSED_BY_NGINX, None),
        ("imitation", REFUSED_BY_NGINX, None),
        ("self_signed", REFUSED_BY_NGINX, None),
    ],
    "optional": [
        (None, 403, None),
        ("alice", 200, "alice"),
        ("bob", 200, "bob"),
        ("mallory", 403, None),
        ("expired", REFUSED_BY_NGINX, None),
        ("pinned", REFUSED_BY_NGINX, None),
        ("self_signed", REFUSED_BY_NGINX, None),
    ],
    # nginx forwards what it could not verify; the app wants SUCCESS
    "optional_no_ca": [
        (None, 403, None),
        ("alice", 200, "alice"),
        ("bob", 200, "bob"),
        ("pinned", 403, None),
        ("imitation", 403, None),
        ("self_signed", 403, None),
        ("expired", REFUSED_BY_NGINX, None),
    ],
    # nginx asks nobody for a certificate
    "off": [(None, 403, None), ("alice", 403, None)],
}


@pytest.mark.parametrize(
    ("mode", "certificate", "status", "user"),
    [(mode, *row) for mode, rows in TABLE.items() for row in rows],
)
def test_verify_modes(
    send: Send,
    proxies: Proxies,
    interface: str,
    mode: str,
    certificate: str | None,
    status: int,
    user: str | None,
) -> None:
    """What nginx lets pass, and what the application makes of it."""
    nginx = proxies(interface, verify_client=mode)
    (ledger,) = views(interface, "/ledger/")
    answer = send(nginx, ledger, certificate)
    assert answer.status == status
    if user is not None:
        assert answer.seen["user"] == user
    elif status == 403:
        (open_view,) = views(interface, "/open/")
        seen = send(nginx, open_view, certificate).seen
        assert seen["user"] == ""
        assert seen["accepted"] is False


@pytest.mark.parametrize(
    ("certificate", "user", "reason"),
    [
        ("alice", "alice", None),
        ("bob", "bob", None),
        # a pin needs no CA: nginx says FAILED:…, the fingerprint is known
        ("pinned", "pinned", None),
        # a name needs the path, and that ends in another key
        ("imitation", "", "untrusted_issuer"),
        ("self_signed", "", "untrusted_issuer"),
        ("mallory", "", "unmapped"),
        (None, "", "no_certificate"),
    ],
)
def test_optional_no_ca_with_validation_in_the_app(
    send: Send,
    proxies: Proxies,
    interface: str,
    certificate: str | None,
    user: str,
    reason: str | None,
) -> None:
    """auth-tls-verify-client: optional_no_ca, and CLIENTCERT_PROXY_VERIFIES off."""
    nginx = proxies(f"{interface}_verifies", verify_client="optional_no_ca")
    (path,) = views(interface, "/open/")
    seen = send(nginx, path, certificate).seen
    assert (seen["user"], seen["reason"]) == (user, reason)


SPELLINGS = [
    "ssl-client-cert",
    "SSL-Client-Cert",
    "ssl_client_cert",
    "Ssl_Client-Cert",
    "ssl.client.cert",
    "ssl-client-cert ",
]


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("spelling", SPELLINGS[:5])
@pytest.mark.parametrize("certificate", [None, "mallory"])
def test_spoofed_headers_gain_nothing(
    send: Send,
    proxies: Proxies,
    pki: Pki,
    interface: str,
    spelling: str,
    certificate: str | None,
    http2: bool,
) -> None:
    """Alice's headers, in every spelling, beside no certificate or Mallory's."""
    if http2:
        spelling = spelling.lower()
    nginx = proxies(interface, verify_client="optional")
    forged = [
        (spelling.replace("cert", word), value)
        for name, value in proxy_headers(pki.certificates["alice"].der).items()
        for word in [name.removeprefix("ssl-client-")]
    ]
    open_view, ledger = views(interface, "/open/", "/ledger/")
    seen = send(nginx, open_view, certificate, headers=forged, http2=http2).seen
    assert seen["user"] == ""
    own = pki.certificates[certificate].fingerprint if certificate else None
    assert seen["fingerprint"] == own
    answer = send(nginx, ledger, certificate, headers=forged, http2=http2)
    assert answer.status == 403


def test_n09_the_hole_without_pass_certificate(
    send: Send, proxies: Proxies, pki: Pki, interface: str
) -> None:
    """auth-tls-pass-certificate-to-upstream off: the client's own header passes."""
    nginx = proxies(interface, verify_client="on", pass_certificate=False)
    stolen = proxy_headers(pki.certificates["alice"].der)["ssl-client-cert"]
    open_view, ledger = views(interface, "/open/", "/ledger/")
    headers = [("ssl-client-cert", stolen)]
    seen = send(nginx, open_view, "mallory", headers=headers).seen
    assert (seen["user"], seen["reason"]) == ("", "header_mismatch")
    assert seen["fingerprint"] is None
    assert send(nginx, ledger, "mallory", headers=headers).status == 403
    assert send(nginx, ledger, "mallory", headers=headers, http2=True).status == 403


def test_n59_a_host_without_annotation_is_not_believed(
    send: Send, proxies: Proxies, pki: Pki, interface: str
) -> None:
    """Where nothing strips the headers, CLIENTCERT_HOSTS is what helps."""
    nginx = proxies(f"{interface}_hosts", ca=None)
    forged = list(proxy_headers(pki.certificates["alice"].der).items())
    (path,) = views(interface, "/open/")
    seen = send(nginx, path, headers=forged, host="open.example.com").seen
    assert (seen["user"], seen["reason"]) == ("", "host_not_covered")


def test_n11_the_plain_port(
    send: Send, proxies: Proxies, pki: Pki, interface: str
) -> None:
    """nginx takes the headers away there; what it would not is refused."""
    forged = list(proxy_headers(pki.certificates["alice"].der).items())
    (path,) = views(interface, "/open/")
    nginx = proxies(interface, verify_client="on")
    seen = send(nginx, path, headers=forged, plain=True).seen
    assert (seen["user"], seen["reason"]) == ("", "no_certificate")
    nginx = proxies(interface, ca=None)
    seen = send(nginx, path, headers=forged, plain=True).seen
    assert (seen["user"], seen["reason"]) == ("", "insecure_transport")


def test_n05_underscores_that_nginx_lets_pass(
    send: Send, proxies: Proxies, pki: Pki, interface: str
) -> None:
    """enable-underscores-in-headers: the alias never becomes the header."""
    nginx = proxies(interface, verify_client="optional", underscores_in_headers=True)
    forged = [
        (name.replace("-", "_"), value)
        for name, value in proxy_headers(pki.certificates["alice"].der).items()
    ]
    (path,) = views(interface, "/open/")
    for certificate in (None, "mallory"):
        assert send(nginx, path, certificate, headers=forged).seen["user"] == ""


def test_error_page_forwards_what_failed(
    send: Send, proxies: Proxies, interface: str
) -> None:
    """auth-tls-error-page with a path: FAILED: arrives although mode is on."""
    (path,) = views(interface, "/open/")
    nginx = proxies(interface, verify_client="on", error_page=path)
    for certificate in ("pinned", "expired", "self_signed"):
        seen = send(nginx, path, certificate).seen
        assert (seen["user"], seen["reason"]) == ("", "proxy_verdict")
    assert send(nginx, path).seen["reason"] == "no_certificate"


def test_a_revocation_list_in_the_proxy(
    send: Send, proxies: Proxies, pki: Pki, interface: str
) -> None:
    """ca.crl of the secret: nginx refuses, whatever is mapped."""
    (path,) = views(interface, "/ledger/")
    nginx = proxies(interface, verify_client="on", crl=pki.crl())
    assert send(nginx, path, "revoked").status == REFUSED_BY_NGINX
    assert send(nginx, path, "alice").seen["user"] == "alice"


def test_n49_a_twin_is_refused_with_the_revoked_certificate(
    send: Send,
    proxies: Proxies,
    pki: Pki,
    folder: Path,
    manage: Callable[..., str],
    interface: str,
) -> None:
    """nginx says SUCCESS to both signatures; the servers are not restarted."""
    (path, ledger) = views(interface, "/open/", "/ledger/")
    nginx = proxies(interface, verify_client="on")
    twin, original = pki.certificates["stolen_twin"], pki.certificates["stolen"]
    assert twin.fingerprint != original.fingerprint
    for name in ("stolen", "stolen_twin"):
        assert send(nginx, ledger, name).seen["user"] == "stolen"
    file = folder / "to_revoke.pem"
    file.write_text(original.pem)
    said = manage("clientcert", "revoke", str(file), "--reason", "keyCompromise")
    number = re.search(r"revoke --undo (\d+)", said)
    assert number is not None
    try:
        for name in ("stolen", "stolen_twin"):
            assert send(nginx, ledger, name).status == 403
            assert send(nginx, path, name).seen["reason"] == "revoked"
        assert send(nginx, ledger, "alice").seen["user"] == "alice"
    finally:
        manage("clientcert", "revoke", "--undo", number[1])
    assert send(nginx, ledger, "stolen_twin").seen["user"] == "stolen"


def test_a_list_bites_while_the_servers_run(
    send: Send,
    proxies: Proxies,
    pki: Pki,
    folder: Path,
    manage: Callable[..., str],
) -> None:
    """Imported beside them; the next request of each is refused."""
    servers = [
        (
            proxies(interface, verify_client="on"),
            *views(interface, "/open/", "/ledger/"),
        )
        for interface in ("wsgi", "asgi")
    ]
    for nginx, _open, ledger in servers:
        assert send(nginx, ledger, "listed").seen["user"] == "listed"
    file = folder / "listed.crl"
    file.write_text(pki.crl("listed"))
    assert "1 entries" in manage("clientcert", "crl", "import", str(file))
    for nginx, path, ledger in servers:
        assert send(nginx, path, "listed").seen["reason"] == "revoked"
        assert send(nginx, ledger, "listed").status == 403
        assert send(nginx, ledger, "bob").seen["user"] == "bob"


def test_a_rule_logs_in_whom_nobody_mapped(
    send: Send, proxies: Proxies, interface: str
) -> None:
    """And nobody whose name no user has."""
    (path, ledger) = views(interface, "/open/", "/ledger/")
    nginx = proxies(interface, verify_client="on")
    assert send(nginx, ledger, "dora").seen["user"] == "dora"
    assert send(nginx, path, "mallory").seen["reason"] == "unmapped"


def test_n06_duplicates_of_a_client(
    send: Send, proxies: Proxies, pki: Pki, interface: str
) -> None:
    """Two lines from the client, where nothing overwrites them."""
    nginx = proxies(interface, ca=None)
    forged = list(proxy_headers(pki.certificates["alice"].der).items())
    (path,) = views(interface, "/open/")
    seen = send(nginx, path, headers=[*forged, *forged[:1]]).seen
    assert (seen["user"], seen["reason"]) == ("", "ambiguous_header")
