"""The import screens: each row is previewed before anything is stored."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
import re
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError
from django.test import Client, RequestFactory
from django.utils import timezone

from django_clientcert.admin.base.which_form import Which
from django_clientcert.admin.mappings import importing
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    PendingImport,
    Revocation,
    SeenCertificate,
    UnknownCertificate,
)
from django_clientcert.testing import IssuedCertificate, ThrowawayCA
from django_clientcert.trust.crl_import import import_crl
from django_clientcert.trust.transfer.records import export_records
from django_clientcert.trust.transfer.writing import write_json
from django_clientcert.x509.certificates import ClientCertificate
from tests import crl_writer
from tests.commands.test_import import revocation
from tests.private_keys import TEXTS, UPLOADS, secrets_of

from .pages import MAPPING, errors_on, log_in, make_staff, messages_after, page, text_of

pytestmark = pytest.mark.django_db

IMPORT = f"{MAPPING}_import"
PREVIEW = f"{IMPORT}_preview"
PINS = [f"{number:064x}" for number in range(1, 4)]

Choose = Callable[..., Any]


@pytest.fixture
def as_adder(db: None) -> Client:
    """A user who may add mappings."""
    return log_in(make_staff("adder", "add_certificatemapping"))


def upload(name: str, content: str | bytes) -> SimpleUploadedFile:
    """Return a file as a browser sends it."""
    return SimpleUploadedFile(
        name, content.encode() if isinstance(content, str) else content
    )


def choose(client: Client, *files: SimpleUploadedFile, **data: Any) -> Any:
    """Submit the import form, which stores nothing."""
    before = CertificateMapping.objects.count()
    response = client.post(
        page(IMPORT),
        {"uploads": files, "user_from": "file-name", "kind": "fingerprint", **data},
    )
    assert CertificateMapping.objects.count() == before
    return response


def preview(client: Client, *files: SimpleUploadedFile, **data: Any) -> Any:
    """Submit the import form, and return the preview."""
    response = choose(client, *files, **data)
    assert response.status_code == 302, text_of(response)
    before = CertificateMapping.objects.count()
    shown = client.get(response["Location"])
    assert shown.status_code == 200
    assert CertificateMapping.objects.count() == before
    assert not LogEntry.objects.exists()
    return shown


def results(response: Any) -> list[tuple[str, str]]:
    """Return the place and result of each row on the page."""
    return [(row.place, str(result)) for row, result in response.context["rows"]]


def store(client: Client, response: Any, which: str = "all") -> Any:
    """Submit the preview, and return the result."""
    address = response.context["action_url"]
    sent = client.post(address, {"which": which, "post": "yes"})
    return client.get(sent["Location"]) if sent.status_code == 302 else sent


def csv_of(*rows: tuple[str, str]) -> SimpleUploadedFile:
    """Return a CSV file of users and values."""
    lines = "".join(f"{user},{value}\r\n" for user, value in rows)
    return upload("f.csv", f"user,value\r\n{lines}")


def test_the_way(as_adder: Client, alice: Any) -> None:
    """Choose, preview, store and view the result; a second submit stores nothing."""
    form = as_adder.get(page(IMPORT))
    assert 'type="file" name="uploads"' in form.content.decode()
    assert "multiple" in form.content.decode()
    shown = preview(as_adder, csv_of(("alice", PINS[0]), ("alice", PINS[1])))
    assert results(shown) == [
        ("line 2", "will be created"),
        ("line 3", "will be created"),
    ]
    assert "Nothing has been stored yet" in text_of(shown)
    assert 'value="Import 2 rows"' in shown.content.decode()
    assert shown.context["adminform"].form.initial == {"which": "all"}
    done = store(as_adder, shown)
    assert results(done) == [("line 2", "created"), ("line 3", "created")]
    assert done.context["adminform"] is None
    assert "The import is done" in text_of(done)
    assert set(CertificateMapping.objects.values_list("user__username", "value")) == {
        ("alice", PINS[0]),
        ("alice", PINS[1]),
    }
    logged = LogEntry.objects.values_list("object_id", "user__username")
    pks = {str(one) for one in CertificateMapping.objects.values_list("pk", flat=True)}
    assert set(logged) == {(pk, "adder") for pk in pks}
    again = store(as_adder, shown)
    assert results(again) == results(done)
    assert CertificateMapping.objects.count() == 2


@pytest.mark.parametrize("may_view", [True, False])
def test_the_way_back(db: None, may_view: bool) -> None:
    """The breadcrumbs link to the changelist if the user may view it."""
    permissions = ["add_certificatemapping"]
    if may_view:
        permissions.append("view_certificatemapping")
    shown = log_in(make_staff("a", *permissions)).get(page(IMPORT)).content.decode()
    _, _, rest = shown.partition('class="breadcrumbs"')
    crumbs, _, _ = rest.partition("</div>" if "</ol>" not in rest else "</ol>")
    assert "Certificate mappings" in crumbs
    address = page(f"{MAPPING}_changelist")
    assert (f'href="{address}"' in crumbs) is may_view


def test_the_same_at_the_same_moment(
    as_adder: Client, alice: Any, rf: RequestFactory
) -> None:
    """Of two simultaneous submits, the second finds that the rows are stored."""
    shown = preview(as_adder, csv_of(("alice", PINS[0])))
    seen_before = PendingImport.objects.get()
    assert str(seen_before) == seen_before.created_at.isoformat()
    store(as_adder, shown)
    request = rf.post("/")
    request.user = seen_before.owner
    assert importing.store(request, seen_before, Which.ALL) == ""
    PendingImport.objects.all().delete()
    error = importing.store(request, seen_before, Which.ALL)
    assert error == "Nothing was stored: this import no longer exists."
    assert CertificateMapping.objects.count() == 1


def test_all_or_the_valid_ones(as_adder: Client, alice: Any) -> None:
    """If a row is refused, the valid ones can be stored."""
    CertificateMapping.objects.create(user=alice, kind="fingerprint", value=PINS[0])
    file = csv_of(("alice", PINS[0]), ("nobody", PINS[1]), ("alice", PINS[2]))
    shown = preview(as_adder, file)
    assert [result for _, result in results(shown)] == [
        "already exists",
        "refused",
        "will be created",
    ]
    assert "has the username “nobody”" in text_of(shown)
    assert shown.context["adminform"].form.initial == {"which": "valid"}
    refused = store(as_adder, shown, "all")
    assert errors_on(refused) == {
        "which": ["Nothing was stored, because some rows are refused (see below)."]
    }
    assert CertificateMapping.objects.count() == 1
    assert store(as_adder, shown, "some").context["errors"]
    done = store(as_adder, shown, "valid")
    assert [result for _, result in results(done)] == [
        "already existed",
        "refused",
        "created",
    ]
    assert CertificateMapping.objects.count() == 2


def test_rows_of_one_result(as_adder: Client, alice: Any) -> None:
    """The rows can be filtered by their result."""
    shown = preview(as_adder, csv_of(("alice", PINS[0]), ("nobody", PINS[1])))
    address = shown.context["action_url"]
    for status, places in (
        ("refused", ["line 3"]),
        ("new", ["line 2"]),
        ("exists", []),
        ("", ["line 2", "line 3"]),
    ):
        response = as_adder.get(address, {"status": status})
        assert [place for place, _ in results(response)] == places
        content = response.content.decode()
        (chosen,) = re.findall(r'<a href="(\?[^"]*)" aria-current', content)
        assert chosen == (f"?status={status}" if status else "?")
    assert "No rows." in text_of(as_adder.get(address, {"status": "exists"}))


def test_what_changed_since(as_adder: Client, alice: Any) -> None:
    """The rows are checked again when they are stored."""
    shown = preview(as_adder, csv_of(("alice", PINS[0])))
    get_user_model().objects.filter(pk=alice.pk).update(username="alicia")
    response = store(as_adder, shown)
    # There is nothing left to import, so there is no form to complain in.
    assert results(response) == [("line 2", "refused")]
    assert "The files contain nothing that can be created" in text_of(response)
    assert not CertificateMapping.objects.exists()


def test_a_user_who_is_gone_meanwhile(
    as_adder: Client, alice: Any, monkeypatch: Any
) -> None:
    """If a user is deleted at the same time, nothing is stored."""
    shown = preview(as_adder, csv_of(("alice", PINS[0])))

    def fail(*arguments: Any, **options: Any) -> None:
        raise IntegrityError("no such user")

    monkeypatch.setattr(PendingImport, "save", fail)
    response = store(as_adder, shown)
    (error,) = errors_on(response)["which"]
    assert "was deleted at the same time" in error
    assert not CertificateMapping.objects.exists()
    assert not LogEntry.objects.exists()


def test_certificates_by_their_names(
    as_adder: Client, ca: ThrowawayCA, alice: Any, bob: Any
) -> None:
    """Several files or a zip; the file name or the certificate names the user."""
    one, two = ca.issue("x", emails=["bob"]), ca.issue("alice")
    shown = preview(as_adder, upload("alice.pem", one.pem), upload("bob.der", two.der))
    assert results(shown) == [
        ("alice.pem", "will be created"),
        ("bob.der", "will be created"),
    ]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("some/x.pem", "text before\n" + two.pem)
        archive.writestr("y.pem", one.pem)
    file = upload("a.bin", buffer.getvalue())
    shown = preview(as_adder, file, user_from="common-name", kind="public_key")
    assert [result for _, result in results(shown)] == ["will be created", "refused"]
    store(as_adder, shown, "valid")
    mapping = CertificateMapping.objects.get()
    assert (mapping.user, mapping.kind) == (alice, "public_key")
    assert mapping.certificate_subject == "CN=alice"


def test_what_is_mapped_leaves_the_inbox(
    as_adder: Client, alice: Any, alice_cert: IssuedCertificate, mallory_cert: Any
) -> None:
    """Imported certificates are removed from the inbox, and no others."""
    for one in (alice_cert, mallory_cert):
        certificate = ClientCertificate(one.der)
        UnknownCertificate.objects.create(
            public_key=certificate.public_key_bytes,
            fingerprint=certificate.fingerprint_bytes,
            certificate=one.der,
        )
    shown = preview(as_adder, upload("alice.pem", alice_cert.pem))
    assert UnknownCertificate.objects.count() == 2
    store(as_adder, shown)
    row = UnknownCertificate.objects.get()
    assert bytes(row.certificate) == mallory_cert.der


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "This field is required."),
        ([upload("f.csv", "")], "The submitted file is empty."),
        ([upload("f.csv", "hello")], "Line 1 must name the columns"),
        ([upload("f.json", "{}")], "not written by “clientcert export”"),
        ([upload("f.zip", b"PK\x03\x04 x")], "The archive cannot be read"),
        (
            [upload("f.csv", "user,value\n"), upload("a.pem", "-----BEGIN CERT")],
            "one file with rows, one archive, or several certificates",
        ),
        (
            [upload("f.csv", b"\xff\xfeu\x00s\x00e\x00r\x00,\x00x\x00")],
            "names an unknown column: x",
        ),
    ],
)
def test_files_that_cannot_be_read(as_adder: Client, files: Any, words: str) -> None:
    """The error is shown at the field, and nothing is kept."""
    for one in files:
        one.seek(0)
    (error,) = errors_on(choose(as_adder, *files))["uploads"]
    assert words in error
    assert not PendingImport.objects.exists()


def test_more_than_a_page_can_show(
    as_adder: Client, alice: Any, monkeypatch: Any
) -> None:
    """Too many rows or bytes are refused, and the message names the command."""
    monkeypatch.setattr(importing, "MAX_ROWS", 2)
    rows = [("alice", pin) for pin in PINS]
    (error,) = errors_on(choose(as_adder, csv_of(*rows)))["uploads"]
    assert "more than 2 rows" in error
    assert "manage.py clientcert import" in error
    assert len(results(preview(as_adder, csv_of(*rows[:2])))) == 2
    monkeypatch.setattr(importing, "MAX_BYTES", 10)
    assert errors_on(choose(as_adder, csv_of(*rows[:2])))["uploads"]


def test_an_archive_that_unpacks_to_too_much(as_adder: Client) -> None:
    """A large archive is refused before it is unpacked."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(9):
            archive.writestr(f"{number}.pem", bytes(1024 * 1024))
    file = upload("a.zip", buffer.getvalue())
    (error,) = errors_on(choose(as_adder, file))["uploads"]
    assert error == "The archive contains more than 8 MiB."
    damaged = buffer.getvalue().replace(b"PK\x01\x02", b"PK\x09\x09")
    (error,) = errors_on(choose(as_adder, upload("a.zip", damaged)))["uploads"]
    assert "The archive cannot be read" in error


