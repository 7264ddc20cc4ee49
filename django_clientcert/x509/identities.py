"""What a certificate can be recognised by, and the 32 bytes that look it up.

A mapping matches a certificate if both have the same kind and key. Pins use
the SHA-256 itself, so that the first digits of a fingerprint are a range of the
index; names use the SHA-256 of the kind and the canonical value.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django_clientcert.exceptions import (
    CertificateParseError,
    NameNotMatchableError,
    NameSyntaxError,
    Word,
)

from .certificates import ClientCertificate
from .escaping import FORBIDDEN, visible, visible_once
from .names import DistinguishedName, Order, fold_ascii, fold_email, parse_name
from .text import parse_serial, show_serial

MAX_NAMES_PER_KIND = 256


class IdentityKind(Word):
    """The kinds of identity, the most specific first."""

    FINGERPRINT = "fingerprint"
    PUBLIC_KEY = "public_key"
    ISSUER_SERIAL = "issuer_serial"
    SUBJECT = "subject"
    SAN_EMAIL = "san_email"
    SAN_DNS = "san_dns"
    SAN_URI = "san_uri"
    SAN_UPN = "san_upn"

    @property
    def is_pin(self) -> bool:
        """Whether it is bound to a key, so that possession proves it without a CA."""
        return self in PINS

    @property
    def specificity(self) -> int:
        """The rank among kinds, 0 is the most specific; the SAN kinds share one."""
        return _RANKS[self]


PINS = (IdentityKind.FINGERPRINT, IdentityKind.PUBLIC_KEY)
# Kinds of subject alternative name, and their fields in a certificate
_SAN_FIELDS = {
    IdentityKind.SAN_EMAIL: "emails",
    IdentityKind.SAN_DNS: "dns",
    IdentityKind.SAN_URI: "uris",
    IdentityKind.SAN_UPN: "upns",
}
SAN_KINDS = tuple(_SAN_FIELDS)
_PREFIXES = {kind: kind.value.encode() + b"\0" for kind in IdentityKind}
_RANKS = {kind: min(rank, 4) for rank, kind in enumerate(IdentityKind)}


@dataclass(frozen=True, slots=True)
class Identity:
    """One thing a certificate can be recognised by."""

    kind: IdentityKind
    key: bytes  # 32 bytes
    value: str  # canonical text, safe to show


def show_value(kind: IdentityKind, value: str, limit: int = 256) -> str:
    """Return the *value* of an identity of *kind*, escaped for display, in one line.

    Distinguished names are already escaped, in a form that can be typed back;
    alternative names are unchanged.
    """
    if kind in (IdentityKind.SUBJECT, IdentityKind.ISSUER_SERIAL):
        return visible_once(value, limit)
    return visible(value, limit)


@dataclass(frozen=True)
class Identities:
    """All identities of a certificate, and why some are missing."""

    found: tuple[Identity, ...]
    problems: tuple[str, ...]
    # Why single alternative names are left out, beside others that are not
    left_out: tuple[str, ...] = ()


def find_identities(certificate: ClientCertificate) -> Identities:
    """Return every identity of *certificate*, the most specific first. Never raises.

    Identities that cannot be read or must not match (a NUL in a name, more than 256
    names of a kind) are left out and reported in ``problems``.
    """
    found = [identity_of_kind(IdentityKind.FINGERPRINT, certificate)]
    problems: list[str] = []

    def collect(what: str, read: Callable[[], Iterable[Identity]]) -> None:
        try:
            found.extend(read())
        except (CertificateParseError, NameNotMatchableError) as error:
            problems.append(f"{what}: {visible(str(error))}")

    collect("public key", lambda: [public_key_identity(certificate)])
    collect("issuer and serial number", lambda: [issuer_serial_identity(certificate)])
    collect(
        "subject",
        lambda: map(subject_identity, filter(None, [certificate.subject])),
    )
    left_out: list[str] = []
    collect("subject alternative names", lambda: san_identities(certificate, left_out))
    return Identities(tuple(found), tuple(problems), tuple(left_out))


def public_key_identity(certificate: ClientCertificate) -> Identity:
    """Return the public key's identity: SHA-256 of the SPKI as encoded."""
    return Identity(
        IdentityKind.PUBLIC_KEY,
        certificate.public_key_bytes,
        certificate.public_key_fingerprint,
    )


