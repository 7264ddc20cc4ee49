"""What a request gets: laziness, one query, signals, Vary, the user, last use."""

from __future__ import annotations

import asyncio
import copy
import datetime as dt
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.contrib.auth import authenticate, get_user, get_user_model, login
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import InterfaceError, OperationalError, connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.decorators import sync_and_async_middleware
from django.utils.functional import SimpleLazyObject

from django_clientcert.backends import ClientCertBackend, find_backend
from django_clientcert.decorators import ClientCertRequired, client_cert_required
from django_clientcert.evaluation import Decision
from django_clientcert.exceptions import Reason
from django_clientcert.middleware import ClientCertMiddleware
from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.models.authority_state import get_state
from django_clientcert.requests import attach
from django_clientcert.signals import client_cert_accepted, client_cert_refused
from django_clientcert.testing import proxy_meta
from django_clientcert.trust.revoke import revoke_certificate
from django_clientcert.x509.certificates import ClientCertificate


@pytest.fixture
def quiet(settings: Any) -> None:
    """Never write the last use: only the lookup is counted."""
    settings.CLIENTCERT_LAST_USED_INTERVAL = None


@pytest.mark.parametrize("rows", [1, 1000])
def test_one_query_whatever_the_number_of_mappings(
    ask: Any, alice: Any, alice_cert: Any, ca: Any, quiet: None, rows: int
) -> None:
    """Mapping, user and authority come together; test_databases.py asks how."""
    authorities = [
        CertificateAuthority.objects.create(name=f"CA {number}", bundle=ca.pem)
        for number in range(1 if rows == 1 else 5)
    ]
    others = [
        ("fingerprint", "{:064x}"),
        ("public_key", "{:064x}"),
        ("subject", "CN=user{}"),
        ("san_email", "user{}@example.com"),
    ]
    for number in range(rows - 1):
        kind, pattern = others[number % len(others)]
        CertificateMapping.objects.create(
            user=alice,
            kind=kind,
            value=pattern.format(number),
            authority=authorities[number % len(authorities)],
        )
    CertificateMapping.objects.create(
        user=alice, kind="subject", value="CN=alice", authority=authorities[0]
    )
    for authority in CertificateAuthority.objects.all():
        get_state(authority)  # as a process does once for each of their revisions
    for _attempt in ("first", "second"):
        with CaptureQueriesContext(connection) as queries:
            assert ask("/ledger/", alice_cert.der).json()["user"] == "alice"
        assert len(queries) == 1, [one["sql"] for one in queries]


def test_n69_a_stranger_costs_the_same_query(
    ask: Any, alice_cert: Any, mallory_cert: Any, mapping: Any, quiet: None
) -> None:
    """Whether a row exists does not show in the number of queries."""
    for certificate in (alice_cert, mallory_cert):
        with CaptureQueriesContext(connection) as queries:
            ask("/open/", certificate.der)
        assert len(queries) == 1


