"""THREATS N26-N48: which certificate is whom, and what the mapping decides."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from django_clientcert.conf import conf
from django_clientcert.evaluation.presented import Presented
from django_clientcert.evaluation.run import evaluate
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    SeenCertificate,
)
from django_clientcert.testing import (
    SERVER_AUTH,
    IssuedCertificate,
    ThrowawayCA,
    encode_escaped_pem,
    make_name,
    self_signed,
)
from tests.deciding import UNKNOWN_STATES, decide, map_to, states_unchecked
from tests.queries import assert_only_hashes, captured, dropped

pytestmark = pytest.mark.django_db

SECOND = dt.timedelta(seconds=1)


@pytest.fixture(params=[True, False], ids=["proxy_verifies", "app_verifies"])
def verifies(request: pytest.FixtureRequest, settings: Any) -> bool:
    """Run a test where the proxy validates the path, and where the app does."""
    settings.CLIENTCERT_PROXY_VERIFIES = request.param
    return bool(request.param)


KINDS = {
    "fingerprint": lambda cert: cert.fingerprint,
    "public_key": lambda cert: _pin(cert),
    "issuer_serial": lambda cert: f"{cert.certificate.serial_number:x} CN=Test Root CA",
    "subject": lambda cert: "CN=alice",
    "san_email": lambda cert: "alice@EXAMPLE.com",
    "san_dns": lambda cert: "ALICE.example.com",
    "san_uri": lambda cert: "spiffe://example.com/alice",
    "san_upn": lambda cert: "alice@corp.example",
}


def _pin(cert: IssuedCertificate) -> str:
    from django_clientcert.x509.certificates import ClientCertificate

    return ClientCertificate(cert.der).public_key_fingerprint


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_finds_its_user(
    kind: str, alice: Any, alice_cert: Any, authority: Any, verifies: bool
) -> None:
    """Every kind of mapping leads to the user, in both modes."""
    mapping = map_to(alice, kind, KINDS[kind](alice_cert), authority=authority)
    decision = decide(alice_cert)
    assert decision.accepted, decision
    assert decision.user == alice
    assert decision.mapping == mapping
    assert [step.outcome for step in decision.steps] == ["passed"] * len(decision.steps)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "public_key"])
def test_no_kind_finds_another_certificate(
    kind: str, alice: Any, alice_cert: Any, mallory_cert: Any, authority: Any
) -> None:
    """Mallory's certificate of the same CA is nobody."""
    map_to(alice, kind, KINDS[kind](alice_cert), authority=authority)
    assert decide(mallory_cert).reason == "unmapped"


def test_n31_a_pin_is_the_whole_certificate(
    alice: Any, ca: Any, alice_cert: Any
) -> None:
    """Same serial number, issuer and subject with another key is another one."""
    map_to(alice, "fingerprint", alice_cert.fingerprint)
    map_to(alice, "public_key", _pin(alice_cert))
    imitation = ca.issue("alice", serial=alice_cert.certificate.serial_number)
    assert decide(imitation).reason == "unmapped"


def test_n32_the_row_names_the_user(alice: Any, ca: Any, alice_cert: Any) -> None:
    """Alice's key certified as bob: the key pin is Alice, the other is nobody."""
    reissued = ca.issue("bob", key=alice_cert.key)
    map_to(alice, "fingerprint", alice_cert.fingerprint)
    assert decide(reissued).reason == "unmapped"
    map_to(alice, "public_key", _pin(alice_cert))
    assert decide(reissued).user == alice


def test_n33_the_authority_is_its_key(
    alice: Any, authority: Any, other_ca: ThrowawayCA, verifies: bool
) -> None:
    """A CA of the same name with another key has no say."""
    for kind in ("subject", "san_email", "san_dns", "issuer_serial"):
        imitation = other_ca.issue(
            "alice", emails=["alice@example.com"], dns=["alice.example.com"]
        )
        map_to(alice, kind, KINDS[kind](imitation), authority=authority)
        decision = decide(imitation)
        assert decision.reason == "untrusted_issuer", kind
        assert decision.user is None