def test_a_bad_certificate_is_named(as_adder: Client, alice: Any) -> None:
    """The error names the file, and the other files can be imported."""
    ca = ThrowawayCA.create()
    shown = preview(
        as_adder,
        upload("alice.pem", ca.issue("alice").pem),
        upload(
            "<b>x.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
        ),
    )
    places = [place for place, _ in results(shown)]
    assert places == ["alice.pem", "<b>x.pem"]
    assert "&lt;b&gt;x.pem" in shown.content.decode()
    assert [result for _, result in results(shown)] == ["will be created", "refused"]


def test_n65_only_those_that_may_be_mapped(
    as_adder: Client, as_root: Client, alice: Any
) -> None:
    """N65: imports need the same permissions as the form."""
    get_user_model().objects.create_user("clerk", is_staff=True)
    file = csv_of(("root", PINS[0]), ("clerk", PINS[1]), ("alice", PINS[2]))
    shown = preview(as_adder, file)
    assert [result for _, result in results(shown)] == [
        "refused",
        "refused",
        "will be created",
    ]
    assert "Only a superuser may map a certificate to a superuser." in text_of(shown)
    store(as_adder, shown, "valid")
    assert [one.user for one in CertificateMapping.objects.all()] == [alice]
    file.seek(0)
    CertificateMapping.objects.all().delete()
    LogEntry.objects.all().delete()
    store(as_root, preview(as_root, file))
    assert CertificateMapping.objects.count() == 3


