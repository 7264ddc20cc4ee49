"""``clientcert what-if``: the same decisions, on another day or without a CA."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_clientcert.backends import ClientCertBackend
from django_clientcert.management.subcommands import what_if
from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.testing import IssuedCertificate, ThrowawayCA
from django_clientcert.trust.crl_import import import_crl
from tests.conftest import Wsgi
from tests.deciding import map_to
from tests.private_keys import TEXTS
from tests.queries import captured

from .running import clientcert

pytestmark = pytest.mark.django_db

NOW = dt.datetime.now(dt.timezone.utc)
DAY = dt.timedelta(days=1)


@pytest.fixture
def everybody(
    ask: Wsgi,
    alice: Any,
    bob: Any,
    authority: Any,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
) -> dict[str, CertificateMapping]:
    """A pin with a certificate, a name that was seen, one that was not, and others."""
    short = ca.issue("short", not_after=NOW + 5 * DAY)
    rows = {
        "pin": map_to(
            alice, "fingerprint", alice_cert.fingerprint, certificate=alice_cert.der
        ),
        "seen": map_to(bob, "subject", "CN=short", authority=authority),
        "unseen": map_to(bob, "subject", "CN=unseen", authority=authority),
        "typed": map_to(bob, "fingerprint", "ab" * 32),
        "ending": map_to(bob, "fingerprint", "cd" * 32, valid_until=NOW + 10 * DAY),
        "ended": map_to(bob, "fingerprint", "12" * 32, valid_until=NOW - DAY),
        "later": map_to(
            bob,
            "subject",
            "CN=later",
            authority=authority,
            state="scheduled",
            valid_from=NOW + DAY,
        ),
        "disabled": map_to(
            bob, "subject", "CN=x", authority=authority, state="disabled"
        ),
        "refused": map_to(
            bob,
            "public_key",
            "ef" * 32,
            certificate=ca.issue("x").der,
            authority=authority,
        ),
    }
    assert ask("/ledger/", short.der).status_code == 200
    return rows


def told(*arguments: str) -> dict[str, Any]:
    """Return the answer, as JSON."""
    answer: dict[str, Any] = clientcert("what-if", *arguments, "--json").data
    return answer


def ids(rows: list[dict[str, Any]]) -> set[tuple[str, Any]]:
    """Return what they are about."""
    return {(one["what"], one["id"]) for one in rows}


def test_without_an_authority(everybody: Any) -> None:
    """Its names are locked out, and the certificates seen; pins are not."""
    (seen,) = everybody["seen"].seen_certificates.all()
    answer = told("--without-authority", "Test CA")
    assert ids(answer["locked_out"]) == {
        ("mapping", everybody["seen"].pk),
        ("mapping", everybody["unseen"].pk),
        ("seen_certificate", seen.pk),
    }
    assert ids(answer["unknown"]) == {
        ("mapping", everybody["typed"].pk),
        ("mapping", everybody["ending"].pk),
    }
    by_what = {one["what"]: one for one in answer["locked_out"]}
    assert answer["refused_now"] == 3
    assert by_what["seen_certificate"]["reason"] == "unmapped"
    assert by_what["seen_certificate"]["user"] == "bob"
    assert answer["without_authorities"] == ["Test CA"]
    assert answer["examined"] == 9


def test_at_another_time(everybody: Any) -> None:
    """What will have expired or ended by then, for whatever reason."""
    (seen,) = everybody["seen"].seen_certificates.all()
    answer = told("--at", (NOW + 20 * DAY).isoformat())
    assert ids(answer["locked_out"]) == {
        ("mapping", everybody["ending"].pk),
        ("mapping", everybody["seen"].pk),
        ("seen_certificate", seen.pk),
    }
    reasons = {one["what"]: one["reason"] for one in answer["locked_out"]}
    assert reasons["seen_certificate"] == "expired"


def test_a_rule_is_looked_at_too(
    ask: Wsgi, alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """There is no mapping then: only what was seen can tell."""
    authority.rule_identity = "common_name"
    authority.save()
    assert ask("/ledger/", alice_cert.der).status_code == 200
    answer = told("--without-authority", "Test CA")
    (row,) = answer["locked_out"]
    assert (row["what"], row["user"]) == ("seen_certificate", "alice")


def test_another_authority_that_answers_too_keeps_the_door_open(
    ask: Wsgi, alice: Any, authority: Any, ca: ThrowawayCA, alice_cert: Any
) -> None:
    """A well-prepared rollover locks nobody out."""
    authority.rule_identity = "common_name"
    authority.save()
    new = CertificateAuthority.objects.create(
        name="New", bundle=ca.pem, rule_identity="common_name"
    )
    assert ask("/ledger/", alice_cert.der).status_code == 200
    outcome = clientcert("what-if", "--without-authority", "Test CA")
    assert outcome.status == 0
    assert outcome.out.startswith("Of 1: 0 would be locked out at ")
    assert " 1 would not," in outcome.out
    assert told("--without-authority", "Test CA")["locked_out"] == []
    both = told("--without-authority", "Test CA", "--without-authority", new.name)
    assert len(both["locked_out"]) == 1


def test_as_a_table(everybody: Any) -> None:
    """With status 1, and how many."""
    outcome = clientcert("what-if", "--without-authority", "Test CA")
    assert outcome.status == 1
    assert outcome.error == "3 would be locked out."
    lines = outcome.out.splitlines()
    assert lines[-1].startswith("Of 9: 3 would be locked out at ")
    assert lines[-1].endswith("2 cannot be told, 3 are refused today already.")
    assert lines[0] == "Would be locked out:"
    assert "Cannot be told:" in lines
    assert "its authority would be gone" in outcome.out
    assert "unmapped: no mapping matches" in outcome.out


def test_what_is_not_let_in_today_locks_out_nobody(alice: Any, authority: Any) -> None:
    """Or cron would call every night."""
    map_to(alice, "fingerprint", "12" * 32, valid_until=NOW - DAY)
    outcome = clientcert("what-if", "--at", "2999-01-01")
    assert outcome.status == 0
    assert outcome.out.endswith("1 are refused today already.\n")


def test_nothing_is_changed(everybody: Any) -> None:
    """Not a single statement that writes."""
    with captured() as queries:
        clientcert("what-if", "--without-authority", "Test CA", "--at", "2027-01-01")
    assert {one.sql.split()[0] for one in queries} == {"SELECT"}


def test_there_has_to_be_a_question(authority: Any) -> None:
    """And an authority of that name."""
    outcome = clientcert("what-if")
    assert outcome.status == 2
    assert "--without-authority" in outcome.error
    for arguments in (["--without-authority", "Nobody"], ["--policy", "Nobody=off"]):
        outcome = clientcert("what-if", *arguments)
        assert outcome.status == 1
        assert "There are: Test CA" in outcome.error


def test_n66_a_private_key_is_not_repeated() -> None:
    """Where the name of an authority should stand."""
    key = TEXTS["pem pkcs8"]
    outcome = clientcert("what-if", "--without-authority", key)
    assert outcome.status == 1
    assert "private key" in outcome.error
    assert key[40:80] not in outcome.text


def test_under_another_policy(
    ask: Wsgi, alice: Any, authority: Any, ca: ThrowawayCA, alice_cert: Any
) -> None:
    """Whether the lists that are loaded would do, before they have to."""
    mapping = map_to(
        *(alice, "subject", "CN=alice"),
        authority=authority,
        certificate=alice_cert.der,
    )
    assert ask("/ledger/", alice_cert.der).status_code == 200
    (seen,) = mapping.seen_certificates.all()
    answer = told("--policy", "Test CA=required")
    assert answer["policies"] == {"Test CA": "required"}
    assert ids(answer["locked_out"]) == {
        ("mapping", mapping.pk),
        ("seen_certificate", seen.pk),
    }
    assert {one["reason"] for one in answer["locked_out"]} == {"revocation_unknown"}
    assert told("--policy", "Test CA=off")["locked_out"] == []
    authority.refresh_from_db()
    assert authority.revocation_policy == "if_loaded"
    import_crl(authority, ca.crl())
    outcome = clientcert("what-if", "--policy", "Test CA=required")
    assert outcome.status == 0


def test_a_policy_for_one_authority_is_not_for_another(
    alice: Any, authority: Any, other_ca: ThrowawayCA, alice_cert: Any
) -> None:
    """Nor does it concern a pin without one."""
    CertificateAuthority.objects.create(name="Other", bundle=other_ca.pem)
    map_to(alice, "fingerprint", alice_cert.fingerprint, certificate=alice_cert.der)
    map_to(
        *(alice, "subject", "CN=alice"),
        authority=authority,
        certificate=alice_cert.der,
    )
    assert told("--policy", "Other=required")["locked_out"] == []


@pytest.mark.parametrize("text", ["", "Test CA", "=off", "Test CA=always"])
def test_a_policy_that_does_not_exist_is_wrong_usage(text: str, authority: Any) -> None:
    """With those that there are."""
    outcome = clientcert("what-if", "--policy", text)
    assert outcome.status != 0
    assert "required" in outcome.text


def test_the_backend_s_rule_on_users_is_asked(
    alice: Any,
    bob: Any,
    authority: Any,
    alice_cert: Any,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is refused today cannot be locked out."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    map_to(bob, "subject", "CN=unseen", authority=authority)
    map_to(alice, "fingerprint", alice_cert.fingerprint, certificate=alice_cert.der)
    asked = ["--without-authority", "Test CA"]
    assert len(told(*asked)["locked_out"]) == 2
    bob.is_active = False
    bob.save()
    answer = told(*asked)
    assert (len(answer["locked_out"]), answer["refused_now"]) == (1, 1)
    with monkeypatch.context() as patch:
        patch.setattr(ClientCertBackend, "user_can_authenticate", lambda *_: False)
        assert told(*asked)["refused_now"] == 3
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    outcome = clientcert("what-if", *asked)
    assert "backend: none is configured" in outcome.err
    assert outcome.error == "1 would be locked out."


def test_a_name_that_nobody_answers_for_lets_in_nobody_today(alice: Any) -> None:
    """As the check says, see clientcert.E011."""
    map_to(alice, "subject", "CN=alice")
    answer = told("--at", "2999-01-01")
    assert (answer["refused_now"], answer["unknown"]) == (1, [])


def test_l15_mappings_that_were_never_used_take_no_query(alice: Any) -> None:
    """However many there are; and the first thousand of a kind are listed."""
    counts = []
    for size in (10, 1100):
        start = CertificateMapping.objects.count()
        CertificateMapping.objects.bulk_create(
            CertificateMapping(
                user=alice,
                kind="fingerprint",
                value=f"{number:064x}",
                key=number.to_bytes(32, "big"),
            )
            for number in range(start, size)
        )
        with CaptureQueriesContext(connection) as queries:
            outcome = clientcert("what-if", "--at", "2027-01-01")
        counts.append(len(queries))
        assert outcome.status == 0
    assert counts[0] == counts[1]
    assert f"{1100 - what_if.MAX_LISTED} more; --json lists all" in outcome.out
    listed = json.loads(clientcert("what-if", "--at", "2027-01-01", "--json").out)
    assert len(listed["unknown"]) == 1100
