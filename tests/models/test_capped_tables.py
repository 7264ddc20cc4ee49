"""Tables of what was seen: kept at a size, in steps that any database can take."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from django_clientcert.models import SeenCertificate, UnknownCertificate, observed
from tests.queries import captured

pytestmark = pytest.mark.django_db

NOW = timezone.now()
MINUTE = dt.timedelta(minutes=1)


def fill(model: Any, user: Any, minutes: list[int]) -> None:
    """Store rows that were last seen so many minutes ago."""
    own = {"user": user} if model is SeenCertificate else {"reason": "unmapped"}
    model.objects.bulk_create(
        model(
            fingerprint=number.to_bytes(32, "big"),
            certificate=b"",
            last_seen_at=NOW - age * MINUTE,
            **({"public_key": number.to_bytes(32, "big")} if "user" not in own else {}),
            **own,
        )
        for number, age in enumerate(minutes)
    )


def ages(model: Any) -> list[int]:
    """Return how many minutes ago the rows that are left were last seen."""
    rows = model.objects.order_by("last_seen_at", "pk")
    return [(NOW - row.last_seen_at) // MINUTE for row in rows]


@pytest.mark.parametrize("model", [SeenCertificate, UnknownCertificate])
def test_l07_a_table_is_pruned_in_bounded_steps(
    model: Any, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rows there are, no query names them, and no call deletes all."""
    monkeypatch.setattr(observed, "MAX_PRUNED", 20)
    fill(model, alice, list(range(50)))
    for left in (30, 10, 10):
        with captured() as queries:
            model.objects.all().prune(10)
        assert max(len(query.parameters) for query in queries) < 20
        assert ages(model) == list(range(left))[::-1]


@pytest.mark.parametrize("model", [SeenCertificate, UnknownCertificate])
def test_l07_rows_of_the_same_moment(model: Any, alice: Any) -> None:
    """The primary key decides; exactly the surplus goes."""
    fill(model, alice, [5, 5, 5, 5, 1])
    assert model.objects.all().prune(3) == 2
    assert ages(model) == [5, 5, 1]
    first = model.objects.order_by("pk").values_list("fingerprint", flat=True)[0]
    assert first == (2).to_bytes(32, "big")
    assert model.objects.all().prune(3) == 0
    assert model.objects.all().prune(0) == 3


def test_l07_what_was_refused_least_often_goes_first() -> None:
    """A flood does not push out a client that tries again, however old."""
    fill(UnknownCertificate, None, [30, 20, 10])
    UnknownCertificate.objects.filter(last_seen_at=NOW - 30 * MINUTE).update(count=9)
    assert UnknownCertificate.objects.all().prune(2) == 1
    assert ages(UnknownCertificate) == [30, 10]
