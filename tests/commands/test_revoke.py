"""``clientcert revoke``: locked out at once, and what is said of it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from django_clientcert.management.subcommands import revoke as subcommand
from django_clientcert.models import (
    CertificateAuthority,
    Revocation,
    SeenCertificate,
)
from django_clientcert.testing import IssuedCertificate, ThrowawayCA, self_signed
from django_clientcert.x509.bundles import to_pem
from django_clientcert.x509.certificates import ClientCertificate
from tests import der_writer as w
from tests.conftest import Wsgi
from tests.deciding import decide, map_to
from tests.private_keys import TEXTS

from .running import clientcert

pytestmark = pytest.mark.django_db

NOW = dt.datetime.now(dt.timezone.utc)


def write(folder: Path, certificate: IssuedCertificate) -> str:
    """Write *certificate* to a file and return its name."""
    path = folder / f"{certificate.fingerprint[:16]}.pem"
    path.write_text(certificate.pem)
    return str(path)


def test_a_file_is_revoked(
    tmp_path: Path, alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """By key and serial number; the output says who is affected and how to undo it."""
    mapping = map_to(alice, "subject", "CN=alice", authority=authority)
    file = write(tmp_path, alice_cert)
    outcome = clientcert("revoke", file, "--reason", "keyCompromise", "--note", "lost")
    assert outcome.status == 0
    assert outcome.err == ""
    revocation = Revocation.objects.get()
    assert (revocation.reason, revocation.note) == (1, "lost")
    certificate = ClientCertificate(alice_cert.der)
    assert revocation.public_key == certificate.public_key_bytes
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert lines[0] == "Revoked: CN=alice"
    assert f"public key {certificate.public_key_fingerprint}" in lines
    assert "authority Test CA" in lines
    assert "reason keyCompromise, lost" in lines
    assert f"no longer valid mapping {mapping.pk} (subject) of alice" in lines
    assert decide(alice_cert).reason == "revoked"
    again = clientcert("revoke", file)
    assert again.status == 0
    assert again.out.startswith("Already revoked: CN=alice")
    assert Revocation.objects.count() == 1
    undone = clientcert("revoke", "--undo", str(revocation.pk))
    assert undone.out == f"Undone: revocation {revocation.pk} of CN=alice.\n"
    assert decide(alice_cert).accepted


def test_a_certificate_of_nobody_s_ca_is_revoked_by_its_key(tmp_path: Path) -> None:
    """And that is said."""
    outcome = clientcert("revoke", write(tmp_path, self_signed("x")))
    assert outcome.status == 0
    assert "no stored authority issued it" in outcome.err
    assert "no mapping matches it now" in outcome.out
    assert Revocation.objects.get().serial is None


def test_of_two_certificates_none_is_revoked(
    alice_cert: IssuedCertificate, mallory_cert: IssuedCertificate
) -> None:
    """Which one is meant would be a guess."""
    both = (alice_cert.pem + mallory_cert.pem).encode()
    outcome = clientcert("revoke", "-", stdin=both)
    assert outcome.status == 1
    assert not Revocation.objects.exists()


def test_standard_input(alice_cert: IssuedCertificate) -> None:
    """As with every file."""
    assert clientcert("revoke", "-", stdin=alice_cert.pem.encode()).status == 0
    outcome = clientcert("revoke", "-", stdin=b"nothing")
    assert outcome.status == 1
    assert outcome.error.startswith("Standard input: ")


def test_the_certificate_of_a_mapping(
    ask: Wsgi, alice: Any, bob: Any, authority: Any, alice_cert: Any, mallory_cert: Any
) -> None:
    """Its own, the last one that it accepted, its key alone, or none."""
    stored = map_to(
        alice,
        "fingerprint",
        alice_cert.fingerprint,
        certificate=alice_cert.der,
    )
    assert clientcert("revoke", "--mapping", str(stored.pk)).status == 0
    assert decide(alice_cert).reason == "revoked"
    by_name = map_to(bob, "subject", "CN=mallory", authority=authority)
    outcome = clientcert("revoke", "--mapping", str(by_name.pk))
    assert outcome.status == 1
    assert "--serial" in outcome.error
    ask("/ledger/", mallory_cert.der)
    assert clientcert("revoke", "--mapping", str(by_name.pk)).status == 0
    assert decide(mallory_cert).reason == "revoked"
    own = self_signed("own")
    key = ClientCertificate(own.der).public_key_fingerprint
    by_key = map_to(bob, "public_key", key)
    outcome = clientcert("revoke", "--mapping", str(by_key.pk))
    assert outcome.status == 0
    assert f"mapping {by_key.pk} (public_key) of bob" in outcome.out
    assert decide(own).reason == "revoked"


def test_a_serial_number(
    alice: Any, authority: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """In hex, with colons or without; of one CA."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    digits = ClientCertificate(alice_cert.der).serial_number_hex
    pairs = ":".join(digits[i : i + 2] for i in range(0, len(digits), 2)).upper()
    arguments = ["revoke", "--authority", "Test CA", "--serial", pairs]
    outcome = clientcert(*arguments)
    assert outcome.status == 0
    assert f"serial number {digits} of CN=Test Root CA" in outcome.out
    assert decide(alice_cert).reason == "revoked"
    several = CertificateAuthority.objects.create(
        name="Several", bundle=ca.pem + ca.issue_ca("Below").pem
    )
    outcome = clientcert("revoke", "--authority", "Several", "--serial", "07")
    assert outcome.status == 1
    assert "CN=Test Root CA; CN=Below" in outcome.error
    outcome = clientcert(
        "revoke", "--authority", "Several", "--serial", "07", "--issuer", "CN=Below"
    )
    assert outcome.status == 0
    assert Revocation.objects.get(authority=several).serial == b"\7"


