"""The inbox: what is written of certificates that were refused, and how often."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.test import RequestFactory
from django.utils import timezone

from django_clientcert.evaluation.presented import Presented
from django_clientcert.exceptions import Reason
from django_clientcert.models import SeenCertificate, UnknownCertificate
from django_clientcert.recording import refusals as inbox
from django_clientcert.recording.refusals import Sighting, Throttle, find_address
from django_clientcert.testing import SERVER_AUTH, IssuedCertificate, ThrowawayCA
from django_clientcert.trust.revoke import revoke_certificate
from django_clientcert.wire import get_proxy
from django_clientcert.x509.certificates import ClientCertificate
from tests import der_writer as w
from tests.conftest import Clock, Wsgi
from tests.deciding import map_to
from tests.queries import captured

NOW = timezone.now()
HOUR = dt.timedelta(hours=1)


def sighting(key: int, host: str = "") -> Sighting:
    """Return a refusal of a certificate for the key of that number."""
    certificate: Any = SimpleNamespace(public_key_bytes=key.to_bytes(32, "big"))
    return Sighting(certificate, Reason.UNMAPPED, "", host, "", NOW)


def number(taken: tuple[Sighting, int] | None) -> tuple[int, int] | None:
    """Return number and count of what was taken."""
    if taken is None:
        return None
    one, count = taken
    return int.from_bytes(one.certificate.public_key_bytes, "big"), count


# --- how often --------------------------------------------------------------------


def test_one_is_written_at_once_and_the_next_after_a_while() -> None:
    """Whichever request comes then."""
    clock = Clock()
    throttle = Throttle(clock)
    assert throttle.take() is None
    throttle.note(sighting(1))
    assert number(throttle.take()) == (1, 1)
    throttle.note(sighting(2))
    assert throttle.take() is None
    clock.now += inbox.WRITE_INTERVAL
    assert number(throttle.take()) == (2, 1)
    assert throttle.take() is None


def test_the_same_one_is_written_once_a_minute_with_its_count() -> None:
    """What came in between is counted, and the latest is what is written."""
    clock = Clock()
    throttle = Throttle(clock)
    throttle.note(sighting(1))
    assert number(throttle.take()) == (1, 1)
    for _second in range(int(inbox.REPEAT_INTERVAL) - 1):
        clock.now += 1
        throttle.note(sighting(1))
        assert throttle.take() is None
    clock.now += 1
    throttle.note(sighting(1, host="latest"))
    taken = throttle.take()
    assert taken is not None
    assert number(taken) == (1, int(inbox.REPEAT_INTERVAL))
    assert taken[0].host == "latest"


def test_a_flood_costs_one_write_an_interval_and_no_memory() -> None:
    """A hundred seconds of a thousand strangers each."""
    clock = Clock()
    throttle = Throttle(clock)
    writes = 0
    for stranger in range(100_000):
        throttle.note(sighting(stranger))
        writes += throttle.take() is not None
        clock.now += 0.001
    assert 99 <= writes <= 101
    assert len(throttle._tallies) <= inbox.MAX_REMEMBERED
    assert len(throttle.waiting) <= inbox.MAX_WAITING
    assert throttle.waiting.keys() <= throttle._tallies.keys()


def test_who_tries_again_is_written_before_a_flood() -> None:
    """Its count is greater than that of whoever comes once."""
    clock = Clock()
    throttle = Throttle(clock)
    written = []
    for stranger in range(10_000):
        clock.now += 0.001
        throttle.note(sighting(stranger + 1))
        if stranger % 1500 == 700:
            throttle.note(sighting(0))
        if (taken := number(throttle.take())) is not None:
            written.append(taken)
    assert (0, 2) in written


def test_whoever_waits_gives_way_to_who_came_more_often_only() -> None:
    """The one that waits for longest goes first."""
    clock = Clock()
    throttle = Throttle(clock)
    throttle.note(sighting(1000))
    assert number(throttle.take()) == (1000, 1)
    for each in range(inbox.MAX_WAITING + 1):
        throttle.note(sighting(each))
    assert inbox.MAX_WAITING not in waiting(throttle)
    throttle.note(sighting(inbox.MAX_WAITING))
    assert waiting(throttle) == set(range(1, inbox.MAX_WAITING + 1))
    clock.now += 1
    assert number(throttle.take()) == (inbox.MAX_WAITING, 2)
    clock.now += 1
    assert number(throttle.take()) == (1, 1)


def waiting(throttle: Throttle) -> set[int]:
    """Return the numbers of those that wait."""
    return {int.from_bytes(key, "big") for key in throttle.waiting}


def test_another_thread_may_be_faster() -> None:
    """What was there before the lock may be gone behind it."""
    throttle = Throttle(Clock())

    class Lock:
        def __enter__(self) -> None:
            throttle.waiting.clear()

        def __exit__(self, *args: object) -> None:
            pass

    throttle.note(sighting(1))
    throttle._lock = Lock()  # type: ignore[assignment]
    assert throttle.take() is None


# --- what -------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_stranger_is_in_the_inbox(
    ask: Wsgi, authority: Any, mallory_cert: IssuedCertificate, open_inbox: Clock
) -> None:
    """The certificate, why, where, and when."""
    before = timezone.now()
    response = ask(
        "/ledger/",
        mallory_cert.der,
        host="localhost",
        headers={"X-Forwarded-For": "6.6.6.6, 192.0.2.7"},
    )
    assert response.status_code == 403
    row = UnknownCertificate.objects.get()
    certificate = ClientCertificate(mallory_cert.der)
    assert row.client_certificate() == certificate
    assert row.public_key == certificate.public_key_bytes
    assert row.fingerprint == certificate.fingerprint_bytes
    assert (row.subject, row.issuer) == ("CN=mallory", "CN=Test Root CA")
    assert row.not_after == certificate.not_after
    assert (row.reason, row.count, row.host) == ("unmapped", 1, "localhost")
    assert "authorities without a rule: Test CA" in row.detail
    assert row.address == "192.0.2.7"
    assert before <= row.first_seen_at == row.last_seen_at
    assert str(row) == "CN=mallory"


@pytest.mark.django_db
def test_one_key_is_one_row(
    ask: Wsgi, ca: ThrowawayCA, mallory_cert: IssuedCertificate, open_inbox: Clock
) -> None:
    """With the latest certificate, and what came before it counted."""
    renewed = ca.issue("mallory-2", key=mallory_cert.key)
    for der in (mallory_cert.der, mallory_cert.der, mallory_cert.der, renewed.der):
        ask("/ledger/", der)
    first = UnknownCertificate.objects.get()
    assert (first.count, first.subject) == (1, "CN=mallory")
    open_inbox.now += inbox.REPEAT_INTERVAL
    ask("/ledger/", renewed.der)
    row = UnknownCertificate.objects.get()
    assert (row.pk, row.count, row.subject) == (first.pk, 5, "CN=mallory-2")
    assert row.first_seen_at == first.first_seen_at < row.last_seen_at


@pytest.mark.django_db
def test_within_the_minute_nothing_is_written(
    ask: Wsgi, mallory_cert: IssuedCertificate, open_inbox: Clock
) -> None:
    """The second request has no query but the one that decides."""
    ask("/ledger/", mallory_cert.der)
    with captured() as queries:
        ask("/ledger/", mallory_cert.der)
    assert len(queries) == 1


@pytest.mark.django_db
def test_what_a_write_costs(
    ask: Wsgi, mallory_cert: IssuedCertificate, open_inbox: Clock
) -> None:
    """Four queries for a newcomer, however full the inbox is; one for the next."""
    with captured() as queries:
        ask("/ledger/", mallory_cert.der)
    assert len([one for one in queries if "unknowncert" in one.sql]) == 3
    open_inbox.now += inbox.REPEAT_INTERVAL
    with captured() as queries:
        ask("/ledger/", mallory_cert.der)
    assert len([one for one in queries if "unknowncert" in one.sql]) == 1


Given = dict[str, Any]

ISSUED: dict[str, tuple[Callable[[ThrowawayCA, ThrowawayCA], bytes], str]] = {
    "expired": (
        lambda ca, _other: (
            ca.issue("old", not_before=NOW - 3 * HOUR, not_after=NOW - HOUR).der
        ),
        "expired",
    ),
    "of tomorrow": (
        lambda ca, _other: (
            ca.issue("new", not_before=NOW + HOUR, not_after=NOW + 2 * HOUR).der
        ),
        "not_yet_valid",
    ),
    "a server's": (
        lambda ca, _other: ca.issue("server", eku=[SERVER_AUTH]).der,
        "wrong_purpose",
    ),
    "with a name that cannot be used": (
        lambda ca, _other: w.certificate(ca, subject=w.common_name("a\0.evil")),
        "malformed_certificate",
    ),
    "of a CA of the same name": (
        lambda _ca, other: other.issue("alice").der,
        "untrusted_issuer",
    ),
}


@pytest.mark.django_db
@pytest.mark.parametrize("case", ISSUED)
def test_what_an_administrator_has_to_know_is_there(
    ask: Wsgi,
    alice: Any,
    authority: Any,
    ca: ThrowawayCA,
    other_ca: ThrowawayCA,
    open_inbox: Clock,
    case: str,
) -> None:
    """Every reason that is about the certificate."""
    make, reason = ISSUED[case]
    map_to(alice, "subject", "CN=alice", authority=authority)
    ask("/ledger/", make(ca, other_ca))
    assert UnknownCertificate.objects.get().reason == reason


@pytest.mark.django_db
def test_a_revoked_one_is_there(
    ask: Wsgi, authority: Any, mallory_cert: IssuedCertificate, open_inbox: Clock
) -> None:
    """Somebody goes on using it."""
    revoke_certificate(ClientCertificate(mallory_cert.der))
    ask("/ledger/", mallory_cert.der)
    assert UnknownCertificate.objects.get().reason == "revoked"


@pytest.mark.django_db
def test_what_was_not_proven_is_not_there(
    ask: Wsgi, mallory_cert: IssuedCertificate, open_inbox: Clock
) -> None:
    """Behind a gate, without the proxy's word, or what is no certificate at all."""
    ask("/ledger/", mallory_cert.der, peer="192.0.2.1")
    ask("/ledger/", mallory_cert.der, verdict="NONE")
    junk = {"ssl-client-cert": "junk", "ssl-client-verify": "SUCCESS"}
    ask("/ledger/", headers=junk)
    ask("/ledger/")
    ask("/untouched/", mallory_cert.der)
    assert not UnknownCertificate.objects.exists()


