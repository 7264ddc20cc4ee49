"""Application servers: two spellings of a header, and TLS that ends in the server."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from django_clientcert.testing import proxy_headers
from example_project.programs import Program

from .conftest import ROOT, Answer, environment
from .pki import Pki
from .servers import COMMANDS, Server, install_for_debian

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

PROGRAMS = {"waitress": "waitress-serve", "uwsgi": "uwsgi"}


def by_name(name: str, *values: Any) -> Any:
    """Return a row of a table, for a machine that has the server."""
    program = PROGRAMS.get(name, name.split("-")[0])
    return pytest.param(
        name, *values, marks=pytest.mark.needs_program(program), id=name
    )


@pytest.fixture(scope="session")
def for_debian(folder: Path) -> Path:
    """Django for the Python of Debian’s Apache and uWSGI."""
    return install_for_debian(folder)


@pytest.fixture(scope="session")
def servers(
    folder: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Server]]:
    """Start a server when it is asked for, for one preset."""
    running: dict[tuple[str, str], Server] = {}

    def get(name: str, preset: str) -> Server:
        if (name, preset) not in running:
            variables = environment(folder, {"CLIENTCERT_PROXY": preset})
            if name == "uwsgi":
                variables["PYTHONPATH"] = str(request.getfixturevalue("for_debian"))
            log = folder / f"{name}-{preset}.log"
            running[name, preset] = Server(name, ROOT, log, variables)
            running[name, preset].wait()
        return running[name, preset]

    yield get
    for server in running.values():
        server.stop()


def ask(server: Server, lines: list[tuple[str, str]]) -> dict[str, Any]:
    """Return what the view saw of header lines, past any proxy."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.putrequest("GET", "/open/", skip_host=True)
        for name, value in [("Host", "localhost"), *lines]:
            connection.putheader(name, value)
        connection.putheader("X-Forwarded-Proto", "https")
        connection.endheaders()
        response = connection.getresponse()
        return Answer(response.status, response.read()).seen
    finally:
        connection.close()


# --- two spellings of one header -------------------------------------------------

# What becomes of the client's own ssl_client_cert beside the proxy's
# ssl-client-cert, and alone
TWO_SPELLINGS = [
    by_name("gunicorn", "unmapped", "no_certificate"),
    by_name("uvicorn", "ambiguous_header", "ambiguous_header"),
    by_name("hypercorn-asgi", "ambiguous_header", "ambiguous_header"),
    by_name("hypercorn-wsgi", "ambiguous_header", "header_mismatch"),
    by_name("daphne", "unmapped", "no_certificate"),
    by_name("granian-asgi", "ambiguous_header", "ambiguous_header"),
    # The last one wins: the names that the proxy sends give it away.
    by_name("granian-wsgi", "header_mismatch", "header_mismatch"),
    by_name("cheroot", "header_mismatch", "header_mismatch"),
    by_name("waitress", "unmapped", "no_certificate"),
    by_name("uwsgi", "ambiguous_header", "header_mismatch"),
]


@pytest.mark.parametrize(("name", "beside", "alone"), TWO_SPELLINGS)
def test_n05_another_spelling_past_a_proxy_that_lets_it_pass(
    name: str, beside: str, alone: str, servers: Callable[..., Server], pki: Pki
) -> None:
    """N05: Mallory’s certificate from the proxy, Alice’s from the client."""
    server = servers(name, "ingress-nginx")
    own = proxy_headers(pki.certificates["mallory"].der)
    alice = proxy_headers(pki.certificates["alice"].der)["ssl-client-cert"]
    spelt = [
        "ssl_client_cert",
        "SSL_CLIENT_CERT",
        "ssl-client_cert",
        "ssl_client-cert",
    ]
    without = [item for item in own.items() if item[0] != "ssl-client-cert"]
    for spelling in spelt:
        for lines in (
            [*own.items(), (spelling, alice)],
            [(spelling, alice), *own.items()],
        ):
            seen = ask(server, lines)
            assert seen["user"] == ""
            # Where the last one wins, the proxy's may be it.
            assert seen["reason"] in (beside, "unmapped"), (spelling, seen)
        seen = ask(server, [*without, (spelling, alice)])
        assert (seen["user"], seen["reason"]) == ("", alone), spelling


