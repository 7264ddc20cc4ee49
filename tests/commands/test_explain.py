"""``clientcert explain``: every step of a decision, and what would change it."""

from __future__ import annotations

import base64
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError

from django_clientcert.evaluation.peer import STEPS
from django_clientcert.exceptions import Reason
from django_clientcert.explaining.reasons import EXPLANATIONS
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    CertificateMappingQuerySet,
    RevocationQuerySet,
)
from django_clientcert.testing import (
    SERVER_AUTH,
    IssuedCertificate,
    ThrowawayCA,
    encode_escaped_pem,
    encode_pem,
)
from django_clientcert.trust.revoke import revoke_certificate
from django_clientcert.x509.certificates import ClientCertificate
from tests.deciding import map_to

from .running import CommandResult, clientcert

pytestmark = pytest.mark.django_db

UTC = dt.timezone.utc
NOW = dt.datetime.now(UTC)


@pytest.fixture
def file(tmp_path: Path, alice_cert: IssuedCertificate) -> str:
    """Alice's certificate in a file."""
    path = tmp_path / "alice.pem"
    path.write_text(alice_cert.pem)
    return str(path)


def explain_header(certificate: IssuedCertificate, *arguments: str) -> CommandResult:
    """Explain the header that the proxy sends for *certificate*."""
    value = encode_escaped_pem(certificate.der)
    return clientcert("explain", "--header", value, *arguments)


def outcomes(data: Any) -> dict[str, str]:
    """Return the outcome of every step."""
    return {step["name"]: step["outcome"] for step in data["steps"]}


def refused_step(data: Any) -> Any:
    """Return the one step that refused."""
    (step,) = [step for step in data["steps"] if step["outcome"] == "refused"]
    return step


# --- a file ----------------------------------------------------------------------


def test_file_that_would_be_accepted(
    file: str, mapping: CertificateMapping, alice_cert: IssuedCertificate
) -> None:
    """Status 0, every step, every identity, and the verdict in the last line."""
    outcome = clientcert("explain", file)
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[-1] == (
        f"Verdict: would be accepted as alice by mapping {mapping.pk} (fingerprint)"
    )
    printed = [line.split() for line in lines]
    first = lines.index("Steps") + 1
    for name, step in zip(STEPS, printed[first:], strict=False):
        assert step[0] == name
        assert step[1] == "passed" or step[1:] == ["not", "looked", "at"]
    assert ["fingerprint", alice_cert.fingerprint] in printed
    assert ["mapping", f"{mapping.pk}:", "alice,", "active,", "strong"] in printed
    assert ["san_upn", "alice@corp.example"] in printed
    assert ["no", "mapping"] in printed


def test_file_is_judged_without_a_request(
    file: str, settings: Any, mapping: CertificateMapping
) -> None:
    """The gates are not checked, and the assumptions say so."""
    settings.CLIENTCERT_TRUSTED_PROXIES = None
    data = clientcert("explain", file, "--json").data
    assert data["accepted"] is True
    skipped = [*("peer", "transport", "host", "secret", "spelling", "size", "verdict")]
    assert [
        name for name, outcome in outcomes(data).items() if outcome == "not_looked_at"
    ] == skipped
    assert "not checked" in data["assumptions"][0]
    assert "validates the path" in data["assumptions"][1]


def test_file_with_a_verdict(file: str, mapping: CertificateMapping) -> None:
    """--verdict judges the certificate as if the proxy had said that."""
    data = clientcert("explain", file, "--verdict", "SUCCESS", "--json").data
    assert outcomes(data)["verdict"] == "passed"
    data = clientcert("explain", file, "--verdict", "NONE", "--json").data
    assert data["reason"] == "proxy_verdict"


def test_der_chain_on_standard_input(
    ca: ThrowawayCA, alice_cert: IssuedCertificate, mapping: CertificateMapping
) -> None:
    """Any format, from standard input, the client's own certificate of a chain."""
    outcome = clientcert("explain", "-", stdin=alice_cert.der)
    assert outcome.status == 0
    chain = (ca.pem + alice_cert.pem).encode()
    assert clientcert("explain", "-", stdin=chain).status == 0


