"""``check --database``: can every authority, mapping and CRL be used?"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import update_wrapper
from typing import Any

from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import (
    FieldDoesNotExist,
    ImproperlyConfigured,
    ValidationError,
)
from django.db import DatabaseError, connections, router, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.connection import ConnectionDoesNotExist

from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import CertificateAuthority, CertificateMapping, name_key
from django_clientcert.models.rules import is_unique_user_field
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible_once
from django_clientcert.x509.identities import PINS
from django_clientcert.x509.paths import PathValidator
from django_clientcert.x509.text import MAX_LISTED, show_day, some_of

from .configuration import Messages

_REPLACE_BUNDLE = (
    "Ask the CA for its current certificates and type manage.py clientcert authority "
    "add BUNDLE --name NAME --replace."
)
# As Django names them; "mysql" is MariaDB too.
_VENDORS = {"sqlite", "postgresql", "mysql"}
# The next CRL should be there before the last fifth of the current one's lifetime.
_LAST_PART = 0.2
_FETCH_CRLS = (
    "Type manage.py clientcert crl fetch, or crl import FILE; see manage.py clientcert "
    "crl list."
)

# How many mappings of each authority are checked: enough to notice that a bundle was
# replaced by a wrong one, however many there are
_MAX_CHECKED = 1000


def check_of_database(find: Callable[[str], Messages]) -> Any:
    """Register a function that yields messages about one database that has the tables.

    It is called for each database of ``check --database``.
    """

    def check(
        app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
    ) -> list[CheckMessage]:
        messages: list[CheckMessage] = []
        for alias in databases or ():
            try:
                if router.allow_migrate_model(alias, CertificateMapping):
                    # A savepoint: a missing table must not spoil the transaction.
                    with transaction.atomic(using=alias):
                        messages += list(find(alias))
            except (DatabaseError, ImproperlyConfigured, ConnectionDoesNotExist):
                continue  # not migrated, or no database at all: not for this check
        return messages

    wrapped: Any = update_wrapper(check, find)
    del wrapped.__wrapped__  # would hide the signature, which Django inspects
    return register(wrapped, Tags.database)


def _authorities_of(alias: str) -> Iterable[CertificateAuthority]:
    """Return the authorities of a database, with what their validators need."""
    return (
        CertificateAuthority.objects.using(alias)
        .only("name", "bundle", "profile")
        .iterator()
    )


def _label(authority: CertificateAuthority) -> str:
    """Return the name and id of an authority."""
    return f"“{authority}” (id {authority.pk})"


@check_of_database
def check_database_is_supported(alias: str) -> Messages:
    """Do the tests run on databases of this vendor?"""
    connection = connections[alias]
    if connection.vendor not in _VENDORS:
        yield Warning(
            f"django-clientcert has never been tested on {connection.display_name} "
            f"(the database “{alias}”).",
            hint="Keep its tables in SQLite, PostgreSQL or MariaDB.",
            id="clientcert.W029",
        )


# --- authorities -----------------------------------------------------------------


@check_of_database
def check_authorities_are_usable(alias: str) -> Messages:
    """Can every authority's bundle be loaded?"""
    broken, unreadable = [], []
    for authority in _authorities_of(alias):
        try:
            authority.validator()
            unreadable += [
                f"{_label(authority)}: {item}"
                for item in authority.unreadable_certificates()
            ]
        except ClientCertError as error:
            broken.append(f"{_label(authority)}: {visible_once(str(error))}")
    if broken:
        yield Error(
            f"Authorities that cannot be used, in the database “{alias}”: "
            f"{some_of(broken)} Certificates that depend on them are refused.",
            hint=_REPLACE_BUNDLE,
            id="clientcert.E012",
        )
    if unreadable:
        yield Warning(
            "Certificates of authorities that cannot be read and have no effect, in "
            f"the database “{alias}”: {some_of(unreadable)}.",
            hint=_REPLACE_BUNDLE,
            id="clientcert.W028",
        )


@check_of_database
def check_anchors_are_valid(alias: str) -> Messages:
    """Is every trust anchor still valid?"""
    now = timezone.now()
    mappings = CertificateMapping.objects.using(alias)
    expired = []
    for authority in _authorities_of(alias):
        try:
            anchors = ", ".join(
                f"{anchor.subject} expired on {show_day(anchor.not_after)}"
                for anchor in authority.trust_store().anchors
                if anchor.not_after < now
            )
        except ClientCertError:
            continue  # reported by check_authorities_are_usable()
        if anchors:
            count = mappings.filter(authority=authority).count()
            expired.append(f"{_label(authority)}, {count} mappings: {anchors}")
    if expired:
        yield Warning(
            f"Trust anchors that have expired, in the database “{alias}”: "
            f"{some_of(expired)}. Certificates that they issued are refused.",
            hint=_REPLACE_BUNDLE,
            id="clientcert.W020",
        )


