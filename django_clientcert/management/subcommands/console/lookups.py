"""Find users, authorities and rows by what was typed; say what to type instead."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import DataError

from django_clientcert.models import CertificateAuthority
from django_clientcert.models.users import find_by_name
from django_clientcert.trust import issuers
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.identities import IdentityKind
from django_clientcert.x509.text import some_of

from .text import show_messages

ADD_AUTHORITY = "manage.py clientcert authority add BUNDLE --name NAME"


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

    Or None, if *kind* is a pin, which needs no authority, and no *name* was given.

    Raises:
        CommandError: there is no such authority, or it has to be chosen.
        ValidationError: the authority called *name* did not issue it.
    """
    if name is not None:
        authority = find_authority(name)
        issuers.check_authority(authority, certificate)
        return authority
    if kind.is_pin:
        return None
    try:
        return issuers.find_authority(certificate)
    except ValidationError as error:
        raise CommandError(
            f"{show_messages(error)} To choose one: --authority NAME. To add one: "
            f"{ADD_AUTHORITY}"
        ) from error


def find_authority(name: str) -> CertificateAuthority:
    """Return the authority called *name*.

    Raises:
        CommandError: it does not exist; lists those that do.
    """
    try:
        return CertificateAuthority.objects.get(name=name)
    except (CertificateAuthority.DoesNotExist, DataError, ValueError) as error:
        names = [str(authority) for authority in CertificateAuthority.objects.all()]
        hint = f"There are: {some_of(names)}." if names else f"Add it: {ADD_AUTHORITY}"
        raise CommandError(
            f"There is no authority “{visible(name, 80)}”. {hint}"
        ) from error