@pytest.mark.parametrize("option", ["--peer", "--subject-dn", "--issuer-dn", "--chain"])
def test_options_of_a_request_need_a_header(option: str, file: str) -> None:
    """They would have no effect, so they are refused as wrong usage."""
    outcome = clientcert("explain", file, option, "x")
    assert outcome.status == 2
    assert f"{option} is about a request" in outcome.error


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "empty"), ("two", "several certificates"), ("key", "private key")],
)
def test_file_that_is_no_certificate(
    content: str,
    words: str,
    tmp_path: Path,
    alice_cert: IssuedCertificate,
    mallory_cert: IssuedCertificate,
) -> None:
    """Status 1, and never a word out of a private key."""
    text = {
        "": "",
        "two": alice_cert.pem + mallory_cert.pem,
        "key": alice_cert.key_pem,
    }[content]
    path = tmp_path / "file"
    path.write_text(text)
    outcome = clientcert("explain", str(path))
    assert outcome.status == 1
    assert words in outcome.error
    assert alice_cert.key_pem.splitlines()[1] not in outcome.text


# --- a header --------------------------------------------------------------------


def test_header_is_a_request_of_the_proxy(
    alice_cert: IssuedCertificate, mapping: CertificateMapping
) -> None:
    """Every gate is looked at, and whatever was assumed is said."""
    outcome = explain_header(alice_cert, "--json")
    assert outcome.status == 0
    assert set(outcomes(outcome.data).values()) == {"passed"}
    assumed = "\n".join(outcome.data["assumptions"])
    for words in (
        "preset: ingress-nginx",
        "verdict: SUCCESS",
        "ssl-client-subject-dn: the certificate’s own",
        "ssl-client-issuer-dn: the certificate’s own",
        "peer: 10.0.0.1, the first address of CLIENTCERT_TRUSTED_PROXIES",
        "transport: assumed to be secure",
        "host: none",
    ):
        assert words in assumed


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_header_on_standard_input(
    end: bytes, alice_cert: IssuedCertificate, mapping: CertificateMapping
) -> None:
    """The line end is the shell's, not the header's."""
    value = encode_escaped_pem(alice_cert.der).encode() + end
    assert clientcert("explain", "--header", "-", stdin=value).status == 0


def test_header_with_an_equals_sign(
    alice_cert: IssuedCertificate, mapping: CertificateMapping
) -> None:
    """Both ways to write an option."""
    value = encode_escaped_pem(alice_cert.der)
    assert clientcert("explain", f"--header={value}").status == 0