@check_of_database
def check_rules_are_usable(alias: str) -> Messages:
    """Can every identity rule be read, and does it accept no more than it should?"""
    broken, shared, privileged = [], [], []
    for authority in CertificateAuthority.objects.using(alias).exclude(
        rule_identity=""
    ):
        try:
            authority.clean_rule()
            authority.rule()
        except (ValidationError, ValueError) as error:
            text = "; ".join(getattr(error, "messages", [str(error)]))
            broken.append(f"{_label(authority)}: {visible_once(text)}")
            continue
        if not is_unique_user_field(authority.user_field):
            shared.append(f"{_label(authority)}: {authority.user_field}")
        if authority.rule_allows_privileged:
            privileged.append(_label(authority))
    if broken:
        yield Error(
            f"Identity rules that cannot be used, in the database “{alias}”: "
            f"{some_of(broken)} They accept no certificate.",
            hint="Set the rule again: manage.py clientcert authority rule NAME.",
            id="clientcert.E014",
        )
    if shared:
        yield Warning(
            "Identity rules that compare with a user field that is not unique, in the "
            f"database “{alias}”: {some_of(shared)}. Users who share a value are "
            "refused, and without an index every request reads all users.",
            hint=(
                "Use a field with unique=True that users cannot change themselves: "
                "whoever enters another’s value gets the other’s requests."
            ),
            id="clientcert.W025",
        )
    if privileged:
        yield Warning(
            "Identity rules that may log in staff and superusers, in the database "
            f"“{alias}”: {some_of(privileged)}. Anyone who controls the CA can log in "
            "as any administrator.",
            hint=(
                "Create mappings for the administrators, and set the rule without "
                "--allow-privileged: manage.py clientcert authority rule NAME."
            ),
            id="clientcert.W026",
        )


# --- mappings --------------------------------------------------------------------


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
            id="clientcert.E011",
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
            id="clientcert.W027",
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
    for authority in _authorities_of(alias):
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
            unreachable.append(f"{_label(authority)}: {kinds}")
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
            id="clientcert.W024",
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
            id="clientcert.W021",
        )


# --- CRLs ------------------------------------------------------------------------


@check_of_database
def check_crls_are_current(alias: str) -> Messages:
    """Does every authority have the CRLs that its policy requires?"""
    now = timezone.now()
    stale, expiring = [], []
    authorities = CertificateAuthority.objects.using(alias)
    for authority in authorities.exclude(revocation_policy="off"):
        crls = list(authority.revocation_lists.all())
        if authority.revocation_policy == "required":
            names = {crl.crl_info().issuer_name for crl in crls}
            stale += [
                f"{_label(authority)}: no CRL of {subject} is loaded"
                for subject in _cas_without_crl(authority, names, now)
            ]
        for crl in crls:
            info = crl.crl_info()
            end = info.expires()
            if end < now:
                stale.append(f"{_label(authority)}: {crl}")
            elif end - now < (end - info.this_update) * _LAST_PART:
                expiring.append(f"{_label(authority)}: {crl}")
    if stale:
        yield Warning(
            f"CRLs that are out of date or missing, in the database “{alias}”: "
            f"{some_of(stale)}. Under the policy “required”, certificates that depend "
            "on them are refused.",
            hint=_FETCH_CRLS,
            id="clientcert.W022",
        )
    if expiring:
        yield Warning(
            f"CRLs that will soon be out of date, in the database “{alias}”: "
            f"{some_of(expiring)}.",
            hint=_FETCH_CRLS,
            id="clientcert.W023",
        )


def _cas_without_crl(
    authority: CertificateAuthority, names: set[bytes], at: dt.datetime
) -> list[str]:
    """Return the CAs of a bundle that are valid at *at* and not among *names*."""
    try:
        return [
            visible_once(ca.subject.rfc4514(), 120)
            for ca in authority.certificates()
            if ca.not_after >= at and name_key(ca.subject_der) not in names
        ]
    except ClientCertError:
        return []  # reported by check_authorities_are_usable()
