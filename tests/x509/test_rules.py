"""Identity rules: one value, an anchored pattern, nothing guessed."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509

from django_clientcert.exceptions import Refusal
from django_clientcert.testing import ThrowawayCA, make_name
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.rules import (
    PatternError,
    Rule,
    RuleIdentity,
    apply_pattern,
    check_pattern,
    read_identity,
)

CA = ThrowawayCA.create()


def read(identity: str, pattern: str = "", **issue: Any) -> str:
    """Return what a rule reads from a certificate issued with *issue*."""
    rule = Rule(RuleIdentity(identity), "username", pattern)
    return read_identity(rule, ClientCertificate(CA.issue(**issue).der))


def refusal(identity: str, pattern: str = "", **issue: Any) -> str:
    """Return the reason for which it reads nothing."""
    with pytest.raises(Refusal) as caught:
        read(identity, pattern, **issue)
    return str(caught.value.reason)


@pytest.mark.parametrize(
    ("identity", "issue", "value"),
    [
        ("common_name", {"common_name": "alice"}, "alice"),
        ("san_email", {"emails": ["Alice@EX.com"]}, "Alice@ex.com"),
        ("san_upn", {"upns": ["alice@CORP.example"]}, "alice@corp.example"),
        ("san_uri", {"uris": ["spiffe://x/Alice"]}, "spiffe://x/Alice"),
        ("san_dns", {"dns": ["Host.EXAMPLE.com"]}, "host.example.com"),
        (
            "subject_serial_number",
            {"subject": make_name("alice", serial_number="DE-77")},
            "DE-77",
        ),
        ("edipi", {"common_name": "DOE.JOHN.A.1234567890"}, "1234567890"),
        ("edipi", {"upns": ["1234567890@mil"]}, "1234567890"),
        ("edipi", {"upns": ["1234567890117001@MIL"]}, "1234567890"),
        (
            "edipi",
            {"common_name": "DOE.JOHN.1234567890", "upns": ["1234567890@mil"]},
            "1234567890",
        ),
    ],
)
def test_each_identity_is_read(identity: str, issue: Any, value: str) -> None:
    """One value of each kind."""
    assert read(identity, **issue) == value


@pytest.mark.parametrize(
    ("identity", "issue"),
    [
        (
            "common_name",
            {
                "subject": x509.Name(
                    [
                        x509.NameAttribute(x509.NameOID.COMMON_NAME, "alice"),
                        x509.NameAttribute(x509.NameOID.COMMON_NAME, "bob"),
                    ]
                )
            },
        ),
        ("san_email", {"emails": ["a@x.com", "b@x.com"]}),
        ("san_upn", {"upns": ["a@x", "b@x"]}),
        ("edipi", {"common_name": "D.J.1234567890", "upns": ["9999999999@mil"]}),
    ],
)
def test_n35_several_values_are_refused(identity: str, issue: Any) -> None:
    """Nobody chooses among them."""
    assert refusal(identity, **issue) == "ambiguous_mapping"


@pytest.mark.parametrize("identity", [one.value for one in RuleIdentity])
def test_no_value_is_unmapped(identity: str) -> None:
    """A certificate without that identity is nobody."""
    issue = {"common_name": None, "ips": ["10.0.0.1"]}
    assert refusal(identity, **issue) == "unmapped"


@pytest.mark.parametrize("common_name", ["a\nb", "a\x00", "\u202eb", "a\x85"])
def test_n28_controls_are_refused(common_name: str) -> None:
    """A value with a control character is not looked up."""
    assert refusal("common_name", common_name=common_name) == "malformed_certificate"


def test_a18_a_dotless_i_does_not_belong_to_mil() -> None:
    """Unicode's case folding makes an i of it."""
    upns = ["1234567890@m\u0131l"]
    assert refusal("edipi", common_name="x", upns=upns) == "unmapped"


