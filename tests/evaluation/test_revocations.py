"""What an administrator revokes here and now (THREATS N49-N51), and its reach."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from django_clientcert.evaluation.decisions import REFUSED
from django_clientcert.exceptions import CertificateParseError
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
    RevocationList,
    serial_key,
)
from django_clientcert.testing import IssuedCertificate, ThrowawayCA, self_signed
from django_clientcert.trust.crl_import import import_crl
from django_clientcert.trust.revoke import (
    certificate_of,
    revoke_certificate,
    revoke_period,
    revoke_public_key,
    revoke_serial,
)
from django_clientcert.x509.certificates import ClientCertificate
from tests import crl_writer
from tests import der_writer as w
from tests.conftest import Wsgi
from tests.deciding import decide, map_to
from tests.queries import captured
from tests.twins import twin_of

pytestmark = pytest.mark.django_db

DAY = dt.timedelta(days=1)


def parsed(certificate: IssuedCertificate) -> ClientCertificate:
    """Return the certificate as the package has it."""
    return ClientCertificate(certificate.der)


def ca_certificate(ca: ThrowawayCA) -> ClientCertificate:
    """Return a CA's own certificate."""
    return ClientCertificate(ca.certificate.public_bytes(Encoding.DER))


# --- a certificate ---------------------------------------------------------------


def test_n49_the_twin_of_a_revoked_certificate_is_refused(
    ask: Wsgi, alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """Another fingerprint of the same certificate: a list of them would miss it."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    twin = twin_of(alice_cert.der)
    assert ClientCertificate(twin).fingerprint != alice_cert.fingerprint
    assert ask("/ledger/", twin).json()["user"] == "alice"
    revoke_certificate(parsed(alice_cert))
    for der in (alice_cert.der, twin):
        assert ask("/open/", der).json()["reason"] == "revoked"
        assert ask("/ledger/", der).status_code == 403


def test_n49_the_serial_number_alone_finds_the_twin_too(
    alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """Where only the serial number was known when it was revoked."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    revoke_serial(authority, parsed(alice_cert).serial_number)
    assert decide(alice_cert).reason == "revoked"
    assert decide(twin_of(alice_cert.der)).reason == "revoked"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("fingerprint", None),
        ("public_key", None),
        ("issuer_serial", None),
        ("subject", "CN=alice"),
        ("san_email", "alice@example.com"),
        ("san_upn", "alice@corp.example"),
    ],
)
def test_n50_revocation_beats_every_kind_of_mapping(
    ask: Wsgi,
    alice: Any,
    authority: Any,
    alice_cert: IssuedCertificate,
    kind: str,
    value: str | None,
) -> None:
    """Also a pin, which needs no authority; from the next request on, and back."""
    certificate = parsed(alice_cert)
    values = {
        "fingerprint": certificate.fingerprint,
        "public_key": certificate.public_key_fingerprint,
        "issuer_serial": f"{certificate.serial_number_hex} {certificate.issuer}",
    }
    pinned = kind in ("fingerprint", "public_key")
    map_to(
        alice,
        kind,
        value or values[kind],
        authority=None if pinned else authority,
    )
    assert ask("/ledger/", alice_cert.der).json()["user"] == "alice"
    revocation = revoke_certificate(certificate)
    assert ask("/open/", alice_cert.der).json()["reason"] == "revoked"
    assert ask("/ledger/", alice_cert.der).status_code == 403
    revocation.delete()
    assert ask("/ledger/", alice_cert.der).json()["user"] == "alice"


