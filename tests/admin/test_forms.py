"""What is typed, pasted or uploaded becomes a row, or an error that helps."""

from __future__ import annotations

import base64
import datetime as dt
import random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings

from django_clientcert.admin.authorities.form import CertificateAuthorityForm
from django_clientcert.admin.base.entries import MAX_BUNDLE_BYTES, MAX_CERTIFICATE_BYTES
from django_clientcert.admin.mappings.form import CertificateMappingForm
from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.testing import (
    SERVER_AUTH,
    IssuedCertificate,
    ThrowawayCA,
    make_name,
    self_signed,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible_once
from tests import der_writer as write
from tests.private_keys import TEXTS, UPLOADS, secrets_of

pytestmark = pytest.mark.django_db

NOW = dt.datetime.now(dt.timezone.utc)
DAY = dt.timedelta(days=1)


def mapping_form(
    person: Any,
    file: bytes | None = None,
    /,
    instance: CertificateMapping | None = None,
    **data: Any,
) -> CertificateMappingForm:
    """Return the form as the admin sends it."""
    filled: dict[str, Any] = {
        "user": person.pk,
        "kind": "fingerprint",
        "state": "active",
        "value": "",
        "pasted": "",
    }
    if instance is not None:
        filled |= {
            "kind": instance.kind,
            "value": instance.value,
            "authority": instance.authority_id or "",
        }
    files = {"upload": SimpleUploadedFile("c", file)} if file is not None else {}
    return CertificateMappingForm({**filled, **data}, files, instance=instance)


def saved(form: Any) -> Any:
    """Return the row that a form saves, fresh from the database."""
    assert form.is_valid(), form.errors
    row = form.save()
    return type(row).objects.get(pk=row.pk)


def errors_of(form: Any) -> dict[str, list[str]]:
    """Return the errors of a form, by field."""
    assert not form.is_valid()
    return {
        field: [str(text) for text in texts] for field, texts in form.errors.items()
    }


def codes_of(form: Any) -> dict[str, list[str]]:
    """Return the codes of the errors of a form, by field."""
    assert not form.is_valid()
    return {
        field: [error.code for error in errors]
        for field, errors in form.errors.as_data().items()
    }


def public_key_of(issued: IssuedCertificate) -> str:
    """Return the digest of the public key."""
    return ClientCertificate(issued.der).public_key_fingerprint


# --- certificates -----------------------------------------------------------------


@pytest.mark.parametrize("how", ["pasted", "pasted chain", "pem", "der", "p7b", "p7c"])
def test_certificate_in_every_form(alice: Any, ca: ThrowawayCA, how: str) -> None:
    """PEM, DER, a chain and both forms of PKCS#7 lead to the same mapping."""
    issued = ca.issue_ca("Issuing CA").issue("alice")
    chain = [issued.certificate, *issued.intermediates]
    form = {
        "pasted": lambda: mapping_form(alice, pasted=issued.pem),
        "pasted chain": lambda: mapping_form(
            alice, pasted="".join(reversed([issued.pem, issued.chain_pem]))
        ),
        "pem": lambda: mapping_form(alice, issued.chain_pem.encode()),
        "der": lambda: mapping_form(alice, issued.der),
        "p7b": lambda: mapping_form(
            alice, pkcs7.serialize_certificates(chain, Encoding.PEM)
        ),
        "p7c": lambda: mapping_form(
            alice, pkcs7.serialize_certificates(chain, Encoding.DER)
        ),
    }[how]()
    mapping = saved(form)
    assert mapping.value == issued.fingerprint
    assert mapping.certificate == issued.der
    assert mapping.certificate_subject == "CN=alice"
    assert mapping.certificate_not_after == issued.certificate.not_valid_after_utc


def test_public_key_from_a_certificate(
    alice: Any, alice_cert: IssuedCertificate
) -> None:
    """The kind decides what is taken from the certificate."""
    mapping = saved(mapping_form(alice, kind="public_key", pasted=alice_cert.pem))
    assert mapping.value == public_key_of(alice_cert)
    assert mapping.authority is None


def test_the_same_certificate_twice(alice: Any, alice_cert: IssuedCertificate) -> None:
    """Pasted and uploaded at once is no contradiction."""
    assert saved(mapping_form(alice, alice_cert.der, pasted=alice_cert.pem)).pk


def test_two_certificates(
    alice: Any, alice_cert: IssuedCertificate, mallory_cert: IssuedCertificate
) -> None:
    """Which of two is meant is not guessed."""
    form = mapping_form(alice, mallory_cert.der, pasted=alice_cert.pem)
    assert codes_of(form) == {"upload": ["two_certificates"]}
    both = alice_cert.pem + mallory_cert.pem
    assert (
        "several certificates"
        in errors_of(mapping_form(alice, pasted=both))["pasted"][0]
    )


def test_nothing_at_all(alice: Any) -> None:
    """Without a certificate and without a value there is nothing to map."""
    assert errors_of(mapping_form(alice, pasted=" \n")) == {
        "value": ["Paste or upload a certificate, or enter the value."]
    }


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"\x00\xff\xfe junk", "neither PEM"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "not a cert"),
        (b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", "not base64"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA", "cut off"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "PUBLIC KEY"),
        (b"\x30\x03\x06\x01\x2a", "PKCS#7"),
        (b"x" * (MAX_BUNDLE_BYTES + 1), "larger than 2 MiB"),
    ],
    ids=["junk", "no der", "no base64", "cut", "public key", "no pkcs7", "huge"],
)
def test_uploads_that_are_none(alice: Any, octets: bytes, words: str) -> None:
    """Whatever was uploaded, the form says what is wrong with it."""
    (message,) = errors_of(mapping_form(alice, octets))["upload"]
    assert words in message


