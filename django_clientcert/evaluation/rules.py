"""The user whom the rule of an authority names, found or created."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import IntegrityError, OperationalError, router, transaction
from django.http.request import validate_host

from django_clientcert.exceptions import Reason, Refusal
from django_clientcert.models import CertificateAuthority
from django_clientcert.models.rules import check_user_field
from django_clientcert.models.users import find_by_fields, find_folded
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.rules import RuleIdentity, read_identity
from django_clientcert.x509.text import some_of

from .authorities import unavailable
from .shortcut import find_users as find_by_statement

logger = logging.getLogger("django_clientcert.evaluation")

# More users than this with one e-mail address are as ambiguous as these
_MAX_USERS = 10


class Claim(NamedTuple):
    """What the rule of an authority yields: the user whose *field* is *value*."""

    authority: CertificateAuthority
    identity: RuleIdentity
    field: str
    value: str

    def __str__(self) -> str:
        return (
            f"the rule of {self.authority}: {self.field} = {self.identity} "
            f"“{visible(self.value, 80)}”"
        )


def read_claim(
    authority: CertificateAuthority, certificate: ClientCertificate, host: str
) -> Claim:
    """Return what the rule of *authority* yields for *certificate*.

    Raises:
        Refusal: nothing (``unmapped``), or nothing that can be trusted.
    """
    try:
        rule = authority.rule()
    except ValueError as error:
        raise unavailable(authority, error) from error
    assert rule is not None  # noqa: S101 - for the type checker
    hosts = authority.rule_hosts.split()
    if hosts and not validate_host(host, hosts):
        raise Refusal(
            Reason.HOST_NOT_COVERED,
            f"the rule of {authority} is not for {visible(host, 80) or 'this host'}",
        )
    return Claim(
        authority, rule.identity, rule.user_field, read_identity(rule, certificate)
    )


def find_users(claims: Sequence[Claim]) -> list[Any]:
    """Return the users whom any of *claims* names: one query.

    Raises:
        Refusal: the user model has no such field.
    """
    for claim in claims:
        try:
            check_user_field(claim.field)
        except ValidationError as error:
            raise unavailable(claim.authority, error.messages[0]) from error
    wanted = {(claim.field, claim.value) for claim in claims}
    users = None
    if len(wanted) == 1:
        users = find_by_statement(*next(iter(wanted)), _MAX_USERS)
    return find_by_fields(wanted, _MAX_USERS) if users is None else users


def describe_similar_users(claims: Sequence[Claim]) -> str:
    """Return which users differ from *claims* in upper and lower case only, or ""."""
    names = [
        visible(str(getattr(user, claim.field)), 80)
        for claim in claims
        for users in find_folded(
            claim.field, {claim.value}, str.casefold, _MAX_USERS
        ).values()
        for user in users
    ]
    if not names:
        return ""
    return f"; there is {some_of(names)}, which differs in upper and lower case only"


def choose_user(claims: Sequence[Claim], users: Sequence[Any]) -> Any:
    """Return the one user of *users*, or None if one has to be created.

    Raises:
        Refusal: there is none, more than one, or one whom no rule may authenticate.
    """
    listed = "; ".join(map(str, claims))
    ambiguous = Refusal(Reason.AMBIGUOUS_MAPPING, f"{listed} name different users")
    if not users:
        if len({(claim.field, claim.value) for claim in claims}) > 1:
            raise ambiguous
        if all(claim.authority.rule_creates_users for claim in claims):
            return None
        raise Refusal(Reason.UNMAPPED, f"{listed}: there is no such user")
    user, *others = users
    if others or any(getattr(user, claim.field) != claim.value for claim in claims):
        raise ambiguous
    if is_privileged(user) and not all(
        claim.authority.rule_allows_privileged for claim in claims
    ):
        raise Refusal(
            Reason.UNMAPPED,
            f"{listed}: that user is staff or a superuser, whom the rule does not "
            "authenticate; create a mapping for the certificate",
        )
    return user


def is_privileged(user: Any) -> bool:
    """Return whether *user* is staff or a superuser."""
    return bool(
        getattr(user, "is_superuser", False) or getattr(user, "is_staff", False)
    )


def new_user(claim: Claim) -> Any:
    """Return the user whom *claim* names, new and unsaved, without privileges.

    Raises:
        Refusal: the user model does not take such a user.
    """
    model = get_user_model()
    fields = {field.name for field in model._meta.concrete_fields}
    values = {model.USERNAME_FIELD: claim.value, claim.field: claim.value}
    email_field = getattr(model, "EMAIL_FIELD", "")
    if (
        email_field in fields
        and claim.identity is RuleIdentity.SAN_EMAIL
        and not claim.authority.rule_pattern
    ):
        values[email_field] = claim.value
    user: Any = model(
        **values, **dict.fromkeys({"is_staff", "is_superuser"} & fields, False)
    )
    user.set_unusable_password()
    try:
        user.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        why = visible(" ".join(error.messages), 200)
        raise _cannot_create(claim, why) from error
    # Some models normalize names; the result could be somebody else's name.
    if any(getattr(user, name) != value for name, value in values.items()):
        raise _cannot_create(claim, "its name has another form in the user model")
    if is_privileged(user):
        raise _cannot_create(claim, "it would be staff or a superuser")
    return user


def create_user(claim: Claim) -> Any:
    """Create and return the user whom *claim* names, with the groups of the rule.

    Raises:
        Refusal: the user model does not take such a user.
    """
    user = new_user(claim)
    using = router.db_for_write(type(user))
    try:
        try:
            _store(user, claim, using)
        except OperationalError:
            # If another transaction is in the way, the second attempt sees its result.
            if transaction.get_connection(using).in_atomic_block:
                raise
            user = new_user(claim)
            _store(user, claim, using)
    except IntegrityError as error:
        # Another request was faster, or the user model requires more than a name.
        others = find_users([claim])
        if len(others) != 1:
            why = "the user model requires more than a name, or has a similar one"
            raise _cannot_create(claim, why) from error
        return choose_user([claim], others)
    logger.info("user %s created by the rule of %s", user.pk, claim.authority)
    return user


def _store(user: Any, claim: Claim, using: str) -> None:
    with transaction.atomic(using=using):
        user.save(using=using)
        if hasattr(user, "groups"):
            user.groups.set(claim.authority.rule_groups.using(using))


def _cannot_create(claim: Claim, why: str) -> Refusal:
    return Refusal(Reason.UNMAPPED, f"{claim}: the user cannot be created: {why}")