@pytest.mark.parametrize(
    ("arguments", "step", "reason"),
    [
        (["--peer", "203.0.113.9"], "peer", "untrusted_peer"),
        (["--peer", ""], "peer", "untrusted_peer"),
        (["--verdict", "NONE"], "verdict", "proxy_verdict"),
        (["--verdict", ""], "verdict", "proxy_verdict"),
        (["--verdict", "FAILED:expired"], "verdict", "proxy_verdict"),
        (["--subject-dn", "CN=mallory"], "names", "header_mismatch"),
        (["--issuer-dn", "CN=José"], "names", "header_mismatch"),
        (["--issuer-dn", ""], "names", "header_mismatch"),
        (["--at", "2000-01-01"], "validity", "not_yet_valid"),
        (["--at", "2999-01-01T00:00:00Z"], "validity", "expired"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_header_that_would_be_refused(
    arguments: list[str],
    step: str,
    reason: str,
    alice_cert: IssuedCertificate,
    mapping: CertificateMapping,
) -> None:
    """Status 1; the step, the reason, what it means and what would change it."""
    outcome = explain_header(alice_cert, *arguments, "--json")
    assert outcome.status == 1
    assert outcome.error == f"The certificate would be refused: {reason}."
    data = outcome.data
    assert (data["accepted"], data["reason"]) == (False, reason)
    assert (data["user"], data["mapping"]) == (None, None)
    refused = refused_step(data)
    assert (refused["name"], refused["reason"]) == (step, reason)
    order = list(outcomes(data).values())
    assert set(order[order.index("refused") + 1 :]) == {"not_reached"}

    text = explain_header(alice_cert, *arguments).out
    explanation = EXPLANATIONS[Reason(reason)]
    assert "REFUSED" in text
    assert f"What this means: {explanation.meaning}" in text
    assert f"How to fix it: {explanation.remedy}" in text
    assert text.splitlines()[-1] == f"Verdict: would be refused: {reason}"
    # The operator still sees whose certificate it is.
    assert alice_cert.fingerprint in text


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("-----BEGIN%20CERT", "malformed_header"),
        ("a,b", "ambiguous_header"),
        ("x" * 20000, "header_too_large"),
        ("José", "malformed_header"),
        ("\udcff", "malformed_header"),
    ],
    ids=["cut", "comma", "long", "latin", "octet"],
)
def test_malformed_header_is_explained(value: str, reason: str) -> None:
    """A value that cannot be decoded is what this command is for."""
    outcome = clientcert("explain", "--header", value, "--json")
    assert outcome.status == 1
    assert outcome.data["reason"] == reason
    assert outcome.data["certificate"] is None
    assert outcome.data["identities"] == []
    text = clientcert("explain", "--header", value).out
    assert "Certificate: none that can be read" in text


@pytest.mark.parametrize("value", ["", "(null)"])
def test_no_certificate_is_explained(value: str) -> None:
    """What programs write for nothing is nothing."""
    outcome = clientcert("explain", "--header", value)
    assert outcome.status == 1
    assert "would be refused: no_certificate" in outcome.out
    assert (
        f"What this means: {EXPLANATIONS[Reason.NO_CERTIFICATE].meaning}" in outcome.out
    )


def test_private_key_as_a_header_is_not_repeated(
    alice_cert: IssuedCertificate,
) -> None:
    """Wherever it is given."""
    outcome = clientcert("explain", "--header", alice_cert.key_pem)
    assert outcome.status == 1
    assert "--header holds a private key" in outcome.error
    assert alice_cert.key_pem.splitlines()[1] not in outcome.text


def test_header_of_another_encoding(
    settings: Any, alice_cert: IssuedCertificate, mapping: CertificateMapping
) -> None:
    """A custom proxy: another encoding, no verdict, no names."""
    settings.CLIENTCERT_PROXY = {
        "encoding": "pem",
        "source": "environ",
        "certificate": "SSL_CLIENT_CERT",
        "verdict": None,
        "subject_dn": None,
        "issuer_dn": None,
        "verifies": False,
    }
    outcome = clientcert(
        "explain", "--header", "-", "--json", stdin=encode_pem(alice_cert.der).encode()
    )
    assert outcome.status == 0
    assert not any("verdict" in one for one in outcome.data["assumptions"])


# --- a chain ---------------------------------------------------------------------


@pytest.fixture
def below(db: None, alice: Any, ca: ThrowawayCA) -> tuple[Any, IssuedCertificate]:
    """An intermediate that only the client has, and a certificate of it."""
    issuing = ca.issue_ca("Only the client has it")
    authority = CertificateAuthority.objects.create(name="PKI", bundle=ca.pem)
    map_to(alice, "subject", "CN=deep", authority=authority)
    return issuing, issuing.issue("deep")


def test_the_chain_of_a_file_counts_where_the_proxy_forwards_it(
    below: tuple[Any, IssuedCertificate], settings: Any
) -> None:
    """And it is said, both ways."""
    issuing, leaf = below
    chain = (leaf.pem + issuing.pem).encode()
    data = clientcert("explain", "-", "--json", stdin=chain).data
    assert data["reason"] == "untrusted_issuer"
    assert "chain: none, because ingress-nginx forwards none" in data["assumptions"]
    settings.CLIENTCERT_PROXY = "traefik"
    data = clientcert("explain", "-", "--json", stdin=chain).data
    assert data["accepted"] is True
    assert "chain: the file’s other certificates, forwarded too" in data["assumptions"]
    data = clientcert("explain", "-", "--json", stdin=leaf.pem.encode()).data
    assert data["reason"] == "untrusted_issuer"
    assert not any("chain" in one for one in data["assumptions"])


def test_the_chain_of_a_header(
    below: tuple[Any, IssuedCertificate], settings: Any
) -> None:
    """Each in its place; the rest of the request is assumed, and the output says so."""
    issuing, leaf = below
    settings.CLIENTCERT_PROXY = "haproxy"
    value = base64.b64encode(leaf.der).decode()
    chain = base64.b64encode(issuing.der).decode()
    data = clientcert("explain", "--header", value, "--json").data
    assert data["reason"] == "untrusted_issuer"
    data = clientcert("explain", "--header", value, "--chain", "", "--json").data
    assert data["reason"] == "untrusted_issuer"
    data = clientcert("explain", "--header", value, "--chain", chain, "--json").data
    assert data["accepted"] is True
    assert "x-ssl-client-used: 1" in data["assumptions"]
    outcome = clientcert("explain", "--header", value, "--chain", "a", "--chain", "b")
    assert outcome.status == 2
    assert "--chain was given 2 times, but haproxy has 1 headers" in outcome.error


def test_n66_a_private_key_is_no_chain(alice_cert: IssuedCertificate) -> None:
    """It is refused, and not repeated."""
    outcome = clientcert("explain", "--header", "x", "--chain", alice_cert.key_pem)
    assert "--chain holds a private key" in outcome.error
    assert alice_cert.key_pem.splitlines()[1] not in outcome.error


# --- what is assumed -------------------------------------------------------------


@pytest.mark.parametrize(
    ("proxies", "words", "status"),
    [
        (["192.0.2.7"], "peer: 192.0.2.7,", 0),
        (["2001:db8::/64"], "peer: 2001:db8::1,", 0),
        (["unix"], "peer: the Unix socket", 0),
        ([], "peer: none", 1),
    ],
)
def test_peer(
    proxies: list[str],
    words: str,
    status: int,
    settings: Any,
    alice_cert: IssuedCertificate,
    mapping: CertificateMapping,
) -> None:
    """The first trusted proxy speaks, unless --peer says who."""
    settings.CLIENTCERT_TRUSTED_PROXIES = proxies
    outcome = explain_header(alice_cert)
    assert outcome.status == status
    assert words in outcome.out


def test_host_of_the_settings(
    settings: Any, alice_cert: IssuedCertificate, mapping: CertificateMapping
) -> None:
    """The first covered host is asked for, unless --host says which."""
    settings.CLIENTCERT_HOSTS = ["*", ".example.com"]
    data = explain_header(alice_cert, "--json").data
    assert data["host"] == "example.com"
    settings.CLIENTCERT_HOSTS = ["api.example.com"]
    assert explain_header(alice_cert).status == 0
    data = explain_header(alice_cert, "--host", "Evil.example:443", "--json").data
    assert data["host"] == "evil.example"
    assert refused_step(data)["name"] == "host"


def test_host_of_the_mapping(
    alice_cert: IssuedCertificate, mapping: CertificateMapping
) -> None:
    """A mapping for one host only: the step that refuses is the mapping's."""
    CertificateMapping.objects.update(hosts="api.example.com")
    assert explain_header(alice_cert, "--host", "api.example.com").status == 0
    outcome = explain_header(alice_cert, "--json")
    assert refused_step(outcome.data)["name"] == "mapping"
    assert outcome.data["reason"] == "host_not_covered"
    assert "for api.example.com" in explain_header(alice_cert).out


def test_secret_is_assumed_and_not_shown(
    settings: Any, alice_cert: IssuedCertificate, mapping: CertificateMapping
) -> None:
    """The proxy is taken to know its secret; nobody else gets to."""
    settings.CLIENTCERT_PROXY_SECRET = ("X-Proxy-Secret", ["open sesame", "old"])
    outcome = explain_header(alice_cert)
    assert outcome.status == 0
    assert "secret: the first of CLIENTCERT_PROXY_SECRET" in outcome.out
    assert "sesame" not in outcome.text


def test_time_zone_that_was_assumed_is_said(
    alice_cert: IssuedCertificate, mapping: CertificateMapping
) -> None:
    """A naive moment is UTC; one with a zone is converted."""
    at = NOW.strftime("%Y-%m-%dT%H:%M:%S")
    data = explain_header(alice_cert, "--at", at, "--json").data
    assert data["at"] == f"{at}+00:00"
    assert "time: --at names no time zone; taken as UTC" in data["assumptions"]
    data = explain_header(alice_cert, "--at", f"{at}+01:00", "--json").data
    assert not any(one.startswith("time:") for one in data["assumptions"])


@pytest.mark.parametrize(
    "backends", [["django.contrib.auth.backends.ModelBackend"], ["no.such.Backend"]]
)
def test_without_the_backend(
    backends: list[str],
    settings: Any,
    alice_cert: IssuedCertificate,
    mapping: CertificateMapping,
) -> None:
    """Django's own rule decides who may log in, and that is said."""
    settings.AUTHENTICATION_BACKENDS = backends
    outcome = explain_header(alice_cert)
    assert outcome.status == 0
    assert "backend: none is configured" in outcome.out


# --- identities ------------------------------------------------------------------


def test_every_mapping_is_listed_with_its_authority(
    alice_cert: IssuedCertificate,
    mapping: CertificateMapping,
    bob: Any,
    authority: CertificateAuthority,
) -> None:
    """Also those that were overtaken, and who answers for a name."""
    named = CertificateMapping.objects.create(
        user=bob,
        kind="subject",
        value="CN=alice",
        authority=authority,
        state="retiring",
        valid_from=dt.datetime(2020, 1, 1, tzinfo=UTC),
        valid_until=dt.datetime(2099, 1, 1, tzinfo=UTC),
        hosts="api.example.com",
    )
    weak = CertificateMapping.objects.create(
        user=bob, kind="san_dns", value="alice.example.com"
    )
    identities = {
        one["kind"]: one["mappings"]
        for one in explain_header(alice_cert, "--json").data["identities"]
    }
    assert identities["public_key"] == []
    assert identities["subject"] == [
        {
            "id": named.pk,
            "user": "bob",
            "kind": "subject",
            "value": "CN=alice",
            "authority": "Test CA",
            "strong": False,
            "state": "retiring",
            "valid_from": "2020-01-01T00:00:00+00:00",
            "valid_until": "2099-01-01T00:00:00+00:00",
            "hosts": ["api.example.com"],
        }
    ]
    text = explain_header(alice_cert).out
    assert (
        f"mapping {named.pk}: bob, retiring, names-based, with "
        "authority Test CA, from 2020-01-01 00:00:00 UTC, until 2099-01-01 00:00:00 "
        "UTC, for api.example.com"
    ) in text
    assert f"mapping {weak.pk}: bob, active, names-based, WITHOUT AN AUTHORITY" in text


def test_mapping_of_another_kind_with_that_key_is_not_listed(
    alice_cert: IssuedCertificate, mapping: CertificateMapping
) -> None:
    """As in the decision: what was damaged past the forms matches nothing."""
    CertificateMapping.objects.update(kind="public_key")
    outcome = explain_header(alice_cert, "--json")
    assert outcome.data["reason"] == "unmapped"
    assert all(one["mappings"] == [] for one in outcome.data["identities"])


def test_identities_that_cannot_be_used_are_said(ca: ThrowawayCA) -> None:
    """A name with a control character cannot be mapped."""
    evil = ca.issue("evil", upns=["a\nb@ex.com"])
    outcome = explain_header(evil, "--json")
    assert outcome.data["problems"]
    text = explain_header(evil).out
    assert "cannot be used: subject alternative names" in text


def test_names_from_outside_stay_on_their_line(ca: ThrowawayCA, alice: Any) -> None:
    """N29: whatever a certificate, a user or a header holds."""
    evil = ca.issue("x\n\u202ey\x1b", upns=["a\u200b@ex.com"])
    alice.username = "al\u202eice"
    alice.save()
    CertificateMapping.objects.create(
        user=alice, kind="fingerprint", value=evil.fingerprint
    )
    for arguments in (
        [],
        ["--peer", "1\u202e\n2"],
        ["--verdict", "FAILED:\u202e\x1b"],
        ["--host", "x\u202e"],
        ["--at", "2000-01-01"],
    ):
        text = explain_header(evil, *arguments).text
        assert all(line.isprintable() for line in text.split("\n"))
        for value in json.dumps(
            explain_header(evil, *arguments, "--json").data, ensure_ascii=False
        ).split("\n"):
            assert value.isprintable()


def test_unreadable_subject_is_explained(
    ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """Names that OpenSSL itself cannot print: the pins are still listed."""
    der = alice_cert.der.replace(b"\x0c\x05alice", b"\x0c\x05\xffbad\xff", 1)
    value = encode_escaped_pem(der)
    outcome = clientcert("explain", "--header", value, "--json")
    assert outcome.status == 1
    assert outcome.data["reason"] == "malformed_certificate"
    assert "ssl-client-subject-dn: missing" in "\n".join(outcome.data["assumptions"])
    assert outcome.data["identities"][0]["kind"] == "fingerprint"
    outcome = clientcert("explain", "--header", value)
    assert "REFUSED" in outcome.out


def test_structure_that_cannot_be_read_is_explained() -> None:
    """DER that is not a certificate: only its fingerprint is known."""
    value = encode_escaped_pem(b"\x30\x03\x02\x01\x01")
    outcome = clientcert("explain", "--header", value)
    assert outcome.status == 1
    assert "would be refused: malformed_certificate" in outcome.out
    assert "(cannot be read)" in outcome.out
    assert "problem" in outcome.out


# --- reasons of the tables -------------------------------------------------------


def test_stranger(mallory_cert: IssuedCertificate) -> None:
    """Genuine, and nobody's."""
    outcome = explain_header(mallory_cert, "--json")
    assert refused_step(outcome.data)["name"] == "match"
    assert outcome.data["reason"] == "unmapped"
    assert "clientcert map FILE --user NAME" in outcome.data["remedy"]


def test_inactive_user(
    alice_cert: IssuedCertificate, mapping: CertificateMapping, alice: Any
) -> None:
    """The backend's rule on users is the one that counts."""
    alice.is_active = False
    alice.save()
    data = explain_header(alice_cert, "--json").data
    assert (refused_step(data)["name"], data["reason"]) == ("user", "inactive_user")


def test_wrong_purpose(ca: ThrowawayCA) -> None:
    """A server's certificate."""
    data = explain_header(ca.issue("srv", eku=[SERVER_AUTH]), "--json").data
    assert data["reason"] == "wrong_purpose"


def test_nothing_is_written(
    alice_cert: IssuedCertificate, mapping: CertificateMapping
) -> None:
    """Looking does not count as use."""
    explain_header(alice_cert)
    mapping.refresh_from_db()
    assert mapping.last_used_at is None


def test_database_that_fails_is_explained(
    alice_cert: IssuedCertificate, monkeypatch: Any
) -> None:
    """What could not be loaded denies, and the report is still one."""

    def fail(*args: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("django_clientcert.evaluation.run.find_shortcut", fail)
    monkeypatch.setattr(CertificateMappingQuerySet, "matching", fail)
    monkeypatch.setattr(RevocationQuerySet, "matching", fail)
    outcome = explain_header(alice_cert, "--json")
    assert outcome.status == 1
    assert outcome.data["reason"] == "trust_unavailable"
    assert outcome.data["identities"][0]["mappings"] is None
    assert "the mappings cannot be read" in explain_header(alice_cert).out


# --- JSON ------------------------------------------------------------------------


def test_json_keys_are_stable(
    file: str, mapping: CertificateMapping, alice_cert: IssuedCertificate
) -> None:
    """Programs rely on them."""
    data = clientcert("explain", file, "--json").data
    assert set(data) == {
        *("at", "host", "assumptions", "accepted", "reason", "meaning", "remedy"),
        *("detail", "user", "mapping", "certificate", "steps", "identities"),
        *("problems", "rule", "successor_of", "revocations"),
    }
    assert [step["name"] for step in data["steps"]] == list(STEPS)
    for step in data["steps"]:
        assert set(step) == {"name", "outcome", "reason", "detail"}
    assert set(data["certificate"]) == {
        *("subject", "issuer", "serial_number", "not_before", "not_after"),
        *("fingerprint", "public_key", "problems"),
    }
    assert data["user"] == "alice"
    assert data["mapping"]["id"] == mapping.pk
    assert data["reason"] is data["meaning"] is data["remedy"] is None
    for identity in data["identities"]:
        assert set(identity) == {"kind", "value", "mappings"}


# --- rules, renewals, revocations ------------------------------------------------


def test_a_rule_is_explained(
    alice: Any, authority: CertificateAuthority, alice_cert: IssuedCertificate
) -> None:
    """Which one, and what it compares; there is no mapping then."""
    authority.rule_identity = "common_name"
    authority.save()
    outcome = explain_header(alice_cert, "--json")
    assert outcome.status == 0
    data = outcome.data
    assert (data["user"], data["mapping"]) == ("alice", None)
    assert data["rule"]["authority"] == "Test CA"
    assert [data["rule"][key] for key in ("identity", "field", "value")] == [
        "common_name",
        "username",
        "alice",
    ]
    assert data["rule"]["creates_user"] is False
    assert "common name" in data["rule"]["text"]
    text = explain_header(alice_cert).out
    assert "Verdict: would be accepted as alice, by the rule of Test CA" in text
    assert "the rule of Test CA: username = common_name “alice”" in text


def test_a_user_who_would_be_created_is_not(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """Looking makes nobody."""
    authority.rule_identity = "common_name"
    authority.rule_creates_users = True
    authority.save()
    before = get_user_model().objects.count()
    outcome = explain_header(ca.issue("carol"))
    assert "would be accepted as carol, a new user, by the rule of" in outcome.out
    data = explain_header(ca.issue("carol"), "--json").data
    assert (data["rule"]["value"], data["rule"]["creates_user"]) == ("carol", True)
    assert get_user_model().objects.count() == before


def test_a_successor_is_named(
    alice: Any,
    authority: CertificateAuthority,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
) -> None:
    """With the command that lets it take over."""
    mapping = CertificateMapping.objects.create(
        user=alice,
        kind="fingerprint",
        value=alice_cert.fingerprint,
        certificate=alice_cert.der,
    )
    outcome = explain_header(ca.issue("alice"))
    assert outcome.status == 1
    assert f"It is the successor of mapping {mapping.pk}." in outcome.out
    assert f"--successor-of {mapping.pk} --retire-on DATE" in outcome.out
    data = explain_header(ca.issue("alice"), "--json").data
    assert data["successor_of"] == [mapping.pk]
    assert explain_header(ca.issue("bob"), "--json").data["successor_of"] == []


def test_revocations_are_named(
    authority: CertificateAuthority, alice_cert: IssuedCertificate
) -> None:
    """Also where the certificate is refused for another reason first."""
    revocation = revoke_certificate(ClientCertificate(alice_cert.der))
    outcome = explain_header(alice_cert, "--verdict", "NONE")
    assert "proxy_verdict" in outcome.out
    assert f"or of a serial number like its own: {revocation.pk}" in outcome.out
    data = explain_header(alice_cert, "--json").data
    assert (data["reason"], data["revocations"]) == ("revoked", [revocation.pk])
    assert refused_step(data)["name"] == "revocation"
