"""Which authority issued a certificate: one answer, wherever it is asked for."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from django.core.exceptions import ValidationError

from django_clientcert.admin.mappings.form import CertificateMappingForm
from django_clientcert.exceptions import CertificateParseError, Reason
from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.models import authorities as authorities_module
from django_clientcert.testing import IssuedCertificate, ThrowawayCA
from django_clientcert.trust.issuers import (
    check_authority,
    find_authority,
    find_issuers,
    find_issuers_of_all,
    find_signer,
    why_not_issued,
)
from django_clientcert.trust.revoke import revoke_certificate
from django_clientcert.x509.certificates import ClientCertificate
from tests.commands.running import clientcert
from tests.deciding import decide, map_to
from tests.queries import captured

pytestmark = pytest.mark.django_db


def parsed(certificate: IssuedCertificate) -> ClientCertificate:
    """Return the certificate as the package has it."""
    return ClientCertificate(certificate.der)


@pytest.fixture
def root() -> ThrowawayCA:
    """A root CA that is not stored."""
    return ThrowawayCA.create("Root")


@pytest.fixture
def intermediate(root: ThrowawayCA) -> ThrowawayCA:
    """An intermediate CA of the root."""
    return root.issue_ca("Issuing CA")


@pytest.fixture
def rootless(db: None, intermediate: ThrowawayCA) -> CertificateAuthority:
    """An authority with that intermediate and an unrelated root."""
    return CertificateAuthority.objects.create(
        name="Rootless", bundle=intermediate.pem + ThrowawayCA.create("Unrelated").pem
    )


def answer_of_form(user: Any, certificate: IssuedCertificate) -> str:
    """Return the error of the mapping form, or the name of the authority."""
    form = CertificateMappingForm(
        {
            "user": user.pk,
            "kind": "subject",
            "state": "active",
            "pasted": certificate.pem,
        }
    )
    if form.is_valid():
        return str(form.cleaned_data["authority"])
    return " ".join(form.errors["authority"])


def answer_of_map(folder: Path, certificate: IssuedCertificate) -> str:
    """Return the error of ``clientcert map``, or the name of the authority."""
    path = folder / "client.pem"
    path.write_text(certificate.pem)
    outcome = clientcert("map", str(path), "--user", "alice", "--kind", "subject")
    return outcome.error or _taken()


def answer_of_import(folder: Path, certificate: IssuedCertificate) -> str:
    """Return the report of ``clientcert import``, or the name of the authority."""
    path = folder / "rows.csv"
    encoded = base64.b64encode(certificate.der).decode()
    path.write_text(f"user,kind,certificate\nalice,subject,{encoded}\n")
    outcome = clientcert("import", str(path))
    return outcome.out if outcome.status else _taken()


def _taken() -> str:
    mapping = CertificateMapping.objects.get()
    authority = str(mapping.authority)
    mapping.delete()
    return authority


def test_every_way_to_ask_gives_the_answer_of_a_request(
    alice: Any,
    tmp_path: Path,
    rootless: CertificateAuthority,
    root: ThrowawayCA,
    intermediate: ThrowawayCA,
) -> None:
    """Without the root, the intermediate leads nowhere; with it, everybody agrees."""
    certificate = intermediate.issue("alice")
    mapping = map_to(alice, "subject", "CN=alice", authority=rootless)
    assert decide(certificate).reason is Reason.UNTRUSTED_ISSUER
    mapping.delete()
    for answer in (
        answer_of_form(alice, certificate),
        answer_of_map(tmp_path, certificate),
        answer_of_import(tmp_path, certificate),
    ):
        assert "None of the stored authorities issued this certificate" in answer
        assert "“Rootless” has a CA of that name" in answer
    assert find_issuers(parsed(certificate)).authorities == ()

    rootless.bundle += root.pem
    rootless.save()
    for answer in (
        answer_of_form(alice, certificate),
        answer_of_map(tmp_path, certificate),
        answer_of_import(tmp_path, certificate),
    ):
        assert answer == "Rootless"
    map_to(alice, "subject", "CN=alice", authority=rootless)
    assert decide(certificate).accepted


def test_a_revocation_reaches_what_requests_would_refuse(
    rootless: CertificateAuthority, intermediate: ThrowawayCA
) -> None:
    """A serial number is revoked by the key that signed, with a path or without."""
    certificate = parsed(intermediate.issue("alice"))
    signer = find_signer(certificate)
    assert signer is not None
    assert signer[0] == rootless
    assert revoke_certificate(certificate).issuer_key == signer[1].public_key_bytes


def test_several_certificates_at_once(
    authority: CertificateAuthority, ca: ThrowawayCA, other_ca: ThrowawayCA
) -> None:
    """One query; another CA of the same name did not issue one, and says why."""
    with captured() as queries:
        issuers = find_issuers_of_all(
            {
                1: parsed(ca.issue("a")),
                2: parsed(other_ca.issue("b")),
                3: ClientCertificate(b"junk"),
            }
        )
    assert len(queries) == 1
    assert [found.authorities for found in issuers.values()] == [(authority,), (), ()]
    ((refused, why),) = issuers[2].refused
    assert (refused, why.reason) == (authority, Reason.UNTRUSTED_ISSUER)


def test_a_certificate_that_cannot_be_read_has_no_issuer(
    authority: CertificateAuthority,
) -> None:
    """One that is asked about alone says so."""
    junk = ClientCertificate(b"junk")
    for find in (find_issuers, find_signer):
        with pytest.raises(CertificateParseError):
            find(junk)
    refusal = why_not_issued(authority, junk)
    assert refusal is not None
    assert refusal.reason is Reason.MALFORMED_CERTIFICATE


def test_a_certificate_of_a_stranger_is_not_in_doubt(
    authority: CertificateAuthority, other_ca: ThrowawayCA
) -> None:
    """Whatever else is wrong with it, no CA of the authority signed it."""
    certificate = parsed(
        other_ca.issue("server", eku=[ExtendedKeyUsageOID.SERVER_AUTH])
    )
    with pytest.raises(ValidationError, match="did not issue this certificate"):
        check_authority(authority, certificate)
    with pytest.raises(ValidationError, match="None of the stored authorities"):
        find_authority(certificate)


def test_a_thousand_authorities_cost_as_much_as_one(
    authority: CertificateAuthority,
    ca: ThrowawayCA,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One query, and only the validators of those with a CA of the issuer's name."""
    model = CertificateAuthority
    model.objects.bulk_create(
        model(name=f"CA {number}", bundle=f"junk {number}") for number in range(1000)
    )
    index = authority.indexed_certificates.model
    index.objects.bulk_create(
        index(
            authority=other,
            subject_key=other.pk.to_bytes(32, "big"),
            public_key=other.pk.to_bytes(32, "big"),
            serial=b"\1",
        )
        for other in model.objects.exclude(pk=authority.pk)
    )
    built: list[str] = []
    build = authorities_module.build_validator

    def count(bundle: str, profile: str) -> Any:
        built.append(bundle)
        return build(bundle, profile)

    monkeypatch.setattr(authorities_module, "build_validator", count)
    with captured() as queries:
        assert find_authority(parsed(ca.issue("alice"))) == authority
    assert len(queries) == 1
    assert set(built) == {authority.bundle}
