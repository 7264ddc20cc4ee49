"""``clientcert export``, and that an import of it decides the same."""

from __future__ import annotations

import csv
import datetime as dt
import io
import stat
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from django_clientcert.management.subcommands import export as bulk_export
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
    RevokedSerial,
)
from django_clientcert.testing import IssuedCertificate, ThrowawayCA
from django_clientcert.trust.crl_import import import_crl
from django_clientcert.trust.revoke import revoke_certificate, revoke_period
from django_clientcert.trust.transfer.records import (
    authority_record,
    mapping_record,
    revocation_record,
)
from django_clientcert.trust.transfer.writing import guard, unguard
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import IdentityKind, identity_of_kind
from django_clientcert.x509.text import to_iso
from tests import crl_writer
from tests.deciding import decide, map_to

from .running import clientcert

pytestmark = pytest.mark.django_db

DAY = dt.timedelta(days=1)


def empty() -> None:
    """Delete everything but users and groups."""
    Revocation.objects.all().delete()
    CertificateMapping.objects.all().delete()
    CertificateAuthority.objects.all().delete()


@pytest.fixture
def issued(other_ca: ThrowawayCA) -> list[IssuedCertificate]:
    """Fill the database; certificates whose decisions come out in all ways."""
    users = get_user_model().objects
    ca, ruled_ca = ThrowawayCA.create("Names CA"), ThrowawayCA.create("Rule CA")
    late_ca = ThrowawayCA.create("Late CA")
    names = CertificateAuthority.objects.create(name="Ünïts, =1+1", bundle=ca.pem)
    certificates = []
    for number, kind in enumerate(IdentityKind):
        one = ca.issue(
            f"user{number}",
            emails=[f"u{number}@example.com"],
            upns=[f"=u{number}@corp.example"],
            dns=[f"u{number}.example.com"],
            uris=[f"spiffe://example.com/u{number}"],
        )
        map_to(
            users.create_user(f"user{number}"),
            kind.value,
            identity_of_kind(kind, ClientCertificate(one.der)).value,
            authority=None if kind.is_pin else names,
            certificate=one.der if number % 2 else None,
            hosts="testserver\n.example.com",
            note="'=cmd\n-1, ;",
        )
        certificates.append(one)
    user, now = users.get(username="user0"), timezone.now()
    for fields in (
        {},
        {"state": "disabled"},
        {"state": "scheduled", "valid_from": now + DAY},
        {"state": "retiring", "valid_until": now - DAY},
        {"hosts": "elsewhere.example"},
    ):
        certificates.append(ca.issue("x"))
        map_to(user, "fingerprint", certificates[-1].fingerprint, **fields)
    revoke_certificate(
        ClientCertificate(certificates[len(IdentityKind)].der),
        reason=1,
        note="lost",
        by=user,
    )
    late = CertificateAuthority.objects.create(name="Late", bundle=late_ca.pem)
    certificates.append(late_ca.issue("y"))
    map_to(user, "subject", "CN=y", authority=late)
    revoke_period(late, now - 30 * DAY, now + DAY)
    ruled = CertificateAuthority.objects.create(
        name="Ruled",
        bundle=ruled_ca.pem,
        revocation_policy="required",
        rule_identity="common_name",
        rule_hosts="testserver",
        rule_creates_users=True,
    )
    ruled.rule_groups.add(Group.objects.create(name="Devices"))
    listed = ruled_ca.issue("user2")
    certificates += [ruled_ca.issue("user1"), listed, ruled_ca.issue("made")]
    certificates += [other_ca.issue("no")]
    serial = listed.certificate.serial_number
    import_crl(
        ruled, crl_writer.crl(ruled_ca, entries=[crl_writer.entry(serial)]), at=now
    )
    return certificates


def outcomes(certificates: list[IssuedCertificate]) -> list[Any]:
    """Return the decisions without what is only this database's."""
    found = []
    for one in certificates:
        decision = decide(one)
        found.append(
            (
                decision.accepted,
                decision.reason,
                decision.user and decision.user.get_username(),
                decision.mapping and (decision.mapping.kind, decision.mapping.value),
                decision.creates_user,
            )
        )
    return found


def test_import_into_an_empty_project_decides_the_same(
    issued: list[IssuedCertificate], tmp_path: Path
) -> None:
    """All kinds, states, rules, lists and revocations; and nothing differs."""
    before = outcomes(issued)
    assert {str(one[1]) for one in before} >= {
        *("None", "revoked", "mapping_disabled", "mapping_not_yet_valid"),
        *("mapping_expired", "unmapped"),
    }, before
    assert [one[4] for one in before].count(True) == 1
    file = str(tmp_path / "all.json")
    assert clientcert("export", "--output", file).status == 0
    told = list(Revocation.objects.order_by("pk").values_list("note", "revoked_at"))
    empty()
    assert outcomes(issued) != before
    done = clientcert("import", file)
    assert (done.status, done.error) == (0, ""), done.text
    assert outcomes(issued) == before
    assert RevokedSerial.objects.count() == 1
    assert (
        list(Revocation.objects.order_by("pk").values_list("note", "revoked_at"))
        == told
    )
    assert clientcert("diff", file).out == "No differences.\n"
    again = clientcert("import", file)
    assert again.status == 0
    assert "0 new" in again.out
    assert "0 refused" in again.out


