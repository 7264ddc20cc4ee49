"""The screens of CRLs, revocations and seen certificates."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.db.models import Q
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from django_clientcert.admin.revocations import forms, revoking
from django_clientcert.admin.revocations import permissions as reach
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
    RevocationList,
    RevokedSerial,
    SeenCertificate,
)
from django_clientcert.testing import IssuedCertificate, ThrowawayCA, self_signed
from django_clientcert.trust.crl_import import import_crl
from django_clientcert.trust.revoke import (
    revoke_certificate,
    revoke_period,
    revoke_public_key,
    revoke_serial,
)
from django_clientcert.x509.bundles import MAX_BUNDLE_BYTES
from django_clientcert.x509.certificates import ClientCertificate
from tests import crl_writer
from tests import der_writer as write
from tests.deciding import decide
from tests.private_keys import TEXTS, UPLOADS, secrets_of

from .pages import (
    ADD_REVOCATION,
    MAPPING,
    REVOCATION,
    REVOCATION_LIST,
    SEEN,
    all_permissions,
    errors_on,
    log_in,
    make_staff,
    messages_after,
    page,
    run_action,
    text_of,
    warnings_after,
)

pytestmark = pytest.mark.django_db

NOW = timezone.now().replace(microsecond=0)
DAY = dt.timedelta(days=1)
MODELS = (
    "certificatemapping",
    "certificateauthority",
    "revocationlist",
    "revocation",
    "seencertificate",
)


@pytest.fixture
def as_helper(db: None) -> Client:
    """A staff user with every permission of this package, and no other."""
    return log_in(make_staff("helper", *all_permissions(*MODELS)))


def parsed(issued: IssuedCertificate) -> ClientCertificate:
    """Return the certificate as the package has it."""
    return ClientCertificate(issued.der)


def add_crl(client: Client, authority: Any, data: bytes, name: str = "a.crl") -> Any:
    """Send the page that imports a CRL."""
    return client.post(
        page(f"{REVOCATION_LIST}_add"),
        {"authority": authority.pk, "upload": SimpleUploadedFile(name, data)},
    )


def add(client: Client, /, **data: Any) -> Any:
    """Send the page that revokes."""
    return client.post(page(f"{REVOCATION}_add"), {**ADD_REVOCATION, **data})


def stored(user: Any, issued: IssuedCertificate, **fields: Any) -> CertificateMapping:
    """Return a new fingerprint mapping with its certificate."""
    return CertificateMapping.objects.create(
        **{
            "user": user,
            "kind": "fingerprint",
            "value": issued.fingerprint,
            "certificate": issued.der,
            **fields,
        }
    )


def seen(
    user: Any, issued: IssuedCertificate | bytes, **fields: Any
) -> SeenCertificate:
    """Return the row of a certificate that was accepted."""
    der = issued if isinstance(issued, bytes) else issued.der
    SeenCertificate.record(
        ClientCertificate(der),
        **{
            "user": user,
            "mapping": None,
            "authority": None,
            "host": "a.example.com",
            "size": 10,
            "at": NOW,
            **fields,
        },
    )
    return SeenCertificate.objects.latest("pk")


# --- CRLs -------------------------------------------------------------------------


def test_crl_is_imported(
    as_root: Client, authority: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """What it is, how long it counts, and what it replaces is said."""
    assert as_root.get(page(f"{REVOCATION_LIST}_add")).status_code == 200
    messages = messages_after(
        add_crl(as_root, authority, ca.crl([alice_cert], number=1))
    )
    assert len(messages) == 1
    assert messages[0][0] == "success"
    assert messages[0][1].startswith(
        "Imported CRL number 1 with 1 entry, current until "
    )
    assert messages[0][1].endswith(", in 6 days.")
    row = RevocationList.objects.get()
    assert row.source == "a.crl"
    messages = messages_after(add_crl(as_root, authority, ca.crl(number=2)))
    assert "with 0 entries" in messages[0][1]
    assert messages[0][1].endswith("It replaces CRL number 1.")
    assert RevocationList.objects.get().number == "2"
    assert LogEntry.objects.count() == 2


def test_stale_crl_is_imported_with_a_warning(
    as_root: Client, authority: Any, ca: ThrowawayCA
) -> None:
    """It revokes, and clears nobody."""
    data = ca.crl(this_update=NOW - 9 * DAY, next_update=NOW - 2 * DAY)
    response = add_crl(as_root, authority, data)
    (text,) = warnings_after(response)
    assert "already stale" in text


def test_r23_list_that_lost_entries_is_imported_with_a_warning(
    as_root: Client, authority: Any, ca: ThrowawayCA
) -> None:
    """A message for each warning of the import."""
    import_crl(authority, ca.crl([7], number=1))
    entries, extensions = [crl_writer.entry(0)], [crl_writer.number(2)]
    data = crl_writer.crl(ca, entries=entries, extensions=extensions)
    lost, zero = warnings_after(add_crl(as_root, authority, data))
    assert lost.startswith("1 serial number that CRL number 1 revoked is not in CRL")
    assert "the serial number 0" in zero
    assert RevocationList.objects.get().number == "2"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda ca, other: b"junk", "neither DER nor PEM"),
        (lambda ca, other: b"\0" * 100, ""),
        (lambda ca, other: other.crl(number=9), "sign"),
        (lambda ca, other: ca.crl(number=1), "older CRL (number 1)"),
        (lambda ca, other: ca.crl(number=5)[:-9], ""),
        (lambda ca, other: b"", "empty"),
    ],
    ids=["junk", "nul", "foreign", "rolled back", "cut", "empty"],
)
def test_refused_crl_leaves_the_old_one(
    as_root: Client,
    authority: Any,
    ca: ThrowawayCA,
    other_ca: ThrowawayCA,
    make: Any,
    words: str,
) -> None:
    """Each in its own words, at the field."""
    import_crl(authority, ca.crl([1], number=4))
    (message,) = errors_on(add_crl(as_root, authority, make(ca, other_ca)))["upload"]
    assert words in message
    assert RevocationList.objects.get().number == "4"
    assert RevokedSerial.objects.count() == 1


def test_crl_of_a_broken_authority(as_root: Client, ca: ThrowawayCA) -> None:
    """That the bundle cannot be used is said at the authority."""
    broken = CertificateAuthority.objects.create(name="Broken", bundle="junk")
    assert set(errors_on(add_crl(as_root, broken, ca.crl()))) == {"authority"}


def test_crl_of_an_authority_that_is_deleted_meanwhile(
    as_root: Client, authority: Any, ca: ThrowawayCA, monkeypatch: Any
) -> None:
    """Between the choice and the import: an error of the form."""

    def late(*arguments: Any, **named: Any) -> Any:
        CertificateAuthority.objects.all().delete()
        return import_crl(*arguments, **named)

    monkeypatch.setattr(forms, "import_crl", late)
    errors = errors_on(add_crl(as_root, authority, ca.crl([1])))
    assert "deleted in the meantime" in errors["authority"][0]


def test_huge_crl(
    as_root: Client, authority: Any, ca: ThrowawayCA, monkeypatch: Any
) -> None:
    """Larger than the limit is refused before it is read."""
    monkeypatch.setattr(forms, "MAX_CRL_BYTES", 100)
    (message,) = errors_on(add_crl(as_root, authority, ca.crl()))["upload"]
    assert "larger than" in message


@pytest.mark.parametrize("kind", UPLOADS)
def test_n66_private_key_as_a_crl(
    as_root: Client, authority: Any, kind: str, caplog: Any
) -> None:
    """N66: refused, and nowhere in the answer."""
    response = add_crl(as_root, authority, UPLOADS[kind])
    (message,) = errors_on(response)["upload"]
    assert "holds a private key" in message
    response = as_root.post(
        page(f"{REVOCATION_LIST}_add"), {"authority": TEXTS["pem rsa"]}
    )
    shown = response.content.decode() + caplog.text
    assert not [secret for secret in secrets_of(TEXTS["pem rsa"]) if secret in shown]
    assert not RevocationList.objects.exists()


@pytest.mark.parametrize("value", ["", "abc", "-1", "9" * 40, "a\0b"])
def test_impossible_authority_of_a_crl(
    as_root: Client, ca: ThrowawayCA, value: str
) -> None:
    """A crafted choice is an error in the page."""
    upload = SimpleUploadedFile("a.crl", ca.crl())
    data = {"authority": value, "upload": upload}
    response = as_root.post(page(f"{REVOCATION_LIST}_add"), data)
    assert set(errors_on(response)) == {"authority"}


def test_crls_are_listed(as_root: Client, authority: Any, ca: ThrowawayCA) -> None:
    """Authority, issuer, dates, state in words, entries; and the page of each."""
    import_crl(authority, ca.crl([7, 8], number=3, this_update=NOW - 20 * DAY))
    text = text_of(as_root.get(page(f"{REVOCATION_LIST}_changelist")))
    assert "CRL number 3 CN=Test Root CA Test CA" in text
    assert "stale 2" in text
    row = RevocationList.objects.get()
    response = as_root.get(page(f"{REVOCATION_LIST}_change", row.pk))
    text = text_of(response)
    assert "stale since" in text
    assert "everything that the CA issued" in text
    assert b'name="_save"' not in response.content
    assert bytes.fromhex(row.fingerprint).hex(":").upper() in text
    body = response.content.split(b'id="content-main"')[1]
    assert b'<input type="file"' not in body
    row.next_update = None
    row.save()
    import_crl(authority, ca.crl([9], number=4))
    text = text_of(as_root.get(page(f"{REVOCATION_LIST}_changelist")))
    assert "current 1" in text
    response = as_root.post(
        page(f"{REVOCATION_LIST}_change", RevocationList.objects.get().pk), {}
    )
    assert response.status_code == 403


def test_crl_without_next_update(
    as_root: Client, authority: Any, ca: ThrowawayCA
) -> None:
    """Some CAs forget it."""
    import_crl(authority, ca.crl([7]))
    RevocationList.objects.update(next_update=None)
    address = page(f"{REVOCATION_LIST}_changelist")
    assert "not specified current 1" in text_of(as_root.get(address))
    url = page(f"{REVOCATION_LIST}_change", RevocationList.objects.get().pk)
    assert "Next due: not specified" in text_of(as_root.get(url))
    with translation.override("de"):
        assert "nicht angegeben" in text_of(as_root.get(address))


def test_crls_are_found_by_serial_number(
    as_root: Client, authority: Any, ca: ThrowawayCA
) -> None:
    """In every spelling, by index; and by the issuer's name otherwise."""
    import_crl(authority, ca.crl([0x1EAD85], number=1))

    def count(text: str) -> int:
        response = as_root.get(page(f"{REVOCATION_LIST}_changelist"), {"q": text})
        assert response.status_code == 200
        return len(response.context["cl"].result_list)

    for text in ("1ead85", "1E:AD:85", "0x1EAD85", "serial = 1E AD 85", "Test Root"):
        assert count(text) == 1
    for text in ("1ead86", "beef", "-1", "f" * 200, "nobody"):
        assert count(text) == 0
    assert count("a\0b") == 1  # Django looks for nothing then