def test_certificate_that_no_header_carries(alice: Any, ca: ThrowawayCA) -> None:
    """A certificate of a megabyte fills the table and never arrives."""
    huge = write.certificate(ca, subject=write.common_name("x" * MAX_CERTIFICATE_BYTES))
    assert codes_of(mapping_form(alice, huge)) == {"upload": ["too_large"]}


@pytest.mark.filterwarnings("ignore:Parsed a serial number:UserWarning")
def test_mutated_uploads_never_raise(alice: Any, alice_cert: IssuedCertificate) -> None:
    """Any octet may be any other: a row or an error, never an exception."""
    chance = random.Random(4)
    chain = pkcs7.serialize_certificates([alice_cert.certificate], Encoding.DER)
    for original in (alice_cert.der, alice_cert.pem.encode(), chain):
        for _ in range(120):
            octets = bytearray(original)
            for _ in range(chance.randint(1, 3)):
                octets[chance.randrange(len(octets))] = chance.randrange(256)
            for kind in ("fingerprint", "subject"):
                mapping_form(alice, bytes(octets), kind=kind).is_valid()


# --- typed values -----------------------------------------------------------------

DIGEST = bytes(range(32))


@pytest.mark.parametrize(
    "text",
    [
        DIGEST.hex(),
        DIGEST.hex().upper(),
        DIGEST.hex(":"),
        DIGEST.hex(":").upper(),
        DIGEST.hex(" "),
        f"sha256 Fingerprint={DIGEST.hex(':').upper()}",
        f"SHA256 Fingerprint={DIGEST.hex(':').upper()}\n",
        base64.b64encode(DIGEST).decode(),
        base64.urlsafe_b64encode(DIGEST).decode().rstrip("="),
        f"x5t#S256: {base64.urlsafe_b64encode(DIGEST).decode().rstrip('=')}",
    ],
)
def test_fingerprint_in_any_spelling(alice: Any, text: str) -> None:
    """Whatever tool printed it."""
    mapping = saved(mapping_form(alice, value=text))
    assert mapping.value == DIGEST.hex()
    assert mapping.certificate is None


def test_sha1_is_refused_with_the_command(alice: Any) -> None:
    """A SHA-1 can be forged: the command that prints the SHA-256 is said."""
    form = mapping_form(alice, value="SHA1 Fingerprint=" + "AB:" * 19 + "AB")
    assert (
        "openssl x509 -in FILE -noout -fingerprint -sha256"
        in (errors_of(form)["value"][0])
    )


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("public_key", f"sha256 Fingerprint={DIGEST.hex(':')}"),
        ("public_key", "x5t#S256=" + base64.urlsafe_b64encode(DIGEST).decode()),
        ("fingerprint", f'pin-sha256="{base64.b64encode(DIGEST).decode()}"'),
    ],
)
def test_digest_of_something_else(alice: Any, kind: str, text: str) -> None:
    """A digest whose label says that it is of the other kind would never match."""
    form = mapping_form(alice, kind=kind, value=text)
    assert codes_of(form) == {"value": ["other_digest"]}


@pytest.mark.parametrize(
    "text",
    [
        "CN=alice,O=ACME,C=FR",
        "C = FR, O = ACME, CN = alice",
        "subject=C = FR, O = ACME, CN = alice",
        "/C=FR/O=ACME/CN=alice",
        "CN=alice, O=ACME, C=FR",
    ],
)
def test_subject_in_any_form(
    alice: Any, authority: CertificateAuthority, text: str
) -> None:
    """RFC 4514, OpenSSL's two and Java's."""
    form = mapping_form(alice, kind="subject", value=text, authority=authority.pk)
    assert saved(form).value == "CN=alice,O=ACME,C=FR"


