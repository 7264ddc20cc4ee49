"""How soon a revocation takes effect, as commands and admin say it."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import translation

from django_clientcert.models import CertificateMapping
from django_clientcert.testing import IssuedCertificate, ThrowawayCA
from django_clientcert.trust.revoke import describe_delay

pytestmark = pytest.mark.django_db


def test_at_once_needs_no_words(settings: Any) -> None:
    """The number follows the setting, in any language."""
    assert describe_delay() == ""
    settings.CLIENTCERT_DECISION_SECONDS = 1
    assert "within 1 second (" in describe_delay()
    settings.CLIENTCERT_DECISION_SECONDS = 5
    assert "within 5 seconds (" in describe_delay()
    with translation.override("de"):
        assert "5 Sekunden" in describe_delay()


def test_commands_say_when_a_revocation_counts(
    settings: Any,
    tmp_path: Any,
    capsys: pytest.CaptureFixture[str],
    ca: ThrowawayCA,
    authority: Any,
    alice_cert: IssuedCertificate,
) -> None:
    """For one certificate and for a CRL; and nothing if it is at once."""
    (tmp_path / "alice.crt").write_text(alice_cert.pem)
    (tmp_path / "ca.crl").write_bytes(ca.crl([alice_cert]))
    for seconds in (0, 5):
        settings.CLIENTCERT_DECISION_SECONDS = seconds
        call_command("clientcert", "revoke", tmp_path / "alice.crt")
        assert ("within 5 seconds" in capsys.readouterr().out) == bool(seconds)
        (tmp_path / "ca.crl").write_bytes(ca.crl([alice_cert], number=2 + seconds))
        call_command("clientcert", "crl", "import", tmp_path / "ca.crl")
        assert ("within 5 seconds" in capsys.readouterr().out) == bool(seconds)


def test_the_admin_says_when_a_revocation_counts(
    settings: Any, admin_client: Any, mapping: CertificateMapping
) -> None:
    """After the action, and after the form."""
    settings.CLIENTCERT_DECISION_SECONDS = 5
    url = reverse("admin:django_clientcert_certificatemapping_revoke")
    mapping.kind = "public_key"
    mapping.save()
    data = {"_selected_action": mapping.pk, "post": "yes", "reason": 0, "note": ""}
    answer = admin_client.post(url, data, follow=True)
    assert "within 5 seconds" in answer.content.decode()
