"""Imports of revocation lists: all or nothing, and on the next request (N52-N55)."""

from __future__ import annotations

import datetime as dt
import socket
import threading
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from django.db import DatabaseError, connection
from django.db.models.signals import post_delete

from django_clientcert.exceptions import BundleError, RevocationListError
from django_clientcert.models import (
    CertificateAuthority,
    RevocationList,
    RevokedSerial,
    SeenCertificate,
    serial_key,
)
from django_clientcert.testing import IssuedCertificate, ThrowawayCA
from django_clientcert.trust import crl_import as importing
from django_clientcert.trust.crl_import import Imported, import_crl
from django_clientcert.x509.certificates import ClientCertificate
from tests import crl_writer as lists
from tests import der_writer as w
from tests.conftest import Wsgi
from tests.deciding import decide, map_to
from tests.queries import captured

pytestmark = pytest.mark.django_db

NOW = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
DAY = dt.timedelta(days=1)


def serial_of(certificate: IssuedCertificate) -> int:
    """Return its serial number."""
    return certificate.certificate.serial_number


@pytest.fixture
def mapped(alice: Any, authority: CertificateAuthority) -> CertificateAuthority:
    """The authority, and Alice's subject under it."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    return authority


def in_force(authority: CertificateAuthority) -> list[str]:
    """Return the labels of the lists that are loaded."""
    return [one.crl_info().label() for one in authority.revocation_lists.order_by("pk")]


# --- what a list does --------------------------------------------------------------


def test_a_list_bites_on_the_next_request(
    ask: Wsgi,
    mapped: CertificateAuthority,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
) -> None:
    """In two queries, and only for what it lists."""
    assert ask("/ledger/", alice_cert.der).json()["user"] == "alice"
    progress: list[tuple[int, int]] = []
    imported = import_crl(
        mapped,
        ca.crl([alice_cert, 7]),
        source="a file",
        progress=lambda *step: progress.append(step),
    )
    assert isinstance(imported, Imported)
    assert (imported.row.entry_count, imported.replaced) == (2, ())
    assert (imported.row.source, imported.row.issuer) == ("a file", "CN=Test Root CA")
    assert progress == [(2, 2)]
    # The first request after a change reads what the authority revokes.
    assert ask("/open/", alice_cert.der).json()["reason"] == "revoked"
    with captured() as queries:
        assert ask("/open/", alice_cert.der).json()["reason"] == "revoked"
    assert len(queries) == 2
    other = ca.issue("alice")
    assert ask("/ledger/", other.der).json()["user"] == "alice"
    imported.row.delete()
    assert ask("/ledger/", alice_cert.der).json()["user"] == "alice"


def test_many_entries_are_stored_in_several_steps(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """With every serial number, reason and date."""
    serials = dict.fromkeys(range(1, 12001))
    serials[5] = x509.ReasonFlags.key_compromise  # type: ignore[assignment]
    serials[2**158] = None
    seen: list[int] = []
    imported = import_crl(
        authority, ca.crl(serials), progress=lambda done, total: seen.append(done)
    )
    assert imported.info.entry_count == len(serials) == seen[-1]
    assert len(seen) > 1
    rows = {row.serial: row for row in RevokedSerial.objects.all()}
    assert set(rows) == {serial_key(one) for one in serials}
    assert rows[serial_key(5)].reason == 1
    assert rows[serial_key(6)].reason is None
    assert rows[serial_key(6)].revoked_at == imported.info.this_update


def test_dates_that_all_differ_need_no_memory(
    authority: CertificateAuthority, ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only some of them are remembered, and each entry has its own."""
    monkeypatch.setattr(importing, "_REMEMBERED", 2)
    dates = [lists.DATE + DAY * number for number in range(4)]
    entries = [
        lists.entry(number, date=w.time(date)) for number, date in enumerate(dates, 1)
    ]
    import_crl(authority, lists.crl(ca, entries=entries))
    rows = RevokedSerial.objects.order_by("serial")
    assert [row.revoked_at for row in rows] == dates


