"""The short way to a decision gives the same answers as the steps, one by one."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import Model
from django.db.models.signals import post_init
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_clientcert.evaluation import Decision, run, shortcut
from django_clientcert.evaluation.presented import Presented
from django_clientcert.evaluation.run import ShortDecision, evaluate
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    SeenCertificate,
)
from django_clientcert.testing import IssuedCertificate, ThrowawayCA, self_signed
from django_clientcert.trust.crl_import import import_crl
from django_clientcert.trust.revoke import (
    revoke_certificate,
    revoke_period,
    revoke_public_key,
    revoke_serial,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import find_identities
from tests.deciding import decide, through_proxy
from tests.queries import captured

pytestmark = pytest.mark.django_db

in_one_table = pytest.mark.skipif(
    bool(get_user_model()._meta.parents), reason="users of several tables"
)
DAY = dt.timedelta(days=1)
KINDS = CertificateMapping.MappingKind.values


@pytest.fixture(scope="module")
def pki(ca: ThrowawayCA, other_ca: ThrowawayCA) -> dict[str, Any]:
    """Certificates of two CAs with one name, of an issuing CA, and others."""
    issuing = ca.issue_ca("Issuing")
    names: dict[str, Any] = {
        "emails": ["alice@example.com"],
        "upns": ["alice@corp.example"],
        "dns": ["alice.example.com"],
        "uris": ["spiffe://example.com/alice"],
    }
    now = timezone.now()
    return {
        "bundles": {"A": ca.pem, "B": other_ca.pem, "C": ca.pem + issuing.pem},
        "crls": {"A": ca, "B": other_ca, "C": issuing},
        "certificates": {
            "of A": ca.issue("alice", **names),
            "of B": other_ca.issue("alice", **names),
            "of C": issuing.issue("alice", **names),
            "expired": ca.issue(
                "alice", not_before=now - 9 * DAY, not_after=now - 4 * DAY
            ),
            "self-signed": self_signed("alice"),
        },
    }


def in_full(presented: Presented, **options: Any) -> Decision:
    """Return the decision without the short way."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run, "find_shortcut", lambda keys: None)
        return evaluate(presented, **options)


def facts_of(decision: Decision) -> dict[str, Any]:
    """Return everything that a decision says; of instances, which and what they are."""

    def describe(instance: Model | None) -> Any:
        if instance is None or instance.pk is None:
            return instance and str(instance)
        values = {
            field.attname: getattr(instance, field.attname)
            for field in instance._meta.concrete_fields
        }
        return type(instance), instance._state.db, instance._state.adding, values

    return {
        "accepted": decision.accepted,
        "reason": decision.reason,
        "detail": decision.detail,
        "certificate": decision.certificate,
        "user": describe(decision.user),
        "mapping": describe(decision.mapping),
        "mapped user": decision.mapping and describe(decision.mapping.user),
        "authority": describe(decision.authority),
        "rule": describe(decision.rule_authority),
        "creates user": decision.creates_user,
        "last seen": decision.last_seen_at,
        "last used": decision.last_used_at,
        "steps": decision.steps,
    }


# A state in which everything is usual, and all that may be otherwise
AUTHORITY = {
    "revocation_policy": ["if_loaded", "off", "required", "odd"],
    "rule_identity": ["", "common_name", "san_email"],
    "rule_allows_privileged": [False, True],
    "rule_creates_users": [False, True],
    "rule_hosts": ["", "testserver", "other.example.com"],
}
MAPPING = {
    "kind": KINDS,
    "certificate": ["of A", "of B", "of C", "expired"],
    "authority": ["A", None, "B", "C"],
    "user": ["alice", "bob", "retired", "root"],
    "state": ["active", "retiring", "disabled"],
    "valid_from": [None, -DAY, DAY],
    "valid_until": [None, 2 * DAY, -2 * DAY],
    "hosts": ["", "testserver", ".example.com"],
    "last_used_at": [None, -DAY],
}
STATE = {
    "crl": [None, "empty", "revokes", "revokes B"],
    "revoked": [None, "certificate", "key", "serial number", "period", "CA"],
    "seen": [False, True],
}
REQUEST = {
    "certificate": ["of A", "of B", "of C", "expired", "self-signed"],
    "verdict": ["SUCCESS", "FAILED:unable"],
    "proxy verifies": [True, False],
    "host": ["testserver", "www.example.com", ""],
    "days": [0, 1, 3, 400],
}


