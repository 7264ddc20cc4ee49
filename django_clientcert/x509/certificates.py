"""``ClientCertificate``: a certificate in DER, immutable and read lazily.

The fingerprint costs one hash and no parsing. Everything else is read on first
access, each part separately, so that a broken extension hides nothing else.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import Any, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from django_clientcert.exceptions import CertificateParseError

from . import attribute_types
from . import der as asn1
from .caching import remember
from .names import DistinguishedName
from .text import show_error, show_serial

T = TypeVar("T")

KEY_USAGE = "2.5.29.15"
SUBJECT_ALTERNATIVE_NAME = "2.5.29.17"
SUBJECT_KEY_IDENTIFIER = "2.5.29.14"
BASIC_CONSTRAINTS = "2.5.29.19"
AUTHORITY_KEY_IDENTIFIER = "2.5.29.35"
NAME_CONSTRAINTS = "2.5.29.30"
CERTIFICATE_POLICIES = "2.5.29.32"
EXTENDED_KEY_USAGE = "2.5.29.37"

CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
ANY_EXTENDED_KEY_USAGE = "2.5.29.37.0"

UPN = "1.3.6.1.4.1.311.20.2.3"

# GeneralName choices (RFC 5280, 4.2.1.6): context tags
_OTHER_NAME = 0xA0
_DNS_NAME = 0x82
DIRECTORY_NAME = 0xA4
_IP_ADDRESS = 0x87
# The value of an otherName is in [0] EXPLICIT
_EXPLICIT = 0xA0

# What cryptography raises if a part of a certificate cannot be read
UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,  # a TLSFeature (RFC 7633) that it does not know
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

# Algorithms of the keys that TLS 1.2 and 1.3 clients sign with
SIGNING_KEYS = frozenset(
    {
        "1.2.840.113549.1.1.1",  # RSA
        "1.2.840.113549.1.1.10",  # RSA-PSS
        "1.2.840.10045.2.1",  # elliptic curve
        "1.3.101.112",  # Ed25519
        "1.3.101.113",  # Ed448
        "2.16.840.1.101.3.4.3.17",  # ML-DSA-44
        "2.16.840.1.101.3.4.3.18",  # ML-DSA-65
        "2.16.840.1.101.3.4.3.19",  # ML-DSA-87
    }
)

# The names of the key usage bits, in the order of the bit string (4.2.1.3)
KEY_USAGE_BITS = (
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
)


@dataclass(frozen=True)
class Extension:
    """One extension: the dotted type, its criticality and the DER inside."""

    oid: str
    critical: bool
    value: bytes


@dataclass(frozen=True)
class SubjectAlternativeNames:
    """The alternative names by kind, each as text, in the certificate's order."""

    emails: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    upns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    # Why a name cannot be read; it is empty text among the names of its kind.
    unreadable: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(astuple(self))


