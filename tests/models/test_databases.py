"""What depends on the database and on the user model.

The suite runs on SQLite; these and all other tests run on a server as well::

    python -m tests.with_database postgresql -- python -m pytest
    python -m tests.with_database mariadb -- python -m pytest
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import close_old_connections, connection, connections
from django.test import TestCase
from django.utils import timezone

from django_clientcert.evaluation import Decision
from django_clientcert.evaluation.lookup import LookupKeys, look_up
from django_clientcert.models import (
    AuthorityCertificate,
    CertificateAuthority,
    CertificateMapping,
    Revocation,
    RevocationList,
    RevokedSerial,
    SeenCertificate,
)
from django_clientcert.recording.uses import Use, record_use
from django_clientcert.recording.writing import PAUSE
from django_clientcert.testing import IssuedCertificate, ThrowawayCA
from django_clientcert.x509.crl.reading import read_crl
from django_clientcert.x509.identities import IdentityKind
from tests import der_writer as w
from tests.conftest import Asgi, Clock, Wsgi
from tests.queries import Access, Query, assert_only_hashes, captured

MAPPINGS = CertificateMapping._meta.db_table
AUTHORITIES = CertificateAuthority._meta.db_table
INDEX = "clientcert_mapping_key"
TABLES = {
    model._meta.db_table
    for model in apps.get_app_config("django_clientcert").get_models(
        include_auto_created=True
    )
}

on_a_server = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite has no server that could go away"
)


# --- tables ----------------------------------------------------------------------


def tables() -> set[str]:
    """Return the names of the package's tables that are there."""
    with connection.cursor() as cursor:
        names = connection.introspection.table_names(cursor)
    return {name for name in names if name.startswith("django_clientcert")}


@pytest.mark.django_db(transaction=True)
def test_the_migration_goes_both_ways() -> None:
    """Forwards it makes the tables, backwards nothing is left of them."""
    assert tables() == TABLES
    try:
        call_command("migrate", "django_clientcert", "zero", verbosity=0)
        assert tables() == set()
    finally:
        call_command("migrate", "django_clientcert", verbosity=0)
    assert tables() == TABLES


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    """The models and the migrations say the same, on every database."""
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


TYPE_OF_THE_KEY = {
    "sqlite": (
        "SELECT type FROM pragma_table_info(%s) WHERE name = 'key'",
        "BLOB",
    ),
    "postgresql": (
        (
            "SELECT data_type FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND table_name = %s"
            " AND column_name = 'key'"
        ),
        "bytea",
    ),
    "mysql": (
        (
            "SELECT column_type FROM information_schema.columns"
            " WHERE table_schema = database() AND table_name = %s"
            " AND column_name = 'key'"
        ),
        "varbinary(32)",
    ),
}


@pytest.mark.django_db
def test_the_key_is_of_a_type_that_can_be_indexed() -> None:
    """No BLOB where an index on one needs a prefix, and no text anywhere."""
    sql, expected = TYPE_OF_THE_KEY[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(sql, [MAPPINGS])
        assert [found for (found,) in cursor.fetchall()] == [expected]


@pytest.mark.django_db
def test_one_index_is_on_the_key() -> None:
    """Each further one would cost its place and its part of every write."""
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, MAPPINGS)
    with_key = {
        name for name, found in constraints.items() if "key" in found["columns"]
    }
    assert with_key == {INDEX}
    assert constraints[INDEX]["columns"] == ["key"]
    assert constraints[INDEX]["index"]


# --- the way to the rows ---------------------------------------------------------

MANY = 20_000
# Rows of each other table: of fewer keys are looked up
SOME = 5_000


def key_of(number: int) -> bytes:
    """Return the key of one of many mappings."""
    return hashlib.sha256(str(number).encode()).digest()


def find_mappings(keys: list[bytes]) -> list[CertificateMapping]:
    """Return the mappings with one of *keys*, by the one query of a request."""
    other = hashlib.sha256(b"of no certificate").digest()
    return look_up(LookupKeys(keys, [other], [other], [b"\1"], other)).mappings


def make_users() -> list[Any]:
    """Return as many users as there are mappings, of whatever model."""
    User = get_user_model()
    # bulk_create() does not make rows of two tables each.
    first, *second = [*User._meta.parents, User]
    made = first.objects.bulk_create(
        first(username=f"user{number}") for number in range(MANY)
    )
    if not second:
        return made
    table, link = User._meta.db_table, User._meta.pk.column
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({link}, note)"
            f" SELECT {first._meta.pk.column}, '' FROM {first._meta.db_table}"
        )
    return list(User.objects.filter(username__startswith="user"))