@pytest.mark.parametrize(
    ("kind", "text", "stored"),
    [
        ("subject", "UID=a, CN=b, UID=c", ["UID=a,CN=b,UID=c", "UID=c,CN=b,UID=a"]),
        (
            "issuer_serial",
            "0a OU=a, OU=b",
            ["0a OU=a,OU=b", "0a OU=b,OU=a"],
        ),
    ],
)
def test_name_with_two_readings(
    alice: Any,
    authority: CertificateAuthority,
    kind: str,
    text: str,
    stored: list[str],
) -> None:
    """Both are spelt out, and the order has to be chosen."""
    form = mapping_form(alice, kind=kind, value=text, authority=authority.pk)
    (message,) = errors_of(form)["value"]
    parts = text.removeprefix("0a ").split(", ")
    assert " → ".join(parts) in message
    assert " → ".join(reversed(parts)) in message
    for order, value in zip(
        ("most_specific_first", "most_general_first"), stored, strict=True
    ):
        form = mapping_form(
            alice, kind=kind, value=text, authority=authority.pk, order=order
        )
        assert form.is_valid()
        assert form.cleaned_data["value"] == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("fingerprint", "not hex"),
        ("fingerprint", "%s%d{0}"),
        ("public_key", "AB:CD"),
        ("subject", "alice"),
        ("subject", "SN=12,O=ACME"),
        ("subject", "CN=alice\n,O=ACME"),
        ("subject", "CN=a, O=b,C=FR"),
        ("issuer_serial", "xyz"),
        ("issuer_serial", "0a"),
        ("san_email", "a b@example.com"),
        ("san_email", "a\u202eb@example.com"),
    ],
)
def test_values_that_are_none(
    alice: Any, authority: CertificateAuthority, kind: str, text: str
) -> None:
    """One error, at the value."""
    form = mapping_form(alice, kind=kind, value=text, authority=authority.pk)
    assert codes_of(form) == {"value": ["value"]}


@pytest.mark.parametrize("field", ["value", "note", "hosts", "pasted", "user", "kind"])
def test_nul_is_refused(alice: Any, field: str) -> None:
    """No NUL reaches a query: PostgreSQL would refuse it with an exception."""
    form = mapping_form(alice, **{"value": DIGEST.hex(), field: "a\0b"})
    assert field in errors_of(form)


@pytest.mark.parametrize("year", ["0001", "0999", "9999"])
@pytest.mark.parametrize("field", ["valid_from", "valid_until"])
def test_dates_beyond_the_calendar(alice: Any, field: str, year: str) -> None:
    """In another time zone they would not exist."""
    form = mapping_form(alice, value=DIGEST.hex(), **{field: f"{year}-12-31 23:59:59"})
    assert codes_of(form) == {field: ["year"]}


# --- both: the certificate and a value --------------------------------------------


def test_value_and_certificate_agree(
    alice: Any, alice_cert: IssuedCertificate, authority: CertificateAuthority
) -> None:
    """A fingerprint or name that was copied beside the certificate confirms it."""
    for kind, text in (
        ("fingerprint", ClientCertificate(alice_cert.der).fingerprint.upper()),
        ("public_key", public_key_of(alice_cert)),
        ("subject", "cn=ALICE"),
        ("san_email", "alice@EXAMPLE.com"),
    ):
        form = mapping_form(alice, kind=kind, value=text, pasted=alice_cert.pem)
        assert form.is_valid(), form.errors


def test_certificate_settles_the_order(alice: Any, ca: ThrowawayCA) -> None:
    """With the certificate at hand, nobody needs to be asked."""
    CertificateAuthority.objects.create(name="Any", bundle=ca.pem)
    subject = x509.Name.from_rfc4514_string("OU=b,OU=a")
    issued = ca.issue(subject=subject)
    for text in ("OU=a, OU=b", "OU=b, OU=a"):
        form = mapping_form(alice, kind="subject", value=text, pasted=issued.pem)
        assert saved(form).value == "OU=b,OU=a"
        CertificateMapping.objects.all().delete()


