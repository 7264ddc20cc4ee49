"""``clientcert expiring``: everything that ends, in time."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import Any

import pytest

from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    RevocationList,
    SeenCertificate,
)
from django_clientcert.testing import ThrowawayCA
from django_clientcert.trust.crl_import import import_crl
from django_clientcert.x509.bundles import to_pem
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl.reading import MAX_AGE, read_crl
from tests import der_writer as w
from tests.conftest import Wsgi
from tests.crl_writer import crl
from tests.deciding import map_to

from .running import CommandResult, clientcert

pytestmark = pytest.mark.django_db

NOW = dt.datetime.now(dt.timezone.utc)
DAY = dt.timedelta(days=1)


def expiring(*arguments: str) -> CommandResult:
    """Run the command."""
    return clientcert("expiring", *arguments)


def rows(*arguments: str) -> list[dict[str, Any]]:
    """Return what expires, as JSON."""
    found: list[dict[str, Any]] = expiring(*arguments, "--format", "json").data[
        "expiring"
    ]
    return found


def test_nothing_is_said_in_a_sentence(mapping: Any, authority: Any) -> None:
    """And with status 0."""
    outcome = expiring("--within", "12h")
    assert outcome.status == 0
    assert outcome.out.startswith("Nothing expires by ")
    as_csv = clientcert("expiring", "--format", "csv")
    assert (as_csv.status, as_csv.out) == (
        0,
        "what,id,name,user,expires_at,expired\n",
    )


def test_everything_that_ends_is_there(
    ask: Wsgi, alice: Any, authority: Any, ca: ThrowawayCA
) -> None:
    """The first to expire first; what has expired is marked."""
    soon, past = (
        ca.issue("alice", not_after=NOW + 5 * DAY),
        ca.issue("old", not_before=NOW - 9 * DAY, not_after=NOW - 2 * DAY),
    )
    current = map_to(
        alice,
        "fingerprint",
        soon.fingerprint,
        certificate=soon.der,
        valid_until=NOW + 3 * DAY,
    )
    old = map_to(alice, "fingerprint", past.fingerprint, certificate=past.der)
    map_to(
        alice,
        "public_key",
        "ab" * 32,
        certificate=past.der,
        state="disabled",
        valid_until=NOW,
    )
    assert ask("/ledger/", soon.der).status_code == 200
    dying = ThrowawayCA.create("Dying", not_after=NOW + 10 * DAY)
    other = CertificateAuthority.objects.create(name="Other", bundle=ca.pem + dying.pem)
    for next_update, number in ((NOW + DAY, 1), (None, 2)):
        der = ca.crl(number=number, next_update=next_update or NOW + 90 * DAY)
        info = read_crl(der, other.certificates(), at=NOW).info
        RevocationList.of(other, info, issuer="CN=Test Root CA").save()
    CertificateAuthority.objects.create(name="Broken", bundle="broken")
    found = rows()
    assert [(one["what"], one["expired"]) for one in found] == [
        ("certificate", True),
        ("revocation_list", False),
        ("mapping", False),
        ("certificate", False),
        ("seen_certificate", False),
        ("authority", False),
    ]
    assert [found[0]["id"], found[3]["id"]] == [old.pk, current.pk]
    assert found[0]["user"] == "alice"
    assert found[5]["name"] == "Other: CN=Dying"
    assert len(rows("--within", "4d")) == 3
    SeenCertificate.objects.update(not_after=NOW - DAY)
    assert "seen_certificate" not in {one["what"] for one in rows()}
    SeenCertificate.objects.update(not_after=NOW + 5 * DAY)
    outcome = expiring("--within", "6w")
    assert outcome.status == 1
    assert outcome.error.startswith("6 of these expire by ")
    assert outcome.error.endswith("1 of them have expired already.")
    lines = outcome.out.splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("EXPIRED")
    assert lines[1].startswith("expires")
    assert "of alice: CN=old" in lines[0]


def test_a_list_that_does_not_say_when_the_next_one_comes(
    authority: Any, ca: ThrowawayCA
) -> None:
    """It is good for as long as a request takes it for good."""
    import_crl(authority, crl(ca, next_update=b""))
    assert expiring("--within", "2d").status == 0
    (row,) = rows("--within", "8d")
    assert row["what"] == "revocation_list"
    stored = RevocationList.objects.get()
    assert row["expires_at"] == (stored.this_update + MAX_AGE).isoformat()


def test_a_spreadsheet_takes_nothing_for_a_formula(alice: Any, ca: ThrowawayCA) -> None:
    """A certificate may be called what it likes."""
    certificate = ca.issue("x", not_after=NOW + DAY)
    mapping = map_to(
        alice, "fingerprint", certificate.fingerprint, certificate=certificate.der
    )
    CertificateMapping.objects.update(certificate_subject='=HYPERLINK("x","y")')
    outcome = expiring("--format", "csv")
    assert outcome.status == 1
    head, row = csv.reader(io.StringIO(outcome.out))
    assert head == ["what", "id", "name", "user", "expires_at", "expired"]
    assert row[:4] == ["certificate", str(mapping.pk), '\'=HYPERLINK("x","y")', "alice"]
    end = ClientCertificate(certificate.der).not_after
    assert row[4:] == [end.isoformat(), "False"]


def test_a_name_without_a_text_is_shown_all_the_same(ca: ThrowawayCA) -> None:
    """In a bundle, beside the others."""
    dying = ThrowawayCA.create("Dying", not_after=NOW + DAY)
    odd = ClientCertificate(w.certificate(ca, subject=w.common_name(b"\xe9", w.T61)))
    authority = CertificateAuthority.objects.create(name="A", bundle=dying.pem)
    bundle = to_pem([*authority.certificates(), odd])
    CertificateAuthority.objects.update(bundle=bundle)
    assert {one["name"] for one in rows()} == {"A: CN=Dying", "A: CN=#1401e9"}


@pytest.mark.parametrize("time", ["", "30", "d", "-1d", "1y", "1.5d", "100000d"])
def test_another_time_is_wrong_usage(time: str) -> None:
    """With how to write it."""
    outcome = clientcert("expiring", f"--within={time}")
    assert outcome.status != 0
    assert "30d" in outcome.text