def test_a_pin_is_refused_where_its_own_certificate_is_listed(
    alice: Any, authority: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """Although it leans on no authority; with the policy off, nothing is looked at."""
    map_to(alice, "fingerprint", alice_cert.fingerprint)
    import_crl(authority, ca.crl([alice_cert]))
    assert decide(alice_cert).reason == "revoked"
    CertificateAuthority.objects.update(revocation_policy="off")
    assert decide(alice_cert).accepted


def test_n51_the_list_of_another_ca_does_not_count(
    mapped: Any, ca: ThrowawayCA, other_ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """Of the same name, even: a serial number is one issuer's."""
    other = CertificateAuthority.objects.create(name="Other", bundle=other_ca.pem)
    import_crl(other, other_ca.crl([serial_of(alice_cert)]))
    assert decide(alice_cert).accepted


def test_n52_required_wants_a_current_list(
    ask: Wsgi, mapped: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """A stale one clears nobody, and goes on to revoke."""
    CertificateAuthority.objects.update(revocation_policy="required")
    other = ca.issue("alice")
    assert ask("/open/", other.der).json()["reason"] == "revocation_unknown"
    import_crl(mapped, ca.crl([alice_cert], number=1))
    assert ask("/ledger/", other.der).json()["user"] == "alice"
    assert ask("/open/", alice_cert.der).json()["reason"] == "revoked"
    stale = ca.crl(
        [alice_cert],
        number=2,
        this_update=NOW - dt.timedelta(minutes=2),
        next_update=NOW - dt.timedelta(minutes=1),
    )
    imported = import_crl(mapped, stale)
    assert imported.replaced == ("CRL number 1",)
    assert ask("/open/", other.der).json()["reason"] == "revocation_unknown"
    assert ask("/open/", alice_cert.der).json()["reason"] == "revoked"
    CertificateAuthority.objects.update(revocation_policy="if_loaded")
    assert ask("/ledger/", other.der).json()["user"] == "alice"
    assert ask("/open/", alice_cert.der).json()["reason"] == "revoked"


def test_n53_all_lists_are_used(
    ask: Wsgi, mapped: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """Two partitions, and a delta: the serial number may be in any of them."""

    def point(only: str) -> x509.IssuingDistributionPoint:
        return x509.IssuingDistributionPoint(
            full_name=[x509.UniformResourceIdentifier(f"http://crl.example/{only}")],
            relative_name=None,
            only_contains_user_certs=False,
            only_contains_ca_certs=False,
            only_some_reasons=None,
            indirect_crl=False,
            only_contains_attribute_certs=False,
        )

    import_crl(mapped, ca.crl([7], number=1))
    import_crl(mapped, ca.crl([8], number=2, distribution_point=point("a")))
    import_crl(mapped, ca.crl([alice_cert], number=3, base_number=1))
    assert len(in_force(mapped)) == 3
    assert ask("/open/", alice_cert.der).json()["reason"] == "revoked"
    # The next complete list has taken the delta list over, and lists nobody.
    imported = import_crl(mapped, ca.crl([], number=4))
    assert set(imported.replaced) == {"CRL number 1", "delta CRL number 3"}
    assert ask("/ledger/", alice_cert.der).json()["user"] == "alice"


def test_the_whole_path_is_looked_at(ask: Wsgi, alice: Any, ca: ThrowawayCA) -> None:
    """An intermediate that the root lists takes all below it along."""
    issuing = ca.issue_ca("Issuing CA")
    authority = CertificateAuthority.objects.create(
        name="Both", bundle=ca.pem + issuing.pem
    )
    map_to(alice, "subject", "CN=alice", authority=authority)
    certificate = issuing.issue("alice")
    import_crl(authority, issuing.crl([7]))
    assert ask("/ledger/", certificate.der).json()["user"] == "alice"
    import_crl(authority, ca.crl([issuing.certificate.serial_number]))
    assert ask("/open/", certificate.der).json()["reason"] == "revoked"
    # Also where the bundle is saved again later.
    authority.refresh_from_db()
    authority.save()
    assert ask("/open/", certificate.der).json()["reason"] == "revoked"


def test_n55_no_address_in_a_certificate_is_followed(
    ask: Wsgi,
    alice: Any,
    authority: CertificateAuthority,
    ca: ThrowawayCA,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither for lists nor for issuers, whatever the policy."""

    def refuse(*args: Any) -> None:
        raise AssertionError("a socket was opened")

    url = x509.UniformResourceIdentifier("http://127.0.0.1:9/x.crl")
    extensions = [
        (
            x509.CRLDistributionPoints(
                [x509.DistributionPoint([url], None, None, None)]
            ),
            False,
        ),
        (
            x509.AuthorityInformationAccess(
                [
                    x509.AccessDescription(
                        x509.oid.AuthorityInformationAccessOID.OCSP, url
                    )
                ]
            ),
            False,
        ),
    ]
    certificate = ca.issue("alice", extensions=extensions)
    map_to(alice, "subject", "CN=alice", authority=authority)
    import_crl(authority, ca.crl([7]))
    CertificateAuthority.objects.update(revocation_policy="required")
    if connection.vendor == "sqlite":
        monkeypatch.setattr(socket.socket, "connect", refuse)
    assert ask("/ledger/", certificate.der).json()["user"] == "alice"


# --- what is refused -----------------------------------------------------------------


def refused(ca: ThrowawayCA, other_ca: ThrowawayCA) -> dict[str, bytes]:
    """Return a list for each way to be refused, by the code."""
    good = ca.crl([9], number=9)
    indirect = x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier("http://x")],
        relative_name=None,
        only_contains_user_certs=False,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=True,
        only_contains_attribute_certs=False,
    )
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")
    return {
        "not_a_list": b"<html>nothing</html>",
        "truncated": good[:-5],
        "bad_signature": good[:-1] + bytes([good[-1] ^ 1]),
        "other_key": other_ca.crl([9], number=9),
        "unknown_issuer": ThrowawayCA.create("Somebody").crl([9]),
        "rollback_number": ca.crl([], number=4),
        "rollback_date": ca.crl(
            [], number=9, this_update=NOW - 3 * DAY, next_update=NOW + DAY
        ),
        "indirect": ca.crl([9], number=9, distribution_point=indirect),
        "critical_extension": ca.crl([9], number=9, extensions=[(unknown, True)]),
        "from_the_future": ca.crl([9], number=9, this_update=NOW + DAY),
        "malformed": lists.crl(
            ca,
            entries=[lists.entry(9)],
            extensions=[lists.number(9)],
            inside=w.tlv(0x04),
        ),
    }


def test_n52_what_is_refused_changes_nothing(
    mapped: CertificateAuthority,
    ca: ThrowawayCA,
    other_ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
) -> None:
    """The list that was in force stays so, and goes on to revoke."""
    loaded = ca.crl([alice_cert], number=5, this_update=NOW - DAY)
    import_crl(mapped, loaded)
    cases = {**refused(ca, other_ca), "already_loaded": loaded}
    for code, data in cases.items():
        with pytest.raises(RevocationListError) as caught:
            import_crl(mapped, data)
        assert caught.value.code == code, caught.value
        assert in_force(mapped) == ["CRL number 5"]
        assert RevokedSerial.objects.count() == 1
        assert decide(alice_cert).reason == "revoked"


def test_n52_an_indirect_list_is_refused_with_that_word(
    authority: CertificateAuthority, ca: ThrowawayCA, other_ca: ThrowawayCA
) -> None:
    """So that the CA's operator knows what to change."""
    with pytest.raises(RevocationListError, match="indirect"):
        import_crl(authority, refused(ca, other_ca)["indirect"])


def test_n54_an_answer_of_ocsp_is_no_list(
    mapped: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """Nobody is asked by OCSP, and what such a responder says clears nobody."""
    answer = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            alice_cert.certificate,
            ca.certificate,
            hashes.SHA256(),
            ocsp.OCSPCertStatus.GOOD,
            NOW - DAY,
            NOW + DAY,
            None,
            None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, ca.certificate)
        .sign(ca.key, hashes.SHA256())  # type: ignore[arg-type]
        .public_bytes(Encoding.DER)
    )
    CertificateAuthority.objects.update(revocation_policy="required")
    with pytest.raises(RevocationListError):
        import_crl(mapped, answer)
    assert decide(alice_cert).reason == "revocation_unknown"


def test_n52_a_delta_list_without_its_base_clears_nobody(
    mapped: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """It may revoke all the same."""
    import_crl(mapped, ca.crl([alice_cert], number=3, base_number=2))
    assert decide(alice_cert).reason == "revoked"
    CertificateAuthority.objects.update(revocation_policy="required")
    assert decide(ca.issue("alice")).reason == "revocation_unknown"


@pytest.mark.parametrize("moment", ["first step", "second step", "entry"])
def test_a_failure_in_the_middle_changes_nothing(
    mapped: Any,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
    moment: str,
) -> None:
    """Of the database, or at an entry that cannot be read."""
    import_crl(mapped, ca.crl([alice_cert], number=1))
    if moment == "entry":
        entries = [lists.entry(number) for number in range(1, 30)]
        other = w.extension(lists.CERTIFICATE_ISSUER, w.tlv(0x30), critical=True)
        data = lists.crl(
            ca,
            entries=[*entries, lists.entry(99, other)],
            extensions=[lists.number(2)],
        )
    else:
        data = ca.crl(range(1, 12_000), number=2)
    statements = 0

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal statements
        if sql.startswith("INSERT") and RevokedSerial._meta.db_table in sql:
            statements += 1
            if statements == {"first step": 1, "second step": 2}.get(moment):
                raise DatabaseError("disk full")
        return execute(sql, params, many, context)

    with (
        connection.execute_wrapper(fail),
        pytest.raises((DatabaseError, RevocationListError)),
    ):
        import_crl(mapped, data)
    assert in_force(mapped) == ["CRL number 1"]
    assert RevokedSerial.objects.count() == 1
    assert decide(alice_cert).reason == "revoked"


@pytest.mark.skipif(
    connection.vendor == "sqlite", reason="the database is this thread's own memory"
)
@pytest.mark.django_db(transaction=True)
def test_n52_the_second_of_two_imports_sees_what_the_first_stored(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """An older list whose import begins later does not win."""
    inside, outcome = threading.Event(), []
    lower, higher = ca.crl([8], number=1), ca.crl([7], number=2)

    def older() -> None:
        inside.wait(30)
        try:
            import_crl(authority, lower)
        except RevocationListError as error:
            outcome.append(error.code)
        finally:
            connection.close()

    def let_it_try(done: int, total: int) -> None:
        inside.set()
        second.join(0.5)  # long enough, if nothing made it wait
        assert second.is_alive()

    second = threading.Thread(target=older)
    second.start()
    import_crl(authority, higher, progress=let_it_try)
    second.join(30)
    assert outcome == ["rollback_number"]
    assert in_force(authority) == ["CRL number 2"]
    assert [one.serial for one in RevokedSerial.objects.all()] == [serial_key(7)]


@pytest.mark.skipif(
    connection.vendor != "postgresql", reason="only PostgreSQL has such a lock"
)
@pytest.mark.django_db(transaction=True)
def test_nobody_waits_for_an_import(
    alice: Any, authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """Who logs in with a new certificate meanwhile refers to the same authority."""
    finished = []

    def refer() -> None:
        try:
            map_to(alice, "subject", "CN=alice", authority=authority)
            finished.append(True)
        finally:
            connection.close()

    def let_it_try(done: int, total: int) -> None:
        other = threading.Thread(target=refer)
        other.start()
        other.join(20)

    # What replaces a list has more to lock.
    import_crl(authority, ca.crl([7], number=1))
    import_crl(authority, ca.crl([7], number=2), progress=let_it_try)
    assert finished == [True]


def test_an_import_begins_with_a_write(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """Under SQLite only such a transaction waits until others have written."""
    with captured() as queries:
        import_crl(authority, ca.crl([7]))
    statements = [one.sql for one in queries if "SAVEPOINT" not in one.sql]
    assert statements[0].startswith("UPDATE")
    assert CertificateAuthority._meta.db_table in statements[0]


def test_entries_are_not_loaded_to_be_deleted(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """Not even where somebody listens to every deletion, of whatever model."""
    deleted: list[str] = []

    def listen(sender: Any, **kwargs: Any) -> None:
        deleted.append(sender.__name__)

    import_crl(authority, ca.crl([7, 8], number=1))
    post_delete.connect(listen)
    try:
        with captured() as queries:
            import_crl(authority, ca.crl([9], number=2))
    finally:
        post_delete.disconnect(listen)
    assert deleted == ["RevocationList"]
    table = RevokedSerial._meta.db_table
    assert [one.sql[:6] for one in queries if table in one.sql].count("DELETE") == 1
    assert [row.serial for row in RevokedSerial.objects.all()] == [serial_key(9)]


def test_an_authority_that_was_deleted_takes_no_list(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """While its list was under way."""
    CertificateAuthority.objects.all().delete()
    with pytest.raises(CertificateAuthority.DoesNotExist, match="deleted"):
        import_crl(authority, ca.crl([7]))


def test_where_a_list_came_from_is_any_text(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """A file name can hold what no database stores."""
    imported = import_crl(authority, ca.crl([7]), source="a\0\udcff\n" + "b" * 500)
    imported.row.refresh_from_db()
    assert imported.row.source.startswith("a\\u{0}\\u{dcff}\\u{a}b")
    assert len(imported.row.source) <= 500


def test_an_authority_that_is_broken_takes_no_list(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """It could not tell whose it is."""
    CertificateAuthority.objects.update(bundle="broken")
    with pytest.raises(BundleError):
        import_crl(authority, ca.crl([7]))
    assert not RevocationList.objects.exists()


# --- what a newer CRL lacks ----------------------------------------------------------


REASON = x509.ReasonFlags


def warnings_of(authority: CertificateAuthority, *crls: bytes) -> list[str]:
    """Return the warnings of the import of the last of *crls*."""
    for crl in crls:
        imported = import_crl(authority, crl)
    return list(imported.warnings)


def test_r23_lost_entries_of_known_certificates_are_named(
    alice: Any, bob: Any, authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """Once each, ten at most; those that have expired are not counted."""
    issued = [ca.issue(f"c{number:02}") for number in range(12)]
    for certificate in issued:
        value, der = certificate.fingerprint, certificate.der
        map_to(alice, "fingerprint", value, certificate=der)
    past = ca.issue("past", not_before=NOW - 3 * DAY, not_after=NOW - DAY)
    map_to(alice, "fingerprint", past.fingerprint, certificate=past.der)
    visitor = ca.issue("visitor")
    for seen in (visitor, issued[0]):
        SeenCertificate.record(
            ClientCertificate(seen.der),
            user=bob,
            mapping=None,
            authority=None,
            host="",
            size=9,
            at=NOW,
        )
    crls = ca.crl([past, *issued], number=1), ca.crl([past, visitor], number=2)
    (text,) = warnings_of(authority, *crls)
    assert text.startswith("12 serial numbers that CRL number 1 revoked are not in CRL")
    assert "CN=c09 (mapping" in text
    assert "and 2 more" in text
    (text,) = warnings_of(authority, ca.crl(number=3))
    day = visitor.certificate.not_valid_after_utc.date()
    assert text.startswith("1 serial number that CRL number 2 revoked is not in CRL")
    assert f"that of CN=visitor (last accepted as bob, valid until {day})." in text


def test_r23_serial_numbers_of_unknown_certificates_are_counted(
    alice: Any, authority: CertificateAuthority, ca: ThrowawayCA, other_ca: ThrowawayCA
) -> None:
    """Those of another CA are other certificates."""
    foreign = other_ca.issue("foreign", serial=7)
    map_to(alice, "fingerprint", foreign.fingerprint, certificate=foreign.der)
    crls = [ca.crl([7, 8], number=1), ca.crl([8], number=2)]
    (text,) = warnings_of(authority, *crls)
    assert text.startswith("1 serial number that")
    assert "among them" not in text


def test_r23_an_entry_that_a_loaded_crl_still_has_is_not_lost(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """Be it in the base of a delta, or in one that replaces several."""
    base = ca.crl([7], number=1)
    delta = ca.crl([7, 8], number=2, base_number=1)
    assert not warnings_of(authority, base, delta, ca.crl([8], number=3, base_number=1))
    assert not warnings_of(authority, ca.crl([7, 8], number=4))
    (text,) = warnings_of(authority, ca.crl([7], number=5))
    assert text.startswith("1 serial number that CRL number 4")


def test_r23_what_a_ca_releases_on_purpose_is_not_lost(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """It was on hold, or a delta CRL has said removeFromCRL (RFC 5280, 5.3.1)."""
    stolen, hold = REASON.key_compromise, REASON.certificate_hold
    base = ca.crl({7: stolen, 8: hold, 9: None}, number=1)
    delta = ca.crl({7: REASON.remove_from_crl}, number=2, base_number=1)
    assert not warnings_of(authority, base, delta, ca.crl([9], number=3))
    again = ca.crl([7, 9], number=4, base_number=3)
    removed = ca.crl({7: REASON.remove_from_crl}, number=5, base_number=3)
    assert not warnings_of(authority, again, removed)


def test_r23_the_serial_number_0_is_called_out(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """No certificate may have it (RFC 5280, 4.1.2.2): the CA writes wrong CRLs."""
    data = lists.crl(ca, entries=[lists.entry(0)], extensions=[lists.number(1)])
    (text,) = warnings_of(authority, data)
    assert text.startswith("CRL number 1 has an entry for the serial number 0")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plan is SQLite's")
def test_r23_lost_entries_are_looked_up_by_serial_number(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """Not among all entries of the CRL, which takes hours for a large one."""
    import_crl(authority, ca.crl([7], number=1))
    with captured() as queries:
        import_crl(authority, ca.crl([7], number=2))
    (query,) = [query for query in queries if "EXISTS" in query.sql]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {query.sql}", query.given)
        plan = [row[-1] for row in cursor.fetchall()]
    inner = [step for step in plan if "U0" in step]
    assert len(inner) == 2
    assert all("clientcert_revoked_serial" in step for step in inner)
