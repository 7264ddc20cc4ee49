"""Users and authorities by the names that are typed, and the rule on users."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import DataError

from django_clientcert.evaluation import CanAuthenticate
from django_clientcert.explaining import user_rule
from django_clientcert.models import CertificateAuthority
from django_clientcert.models.users import find_by_name
from django_clientcert.trust import issuers
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.identities import IdentityKind

from .files import refuse_private_keys
from .text import some_of


def find_user(name: str) -> Any:
    """Return the user whose ``USERNAME_FIELD`` is *name*, of any user model.

    Raises:
        CommandError: there is none, or more than one.
    """
    user = find_by_name([name]).get(name)
    if user is None:
        field = get_user_model().USERNAME_FIELD
        raise CommandError(
            f"No user, or more than one, has the {field} “{visible(name, 80)}”."
        )
    return user


def find_row(model: Any, number: str, what: str) -> Any:
    """Return the row with a primary key that was typed.

    Raises:
        CommandError: there is none.
    """
    try:
        return model.objects.get(pk=model._meta.pk.to_python(number))
    except (model.DoesNotExist, ValidationError, OverflowError) as error:
        raise CommandError(f"There is no {what} {visible(number, 40)}.") from error


def choose_authority(
    certificate: ClientCertificate, kind: IdentityKind, name: str | None
) -> CertificateAuthority | None:
    """Return the authority that has to answer for *certificate*: *name*, or who did.

    None for a pin without *name*: it needs none.

    Raises:
        CommandError: there is none, it is another's certificate, or it is not clear.
    """
    try:
        if name is None:
            return None if kind.is_pin else issuers.find_authority(certificate)
        authority = find_authority(name)
        issuers.check_authority(authority, certificate)
    except ValidationError as error:
        hint = (
            ""
            if name is not None
            else " Choose with --authority NAME; add one with: manage.py clientcert "
            "authority add BUNDLE --name NAME"
        )
        raise CommandError(" ".join(error.messages) + hint) from error
    return authority


def find_authority(name: str) -> CertificateAuthority:
    """Return the authority called *name*.

    Raises:
        CommandError: there is none; lists those that there are.
    """
    refuse_private_keys(authority=name)  # not repeated below
    try:
        return CertificateAuthority.objects.get(name=name)
    except (CertificateAuthority.DoesNotExist, DataError, ValueError) as error:
        names = [str(one) for one in CertificateAuthority.objects.only("name")]
        raise CommandError(
            f"There is no authority “{visible(name, 80)}”. "
            + (
                f"There are: {some_of(names)}."
                if names
                else "Add it: manage.py clientcert authority add BUNDLE --name NAME"
            )
        ) from error


def find_user_rule(said: list[str]) -> CanAuthenticate:
    """Return the configured backend's rule on who may log in; else Django's own.

    Where none is configured, puts a sentence into *said*.
    """
    can_authenticate, why = user_rule()
    if why:
        said.append(why)
    return can_authenticate
