"""The rule of an authority: whom it lets in, and whom never (THREATS N34-N45)."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import DatabaseError, IntegrityError, connection, transaction

from django_clientcert.backends import ClientCertBackend
from django_clientcert.evaluation import rules as rules_of_evaluation
from django_clientcert.evaluation.decisions import REFUSED
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    SeenCertificate,
)
from django_clientcert.models.rules import is_unique_user_field, user_fields
from django_clientcert.testing import (
    SERVER_AUTH,
    IssuedCertificate,
    ThrowawayCA,
    make_name,
    self_signed,
)
from tests import der_writer as w
from tests.conftest import Wsgi
from tests.deciding import decide, map_to
from tests.queries import Access, captured

pytestmark = pytest.mark.django_db

_SEEN = SeenCertificate._meta.db_table

# Policies and usages with a meaning elsewhere
POLICY, OTHER_POLICY = "2.16.840.1.101.2.1.11.42", "2.16.840.1.101.2.1.11.9"
SMART_CARD_LOGON = "1.3.6.1.4.1.311.20.2.2"


def set_rule(authority: CertificateAuthority, **fields: Any) -> CertificateAuthority:
    """Give *authority* a rule, as a form would: checked."""
    for name, value in {"identity": "common_name", **fields}.items():
        setattr(authority, f"rule_{name}", value)
    authority.full_clean()
    authority.save()
    return authority


@pytest.fixture
def rule(authority: CertificateAuthority) -> CertificateAuthority:
    """The authority, with the rule: the common name is the user's name."""
    return set_rule(authority)


def make_user(name: str, **fields: Any) -> Any:
    """Return a new user, of whatever model."""
    return get_user_model().objects.create_user(name, **fields)


def names(*values: str) -> x509.Name:
    """Return a subject with several common names."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one) for one in values])


# --- whom it lets in -------------------------------------------------------------


def test_the_user_is_the_one_named(
    ask: Wsgi, rule: Any, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """Two queries, however many users there are, and no mapping."""
    with captured() as queries:
        assert ask("/ledger/", alice_cert.der).json()["user"] == "alice"
    assert len([one for one in queries if one.sql.startswith("SELECT")]) <= 3
    with captured() as queries:
        answer = ask("/open/", alice_cert.der).json()
    assert answer["reason"] is None
    assert len(queries) == 2
    assert CertificateMapping.objects.count() == 0


@pytest.mark.parametrize(
    ("identity", "issue", "username"),
    [
        ("common_name", {"common_name": "Dr. Åsa"}, "Dr. Åsa"),
        ("san_email", {"emails": ["Alice@EX.com"]}, "Alice@ex.com"),
        ("san_upn", {"upns": ["alice@CORP.example"]}, "alice@corp.example"),
        ("san_uri", {"uris": ["spiffe://x/alice"]}, "spiffe://x/alice"),
        ("san_dns", {"dns": ["Host.example.COM"]}, "host.example.com"),
        (
            "subject_serial_number",
            {"subject": make_name("alice", serial_number="DE-77")},
            "DE-77",
        ),
        ("edipi", {"common_name": "DOE.JOHN.A.1234567890"}, "1234567890"),
    ],
)
def test_every_identity_can_name_the_user(
    ask: Wsgi,
    authority: Any,
    ca: ThrowawayCA,
    identity: str,
    issue: dict[str, Any],
    username: str,
) -> None:
    """As it stands in the certificate; hosts without regard to case."""
    user = get_user_model()(username=username)
    user.save()
    set_rule(authority, identity=identity)
    answer = ask("/ledger/", ca.issue(**issue).der)
    assert answer.json()["user"] == username


def test_a_view_may_ask_for_the_rule_s_authority(
    ask: Wsgi, rule: Any, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """By its name, as for a mapping."""
    assert ask("/partner/", alice_cert.der).status_code == 403
    CertificateAuthority.objects.update(name="Partners")
    assert ask("/partner/", alice_cert.der).status_code == 200


def test_a_pattern_takes_a_part(authority: Any, alice: Any, ca: ThrowawayCA) -> None:
    """And a certificate that does not match is nobody's."""
    set_rule(authority, identity="san_email", pattern="*@example.com")
    assert decide(ca.issue("x", emails=["alice@example.com"])).user == alice
    for other in ("alice@example.org", "xalice@example.com", "@example.com"):
        decision = decide(ca.issue("x", emails=[other]))
        assert decision.reason == "unmapped", other


