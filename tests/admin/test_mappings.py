"""The admin of mappings: what it shows, finds and changes, and who may use it."""

from __future__ import annotations

import datetime as dt
import sys
from typing import Any

import pytest
from cryptography import x509
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.signals import got_request_exception
from django.db import connection
from django.db.models import Q
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.views.debug import ExceptionReporter

from django_clientcert.admin import CertificateMappingAdmin
from django_clientcert.admin.mappings import changelist
from django_clientcert.admin.mappings import known as known_module
from django_clientcert.admin.mappings.form import CertificateMappingForm
from django_clientcert.exceptions import Reason
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    SeenCertificate,
    UnknownCertificate,
    users,
)
from django_clientcert.testing import (
    SERVER_AUTH,
    IssuedCertificate,
    ThrowawayCA,
    make_name,
    self_signed,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import find_identities
from tests import der_writer as write
from tests.models.test_custom_user import run
from tests.private_keys import TEXTS, UPLOADS, secrets_of

from .pages import (
    ADD_MAPPING,
    AUTHORITY,
    MAPPING,
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
DIGEST = bytes(range(32)).hex()

LIST = f"{MAPPING}_changelist"
ADD = f"{MAPPING}_add"
CHANGE = f"{MAPPING}_change"
DELETE = f"{MAPPING}_delete"


@pytest.fixture
def as_viewer(db: None) -> Client:
    """A user who may view mappings and authorities."""
    return log_in(
        make_staff("viewer", "view_certificatemapping", "view_certificateauthority")
    )


def pin(user: Any, number: int = 1, **fields: Any) -> CertificateMapping:
    """Return a new fingerprint mapping."""
    fields = {"kind": "fingerprint", "value": f"{number:064x}", **fields}
    return CertificateMapping.objects.create(user=user, **fields)


def stored(user: Any, der: bytes, **fields: Any) -> CertificateMapping:
    """Return a new fingerprint mapping with its certificate."""
    value = ClientCertificate(der).fingerprint
    return pin(user, value=value, certificate=der, **fields)


def accept(
    certificate: ClientCertificate, user: Any, mapping: Any, authority: Any
) -> None:
    """Record that *certificate* was accepted as *user*."""
    SeenCertificate.record(
        certificate,
        user=user,
        mapping=mapping,
        authority=authority,
        host="",
        size=10,
        at=NOW,
    )


def refuse(certificate: IssuedCertificate) -> None:
    """Put *certificate* into the inbox."""
    UnknownCertificate.record(
        ClientCertificate(certificate.der),
        reason=Reason.UNMAPPED,
        detail="",
        host="",
        address="",
        count=1,
        size=10,
        at=NOW,
    )


def add(client: Client, user: Any, /, **data: Any) -> Any:
    """Submit the add form."""
    return client.post(page(ADD), {**ADD_MAPPING, "user": user.pk, **data})


def change(client: Client, mapping: CertificateMapping, /, **data: Any) -> Any:
    """Submit the change form of a mapping, unchanged except for *data*."""
    filled = {
        **ADD_MAPPING,
        "user": mapping.user_id,
        "kind": mapping.kind,
        "value": mapping.value,
        "authority": mapping.authority_id or "",
        "state": mapping.state,
        "hosts": mapping.hosts,
        "note": mapping.note,
    }
    return client.post(page(CHANGE, mapping.pk), {**filled, **data})


def found(client: Client, **query: str) -> set[Any]:
    """Return the primary keys of the mappings on the changelist."""
    response = client.get(page(LIST), query)
    assert response.status_code == 200
    return {row.pk for row in response.context["cl"].result_list}


# --- adding -----------------------------------------------------------------------


def test_add_by_upload(
    as_root: Client,
    alice: Any,
    alice_cert: IssuedCertificate,
    authority: CertificateAuthority,
) -> None:
    """The value and the authority are filled in from an uploaded certificate."""
    assert as_root.get(page(ADD)).status_code == 200
    upload = SimpleUploadedFile("alice.cer", alice_cert.der)
    response = add(as_root, alice, kind="san_email", upload=upload)
    messages = messages_after(response)
    mapping = CertificateMapping.objects.get()
    assert mapping.value == "alice@example.com"
    assert mapping.authority == authority
    assert mapping.certificate == alice_cert.der
    assert (
        "info",
        "The authority was set to “Test CA”, which issued the certificate.",
    ) in messages
    assert [level for level, _ in messages] == ["info", "success"]


def test_add_by_typing(as_root: Client, alice: Any) -> None:
    """A fingerprint as openssl prints it is enough."""
    text = "sha256 Fingerprint=" + bytes.fromhex(DIGEST).hex(":").upper()
    assert warnings_after(add(as_root, alice, value=text)) == []
    assert CertificateMapping.objects.get().value == DIGEST


def test_errors_stand_at_their_fields(as_root: Client, alice: Any) -> None:
    """Errors are shown on the page, next to their fields, and escaped."""
    response = add(as_root, alice, value="<b>x</b>", hosts="a:1", state="odd")
    assert set(errors_on(response)) == {"state"}
    response = add(as_root, alice, value="<b>x</b>")
    assert set(errors_on(response)) == {"value"}
    assert "<b>x" not in response.content.decode()


WARNINGS: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "fine": ({}, "fingerprint", []),
    "expired": (
        {"not_before": NOW - 9 * DAY, "not_after": NOW - DAY},
        "fingerprint",
        ["this mapping accepts nobody"],
    ),
    "expired name": (
        {"not_before": NOW - 9 * DAY, "not_after": NOW - DAY},
        "subject",
        ["only its renewal is accepted"],
    ),
    "not yet valid": (
        {"not_before": NOW + DAY, "not_after": NOW + 9 * DAY},
        "fingerprint",
        ["is not yet valid"],
    ),
    "server": ({"eku": [SERVER_AUTH]}, "fingerprint", ["extendedKeyUsage lacks"]),
    "no signature": (
        {"digital_signature": False},
        "public_key",
        ["keyUsage lacks digitalSignature"],
    ),
    "ca": (
        {"ca": True},
        "fingerprint",
        ["marked as a CA’s. Make sure that it is the client’s own"],
    ),
    "all at once": (
        {
            "not_before": NOW - 9 * DAY,
            "not_after": NOW - DAY,
            "eku": [SERVER_AUTH],
            "ca": True,
        },
        "fingerprint",
        ["has expired", "extendedKeyUsage lacks"],
    ),
}


@pytest.mark.parametrize("case", WARNINGS)
def test_warnings_after_saving(as_root: Client, alice: Any, case: str) -> None:
    """A certificate that will be refused is saved, with a warning."""
    arguments, kind, words = WARNINGS[case]
    root = ThrowawayCA.create("Root", not_before=NOW - 99 * DAY)
    CertificateAuthority.objects.create(name="Root", bundle=root.pem)
    issued = root.issue("alice", **arguments)
    messages = warnings_after(add(as_root, alice, kind=kind, pasted=issued.pem))
    assert len(messages) == len(words)
    for text, word in zip(messages, words, strict=True):
        assert word in text
    assert CertificateMapping.objects.count() == 1


def test_warning_of_a_ca(
    as_root: Client, alice: Any, ca: ThrowawayCA, authority: CertificateAuthority
) -> None:
    """A CA certificate causes a warning that depends on how it is mapped."""
    below = ca.issue_ca("Issuing CA", extensions=())
    messages = warnings_after(
        add(
            as_root,
            alice,
            kind="subject",
            pasted=ca.issue("x", ca=True).pem,
            authority=authority.pk,
        )
    )
    assert len(messages) == 1
    assert "so it will be refused: upload the certificate of the client" in messages[0]
    (text,) = warnings_after(
        add(
            as_root,
            alice,
            pasted=self_signed(
                "device",
                extensions=[(x509.BasicConstraints(ca=True, path_length=None), True)],
            ).pem,
        )
    )
    assert "do not map the root certificate" in text
    (text,) = warnings_after(add(as_root, alice, pasted=below.pem))
    assert "keyUsage lacks digitalSignature" in text


def test_warning_of_a_path(as_root: Client, alice: Any, settings: Any) -> None:
    """If the application verifies, a path that it cannot verify causes a warning."""
    root = ThrowawayCA.create("Ed", key="ed25519")
    authority = CertificateAuthority.objects.create(name="Ed", bundle=root.pem)
    issued = root.issue("alice")
    data = {"kind": "subject", "pasted": issued.pem, "authority": authority.pk}
    assert warnings_after(add(as_root, alice, **data)) == []
    settings.CLIENTCERT_PROXY_VERIFIES = False
    CertificateMapping.objects.all().delete()
    (text,) = warnings_after(add(as_root, alice, **data))
    assert text.startswith("The path to “Ed” does not validate")
    settings.CLIENTCERT_PROXY_VERIFIES = "maybe"
    CertificateMapping.objects.all().delete()
    assert warnings_after(add(as_root, alice, **data)) == []


def test_warning_of_a_certificate_that_cannot_be_read(
    as_root: Client, alice: Any, ca: ThrowawayCA
) -> None:
    """A certificate with unreadable dates can be mapped by a pin."""
    der = write.certificate(
        ca,
        validity=write.tlv(
            write.SEQUENCE,
            write.tlv(0x18, b"20260101000000Z"),
            write.tlv(0x18, b"20990101000000Z"),
        ),
        extensions=[write.extension(write.EXTENDED_KEY_USAGE, b"\x05\x00")],
    )
    upload = SimpleUploadedFile("c", der)
    (text,) = warnings_after(add(as_root, alice, upload=upload))
    assert "extension 2.5.29.37" in text


@pytest.mark.parametrize("name", ["valid_from", "valid_until"])
def test_each_half_of_a_moment_has_a_name(as_root: Client, name: str) -> None:
    """Django 5.2 itself labels neither the date nor the time."""
    field = as_root.get(page(ADD)).context["adminform"].form[name]
    for number, label in enumerate(["Date:", "Time:"]):
        (line,) = (
            one
            for one in str(field).split("<")
            if f"{name}_{number}" in one and one.startswith("input")
        )
        assert f'aria-label="{label}"' in line


def test_prefilled_page(as_root: Client, alice: Any) -> None:
    """The query string can prefill valid values of some fields, and nothing else."""
    response = as_root.get(
        page(ADD), {"user": alice.pk, "value": DIGEST, "state": "disabled"}
    )
    form = response.context["adminform"].form
    assert form["user"].value() == str(alice.pk)
    assert form["value"].value() == DIGEST
    assert form["state"].value() == "active"
    key = TEXTS["base64 in a sentence"]
    for name in ("user", "authority", "note", "value", "kind", "upload", "_popup"):
        for value in (key, "a\0b", "<b>markup", "9" * 40, "no-key"):
            response = as_root.get(page(ADD), {name: value})
            assert response.status_code == 200
            shown = response.content.decode()
            assert not [one for one in secrets_of(key) if one in shown]
            assert "<b>markup" not in shown


@pytest.mark.parametrize("value", ["", "abc", "-1", "9" * 40, "a\0b", "1.5", "∞"])
@pytest.mark.parametrize("field", ["user", "authority", "kind", "state", "order"])
def test_impossible_choices(
    as_root: Client,
    as_helper: Client,
    alice: Any,
    field: str,
    value: str,
) -> None:
    """A crafted choice is an error on the page, with both widgets of the user."""
    for client in (as_root, as_helper):
        response = add(client, alice, **{"value": DIGEST, field: value})
        if value or field not in ("authority", "order"):
            assert field in errors_on(response)
    assert CertificateMapping.objects.count() == (
        0 if value or field not in ("authority", "order") else 1
    )


# --- private keys -----------------------------------------------------------------


@pytest.mark.parametrize("field", [*ADD_MAPPING, "unheard_of"])
def test_n66_private_key_is_not_echoed(
    as_root: Client, alice: Any, alice_cert: IssuedCertificate, field: str, caplog: Any
) -> None:
    """N66: it is refused in every field, and not in the response, log or database."""
    text = TEXTS["pem pkcs8"]
    response = add(as_root, alice, **{"pasted": alice_cert.pem, field: text})
    assert errors_on(response)
    shown = response.content.decode() + caplog.text
    assert not [one for one in secrets_of(text) if one in shown]
    assert "This holds a private key." in text_of(response)
    assert not CertificateMapping.objects.exists()
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("kind", UPLOADS)
def test_n66_uploaded_private_key(as_root: Client, alice: Any, kind: str) -> None:
    """N66: see test_n66_private_key_is_not_echoed()."""
    response = add(as_root, alice, upload=SimpleUploadedFile("c.pem", UPLOADS[kind]))
    assert list(errors_on(response)) == ["upload"]
    assert not CertificateMapping.objects.exists()


@pytest.mark.parametrize("debug", [True, False])
def test_n66_error_reports_hide_what_was_sent(
    root: Any, alice: Any, settings: Any, monkeypatch: Any, debug: bool
) -> None:
    """N66: no exception reveals what was posted, on a DEBUG page or in mail."""
    reports = []

    def report(request: Any, **kwargs: Any) -> None:
        reporter = ExceptionReporter(request, *sys.exc_info())
        reports.append(reporter.get_traceback_text() + reporter.get_traceback_html())

    def fail(self: CertificateMappingForm) -> None:
        secret = self.data["note"]
        raise RuntimeError(len(secret))

    monkeypatch.setattr(CertificateMappingForm, "clean", fail)
    settings.DEBUG = debug
    client = Client(raise_request_exception=False)
    client.force_login(root, "django.contrib.auth.backends.ModelBackend")
    got_request_exception.connect(report)
    try:
        response = add(client, alice, note="hidden-in-reports")
    finally:
        got_request_exception.disconnect(report)
    assert response.status_code == 500
    assert ("RuntimeError" in response.content.decode()) is debug
    assert "RuntimeError" in reports[0]
    for shown in (response.content.decode(), *reports):
        assert "hidden-in-reports" not in shown


# --- the page of a mapping --------------------------------------------------------


def test_parsed_certificate(as_root: Client, alice: Any, ca: ThrowawayCA) -> None:
    """All fields of the certificate are shown, read-only."""
    issued = ca.issue(
        subject=make_name("alice", country="FR", organization="Example"),
        serial=0x1EAD85,
        emails=["alice@example.com", "a@example.com"],
        dns=["alice.example.com"],
        uris=["spiffe://example.com/alice"],
        upns=["alice@corp.example"],
        ips=["10.1.2.3"],
        key="rsa2048",
        not_before=NOW - DAY,
        not_after=NOW + 100 * DAY + dt.timedelta(hours=1),
        extensions=[
            (
                x509.CertificatePolicies(
                    [x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)]
                ),
                False,
            )
        ],
    )
    used = NOW - dt.timedelta(hours=3, minutes=5)
    mapping = stored(alice, issued.der, last_used_at=used)
    response = as_root.get(page(CHANGE, mapping.pk))
    text = text_of(response)
    for expected in (
        f"Last used: {used:%Y-%m-%d %H:%M:%S} UTC, 3 hours ago",
        "Subject: CN=alice,O=Example,C=FR",
        "Issuer: CN=Test Root CA",
        "Serial number: 1E:AD:85",
        f"Valid: {NOW - DAY:%Y-%m-%d %H:%M:%S} UTC to",
        "ends in 100 days",
        "Public key: RSA, 2048 bits",
        "Key usage: digitalSignature",
        "Extended key usage: clientAuth",
        "e-mail: alice@example.com, a@example.com",
        "DNS: alice.example.com",
        "URI: spiffe://example.com/alice",
        "user principal name: alice@corp.example",
        "IP address: 10.1.2.3",
        "Policies: 1.2.3.4",
        bytes.fromhex(issued.fingerprint).hex(":").upper(),
        bytes.fromhex(ClientCertificate(issued.der).public_key_fingerprint)
        .hex(":")
        .upper(),
        bytes.fromhex(ClientCertificate(issued.der).sha1_fingerprint).hex(":").upper(),
    ):
        assert expected in text
    titles = [str(one.name) for one in response.context["adminform"]]
    assert titles == [
        "Identity",
        "Matching",
        "Validity",
        "Certificate",
        "Other certificates",
        "Replace the certificate",
    ]
    assert b"style=" not in response.content.split(b'id="content-main"')[1]


