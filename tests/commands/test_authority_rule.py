"""``clientcert authority set`` and ``authority rule``."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import Group

from django_clientcert.models import CertificateAuthority, RevocationList
from django_clientcert.testing import IssuedCertificate, ThrowawayCA
from django_clientcert.x509.crl.reading import read_crl
from tests.deciding import decide
from tests.private_keys import TEXTS

from .running import CommandResult, clientcert

pytestmark = pytest.mark.django_db

NOW = dt.datetime.now(dt.timezone.utc)


def rule(*arguments: str, name: str = "Test CA") -> CommandResult:
    """Run ``clientcert authority rule``."""
    return clientcert("authority", "rule", name, *arguments)


def test_a_rule_is_set_shown_and_removed(
    authority: Any, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """In a sentence, and it works."""
    assert rule().out == "Test CA: no rule\n"
    outcome = rule("--identity", "san_email", "--pattern", "*@example.com")
    assert outcome.status == 0
    assert outcome.out == (
        "Test CA: the certificate’s e-mail address (SAN) is the user’s username; "
        "if it matches “*@example.com”\n"
    )
    assert outcome.err == ""
    assert decide(alice_cert).user == alice
    assert rule().out == outcome.out
    assert rule("--remove").out == "Test CA: no rule\n"
    assert decide(alice_cert).user is None


def test_everything_can_be_set(authority: Any) -> None:
    """And what is not given again goes back to its default."""
    group = Group.objects.create(name="devices")
    outcome = rule(
        *["--preset", "spiffe", "--pattern", "spiffe://corp.example/*"],
        *["--user-field", "email", "--host", "a.example", "--host", "b.example"],
        *["--policy", "1.2.3", "--extended-key-usage", "1.3.6.1.5.5.7.3.2"],
        *["--create-users", "--group", "devices", "--allow-privileged"],
    )
    assert outcome.status == 0
    for text in (
        "on a.example, b.example",
        "with one of the policies 1.2.3",
        "with the extended key usages 1.3.6.1.5.5.7.3.2",
        "missing users are created",
        "staff and superusers too",
    ):
        assert text in outcome.out
    assert "not unique" in outcome.err
    assert "becomes a user" in outcome.err
    assert "every administrator" in outcome.err
    authority.refresh_from_db()
    assert list(authority.rule_groups.all()) == [group]
    assert authority.rule_hosts == "a.example\nb.example"
    assert rule("--preset", "cac").status == 0
    authority.refresh_from_db()
    assert (authority.rule_identity, authority.rule_user_field) == ("edipi", "")
    assert not authority.rule_creates_users
    assert not authority.rule_allows_privileged
    assert not authority.rule_groups.exists()
    assert rule("--preset", "piv").out.startswith(
        "Test CA: the certificate’s user principal name"
    )


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--preset", "spiffe"], 1, "your own trust domain"),
        (["--identity", "common_name", "--pattern", "*"], 1, "matches everything"),
        (["--identity", "common_name", "--user-field", "x"], 1, "no text field"),
        (["--identity", "common_name", "--host", "http://x"], 1, "no host name"),
        (["--identity", "common_name", "--policy", "x"], 1, "not an object identifier"),
        (["--identity", "common_name", "--group", "nobody"], 1, "no group nobody"),
        (["--create-users"], 2, "--identity or --preset"),
        (["--remove", "--create-users"], 2, "cannot be combined"),
        (["--identity", "common_name", "--user-field", TEXTS["pem ec"]], 1, "private"),
    ],
)
def test_what_cannot_be_a_rule_is_refused(
    authority: Any, arguments: list[str], status: int, text: str
) -> None:
    """And the rule that was there stays."""
    rule("--identity", "san_upn")
    outcome = rule(*arguments)
    assert outcome.status == status
    assert text in outcome.error or "is not a host name" in outcome.error
    authority.refresh_from_db()
    assert (authority.rule_identity, authority.rule_pattern) == ("san_upn", "")
    assert not authority.rule_creates_users


def test_an_authority_of_that_name_has_to_be_there(authority: Any) -> None:
    """Those that there are, are told."""
    outcome = rule("--identity", "common_name", name="Nobody")
    assert outcome.status == 1
    assert "There are: Test CA." in outcome.error


def settings(*arguments: str) -> CommandResult:
    """Run ``clientcert authority set``."""
    return clientcert("authority", "set", "Test CA", *arguments)


def test_policy_and_addresses_are_set(authority: Any, ca: ThrowawayCA) -> None:
    """What is not given stays; the lists that there are, are shown."""
    for age, number in ((0, 2), (30, 1)):
        der = ca.crl(
            number=number,
            this_update=NOW - dt.timedelta(days=age, hours=1),
            next_update=NOW + dt.timedelta(days=5 - age),
        )
        info = read_crl(der, authority.certificates(), at=NOW).info
        RevocationList.of(authority, info, issuer="CN=Test Root CA").save()
    outcome = settings(
        *["--revocation-policy", "required"],
        *["--crl-url", "http://crl.example/a.crl", "--crl-url", "https://b.example"],
    )
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    assert lines[:4] == [
        "Changed: authority “Test CA”.",
        "  revocation policy: required",
        "    CRL from http://crl.example/a.crl",
        "    CRL from https://b.example",
    ]
    assert "CRL number 1, CN=Test Root CA, 0 entries, STALE since" in lines[4]
    assert "CRL number 2, CN=Test Root CA, 0 entries, valid until" in lines[5]
    authority.refresh_from_db()
    assert authority.revocation_policy == "required"
    assert settings("--no-crl-urls").status == 0
    authority.refresh_from_db()
    assert (authority.revocation_policy, authority.crl_urls) == ("required", "")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/a.crl",
        "file:///etc/passwd",
        "x",
        "http://",
        "http://user:secret@x/a.crl",
        "http://[x/a.crl",
        "http://x:0/",
        "http://ü.example/",
        "http://x:99999/",
        "ldap://x",
    ],
)
def test_only_web_addresses_are_taken(authority: Any, url: str) -> None:
    """Whoever may set one must not make the server read its own files."""
    outcome = settings("--crl-url", url)
    assert outcome.status == 1
    assert "is not a valid URL" in outcome.error
    authority.refresh_from_db()
    assert authority.crl_urls == ""


def test_something_has_to_be_set(authority: Any) -> None:
    """Status 2, with the options that there are."""
    outcome = settings()
    assert outcome.status == 2
    assert "--revocation-policy" in outcome.error


def test_add_sets_them_too(ca: ThrowawayCA, authority: Any) -> None:
    """And the list of authorities shows them, with the rule."""
    outcome = clientcert(
        *["authority", "add", "-", "--name", "B", "--revocation-policy", "off"],
        *["--crl-url", "http://crl.example/b.crl"],
        stdin=ca.pem.encode(),
    )
    assert outcome.status == 0
    stored = CertificateAuthority.objects.get(name="B")
    assert stored.crl_urls == "http://crl.example/b.crl"
    rule("--identity", "common_name", name="B")
    listed = clientcert("authority", "list").out
    assert "  revocation policy: off\n    CRL from http://crl.example/b.crl" in listed
    assert "  rule: the certificate’s common name (subject) is the user’s" in listed
    _first, second = sorted(
        clientcert("authority", "list", "--json").data["authorities"],
        key=lambda one: one["name"] == "B",
    )
    assert second["revocation_policy"] == "off"
    assert second["crl_urls"] == ["http://crl.example/b.crl"]
    assert second["revocation_lists"] == []
    assert _first["rule"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["authority", "set", "KEY", "--no-crl-urls"],
        ["authority", "set", "x", "--crl-url", "KEY"],
        ["authority", "add", "-", "--name", "x", "--crl-url", "KEY"],
        ["authority", "rule", "KEY"],
        ["authority", "rule", "x", "--identity", "edipi", "--host", "KEY"],
        ["crl", "import", "-", "--authority", "KEY"],
    ],
)
def test_n66_a_private_key_is_not_repeated(arguments: list[str]) -> None:
    """Wherever it was pasted by mistake."""
    key = TEXTS["pem pkcs8"]
    given = [key if one == "KEY" else one for one in arguments]
    outcome = clientcert(*given)
    assert outcome.status == 1
    assert "private key" in outcome.error
    assert key[40:80] not in outcome.text