def test_another_field_than_the_name(authority: Any, alice: Any, ca: Any) -> None:
    """Such as the e-mail address; two users with one are as ambiguous as two names."""
    set_rule(authority, identity="san_email", user_field="email")
    certificate = ca.issue("x", emails=["alice@example.com"])
    assert decide(certificate).user == alice
    make_user("second", email="alice@example.com")
    assert decide(certificate).reason == "ambiguous_mapping"


def test_a_mapping_is_better_than_the_rule(
    rule: Any, alice: Any, bob: Any, alice_cert: IssuedCertificate
) -> None:
    """A row names the user: the rule is not asked, nor the table of users."""
    mapping = map_to(bob, "fingerprint", alice_cert.fingerprint)
    with captured() as queries:
        decision = decide(alice_cert)
    assert (decision.user, decision.mapping) == (bob, mapping)
    assert decision.rule_authority is None
    assert len(queries) == 1


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"state": "disabled"}, "mapping_disabled"),
        ({"hosts": "other.example.com"}, "host_not_covered"),
        (
            {"valid_until": dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)},
            "mapping_expired",
        ),
        (
            {
                "state": "scheduled",
                "valid_from": dt.datetime(2100, 1, 1, tzinfo=dt.timezone.utc),
            },
            "mapping_not_yet_valid",
        ),
    ],
)
def test_n44_a_mapping_that_refuses_is_not_overtaken_by_the_rule(
    ask: Wsgi,
    rule: Any,
    alice: Any,
    alice_cert: IssuedCertificate,
    fields: dict[str, Any],
    reason: str,
) -> None:
    """To disable a mapping of one certificate is to lock it out."""
    map_to(alice, "fingerprint", alice_cert.fingerprint, **fields)
    assert ask("/open/", alice_cert.der).json()["reason"] == reason


def test_a_mapping_of_another_authority_does_not_match(
    rule: Any, alice: Any, bob: Any, other_ca: ThrowawayCA, alice_cert: Any
) -> None:
    """So the rule of the authority that did issue the certificate decides."""
    other = CertificateAuthority.objects.create(name="Other", bundle=other_ca.pem)
    map_to(bob, "subject", "CN=alice", authority=other)
    assert decide(alice_cert).user == alice


# --- exactly one value, to the letter ----------------------------------------------


def test_n34_a_name_inside_another_is_not_that_name(
    rule: Any, alice: Any, ca: ThrowawayCA
) -> None:
    """No text of a distinguished name is taken apart."""
    for subject in (
        make_name("bob", organizational_unit="CN=alice,"),
        make_name("bob,CN=alice"),
        make_name('alice", CN="x'),
    ):
        assert decide(ca.issue(subject=subject)).reason == "unmapped"


def test_n35_two_values_are_nobody(
    ask: Wsgi, authority: Any, alice: Any, ca: ThrowawayCA
) -> None:
    """Of each identity; which one of them counts is not guessed."""
    for identity, issue in (
        ("common_name", {"subject": names("alice", "bob")}),
        ("san_email", {"emails": ["alice@example.com", "bob@example.com"]}),
        ("san_upn", {"upns": ["alice@x", "bob@x"]}),
        ("san_uri", {"uris": ["spiffe://x/alice", "spiffe://x/bob"]}),
        ("san_dns", {"dns": ["alice.example.com", "bob.example.com"]}),
        (
            "edipi",
            {"common_name": "A.B.1234567890", "upns": ["1234567891@mil"]},
        ),
    ):
        set_rule(authority, identity=identity)
        answer = ask("/open/", ca.issue(**issue).der)  # type: ignore[arg-type]
        assert answer.json()["reason"] == "ambiguous_mapping", identity