def test_certificate_of_tomorrow(as_root: Client, alice: Any, ca: ThrowawayCA) -> None:
    """The beginning of the validity period is shown too."""
    issued = ca.issue("alice", not_before=NOW + 5.5 * DAY, not_after=NOW + 9 * DAY)
    mapping = stored(alice, issued.der)
    text = text_of(as_root.get(page(CHANGE, mapping.pk)))
    assert "UTC, begins in 5 days" in text
    assert "Validity: not yet valid" in text


def test_without_a_certificate(as_root: Client, alice: Any) -> None:
    """The page says that no certificate is stored."""
    mapping = pin(alice)
    screen: Any = admin.site.get_model_admin(CertificateMapping)
    assert screen.full_subject(mapping) == "none"
    text = text_of(as_root.get(page(CHANGE, mapping.pk)))
    assert (
        "No certificate is stored, because this mapping was made from a typed value."
        in text
    )
    assert "Store a certificate" in text


def test_names_are_spelt_out(
    as_root: Client, alice: Any, authority: CertificateAuthority
) -> None:
    """The page shows in which order a name was read."""
    subject = pin(
        alice, kind="subject", value="CN=alice,O=ACME,C=FR", authority=authority
    )
    serial = pin(
        alice, kind="issuer_serial", value="0a CN=CA,C=FR", authority=authority
    )
    text = text_of(as_root.get(page(CHANGE, subject.pk)))
    assert "Read as: C=FR → O=ACME → CN=alice" in text
    text = text_of(as_root.get(page(CHANGE, serial.pk)))
    assert "Read as: C=FR → CN=CA" in text
    CertificateMapping.objects.filter(pk=subject.pk).update(value="junk")
    assert "has no “=”" in text_of(as_root.get(page(CHANGE, subject.pk)))


