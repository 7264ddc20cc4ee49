"""``check --database``: can every mapping authenticate its user?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from django.contrib.auth import get_user_model
from django.core.checks import Error, Warning
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db.models import Q, QuerySet
from django.utils import timezone

from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import PINS
from django_clientcert.x509.paths import PathValidator
from django_clientcert.x509.text import MAX_LISTED, some_of

from .base import Messages, authorities_of, check_of_database, label
from .ids import IDS

# How many mappings of each authority are checked: enough to notice that a bundle was
# replaced by a wrong one, however many there are
_MAX_CHECKED = 1000


@check_of_database
def check_names_have_authorities(alias: str) -> Messages:
    """Does every mapping by name say which authority must have issued it?"""
    weak = CertificateMapping.objects.using(alias).filter(authority=None)
    weak = weak.exclude(kind__in=[kind.value for kind in PINS])
    if ids := _list_ids(weak):
        yield Error(
            f"Mappings by name without an authority, in the database “{alias}”: "
            f"{ids}. Any CA could put such a name into a "
            "certificate, so they match no certificate.",
            hint=(
                "Choose the authority of each in the admin, or delete it and type "
                "manage.py clientcert map FILE --user NAME --kind KIND "
                "--authority NAME."
            ),
            id=IDS["name_without_authority"],
        )


@check_of_database
def check_mappings_have_known_states(alias: str) -> Messages:
    """Is every mapping in a state that the package knows?"""
    # By pattern, because some databases compare text without regard to case.
    unknown = ~Q(state__regex=f"^({'|'.join(CertificateMapping.State.values)})$")
    undated = Q(state=CertificateMapping.State.SCHEDULED, valid_from=None)
    rows = CertificateMapping.objects.using(alias).filter(unknown | undated)
    if ids := _list_ids(rows):
        yield Warning(
            "Mappings in an unknown state, or scheduled without a date, in the "
            f"database “{alias}”: {ids}. They count as disabled.",
            hint=(
                "Set the state of each in the admin: the table was changed without "
                "the models."
            ),
            id=IDS["mapping_state"],
        )


def _list_ids(rows: QuerySet[CertificateMapping]) -> str:
    """Return the primary keys of *rows*: the first of them, and how many more."""
    # One more than is shown, so that the rest is only counted if there is one.
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[: MAX_LISTED + 1])
    total = rows.count() if len(ids) > MAX_LISTED else len(ids)
    return some_of(map(str, ids), total) if ids else ""


@check_of_database
def check_mappings_can_be_reached(alias: str) -> Messages:
    """Did each mapping's authority issue the certificate that it was made from?"""
    unreachable = []
    for authority in authorities_of(alias):
        try:
            validator = authority.validator()
        except ClientCertError:
            continue  # reported by check_authorities_are_usable()
        count = Counter(
            mapping.kind
            for mapping in _with_certificates(alias, authority)
            if not _can_be_reached(mapping, validator)
        )
        if count:
            kinds = ", ".join(f"{count[kind]} {kind}" for kind in sorted(count))
            unreachable.append(f"{label(authority)}: {kinds}")
    if unreachable:
        yield Warning(
            "Mappings whose certificate was not issued by their authority, in the "
            f"database “{alias}”: {some_of(unreachable)}. They do not accept that "
            "certificate.",
            hint=(
                "If the bundle was replaced, add the CA that issued them too: "
                "manage.py clientcert authority add BUNDLE --name NAME --replace, "
                "with old and new CAs in BUNDLE. For a single certificate, type "
                "manage.py clientcert explain FILE."
            ),
            id=IDS["mapping_unreachable"],
        )


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
        .only("kind", "certificate")[:_MAX_CHECKED]
    )


def _can_be_reached(mapping: CertificateMapping, validator: PathValidator) -> bool:
    """Return whether the CA issued the certificate, or one that was accepted recently.

    A mapping by name also accepts certificates of the next CA, but keeps the one that
    it was made from.
    """
    certificate = mapping.client_certificate()
    if certificate is not None and _is_issued_by(validator, certificate):
        return True
    return any(
        _is_issued_by(validator, seen.client_certificate())
        for seen in mapping.seen_certificates.all()
    )


def _is_issued_by(validator: PathValidator, certificate: ClientCertificate) -> bool:
    try:
        return bool(validator.issuers_of(certificate))
    except ClientCertError:
        return False


@check_of_database
def check_users_are_active(alias: str) -> Messages:
    """Does every mapping in force have a user who may log in?"""
    try:
        get_user_model()._meta.get_field("is_active")
    except (FieldDoesNotExist, ImproperlyConfigured):
        return  # this user model has no such column
    mappings = CertificateMapping.objects.using(alias).filter(user__is_active=False)
    count = mappings.exclude(state=CertificateMapping.State.DISABLED).count()
    if count:
        yield Warning(
            "Mappings of inactive users that are not disabled, in the database "
            f"“{alias}”: {count}. They accept certificates again once the user is "
            "active.",
            hint=(
                "Disable or delete them in the admin: search the certificate mappings "
                "for the user’s name."
            ),
            id=IDS["inactive_users"],
        )