def test_n39_an_edipi_is_only_read_where_it_belongs() -> None:
    """Other numbers are not DoD ID numbers."""
    for issue in (
        {"common_name": "1234567890"},
        {"common_name": "DOE.JOHN.12345678901"},
        {"common_name": "DOE.JOHN.123456789"},
        {"common_name": "x", "upns": ["1234567890@mil.evil.com"]},
        {"common_name": "x", "upns": ["12345678901@mil"]},
        {"common_name": "x", "upns": ["x1234567890@mil"]},
    ):
        assert refusal("edipi", **issue) == "unmapped", issue


@pytest.mark.parametrize(
    ("pattern", "identity", "value", "taken"),
    [
        ("", "common_name", "alice", "alice"),
        ("*@corp.example", "san_upn", "alice@corp.example", "alice"),
        ("*@CORP.example", "san_upn", "alice@corp.example", "alice"),
        ("*@corp.example", "san_upn", "alice@corp.example.evil", None),
        ("*@corp.example", "san_upn", "alice@xcorp.example", None),
        ("*@corp.example", "san_upn", "a@b@corp.example", None),
        ("*@corp.example", "san_upn", "@corp.example", None),
        ("spiffe://x/user/*", "san_uri", "spiffe://x/user/alice", "alice"),
        ("spiffe://x/user/*", "san_uri", "spiffe://x/user/alice/admin", None),
        ("spiffe://x/user/*", "san_uri", "SPIFFE://x/user/alice", None),
        ("spiffe://x/*/prod", "san_uri", "spiffe://x/alice/prod", "alice"),
        ("spiffe://x/*/prod", "san_uri", "spiffe://x/a/b/prod", None),
        ("*.corp.example", "san_dns", "host.corp.example", "host"),
        ("*.CORP.example", "san_dns", "host.corp.example", "host"),
        ("*.corp.example", "san_dns", "evil.host.corp.example", None),
        ("*.corp", "san_dns", "evil.corp.attacker", None),
        ("alice*", "common_name", "alice", None),
        ("ab*ba", "common_name", "aba", None),
        ("x.*", "common_name", "x.a.b", "a.b"),
        ("x*", "common_name", "x(a+)+$", "(a+)+$"),
    ],
)
def test_n38_a_pattern_is_anchored_and_literal(
    pattern: str, identity: str, value: str, taken: str | None
) -> None:
    """One part of a name at one place; nothing else is special."""
    assert apply_pattern(pattern, value, RuleIdentity(identity)) == taken


@pytest.mark.parametrize(
    ("pattern", "code"),
    [
        ("*", "only_group"),
        ("a", "one_group"),
        ("**", "one_group"),
        ("*@*", "one_group"),
        ("a\n*", "control_character"),
    ],
)
def test_n38_a_pattern_that_says_too_little_is_refused(pattern: str, code: str) -> None:
    """When it is saved, not when it authenticates somebody."""
    with pytest.raises(PatternError) as error:
        check_pattern(pattern)
    assert error.value.code == code


def test_patterns_that_may_be_used() -> None:
    """Empty, or one group with text around it."""
    for pattern in ("", "*@x", "x*", "x*y"):
        check_pattern(pattern)


def test_a_pattern_that_does_not_match_is_unmapped() -> None:
    """The reason says which value and which pattern."""
    assert refusal("san_upn", "*@corp", upns=["alice@other"]) == "unmapped"


def test_constraints_of_a_rule() -> None:
    """Policies: one of them. Extended key usages: all of them."""
    policy = x509.CertificatePolicies(
        [x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)]
    )
    smart_card = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.2")
    certificate = ClientCertificate(
        CA.issue(
            "alice",
            extensions=[(policy, False)],
            eku=[x509.ExtendedKeyUsageOID.CLIENT_AUTH, smart_card],
        ).der
    )
    usage = smart_card.dotted_string

    def accepted(**constraints: tuple[str, ...]) -> bool:
        rule = Rule(RuleIdentity.COMMON_NAME, "username", **constraints)
        try:
            return read_identity(rule, certificate) == "alice"
        except Refusal:
            return False

    assert accepted(policies=("1.2.3.4", "9.9"))
    assert not accepted(policies=("9.9",))
    assert accepted(extended_key_usages=(usage,))
    assert not accepted(extended_key_usages=(usage, "1.2.3"))