@pytest.mark.django_db
def test_who_is_known_is_not_there(
    ask: Wsgi, alice: Any, alice_cert: Any, mapping: Any, open_inbox: Clock
) -> None:
    """Let in, or kept out by a mapping or because of the user."""
    ask("/ledger/", alice_cert.der)
    type(mapping).objects.update(state="disabled")
    assert ask("/ledger/", alice_cert.der).status_code == 403
    type(mapping).objects.update(state="active")
    alice.is_active = False
    alice.save()
    assert ask("/ledger/", alice_cert.der).status_code == 403
    assert not UnknownCertificate.objects.exists()


@pytest.mark.django_db
def test_it_can_be_turned_off(
    ask: Wsgi, settings: Any, alice_cert: Any, mapping: Any, mallory_cert: Any
) -> None:
    """Nothing is written, and nothing deleted."""
    settings.CLIENTCERT_INBOX_SIZE = 0
    ask("/ledger/", mallory_cert.der)
    with captured() as queries:
        ask("/ledger/", alice_cert.der)
    assert not [one for one in queries if "unknowncert" in one.sql]
    assert not UnknownCertificate.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("size", [10000, 0])
def test_who_is_let_in_leaves_the_inbox(
    ask: Wsgi,
    alice: Any,
    alice_cert: IssuedCertificate,
    open_inbox: Clock,
    settings: Any,
    size: int,
) -> None:
    """With the first request that is accepted, however it was mapped."""
    settings.CLIENTCERT_SEEN_SIZE = size
    ask("/ledger/", alice_cert.der)
    assert UnknownCertificate.objects.count() == 1
    map_to(alice, "fingerprint", alice_cert.fingerprint)
    assert ask("/ledger/", alice_cert.der).status_code == 200
    assert not UnknownCertificate.objects.exists()
    assert SeenCertificate.objects.count() == (1 if size else 0)
    with captured() as queries:
        ask("/ledger/", alice_cert.der)
    assert not [one for one in queries if "unknowncert" in one.sql]


