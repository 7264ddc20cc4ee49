"""Immediate revocation of a certificate, a serial number, or a whole period.

Each function saves a ``Revocation``, which overrides every mapping and rule from then
on. To lift it, delete the row.
"""

from __future__ import annotations

import datetime as dt
from itertools import islice
from typing import Any

from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_clientcert.conf import conf
from django_clientcert.exceptions import CertificateParseError, ClientCertError
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
    serial_key,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.names import Order, parse_name
from django_clientcert.x509.text import parse_serial, show_serial

from .affected import is_known
from .issuers import find_signer

UNKNOWN_SERIAL = _("No certificate with this serial number is known here.")
# RFC 5280, 4.1.2.2
_MAX_SERIAL_BITS = 20 * 8


def describe_delay() -> str:
    """Return when running processes apply a revocation; empty if that is at once."""
    seconds = conf.CLIENTCERT_DECISION_SECONDS
    text = ngettext(
        "Running processes apply this within %(count)d second "
        "(CLIENTCERT_DECISION_SECONDS).",
        "Running processes apply this within %(count)d seconds "
        "(CLIENTCERT_DECISION_SECONDS).",
        seconds,
    )
    return text % {"count": seconds} if seconds else ""


def revoke_certificate(
    certificate: ClientCertificate, *, reason: int = 0, note: str = "", by: Any = None
) -> Revocation:
    """Revoke *certificate* by its public key, and by issuer’s key and serial number.

    The latter if a stored authority signed it. *reason* is the number of a CRLReason,
    and *by* is the user who revokes.

    Returns:
        The revocation, or the existing one if it is revoked already.

    Raises:
        ValidationError: the certificate cannot be read, or the note cannot be stored.
    """
    try:
        authority, issuer = find_signer(certificate) or (None, None)
        revocation = Revocation(authority=authority)
        revocation.name_certificate(certificate, issuer)
    except CertificateParseError as error:
        message = _("The certificate cannot be read: %(why)s")
        raise ValidationError(message, "malformed", {"why": error.detail}) from error
    return _save(revocation, reason, note, by)


def revoke_public_key(
    public_key: bytes, *, reason: int = 0, note: str = "", by: Any = None
) -> Revocation:
    """Revoke a public key (SHA-256 of the SubjectPublicKeyInfo, 32 bytes).

    For a certificate that is not available. Returns and raises as
    ``revoke_certificate()``.
    """
    description = _("public key %(digits)s") % {"digits": public_key.hex()}
    revocation = Revocation(public_key=public_key, description=description)
    return _save(revocation, reason, note, by)


def read_serial(text: str) -> tuple[int, int | None]:
    """Return the serial number that *text* spells in hex, and in decimal if it may be.

    The second is None unless *text* has only digits, and differs in decimal.

    Raises:
        ValidationError: it is not a serial number in hex.
    """
    number, decimal = parse_serial(text), parse_serial(text, decimal=True)
    if number is None:
        message = _("Enter the serial number in hexadecimal, such as 1E:AD:85.")
        raise ValidationError(message, "serial")
    if number.bit_length() <= _MAX_SERIAL_BITS:
        return number, None if decimal == number else decimal
    if decimal is None or decimal.bit_length() > _MAX_SERIAL_BITS:
        message = _(
            "This is too long: a serial number has at most 20 octets, which are 40 "
            "hexadecimal digits (RFC 5280, 4.1.2.2)."
        )
        raise ValidationError(message, "serial")
    message = _(
        "A serial number has at most 20 octets, and in hexadecimal, this has more "
        "(RFC 5280, 4.1.2.2). Is this decimal? Then enter %(hex)s."
    )
    raise ValidationError(message, "serial", {"hex": show_serial(decimal)})