def test_n50_the_same_key_in_another_certificate_is_revoked_too(
    alice: Any, authority: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """A renewal with the same key: whoever has stolen it has stolen both."""
    renewed = ca.issue("alice", key=alice_cert.key)
    map_to(alice, "subject", "CN=alice", authority=authority)
    assert decide(renewed).accepted
    revoke_certificate(parsed(alice_cert))
    assert decide(renewed).reason == "revoked"


def test_n50_revocation_beats_a_rule(
    ask: Wsgi, alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """And no user is looked for: the second query tells what revokes it."""
    authority.rule_identity = "common_name"
    authority.save()
    assert ask("/ledger/", alice_cert.der).json()["user"] == "alice"
    revoke_certificate(parsed(alice_cert))
    with captured() as queries:
        assert ask("/open/", alice_cert.der).json()["reason"] == "revoked"
    assert len(queries) == (1 if get_user_model()._meta.parents else 2)


def test_a_revoked_stranger_is_told_so(
    ask: Wsgi, authority: Any, mallory_cert: IssuedCertificate
) -> None:
    """Without any mapping the reason is still the truth; the client learns nothing."""
    assert ask("/open/", mallory_cert.der).json()["reason"] == "unmapped"
    unmapped = ask("/ledger/", mallory_cert.der)
    revoke_certificate(parsed(mallory_cert))
    assert ask("/open/", mallory_cert.der).json()["reason"] == "revoked"
    assert ask("/ledger/", mallory_cert.der).content == unmapped.content


def test_n51_a_serial_number_is_one_issuer_s(
    alice: Any, authority: Any, other_ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """A CA of the same name, with another key, has its own serial numbers."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    other = CertificateAuthority.objects.create(name="Other", bundle=other_ca.pem)
    serial = parsed(alice_cert).serial_number
    revoke_serial(other, serial)
    assert decide(alice_cert).accepted
    revoke_serial(authority, serial)
    assert decide(alice_cert).reason == "revoked"


def test_n51_a_stranger_cannot_have_another_s_certificate_revoked(
    alice: Any, authority: Any, other_ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """The issuer's name and the serial number of another can be put into anything."""
    map_to(alice, "fingerprint", alice_cert.fingerprint)
    imitation = other_ca.issue("mallory", serial=parsed(alice_cert).serial_number)
    revocation = revoke_certificate(parsed(imitation))
    # Its issuer is nobody's: only the key can be named.
    assert (revocation.authority, revocation.issuer_key, revocation.serial) == (
        None,
        None,
        None,
    )
    assert decide(imitation).reason == "revoked"
    assert decide(alice_cert).accepted


@pytest.mark.parametrize(
    "serial", [1, 0, -1, -128, 127, 128, 2**159, 2**248 - 1, 2**300, -(2**300)]
)
def test_serial_numbers_of_every_length(serial: int) -> None:
    """At most 32 bytes, and different for different numbers."""
    keys = {serial_key(one) for one in (serial - 1, serial, serial + 1, -serial - 2)}
    assert len(keys) == len({serial - 1, serial, serial + 1, -serial - 2})
    assert all(1 <= len(key) <= 32 for key in keys)
    if serial in (1, 127, 128):
        assert serial_key(serial) == {1: b"\1", 127: b"\x7f", 128: b"\0\x80"}[serial]


def test_a_serial_number_longer_than_allowed_can_be_revoked(
    alice: Any, authority: Any, ca: ThrowawayCA
) -> None:
    """The verifier would not have it; a pin takes it."""
    der = w.certificate(ca, serial=w.integer(2**300))
    certificate = ClientCertificate(der)
    map_to(alice, "fingerprint", certificate.fingerprint)
    assert decide(der).accepted
    revoke_serial(authority, 2**300)
    assert decide(der).reason == "revoked"


# --- a time ----------------------------------------------------------------------


def test_all_of_a_time_is_one_action(
    ask: Wsgi, alice: Any, authority: Any, ca: ThrowawayCA
) -> None:
    """Both ends count; what was issued before and after is not touched."""
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    map_to(alice, "subject", "CN=alice", authority=authority)
    issued = {
        days: ca.issue("alice", not_before=now - days * DAY) for days in (1, 2, 3, 4)
    }
    revocation = revoke_period(authority, now - 3 * DAY, now - 2 * DAY)
    reasons = {
        days: ask("/open/", one.der).json()["reason"] for days, one in issued.items()
    }
    assert reasons == {1: None, 2: "revoked", 3: "revoked", 4: None}
    revocation.delete()
    assert ask("/ledger/", issued[2].der).json()["user"] == "alice"


def test_a_time_of_one_authority_is_not_another_s(
    alice: Any, bob: Any, authority: Any, other_ca: ThrowawayCA, ca: ThrowawayCA
) -> None:
    """Even where both have the same name."""
    other = CertificateAuthority.objects.create(name="Other", bundle=other_ca.pem)
    map_to(alice, "subject", "CN=alice", authority=authority)
    map_to(bob, "subject", "CN=bob", authority=other)
    now = dt.datetime.now(dt.timezone.utc)
    revoke_period(other, now - 400 * DAY, now + DAY)
    assert decide(ca.issue("alice")).accepted
    assert decide(other_ca.issue("bob")).reason == "revoked"


def test_a_time_counts_for_pins_too(
    alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """A pin without an authority, of a certificate that the authority issued."""
    map_to(alice, "fingerprint", alice_cert.fingerprint)
    now = dt.datetime.now(dt.timezone.utc)
    revoke_period(authority, now - 400 * DAY, now)
    assert decide(alice_cert).reason == "revoked"


@pytest.mark.parametrize("in_bundle", [True, False])
def test_a10_a_period_reaches_pins_through_intermediates_of_the_bundle(
    alice: Any, in_bundle: bool
) -> None:
    """What the client sends, it can leave out; the how-to says to add them."""
    root = ThrowawayCA.create("Company Root")
    issuing = root.issue_ca("Company Issuing")
    bundle = root.pem + (issuing.pem if in_bundle else "")
    authority = CertificateAuthority.objects.create(name="Company", bundle=bundle)
    certificate = issuing.issue("alice")
    map_to(alice, "fingerprint", certificate.fingerprint)
    now = dt.datetime.now(dt.timezone.utc)
    revoke_period(authority, now - 400 * DAY, now + DAY)
    assert decide(certificate).reason == ("revoked" if in_bundle else None)


def test_r24_an_issuing_ca_alone_needs_no_crl_of_the_root(alice: Any) -> None:
    """As the how-to says: it is the anchor, and anchors need no CRL."""
    root = ThrowawayCA.create("Company Root")
    issuing = root.issue_ca("Company Issuing")
    certificate = issuing.issue("alice")
    both = root.pem + issuing.pem
    for bundle, reason in ((both, "revocation_unknown"), (issuing.pem, None)):
        CertificateMapping.objects.all().delete()
        CertificateAuthority.objects.all().delete()
        authority = CertificateAuthority.objects.create(
            name="Company", bundle=bundle, revocation_policy="required"
        )
        import_crl(authority, crl_writer.crl(issuing))
        map_to(alice, "subject", "CN=alice", authority=authority)
        assert decide(certificate).reason == reason


# --- a CA ------------------------------------------------------------------------


@pytest.fixture
def company(db: None) -> tuple[ThrowawayCA, ThrowawayCA]:
    """A root and its intermediate."""
    root = ThrowawayCA.create("Company Root")
    return root, root.issue_ca("Company Issuing")


@pytest.mark.parametrize("by", ["certificate", "serial number"])
def test_a_revoked_ca_takes_all_below_with_it(
    alice: Any, bob: Any, company: tuple[ThrowawayCA, ThrowawayCA], by: str
) -> None:
    """By its key or its serial number; a pin does not lean on it."""
    root, issuing = company
    authority = CertificateAuthority.objects.create(
        name="Company", bundle=root.pem + issuing.pem
    )
    map_to(alice, "subject", "CN=alice", authority=authority)
    below, beside = issuing.issue("alice"), root.issue("alice")
    pinned = issuing.issue("bob")
    map_to(bob, "fingerprint", pinned.fingerprint)
    assert decide(below).accepted
    certificate = ca_certificate(issuing)
    if by == "certificate":
        revocation = revoke_certificate(certificate)
    else:
        revocation = revoke_serial(
            authority,
            certificate.serial_number,
            issuer=ca_certificate(root).subject.rfc4514(),
        )
    decision = decide(below)
    assert decision.reason == "revoked"
    assert [one.name for one in decision.steps if one.outcome == REFUSED] == ["crls"]
    assert decide(beside).accepted
    assert decide(pinned).accepted
    # What is derived survives a save, and goes with the revocation.
    authority.refresh_from_db()
    authority.save()
    assert decide(below).reason == "revoked"
    revocation.delete()
    assert decide(below).accepted


def test_a_revoked_anchor_is_no_anchor(
    alice: Any, authority: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """The root itself was compromised."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    revoke_certificate(ca_certificate(ca))
    assert decide(alice_cert).reason == "revoked"


# --- what cannot be read denies --------------------------------------------------


@pytest.mark.parametrize("info", ["{", "[]", "{}", '{"scope": 1}', "null", "x"])
def test_n56_a_crl_that_cannot_be_read_denies(
    alice: Any, authority: Any, alice_cert: IssuedCertificate, info: str
) -> None:
    """It is never taken for “nothing is revoked”."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    RevocationList.objects.create(
        authority=authority,
        info=info,
        this_update=dt.datetime.now(dt.timezone.utc),
        entry_count=0,
    )
    for _ in range(2):  # nor is it remembered
        decision = decide(alice_cert)
        assert decision.reason == "trust_unavailable"
        assert decision.user is None
    RevocationList.objects.all().delete()
    assert decide(alice_cert).accepted


def test_n56_a_serial_number_that_cannot_be_read_is_a_decision(
    ask: Wsgi,
    alice: Any,
    authority: Any,
    ca: ThrowawayCA,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the parsers disagree about next."""

    def fail(self: Any) -> int:
        raise CertificateParseError("serial number")

    # One of its own: what was read of a certificate is kept for other tests too.
    certificate = ca.issue("alice")
    map_to(alice, "fingerprint", certificate.fingerprint)
    monkeypatch.setattr(ClientCertificate, "serial_number", property(fail))
    answer = ask("/open/", certificate.der).json()
    assert answer["reason"] == "malformed_certificate"


def test_a_policy_that_is_off_does_not_switch_off_revocations(
    alice: Any, authority: Any, other_ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """It is about lists; and another CA's serial number is still another's."""
    map_to(alice, "fingerprint", alice_cert.fingerprint)
    CertificateAuthority.objects.update(revocation_policy="off")
    other = CertificateAuthority.objects.create(name="Other", bundle=other_ca.pem)
    serial = parsed(alice_cert).serial_number
    revoke_serial(other, serial)
    assert decide(alice_cert).accepted
    revoke_serial(authority, serial)
    assert decide(alice_cert).reason == "revoked"


def test_n56_an_unknown_policy_denies(
    alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """Of a later version, perhaps."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    CertificateAuthority.objects.update(revocation_policy="sometimes")
    assert decide(alice_cert).reason == "trust_unavailable"


def test_n56_a_bundle_that_broke_denies_where_it_matters(
    alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """A pin whose serial number is revoked somewhere: whose it is cannot be told."""
    map_to(alice, "fingerprint", alice_cert.fingerprint)
    revoke_serial(authority, parsed(alice_cert).serial_number)
    CertificateAuthority.objects.update(bundle="broken")
    assert decide(alice_cert).reason == "trust_unavailable"
    Revocation.objects.all().delete()
    assert decide(alice_cert).accepted


def test_required_without_a_list_refuses_all_but_pins(
    ask: Wsgi, alice: Any, bob: Any, authority: Any, alice_cert: Any, mallory_cert: Any
) -> None:
    """Nothing is known of anybody then."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    map_to(bob, "fingerprint", mallory_cert.fingerprint)
    CertificateAuthority.objects.update(revocation_policy="required")
    assert ask("/open/", alice_cert.der).json()["reason"] == "revocation_unknown"
    assert ask("/ledger/", mallory_cert.der).json()["user"] == "bob"
    # A pin that names its authority wants its word.
    CertificateMapping.objects.filter(user=bob).update(authority=authority)
    assert ask("/open/", mallory_cert.der).json()["reason"] == "revocation_unknown"
    CertificateAuthority.objects.update(revocation_policy="off")
    assert ask("/ledger/", alice_cert.der).json()["user"] == "alice"


# --- the functions ---------------------------------------------------------------


def test_the_same_again_is_the_same_revocation(
    authority: Any, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """No second row; the first one's reason and note stay."""
    first = revoke_certificate(parsed(alice_cert), reason=1, note="stolen", by=alice)
    again = revoke_certificate(parsed(alice_cert), reason=4)
    assert again == first
    assert Revocation.objects.count() == 1
    first.refresh_from_db()
    assert (first.reason, first.note, first.revoked_by) == (1, "stolen", alice)
    assert first.authority == authority
    assert first.description == str(first) == "CN=alice"
    assert first.client_certificate() == parsed(alice_cert)
    assert not first.is_period


def test_a_public_key_can_be_revoked_without_a_certificate(
    alice: Any, alice_cert: IssuedCertificate
) -> None:
    """Where only that was mapped."""
    certificate = parsed(alice_cert)
    map_to(alice, "public_key", certificate.public_key_fingerprint)
    revocation = revoke_public_key(certificate.public_key_bytes, reason=1)
    assert certificate.public_key_fingerprint in revocation.description
    assert revocation.client_certificate() is None
    assert decide(alice_cert).reason == "revoked"


@pytest.mark.parametrize(
    "subject",
    [w.common_name(b"Jos\xe9", w.T61), w.tlv(0x30)],
    ids=["no text", "empty"],
)
def test_a_subject_that_cannot_be_read_does_not_keep_one_from_revoking(
    alice: Any, ca: ThrowawayCA, authority: Any, subject: bytes
) -> None:
    """Its fingerprint is shown instead; an empty subject too."""
    der = w.certificate(ca, subject=subject)
    map_to(alice, "fingerprint", ClientCertificate(der).fingerprint)
    assert decide(der).accepted
    revocation = revoke_certificate(ClientCertificate(der))
    assert revocation.description
    assert decide(der).reason == "revoked"


def test_a_broken_subject_is_shown_as_a_fingerprint(
    ca: ThrowawayCA, authority: Any
) -> None:
    """It was revoked all the same."""
    certificate = ClientCertificate(w.certificate(ca, subject=w.tlv(0x30, w.tlv(0x31))))
    revocation = revoke_certificate(certificate)
    assert revocation.description == certificate.fingerprint
    assert revocation.public_key == certificate.public_key_bytes


def test_what_is_no_certificate_cannot_be_revoked() -> None:
    """It says why."""
    with pytest.raises(ValidationError, match="cannot be read"):
        revoke_certificate(ClientCertificate(b"0\0"))


def test_whose_serial_number_has_to_be_clear(
    company: tuple[ThrowawayCA, ThrowawayCA],
) -> None:
    """Of several CAs, the one that is named; the choices are told."""
    root, issuing = company
    authority = CertificateAuthority.objects.create(
        name="Company", bundle=root.pem + issuing.pem
    )
    for issuer in ("", "CN=Somebody", "no name"):
        with pytest.raises(ValidationError):
            revoke_serial(authority, 7, issuer=issuer)
    with pytest.raises(ValidationError, match="CN=Company Root; CN=Company Issuing"):
        revoke_serial(authority, 7)
    revocation = revoke_serial(authority, -7, issuer="CN=Company Issuing")
    assert revocation.issuer_key == ca_certificate(issuing).public_key_bytes
    assert revocation.description == "serial number -07 of CN=Company Issuing"
    CertificateAuthority.objects.update(bundle="broken")
    authority.refresh_from_db()
    with pytest.raises(ValidationError):
        revoke_serial(authority, 7)


def test_half_a_revocation_is_refused(authority: Any) -> None:
    """Nothing named, a serial number of nobody, a time without an authority."""
    now = dt.datetime.now(dt.timezone.utc)
    for fields, code in (
        ({}, "nothing"),
        ({"serial": b"\1"}, "issuer"),
        ({"issued_from": now}, "nothing"),
        ({"issued_from": now, "issued_until": now}, "authority_required"),
        (
            {
                "issued_from": now,
                "issued_until": now - DAY,
                "authority": authority,
            },
            "dates",
        ),
    ):
        with pytest.raises(ValidationError) as caught:
            Revocation(**fields, description="x").full_clean()
        codes = [one.code for each in caught.value.error_dict.values() for one in each]
        assert code in codes or code == "authority_required"
    with pytest.raises(ValidationError, match="before it begins"):
        revoke_period(authority, now, now - DAY)


def test_the_certificate_of_a_mapping_is_its_own_or_the_one_last_seen(
    ask: Wsgi, alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """None where neither is there."""
    mapping = map_to(alice, "subject", "CN=alice", authority=authority)
    assert certificate_of(mapping) is None
    ask("/ledger/", alice_cert.der)
    assert certificate_of(mapping) == parsed(alice_cert)
    own = self_signed("other")
    mapping.certificate = own.der
    mapping.save()
    assert certificate_of(mapping) == parsed(own)