ODD: dict[str, Any] = {
    "bad utf-8": lambda ca: write.certificate(ca, subject=write.common_name(b"\xff")),
    "nul": lambda ca: write.certificate(ca, subject=write.common_name("a\0.evil")),
    "controls": lambda ca: write.certificate(
        ca, subject=write.common_name("a\n\x1b[31m\u202eb")
    ),
    "markup": lambda ca: write.certificate(
        ca,
        subject=write.common_name("<script>alert(1)</script>"),
        extensions=[
            write.subject_alternative_name(
                write.tlv(0x81, b"<script>alert(1)</script>@x"),
                write.tlv(0x86, b"javascript:<script>alert(1)</script>"),
            )
        ],
    ),
    "unsorted set": lambda ca: write.certificate(
        ca,
        subject=write.name(
            [
                write.attribute(write.UNIT, "zz"),
                write.attribute(write.COMMON_NAME, "a"),
            ]
        ),
    ),
    "twice": lambda ca: write.certificate(
        ca, extensions=[*write.CLIENT_EXTENSIONS, *write.CLIENT_EXTENSIONS]
    ),
    "negative serial": lambda ca: write.certificate(ca, serial=write.integer(-5)),
    "huge serial": lambda ca: write.certificate(ca, serial=write.integer(1 << 4000)),
    "three octets": lambda ca: write.certificate(
        ca, extensions=[write.subject_alternative_name(write.tlv(0x87, b"abc"))]
    ),
    "many names": lambda ca: write.certificate(
        ca,
        extensions=[
            write.subject_alternative_name(
                *(write.tlv(0x82, f"h{n}.example".encode()) for n in range(300))
            )
        ],
    ),
    "odd extensions": lambda ca: write.certificate(
        ca,
        extensions=[
            write.extension(oid, b"\x05\x00")
            for oid in (write.KEY_USAGE, write.EXTENDED_KEY_USAGE, "2.5.29.32")
        ],
    ),
    "odd key": lambda ca: write.certificate(
        ca,
        spki=write.tlv(
            write.SEQUENCE,
            write.tlv(write.SEQUENCE, write.oid("1.2.3")),
            write.tlv(write.BIT_STRING, b"\0"),
        ),
    ),
    "version 1": lambda ca: write.certificate(ca, version=None, extensions=None),
    "empty": lambda ca: write.certificate(ca, subject=write.name(), extensions=None),
    "forever": lambda ca: write.certificate(
        ca,
        validity=write.tlv(
            write.SEQUENCE,
            write.tlv(0x17, b"260101000000Z"),
            write.tlv(0x18, b"99991231235959Z"),
        ),
    ),
    "year one": lambda ca: write.certificate(
        ca,
        validity=write.tlv(
            write.SEQUENCE,
            write.tlv(0x18, b"00010101000000Z"),
            write.tlv(0x18, b"00010102000000Z"),
        ),
    ),
    "no certificate": lambda ca: b"\x30\x03\x02\x01\x05",
    "junk": lambda ca: b"junk",
    "nothing": lambda ca: b"",
}
SAID = {
    "bad utf-8": ["Subject: CN=#0c01ff", "Unusable: subject:"],
    "nul": ["Subject: CN=a\\00.evil", "Unusable: subject:"],
    "controls": ["Subject: CN=a\\0a\\1b[31m\\e2\\80\\aeb"],
    "markup": ["Subject: CN=\\<script\\>alert(1)\\</script\\>"],
    "unsorted set": ["Subject: OU=zz+CN=a"],
    "twice": ["Alternative names: cannot be read:", "Key usage: cannot be read:"],
    "negative serial": ["Serial number: -05"],
    "three octets": ["Alternative names: cannot be read:", "Subject: CN=alice"],
    "many names": ["h19.example and 280 more"],
    "odd extensions": ["Key usage: cannot be read", "Policies: cannot be read"],
    "odd key": ["Public key: cannot be read"],
    "version 1": ["Key usage: none"],
    "empty": ["Subject: empty"],
    "forever": ["Valid: since 2026-01-01 00:00:00 UTC, without an end"],
    "year one": ["0001-01-02 00:00:00 UTC, expired 20"],
    "junk": ["Subject: cannot be read:", "SHA-256 fingerprint: "],
}