def issuer_serial_identity(certificate: ClientCertificate) -> Identity:
    """Return the identity made of the issuer's name and the serial number."""
    return _issuer_serial(certificate.issuer, certificate.serial_number)


def subject_identity(subject: DistinguishedName) -> Identity:
    """Return the identity of a whole distinguished name."""
    return Identity(
        IdentityKind.SUBJECT,
        _key(IdentityKind.SUBJECT, subject.canonical()),
        subject.rfc4514(),
    )


def san_identities(
    certificate: ClientCertificate, left_out: list[str] | None = None
) -> list[Identity]:
    """Return the identities of the subject alternative names.

    A name that cannot be read or must not match costs only itself; *left_out* gets a
    line on each.

    Raises:
        CertificateParseError: they cannot be told apart.
        NameNotMatchableError: one contains a control character, or there are more
            than 256 of a kind; then none may be trusted.
    """
    names = certificate.subject_alternative_names
    identities, odd = [], list(names.unreadable)
    for kind, field in _SAN_FIELDS.items():
        values = getattr(names, field)
        if len(values) > MAX_NAMES_PER_KIND:
            raise NameNotMatchableError(f"more than {MAX_NAMES_PER_KIND} {kind} names")
        for value in values:
            try:
                identities.append(san_identity(kind, value))
            except NameNotMatchableError as error:
                if FORBIDDEN.search(value):
                    raise  # an attack rather than an accident
                if value or not odd:  # or it was unreadable, and there is a line on it
                    odd.append(str(error))
    if left_out is not None:
        left_out += odd
    # A repeated name is still one name.
    return list(dict.fromkeys(identities))


def san_identity(kind: IdentityKind, value: str) -> Identity:
    """Return the identity of one alternative name.

    E-mail: the case of the host is folded, that of the local part is not (RFC 5280,
    7.5); the same holds for a UPN. DNS: ASCII case is folded (7.2). URI: unchanged.

    Raises:
        NameNotMatchableError: empty, or with spaces or control characters.
    """
    if not value or " " in value or FORBIDDEN.search(value):
        raise NameNotMatchableError(
            f"the {kind} value “{visible(value, 80)}” is empty or holds a space or "
            "control character"
        )
    if kind in (IdentityKind.SAN_EMAIL, IdentityKind.SAN_UPN):
        value = fold_email(value)
    elif kind is IdentityKind.SAN_DNS:
        value = fold_ascii(value)
    key = _key(kind, value.encode("utf-8", "surrogatepass"))
    return Identity(kind, key, value)


def identity_of_kind(kind: IdentityKind, certificate: ClientCertificate) -> Identity:
    """Return the one identity of *kind* that *certificate* has.

    Raises:
        NameSyntaxError: it has none, or more than one to choose from.
        CertificateParseError, NameNotMatchableError: it cannot be read or used.
    """
    if kind is IdentityKind.FINGERPRINT:
        return Identity(kind, certificate.fingerprint_bytes, certificate.fingerprint)
    if kind is IdentityKind.PUBLIC_KEY:
        return public_key_identity(certificate)
    if kind is IdentityKind.ISSUER_SERIAL:
        return issuer_serial_identity(certificate)
    if kind is IdentityKind.SUBJECT:
        return subject_identity(certificate.subject)
    left_out: list[str] = []
    names = san_identities(certificate, left_out)
    matching = [identity for identity in names if identity.kind is kind]
    if not matching:
        why = "; ".join([f"The certificate has no {kind}", *left_out])
        raise NameSyntaxError(f"{why}.")
    if len(matching) > 1:
        values = ", ".join(visible(identity.value, 80) for identity in matching[:10])
        raise NameSyntaxError(f"The certificate has several: {values}. Type one.")
    return matching[0]