@pytest.mark.django_db
def test_what_cannot_be_written_is_logged(
    ask: Wsgi,
    mallory_cert: IssuedCertificate,
    open_inbox: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The request is answered all the same."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError("read-only")

    monkeypatch.setattr(UnknownCertificate, "record", fail)
    assert ask("/ledger/", mallory_cert.der).status_code == 403
    assert "not written: unknown certificate: DatabaseError" in caplog.text


@pytest.mark.django_db
def test_l13_what_could_not_be_written_keeps_its_count(
    ask: Wsgi,
    mallory_cert: IssuedCertificate,
    open_inbox: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next request after a pause writes it, whatever that request presents."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError("read-only")

    with monkeypatch.context() as patched:
        patched.setattr(UnknownCertificate, "record", fail)
        ask("/ledger/", mallory_cert.der)
    ask("/ledger/", mallory_cert.der)
    assert not UnknownCertificate.objects.exists()
    open_inbox.now += 10
    ask("/open/")
    assert UnknownCertificate.objects.get().count == 2


class Tenants:
    """A router that keeps the inbox of each tenant in a database of its own."""

    current = ""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        """Return the alias of the tenant whose request this is."""
        return self.current if model is UnknownCertificate else None

    db_for_read = db_for_write


@pytest.fixture
def tenants(db: None, tmp_path: Path, settings: Any) -> Iterator[Tenants]:
    """Two SQLite files."""
    aliases = ("tenant_a", "tenant_b")
    for alias in aliases:
        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / alias}
        databases = connections.configure_settings({"default": {}, alias: database})
        # Not among the settings, because tests may not use every database of those
        connections[alias] = DatabaseWrapper(databases[alias], alias)
        with connections[alias].schema_editor() as editor:
            editor.create_model(UnknownCertificate)
    tenants = Tenants()
    settings.DATABASE_ROUTERS = [tenants]
    yield tenants
    for alias in aliases:
        connections[alias].close()
        del connections[alias]


def test_neighbours_1_a_stranger_stays_in_the_inbox_of_the_tenant(
    ask: Wsgi, ca: ThrowawayCA, authority: Any, tenants: Tenants, open_inbox: Clock
) -> None:
    """Whichever request writes what had to wait, and at the rate of each tenant."""

    def subjects(alias: str) -> set[str]:
        rows = UnknownCertificate.objects.using(alias)
        return set(rows.values_list("subject", flat=True))

    tenants.current = "tenant_a"
    for name in ("a1", "a2", "a3"):
        ask("/ledger/", ca.issue(name).der)
    tenants.current = "tenant_b"
    open_inbox.now += inbox.WRITE_INTERVAL
    ask("/ledger/", ca.issue("b1").der)
    open_inbox.now += inbox.WRITE_INTERVAL
    ask("/open/")
    assert subjects("tenant_a") == {"CN=a1"}
    assert subjects("tenant_b") == {"CN=b1"}
    tenants.current = "tenant_a"
    ask("/open/")
    assert subjects("tenant_a") == {"CN=a1", "CN=a2"}
    assert subjects("tenant_b") == {"CN=b1"}


def test_neighbours_1_a_schema_is_an_inbox_of_its_own(
    ask: Wsgi,
    ca: ThrowawayCA,
    authority: Any,
    open_inbox: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As django-tenants marks it on the connection."""
    wrapper = connections["default"]
    monkeypatch.setattr(wrapper, "schema_name", "a", raising=False)
    ask("/ledger/", ca.issue("a1").der)
    ask("/ledger/", ca.issue("a2").der)
    open_inbox.now += inbox.WRITE_INTERVAL
    monkeypatch.setattr(wrapper, "schema_name", "b")
    ask("/open/")
    assert UnknownCertificate.objects.get().subject == "CN=a1"


@pytest.mark.django_db
def test_a_key_that_cannot_be_read_has_no_row(ca: ThrowawayCA) -> None:
    """Of a decision that a backend of the project's own has made of it."""
    certificate = ClientCertificate(b"junk")
    decision = SimpleNamespace(
        accepted=False, certificate=certificate, mapping=None, reason=Reason.UNMAPPED
    )
    state: Any = SimpleNamespace(decision=decision)
    assert inbox.find_unrecorded_refusal(state) is None
    assert not UnknownCertificate.objects.all().of_keys(certificate).exists()


def test_who_has_a_mapping_is_known(
    mallory_cert: IssuedCertificate, open_inbox: Clock
) -> None:
    """Whatever reason a backend of the project's own gives."""
    decision = SimpleNamespace(
        accepted=False,
        certificate=ClientCertificate(mallory_cert.der),
        mapping=object(),
        reason=Reason.UNMAPPED,
    )
    state: Any = SimpleNamespace(decision=decision)
    assert inbox._sighting_of(state) is None


# --- where from -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("forwarded", "peer", "address"),
    [
        ("192.0.2.1", "10.0.0.1", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1", "10.0.0.1", "192.0.2.1"),
        ("6.6.6.6,2001:DB8::1 ", "10.0.0.1", "2001:db8::1"),
        ("6.6.6.6, unknown", "10.0.0.1", "10.0.0.1"),
        ("6.6.6.6, fe80::1%<script>", "10.0.0.1", "10.0.0.1"),
        ("", "10.0.0.1", "10.0.0.1"),
        (None, "10.0.0.1", "10.0.0.1"),
        (None, "unix:", ""),
        (None, None, ""),
    ],
)
def test_the_last_address_is_what_the_proxy_appended(
    forwarded: str | None, peer: str | None, address: str
) -> None:
    """What stands before it, the client may have written."""
    extra = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
    request = RequestFactory().get("/", **extra)  # type: ignore[arg-type]
    presented = Presented(get_proxy("ingress-nginx"), peer=peer)
    assert find_address(request, presented) == address


def test_of_a_connection_the_peer_is_the_client() -> None:
    """No proxy appends anything; the header is the client's own."""
    proxy = next(
        one
        for one in map(get_proxy, ("gunicorn", "werkzeug", "cheroot", "uwsgi"))
        if not one.is_header
    )
    request = RequestFactory().get("/", HTTP_X_FORWARDED_FOR="6.6.6.6")
    assert find_address(request, Presented(proxy, peer="192.0.2.1")) == "192.0.2.1"


# --- how many ---------------------------------------------------------------------


def record(certificate: ClientCertificate, **values: Any) -> None:
    """Write down a refusal."""
    UnknownCertificate.record(
        certificate,
        **{
            "reason": Reason.UNMAPPED,
            "detail": "",
            "host": "",
            "address": "",
            "count": 1,
            "size": 3,
            "at": timezone.now(),
            **values,
        },
    )


@pytest.mark.django_db
def test_no_more_are_kept_than_the_setting_says(ca: ThrowawayCA) -> None:
    """Who tries again stays; of the others, who was not seen for longest goes."""
    certificates = [ClientCertificate(ca.issue(f"c{n}").der) for n in range(8)]
    loyal = certificates[0]
    record(loyal, count=2, at=NOW - 100 * HOUR)
    for age, one in enumerate(certificates[1:]):
        record(one, at=NOW - (50 - age) * HOUR)
        assert UnknownCertificate.objects.count() <= 3
    kept = {row.subject for row in UnknownCertificate.objects.all()}
    assert kept == {"CN=c0", "CN=c6", "CN=c7"}
    # Where the setting was lowered
    record(certificates[5], size=1)
    assert UnknownCertificate.objects.get().subject == "CN=c5"


@pytest.mark.django_db
def test_a_newcomer_is_let_in_where_all_others_came_often(ca: ThrowawayCA) -> None:
    """Else nobody would ever come in again."""
    for each in range(3):
        record(ClientCertificate(ca.issue(f"c{each}").der), count=5 + each)
    record(ClientCertificate(ca.issue("new").der))
    kept = {row.subject for row in UnknownCertificate.objects.all()}
    assert kept == {"CN=new", "CN=c1", "CN=c2"}


@pytest.mark.django_db
def test_two_at_once_are_one_row(mallory_cert: IssuedCertificate) -> None:
    """The second insert finds the first one's row, and nothing fails."""
    certificate = ClientCertificate(mallory_cert.der)

    def insert_first(
        execute: Any, sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        result = execute(sql, params, many, context)
        if sql.startswith("UPDATE") and not UnknownCertificate.objects.exists():
            UnknownCertificate.objects.create(
                public_key=certificate.public_key_bytes,
                fingerprint=certificate.fingerprint_bytes,
                certificate=certificate.der,
            )
        return result

    with transaction.atomic(), connection.execute_wrapper(insert_first):
        record(certificate)
        assert UnknownCertificate.objects.count() == 1


@pytest.mark.django_db
def test_whatever_a_stranger_writes_can_be_stored(ca: ThrowawayCA) -> None:
    """Controls, too much of everything, years that some databases lack."""
    der = w.certificate(
        ca,
        subject=w.common_name("a\0b\u202e" + "x" * 2000),
        validity=w.tlv(
            w.SEQUENCE, w.tlv(0x18, b"00010101000000Z"), w.tlv(0x18, b"00010102000000Z")
        ),
    )
    record(
        ClientCertificate(der),
        detail="a\0b" + "x" * 900,
        host="\0" * 300,
        address="9" * 100,
    )
    row = UnknownCertificate.objects.get()
    assert row.not_after is None
    assert "\0" not in row.subject + row.issuer + row.detail + row.host
    assert len(row.host) <= 255
    assert len(row.address) == 45
    assert len(str(row)) <= 121
    UnknownCertificate.objects.all().delete()
    junk = w.tlv(w.SEQUENCE, w.tlv(0x02, b"\1"))
    record(ClientCertificate(w.certificate(ca, issuer=junk)))
    assert UnknownCertificate.objects.get().issuer == ""
    assert str(UnknownCertificate(fingerprint=b"\1" * 32)) == "01" * 32
