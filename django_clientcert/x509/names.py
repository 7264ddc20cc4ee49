"""Distinguished names as structure (RFC 5280, 4.1.2.4), never as text.

A name is read from DER, or from what an administrator pastes; two names are
compared by their canonical form. The rules are stricter than RFC 5280, 7.1,
if folding could merge two people into one: no Unicode folding, no
normalisation, no deleted characters.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from django_clientcert.exceptions import (
    CertificateParseError,
    NameNotMatchableError,
    NameSyntaxError,
)

from . import attribute_types, der
from .escaping import FORBIDDEN, visible

MAX_RDNS = 32
# A longer name is not even read: the client chooses it, and each part takes time.
MAX_SHOWN_RDNS = 128
MAX_ATTRIBUTES_PER_RDN = 8
MAX_VALUE_BYTES = 4096

_SPACES = re.compile(" +")
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class Order(Enum):
    """In which direction a text writes the parts of a name."""

    MOST_SPECIFIC_FIRST = "most_specific_first"
    MOST_GENERAL_FIRST = "most_general_first"


_PRINTABLE = re.compile(rb"[ -~]*")


@dataclass(frozen=True)
class Attribute:
    """One attribute: the dotted type, and the value's DER tag and content."""

    oid: str
    tag: int
    content: bytes

    @cached_property
    def text(self) -> str | None:
        """The value as text; None if the text cannot be determined.

        That of a TeletexString is known if it is ASCII: then all programs agree on it.
        """
        if self.tag == der.T61_STRING and _PRINTABLE.fullmatch(self.content):
            return self.content.decode("ascii")
        try:
            return der.text(der.Element(self.tag, self.content, b""))
        except der.DerError:
            return None

    @property
    def encoded(self) -> bytes:
        """The value's DER: tag, length, content."""
        return der.encode(self.tag, self.content)

    def comparable(self, *, fold: bool) -> bytes:
        """Return bytes that are equal for equal values only.

        With *fold* the value is folded as the canonical form requires: spaces
        (RFC 5280, 7.1), ASCII case, and in an e-mail address only that of the host.

        Raises:
            NameNotMatchableError: a value that must never match anything.
        """
        value = self.text
        if value is None and self.tag not in der.TEXT_CODECS:
            return b"\x00" + self.encoded
        if value is None:
            raise NameNotMatchableError("a value is not valid in its string type")
        if not fold:
            return b"\x01" + value.encode()
        if FORBIDDEN.search(value):
            raise NameNotMatchableError("a value contains a control character")
        value = _SPACES.sub(" ", value).strip(" ")
        if not value:
            name = attribute_types.display_name(self.oid) or self.oid
            raise NameNotMatchableError(f"the value of {name} is empty")
        if len(value) > MAX_VALUE_BYTES:
            raise NameNotMatchableError("a value is too long")
        if self.oid == attribute_types.EMAIL_ADDRESS:
            return b"\x01" + fold_email(value).encode()
        # bytes.lower() folds A-Z and nothing else
        return b"\x01" + value.encode().lower()


Rdn = tuple[Attribute, ...]


