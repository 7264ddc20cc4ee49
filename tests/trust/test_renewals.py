"""A renewed certificate, and the mapping that it takes over from."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.testing import IssuedCertificate, ThrowawayCA, self_signed
from django_clientcert.trust import renewals
from django_clientcert.trust.issuers import find_issuers
from django_clientcert.trust.renewals import find_predecessors, renew
from django_clientcert.x509.certificates import ClientCertificate
from tests import der_writer as w
from tests.deciding import decide, map_to
from tests.queries import captured

pytestmark = pytest.mark.django_db

NOW = dt.datetime.now(dt.timezone.utc)
WEEK = dt.timedelta(days=7)


def parsed(certificate: IssuedCertificate) -> ClientCertificate:
    """Return the certificate as the package has it."""
    return ClientCertificate(certificate.der)


@pytest.fixture
def old(alice: Any, authority: Any, alice_cert: IssuedCertificate) -> Any:
    """Alice's fingerprint, with her certificate and hosts."""
    return map_to(
        alice,
        "fingerprint",
        alice_cert.fingerprint,
        certificate=alice_cert.der,
        hosts="testserver",
    )


# --- whose renewal is it -----------------------------------------------------------


def test_the_same_authority_and_subject_make_a_successor(
    old: Any, ca: ThrowawayCA
) -> None:
    """Of a mapping without an authority too: its certificate says who issued it."""
    assert find_predecessors(parsed(ca.issue("alice"))) == [old]
    second = map_to(
        old.user,
        "public_key",
        parsed(other := ca.issue("alice")).public_key_fingerprint,
        certificate=other.der,
    )
    assert find_predecessors(parsed(ca.issue("alice"))) == [second, old]


