"""``clientcert crl``: imported, fetched from a real server, listed."""

from __future__ import annotations

import datetime as dt
import io
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django.db import DatabaseError, connection

from django_clientcert.management.subcommands import crl
from django_clientcert.management.subcommands.console import fetch as fetching
from django_clientcert.management.subcommands.console.fetch import FetchError, fetch
from django_clientcert.management.subcommands.console.progress import ProgressBar
from django_clientcert.models import CertificateAuthority, RevocationList
from django_clientcert.testing import SERVER_AUTH, IssuedCertificate, ThrowawayCA
from tests import crl_writer as lists
from tests.deciding import decide, map_to
from tests.project.test_wings import PACKAGE, imports

from .running import clientcert

pytestmark = pytest.mark.django_db

NOW = dt.datetime.now(dt.timezone.utc)
MIB = 1024 * 1024


def to_pem(*lists: bytes) -> bytes:
    """Return lists as one PEM file."""
    return b"".join(
        x509.load_der_x509_crl(one).public_bytes(Encoding.PEM) for one in lists
    )


# --- import ------------------------------------------------------------------------


def test_a_file_is_imported(
    tmp_path: Path,
    alice: Any,
    authority: CertificateAuthority,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
) -> None:
    """Its authority is found by the signature; what is in force is said."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    file = tmp_path / "a.crl"
    file.write_bytes(ca.crl([alice_cert], number=1))
    outcome = clientcert("crl", "import", str(file))
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith(
        "Test CA: CRL number 1 is in force, 1 entries, valid until "
    )
    assert decide(alice_cert).reason == "revoked"
    assert RevocationList.objects.get().source == str(file)
    file.write_bytes(ca.crl([], number=2))
    outcome = clientcert("crl", "import", str(file), "--authority", "Test CA")
    assert outcome.out.rstrip().endswith(", in place of CRL number 1.")
    assert decide(alice_cert).accepted


def test_several_in_one_file(
    authority: CertificateAuthority, ca: ThrowawayCA, other_ca: ThrowawayCA
) -> None:
    """Each goes to its own authority; where one is refused, those before stay."""
    other = CertificateAuthority.objects.create(name="Other", bundle=other_ca.pem)
    data = to_pem(ca.crl([7]), other_ca.crl([8]))
    assert clientcert("crl", "import", "-", stdin=data).status == 0
    assert authority.revocation_lists.count() == other.revocation_lists.count() == 1
    assert RevocationList.objects.filter(source="standard input").count() == 2
    data = to_pem(ca.crl([9], number=2), ca.crl([9], number=1))
    outcome = clientcert("crl", "import", "-", stdin=data)
    assert outcome.status == 1
    assert outcome.error.startswith("Standard input: This is an older CRL")
    assert outcome.error.endswith("CRLs imported before it: 1.")
    assert [one.number for one in authority.revocation_lists.all()] == ["2"]


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ([], "no authority is stored"),
        (["Other"], "none issued this one"),
        (["Mine", "Again"], "Choose one with --authority"),
        (["Mine"], "cut off"),
        (["Broken"], "no authority is stored"),
    ],
)
def test_whose_list_it_is_has_to_be_clear(
    ca: ThrowawayCA, other_ca: ThrowawayCA, stored: list[str], text: str
) -> None:
    """What is in the way is said, with what to type."""
    bundles = {"Other": other_ca.pem, "Broken": "broken"}
    for name in stored:
        CertificateAuthority.objects.create(name=name, bundle=bundles.get(name, ca.pem))
    data = ca.crl([7])
    if text == "cut off":
        data = data[:-3]
    outcome = clientcert("crl", "import", "-", stdin=data)
    assert outcome.status == 1
    assert text in outcome.error
    assert not RevocationList.objects.exists()


def test_a_list_that_is_of_no_use_is_imported_with_a_warning(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """It is stale, or nobody looks at it."""
    stale = ca.crl(
        [7], this_update=NOW - dt.timedelta(9), next_update=NOW - dt.timedelta(2)
    )
    CertificateAuthority.objects.update(revocation_policy="off")
    outcome = clientcert("crl", "import", "-", stdin=stale)
    assert outcome.status == 0
    assert "CRL number 1 is stale" in outcome.err
    assert "policy is off" in outcome.err
    # Whoever only wants to hear of trouble hears of this, and again each time.
    quiet = clientcert("crl", "import", "-", "-v", "0", stdin=stale)
    assert (quiet.status, quiet.out) == (0, "")
    assert "CRL number 1 is stale" in quiet.err


def test_a_list_that_is_loaded_already_is_no_error(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """Whether it comes alone or in front of another."""
    first = ca.crl([7], number=1)
    assert clientcert("crl", "import", "-", stdin=first).status == 0
    again = clientcert("crl", "import", "-", stdin=first)
    assert (again.status, again.err) == (0, "")
    assert again.out == "Test CA: standard input: nothing new.\n"
    data = to_pem(first, ca.crl([8], number=2))
    outcome = clientcert("crl", "import", "-", stdin=data)
    assert outcome.status == 0
    assert RevocationList.objects.get().number == "2"


@pytest.mark.parametrize("names", [("A", "B"), ("B", "A")])
def test_of_two_cas_with_one_name_the_one_that_signed_is_found(
    names: tuple[str, str], ca: ThrowawayCA, other_ca: ThrowawayCA
) -> None:
    """Also where the list does not say which key that was."""
    for name, root in zip(names, (other_ca, ca), strict=True):
        CertificateAuthority.objects.create(name=name, bundle=root.pem)
    data = lists.crl(ca, entries=[lists.entry(7)])
    assert clientcert("crl", "import", "-", stdin=data).status == 0
    assert RevocationList.objects.get().authority.name == names[1]
    damaged = data[:-1] + bytes([data[-1] ^ 1])
    outcome = clientcert("crl", "import", "-", stdin=damaged)
    assert outcome.status == 1
    assert "The signature of the CRL does not verify" in outcome.error


# --- list --------------------------------------------------------------------------


def test_the_lists_are_listed(authority: CertificateAuthority, ca: ThrowawayCA) -> None:
    """As text and for programs."""
    assert clientcert("crl", "list").out.startswith("No CRLs.")
    point = x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier("http://crl.example/a")],
        relative_name=None,
        only_contains_user_certs=True,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )
    stale = ca.crl(
        [7],
        number=None,
        this_update=NOW - dt.timedelta(9),
        next_update=NOW - dt.timedelta(2),
    )
    for data in (ca.crl([7], number=3, distribution_point=point), stale):
        assert clientcert("crl", "import", "-", stdin=data).status == 0
    RevocationList.objects.filter(number="").update(source="")
    lines = clientcert("crl", "list").out.splitlines()
    assert "Test CA: CRL number 3 of CN=Test Root CA, 1 entries, valid" in lines[0]
    assert lines[1].startswith("  only certificates of end entities only; partition")
    assert lines[2] == "  from standard input"
    assert "STALE since" in lines[3]
    assert lines[4] == "  from an upload"
    first, second = clientcert("crl", "list", "--json").data["revocation_lists"]
    assert (first["number"], first["stale"], first["entries"]) == ("3", False, 1)
    assert (second["number"], second["stale"], second["scope"]) == (None, True, "")
    assert first["policy"] == "if_loaded"


def test_r23_a_crl_that_lost_entries_is_imported_with_a_warning(
    alice: Any, authority: CertificateAuthority, ca: ThrowawayCA, alice_cert: Any
) -> None:
    """On standard error, with the mapping that is accepted again."""
    fields = {"certificate": alice_cert.der}
    mapping = map_to(alice, "fingerprint", alice_cert.fingerprint, **fields)
    clientcert("crl", "import", "-", stdin=ca.crl([alice_cert, 7], number=1))
    data = lists.crl(ca, entries=[lists.entry(0)], extensions=[lists.number(2)])
    outcome = clientcert("crl", "import", "-", stdin=data)
    assert outcome.status == 0
    end = alice_cert.certificate.not_valid_after_utc
    lost, zero = outcome.err.splitlines()
    assert lost.startswith(
        "Warning: Test CA: 2 serial numbers that CRL number 1 revoked are not in CRL "
        f"number 2, among them that of CN=alice (mapping {mapping.pk}, valid until "
        f"{end:%Y-%m-%d})."
    )
    assert "CRL number 2 has an entry for the serial number 0" in zero


# --- fetch ---------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """A web server of a few addresses, on this machine only."""

    daemon_threads = False  # the end of the test waits for them
    answers: dict[str, Any]


class Handler(BaseHTTPRequestHandler):
    """Answers what the server was told to."""

    server: Server

    def do_GET(self) -> None:
        """Send a list, an error, a redirect, or something slow."""
        answer = self.server.answers.get(self.path)
        if callable(answer):
            answer(self)
        elif isinstance(answer, str):
            self.send_response(302)
            self.send_header("Location", answer)
            self.end_headers()
        elif answer is None:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A real web server on a free port."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.answers = {}
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def address(server: Server, path: str = "/a.crl") -> str:
    """Return the address of *path*."""
    return f"http://127.0.0.1:{server.server_port}{path}"


def test_lists_are_fetched(
    server: Server, authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """A CRL that is loaded already is not an error, nor is one that moved."""
    assert clientcert("crl", "fetch").out.startswith("No authority has an address")
    authority.crl_urls = address(server)
    authority.save()
    server.answers["/a.crl"] = "/b.crl"
    server.answers["/b.crl"] = ca.crl([7], number=1)
    outcome = clientcert("crl", "fetch")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("Test CA: CRL number 1 is in force")
    assert RevocationList.objects.get().source == address(server)
    outcome = clientcert("crl", "fetch")
    assert outcome.status == 0
    assert outcome.out == f"Test CA: {address(server)}: nothing new.\n"
    quiet = clientcert("crl", "fetch", "-v", "0")
    assert (quiet.status, quiet.text) == (0, "")
    server.answers["/b.crl"] = ca.crl([7], number=2)
    quiet = clientcert("crl", "fetch", "-v", "0", "--authority", "Test CA")
    assert (quiet.status, quiet.text) == (0, "")
    assert RevocationList.objects.get().number == "2"
    CertificateAuthority.objects.update(crl_urls="")
    assert clientcert("crl", "fetch", "-v", "0").text == ""


def test_r23_a_fetched_crl_that_lost_entries_is_for_somebody_to_look_at(
    server: Server, authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """Exit status 1 and a warning, also with -v 0; it is in force, so only once."""
    authority.crl_urls = address(server)
    authority.save()
    server.answers["/a.crl"] = ca.crl([7, 8], number=1)
    assert clientcert("crl", "fetch", "-v", "0").text == ""
    server.answers["/a.crl"] = ca.crl([8], number=2)
    outcome = clientcert("crl", "fetch", "-v", "0")
    assert outcome.status == 1
    assert "1 serial number that CRL number 1 revoked is not in CRL" in outcome.err
    assert outcome.error.startswith("CRLs that were imported with a warning: 1.")
    assert RevocationList.objects.get().number == "2"
    assert clientcert("crl", "fetch", "-v", "0").text == ""


def test_several_lists_at_one_address(
    server: Server, authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """Each is loaded, also behind one that is refused; one address has failed."""
    authority.crl_urls = address(server)
    authority.save()
    other = ThrowawayCA.create("Somebody").crl([7])
    server.answers["/a.crl"] = to_pem(other, ca.crl([7], number=3))
    outcome = clientcert("crl", "fetch")
    assert outcome.error.startswith("1 of 1 addresses failed")
    assert "which is not one of the authority" in outcome.err
    assert RevocationList.objects.get().number == "3"


def test_an_authority_that_is_deleted_meanwhile_is_said(
    server: Server,
    authority: CertificateAuthority,
    ca: ThrowawayCA,
    other_ca: ThrowawayCA,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others are fetched all the same."""
    CertificateAuthority.objects.update(crl_urls=address(server))
    CertificateAuthority.objects.create(
        name="Z", bundle=other_ca.pem, crl_urls=address(server, "/z.crl")
    )
    server.answers["/a.crl"] = ca.crl([7])
    server.answers["/z.crl"] = other_ca.crl([7])

    def fetch_and_delete(url: str, **options: Any) -> bytes:
        data = fetch(url, **options)
        CertificateAuthority.objects.filter(name="Test CA").delete()
        return data

    monkeypatch.setattr(crl, "fetch", fetch_and_delete)
    outcome = clientcert("crl", "fetch")
    assert outcome.status == 1
    assert "Test CA was deleted" in outcome.err
    assert RevocationList.objects.get().authority.name == "Z"


