"""``clientcert probe`` and its endpoint; end_to_end/ tests it with proxies."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core import signing
from django.core.cache import cache

from django_clientcert.management.subcommands import probe as command
from django_clientcert.models import CertificateMapping, SeenCertificate
from django_clientcert.probe import endpoint
from django_clientcert.probe.attempts import (
    SPELLINGS,
    Client,
    Place,
    Reply,
    list_places,
)
from django_clientcert.probe.findings import judge
from django_clientcert.testing import ThrowawayCA, proxy_headers
from django_clientcert.wire import get_proxy
from django_clientcert.x509.certificates import ClientCertificate

from .running import clientcert

URL = "https://api.example.com/open/"


@pytest.fixture(autouse=True)
def nothing_taken() -> Iterator[None]:
    """Forget which questions were answered."""
    endpoint._taken.clear()
    cache.clear()
    yield
    endpoint._taken.clear()
    cache.clear()


# --- the answer ------------------------------------------------------------------


def question(der: bytes) -> tuple[dict[str, str], str]:
    """Return the headers of an attempt with *der*, and the nonce of its question."""
    headers = proxy_headers(der)
    token, nonce = endpoint.make_token(headers, ClientCertificate(der).fingerprint)
    return {**headers, endpoint.HEADER: token}, nonce


def test_a_forged_certificate_that_arrives_is_reported(
    ask: Any, mallory_cert: Any
) -> None:
    """Under WSGI and ASGI, on a path that does not exist, and not kept by a cache."""
    headers, nonce = question(mallory_cert.der)
    response = ask("/nowhere/", headers=headers)
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    answer = endpoint.read_answer(response.content.decode(), nonce)
    assert answer is not None
    assert answer.believed
    assert answer.proven
    assert answer.gate == ""
    assert answer.headers["ssl-client-cert"] == "forged"


def test_other_values_are_told_apart_and_not_told(
    ask: Any, alice_cert: Any, mallory_cert: Any
) -> None:
    """Absent, joined, the proxy's own; the value itself is never sent."""
    headers, nonce = question(mallory_cert.der)
    own = proxy_headers(alice_cert.der)
    headers["ssl-client-cert"] = own["ssl-client-cert"]
    headers["ssl-client-verify"] = "SUCCESS, NONE"
    del headers["ssl-client-issuer-dn"]
    text = ask(headers=headers).content.decode()
    answer = endpoint.read_answer(text, nonce)
    assert answer is not None
    assert answer.headers == {
        "ssl-client-cert": "other",
        "ssl-client-verify": "mixed",
        "ssl-client-subject-dn": "forged",
        "ssl-client-issuer-dn": "absent",
    }
    assert not answer.believed
    said = signing.loads(text, salt=endpoint._ANSWER)
    assert set(said) == {"nonce", "headers", "gate", "believed", "proven"}


def test_a_gate_is_told_and_nothing_is_logged_or_written(
    ask: Any, alice_cert: Any, mapping: Any, caplog: Any
) -> None:
    """No attack was made: no log line, no last use."""
    caplog.set_level(logging.WARNING, "django_clientcert")
    for peer, gate in (("203.0.113.9", "untrusted_peer"), ("10.1.2.3", "")):
        headers, nonce = question(alice_cert.der)
        response = ask(headers=headers, peer=peer)
        answer = endpoint.read_answer(response.content.decode(), nonce)
        assert answer is not None
        assert answer.gate == gate
        assert answer.headers["ssl-client-cert"] == "forged"
    assert caplog.text == ""
    assert CertificateMapping.objects.get().last_used_at is None
    assert not SeenCertificate.objects.exists()


def no_answer(ask: Any, headers: dict[str, str]) -> None:
    """Check that the view answers, as without a token."""
    response = ask(headers=headers)
    assert "accepted" in response.json()
    without = {k: v for k, v in headers.items() if k != endpoint.HEADER}
    assert ask(headers=without).content == response.content