@pytest.mark.parametrize(
    ("kind", "text", "offered"),
    [
        ("fingerprint", DIGEST.hex(), None),
        ("subject", "CN=bob", "CN=alice"),
        ("san_email", "bob@example.com", "alice@example.com"),
        ("issuer_serial", "0a CN=bob", "CN=Test Root CA"),
    ],
)
def test_value_and_certificate_disagree(
    alice: Any,
    alice_cert: IssuedCertificate,
    authority: CertificateAuthority,
    kind: str,
    text: str,
    offered: str | None,
) -> None:
    """The certificate has another value: which of them is meant is not guessed."""
    form = mapping_form(alice, kind=kind, value=text, pasted=alice_cert.pem)
    assert codes_of(form) == {"value": ["disagree"]}
    assert (offered or alice_cert.fingerprint) in errors_of(form)["value"][0]


def test_value_chooses_one_of_several_names(
    alice: Any, ca: ThrowawayCA, authority: CertificateAuthority
) -> None:
    """Of several alternative names one is typed; none, or another one, is an error."""
    issued = ca.issue("alice", emails=["a@example.com", "b@example.com"])
    form = mapping_form(alice, kind="san_email", pasted=issued.pem)
    assert "several: a@example.com, b@example.com" in errors_of(form)["value"][0]
    form = mapping_form(
        alice, kind="san_email", pasted=issued.pem, value="c@example.com"
    )
    assert "a@example.com; b@example.com" in errors_of(form)["value"][0]
    form = mapping_form(
        alice, kind="san_email", pasted=issued.pem, value="b@example.com"
    )
    assert saved(form).value == "b@example.com"


def test_names_that_are_missing_or_broken(
    alice: Any, ca: ThrowawayCA, authority: CertificateAuthority
) -> None:
    """A kind that the certificate does not have, or that must never match."""
    without = ca.issue("alice")
    form = mapping_form(alice, kind="san_email", pasted=without.pem)
    assert "no san_email" in errors_of(form)["value"][0]
    form = mapping_form(alice, kind="san_email", pasted=without.pem, value="a@b.c")
    assert "nothing of this kind" in errors_of(form)["value"][0]
    broken = write.certificate(
        ca,
        subject=write.common_name(b"\xff"),
        extensions=[write.subject_alternative_name(write.tlv(0x87, b"abc"))],
    )
    for kind, typed in (
        ("subject", ""),
        ("san_email", ""),
        ("san_email", "a@example.com"),
        ("subject", "CN=alice"),
    ):
        form = mapping_form(alice, broken, kind=kind, value=typed)
        assert codes_of(form) == {"value": ["identity"]}
    assert saved(mapping_form(alice, broken)).certificate_subject == "CN=#0c01ff"
    hostile = write.certificate(
        ca,
        extensions=[write.subject_alternative_name(write.tlv(0x81, b"a@b.c\0.d"))],
    )
    form = mapping_form(alice, hostile, kind="san_email", value="a@b.c")
    assert codes_of(form) == {"value": ["identity"]}


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        (
            "subject",
            "CN=Bob, OU=Sales, O=Bouncy Castle, C=AU",
            ["The name was read as C=AU → O=Bouncy Castle → OU=Sales → CN=Bob."],
        ),
        ("subject", "C = AU, CN = Bob", ["The name was read as C=AU → CN=Bob."]),
        (
            "issuer_serial",
            "0a CN=CA, C=AU",
            ["The name was read as C=AU → CN=CA."],
        ),
        ("subject", "CN=Bob,C=AU", []),
        ("subject", "CN=Bob", []),
    ],
)
def test_d11_how_a_name_was_read_is_said(
    alice: Any,
    authority: CertificateAuthority,
    kind: str,
    value: str,
    read: list[str],
) -> None:
    """The order was guessed, and a wrong guess never matches."""
    form = mapping_form(alice, kind=kind, value=value, authority=authority.pk)
    saved(form)
    assert form.notices == read


# --- the authority ----------------------------------------------------------------


def test_issuer_is_taken_as_authority(
    alice: Any,
    alice_cert: IssuedCertificate,
    authority: CertificateAuthority,
    other_ca: ThrowawayCA,
) -> None:
    """The one that signed it, not one of the same name; and it is said."""
    CertificateAuthority.objects.create(name="Twin", bundle=other_ca.pem)
    form = mapping_form(alice, kind="san_email", pasted=alice_cert.pem)
    assert saved(form).authority == authority
    assert form.notices == [
        "The authority was set to “Test CA”, which issued the certificate."
    ]


def test_pins_take_no_authority(
    alice: Any, alice_cert: IssuedCertificate, authority: CertificateAuthority
) -> None:
    """A pin needs none, so none is chosen unasked."""
    form = mapping_form(alice, pasted=alice_cert.pem)
    assert saved(form).authority is None
    assert form.notices == []