@pytest.mark.parametrize(
    "impostor",
    [
        "Alice",
        "ALICE",
        "alice ",
        " alice",
        "álice",
        "al\u200bice",
        "al\u00adice",
        "аlice",
        "ａｌｉｃｅ",
        "alice2",
        "xalice",
        "*",
        "%",
        "a_ice",
    ],
)
def test_n37_names_that_look_alike_are_not_the_user(
    rule: Any, alice: Any, ca: ThrowawayCA, impostor: str
) -> None:
    """However the database compares: MariaDB's collation folds some of these."""
    decision = decide(ca.issue(impostor))
    assert decision.user is None
    assert decision.reason == "unmapped"


def test_n37_sharp_s_is_not_two(rule: Any, ca: ThrowawayCA) -> None:
    """Neither way."""
    make_user("Strasse")
    assert decide(ca.issue("Straße")).user is None
    assert decide(ca.issue("strasse")).user is None


@pytest.mark.parametrize("name", ["alice\n", "alice\0", "al\u202eice", "\u2066alice"])
def test_n29_control_characters_name_nobody(
    ask: Wsgi, rule: Any, alice: Any, ca: ThrowawayCA, name: str
) -> None:
    """Refused before any query for a user."""
    der = w.certificate(ca, subject=w.common_name(name))
    with captured() as queries:
        answer = ask("/open/", der)
    assert answer.json()["reason"] in {"malformed_certificate", "invalid_path"}
    assert len(queries) == 1


def test_n38_a_pattern_is_anchored_and_literal(
    authority: Any, alice: Any, ca: ThrowawayCA
) -> None:
    """No regular expression, one group, one part of a name."""
    set_rule(authority, identity="san_uri", pattern="spiffe://corp.example/*")
    assert decide(ca.issue("x", uris=["spiffe://corp.example/alice"])).user == alice
    for uri in (
        "spiffe://corp.example/x/alice",
        "spiffe://corpxexample/alice",
        "spiffe://corp.example.evil/alice",
        "xspiffe://corp.example/alice",
        "SPIFFE://corp.example/alice",
        "spiffe://corp.example/",
    ):
        assert decide(ca.issue("x", uris=[uri])).reason == "unmapped", uri


def test_n39_a_upn_is_one_type_of_name(authority: Any, alice: Any, ca: Any) -> None:
    """The same text under another type names nobody."""
    set_rule(authority, identity="san_upn", pattern="*@corp.example")
    assert decide(ca.issue("x", upns=["alice@corp.example"])).user == alice
    other = x509.OtherName(
        x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x12alice@corp.example"
    )
    extension = (x509.SubjectAlternativeName([other]), False)
    assert decide(ca.issue("x", extensions=[extension])).user is None


def test_n40_only_the_host_of_an_address_is_folded(
    authority: Any, ca: ThrowawayCA
) -> None:
    """RFC 5280, 7.5."""
    user = make_user("x", email="Alice@ex.com")
    set_rule(authority, identity="san_email", user_field="email")
    assert decide(ca.issue("x", emails=["Alice@EX.COM"])).user == user
    assert decide(ca.issue("x", emails=["alice@ex.com"])).user is None


@pytest.mark.parametrize("name", ["*)(uid=*", "%s", "{0}", "' OR 1=1 --", "a" * 10_000])
def test_n42_injection_names_nobody(
    ask: Wsgi, rule: Any, alice: Any, ca: ThrowawayCA, name: str
) -> None:
    """One query with a parameter."""
    der = w.certificate(ca, subject=w.common_name(name))
    with captured() as queries:
        answer = ask("/open/", der)
    assert answer.json()["reason"] == "unmapped"
    assert len(queries) == 2
    with captured() as others:
        ask("/open/", ca.issue("bob").der)
    assert [one.sql for one in queries] == [one.sql for one in others]


# --- constraints -----------------------------------------------------------------


