"""``clientcert authority``: add, replace and list."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    SeenCertificate,
)
from django_clientcert.testing import IssuedCertificate, ThrowawayCA
from django_clientcert.x509.certificates import ClientCertificate

from .running import clientcert

pytestmark = pytest.mark.django_db

NOW = dt.datetime.now(dt.timezone.utc)


@pytest.fixture
def bundle(tmp_path: Path, ca: ThrowawayCA) -> Path:
    """A root and an intermediate in a file, as a ca.crt has them."""
    file = tmp_path / "ca.crt"
    file.write_text(ca.pem + ca.issue_ca("Issuing CA").pem)
    return file


def test_add_stores_the_bundle(bundle: Path) -> None:
    """Every certificate is stored and listed with its role."""
    outcome = clientcert("authority", "add", str(bundle), "--name", "Partners")
    assert outcome.status == 0
    stored = CertificateAuthority.objects.get()
    assert (stored.name, stored.profile) == ("Partners", "private")
    assert stored.bundle == bundle.read_text()
    assert "Added: authority “Partners”, profile private" in outcome.out
    assert "1. CN=Test Root CA, anchor, valid from" in outcome.out
    assert "2. CN=Issuing CA, intermediate, valid from" in outcome.out


def test_add_reads_der_from_standard_input(ca: ThrowawayCA) -> None:
    """Whatever the format, PEM is what is stored."""
    outcome = clientcert(
        "authority", "add", "-", "--name", "P", "--profile", "strict", stdin=ca.der
    )
    assert outcome.status == 0
    stored = CertificateAuthority.objects.get()
    assert (stored.bundle, stored.profile) == (ca.pem, "strict")


def test_add_refuses_a_name_that_is_taken(
    bundle: Path, authority: CertificateAuthority
) -> None:
    """Who is trusted does not change by accident."""
    before = authority.bundle
    outcome = clientcert("authority", "add", str(bundle), "--name", "Test CA")
    assert outcome.status == 1
    assert "--replace" in outcome.error
    authority.refresh_from_db()
    assert authority.bundle == before


def test_replace_keeps_what_is_not_given(
    bundle: Path, authority: CertificateAuthority
) -> None:
    """The row stays, with its mappings, note and profile."""
    authority.profile, authority.note = "strict", "ours"
    authority.save()
    arguments = ["authority", "add", str(bundle), "--name", "Test CA", "--replace"]
    outcome = clientcert(*arguments)
    assert outcome.status == 0
    assert "Replaced: authority “Test CA”, profile strict" in outcome.out
    stored = CertificateAuthority.objects.get()
    assert (stored.pk, stored.note) == (authority.pk, "ours")
    assert (stored.bundle, stored.profile) == (bundle.read_text(), "strict")


def test_replace_adds_where_there_is_none(bundle: Path) -> None:
    """A script may always say --replace."""
    arguments = ["authority", "add", str(bundle), "--name", "New", "--replace"]
    assert "Added" in clientcert(*arguments).out


def test_what_the_verifier_cannot_do_is_said(tmp_path: Path) -> None:
    """At upload, not at 3 a.m."""
    root = ThrowawayCA.create("Ed Root", key="ed25519")
    stray = ThrowawayCA.create("Elsewhere").issue_ca("Stray")
    file = tmp_path / "ca.crt"
    file.write_text(root.pem + stray.pem)
    outcome = clientcert("authority", "add", str(file), "--name", "Ed")
    assert outcome.status == 0
    assert "Ed25519 CAs cannot be verified here" in outcome.out
    assert "Elsewhere, is not in the bundle" in outcome.out
    listed = clientcert("authority", "list").out
    assert "Ed25519 CAs cannot be verified here" in listed


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("client", "(CN=alice): an end-entity certificate"),
        ("key", "private key"),
        ("", "empty"),
    ],
)
def test_add_refuses_what_is_no_bundle(
    content: str, words: str, tmp_path: Path, alice_cert: IssuedCertificate
) -> None:
    """A client's certificate, a private key, nothing."""
    text = {"client": alice_cert.pem, "key": alice_cert.key_pem, "": ""}[content]
    file = tmp_path / "file"
    file.write_text(text)
    outcome = clientcert("authority", "add", str(file), "--name", "x")
    assert outcome.status == 1
    assert words in outcome.error
    assert alice_cert.key_pem.splitlines()[1] not in outcome.text
    assert not CertificateAuthority.objects.exists()


def test_add_refuses_a_name_that_is_too_long(bundle: Path) -> None:
    """The model's own rules hold."""
    outcome = clientcert("authority", "add", str(bundle), "--name", "x" * 101)
    assert outcome.status == 1
    assert "100" in outcome.error


def test_list_says_that_there_is_none() -> None:
    """And how to add one."""
    outcome = clientcert("authority", "list")
    assert outcome.status == 0
    assert "authority add BUNDLE" in outcome.out


def test_list_text(authority: CertificateAuthority) -> None:
    """One line for the authority, one for each certificate."""
    lines = clientcert("authority", "list").out.splitlines()
    assert lines[0] == f"Test CA (id {authority.pk}, profile private, 0 mappings)"
    assert lines[1].startswith("  - CN=Test Root CA, anchor, valid from ")


