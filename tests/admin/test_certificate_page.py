"""The page of a certificate: facts, copies, the file, and what is beside it."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.staticfiles import finders
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from django_clientcert.admin.base import certificate_facts
from django_clientcert.admin.base.certificate_facts import (
    WEAK_HASHES,
    show_public_key,
    show_signature_hash,
)
from django_clientcert.admin.mappings import related
from django_clientcert.models import CertificateMapping, SeenCertificate
from django_clientcert.testing import IssuedCertificate, ThrowawayCA
from django_clientcert.x509.certificates import ClientCertificate

from .pages import ADD_MAPPING, MAPPING, SEEN, log_in, make_staff, page, text_of
from .test_mappings import ODD, change, pin
from .test_revocations import parsed, seen, stored

pytestmark = pytest.mark.django_db

NOW = timezone.now().replace(microsecond=0)
DAY = dt.timedelta(days=1)


def field(response: Any, name: str) -> str:
    """Return what a page says in one field, with its markup."""
    for fieldset in response.context["adminform"]:
        for line in fieldset:
            for shown in line:
                if shown.is_readonly and shown.field["name"] == name:
                    return str(shown.contents())
    raise AssertionError(name)


def show(client: Client, row: Any) -> Any:
    """Return the page of a mapping or of a certificate seen."""
    model = SEEN if isinstance(row, SeenCertificate) else MAPPING
    response = client.get(page(f"{model}_change", row.pk))
    assert response.status_code == 200
    return response


# --- facts ------------------------------------------------------------------------


def certificate_with(key: Any, digest: Any = None, signer: Any = None) -> Any:
    """Return a certificate with a key of any kind."""
    name = x509.Name.from_rfc4514_string("CN=odd")
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(5)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
        .sign(signer or key, digest)
    )
    return ClientCertificate(made.public_bytes(Encoding.DER))


def test_weak_keys_and_signatures_are_flagged() -> None:
    """In words, beside what it is; what is strong is not."""
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    weak = certificate_with(rsa_key, hashes.SHA256())
    assert show_public_key(weak) == "RSA, 1024 bits <strong>⚠ weak</strong>"
    assert show_signature_hash(weak) == "SHA256"
    curve = certificate_with(ec.generate_private_key(ec.SECP192R1()), hashes.SHA256())
    assert "secp192r1 <strong>⚠ weak" in show_public_key(curve)
    fine = certificate_with(ec.generate_private_key(ec.SECP256R1()), hashes.SHA384())
    assert show_public_key(fine) == "elliptic curve P-256"
    assert show_signature_hash(fine) == "SHA384"
    assert (
        show_signature_hash(certificate_with(ed448.Ed448PrivateKey.generate()))
        == "Ed448"
    )


def test_hash_of_a_signature(alice_cert: IssuedCertificate, monkeypatch: Any) -> None:
    """A broken hash is flagged; an algorithm that nobody knows is its number."""
    sha256, unknown = (
        bytes.fromhex("06082a8648ce3d0403" + end) for end in ("02", "7f")
    )
    assert alice_cert.der.count(sha256) == 2
    odd = ClientCertificate(alice_cert.der.replace(sha256, unknown))
    assert show_signature_hash(odd) == "1.2.840.10045.4.3.127"
    assert {"md5", "sha1"} == WEAK_HASHES
    monkeypatch.setattr(certificate_facts, "WEAK_HASHES", {"sha256"})
    text = show_signature_hash(parsed(alice_cert))
    assert text == "SHA256 <strong>⚠ weak</strong>"


def test_fingerprints_can_be_copied(
    as_root: Client, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """With colons; the button is made by a script that is a file of its own."""
    response = show(as_root, stored(alice, alice_cert))
    certificate = parsed(alice_cert)
    for name, digits in (
        ("sha256_fingerprint", certificate.fingerprint),
        ("sha1_fingerprint", certificate.sha1_fingerprint),
        ("public_key_fingerprint", certificate.public_key_fingerprint),
    ):
        pairs = bytes.fromhex(digits).hex(":").upper()
        assert f'data-copy="{pairs}"' in field(response, name)
        assert 'data-name="Copy: SHA-' in field(response, name)
    content = response.content.decode()
    script = re.search(r'<script src="/static/(django_clientcert/[^"]*)"', content)
    assert script is not None
    path = finders.find(script[1])
    assert path
    assert "navigator.clipboard" in Path(str(path)).read_text(encoding="utf-8")
    sheet = re.search(r'href="/static/(django_clientcert/[^"]*.css)"', content)
    assert sheet is not None
    assert finders.find(sheet[1])
    assert not re.search(r"<script(?![^>]* src=)[^>]*>\s*\w", content)


def test_page_of_a_certificate_seen(
    as_root: Client, alice: Any, mapping: Any, alice_cert: IssuedCertificate
) -> None:
    """All that is known of it, as on the page of a mapping."""
    row = seen(alice, alice_cert, mapping=mapping)
    response = show(as_root, row)
    text = text_of(response)
    for expected in (
        "Key usage: digitalSignature",
        "Extended key usage: clientAuth",
        "e-mail: alice@example.com",
        "Signed with: SHA256",
    ):
        assert expected in text
    assert f"?seen={row.pk}" in field(response, "explained")
    assert f"mapping {mapping.pk} of alice" in field(response, "other_mappings")
    assert "none" in field(response, "others_of_user")


@pytest.mark.parametrize("language", ["en", "he"])
def test_dates_keep_their_order(
    as_root: Client, alice: Any, alice_cert: IssuedCertificate, language: str
) -> None:
    """From right to left, each is isolated (Unicode, UAX 9) in what is around it."""
    with translation.override(language):
        shown = field(show(as_root, seen(alice, alice_cert)), "certificate_validity")
    date = r"[0-9-]{10} [0-9:]{8} UTC"
    if language == "he":
        date = f"\u2066{date}\u2069"
    assert re.match(f"{date} to {date}, ends in", shown)


@pytest.mark.filterwarnings("ignore:Parsed a serial number:UserWarning")
@pytest.mark.filterwarnings("ignore:The parsed certificate contains:UserWarning")
@pytest.mark.parametrize("case", ODD)
def test_n26_n29_odd_certificates_have_pages(
    as_root: Client, alice: Any, ca: ThrowawayCA, case: str
) -> None:
    """N26, N29: a page and a file in every case, beside other certificates."""
    der = ODD[case](ca)
    row = pin(alice, certificate=der)
    other = pin(alice, 2, certificate=der + b"\0")
    key = b"k" * 32
    CertificateMapping.objects.update(certificate_subject_key=key)
    rows: list[Any] = [row, other, seen(alice, der, mapping=row)]
    for row in rows:
        row.refresh_from_db()
        content = show(as_root, row).content.decode()
        assert "<script>alert" not in content
        assert not {"\0", "\x1b", "\u202e"} & set(content)
        model = SEEN if isinstance(row, SeenCertificate) else MAPPING
        assert as_root.get(page(f"{model}_pem", row.pk)).status_code == 200


# --- the file ---------------------------------------------------------------------


def test_download(as_root: Client, alice: Any, alice_cert: IssuedCertificate) -> None:
    """A file, and nothing that a browser would run."""
    for model, row in (
        (MAPPING, stored(alice, alice_cert)),
        (SEEN, seen(alice, alice_cert)),
    ):
        address = page(f"{model}_pem", row.pk)
        assert f'href="{address}"' in field(show(as_root, row), "download")
        response = as_root.get(address)
        assert response.status_code == 200
        assert response["Content-Type"] == "application/x-pem-file"
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["Content-Disposition"] == (
            'attachment; filename="certificate-'
            f'{parsed(alice_cert).short_fingerprint}.pem"'
        )
        assert "no-store" in response["Cache-Control"]
        loaded = x509.load_pem_x509_certificate(response.content)
        assert loaded.serial_number == parsed(alice_cert).serial_number


def test_download_of_nothing(as_root: Client, mapping: Any) -> None:
    """404, whatever the key."""
    for key in (mapping.pk, "0", "abc", "9" * 40, "a%00"):
        address = page(f"{MAPPING}_pem", "KEY").replace("KEY", str(key))
        assert as_root.get(address).status_code == 404
    assert "No certificate is stored" in text_of(show(as_root, mapping))


def test_download_needs_permission(
    client: Client, as_viewer: Client, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """To see the row is what it takes."""
    row, other = stored(alice, alice_cert), seen(alice, alice_cert)
    assert client.get(page(f"{MAPPING}_pem", row.pk)).status_code == 302
    assert as_viewer.get(page(f"{MAPPING}_pem", row.pk)).status_code == 200
    assert as_viewer.get(page(f"{SEEN}_pem", other.pk)).status_code == 403
    nobody = log_in(make_staff("nobody"))
    for key in (row.pk, 0):
        assert nobody.get(page(f"{MAPPING}_pem", key)).status_code == 403


# --- what is beside it ------------------------------------------------------------


def test_used_from(
    as_root: Client,
    as_viewer: Client,
    alice: Any,
    alice_cert: IssuedCertificate,
    mallory_cert: IssuedCertificate,
) -> None:
    """Host and time of what came in by it; for those who may see that."""
    row = stored(alice, alice_cert)
    assert "none" in field(show(as_root, row), "used_from")
    seen_row = seen(alice, alice_cert, mapping=row, at=NOW - 3 * DAY)
    seen(alice, mallory_cert, host="\u202e<b>")
    shown = field(show(as_root, row), "used_from")
    assert "a.example.com, 3 days ago, CN=alice" in shown
    assert page(f"{SEEN}_change", seen_row.pk) in shown
    assert "mallory" not in shown
    hidden = field(show(as_viewer, row), "used_from")
    assert "hidden from you" in hidden
    assert "a.example.com" not in hidden
    shown = field(show(as_root, seen_row), "others_of_user")
    assert "CN=mallory" in shown
    assert "<b>" not in shown
    assert "\u202e" not in shown
    SeenCertificate.objects.update(host="")
    assert "no host, " in field(show(as_root, row), "used_from")


def test_mappings_of_the_user(
    as_root: Client, as_viewer: Client, alice: Any, bob: Any, monkeypatch: Any
) -> None:
    """All others of the same user, up to a point; nobody else's."""
    row, other, stranger = pin(alice, 1), pin(alice, 2), pin(bob, 3)
    for client in (as_root, as_viewer):
        shown = field(show(client, row), "other_mappings")
        assert page(f"{MAPPING}_change", other.pk) in shown
        assert f"mapping {other.pk} of alice, fingerprint" in shown
        for hidden in (row, stranger):
            assert page(f"{MAPPING}_change", hidden.pk) not in shown
    monkeypatch.setattr(related, "MAX_LISTED", 1)
    pin(alice, 4)
    assert "and more" in field(show(as_root, row), "other_mappings")