@dataclass(frozen=True)
class DistinguishedName:
    """A Name: relative distinguished names in DER order, the most general first."""

    rdns: tuple[Rdn, ...]

    @classmethod
    def from_der(cls, encoded: bytes) -> DistinguishedName:
        """Return the name in the DER of a Name.

        Raises:
            CertificateParseError: not a Name.
        """
        try:
            parts = der.children(encoded)
            if len(parts) > MAX_SHOWN_RDNS:
                raise der.DerError(f"more than {MAX_SHOWN_RDNS} parts")
            rdns = tuple(
                tuple(map(_read_attribute, der.children(rdn.encoded, der.SET)))
                for rdn in parts
            )
            if () in rdns:
                raise der.DerError("an empty relative name")
        except ValueError as error:
            raise CertificateParseError(f"the name is not readable: {error}") from error
        return cls(rdns)

    def __bool__(self) -> bool:
        return bool(self.rdns)

    def __str__(self) -> str:
        return self.rfc4514()

    def values(self, oid: str) -> list[str | None]:
        """Return the values of every attribute of type *oid*, in DER order.

        A value whose text cannot be determined is None.
        """
        return [item.text for rdn in self.rdns for item in rdn if item.oid == oid]

    def canonical(self) -> bytes:
        """Return the canonical encoding: equal for names that match, not for others.

        Raises:
            NameNotMatchableError: the name must never match (empty, oversized,
                doubled attributes, control characters, undecodable values).
        """
        if not self.rdns:
            raise NameNotMatchableError("the name is empty")
        return self._encode(fold=True)

    def digest(self) -> bytes:
        """Return the SHA-256 of the canonical encoding, 32 bytes."""
        return hashlib.sha256(self.canonical()).digest()

    def same_values(self, other: DistinguishedName) -> bool:
        """Return whether both have the same values, in any string types."""
        try:
            return self._encode(fold=False) == other._encode(fold=False)
        except NameNotMatchableError:
            return False

    def matches(self, other: DistinguishedName) -> bool:
        """Return whether both match (RFC 5280, 7.1), in any string types."""
        try:
            return self.canonical() == other.canonical()
        except NameNotMatchableError:
            return False

    def _encode(self, *, fold: bool) -> bytes:
        if len(self.rdns) > MAX_RDNS:
            raise NameNotMatchableError("the name has too many parts")
        encoded = []
        for rdn in self.rdns:
            if len(rdn) > MAX_ATTRIBUTES_PER_RDN:
                raise NameNotMatchableError("a part has too many attributes")
            parts = {
                _prefixed(item.oid.encode()) + _prefixed(item.comparable(fold=fold))
                for item in rdn
            }
            if len(parts) != len(rdn):
                raise NameNotMatchableError("a part contains an attribute twice")
            encoded.append(_prefixed(b"".join(sorted(parts))))
        return b"".join(encoded)

    def rfc4514(self) -> str:
        r"""Return the name for people: RFC 4514, the most specific part first.

        Text stays readable; controls, bidirectional and invisible characters are
        shown as ``\HH``, so that one line stays one line. ``parse_name`` reads it back.
        """
        return self._rfc4514

    @cached_property
    def _rfc4514(self) -> str:
        return ",".join(
            "+".join(_rfc4514_attribute(item) for item in rdn)
            for rdn in reversed(self.rdns)
        )

    def openssl_rfc2253(self) -> str:
        """Return the name exactly as nginx prints ``$ssl_client_s_dn``.

        That is OpenSSL's XN_FLAG_RFC2253: reversed order, also inside a part;
        every octet above 7E and every control escaped; short names; a type or
        string type unknown to OpenSSL as ``#`` and upper-case hex.

        Raises:
            CertificateParseError: a value OpenSSL itself cannot print.
        """
        return self._openssl_rfc2253

    @cached_property
    def _openssl_rfc2253(self) -> str:
        return ",".join(
            "+".join(_openssl_attribute(item) for item in reversed(rdn))
            for rdn in reversed(self.rdns)
        )


def _read_attribute(element: der.Element) -> Attribute:
    oid, value = der.children(element.encoded)
    return Attribute(der.object_identifier(oid), value.tag, value.content)


def fold_email(address: str) -> str:
    """Return *address* with its host in lower case (ASCII; RFC 5280, 7.5).

    The part before the last ``@`` is for the mail host to interpret, and is kept.
    """
    local, at, host = address.rpartition("@")
    return local + at + fold_ascii(host) if at else address


def fold_ascii(text: str) -> str:
    """Return *text* with A-Z, and nothing else, in lower case."""
    return text.translate(_ASCII_LOWER)


