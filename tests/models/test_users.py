"""Users by name: the database may find similar ones, and only the very one counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import UserManager
from django.db import connection
from django.db.models import F

from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.models.users import (
    _Octets,
    find_by_fields,
    find_by_name,
    find_folded,
)
from django_clientcert.testing import IssuedCertificate, ThrowawayCA
from django_clientcert.x509.names import fold_email
from tests.commands.running import clientcert
from tests.deciding import decide

pytestmark = pytest.mark.django_db

SIMILAR = ["álice", "ali\u202ece", "al\u200bice", "ａlice", "alice ", "alıce"]


@pytest.mark.parametrize("name", SIMILAR)
@pytest.mark.parametrize("lenient", [False, True])
def test_p03_a_user_of_a_similar_name_is_not_mapped(
    tmp_path: Path,
    alice: Any,
    alice_cert: IssuedCertificate,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    lenient: bool,
) -> None:
    """Whatever the database, or a manager of the project, takes for equal."""
    if lenient:
        monkeypatch.setattr(
            UserManager, "get_by_natural_key", lambda self, name: self.get(pk=alice.pk)
        )
    certificate, rows = tmp_path / "alice.pem", tmp_path / "rows.csv"
    certificate.write_text(alice_cert.pem)
    outcome = clientcert("map", str(certificate), "--user", name)
    assert outcome.status == 1
    assert "No user, or more than one, has the username" in outcome.error
    rows.write_text(f"user,value\n{name},{'ab' * 32}\n", encoding="utf-8")
    assert "No user, or more than one" in clientcert("import", str(rows)).out
    assert not CertificateMapping.objects.exists()


def test_a_project_whose_names_ignore_case(
    alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its manager finds the user; the letters are ASCII, so nothing is similar."""
    monkeypatch.setattr(
        UserManager,
        "get_by_natural_key",
        lambda self, name: self.get(username__iexact=name),
    )
    assert find_by_name(["ALICE", "alice", "nobody", "\0", "\ud800"]) == {
        "ALICE": alice,
        "alice": alice,
    }


def test_p04_similar_users_do_not_hide_the_one_that_a_rule_names(
    ca: ThrowawayCA, authority: CertificateAuthority
) -> None:
    """However many registered before, with an address that the database finds too."""
    CertificateAuthority.objects.filter(pk=authority.pk).update(
        rule_identity="san_email", rule_user_field="email"
    )
    users = get_user_model().objects
    for number in range(12):
        users.create_user(f"u{number}", email="Bobbi@Example.com "[: 17 + number % 2])
    bobbi = users.create_user("bobbi", email="bobbi@example.com")
    certificate = ca.issue("x", emails=["bobbi@example.com"])
    assert decide(certificate).user == bobbi
    for number in range(2):
        users.create_user(f"b{number}", email="bobbi@example.com")
    assert decide(certificate).reason == "ambiguous_mapping"
    found = find_by_fields({("email", "bobbi@example.com")}, 2)
    assert [user.email for user in found] == ["bobbi@example.com"] * 2


def test_folded_names_are_grouped(alice: Any) -> None:
    """Only what folds to the same is together, whatever else is found."""
    users = get_user_model().objects
    other = users.create_user("other", email="alice@EXAMPLE.com")
    users.create_user("third", email="Alice@example.com")
    found = find_folded("email", {"alice@example.com"}, fold_email, 10)
    assert found["alice@example.com"] == [alice, other]


@pytest.mark.skipif(connection.vendor != "mysql", reason="others compare exactly")
def test_the_database_does_find_similar_names(alice: Any) -> None:
    """Else the tests above would prove nothing here."""
    assert get_user_model().objects.filter(username="álice").exists()


@pytest.mark.parametrize(
    ("method", "function"),
    [
        ("as_sql", "CAST("),
        ("as_mysql", "CAST(CONVERT("),
        ("as_postgresql", "convert_to("),
    ],
)
def test_octets_have_a_form_for_each_database(method: str, function: str) -> None:
    """Which of them is used depends on the database that the tests run with."""
    query = get_user_model().objects.annotate(octets=_Octets(F("username"))).query
    compiler = query.get_compiler("default")
    sql, parameters = getattr(query.annotations["octets"], method)(compiler, connection)
    assert sql.startswith(function)
    assert list(parameters) == []
