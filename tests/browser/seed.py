"""Fill the database of the browser tests: ``python -m … FOLDER``.

Writes ``rows.json``: by the name of each model, the key of a row whose pages have
much to show.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

import django
from django.utils import timezone

DAY = dt.timedelta(days=1)


def seed(folder: Path) -> None:
    """Migrate, and make what a busy site has."""
    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from django_clientcert.models import CertificateMapping
    from django_clientcert.x509.bundles import read_certificates

    call_command("migrate", verbosity=0)
    users = get_user_model().objects
    for name in ("anna", "berta"):
        (certificate,) = read_certificates((folder / f"{name}.crt").read_bytes())
        CertificateMapping(
            user=users.create_superuser(name, f"{name}@example.com"),
            kind="public_key",
            value=certificate.public_key_fingerprint,
            certificate=certificate.der,
            note="An administrator.",
        ).save()
    rows = _fill(folder)
    (folder / "rows.json").write_text(json.dumps(rows))


def _fill(folder: Path) -> dict[str, Any]:
    from django.contrib.auth import get_user_model

    from django_clientcert.exceptions import Reason
    from django_clientcert.models import (
        CertificateAuthority,
        CertificateMapping,
        PendingImport,
        RevocationList,
        SeenCertificate,
        UnknownCertificate,
    )
    from django_clientcert.testing import ThrowawayCA
    from django_clientcert.trust.crl_import import import_crl
    from django_clientcert.trust.revoke import revoke_certificate
    from django_clientcert.x509.certificates import ClientCertificate

    now = timezone.now()
    users = get_user_model().objects
    anna = users.get(username="anna")
    company = CertificateAuthority.objects.create(
        name="Company CA",
        bundle=(folder / "ca.crt").read_text(),
        note="For partners and services.",
    )
    partners = ThrowawayCA.create("Partner Root CA 2024", not_after=now + 80 * DAY)
    other = CertificateAuthority.objects.create(
        name="Partners", bundle=partners.pem, revocation_policy="required"
    )
    import_crl(other, partners.crl(next_update=now + 20 * DAY))
    ends = (-40, -3, 1, 5, 12, 25, 40, 60, 100, 130, 170, 200, 260, 300, 340, 500)
    certificates = []
    for number, days in enumerate(ends):
        issued = partners.issue(
            f"service-{number}.partner.example",
            emails=[f"ops{number}@partner.example"],
            dns=[f"service-{number}.partner.example"],
            not_before=now - 60 * DAY,
            not_after=now + days * DAY,
        )
        certificate = ClientCertificate(issued.der)
        certificates.append(certificate)
        user = users.create_user(f"partner{number}", f"ops{number}@partner.example")
        is_name = number % 3 == 2
        mapping = CertificateMapping(
            user=user,
            kind="san_dns" if is_name else "fingerprint",
            value=f"service-{number}.partner.example"
            if is_name
            else certificate.fingerprint,
            authority=other if is_name else None,
            certificate=certificate.der,
            last_used_at=(None, now - 2 * DAY, now - 120 * DAY)[number % 3],
            note="Asked for by the partner’s operations.",
        )
        mapping.full_clean()
        mapping.save()
        SeenCertificate(
            certificate=certificate.der,
            fingerprint=certificate.fingerprint_bytes,
            subject=certificate.subject.rfc4514(),
            not_after=certificate.not_after,
            user=user,
            mapping=mapping,
            host="api.example.com",
        ).save()
    revocation = revoke_certificate(
        certificates[6], reason=1, note="Laptop stolen.", by=anna
    )
    for number in range(3):
        issued = partners.issue(
            f"unknown-{number}.partner.example", emails=[f"ops{number}@partner.example"]
        )
        UnknownCertificate.record(
            ClientCertificate(issued.der),
            reason=Reason.UNMAPPED,
            detail="",
            host="api.example.com",
            address="192.0.2.17",
            count=3 + number,
            size=100,
            at=now,
        )
    pending = PendingImport(owner=anna)
    records = [
        {"type": "mapping", "user": user, "value": value * 32}
        for user, value in (("partner1", "ab"), ("nobody", "cd"), ("partner3", "ef"))
    ]
    rows = [(f"line {line}", record, "") for line, record in enumerate(records, 2)]
    pending.pack({"kind": "fingerprint", "rows": rows})
    pending.save()
    return {
        "certificatemapping": CertificateMapping.objects.get(
            user__username="partner4"
        ).pk,
        "certificateauthority": other.pk,
        "revocationlist": RevocationList.objects.get().pk,
        "revocation": revocation.pk,
        "seencertificate": SeenCertificate.objects.first().pk,
        "unknowncertificate": UnknownCertificate.objects.first().pk,
        "pendingimport": pending.pk,
        "company": company.pk,
    }


if __name__ == "__main__":
    seed(Path(sys.argv[1]))
