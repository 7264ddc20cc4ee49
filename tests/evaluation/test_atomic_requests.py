"""A rule's new user comes in, whatever transactions surround the views."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection, connections, transaction

from django_clientcert.evaluation import rules
from django_clientcert.evaluation.decisions import Decision
from django_clientcert.models import CertificateAuthority
from django_clientcert.signals import client_cert_accepted
from django_clientcert.testing import IssuedCertificate, ThrowawayCA
from tests.conftest import Wsgi
from tests.deciding import decide

pytestmark = pytest.mark.django_db(transaction=True)

ISOLATION: dict[str, Any] = {"postgresql": 4, "mysql": "repeatable read"}


@pytest.fixture
def rule(authority: CertificateAuthority) -> CertificateAuthority:
    """A rule that creates users."""
    authority.rule_identity, authority.rule_creates_users = "common_name", True
    authority.save()
    return authority


@pytest.fixture
def _atomic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)


@pytest.mark.usefixtures("_atomic")
def test_l08_the_decision_comes_before_the_transaction_of_the_view(
    rule: CertificateAuthority, alice_cert: IssuedCertificate
) -> None:
    """A view that fails does not take the user back."""
    inside = []

    def note(**kwargs: Any) -> None:
        inside.append(transaction.get_connection().in_atomic_block)

    client_cert_accepted.connect(note)
    try:
        assert Wsgi()("/ledger/", alice_cert.der).json()["user"] == "alice"
        assert Wsgi()("/open/").status_code == 200
    finally:
        client_cert_accepted.disconnect(note)
    assert inside == [False]


@pytest.mark.skipif(connection.vendor == "sqlite", reason="one thread's own memory")
@pytest.mark.usefixtures("_atomic")
def test_l08_many_first_requests_create_one_user(
    rule: CertificateAuthority, ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is refused because another request was faster."""
    options = {
        **connection.settings_dict.get("OPTIONS", {}),
        "isolation_level": ISOLATION[connection.vendor],
    }
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", options)
    for name in ("ann", "ben", "cem"):
        certificate = ca.issue(name).der
        barrier = threading.Barrier(12)
        statuses: list[int] = []

        def ask(
            der: bytes = certificate,
            barrier: threading.Barrier = barrier,
            statuses: list[int] = statuses,
        ) -> None:
            try:
                barrier.wait(30)
                statuses.append(Wsgi()("/ledger/", der).status_code)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert statuses == [200] * 12
        assert get_user_model().objects.filter(username=name).count() == 1


@pytest.mark.parametrize("failures", [1, 2])
def test_l08_a_transaction_that_was_in_the_way_is_tried_again(
    rule: CertificateAuthority,
    alice_cert: IssuedCertificate,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
) -> None:
    """Once: a database that is out of order stays an outage."""
    store, attempts = rules._store, []

    def fail(*arguments: Any) -> None:
        attempts.append(arguments)
        if len(attempts) <= failures:
            raise OperationalError("could not serialize access")
        store(*arguments)

    monkeypatch.setattr(rules, "_store", fail)
    decision: Decision = decide(alice_cert, create_users=True)
    assert decision.accepted == (failures == 1)
    assert len(attempts) == 2


def test_l08_within_a_transaction_nothing_is_tried_again(
    rule: CertificateAuthority,
    alice_cert: IssuedCertificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is spoilt."""
    attempts = []

    def fail(*arguments: Any) -> None:
        attempts.append(arguments)
        raise OperationalError("database is locked")

    monkeypatch.setattr(rules, "_store", fail)
    with transaction.atomic():
        assert decide(alice_cert, create_users=True).reason == "trust_unavailable"
    assert len(attempts) == 1