def test_predecessors_and_successors(
    as_root: Client,
    as_viewer: Client,
    alice: Any,
    bob: Any,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
) -> None:
    """Of the same subject and issuer, by their dates."""
    before = ca.issue("alice", not_before=NOW - 9 * DAY, not_after=NOW + DAY)
    now = ca.issue("alice", not_before=NOW - 5 * DAY, not_after=NOW + 5 * DAY)
    after = ca.issue("alice", not_before=NOW - DAY, not_after=NOW + 9 * DAY)
    foreign = ThrowawayCA.create("Another CA").issue("alice")
    old, row, new, other = (
        stored(who, issued)
        for who, issued in (
            (bob, before),
            (alice, now),
            (alice, after),
            (alice, foreign),
        )
    )
    for client in (as_root, as_viewer):
        response = show(client, row)
        addresses = {
            name: re.findall('href="([^"]*)"', field(response, name))
            for name in ("predecessors", "successors")
        }
        assert addresses == {
            "predecessors": [page(f"{MAPPING}_change", old.pk)],
            "successors": [page(f"{MAPPING}_change", new.pk)],
        }
    assert "none" in field(show(as_root, other), "successors")
    same = stored(bob, ca.issue("alice", not_before=NOW - DAY))
    assert page(f"{MAPPING}_change", same.pk) in field(show(as_root, new), "successors")
    assert page(f"{MAPPING}_change", same.pk) not in field(
        show(as_root, new), "predecessors"
    )