@pytest.mark.django_db(transaction=True)
def test_a_question_is_answered_once(ask: Any, mallory_cert: Any) -> None:
    """Also if another process answered it."""
    headers, nonce = question(mallory_cert.der)
    assert endpoint.read_answer(ask(headers=headers).content.decode(), nonce)
    no_answer(ask, headers)
    endpoint._taken.clear()
    no_answer(ask, headers)


def test_what_was_answered_is_not_remembered_for_ever(monkeypatch: Any) -> None:
    """The memory has a limit; the cache remembers longer than a token is valid."""
    monkeypatch.setattr(endpoint, "_REMEMBERED", 2)
    for nonce in "abc":
        assert endpoint.take(endpoint.ProbeQuestion(nonce, "", {}, {}))
    assert list(endpoint._taken) == ["b", "c"]


@pytest.mark.parametrize("token", ["", "x", "a:b:c", "\x80", "é" * 9000])
def test_garbage_gets_what_it_always_gets(ask: Any, token: str) -> None:
    """No error, no difference."""
    no_answer(ask, {endpoint.HEADER: token})


@pytest.mark.django_db(transaction=True)
def test_others_cannot_ask(ask: Any, mallory_cert: Any, settings: Any) -> None:
    """Another key, another purpose, another shape, an old question."""
    headers, _ = question(mallory_cert.der)
    key = settings.SECRET_KEY
    settings.SECRET_KEY = "another"
    foreign, _ = question(mallory_cert.der)
    settings.SECRET_KEY = key
    payload = signing.loads(headers[endpoint.HEADER], salt=endpoint._QUESTION)
    for token in (
        foreign[endpoint.HEADER],
        signing.dumps(payload),
        signing.dumps(payload, salt=endpoint._ANSWER),
        signing.dumps(["n"], salt=endpoint._QUESTION),
    ):
        no_answer(ask, {**headers, endpoint.HEADER: token})


def test_an_old_question_is_not_answered(monkeypatch: Any) -> None:
    """A minute."""
    token, _ = endpoint.make_token({}, "")
    assert endpoint.read_token(token) is not None
    monkeypatch.setattr(endpoint, "MAX_AGE", -1)
    assert endpoint.read_token(token) is None


def test_a_key_that_is_being_replaced_counts(settings: Any) -> None:
    """SECRET_KEY_FALLBACKS."""
    token, _ = endpoint.make_token({}, "")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "new"
    assert endpoint.read_token(token) is not None


def test_an_answer_to_another_question_is_none() -> None:
    """Nor is an unsigned one, or one of another version."""
    answer = endpoint.Answer("n", {}, "", False, False)
    text = endpoint.sign_answer(answer)
    assert endpoint.read_answer(text, "n") == answer
    assert endpoint.read_answer(text, "m") is None
    assert endpoint.read_answer("<html>", "n") is None
    other = signing.dumps({"more": 1}, salt=endpoint._ANSWER)
    assert endpoint.read_answer(other, "n") is None


def test_a_key_of_the_environ_is_looked_at(ask: Any, settings: Any) -> None:
    """Which no client can write."""
    settings.CLIENTCERT_PROXY = "gunicorn"
    token, nonce = endpoint.make_token({"gunicorn.socket": "forged"}, "f")
    response = ask(headers={endpoint.HEADER: token, "gunicorn.socket": "forged"})
    answer = endpoint.read_answer(response.content.decode(), nonce)
    assert answer is not None
    assert answer.headers == {"gunicorn.socket": "absent"}


# --- what is sent ----------------------------------------------------------------


