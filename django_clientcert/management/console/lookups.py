"""Find users, authorities and rows by what was typed; say what to type instead."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import (
    ObjectDoesNotExist,
    ValidationError,
)
from django.core.management.base import CommandError
from django.db import DataError

from django_clientcert.evaluation import CanAuthenticate
from django_clientcert.exceptions import BundleError, Reason, Refusal
from django_clientcert.explaining import user_rule
from django_clientcert.models import CertificateAuthority
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.identities import IdentityKind

from .files import refuse_private_keys
from .text import list_some, one_line

ADD_AUTHORITY = "Add one: manage.py clientcert authority add BUNDLE --name NAME"


def find_user(name: str) -> Any:
    """Return the user whose ``USERNAME_FIELD`` is *name*, of any user model.

    Raises:
        CommandError: there is none, or more than one.
    """
    model = get_user_model()
    manager: Any = model._default_manager
    field = model.USERNAME_FIELD
    try:
        if hasattr(manager, "get_by_natural_key"):
            return manager.get_by_natural_key(name)
        return manager.get(**{field: name})
    except (
        DataError,  # PostgreSQL has no text with a NUL in it
        ObjectDoesNotExist,
        TypeError,
        ValidationError,
        ValueError,
    ) as error:
        raise CommandError(
            f"There is no user whose {field} is “{visible(name, 80)}”."
        ) from error
    except model.MultipleObjectsReturned as error:
        raise CommandError(
            f"There is more than one user whose {field} is “{visible(name, 80)}”."
        ) from error


def find_row(model: Any, number: str, what: str) -> Any:
    """Return the row whose primary key is *number*, as typed; *what* names it.

    Raises:
        CommandError: it does not exist.
    """
    try:
        return model.objects.get(pk=model._meta.pk.to_python(number))
    except (model.DoesNotExist, ValidationError, OverflowError) as error:
        raise CommandError(f"There is no {what} {visible(number, 40)}.") from error


def choose_authority(
    certificate: ClientCertificate, kind: IdentityKind, name: str | None
) -> CertificateAuthority | None:
    """Return the authority called *name*, or else the one that issued *certificate*.

    Or None, if *kind* is a pin and no *name* was given: a pin needs no authority.

    Raises:
        CommandError: there is no such authority, or more than one issued it.
    """
    if name is None:
        return None if kind.is_pin else find_issuing_authority(certificate)
    authority = find_authority(name)
    why = why_not_issued(authority, certificate)
    if why is not None and why.reason is Reason.UNTRUSTED_ISSUER:
        raise CommandError(
            f"“{authority}” did not issue this certificate ({why.detail})."
        )
    return authority


def find_authority(name: str) -> CertificateAuthority:
    """Return the authority called *name*.

    Raises:
        CommandError: it does not exist; lists those that do.
    """
    refuse_private_keys(authority=name)  # not repeated below
    try:
        return CertificateAuthority.objects.get(name=name)
    except (CertificateAuthority.DoesNotExist, DataError, ValueError) as error:
        names = [str(authority) for authority in CertificateAuthority.objects.all()]
        hint = f"There are: {list_some(names)}." if names else ADD_AUTHORITY
        raise CommandError(
            f"There is no authority “{visible(name, 80)}”. {hint}"
        ) from error


def why_not_issued(
    authority: CertificateAuthority, certificate: ClientCertificate
) -> Refusal | None:
    """Return why *authority* cannot vouch for *certificate*, or None if it can.

    Whether the certificate is valid today does not matter.
    """
    try:
        now = dt.datetime.now(dt.timezone.utc)
        at = min(max(now, certificate.not_before), certificate.not_after)
        authority.validator().find_issuer(certificate, at)
    except Refusal as refusal:
        return refusal
    except BundleError as error:
        return Refusal(Reason.TRUST_UNAVAILABLE, str(error))
    return None


def find_issuing_authority(certificate: ClientCertificate) -> CertificateAuthority:
    """Return the one stored authority that issued *certificate*.

    Raises:
        CommandError: there is none, or more than one to choose from.
    """
    issuers, others = [], []
    for authority in CertificateAuthority.objects.iterator():
        why = why_not_issued(authority, certificate)
        if why is not None:
            others.append(f"{authority} ({one_line(str(why))})")
        else:
            issuers.append(authority)
    if len(issuers) == 1:
        return issuers[0]
    if issuers:
        raise CommandError(
            "Several authorities issued this certificate: "
            f"{list_some(map(str, issuers))}. Choose one with --authority NAME."
        )
    if others:
        raise CommandError(
            "None of the stored authorities issued this certificate: "
            f"{list_some(others)}. {ADD_AUTHORITY}"
        )
    raise CommandError(
        "This kind of mapping needs the authority that issued the certificate, and "
        f"no authority is stored. {ADD_AUTHORITY}"
    )


def find_user_rule(messages: list[str]) -> CanAuthenticate:
    """Return the configured backend's rule on who may log in; else Django's own.

    If no backend is configured, appends a sentence that says so to *messages*.
    """
    can_authenticate, why = user_rule()
    if why:
        messages.append(why)
    return can_authenticate