@pytest.mark.parametrize("timezone_name", ["UTC", "Pacific/Kiritimati"])
@pytest.mark.filterwarnings("ignore:Parsed a serial number:UserWarning")
@pytest.mark.filterwarnings("ignore:The parsed certificate contains:UserWarning")
@pytest.mark.parametrize("case", ODD)
def test_n26_n29_odd_certificates_are_shown(
    as_root: Client,
    alice: Any,
    ca: ThrowawayCA,
    case: str,
    timezone_name: str,
    settings: Any,
) -> None:
    """N26, N29: the unreadable parts are reported, on the changelist too."""
    settings.TIME_ZONE = timezone_name
    der = ODD[case](ca)
    mapping = stored(alice, der)
    response = as_root.get(page(CHANGE, mapping.pk))
    assert response.status_code == 200
    text = text_of(response)
    for expected in SAID.get(case, []):
        assert expected in text
    for shown in (response, as_root.get(page(LIST))):
        assert shown.status_code == 200
        content = shown.content.decode()
        assert "<script>alert" not in content
        assert not {"\0", "\x1b", "\u202e"} & set(content)
    # It can be saved as it is.
    messages_after(change(as_root, mapping, note="seen"))
    assert CertificateMapping.objects.get().certificate == der


@pytest.mark.filterwarnings("ignore:Parsed a serial number:UserWarning")
@pytest.mark.parametrize("case", ODD)
def test_odd_certificates_are_uploaded(
    as_root: Client, alice: Any, ca: ThrowawayCA, case: str
) -> None:
    """A certificate is saved or refused; it never raises an exception."""
    for kind in ("fingerprint", "public_key", "subject", "issuer_serial", "san_dns"):
        upload = SimpleUploadedFile("c", ODD[case](ca))
        response = add(as_root, alice, kind=kind, upload=upload)
        assert response.status_code in (200, 302)
        as_root.get(page(LIST))


def test_broken_row_is_shown(as_root: Client, alice: Any) -> None:
    """A row that this version would not write does not hide the others."""
    mapping = pin(alice)
    CertificateMapping.objects.filter(pk=mapping.pk).update(
        kind="from the future", value="\u202e<b>"
    )
    assert as_root.get(page(LIST)).status_code == 200
    response = as_root.get(page(CHANGE, mapping.pk))
    assert response.status_code == 200
    response = change(as_root, mapping)
    assert response.status_code == 302


@pytest.mark.parametrize("key", ["abc", "0", "9" * 40, "-1", "1%00", "_2D"])
def test_pages_that_do_not_exist(as_root: Client, key: str) -> None:
    """An unknown primary key redirects."""
    response = as_root.get(page(CHANGE, "KEY").replace("KEY", key))
    assert response.status_code == 302


# --- the list ---------------------------------------------------------------------


def test_list(
    as_root: Client,
    alice: Any,
    bob: Any,
    alice_cert: IssuedCertificate,
    authority: CertificateAuthority,
) -> None:
    """The columns: user, kind, value, authority, validity, state and last use."""
    stored(alice, alice_cert.der, last_used_at=timezone.now() - 3 * DAY)
    pin(bob, kind="subject", value="CN=bob,O=ACME", authority=authority)
    text = text_of(as_root.get(page(LIST)))
    assert (
        "alice fingerprint (SHA-256) strong "
        f"{alice_cert.fingerprint[:16]}… CN=alice valid active 3 days ago"
    ) in text
    assert (
        "bob subject by name CN=bob,O=ACME issued by Test CA unknown active never"
    ) in text


def test_list_is_one_query_however_long(
    as_root: Client,
    alice: Any,
    alice_cert: IssuedCertificate,
    authority: CertificateAuthority,
) -> None:
    """Users and authorities are fetched in the same query."""

    def count() -> int:
        as_root.get(page(LIST))  # reads each authority, once per process
        with CaptureQueriesContext(
            connection,
        ) as queries:
            as_root.get(page(LIST))
        return len(queries)

    stored(alice, alice_cert.der, authority=authority)
    count()  # this process has now read the authorities
    first = count()
    for number in range(20):
        user = get_user_model().objects.create_user(f"user{number}")
        pin(user, number, authority=authority)
    assert count() == first


def validity_of(mapping: CertificateMapping) -> str:
    """Return the validity that the changelist shows."""
    return str(admin.site.get_model_admin(CertificateMapping).validity(mapping))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("begins", "ends", "fields", "expected"),
    [
        (-9, 400, {}, "valid"),
        (-9, 13.5, {}, "expires in 13 days"),
        (-9, 1.5, {}, "expires in 36 hours"),
        (-9, 0.06, {}, "expires in 86 minutes"),
        (-9, -0.01, {}, "expired"),
        (1, 9, {}, "not yet valid"),
        (-9, 400, {"valid_until": NOW + 3.5 * DAY}, "expires in 3 days"),
        (-9, 400, {"valid_until": NOW - DAY}, "expired"),
        (-9, 400, {"valid_from": NOW + DAY}, "not yet valid"),
        (None, None, {}, "unknown"),
        (None, None, {"valid_from": NOW - DAY}, "unknown"),
        (None, None, {"valid_until": NOW + 99 * DAY}, "valid"),
    ],
)
def test_validity(
    alice: Any,
    ca: ThrowawayCA,
    begins: float | None,
    ends: float | None,
    fields: dict[str, Any],
    expected: str,
) -> None:
    """In words, not colours: the validity of certificate and mapping combined."""
    if begins is None or ends is None:
        assert validity_of(pin(alice, **fields)) == expected
        return
    now = timezone.now()
    issued = ca.issue(
        "alice",
        not_before=now + begins * DAY,
        # A minute for the test to run in
        not_after=now + ends * DAY + dt.timedelta(minutes=0.5),
    )
    assert validity_of(stored(alice, issued.der, **fields)) == expected