def varied(
    choices: dict[str, list[Any]], most: int
) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for the first of all *choices*, but for *most* of them."""
    usual = {name: values[0] for name, values in choices.items()}
    others = [(name, one) for name, values in choices.items() for one in values[1:]]
    changes = st.lists(st.sampled_from(others), max_size=most)
    return changes.map(lambda chosen: usual | dict(chosen))


@st.composite
def states(draw: Any) -> dict[str, Any]:
    """Draw authorities, mappings and the rest; most have few oddities."""
    kind = draw(st.sampled_from(KINDS))
    others = draw(st.sets(st.sampled_from("BC"))) if draw(st.booleans()) else ()
    more = draw(st.lists(varied(MAPPING, 3), max_size=2)) if draw(st.booleans()) else []
    return {
        **draw(varied(STATE, 1)),
        "authorities": {
            name: draw(varied(AUTHORITY, 1)) for name in ("A", *sorted(others))
        },
        "mappings": [
            {"kind": kind, **draw(varied(MAPPING, 2))} | {"kind": kind},
            *more,
        ],
    }


def build(pki: dict[str, Any], state: dict[str, Any]) -> None:
    """Store what *state* describes, as far as the models take it."""
    users = {
        "alice": {"email": "alice@example.com"},
        "bob": {},
        "retired": {"is_active": False},
        "root": {"is_superuser": True},
    }
    manager = get_user_model().objects
    by_name = {name: manager.create_user(name, **more) for name, more in users.items()}
    authorities = {}
    for name, fields in state["authorities"].items():
        bundle = pki["bundles"][name]
        authorities[name] = CertificateAuthority.objects.create(
            name=name, bundle=bundle, **fields
        )
    now = timezone.now()
    for fields in state["mappings"]:
        certificate = ClientCertificate(pki["certificates"][fields["certificate"]].der)
        values = {
            identity.kind.value: identity.value
            for identity in find_identities(certificate).found
        }
        if fields["kind"] not in values:
            continue
        CertificateMapping.objects.create(
            user=by_name[fields["user"]],
            authority=authorities.get(fields["authority"]),
            value=values[fields["kind"]],
            **{name: fields[name] for name in ("kind", "state", "hosts")},
            **{
                name: fields[name] and now + fields[name]
                for name in ("valid_from", "valid_until", "last_used_at")
            },
        )
    store_revocations(pki, state, authorities)
    if state["seen"]:
        seen = ClientCertificate(pki["certificates"]["of A"].der)
        SeenCertificate.record(
            seen,
            user=by_name["alice"],
            mapping=None,
            authority=None,
            host="testserver",
            size=10,
            at=now - DAY,
        )


def store_revocations(
    pki: dict[str, Any], state: dict[str, Any], authorities: dict[str, Any]
) -> None:
    """Store the CRL and the revocation of *state*."""
    certificate: IssuedCertificate = pki["certificates"]["of A"]
    parsed = ClientCertificate(certificate.der)
    if state["crl"] is not None:
        name = "B" if state["crl"] == "revokes B" and "B" in authorities else "A"
        ca: ThrowawayCA = pki["crls"][name]
        revoked = [] if state["crl"] == "empty" else [parsed.serial_number]
        if name in authorities:
            import_crl(authorities[name], ca.crl(revoked))
    if state["revoked"] == "CA":
        revoke_certificate(ClientCertificate(pki["crls"]["A"].der))
    elif state["revoked"] == "serial number":
        revoke_serial(authorities["A"], parsed.serial_number)
    elif state["revoked"] == "certificate":
        revoke_certificate(parsed)
    elif state["revoked"] == "key":
        revoke_public_key(parsed.public_key_bytes)
    elif state["revoked"] == "period":
        now = timezone.now()
        revoke_period(authorities["A"], now - 30 * DAY, now)


@given(state=states(), request=varied(REQUEST, 2))
@settings(
    max_examples=500,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_short_way_and_the_steps_decide_alike(
    pki: dict[str, Any], state: dict[str, Any], request: dict[str, Any]
) -> None:
    """On any mappings, users, authorities, rules, CRLs, revocations, hosts, dates."""
    der = pki["certificates"][request["certificate"]].der
    presented = through_proxy(der, request["verdict"])
    at = timezone.now() + request["days"] * DAY
    verifies = override_settings(CLIENTCERT_PROXY_VERIFIES=request["proxy verifies"])
    with transaction.atomic(), verifies:
        build(pki, state)
        options: dict[str, Any] = {"host": request["host"], "at": at}
        expected = facts_of(in_full(presented, **options))
        for _ in range(2):  # before this process knows the authorities, and after
            assert facts_of(evaluate(presented, **options)) == expected
        transaction.set_rollback(True)


@in_one_table
def test_the_short_way_is_taken(
    alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """Or the test above would compare the steps with themselves."""
    for kind in KINDS:
        certificate = ClientCertificate(alice_cert.der)
        value = next(
            identity.value
            for identity in find_identities(certificate).found
            if identity.kind == kind
        )
        mapping = CertificateMapping.objects.create(
            user=alice, kind=kind, value=value, authority=authority
        )
        decide(alice_cert)  # reads the authority
        with captured() as queries:
            decision = decide(alice_cert)
            assert decision.user == alice
            assert decision.mapping == mapping
            assert [step.outcome for step in decision.steps] == ["passed"] * 18
        assert type(decision) is ShortDecision
        assert len(queries) == 1
        mapping.delete()


@in_one_table
def test_a_current_crl_keeps_the_way_short(
    ca: ThrowawayCA, alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """It clears the path with what the process has read of it."""
    CertificateMapping.objects.create(
        user=alice, kind="subject", value="CN=alice", authority=authority
    )
    import_crl(authority, ca.crl())
    decide(alice_cert)
    with captured() as queries:
        assert type(decide(alice_cert)) is ShortDecision
    assert len(queries) == 1


# --- instances of users ----------------------------------------------------------


def test_an_instance_of_a_user_is_as_django_makes_it(
    alice: Any, mapping: Any, alice_cert: IssuedCertificate
) -> None:
    """The same attributes, and nothing that a query would have to fetch."""
    decision = decide(alice_cert)
    usual = get_user_model().objects.get(pk=alice.pk)
    with captured() as queries:
        made, expected = (
            {name: value for name, value in vars(user).items() if name != "_state"}
            for user in (decision.user, usual)
        )
        assert made == expected
        for state in (decision.user._state, usual._state):
            assert (state.adding, state.db) == (False, "default")
        assert decision.user.get_deferred_fields() == set()
    assert len(queries) == 0
    decision.user.first_name = "Alice"
    decision.user.save()
    assert get_user_model().objects.get(pk=alice.pk).first_name == "Alice"


def test_who_follows_the_making_of_users_is_told(
    alice: Any, mapping: Any, alice_cert: IssuedCertificate
) -> None:
    """A receiver of Django's signals, as trackers of changes are."""
    made: list[Any] = []

    def note(instance: Any, **kwargs: Any) -> None:
        made.append(instance)

    post_init.connect(note, sender=type(alice))
    try:
        assert decide(alice_cert).user == alice
    finally:
        post_init.disconnect(note, sender=type(alice))
    assert made == [alice]