@pytest.mark.parametrize(
    ("subject", "mapped"),
    [
        ([("C", "US"), ("OU", "CN=duke,"), ("CN", "luke")], "CN=duke"),
        ([("CN", "luke,CN=duke")], "CN=duke"),
        ([("CN", "luke,CN=duke")], "CN=duke,CN=luke"),
        ([("CN", "luke\\,CN=duke")], "CN=luke,CN=duke"),
        ([("CN", "alice+UID=42")], "CN=alice+UID=42"),
        ([("CN", "alice"), ("UID", "42")], "CN=alice+UID=42"),
        ([("CN", "alice"), ("O", "x")], "CN=alice,O=x"),
    ],
)
def test_n34_n36_structure_counts_not_text(
    alice: Any, ca: Any, authority: Any, subject: Any, mapped: str
) -> None:
    """A text inside a value is no attribute, and order and grouping count."""
    map_to(alice, "subject", mapped, authority=authority)
    oids = {
        "C": NameOID.COUNTRY_NAME,
        "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
        "O": NameOID.ORGANIZATION_NAME,
        "CN": NameOID.COMMON_NAME,
        "UID": NameOID.USER_ID,
    }
    name = x509.Name([x509.NameAttribute(oids[key], value) for key, value in subject])
    assert decide(ca.issue(subject=name)).reason == "unmapped"


@pytest.mark.parametrize(
    "other",
    ["Strasse", "аlice", "al\u200bice", "al\u00adice", "Jose\u0301", "alic\u0435"],
)
def test_n37_nothing_is_folded_into_somebody_else(
    alice: Any, ca: Any, authority: Any, other: str
) -> None:
    """Look-alikes, invisible characters and normal forms stay apart."""
    for value in ("CN=Straße", "CN=alice", "CN=José"):
        map_to(alice, "subject", value, authority=authority)
    assert decide(ca.issue(other)).reason == "unmapped"
    assert decide(ca.issue("ALICE")).user == alice


@pytest.mark.parametrize("common_name", ["alice2", "xalice", "*", "alice*", "%", "_"])
def test_n38_no_patterns(alice: Any, ca: Any, authority: Any, common_name: str) -> None:
    """A mapping is a whole value; wild cards and SQL patterns mean nothing."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    certificate = ca.issue(common_name, emails=[f"{common_name}@example.com"])
    assert decide(certificate).reason == "unmapped"


def test_n39_a_upn_is_one_kind_of_other_name(
    alice: Any, ca: Any, authority: Any
) -> None:
    """An otherName of another type with the same text is no UPN."""
    map_to(alice, "san_upn", "alice@corp.example", authority=authority)
    text = b"alice@corp.example"
    other = x509.OtherName(
        x509.ObjectIdentifier("1.2.3.4"), b"\x0c" + bytes([len(text)]) + text
    )
    san = x509.SubjectAlternativeName([other])
    assert decide(ca.issue("x", extensions=[(san, False)])).reason == "unmapped"


@pytest.mark.parametrize(
    ("address", "matches"),
    [
        ("Alice@Ex.com", True),
        ("Alice@EX.COM", True),
        ("alice@ex.com", False),
        ("Alice@ex.com.evil.org", False),
    ],
)
def test_n40_only_the_host_of_an_address_folds(
    alice: Any, ca: Any, authority: Any, address: str, matches: bool
) -> None:
    """The local part belongs to the mail host (RFC 5280, 7.5)."""
    map_to(alice, "san_email", "Alice@Ex.com", authority=authority)
    decision = decide(ca.issue("x", emails=[address]))
    assert decision.accepted is matches


@pytest.mark.parametrize(
    "common_name",
    ["*)(uid=*", "%s", "{0}", "' OR 1=1 --", "a" * 64, "\\", "${jndi:x}"],
)
def test_n42_injection_finds_nobody(
    alice: Any, ca: Any, authority: Any, common_name: str
) -> None:
    """Text of a certificate never reaches the query: only hashes do."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    with captured() as queries:
        assert decide(ca.issue(common_name)).reason == "unmapped"
        assert decide(ca.issue("bob")).reason == "unmapped"
    query, of_another = queries
    assert query.sql == of_another.sql
    assert_only_hashes(query)


