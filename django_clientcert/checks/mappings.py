"""``check --database``: can every mapping let somebody in?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.core.checks import Error, Tags, Warning, register
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.utils import timezone

from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import PINS
from django_clientcert.x509.paths import PathValidator
from django_clientcert.x509.text import MAX_LISTED, some_of

from .ids import IDS
from .looking import Messages, authorities_of, label, look_into

# Mappings of each authority whose certificates are looked at: enough to see that a
# bundle was replaced by a wrong one, whatever their number.
_MAX_LOOKED_AT = 1000


@register(Tags.database)
def check_names_have_authorities(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Messages:
    """Does every mapping by name say who must have issued the certificate?"""

    def look(alias: str) -> Messages:
        weak = CertificateMapping.objects.using(alias).filter(authority=None)
        weak = weak.exclude(kind__in=[kind.value for kind in PINS])
        # One more than is shown, so that the rest is only counted if there is one.
        ids = list(weak.order_by("pk").values_list("pk", flat=True)[: MAX_LISTED + 1])
        if not ids:
            return []
        total = weak.count() if len(ids) > MAX_LISTED else len(ids)
        return [
            Error(
                f"Mappings by name without an authority, in the database “{alias}”: "
                f"{some_of([str(one) for one in ids], total)}. Any CA could put such a "
                "name into a certificate, so they match nobody.",
                hint=(
                    "Choose the authority of each in the admin, or delete it and type "
                    "manage.py clientcert map FILE --user NAME --kind KIND "
                    "--authority NAME."
                ),
                id=IDS["name_without_authority"],
            )
        ]

    return look_into(databases, look)


@register(Tags.database)
def check_mappings_can_be_reached(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Messages:
    """Did each mapping's authority issue the certificate that it was made from?"""

    def look(alias: str) -> Messages:
        unreachable = []
        for authority in authorities_of(alias):
            try:
                validator = authority.validator()
            except ClientCertError:
                continue  # check_authorities_are_usable() speaks of it
            count = Counter(
                mapping.kind
                for mapping in _with_certificates(alias, authority)
                if not _can_be_reached(mapping, validator)
            )
            if count:
                kinds = ", ".join(f"{count[kind]} {kind}" for kind in sorted(count))
                unreachable.append(f"{label(authority)}: {kinds}")
        if not unreachable:
            return []
        return [
            Warning(
                "Mappings whose certificate their authority did not issue, in the "
                f"database “{alias}”: {some_of(unreachable)}. Nobody is let in through "
                "them with it.",
                hint=(
                    "If the bundle was replaced, add the CA that issued them too: "
                    "manage.py clientcert authority add BUNDLE --name NAME --replace, "
                    "with old and new CAs in BUNDLE. manage.py clientcert explain FILE "
                    "tells of one certificate."
                ),
                id=IDS["mapping_unreachable"],
            )
        ]

    return look_into(databases, look)


def _with_certificates(
    alias: str, authority: CertificateAuthority
) -> Iterable[CertificateMapping]:
    """Return the newest mappings in force that were made from a valid certificate."""
    now = timezone.now()
    rows = CertificateMapping.objects.using(alias).filter(
        authority=authority, certificate__isnull=False, certificate_not_after__gt=now
    )
    return (
        rows.exclude(state=CertificateMapping.State.DISABLED)
        .exclude(valid_until__lte=now)
        .order_by("-pk")
        .only("kind", "certificate")[:_MAX_LOOKED_AT]
    )


def _can_be_reached(mapping: CertificateMapping, validator: PathValidator) -> bool:
    """Tell whether the CA issued the certificate, or one that was let in lately.

    A name goes on with the certificates of the next CA; what it was made from stays.
    """
    certificate = mapping.client_certificate()
    if certificate is not None and _is_issued_by(validator, certificate):
        return True
    return any(
        _is_issued_by(validator, one.client_certificate())
        for one in mapping.seen_certificates.all()
    )


def _is_issued_by(validator: PathValidator, certificate: ClientCertificate) -> bool:
    try:
        return bool(validator.issuers_of(certificate))
    except ClientCertError:
        return False


@register(Tags.database)
def check_users_are_active(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Messages:
    """Does every mapping that is in force name a user who may log in?"""

    def look(alias: str) -> Messages:
        count = (
            CertificateMapping.objects.using(alias)
            .filter(user__is_active=False)
            .exclude(state=CertificateMapping.State.DISABLED)
            .count()
        )
        if not count:
            return []
        return [
            Warning(
                f"Mappings of inactive users that are not disabled, in the database "
                f"“{alias}”: {count}. They come into force again with the user.",
                hint=(
                    "Disable or delete them in the admin: search the certificate "
                    "mappings for the user’s name."
                ),
                id=IDS["inactive_users"],
            )
        ]

    try:
        get_user_model()._meta.get_field("is_active")
    except (FieldDoesNotExist, ImproperlyConfigured):
        return []  # this user model has no such column
    return look_into(databases, look)