def test_filters(as_root: Client, alice: Any, ca: ThrowawayCA) -> None:
    """The filters by validity and last use find the right mappings."""
    now = timezone.now()

    def issued(ends: int) -> bytes:
        return ca.issue("x", not_before=now - 99 * DAY, not_after=now + ends * DAY).der

    valid = stored(alice, issued(99), last_used_at=now - DAY)
    later = stored(alice, issued(89))
    soon = stored(alice, issued(9), last_used_at=now - 99 * DAY)
    expired = stored(alice, issued(-9))
    unknown = pin(alice, 1)
    ended = pin(alice, 2, valid_until=now - DAY)
    ends_soon = stored(alice, issued(98), valid_until=now + DAY)
    everything = {one.pk for one in CertificateMapping.objects.all()}
    assert found(as_root, validity="expired") == {expired.pk, ended.pk}
    within_30_days = {soon.pk, ends_soon.pk}
    assert found(as_root, validity="week") == {ends_soon.pk}
    assert found(as_root, validity="soon") == within_30_days
    assert found(as_root, validity="quarter") == within_30_days | {later.pk}
    assert found(as_root, validity="valid") == within_30_days | {later.pk, valid.pk}
    assert found(as_root, validity="unknown") == {unknown.pk}
    assert found(as_root, used="recently") == {valid.pk}
    assert found(as_root, used="before") == {soon.pk}
    assert found(as_root, used="never") == everything - {valid.pk, soon.pk}
    assert found(as_root, validity="odd", used="odd") == everything
    assert found(as_root, kind__exact="fingerprint") == everything
    assert found(as_root, state__exact="disabled") == set()
    assert found(as_root, _facets="True") == everything


@pytest.mark.parametrize(
    "query",
    [
        {"q": "\0"},
        {"q": "'\" OR 1=1 --"},
        {"q": "%s"},
        {"q": "AB:" * 40},
        {"q": "x" * 5000},
        {"validity": "\0"},
        {"kind__exact": "\0"},
        {"user__password__startswith": "a"},
        {"authority__id__exact": "abc"},
        {"o": "99.-99.x"},
        {"p": "99999"},
        {"e": "1"},
    ],
)
def test_hostile_queries(as_root: Client, alice: Any, query: dict[str, str]) -> None:
    """A crafted query is a page, a redirect or 400, never an exception."""
    pin(alice)
    assert as_root.get(page(LIST), query).status_code in (200, 302, 400)


def test_search(
    as_root: Client,
    alice: Any,
    bob: Any,
    ca: ThrowawayCA,
    authority: CertificateAuthority,
) -> None:
    """Search by user, e-mail address, value, or subject of a stored certificate."""
    first = stored(alice, ca.issue(subject=make_name("gateway 7", country="FR")).der)
    second = pin(bob, kind="san_dns", value="host.example.com", authority=authority)
    assert found(as_root, q="alice") == {first.pk}
    assert found(as_root, q="BOB@example") == {second.pk}
    assert found(as_root, q="gateway") == {first.pk}
    assert found(as_root, q="host.example") == {second.pk}
    assert found(as_root, q="nobody") == set()
    help_text = text_of(as_root.get(page(LIST)))
    assert "Enter the start of a username or fingerprint" in help_text


def test_search_with_another_user_model(
    as_root: Client, alice: Any, monkeypatch: Any
) -> None:
    """Only text columns of the user model are searched."""
    row = pin(alice)

    class User:
        USERNAME_FIELD = "authority"
        _meta = CertificateMapping._meta
        _default_manager = CertificateMapping.objects

    for module in (changelist, users):
        monkeypatch.setattr(module, "get_user_model", lambda: User)
    assert users.name_fields() == {}
    assert found(as_root, q=row.value[1:]) == {row.pk}
    assert found(as_root, q="alice") == set()
    User.USERNAME_FIELD = "no such column"
    assert users.name_fields() == {}
    User.USERNAME_FIELD = "value"
    assert users.name_fields()["username"].name == "value"


def test_search_by_fingerprint(as_root: Client, alice: Any, bob: Any) -> None:
    """Search by a whole fingerprint or its first digits, in any spelling."""
    digest = bytes.fromhex("dec0de" + "11" * 29)
    mapping = pin(alice, value=digest.hex())
    other = pin(bob, value="dec0df" + "11" * 29)
    key = pin(bob, kind="public_key", value="ab" * 32)
    for term in (
        digest.hex(),
        digest.hex(":").upper(),
        f"sha256 Fingerprint={digest.hex(':').upper()}",
        f"SHA256 Fingerprint={digest.hex(':').upper()[:20]}",
        "DE:C0:DE",
        "de:c0:de:",
        "DE:C0:DE:1",
        "de c0 de 11",
        "dec0de1111",
        "  dec0de1111…",
    ):
        assert found(as_root, q=term) == {mapping.pk}, term
    assert found(as_root, q="de:c0") == {mapping.pk, other.pk}
    assert found(as_root, q="ab:ab:ab") == {key.pk}
    # Neither finds a pin: the text is searched.
    assert found(as_root, q="AB:CD") == set()
    assert found(as_root, q="dec0de") == {mapping.pk}
    assert found(as_root, q="dec0de1112") == set()
    alice.username = "facadefacade"
    alice.save()
    assert found(as_root, q="facadefacade") == {mapping.pk}
    assert found(as_root, q="DE:C0:DE", state__exact="disabled") == set()


def test_search_by_fingerprint_uses_the_index(as_root: Client, alice: Any) -> None:
    """The query is a range of the index, for any number of mappings."""
    pin(alice, value="ab" * 32)
    with CaptureQueriesContext(connection) as queries:
        assert found(as_root, q="AB:AB:AB")
    # MariaDB has quotes of its own.
    statements = [one["sql"].replace("`", '"') for one in queries]
    (sql,) = [one for one in statements if '"key" BETWEEN' in one]
    assert "LIKE" not in sql


# --- the user ---------------------------------------------------------------------


