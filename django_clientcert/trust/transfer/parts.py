"""Conversion of the fields of a record to values of columns."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from django_clientcert.exceptions import ClientCertError
from django_clientcert.models.users import is_storable
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible

from .records import Record


class Refused(Exception):
    """The row cannot be stored; the text is safe to show."""


def check_texts(record: Record) -> None:
    """Refuse text that some database cannot store.

    Raises:
        Refused: names the field.
    """
    for name, value in record.items():
        if isinstance(value, str) and not is_storable(value):
            text = _("%(name)s contains a character that cannot be stored")
            raise Refused(text % {"name": visible(name, 40)})


def to_text(value: Any) -> str:
    """Return *value*, which must be text.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def to_flag(value: Any) -> bool:
    """Return *value*, which must be true or false.

    Raises:
        TypeError: it is neither.
    """
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value


def to_small(value: Any) -> int:
    """Return *value*, the number of a reason (RFC 5280, 5.3.1).

    Raises:
        ValueError: it is not such a number.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 100:
        raise ValueError("no reason")
    return value


def to_key(value: Any) -> bytes | None:
    """Return the bytes, at most 32, that *value* spells in hex; None for None.

    Raises:
        TypeError, ValueError: it is not such a value.
    """
    return None if value is None else to_needed_key(value)


def to_needed_key(value: Any) -> bytes:
    """See to_key(); None is not allowed."""
    octets = bytes.fromhex(to_text(value))
    if not 0 < len(octets) <= 32:
        raise ValueError("no key")
    return octets


def to_der(value: Any) -> bytes | None:
    """Return the DER of a certificate that is base64, PEM, or parsed; None for None.

    Raises:
        Refused: it is not a certificate.
        TypeError: it is not text.
    """
    if value is None:
        return None
    if isinstance(value, ClientCertificate):
        return value.der
    body = "".join(
        line for line in to_text(value).splitlines() if not line.startswith("-----")
    )
    try:
        der = base64.b64decode("".join(body.split()), validate=True)
        ClientCertificate(der).x509  # noqa: B018 - loads it
    except (binascii.Error, ValueError, ClientCertError) as error:
        raise Refused(_("The certificate cannot be read")) from error
    return der


def to_moment(value: Any) -> dt.datetime | None:
    """Return the moment that *value* spells, in UTC; None for None.

    Raises:
        Refused: says how to write one.
    """
    if value is None:
        return None
    try:
        at = parse_datetime(to_text(value))
    except (TypeError, ValueError) as error:
        raise Refused(_("A date cannot be read")) from error
    if at is None:
        raise Refused(
            _("A date cannot be read. Write it like 2027-01-31T23:59:00+01:00")
        )
    at = at if at.tzinfo is not None else at.replace(tzinfo=dt.timezone.utc)
    return at.astimezone(dt.timezone.utc)
