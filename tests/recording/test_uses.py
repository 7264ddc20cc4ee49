"""The certificates that were let in are kept, a few of them, and decide nothing."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from django_clientcert.models import CertificateMapping, SeenCertificate
from django_clientcert.models.bases import describe
from django_clientcert.testing import IssuedCertificate, ThrowawayCA
from django_clientcert.x509.certificates import ClientCertificate
from tests import der_writer as w
from tests.conftest import Wsgi
from tests.deciding import map_to
from tests.queries import captured

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)


def test_who_was_let_in_is_kept(
    ask: Wsgi, alice: Any, alice_cert: IssuedCertificate, mapping: Any
) -> None:
    """The certificate, the user, the mapping, the host, and when."""
    before = timezone.now()
    assert ask("/ledger/", alice_cert.der, host="localhost").status_code == 200
    seen = SeenCertificate.objects.get()
    assert seen.client_certificate() == ClientCertificate(alice_cert.der)
    assert (seen.user, seen.mapping, seen.authority) == (alice, mapping, None)
    assert (seen.host, seen.subject, str(seen)) == ("localhost", "CN=alice", "CN=alice")
    assert before <= seen.first_seen_at == seen.last_seen_at
    assert seen.not_after == ClientCertificate(alice_cert.der).not_after
    assert list(mapping.seen_certificates.all()) == [seen]


def test_a_rule_has_no_mapping_but_an_authority(
    ask: Wsgi, alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """So that one can ask who comes in through it."""
    authority.rule_identity = "common_name"
    authority.save()
    assert ask("/ledger/", alice_cert.der).status_code == 200
    seen = SeenCertificate.objects.get()
    assert (seen.user, seen.mapping, seen.authority) == (alice, None, authority)


def test_it_is_written_once_an_interval(
    ask: Wsgi, alice: Any, bob: Any, alice_cert: IssuedCertificate, mapping: Any
) -> None:
    """The same query tells when it was written last."""
    ask("/ledger/", alice_cert.der)
    with captured() as queries:
        ask("/ledger/", alice_cert.der)
    assert not [one for one in queries if not one.sql.startswith("SELECT")]
    old = timezone.now() - HOUR
    SeenCertificate.objects.update(last_seen_at=old, first_seen_at=old)
    mapping.delete()
    other = map_to(bob, "fingerprint", alice_cert.fingerprint)
    assert ask("/ledger/", alice_cert.der).json()["user"] == "bob"
    seen = SeenCertificate.objects.get()
    assert (seen.user, seen.mapping) == (bob, other)
    assert seen.first_seen_at == old < seen.last_seen_at


def test_l14_a_time_in_the_future_is_written_again(
    ask: Wsgi, alice_cert: IssuedCertificate, mapping: Any
) -> None:
    """The clock was wrong once; its time must not stay."""
    ask("/ledger/", alice_cert.der)
    future = timezone.now() + 365 * 24 * HOUR
    SeenCertificate.objects.update(last_seen_at=future)
    CertificateMapping.objects.update(last_used_at=future)
    ask("/ledger/", alice_cert.der)
    mapping.refresh_from_db()
    assert mapping.last_used_at <= timezone.now()
    assert SeenCertificate.objects.get().last_seen_at <= timezone.now()


def test_who_is_refused_is_not_kept(
    ask: Wsgi, mapping: Any, alice: Any, alice_cert: Any, mallory_cert: Any
) -> None:
    """Nor whoever nobody asked for."""
    ask("/ledger/", mallory_cert.der)
    alice.is_active = False
    alice.save()
    ask("/ledger/", alice_cert.der)
    assert not SeenCertificate.objects.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("CLIENTCERT_SEEN_SIZE", 0), ("CLIENTCERT_LAST_USED_INTERVAL", None)],
)
def test_it_can_be_turned_off(
    ask: Wsgi, settings: Any, mapping: Any, alice_cert: Any, name: str, value: Any
) -> None:
    """Nothing is kept then."""
    setattr(settings, name, value)
    assert ask("/ledger/", alice_cert.der).status_code == 200
    assert not SeenCertificate.objects.exists()


def test_no_more_are_kept_than_the_setting_says(
    ask: Wsgi, settings: Any, alice: Any, authority: Any, ca: ThrowawayCA
) -> None:
    """Those not seen for longest go first; the mapping's own date stays."""
    settings.CLIENTCERT_SEEN_SIZE = 3
    mapping = map_to(alice, "subject", "CN=alice", authority=authority)
    certificates = [ca.issue("alice") for _number in range(5)]
    for age, certificate in enumerate(certificates):
        assert ask("/ledger/", certificate.der).status_code == 200
        SeenCertificate.objects.filter(
            fingerprint=bytes.fromhex(certificate.fingerprint)
        ).update(last_seen_at=timezone.now() - (10 - age) * HOUR)
    kept = {one.fingerprint.hex() for one in SeenCertificate.objects.all()}
    assert kept == {one.fingerprint for one in certificates[2:]}
    mapping.refresh_from_db()
    assert mapping.last_used_at is not None


def test_two_at_once_are_one_row(alice: Any, alice_cert: IssuedCertificate) -> None:
    """The second insert finds the first one's row, and nothing fails."""
    certificate = ClientCertificate(alice_cert.der)
    arguments: dict[str, Any] = {
        "user": alice,
        "mapping": None,
        "authority": None,
        "host": "x" * 300,
        "size": 10,
        "at": timezone.now(),
    }

    def insert_first(
        execute: Any, sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        result = execute(sql, params, many, context)
        if sql.startswith("UPDATE") and not SeenCertificate.objects.exists():
            SeenCertificate.objects.create(
                fingerprint=certificate.fingerprint_bytes,
                certificate=certificate.der,
                user=alice,
            )
        return result

    with transaction.atomic(), connection.execute_wrapper(insert_first):
        SeenCertificate.record(certificate, **arguments)
        assert SeenCertificate.objects.count() == 1


def test_what_cannot_be_written_is_logged(
    ask: Wsgi,
    alice: Any,
    authority: Any,
    alice_cert: IssuedCertificate,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The request is answered all the same."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError("read-only")

    monkeypatch.setattr(SeenCertificate, "record", fail)
    authority.rule_identity = "common_name"
    authority.save()
    assert ask("/ledger/", alice_cert.der).status_code == 200
    assert "last use of certificate " in caplog.text


def test_it_goes_with_the_user_and_outlives_the_rest(
    ask: Wsgi, alice: Any, alice_cert: IssuedCertificate, mapping: Any
) -> None:
    """A mapping that is deleted leaves the certificate that it let in."""
    ask("/ledger/", alice_cert.der)
    CertificateMapping.objects.all().delete()
    assert SeenCertificate.objects.get().mapping is None
    alice.delete()
    assert not SeenCertificate.objects.exists()


def test_what_cannot_be_read_is_left_out(ca: ThrowawayCA) -> None:
    """A subject without a text; what is no certificate at all."""
    der = w.certificate(ca, subject=w.common_name(b"Jos\xe9", w.T61))
    subject, not_after = describe(ClientCertificate(der))
    assert not_after is not None
    assert "Jos" not in subject
    assert describe(ClientCertificate(b"0\0")) == ("", None)
    assert str(SeenCertificate(fingerprint=b"\1" * 32)) == "01" * 32