def test_n43_two_users_on_one_level_are_refused(
    alice: Any, bob: Any, authority: Any, alice_cert: Any
) -> None:
    """Two SANs that name two people are nobody; both mappings are named."""
    first = map_to(alice, "san_email", "alice@example.com", authority=authority)
    second = map_to(bob, "san_dns", "alice.example.com", authority=authority)
    decision = decide(alice_cert)
    assert decision.reason == "ambiguous_mapping"
    assert f"mapping {first.pk}" in decision.detail
    assert f"mapping {second.pk}" in decision.detail
    # A better kind settles it.
    map_to(bob, "subject", "CN=alice", authority=authority)
    assert decide(alice_cert).user == bob


def test_n43_one_key_for_two_users_is_refused(
    alice: Any, bob: Any, alice_cert: Any
) -> None:
    """However two rows of one fingerprint came to be, they lock the door."""
    for user in (alice, bob):
        map_to(user, "fingerprint", alice_cert.fingerprint)
    assert decide(alice_cert).reason == "ambiguous_mapping"


def test_n67_a_second_user_of_a_key_is_refused_when_saved(
    alice: Any, bob: Any, alice_cert: Any
) -> None:
    """The form says it before it locks anybody out."""
    map_to(alice, "public_key", _pin(alice_cert))
    twin = CertificateMapping(user=bob, kind="public_key", value=_pin(alice_cert))
    with pytest.raises(ValidationError, match="to another user"):
        twin.full_clean()


def test_n44_each_state_has_its_reason(
    alice: Any, alice_cert: Any, mapping: CertificateMapping
) -> None:
    """Disabled, not begun, ended, inactive: four words."""
    now = timezone.now()

    def reason(**fields: Any) -> str:
        CertificateMapping.objects.filter(pk=mapping.pk).update(
            **{"state": "active", "valid_from": None, "valid_until": None, **fields}
        )
        return str(decide(alice_cert, at=now).reason)

    assert reason() == "None"
    assert reason(state="disabled") == "mapping_disabled"
    assert reason(valid_from=now + SECOND) == "mapping_not_yet_valid"
    assert reason(valid_from=now) == "None"
    assert reason(valid_until=now) == "mapping_expired"
    assert reason(state="retiring", valid_until=now + SECOND) == "None"
    alice.is_active = False
    alice.save()
    assert reason() == "inactive_user"