def test_a02_certificates_of_those_that_may_not_be_mapped(
    as_adder: Client,
    as_root: Client,
    alice: Any,
    ca: ThrowawayCA,
    authority: CertificateAuthority,
) -> None:
    """A02: a more specific mapping to another user takes a certificate away."""
    certificate = ca.issue("root", emails=["root@example.com"])
    root = get_user_model().objects.get(username="root")
    mapping = CertificateMapping(
        user=root, kind="san_email", value="root@example.com", authority=authority
    )
    mapping.save()
    cell = base64.b64encode(certificate.der).decode()
    file = upload("f.csv", f"user,kind,certificate\nalice,fingerprint,{cell}\n")
    shown = preview(as_adder, file)
    assert [result for _, result in results(shown)] == ["refused"]
    assert f"Mapping {mapping.pk} (e-mail address (SAN)) maps this" in text_of(shown)
    store(as_adder, shown, "valid")
    assert CertificateMapping.objects.get() == mapping
    file.seek(0)
    store(as_root, preview(as_root, file))
    assert CertificateMapping.objects.count() == 2


@pytest.mark.parametrize("known_as", ["mapped", "accepted", "refused"])
def test_a02_typed_digests_of_those_that_may_not_be_mapped(
    as_adder: Client,
    as_root: Client,
    alice: Any,
    ca: ThrowawayCA,
    authority: CertificateAuthority,
    known_as: str,
) -> None:
    """A02: a fingerprint without its certificate is checked like the certificate."""
    certificate = ClientCertificate(ca.issue("root", emails=["root@example.com"]).der)
    root = get_user_model().objects.get(username="root")
    stored = {
        "fingerprint": certificate.fingerprint_bytes,
        "certificate": certificate.der,
    }
    if known_as == "refused":
        key = certificate.public_key_bytes
        UnknownCertificate.objects.create(public_key=key, reason="unmapped", **stored)
    elif known_as == "accepted":
        SeenCertificate.objects.create(user=root, **stored)
    mapping = CertificateMapping(
        user=root,
        kind="san_email",
        value="root@example.com",
        authority=authority,
        certificate=certificate.der if known_as == "mapped" else None,
    )
    mapping.save()
    file = csv_of(("alice", certificate.fingerprint), ("alice", PINS[0]))
    shown = preview(as_adder, file)
    assert [result for _, result in results(shown)] == ["refused", "will be created"]
    assert "whose mappings you may not change" in text_of(shown)
    file.seek(0)
    store(as_root, preview(as_root, file))
    assert CertificateMapping.objects.count() == 3