class ClientCertificate:
    """An end-entity certificate that a TLS client presented.

    Equal if the DER is equal. Every property other than the fingerprints may raise
    ``CertificateParseError`` and nothing else; values are cached. Immutable,
    so threads may share one object.
    """

    der: bytes

    def __init__(self, der: bytes) -> None:
        # object.__setattr__: instances are frozen below
        object.__setattr__(self, "der", bytes(der))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ClientCertificate):
            return NotImplemented
        return self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the DER alone."""
        return type(self), (self.der,)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.short_fingerprint}>"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the DER: 64 lower-case hex digits."""
        return self.fingerprint_bytes.hex()

    @cached_property
    def fingerprint_bytes(self) -> bytes:
        """SHA-256 of the DER: 32 bytes."""
        return hashlib.sha256(self.der).digest()

    @property
    def short_fingerprint(self) -> str:
        """The first 16 hex digits: for logs."""
        return self.fingerprint[:16]

    @cached_property
    def sha1_fingerprint(self) -> str:
        """SHA-1 of the DER, 40 hex digits: for people to compare, never to match."""
        return hashlib.sha1(self.der, usedforsecurity=False).hexdigest()

    @cached_property
    def x509(self) -> x509.Certificate:
        """The certificate as an object of ``cryptography``.

        Its attributes may raise ``ValueError`` and more; prefer the ones here.

        Raises:
            CertificateParseError: not a certificate (RFC 5280, 4.1).
        """
        return _guarded(
            lambda: x509.load_der_x509_certificate(self.der), "not a certificate"
        )

    def check_readable(self) -> None:
        """Raise unless the certificate, its subject and its extensions are readable.

        Raises:
            CertificateParseError: the first part that is not.
        """
        for _part in (self.x509, self.subject, self.extensions):
            pass

    @cached_property
    def _fields(self) -> tuple[asn1.Element, ...]:
        """The elements of the TBSCertificate from the serial number on."""

        def read() -> tuple[asn1.Element, ...]:
            tbs = asn1.children(self.der)[0]
            fields = asn1.children(tbs.encoded)
            if fields[0].tag == 0xA0:  # version
                fields = fields[1:]
            if len(fields) < 6 or fields[0].tag != asn1.INTEGER:
                raise asn1.DerError("fields are missing")
            return tuple(fields)

        return _guarded(read, "not a certificate")

    @cached_property
    def serial_number(self) -> int:
        """The serial number. RFC 5280 requires a positive one; any may occur."""
        return _guarded(lambda: asn1.integer(self._fields[0].content), "serial number")

    @property
    def serial_number_hex(self) -> str:
        """The serial number as lower-case hex pairs, as OpenSSL prints it."""
        return show_serial(self.serial_number)

    @cached_property
    def issuer_der(self) -> bytes:
        """The issuer's Name as encoded in the certificate, DER."""
        return self._fields[2].encoded

    @cached_property
    def subject_der(self) -> bytes:
        """The subject's Name as encoded in the certificate, DER."""
        return self._fields[4].encoded

    @cached_property
    def issuer(self) -> DistinguishedName:
        """The issuer's distinguished name."""
        return DistinguishedName.from_der(self.issuer_der)

    @cached_property
    def subject(self) -> DistinguishedName:
        """The subject's distinguished name; it may be empty."""
        return DistinguishedName.from_der(self.subject_der)

    @cached_property
    def public_key_der(self) -> bytes:
        """The SubjectPublicKeyInfo as encoded in the certificate, DER.

        ``public_key().public_bytes()`` of cryptography encodes it again, which
        differs for RSA-PSS keys and others.
        """
        return self._fields[5].encoded

    @cached_property
    def public_key_bytes(self) -> bytes:
        """SHA-256 of the SubjectPublicKeyInfo: 32 bytes."""
        return hashlib.sha256(self.public_key_der).digest()

    @property
    def public_key_fingerprint(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo: 64 lower-case hex digits."""
        return self.public_key_bytes.hex()

    @cached_property
    def public_key(self) -> CertificatePublicKeyTypes:
        """The public key as an object of ``cryptography``.

        Only keys that a TLS client can sign with are loaded: another may cost
        seconds (the parameters of Diffie-Hellman are tested for primality).
        """

        def load() -> CertificatePublicKeyTypes:
            algorithm = asn1.children(self.public_key_der)[0]
            oid = asn1.object_identifier(asn1.children(algorithm.encoded)[0])
            if oid not in SIGNING_KEYS:
                name = algorithm_name(oid)
                raise asn1.DerError(
                    f"{name} is not supported: TLS clients do not sign with it"
                )
            return self.x509.public_key()

        return _guarded(load, "public key")

    @property
    def has_usual_key(self) -> bool:
        """Whether a signature is checked with the public key in well under 1 ms.

        RSA with a large modulus or exponent takes long, and the client chooses both.
        """
        key = self.public_key
        if not isinstance(key, rsa.RSAPublicKey):
            return True
        return key.key_size <= 8192 and key.public_numbers().e.bit_length() <= 32

    @cached_property
    def not_before(self) -> dt.datetime:
        """The first moment of validity, UTC (RFC 5280, 4.1.2.5: inclusive)."""
        return _guarded(lambda: self.x509.not_valid_before_utc, "validity")

    @cached_property
    def not_after(self) -> dt.datetime:
        """The last moment of validity, UTC (RFC 5280, 4.1.2.5: inclusive)."""
        return _guarded(lambda: self.x509.not_valid_after_utc, "validity")

    def within_validity(self, at: dt.datetime) -> dt.datetime:
        """Return *at*, or the moment nearest to it at which the certificate is valid.

        For a certificate that may be checked apart from its dates.
        """
        return min(max(at, self.not_before), self.not_after)

    def is_signed_by(self, issuer: ClientCertificate) -> bool:
        """Return whether *issuer* has the issuer's name and made the signature.

        Whether it may sign certificates is not checked.
        """
        return _is_signed_by(self.der, issuer.der)

    @cached_property
    def extensions(self) -> Mapping[str, Extension]:
        """The extensions by their dotted type.

        Raises:
            CertificateParseError: unreadable, or a type occurs twice (RFC 5280, 4.2).
        """
        return _guarded(self._read_extensions, "extensions")

    def _read_extensions(self) -> dict[str, Extension]:
        wrapped = [field for field in self._fields[6:] if field.tag == 0xA3]
        return read_extensions(wrapped[0].content) if wrapped else {}

    @cached_property
    def is_ca(self) -> bool:
        """Whether basicConstraints marks this as a CA's certificate."""

        def read(value: bytes) -> bool:
            parts = asn1.children(value)[:1]
            return any(p.tag == asn1.BOOLEAN and asn1.boolean(p.content) for p in parts)

        return bool(self._extension(BASIC_CONSTRAINTS, read))

    @cached_property
    def path_length(self) -> int | None:
        """How many CAs may follow below this one; None if it is not limited."""

        def read(value: bytes) -> int | None:
            parts = asn1.children(value)[1:2]
            lengths = (asn1.integer(p.content) for p in parts if p.tag == asn1.INTEGER)
            return next(lengths, None)

        return self._extension(BASIC_CONSTRAINTS, read)

    @cached_property
    def key_usage(self) -> frozenset[str] | None:
        """The key usages by RFC 5280's names; None without the extension."""

        def read(value: bytes) -> frozenset[str]:
            bits = asn1.set_bits(asn1.only(value, asn1.BIT_STRING).content)
            named = enumerate(KEY_USAGE_BITS)
            return frozenset(name for bit, name in named if bit in bits)

        return self._extension(KEY_USAGE, read)

    @cached_property
    def extended_key_usage(self) -> tuple[str, ...] | None:
        """The extended key usages, dotted; None without the extension."""

        def read(value: bytes) -> tuple[str, ...]:
            return tuple(map(asn1.object_identifier, asn1.children(value)))

        return self._extension(EXTENDED_KEY_USAGE, read)

    def allows_usage(self, *usages: str) -> bool:
        """Return whether keyUsage is absent, or has one of *usages*."""
        return self.key_usage is None or not self.key_usage.isdisjoint(usages)

    def allows_purpose(self, purpose: str) -> bool:
        """Return whether extendedKeyUsage is absent, or has *purpose* or “any”."""
        usages = self.extended_key_usage
        return usages is None or purpose in usages or ANY_EXTENDED_KEY_USAGE in usages

    @cached_property
    def policies(self) -> tuple[str, ...]:
        """The certificate policies, dotted (RFC 5280, 4.2.1.4)."""

        def read(value: bytes) -> tuple[str, ...]:
            return tuple(
                asn1.object_identifier(asn1.children(policy.encoded)[0])
                for policy in asn1.children(value)
            )

        return self._extension(CERTIFICATE_POLICIES, read) or ()

    @cached_property
    def subject_alternative_names(self) -> SubjectAlternativeNames:
        """The subject alternative names by kind; empty without the extension.

        Raises:
            CertificateParseError: the names cannot be told apart.
        """
        names = self._extension(SUBJECT_ALTERNATIVE_NAME, _read_general_names)
        return names or SubjectAlternativeNames()

    @property
    def common_names(self) -> tuple[str | None, ...]:
        """The common names of the subject; None for one that cannot be read."""
        return tuple(self.subject.values(attribute_types.COMMON_NAME))

    @property
    def is_self_issued(self) -> bool:
        """Whether subject and issuer are the same name (RFC 5280, 6.1)."""
        return self.subject_der == self.issuer_der

    def _extension(self, oid: str, read: Callable[[bytes], T]) -> T | None:
        """Return what *read* makes of one extension; None if it is absent."""
        extension = self.extensions.get(oid)
        if extension is None:
            return None
        value = extension.value
        return _guarded(lambda: read(value), f"extension {oid}")


# Of one request, several authorities may ask the same: those with a CA in common. By
# the octets alone, so that nothing else of a stranger's certificates is kept.
@remember(1024 * 1024, lambda certificate, issuer: len(certificate) + len(issuer))
def _is_signed_by(certificate: bytes, issuer: bytes) -> bool:
    try:
        ClientCertificate(certificate).x509.verify_directly_issued_by(
            ClientCertificate(issuer).x509
        )
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def read_extensions(encoded: bytes) -> dict[str, Extension]:
    """Return the extensions of a SEQUENCE OF Extension (DER) by their dotted type.

    Raises:
        DerError: malformed, or a type occurs twice (RFC 5280, 4.2).
    """
    extensions: dict[str, Extension] = {}
    for item in asn1.children(encoded):
        parts = asn1.children(item.encoded)
        if not 2 <= len(parts) <= 3:
            raise asn1.DerError("a malformed extension")
        oid = asn1.object_identifier(parts[0])
        critical = len(parts) == 3 and asn1.boolean(
            asn1.only(parts[1].encoded, asn1.BOOLEAN).content
        )
        if oid in extensions:
            raise asn1.DerError(f"extension {oid} occurs twice")
        value = asn1.only(parts[-1].encoded, asn1.OCTET_STRING).content
        extensions[oid] = Extension(oid, critical, value)
    return extensions


# GeneralName choices by tag: the kind, and the name in RFC 5280
_GENERAL_NAMES = {
    0x81: ("emails", "rfc822Name"),
    _DNS_NAME: ("dns", "dNSName"),
    0x86: ("uris", "uniformResourceIdentifier"),
    _IP_ADDRESS: ("ips", "iPAddress"),
    # Whatever is wrong with it, it might be a user principal name.
    _OTHER_NAME: ("upns", "otherName"),
}


def _read_general_names(encoded: bytes) -> SubjectAlternativeNames:
    kinds = defaultdict[str, list[str]](list)
    for name in asn1.children(encoded):
        kind, label = _GENERAL_NAMES.get(name.tag, ("others", "name"))
        try:
            kind, text = _read_general_name(name, kind)
        except (CertificateParseError, *UNREADABLE) as error:
            why = show_error(error)
            if name.tag == _DNS_NAME:
                why = "it is not ASCII; RFC 5280 (7.2) requires “xn--…”"
            text = ""
            kinds["unreadable"].append(f"one {label} cannot be used: {why}")
        kinds[kind].append(text)
    return SubjectAlternativeNames(**{k: tuple(v) for k, v in kinds.items()})


def _read_general_name(name: asn1.Element, kind: str) -> tuple[str, str]:
    """Return the kind and the text of a name."""
    if name.tag == _IP_ADDRESS:
        return kind, str(ip_address(name.content))
    if name.tag == _OTHER_NAME:
        type_id, wrapped = asn1.read_all(name.content)
        oid = asn1.object_identifier(type_id)
        value = asn1.only(wrapped.encoded, _EXPLICIT).content
        if oid != UPN:
            return "others", f"otherName {oid}=#{value.hex()}"
        text, end = asn1.read(value)
        if end != len(value):
            raise asn1.DerError("bytes after a user principal name")
        return kind, asn1.text(text)
    if name.tag == DIRECTORY_NAME:
        return kind, f"directoryName {DistinguishedName.from_der(name.content)}"
    if kind == "others":
        return kind, f"[{name.tag & 0x1F}] #{name.content.hex()}"
    return kind, name.content.decode("ascii")


def algorithm_name(oid: str) -> str:
    """Return the name of an algorithm by its dotted type, or that type."""
    # The library has no public name of an algorithm.
    name: str = getattr(x509.ObjectIdentifier(oid), "_name", "")
    return name if name and name != "Unknown OID" else oid


def _guarded(read: Callable[[], T], what: str) -> T:
    """Return what *read* returns; whatever it raises is a CertificateParseError."""
    try:
        return read()
    except CertificateParseError:
        raise
    except (
        *UNREADABLE,
        IndexError,
        OverflowError,
        # If warnings are errors, a certificate that causes one is refused.
        Warning,
    ) as error:
        raise CertificateParseError(f"{what}: {show_error(error)}") from error
