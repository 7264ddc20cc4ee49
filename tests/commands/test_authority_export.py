"""``clientcert authority export``: for a proxy, and for Kubernetes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from django_clientcert.models import CertificateAuthority
from django_clientcert.testing import ThrowawayCA
from django_clientcert.x509.bundles import read_certificates

from .running import clientcert

pytestmark = pytest.mark.django_db


@pytest.fixture
def partners(ca: ThrowawayCA) -> CertificateAuthority:
    """A root and an intermediate."""
    bundle = ca.pem + ca.issue_ca("Issuing CA").pem
    return CertificateAuthority.objects.create(name="Partner PKI (EU)", bundle=bundle)


def test_pem_is_the_bundle(partners: CertificateAuthority) -> None:
    """As it went in, and as it could go in again."""
    outcome = clientcert("authority", "export", "Partner PKI (EU)")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == partners.bundle
    assert read_certificates(outcome.out) == tuple(partners.certificates())


def test_what_is_exported_can_be_added(
    partners: CertificateAuthority, tmp_path: Path
) -> None:
    """Another environment gets the same authority."""
    file = tmp_path / "ca.crt"
    file.write_text(clientcert("authority", "export", partners.name).out)
    assert clientcert("authority", "add", str(file), "--name", "Copy").status == 0
    copy = CertificateAuthority.objects.get(name="Copy")
    assert copy.bundle == partners.bundle


def test_a_secret_for_kubernetes(partners: CertificateAuthority) -> None:
    """Valid YAML with the one key that ingress-nginx looks for."""
    outcome = clientcert(
        *("authority", "export", partners.name, "--format", "k8s-secret"),
        *("--secret", "client-ca", "--namespace", "123"),
    )
    assert outcome.status == 0
    assert yaml.safe_load(outcome.out) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "client-ca", "namespace": "123"},
        "type": "Opaque",
        "stringData": {"ca.crt": partners.bundle},
    }


def test_a_name_is_made_of_the_authority_s(partners: CertificateAuthority) -> None:
    """In the letters that Kubernetes has; no namespace is guessed."""
    arguments = ("authority", "export", partners.name, "--format", "k8s-secret")
    metadata = yaml.safe_load(clientcert(*arguments).out)["metadata"]
    assert metadata == {"name": "partner-pki-eu"}
    CertificateAuthority.objects.create(name="…", bundle=partners.bundle)
    outcome = clientcert("authority", "export", "…", "--format", "k8s-secret")
    assert (outcome.status, "--secret" in outcome.error) == (1, True)


@pytest.mark.parametrize("label", ["A", "a_b", "-a", "a-", "a" * 64, "", "a\nb: c"])
def test_a_name_that_kubernetes_refuses(
    label: str, partners: CertificateAuthority
) -> None:
    """And that could be more than a name."""
    arguments = ("authority", "export", partners.name, "--format", "k8s-secret")
    for option in ("--secret", "--namespace"):
        outcome = clientcert(*arguments, option, label)
        assert outcome.status == 1 or outcome.error
        assert outcome.out == ""


def test_options_of_a_secret_need_one(partners: CertificateAuthority) -> None:
    """They would have no effect."""
    outcome = clientcert("authority", "export", partners.name, "--secret", "a")
    assert (outcome.status, "k8s-secret" in outcome.error) == (2, True)


def test_an_authority_that_is_not_there_or_broken(
    partners: CertificateAuthority,
) -> None:
    """It says so, and prints nothing."""
    outcome = clientcert("authority", "export", "Nobody")
    assert outcome.status == 1
    assert "Nobody" in outcome.error
    CertificateAuthority.objects.filter(pk=partners.pk).update(bundle="nonsense")
    outcome = clientcert("authority", "export", partners.name)
    assert (outcome.status, outcome.out) == (1, "")
    assert "cannot be used" in outcome.error