@pytest.mark.parametrize(("name", "beside", "alone"), TWO_SPELLINGS)
def test_n06_two_lines_past_a_proxy_that_adds_its_own(
    name: str, beside: str, alone: str, servers: Callable[..., Server], pki: Pki
) -> None:
    """N06: joined by a comma, kept apart, or the last one: never Alice."""
    server = servers(name, "ingress-nginx")
    own = proxy_headers(pki.certificates["mallory"].der)
    alice = proxy_headers(pki.certificates["alice"].der)["ssl-client-cert"]
    for lines in (
        [*own.items(), ("ssl-client-cert", alice)],
        [("ssl-client-cert", alice), *own.items()],
    ):
        seen = ask(server, lines)
        assert seen["user"] == ""
        assert seen["reason"] in ("ambiguous_header", "header_mismatch", "unmapped")


@pytest.mark.parametrize("name", [by_name(name) for name in COMMANDS])
def test_what_the_proxy_sends_arrives(
    name: str, servers: Callable[..., Server], pki: Pki
) -> None:
    """Every server hands over the headers as they are."""
    headers = proxy_headers(pki.certificates["alice"].der)
    assert ask(servers(name, "ingress-nginx"), [*headers.items()])["user"] == "alice"


LAX = ["hypercorn-wsgi", "granian-wsgi", "cheroot", "uwsgi"]


@pytest.mark.needs_program("nginx")
@pytest.mark.needs_program("haproxy")
@pytest.mark.needs_program("apache2")
@pytest.mark.parametrize("name", [by_name(name) for name in LAX])
def test_n05_the_configurations_keep_other_spellings_from_lax_servers(
    name: str,
    servers: Callable[..., Server],
    send: Callable[..., Answer],
    folder: Path,
    pki: Pki,
) -> None:
    """N05: where a server makes one header of two, the proxy lets one pass only."""
    for preset in ("nginx", "haproxy", "apache"):
        server = servers(name, preset)
        headers = proxy_headers(pki.certificates["alice"].der, preset=preset)
        with Program(
            preset,
            folder / f"lax-{name}-{preset}",
            upstream=server.address,
            certificate=pki.server.chain_pem,
            key=pki.server.key_pem,
            ca=pki.ca.pem,
        ) as proxy:
            assert send(proxy, "/open/", "alice").seen["user"] == "alice"
            for own in (None, "mallory"):
                sent = [(one.replace("-", "_"), two) for one, two in headers.items()]
                answer = send(proxy, "/open/", own, headers=sent)
                if answer.status != 403:  # Apache refuses such requests
                    assert answer.seen["user"] == ""


# --- TLS that ends in the server -------------------------------------------------


@pytest.fixture(scope="session")
def terminating(
    folder: Path, pki: Pki, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Program]]:
    """Start a program that runs the application itself."""
    running: dict[str, Program] = {}
    with ExitStack() as stack:

        def get(name: str) -> Program:
            if name not in running:
                variables = environment(
                    folder,
                    {"CLIENTCERT_PROXY": name, "CLIENTCERT_TRUSTED_PROXIES": None},
                )
                change: list[tuple[str, str]] = []
                if name == "mod_wsgi":
                    change = _inside_apache(
                        folder,
                        request.getfixturevalue("for_debian"),
                        variables,
                        request,
                    )
                elif name == "uwsgi":
                    site = request.getfixturevalue("for_debian")
                    variables["PYTHONPATH"] = f"{site}:{ROOT}"
                    change = [
                        ("module = project.wsgi", "module = tests.end_to_end.wsgi"),
                        ("# Debian: plugins", "plugins"),
                    ]
                elif name == "gunicorn":
                    change = [
                        (
                            "import ssl\n",
                            "import ssl\nwsgi_app = 'tests.end_to_end.wsgi'\n",
                        )
                    ]
                    variables["PYTHONPATH"] = str(ROOT)
                running[name] = stack.enter_context(
                    Program(
                        name,
                        folder / f"terminating-{name}",
                        upstream="127.0.0.1:1",
                        certificate=pki.server.chain_pem,
                        key=pki.server.key_pem,
                        ca=pki.ca.pem,
                        change=change,
                        environment=variables,
                    )
                )
            return running[name]

        yield get


