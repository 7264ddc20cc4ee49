"""Why a CRL is refused, in words for the administrator who imports it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from django_clientcert.exceptions import CertificateParseError, RevocationListError
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible, visible_once

INDIRECT = (
    "This is an indirect CRL: it covers certificates of other CAs. Indirect CRLs are "
    "not supported; ask for the CRL that the CA itself signs."
)


def refuse(code: str, message: str) -> NoReturn:
    """Raise a ``RevocationListError``."""
    raise RevocationListError(code, message)


@contextmanager
def reading() -> Iterator[None]:
    """Raise every error that a broken CRL causes as a ``RevocationListError``."""
    try:
        yield
    except RevocationListError:
        raise
    except ValueError as error:
        malformed(error)


def malformed(what: object) -> NoReturn:
    """Raise the ``RevocationListError`` for what breaks RFC 5280."""
    refuse(
        "malformed",
        f"The CRL violates RFC 5280 ({visible(str(what))}). "
        "Have the CA issue a new one.",
    )


def show_subject(certificate: ClientCertificate) -> str:
    """Return the subject of *certificate* in quotation marks, or a replacement."""
    try:
        return "“" + visible_once(str(certificate.subject), 120) + "”"
    except CertificateParseError:
        return f"a certificate that cannot be read ({certificate.short_fingerprint})"
