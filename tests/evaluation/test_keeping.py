"""``CLIENTCERT_DECISION_SECONDS``: how long a process may keep a decision."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.db import OperationalError, connection, connections, transaction
from django.db.models.signals import post_init
from django.test import AsyncRequestFactory
from django.utils import timezone

from django_clientcert.backends import ClientCertBackend
from django_clientcert.evaluation import keeping
from django_clientcert.evaluation.run import Evaluation, ShortDecision
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
    SeenCertificate,
)
from django_clientcert.testing import IssuedCertificate, ThrowawayCA, proxy_headers
from django_clientcert.trust.crl_import import import_crl
from django_clientcert.trust.revoke import revoke_certificate
from django_clientcert.x509.certificates import ClientCertificate
from tests.conftest import Wsgi
from tests.deciding import decide
from tests.queries import captured

pytestmark = [
    # In a transaction, nothing is kept.
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        bool(get_user_model()._meta.parents), reason="users of several tables"
    ),
]


@pytest.fixture(autouse=True)
def seconds(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep decisions for five seconds; the connection watches what is changed."""
    settings.CLIENTCERT_DECISION_SECONDS = 5
    settings.CLIENTCERT_LAST_USED_INTERVAL = None
    keeping.watch(connections["default"])
    yield
    connections["default"].execute_wrappers.remove(keeping._notice)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of the monotonic clock, the only thing that is not real."""
    now = [1000.0]
    monkeypatch.setattr(keeping.time, "monotonic", lambda: now[0])
    return now


def queries_of(certificate: IssuedCertificate, **options: Any) -> int:
    """Return how many queries a decision takes; it must accept."""
    with captured("as it is") as queries:
        decision = decide(certificate, **options)
        assert decision.accepted, decision.reason
        assert decision.user.get_username() == "alice"
    return len(queries)


def test_a_decision_is_kept_for_that_long(
    mapping: Any, alice_cert: IssuedCertificate, clock: list[float]
) -> None:
    """Then it is made again."""
    assert queries_of(alice_cert) == 1
    assert [queries_of(alice_cert) for _ in range(3)] == [0, 0, 0]
    clock[0] += 4.9
    assert queries_of(alice_cert) == 0
    clock[0] += 0.1
    assert queries_of(alice_cert) == 1


def test_nothing_is_kept_by_default(
    settings: Any, mapping: Any, alice_cert: IssuedCertificate
) -> None:
    """Not even what was kept before the setting was changed."""
    queries_of(alice_cert)
    del settings.CLIENTCERT_DECISION_SECONDS
    assert [queries_of(alice_cert) for _ in range(2)] == [1, 1]


def test_each_request_has_a_user_of_its_own(
    mapping: Any, alice_cert: IssuedCertificate
) -> None:
    """What one does to it, the next does not see; the rest is the same."""
    decide(alice_cert)
    first, second = decide(alice_cert), decide(alice_cert)
    first.user.first_name = "Changed"
    assert second.user.first_name == ""
    assert first.user == second.user
    assert first.user is not second.user
    assert type(first) is ShortDecision
    with captured("as it is") as queries:
        assert first.mapping == mapping
        assert first.mapping is not second.mapping
        assert [step.outcome for step in first.steps] == ["passed"] * 18
    assert len(queries) == 0


def test_what_may_be_changed_in_place_is_copied(
    mapping: Any, alice_cert: IssuedCertificate
) -> None:
    """As the value of a JSON field is."""
    shortcut = _kept_shortcut(alice_cert)
    shortcut._accepted = [{"a": 1}]
    (value,) = shortcut._values(shortcut._accepted, range(1))
    value["a"] = 2
    assert shortcut._accepted == [{"a": 1}]


def _kept_shortcut(certificate: IssuedCertificate) -> Any:
    replay = vars(decide(certificate))["_replay"]
    return replay.func.__self__.peer.evidence.kept.shortcut


def test_no_connection_is_kept(mapping: Any, alice_cert: IssuedCertificate) -> None:
    """It belongs to the thread, or the request, that made the decision."""
    shortcut = _kept_shortcut(alice_cert)
    assert shortcut._connection is shortcut._converters is None


def test_dates_and_hosts_are_checked_each_time(
    mapping: CertificateMapping, alice_cert: IssuedCertificate
) -> None:
    """They need no query."""
    mapping.hosts = "testserver"
    mapping.valid_until = timezone.now() + dt.timedelta(seconds=60)
    mapping.save()
    assert [queries_of(alice_cert) for _ in range(2)] == [1, 0]
    assert decide(alice_cert, host="other.example.com").reason == "host_not_covered"
    later = timezone.now() + dt.timedelta(seconds=61)
    assert decide(alice_cert, at=later).reason == "mapping_expired"
    much_later = timezone.now() + dt.timedelta(days=4000)
    assert decide(alice_cert, at=much_later).reason == "expired"
    assert queries_of(alice_cert) == 0


def test_the_dates_of_the_whole_path_are_checked_each_time(
    alice: Any, ca: ThrowawayCA
) -> None:
    """Of a CA that expires before the certificate does."""
    end = timezone.now() + dt.timedelta(days=2)
    issuing = ca.issue_ca("Short-lived", not_after=end)
    authority = CertificateAuthority.objects.create(
        name="PKI", bundle=ca.pem + issuing.pem
    )
    certificate = issuing.issue("alice")
    CertificateMapping.objects.create(
        user=alice, kind="subject", value="CN=alice", authority=authority
    )
    assert [queries_of(certificate) for _ in range(3)][1:] == [1, 0]
    later = end + dt.timedelta(seconds=1)
    assert decide(certificate, at=later).reason == "invalid_path"


CHANGES: dict[str, Callable[[Any, Any], Any]] = {
    "save": lambda mapping, cert: mapping.save(),
    "update": lambda mapping, cert: CertificateMapping.objects.update(state="disabled"),
    "delete": lambda mapping, cert: mapping.delete(),
    "user": lambda mapping, cert: get_user_model().objects.update(is_active=False),
    "bulk": lambda mapping, cert: CertificateMapping.objects.bulk_update(
        [mapping], ["note"]
    ),
    "revocation": lambda mapping, cert: revoke_certificate(ClientCertificate(cert.der)),
    "created": lambda mapping, cert: Revocation.objects.bulk_create(
        [Revocation(public_key=ClientCertificate(cert.der).public_key_bytes)]
    ),
    "authority": lambda mapping, cert: CertificateAuthority.objects.update(note="x"),
    "SQL": lambda mapping, cert: connection.cursor().execute(
        "UPDATE django_clientcert_certificatemapping SET state = 'disabled'"
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_this_process_counts_at_once(
    mapping: Any, authority: Any, alice_cert: IssuedCertificate, change: Any
) -> None:
    """By whatever statement, on any of the tables."""
    decide(alice_cert)
    assert [queries_of(alice_cert) for _ in range(2)] == [1, 0]
    change(mapping, alice_cert)
    with captured("as it is") as queries:
        decide(alice_cert)
    assert len(queries) >= 1


def test_a_crl_that_this_process_imports_counts_at_once(
    mapping: Any, authority: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """Also from another thread."""
    decide(alice_cert)
    assert [queries_of(alice_cert) for _ in range(2)] == [1, 0]
    import_crl(authority, ca.crl([alice_cert]))
    assert decide(alice_cert).reason == "revoked"


def test_what_was_read_before_a_commit_is_not_kept_after_it(
    mapping: Any, alice_cert: IssuedCertificate
) -> None:
    """Another thread may look while a change is not yet committed."""
    if connection.vendor == "sqlite":
        pytest.skip("the database is this thread's own memory")
    seen: list[int] = []

    def look() -> None:
        seen.append(queries_of(alice_cert))
        connections.close_all()  # those of this thread

    with transaction.atomic():
        CertificateMapping.objects.update(state="disabled")
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert seen
    assert decide(alice_cert).reason == "mapping_disabled"


def test_nothing_is_kept_of_a_transaction(
    alice: Any, alice_cert: IssuedCertificate
) -> None:
    """It may be rolled back."""
    with transaction.atomic():
        CertificateMapping.objects.create(
            user=alice, kind="fingerprint", value=alice_cert.fingerprint
        )
        assert [queries_of(alice_cert) for _ in range(2)] == [1, 1]
        transaction.set_rollback(True)
    assert decide(alice_cert).reason == "unmapped"


def test_a_backend_that_changes_schemas_keeps_nothing(
    mapping: Any, alice_cert: IssuedCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One alias then stands for the tables of many tenants."""
    monkeypatch.setitem(connection.settings_dict, "ENGINE", "django_tenants.x")
    assert [queries_of(alice_cert) for _ in range(2)] == [1, 1]