def test_a02_typed_names_of_those_that_may_not_be_mapped(
    as_adder: Client,
    as_root: Client,
    alice: Any,
    ca: ThrowawayCA,
    authority: CertificateAuthority,
) -> None:
    """A02: a name without its certificate is checked like the certificate."""
    certificate = ClientCertificate(ca.issue("root", emails=["root@example.com"]).der)
    root = get_user_model().objects.get(username="root")
    SeenCertificate.objects.create(
        user=root,
        fingerprint=certificate.fingerprint_bytes,
        certificate=certificate.der,
    )
    rows = [("root@example.com", "refused"), ("a@example.com", "will be created")]
    for value, expected in rows:
        text = f"user,kind,value,authority\nalice,san_email,{value},{authority.name}\n"
        shown = preview(as_adder, SimpleUploadedFile("rows.csv", text.encode()))
        assert [result for _, result in results(shown)] == [expected]


def test_n65_rights_that_are_gone_before_it_is_stored(
    as_adder: Client, alice: Any
) -> None:
    """N65: permissions are checked again when the rows are stored."""
    shown = preview(as_adder, csv_of(("alice", PINS[0])))
    get_user_model().objects.filter(pk=alice.pk).update(is_superuser=True)
    assert "Only a superuser" in text_of(store(as_adder, shown))
    adder = get_user_model().objects.get(username="adder")
    adder.user_permissions.clear()
    assert store(as_adder, shown).status_code == 403
    assert not CertificateMapping.objects.exists()