@pytest.mark.parametrize("answer", [None, "yes", "no", ""])
def test_all_of_a_time(
    alice: Any,
    authority: Any,
    alice_cert: IssuedCertificate,
    monkeypatch: pytest.MonkeyPatch,
    ask: Wsgi,
    answer: str | None,
) -> None:
    """On a terminal it asks first; it says what it knows of."""
    map_to(alice, "fingerprint", alice_cert.fingerprint, certificate=alice_cert.der)
    map_to(alice, "subject", "CN=x", authority=authority, certificate=b"0\0")
    ask("/ledger/", alice_cert.der)
    issued = ClientCertificate(alice_cert.der).not_before
    days = [
        "--issued-from",
        f"{issued:%Y-%m-%d}",
        "--issued-until",
        f"{issued:%Y-%m-%d}",
    ]
    if answer is not None:
        monkeypatch.setattr(subcommand, "_is_interactive", lambda: True)
        monkeypatch.setattr("builtins.input", lambda prompt: answer)
    outcome = clientcert("revoke", "--authority", "Test CA", *days)
    assert "1 of mappings, 1 that logged in recently" in outcome.out
    if answer in ("no", ""):
        assert (outcome.status, outcome.error) == (1, "Nothing was revoked.")
        assert decide(alice_cert).accepted
        outcome = clientcert("revoke", "--authority", "Test CA", *days, "--no-input")
    assert outcome.status == 0
    assert decide(alice_cert).reason == "revoked"


def test_a_day_ends_before_the_next_one_begins(authority: Any, ca: ThrowawayCA) -> None:
    """Many CAs issue at midnight; who got one the day after is not meant."""
    day = NOW.replace(hour=0, minute=0, second=0, microsecond=0) - dt.timedelta(days=9)
    second = dt.timedelta(seconds=1)
    first, last, next_day = (
        ca.issue("x", not_before=moment)
        for moment in (
            day,
            day + dt.timedelta(days=1) - second,
            day + dt.timedelta(days=1),
        )
    )
    outcome = clientcert(
        *["revoke", "--authority", "Test CA", "--no-input"],
        *["--issued-from", f"{day:%Y-%m-%d}", "--issued-until", f"{day:%Y-%m-%d}"],
    )
    assert outcome.status == 0
    assert decide(first).reason == "revoked"
    assert decide(last).reason == "revoked"
    assert decide(next_day).reason == "unmapped"


def test_a_moment_ends_where_it_says(authority: Any) -> None:
    """With a time of day, nothing is added or taken away."""
    outcome = clientcert(
        *["revoke", "--authority", "Test CA", "--no-input"],
        *["--issued-from", "2020-01-01T08:00", "--issued-until", "2020-01-02T12:00"],
    )
    assert outcome.status == 0
    revocation = Revocation.objects.get()
    assert revocation.issued_from == dt.datetime(2020, 1, 1, 8, tzinfo=dt.timezone.utc)
    assert revocation.issued_until == dt.datetime(
        2020, 1, 2, 12, tzinfo=dt.timezone.utc
    )


def test_what_else_has_the_key_is_said(
    ask: Wsgi,
    tmp_path: Path,
    alice: Any,
    bob: Any,
    authority: Any,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
) -> None:
    """A renewed certificate with the same key is revoked with it; whoever has it."""
    twin = ca.issue("twin", key=alice_cert.key)
    mapping = map_to(bob, "fingerprint", twin.fingerprint, certificate=twin.der)
    map_to(bob, "subject", "CN=other", authority=authority, certificate=b"0\0")
    ask("/ledger/", twin.der)
    outcome = clientcert("revoke", write(tmp_path, alice_cert))
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert "no longer valid for any mapping or rule; no mapping matches it now" in lines
    shown = f"mapping {mapping.pk} (fingerprint) of bob"
    assert f"also revoked the certificate stored with {shown}" in lines
    assert "last logged in as bob" in lines
    assert decide(twin).reason == "revoked"