def revoke_many(
    authority: CertificateAuthority,
    ca: ThrowawayCA,
    users: list[Any],
    keys: list[bytes],
) -> None:
    """Make rows of everything else that a request looks into."""
    now = timezone.now()
    parsed = read_crl(ca.crl([7]), authority.certificates(), at=now)
    info = json.dumps(parsed.info.to_json())
    crl = RevocationList.objects.bulk_create(
        [
            RevocationList(
                authority=authority, info=info, this_update=now, entry_count=SOME
            )
        ]
    )[0]
    RevokedSerial.objects.bulk_create(
        (RevokedSerial(crl=crl, serial=key[:20]) for key in keys), batch_size=5000
    )
    Revocation.objects.bulk_create(
        (Revocation(public_key=key, issuer_key=key, serial=key[:20]) for key in keys),
        batch_size=5000,
    )
    SeenCertificate.objects.bulk_create(
        (
            SeenCertificate(fingerprint=key, certificate=b"", user=user)
            for key, user in zip(keys, users, strict=True)
        ),
        batch_size=5000,
    )
    AuthorityCertificate.objects.bulk_create(
        (
            AuthorityCertificate(
                authority=authority, subject_key=key, public_key=key, serial=key[:20]
            )
            for key in keys
        ),
        batch_size=5000,
    )


def make_many(ca: ThrowawayCA) -> list[bytes]:
    """Return the keys of 20,000 new mappings, of as many users and 5 authorities."""
    users = make_users()
    authorities = [
        CertificateAuthority.objects.create(name=f"CA {number}", bundle=ca.pem)
        for number in range(5)
    ]
    keys = [key_of(number) for number in range(MANY)]
    CertificateMapping.objects.bulk_create(
        (
            CertificateMapping(
                user=users[number],
                kind="fingerprint",
                value=key.hex(),
                key=key,
                authority=[None, *authorities][number % 6],
            )
            for number, key in enumerate(keys)
        ),
        batch_size=5000,
    )
    revoke_many(authorities[0], ca, users[:SOME], keys[:SOME])
    if connection.vendor != "mysql":  # there it would end the test's transaction
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    return keys


def assert_by_index(query: Query) -> None:
    """Assert that the index leads to the mappings, and another one to the users."""
    accesses = query.plan()
    to_mappings = [each for each in accesses if each.table == MAPPINGS]
    assert to_mappings == [Access(MAPPINGS, INDEX)], accesses
    # Five authorities may well be read from one end to the other.
    others = [each for each in accesses if each.table not in (MAPPINGS, AUTHORITIES)]
    assert all(each.index for each in others), accesses