@pytest.mark.skipif(
    not admin.site.is_registered(get_user_model()), reason="the admin of users is"
)
def test_user_is_found_by_autocomplete(as_root: Client, alice: Any) -> None:
    """Autocomplete is used if the admin of users can be searched."""
    form = as_root.get(page(ADD)).context["adminform"].form
    assert "admin-autocomplete" in str(form["user"])
    response = as_root.get(
        page("autocomplete"),
        {
            "term": "ali",
            "app_label": "django_clientcert",
            "model_name": "certificatemapping",
            "field_name": "user",
        },
    )
    assert [one["text"] for one in response.json()["results"]] == ["alice"]


def test_user_by_number_otherwise(as_helper: Client, alice: Any) -> None:
    """A user who may not view users types the key, as autocomplete would return 403."""
    form = as_helper.get(page(ADD)).context["adminform"].form
    assert "admin-autocomplete" not in str(form["user"])
    messages_after(add(as_helper, alice, value=DIGEST))


@pytest.mark.skipif(
    not admin.site.is_registered(get_user_model()), reason="the admin of users is"
)
def test_user_by_number_where_users_cannot_be_searched(
    rf: Any, root: Any, monkeypatch: Any
) -> None:
    """The same without search_fields, or without an admin of users."""
    request = rf.get("/")
    request.user = root
    screen = CertificateMappingAdmin(CertificateMapping, admin.site)
    assert screen.get_autocomplete_fields(request) == ("user",)
    users = admin.site.get_model_admin(get_user_model())
    monkeypatch.setattr(users, "search_fields", ())
    assert screen.get_autocomplete_fields(request) == ()
    elsewhere = CertificateMappingAdmin(CertificateMapping, admin.AdminSite("other"))
    assert elsewhere.get_autocomplete_fields(request) == ()


# --- permissions, as an attacker sees them ----------------------------------------


@pytest.fixture
def staff(db: None) -> Any:
    """Another staff user."""
    return make_staff("staff")


def test_n65_helper_maps_nobody_above(
    as_helper: Client, helper: Any, root: Any, staff: Any, alice: Any
) -> None:
    """N65: not superusers or other staff users, but herself and other users."""
    for user, word in ((root, "Only a superuser"), (staff, "change users")):
        response = add(as_helper, user, value=DIGEST)
        (message,) = errors_on(response)["user"]
        assert word in message
    assert not CertificateMapping.objects.exists()
    for number, user in enumerate((helper, alice)):
        messages_after(add(as_helper, user, value=f"{number:064x}"))


def test_n65_with_permission_to_change_users(
    as_helper: Client, helper: Any, root: Any, staff: Any
) -> None:
    """N65: with that permission, staff users can be mapped, but not superusers."""
    user = get_user_model()
    codename = f"change_{user._meta.model_name}"
    helper.user_permissions.add(
        make_staff("x", codename).user_permissions.get(codename=codename)
    )
    messages_after(add(as_helper, staff, value=DIGEST))
    assert "user" in errors_on(add(as_helper, root, value="ab" * 32))


def test_superuser_maps_everybody(
    as_root: Client, root: Any, staff: Any, alice: Any
) -> None:
    """A superuser may add and change every mapping."""
    for number, user in enumerate((root, staff, alice)):
        messages_after(add(as_root, user, value=f"{number:064x}"))
    mapping = CertificateMapping.objects.get(user=root)
    messages_after(change(as_root, mapping, user=alice.pk))


@pytest.mark.parametrize("who", ["root", "staff"])
def test_n65_mapping_of_one_above_is_read_only(
    as_helper: Client, root: Any, staff: Any, alice: Any, who: str
) -> None:
    """N65: it cannot be changed, reassigned, deleted, enabled or taken over."""
    user = {"root": root, "staff": staff}[who]
    mapping = pin(user, state="disabled", note="why")
    before = CertificateMapping.objects.values().get()
    for data in (
        {"value": DIGEST},
        {"state": "active"},
        {"user": alice.pk},
        {"note": "x"},
        {},
    ):
        assert change(as_helper, mapping, **data).status_code == 403
    address = page(DELETE, mapping.pk)
    assert as_helper.post(address, {"post": "yes"}).status_code == 403
    response = run_action(as_helper, "enable", [mapping])
    assert messages_after(response) == [
        ("warning", "1 mapping was not changed, because you may not change it.")
    ]
    response = as_helper.post(
        page(LIST),
        {
            "action": "delete_selected",
            "_selected_action": [mapping.pk],
            "post": "yes",
        },
    )
    assert response.status_code == 403
    assert CertificateMapping.objects.values().get() == before
    assert not LogEntry.objects.exists()
    # To be seen it is, all the same.
    response = as_helper.get(page(CHANGE, mapping.pk))
    assert response.status_code == 200
    assert b'name="_save"' not in response.content
    assert b"deletelink" not in response.content


def test_n65_mapping_is_not_pointed_at_one_above(
    as_helper: Client, root: Any, staff: Any, alice: Any, bob: Any
) -> None:
    """N65: a mapping can be moved from Alice to Bob, but not to a superuser."""
    mapping = pin(alice)
    for user in (root, staff):
        assert "user" in errors_on(change(as_helper, mapping, user=user.pk))
        mapping.refresh_from_db()
        assert mapping.user == alice
    messages_after(change(as_helper, mapping, user=bob.pk))


def test_n65_certificate_of_one_above_is_not_taken_over(
    as_helper: Client,
    root: Any,
    alice: Any,
    alice_cert: IssuedCertificate,
    authority: CertificateAuthority,
) -> None:
    """N65: a more specific kind would reassign the superuser's certificate."""
    pin(root, kind="subject", value="CN=alice", authority=authority)
    response = add(as_helper, alice, pasted=alice_cert.pem)
    (message,) = errors_on(response)["__all__"]
    assert "whose mappings you may not change" in message
    messages_after(add(log_in(root), alice, pasted=alice_cert.pem))


@pytest.mark.parametrize("kind", ["fingerprint", "public_key"])
@pytest.mark.parametrize("known", ["mapped", "accepted", "by rule", "refused"])
def test_a02_typed_digest_of_one_above(
    as_helper: Client,
    root: Any,
    alice: Any,
    alice_cert: IssuedCertificate,
    authority: CertificateAuthority,
    known: str,
    kind: str,
) -> None:
    """A typed digest of the superuser's certificate is refused like the certificate."""
    name: dict[str, Any] = {
        "kind": "san_email",
        "value": "alice@example.com",
        "authority": authority,
    }
    certificate = ClientCertificate(alice_cert.der)
    if known == "mapped":
        pin(root, certificate=alice_cert.der, **name)
    elif known == "refused":
        pin(root, **name)
        refuse(alice_cert)
    else:
        mapping = pin(root, **name) if known == "accepted" else None
        accept(certificate, root, mapping, authority)
    value = {
        "fingerprint": certificate.fingerprint,
        "public_key": certificate.public_key_fingerprint,
    }[kind]
    (message,) = errors_on(add(as_helper, alice, kind=kind, value=value))["__all__"]
    assert "user whose mappings you may not change" in message
    response = add(as_helper, alice, kind=kind, pasted=alice_cert.pem)
    assert "__all__" in errors_on(response)
    messages_after(add(log_in(root), alice, kind=kind, value=value))