def test_a_name_goes_on_letting_in_others(
    tmp_path: Path, alice: Any, bob: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """The certificate is revoked, not the name; a disabled mapping accepts nobody."""
    names = [
        map_to(alice, "subject", "CN=alice", authority=authority),
        map_to(
            *(alice, "san_email", "alice@example.com"),
            authority=authority,
            state="disabled",
        ),
        map_to(alice, "fingerprint", alice_cert.fingerprint),
    ]
    outcome = clientcert("revoke", write(tmp_path, alice_cert))
    said = [line for line in outcome.out.splitlines() if line.startswith("Mapping")]
    assert len(said) == 1
    assert said[0].startswith(f"Mapping {names[0].pk} is of a name, so another")
    assert said[0].endswith("disable it in the admin.")


def test_whom_a_serial_number_locks_out_is_said(
    ask: Wsgi, alice: Any, bob: Any, authority: Any, ca: ThrowawayCA, alice_cert: Any
) -> None:
    """Through a mapping of that number, or of a certificate that has it."""
    certificate = ClientCertificate(alice_cert.der)
    digits = certificate.serial_number_hex
    number = map_to(
        alice, "issuer_serial", f"{digits} {certificate.issuer}", authority=authority
    )
    stored = map_to(
        alice, "fingerprint", alice_cert.fingerprint, certificate=alice_cert.der
    )
    other = ca.issue("other")
    map_to(bob, "fingerprint", other.fingerprint, certificate=other.der)
    ask("/ledger/", alice_cert.der)
    ask("/ledger/", other.der)
    outcome = clientcert("revoke", "--authority", "Test CA", "--serial", digits)
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert f"no longer valid mapping {number.pk} (issuer_serial) of alice" in lines
    assert (
        "also revoked the certificate stored with mapping "
        f"{stored.pk} (fingerprint) of alice"
    ) in lines
    assert "last logged in as alice" in lines
    assert decide(other).accepted


def test_a_ca_whose_name_cannot_be_typed_can_have_its_numbers_revoked(
    ca: ThrowawayCA,
) -> None:
    """No mapping can be of it, and that stops nothing."""
    odd = ClientCertificate(
        w.certificate(ca, subject=w.common_name(b"\xe9", w.T61), key=ca.issue_ca().key)
    )
    CertificateAuthority.objects.create(name="Odd", bundle=to_pem([odd]))
    outcome = clientcert("revoke", "--authority", "Odd", "--serial", "-7")
    assert outcome.status == 0
    assert "no mapping matches it now" in outcome.out


@pytest.fixture
def decimal_cert(ca: ThrowawayCA) -> IssuedCertificate:
    """A certificate whose serial number is that of the report, 4a3f5c92d1e87b6c."""
    return ca.issue("decimal", serial=5350096667996093292)


@pytest.mark.parametrize("known", ["stored", "seen", "numbered"])
def test_r09_the_serial_number_of_a_known_certificate_in_decimal_is_refused(
    known: str, alice: Any, authority: Any, decimal_cert: Any
) -> None:
    """Nothing is revoked; both readings are named, and each can be typed."""
    certificate = ClientCertificate(decimal_cert.der)
    if known == "stored":
        fields = {"certificate": decimal_cert.der}
        map_to(alice, "fingerprint", decimal_cert.fingerprint, **fields)
    elif known == "seen":
        at, none = timezone.now(), {"mapping": None, "authority": None}
        SeenCertificate.record(certificate, user=alice, host="", size=9, at=at, **none)
    else:
        value = f"4a3f5c92d1e87b6c {certificate.issuer}"
        map_to(alice, "issuer_serial", value, authority=authority)
    revoke = ["revoke", "--authority", "Test CA", "--serial"]
    for typed in ("5350096667996093292", "Serial Number: 5350096667996093292"):
        outcome = clientcert(*revoke, typed)
        assert outcome.status == 1
        assert "4a3f5c92d1e87b6c" in outcome.error
        assert "0x05350096667996093292" in outcome.error
        assert not Revocation.objects.exists()
    assert clientcert(*revoke, "0x05350096667996093292").status == 0
    outcome = clientcert(*revoke, "4a3f5c92d1e87b6c")
    assert (outcome.status, outcome.err) == (0, "")


def test_r09_digits_are_hex_if_a_certificate_has_that_number(
    alice: Any, bob: Any, authority: Any, ca: ThrowawayCA, decimal_cert: Any
) -> None:
    """As documented, also if the other reading is known too."""
    other = ca.issue("hex", serial=0x5350096667996093292)
    for user, issued in ((alice, decimal_cert), (bob, other)):
        map_to(user, "fingerprint", issued.fingerprint, certificate=issued.der)
    outcome = clientcert(
        "revoke", "--authority", "Test CA", "--serial", "5350096667996093292"
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert decide(other).reason == "revoked"
    assert decide(decimal_cert).accepted


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (
            "719299236242288014642003068697124896264407037746",
            "Is this decimal? Then enter 7dfe7e47e24d19155969b504f8fd84e5b6853732.",
        ),
        ("1" + "0" * 40, "has at most 20 octets"),
        ("1" + "0" * 127, "has at most 20 octets"),
        ("ab" * 21, "has at most 20 octets"),
    ],
)
def test_r09_more_than_20_octets_are_no_serial_number(
    authority: Any, typed: str, words: str
) -> None:
    """RFC 5280, 4.1.2.2: most decimal numbers are too long to be hexadecimal."""
    outcome = clientcert("revoke", "--authority", "Test CA", "--serial", typed)
    assert outcome.status == 2
    assert words in outcome.error
    assert not Revocation.objects.exists()


