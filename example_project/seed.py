"""The database of the demonstration: users, an authority and mappings."""

from __future__ import annotations

from pathlib import Path

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import transaction
from django.db.models import Q

from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.x509.bundles import read_certificates

from . import pki

ADMIN = "admin"
SERVICE_USER = "billing"
PERSON_USER = "erika"
LEAVER_USER = "leo"
AUTHORITY = "Example CA"


def prepare_database(pki_folder: Path, admin_password: str) -> None:
    """Migrate the database; fill it if it has no users yet.

    Changes that a visitor made in the admin are kept.
    """
    call_command("migrate", verbosity=0, interactive=False)
    if not get_user_model().objects.exists():
        with transaction.atomic():
            _fill(pki_folder, admin_password)


def _fill(pki_folder: Path, admin_password: str) -> None:
    users = get_user_model().objects
    users.create_superuser(ADMIN, "admin@example.com", admin_password)
    service = users.create_user(SERVICE_USER)
    leaver = users.create_user(LEAVER_USER)
    # Her certificate gives access to the admin, for certificates only. She may not
    # change users, so she cannot extend her own permissions.
    person = users.create_user(PERSON_USER, pki.PERSON_EMAIL, is_staff=True)
    person.user_permissions.set(
        Permission.objects.filter(
            Q(content_type__app_label="django_clientcert")
            | Q(content_type__app_label="auth", codename="view_user")
        )
    )

    authority = CertificateAuthority(
        name=AUTHORITY,
        bundle=(pki_folder / f"{pki.CA}.crt").read_text(encoding="ascii"),
        note="Created by the demonstration.",
    )
    authority.full_clean()
    authority.save()
    for user, kind, value, issuer in (
        # A pin: only this certificate, whoever issued it.
        (service, "fingerprint", _fingerprint(pki_folder, pki.SERVICE), None),
        # A name: every certificate with this name that the authority issues.
        (person, "san_email", pki.PERSON_EMAIL, authority),
        (leaver, "fingerprint", _fingerprint(pki_folder, pki.LEAVER), None),
    ):
        mapping = CertificateMapping(
            user=user, kind=kind, value=value, authority=issuer
        )
        mapping.full_clean()
        mapping.save()


def _fingerprint(pki_folder: Path, name: str) -> str:
    (certificate,) = read_certificates((pki_folder / f"{name}.crt").read_bytes())
    return certificate.fingerprint
