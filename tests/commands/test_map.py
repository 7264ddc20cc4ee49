"""``clientcert map``: a certificate becomes a user's."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import UserManager
from django.db.models import Manager

from django_clientcert.models import CertificateAuthority, CertificateMapping, users
from django_clientcert.testing import (
    SERVER_AUTH,
    IssuedCertificate,
    ThrowawayCA,
    self_signed,
)
from django_clientcert.x509.identities import IdentityKind

from .running import CommandResult, clientcert

pytestmark = pytest.mark.django_db

UTC = dt.timezone.utc
NOW = dt.datetime.now(UTC)


@pytest.fixture
def file(tmp_path: Path, alice_cert: IssuedCertificate) -> str:
    """Alice's certificate in a file."""
    return write(tmp_path, alice_cert)


def write(folder: Path, certificate: IssuedCertificate) -> str:
    """Write *certificate* to a file and return its name."""
    path = folder / f"{certificate.fingerprint[:16]}.pem"
    path.write_text(certificate.pem)
    return str(path)


def trust(file: str, *arguments: str, user: str = "alice") -> CommandResult:
    """Run ``clientcert map``."""
    return clientcert("map", file, "--user", user, *arguments)


# --- what is stored --------------------------------------------------------------


def test_fingerprint_is_the_default(
    file: str, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """Nothing but the certificate and the user is needed, and everything is said."""
    outcome = trust(file)
    assert outcome.status == 0
    assert outcome.err == ""
    mapping = CertificateMapping.objects.get()
    assert mapping.user == alice
    assert (mapping.kind, mapping.value) == ("fingerprint", alice_cert.fingerprint)
    assert mapping.authority is None
    assert bytes(mapping.certificate or b"") == alice_cert.der
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    not_after = alice_cert.certificate.not_valid_after_utc
    assert lines[0] == "Mapped to alice."
    assert f"mapping {mapping.pk}" in lines
    assert "user alice" in lines
    assert "kind fingerprint" in lines
    assert f"value {alice_cert.fingerprint}" in lines
    assert "authority none needed" in lines
    assert "hosts all" in lines
    assert "valid until further notice" in lines
    assert lines[-1].endswith(f"until {not_after:%Y-%m-%d %H:%M:%S} UTC")


@pytest.mark.parametrize("kind", [kind.value for kind in IdentityKind])
def test_every_kind(
    kind: str, file: str, alice: Any, authority: CertificateAuthority
) -> None:
    """A pin needs no authority; for the rest, the one that issued it is found."""
    outcome = trust(file, "--kind", kind)
    assert (outcome.status, outcome.err) == (0, "")
    mapping = CertificateMapping.objects.get()
    assert mapping.kind == kind
    assert mapping.authority == (None if IdentityKind(kind).is_pin else authority)


def test_options_are_stored(
    file: str, alice: Any, authority: CertificateAuthority
) -> None:
    """Hosts, note, end and an authority that a pin would not need."""
    outcome = trust(
        file,
        *("--host", "API.example.com", "--host", ".example.org"),
        *("--note", "by phone", "--valid-until", "2099-12-31"),
        *("--authority", "Test CA"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    mapping = CertificateMapping.objects.get()
    assert mapping.hosts == "api.example.com\n.example.org"
    assert mapping.note == "by phone"
    assert mapping.valid_until == dt.datetime(2100, 1, 1, tzinfo=UTC)
    assert mapping.authority == authority
    assert "2100-01-01 00:00:00 UTC" in outcome.out
    assert "api.example.com, .example.org" in outcome.out


def test_reads_der_from_standard_input(
    alice: Any, alice_cert: IssuedCertificate
) -> None:
    """“-” is standard input, in any format."""
    outcome = clientcert("map", "-", "--user", "alice", stdin=alice_cert.der)
    assert outcome.status == 0
    assert CertificateMapping.objects.get().value == alice_cert.fingerprint


def test_a_chain_is_its_leaf(tmp_path: Path, ca: ThrowawayCA, alice: Any) -> None:
    """What a client sends along is not what is mapped."""
    leaf = ca.issue_ca("Issuing CA").issue("leaf")
    path = tmp_path / "chain.pem"
    path.write_text(leaf.chain_pem + ca.pem)
    assert trust(str(path)).status == 0
    assert CertificateMapping.objects.get().value == leaf.fingerprint


# --- once more -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fingerprint", "subject"])
def test_twice_is_once(
    kind: str, file: str, alice: Any, authority: CertificateAuthority
) -> None:
    """The same mapping again: says so, status 0, nothing changed."""
    trust(file, "--kind", kind)
    outcome = trust(file, "--kind", kind)
    assert (outcome.status, outcome.err) == (0, "")
    mapping = CertificateMapping.objects.get()
    assert outcome.out.startswith("Nothing to do: already mapped to alice.")
    assert f"{mapping.pk}" in outcome.out


def test_options_without_effect_are_said(
    file: str, alice: Any, mapping: CertificateMapping, authority: CertificateAuthority
) -> None:
    """An existing mapping is left as it is, and that does not go unnoticed."""
    outcome = trust(
        file,
        *("--host", "x.example", "--note", "n", "--valid-until", "2099-01-01"),
        *("--authority", "Test CA"),
    )
    assert outcome.status == 0
    assert (
        "Warning: --authority, --host, --note, --valid-until had no effect"
        in outcome.err
    )
    mapping.refresh_from_db()
    assert (mapping.hosts, mapping.note, mapping.authority) == ("", "", None)


def test_same_options_again_are_no_difference(file: str, alice: Any) -> None:
    """The same command line twice prints no warning."""
    options = ["--host", "X.example", "--note", "n", "--valid-until", "2099-01-01"]
    trust(file, *options)
    assert trust(file, *options).err == ""


def test_existing_mapping_that_is_disabled_is_said(
    file: str, mapping: CertificateMapping
) -> None:
    """“Already mapped” does not mean “will be accepted”."""
    CertificateMapping.objects.update(state="disabled")
    outcome = trust(file)
    assert outcome.status == 0
    assert "would be refused now: mapping_disabled" in outcome.err


def test_mapping_of_another_user_is_refused(
    file: str, mapping: CertificateMapping, bob: Any
) -> None:
    """A certificate of two users would be refused for both."""
    outcome = trust(file, user="bob")
    assert outcome.status == 1
    assert f"Mapping {mapping.pk} already maps this to another user" in outcome.error
    assert CertificateMapping.objects.get() == mapping


# --- users -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nobody", "", "ali\u202ece", "a\0"])
def test_unknown_user(name: str, file: str, alice: Any) -> None:
    """The field is named, and the name is shown on one line."""
    outcome = trust(file, user=name)
    assert outcome.status == 1
    assert "has the username" in outcome.error
    assert outcome.error.isprintable()
    assert not CertificateMapping.objects.exists()


def test_username_field_of_another_user_model(
    file: str, alice: Any, monkeypatch: Any
) -> None:
    """Whatever the user model calls a name."""
    monkeypatch.setattr(get_user_model(), "USERNAME_FIELD", "email")
    assert trust(file, user="alice@example.com").status == 0
    assert "has the email" in trust(file, user="alice").error


def test_manager_without_natural_keys(file: str, alice: Any, monkeypatch: Any) -> None:
    """A user model with a plain manager serves as well."""
    model = get_user_model()
    plain: Manager[Any] = Manager()
    plain.model = model
    stand_in = SimpleNamespace(
        _default_manager=plain,
        USERNAME_FIELD="username",
        MultipleObjectsReturned=model.MultipleObjectsReturned,
    )
    monkeypatch.setattr(users, "get_user_model", lambda: stand_in)
    assert "has the username" in trust(file, user="nobody").error
    assert trust(file).status == 0
    assert CertificateMapping.objects.get().user == alice


def test_name_of_two_users(file: str, alice: Any, monkeypatch: Any) -> None:
    """A manager that folds case may find two: neither is chosen."""

    def fail(self: Any, name: str) -> None:
        raise get_user_model().MultipleObjectsReturned

    monkeypatch.setattr(UserManager, "get_by_natural_key", fail)
    outcome = trust(file, user="ALICE")
    assert outcome.status == 1
    assert "No user, or more than one" in outcome.error


# --- authorities -----------------------------------------------------------------


def test_name_without_any_authority(file: str, alice: Any) -> None:
    """N45: a name is never mapped without the CA that answers for it."""
    outcome = trust(file, "--kind", "subject")
    assert outcome.status == 1
    assert "authority add BUNDLE" in outcome.error
    assert not CertificateMapping.objects.exists()


def test_name_of_a_stranger(
    tmp_path: Path, other_ca: ThrowawayCA, alice: Any, authority: CertificateAuthority
) -> None:
    """Issued by a CA of the same name with another key: each is listed with why."""
    outcome = trust(write(tmp_path, other_ca.issue("alice")), "--kind", "subject")
    assert outcome.status == 1
    assert "None of the stored authorities issued this" in outcome.error
    assert "“Test CA” has a CA of that name: the authority’s CN=Test Root CA" in (
        outcome.error
    )
    assert "another key" in outcome.error
    broken = CertificateAuthority.objects.create(name="Broken", bundle=other_ca.pem)
    CertificateAuthority.objects.filter(pk=broken.pk).update(bundle="nonsense")
    outcome = trust(write(tmp_path, other_ca.issue("alice")), "--kind", "subject")
    assert outcome.status == 1
    assert "cannot be determined (Broken: " in outcome.error


def test_two_authorities_have_to_be_told_apart(
    file: str, alice: Any, ca: ThrowawayCA, authority: CertificateAuthority
) -> None:
    """Nothing is guessed: both are listed, and --authority chooses."""
    CertificateAuthority.objects.create(name="Twin", bundle=ca.pem)
    outcome = trust(file, "--kind", "subject")
    assert outcome.status == 1
    assert "“Test CA”, “Twin”" in outcome.error
    assert trust(file, "--kind", "subject", "--authority", "Twin").status == 0
    assert CertificateMapping.objects.get().authority.name == "Twin"  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["subject", "fingerprint"])
def test_authority_that_did_not_issue_it(
    kind: str, tmp_path: Path, alice: Any, authority: CertificateAuthority
) -> None:
    """Such a mapping could never match."""
    path = write(tmp_path, self_signed("alice"))
    outcome = trust(path, "--kind", kind, "--authority", "Test CA")
    assert outcome.status == 1
    assert "“Test CA” did not issue this certificate" in outcome.error


@pytest.mark.parametrize(("stored", "words"), [(True, "Test CA"), (False, "add")])
def test_unknown_authority(
    stored: bool, words: str, file: str, alice: Any, ca: ThrowawayCA
) -> None:
    """Those that there are get listed; where there is none, how to add one."""
    if stored:
        CertificateAuthority.objects.create(name="Test CA", bundle=ca.pem)
    outcome = trust(file, "--authority", "Best CA")
    assert outcome.status == 1
    assert "no authority “Best CA”" in outcome.error
    assert words in outcome.error


def test_expired_certificate_still_has_an_issuer(
    tmp_path: Path, ca: ThrowawayCA, alice: Any, authority: CertificateAuthority
) -> None:
    """A name outlives the certificate: it is mapped, with a warning."""
    old = ca.issue(
        "alice",
        not_before=ca.certificate.not_valid_before_utc,
        not_after=NOW - dt.timedelta(minutes=5),
    )
    outcome = trust(write(tmp_path, old), "--kind", "subject")
    assert outcome.status == 0
    assert CertificateMapping.objects.get().authority == authority
    assert "would be refused now: expired" in outcome.err
    assert "Renew it" in outcome.err


# --- names -----------------------------------------------------------------------


@pytest.fixture
def two_names(tmp_path: Path, ca: ThrowawayCA) -> str:
    """A certificate with two addresses."""
    return write(tmp_path, ca.issue("x", emails=["a@ex.com", "b@ex.com"]))


def test_several_names_have_to_be_told_apart(
    two_names: str, alice: Any, authority: CertificateAuthority
) -> None:
    """--value picks one, in any spelling of it."""
    outcome = trust(two_names, "--kind", "san_email")
    assert outcome.status == 1
    assert "a@ex.com, b@ex.com. Choose one with --value." in outcome.error
    outcome = trust(two_names, "--kind", "san_email", "--value", "b@EX.com")
    assert outcome.status == 0
    assert CertificateMapping.objects.get().value == "b@ex.com"


@pytest.mark.parametrize(
    ("kind", "value", "words", "status"),
    [
        ("san_email", "c@ex.com", "it has: a@ex.com, b@ex.com", 1),
        ("san_dns", "ex.com", "it has: none", 1),
        ("san_dns", None, "has no san_dns", 1),
        ("san_email", "a b", "holds a space", 1),
        ("subject", "CN=x", "only one subject", 2),
    ],
)
def test_value_that_does_not_fit(
    kind: str,
    value: str | None,
    words: str,
    status: int,
    two_names: str,
    alice: Any,
    authority: CertificateAuthority,
) -> None:
    """Only what the certificate has can be mapped from it."""
    arguments = ["--kind", kind, *(["--value", value] if value else [])]
    outcome = trust(two_names, *arguments)
    assert outcome.status == status
    assert words in outcome.error
    assert not CertificateMapping.objects.exists()


def test_names_from_outside_stay_on_their_line(
    tmp_path: Path, ca: ThrowawayCA, alice: Any, authority: CertificateAuthority
) -> None:
    """An alternative name can hold what nobody sees."""
    path = write(tmp_path, ca.issue("x", upns=["a\u200b@ex.com"]))
    outcome = trust(path, "--kind", "san_upn")
    assert outcome.status == 0
    assert r"a\u{200b}@ex.com" in outcome.out
    assert "\u200b" not in outcome.text


# --- what is refused -------------------------------------------------------------


def test_private_key_is_refused_and_not_repeated(
    tmp_path: Path, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """Also beside the certificate that is meant."""
    path = tmp_path / "both.pem"
    path.write_text(alice_cert.pem + alice_cert.key_pem)
    outcome = trust(str(path))
    assert outcome.status == 1
    assert "private key" in outcome.error
    assert alice_cert.key_pem.splitlines()[1] not in outcome.text
    assert not CertificateMapping.objects.exists()


@pytest.mark.parametrize("option", ["--note", "--value", "--authority", "--host"])
def test_private_key_as_an_option(
    option: str, file: str, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """The shell's history has it already; no log shall."""
    outcome = trust(file, f"{option}={alice_cert.key_pem}")
    assert outcome.status == 1
    assert f"{option} holds a private key" in outcome.error
    assert alice_cert.key_pem.splitlines()[1] not in outcome.text


def test_two_certificates_are_refused(
    tmp_path: Path, alice: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """Which of two strangers is meant is not guessed."""
    path = tmp_path / "two.pem"
    path.write_text(alice_cert.pem + self_signed("other").pem)
    outcome = trust(str(path))
    assert outcome.status == 1
    assert "several certificates" in outcome.error


@pytest.mark.parametrize("host", ["https://x.example", "a b/c"])
def test_what_the_model_refuses_is_refused(host: str, file: str, alice: Any) -> None:
    """The same rules as in the admin."""
    outcome = trust(file, "--host", host)
    assert outcome.status == 1
    assert "is not a host name" in outcome.error
    assert not CertificateMapping.objects.exists()


# --- what comes of it ------------------------------------------------------------


def test_mapping_that_ended_is_said(file: str, alice: Any) -> None:
    """It is stored as asked for, with a warning."""
    outcome = trust(file, "--valid-until", "2020-01-01T00:00Z")
    assert outcome.status == 0
    assert "would be refused now: mapping_expired" in outcome.err


def test_certificate_that_is_no_clients_is_said(
    tmp_path: Path, ca: ThrowawayCA, alice: Any
) -> None:
    """A pin does not make a client's certificate of a server's."""
    outcome = trust(write(tmp_path, ca.issue("server", eku=[SERVER_AUTH])))
    assert outcome.status == 0
    assert "would be refused now: wrong_purpose" in outcome.err


def test_better_mapping_of_another_user_is_said(
    file: str, mapping: CertificateMapping, bob: Any, authority: CertificateAuthority
) -> None:
    """A worse kind does not overtake a better one."""
    outcome = trust(file, "--kind", "subject", user="bob")
    assert outcome.status == 0
    assert "the certificate still authenticates alice, because" in outcome.err


def test_host_of_the_mapping_is_asked_for(file: str, alice: Any) -> None:
    """A mapping for one host is tried for that host."""
    assert trust(file, "--host", ".example.com").err == ""


def test_proxy_that_does_not_verify(
    settings: Any, file: str, alice: Any, authority: CertificateAuthority
) -> None:
    """The path is then validated here, as it will be for a request."""
    settings.CLIENTCERT_PROXY_VERIFIES = False
    outcome = trust(file, "--kind", "subject")
    assert (outcome.status, outcome.err) == (0, "")


def test_unusable_settings_do_not_stop_it(settings: Any, file: str, alice: Any) -> None:
    """The mapping is stored; that nobody is accepted yet is said."""
    settings.CLIENTCERT_PROXY = "ingres-nginx"
    outcome = trust(file)
    assert outcome.status == 0
    assert CertificateMapping.objects.exists()
    assert "no certificate is accepted yet: CLIENTCERT_PROXY" in outcome.err


# --- renewals --------------------------------------------------------------------


def test_a_successor_is_mapped_and_the_old_one_retires(
    tmp_path: Path, authority: Any, alice: Any, ca: ThrowawayCA
) -> None:
    """One action: nobody is locked out in between."""
    first, second = ca.issue("alice"), ca.issue("alice")
    trust(write(tmp_path, first))
    old = CertificateMapping.objects.get()
    outcome = clientcert(
        *["map", write(tmp_path, second), "--successor-of", str(old.pk)],
        *["--retire-on", "2999-01-31"],
    )
    assert (outcome.status, outcome.err) == (0, "")
    new = CertificateMapping.objects.latest("pk")
    assert (new.user, new.kind, new.value) == (
        alice,
        "fingerprint",
        second.fingerprint,
    )
    assert outcome.out.startswith("Mapped to alice.")
    assert (
        f"Mapping {old.pk} retires: it is not accepted from 2999-02-01 00:00:00 UTC on."
        in outcome.out
    )
    old.refresh_from_db()
    assert (old.state, old.valid_until) == (
        "retiring",
        dt.datetime(2999, 2, 1, tzinfo=UTC),
    )
    third = ca.issue("alice")
    outcome = clientcert(
        *["map", write(tmp_path, third), "--successor-of", str(new.pk)],
        *["--retire-on", "2999-01-31", "--valid-from", "2998-01-01"],
    )
    assert outcome.status == 0
    assert "mapping_not_yet_valid" in outcome.err
    assert CertificateMapping.objects.latest("pk").state == "scheduled"


def test_a_successor_is_recognised(
    tmp_path: Path, authority: Any, alice: Any, ca: ThrowawayCA
) -> None:
    """Where it was mapped like any other."""
    trust(write(tmp_path, ca.issue("alice")))
    old = CertificateMapping.objects.get()
    second = write(tmp_path, ca.issue("alice"))
    outcome = trust(second)
    assert f"successor of mapping {old.pk} (alice)" in outcome.out
    assert "successor" not in trust(second).out  # mapped already
    CertificateMapping.objects.update(state="disabled")
    assert "successor" not in trust(write(tmp_path, ca.issue("alice"))).out


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--successor-of", "1"], 2, "together"),
        (["--retire-on", "2999-01-01"], 2, "together"),
        (
            [
                *["--successor-of", "1", "--retire-on", "2999-01-01"],
                *["--note", "x", "--host", "a.example"],
            ],
            2,
            "--host, --note cannot be given",
        ),
        (
            ["--successor-of", "1", "--retire-on", "2999-01-01", "--kind", "subject"],
            2,
            "--kind",
        ),
        (["--successor-of", "999", "--retire-on", "2999-01-01"], 1, "no mapping 999"),
        ([], 2, "--user"),
    ],
)
def test_half_a_renewal_is_refused(
    file: str, alice: Any, arguments: list[str], status: int, text: str
) -> None:
    """With what is missing."""
    outcome = clientcert("map", file, *arguments)
    assert outcome.status == status
    assert text in outcome.error
    assert not CertificateMapping.objects.exists()


def test_what_is_no_successor_is_refused(
    tmp_path: Path, authority: Any, alice: Any, ca: ThrowawayCA
) -> None:
    """And the old mapping stays as it is."""
    trust(write(tmp_path, ca.issue("alice")))
    old = CertificateMapping.objects.get()
    outcome = clientcert(
        *["map", write(tmp_path, ca.issue("bob")), "--successor-of", str(old.pk)],
        *["--retire-on", "2999-01-31"],
    )
    assert outcome.status == 1
    assert "does not renew" in outcome.error
    assert CertificateMapping.objects.get().state == "active"


def test_a_mapping_can_be_scheduled(file: str, alice: Any) -> None:
    """From a day on; the same again with another day has no effect, and says so."""
    outcome = trust(file, "--valid-from", "2999-01-01")
    assert outcome.status == 0
    mapping = CertificateMapping.objects.get()
    assert mapping.state == "scheduled"
    assert mapping.valid_from == dt.datetime(2999, 1, 1, tzinfo=UTC)
    assert "mapping_not_yet_valid" in outcome.err
    assert "--valid-from had no effect" in trust(file, "--valid-from", "2999-01-02").err


def test_first_use_n11_a_ca_is_mapped_with_a_warning(
    tmp_path: Path, ca: ThrowawayCA, alice: Any
) -> None:
    """Its certificate is rarely a client’s; the command to add it is named."""
    outcome = trust(write(tmp_path, ca))
    assert outcome.status == 0
    assert "this is the certificate of a CA" in outcome.err
    assert "clientcert authority add BUNDLE --name NAME" in outcome.err
    assert CertificateMapping.objects.count() == 1


@pytest.mark.parametrize("form", ["37:C2:" + "00:" * 29 + "AA", "ab" * 20])
def test_first_use_n19_a_fingerprint_is_no_file(form: str) -> None:
    """The message says where one can be typed."""
    outcome = clientcert("map", form, "--user", "alice")
    assert outcome.status == 1
    assert "This is a fingerprint, not the name of a file" in outcome.error
