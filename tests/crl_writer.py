"""A writer of revocation lists in raw DER: also those that no honest CA would issue."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

from django_clientcert.testing import IssuedCertificate

from .der_writer import _algorithm, _sign, extension, integer, oid, time, tlv

BIT_STRING, NULL, ENUMERATED, SEQUENCE, SET = 0x03, 0x05, 0x0A, 0x30, 0x31
CRL_NUMBER, DELTA, IDP = "2.5.29.20", "2.5.29.27", "2.5.29.28"
AUTHORITY_KEY_IDENTIFIER, DISTRIBUTION_POINTS = "2.5.29.35", "2.5.29.31"
REASON, INVALIDITY_DATE, CERTIFICATE_ISSUER = "2.5.29.21", "2.5.29.24", "2.5.29.29"

HOUR = dt.timedelta(hours=1)
DATE = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)


def algorithm(dotted: str, *parameters: bytes) -> bytes:
    """Return an AlgorithmIdentifier."""
    return tlv(SEQUENCE, oid(dotted), *parameters)


def number(value: int) -> bytes:
    """Return the extension CRLNumber."""
    return extension(CRL_NUMBER, integer(value))


def delta_indicator(value: int) -> bytes:
    """Return the extension that makes a delta list."""
    return extension(DELTA, integer(value), critical=True)


def issuing_distribution_point(*fields: bytes, critical: bool = True) -> bytes:
    """Return the extension around raw fields."""
    return extension(IDP, tlv(SEQUENCE, *fields), critical=critical)


def full_name(*names: bytes) -> bytes:
    """Return a distribution point's name, in the form of GeneralNames."""
    return tlv(0xA0, tlv(0xA0, *names))


def relative_name(*attributes: bytes) -> bytes:
    """Return a distribution point's name, relative to the issuer."""
    return tlv(0xA0, tlv(0xA1, *attributes))


def uri(text: str) -> bytes:
    """Return a GeneralName."""
    return tlv(0x86, text.encode())


def directory_name(name: bytes) -> bytes:
    """Return a GeneralName around the DER of a Name."""
    return tlv(0xA4, name)


def reason(code: int) -> bytes:
    """Return the entry extension reasonCode."""
    return extension(REASON, tlv(ENUMERATED, bytes([code])))


def entry(serial: int | bytes, *extensions: bytes, date: bytes | None = None) -> bytes:
    """Return an entry; with extensions where there are some."""
    return tlv(
        SEQUENCE,
        integer(serial) if isinstance(serial, int) else serial,
        date or time(DATE),
        tlv(SEQUENCE, *extensions) if extensions else b"",
    )


def crl(
    ca: IssuedCertificate,
    *,
    entries: Sequence[bytes] | None = None,
    extensions: Sequence[bytes] | None = (),
    version: bytes | None = None,
    issuer: bytes | None = None,
    this_update: bytes | None = None,
    next_update: bytes | None = None,
    signature_algorithm: bytes | None = None,
    inner_algorithm: bytes | None = None,
    sign: Callable[[bytes], bytes] | None = None,
    unused_bits: bytes = b"\0",
    inside: bytes = b"",
    behind: bytes = b"",
) -> bytes:
    """Return a list signed by *ca*, of exactly these parts of DER.

    *version* stands in place of version 2, ``b""`` for version 1; an empty
    *next_update* leaves the field out; *inside* stands behind the last field that
    is signed, *behind* behind the signature.
    """
    now = dt.datetime.now(dt.timezone.utc)
    outer = signature_algorithm or _algorithm(ca.key)
    tbs = tlv(
        SEQUENCE,
        integer(1) if version is None else version,
        inner_algorithm or outer,
        issuer if issuer is not None else ca.certificate.subject.public_bytes(),
        this_update or time(now - HOUR),
        time(now + 24 * HOUR) if next_update is None else next_update,
        b"" if entries is None else tlv(SEQUENCE, *entries),
        tlv(0xA0, tlv(SEQUENCE, *extensions)) if extensions else b"",
        inside,
    )
    signature = sign(tbs) if sign is not None else _sign(ca.key, tbs)
    return tlv(SEQUENCE, tbs, outer, tlv(BIT_STRING, unused_bits, signature), behind)
