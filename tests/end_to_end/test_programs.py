"""Real proxies with the configurations of ``example_project/proxies``, as they stand.

Each in front of gunicorn, with nothing but ``CLIENTCERT_PROXY`` to match.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from django_clientcert.testing import proxy_headers
from django_clientcert.wire import PRESETS
from example_project.nginx import find_programs
from example_project.programs import Program
from tests.plugins.required_programs import programs_are_required

from .conftest import Answer
from .pki import Pki

pytestmark = [
    # The client leaves sockets to the garbage collector where a server hangs up.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

Send = Callable[..., Answer]
Programs = Callable[..., Any]

NAMES = [
    pytest.param(name, marks=pytest.mark.needs_program(program))
    for name, program in (
        ("nginx", "nginx"),
        ("haproxy", "haproxy"),
        ("caddy", "caddy"),
        ("traefik", "traefik"),
        ("envoy", "envoy"),
        ("apache", "apache2"),
    )
]

each_proxy = pytest.mark.parametrize("name", NAMES)
each_interface = pytest.mark.parametrize("suffix", ["", "_asgi"], ids=["wsgi", "asgi"])

# What a handshake that is refused looks like to the client
REFUSED = (ssl.SSLError, ConnectionError, TimeoutError)


def try_to(send: Send, *arguments: Any, **options: Any) -> Answer | None:
    """Return the answer, or None where the proxy ended the handshake."""
    try:
        return send(*arguments, **options)
    except REFUSED:
        return None


def ledger(suffix: str) -> str:
    """Return the view that demands a certificate, the async one under ASGI."""
    return "/aledger/" if suffix else "/ledger/"


# --- who is let in ---------------------------------------------------------------


@each_interface
@each_proxy
@pytest.mark.parametrize("certificate", ["alice", "bob", "carol", "dora"])
def test_a_good_certificate(
    name: str, suffix: str, certificate: str, programs: Programs, send: Send
) -> None:
    """By fingerprint, by name, through an intermediate of the authority, by rule."""
    proxy = programs(name, name + suffix)
    assert send(proxy, ledger(suffix), certificate).seen["user"] == certificate


@each_interface
@each_proxy
def test_no_certificate(name: str, suffix: str, programs: Programs, send: Send) -> None:
    """It is asked for, and not demanded."""
    proxy = programs(name, name + suffix)
    assert send(proxy, ledger(suffix)).status == 403
    seen = send(proxy, "/open/").seen
    assert (seen["user"], seen["reason"]) == ("", "no_certificate")


@each_proxy
def test_a_certificate_that_nobody_mapped(
    name: str, programs: Programs, send: Send
) -> None:
    """It is proven, and nobody’s."""
    proxy = programs(name, name)
    assert send(proxy, "/ledger/", "mallory").status == 403
    assert send(proxy, "/open/", "mallory").seen["reason"] == "unmapped"


@each_proxy
@pytest.mark.parametrize(
    "certificate", ["expired", "pinned", "imitation", "self_signed"]
)
def test_n48_what_does_not_verify_ends_at_the_proxy(
    name: str, certificate: str, programs: Programs, send: Send
) -> None:
    """Out of date, of another CA of the same name, of no CA: 400, or no handshake."""
    answer = try_to(send, programs(name, name), "/open/", certificate)
    assert answer is None or answer.status == 400


FORWARDS_CHAIN = {"haproxy", "traefik", "envoy", "apache"}


@each_proxy
def test_a_chain_that_only_the_client_has(
    name: str, programs: Programs, send: Send
) -> None:
    """It leads to the authority where the proxy forwards it."""
    proxy = programs(name, name)
    assert PRESETS[name].forwards_chains == (name in FORWARDS_CHAIN)
    seen = send(proxy, "/open/", "erin").seen
    if name in FORWARDS_CHAIN:
        assert seen["user"] == "erin"
    else:
        assert (seen["user"], seen["reason"]) == ("", "untrusted_issuer")


@pytest.mark.needs_program("nginx")
def test_every_nginx_that_is_there(
    folder: Path, pki: Pki, applications: Callable[[str], Any], send: Send
) -> None:
    """The wheel's and the distribution's, with the same file."""
    programs = find_programs()
    # Continuous integration installs both.
    assert len(programs) == 2 or not programs_are_required()
    for number, program in enumerate(programs):
        with Program(
            "nginx",
            folder / f"nginx-of-{number}",
            upstream=applications("nginx").address,
            certificate=pki.server.chain_pem,
            key=pki.server.key_pem,
            ca=pki.ca.pem,
            path=program.path,
        ) as nginx:
            assert send(nginx, "/ledger/", "bob").seen["user"] == "bob"
            assert send(nginx, "/ledger/").status == 403
            assert send(nginx, "/open/", "expired").status == 400
            for own in (None, "mallory"):
                sent = list(forged("nginx", pki).items())
                assert send(nginx, "/open/", own, headers=sent).seen["user"] == ""


# --- size ------------------------------------------------------------------------


@each_proxy
def test_n13_a_big_certificate_fits(name: str, programs: Programs, send: Send) -> None:
    """Some 8 KB of DER."""
    assert send(programs(name, name), "/ledger/", "big").seen["user"] == "big"


@each_proxy
def test_n12_a_huge_certificate_is_nobody_or_its_own(
    name: str, programs: Programs, send: Send
) -> None:
    """Some 24 KB of DER: HAProxy would silently forward none."""
    answer = try_to(send, programs(name, name), "/open/", "huge")
    if name == "haproxy":
        assert answer is not None
        assert answer.status == 400
    elif name == "envoy":
        # Certificate and chain in one header are longer than what is read.
        assert answer is not None
        assert answer.status in (400, 431)
    else:
        assert answer is not None
        assert answer.seen["user"] == "huge"


@pytest.mark.needs_program("haproxy")
def test_a_certificate_that_haproxy_leaves_out_is_nobody(
    programs: Programs, send: Send
) -> None:
    """Without the line that refuses it: the header is empty, and that is none."""
    line = "    http-request deny deny_status 400 if { ssl_c_used } "
    change = ((line + "!{ ssl_c_der,base64 -m found }\n", ""),)
    proxy = programs("haproxy", "haproxy", change=change)
    seen = send(proxy, "/open/", "huge").seen
    assert (seen["user"], seen["reason"]) == ("", "no_certificate")
    assert send(proxy, "/ledger/", "alice").seen["user"] == "alice"


# --- forged ----------------------------------------------------------------------


def spellings(header: str) -> Iterator[str]:
    """Return what a header’s name may be written like."""
    yield header
    yield header.upper()
    yield header.title()
    yield header.replace("-", "_")
    yield header.upper().replace("-", "_")
    for place in range(header.count("-")):
        parts = header.split("-")
        yield (
            "-".join(parts[:place])
            + ("-" if place else "")
            + "_".join(parts[place : place + 2])
            + ("-" if parts[place + 2 :] else "")
            + "-".join(parts[place + 2 :])
        )
    yield header.replace("-", ".")


def forged(name: str, pki: Pki) -> dict[str, str]:
    """Return what the proxy would forward for Alice."""
    return proxy_headers(pki.certificates["alice"].der, preset=name)


@each_interface
@each_proxy
@pytest.mark.parametrize("own", [None, "mallory"])
def test_n05_forged_headers_in_every_spelling(
    name: str, suffix: str, own: str | None, programs: Programs, send: Send, pki: Pki
) -> None:
    """N05: with no certificate and with another one; never Alice."""
    proxy = programs(name, name + suffix)
    headers = forged(name, pki)
    kinds = list(zip(*(spellings(header) for header in headers), strict=False))
    assert len(kinds) > 6
    for written in kinds:
        sent = list(zip(written, headers.values(), strict=True))
        answer = send(proxy, "/open/", own, headers=sent)
        if answer.status in (400, 403):
            continue  # refused by the proxy, or by the server
        assert answer.seen["user"] == "", written
        assert answer.seen["reason"] in (
            ("unmapped",) if own else ("no_certificate",)
        ), written


@each_proxy
@pytest.mark.parametrize("own", [None, "mallory", "bob"])
def test_n06_headers_sent_twice(
    name: str, own: str | None, programs: Programs, send: Send, pki: Pki
) -> None:
    """N06: neither copy arrives."""
    sent = [*forged(name, pki).items()] * 2
    answer = send(programs(name, name), "/open/", own, headers=sent)
    assert answer.seen["user"] == (own if own == "bob" else "")


@each_proxy
@pytest.mark.parametrize("own", [None, "bob"])
def test_n10_headers_removed_through_connection(
    name: str, own: str | None, programs: Programs, send: Send, pki: Pki
) -> None:
    """N10: what Connection names is removed by proxies; at the right moment only."""
    proxy = programs(name, name)
    headers = forged(name, pki)
    for header in headers:
        sent = [("Connection", header), *headers.items()]
        seen = send(proxy, "/open/", own, headers=sent).seen
        assert seen["user"] == (own or "")
    sent = [("Connection", ", ".join(headers)), *headers.items()]
    assert send(proxy, "/open/", own, headers=sent).seen["user"] == (own or "")


@each_proxy
@pytest.mark.parametrize("own", [None, "bob"])
def test_a_scheme_of_ones_own(
    name: str, own: str | None, programs: Programs, send: Send
) -> None:
    """The proxy says that the request is secure, whatever the client says."""
    proxy = programs(name, name)
    for written in ("X-Forwarded-Proto", "x_forwarded_proto", "X-Forwarded_Proto"):
        answer = send(proxy, "/open/", own, headers=[(written, "http")])
        if answer.status in (400, 403):
            continue
        assert answer.seen["user"] == (own or "")


def send_raw(proxy: Any, pki: Pki, folder: Path, own: str | None, text: str) -> bytes:
    """Send *text* as it is; return all that comes back."""
    context = ssl.create_default_context(cadata=pki.ca.pem)
    if own is not None:
        context.load_cert_chain(folder / f"{own}.pem")
    with (
        socket.create_connection(("127.0.0.1", proxy.port), 20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(text.encode("latin-1"))
        received = b""
        while block := connection.recv(65536):
            received += block
    return received


@each_proxy
@pytest.mark.parametrize("own", [None, "mallory"])
@pytest.mark.parametrize("end", ["\n", "\r", "\n ", "\n\t"])
def test_forged_headers_behind_a_bare_line_end(
    name: str,
    own: str | None,
    end: str,
    programs: Programs,
    pki: Pki,
    folder: Path,
) -> None:
    """What is one header to one program is two to another."""
    lines = "".join(f"{end}{one}: {value}" for one, value in forged(name, pki).items())
    text = f"GET /open/ HTTP/1.1\r\nHost: localhost\r\nX-A: 1{lines}\r\n"
    try:
        answer = send_raw(
            programs(name, name), pki, folder, own, text + "Connection: close\r\n\r\n"
        )
    except REFUSED:
        return
    assert b'"user": "alice"' not in answer
    assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400"))


@each_proxy
def test_n11_plain_http_is_sent_to_https(
    name: str, programs: Programs, send: Send, pki: Pki
) -> None:
    """N11: no application there, so no header either."""
    sent = list(forged(name, pki).items())
    answer = send(programs(name, name), "/open/", headers=sent, plain=True)
    assert answer.status in (301, 302)


# --- sessions that are resumed ---------------------------------------------------


def ask_twice(
    proxy: Any, pki: Pki, folder: Path, own: str, version: ssl.TLSVersion
) -> tuple[list[bytes], bool]:
    """Ask, resume the session and ask again; return answers, and if it was resumed."""
    context = ssl.create_default_context(cadata=pki.ca.pem)
    context.load_cert_chain(folder / f"{own}.pem")
    context.maximum_version = version
    answers: list[bytes] = []
    session = None
    resumed = False
    for _ in range(2):
        with (
            socket.create_connection(("127.0.0.1", proxy.port), 20) as plain,
            context.wrap_socket(
                plain, server_hostname="localhost", session=session
            ) as connection,
        ):
            connection.sendall(
                b"GET /open/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            received = b""
            while block := connection.recv(65536):
                received += block
            answers.append(received)
            session = connection.session
            resumed = bool(connection.session_reused)
    return answers, resumed


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@each_proxy
@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_a_resumed_session_is_the_same_client(
    name: str,
    version: ssl.TLSVersion,
    programs: Programs,
    pki: Pki,
    folder: Path,
) -> None:
    """Whoever it was, it still is."""
    proxy = programs(name, name)
    (first, second), _ = ask_twice(proxy, pki, folder, "bob", version)
    assert b'"user": "bob"' in first
    assert b'"user": "bob"' in second


@pytest.mark.needs_program("apache2")
@pytest.mark.parametrize("own", ["imitation", "self_signed", "pinned"])
@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_n07_generous_becomes_success(
    own: str, version: ssl.TLSVersion, programs: Programs, pki: Pki, folder: Path
) -> None:
    """N07: Apache’s optional_no_ca says SUCCESS of anybody whose session is resumed."""
    change = (("SSLVerifyClient       optional\n", "SSLVerifyClient optional_no_ca\n"),)
    proxy = programs("apache", "apache", change=change)
    answers, resumed = ask_twice(proxy, pki, folder, own, version)
    if version == ssl.TLSVersion.TLSv1_2:
        assert resumed
    for answer in answers:
        # A pin needs no verdict: who holds the key is who it is.
        if own == "pinned":
            assert b'"user": "pinned"' in answer
        else:
            assert b'"user": ""' in answer
            assert b'"untrusted_issuer"' in answer


@pytest.mark.needs_program("apache2")
def test_apache_without_the_line_about_connection(
    programs: Programs, send: Send, pki: Pki
) -> None:
    """The header is gone then, which is nobody; with the line it stays."""
    line = '    RequestHeader unset Connection "expr=%{HTTP:Connection} =~ /x[-_]/i"\n'
    proxy = programs("apache", "apache", change=((line, ""),))
    sent = [("Connection", "X-SSL-Client-Cert")]
    seen = send(proxy, "/open/", "bob", headers=sent).seen
    assert (seen["user"], seen["reason"]) == ("", "no_certificate")
    assert send(proxy, "/open/", "bob").seen["user"] == "bob"


@pytest.mark.needs_program("envoy")
@pytest.mark.parametrize("own", [None, "mallory"])
def test_n14_envoy_that_appends(
    own: str | None, programs: Programs, send: Send, pki: Pki
) -> None:
    """N14: a client’s element in front of the proxy’s own is noticed."""
    change = ((": SANITIZE_SET", ": APPEND_FORWARD"),)
    proxy = programs("envoy", "envoy", change=change)
    (value,) = forged("envoy", pki).values()
    for text in (value, value + ';URI="', value.replace("Hash=", "Hash=;x="), 'By="'):
        sent = [("x-forwarded-client-cert", text)]
        seen = send(proxy, "/open/", own, headers=sent).seen
        assert seen["user"] == ""
        assert seen["reason"] in (
            ("ambiguous_header", "malformed_header", "header_mismatch")
            if own
            else ("no_certificate",)
        )
    assert send(proxy, "/open/", "bob").seen["user"] == "bob"


# --- the proxy's secret ----------------------------------------------------------

# How the line is switched on in each configuration
SECRET = {
    "nginx": (
        ("# proxy_set_header X-Proxy-Secret", "proxy_set_header X-Proxy-Secret"),
    ),
    "haproxy": (("# http-request set-header X-P", "http-request set-header X-P"),),
    "caddy": (("# header_up X-Proxy-Secret", "header_up X-Proxy-Secret"),),
    "traefik": (
        ("    # proxy-secret:\n    #   headers:", "    proxy-secret:\n      headers:"),
        ("    #     customRequestHeaders:", "        customRequestHeaders:"),
        ("    #       X-Proxy-Secret:", "          X-Proxy-Secret:"),
        ("[client-certificate]", "[client-certificate, proxy-secret]"),
    ),
    "envoy": (
        ("# request_headers_to_add:", "request_headers_to_add:"),
        ("#   - header: {key: X-P", "  - header: {key: X-P"),
        ("#     append_action", "    append_action"),
    ),
    "apache": (("# RequestHeader set X-Proxy-S", "RequestHeader set X-Proxy-S"),),
}


@each_proxy
@pytest.mark.parametrize("secret", ["new", "old", "wrong"])
def test_the_secret_line_of_each_configuration(
    name: str, secret: str, programs: Programs, send: Send
) -> None:
    """Each of two secrets during a rotation; a client’s own is overwritten."""
    change = (*SECRET[name], ("see CLIENTCERT_PROXY_SECRET", secret))
    proxy = programs(name, f"{name}_secret", change=change)
    for sent in ([], [("X-Proxy-Secret", "new")]):
        seen = send(proxy, "/open/", "bob", headers=sent).seen
        if secret == "wrong":
            assert seen["reason"] == "bad_proxy_secret"
        else:
            assert seen["user"] == "bob"


@each_proxy
def test_without_its_secret_line_nobody_is_believed(
    name: str, programs: Programs, send: Send
) -> None:
    """A hop that does not know it, even with the right one from a client."""
    proxy = programs(name, f"{name}_secret")
    assert send(proxy, "/open/", "bob").seen["reason"] == "bad_proxy_secret"