def test_a_rule_may_be_for_some_hosts(
    ask: Wsgi, authority: Any, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """N59, for rules: elsewhere it opens nothing."""
    set_rule(authority, hosts="api.example.com .corp.example.com")
    assert authority.rule_hosts == "api.example.com\n.corp.example.com"
    for host, reason in (
        ("api.example.com", None),
        ("a.corp.example.com", None),
        ("testserver", "host_not_covered"),
        ("xapi.example.com", "host_not_covered"),
    ):
        answer = ask("/open/", alice_cert.der, host=host)
        assert answer.json()["reason"] == reason, host


def test_a_rule_may_ask_for_policies_and_usages(
    authority: Any, alice: Any, ca: ThrowawayCA
) -> None:
    """One of the policies, and all of the usages."""
    set_rule(
        authority,
        policies=f"{POLICY}, {OTHER_POLICY}",
        extended_key_usages=SMART_CARD_LOGON,
    )

    def issue(policies: list[str], usages: list[str]) -> IssuedCertificate:
        information = [
            x509.PolicyInformation(x509.ObjectIdentifier(one), None) for one in policies
        ]
        extensions = [(x509.CertificatePolicies(information), False)]
        eku = [x509.ObjectIdentifier(one) for one in ("1.3.6.1.5.5.7.3.2", *usages)]
        return ca.issue("alice", eku=eku, extensions=extensions if policies else [])

    assert decide(issue([POLICY], [SMART_CARD_LOGON])).user == alice
    assert decide(issue([OTHER_POLICY], [SMART_CARD_LOGON])).user == alice
    for certificate in (
        issue([], [SMART_CARD_LOGON]),
        issue(["1.2.3"], [SMART_CARD_LOGON]),
        issue([POLICY], []),
    ):
        assert decide(certificate).reason == "unmapped"


def test_what_the_verifier_refuses_no_rule_lets_in(
    ask: Wsgi, rule: Any, alice: Any, ca: ThrowawayCA, other_ca: ThrowawayCA
) -> None:
    """A stranger's CA of the same name, an expired and a server's certificate."""
    past = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)
    for certificate, reason in (
        (other_ca.issue("alice"), "untrusted_issuer"),
        (self_signed("alice"), "unmapped"),
        (ca.issue("alice", eku=[SERVER_AUTH]), "wrong_purpose"),
        (ca.issue("alice", ca=True), "wrong_purpose"),
        (
            ca.issue("alice", not_before=past, not_after=past + dt.timedelta(1)),
            "expired",
        ),
    ):
        answer = ask("/open/", certificate.der)
        assert answer.json()["reason"] == reason
        assert ask("/ledger/", certificate.der).status_code == 403


def test_the_path_is_validated_where_the_proxy_did_not(
    rule: Any, alice: Any, ca: ThrowawayCA, settings: Any
) -> None:
    """An RSA key of 1024 bits is the proxy's affair, or else refused here."""
    weak = ca.issue("alice", key=rsa.generate_private_key(65537, 1024))  # noqa: S505
    settings.CLIENTCERT_PROXY_VERIFIES = False
    assert decide(weak).reason == "invalid_path"
    assert decide(ca.issue("alice")).user == alice


# --- users who may not -------------------------------------------------------------


