"""Permissions beyond Django’s: a mapping is a way to log in as its user."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth import get_permission_codename, get_user_model
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_clientcert.models import (
    AuthorityCertificate,
    CertificateAuthority,
    CertificateMapping,
    Revocation,
)


def may_see(site: AdminSite, request: HttpRequest, model: type[Model]) -> bool:
    """Return whether *site* has *model* and the user may view it."""
    return site.is_registered(model) and site.get_model_admin(
        model
    ).has_view_permission(request)


def may_see_row(site: AdminSite, request: HttpRequest, row: Model) -> bool:
    """Return whether the user may view *row*, of a model that *site* has."""
    return site.get_model_admin(type(row)).has_view_permission(request, row)


def visible_rows(
    site: AdminSite, request: HttpRequest, model: type[Model]
) -> QuerySet[Any] | None:
    """Return the rows of *model* that the user may view; None if no row at all.

    A project’s own model admin may show each user only some of the rows.
    """
    if not may_see(site, request, model):
        return None
    return site.get_model_admin(model).get_queryset(request)


def has_permission(user: Any, verb: str, model: type[Model]) -> bool:
    """Return whether *user* has the permission to “add”, “view”, … rows of *model*."""
    options = model._meta
    codename = get_permission_codename(verb, options)
    return bool(user.has_perm(f"{options.app_label}.{codename}"))


def may_renew(
    site: AdminSite, request: HttpRequest, mapping: CertificateMapping
) -> bool:
    """Return whether the user may change *mapping* and add its successor."""
    if not may_see(site, request, CertificateMapping):
        return False
    model_admin = site.get_model_admin(CertificateMapping)
    return model_admin.has_change_permission(
        request, mapping
    ) and model_admin.has_add_permission(request)


def may_add_revocations(user: Any) -> bool:
    """Return whether *user* has the permission to add revocations."""
    return has_permission(user, "add", Revocation)


def why_not_map(actor: Any, user: Any) -> ValidationError | None:
    """Return why *actor* may not map a certificate to *user*, or None.

    This also applies to changing, enabling and deleting a mapping, because a disabled
    mapping takes precedence over others. A user model without ``is_superuser`` or
    ``is_staff`` has no such users.
    """
    if getattr(actor, "is_superuser", False):
        return None
    if getattr(user, "is_superuser", False):
        message = _("Only a superuser may map a certificate to a superuser.")
        return ValidationError(message, "superuser")
    if user.pk == actor.pk or not getattr(user, "is_staff", False):
        return None
    if may_let_rule_create(actor):
        return None
    message = _(
        "To map a certificate to another staff user, you need the permission to change "
        "users."
    )
    return ValidationError(message, "staff")


def may_change_authority(actor: Any, authority: CertificateAuthority) -> bool:
    """Return whether *actor* may change which CAs vouch for *authority*’s users.

    A user who adds a CA can issue certificates for every user whose mapping relies on
    the authority, and for everyone whom its rule accepts. What an authority revokes is
    revoked for all others with the same CA, so those count too.
    """
    if getattr(actor, "is_superuser", False):
        return True
    return all(_is_in_reach(actor, row) for row in (authority, *twins(authority)))


def may_use_cas(actor: Any, public_keys: Collection[bytes]) -> bool:
    """Return whether *actor* may put CAs with these keys into an authority.

    That allows revoking, by CRL and by hand, what they issued for other authorities.
    """
    if getattr(actor, "is_superuser", False):
        return True
    return all(_is_in_reach(actor, row) for row in authorities_with(public_keys))


def authorities_with(public_keys: Iterable[Any]) -> list[CertificateAuthority]:
    """Return the authorities that have a CA with one of these keys."""
    cas = AuthorityCertificate.objects.filter(public_key__in=list(public_keys))
    return list(CertificateAuthority.objects.filter(pk__in=cas.values("authority")))


def twins(authority: CertificateAuthority) -> list[CertificateAuthority]:
    """Return the other authorities that have a CA with the same key."""
    own = AuthorityCertificate.objects.filter(authority=authority)
    sharing = authorities_with(own.values_list("public_key", flat=True))
    return [row for row in sharing if row != authority]


def _is_in_reach(actor: Any, authority: CertificateAuthority) -> bool:
    """Return whether *actor*, not a superuser, may create its rule and mappings."""
    if not _may_keep_rule(actor, authority):
        return False
    users: Any = get_user_model()._base_manager.filter(
        may_be_privileged(), certificate_mappings__authority=authority
    )
    return all(why_not_map(actor, user) is None for user in users.distinct().iterator())


def may_set_rule(actor: Any) -> bool:
    """Return whether *actor* may set identity rules.

    A rule maps every certificate of a CA.
    """
    return has_permission(actor, "add", CertificateMapping)


def may_let_rule_create(actor: Any) -> bool:
    """Return whether *actor* may let a rule create users and add them to groups."""
    return has_permission(actor, "change", get_user_model())


def may_allow_privileged(actor: Any) -> bool:
    """Return whether *actor* may let a rule log in staff and superusers."""
    return bool(getattr(actor, "is_superuser", False))


def may_be_privileged(prefix: str = "") -> Q:
    """Return the condition that a user may be a superuser or staff.

    *prefix* leads to the user. If the flags are not columns, any user may have them.
    """
    condition, options = Q(), get_user_model()._meta
    try:
        for name in ("is_superuser", "is_staff"):
            condition |= Q((f"{prefix}{options.get_field(name).name}", True))
    except FieldDoesNotExist:
        return Q()  # they may be properties
    return condition


def _may_keep_rule(actor: Any, authority: CertificateAuthority) -> bool:
    """Return whether *actor*, not a superuser, may set the rule as it is."""
    if authority.rule_allows_privileged:
        return False
    if authority.rule_identity and not may_set_rule(actor):
        return False
    creates = authority.rule_creates_users or authority.rule_groups.exists()
    return not creates or may_let_rule_create(actor)