def test_a_disabled_mapping_is_not_overtaken(
    alice: Any, alice_cert: Any, authority: Any, mapping: CertificateMapping
) -> None:
    """A worse kind does not open what a better kind has closed."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    CertificateMapping.objects.filter(pk=mapping.pk).update(state="disabled")
    assert decide(alice_cert).reason == "mapping_disabled"


@pytest.mark.parametrize(
    "fields",
    [
        *({"state": state} for state in UNKNOWN_STATES),
        {"state": "scheduled", "valid_from": None},
    ],
    ids=str,
)
def test_l03_an_unknown_state_authenticates_nobody(
    mapping: CertificateMapping, alice_cert: IssuedCertificate, fields: dict[str, Any]
) -> None:
    """Only the states that are known to be good are accepted, and exactly these."""
    assert decide(alice_cert).accepted
    with states_unchecked():
        CertificateMapping.objects.update(**fields)
        decision = decide(alice_cert)
        assert decision.reason == "mapping_disabled"
        assert "counts as disabled" in decision.detail
        CertificateMapping.objects.update(state="active")
    assert decide(alice_cert).accepted


def test_l03_the_database_refuses_an_unknown_state(
    mapping: CertificateMapping,
) -> None:
    """What goes past the models, too."""
    for fields in ({"state": "revoked"}, {"state": "scheduled", "valid_from": None}):
        with pytest.raises(DatabaseError), transaction.atomic():
            CertificateMapping.objects.update(**fields)
    now = timezone.now()
    for state in CertificateMapping.State.values:
        CertificateMapping.objects.update(state=state, valid_from=now)


def test_a_broken_path_of_a_better_kind_is_not_overtaken(
    alice: Any, bob: Any, alice_cert: Any, authority: Any
) -> None:
    """What could not be loaded denies, whatever a worse kind says."""
    broken = CertificateAuthority.objects.create(name="Broken", bundle="gone")
    map_to(alice, "subject", "CN=alice", authority=broken)
    map_to(bob, "san_email", "alice@example.com", authority=authority)
    assert decide(alice_cert).reason == "trust_unavailable"


def test_a_name_of_another_authority_is_another_name(
    alice: Any, bob: Any, alice_cert: Any, authority: Any, other_ca: Any
) -> None:
    """The same subject under two authorities is two people."""
    other = CertificateAuthority.objects.create(name="Other", bundle=other_ca.pem)
    map_to(bob, "subject", "CN=alice", authority=other)
    map_to(alice, "subject", "CN=alice", authority=authority)
    assert decide(alice_cert).user == alice
    assert decide(other_ca.issue("alice")).user == bob


@pytest.mark.parametrize(
    "kind", [k for k in KINDS if k not in ("fingerprint", "public_key")]
)
def test_n45_a_name_needs_an_authority(kind: str, alice: Any, alice_cert: Any) -> None:
    """full_clean() says so; a row that got in anyway opens nothing."""
    mapping = CertificateMapping(user=alice, kind=kind, value=KINDS[kind](alice_cert))
    with pytest.raises(ValidationError) as caught:
        mapping.full_clean()
    assert "authority" in caught.value.message_dict
    mapping.save()
    assert decide(alice_cert).reason == "untrusted_issuer"


def test_n46_dates_are_checked_on_every_request(alice: Any, ca: Any) -> None:
    """Both ends count, also for a pin that the proxy lets through."""
    start = dt.datetime(2030, 1, 1, tzinfo=dt.timezone.utc)
    end = start + dt.timedelta(days=1)
    certificate = ca.issue("x", not_before=start, not_after=end)
    map_to(alice, "fingerprint", certificate.fingerprint)
    assert decide(certificate, at=start - SECOND).reason == "not_yet_valid"
    assert decide(certificate, at=start).accepted
    assert decide(certificate, at=end).accepted
    assert decide(certificate, at=end + SECOND).reason == "expired"
    # again, now that everything about it has been seen before
    assert decide(certificate, at=start - SECOND).reason == "not_yet_valid"


@pytest.mark.parametrize("kind", ["fingerprint", "subject"])
def test_n47_another_purpose_is_refused(
    kind: str, alice: Any, ca: Any, authority: Any, verifies: bool
) -> None:
    """A server's certificate does not log in, pinned or not."""
    server = ca.issue("server", eku=[SERVER_AUTH])
    value = server.fingerprint if kind == "fingerprint" else "CN=server"
    map_to(alice, kind, value, authority=authority)
    assert decide(server).reason == "wrong_purpose"


def test_n47_key_usage_must_allow_a_signature(
    alice: Any, ca: Any, authority: Any, verifies: bool
) -> None:
    """A TLS client signs; a key that may only encipher does not."""
    certificate = ca.issue("x", digital_signature=False)
    map_to(alice, "subject", "CN=x", authority=authority)
    assert decide(certificate).reason == "wrong_purpose"