def test_r09_a_serial_number_of_no_known_certificate_is_revoked_with_a_warning(
    authority: Any,
) -> None:
    """It does not look like the revocation of a known certificate."""
    revoke = ["revoke", "--authority", "Test CA", "--serial"]
    for typed in ("deadbeef", "1234", "f" * 40):
        outcome = clientcert(*revoke, typed)
        assert outcome.status == 0
        assert "No certificate with this serial number is known here." in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--mapping", "1", "--list"],
        ["--serial", "07"],
        ["--issued-from", "2026-01-01", "--issued-until", "2026-01-02"],
        ["--issued-from", "2026-01-01", "--authority", "Test CA"],
        ["--serial", "xyz", "--authority", "Test CA"],
        ["--undo", "1", "--authority", "Test CA"],
        ["--list", "--issuer", "CN=x"],
        ["--list", "--issued-until", "2026-01-01"],
        ["--undo", "1", "--json"],
    ],
)
def test_half_a_command_is_wrong_usage(authority: Any, arguments: list[str]) -> None:
    """Status 2, and the option that is missing is named."""
    outcome = clientcert("revoke", *arguments)
    assert outcome.status == 2
    assert "--" in outcome.error
    assert not Revocation.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--mapping", "99"],
        ["--mapping", "x\x1b"],
        ["--undo", "99"],
        ["--undo", "9" * 40],
        ["--authority", "Nobody", "--serial", "07"],
        [
            *["--authority", "Test CA", "--no-input"],
            *["--issued-from", "2026-02-01", "--issued-until", "2026-01-01"],
        ],
    ],
)
def test_what_is_not_there_is_said(authority: Any, arguments: list[str]) -> None:
    """Status 1, in one line."""
    outcome = clientcert("revoke", *arguments)
    assert outcome.status == 1
    assert outcome.error
    assert "\x1b" not in outcome.text


def test_the_list(
    tmp_path: Path, alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """As text and for programs."""
    assert clientcert("revoke", "--list").out == "No revocations.\n"
    clientcert("revoke", write(tmp_path, alice_cert), "--note", "lost\nfound")
    clientcert(
        *["revoke", "--authority", "Test CA", "--no-input", "--reason", "superseded"],
        *["--issued-from", "2020-01-01", "--issued-until", "2020-01-02"],
    )
    Revocation.objects.filter(serial__isnull=False).update(revoked_by=alice)
    listed = clientcert("revoke", "--list").out.splitlines()
    assert len(listed) == 2
    first, second = clientcert("revoke", "--list", "--json").data["revocations"]
    certificate = ClientCertificate(alice_cert.der)
    assert first["public_key"] == certificate.public_key_fingerprint
    assert (first["authority"], first["revoked_by"]) == ("Test CA", "alice")
    assert first["issued_from"] is None
    assert (second["reason"], second["public_key"]) == ("superseded", None)
    assert second["issued_from"] == "2020-01-01T00:00:00+00:00"
    assert second["issued_until"] == "2020-01-02T23:59:59+00:00"


@pytest.mark.parametrize("option", ["--note", "--authority", "--issuer"])
def test_n66_a_private_key_is_refused(option: str) -> None:
    """Whatever the option, and it is not repeated."""
    key = TEXTS["pem pkcs8"]
    outcome = clientcert("revoke", "--undo", "1", option, key)
    assert outcome.status == 1
    assert "private key" in outcome.error
    assert key[40:80] not in outcome.text


def test_every_reason_has_its_name_in_the_standard() -> None:
    """RFC 5280, 5.3.1."""
    assert {"unspecified", "keyCompromise", "superseded"} < set(subcommand.REASONS)
    assert "removeFromCRL" not in subcommand.REASONS
