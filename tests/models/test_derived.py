"""The state of an authority is what the tables say, however they change."""

from __future__ import annotations

import base64
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from django.core.management import call_command
from django.db import transaction
from django.db.models import ProtectedError

from django_clientcert.models import (
    AuthorityCertificate,
    CertificateAuthority,
    Revocation,
    RevocationList,
    RevokedSerial,
    name_key,
    serial_key,
)
from django_clientcert.models.authority_state import (
    AuthorityState,
    Period,
    get_state,
    load_state,
)
from django_clientcert.models.derived import renew_revisions
from django_clientcert.testing import ThrowawayCA
from django_clientcert.trust.revoke import revoke_certificate, revoke_period
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl.reading import read_crl
from tests import der_writer as w
from tests.deciding import decide, map_to

pytestmark = pytest.mark.django_db

NOW = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
DAY = dt.timedelta(days=1)


def ca_certificate(ca: ThrowawayCA) -> ClientCertificate:
    """Return a CA's own certificate."""
    return ClientCertificate(ca.certificate.public_bytes(Encoding.DER))


@pytest.fixture
def root() -> ThrowawayCA:
    """A root of its own."""
    return ThrowawayCA.create("Company Root")


@pytest.fixture
def issuing(root: ThrowawayCA) -> ThrowawayCA:
    """An intermediate CA below it."""
    return root.issue_ca("Company Issuing")


@pytest.fixture
def company(db: None, root: ThrowawayCA, issuing: ThrowawayCA) -> CertificateAuthority:
    """Both, stored."""
    return CertificateAuthority.objects.create(
        name="Company", bundle=root.pem + issuing.pem
    )


def load(authority: CertificateAuthority, der: bytes) -> RevocationList:
    """Store a list with its entries, as an import does."""
    parsed = read_crl(
        der, authority.certificates(), at=dt.datetime.now(dt.timezone.utc)
    )
    with transaction.atomic():
        row = RevocationList.of(authority, parsed.info, issuer="CN=x")
        row.save()
        RevokedSerial.objects.bulk_create(
            RevokedSerial(
                crl=row,
                serial=serial_key(one.serial),
                reason=one.reason,
                revoked_at=one.revoked_at,
            )
            for one in parsed.entries()
        )
        row.save()  # once more, with the entries in place
    return row


def stored(authority: CertificateAuthority) -> AuthorityState:
    """Return what this process knows of the authority, which has to be the truth."""
    authority.refresh_from_db()
    state = get_state(authority)
    assert state == load_state(authority.pk, "default")
    assert state.revision == authority.revision
    return state


def test_nothing_is_known_if_nothing_is_revoked(company: Any) -> None:
    """Nor is anything of an authority that is not stored."""
    assert stored(company) == AuthorityState()
    assert get_state(CertificateAuthority(name="New")) == AuthorityState()


def test_a_list_is_remembered_until_it_is_deleted(
    company: Any, root: ThrowawayCA, issuing: ThrowawayCA
) -> None:
    """With what it says of the certificates in the bundle."""
    certificate = ca_certificate(issuing)
    row = load(company, root.crl([certificate.serial_number, 7]))
    state = stored(company)
    assert list(state.crls) == [str(row.pk)]
    ((fingerprint, serial),) = state.hits
    assert (fingerprint, serial) == (row.fingerprint, certificate.serial_number)
    row.delete()
    assert stored(company) == AuthorityState()
    assert not RevokedSerial.objects.exists()


def test_deleting_many_at_once_is_seen(company: Any, root: ThrowawayCA) -> None:
    """As the admin does it."""
    load(company, root.crl([7]))
    revoke_period(company, NOW - DAY, NOW)
    RevocationList.objects.all().delete()
    Revocation.objects.all().delete()
    assert stored(company) == AuthorityState()


def test_another_bundle_is_another_state(
    company: Any, root: ThrowawayCA, issuing: ThrowawayCA, alice: Any
) -> None:
    """A list was loaded, and a key revoked, before their CA was in the bundle."""
    certificate = ca_certificate(issuing)
    company.bundle = root.pem
    company.save()
    load(company, root.crl([certificate.serial_number]))
    revoke_certificate(certificate)
    assert not stored(company).hits
    assert not stored(company).revoked
    company.bundle = root.pem + issuing.pem
    company.save()
    assert stored(company).hits
    assert list(stored(company).revoked) == [certificate.fingerprint]
    map_to(alice, "subject", "CN=alice", authority=company)
    assert decide(issuing.issue("alice")).reason == "revoked"
    company.bundle = root.pem
    company.save(update_fields=["bundle"])
    assert not stored(company).hits
    assert not stored(company).revoked


