"""Nothing is mapped twice, not even by two who do it at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, router, transaction

from django_clientcert.models import CertificateMapping, MappingLock
from django_clientcert.testing import IssuedCertificate
from tests.commands.running import CommandResult, clientcert
from tests.deciding import map_to
from tests.queries import captured

in_threads = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="the database is this thread's own memory"
)


def at_once(*actions: Callable[[], CommandResult]) -> list[CommandResult]:
    """Run *actions* in a thread each, all at the same moment."""
    barrier = threading.Barrier(len(actions))
    outcomes: list[CommandResult] = []

    def run(action: Callable[[], CommandResult]) -> None:
        try:
            barrier.wait(30)
            outcomes.append(action())
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == len(actions)
    return outcomes


@in_threads
@pytest.mark.django_db(transaction=True)
def test_l04_two_imports_at_once(alice: Any, tmp_path: Path) -> None:
    """The second says that the rows exist."""
    path = tmp_path / "rows.csv"
    rows = "".join(f"alice,{number:064x}\n" for number in range(1, 1201))
    path.write_text(f"user,value\n{rows}")
    outcomes = at_once(*[lambda: clientcert("import", str(path), "-v0")] * 2)
    assert [outcome.status for outcome in outcomes] == [0, 0]
    ends = sorted(outcome.out for outcome in outcomes)
    assert ends[0].startswith("0 new, 1200 exists, 0 refused")
    assert ends[1].startswith("1200 new, 0 exists, 0 refused")
    assert CertificateMapping.objects.count() == 1200


@in_threads
@pytest.mark.django_db(transaction=True)
def test_l04_a_certificate_is_mapped_by_several_at_once(
    alice: Any, alice_cert: IssuedCertificate, tmp_path: Path
) -> None:
    """One mapping, and everyone is told that it is there."""
    path = tmp_path / "alice.pem"
    path.write_text(alice_cert.pem)
    action = lambda: clientcert("map", str(path), "--user", "alice")  # noqa: E731
    outcomes = at_once(*[action] * 4)
    assert [outcome.error for outcome in outcomes] == [""] * 4
    assert CertificateMapping.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_l04_a_transaction_that_maps_begins_with_a_write(
    alice: Any, alice_cert: IssuedCertificate, tmp_path: Path
) -> None:
    """Under SQLite only such a transaction waits until others have written."""
    certificate, rows = tmp_path / "alice.pem", tmp_path / "rows.csv"
    certificate.write_text(alice_cert.pem)
    rows.write_text(f"user,value\nalice,{'ab' * 32}\n")
    for arguments in (("map", str(certificate), "--user", "alice"), ("import", rows)):
        with captured() as queries:
            assert clientcert(*map(str, arguments)).status == 0
        writes = [
            position
            for position, query in enumerate(queries)
            if MappingLock._meta.db_table in query.sql
        ]
        mappings = [
            position
            for position, query in enumerate(queries)
            if CertificateMapping._meta.db_table in query.sql
        ]
        assert writes
        assert queries[writes[0]].sql.startswith("INSERT")
        assert writes[0] < mappings[0]


@pytest.mark.django_db(transaction=True)
def test_l04_the_lock_is_a_row_that_anyone_may_delete() -> None:
    """It is made again, and outside of a transaction there is nothing to lock."""
    using = router.db_for_write(CertificateMapping)
    MappingLock.acquire(using)
    assert not MappingLock.objects.exists()
    for _attempt in range(2):
        with transaction.atomic(using=using):
            MappingLock.acquire(using)
    (lock,) = MappingLock.objects.all()
    assert str(lock) == "the lock on mappings"


@pytest.mark.django_db
def test_a_twin_of_the_same_user_comes_first(
    alice: Any, bob: Any, authority: Any
) -> None:
    """A pin is the same with and without an authority; a name is not."""
    of_bob = map_to(bob, "fingerprint", "ab" * 32)
    pin = CertificateMapping(user=alice, value="ab" * 32, authority=authority)
    pin.normalise()
    assert pin.find_twin() == of_bob
    of_alice = map_to(alice, "fingerprint", "ab" * 32)
    assert pin.find_twin() == of_alice
    map_to(bob, "subject", "CN=a", authority=authority)
    name = CertificateMapping(user=alice, kind="subject", value="CN=a")
    name.normalise()
    assert name.find_twin() is None
    name.authority = authority
    with pytest.raises(ValidationError, match="to another user"):
        name.full_clean()