def test_a_use_that_is_due_is_recorded_once(
    settings: Any, ask: Wsgi, mapping: Any, alice_cert: IssuedCertificate
) -> None:
    """The times that are kept are those from before; and to record ends nothing."""
    settings.CLIENTCERT_LAST_USED_INTERVAL = 60
    changes = keeping.count_changes()
    for _ in range(4):
        assert ask("/ledger/", alice_cert.der).status_code == 200
    assert SeenCertificate.objects.count() == 1
    assert keeping.count_changes() == changes
    with captured("as it is") as queries:
        ask("/ledger/", alice_cert.der)
    assert len(queries) == 0


def test_a_statement_that_changes_something_else_ends_nothing(
    mapping: Any, alice_cert: IssuedCertificate
) -> None:
    """Sessions are written all the time."""
    decide(alice_cert)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_session")
    assert queries_of(alice_cert) == 0


def test_a_connection_watches_only_if_decisions_are_kept(settings: Any) -> None:
    """Without the setting, no statement takes longer."""
    del settings.CLIENTCERT_DECISION_SECONDS
    before = list(connection.execute_wrappers)
    keeping.watch(connections["default"])
    assert connection.execute_wrappers == before


# --- asynchronous ----------------------------------------------------------------


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note in which threads the database is asked."""
    names: list[str] = []
    decide = Evaluation.decide

    def note(self: Evaluation, facts: Any) -> None:
        names.append(threading.current_thread().name)
        decide(self, facts)

    monkeypatch.setattr(Evaluation, "decide", note)
    return names


def adecide(certificate: IssuedCertificate, backend: ClientCertBackend) -> Any:
    """Return the decision on an asynchronous request."""
    headers = proxy_headers(certificate.der, verdict="SUCCESS")
    request = AsyncRequestFactory().get("/", headers=headers, secure=True)
    request.META["REMOTE_ADDR"] = "10.1.2.3"
    return async_to_sync(backend.adecide)(request)


def test_under_asgi_a_kept_decision_takes_no_thread(
    mapping: Any, alice_cert: IssuedCertificate, threads: list[str]
) -> None:
    """The first one does, because it asks the database."""
    backend = ClientCertBackend()
    decide(alice_cert)
    threads.clear()
    for _ in range(3):
        assert adecide(alice_cert, backend).accepted
    assert threads == []


def test_under_asgi_a_rule_of_the_project_is_asked_in_a_thread(
    mapping: Any, alice_cert: IssuedCertificate, threads: list[str]
) -> None:
    """It may query the database."""

    class Own(ClientCertBackend):
        def user_can_authenticate(self, user: Any) -> bool:
            return bool(ModelBackend.user_can_authenticate(self, user))

    decide(alice_cert)
    threads.clear()
    with captured("as it is") as queries:
        assert adecide(alice_cert, Own()).accepted
    assert len(threads) == 1
    assert len(queries) == 0  # what is kept counts there, too


def test_under_asgi_who_follows_the_making_of_users_is_told_in_a_thread(
    mapping: Any, alice_cert: IssuedCertificate, threads: list[str]
) -> None:
    """A receiver may query the database."""

    def query(instance: Any, **kwargs: Any) -> None:
        connection.cursor().execute("SELECT 1")

    decide(alice_cert)
    threads.clear()
    post_init.connect(query, sender=get_user_model())
    try:
        assert adecide(alice_cert, ClientCertBackend()).accepted
    finally:
        post_init.disconnect(query, sender=get_user_model())
    assert len(threads) == 1


def test_a_rule_of_the_project_that_fails_makes_no_error(
    mapping: Any, alice_cert: IssuedCertificate
) -> None:
    """It is a refusal with a reason, as without a kept decision."""

    class Own(ClientCertBackend):
        def user_can_authenticate(self, user: Any) -> bool:
            raise OperationalError("gone")

    decide(alice_cert)
    decision = adecide(alice_cert, Own())
    assert decision.reason == "trust_unavailable"


def test_a_manager_that_may_hide_users_keeps_nothing(
    mapping: Any, alice_cert: IssuedCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hide those of other tenants, and each request has its own."""
    monkeypatch.setattr(keeping, "may_hide", lambda model: True)
    assert [queries_of(alice_cert) for _ in range(2)] == [1, 1]


def test_a_connection_that_is_made_anew_watches_once(
    settings: Any, mapping: Any, alice_cert: IssuedCertificate
) -> None:
    """With Django's default, each request connects; a statement must not slow down."""
    wrapper = connections["default"]
    for _ in range(3):
        keeping.watch(wrapper)
    assert wrapper.execute_wrappers.count(keeping._notice) == 1


def test_a_transaction_by_hand_is_no_error(
    mapping: Any, alice_cert: IssuedCertificate
) -> None:
    """Nobody is told of its commit, so the change counts at once."""
    if connection.vendor == "sqlite":
        pytest.skip("Django’s SQLite has no transactions by hand in a test")
    decide(alice_cert)
    connection.set_autocommit(False)
    try:
        CertificateMapping.objects.update(state="disabled")
        connection.commit()
    finally:
        connection.set_autocommit(True)
    assert decide(alice_cert).reason == "mapping_disabled"