def test_one_that_fails_does_not_keep_the_others_away(
    server: Server,
    authority: CertificateAuthority,
    ca: ThrowawayCA,
    other_ca: ThrowawayCA,
) -> None:
    """Each failure is said, and the status is for cron."""
    authority.crl_urls = "\n".join(
        address(server, path) for path in ("/gone", "/page", "/foreign", "/a.crl")
    )
    authority.save()
    server.answers["/page"] = b"<html>Sorry</html>"
    server.answers["/foreign"] = other_ca.crl([7])
    server.answers["/a.crl"] = ca.crl([7])
    outcome = clientcert("crl", "fetch")
    assert outcome.status == 1
    assert outcome.error.startswith("3 of 4 addresses failed")
    assert "/gone: the server answers 404" in outcome.err
    assert "/page: This is a web page" in outcome.err
    assert "/foreign: The CRL is signed with another key" in outcome.err
    assert RevocationList.objects.count() == 1


def endless(handler: Handler) -> None:
    """Send more than any list has, without saying how much."""
    handler.send_response(200)
    handler.end_headers()
    try:
        for _number in range(64):
            handler.wfile.write(b"x" * MIB)
    except OSError:
        pass  # the client has had enough


def endless_redirect(handler: Handler) -> None:
    """Send the client on, and more than any list has."""
    handler.send_response(302)
    handler.send_header("Location", "/moved")
    handler.end_headers()
    try:
        for _number in range(64):
            handler.wfile.write(b"x" * MIB)
    except OSError:
        return  # the client has had enough
    handler.server.answers["/moved"] = b"all of it was read"