@pytest.mark.parametrize("kind", ["issuer_serial", "subject", "san_email"])
@pytest.mark.parametrize("known", ["mapped", "accepted"])
def test_a02_typed_name_of_one_above(
    as_helper: Client,
    root: Any,
    alice: Any,
    alice_cert: IssuedCertificate,
    authority: CertificateAuthority,
    known: str,
    kind: str,
) -> None:
    """A typed name in a known certificate of the superuser is refused like it."""
    certificate = ClientCertificate(alice_cert.der)
    if known == "mapped":
        pin(root, certificate=alice_cert.der)
    else:
        accept(certificate, root, None, authority)
    found = find_identities(certificate).found
    value = next(own.value for own in found if own.kind.value == kind)
    data = {"kind": kind, "value": value, "authority": authority.pk}
    (message,) = errors_on(add(as_helper, alice, **data))["__all__"]
    assert "user whose mappings you may not change" in message
    messages_after(add(log_in(root), alice, **data))


@pytest.mark.parametrize("changed", ["user", "value"])
def test_a02_mapping_is_not_changed_to_match_one_above(
    as_helper: Client,
    root: Any,
    alice: Any,
    bob: Any,
    alice_cert: IssuedCertificate,
    changed: str,
) -> None:
    """Neither the value nor the user of a mapping that the superuser has accepted."""
    certificate = ClientCertificate(alice_cert.der)
    accept(certificate, root, None, None)
    own = certificate.fingerprint if changed == "user" else DIGEST
    mapping = pin(alice, value=own)
    data = {"user": bob.pk} if changed == "user" else {"value": certificate.fingerprint}
    assert "__all__" in errors_on(change(as_helper, mapping, **data))
    messages_after(change(as_helper, mapping, note="not touched"))


def test_a02_many_other_mappings_do_not_hide_one(
    as_helper: Client,
    root: Any,
    alice: Any,
    bob: Any,
    ca: ThrowawayCA,
    authority: CertificateAuthority,
) -> None:
    """However many mappings of others match the certificate too."""
    names = [f"boss{number}@example.com" for number in range(12)]
    certificate = ca.issue("boss", emails=names)
    for name in names:
        owner = root if name == names[-1] else bob
        pin(owner, kind="san_email", value=name, authority=authority)
    response = add(as_helper, alice, pasted=certificate.pem)
    (message,) = errors_on(response)["__all__"]
    assert "whose mappings you may not change" in message
    messages = messages_after(add(log_in(root), alice, pasted=certificate.pem))
    notices = [text for _, text in messages if "maps this certificate to" in text]
    assert len(notices) == 10