def test_a_user_in_several_tables_takes_the_steps(
    alice: Any,
    mapping: Any,
    alice_cert: IssuedCertificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The short statement reads one table; the wide query joins them."""
    monkeypatch.setattr(shortcut, "_statements", {})
    for field in type(alice)._meta.concrete_fields[:1]:
        monkeypatch.setattr(field, "model", CertificateMapping)
    decision = decide(alice_cert)
    assert type(decision) is Decision
    assert decision.user == alice


@in_one_table
def test_a_mapping_of_nobody_matches_nothing(
    alice: Any, mapping: Any, alice_cert: IssuedCertificate
) -> None:
    """As after a user was deleted in SQL, by a database that does not check it."""
    if connection.vendor != "sqlite":
        pytest.skip("this database keeps such a row from being stored")
    decide(alice_cert)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA defer_foreign_keys = ON")
        cursor.execute("UPDATE django_clientcert_certificatemapping SET user_id = 999")
        assert decide(alice_cert).reason == "unmapped"
        cursor.execute(
            "UPDATE django_clientcert_certificatemapping SET user_id = %s", [alice.pk]
        )


def test_a_failure_in_the_short_way_is_reported_by_the_steps(
    alice: Any,
    mapping: Any,
    alice_cert: IssuedCertificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They run into the same, and refuse with a reason."""

    def fail(user: Any) -> bool:
        raise DatabaseError("gone")

    monkeypatch.setattr(shortcut, "is_hidden", fail)
    monkeypatch.setattr(run, "is_hidden", fail)
    decision = decide(alice_cert)
    assert decision.reason == "trust_unavailable"
    assert "gone" in decision.detail


@in_one_table
def test_a_process_reads_few_texts_twice(
    mapping: Any, alice_cert: IssuedCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But does not keep them for ever."""
    monkeypatch.setattr(shortcut, "MAX_READ", 2)
    kept = vars(connections["default"])
    kept.pop("_clientcert_shortcut_converters", None)
    for _ in range(4):
        assert decide(alice_cert).accepted
    converters = kept.pop("_clientcert_shortcut_converters")
    assert all(len(one._read) <= 2 for one in converters.values())


def test_users_of_a_rule_are_read_by_a_statement_or_by_django(
    alice: Any, rule_cert: IssuedCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Django if the statement does not suit, or finds too many to tell."""
    decision = decide(rule_cert)
    assert decision.user == alice
    assert shortcut.find_users("username", "alice", 0) is None
    monkeypatch.setattr(shortcut, "_is_in_one_table", lambda model: False)
    assert shortcut.find_users("username", "alice", 1) is None
    assert decide(rule_cert).user == alice


@pytest.fixture
def rule_cert(authority: Any, alice_cert: IssuedCertificate) -> IssuedCertificate:
    """Alice's certificate, which the rule of its authority maps."""
    authority.rule_identity = "common_name"
    authority.save()
    return alice_cert


@in_one_table
def test_what_needs_no_conversion_is_left_as_it_is(
    mapping: Any, alice_cert: IssuedCertificate
) -> None:
    """As text in every database, and dates in some."""
    decide(alice_cert)
    (converters, *_) = vars(connections["default"])[
        "_clientcert_shortcut_converters"
    ].values()
    assert converters.convert("pin", shortcut._KIND) == "pin"