def test_expired_certificate_still_has_an_issuer(
    alice: Any, ca: ThrowawayCA, authority: CertificateAuthority
) -> None:
    """Whose certificate it was does not depend on today's date."""
    old = NOW - 60 * DAY
    root = ThrowawayCA.create("Old", not_before=old)
    CertificateAuthority.objects.create(name="Old", bundle=root.pem)
    issued = root.issue("alice", not_before=old, not_after=NOW - 9 * DAY)
    form = mapping_form(alice, kind="subject", pasted=issued.pem)
    assert saved(form).authority.name == "Old"


def test_no_authority_issued_it(
    alice: Any, authority: CertificateAuthority, other_ca: ThrowawayCA
) -> None:
    """The message names the issuer, and the way out."""
    for issued in (other_ca.issue("alice"), self_signed("alice")):
        form = mapping_form(alice, kind="subject", pasted=issued.pem)
        message, *_others = errors_of(form)["authority"]
        assert message.startswith("None of the stored authorities issued this")
    nameless = write.certificate(
        other_ca, issuer=write.tlv(write.SEQUENCE, b"\x31\x00")
    )
    form = mapping_form(alice, nameless, kind="subject")
    assert "authority" in errors_of(form)


def test_several_authorities_issued_it(
    alice: Any, alice_cert: IssuedCertificate, authority: CertificateAuthority
) -> None:
    """Which of them answers for the name is a decision."""
    CertificateAuthority.objects.create(name="The same", bundle=authority.bundle)
    form = mapping_form(alice, kind="subject", pasted=alice_cert.pem)
    (message,) = errors_of(form)["authority"]
    assert message.endswith(
        "issued this certificate: “Test CA”, “The same”. Choose one."
    )


def test_issuer_that_cannot_be_found_out(
    alice: Any, ca: ThrowawayCA, authority: CertificateAuthority
) -> None:
    """A certificate that is no client's is not looked up; choosing is allowed."""
    issued = ca.issue("alice", eku=[SERVER_AUTH])
    form = mapping_form(alice, kind="subject", pasted=issued.pem)
    assert "cannot be determined" in errors_of(form)["authority"][0]
    form = mapping_form(
        alice, kind="subject", pasted=issued.pem, authority=authority.pk
    )
    assert saved(form).authority == authority


def test_authority_whose_bundle_is_broken(
    alice: Any, alice_cert: IssuedCertificate, authority: CertificateAuthority
) -> None:
    """One bad row does not hide the right one."""
    CertificateAuthority.objects.create(name="Broken", bundle="junk")
    form = mapping_form(alice, kind="subject", pasted=alice_cert.pem)
    assert saved(form).authority == authority
    CertificateAuthority.objects.filter(pk=authority.pk).update(bundle="junk")
    CertificateMapping.objects.all().delete()
    form = mapping_form(alice, kind="subject", pasted=alice_cert.pem)
    assert "cannot be determined" in errors_of(form)["authority"][0]


@pytest.mark.parametrize("kind", ["fingerprint", "subject"])
def test_another_authority_is_chosen(
    alice: Any,
    alice_cert: IssuedCertificate,
    authority: CertificateAuthority,
    other_ca: ThrowawayCA,
    kind: str,
) -> None:
    """It did not issue the certificate, so the mapping could never match."""
    twin = CertificateAuthority.objects.create(name="Twin", bundle=other_ca.pem)
    form = mapping_form(alice, kind=kind, pasted=alice_cert.pem, authority=twin.pk)
    assert codes_of(form) == {"authority": ["not_issued"]}
    form = mapping_form(alice, kind=kind, pasted=alice_cert.pem, authority=authority.pk)
    assert saved(form).authority == authority


def test_typed_name_needs_an_authority(alice: Any) -> None:
    """N45: a name is believed from its authority only; a crafted key is none."""
    form = mapping_form(alice, kind="subject", value="CN=alice")
    assert codes_of(form) == {"authority": ["authority_required"]}
    form = mapping_form(alice, kind="subject", value="CN=alice", authority="999")
    assert codes_of(form) == {"authority": ["invalid_choice"]}


# --- other mappings ---------------------------------------------------------------


def test_n67_one_key_is_one_users(
    alice: Any, bob: Any, alice_cert: IssuedCertificate
) -> None:
    """The public key is Alice's: neither pin of it can be Bob's."""
    saved(mapping_form(alice, kind="public_key", pasted=alice_cert.pem))
    for kind in ("public_key", "fingerprint"):
        form = mapping_form(bob, kind=kind, pasted=alice_cert.pem)
        assert "__all__" in codes_of(form) or "value" in codes_of(form)
        assert "another user" in str(errors_of(form))
    saved(mapping_form(alice, kind="fingerprint", pasted=alice_cert.pem))


