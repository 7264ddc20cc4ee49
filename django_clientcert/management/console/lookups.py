"""Users and authorities by the names that are typed, and the rule on users."""

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
from .text import one_line, some_of


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


def why_not_issued(
    authority: CertificateAuthority, certificate: ClientCertificate
) -> Refusal | None:
    """Return why *authority* cannot answer for *certificate*, or None.

    Whether the certificate is valid today is another question.
    """
    try:
        at = certificate.within_validity(dt.datetime.now(dt.timezone.utc))
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
    found, others = [], []
    for authority in CertificateAuthority.objects.iterator():
        why = why_not_issued(authority, certificate)
        if why is not None:
            others.append(f"{authority} ({one_line(str(why))})")
        else:
            found.append(authority)
    if len(found) == 1:
        return found[0]
    if found:
        raise CommandError(
            "Several authorities issued this certificate: "
            f"{some_of(str(one) for one in found)}. Choose one with --authority."
        )
    if others:
        raise CommandError(
            "None of the stored authorities issued this certificate: "
            f"{some_of(others)}. Add the one that did: manage.py clientcert "
            "authority add BUNDLE --name NAME"
        )
    raise CommandError(
        "A name is only believed from the authority that issued the certificate, and "
        "none is stored. Add it: manage.py clientcert authority add BUNDLE --name NAME"
    )


def find_user_rule(said: list[str]) -> CanAuthenticate:
    """Return the configured backend's rule on who may log in; else Django's own.

    Where none is configured, puts a sentence into *said*.
    """
    can_authenticate, why = user_rule()
    if why:
        said.append(why)
    return can_authenticate