def test_list_json(
    authority: CertificateAuthority, alice: Any, ca: ThrowawayCA
) -> None:
    """One object with stable keys."""
    CertificateMapping.objects.create(
        user=alice, kind="subject", value="CN=alice", authority=authority
    )
    (listed,) = clientcert("authority", "list", "--json").data["authorities"]
    (certificate,) = listed.pop("certificates")
    assert listed == {
        "id": authority.pk,
        "name": "Test CA",
        "profile": "private",
        "mappings": 1,
        "usable": True,
        "error": None,
        "unreadable": [],
        "revocation_policy": "if_loaded",
        "crl_urls": [],
        "revocation_lists": [],
        "rule": None,
    }
    assert certificate["fingerprint"] == ca.fingerprint
    assert certificate["subject"] == "CN=Test Root CA"
    assert certificate["anchor"] is True
    assert certificate["problems"] == []
    assert dt.datetime.fromisoformat(certificate["not_after"]) > NOW


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [("bundle", "nonsense", "neither PEM"), ("profile", "lax", "lax")],
)
def test_list_names_what_cannot_be_used(
    field: str, value: str, words: str, authority: CertificateAuthority
) -> None:
    """A row that was damaged past the forms is listed with its error."""
    CertificateAuthority.objects.update(**{field: value})
    (listed,) = clientcert("authority", "list", "--json").data["authorities"]
    assert listed["usable"] is False
    assert words in listed["error"]
    assert "CANNOT BE USED" in clientcert("authority", "list").out


def test_names_from_outside_stay_on_their_line(tmp_path: Path) -> None:
    """A CA's subject can hold anything."""
    evil = ThrowawayCA.create("a\n\u202ework")
    file = tmp_path / "ca.crt"
    file.write_text(evil.pem)
    outcome = clientcert("authority", "add", str(file), "--name", "E\u202evil")
    assert "\u202e" not in outcome.text
    assert len(outcome.out.splitlines()) == 2
    listed = clientcert("authority", "list").out
    assert "\u202e" not in listed
    assert len(listed.splitlines()) == 3


@pytest.mark.django_db
def test_d03_the_rest_of_a_bundle_is_added(tmp_path: Path) -> None:
    """What was left out, is said on standard error; ``list`` names it later, too."""
    root = ThrowawayCA.create()
    file = tmp_path / "ca.crt"
    file.write_text(root.pem + root.issue("alice").pem)
    outcome = clientcert("authority", "add", str(file), "--name", "Clients")
    assert outcome.status == 0
    assert "Warning: Left out: certificate 2 of 2 (CN=alice): an end" in outcome.err
    assert CertificateAuthority.objects.get().bundle == root.pem


@pytest.mark.django_db
def test_d02_what_cannot_be_read_is_listed(authority: CertificateAuthority) -> None:
    """By number and subject, and the others as ever."""
    block = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    CertificateAuthority.objects.update(bundle=authority.bundle + block)
    out = clientcert("authority", "list").out
    assert "cannot be read, and has no effect: certificate 2 of 2 (without a" in out
    assert "CANNOT BE USED" not in out


@pytest.mark.django_db
@pytest.mark.parametrize("dry_run", [True, False])
def test_r16_a_bundle_that_locks_out_is_said(
    alice: Any, tmp_path: Path, dry_run: bool
) -> None:
    """A CA with a new key under the same name has issued none of the certificates."""
    old = ThrowawayCA.create("Internal")
    new = ThrowawayCA.create("Internal")
    authority = CertificateAuthority.objects.create(name="Internal", bundle=old.pem)
    certificates = [old.issue("alice"), new.issue("new")]
    for certificate in certificates:
        CertificateMapping.objects.create(
            user=alice,
            kind="fingerprint",
            value=certificate.fingerprint,
            certificate=certificate.der,
            authority=authority,
        )
    SeenCertificate.record(
        ClientCertificate(certificates[0].der),
        user=alice,
        mapping=None,
        authority=authority,
        host="",
        size=10,
        at=dt.datetime.now(dt.timezone.utc),
    )
    file = tmp_path / "new.crt"
    file.write_text(new.pem)
    options = ["--dry-run"] if dry_run else []
    outcome = clientcert(
        *("authority", "add", str(file), "--name", "Internal", "--replace", *options)
    )
    assert outcome.status == 0
    first = CertificateMapping.objects.order_by("pk").first()
    assert first is not None
    assert outcome.err == (
        "Warning: 1 mappings and 1 certificates accepted lately have no issuer in the "
        f"new bundle and are refused. Mappings: {first.pk} of alice.\n"
    )
    authority.refresh_from_db()
    assert authority.bundle == (old.pem if dry_run else new.pem)
    assert ("Nothing was changed." in outcome.out) == dry_run
    both = tmp_path / "both.crt"
    both.write_text(old.pem + new.pem)
    again = clientcert(
        *("authority", "add", str(both), "--name", "Internal", "--replace")
    )
    assert "no issuer" not in again.err