def test_mapping_of_another_user_by_name_is_mentioned(
    alice: Any,
    bob: Any,
    alice_cert: IssuedCertificate,
    authority: CertificateAuthority,
) -> None:
    """Two mappings that lead to two users are worth a word."""
    saved(mapping_form(alice, kind="san_email", pasted=alice_cert.pem))
    form = mapping_form(bob, kind="san_upn", pasted=alice_cert.pem)
    mapping = saved(form)
    assert "maps this certificate to another user" in form.notices[0]
    form = mapping_form(bob, instance=mapping, note="only the note")
    saved(form)
    assert form.notices == []


# --- changing ---------------------------------------------------------------------


@pytest.fixture
def pinned(alice: Any, alice_cert: IssuedCertificate) -> CertificateMapping:
    """A fingerprint with its certificate."""
    return saved(mapping_form(alice, pasted=alice_cert.pem))


def test_saving_unchanged_changes_nothing(
    alice: Any, ca: ThrowawayCA, authority: CertificateAuthority
) -> None:
    """A name survives, in whichever direction it seems to run, and however it ends."""
    for subject in (
        x509.Name.from_rfc4514_string("C=FR,O=ACME,CN=alice"),
        make_name("ends with a space "),
        make_name("comma, plus + backslash \\ and é"),
        make_name("zero\u200bwidth"),
    ):
        issued = ca.issue(subject=subject)
        mapping = saved(mapping_form(alice, kind="subject", pasted=issued.pem))
        before = (mapping.value, mapping.key, mapping.certificate)
        form = mapping_form(alice, instance=mapping)
        again = saved(form)
        assert (again.value, again.key, again.certificate) == before
        assert not {"kind", "value", "authority"} & set(form.changed_data)


def test_another_kind_is_taken_from_the_stored_certificate(
    alice: Any, pinned: CertificateMapping, alice_cert: IssuedCertificate
) -> None:
    """The value need not be typed again."""
    mapping = saved(mapping_form(alice, instance=pinned, kind="public_key"))
    assert mapping.value == public_key_of(alice_cert)
    assert mapping.certificate == alice_cert.der


def test_emptied_value_is_taken_from_the_stored_certificate(
    alice: Any, pinned: CertificateMapping, alice_cert: IssuedCertificate
) -> None:
    """Empty means: as in the certificate."""
    mapping = saved(mapping_form(alice, instance=pinned, value=" "))
    assert mapping.value == alice_cert.fingerprint


def test_another_kind_without_a_certificate(alice: Any) -> None:
    """A fingerprint does not become the digest of a key by itself."""
    mapping = saved(mapping_form(alice, value=DIGEST.hex()))
    form = mapping_form(alice, instance=mapping, kind="public_key")
    assert "Enter one of the new kind" in errors_of(form)["value"][0]
    form = mapping_form(alice, instance=mapping, value="")
    assert codes_of(form) == {"value": ["required"]}


def test_new_certificate_brings_its_own_value(
    alice: Any, pinned: CertificateMapping, ca: ThrowawayCA
) -> None:
    """A renewal is uploaded; that the value changed is said."""
    renewed = ca.issue("alice")
    form = mapping_form(alice, renewed.der, instance=pinned)
    mapping = saved(form)
    assert (mapping.value, mapping.certificate) == (renewed.fingerprint, renewed.der)
    assert mapping.certificate_not_after == renewed.certificate.not_valid_after_utc
    assert form.notices == ["The value was updated from the new certificate."]


def test_new_certificate_keeps_the_name_that_was_chosen(
    alice: Any, ca: ThrowawayCA, authority: CertificateAuthority
) -> None:
    """Of several names the one that counted before counts still."""
    names = ["a@example.com", "b@example.com"]
    first = ca.issue("alice", emails=names)
    mapping = saved(
        mapping_form(alice, first.der, kind="san_email", value="b@example.com")
    )
    renewed = ca.issue("alice", emails=[*names, "c@example.com"])
    form = mapping_form(alice, renewed.der, instance=mapping)
    assert saved(form).value == "b@example.com"
    other = ca.issue("alice", emails=["d@example.com", "e@example.com"])
    form = mapping_form(alice, other.der, instance=mapping)
    assert codes_of(form) == {"value": ["identity"]}