def test_nothing_is_read_that_nobody_asks_for(
    ask: Any, alice_cert: Any, mapping: Any, decoded: Any
) -> None:
    """A view that looks at nothing pays for no parsing and no query."""
    with CaptureQueriesContext(connection) as queries:
        assert ask("/untouched/", alice_cert.der).status_code == 200
    assert len(queries) == 0
    assert decoded() == 0
    ask("/open/", alice_cert.der)
    assert decoded() == 1


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Count how many header values were decoded, and not taken from the cache."""
    from django_clientcert.evaluation import peer

    count = 0

    def decode(value: str) -> list[bytes]:
        nonlocal count
        count += 1
        return original(value)

    peer._weigh_evidence.forget()  # type: ignore[attr-defined]
    encoding = "escaped_pem"
    original = peer.DECODERS[encoding]
    monkeypatch.setitem(peer.DECODERS, encoding, decode)
    return lambda: count


def test_n58_nothing_is_trusted_longer_than_a_request(
    ask: Any, alice: Any, alice_cert: Any, mapping: CertificateMapping
) -> None:
    """Disabling, deleting, deactivating bites on the next request."""
    assert ask("/ledger/", alice_cert.der).status_code == 200
    CertificateMapping.objects.update(state="disabled")
    assert ask("/ledger/", alice_cert.der).status_code == 403
    CertificateMapping.objects.update(state="active")
    get_user_model().objects.update(is_active=False)
    assert ask("/ledger/", alice_cert.der).status_code == 403
    get_user_model().objects.update(is_active=True)
    assert ask("/ledger/", alice_cert.der).status_code == 200
    mapping.delete()
    assert ask("/ledger/", alice_cert.der).status_code == 403


def test_nothing_is_written_to_a_session(
    ask: Any, alice_cert: Any, mapping: Any
) -> None:
    """No cookie comes back."""
    assert not ask("/ledger/", alice_cert.der).cookies


def test_an_accepted_certificate_wins_over_the_session(
    ask: Any, bob: Any, alice_cert: Any, mallory_cert: Any, mapping: Any
) -> None:
    """A refused one leaves the session's user alone."""
    ask.client.force_login(bob, backend="django.contrib.auth.backends.ModelBackend")
    assert ask("/open/").json()["user"] == "bob"
    assert ask("/open/", alice_cert.der).json()["user"] == "alice"
    assert ask("/open/", mallory_cert.der).json()["user"] == "bob"
    assert ask("/ledger/", mallory_cert.der).status_code == 403


def test_n63_vary_names_every_header_that_is_read(ask: Any, alice_cert: Any) -> None:
    """A cache must keep clients apart, and by all of the headers."""
    for response in (ask("/untouched/"), ask("/untouched/", alice_cert.der)):
        vary = {one.strip().lower() for one in response["Vary"].split(",")}
        assert vary >= {
            "ssl-client-cert",
            "ssl-client-verify",
            "ssl-client-subject-dn",
            "ssl-client-issuer-dn",
        }


def test_n63_what_a_certificate_was_looked_at_for_is_private(
    ask: Any, alice_cert: Any, mallory_cert: Any, mapping: Any
) -> None:
    """A cache in front of the proxy sees no header to tell clients apart by."""
    for path in ("/open/", "/ledger/"):
        for certificate in (alice_cert, mallory_cert):
            assert "private" in ask(path, certificate.der)["Cache-Control"]
    assert "Cache-Control" not in ask("/untouched/", alice_cert.der)
    assert "Cache-Control" not in ask("/open/")


def test_n63_what_a_view_says_of_caches_is_kept(
    rf: Any, alice_cert: Any, mapping: Any
) -> None:
    """Its own words stay, and “private” is added; so it is with what it depends on."""

    def view(request: Any) -> HttpResponse:
        assert request.client_cert_decision.accepted
        headers = {"Cache-Control": "max-age=60, public", "Vary": "Accept-Language"}
        return HttpResponse(headers=headers)

    request = rf.get("/", **proxy_meta(alice_cert.der, peer="10.1.2.3"))
    response = ClientCertMiddleware(view)(request)
    words = {word.strip() for word in response["Cache-Control"].split(",")}
    assert words == {"max-age=60", "private"}
    assert response["Vary"].startswith("Accept-Language, ssl-client-cert, ")


def test_n60_csrf_stays_on(alice_cert: Any, mapping: Any) -> None:
    """A certificate is sent with every request, like a cookie."""
    client = Client(enforce_csrf_checks=True)
    meta = proxy_meta(alice_cert.der)
    assert client.post("/ledger/", **meta).status_code == 403
    assert client.get("/ledger/", **meta).status_code == 200


@pytest.fixture
def received() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Collect the signals."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def accepted(sender: Any, **kwargs: Any) -> None:
        calls.append(("accepted", kwargs))

    def refused(sender: Any, **kwargs: Any) -> None:
        calls.append(("refused", kwargs))

    client_cert_accepted.connect(accepted)
    client_cert_refused.connect(refused)
    yield calls
    client_cert_accepted.disconnect(accepted)
    client_cert_refused.disconnect(refused)