def test_a_listed_intermediate_stays_revoked(
    ca: ThrowawayCA, alice: Any, tmp_path: Path
) -> None:
    """What a list says of the bundle's own certificates comes along."""
    below = ca.issue_ca("Below")
    authority = CertificateAuthority.objects.create(name="A", bundle=ca.pem + below.pem)
    one = below.issue("alice")
    map_to(alice, "subject", "CN=alice", authority=authority)
    serial = below.certificate.serial_number
    import_crl(authority, crl_writer.crl(ca, entries=[crl_writer.entry(serial)]))
    before = outcomes([one])
    assert str(before[0][1]) == "revoked"
    file = str(tmp_path / "all.json")
    clientcert("export", "--output", file)
    empty()
    assert clientcert("import", file).status == 0
    assert outcomes([one]) == before


def test_mappings_come_back_from_csv(
    issued: list[IssuedCertificate], tmp_path: Path
) -> None:
    """What a spreadsheet would run is guarded, and comes back as it was."""
    file = tmp_path / "mappings.csv"
    assert clientcert("export", "--format", "csv", "--output", str(file)).status == 0
    rows = list(csv.reader(io.StringIO(file.read_bytes().decode(), newline="")))
    assert len(rows) == 1 + CertificateMapping.objects.count()
    assert not [one for row in rows for one in row if one[:1] in "=+-@\t\r" and one]
    fields = ("user", "kind", "value", "state", "hosts", "note", "valid_from")
    before = list(CertificateMapping.objects.order_by("pk").values_list(*fields))
    CertificateMapping.objects.all().delete()
    done = clientcert("import", str(file))
    assert done.status == 0, done.text
    assert list(CertificateMapping.objects.order_by("pk").values_list(*fields)) == (
        before
    )
    assert clientcert("diff", str(file)).status == 0


def test_a16_a_formula_after_another_separator_is_quoted(
    alice: Any, authority: CertificateAuthority
) -> None:
    """Some spreadsheets split at semicolons or tabs, which would begin a new cell."""
    value = "urn:x;=HYPERLINK(1)"
    map_to(alice, "san_uri", value, authority=authority, note='a\t =1+1;"=2')
    text = clientcert("export", "--format", "csv").out
    for delimiter in ",;\t":
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        cells = [cell.lstrip(' "') for row in rows for cell in row]
        assert not [cell for cell in cells if cell[:1] in "=+-@" and cell]
    assert text.startswith('"user","kind","value",')


@given(st.text("a;\t\r\n '\"=+-@,"))
def test_a16_what_is_guarded_comes_back(cell: str) -> None:
    """Whatever is in it."""
    assert unguard(guard(cell)) == cell


def test_the_file_is_its_owners_and_never_replaced(
    mapping: CertificateMapping, tmp_path: Path
) -> None:
    """And - standard output has the same."""
    file = tmp_path / "x.json"
    assert clientcert("export", "--output", str(file)).status == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert clientcert("export").out == file.read_text()
    again = clientcert("export", "--output", str(file))
    assert (again.status, "File exists" in again.error) == (1, True)


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """Named, with the reason."""
    outcome = clientcert("export", "--output", str(tmp_path / "no" / "x.json"))
    assert outcome.status == 1
    assert "cannot be written: No such file" in outcome.error


def test_half_a_file_is_taken_away(
    mapping: CertificateMapping, tmp_path: Path, monkeypatch: Any
) -> None:
    """It could be taken for a whole one."""

    def fail(records: Any) -> Any:
        yield "{"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bulk_export, "write_json", fail)
    outcome = clientcert("export", "--output", str(tmp_path / "x.json"))
    assert "No space left" in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_moments_of_a_project_without_time_zones() -> None:
    """They are of the server's zone, and written in UTC."""
    naive = timezone.now().replace(tzinfo=None)
    assert to_iso(naive) == naive.astimezone(dt.timezone.utc).isoformat()


# What is worked out from the rest, or is this database's own
OWN_COLUMNS = {
    CertificateMapping: {
        *("id", "key", "created_at", "last_used_at", "certificate_subject"),
        *("certificate_not_after", "certificate_subject_key"),
    },
    CertificateAuthority: {"id", "created_at", "revision"},
    Revocation: {"id"},
}


@pytest.mark.parametrize("model", OWN_COLUMNS, ids=lambda model: model.__name__)
def test_every_column_is_exported(
    model: Any,
    mapping: CertificateMapping,
    authority: CertificateAuthority,
    alice_cert: IssuedCertificate,
) -> None:
    """A new column is either in the file, or named here as one that is not."""
    revoke_certificate(ClientCertificate(alice_cert.der))
    write = {
        CertificateMapping: mapping_record,
        CertificateAuthority: authority_record,
        Revocation: revocation_record,
    }[model]
    options = model._meta
    columns = {one.name for one in (*options.concrete_fields, *options.many_to_many)}
    assert set(write(model.objects.get())) - {"type"} == columns - OWN_COLUMNS[model]