def parse_identity(
    kind: IdentityKind, text: str, *, order: Order | None = None
) -> Identity:
    """Return the identity of *kind* that a person typed as *text*.

    Raises:
        NameSyntaxError: it is not one, with what to type instead.
        NameNotMatchableError: a name that must never match.
    """
    if kind.is_pin:
        digest = parse_sha256(text, kind)
        return Identity(kind, digest, digest.hex())
    if kind is IdentityKind.SUBJECT:
        return subject_identity(parse_name(text, order=order))
    if kind is IdentityKind.ISSUER_SERIAL:
        digits, _, issuer = text.lstrip(" \t\r\n").partition(" ")
        serial = parse_serial(digits)
        if serial is None or not issuer.strip():
            raise NameSyntaxError(
                "Write the serial number in hex, a space, and the issuer’s "
                "distinguished name: “1ead85 CN=Issuing CA,O=Example”."
            )
        return _issuer_serial(parse_name(issuer, order=order), serial)
    return san_identity(kind, text.strip(" \t\r\n"))


_HEX_WITH_MARKS = re.compile(r"[0-9A-Fa-f]{2}(?:[: ]?[0-9A-Fa-f]{2})*")
_LABEL = re.compile(
    r"\A(?:sha-?(?:2-?)?256(?:\s+fingerprint|\(stdin\))?|pin-sha256|x5t#s256)\s*[=:]\s*",
    re.IGNORECASE,
)
_SHA1_LABEL = re.compile(r"\A(?:sha-?1|md5)\b", re.IGNORECASE)

_SHA256_COMMANDS = {
    IdentityKind.FINGERPRINT: "openssl x509 -in FILE -noout -fingerprint -sha256",
    IdentityKind.PUBLIC_KEY: (
        "openssl x509 -in FILE -noout -pubkey | openssl pkey -pubin -outform der | "
        "openssl dgst -sha256"
    ),
}


def parse_sha256(text: str, kind: IdentityKind = IdentityKind.FINGERPRINT) -> bytes:
    """Return the 32 bytes of a SHA-256 in any usual spelling.

    Hex in either case, with colons or spaces, openssl's ``sha256 Fingerprint=``
    line, base64 or base64url (``x5t#S256``, RFC 8705; ``pin-sha256``, RFC 7469).

    Raises:
        NameSyntaxError: a SHA-1 or MD5, or not a fingerprint at all.
    """
    text = text.strip()
    command = _SHA256_COMMANDS[kind]
    rest = _LABEL.sub("", text).strip().strip('"')
    octets = b""
    if _HEX_WITH_MARKS.fullmatch(rest):
        octets = bytes.fromhex(rest.replace(":", "").replace(" ", ""))
    elif re.fullmatch(r"[A-Za-z0-9+/_-]{43}=?", rest):
        standard = rest.rstrip("=").replace("-", "+").replace("_", "/")
        decoded = base64.b64decode(standard + "=")
        if base64.b64encode(decoded).decode().rstrip("=") == standard:
            octets = decoded
    if len(octets) == 32:
        return octets
    if len(octets) in (16, 20) or _SHA1_LABEL.match(text):
        raise NameSyntaxError(
            "This is a SHA-1 or MD5 fingerprint, which can be forged. Print the "
            f"SHA-256: {command}"
        )
    raise NameSyntaxError(
        f"Enter a SHA-256: 64 hex digits, with or without colons. Print it: {command}"
    )


def _issuer_serial(issuer: DistinguishedName, serial: int) -> Identity:
    return Identity(
        IdentityKind.ISSUER_SERIAL,
        _key(IdentityKind.ISSUER_SERIAL, f"{serial:x} ".encode() + issuer.canonical()),
        f"{show_serial(serial)} {issuer.rfc4514()}",
    )


def _key(kind: IdentityKind, canonical: bytes) -> bytes:
    """Return the lookup key; its prefix keeps the kinds apart."""
    return hashlib.sha256(_PREFIXES[kind] + canonical).digest()