def test_a02_without_columns_of_flags_every_certificate_is_read(
    as_helper: Client,
    root: Any,
    alice: Any,
    alice_cert: IssuedCertificate,
    authority: CertificateAuthority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A user model may compute who is a superuser."""
    monkeypatch.setattr(known_module, "may_be_privileged", lambda prefix: Q())
    certificate = ClientCertificate(alice_cert.der)
    pin(
        root,
        kind="san_email",
        value="alice@example.com",
        authority=authority,
        certificate=alice_cert.der,
    )
    value = certificate.public_key_fingerprint
    response = add(as_helper, alice, kind="public_key", value=value)
    (message,) = errors_on(response)["__all__"]
    assert "whose mappings you may not change" in message


@pytest.mark.parametrize("known", ["mapped", "used", "accepted", "refused"])
def test_first_use_n07_fingerprint_under_the_kind_public_key(
    as_root: Client, alice: Any, bob: Any, alice_cert: IssuedCertificate, known: str
) -> None:
    """Bare digits have no label, but the certificate may be known."""
    certificate = ClientCertificate(alice_cert.der)
    digits = bytes.fromhex(certificate.fingerprint).hex(":").upper()
    if known == "mapped":
        stored(bob, alice_cert.der)
    elif known == "used":
        pin(bob, value=certificate.fingerprint, last_used_at=NOW)
    elif known == "accepted":
        accept(certificate, bob, None, None)
    else:
        refuse(alice_cert)
    response = add(as_root, alice, kind="public_key", value=digits)
    (message,) = errors_on(response)["value"]
    assert "This is the fingerprint of a certificate, not of its public key" in message


def test_first_use_n07_mapping_of_the_wrong_kind_is_replaced(
    as_root: Client, alice: Any
) -> None:
    """A mapping that was typed and never matched proves nothing."""
    pin(alice, kind="public_key", value=DIGEST)
    messages_after(add(as_root, alice, value=DIGEST))


def test_first_use_n07_digest_of_a_key_under_the_kind_fingerprint(
    as_root: Client, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """The other way round, too."""
    refuse(alice_cert)
    value = ClientCertificate(alice_cert.der).public_key_fingerprint
    (message,) = errors_on(add(as_root, alice, value=value))["value"]
    assert "This is the digest of a public key, not of a certificate" in message


def test_n65_authority_is_not_swapped_by_popup(
    as_helper: Client, alice: Any, root: Any
) -> None:
    """N65: the parameters of a pop-up do not bypass the permissions."""
    mapping = pin(root)
    for query in ("?_popup=1", "?_to_field=id", "?_saveasnew=1"):
        address = page(CHANGE, mapping.pk) + query
        response = as_helper.post(address, {**ADD_MAPPING, "user": alice.pk})
        assert response.status_code == 403
    response = add(as_helper, root, value=DIGEST, _popup="1", _saveasnew="1")
    assert "user" in errors_on(response)


def test_deleting_a_user_needs_the_mappings(alice: Any, root: Any) -> None:
    """Deleting a user needs the permission to delete the user's mappings."""
    if not admin.site.is_registered(get_user_model()):
        pytest.skip("the admin of users is")
    gone = pin(root)
    officer = make_staff("officer", "delete_user", "view_user", "delete_logentry")
    response = log_in(officer).post(page("auth_user_delete", root.pk), {"post": "yes"})
    assert response.status_code == 403
    assert CertificateMapping.objects.filter(pk=gone.pk).exists()


@pytest.mark.parametrize(
    ("codenames", "allowed"),
    [
        ([], set()),
        (["view"], {"list", "look"}),
        (["add"], {"add page"}),
        (["change"], {"list", "look", "change", "action"}),
        (["delete"], {"delete"}),
    ],
    ids=["none", "view", "add", "change", "delete"],
)
def test_each_permission_by_itself(
    alice: Any, codenames: list[str], allowed: set[str]
) -> None:
    """Each permission works without the others, and allows nothing else."""
    mapping = pin(alice)
    client = log_in(
        make_staff("s", *(f"{one}_certificatemapping" for one in codenames))
    )
    statuses = {
        "list": client.get(page(LIST)).status_code,
        "look": client.get(page(CHANGE, mapping.pk)).status_code,
        "add page": client.get(page(ADD)).status_code,
        "change": change(client, mapping, note="x").status_code,
    }
    action = run_action(client, "disable", [mapping])
    mapping.refresh_from_db()
    statuses["action"] = 302 if mapping.state == "disabled" else 403
    assert action.status_code in (200, 302, 403)
    statuses["delete"] = client.post(
        page(DELETE, mapping.pk), {"post": "yes"}
    ).status_code
    assert {name for name, status in statuses.items() if status < 400} == allowed


def test_viewer_sees_everything_read_only(
    as_viewer: Client,
    alice: Any,
    root: Any,
    alice_cert: IssuedCertificate,
    authority: CertificateAuthority,
) -> None:
    """The page has no form and no error."""
    mapping = stored(alice, alice_cert.der, authority=authority, note="a note")
    response = as_viewer.get(page(CHANGE, mapping.pk))
    text = text_of(response)
    for expected in (
        "User: alice",
        "Note: a note",
        "fingerprint (SHA-256)",
        "Value: " + bytes.fromhex(alice_cert.fingerprint).hex(":").upper(),
        "Test CA",
        "State: active",
        "Subject: CN=alice",
    ):
        assert expected in text
    body = response.content.split(b'id="content-main"')[1]
    for element in (b"<textarea", b"<select", b'type="file"', b'name="_save"'):
        assert element not in body
    name = pin(root, kind="subject", value="CN=a\\, b,O=c", authority=authority)
    text = text_of(as_viewer.get(page(CHANGE, name.pk)))
    assert "Value: CN=a\\, b,O=c" in text
    assert "Read as: O=c → CN=a\\, b" in text
    assert as_viewer.get(page(LIST)).status_code == 200
    assert as_viewer.get(page(f"{MAPPING}_history", mapping.pk)).status_code == 200
    assert change(as_viewer, mapping, note="x").status_code == 403
    assert run_action(as_viewer, "disable", [mapping]).status_code in (200, 302)
    mapping.refresh_from_db()
    assert (mapping.note, mapping.state) == ("a note", "active")


def test_nobody_else(alice: Any) -> None:
    """Users who are not staff are redirected to the login page."""
    for client in (Client(), log_in(alice)):
        assert client.get(page(LIST)).status_code == 302
        assert add(client, alice, value=DIGEST).status_code == 302
    assert not CertificateMapping.objects.exists()


# --- actions ----------------------------------------------------------------------


def test_actions(as_root: Client, alice: Any, bob: Any, root: Any) -> None:
    """Disabling and enabling report counts and are recorded in the history."""
    rows = [
        pin(alice, 1),
        pin(bob, 2, state="retiring", valid_until=NOW + DAY),
        pin(bob, 3, state="disabled"),
    ]
    assert messages_after(run_action(as_root, "disable", rows)) == [
        ("info", "1 mapping already had this state."),
        ("success", "2 mappings were disabled."),
    ]
    assert set(CertificateMapping.objects.values_list("state", flat=True)) == {
        "disabled"
    }
    assert LogEntry.objects.count() == 2
    assert {entry.get_change_message() for entry in LogEntry.objects.all()} == {
        "Changed State (active → disabled).",
        "Changed State (retiring → disabled).",
    }
    assert {entry.user for entry in LogEntry.objects.all()} == {root}
    assert messages_after(run_action(as_root, "enable", rows[:1])) == [
        ("success", "1 mapping was enabled.")
    ]
    rows[0].refresh_from_db()
    assert (rows[0].state, rows[0].value) == ("active", f"{1:064x}")
    history = text_of(as_root.get(page(f"{MAPPING}_history", rows[0].pk)))
    assert "Changed State (active → disabled)." in history
    assert "Changed State (disabled → active)." in history


def test_action_leaves_alone_what_is_not_allowed(
    as_helper: Client, root: Any, alice: Any
) -> None:
    """Permissions are checked per row, also if all rows are selected."""
    mine, theirs = pin(alice, 1), pin(root, 2)
    response = as_helper.post(
        page(LIST),
        {"action": "disable", "_selected_action": [mine.pk], "select_across": "1"},
    )
    assert messages_after(response) == [
        ("warning", "1 mapping was not changed, because you may not change it."),
        ("success", "1 mapping was disabled."),
    ]
    mine.refresh_from_db()
    theirs.refresh_from_db()
    assert (mine.state, theirs.state) == ("disabled", "active")


@pytest.mark.parametrize("action", ["enable", "disable", "delete_selected"])
@pytest.mark.parametrize("key", ["abc", "a\0b", "9" * 40, "-1", "1", ""])
def test_action_on_impossible_rows(
    as_root: Client, alice: Any, action: str, key: str
) -> None:
    """A crafted key is 400 at worst, although Django itself would fail."""
    mapping = pin(alice)
    response = as_root.post(
        page(LIST), {"action": action, "_selected_action": [key, mapping.pk]}
    )
    assert response.status_code in (200, 302, 400)


def test_actions_are_offered_to_those_who_may_change(
    as_root: Client, as_viewer: Client, alice: Any
) -> None:
    """The actions have names, and are shown only to users who may change mappings."""
    pin(alice)
    content = as_root.get(page(LIST)).content.decode()
    assert "Enable selected certificate mappings" in content
    assert "Disable selected certificate mappings" in content
    assert "Disable selected" not in as_viewer.get(page(LIST)).content.decode()


def test_authority_widget_leads_to_its_page(
    as_root: Client, alice: Any, authority: CertificateAuthority
) -> None:
    """The widget links to the authority's page in the same admin."""
    content = as_root.get(page(ADD)).content.decode()
    assert page(f"{AUTHORITY}_add") in content


@pytest.mark.skipif(
    settings.AUTH_USER_MODEL != "auth.User", reason="these are the other settings"
)
def test_with_a_user_model_of_ones_own() -> None:
    """A user model whose primary key is a UUID, and which is not in the admin."""
    chosen = "n65 or add_by or user or search or viewer or impossible or actions"
    done = run(
        *("pytest", "-p", "no:cacheprovider", "-q", "-k", chosen),
        *("tests/admin/test_mappings.py", "tests/admin/test_authorities.py"),
    )
    assert done.returncode == 0, done.stdout


def test_only_certificates_with_the_digest_are_known(
    root: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """Every certificate of privileged users is read, and only those of it count."""
    for issued in (alice_cert, ca.issue("boss")):
        CertificateMapping.objects.create(
            user=root,
            kind="fingerprint",
            value=issued.fingerprint,
            certificate=issued.der,
        )
    key = bytes.fromhex(alice_cert.fingerprint)
    ((certificate, user),) = known_module.known_certificates([key], of_privileged=True)
    assert (certificate.der, user) == (alice_cert.der, root)