def test_signals_are_sent_once_a_request(
    ask: Any,
    alice: Any,
    alice_cert: Any,
    mallory_cert: Any,
    mapping: Any,
    received: Any,
) -> None:
    """Accepted with mapping and user, refused with the reason, none for nobody."""
    ask("/ledger/", alice_cert.der)
    ask("/ledger/", mallory_cert.der)
    ask("/open/", alice_cert.der, peer="203.0.113.9")
    ask("/ledger/")
    assert [name for name, _ in received] == ["accepted", "refused", "refused"]
    accepted, unmapped, stranger = (kwargs for _, kwargs in received)
    assert accepted["user"] == alice
    assert accepted["mapping"] == mapping
    assert accepted["certificate"].der == alice_cert.der
    assert unmapped["reason"] == "unmapped"
    assert unmapped["certificate"].der == mallory_cert.der
    assert stranger["reason"] == "untrusted_peer"
    assert stranger["certificate"] is None


def test_a_receiver_that_fails_changes_nothing(
    ask: Any, alice_cert: Any, mapping: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the request goes on."""

    def broken(sender: Any, **kwargs: Any) -> None:
        raise RuntimeError("receiver")

    async def abroken(sender: Any, **kwargs: Any) -> None:
        raise RuntimeError("receiver")

    for receiver in (broken, abroken):
        client_cert_accepted.connect(receiver)
        client_cert_refused.connect(receiver)
        try:
            assert ask("/ledger/", alice_cert.der).status_code == 200
            gate = ask("/open/", alice_cert.der, peer="203.0.113.9")
            assert gate.status_code == 200
        finally:
            client_cert_accepted.disconnect(receiver)
            client_cert_refused.disconnect(receiver)
    assert "a signal receiver failed" in caplog.text


def test_one_log_line_per_refusal(
    ask: Any,
    alice_cert: Any,
    mallory_cert: Any,
    mapping: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Reason and short fingerprint; nothing for an acceptance."""
    with caplog.at_level(logging.WARNING, "django_clientcert"):
        ask("/ledger/", alice_cert.der)
        ask("/ledger/", mallory_cert.der)
    lines = [
        one.getMessage() for one in caplog.records if one.name == "django_clientcert"
    ]
    assert len(lines) == 1
    assert "reason=unmapped" in lines[0]
    assert mallory_cert.fingerprint[:16] in lines[0]
    assert mallory_cert.fingerprint not in lines[0]


def test_last_use_is_written_once_an_interval(
    ask: Any, alice_cert: Any, mapping: CertificateMapping, settings: Any
) -> None:
    """The first request writes it, the next one does not."""
    before = timezone.now()
    ask("/ledger/", alice_cert.der)
    mapping.refresh_from_db()
    first = mapping.last_used_at
    assert first is not None
    assert before <= first <= timezone.now()
    with CaptureQueriesContext(connection) as queries:
        ask("/ledger/", alice_cert.der)
    assert len(queries) == 1
    settings.CLIENTCERT_LAST_USED_INTERVAL = dt.timedelta(0)
    ask("/ledger/", alice_cert.der)
    mapping.refresh_from_db()
    assert mapping.last_used_at is not None
    assert mapping.last_used_at > first


def test_last_use_is_not_written_for_a_refusal(
    ask: Any, alice_cert: Any, mapping: CertificateMapping
) -> None:
    """Only an acceptance is a use."""
    CertificateMapping.objects.update(state="disabled")
    ask("/open/", alice_cert.der)
    mapping.refresh_from_db()
    assert mapping.last_used_at is None


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_last_use_that_cannot_be_written_is_logged(
    ask: Any,
    alice_cert: Any,
    mapping: CertificateMapping,
    caplog: pytest.LogCaptureFixture,
    error: type[Exception],
) -> None:
    """A replica that cannot write, a connection that is gone: the request goes on."""

    def read_only(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith("UPDATE"):
            raise error("attempt to write a readonly database")
        return execute(sql, *args)

    with connection.execute_wrapper(read_only):
        assert ask("/ledger/", alice_cert.der).status_code == 200
    assert "last use of mapping" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_axes_locks_nobody_out(
    alice: Any, alice_cert: Any, mallory_cert: Any, mapping: Any, settings: Any
) -> None:
    """A stranger's certificate is no failed login, however often it comes."""
    pytest.importorskip("axes")
    from django.core.management import call_command
    from django.test import override_settings

    with override_settings(
        INSTALLED_APPS=[*settings.INSTALLED_APPS, "axes"],
        AUTHENTICATION_BACKENDS=[
            "axes.backends.AxesStandaloneBackend",
            *settings.AUTHENTICATION_BACKENDS,
        ],
        MIDDLEWARE=[*settings.MIDDLEWARE, "axes.middleware.AxesMiddleware"],
        AXES_FAILURE_LIMIT=2,
    ):
        call_command("migrate", "axes", verbosity=0)
        from axes.models import AccessAttempt

        client = Client()
        for _attempt in range(5):
            page = client.get("/open/", **proxy_meta(mallory_cert.der))
            assert page.json()["reason"] == "unmapped"
        assert AccessAttempt.objects.count() == 0
        page = client.get("/ledger/", **proxy_meta(alice_cert.der))
        assert page.json()["user"] == "alice"
        call_command("migrate", "axes", "zero", verbosity=0)


def test_authenticate_takes_a_certificate(
    rf: Any, alice: Any, alice_cert: Any, mallory_cert: Any, mapping: Any
) -> None:
    """For an explicit login; other credentials pass the backend by."""
    from django.contrib.auth import aauthenticate

    from django_clientcert.x509.certificates import ClientCertificate

    known = ClientCertificate(alice_cert.der)
    stranger = ClientCertificate(mallory_cert.der)
    backend = ClientCertBackend()
    for request in (None, rf.get("/")):
        assert authenticate(request, client_cert=known) == alice
        assert authenticate(request, client_cert=stranger) is None
        assert authenticate(request, client_cert=None) is None
        assert async_to_sync(aauthenticate)(request, client_cert=known) == alice
        assert async_to_sync(aauthenticate)(request, client_cert=stranger) is None
        assert async_to_sync(backend.aauthenticate)(request, client_cert=None) is None
    assert authenticate(None, username="alice", password="x") is None


def test_authenticate_keeps_to_the_decision_on_the_request(
    rf: Any, alice: Any, alice_cert: Any, mapping: Any
) -> None:
    """What the middleware decided on that certificate stands."""
    meta = proxy_meta(alice_cert.der)
    request = rf.get("/", **meta)
    attach(request, find_backend())
    with CaptureQueriesContext(connection) as queries:
        assert authenticate(request, client_cert=request.client_cert) == alice
        assert authenticate(request, client_cert=request.client_cert) == alice
        backend = ClientCertBackend()
        found = async_to_sync(backend.aauthenticate)(
            request, client_cert=request.client_cert
        )
        assert found == alice
        assert request.user == alice
    assert len(queries) == 1


def test_a_login_session_can_be_made_of_it(
    rf: Any, alice: Any, alice_cert: Any, mapping: Any
) -> None:
    """login() knows the backend of a user that a certificate brought."""
    from django.contrib.sessions.backends.db import SessionStore

    request = rf.get("/", **proxy_meta(alice_cert.der))
    request.session = SessionStore()
    attach(request, find_backend())
    login(request, authenticate(request, client_cert=request.client_cert))
    assert request.session["_auth_user_backend"].endswith("ClientCertBackend")


def test_n57_another_certificate_is_another_login(
    rf: Any, alice: Any, bob: Any, alice_cert: Any, mallory_cert: Any, mapping: Any
) -> None:
    """Alice's session and Bob's certificate: Bob, and a login flushes her session."""
    from django.contrib.sessions.backends.db import SessionStore

    CertificateMapping.objects.create(
        user=bob, kind="fingerprint", value=mallory_cert.fingerprint
    )
    session = SessionStore()

    def request_with(certificate: Any) -> Any:
        request = rf.get("/", **proxy_meta(certificate.der))
        request.session = session
        request.user = get_user(request)
        attach(request, find_backend())
        return request

    def log_in_with(certificate: Any) -> str | None:
        request = request_with(certificate)
        login(request, authenticate(request, client_cert=request.client_cert))
        session.cycle_key()  # as the how-to says
        return session.session_key

    first = log_in_with(alice_cert)
    session["secret"] = "of Alice"
    assert request_with(mallory_cert).user == bob
    second = log_in_with(mallory_cert)
    assert second not in (None, first)
    assert "secret" not in session
    assert session["_auth_user_id"] == str(bob.pk)
    # The same user with another certificate gets another key, too.
    CertificateMapping.objects.update(user=bob)
    assert log_in_with(alice_cert) not in (None, first, second)


def test_n57_a_revoked_certificate_opens_no_session(
    rf: Any, alice: Any, alice_cert: Any, mapping: Any
) -> None:
    """Neither on a request nor on one of its own."""
    revoke_certificate(ClientCertificate(alice_cert.der))
    request = rf.get("/", **proxy_meta(alice_cert.der))
    attach(request, find_backend())
    assert request.client_cert is not None
    assert authenticate(request, client_cert=request.client_cert) is None
    assert authenticate(None, client_cert=request.client_cert) is None


def test_decorator_names_the_middleware_that_is_missing(rf: Any) -> None:
    """An explanation instead of an AttributeError."""

    @client_cert_required
    def view(request: Any) -> None: ...

    with pytest.raises(ImproperlyConfigured, match="ClientCertMiddleware"):
        view(rf.get("/"))


@pytest.mark.parametrize("path", ["/partner/"])
def test_decorator_can_ask_for_an_authority(
    ask: Any, alice: Any, alice_cert: Any, authority: Any, path: str
) -> None:
    """A pin without authority, or another authority, is not enough."""
    CertificateMapping.objects.create(
        user=alice, kind="subject", value="CN=alice", authority=authority
    )
    assert ask(path, alice_cert.der).status_code == 403
    CertificateAuthority.objects.update(name="Partners")
    assert ask(path, alice_cert.der).status_code == 200
    CertificateMapping.objects.create(
        user=alice, kind="fingerprint", value=alice_cert.fingerprint
    )
    assert ask(path, alice_cert.der).status_code == 403


def test_decorator_raises_permission_denied_without_words(
    rf: Any, mallory_cert: Any, db: None
) -> None:
    """The reason is an attribute; the text that a page may show is empty."""

    @client_cert_required
    def view(request: Any) -> None: ...

    request = rf.get("/", **proxy_meta(mallory_cert.der))
    attach(request, find_backend())
    with pytest.raises(PermissionDenied) as caught:
        view(request)
    assert str(caught.value) == ""
    assert caught.value.reason == "unmapped"  # type: ignore[attr-defined]


def test_client_cert_is_none_and_no_lazy_imitation(rf: Any, db: None) -> None:
    """``is None`` works, and the request keeps its type."""
    request = rf.get("/")
    kind = type(request)
    attach(request, find_backend())
    assert request.client_cert is None
    assert isinstance(request, kind)
    assert type(request).__name__ == kind.__name__
    attach(request, find_backend())
    assert request.client_cert_decision.reason == "no_certificate"


def test_a_project_without_authentication_middleware(
    rf: Any, alice: Any, alice_cert: Any, mallory_cert: Any, mapping: Any
) -> None:
    """The user is set all the same; without a mapping it is anonymous."""
    for certificate, expected in ((alice_cert, alice), (mallory_cert, None)):
        request = rf.get("/", **proxy_meta(certificate.der))
        attach(request, find_backend())
        auser = async_to_sync(request.auser)()
        if expected is None:
            assert isinstance(auser, AnonymousUser)
            assert request.user.is_anonymous
        else:
            assert auser == expected
            assert request.user == expected


def test_middleware_says_what_is_missing(settings: Any) -> None:
    """Misconfiguration stops the server at its start."""
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    with pytest.raises(ImproperlyConfigured, match="ClientCertBackend"):
        ClientCertMiddleware(lambda request: None)  # type: ignore[arg-type,return-value]


def test_middleware_refuses_settings_that_cannot_be_used(settings: Any) -> None:
    """N08: an empty switch is an error, not an open door."""
    settings.CLIENTCERT_PROXY_SECRET = ("X-Secret", "")
    with pytest.raises(ImproperlyConfigured, match="CLIENTCERT_PROXY_SECRET"):
        ClientCertMiddleware(lambda request: None)  # type: ignore[arg-type,return-value]


def test_an_environ_source_makes_the_answer_private(
    alice: Any, alice_cert: Any, mapping: Any, settings: Any
) -> None:
    """There is no header a cache could look at."""
    from django_clientcert.testing import encode_pem

    settings.CLIENTCERT_PROXY = {
        "source": "environ",
        "certificate": "SSL_CLIENT_CERT",
        "encoding": "pem",
        "verdict": "SSL_CLIENT_VERIFY",
        "subject_dn": None,
        "issuer_dn": None,
    }
    environ = {
        "SSL_CLIENT_CERT": encode_pem(alice_cert.der),
        "SSL_CLIENT_VERIFY": "SUCCESS",
        "HTTP_SSL_CLIENT_CERT": "spoofed",
        "wsgi.url_scheme": "https",
    }
    page = Client().get("/ledger/", **environ)
    assert page.json()["user"] == "alice"
    assert "private" in page["Cache-Control"]
    spoofed = {"HTTP_SSL_CLIENT_CERT": encode_pem(alice_cert.der)}
    page = Client().get("/open/", **{"wsgi.url_scheme": "https", **spoofed})
    assert page.json()["reason"] == "no_certificate"


def test_sync_access_after_await_needs_no_query(
    rf: Any, alice: Any, alice_cert: Any, mapping: Any
) -> None:
    """An async view that awaited once may look at everything."""
    request = rf.get("/", **proxy_meta(alice_cert.der))
    attach(request, find_backend())

    async def view() -> tuple[Any, Any]:
        await request.aclient_cert_decision()
        return request.user.username, request.client_cert.fingerprint

    assert async_to_sync(view)() == ("alice", alice_cert.fingerprint)


def test_the_backend_decides_without_the_middleware(
    rf: Any, alice: Any, alice_cert: Any, mapping: Any
) -> None:
    """It reads the request itself then."""
    request = rf.get("/", **proxy_meta(alice_cert.der))
    backend = ClientCertBackend()
    assert backend.decide(request).user == alice
    assert async_to_sync(backend.adecide)(request).user == alice


# --- one request, one decision ------------------------------------------------------


class SlowDecider:
    """Decides when it is told to, and counts how often it was asked."""

    def __init__(self, user: Any = None) -> None:
        self.asked = 0
        self.entered = threading.Event()
        self.go = threading.Event()
        self.user = user

    def decide(self, request: Any) -> Decision:
        """Wait for the signal to go on."""
        self.asked += 1
        self.entered.set()
        assert self.go.wait(10)
        return Decision(True, None, user=self.user)

    async def adecide(self, request: Any) -> Decision:
        """Decide at once, against the user."""
        self.asked += 1
        return Decision(False, Reason.UNMAPPED)


@pytest.mark.parametrize("attribute", ["auser", "aclient_cert_decision"])
def test_a13_l10_tasks_share_one_decision(
    rf: Any,
    alice: Any,
    alice_cert: Any,
    mallory_cert: Any,
    mapping: Any,
    received: Any,
    caplog: pytest.LogCaptureFixture,
    attribute: str,
) -> None:
    """Twenty at once: one query, one signal, and one log line of a refusal."""
    for certificate, result in ((alice_cert, "accepted"), (mallory_cert, "refused")):
        request = rf.get("/", **proxy_meta(certificate.der))
        attach(request, find_backend())

        async def ask_at_once(request: Any = request) -> list[Any]:
            return await asyncio.gather(
                *[getattr(request, attribute)() for _ in range(20)]
            )

        received.clear()
        with CaptureQueriesContext(connection) as queries:
            answers = async_to_sync(ask_at_once)()
        assert len(queries) == 1
        assert [name for name, _ in received] == [result]
        assert {id(answer) for answer in answers} == {id(answers[0])}
    lines = [one for one in caplog.records if "certificate refused" in one.message]
    assert len(lines) == 1


def test_a13_l10_threads_share_one_decision(
    rf: Any, alice_cert: Any, received: Any
) -> None:
    """Whoever comes first decides, and the others wait."""
    request = rf.get("/", **proxy_meta(alice_cert.der))
    decider = SlowDecider()
    attach(request, decider)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(lambda: request.client_cert_decision) for _ in range(8)]
        assert decider.entered.wait(10)
        time.sleep(0.05)  # the others arrive
        decider.go.set()
        decisions = [answer.result(10) for answer in answers]
    assert decider.asked == 1
    assert len({id(decision) for decision in decisions}) == 1
    assert [name for name, _ in received] == ["accepted"]


def test_a13_l10_what_is_decided_first_counts_for_thread_and_task(
    rf: Any, alice_cert: Any, received: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither waits for the other: each may need the other's thread to go on."""
    request = rf.get("/", **proxy_meta(alice_cert.der))
    decider = SlowDecider()
    attach(request, decider)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(lambda: request.client_cert_decision)
        assert decider.entered.wait(10)
        decision = async_to_sync(request.aclient_cert_decision)()
        decider.go.set()
        assert answer.result(10) is decision
    assert decision.reason == "unmapped"
    assert [name for name, _ in received] == ["refused"]
    assert caplog.text.count("certificate refused") == 1


def test_a13_l10_a_decision_that_fails_holds_nobody_up(
    rf: Any, alice_cert: Any, mapping: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next who asks decides."""
    request = rf.get("/", **proxy_meta(alice_cert.der))
    backend = find_backend()
    attach(request, backend)
    with monkeypatch.context() as patched:
        patched.setattr(backend, "decide", None)
        patched.setattr(backend, "adecide", None)
        with pytest.raises(TypeError):
            _ = request.client_cert_decision
        with pytest.raises(TypeError):
            async_to_sync(request.aclient_cert_decision)()
    assert async_to_sync(request.aclient_cert_decision)().accepted
    assert request.client_cert_decision.accepted


@pytest.mark.parametrize("name", ["decide", "adecide"])
def test_a_backend_that_asks_for_its_own_decision_is_an_error(
    rf: Any, alice_cert: Any, name: str, db: None
) -> None:
    """It does not wait for itself."""

    class Backend(ClientCertBackend):
        def decide(self, request: Any) -> Decision:
            return Decision(True, None, user=request.user.pk)

        async def adecide(self, request: Any) -> Decision:
            return Decision(True, None, user=await request.auser())

    request = rf.get("/", **proxy_meta(alice_cert.der))
    attach(request, Backend())
    ask = {
        "decide": lambda: request.client_cert_decision,
        "adecide": async_to_sync(request.aclient_cert_decision),
    }[name]
    with pytest.raises(RuntimeError):
        ask()


def test_a_copy_of_a_request_has_its_decision(
    rf: Any, alice: Any, alice_cert: Any, mapping: Any
) -> None:
    """Whichever of the two is asked first."""
    request = rf.get("/", **proxy_meta(alice_cert.der))
    attach(request, find_backend())
    copied = copy.deepcopy(request)
    assert copied.user == alice
    assert copied.client_cert_decision is request.client_cert_decision


# --- another middleware sets the user ------------------------------------------------


@sync_and_async_middleware
def replace_user(get_response: Any) -> Any:
    """Make the user of a request, or of its ``auser()``, the one named by a header."""

    def replace(request: Any) -> None:
        name, _, attributes = request.headers["X-Replace"].partition(":")
        user: Any = AnonymousUser()
        if name:
            user = SimpleLazyObject(
                partial(get_user_model().objects.get, username=name)
            )

        async def auser() -> Any:
            await sync_to_async(bool)(user)  # loads it
            return user

        if "a" in attributes:
            request.auser = auser
        if "u" in attributes:
            request.user = user

    if iscoroutinefunction(get_response):

        async def amiddleware(request: Any) -> Any:
            replace(request)
            return await get_response(request)

        return amiddleware

    def middleware(request: Any) -> Any:
        replace(request)
        return get_response(request)

    return middleware


REPLACED = "request.user is not the user of the certificate"


@pytest.mark.parametrize("path", ["/ledger/", "/class/"])
@pytest.mark.parametrize("name", ["bob", ""])
@pytest.mark.parametrize("attributes", ["ua", "u", "a"])
def test_a09_a_view_is_refused_whose_user_was_replaced(
    ask: Any,
    alice: Any,
    bob: Any,
    alice_cert: Any,
    mapping: Any,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    path: str,
    name: str,
    attributes: str,
) -> None:
    """By a middleware that comes later, for a view that looks either way."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.replace_user"]
    seen = attributes != "a" or ask.name == "asgi"
    answer = ask(path, alice_cert.der, headers={"X-Replace": f"{name}:{attributes}"})
    assert answer.status_code == (403 if seen else 200)
    assert (REPLACED in caplog.text) == seen
    # The same user, of another query
    answer = ask(path, alice_cert.der, headers={"X-Replace": f"alice:{attributes}"})
    assert answer.json()["user"] == "alice"


@pytest.mark.parametrize("path", ["/ledger/", "/class/"])
@pytest.mark.parametrize("with_session", [True, False])
def test_a09_the_order_of_the_middleware_is_noticed(
    ask: Any,
    bob: Any,
    alice_cert: Any,
    mapping: Any,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    path: str,
    with_session: bool,
) -> None:
    """AuthenticationMiddleware, if it comes later, sets the session's user."""
    ours = "django_clientcert.middleware.ClientCertMiddleware"
    settings.MIDDLEWARE = [
        ours,
        *[name for name in settings.MIDDLEWARE if name != ours],
    ]
    if with_session:
        ask.client.force_login(bob)
    assert ask(path, alice_cert.der).status_code == 403
    assert REPLACED in caplog.text


def test_a09_a_request_without_a_user_is_refused(
    rf: Any, alice_cert: Any, mapping: Any
) -> None:
    """Nothing says then whose view it is."""

    @client_cert_required
    def view(request: Any) -> None: ...

    request = rf.get("/", **proxy_meta(alice_cert.der))
    attach(request, find_backend())
    del request.user
    with pytest.raises(ClientCertRequired) as caught:
        view(request)
    assert caught.value.reason == "ambiguous_mapping"
    assert REPLACED in caught.value.detail


# --- an outage -----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/ledger/", "/class/"])
@pytest.mark.parametrize("debug", [False, True])
def test_l05_an_outage_is_503(
    ask: Any,
    alice_cert: Any,
    mapping: Any,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    debug: bool,
) -> None:
    """Clients try again, and the page does not say why unless DEBUG is on."""
    settings.DEBUG = debug

    def fail(*args: Any) -> None:
        raise OperationalError("gone")

    with monkeypatch.context() as patched:
        patched.setattr("django_clientcert.evaluation.run.find_shortcut", fail)
        answer = ask(path, alice_cert.der)
        assert ask("/open/", alice_cert.der).json()["reason"] == "trust_unavailable"
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    assert "private" in answer["Cache-Control"]
    text = answer.content.decode()
    assert "503 Service Unavailable" in text
    assert ("trust_unavailable" in text) == ("certificate" in text) == debug
    assert ask(path, alice_cert.der).status_code == 200
    assert ask(path).status_code == 403
