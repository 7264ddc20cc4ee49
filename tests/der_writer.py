"""A writer of raw DER: certificates that no honest CA would issue.

Nothing here is checked, so that anything can be written; the signature alone is
always real, made with the key of a ``ThrowawayCA``. What comes out is bytes,
because most of it no library would load.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from django_clientcert.testing import IssuedCertificate, PrivateKey, make_key

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 1, 2, 3, 4, 5, 6
UTF8, NUMERIC, PRINTABLE, T61, IA5, VISIBLE = 0x0C, 0x12, 0x13, 0x14, 0x16, 0x1A
UNIVERSAL, BMP, SEQUENCE, SET = 0x1C, 0x1E, 0x30, 0x31

COMMON_NAME, COUNTRY, ORGANIZATION, UNIT = "2.5.4.3", "2.5.4.6", "2.5.4.10", "2.5.4.11"
SAN, BASIC_CONSTRAINTS, KEY_USAGE = "2.5.29.17", "2.5.29.19", "2.5.29.15"
EXTENDED_KEY_USAGE, NAME_CONSTRAINTS = "2.5.29.37", "2.5.29.30"
UPN = "1.3.6.1.4.1.311.20.2.3"

_DAY = dt.timedelta(days=1)


def tlv(tag: int, *contents: bytes) -> bytes:
    """Return tag, minimal length and the joined *contents*."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def integer(value: int) -> bytes:
    """Return a minimal INTEGER."""
    magnitude = value if value >= 0 else ~value
    return tlv(
        INTEGER, value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)
    )


def oid(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    octets = bytearray()
    for arc in (40 * first + second, *rest):
        groups = [arc >> shift & 0x7F for shift in range(0, arc.bit_length() or 1, 7)]
        octets += bytes(group | 0x80 for group in groups[:0:-1]) + bytes(groups[:1])
    return tlv(OID, bytes(octets))


def attribute(kind: str, value: str | bytes, tag: int = UTF8) -> bytes:
    """Return an AttributeTypeAndValue; text is written as UTF-8."""
    content = value.encode() if isinstance(value, str) else value
    return tlv(SEQUENCE, oid(kind), tlv(tag, content))


def name(*rdns: bytes | Sequence[bytes]) -> bytes:
    """Return a Name: each part one attribute, or several in the order given."""
    return tlv(
        SEQUENCE,
        *(tlv(SET, *([one] if isinstance(one, bytes) else one)) for one in rdns),
    )


def common_name(value: str | bytes, tag: int = UTF8) -> bytes:
    """Return a Name with nothing but this common name."""
    return name(attribute(COMMON_NAME, value, tag))


def time(moment: dt.datetime) -> bytes:
    """Return a UTCTime or, from 2050 on, a GeneralizedTime."""
    if moment.year < 2050:
        return tlv(0x17, f"{moment:%y%m%d%H%M%SZ}".encode())
    return tlv(0x18, f"{moment:%Y%m%d%H%M%SZ}".encode())


def extension(kind: str, value: bytes, *, critical: bool = False) -> bytes:
    """Return an Extension around the DER *value*."""
    flag = tlv(BOOLEAN, b"\xff") if critical else b""
    return tlv(SEQUENCE, oid(kind), flag, tlv(OCTET_STRING, value))


def subject_alternative_name(*names: bytes) -> bytes:
    """Return the extension around raw GeneralNames."""
    return extension(SAN, tlv(SEQUENCE, *names))


def other_name(kind: str, value: bytes) -> bytes:
    """Return a GeneralName of the choice otherName around the DER *value*."""
    return tlv(0xA0, oid(kind), tlv(0xA0, value))


CA_EXTENSIONS = (
    extension(BASIC_CONSTRAINTS, tlv(SEQUENCE, tlv(BOOLEAN, b"\xff")), critical=True),
    extension(KEY_USAGE, bytes.fromhex("03020106"), critical=True),
)
CLIENT_EXTENSIONS = (
    extension(BASIC_CONSTRAINTS, tlv(SEQUENCE), critical=True),
    extension(EXTENDED_KEY_USAGE, tlv(SEQUENCE, oid("1.3.6.1.5.5.7.3.2"))),
)


def certificate(
    ca: IssuedCertificate,
    *,
    subject: bytes | None = None,
    issuer: bytes | None = None,
    serial: bytes | None = None,
    version: int | None = 2,
    validity: bytes | None = None,
    key: PrivateKey | None = None,
    spki: bytes | None = None,
    extensions: Sequence[bytes] | None = CLIENT_EXTENSIONS,
    behind: bytes = b"",
) -> bytes:
    """Return a certificate signed by *ca*, of exactly these parts of DER.

    ``version=None`` is version 1, ``extensions=None`` leaves the field out, and
    *behind* stands behind the last field of the TBSCertificate.
    """
    now = dt.datetime.now(dt.timezone.utc)
    if spki is None:
        public = (key or make_key()).public_key()
        spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    algorithm = _algorithm(ca.key)
    tbs = tlv(
        SEQUENCE,
        b"" if version is None else tlv(0xA0, integer(version)),
        serial if serial is not None else integer(4711),
        algorithm,
        issuer if issuer is not None else ca.certificate.subject.public_bytes(),
        validity or tlv(SEQUENCE, time(now - _DAY), time(now + 30 * _DAY)),
        subject if subject is not None else common_name("alice"),
        spki,
        b"" if extensions is None else tlv(0xA3, tlv(SEQUENCE, *extensions)),
        behind,
    )
    return tlv(SEQUENCE, tbs, algorithm, tlv(BIT_STRING, b"\0", _sign(ca.key, tbs)))


def _algorithm(key: PrivateKey) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return tlv(SEQUENCE, oid("1.2.840.10045.4.3.2"))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return tlv(SEQUENCE, oid("1.3.101.112"))
    return tlv(SEQUENCE, oid("1.2.840.113549.1.1.11"), tlv(NULL))


def _sign(key: PrivateKey, octets: bytes) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(octets, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(octets)
    return key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