def _inside_apache(
    folder: Path,
    site: Path,
    variables: dict[str, str],
    request: pytest.FixtureRequest,
) -> list[tuple[str, str]]:
    """Make a script for mod_wsgi; return what it changes in the configuration.

    All that it needs is copied to where Apache's own user may look.
    """
    own = Path(tempfile.mkdtemp(prefix="mod_wsgi"))
    request.addfinalizer(lambda: shutil.rmtree(own))
    own.chmod(0o755)
    for name in ("django_clientcert", "tests"):
        shutil.copytree(
            ROOT / name, own / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copytree(site, own / "site")
    shutil.copy(folder / "db.sqlite3", own)
    names = ("DJANGO_SETTINGS_MODULE", "END_TO_END_SETTINGS")
    values = {name: variables[name] for name in names}
    values["END_TO_END_DATABASE"] = str(own / "db.sqlite3")
    script = own / "project.wsgi"
    script.write_text(
        "import os, sys\n"
        f"sys.path[:0] = {[str(own / 'site'), str(own)]!r}\n"
        f"os.environ.update({json.dumps(values)})\n"
        "from tests.end_to_end.wsgi import application\n"
    )
    return [("/srv/project/wsgi.py", str(script))]


SERVERS = [
    pytest.param("gunicorn", marks=pytest.mark.needs_program("gunicorn")),
    pytest.param("uwsgi", marks=pytest.mark.needs_program("uwsgi")),
    pytest.param(
        "mod_wsgi",
        marks=[
            pytest.mark.needs_program("apache2"),
            pytest.mark.skipif(
                not Path("/usr/lib/apache2/modules/mod_wsgi.so").exists()
                and not os.environ.get("CLIENTCERT_REQUIRE_PROGRAMS"),
                reason="Apache without mod_wsgi",
            ),
        ],
    ),
]


@pytest.mark.parametrize("name", SERVERS)
def test_the_server_itself_knows_the_certificate(
    name: str, terminating: Callable[[str], Program], send: Callable[..., Answer]
) -> None:
    """Who has one, who has none, and who has one that does not verify."""
    server = terminating(name)
    for who in ("alice", "bob", "carol", "big"):
        assert send(server, "/ledger/", who).seen["user"] == who
    assert send(server, "/ledger/").status == 403
    assert send(server, "/open/", "mallory").seen["reason"] == "unmapped"
    for who in ("expired", "pinned", "imitation", "self_signed"):
        try:
            answer = send(server, "/open/", who)
        except (ssl.SSLError, OSError, http.client.HTTPException):
            continue
        pytest.fail(f"{who}: {answer}")


@pytest.mark.parametrize("name", SERVERS)
def test_a_chain_of_the_client_in_the_server(
    name: str, terminating: Callable[[str], Program], send: Callable[..., Answer]
) -> None:
    """Apache hands it over; the others know the client’s own alone."""
    seen = send(terminating(name), "/open/", "erin").seen
    if name == "mod_wsgi":
        assert seen["user"] == "erin"
    else:
        assert seen["reason"] == "untrusted_issuer"


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("own", [None, "mallory"])
def test_n01_headers_are_nothing_to_it(
    name: str,
    own: str | None,
    terminating: Callable[[str], Program],
    send: Callable[..., Answer],
    pki: Pki,
) -> None:
    """Whatever a client writes, in the names of every variable that is read."""
    alice = pki.certificates["alice"]
    values = [
        ("SSL-Client-Cert", proxy_headers(alice.der)["ssl-client-cert"]),
        ("SSL_CLIENT_CERT", proxy_headers(alice.der)["ssl-client-cert"]),
        ("SSL-Client-Verify", "SUCCESS"),
        ("HTTPS-Client-Certificate", "x"),
        ("HTTPS_CLIENT_CERTIFICATE", "x"),
        ("gunicorn.socket", "x"),
    ]
    answer = send(terminating(name), "/open/", own, headers=values)
    if answer.status != 400:
        assert answer.seen["user"] == ""
        assert answer.seen["reason"] == ("unmapped" if own else "no_certificate")