def test_others_are_no_successors(
    old: Any, ca: ThrowawayCA, other_ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """A stranger's CA of the same name must not suggest itself to an administrator."""
    for certificate in (
        parsed(alice_cert),
        parsed(ca.issue("bob")),
        parsed(other_ca.issue("alice")),
        parsed(self_signed("alice")),
        ClientCertificate(w.certificate(ca, subject=w.common_name(b"\xe9", w.T61))),
        ClientCertificate(w.certificate(ca, subject=w.tlv(0x30))),
        ClientCertificate(b"0\0"),
    ):
        assert find_predecessors(certificate) == []
    # Nor where another authority issued the old one.
    CertificateAuthority.objects.create(name="Other", bundle=other_ca.pem)
    assert find_predecessors(parsed(other_ca.issue("alice"))) == []


def test_a_mapping_without_a_certificate_is_no_predecessor(
    old: Any, ca: ThrowawayCA
) -> None:
    """Or with one that cannot be read any more."""
    CertificateMapping.objects.update(certificate=b"0\0")
    assert find_predecessors(parsed(ca.issue("alice"))) == []
    CertificateMapping.objects.update(certificate=None)
    assert find_predecessors(parsed(ca.issue("alice"))) == []


def test_an_authority_that_is_broken_answers_for_nobody(
    old: Any, ca: ThrowawayCA, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left out, and logged."""
    CertificateAuthority.objects.update(bundle="broken")
    assert find_issuers(parsed(ca.issue("alice"))).authorities == ()
    assert "cannot be used" in caplog.text
    assert find_predecessors(parsed(ca.issue("alice"))) == []


def test_many_of_one_subject_stay_a_few(
    old: Any, ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subject that a thousand devices share is looked at in part only."""
    monkeypatch.setattr(renewals, "MAX_CANDIDATES", 2)
    for _number in range(3):
        certificate = ca.issue("alice")
        map_to(
            old.user,
            "fingerprint",
            certificate.fingerprint,
            certificate=certificate.der,
        )
    with captured() as queries:
        assert len(find_predecessors(parsed(ca.issue("alice")))) == 2
    assert len(queries) <= 4


# --- renewing ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fingerprint", "public_key", "issuer_serial"])
def test_one_action_maps_the_new_one_and_retires_the_old(
    alice: Any, authority: Any, ca: ThrowawayCA, kind: str
) -> None:
    """Nobody is locked out before the date, and the old one after it."""
    first, second = ca.issue("alice"), ca.issue("alice")
    certificate = parsed(first)
    old = map_to(
        alice,
        kind,
        {
            "fingerprint": certificate.fingerprint,
            "public_key": certificate.public_key_fingerprint,
            "issuer_serial": f"{certificate.serial_number_hex} {certificate.issuer}",
        }[kind],
        authority=authority if kind == "issuer_serial" else None,
        certificate=first.der,
        hosts="testserver",
    )
    assert decide(second).reason == "unmapped"
    new = renew(old, parsed(second), retire_on=NOW + WEEK)
    assert (new.user, new.kind, new.hosts, new.authority) == (
        alice,
        kind,
        "testserver",
        old.authority,
    )
    assert bytes(new.certificate or b"") == second.der
    assert str(old.pk) in new.note
    for one in (first, second):
        assert decide(one).user == alice
    later = NOW + WEEK + dt.timedelta(seconds=1)
    assert decide(first, at=later).reason == "mapping_expired"
    assert decide(second, at=later).user == alice
    old.refresh_from_db()
    assert (old.state, old.valid_until) == ("retiring", NOW + WEEK)


def test_the_new_one_may_begin_later(old: Any, ca: ThrowawayCA) -> None:
    """It is scheduled then."""
    certificate = ca.issue("alice")
    new = renew(
        old, parsed(certificate), retire_on=NOW + 2 * WEEK, valid_from=NOW + WEEK
    )
    assert new.state == "scheduled"
    assert decide(certificate).reason == "mapping_not_yet_valid"
    at = NOW + WEEK + dt.timedelta(seconds=1)
    assert decide(certificate, at=at).mapping == new


def test_what_does_not_renew_it_is_refused(
    old: Any, bob: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """And nothing has changed."""
    before = CertificateMapping.objects.values_list().get()
    for certificate, code in (
        (ca.issue("bob"), "no_successor"),
        (alice_cert, "no_successor"),
    ):
        with pytest.raises(ValidationError) as caught:
            renew(old, parsed(certificate), retire_on=NOW + WEEK)
        assert caught.value.code == code
    second = ca.issue("alice")
    map_to(bob, "fingerprint", second.fingerprint)
    with pytest.raises(ValidationError, match="another user"):
        renew(old, parsed(second), retire_on=NOW + WEEK)
    CertificateMapping.objects.filter(user=bob).delete()
    assert CertificateMapping.objects.values_list().get() == before


def test_a_disabled_mapping_is_not_renewed(
    old: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """Or to retire would let in whom somebody locked out, until the date."""
    CertificateMapping.objects.update(state="disabled")
    old.refresh_from_db()
    second = ca.issue("alice")
    with pytest.raises(ValidationError, match="is disabled") as caught:
        renew(old, parsed(second), retire_on=NOW + WEEK)
    assert caught.value.code == "disabled"
    old.refresh_from_db()
    assert old.state == "disabled"
    assert decide(alice_cert).reason == "mapping_disabled"
    assert decide(second).reason == "unmapped"


@pytest.mark.parametrize("ends", [-WEEK, WEEK], ids=["ended", "ends sooner"])
def test_to_retire_gives_the_old_one_no_time(
    old: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate, ends: dt.timedelta
) -> None:
    """A mapping that has ended does not come back to life."""
    CertificateMapping.objects.update(valid_until=NOW + ends)
    old.refresh_from_db()
    renew(old, parsed(ca.issue("alice")), retire_on=NOW + 2 * WEEK)
    old.refresh_from_db()
    assert (old.state, old.valid_until) == ("retiring", NOW + ends)
    at = NOW + max(ends, dt.timedelta(0)) + dt.timedelta(seconds=1)
    assert decide(alice_cert, at=at).reason == "mapping_expired"


def test_a_public_key_survives_a_renewal_with_the_same_key(
    alice: Any, authority: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """There is nothing to do, and it says so."""
    old = map_to(
        alice,
        "public_key",
        parsed(alice_cert).public_key_fingerprint,
        certificate=alice_cert.der,
    )
    renewed = ca.issue("alice", key=alice_cert.key)
    assert decide(renewed).user == alice
    with pytest.raises(ValidationError, match="nothing to do") as caught:
        renew(old, parsed(renewed), retire_on=NOW + WEEK)
    assert caught.value.code == "still_matches"


def test_a_name_that_the_new_one_lacks_is_said(
    alice: Any, authority: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """A mapping of an alternative name goes on with that name, or not at all."""
    old = map_to(
        alice,
        "san_email",
        "alice@example.com",
        authority=authority,
        certificate=alice_cert.der,
    )
    with pytest.raises(ValidationError, match="no san_email"):
        renew(old, parsed(ca.issue("alice")), retire_on=NOW + WEEK)


# --- states ------------------------------------------------------------------------


def test_states_need_their_dates(alice: Any, alice_cert: IssuedCertificate) -> None:
    """Scheduled from when, retiring until when."""
    for state, field in (("scheduled", "valid_from"), ("retiring", "valid_until")):
        mapping = CertificateMapping(
            user=alice, value=alice_cert.fingerprint, state=state
        )
        with pytest.raises(ValidationError) as caught:
            mapping.full_clean()
        assert list(caught.value.error_dict) == [field]
        setattr(mapping, field, NOW)
        mapping.full_clean()


def test_strong_is_what_names_the_certificate(alice: Any) -> None:
    """Pins and serial numbers; all else is a name."""
    strong = {
        kind
        for kind in CertificateMapping.MappingKind.values
        if CertificateMapping(user=alice, kind=kind).is_exact
    }
    assert strong == {"fingerprint", "public_key", "issuer_serial"}