def test_hidden_related_rows(
    as_root: Client, alice: Any, alice_cert: IssuedCertificate, monkeypatch: Any
) -> None:
    """Where a project's site has no such screen, or shows fewer rows."""
    seen_row, row = seen(alice, alice_cert), pin(alice)
    pin(alice, 2)
    viewer = log_in(make_staff("auditor", "view_seencertificate"))
    response = show(viewer, seen_row)
    assert "hidden from you" in field(response, "other_mappings")
    assert "?seen=" not in response.content.decode()
    model_admin = admin.site.get_model_admin(CertificateMapping)
    own = CertificateMapping.objects.filter(pk=row.pk)
    monkeypatch.setattr(model_admin, "get_queryset", lambda request: own)
    assert "none" in field(show(as_root, row), "other_mappings")
    monkeypatch.undo()
    monkeypatch.setattr(
        model_admin,
        "has_view_permission",
        lambda request, obj=None: obj is None or obj.pk == row.pk,
    )
    assert "none" in field(show(as_root, row), "other_mappings")
    monkeypatch.undo()
    monkeypatch.delitem(admin.site._registry, CertificateMapping)
    response = show(as_root, seen_row)
    assert "hidden from you" in field(response, "other_mappings")
    assert "?seen=" not in response.content.decode()