def _prefixed(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _rfc4514_attribute(attribute: Attribute) -> str:
    name = attribute_types.display_name(attribute.oid)
    if name is None or attribute.text is None:
        return f"{name or attribute.oid}=#{attribute.encoded.hex()}"
    return f"{name}={_escape(attribute.text, _hide)}"


def _escape(text: str, hide: Callable[[str, bool], str]) -> str:
    """Return *text* with a backslash before what has a meaning in a name.

    The rest is for *hide*, which also gets whether the character is at an end.
    """
    last = len(text) - 1
    return "".join(
        "\\" + character
        if character in ',+"\\<>;' or (character == "#" and index == 0)
        else hide(character, index in (0, last))
        for index, character in enumerate(text)
    )


def _hide(character: str, at_end: bool) -> str:
    """Escape a character that is invisible, or would be lost in a form field.

    str.strip() removes spaces at both ends, including those of Unicode.
    """
    if character == " ":
        hidden = at_end
    else:
        hidden = character.isspace() or visible(character) != character
    octets = character.encode("utf-8", "surrogatepass")
    return "".join(f"\\{octet:02x}" for octet in octets) if hidden else character


def _hide_from_openssl(character: str, at_end: bool) -> str:
    if not " " <= character <= "~":
        return f"\\{ord(character):02X}"
    return "\\ " if at_end and character == " " else character


# How OpenSSL's ASN1_STRING_print_ex reads each string type (tag2nbyte in
# crypto/asn1/a_strex.c); any other type is dumped as hex.
_OPENSSL_CODECS = {
    der.UTF8_STRING: "utf-8",
    der.NUMERIC_STRING: "latin-1",
    der.PRINTABLE_STRING: "latin-1",
    der.T61_STRING: "latin-1",
    der.IA5_STRING: "latin-1",
    der.UTC_TIME: "latin-1",
    der.GENERALIZED_TIME: "latin-1",
    der.VISIBLE_STRING: "latin-1",
    der.UNIVERSAL_STRING: "utf-32-be",
    der.BMP_STRING: "utf-16-be",
}


def _openssl_attribute(attribute: Attribute) -> str:
    name = attribute_types.openssl_name(attribute.oid)
    codec = _OPENSSL_CODECS.get(attribute.tag)
    if name is None or codec is None:
        return f"{name or attribute.oid}=#{attribute.encoded.hex().upper()}"
    try:
        octets = attribute.content.decode(codec).encode()
    except UnicodeError as error:
        raise CertificateParseError(
            f"a value of the name is not valid {codec}"
        ) from error
    return f"{name}={_escape(octets.decode('latin-1'), _hide_from_openssl)}"


# --- what an administrator pastes -----------------------------------------------

_BLANKS = " \t\r\n"
# SN is the surname in a text that names the serial number, or the given name, as well:
# no program writes SN for the serial number there.
_SURNAME = re.compile(r"((?:\A|(?<!\\)[,;+/])\s*)SN(?=\s*=)", re.IGNORECASE)
_BESIDE_SURNAME = re.compile(
    r"(?:\A|(?<!\\)[,;+/])\s*(?:serialNumber|GN|givenName)\s*=", re.IGNORECASE
)
_PREFIX = re.compile(r"\A(?:subject|issuer)\s*[=:]\s*", re.IGNORECASE)
_SPACED_EQUALS = re.compile(r"\A[A-Za-z0-9.]+ = ")
# Type, and a value in hex, in quotes (with the closing one) or plain
_ATTRIBUTE = re.compile(
    r'([^=]*)= *(?:#([^,;+]*)|"([^"\\]*(?:\\.[^"\\]*)*\\?)(?:(") *)?'
    r'|([^\\,;+"<>]*(?:\\.[^\\,;+"<>]*)*\\?))'
)
_ESCAPED = re.compile(r'([^\\]+)|\\(?:([0-9A-Fa-f]{2})|([,+"\\<>;=# ])|)')
_UNESCAPED_SLASH = re.compile(r"(?<!\\)/")
_ONELINE_ESCAPE = re.compile(
    rb"\\(?:x([01][0-9A-Fa-f]|7[Ff]|[89A-Fa-f][0-9A-Fa-f])|([/+]))"
)
_DOTTED = re.compile(r"[0-9]+(?:\.[0-9]+)+")
_ATTRIBUTE_INSIDE = re.compile(r"(?:\A|[^A-Za-z0-9.])([A-Za-z][A-Za-z0-9]*|[0-9.]+) ?=")

# The types of parts, the most general first; used only to find the direction of a text.
_LEVELS = ("c dc", "st", "l street", "o", "ou", "cn", "uid emailaddress serialnumber")
_RANK = {
    attribute_types.ALIASES[name]: rank
    for rank, names in enumerate(_LEVELS)
    for name in names.split()
}


def parse_name(text: str, *, order: Order | None = None) -> DistinguishedName:
    """Return the name that a person typed as *text*.

    Reads RFC 4514 and 2253 (nginx, Envoy, Go, LDAP), what ``openssl x509
    -subject`` prints (``C = FR, O = ACME`` and ``C=FR, O=ACME``), the old one-line
    form (``/C=FR/O=ACME``) and Java's ``toString``. *order* decides if a text
    could be in either direction.

    Raises:
        NameSyntaxError: not a name, an attribute type that is unknown or means
            different things to different programs, or a text with two readings.
    """
    text = _strip(text)
    if FORBIDDEN.search(text):
        raise NameSyntaxError("The name contains a line break or control character.")
    text, prefixes = _PREFIX.subn("", text)
    if not text:
        raise NameSyntaxError("The name is empty.")
    if _BESIDE_SURNAME.search(text):
        text = _SURNAME.sub(r"\1surname", text)
    if text.startswith("/"):
        return DistinguishedName(tuple(_parse_oneline(text)))
    rdns, spaced = _parse_rfc4514(text)
    if order is None:
        openssl = bool(prefixes or _SPACED_EQUALS.match(text))
        order = _find_order(rdns, spaced=spaced, openssl=openssl)
    if order is Order.MOST_SPECIFIC_FIRST:
        rdns.reverse()
    return DistinguishedName(tuple(rdns))


def _strip(text: str) -> str:
    """Return *text* without surrounding blanks; an escaped space is part of it.

    So is every other space of Unicode, which belongs to a value.
    """
    start = text.lstrip(_BLANKS)
    stripped = start.rstrip(_BLANKS)
    backslashes = len(stripped) - len(stripped.rstrip("\\"))
    escaped = backslashes % 2 == 1 and start[len(stripped) :][:1] == " "
    return stripped + " " if escaped else stripped


def _find_order(rdns: list[Rdn], *, spaced: bool, openssl: bool) -> Order:
    """Return the direction of a text, or refuse to guess.

    A comma without a space is RFC 4514: the most specific part comes first. With
    a space it may be Java (the same) or OpenSSL (the reverse); then the parts
    themselves decide.
    """
    if len(rdns) == 1:
        return Order.MOST_SPECIFIC_FIRST
    if openssl and spaced:
        return Order.MOST_GENERAL_FIRST
    first, last = (_RANK.get(rdn[0].oid) for rdn in (rdns[0], rdns[-1]))
    specific_first = first is not None and last is not None and first > last
    general_first = first is not None and last is not None and first < last
    if spaced and general_first:
        return Order.MOST_GENERAL_FIRST
    if specific_first or (not spaced and not general_first):
        return Order.MOST_SPECIFIC_FIRST
    raise NameSyntaxError(
        "The name can be read in two directions. Choose the order in which it is "
        "written, or upload the certificate instead."
    )


def _attribute_type(name: str) -> str:
    name = name.strip(" ")
    lowered = name.lower()
    if lowered.startswith("oid."):
        lowered = lowered[4:]
    if lowered in attribute_types.AMBIGUOUS_NAMES:
        raise NameSyntaxError(
            "“SN” is the surname for some programs and the serial number for others. "
            "Write “surname” or “serialNumber”."
        )
    if lowered in attribute_types.ALIASES:
        return attribute_types.ALIASES[lowered]
    if _DOTTED.fullmatch(lowered):
        try:
            encoded = der.encode_object_identifier(lowered)
            return der.object_identifier(der.read(encoded)[0])
        except der.DerError:
            pass
    raise NameSyntaxError(
        f"“{visible(name, 40)}” is not a known attribute type. Use its number, "
        "such as 2.5.4.3, or upload the certificate instead."
    )


def _text_attribute(oid: str, octets: bytes) -> Attribute:
    try:
        octets.decode()
    except UnicodeDecodeError:
        raise NameSyntaxError("A value is not valid UTF-8.") from None
    return Attribute(oid, der.UTF8_STRING, octets)


def _parse_oneline(text: str) -> list[Rdn]:
    """Parse ``/C=FR/O=ACME``: DER order, escaped only by newer OpenSSL.

    An older OpenSSL wrote a slash inside a value as it is, so a value that could
    hide another attribute has two readings and is refused.
    """
    rdns: list[Rdn] = []
    for segment in _UNESCAPED_SLASH.split(text[1:]):
        name, equals, raw = segment.partition("=")
        if not equals:
            raise NameSyntaxError(
                f"“{visible(segment, 40)}” has no “=”. A slash inside a value makes "
                "this form ambiguous: use RFC 4514 or upload the certificate."
            )
        oid = _attribute_type(name)
        for match in _ATTRIBUTE_INSIDE.finditer(raw):
            inside = match[1].lower()
            if (
                inside in attribute_types.ALIASES
                or inside in attribute_types.AMBIGUOUS_NAMES
                or _DOTTED.fullmatch(inside)
            ):
                raise NameSyntaxError(
                    f"“{visible(raw, 40)}” could hide another attribute in this "
                    "form. Use RFC 4514 or upload the certificate."
                )
        rdns.append((_text_attribute(oid, _unescape_oneline(raw)),))
    return rdns


def _unescape_oneline(raw: str) -> bytes:
    """Return the octets of a value; OpenSSL does not escape a backslash in it.

    So only its own escapes are read: ``\\xHH`` for an octet that is not printable
    ASCII, and the slash and the plus sign that newer versions escape.
    """
    octets = _ONELINE_ESCAPE.sub(
        lambda match: match[2] or bytes.fromhex(match[1].decode()),
        raw.encode("utf-8", "surrogatepass"),
    )
    if b"\\" in octets:
        raise NameSyntaxError(
            "A backslash makes this form ambiguous: use RFC 4514 or upload the "
            "certificate."
        )
    if b"\x00" in octets:
        raise NameSyntaxError(
            "This form cannot carry a name with octets of zero: use RFC 4514 or upload "
            "the certificate."
        )
    return octets


def _parse_rfc4514(text: str) -> tuple[list[Rdn], bool]:
    """Parse RFC 4514, with the additions of RFC 2253, RFC 1779 and OpenSSL.

    Return the parts as written, and whether spaces follow the commas.
    """
    rdns: list[Rdn] = []
    current: list[Attribute] = []
    spaced = set()
    position, separator = 0, "+"
    while separator:
        attribute, position = _parse_attribute(text, position)
        current.append(attribute)
        separator = text[position : position + 1]
        position += 1
        if separator != "+":
            rdns.append(tuple(current))
            current = []
        if separator in (",", ";"):
            spaced.add(text[position : position + 1] == " ")
    if len(spaced) > 1:
        raise NameSyntaxError("Some commas are followed by a space, some are not.")
    return rdns, True in spaced


def _parse_attribute(text: str, position: int) -> tuple[Attribute, int]:
    """Return the attribute at *position*, and the position of the separator after it.

    After the last attribute that is the end of *text*.
    """
    match = _ATTRIBUTE.match(text, position)
    if match is None:
        raise NameSyntaxError(
            f"“{visible(text[position:], 40)}” has no “=”: write parts as TYPE=value, "
            "and a comma inside a value as “\\,”."
        )
    name, digits, quoted, closed, plain = match.groups()
    oid = _attribute_type(name)
    if digits is not None:
        return _hex_attribute(oid, digits.strip(" ")), match.end()
    octets = _unescape(_strip(plain) if quoted is None else quoted)
    if quoted is not None and not closed:
        raise NameSyntaxError("A quote is not closed.")
    after = text[match.end() : match.end() + 1]
    if after not in ",;+":
        raise NameSyntaxError(
            "Text follows a closing quote."
            if closed
            else f"“{after}” inside a value needs a backslash."
        )
    return _text_attribute(oid, octets), match.end()


def _hex_attribute(oid: str, digits: str) -> Attribute:
    try:
        element, length = der.read(bytes.fromhex(digits))
    except ValueError as error:
        raise NameSyntaxError(f"“#” is not followed by DER: {error}.") from None
    if length * 2 != len(digits):
        raise NameSyntaxError("“#” is not followed by exactly one DER value.")
    return Attribute(oid, element.tag, element.content)


def _unescape(raw: str) -> bytes:
    """Return the octets of a value in RFC 4514."""
    octets = bytearray()
    for literal, pair, special in _ESCAPED.findall(raw):
        if not (literal or pair or special):
            raise NameSyntaxError("A backslash escapes nothing.")
        octets += bytes.fromhex(pair)
        octets += (literal or special).encode("utf-8", "surrogatepass")
    return bytes(octets)
