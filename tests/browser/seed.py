"""What the screens show, and who may see it: ``python -m tests.browser.seed FOLDER``.

A process of its own, because Django's queries and Playwright's loop do not share a
thread.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

import django

from .pki import (
    ADMINISTRATOR,
    AUDITOR,
    CLERK,
    LEAVER,
    NEWCOMER,
    Pki,
)

_DAY = dt.timedelta(days=1)


def seed(pki: Pki) -> dict[str, Any]:
    """Migrate, and fill every table; return the keys of the rows by their names."""
    from django.contrib.admin.models import CHANGE, LogEntry
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Permission
    from django.core.management import call_command

    from django_clientcert.certificates import ClientCertificate
    from django_clientcert.exceptions import Reason
    from django_clientcert.list_import import import_list
    from django_clientcert.models import (
        CertificateAuthority,
        CertificateMapping,
        SeenCertificate,
        UnknownCertificate,
    )
    from django_clientcert.revoking import revoke_certificate, revoke_serial

    call_command("migrate", verbosity=0)
    users = get_user_model().objects
    olga = users.create_superuser(ADMINISTRATOR, "olga@example.com")
    own = Permission.objects.filter(content_type__app_label="django_clientcert")
    for name, permissions in (
        (AUDITOR, own.filter(codename__startswith="view_")),
        (CLERK, own),
    ):
        users.create_user(name, is_staff=True).user_permissions.set(permissions)
    for name in (LEAVER, NEWCOMER, "erika", "leo", "billing", "lena", "sam", "ivan"):
        users.create_user(name, f"{name}@example.com")

    authority = CertificateAuthority(
        name="Example CA", bundle=pki.ca.pem, note="Issues for Example Ltd."
    )
    partners = CertificateAuthority(
        name="Partners",
        bundle=pki.partner_ca.pem,
        rule_identity="san_email",
        rule_user_field="email",
        rule_pattern="*@partner.example",
        revocation_policy="required",
        list_urls="http://crl.partner.example/partner.crl",
    )
    for row in (authority, partners):
        row.full_clean()
        row.save()
    listed = import_list(
        partners, pki.partner_ca.crl([0x1234, 0x5678]), source="partner.crl"
    )
    rows: dict[str, Any] = {
        "authority": authority.pk,
        "partners": partners.pk,
        "list": listed.row.pk,
    }

    def map_to(name: str, kind: str, value: str, **more: Any) -> Any:
        mapping = CertificateMapping(
            user=users.get(username=name), kind=kind, value=value, **more
        )
        mapping.full_clean()
        mapping.save()
        return mapping

    for name in (ADMINISTRATOR, AUDITOR, CLERK, LEAVER):
        issued = pki.people[name]
        mapped = map_to(
            name, "fingerprint", issued.fingerprint, certificate=issued.der
        )
        rows[f"mapping of {name}"] = mapped.pk
    erika = map_to(
        "erika",
        "subject",
        ClientCertificate(pki.erika.der).subject.rfc4514(),
        authority=authority,
        certificate=pki.erika.der,
        note="Came with ticket 1234.",
        hosts="api.example.com\n.partner.example",
    )
    leo = map_to(
        "leo", "fingerprint", pki.leo.fingerprint, certificate=pki.leo.der
    )
    billing = map_to(
        "billing",
        "san_uri",
        "spiffe://partner.example/billing",
        authority=authority,
        certificate=pki.billing.der,
        state="retiring",
        valid_until=pki.now + 5 * _DAY,
    )
    map_to("lena", "san_email", "lena@example.com", authority=authority)
    map_to(
        "sam",
        "san_dns",
        "a-name-without-any-place-to-break-it.subdomain.of.example.com",
        authority=authority,
        state="disabled",
    )
    map_to(
        "erika",
        "san_upn",
        "erika@corp.example",
        authority=authority,
        state="scheduled",
        valid_from=pki.now + 40 * _DAY,
    )
    rows |= {"erika": erika.pk, "leo": leo.pk, "billing": billing.pk}

    revoked = revoke_certificate(
        ClientCertificate(pki.leo.der), reason=1, note="The laptop is gone.", by=olga
    )
    revoke_serial(
        partners,
        0x4711,
        reason=4,
        note="Said the partner on the telephone.",
        by=olga,
    )
    rows["revocation"] = revoked.pk

    for issued, name, mapping in (
        (pki.erika, "erika", erika),
        (pki.billing, "billing", billing),
        (pki.awkward, "sam", None),
    ):
        SeenCertificate.record(
            ClientCertificate(issued.der),
            user=users.get(username=name),
            mapping=mapping,
            authority=authority,
            host="api.example.com",
            size=100,
            at=pki.now,
        )
    for issued, reason, detail in (
        (pki.erikas_next, Reason.UNMAPPED, "no mapping matches this certificate"),
        (pki.sam, Reason.UNMAPPED, "no mapping matches this certificate"),
        (pki.awkward, Reason.UNMAPPED, "no mapping matches this certificate"),
        (pki.foreign, Reason.UNTRUSTED_ISSUER, "no authority issued it"),
    ):
        UnknownCertificate.record(
            ClientCertificate(issued.der),
            reason=reason,
            detail=detail,
            host="api.example.com",
            address="192.0.2.7",
            count=17,
            size=100,
            at=pki.now,
        )
    for name, issued in (
        ("renewal", pki.erikas_next),
        ("stranger", pki.sam),
        ("awkward", pki.awkward),
        ("foreign", pki.foreign),
    ):
        digest = bytes.fromhex(issued.fingerprint)
        rows[f"{name} unknown"] = UnknownCertificate.objects.get(fingerprint=digest).pk
    for name, issued in (("seen", pki.erika), ("awkward seen", pki.awkward)):
        digest = bytes.fromhex(issued.fingerprint)
        rows[name] = SeenCertificate.objects.get(fingerprint=digest).pk

    said = [{"changed": {"fields": ["Note", "Kind: fingerprint → subject"]}}]
    for row in (authority, erika, revoked):
        LogEntry.objects.log_actions(olga.pk, [row], CHANGE, said)
    return rows


if __name__ == "__main__":
    django.setup()
    target, made = Path(sys.argv[1]), Pki()
    made.write(target)
    (target / "rows.json").write_text(json.dumps(seed(made)))