def test_a_rule_is_under_the_authority_s_policy(
    ask: Wsgi, rule: Any, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """Without a current list, nobody comes in by it where one is required."""
    CertificateAuthority.objects.update(revocation_policy="required")
    assert ask("/open/", alice_cert.der).json()["reason"] == "revocation_unknown"


def test_an_inactive_user_stays_out(
    ask: Wsgi, rule: Any, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """On the next request."""
    alice.is_active = False
    alice.save()
    assert ask("/open/", alice_cert.der).json()["reason"] == "inactive_user"


@pytest.mark.parametrize("right", ["is_staff", "is_superuser"])
def test_the_privileged_need_a_word_of_the_rule(
    ask: Wsgi, rule: Any, alice: Any, alice_cert: IssuedCertificate, right: str
) -> None:
    """Whoever runs the CA could else make the administrator's certificate."""
    setattr(alice, right, True)
    alice.save()
    answer = ask("/open/", alice_cert.der)
    assert answer.json()["reason"] == "unmapped"
    set_rule(rule, allows_privileged=True)
    assert ask("/ledger/", alice_cert.der).json()["user"] == "alice"
    # A mapping is a word, too.
    set_rule(rule, allows_privileged=False)
    map_to(alice, "fingerprint", alice_cert.fingerprint)
    assert ask("/ledger/", alice_cert.der).json()["user"] == "alice"


# --- users who are made ------------------------------------------------------------


def test_missing_users_are_made_where_the_rule_says_so(
    ask: Wsgi, rule: Any, ca: ThrowawayCA
) -> None:
    """On the first request; with groups, without a password or any privilege."""
    User = get_user_model()
    certificate = ca.issue("carol")
    assert ask("/open/", certificate.der).json()["reason"] == "unmapped"
    assert not User.objects.filter(username="carol").exists()
    group = Group.objects.create(name="card holders")
    set_rule(rule, creates_users=True)
    rule.rule_groups.add(group)
    # Asking what would happen makes nobody.
    decision = decide(certificate)
    assert decision.accepted
    assert decision.creates_user
    assert decision.user is not None
    assert decision.user.pk is None or not User.objects.filter(username="carol")
    assert not User.objects.filter(username="carol").exists()
    assert ask("/ledger/", certificate.der).json()["user"] == "carol"
    user = User.objects.get(username="carol")
    assert not user.has_usable_password()
    assert (user.is_staff, user.is_superuser, user.is_active) == (False, False, True)
    assert list(user.groups.all()) == [group]
    assert ask("/ledger/", certificate.der).json()["user"] == "carol"
    assert User.objects.filter(username="carol").count() == 1
    decision = decide(certificate)
    assert (decision.user, decision.creates_user) == (user, False)
    assert (decision.mapping, decision.rule_authority) == (None, rule)


def test_the_address_of_a_new_user_is_the_certificate_s(
    ask: Wsgi, authority: Any, ca: ThrowawayCA
) -> None:
    """Where the rule is about the whole of it."""
    set_rule(authority, identity="san_email", creates_users=True)
    certificate = ca.issue("x", emails=["carol@EXAMPLE.com"])
    assert ask("/ledger/", certificate.der).json()["user"] == "carol@example.com"
    user = get_user_model().objects.get(username="carol@example.com")
    assert user.email == "carol@example.com"


@pytest.mark.parametrize(
    "name",
    ["with space", "spiffe://x/y", "a" * 151, "ｃａｒｏｌ", "ﬁsh"],
)
def test_whom_the_user_model_does_not_take_is_not_made(
    ask: Wsgi, rule: Any, ca: ThrowawayCA, name: str
) -> None:
    """A name that is invalid, too long, or would become another one (NFKC)."""
    set_rule(rule, creates_users=True)
    der = w.certificate(ca, subject=w.common_name(name))
    before = get_user_model().objects.count()
    for _attempt in range(2):
        answer = ask("/open/", der)
        assert answer.json()["reason"] == "unmapped"
    assert get_user_model().objects.count() == before
    decision = decide(der)
    assert "cannot be created" in decision.detail


def test_an_existing_privileged_user_is_not_taken_over(
    ask: Wsgi, rule: Any, ca: ThrowawayCA
) -> None:
    """Not under a rule that makes users, either."""
    make_user("root", is_superuser=True)
    set_rule(rule, creates_users=True)
    assert ask("/open/", ca.issue("root").der).json()["reason"] == "unmapped"


def test_of_two_requests_at_once_one_makes_the_user(
    rule: Any, ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one finds it, and its transaction goes on."""
    set_rule(rule, creates_users=True)
    User = get_user_model()
    original = rules_of_evaluation.new_user

    def slow(claim: Any) -> Any:
        user = original(claim)
        if not User.objects.filter(username="carol").exists():
            make_user("carol")
        return user

    monkeypatch.setattr(rules_of_evaluation, "new_user", slow)
    decision = decide(ca.issue("carol"), create_users=True)
    assert decision.accepted
    assert decision.user == User.objects.get(username="carol")


def test_a_privileged_user_who_is_faster_is_not_taken_over(
    rule: Any, ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the query and the creation."""
    set_rule(rule, creates_users=True)
    original = rules_of_evaluation.new_user

    def slow(claim: Any) -> Any:
        make_user("carol", is_staff=True)
        return original(claim)

    monkeypatch.setattr(rules_of_evaluation, "new_user", slow)
    decision = decide(ca.issue("carol"), create_users=True)
    assert decision.reason == "unmapped"


def test_a_user_model_that_wants_more_than_a_name(
    ask: Wsgi, rule: Any, ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database refuses: a decision, and the transaction goes on."""
    set_rule(rule, creates_users=True)

    def save(self: Any, **kwargs: Any) -> None:
        raise IntegrityError("a column may not be null")

    monkeypatch.setattr(get_user_model(), "save", save)
    with transaction.atomic():
        answer = ask("/open/", ca.issue("carol").der)
        assert answer.json()["reason"] == "unmapped"
        assert CertificateAuthority.objects.count() == 1


def test_a_user_model_without_groups(
    rule: Any, ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to put the user into then."""
    set_rule(rule, creates_users=True)
    User = get_user_model()
    owner = next(one for one in User.__mro__ if "groups" in vars(one))
    monkeypatch.delattr(owner, "groups")
    decision = decide(ca.issue("carol"), create_users=True)
    assert decision.accepted
    assert decision.user == User.objects.get(username="carol")


def test_a_user_model_that_makes_everybody_staff(
    rule: Any, ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is made then."""
    set_rule(rule, creates_users=True)
    User = get_user_model()

    def clean(self: Any) -> None:
        self.is_staff = True

    monkeypatch.setattr(User, "clean", clean)
    decision = decide(ca.issue("carol"), create_users=True)
    assert decision.reason == "unmapped"
    assert not User.objects.filter(username="carol").exists()


def test_whoever_may_not_log_in_is_not_let_in_when_made(
    ask: Wsgi, rule: Any, ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend of one's own has the last word."""
    set_rule(rule, creates_users=True)
    monkeypatch.setattr(
        ClientCertBackend, "user_can_authenticate", lambda self, user: False
    )
    assert ask("/open/", ca.issue("carol").der).json()["reason"] == "inactive_user"


@pytest.mark.parametrize("failing", ["find_users", "create_user"])
def test_a_database_that_fails_denies(
    ask: Wsgi,
    rule: Any,
    ca: ThrowawayCA,
    monkeypatch: pytest.MonkeyPatch,
    failing: str,
) -> None:
    """At the second query, or where the user is made."""
    set_rule(rule, creates_users=True)

    def fail(*args: Any) -> Any:
        raise DatabaseError("gone")

    monkeypatch.setattr(f"django_clientcert.evaluation.run.{failing}", fail)
    answer = ask("/open/", ca.issue("carol").der)
    assert answer.json()["reason"] == "trust_unavailable"


@pytest.mark.django_db(transaction=True)
def test_a_user_who_is_deleted_meanwhile_is_no_error(
    ask: Wsgi,
    rule: Any,
    alice: Any,
    alice_cert: IssuedCertificate,
) -> None:
    """Found, then gone: the request is answered, and nothing is written of it."""
    deleted = False

    def delete_first(
        execute: Any, sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        nonlocal deleted
        if not deleted and sql.startswith("UPDATE") and _SEEN in sql:
            deleted = True
            get_user_model().objects.filter(pk=alice.pk).delete()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(delete_first):
        assert ask("/ledger/", alice_cert.der).status_code == 200
    assert deleted
    assert not SeenCertificate.objects.exists()
    assert ask("/open/", alice_cert.der).json()["reason"] == "unmapped"


@pytest.mark.skipif(connection.vendor != "sqlite", reason="how SQLite is read-only")
@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_read_only_makes_nobody(
    ask: Wsgi, rule: Any, ca: ThrowawayCA
) -> None:
    """A decision, and whoever is there already still comes in."""
    set_rule(rule, creates_users=True)
    make_user("alice")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")
    try:
        answer = ask("/open/", ca.issue("carol").der)
        assert answer.json()["reason"] == "trust_unavailable"
        assert ask("/ledger/", ca.issue("alice").der).json()["user"] == "alice"
    finally:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA query_only = OFF")
    assert not get_user_model().objects.filter(username="carol").exists()


# --- several authorities -----------------------------------------------------------


def second_authority(ca: ThrowawayCA, **fields: Any) -> CertificateAuthority:
    """Return the same CA, stored again, with a rule of its own."""
    authority = CertificateAuthority.objects.create(name="Again", bundle=ca.pem)
    return set_rule(authority, **fields)


def test_two_rules_that_agree_are_one(
    rule: Any, alice: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """The same CA stored twice: by name and by address, the same user."""
    second_authority(ca, identity="san_email", user_field="email")
    with captured() as queries:
        assert decide(alice_cert).user == alice
    assert len(queries) == 2


def test_a_ca_that_is_in_the_bundle_twice_is_one_authority(
    rule: Any, alice: Any, ca: ThrowawayCA, other_ca: ThrowawayCA, alice_cert: Any
) -> None:
    """Under one name, with the old key and the new one: one rule, not two."""
    rule.bundle = ca.pem + other_ca.pem
    rule.save()
    decision = decide(alice_cert)
    assert decision.user == alice
    assert decision.steps[-1].detail == f"user {alice.pk}"
    assert decide(other_ca.issue("alice")).user == alice


def test_n43_two_rules_that_disagree_are_nobody(
    rule: Any, alice: Any, bob: Any, ca: ThrowawayCA
) -> None:
    """Two users, or a user and nobody."""
    second_authority(ca, identity="san_email", user_field="email")
    for email in ("bob@example.com", "nobody@example.com"):
        decision = decide(ca.issue("alice", emails=[email]))
        assert decision.reason == "ambiguous_mapping"
    decision = decide(ca.issue("x", emails=["y@example.com"]))
    assert decision.reason == "ambiguous_mapping"


def test_a_rule_with_nothing_to_say_is_passed_over(
    rule: Any, alice: Any, ca: ThrowawayCA
) -> None:
    """Of two, the one that applies; of none, the first one's reason."""
    second_authority(ca, identity="san_email", hosts="other.example.com")
    assert decide(ca.issue("alice", emails=["x@example.com"])).user == alice
    set_rule(rule, hosts="other.example.com")
    decision = decide(ca.issue("alice", emails=["x@example.com"]))
    assert decision.reason == "host_not_covered"


def test_two_rules_must_both_let_the_privileged_in(
    rule: Any, alice: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """The stricter one counts; the same for making users."""
    again = second_authority(ca, allows_privileged=True, creates_users=True)
    alice.is_staff = True
    alice.save()
    assert decide(alice_cert).reason == "unmapped"
    assert decide(ca.issue("carol"), create_users=True).reason == "unmapped"
    rule.refresh_from_db()
    set_rule(rule, allows_privileged=True, creates_users=True)
    assert decide(alice_cert).user == alice
    assert decide(ca.issue("carol")).creates_user
    assert again.rule() == rule.rule()


# --- what is stored but cannot be used -----------------------------------------------


@pytest.mark.parametrize(
    ("fields", "step"),
    [
        ({"rule_identity": "shoe_size"}, "mapping"),
        ({"rule_pattern": "**"}, "mapping"),
        ({"rule_user_field": "no_such_field"}, "user"),
        ({"rule_user_field": "no__such"}, "user"),
        ({"rule_user_field": "groups__name"}, "user"),
        ({"rule_user_field": "is_staff"}, "user"),
        ({"bundle": "broken"}, "verify"),
    ],
)
def test_n56_a_rule_that_cannot_be_used_denies(
    ask: Wsgi,
    rule: Any,
    alice: Any,
    alice_cert: IssuedCertificate,
    fields: dict[str, str],
    step: str,
) -> None:
    """Never a 500, and never another rule than the one that was written."""
    CertificateAuthority.objects.update(**fields)
    answer = ask("/open/", alice_cert.der)
    assert answer.json()["reason"] == "trust_unavailable"
    decision = decide(alice_cert)
    assert [one.name for one in decision.steps if one.outcome == REFUSED] == [step]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"pattern": "*"}, "rule_pattern"),
        ({"pattern": "a*b*c"}, "rule_pattern"),
        ({"pattern": "alice"}, "rule_pattern"),
        ({"user_field": "password"}, "rule_user_field"),
        ({"user_field": "is_superuser"}, "rule_user_field"),
        ({"user_field": "groups"}, "rule_user_field"),
        ({"user_field": "username__startswith"}, "rule_user_field"),
        ({"user_field": "nothing"}, "rule_user_field"),
        ({"hosts": "https://x"}, "rule_hosts"),
        ({"policies": "1.2.x"}, "rule_policies"),
        ({"policies": "3.1"}, "rule_policies"),
        ({"extended_key_usages": "clientAuth"}, "rule_extended_key_usages"),
        ({"identity": "shoe_size"}, "rule_identity"),
    ],
)
def test_n38_a_rule_that_says_too_much_is_refused(
    authority: Any, fields: dict[str, str], error: str
) -> None:
    """Where it is written, with the field that it is about."""
    with pytest.raises(ValidationError) as caught:
        set_rule(authority, **fields)
    assert list(caught.value.error_dict) == [error]


def test_no_rule_is_none(authority: Any) -> None:
    """As most authorities have it."""
    assert authority.rule() is None


def test_the_fields_by_which_users_can_be_found() -> None:
    """Texts, the unique ones first, and never the password."""
    fields = user_fields()
    assert fields[0] == get_user_model().USERNAME_FIELD
    assert "email" in fields
    assert "password" not in fields
    assert is_unique_user_field(fields[0])
    assert not is_unique_user_field("email")
    assert not is_unique_user_field("nothing")


# --- size --------------------------------------------------------------------------


def test_many_users_and_no_mapping(ask: Wsgi, rule: Any, ca: ThrowawayCA) -> None:
    """Two queries by index, and the right one of them."""
    User = get_user_model()
    if User._meta.parents:
        pytest.skip("bulk_create() does not make rows of two tables each")
    # So many that reading them all would be dearer
    User.objects.bulk_create(User(username=f"user{number}") for number in range(5_000))
    if connection.vendor != "mysql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    certificate = ca.issue("user3777")
    assert ask("/ledger/", certificate.der).json()["user"] == "user3777"
    with captured() as queries:
        assert decide(certificate).accepted
    assert len(queries) == 2
    (access,) = queries[1].plan()
    assert isinstance(access, Access)
    assert access.table == User._meta.db_table
    assert access.index is not None


class Replica:
    """A router whose replica cannot be read: no such alias exists."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Return the replica."""
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        """Return the primary."""
        return "default"


def test_a06_decisions_are_not_read_from_a_replica(
    ask: Any, rule: Any, ca: ThrowawayCA, settings: Any
) -> None:
    """A replica that lags would delay a revocation and hide a new user."""
    user = make_user("alice")
    rule.rule_creates_users = True
    rule.save()
    pin, named, new = ca.issue("pin"), ca.issue("alice"), ca.issue("new")
    map_to(user, "fingerprint", pin.fingerprint)
    settings.CLIENTCERT_LAST_USED_INTERVAL = None  # records nothing
    settings.DATABASE_ROUTERS = [Replica()]
    for certificate, name in ((pin, "alice"), (named, "alice"), (new, "new")):
        for _ in range(2):
            answer = ask("/open/", certificate.der).json()
            assert (answer["user"], answer["reason"]) == (name, None)


def test_r10_a_user_who_differs_in_case_only_is_named(
    ask: Wsgi, authority: CertificateAuthority, ca: ThrowawayCA, caplog: Any
) -> None:
    """To whoever asks for the reason, and not to the client; nobody comes in."""
    user = get_user_model().objects.create_user("first", email="first.last@example.com")
    set_rule(authority, identity="san_email", user_field="email")
    certificate = ca.issue("x", emails=["First.Last@Example.com"])
    decision = decide(certificate)
    assert (decision.user, decision.reason) == (None, "unmapped")
    assert decision.detail.endswith(
        "there is no such user; there is first.last@example.com, which differs in "
        "upper and lower case only"
    )
    assert ask("/ledger/", certificate.der).status_code == 403
    assert user.email not in caplog.text
    other = ca.issue("x", emails=["nobody@example.com"])
    assert decide(other).detail.endswith("there is no such user")
