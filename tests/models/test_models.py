"""The tables: canonical values, what is refused, and the queries."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.conf import global_settings
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone, translation

from django_clientcert.admin.base.entries import read_file
from django_clientcert.management.subcommands.console.files import read_input
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    KeyField,
    validators,
)
from django_clientcert.testing import ThrowawayCA, self_signed
from django_clientcert.x509 import bundles
from django_clientcert.x509.bundles import MAX_BUNDLE_BYTES
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import public_key_identity

pytestmark = pytest.mark.django_db


def errors_of(instance: Any) -> dict[str, list[str]]:
    """Return the messages of full_clean(), by field."""
    with pytest.raises(ValidationError) as caught:
        instance.full_clean()
    return dict(caught.value.message_dict)


@pytest.mark.parametrize(
    ("kind", "typed", "stored"),
    [
        ("fingerprint", "sha256 Fingerprint=" + ":".join(["AB"] * 32), "ab" * 32),
        ("public_key", "AB" * 32, "ab" * 32),
        ("subject", "C = FR, O = ACME, CN = alice", "CN=alice,O=ACME,C=FR"),
        ("subject", "/C=FR/O=ACME/CN=alice", "CN=alice,O=ACME,C=FR"),
        ("subject", "CN=alice, O=ACME, C=FR", "CN=alice,O=ACME,C=FR"),
        # RFC 4514 as it stands, though its parts look as if they ran the other way
        ("subject", "C=FR,O=ACME,CN=alice", "C=FR,O=ACME,CN=alice"),
        ("issuer_serial", "0A:BC CN=CA", "0abc CN=CA"),
        ("san_email", " Alice@EX.com ", "Alice@ex.com"),
        ("san_dns", "Alice.Example.COM", "alice.example.com"),
    ],
)
def test_values_are_stored_in_canonical_form(
    alice: Any, authority: Any, kind: str, typed: str, stored: str
) -> None:
    """Saved twice they stay what they are."""
    mapping = CertificateMapping(
        user=alice, kind=kind, value=typed, authority=authority
    )
    mapping.full_clean()
    mapping.save()
    assert mapping.value == stored
    key = mapping.key
    mapping.refresh_from_db()
    assert (mapping.value, mapping.key) == (stored, key)
    mapping.full_clean()
    mapping.save(update_fields=["value"])
    mapping.refresh_from_db()
    assert (mapping.value, mapping.key) == (stored, key)
    mapping.note = "seen"
    mapping.save(update_fields=["note"])


def test_a_changed_value_changes_the_key(alice: Any) -> None:
    """Also where only the value is saved."""
    mapping = CertificateMapping.objects.create(
        user=alice, kind="fingerprint", value="ab" * 32
    )
    mapping.value = "cd" * 32
    mapping.save(update_fields=["value"])
    mapping.refresh_from_db()
    assert bytes(mapping.key) == b"\xcd" * 32


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"value": "ab"}, "value"),
        ({"value": "AB:" * 20}, "value"),
        ({"kind": "subject", "value": "alice"}, "value"),
        ({"kind": "subject", "value": "CN=alice"}, "authority"),
        ({"kind": "nonsense"}, "kind"),
        ({"hosts": "https://x.example.com"}, "hosts"),
        ({"hosts": "x.example.com:443"}, "hosts"),
        ({"state": "retiring"}, "valid_until"),
    ],
)
def test_what_could_never_work_is_refused(
    alice: Any, fields: dict[str, Any], field: str
) -> None:
    """By the field that is wrong."""
    values = {"kind": "fingerprint", "value": "ab" * 32, **fields}
    assert field in errors_of(CertificateMapping(user=alice, **values))


def test_dates_in_order(alice: Any) -> None:
    """The end is behind the beginning."""
    now = timezone.now()
    mapping = CertificateMapping(
        user=alice, value="ab" * 32, valid_from=now, valid_until=now
    )
    assert "valid_until" in errors_of(mapping)
    mapping.valid_until = now + dt.timedelta(seconds=1)
    mapping.full_clean()


def test_a_duplicate_names_its_twin(alice: Any, bob: Any, authority: Any) -> None:
    """The same user is told so, another one why it cannot be."""
    first = CertificateMapping.objects.create(user=alice, value="ab" * 32)
    messages = errors_of(CertificateMapping(user=alice, value="AB" * 32))["value"]
    assert f"Mapping {first.pk} already maps this to the same user" in messages[0]
    messages = errors_of(CertificateMapping(user=bob, value="AB" * 32))["value"]
    assert "to another user" in messages[0]
    # a name is one only together with its authority
    for name in ("A", "B"):
        other = CertificateAuthority.objects.create(name=name, bundle=authority.bundle)
        mapping = CertificateMapping(
            user=alice, kind="subject", value="CN=x", authority=other
        )
        mapping.full_clean()
        mapping.save()
    first.full_clean()  # not a twin of itself


PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize("field", ["value", "hosts", "note"])
def test_n66_a_private_key_is_refused_in_every_text(alice: Any, field: str) -> None:
    """The message does not repeat it."""
    values = {"value": "ab" * 32, field: PRIVATE_KEY}
    errors = errors_of(CertificateMapping(user=alice, **values))
    assert any("private key" in text for texts in errors.values() for text in texts)
    assert not any("AAAA" in text for texts in errors.values() for text in texts)


@pytest.mark.parametrize("field", ["bundle", "note"])
def test_n66_a_private_key_is_refused_in_an_authority(
    ca: ThrowawayCA, field: str
) -> None:
    """The whole ca.pem with its key is a common mistake."""
    values = {"bundle": ca.pem, field: ca.pem + ca.key_pem}
    errors = errors_of(CertificateAuthority(name="X", **values))
    assert any("private key" in text for texts in errors.values() for text in texts)


def test_an_authority_is_checked_when_it_is_saved_by_a_form(ca: ThrowawayCA) -> None:
    """A bundle that cannot be read is refused, a good one loads."""
    assert "bundle" in errors_of(CertificateAuthority(name="X", bundle="x"))
    authority = CertificateAuthority(name="X\n", bundle=ca.pem)
    authority.full_clean()
    assert str(authority) == "X\\u{a}"
    assert len(authority.certificates()) == 1
    assert len(authority.trust_store().anchors) == 1
    assert authority.validator() is authority.validator()


def test_an_unknown_profile_is_unusable(ca: ThrowawayCA) -> None:
    """It never becomes the lenient one."""
    from django_clientcert.exceptions import BundleError

    with pytest.raises(BundleError):
        CertificateAuthority(name="X", bundle=ca.pem, profile="").validator()


def test_fingerprint_prefix_is_a_range(alice: Any, authority: Any) -> None:
    """Pins only, with any number of digits."""
    wanted = CertificateMapping.objects.create(user=alice, value="ab1" + "0" * 61)
    CertificateMapping.objects.create(user=alice, value="ab2" + "0" * 61)
    CertificateMapping.objects.create(
        user=alice, kind="subject", value="CN=x", authority=authority
    )
    found = CertificateMapping.objects.fingerprint_prefix
    assert list(found("AB1")) == [wanted]
    assert found("ab").count() == 2
    assert found("").count() == 2
    assert list(found(wanted.value)) == [wanted]


def test_text_of_a_mapping(alice: Any, alice_cert: Any) -> None:
    """One visible line, and the certificate it was made from."""
    mapping = CertificateMapping(user=alice, value="ab" * 32)
    assert str(mapping).startswith("fingerprint (SHA-256): abab")
    assert mapping.client_certificate() is None
    mapping.certificate = alice_cert.der
    mapping.save()
    mapping.refresh_from_db()
    certificate = mapping.client_certificate()
    assert certificate is not None
    assert certificate.der == alice_cert.der


def test_the_key_column_is_small_everywhere() -> None:
    """32 bytes, of a type that each database can index."""

    class Vendor:
        def __init__(self, vendor: str) -> None:
            self.vendor = vendor

    field = KeyField()
    assert field.db_type(Vendor("mysql")) == "varbinary(32)"  # type: ignore[arg-type]
    assert field.db_type(connection)
    assert field.deconstruct()[3] == {}
    assert field.from_db_value(None, None, connection) is None
    assert field.from_db_value(memoryview(b"x"), None, connection) == b"x"


def test_what_is_shown_of_a_certificate_follows_it(alice: Any, alice_cert: Any) -> None:
    """Also where only the certificate is saved."""
    mapping = CertificateMapping.objects.create(user=alice, value="ab" * 32)
    mapping.certificate = alice_cert.der
    mapping.save(update_fields=["certificate"])
    mapping.refresh_from_db()
    assert mapping.certificate_subject == "CN=alice"
    assert mapping.certificate_not_after is not None


def test_one_text_for_private_keys() -> None:
    """What certificates are read by knows nothing of Django: its text is the same."""
    with translation.override("en"):
        assert str(validators.PRIVATE_KEY_MESSAGE) == bundles.PRIVATE_KEY_MESSAGE


def test_a_mapping_of_an_identity_is_complete(alice: Any, alice_cert: Any) -> None:
    """Kind, value and key belong together; changing one derives the key again."""
    certificate = ClientCertificate(alice_cert.der)
    mapping = CertificateMapping.for_identity(
        public_key_identity(certificate), certificate, user=alice
    )
    key = mapping.key
    mapping.save()
    assert (mapping.kind, mapping.key) == ("public_key", key)
    assert mapping.certificate_subject == "CN=alice"
    assert mapping.first_host == ""
    mapping.key = b"x"
    mapping.normalise()
    assert mapping.key == key
    mapping.value, mapping.hosts = "ab" * 32, ".example.com"
    mapping.save()
    assert mapping.key == bytes.fromhex("ab" * 32)
    assert mapping.first_host == "example.com"


def test_d03_no_end_entity_certificate_is_stored_past_the_forms(
    ca: ThrowawayCA,
) -> None:
    """It would be a trust anchor if it is self-signed."""
    device = self_signed("device")
    authority = CertificateAuthority(name="x", bundle=ca.pem + device.pem)
    with pytest.raises(ValidationError, match="Only CA certificates belong here"):
        authority.full_clean()


def test_d14_one_limit_for_bundles() -> None:
    """What the command stores, the page of the authority can hold."""
    assert read_input.__defaults__ == read_file.__defaults__ == (MAX_BUNDLE_BYTES,)
    default = global_settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    assert default > MAX_BUNDLE_BYTES * 66 // 65
