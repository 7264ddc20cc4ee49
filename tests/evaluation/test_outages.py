"""What the log says of a database that fails."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError, connection

from django_clientcert.evaluation import outages
from django_clientcert.evaluation.outages import OutageLog, describe_failure
from django_clientcert.models import CertificateAuthority
from django_clientcert.testing import IssuedCertificate
from tests.conftest import Clock, Wsgi


def test_l09_an_outage_is_logged_once_in_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However many requests there are; the next line has their number."""
    clock = Clock()
    log = OutageLog(clock)
    error = OperationalError("connection refused\n\tIs the server running?\n")
    for _ in range(3):
        log.report("the mappings cannot be read", error)
    log.report("something else", error)
    clock.now += outages.INTERVAL
    for _ in range(2):
        log.report("the mappings cannot be read", error)
    words = "OperationalError: connection refused Is the server running?"
    assert caplog.messages == [
        f"database failure: the mappings cannot be read: {words}",
        f"database failure: something else: {words}",
        (
            f"database failure: the mappings cannot be read: {words} "
            "(and 2 times since the last such line)"
        ),
    ]


@pytest.mark.parametrize(
    ("error", "is_missing"),
    [
        (OperationalError("no such table: django_clientcert_mapping"), True),
        (OperationalError("no such column: state"), True),
        (ProgrammingError('relation "x" does not exist'), True),
        (OperationalError("database is locked"), False),
        (OperationalError("FATAL:  sorry, too many clients already"), False),
    ],
)
def test_l16_migrations_are_suggested_for_missing_tables_only(
    error: OperationalError, is_missing: bool
) -> None:
    """A lock passes without them."""
    assert ("manage.py migrate" in describe_failure(error)) == is_missing


@pytest.mark.django_db
def test_l09_a_user_who_cannot_be_created_is_another_failure(
    ask: Wsgi,
    authority: CertificateAuthority,
    alice_cert: IssuedCertificate,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The mappings were read."""
    authority.rule_identity, authority.rule_creates_users = "common_name", True
    authority.save()

    def read_only(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith("INSERT"):
            raise OperationalError("attempt to write a readonly database")
        return execute(sql, *args)

    monkeypatch.setattr("django_clientcert.evaluation.run.outages", OutageLog())
    with connection.execute_wrapper(read_only):
        assert ask("/ledger/", alice_cert.der).status_code == 503
    assert (
        "the user of a rule cannot be read or created: OperationalError: attempt to "
        "write a readonly database" in caplog.text
    )