def test_number_of_queries(as_root: Client, alice: Any, ca: ThrowawayCA) -> None:
    """It does not grow with what is beside a certificate."""
    counts = []
    row = stored(alice, ca.issue("alice"))
    seen_row = seen(alice, ca.issue("alice"), mapping=row)
    stored(alice, ca.issue("alice"))
    seen(alice, ca.issue("alice"), mapping=row)
    for _round in range(2):
        show(as_root, row)
        show(as_root, seen_row)
        with CaptureQueriesContext(connection) as queries:
            show(as_root, row)
            show(as_root, seen_row)
        counts.append(len(queries))
        for _number in range(6):
            stored(alice, ca.issue("alice"))
            seen(alice, ca.issue("alice"), mapping=row, size=100)
    assert counts[0] == counts[1]


# --- history ----------------------------------------------------------------------


def test_history_says_what_changed(
    as_root: Client, alice: Any, bob: Any, alice_cert: IssuedCertificate
) -> None:
    """From what to what, where that can be said; safe to show."""
    row = pin(alice)
    until = {"valid_until_0": "2030-01-02", "valid_until_1": "03:04:05"}
    response = change(
        as_root,
        row,
        user=bob.pk,
        state="disabled",
        note="x",
        hosts="a.example",
        **until,
    )
    assert response.status_code == 302
    message = LogEntry.objects.get().get_change_message()
    for expected in (
        f"User ({alice.pk} → {bob.pk})",
        "State (active → disabled)",
        "Hosts (— → a.example)",
        "Note",
        "Valid until (— → 2030-01-02 ",
    ):
        assert expected in message
    assert "Certificate" not in message
    assert "Kind" not in message
    assert "State (active → disabled)" in text_of(
        as_root.get(page(f"{MAPPING}_history", row.pk))
    )


def test_history_of_a_new_certificate(
    as_root: Client, alice: Any, alice_cert: IssuedCertificate, ca: ThrowawayCA
) -> None:
    """The value that came out of it is told, too; a private key never."""
    row = stored(alice, alice_cert)
    new = ca.issue("alice")
    assert change(as_root, row, pasted=new.pem, value=row.value).status_code == 302
    message = LogEntry.objects.get().get_change_message()
    assert f"Value ({alice_cert.fingerprint} → {new.fingerprint})" in message
    assert "Certificate" in message
    row.refresh_from_db()
    LogEntry.objects.all().delete()
    colons = bytes.fromhex(row.value).hex(":")
    assert change(as_root, row, value=colons, order="").status_code == 302
    assert LogEntry.objects.get().get_change_message() == "No fields changed."


def test_history_begins_with_the_addition(as_root: Client, alice: Any) -> None:
    """As Django has it."""
    data = {**ADD_MAPPING, "user": alice.pk, "value": "ab" * 32}
    assert as_root.post(page(f"{MAPPING}_add"), data).status_code == 302
    assert LogEntry.objects.get().get_change_message() == "Added."


def test_nobody_adds_a_certificate_seen(rf: Any) -> None:
    """So the page to add one has no fields."""
    model_admin: Any = admin.site.get_model_admin(SeenCertificate)
    assert model_admin.get_fieldsets(rf.get("/")) == []
