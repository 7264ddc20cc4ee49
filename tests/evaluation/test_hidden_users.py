"""Users whom the user model's default manager hides do not come in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import UserManager
from django.db import OperationalError, connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from django_clientcert.testing import IssuedCertificate
from tests.conftest import Wsgi


class KeepsSecrets(UserManager[Any]):
    """Hides those whose last name is “deleted”, as soft deletion does."""

    def get_queryset(self) -> QuerySet[Any]:
        """Return the others."""
        return super().get_queryset().exclude(last_name="deleted")


@pytest.fixture
def hiding() -> Iterator[None]:
    """Let the user model have such a manager."""
    model: Any = get_user_model()
    KeepsSecrets().contribute_to_class(model, "kept")  # comes before inherited ones
    assert isinstance(model._default_manager, KeepsSecrets)
    yield
    model._meta.local_managers.pop()
    model._meta._expire_cache()
    del model.kept


def test_a03_a_hidden_user_is_refused(
    ask: Wsgi, alice: Any, alice_cert: IssuedCertificate, mapping: Any, hiding: None
) -> None:
    """As Django's own sessions and backends do; nobody is told why but the log."""
    assert ask("/ledger/", alice_cert.der).json()["user"] == "alice"
    alice.last_name = "deleted"
    alice.save()
    assert ask("/ledger/", alice_cert.der).status_code == 403
    seen = ask("/open/", alice_cert.der).json()
    assert (seen["user"], seen["reason"]) == ("", "inactive_user")


def test_a03_an_ordinary_manager_is_not_asked(
    ask: Wsgi, alice_cert: IssuedCertificate, mapping: Any, settings: Any
) -> None:
    """The one query stays one."""
    settings.CLIENTCERT_LAST_USED_INTERVAL = None
    with CaptureQueriesContext(connection) as queries:
        assert ask("/ledger/", alice_cert.der).status_code == 200
    assert len(queries) == 1


def test_a03_a_manager_that_cannot_be_asked_refuses(
    ask: Wsgi, alice_cert: IssuedCertificate, mapping: Any, hiding: None
) -> None:
    """It is an outage."""

    def fail(execute: Any, sql: str, *args: Any) -> Any:
        if "deleted" in str(args[0]):
            raise OperationalError("gone")
        return execute(sql, *args)

    with connection.execute_wrapper(fail):
        assert ask("/ledger/", alice_cert.der).status_code == 503