def test_n47_a_ca_is_no_client(
    alice: Any, ca: Any, authority: Any, verifies: bool
) -> None:
    """A CA's certificate under a name is refused; pinned it is a key like others."""
    certificate = ca.issue("x", ca=True)
    map_to(alice, "subject", "CN=x", authority=authority)
    assert decide(certificate).reason == "wrong_purpose"
    map_to(alice, "fingerprint", certificate.fingerprint)
    assert decide(certificate).accepted


def test_n47_no_extended_key_usage_is_a_matter_of_profile(
    alice: Any, ca: Any, authority: Any, verifies: bool
) -> None:
    """Private PKIs leave it out; the strict profile wants it."""
    certificate = ca.issue("x", eku=None, emails=["x@example.com"])
    map_to(alice, "subject", "CN=x", authority=authority)
    assert decide(certificate).accepted
    CertificateAuthority.objects.update(profile="strict")
    assert decide(certificate).reason == "wrong_purpose"


def test_n47_an_unknown_critical_extension_is_refused(
    alice: Any, ca: Any, authority: Any, settings: Any
) -> None:
    """Where the app validates, what it does not know it does not pass."""
    settings.CLIENTCERT_PROXY_VERIFIES = False
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    certificate = ca.issue("x", extensions=[(unknown, True)])
    map_to(alice, "subject", "CN=x", authority=authority)
    assert decide(certificate).reason == "invalid_path"


def test_n48_a_self_signed_certificate_only_as_a_pin(
    alice: Any, authority: Any, verifies: bool
) -> None:
    """Anybody can write Alice's name into one."""
    imitation = self_signed("alice")
    map_to(alice, "subject", "CN=alice", authority=authority)
    assert decide(imitation).reason == "untrusted_issuer"
    map_to(alice, "fingerprint", imitation.fingerprint)
    assert decide(imitation).accepted


def test_n30_a_second_certificate_is_never_the_identity(
    alice: Any, alice_cert: Any, mallory_cert: Any, mapping: Any
) -> None:
    """Two blocks in one header are refused, in either order."""
    for first, second in ((mallory_cert, alice_cert), (alice_cert, mallory_cert)):
        value = encode_escaped_pem(first.der) + encode_escaped_pem(second.der)
        presented = Presented(
            conf.CLIENTCERT_PROXY, value=value, verdict="SUCCESS", peer="10.1.2.3"
        )
        assert evaluate(presented, host="").reason == "malformed_header"


def test_intermediates_come_from_the_bundle(
    alice: Any, ca: Any, verifies: bool
) -> None:
    """nginx forwards the leaf alone; what is missing is said."""
    issuing = ca.issue_ca("Issuing CA")
    certificate = issuing.issue("deep")
    authority = CertificateAuthority.objects.create(name="PKI", bundle=ca.pem)
    map_to(alice, "subject", "CN=deep", authority=authority)
    assert decide(certificate).reason == "untrusted_issuer"
    authority.bundle = ca.pem + issuing.pem
    authority.save()
    assert decide(certificate).user == alice


def test_the_authority_is_looked_at_again_when_it_changes(
    alice: Any, alice_cert: Any, authority: Any, other_ca: Any, verifies: bool
) -> None:
    """A remembered path does not outlive its bundle."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    assert decide(alice_cert).accepted
    authority.bundle = other_ca.pem
    authority.save()
    assert decide(alice_cert).reason == "untrusted_issuer"


@pytest.mark.parametrize("bundle", ["", "gone", "-----BEGIN CERTIFICATE-----\nMII"])
def test_n56_missing_trust_denies(
    alice: Any, alice_cert: Any, authority: Any, bundle: str, verifies: bool
) -> None:
    """An anchor that cannot be loaded is no anchor, and never any."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    CertificateAuthority.objects.update(bundle=bundle)
    assert decide(alice_cert).reason == "trust_unavailable"


