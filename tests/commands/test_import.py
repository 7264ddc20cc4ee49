"""``clientcert import``: rows of files, each stored or refused with a reason."""

from __future__ import annotations

import base64
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import UserManager
from django.db import connection

from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
)
from django_clientcert.testing import IssuedCertificate, ThrowawayCA
from django_clientcert.trust.crl_import import import_crl
from django_clientcert.trust.transfer import reading
from django_clientcert.trust.transfer.records import authority_record, export_records
from django_clientcert.trust.transfer.writing import JSON_HEAD
from tests import crl_writer
from tests.private_keys import TEXTS

from .running import CommandResult, clientcert

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where files are."""
    return tmp_path


def load(
    folder: Path, text: str | bytes, *options: str, name: str = "f.csv"
) -> CommandResult:
    """Import *text* as a file."""
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return clientcert("import", str(file), *options)


def load_json(
    folder: Path, *records: Any, options: tuple[str, ...] = ()
) -> CommandResult:
    """Import *records* as a JSON file."""
    body = JSON_HEAD + ",".join(json.dumps(one) for one in records) + "]}"
    return load(folder, body, *options, name="f.json")


def b64(issued: IssuedCertificate) -> str:
    """The certificate in base64."""
    return base64.b64encode(issued.der).decode()


def test_csv_by_hand(folder: Path, alice: Any, alice_cert: IssuedCertificate) -> None:
    """A user and a certificate are enough, PEM in a cell too; twice does no harm."""
    text = f'user;certificate;note\r\nalice;"{alice_cert.pem}";hello\r\n;;\r\n'
    outcome = load(folder, b"\xef\xbb\xbf" + text.encode())
    assert outcome.status == 0
    assert outcome.out.splitlines() == [
        f"line 2: new: alice: fingerprint {alice_cert.fingerprint}",
        "1 new, 0 exists, 0 refused. The new rows were stored.",
    ]
    mapping = CertificateMapping.objects.get()
    assert (mapping.user, mapping.note) == (alice, "hello")
    assert mapping.certificate_subject
    assert "0 new, 1 exists" in load(folder, text.encode("utf-16")).out
    changed = load(folder, text.replace("hello", "bye"))
    assert (changed.status, "different values in: note" in changed.out) == (1, True)


def test_all_or_nothing_dry_run_and_valid_only(
    folder: Path, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """What went in is what is said."""
    text = f"user,value\nalice,{alice_cert.fingerprint}\nnobody,{'ab' * 32}\n"
    for options in ((), ("--dry-run",), ("--dry-run", "--valid-only")):
        outcome = load(folder, text, *options)
        assert outcome.status == 1
        assert "line 2: new: alice" in outcome.out
        assert "line 3: refused: nobody: No user, or more" in outcome.out
        assert "Nothing was stored" in outcome.out
        assert not CertificateMapping.objects.exists()
    outcome = load(folder, text, "--valid-only", "--verbosity", "0")
    assert outcome.status == 1
    assert outcome.error == "Rows that were refused: 1."
    assert outcome.out.splitlines()[1:] == [
        "1 new, 0 exists, 1 refused. The new rows were stored."
    ]
    assert CertificateMapping.objects.count() == 1


def test_nul_is_refused(
    folder: Path, alice: Any, authority: CertificateAuthority
) -> None:
    """With its line; Python 3.10 takes such a file for no CSV at all."""
    head = "user,kind,value,authority,state,valid_from,certificate\n"
    outcome = load(folder, f"{head}al\0ice,,zz,,,,\n")
    assert outcome.status == 1
    if sys.version_info < (3, 11):
        assert "not CSV (line contains NUL). Nothing was stored" in outcome.error
    else:
        assert "line 2: refused: " in outcome.out
        assert "cannot be stored" in outcome.out
    assert not CertificateMapping.objects.exists()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("alice,nokind,x,,,,", "“nokind” is not a kind"),
        ("alice,,,,,,", "A value or a certificate is required"),
        ("alice,,zz,,,,", "value: "),
        (",,zz,,,,", "The user is missing"),
        ("alice,subject,CN=a,,,,", "authority: Choose the authority"),
        ("alice,subject,CN=a,No CA,,,", "no authority “No CA”"),
        (
            "alice,subject,CN=a,Test CA,retiring,,",
            "on which the mapping retires",
        ),
        ("alice,subject,CN=a,Test CA,what,,", "state: "),
        ("alice,subject,CN=a,Test CA,,soon,", "A date cannot be read"),
        ("alice,subject,CN=a,Test CA,,2027-13-45T00:00,", "A date cannot be read"),
        ("alice,,,,,,AAAA", "The certificate cannot be read"),
        ("alice,,,,,,?", "The certificate cannot be read"),
        ("alice,subject", "The row has 2 cells, but there are 7 columns"),
    ],
)
def test_refused_rows(
    row: str, words: str, folder: Path, alice: Any, authority: CertificateAuthority
) -> None:
    """Each with its line and the reason."""
    head = "user,kind,value,authority,state,valid_from,certificate\n"
    outcome = load(folder, f"{head}{row}\n")
    assert outcome.status == 1
    assert "line 2: refused: " in outcome.out
    assert words in outcome.out


def test_value_that_the_certificate_does_not_have(
    folder: Path, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """It would be shown as what it is not."""
    outcome = load(
        folder, f"user,value,certificate\nalice,{'ab' * 32},{b64(alice_cert)}\n"
    )
    assert "does not contain this value" in outcome.out


def test_n67_one_key_is_one_users(
    folder: Path, alice: Any, bob: Any, alice_cert: IssuedCertificate, ca: ThrowawayCA
) -> None:
    """N67: in one file, by another kind, and against what is stored."""
    head = "user,kind,certificate\n"
    one = f"alice,public_key,{b64(alice_cert)}\n"
    for other in ("fingerprint", "public_key"):
        outcome = load(folder, f"{head}{one}bob,{other},{b64(alice_cert)}\n")
        assert "line 3: refused: bob" in outcome.out
        assert "another user" in outcome.out
        assert not CertificateMapping.objects.exists()
    assert load(folder, head + one).status == 0
    outcome = load(folder, f"{head}bob,fingerprint,{b64(alice_cert)}\n")
    assert "The key of this certificate is mapped to another user" in outcome.out


@pytest.mark.parametrize("name", list(TEXTS))
def test_n66_private_key(name: str, folder: Path, alice: Any) -> None:
    """N66: refused wherever it stands, and not repeated."""
    text = TEXTS[name]
    probe = "".join(text.split())[60:90]
    quoted = text.replace('"', '""')
    for outcome in (
        load(folder, f'user,note,value\nalice,"{quoted}",ab\n'),
        load_json(folder, {"type": "mapping", "user": text, "value": "ab"}),
        load_json(folder, {"type": "mapping", "user": [{"a": text}]}),
        load(folder, text, name="alice.json"),
        load(folder, text, name="alice.csv"),
    ):
        assert outcome.status == 1
        assert probe not in "".join(outcome.text.split())
    (folder / "d").mkdir()
    (folder / "d" / "alice.pem").write_text(text)
    (folder / "d" / "-----BEGIN PRIVATE KEY-----").write_text("x")
    outcome = clientcert("import", str(folder / "d"))
    assert "private key" in outcome.out
    assert probe not in "".join(outcome.text.split())


def test_folder_and_archive(
    folder: Path, alice: Any, bob: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """A certificate in each file, named after its user; nothing else is used of it."""
    archive = folder / "all.bin"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("../../etc/alice.pem", alice_cert.pem)
        file.writestr("d/", "")
        file.writestr("bomb.pem", b"0" * (reading.MAX_ENTRY + 1))
    outcome = clientcert("import", str(archive), "--valid-only")
    assert "alice.pem: new: alice" in outcome.out
    assert "bomb.pem: refused: row: This is larger than 1024 KiB" in outcome.out
    below = folder / "certificates"
    (below / "sub").mkdir(parents=True)
    (below / "bob.der").write_bytes(ca.issue("b").der)
    (below / "x.txt").write_text("nonsense")
    outcome = clientcert("import", str(below), "--valid-only")
    assert "bob.der: new: bob" in outcome.out
    assert "x.txt: refused" in outcome.out
    assert {one.user for one in CertificateMapping.objects.all()} == {alice, bob}


@pytest.mark.parametrize(
    ("source", "user"),
    [("common-name", "cn"), ("email", "a@x.example"), ("upn", "u@x.example")],
)
def test_user_from_the_certificate(
    source: str, user: str, folder: Path, ca: ThrowawayCA
) -> None:
    """The one name there is; of two, none is believed."""
    get_user_model().objects.create_user(user)
    one = ca.issue("cn", emails=["a@x.example"], upns=["u@x.example"])
    (folder / "d").mkdir()
    (folder / "d" / "1.pem").write_text(one.pem)
    outcome = clientcert("import", str(folder / "d"), "--user-from", source)
    assert f"1.pem: new: {user}" in outcome.out
    two = ca.issue("x", emails=["a@x.example", "b@x.example"])
    (folder / "d" / "1.pem").write_text(two.pem)
    outcome = clientcert("import", str(folder / "d"), "--user-from", "email")
    assert "does not have exactly one email" in outcome.out


def test_authority_that_issued_it_is_found(
    folder: Path, alice: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """The one that signed; none, or two, have to be told apart."""
    text = f"user,certificate\nalice,{b64(alice_cert)}\n"
    options = ("--kind", "san_email")
    assert "None of the stored authorities" in load(folder, text, *options).out
    one = CertificateAuthority.objects.create(name="One", bundle=ca.pem)
    two = CertificateAuthority.objects.create(name="Two", bundle=ca.pem)
    assert "Several authorities" in load(folder, text, *options).out
    two.delete()
    assert load(folder, text, *options).status == 0
    assert CertificateMapping.objects.get().authority == one


def test_authority_that_did_not_issue_it(
    folder: Path, alice: Any, other_ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """A named authority is checked as in the admin's form."""
    other = CertificateAuthority.objects.create(name="Other", bundle=other_ca.pem)
    for kind in ("subject", "fingerprint"):
        text = (
            f"user,kind,authority,certificate\nalice,{kind},Other,{b64(alice_cert)}\n"
        )
        outcome = load(folder, text)
        words = "refused: alice: “Other” did not issue this certificate: "
        assert words in outcome.out
    assert not CertificateMapping.objects.exists()
    row = f"alice,subject,Other,{b64(other_ca.issue('alice'))}"
    assert load(folder, f"user,kind,authority,certificate\n{row}\n").status == 0
    assert CertificateMapping.objects.get().authority == other