def test_spellings() -> None:
    """Each as octets, malformed ones included."""
    written = {one.name: one.write([("x-a-b", "1"), ("y", "2")]) for one in SPELLINGS}
    assert written == {
        "as the proxy writes them": b"x-a-b: 1\r\ny: 2\r\n",
        "capital letters": b"X-A-B: 1\r\nY: 2\r\n",
        "underscores": b"x_a_b: 1\r\ny: 2\r\n",
        "first hyphen an underscore": b"x_a-b: 1\r\ny: 2\r\n",
        "last hyphen an underscore": b"x-a_b: 1\r\ny: 2\r\n",
        "dots": b"x.a.b: 1\r\ny: 2\r\n",
        "twice": b"x-a-b: 1\r\ny: 2\r\nx-a-b: 1\r\ny: 2\r\n",
        "after a bare line feed": b"x-clientcert-a: 1\nx-a-b: 1\ny: 2\r\n",
        "named in Connection": b"Connection: x-a-b, y\r\nx-a-b: 1\r\ny: 2\r\n",
    }


def test_places() -> None:
    """Every path and host without and with a certificate; http; the server itself."""
    places = list(
        list_places(
            urlsplit("https://[::1]:8443"),
            paths=["/x/"],
            hosts=["b.example"],
            upstreams=[("10.0.0.1", 8000)],
            plain_port=8080,
            has_certificate=True,
        )
    )
    assert [(one.name, one.authority, one.server_name) for one in places] == [
        ("https", "[::1]:8443", "::1"),
        ("https, path /x/", "[::1]:8443", "::1"),
        ("https, host b.example", "b.example:8443", "b.example"),
        ("https, own certificate", "[::1]:8443", "::1"),
        ("https, path /x/, own certificate", "[::1]:8443", "::1"),
        ("https, host b.example, own certificate", "b.example:8443", "b.example"),
        ("http", "[::1]:8080", "::1"),
        ("direct to 10.0.0.1:8000", "[::1]:8443", "::1"),
    ]


@pytest.fixture
def listen() -> Iterator[Callable[..., int]]:
    """Answer one connection with some octets, perhaps over TLS; return the port."""
    threads: list[threading.Thread] = []

    def start(reply: bytes | None, context: ssl.SSLContext | None = None) -> int:
        server = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            with server, server.accept()[0] as plain:
                try:
                    peer = context.wrap_socket(plain, True) if context else plain
                except OSError:
                    return
                with peer:
                    peer.settimeout(5)
                    received = peer.recv(65536)
                    peer.sendall(b"" if reply is None else reply)
                    if reply is None:
                        peer.recv(1)
                    assert received

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return int(server.getsockname()[1])

    yield start
    for one in threads:
        one.join(10)


def make_client(**changes: Any) -> Client:
    """Return a client that waits a second."""
    given = {"cafile": None, "insecure": False, "certificate": None, "timeout": 1.0}
    return Client(**{**given, **changes})