def revoke_serial(
    authority: CertificateAuthority,
    serial_number: int,
    decimal: int | None = None,
    *,
    issuer: str = "",
    reason: int = 0,
    note: str = "",
    by: Any = None,
) -> Revocation:
    """Revoke the certificate with *serial_number* that a CA of *authority* issued.

    *issuer* is the CA's distinguished name, required if the authority has several CAs.
    *decimal* is the other reading of what was typed, see ``read_serial()``: if a known
    certificate has that serial number and none has *serial_number*, nothing is revoked.
    Returns and raises as ``revoke_certificate()``.
    """
    ca = _find_ca(authority, issuer)
    named = {"authority": authority, "issuer_key": ca.public_key_bytes}
    digits = show_serial(serial_number)
    revocation = Revocation(
        **named,
        serial=serial_key(serial_number),
        description=_("serial number %(serial)s of %(issuer)s")
        % {"serial": digits, "issuer": ca.subject.rfc4514()},
    )
    if (
        decimal is not None
        and is_known(Revocation(**named, serial=serial_key(decimal)))
        and not is_known(revocation)
    ):
        message = _(
            "Read as decimal, this is %(decimal)s, the serial number of a known "
            "certificate; read as hexadecimal, it is %(hex)s, which no known "
            "certificate has. Enter %(decimal)s, or 0x%(hex)s if you mean that."
        )
        params = {"decimal": show_serial(decimal), "hex": digits}
        raise ValidationError(message, "decimal", params)
    return _save(revocation, reason, note, by)


def revoke_period(
    authority: CertificateAuthority,
    begin: dt.datetime,
    end: dt.datetime,
    *,
    reason: int = 0,
    note: str = "",
    by: Any = None,
) -> Revocation:
    """Revoke all that *authority* issued from *begin* to *end* (inclusive).

    Compares the notBefore date, which the CA sets. Returns and raises as
    ``revoke_certificate()``.
    """
    description = _(
        "every certificate that %(authority)s issued from %(begin)s to %(end)s"
    ) % {
        "authority": authority,
        "begin": f"{begin:%Y-%m-%d %H:%M}",
        "end": f"{end:%Y-%m-%d %H:%M}",
    }
    revocation = Revocation(
        authority=authority,
        issued_from=begin,
        issued_until=end,
        description=description,
    )
    return _save(revocation, reason, note, by)


def certificate_of(mapping: CertificateMapping) -> ClientCertificate | None:
    """Return the certificate to revoke for *mapping*: its own, or the last one seen."""
    certificate = mapping.client_certificate()
    if certificate is not None:
        return certificate
    seen = mapping.seen_certificates.order_by("-last_seen_at").first()
    return None if seen is None else seen.client_certificate()


def _find_ca(authority: CertificateAuthority, issuer: str) -> ClientCertificate:
    """Return the one CA of *authority* with the name *issuer*.

    Raises:
        ValidationError: there is none, or more than one.
    """
    try:
        cas = {ca.public_key_bytes: ca for ca in authority.certificates()}
        named = list(cas.values())
        if issuer.strip():
            name = parse_name(issuer, order=Order.MOST_SPECIFIC_FIRST).canonical()
            named = [ca for ca in named if ca.subject.canonical() == name]
        if len(named) == 1:
            return named[0]
        names = "; ".join(ca.subject.rfc4514() for ca in islice(cas.values(), 10))
        message = _("Enter which CA of “%(authority)s” issued it: %(names)s.")
        params = {"authority": authority, "names": names}
        raise ValidationError(message, "issuer", params)
    except ClientCertError as error:
        message = _("Cannot be used: %(why)s")
        raise ValidationError(message, "issuer", {"why": str(error)}) from error


def _save(revocation: Revocation, reason: int, note: str, by: Any) -> Revocation:
    """Save *revocation* unless an equal one exists; return the one in force.

    Raises:
        ValidationError: it could not revoke anything, or the note cannot be stored.
    """
    revocation.description = str(revocation.description)
    revocation.reason, revocation.note, revocation.revoked_by = reason, note, by
    revocation.full_clean()
    with transaction.atomic(using=router.db_for_write(Revocation)):
        same = Revocation.objects.equal_to(revocation).first()
        if same is None:
            revocation.save()
    return same or revocation