def test_deleting_a_crl(
    as_root: Client, authority: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """Entries are counted, not listed; what it revoked is accepted again."""
    import_crl(authority, ca.crl([alice_cert, *range(1, 50)]))
    row = RevocationList.objects.get()
    address = page(f"{REVOCATION_LIST}_delete", row.pk)
    with CaptureQueriesContext(connection) as queries:
        text = text_of(as_root.get(address))
    assert "Revoked serial numbers: 50" in text
    assert not any("fetch all" in query["sql"] for query in queries)
    assert decide(alice_cert).reason == "revoked"
    assert as_root.post(address, {"post": "yes"}).status_code == 302
    assert not RevokedSerial.objects.exists()
    assert decide(alice_cert).reason == "unmapped"


def test_n65_crl_of_an_authority_above(
    as_helper: Client, authority: Any, ca: ThrowawayCA, root: Any
) -> None:
    """N65: what it revokes may be the certificate of a superuser."""
    import_crl(authority, ca.crl([1]))
    row = RevocationList.objects.get()
    address = page(f"{REVOCATION_LIST}_delete", row.pk)
    assert as_helper.get(address).status_code == 200
    CertificateMapping.objects.create(
        user=root, kind="subject", value="CN=root", authority=authority
    )
    assert as_helper.post(address, {"post": "yes"}).status_code == 403
    response = as_helper.post(
        page(f"{REVOCATION_LIST}_changelist"),
        {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"},
    )
    assert response.status_code in (200, 403)
    assert RevocationList.objects.exists()
    # A newer one may be imported: it is the CA that says so.
    messages_after(add_crl(as_helper, authority, ca.crl([1, 2], number=2)))


def test_deleting_an_authority_counts_its_crls(
    as_root: Client, as_helper: Client, authority: Any, ca: ThrowawayCA, alice: Any
) -> None:
    """A CRL of a million entries is one line of the page that asks."""
    import_crl(authority, ca.crl(list(range(1, 50))))
    address = page("django_clientcert_certificateauthority_delete", authority.pk)
    text = text_of(as_root.get(address))
    assert "Revoked serial numbers: 49" in text
    assert "CRLs: 1" in text
    looker = log_in(make_staff("x", *all_permissions("certificateauthority")))
    assert "doesn't have permission" in text_of(looker.get(address))
    mapping = CertificateMapping.objects.create(
        user=alice, kind="subject", value="CN=a", authority=authority
    )
    assert "protected" in text_of(as_root.post(address, {"post": "yes"}))
    mapping.delete()
    assert as_helper.post(address, {"post": "yes"}).status_code == 302
    assert not CertificateAuthority.objects.exists()
    assert not RevokedSerial.objects.exists()


# --- revocations ------------------------------------------------------------------


@pytest.mark.parametrize("how", ["pasted", "uploaded", "both"])
def test_revoke_a_certificate(
    as_root: Client, root: Any, authority: Any, alice_cert: IssuedCertificate, how: str
) -> None:
    """By its public key, and by issuer and serial number."""
    assert as_root.get(page(f"{REVOCATION}_add")).status_code == 200

    def send() -> Any:
        data: dict[str, Any] = {"reason": "1", "note": "stolen"}
        if how != "uploaded":
            data["pasted"] = alice_cert.pem
        if how != "pasted":
            data["upload"] = SimpleUploadedFile("a.cer", alice_cert.der)
        return add(as_root, **data)

    messages_after(send())
    row = Revocation.objects.get()
    assert (row.reason, row.note, row.revoked_by) == (1, "stolen", root)
    assert row.public_key is not None
    assert row.serial is not None
    assert decide(alice_cert).reason == "revoked"
    errors = errors_on(send())
    assert f"Revocation {row.pk} revokes this already" in errors["__all__"][0]
    assert Revocation.objects.count() == 1
    assert LogEntry.objects.count() == 1


def test_revoke_a_serial_number(
    as_root: Client, authority: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """In hex; where there are several CAs, of the one that is named."""
    digits = f"{alice_cert.certificate.serial_number:x}"
    data = {"authority": authority.pk, "serial_number": digits}
    messages_after(add(as_root, **data))
    assert decide(alice_cert).reason == "revoked"
    below = ca.issue_ca("Below")
    authority.bundle += below.pem
    authority.save()
    errors = errors_on(add(as_root, **{**data, "serial_number": "1E:AD"}))
    assert "CN=Below" in errors["issuer"][0]
    messages_after(add(as_root, **{**data, "serial_number": "7", "issuer": "CN=Below"}))
    assert "of CN=Below" in Revocation.objects.latest("pk").description


def test_a_revocation_says_when_it_counts(
    settings: Any, as_root: Client, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """If processes keep their decisions for a while."""
    settings.CLIENTCERT_DECISION_SECONDS = 5
    digits = f"{alice_cert.certificate.serial_number:x}"
    shown = messages_after(add(as_root, authority=authority.pk, serial_number=digits))
    assert any("within 5 seconds" in str(message) for message in shown)


def test_r09_serial_number_in_decimal_is_refused(
    as_root: Client, authority: Any, ca: ThrowawayCA, alice: Any
) -> None:
    """As the command does: at the field, and nothing is revoked."""
    issued = ca.issue("decimal", serial=5350096667996093292)
    stored(alice, issued)
    data = {"authority": authority.pk, "serial_number": "5350096667996093292"}
    (error,) = errors_on(add(as_root, **data))["serial_number"]
    assert "4a3f5c92d1e87b6c" in error
    assert "0x05350096667996093292" in error
    long = "719299236242288014642003068697124896264407037746"
    (error,) = errors_on(add(as_root, **{**data, "serial_number": long}))[
        "serial_number"
    ]
    assert "Is this decimal?" in error
    assert not Revocation.objects.exists()


def test_r09_serial_number_of_no_known_certificate(
    as_root: Client, authority: Any, ca: ThrowawayCA, alice: Any
) -> None:
    """That none is known here is said, but not of one that is."""
    data = {"authority": authority.pk, "serial_number": "deadbeef"}
    (text,) = warnings_after(add(as_root, **data))
    assert text == "No certificate with this serial number is known here."
    issued = ca.issue("known")
    stored(alice, issued)
    digits = f"{issued.certificate.serial_number:x}"
    assert not warnings_after(add(as_root, **{**data, "serial_number": digits}))


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "__all__"),
        ({"serial_number": "xyz"}, "serial_number"),
        ({"serial_number": "1e" * 99}, "serial_number"),
        ({"serial_number": "7\0"}, "serial_number"),
        ({"serial_number": "7"}, "authority"),
        ({"serial_number": "7", "issuer": "nonsense", "authority": "own"}, "issuer"),
        ({"serial_number": "7", "begin": "2026-01-01T00:00"}, "__all__"),
        ({"begin": "2026-01-01T00:00", "authority": "own"}, "end"),
        ({"end": "2026-01-01T00:00", "authority": "own"}, "begin"),
        ({"begin": "2026-01-01T00:00", "end": "2026-01-02T00:00"}, "authority"),
        (
            {
                "begin": "2026-01-02T00:00",
                "end": "2026-01-01T00:00",
                "authority": "own",
            },
            "__all__",
        ),
        ({"begin": "0001-01-01T00:00"}, "begin"),
        ({"begin": "9999-12-31T23:59"}, "begin"),
        ({"begin": "tomorrow\0"}, "begin"),
        ({"pasted": "junk"}, "pasted"),
        ({"pasted": "a\0b"}, "pasted"),
        ({"authority": "abc"}, "authority"),
        ({"authority": "9" * 40}, "authority"),
        ({"reason": "99"}, "reason"),
        ({"reason": "x"}, "reason"),
        ({"note": "a\0b"}, "note"),
    ],
)
def test_what_cannot_be_revoked(
    as_root: Client, authority: Any, data: dict[str, Any], field: str
) -> None:
    """Each mistake at its field, and nothing is revoked."""
    if data.get("authority") == "own":
        data = {**data, "authority": authority.pk}
    assert field in errors_on(add(as_root, **data))
    assert not Revocation.objects.exists()


def test_two_certificates(
    as_root: Client, alice_cert: IssuedCertificate, mallory_cert: IssuedCertificate
) -> None:
    """Which of two is meant is not guessed; nor what cannot be read revoked."""
    upload = SimpleUploadedFile("a.cer", mallory_cert.der)
    errors = errors_on(add(as_root, pasted=alice_cert.pem, upload=upload))
    assert set(errors) == {"upload"}
    huge = SimpleUploadedFile("a.cer", b"x" * (MAX_BUNDLE_BYTES + 1))
    assert "larger than 2 MiB" in errors_on(add(as_root, upload=huge))["upload"][0]


def test_period_is_counted_before_it_is_revoked(
    as_root: Client,
    authority: Any,
    ca: ThrowawayCA,
    other_ca: ThrowawayCA,
    alice: Any,
    alice_cert: IssuedCertificate,
) -> None:
    """The page first says how many are affected; another period is counted again."""
    stored(alice, alice_cert)
    stored(alice, other_ca.issue("foreign"))
    stored(alice, ca.issue("old", not_before=NOW - 90 * DAY))
    CertificateMapping.objects.create(user=alice, kind="fingerprint", value="ab" * 32)
    seen(alice, alice_cert)
    seen(alice, write.certificate(ca, serial=b"\x02\x00"))
    data: dict[str, Any] = {
        "authority": authority.pk,
        "begin": f"{NOW - 9 * DAY:%Y-%m-%dT%H:%M}",
        "end": f"{NOW + 9 * DAY:%Y-%m-%dT%H:%M}",
        "confirm": "on",
    }
    response = add(as_root, **data)
    (message,) = errors_on(response)["confirm"]
    assert "certificates of 1 mapping, 1 recently seen certificate" in message
    assert not Revocation.objects.exists()
    data["counted"] = response.context["adminform"].form["counted"].value()
    other = {**data, "end": f"{NOW + 8 * DAY:%Y-%m-%dT%H:%M}"}
    assert set(errors_on(add(as_root, **other))) == {"confirm"}
    assert set(errors_on(add(as_root, **{**data, "confirm": ""}))) == {"confirm"}
    messages_after(add(as_root, **data))
    row = Revocation.objects.get()
    assert row.is_period
    assert decide(alice_cert).reason == "revoked"
    text = text_of(as_root.get(page(f"{REVOCATION}_change", row.pk)))
    assert "every certificate that Test CA issued from" in text
    assert "Test CA" in text_of(as_root.get(page(f"{REVOCATION}_changelist")))


def test_only_reason_and_note_are_changed(
    as_root: Client, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """Everything else is read-only, the certificate's facts too."""
    row = revoke_certificate(parsed(alice_cert))
    before = Revocation.objects.values().get()
    response = as_root.get(page(f"{REVOCATION}_change", row.pk))
    text = text_of(response)
    for expected in (
        "CN=alice",
        "CN=Test Root CA",
        "not recorded",
        bytes.fromhex(alice_cert.fingerprint).hex(":").upper(),
    ):
        assert expected in text
    data = {**ADD_REVOCATION, "reason": "4", "note": "x", "serial_number": "7"}
    messages_after(as_root.post(page(f"{REVOCATION}_change", row.pk), data))
    after = Revocation.objects.values().get()
    assert (after.pop("reason"), after.pop("note")) == (4, "x")
    assert after == {k: v for k, v in before.items() if k not in ("reason", "note")}


def test_pages_of_every_kind(as_root: Client, authority: Any) -> None:
    """Also of what has no certificate, and of a row that cannot be right."""
    revoke_public_key(b"\1" * 32)
    revoke_serial(authority, 7)
    revoke_period(authority, NOW, NOW)
    broken = Revocation.objects.create(
        description="<b>\u202e", issued_from=NOW, certificate=b"junk"
    )
    for row in Revocation.objects.all():
        response = as_root.get(page(f"{REVOCATION}_change", row.pk))
        assert response.status_code == 200
        assert "<b>\u202e" not in response.content.decode()
    response = as_root.get(page(f"{REVOCATION}_change", broken.pk))
    assert "cannot be read" in text_of(response)
    assert as_root.get(page(f"{REVOCATION}_changelist")).status_code == 200


def test_facts_without_a_certificate(authority: Any) -> None:
    """The pages do not ask; but nothing breaks where one does."""
    from django.contrib import admin

    model_admin: Any = admin.site.get_model_admin(Revocation)
    row = revoke_public_key(b"\1" * 32)
    assert model_admin.certificate_subject(row) == "none"
    assert model_admin.shown_serial(row) == "none"


@pytest.mark.parametrize("field", [*ADD_REVOCATION, "unheard_of"])
def test_n66_private_key_is_not_echoed(
    as_root: Client, field: str, caplog: Any
) -> None:
    """N66: refused in every field, and nowhere in the answer or the log."""
    for text in TEXTS.values():
        response = add(as_root, **{field: text})
        assert errors_on(response)
        shown = response.content.decode() + caplog.text
        assert not [secret for secret in secrets_of(text) if secret in shown]
    assert not Revocation.objects.exists()


# --- who may revoke, and take back ------------------------------------------------


def _by_certificate(ca: ThrowawayCA, authority: Any, issued: Any) -> dict[str, Any]:
    return {"pasted": issued.pem}


def _by_serial(ca: ThrowawayCA, authority: Any, issued: Any) -> dict[str, Any]:
    serial = f"{issued.certificate.serial_number:x}"
    return {"authority": authority.pk, "serial_number": serial}


def _by_ca(ca: ThrowawayCA, authority: Any, issued: Any) -> dict[str, Any]:
    return {"upload": SimpleUploadedFile("ca.cer", ca.der)}


@pytest.mark.parametrize("how", [_by_certificate, _by_serial, _by_ca])
@pytest.mark.parametrize("kind", ["subject", "stored"])
def test_n65_certificate_of_one_above(
    as_helper: Client,
    as_root: Client,
    root: Any,
    authority: Any,
    ca: ThrowawayCA,
    how: Any,
    kind: str,
) -> None:
    """N65: somebody below can neither revoke it nor lift the revocation."""
    issued = ca.issue("root")
    if kind == "stored":
        stored(root, issued, authority=authority)
    else:
        CertificateMapping.objects.create(
            user=root, kind="subject", value="CN=root", authority=authority
        )
    errors = errors_on(add(as_helper, **how(ca, authority, issued)))
    assert "would revoke certificates of users" in errors["__all__"][0]
    assert not Revocation.objects.exists()
    messages_after(add(as_root, **how(ca, authority, issued)))
    row = Revocation.objects.get()
    address = page(f"{REVOCATION}_delete", row.pk)
    assert as_helper.post(address, {"post": "yes"}).status_code == 403
    as_helper.post(
        page(f"{REVOCATION}_changelist"),
        {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"},
    )
    assert Revocation.objects.exists()
    assert as_root.post(address, {"post": "yes"}).status_code == 302
    assert not Revocation.objects.exists()


def test_n65_certificates_of_others_may_be_revoked(
    as_helper: Client, authority: Any, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """And the revocation may be lifted."""
    stored(alice, alice_cert, authority=authority)
    messages_after(add(as_helper, pasted=alice_cert.pem))
    address = page(f"{REVOCATION}_delete", Revocation.objects.get().pk)
    assert as_helper.post(address, {"post": "yes"}).status_code == 302
    assert decide(alice_cert).accepted


def test_n65_reach_of_a_revocation(
    authority: Any, ca: ThrowawayCA, root: Any, monkeypatch: Any
) -> None:
    """A key, a renewal with the same key, a certificate seen, a rule."""
    actor = make_staff("actor", *all_permissions(*MODELS))
    issued, other = ca.issue("one"), ca.issue("other")
    by_key = revoke_public_key(parsed(issued).public_key_bytes)
    revocation = revoke_certificate(parsed(other))
    assert reach.may_revoke(actor, by_key)
    assert reach.may_revoke(actor, revocation)
    pinned = CertificateMapping.objects.create(
        user=root, kind="public_key", value=parsed(issued).public_key_fingerprint
    )
    assert not reach.may_revoke(actor, by_key)
    assert reach.may_revoke(actor, revocation)
    pinned.delete()
    row = seen(root, other)
    assert not reach.may_revoke(actor, revocation)
    assert reach.may_revoke(actor, by_key)
    row.delete()
    # Where the flags are no columns, every user is asked.
    monkeypatch.setattr(reach, "may_be_privileged", lambda prefix: Q())
    assert reach.may_revoke(actor, revocation)
    CertificateAuthority.objects.update(rule_allows_privileged=True)
    assert not reach.may_revoke(actor, revocation)


def _the_time(authority: Any, issued: IssuedCertificate) -> Revocation:
    return revoke_period(authority, NOW - 400 * DAY, NOW + DAY)


def _the_serial(authority: Any, issued: IssuedCertificate) -> Revocation:
    return revoke_serial(authority, issued.certificate.serial_number)


def _the_key(authority: Any, issued: IssuedCertificate) -> Revocation:
    return revoke_public_key(parsed(issued).public_key_bytes)


@pytest.mark.parametrize("how", [_the_time, _the_serial, _the_key])
@pytest.mark.parametrize("mapped_by", ["name", "pin", "rule", "key"])
def test_n65_reach_where_the_certificate_was_never_seen(
    authority: Any, ca: ThrowawayCA, root: Any, how: Any, mapped_by: str
) -> None:
    """N65: a superuser’s is not revoked by way of another authority with that CA."""
    actor = make_staff("actor", *all_permissions(*MODELS))
    issued = ca.issue("root")
    twin = CertificateAuthority.objects.create(name="Twin", bundle=ca.pem)
    revocation = how(twin, issued)
    assert reach.may_revoke(actor, revocation)
    # What another CA issues is not hit, unless it may be the same key.
    elsewhere = CertificateAuthority.objects.create(
        name="Elsewhere", bundle=ThrowawayCA.create("Elsewhere").pem
    )
    named = CertificateMapping.objects.create(
        user=root, kind="subject", value="CN=x", authority=elsewhere
    )
    assert reach.may_revoke(actor, revocation) == (how is not _the_key)
    named.delete()
    fields: dict[str, Any] = {
        "name": {"kind": "subject", "value": "CN=root", "authority": authority},
        "pin": {"kind": "fingerprint", "value": issued.fingerprint},
        "key": {
            "kind": "public_key",
            "value": parsed(issued).public_key_fingerprint,
        },
    }.get(mapped_by, {})
    if fields:
        CertificateMapping.objects.create(user=root, **fields)
    else:
        CertificateAuthority.objects.filter(pk=authority.pk).update(
            rule_identity="common_name", rule_allows_privileged=True
        )
    assert not reach.may_revoke(actor, revocation)
    assert reach.may_revoke(root, revocation)


@pytest.mark.parametrize("kind", ["fingerprint", "public_key"])
def test_n65_reach_where_the_certificate_was_seen(
    authority: Any, ca: ThrowawayCA, root: Any, kind: str
) -> None:
    """A pin that was used is known: others of its CA may be revoked."""
    actor = make_staff("actor", *all_permissions(*MODELS))
    issued, other = ca.issue("root"), ca.issue("other")
    pins = {
        "fingerprint": issued.fingerprint,
        "public_key": parsed(issued).public_key_fingerprint,
    }
    pinned = CertificateMapping.objects.create(user=root, kind=kind, value=pins[kind])
    revocation = _the_serial(authority, other)
    assert not reach.may_revoke(actor, revocation)
    # A fingerprint may be that of a certificate with the same key.
    by_certificate = revoke_certificate(parsed(other))
    assert reach.may_revoke(actor, by_certificate) == (kind == "public_key")
    seen(root, issued, mapping=pinned)
    assert reach.may_revoke(actor, by_certificate)
    assert reach.may_revoke(actor, revocation)
    assert not reach.may_revoke(actor, _the_serial(authority, issued))


@pytest.mark.parametrize("mapped_by", ["fingerprint", "subject", "rule"])
def test_a14_an_older_certificate_of_the_same_key(
    as_helper: Client, authority: Any, root: Any, ca: ThrowawayCA, mapped_by: str
) -> None:
    """A certificate revokes its key, so the unseen ones of that key count too."""
    current = ca.issue("root")
    older = ThrowawayCA.create("Elsewhere").issue("helper", key=current.key)
    values = {"fingerprint": current.fingerprint, "subject": "CN=root"}
    if mapped_by == "rule":
        CertificateAuthority.objects.filter(pk=authority.pk).update(
            rule_identity="common_name", rule_allows_privileged=True
        )
    else:
        CertificateMapping.objects.create(
            user=root, kind=mapped_by, value=values[mapped_by], authority=authority
        )
    errors = errors_on(add(as_helper, pasted=older.pem))
    assert "would revoke certificates of users" in errors["__all__"][0]
    assert decide(current).user == root


def test_n65_reach_of_a_certificate_that_a_rule_knows(
    authority: Any, ca: ThrowawayCA
) -> None:
    """N65: the rule is that of whichever authority has the CA."""
    actor = make_staff("actor", *all_permissions(*MODELS))
    assert reach.may_revoke(actor, revoke_certificate(parsed(self_signed("x"))))
    twin = CertificateAuthority.objects.create(name="Z twin", bundle=ca.pem)
    revocation = revoke_certificate(parsed(ca.issue("root")))
    assert revocation.authority == authority
    assert reach.may_revoke(actor, revocation)
    CertificateAuthority.objects.filter(pk=twin.pk).update(
        rule_identity="common_name", rule_allows_privileged=True
    )
    assert not reach.may_revoke(actor, revocation)


def test_n65_crl_of_a_twin(
    as_helper: Client, authority: Any, ca: ThrowawayCA, root: Any
) -> None:
    """N65: what a CRL revokes for one authority, it revokes for its twin."""
    CertificateMapping.objects.create(
        user=root, kind="subject", value="CN=root", authority=authority
    )
    twin = CertificateAuthority.objects.create(name="Twin", bundle=ca.pem)
    issued = ca.issue("root")
    row = import_crl(twin, ca.crl([issued])).row
    assert decide(issued).reason == "revoked"
    address = page(f"{REVOCATION_LIST}_delete", row.pk)
    assert as_helper.post(address, {"post": "yes"}).status_code == 403
    assert decide(issued).reason == "revoked"


def test_n65_reach_where_the_authority_is_broken(
    authority: Any, ca: ThrowawayCA, root: Any
) -> None:
    """Whose a certificate is cannot be told: not less than it may be."""
    actor = make_staff("actor", *all_permissions(*MODELS))
    issued = ca.issue("one")
    row = revoke_certificate(parsed(issued))
    row.public_key = None
    row.save()
    assert reach.may_revoke(actor, row)
    stored(root, issued, value="ab" * 32)
    assert not reach.may_revoke(actor, row)
    row.authority.bundle = "junk"
    assert not reach.may_revoke(actor, row)
    row.issuer_key = b"\2" * 32
    row.authority = CertificateAuthority.objects.get()
    row.certificate = self_signed("x").der
    assert reach.may_revoke(actor, row)


@pytest.mark.parametrize("verb", ["view", "add", "change", "delete"])
@pytest.mark.parametrize("model", [REVOCATION, REVOCATION_LIST])
def test_each_permission_by_itself(
    authority: Any, ca: ThrowawayCA, model: str, verb: str
) -> None:
    """One permission opens its page, and no other."""
    import_crl(authority, ca.crl([1]))
    revoke_public_key(b"\1" * 32)
    row: Any = (Revocation if model == REVOCATION else RevocationList).objects.get()
    client = log_in(make_staff("x", f"{verb}_{model.rpartition('_')[2]}"))
    may_look = verb in ("view", "change")
    for name, arguments, allowed in (
        ("add", (), verb == "add"),
        ("delete", (row.pk,), verb == "delete"),
        ("change", (row.pk,), may_look),
        ("changelist", (), may_look),
    ):
        status = client.get(page(f"{model}_{name}", *arguments)).status_code
        assert (status == 200) is allowed, (name, status)


# --- certificates seen ------------------------------------------------------------


def test_certificates_seen(
    as_root: Client,
    authority: Any,
    alice: Any,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
    mallory_cert: IssuedCertificate,
) -> None:
    """Whose, through what, where, when."""
    mapping = stored(alice, alice_cert)
    first = seen(alice, alice_cert, mapping=mapping)
    second = seen(alice, mallory_cert, authority=authority)
    third = seen(alice, ca.issue("x"))
    SeenCertificate.objects.filter(pk=third.pk).update(not_after=None)
    text = text_of(as_root.get(page(f"{SEEN}_changelist")))
    assert f"CN=alice a.example.com alice mapping {mapping.pk} " in text
    assert "CN=mallory a.example.com alice the rule of Test CA" in text
    assert "a mapping or rule that was deleted" in text
    assert "unknown" in text
    response = as_root.get(page(f"{SEEN}_change", first.pk))
    text = text_of(response)
    assert bytes.fromhex(alice_cert.fingerprint).hex(":").upper() in text
    assert "Revocation: not revoked" in text
    assert b'name="_save"' not in response.content
    assert b"deletelink" not in response.content
    revoke_certificate(parsed(mallory_cert))
    text = text_of(as_root.get(page(f"{SEEN}_change", second.pk)))
    assert "The certificate is revoked: revocation" in text
    for name in ("add", "delete"):
        arguments = () if name == "add" else (first.pk,)
        assert as_root.post(page(f"{SEEN}_{name}", *arguments)).status_code == 403
    assert as_root.post(page(f"{SEEN}_change", first.pk), {}).status_code == 403
    assert as_root.get(page(f"{SEEN}_changelist"), {"q": "a\0b"}).status_code == 200


def test_broken_certificate_seen_is_shown(as_root: Client, alice: Any) -> None:
    """Part by part."""
    row = seen(alice, b"junk")
    text = text_of(as_root.get(page(f"{SEEN}_change", row.pk)))
    assert "cannot be read" in text
    assert as_root.get(page(f"{SEEN}_changelist")).status_code == 200


def test_certificate_seen_goes_with_its_user(
    as_root: Client, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """Nobody is kept from deleting a user by it."""
    seen(alice, alice_cert)
    model = get_user_model()._meta
    address = page(f"{model.app_label}_{model.model_name}_delete", alice.pk)
    assert as_root.post(address, {"post": "yes"}).status_code == 302
    assert not SeenCertificate.objects.exists()


# --- the action -------------------------------------------------------------------


def confirm(client: Client, model: str, rows: Any, **data: Any) -> Any:
    """Send the page between."""
    return client.post(
        page(f"{model}_revoke"),
        {
            "_selected_action": [row.pk for row in rows],
            "post": "yes",
            "reason": "1",
            "note": "",
            **data,
        },
    )


def test_action_says_what_will_be_revoked(
    as_root: Client,
    alice: Any,
    authority: Any,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
) -> None:
    """A certificate, the public key only, the one last seen, or why not."""
    mine = stored(alice, alice_cert)
    key = CertificateMapping.objects.create(
        user=alice, kind="public_key", value="cd" * 32
    )
    bare = CertificateMapping.objects.create(
        user=alice, kind="fingerprint", value="ab" * 32
    )
    named = CertificateMapping.objects.create(
        user=alice, kind="subject", value="CN=x", authority=authority
    )
    last = ca.issue("x")
    seen(alice, last, mapping=named)
    rows = [mine, key, bare, named]
    response = run_action(as_root, "revoke", rows)
    text = text_of(response)
    for expected in (
        "CN=alice serial number",
        "only its public key",
        "cannot be revoked: no certificate is stored",
        "CN=x serial number",
    ):
        assert expected in text
    assert b"Revoke 3 certificates" in response.content
    assert not Revocation.objects.exists()
    messages = messages_after(confirm(as_root, MAPPING, rows, note="stolen"))
    assert messages == [("success", "3 certificates are revoked.")]
    assert {revocation.note for revocation in Revocation.objects.all()} == {"stolen"}
    assert Revocation.objects.filter(public_key=bytes.fromhex("cd" * 32)).exists()
    assert decide(alice_cert).reason == "revoked"
    assert decide(last).reason == "revoked"
    assert LogEntry.objects.count() == 3


def test_action_on_certificates_seen(
    as_root: Client, alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """The same page, with the same effect."""
    row = seen(alice, alice_cert)
    assert "CN=alice" in text_of(run_action(as_root, "revoke", [row], SEEN))
    messages_after(confirm(as_root, SEEN, [row]))
    assert decide(alice_cert).reason == "revoked"


def test_action_with_errors(
    as_root: Client, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """Errors of the form, and of one of the certificates, are said."""
    mine, broken = stored(alice, alice_cert), seen(alice, b"junk")
    for data in ({"reason": "99"}, {"note": "a\0b"}, {"note": TEXTS["pem rsa"]}):
        response = confirm(as_root, MAPPING, [mine], **data)
        assert errors_on(response)
        shown = response.content.decode()
        assert not [
            secret for secret in secrets_of(TEXTS["pem rsa"]) if secret in shown
        ]
    ((level, text),) = messages_after(confirm(as_root, SEEN, [broken]))
    assert level == "error"
    assert "cannot be read" in text
    assert not Revocation.objects.exists()


def test_action_on_many(
    as_root: Client, alice: Any, ca: ThrowawayCA, monkeypatch: Any
) -> None:
    """A page of thousands is cut short, and more than the limit is not begun."""
    monkeypatch.setattr(revoking, "MAX_SHOWN", 1)
    rows = [seen(alice, ca.issue(str(number))) for number in range(3)]
    assert "and 2 more" in text_of(run_action(as_root, "revoke", rows, SEEN))
    monkeypatch.setattr(revoking, "MAX_REVOKED", 2)
    ((level, text),) = messages_after(run_action(as_root, "revoke", rows, SEEN))
    assert (level, text) == (
        "error",
        "At most 2 certificates can be revoked at a time.",
    )
    assert confirm(as_root, SEEN, rows).status_code == 400


def test_action_on_as_many_as_fit(as_root: Client, alice: Any) -> None:
    """The page of as many as are allowed can be sent: Django counts the fields."""
    rows = [
        SeenCertificate(
            user=alice,
            certificate=b"junk",
            fingerprint=number.to_bytes(32, "big"),
            first_seen_at=NOW,
            last_seen_at=NOW,
        )
        for number in range(revoking.MAX_REVOKED)
    ]
    SeenCertificate.objects.bulk_create(rows)
    messages = messages_after(confirm(as_root, SEEN, SeenCertificate.objects.all()))
    assert len(messages) == 20
    assert all("cannot be read" in text for _, text in messages)


@pytest.mark.parametrize("key", ["abc", "a\0b", "9" * 40, "-1", "99", ""])
def test_action_on_impossible_rows(as_root: Client, key: str) -> None:
    """Crafted keys are no rows, or no request."""
    for model in (SEEN, MAPPING):
        address = page(f"{model}_revoke")
        for response in (
            as_root.get(address, {"_selected_action": key}),
            as_root.post(address, {"_selected_action": key, "post": "yes"}),
        ):
            assert response.status_code in (200, 400)
    assert not Revocation.objects.exists()


def test_n65_action(
    as_helper: Client,
    root: Any,
    alice: Any,
    authority: Any,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
) -> None:
    """N65: a certificate of one above is not revoked along the way."""
    above, below = stored(root, ca.issue("root")), stored(alice, alice_cert)
    text = text_of(run_action(as_helper, "revoke", [above, below]))
    assert "cannot be revoked: Only a superuser may map" in text
    messages = messages_after(confirm(as_helper, MAPPING, [above, below]))
    assert messages == [("success", "1 certificate is revoked.")]
    # The same certificate, which lets in one above by a name too
    shared = ca.issue("shared")
    CertificateMapping.objects.create(
        user=root, kind="subject", value="CN=shared", authority=authority
    )
    row = seen(alice, shared)
    ((level, text),) = messages_after(confirm(as_helper, SEEN, [row]))
    assert level == "error"
    assert "would revoke certificates of users" in text
    assert Revocation.objects.count() == 1


def test_action_needs_the_permission(alice: Any, alice_cert: IssuedCertificate) -> None:
    """To add revocations, and to see the rows."""
    mine = stored(alice, alice_cert)
    mapper = log_in(make_staff("mapper", *all_permissions("certificatemapping")))
    revoker = log_in(make_staff("revoker", "add_revocation"))
    for client in (mapper, revoker):
        assert client.get(page(f"{MAPPING}_revoke")).status_code == 403
        assert confirm(client, MAPPING, [mine]).status_code == 403
    listed = mapper.get(page(f"{MAPPING}_changelist")).content
    assert b'value="revoke"' not in listed
    assert "Revoke" not in text_of(mapper.get(page(f"{MAPPING}_change", mine.pk)))
    assert not Revocation.objects.exists()