class TestTheWayToTheRows(TestCase):
    """A class of Django's, so that the many rows are made once."""

    @classmethod
    def setUpTestData(cls) -> None:
        """Make the rows, and one more that a request can ask for."""
        ca = ThrowawayCA.create("Test Root CA")
        cls.many = make_many(ca)
        cls.alice_cert = ca.issue("alice")
        CertificateMapping.objects.create(
            user=get_user_model().objects.create_user("alice"),
            kind="fingerprint",
            value=cls.alice_cert.fingerprint,
        )

    def test_the_query_of_a_request_uses_the_index(self) -> None:
        """Whatever the number of mappings: a request reads the rows of its own keys."""
        for ask in (Wsgi(), Asgi()):
            with captured() as queries:
                answer = ask("/ledger/", self.alice_cert.der)
            assert answer.json()["user"] == "alice"
            lookup = queries[0]
            assert MAPPINGS in lookup.sql
            assert_by_index(lookup)

    def test_the_compiled_query_uses_the_index(self) -> None:
        """So does the one for a certificate of many names, and Django's own of both."""
        for count in (1, 4, 8, 32):
            wanted = self.many[:: MANY // count][:count]
            with captured() as queries:
                found = find_mappings(wanted)
                same = list(CertificateMapping.objects.matching(wanted))
            assert {each.key for each in found} == set(wanted)
            assert {each.pk for each in found} == {each.pk for each in same}
            assert len(queries) == 2
            for query in queries:
                assert_by_index(query)

    def test_a_fingerprint_prefix_uses_the_index(self) -> None:
        """The first digits of a fingerprint are a range of it."""
        digits = self.many[0].hex()[:10]
        with captured() as queries:
            found = CertificateMapping.objects.fingerprint_prefix(digits)
            assert [each.key for each in found.order_by()] == [self.many[0]]
            assert not CertificateMapping.objects.filter(value="x").order_by().exists()
        by_prefix, by_text = queries
        assert_by_index(by_prefix)
        # The plans can tell the difference: no index serves that search.
        with pytest.raises(AssertionError):
            assert_by_index(by_text)


# --- the compiled query ----------------------------------------------------------

VALUES = {
    IdentityKind.FINGERPRINT: "ab" * 32,
    IdentityKind.PUBLIC_KEY: "00" * 32,
    IdentityKind.ISSUER_SERIAL: "1ead85 CN=Test Root CA",
    IdentityKind.SUBJECT: "CN=Ålice 🙂,O=Example\\, Inc.",
    IdentityKind.SAN_EMAIL: "alice@example.com",
    IdentityKind.SAN_DNS: "alice.example.com",
    IdentityKind.SAN_URI: "spiffe://example.com/alice",
    IdentityKind.SAN_UPN: "alice@corp.example",
}


def field_values(instance: Any) -> dict[str, Any]:
    """Return the values of all fields; what is deferred is loaded."""
    return {
        field.attname: getattr(instance, field.attname)
        for field in instance._meta.concrete_fields
    }


@pytest.fixture
def every_kind(
    alice: Any, bob: Any, authority: CertificateAuthority, alice_cert: IssuedCertificate
) -> list[CertificateMapping]:
    """Return mappings of every kind, with an authority and without."""
    now = timezone.now()
    CertificateAuthority.objects.update(note="of the authority")
    made = []
    for kind, value in VALUES.items():
        bare = CertificateMapping.objects.create(user=alice, kind=kind, value=value)
        full = CertificateMapping.objects.create(
            user=bob,
            kind=kind,
            value=value,
            authority=authority,
            state="retiring",
            valid_from=now - dt.timedelta(days=1),
            valid_until=now + dt.timedelta(microseconds=1),
            hosts="a.example.com\n.b.example.com",
            certificate=alice_cert.der,
            note="of the mapping",
            last_used_at=now,
        )
        made += [bare, full]
    return made


def test_the_compiled_query_finds_what_the_orm_finds(
    every_kind: list[CertificateMapping],
) -> None:
    """All rows of all kinds, once each, and every field of them the same."""
    keys = sorted({each.key for each in every_kind})
    found = {each.pk: each for each in find_mappings(keys)}
    expected = {each.pk: each for each in CertificateMapping.objects.matching(keys)}
    assert set(found) == set(expected) == {each.pk for each in every_kind}
    for pk, mapping in found.items():
        with captured() as queries:
            parts = [mapping, mapping.user, mapping.authority]
            level, text = mapping.specificity, str(mapping)
        assert queries == []
        assert (level, text) == (expected[pk].specificity, str(expected[pk]))
        others = [expected[pk], expected[pk].user, expected[pk].authority]
        for mine, orm in zip(parts, others, strict=True):
            assert type(mine) is type(orm)
            assert mine == orm
            if mine is None:
                continue
            assert (mine._state.db, mine._state.adding) == (orm._state.db, False)
            values, expected_values = field_values(mine), field_values(orm)
            assert values == expected_values
            for name, value in values.items():
                # The drivers have three types for the bytes of a BinaryField.
                assert type(value) is type(expected_values[name]), name


def test_every_mapping_is_found_by_its_own_key(
    every_kind: list[CertificateMapping],
) -> None:
    """One of a few keys, one of many, and many that nobody has."""
    absent = [key_of(number) for number in range(1100)]
    for mapping in every_kind:
        for keys in ([mapping.key], [mapping.key, *absent], [*absent[:4], mapping.key]):
            found = {each.pk for each in find_mappings(keys)}
            twins = [each for each in every_kind if each.key == mapping.key]
            assert found == {each.pk for each in twins}
    assert find_mappings(absent) == []


def test_what_is_deferred_is_loaded_on_demand(
    every_kind: list[CertificateMapping], alice_cert: IssuedCertificate
) -> None:
    """What no decision needs costs a query where it is asked for, and is right."""
    full = next(each for each in every_kind if each.authority is not None)
    (found,) = [each for each in find_mappings([full.key]) if each.pk == full.pk]
    assert found.authority is not None
    deferred = {
        "certificate",
        "certificate_subject",
        "certificate_not_after",
        "certificate_subject_key",
        "note",
    }
    assert found.get_deferred_fields() == deferred
    assert found.authority.get_deferred_fields() == {
        "bundle",
        "note",
        "crl_urls",
    }
    assert found.user.get_deferred_fields() == set()
    with captured() as queries:
        assert found.note == "of the mapping"
        assert bytes(found.certificate or b"") == alice_cert.der
        assert found.certificate_subject == "CN=alice"
        assert found.authority.note == "of the authority"
    assert len(queries) == 4


def test_what_was_found_can_be_saved(every_kind: list[CertificateMapping]) -> None:
    """A column that was not loaded keeps what is in it."""
    full = next(each for each in every_kind if each.authority is not None)
    full.refresh_from_db()
    before = field_values(full)
    (found,) = [each for each in find_mappings([full.key]) if each.pk == full.pk]
    found.state = "disabled"
    found.save()
    full.refresh_from_db()
    assert field_values(full) == {**before, "state": "disabled"}


# --- what a certificate may contain ----------------------------------------------

WITH_NUL = {
    "subject": {"subject": w.common_name("alice\0.evil")},
    "subject of two bytes a letter": {
        "subject": w.common_name("alice\0.evil".encode("utf-16-be"), w.BMP)
    },
    **{
        kind: {
            "extensions": (
                *w.CLIENT_EXTENSIONS,
                w.subject_alternative_name(general_name),
            )
        }
        for kind, general_name in {
            "e-mail": w.tlv(0x81, b"alice@example.com\0.evil"),
            "DNS": w.tlv(0x82, b"alice.example.com\0.evil"),
            "URI": w.tlv(0x86, b"spiffe://example.com/alice\0.evil"),
            "UPN": w.other_name(w.UPN, w.tlv(w.UTF8, b"alice@corp.example\0.evil")),
        }.items()
    },
}


@pytest.mark.parametrize("parts", WITH_NUL.values(), ids=WITH_NUL)
def test_n28_no_query_carries_nul(
    ask: Wsgi, every_kind: Any, ca: ThrowawayCA, bob: Any, parts: dict[str, Any]
) -> None:
    """PostgreSQL's driver raises for it, and others cut the text off there."""
    der = w.certificate(ca, **parts)
    with captured() as queries:
        page = ask("/open/", der)
    assert page.status_code == 200
    # Decided by the query: it took place, and did not fail.
    assert page.json()["reason"] in {"unmapped", "malformed_certificate"}
    assert len(queries) == 1
    # A pin is good for what the names are not.
    fingerprint = hashlib.sha256(der).hexdigest()
    with captured() as more:
        pin = CertificateMapping.objects.create(
            user=bob, kind="fingerprint", value=fingerprint, certificate=der
        )
        assert ask("/ledger/", der).json()["user"] == "bob"
    pin.refresh_from_db()
    assert "\0" not in pin.certificate_subject
    assert pin.last_used_at is not None
    for query in queries + more:
        assert "\0" not in query.sql
        texts = [each for each in query.parameters if isinstance(each, str)]
        assert not [each for each in texts if "\0" in each]
    lookups = [
        query
        for query in queries + more
        if "IN (" in query.sql and not query.sql.startswith("DELETE")
    ]
    for query in lookups:
        assert_only_hashes(query)
    assert len(lookups) == 2


# --- a server that goes away -----------------------------------------------------


def hang_up() -> None:
    """Let the server end this thread's connection."""
    statement, own = {
        "postgresql": ("SELECT pg_terminate_backend(%s)", "SELECT pg_backend_pid()"),
        "mysql": ("KILL %s", "SELECT connection_id()"),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(own)
        (number,) = cursor.fetchone()
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute(statement, [number])
    finally:
        other.close()


@on_a_server
@pytest.mark.django_db(transaction=True)
def test_a_server_that_hung_up_denies(
    ask: Wsgi, alice_cert: IssuedCertificate, mapping: CertificateMapping
) -> None:
    """The request gets a decision, and the next one a new connection."""
    assert ask("/ledger/", alice_cert.der).status_code == 200
    for _attempt in range(2):
        hang_up()
        answer = ask("/open/", alice_cert.der)
        assert answer.json()["reason"] == "trust_unavailable"
        assert ask("/ledger/", alice_cert.der).status_code == 503
        close_old_connections()  # as at the end of every request outside of tests
        assert ask("/ledger/", alice_cert.der).status_code == 200


@on_a_server
@pytest.mark.django_db(transaction=True)
def test_a_server_that_hung_up_costs_the_last_use_only(
    mapping: CertificateMapping, caplog: pytest.LogCaptureFixture, open_inbox: Clock
) -> None:
    """It is logged, and tried again after a pause."""
    decision = Decision(
        True, None, certificate=mapping.client_certificate(), mapping=mapping
    )
    use = Use(decision, "testserver", timezone.now(), True, False)
    hang_up()
    for _attempt in range(2):
        record_use(use)
    (line,) = caplog.messages
    assert f"not written: last use of mapping {mapping.pk}" in line
    connection.close()
    mapping.refresh_from_db()
    assert mapping.last_used_at is None
    open_inbox.now += PAUSE
    record_use(use)
    mapping.refresh_from_db()
    assert mapping.last_used_at is not None