def test_certificate_for_a_typed_value_has_to_have_it(
    alice: Any, alice_cert: IssuedCertificate, mallory_cert: IssuedCertificate
) -> None:
    """Uploading a certificate later does not silently map another one."""
    mapping = saved(mapping_form(alice, value=alice_cert.fingerprint))
    form = mapping_form(alice, mallory_cert.der, instance=mapping)
    assert codes_of(form) == {"value": ["disagree"]}
    mapping.refresh_from_db()
    form = mapping_form(alice, alice_cert.der, instance=mapping)
    assert saved(form).certificate == alice_cert.der


def test_typed_value_replaces_the_stored_certificate(
    alice: Any, pinned: CertificateMapping, alice_cert: IssuedCertificate
) -> None:
    """A certificate that does not have the value is not left beside it."""
    form = mapping_form(alice, instance=pinned, value=alice_cert.fingerprint.upper())
    assert saved(form).certificate == alice_cert.der
    form = mapping_form(alice, instance=pinned, value=DIGEST.hex())
    mapping = saved(form)
    assert (mapping.value, mapping.certificate) == (DIGEST.hex(), None)
    assert (mapping.certificate_subject, mapping.certificate_not_after) == ("", None)
    assert "was removed from the mapping" in form.notices[0]


def test_stored_certificate_that_cannot_be_read(
    alice: Any, authority: CertificateAuthority
) -> None:
    """Broken data does not keep anybody from typing the right value."""
    mapping = CertificateMapping.objects.create(
        user=alice, kind="fingerprint", value=DIGEST.hex(), certificate=b"junk"
    )
    form = mapping_form(
        alice,
        instance=mapping,
        kind="subject",
        value="CN=alice",
        authority=authority.pk,
    )
    assert saved(form).certificate is None


# --- private keys -----------------------------------------------------------------


@pytest.mark.parametrize("kind", UPLOADS)
def test_n66_uploaded_private_key(alice: Any, kind: str) -> None:
    """N66: refused in every form, in both forms of the admin."""
    assert codes_of(mapping_form(alice, UPLOADS[kind])) == {"upload": ["private_key"]}
    upload = SimpleUploadedFile("ca.crt", UPLOADS[kind])
    form = CertificateAuthorityForm(
        {"name": "x", "profile": "private", "revocation_policy": "if_loaded"},
        {"upload": upload},
    )
    assert codes_of(form) == {"upload": ["private_key"]}


def test_n66_private_key_in_half_a_field(
    alice: Any, alice_cert: IssuedCertificate
) -> None:
    """N66: a part of a field counts as the field; see also ``test_private_keys``."""
    for text in TEXTS.values():
        form = mapping_form(alice, pasted=alice_cert.pem, valid_until_1=text)
        assert codes_of(form) == {"valid_until": ["private_key"]}
        assert form.data["valid_until_1"] == ""
        shown = str(form) + str(form.errors) + repr(form.data)
        assert not [secret for secret in secrets_of(text) if secret in shown]
    assert not CertificateMapping.objects.exists()


# --- authorities ------------------------------------------------------------------


def authority_form(
    bundle: str = "", upload: bytes | None = None, **data: Any
) -> CertificateAuthorityForm:
    """Return the form as the admin sends it."""
    files = {"upload": SimpleUploadedFile("c", upload)} if upload is not None else {}
    instance = data.pop("instance", None)
    filled = {
        "name": "A CA",
        "profile": "private",
        "revocation_policy": "if_loaded",
        "bundle": bundle,
        **data,
    }
    return CertificateAuthorityForm(filled, files, instance=instance)


@pytest.mark.parametrize("how", ["pasted", "pem", "der", "p7b", "p7c"])
def test_bundle_in_every_form(ca: ThrowawayCA, how: str) -> None:
    """It is stored as PEM, whatever stood around it."""
    below = ca.issue_ca("Below")
    chain = [ca.certificate, below.certificate]
    form, expected = {
        "pasted": lambda: (
            authority_form(f"Bag Attributes\r\n{ca.pem}\r\n# note\n{below.pem}"),
            ca.pem + below.pem,
        ),
        "pem": lambda: (
            authority_form(upload=(ca.pem + below.pem).encode()),
            ca.pem + below.pem,
        ),
        "der": lambda: (authority_form(upload=ca.der), ca.pem),
        "p7b": lambda: (
            authority_form(upload=pkcs7.serialize_certificates(chain, Encoding.PEM)),
            None,
        ),
        "p7c": lambda: (
            authority_form(upload=pkcs7.serialize_certificates(chain, Encoding.DER)),
            None,
        ),
    }[how]()
    authority = saved(form)
    if expected is None:  # PKCS#7 is a set
        assert {one.der for one in authority.certificates()} == {ca.der, below.der}
    else:
        assert authority.bundle == expected