def test_the_certificates_of_the_bundle_are_indexed(
    company: Any, root: ThrowawayCA, issuing: ThrowawayCA
) -> None:
    """By name, key and serial number; one that is there twice, once."""
    certificate = ca_certificate(issuing)
    company.bundle = root.pem + issuing.pem + issuing.pem
    company.save()
    assert company.indexed_certificates.count() == 2
    (row,) = company.indexed_certificates.filter(
        subject_key=name_key(certificate.subject_der)
    )
    assert row.public_key == certificate.public_key_bytes
    assert row.serial == serial_key(certificate.serial_number)
    assert str(company.pk) in str(row)
    company.bundle = "broken"
    company.save()
    assert not AuthorityCertificate.objects.exists()
    # What is saved without the bundle leaves the index alone.
    company.bundle = root.pem
    company.save()
    company.note = "x"
    company.save(update_fields=["note"])
    assert AuthorityCertificate.objects.count() == 1


def test_a_certificate_that_cannot_be_read_is_left_out(
    company: Any, root: ThrowawayCA
) -> None:
    """The others of the bundle are looked up all the same."""
    broken = w.tlv(0x30, w.tlv(0x30, w.tlv(0x02, b"\1")))
    pem = "-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n"
    text = base64.encodebytes(broken).decode()
    CertificateAuthority.objects.filter(pk=company.pk).update(
        bundle=root.pem + pem.format(text)
    )
    company.refresh_from_db()
    company.save()
    assert stored(company) == AuthorityState()


def test_an_authority_that_cannot_verify_remembers_what_it_can(
    company: Any, root: ThrowawayCA, issuing: ThrowawayCA
) -> None:
    """Whose serial number it is cannot be told; a key speaks for itself."""
    certificate = ca_certificate(issuing)
    CertificateAuthority.objects.update(profile="lax")
    Revocation.objects.create(
        serial=serial_key(certificate.serial_number),
        issuer_key=ca_certificate(root).public_key_bytes,
        description="x",
    )
    assert not stored(company).revoked
    Revocation.objects.create(public_key=certificate.public_key_bytes, description="x")
    assert list(stored(company).revoked) == [certificate.fingerprint]


def test_an_authority_that_is_gone_needs_nothing(company: Any) -> None:
    """As where it is being deleted."""
    renew_revisions([company.pk + 1], "default")
    assert load_state(company.pk + 1, "default").revision is None
    assert stored(company) == AuthorityState()


def test_a_revocation_reaches_every_authority_with_that_ca(
    company: Any, root: ThrowawayCA, issuing: ThrowawayCA
) -> None:
    """Also one that is stored twice, and not the others."""
    again = CertificateAuthority.objects.create(
        name="Again", bundle=root.pem + issuing.pem
    )
    other = CertificateAuthority.objects.create(
        name="Other", bundle=ThrowawayCA.create("Other").pem
    )
    revocation = revoke_certificate(ca_certificate(issuing))
    for authority in (company, again):
        assert list(stored(authority).revoked.values()) == [str(revocation.pk)]
    assert stored(other) == AuthorityState()
    revocation.note = "changed"
    revocation.save()
    assert list(stored(company).revoked.values()) == [str(revocation.pk)]


def test_an_authority_with_revocations_is_not_deleted_by_the_way(
    company: Any, root: ThrowawayCA
) -> None:
    """Its lists go with it; what was revoked here has to be taken back first."""
    load(company, root.crl([7]))
    revocation = revoke_period(company, NOW - DAY, NOW)
    with pytest.raises(ProtectedError):
        company.delete()
    revocation.delete()
    company.delete()
    assert not RevocationList.objects.exists()
    assert not RevokedSerial.objects.exists()


def test_a_fixture_brings_its_own_copy(
    company: Any, root: ThrowawayCA, issuing: ThrowawayCA, tmp_path: Path
) -> None:
    """What was dumped and loaded decides as before."""
    load(company, root.crl([7]))
    revoke_certificate(ca_certificate(issuing))
    revoke_period(company, NOW - DAY, NOW)
    before = stored(company)
    file = tmp_path / "dump.json"
    call_command("dumpdata", "django_clientcert", output=str(file), verbosity=0)
    Revocation.objects.all().delete()
    CertificateAuthority.objects.all().delete()
    call_command("loaddata", str(file), verbosity=0)
    assert stored(company) == before


def test_a_period_includes_both_ends() -> None:
    """To the second, as certificates have it."""
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)
    period = Period("2", moment, moment)
    assert period.covers(moment)
    assert not period.covers(moment - dt.timedelta(seconds=1))
    assert not period.covers(moment + dt.timedelta(seconds=1))


def test_rows_say_what_they_are(company: Any, root: ThrowawayCA) -> None:
    """In one line, for logs and lists."""
    row = load(company, root.crl([7], number=5))
    assert str(row) == "CRL number 5, CN=x"
    (entry,) = row.entries.all()
    assert str(entry) == f"07 ({row.pk})"
    assert row.crl_info().entry_count == 1
