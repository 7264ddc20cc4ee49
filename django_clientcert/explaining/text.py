"""Text of a certificate and of a decision, safe to show on one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django_clientcert.exceptions import CertificateParseError
from django_clientcert.x509 import identities
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible_once

MAX_CHARACTERS = 4096


def one_line(text: str) -> str:
    """Return *text*, which is usually escaped already, so that it stays on its line."""
    return visible_once(text, MAX_CHARACTERS)


def show_value(kind: str, value: str) -> str:
    """Return the value of an identity, safe to show."""
    return identities.show_value(identities.IdentityKind(kind), value, MAX_CHARACTERS)


def describe_certificate(certificate: ClientCertificate) -> dict[str, Any]:
    """Return the fields of *certificate* by stable keys; never raises.

    ``subject``, ``issuer``, ``serial_number`` (hex), ``not_before``, ``not_after``
    (ISO 8601), ``fingerprint``, ``public_key`` (SHA-256, hex), each None if it
    cannot be read, and ``problems``, the reasons for that.
    """
    problems: list[str] = []

    def read(get: Callable[[], str]) -> str | None:
        try:
            return one_line(get())
        except CertificateParseError as error:
            if (problem := one_line(error.detail)) not in problems:
                problems.append(problem)
            return None

    return {
        "subject": read(lambda: str(certificate.subject)),
        "issuer": read(lambda: str(certificate.issuer)),
        "serial_number": read(lambda: certificate.serial_number_hex),
        "not_before": read(lambda: certificate.not_before.isoformat()),
        "not_after": read(lambda: certificate.not_after.isoformat()),
        "fingerprint": certificate.fingerprint,
        "public_key": read(lambda: certificate.public_key_fingerprint),
        "problems": problems,
    }