def test_kind_that_the_certificate_lacks(
    folder: Path,
    alice: Any,
    authority: CertificateAuthority,
    mallory_cert: IssuedCertificate,
) -> None:
    """The row says so."""
    text = f"user,kind,certificate\nalice,san_upn,{b64(mallory_cert)}\n"
    assert "refused: alice: The certificate has no san_upn" in load(folder, text).out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Line 1 must name the columns"),
        ("user,what\n", "unknown column: what"),
        ("user,user\n", "names a column twice"),
        (b"user,value\nal\xfcce,x\n", "not UTF-8"),
        ('user,value\n"alice,x', "this is not CSV"),
        ("user,value\n" + "x" * reading.MAX_RECORD, "a line is too long"),
    ],
)
def test_csv_that_cannot_be_read(text: Any, words: str, folder: Path) -> None:
    """As a whole: nothing is stored."""
    outcome = load(folder, text)
    assert outcome.status == 1
    assert words in outcome.error
    assert "Nothing was stored" in outcome.error


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "not written by “clientcert export”"),
        (b"\xff\xff", "not UTF-8"),
        (JSON_HEAD, "cut off"),
        (JSON_HEAD + '{"a": ', "cut off"),
        (JSON_HEAD + "{} {}]}", "cut off"),
        (JSON_HEAD + "]} x", "continues after the records"),
        (JSON_HEAD + "[" * 200_000, "Line 1: "),
        (JSON_HEAD + '{"x": ' + "[" * 3000 + "]" * 3000 + "}]}", "Line 1: "),
    ],
)
def test_json_that_cannot_be_read(text: Any, words: str, folder: Path) -> None:
    """Cut off or damaged: nothing is stored."""
    outcome = load(folder, text, "--valid-only", name="f.json")
    assert outcome.status == 1
    assert words in outcome.error