def slow(handler: Handler) -> None:
    """Send a byte now and then, in the headers already."""
    try:
        for octet in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 20:
            handler.wfile.write(bytes([octet]))
            time.sleep(0.05)
    except OSError:
        pass  # the client has had enough


def slow_body(handler: Handler) -> None:
    """Send the headers at once, and the rest never."""
    handler.send_response(200)
    handler.end_headers()
    try:
        for _number in range(40):
            handler.wfile.write(b"x")
            time.sleep(0.05)
    except OSError:
        pass  # the client has had enough


def cut_off(handler: Handler) -> None:
    """Promise more than is sent."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b"x" * 10)


def no_http(handler: Handler) -> None:
    """Send something that is not an answer."""
    handler.wfile.write(b"nonsense\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("file:///etc/passwd", "not allowed"),
        ("ftp://127.0.0.1/x", "neither http nor https"),
        ("/loop", "redirect"),
        (endless, "larger than 1 MiB"),
        (b"x" * (MIB + 1), "larger than 1 MiB"),
        (slow, "too long"),
        (slow_body, "too long"),
        (cut_off, "cut off after 10 of 100 bytes"),
        (no_http, "the connection failed"),
        (None, "answers 404"),
    ],
)
def test_what_cannot_be_had_is_said(server: Server, answer: Any, text: str) -> None:
    """And nothing takes longer, or more room, than it may."""
    server.answers["/a.crl"] = answer
    server.answers["/loop"] = "/loop"
    with pytest.raises(FetchError) as caught:
        fetch(address(server), max_bytes=MIB, timeout=5, deadline=1)
    assert text in str(caught.value)


def test_a_server_that_nobody_vouches_for_is_not_believed(
    server: Server, ca: ThrowawayCA, tmp_path: Path
) -> None:
    """Whoever set an https address relies on its certificate."""
    certificate = ca.issue("localhost", dns=["localhost"], eku=[SERVER_AUTH])
    file = tmp_path / "server.pem"
    file.write_text(certificate.pem + certificate.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    server.answers["/a.crl"] = b"x"
    url = address(server).replace("http://127.0.0.1", "https://localhost")
    with pytest.raises(FetchError, match="certificate verify failed"):
        fetch(url, max_bytes=MIB)


def test_what_comes_with_a_redirect_is_not_read(server: Server) -> None:
    """It would not count as a part of the list, and may be without end."""
    server.answers["/a.crl"] = endless_redirect
    server.answers["/moved"] = b"x"
    assert fetch(address(server), max_bytes=MIB) == b"x"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://127.0.0.1:1/", "no answer"),
        ("http://[::1/", "not a valid URL"),
        ("http://name:word@127.0.0.1/", "the connection failed"),
        ("file:///etc/passwd", "neither http nor https"),
    ],
)
def test_nobody_listens_is_said(url: str, text: str) -> None:
    """A closed port, an invalid host, an address of another kind."""
    with pytest.raises(FetchError, match=text):
        fetch(url, max_bytes=MIB, timeout=2, deadline=2)


def test_what_goes_wrong_in_the_thread_is_raised(server: Server) -> None:
    """Not said to be the time that is up."""

    def fail(done: int, total: int) -> None:
        raise RuntimeError("a mistake")

    server.answers["/a.crl"] = b"x"
    with pytest.raises(RuntimeError, match="a mistake"):
        fetch(address(server), max_bytes=MIB, progress=fail)


def test_a_database_that_refuses_one_may_take_the_next(
    server: Server, authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """It is said, and the next one is fetched."""
    authority.crl_urls = f"{address(server)}\n{address(server, '/b.crl')}"
    authority.save()
    server.answers["/a.crl"] = ca.crl([7], number=1)
    server.answers["/b.crl"] = ca.crl([7], number=2)
    failed = False

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal failed
        if sql.startswith("INSERT") and not failed:
            failed = True
            raise DatabaseError("disk full")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        outcome = clientcert("crl", "fetch", "--timeout", "5", "--deadline=9.5")
    assert outcome.status == 1
    assert outcome.error.startswith("1 of 2 addresses failed")
    assert "/a.crl: disk full" in outcome.err
    assert RevocationList.objects.get().number == "2"


def test_https_is_not_left_on_the_way() -> None:
    """Whoever set an https address wants that certificate checked."""
    from urllib.request import Request

    handler = fetching._OnlyWeb()
    secure, plain = Request("https://x/"), Request("http://x/")
    arguments = (io.BytesIO(), 302, "Found", {})
    assert handler.redirect_request(secure, *arguments, "https://y/") is not None
    assert handler.redirect_request(plain, *arguments, "https://y/") is not None
    with pytest.raises(FetchError, match="from https to http://y/"):
        handler.redirect_request(secure, *arguments, "http://y/")


@pytest.mark.parametrize("seconds", ["0", "-1", "x", "nan", "1e9"])
def test_times_have_to_be_times(seconds: str) -> None:
    """Wrong usage otherwise."""
    assert clientcert("crl", "fetch", f"--timeout={seconds}").status != 0


def test_nothing_on_the_way_of_a_request_can_fetch() -> None:
    """Only commands know how to open an address."""
    for file in PACKAGE.rglob("*.py"):
        if "management" in file.parts:
            continue
        found = [one for one in imports(file) if one.startswith("urllib.request")]
        assert found == [], file


# --- progress ------------------------------------------------------------------------


class Terminal(io.StringIO):
    """Somebody watches."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_progress_is_drawn_on_a_terminal_only() -> None:
    """One line, redrawn where there is something new."""
    terminal = Terminal()
    bar = ProgressBar(terminal, "storing")
    with bar:
        for done in (0, 1, 2, 4):
            bar(done, 4)
            bar(done, 4)
    drawn = terminal.getvalue()
    assert drawn.count("\r") == 4
    assert drawn.endswith(f"storing [{'#' * 30}] 100 %\n")
    unknown = ProgressBar(terminal, "fetching")
    unknown(7, 0)
    assert terminal.getvalue().endswith("fetching 7")
    with suppress(KeyError), ProgressBar(terminal, "broken off") as bar:
        bar(1, 2)
        raise KeyError
    assert terminal.getvalue().endswith(" 50 %\n")
    for stream, quiet in ((io.StringIO(), False), (Terminal(), True)):
        with ProgressBar(stream, "x", quiet=quiet) as bar:
            bar(1, 2)
        assert stream.getvalue() == ""
