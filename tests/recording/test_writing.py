"""A database that cannot be written to holds up hardly anybody."""

from __future__ import annotations

import logging
from threading import Event, Thread
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection

from django_clientcert.models import CertificateMapping, SeenCertificate
from django_clientcert.recording import writing
from django_clientcert.recording.writing import Writer
from django_clientcert.testing import IssuedCertificate
from tests.conftest import Clock, Wsgi


def fail(error: DatabaseError) -> Any:
    """Return what cannot be written."""

    def record() -> None:
        raise error

    return record


@pytest.fixture
def clock() -> Clock:
    """Seconds that pass when a test says so."""
    return Clock()


def test_l06_after_a_failure_nothing_is_written_for_a_while(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """One line in the log, too, with the database's own words."""
    writer, written = Writer(clock), []
    assert not writer.write("last use", fail(OperationalError("database is locked")))
    assert caplog.messages == [
        "not written: last use: OperationalError: database is locked"
    ]
    clock.now += writing.PAUSE - 1
    assert not writer.write("last use", lambda: written.append(1))
    clock.now += 1
    assert writer.write("last use", lambda: written.append(2))
    assert written == [2]
    assert len(caplog.messages) == 1


def test_l06_a_row_that_cannot_be_is_no_reason_to_pause(clock: Clock) -> None:
    """As that of a user whom a rolled back view has created."""
    writer = Writer(clock)
    assert not writer.write("last use", fail(IntegrityError("no such user")))
    assert writer.write("last use", lambda: None)


def test_l06_only_one_thread_waits_for_the_database(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a lock of the table would take all threads of the server."""
    monkeypatch.setattr(writing, "PATIENCE", 0.01)
    writer, began, go_on = Writer(clock), Event(), Event()

    def slow() -> None:
        began.set()
        go_on.wait(10)

    thread = Thread(target=writer.write, args=["first", slow])
    thread.start()
    assert began.wait(10)
    assert not writer.write("second", lambda: None)
    go_on.set()
    thread.join()
    assert writer.write("third", lambda: None)


def test_l06_who_has_waited_for_a_failure_does_not_try(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other thread has found out that the database cannot be written to."""
    monkeypatch.setattr(writing, "PATIENCE", 10.0)
    writer, began, go_on = Writer(clock), Event(), Event()
    written: list[int] = []

    def slow() -> None:
        began.set()
        go_on.wait(10)
        raise OperationalError("database is locked")

    first = Thread(target=writer.write, args=["first", slow])
    first.start()
    assert began.wait(10)
    second = Thread(target=writer.write, args=["second", lambda: written.append(1)])
    second.start()
    go_on.set()
    first.join()
    second.join()
    assert written == []


@pytest.mark.django_db(transaction=True)
def test_l06_a_read_only_database_is_tried_once(
    ask: Wsgi,
    alice_cert: IssuedCertificate,
    mapping: CertificateMapping,
    open_inbox: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Last use, seen and inbox share the pause; each is due again after it."""
    attempts = []

    def read_only(execute: Any, sql: str, *args: Any) -> Any:
        if sql.split()[0] in {"INSERT", "UPDATE", "DELETE"}:
            attempts.append(sql)
            raise OperationalError("attempt to write a readonly database")
        return execute(sql, *args)

    with connection.execute_wrapper(read_only):
        for _ in range(5):
            assert ask("/ledger/", alice_cert.der).status_code == 200
    assert len(attempts) == 1
    assert len(caplog.records) == 1
    open_inbox.now += writing.PAUSE
    ask("/ledger/", alice_cert.der)
    mapping.refresh_from_db()
    assert mapping.last_used_at is not None
    assert SeenCertificate.objects.count() == 1
    assert logging.getLogger("django_clientcert").level == 0
