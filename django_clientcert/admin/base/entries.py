"""Read what was typed, pasted or uploaded; what is wrong is a form error."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from django_clientcert.exceptions import (
    ClientCertError,
    PrivateKeyFoundError,
    Refusal,
)
from django_clientcert.models.validators import PRIVATE_KEY_MESSAGE
from django_clientcert.x509 import bundles, ca_problems, identities
from django_clientcert.x509.bundles import MAX_BUNDLE_BYTES, choose_end_entity
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible_once
from django_clientcert.x509.identities import SAN_KINDS, Identity, IdentityKind
from django_clientcert.x509.names import DistinguishedName, Order, parse_name

# Larger than any certificate that fits into a request's header
MAX_CERTIFICATE_BYTES = 64 * 1024

NAME_KINDS = frozenset({IdentityKind.SUBJECT, IdentityKind.ISSUER_SERIAL})

# For each kind of digest, how the other is labelled, and what to say of it
_OTHER_LABELS = {
    IdentityKind.PUBLIC_KEY: r"\s*(?:sha.{0,6}fingerprint|x5t)",
    IdentityKind.FINGERPRINT: r"\s*pin-sha256",
}
OTHER_DIGESTS = {
    IdentityKind.PUBLIC_KEY: _(
        "This is the fingerprint of a certificate, not of its public key. Choose the "
        "kind “fingerprint”."
    ),
    IdentityKind.FINGERPRINT: _(
        "This is the digest of a public key, not of a certificate. Choose the kind "
        "“public key”."
    ),
}


def read_file(upload: Any, limit: int = MAX_BUNDLE_BYTES) -> bytes:
    """Return the contents of *upload*.

    Raises:
        ValidationError: the file has more than *limit* bytes, which is whole MiB.
    """
    if upload.size is None or upload.size > limit:
        message = _("The file is larger than %(size)d MiB.")
        raise ValidationError(message, "too_large", {"size": limit // 1024 // 1024})
    return bytes(upload.read())


@contextmanager
def form_errors(code: str) -> Iterator[None]:
    """Turn the errors of the wings without Django into form errors of *code*.

    Raises:
        ValidationError: see ``unusable()``; a private key has a message of its own.
    """
    try:
        yield
    except PrivateKeyFoundError as error:
        raise ValidationError(PRIVATE_KEY_MESSAGE, code="private_key") from error
    except ClientCertError as error:
        raise unusable(error, code=code) from error


@form_errors("certificate")
def read_certificates(data: bytes | str) -> tuple[ClientCertificate, ...]:
    """Return the certificates in *data*.

    Raises:
        ValidationError: says what is wrong, and where.
    """
    return bundles.read_certificates(data)


@form_errors("certificate")
def read_bundle(data: bytes | str) -> tuple[list[ClientCertificate], list[str]]:
    """Return the CA certificates in *data*, and why others are left out.

    Raises:
        ValidationError: says what is wrong, and where.
    """
    return ca_problems.read_bundle(data)


@form_errors("certificate")
def read_end_entity(data: bytes | str) -> ClientCertificate:
    """Return the client's certificate in *data*, which may be a chain.

    Raises:
        ValidationError: says what is wrong, and where.
    """
    certificate = choose_end_entity(bundles.read_certificates(data))
    if len(certificate.der) > MAX_CERTIFICATE_BYTES:
        text = _("The certificate is larger than any that a proxy forwards (64 KiB).")
        raise ValidationError(text, "too_large")
    return certificate


@form_errors("identity")
def find_identity(kind: IdentityKind, certificate: ClientCertificate) -> Identity:
    """Return the only identity of *kind* in *certificate*.

    Raises:
        ValidationError: there is none, or more than one.
    """
    return identities.identity_of_kind(kind, certificate)


@form_errors("identity")
def offered_identities(
    kind: IdentityKind, certificate: ClientCertificate
) -> list[Identity]:
    """Return the identities of *kind* in *certificate*, to choose from.

    Raises:
        ValidationError: they cannot be read or used.
    """
    if kind not in SAN_KINDS:
        return [find_identity(kind, certificate)]
    left_out: list[str] = []
    names = identities.san_identities(certificate, left_out)
    offered = [name for name in names if name.kind is kind]
    # It raises, with what was left out.
    return [find_identity(kind, certificate)] if left_out and not offered else offered


def parse_entry(kind: IdentityKind, text: str, order: Order | None) -> Identity:
    """Return the identity that a typed *text* spells.

    Raises:
        ValidationError: it spells nothing of *kind*, or has two readings, which are
            spelled out.
    """
    _refuse_other_digest(kind, text)
    try:
        return identities.parse_identity(kind, text, order=order)
    except ClientCertError as error:
        readings = _both_readings(kind, text) if order is None else None
        if readings is None:
            raise unusable(error, code="value") from error
        message = _(
            "This name can be read in two directions. From the general to the "
            "specific, it is %(first)s or %(second)s. Choose the order below."
        )
        params = {"first": readings[0], "second": readings[1]}
        raise ValidationError(message, "ambiguous", params) from error


def all_readings(kind: IdentityKind, text: str, order: Order | None) -> list[Identity]:
    """Return every identity that *text* may spell; a certificate tells which is meant.

    Raises:
        ValidationError: it spells nothing of *kind*.
    """
    _refuse_other_digest(kind, text)
    readings = []
    orders: list[Order | None] = [None, *Order] if order is None else [order]
    for attempt in orders:
        with suppress(ClientCertError):
            readings.append(identities.parse_identity(kind, text, order=attempt))
    return readings or [parse_entry(kind, text, order)]


def spell_out(name: DistinguishedName) -> str:
    """Return the parts of *name* from the general to the specific, with arrows."""
    parts = (DistinguishedName((rdn,)).rfc4514() for rdn in name.rdns)
    return " → ".join(visible_once(part, 100) for part in parts)


def spell_out_value(kind: IdentityKind, value: str) -> str:
    """Return the name in a stored *value*, spelled out; see ``spell_out()``."""
    name = value.partition(" ")[2] if kind is IdentityKind.ISSUER_SERIAL else value
    return spell_out(parse_name(name, order=Order.MOST_SPECIFIC_FIRST))


def visible_error(error: ClientCertError) -> str:
    """Return the operator-facing message of *error*, escaped."""
    detail = error.detail if isinstance(error, Refusal) else str(error)
    return visible_once(detail, 1000)


def unusable(error: ClientCertError, *, code: str) -> ValidationError:
    """Return the form error for *error*.

    Its message is English, because the wings that raise it do not know Django.
    """
    return ValidationError(
        _("Cannot be used: %(why)s"), code=code, params={"why": visible_error(error)}
    )


def field_error(name: str, message: Any, code: str, **params: Any) -> ValidationError:
    """Return an error of the field *name*."""
    return ValidationError({name: ValidationError(message, code=code, params=params)})


def check_year(moment: dt.datetime) -> None:
    """Validate the year of *moment*.

    Raises:
        ValidationError: a time zone could move it out of the calendar, or a database
            cannot store it.
    """
    if not 1000 <= moment.year <= 9998:
        raise ValidationError(_("Enter a year from 1000 to 9998."), code="year")


def _refuse_other_digest(kind: IdentityKind, text: str) -> None:
    """Raise if the label of a SHA-256 says that it is of the other kind.

    Raises:
        ValidationError: the mapping would never match.
    """
    label = _OTHER_LABELS.get(kind)
    if label is not None and re.match(label, text, re.IGNORECASE):
        raise ValidationError(OTHER_DIGESTS[kind], code="other_digest")


def guessed_reading(
    kind: IdentityKind, text: str, order: Order | None, identity: Identity
) -> str | None:
    """Return how *text* was read, spelled out, if its order had to be guessed."""
    readings = None if order else _both_readings(kind, text)
    if readings is None or ", " not in text:
        return None
    return spell_out_value(kind, identity.value)


def _both_readings(kind: IdentityKind, text: str) -> tuple[str, str] | None:
    """Return both readings of *text* if it is a name and they differ."""
    if kind not in NAME_KINDS:
        return None
    if kind is IdentityKind.ISSUER_SERIAL:
        text = text.strip().partition(" ")[2]
    try:
        first, second = (parse_name(text, order=order) for order in Order)
    except ClientCertError:
        return None
    return None if first == second else (spell_out(first), spell_out(second))