def test_n55_nothing_in_a_certificate_opens_a_socket(
    alice: Any,
    ca: Any,
    authority: Any,
    verifies: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Addresses of issuers, lists and responders are text, and nothing else."""
    import socket

    def connect(*args: Any) -> None:
        raise AssertionError("a socket was opened")

    access = x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(method, x509.UniformResourceIdentifier(url))
            for method, url in (
                (x509.AuthorityInformationAccessOID.OCSP, "http://127.0.0.1:1/ocsp"),
                (x509.AuthorityInformationAccessOID.CA_ISSUERS, "ldap://127.0.0.1/ca"),
            )
        ]
    )
    points = x509.CRLDistributionPoints(
        [
            x509.DistributionPoint(
                [x509.UniformResourceIdentifier("http://127.0.0.1:1/list.crl")],
                None,
                None,
                None,
            )
        ]
    )
    certificate = ca.issue("x", extensions=[(access, False), (points, False)])
    map_to(alice, "subject", "CN=x", authority=authority)
    if connection.vendor == "sqlite":  # other databases are at the end of one
        monkeypatch.setattr(socket.socket, "connect", connect)
    assert decide(certificate).user == alice


@pytest.mark.django_db(transaction=True)
def test_n56_a_database_that_fails_denies(
    ask: Any, alice_cert: Any, mapping: Any
) -> None:
    """The table is gone: a decision, not an error."""
    with dropped(SeenCertificate, CertificateMapping):
        answer = ask("/open/", alice_cert.der)
        assert answer.json()["reason"] == "trust_unavailable"
        assert ask("/ledger/", alice_cert.der).status_code == 503


def test_n59_a_mapping_may_be_for_some_hosts(
    alice: Any, alice_cert: Any, authority: Any
) -> None:
    """Elsewhere it opens nothing."""
    map_to(
        alice,
        "fingerprint",
        alice_cert.fingerprint,
        hosts="admin.example.com\n.api.example.com",
    )
    assert decide(alice_cert, host="admin.example.com").accepted
    assert decide(alice_cert, host="v1.api.example.com").accepted
    for host in ("public.example.com", "xadmin.example.com", ""):
        assert decide(alice_cert, host=host).reason == "host_not_covered"


def test_a_row_of_another_kind_is_not_believed(
    alice: Any, alice_cert: Any, authority: Any
) -> None:
    """A fingerprint that happens to be a name's key is still a fingerprint."""
    from django_clientcert.x509.identities import IdentityKind, parse_identity

    key = parse_identity(IdentityKind.SUBJECT, "CN=alice").key
    map_to(alice, "fingerprint", key.hex())
    assert decide(alice_cert).reason == "unmapped"


def test_a_name_under_constraints_is_held_to_them(alice: Any, settings: Any) -> None:
    """A CA held to one organisation cannot name anybody else in the subject."""
    settings.CLIENTCERT_PROXY_VERIFIES = False
    base = x509.DirectoryName(make_name(None, organization="Partner"))
    root = ThrowawayCA.create("Root")
    limited = root.issue_ca(
        "Partner CA",
        extensions=[(x509.NameConstraints([base], None), False)],
    )
    authority = CertificateAuthority.objects.create(
        name="Root", bundle=root.pem + limited.pem
    )
    inside = limited.issue(subject=make_name("x", organization="PARTNER"))
    outside = limited.issue(subject=make_name("x", organization="Bank"))
    map_to(alice, "subject", "CN=x,O=Partner", authority=authority)
    map_to(alice, "subject", "CN=x,O=Bank", authority=authority)
    assert decide(inside).accepted
    assert decide(outside).reason == "invalid_path"


def test_d02_an_unreadable_certificate_of_the_bundle_locks_nobody_out(
    alice: Any, authority: CertificateAuthority, alice_cert: IssuedCertificate
) -> None:
    """As after an update of the library: users of the other CAs come in."""
    block = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    CertificateAuthority.objects.update(bundle=block + authority.bundle)
    map_to(alice, "subject", "CN=alice", authority=authority)
    decision = decide(alice_cert)
    assert (decision.user, decision.detail) == (alice, "")