@pytest.mark.parametrize(
    ("make", "field", "words"),
    [
        (lambda ca: authority_form(), "bundle", "Paste or upload"),
        (lambda ca: authority_form("junk"), "bundle", "neither PEM"),
        (lambda ca: authority_form(upload=b"\xff\0"), "upload", "neither PEM"),
        (
            lambda ca: authority_form(ca.pem, ca.der),
            "bundle",
            "Paste the certificates or upload them",
        ),
        (
            lambda ca: authority_form(ca.issue("alice").pem),
            "bundle",
            "certificate 1 of 1 (CN=alice): an end-entity certificate",
        ),
        (lambda ca: authority_form(ca.pem, name="a\0b"), "name", "Null"),
        (lambda ca: authority_form(ca.pem + "\0"), "bundle", "Null"),
        (lambda ca: authority_form(ca.pem, note="a\0b"), "note", "Null"),
        (lambda ca: authority_form(ca.pem, profile="lax"), "profile", "valid choice"),
        (
            lambda ca: authority_form(upload=b"x" * (MAX_BUNDLE_BYTES + 1)),
            "upload",
            "larger than 2 MiB",
        ),
    ],
    ids=[
        "nothing",
        "junk",
        "binary junk",
        "both",
        "only a client",
        "nul in the name",
        "nul in the bundle",
        "nul in the note",
        "unknown profile",
        "huge",
    ],
)
def test_bundles_that_are_refused(
    ca: ThrowawayCA, make: Any, field: str, words: str
) -> None:
    """With one error, which names what is wrong."""
    errors = errors_of(make(ca))
    assert list(errors) == [field]
    assert words in errors[field][0]


UNREADABLE_PEM = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("how", ["pasted", "uploaded"])
def test_d03_the_rest_of_a_bundle_is_taken(ca: ThrowawayCA, how: str) -> None:
    """What is left out is kept for the message."""
    bundle = ca.pem + UNREADABLE_PEM + ca.issue("alice").pem
    form = (
        authority_form(bundle)
        if how == "pasted"
        else authority_form(upload=bundle.encode())
    )
    assert saved(form).bundle == ca.pem
    unreadable, end_entity = form.left_out
    assert unreadable.startswith("certificate 2 of 3 (without a subject): not a cert")
    assert end_entity.startswith("certificate 3 of 3 (CN=alice): an end-entity cert")


def test_bundle_that_would_not_come_back(ca: ThrowawayCA) -> None:
    """PEM is larger than DER: what fits into a file may not fit into the page."""
    der = write.certificate(
        ca, subject=write.common_name("x" * 1_800_000), extensions=write.CA_EXTENSIONS
    )
    assert codes_of(authority_form(upload=der)) == {"bundle": ["too_large"]}


def test_authority_saved_unchanged(authority: CertificateAuthority) -> None:
    """A browser sends other line ends; that is no change."""
    form = authority_form(
        authority.bundle.replace("\n", "\r\n"), name=authority.name, instance=authority
    )
    bundle = authority.bundle
    assert saved(form).bundle == bundle
    assert form.changed_data == []


def test_upload_replaces_the_bundle(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """The text that is still in the page is the old one; unless it was edited too."""
    successor = ThrowawayCA.create("Successor")
    old = authority.bundle.replace("\n", "\r\n")
    form = authority_form(old, successor.der, instance=authority)
    assert saved(form).bundle == successor.pem
    form = authority_form(ca.pem, ca.der, instance=authority)
    assert codes_of(form) == {"bundle": ["two_bundles"]}


def test_name_is_taken(authority: CertificateAuthority, ca: ThrowawayCA) -> None:
    """The name is what the code asks for: there is one of each."""
    form = authority_form(ca.pem, name=authority.name)
    assert codes_of(form) == {"name": ["unique"]}


@override_settings(CLIENTCERT_PROXY={"nonsense": 1})
def test_forms_do_not_depend_on_the_proxy(
    alice: Any, alice_cert: IssuedCertificate, authority: CertificateAuthority
) -> None:
    """Settings that cannot be used are for `manage.py check` to say."""
    form = mapping_form(alice, kind="subject", pasted=alice_cert.pem)
    assert saved(form).authority == authority


def test_escaped_text_is_not_escaped_twice() -> None:
    """A distinguished name keeps its backslashes; anything odd is made visible."""
    assert visible_once("CN=a\\, b") == "CN=a\\, b"
    assert visible_once("CN=a\u202eb\\") == "CN=a\\u{202e}b\\\\"
    assert visible_once("x" * 5, 3) == "xxx…"