def test_n65_other_records_are_a_superusers(
    as_adder: Client, as_root: Client, ca: ThrowawayCA, alice: Any
) -> None:
    """N65: only superusers may import other records than mappings."""
    CertificateAuthority.objects.create(name="Test CA", bundle=ca.pem)
    Revocation.objects.create(public_key=b"x" * 32, description="x", reason=0)
    written = "".join(write_json(export_records()))
    CertificateAuthority.objects.all().delete()
    Revocation.objects.all().delete()
    shown = preview(as_adder, upload("f.json", written))
    assert [result for _, result in results(shown)] == ["refused", "refused"]
    assert "Only a superuser may import records other than mappings" in text_of(shown)
    assert shown.context["adminform"] is None
    store(as_adder, shown, "valid")
    assert not CertificateAuthority.objects.exists()
    store(as_root, preview(as_root, upload("f.json", written)))
    assert CertificateAuthority.objects.count() == 1
    assert Revocation.objects.count() == 1
    assert LogEntry.objects.count() == 2


def test_nothing_but_mappings_is_left_out(as_root: Client, alice: Any) -> None:
    """Without a revocation, its certificate would be accepted."""
    records = [
        {"type": "mapping", "user": "alice", "value": PINS[0]},
        revocation(public_key="zz"),
    ]
    body = "".join(write_json(records))
    shown = preview(as_root, upload("f.json", body))
    assert shown.context["adminform"] is None
    assert "nothing can be stored" in text_of(shown)
    store(as_root, shown, "valid")
    assert not CertificateMapping.objects.exists()


def test_a_list_without_its_entries(
    as_root: Client, ca: ThrowawayCA, authority: CertificateAuthority
) -> None:
    """The error is shown, with the rows before it."""
    import_crl(authority, crl_writer.crl(ca, entries=[crl_writer.entry(1)]))
    *records, _serials = export_records()
    authority.revocation_lists.all().delete()
    shown = preview(as_root, upload("f.json", "".join(write_json(records))))
    assert "has 1 entries, but the file contains 0" in text_of(shown)
    assert shown.context["adminform"] is None
    assert "the file contains 0" in text_of(store(as_root, shown, "valid"))
    assert not authority.revocation_lists.exists()