def test_the_client(listen: Any, tmp_path: Path) -> None:
    """A reply; silence; no HTTP; and TLS, which is verified by default."""

    def place(port: int, tls: bool = False) -> Place:
        return Place("p", "127.0.0.1", port, tls, "/", f"localhost:{port}")

    good = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    client = make_client()
    assert client.send(place(listen(good)), b"") == Reply(200, "hi")
    silent = client.send(place(listen(None)), b"")
    assert (silent.status, silent.is_silence) == (0, True)
    broken = client.send(place(listen(b"no HTTP\r\n\r\n")), b"")
    assert (broken.status, broken.is_silence) == (0, False)
    assert "BadStatusLine" in broken.problem
    for host, port in ((".x", 80), ("127.0.0.1", 99999)):
        impossible = client.send(Place("p", host, port, False, "/", "x"), b"")
        # Some platforms take a port of more than 16 bits for the rest of it.
        assert (impossible.status, "Error: " in impossible.problem) == (0, True)

    server = ThrowawayCA.create("Servers").issue("localhost", dns=["localhost"])
    (tmp_path / "server.pem").write_text(server.pem + server.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    problem = client.send(place(listen(good, context), True), b"").problem
    assert "CERTIFICATE_VERIFY_FAILED" in problem
    own = (str(tmp_path / "server.pem"), None)
    client = make_client(insecure=True, certificate=own)
    assert client.send(place(listen(good, context), True), b"").body == "hi"


# --- what it means ---------------------------------------------------------------


def verdict(
    preset: str = "ingress-nginx",
    *,
    spelling: int = 0,
    gate: str = "",
    believed: bool = False,
    usual: str = "absent",
    direct: bool = False,
    **arrived: str,
) -> tuple[str, str, str]:
    """Return outcome, sentence and remedy for what arrived."""
    headers = {name.replace("_", "-"): value for name, value in arrived.items()}
    finding = judge(
        get_proxy(preset),
        Place("p", "h", 1, True, "/", "h", direct=direct),
        SPELLINGS[spelling],
        endpoint.Answer("n", headers, gate, believed, believed),
        usual=endpoint.Answer("n", dict.fromkeys(headers, usual), "", False, False),
    )
    return finding.outcome, finding.said, finding.remedy


def test_judgements() -> None:
    """What counts as a hole, and what to change."""
    all_four = {"ssl_client_cert": "forged", "ssl_client_verify": "forged"}
    outcome, said, remedy = verdict(believed=True, **all_four)
    assert (outcome, said) == ("HOLE", "the forged certificate is believed")
    assert "auth-tls-secret" in remedy
    outcome, said, remedy = verdict(ssl_client_cert="forged")
    assert (outcome, said) == ("HOLE", "arrives: ssl-client-cert")
    assert "auth-tls-pass-certificate-to-upstream" in remedy
    assert verdict(believed=True)[0] == "HOLE"
    assert "underscores" in verdict(spelling=2, **all_four)[2]
    assert "proxy-config" in verdict("nginx", x_ssl_client_cert="mixed")[2]
    assert "CLIENTCERT_PROXY_SECRET" in verdict(direct=True, **all_four)[2]
    outcome, said, _ = verdict(gate="untrusted_peer", **all_four)
    assert outcome == "closed"
    assert said.endswith("arrives, and is refused: untrusted_peer")
    assert verdict(gate="untrusted_peer")[1] == "refused: untrusted_peer"
    assert verdict(gate="ambiguous_header")[0] == "note"
    assert "underscores" in verdict(gate="ambiguous_header", spelling=2)[2]
    assert verdict(gate="ambiguous_header", **all_four)[0] == "HOLE"
    # The proxy’s own SUCCESS is that of the forgery
    assert verdict(usual="forged", ssl_client_verify="forged")[0] == "closed"
    assert verdict(ssl_client_cert="other") == ("closed", "", "")
    removed = verdict(spelling=8, usual="other", ssl_client_cert="absent")
    assert removed[0] == "HOLE"
    assert "Connection" in removed[2]
    assert verdict(spelling=8, ssl_client_cert="absent")[0] == "closed"


# --- the command -----------------------------------------------------------------


class Deployment:
    """Takes the place of the network: what it replies to each request."""

    def __init__(self, arrives: bool, reply: Reply | None = None) -> None:
        self.arrives = arrives
        self.reply = reply
        self.asked: list[tuple[Place, bytes]] = []
        self.refuses: Reply | None = None

    def send(self, place: Place, lines: bytes) -> Reply:
        """Return the answer of the application."""
        self.asked.append((place, lines))
        if self.reply is not None:
            return self.reply
        if self.refuses is not None and b"x-clientcert-a" in lines:
            return self.refuses
        prefix = f"{endpoint.HEADER}: ".encode()
        (token,) = (
            line.removeprefix(prefix).decode()
            for line in lines.split(b"\r\n")
            if line.startswith(prefix)
        )
        asked = endpoint.read_token(token)
        assert asked is not None
        forged = self.arrives and len(lines) > 1000
        headers = dict.fromkeys(asked["h"], "forged" if forged else "absent")
        answer = endpoint.Answer(asked["n"], headers, "", forged, forged)
        return Reply(200, endpoint.sign_answer(answer))


@pytest.fixture
def deployed(monkeypatch: Any) -> Callable[..., Deployment]:
    """Put a deployment in the place of the network."""

    def deploy(arrives: bool = False, reply: Reply | None = None) -> Deployment:
        deployment = Deployment(arrives, reply)
        monkeypatch.setattr(command, "Client", lambda **_: deployment)
        return deployment

    return deploy


def test_no_hole(deployed: Any, settings: Any) -> None:
    """Status 0; three paths over https, http on port 80; a token is used once."""
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    deployment = deployed()
    outcome = clientcert("probe", URL)
    assert (outcome.status, outcome.err) == (0, "")
    assert "No hole in 36 attempts; 0 got no answer." in outcome.out
    assert {one.port for one, _ in deployment.asked} == {80, 443}
    for place, lines in deployment.asked:
        assert (b"X-FORWARDED-PROTO: https\r\n" in lines) == (not place.tls)
    assert len({lines for _, lines in deployment.asked}) == 40
    settings.SECURE_PROXY_SSL_HEADER = None
    assert clientcert("probe", "http://127.0.0.1:8000?a=b").status == 0
    assert deployment.asked[-1][0].tls is False


def test_a_hole(deployed: Any) -> None:
    """Status 1, each with its place, and what to change once."""
    deployed(arrives=True)
    outcome = clientcert("probe", URL, "--http-port", "0", "--path", "/")
    assert outcome.status == 1
    assert "HOLE         https: as the proxy writes them" in outcome.out
    assert outcome.out.count("auth-tls-secret") == 1
    outcome = clientcert("probe", URL, "--http-port", "0", "--json")
    assert outcome.status == 1
    assert outcome.data["holes"] == len(outcome.data["attempts"])
    deployed()
    outcome = clientcert("probe", URL, "--json")
    assert (outcome.status, json.loads(outcome.out)["holes"]) == (0, 0)


def test_nothing_is_known(deployed: Any) -> None:
    """Status 2, and possible reasons; another program's page is not an answer."""
    for reply in (Reply(404), Reply(200, "hello"), Reply(0, problem="OSError: x")):
        deployed(reply=reply)
        outcome = clientcert("probe", URL)
        assert outcome.status == 2
        assert "SECRET_KEY" in outcome.error
        assert "clock" in outcome.error


def test_a_refusal_is_closed_and_silence_is_not(deployed: Any) -> None:
    """A refused attempt does not arrive; one without a reply is unknown."""
    deployment = deployed()
    deployment.refuses = Reply(400)
    outcome = clientcert("probe", URL)
    assert "closed       https: after a bare line feed  HTTP 400" in outcome.out
    deployment.refuses = Reply(0, problem="TimeoutError: timed out", is_silence=True)
    outcome = clientcert("probe", URL)
    assert "not reached  https: after a bare line feed  TimeoutErr" in outcome.out
    assert "; 4 got no answer." in outcome.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("ftp://api.example.com/",),
        ("https:///",),
        ("https://api.example.com:x/",),
        (URL, "--upstream", "8000"),
        (URL, "--key", "a.key"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], deployed: Any) -> None:
    """It is refused, and nothing is sent."""
    deployment = deployed()
    assert clientcert("probe", *arguments).status != 0
    assert deployment.asked == []


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    """They are named before anything is sent."""
    outcome = clientcert("probe", URL, "--cert", str(tmp_path / "none.pem"))
    assert outcome.status == 1
    assert "--cert" in outcome.error


@pytest.mark.parametrize("preset", ["gunicorn", "mod_wsgi", "envoy", "rfc9440"])
def test_other_presets(preset: str, deployed: Any, settings: Any) -> None:
    """A name of the environ is written as a client would write it."""
    settings.CLIENTCERT_PROXY = preset
    deployment = deployed()
    assert clientcert("probe", URL, "--upstream", "[::1]:8000").status == 0
    name = get_proxy(preset).certificate.replace("_", "-")
    assert f"{name}: ".encode() in deployment.asked[1][1]
    assert deployment.asked[-1][0].host == "::1"