def test_json_laid_out_otherwise(
    folder: Path, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """As other programs write it; a record over several lines has its first."""
    record = {"type": "mapping", "user": "alice", "value": alice_cert.fingerprint}
    record["note"] = "x" * 70_000
    data = {"format": "django-clientcert", "version": 1, "records": [record]}
    text = json.dumps(data, indent=2)
    spaced = text.replace("[\n", "[" + "\n" * 70_000)
    outcome = load(folder, spaced, "--dry-run", name="f.json")
    assert "line 70004: new: alice" in outcome.out
    outcome = load(folder, text, name="f.json")
    assert outcome.status == 0
    assert "line 5: new: alice" in outcome.out


def test_records_that_are_refused(
    folder: Path, alice: Any, authority: CertificateAuthority
) -> None:
    """With --valid-only too, if others could be accepted without them."""
    good = {"type": "mapping", "user": "alice", "value": "ab" * 32}
    there = authority_record(authority)
    for bad, words in (
        ("x", "This is not a record"),
        ({"type": "what"}, "“what” is not a record type"),
        ({"type": "authority", "name": "x"}, "A field is missing"),
        ({**there, "note": "other"}, "different values in: note"),
        ({**there, "name": "y", "rule_groups": ["G"]}, "There is no group “G”"),
        ({**there, "name": "y", "bundle": "z"}, "bundle: "),
        ({**there, "name": "y", "rule_creates_users": 1}, "A field is missing"),
        ({**there, "name": "y\ud800"}, "cannot be stored"),
        ({"type": "revoked_serials", "authority": "a", "list": "b"}, "missing"),
    ):
        outcome = load_json(folder, good, bad, options=("--valid-only",))
        assert outcome.status == 1
        assert words in outcome.out, outcome.text
        assert "--valid-only skips mappings only" in outcome.out
        assert not CertificateMapping.objects.exists()


def test_parts_of_another_kind(
    folder: Path, alice: Any, authority: CertificateAuthority
) -> None:
    """No input is an exception."""
    good = {"type": "mapping", "user": "alice", "value": "ab" * 32}
    for name in (*good, "kind", "authority", "state", "valid_from", "hosts", "note"):
        for value in (7, ["x"], {"x": 1}, True):
            if name != "type":
                outcome = load_json(folder, {**good, name: value})
                assert "line 1: refused" in outcome.out, (name, value)
    outcome = load_json(folder, {**good, "certificate": 7})
    assert "line 1: refused" in outcome.out


def revocation(**fields: Any) -> dict[str, Any]:
    """A record of a revocation."""
    names = ("authority", "public_key", "issuer_key", "serial", "issued_from")
    record = dict.fromkeys(
        (*names, "issued_until", "certificate", "revoked_at", "revoked_by")
    )
    return {
        "type": "revocation",
        **record,
        "description": "x",
        "reason": 0,
        "note": "",
        **fields,
    }


def test_revocations(folder: Path, alice: Any) -> None:
    """Whoever revoked it may be gone; what revokes nothing is refused."""
    good = revocation(public_key="ab" * 32, revoked_by="nobody")
    assert load_json(folder, good).status == 0
    assert Revocation.objects.get().revoked_by is None
    assert "1 exists" in load_json(folder, good).out
    for fields, words in (
        ({}, "Choose what to revoke"),
        ({"public_key": ""}, "A field is missing"),
        ({"public_key": "ab" * 33}, "A field is missing"),
        ({"public_key": "ab", "reason": "x"}, "A field is missing"),
        ({"serial": "ab"}, "the CA that issued it"),
        ({"authority": "x", "public_key": "cd"}, "no authority “x”"),
    ):
        assert words in load_json(folder, revocation(**fields)).out


def test_revocation_lists(
    folder: Path, ca: ThrowawayCA, authority: CertificateAuthority
) -> None:
    """A CRL without all of its entries would accept what it revokes."""
    entries = [crl_writer.entry(number) for number in (1, 2)]
    import_crl(authority, crl_writer.crl(ca, entries=entries))
    *records, of, serials = export_records()
    assert (of["type"], serials["type"]) == ("revocation_list", "revoked_serials")
    assert "3 exists" not in load_json(folder, *records, of, serials).out
    assert "0 new, 2 exists" in load_json(folder, *records, of, serials).out
    lists = authority.revocation_lists
    number = [crl_writer.number(7)]
    lists.all().delete()
    outcome = load_json(folder, *records, of, options=("--valid-only",))
    assert "has 2 entries, but the file contains 0. Nothing was stored" in outcome.error
    assert not lists.exists()
    assert "twice" in load_json(folder, *records, of, of, serials).out
    of_none = {**serials, "serials": [[None, None, None], *serials["serials"][1:]]}
    outcome = load_json(folder, *records, of, of_none)
    assert "A field is missing or has the wrong type" in outcome.out
    assert not lists.exists()
    assert load_json(folder, *records, of, serials).status == 0
    lists.all().delete()
    import_crl(authority, crl_writer.crl(ca, extensions=number))
    assert "clientcert crl import" in load_json(folder, *records, of, serials).out


def test_same_name_of_two_authorities(
    folder: Path, alice: Any, bob: Any, ca: ThrowawayCA, authority: Any
) -> None:
    """It is another mapping, and may be another user's."""
    CertificateAuthority.objects.create(name="Two", bundle=ca.pem)
    text = "user,kind,value,authority\nalice,subject,CN=a,Test CA\n"
    outcome = load(folder, f"{text}\nbob,subject,CN=a,Two\n")
    assert outcome.status == 0
    assert "line 4: new: bob" in outcome.out


def test_users_with_a_number_for_a_name(
    folder: Path, alice: Any, monkeypatch: Any
) -> None:
    """A name that is not a number belongs to no user, and is not an error."""
    monkeypatch.setattr(get_user_model(), "USERNAME_FIELD", "id")
    text = f"user,value\nx,{'ab' * 32}\n"
    assert "No user, or more than one" in load(folder, text).out


def test_archives_that_cannot_be_read(folder: Path, monkeypatch: Any) -> None:
    """Broken, or too many files."""
    outcome = load(folder, b"PK\x03\x04 nonsense", name="a.zip")
    assert "The archive cannot be read" in outcome.error
    with zipfile.ZipFile(folder / "b.zip", "w") as file:
        file.writestr("a", "")
        file.writestr("b", "")
    monkeypatch.setattr(reading, "MAX_ENTRIES", 1)
    outcome = clientcert("import", str(folder / "b.zip"))
    assert "more than 1 files" in outcome.error
    for way in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        with zipfile.ZipFile(folder / "c.zip", "w", way) as file:
            file.writestr("a", "x" * 100)
        octets = bytearray((folder / "c.zip").read_bytes())
        octets[40:60] = bytes(20)
        outcome = load(folder, bytes(octets), name="d.zip")
        assert "The archive cannot be read" in outcome.error


def test_files_that_are_not_there_or_not_known(folder: Path) -> None:
    """Said in a line."""
    outcome = clientcert("import", str(folder / "no.csv"))
    assert "No such file or directory. Nothing was stored." in outcome.error
    assert "Give --format" in load(folder, "x", name="f.bin").error


def test_users_of_other_models(folder: Path, alice: Any, monkeypatch: Any) -> None:
    """By natural key where the plain look-up finds none; of two, neither."""
    text = f"user,value\nALICE,{'ab' * 32}\n"
    monkeypatch.setattr(
        UserManager,
        "get_by_natural_key",
        lambda self, name: self.get(username__iexact=name),
    )
    assert load(folder, text, "--dry-run").status == 0
    if connection.vendor != "mysql":  # there, nobody else can have that name
        get_user_model().objects.create_user("Alice")
        assert "No user, or more than one" in load(folder, text).out
    else:
        get_user_model().objects.create_user("another")
    monkeypatch.setattr(get_user_model(), "USERNAME_FIELD", "first_name")
    twice = f"user,value\nx,{'ab' * 32}\n"
    get_user_model().objects.update(first_name="x")
    monkeypatch.setattr(
        UserManager, "get_by_natural_key", lambda self, name: self.get(first_name=name)
    )
    assert "No user, or more than one" in load(folder, twice).out


def test_n40_a_user_of_another_name_is_not_taken(
    folder: Path, alice: Any, monkeypatch: Any
) -> None:
    """Some databases find “alice” for “alicé”, which a certificate may say."""
    monkeypatch.setattr(
        UserManager, "get_by_natural_key", lambda self, name: self.get(pk=alice.pk)
    )
    for name, status in (("alicé", 1), ("ALICE", 0)):
        outcome = load(folder, f"user,value\n{name},{'ab' * 32}\n", "--dry-run")
        assert outcome.status == status, outcome.text


def test_queries_are_of_batches(
    folder: Path, alice: Any, django_assert_max_num_queries: Any
) -> None:
    """Not of rows: 1,200 rows are three batches."""
    rows = "".join(f"alice,{number:064x}\n" for number in range(1200))
    with django_assert_max_num_queries(40):
        assert load(folder, f"user,value\n{rows}").status == 0
    assert CertificateMapping.objects.count() == 1200


def test_p06_databases_that_return_no_keys_have_them_afterwards(
    folder: Any, monkeypatch: pytest.MonkeyPatch, alice: Any
) -> None:
    """MySQL: the history of each mapping needs its primary key."""
    features = type(connection.features)
    monkeypatch.setattr(features, "can_return_rows_from_bulk_insert", False)
    saved: list[Any] = []
    save = CertificateMapping.save

    def note(self: Any, **kwargs: Any) -> None:
        save(self, **kwargs)
        saved.append(self.pk)

    monkeypatch.setattr(CertificateMapping, "save", note)
    load(folder, f"user,value\nalice,{1:064x}\nalice,{2:064x}\n")
    mappings = CertificateMapping.objects.order_by("pk")
    assert saved == list(mappings.values_list("pk", flat=True)) != []


def test_l16_nothing_new_is_said_so(folder: Path, alice: Any) -> None:
    """The second time, there is nothing to store."""
    rows = f"user,value\nalice,{1:064x}\n"
    assert load(folder, rows).out.endswith("The new rows were stored.\n")
    assert load(folder, rows).out.endswith("There was nothing to store.\n")