def test_only_its_owner_sees_it(as_adder: Client, as_root: Client, alice: Any) -> None:
    """Other users cannot see it; nor can its owner, one day later."""
    shown = preview(as_adder, csv_of(("alice", PINS[0])))
    address = shown.context["action_url"]
    for response in (as_root.get(address), as_root.post(address, {"which": "all"})):
        assert response["Location"] == page(IMPORT)
        ((level, text),) = messages_after(response)
        assert (level, "Choose the files again" in text) == ("warning", True)
    yesterday = timezone.now() - dt.timedelta(days=1, seconds=1)
    PendingImport.objects.update(created_at=yesterday)
    choose(as_root, csv_of(("alice", PINS[1])))
    assert PendingImport.objects.count() == 1
    assert as_adder.get(address).status_code == 302
    huge = page(PREVIEW, 10**30)
    assert as_adder.get(huge).status_code == 302


def test_who_may_import(client: Client, alice: Any) -> None:
    """Importing needs the permission to add mappings."""
    assert client.get(page(IMPORT)).status_code == 302
    for name, status in (
        ("view_certificatemapping", 403),
        ("change_certificatemapping", 403),
        ("add_certificatemapping", 200),
    ):
        who = log_in(make_staff(name, name))
        assert who.get(page(IMPORT)).status_code == status
        assert (who.get(page(PREVIEW, 1)).status_code == 403) is (status == 403)
    both = ("view_certificatemapping", "add_certificatemapping")
    for names in (both[:1], both):
        who = log_in(make_staff(f"with {len(names)}", *names))
        listed = who.get(page(f"{MAPPING}_changelist")).content.decode()
        assert (f'href="{page(IMPORT)}"' in listed) is (names == both)


@pytest.mark.parametrize("kind", UPLOADS)
def test_n66_uploaded_private_key(
    as_adder: Client, alice: Any, kind: str, caplog: Any
) -> None:
    """N66: a key is refused, and neither shown, logged nor kept."""
    response = choose(as_adder, upload("alice.pem", UPLOADS[kind]))
    shown = response.content.decode()
    if response.status_code == 302:
        response = as_adder.get(response["Location"])
        assert results(response) == [("alice.pem", "refused")]
        shown += response.content.decode()
        assert response.context["adminform"] is None
        shown += json.dumps(PendingImport.objects.get().unpack())
    assert "This holds a private key." in text_of(response)
    text = base64.b64encode(UPLOADS[kind]).decode()
    if UPLOADS[kind].isascii():
        text = UPLOADS[kind].decode()
    assert not [one for one in secrets_of(text) if one in shown + caplog.text]


@pytest.mark.parametrize("kind", TEXTS)
def test_n66_private_key_in_a_cell(
    as_adder: Client, alice: Any, kind: str, caplog: Any
) -> None:
    """N66: the same in a row and in its note."""
    text = TEXTS[kind]
    body = f'user,value,note\nalice,{PINS[0]},"{text}"\nalice,{PINS[1]},x\n'
    response = choose(as_adder, upload("f.csv", body))
    shown = response.content.decode()
    if response.status_code == 302:
        response = as_adder.get(response["Location"])
        shown += response.content.decode()
        shown += json.dumps(PendingImport.objects.get().unpack())
    assert "This holds a private key." in text_of(response)
    assert not [one for one in secrets_of(text) if one in shown + caplog.text]


def test_markup(as_adder: Client, alice: Any) -> None:
    """There are no inline styles or scripts, and table headers have a scope."""
    for response in (
        as_adder.get(page(IMPORT)),
        preview(as_adder, csv_of(("alice", PINS[0]), ("nobody", PINS[1]))),
    ):
        content = response.content.decode()
        body = content[content.index('id="content"') :]
        assert not re.search(r"<script(?![^>]* src=)|\sstyle=|\son\w+=", body)
        identifiers = re.findall(r'\bid="([^"]*)"', content)
        assert len(identifiers) == len(set(identifiers))
