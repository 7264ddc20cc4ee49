"""Fill the database of the application servers: ``python -m … FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import django


def seed(folder: Path) -> None:
    """Migrate, and map the certificates in *folder*."""
    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from django_clientcert.models import CertificateAuthority, CertificateMapping

    from .pki import PINNED

    call_command("migrate", verbosity=0)
    users = get_user_model().objects
    authority = CertificateAuthority.objects.create(
        name="PKI", bundle=(folder / "bundle.pem").read_text()
    )
    authority.rule_identity = "common_name"
    authority.save()
    users.create_user("dora")
    for name in PINNED:
        CertificateMapping.objects.create(
            user=users.create_user(name),
            kind="fingerprint",
            value=(folder / f"{name}.fingerprint").read_text(),
        )
    for name, subject in (
        ("bob", r"CN=Bob\, Jr. \\ é,OU=CN\=alice"),
        ("carol", "CN=carol"),
        ("erin", "CN=erin"),
        ("stolen", "CN=stolen"),
        ("listed", "CN=listed"),
    ):
        CertificateMapping.objects.create(
            user=users.create_user(name),
            kind="subject",
            value=subject,
            authority=authority,
        )


if __name__ == "__main__":
    seed(Path(sys.argv[1]))
