"""A strict reader of DER (X.690), as far as certificates need it.

``cryptography`` reads a certificate's names and extensions all or nothing, so
one bad string hides the rest; and it re-encodes a public key. This reader returns
the bytes as encoded.
"""

from __future__ import annotations

from dataclasses import dataclass

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
UTF8_STRING = 0x0C
NUMERIC_STRING = 0x12
PRINTABLE_STRING = 0x13
T61_STRING = 0x14
IA5_STRING = 0x16
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
VISIBLE_STRING = 0x1A
UNIVERSAL_STRING = 0x1C
BMP_STRING = 0x1E
SEQUENCE = 0x30
SET = 0x31


class DerError(ValueError):
    """The bytes are not the expected DER."""


@dataclass(frozen=True)
class Element:
    """One tag, length and value; ``encoded`` is all three together."""

    tag: int
    content: bytes
    encoded: bytes


def span(data: bytes, offset: int, end: int) -> tuple[int, int, int]:
    """Return tag, start and stop of the content of the element at *offset*.

    Without a copy of the content.

    Raises:
        DerError: truncated at *end*, or an indefinite or non-minimal length
            (X.690, 10.1).
    """
    if offset + 2 > end:
        raise DerError("truncated")
    tag, size = data[offset], data[offset + 1]
    start = offset + 2
    if size >= 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4 or start + count > end:
            raise DerError("an indefinite or oversized length")
        size = int.from_bytes(data[start : start + count], "big")
        if size < 0x80 or size >> (8 * (count - 1)) == 0:
            raise DerError("a length that is not minimal")
        start += count
    if start + size > end:
        raise DerError("truncated")
    return tag, start, start + size


def read(data: bytes, offset: int = 0) -> tuple[Element, int]:
    """Return the element at *offset* and the offset after it.

    Raises:
        DerError: as ``span()``, or a tag above 30.
    """
    tag, start, stop = span(data, offset, len(data))
    if tag & 0x1F == 0x1F:
        raise DerError("a tag number above 30")
    return Element(tag, data[start:stop], data[offset:stop]), stop


def read_all(data: bytes) -> list[Element]:
    """Return the elements that fill *data* exactly."""
    elements, offset = [], 0
    while offset < len(data):
        element, offset = read(data, offset)
        elements.append(element)
    return elements


def only(data: bytes, tag: int) -> Element:
    """Return the one element that fills *data*, which must have *tag*."""
    element, end = read(data)
    if end != len(data):
        raise DerError("bytes after the element")
    if element.tag != tag:
        raise DerError(f"tag {element.tag:#04x} instead of {tag:#04x}")
    return element


def children(data: bytes, tag: int = SEQUENCE) -> list[Element]:
    """Return the elements inside the one element of *tag* that fills *data*."""
    return read_all(only(data, tag).content)


def encode(tag: int, content: bytes) -> bytes:
    """Return the DER (tag, length, value) of *content*."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def object_identifier(element: Element) -> str:
    """Return the dotted form of an OBJECT IDENTIFIER (X.690, 8.19)."""
    content = element.content
    if element.tag != OBJECT_IDENTIFIER:
        raise DerError(f"tag {element.tag:#04x} instead of an object identifier")
    if not content or content[-1] & 0x80:
        raise DerError("truncated object identifier")
    arcs: list[int] = []
    value, fresh = 0, True
    for octet in content:
        if fresh and octet == 0x80:
            raise DerError("an object identifier that is not minimal")
        value = value << 7 | octet & 0x7F
        fresh = not octet & 0x80
        if fresh:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


def encode_object_identifier(dotted: str) -> bytes:
    """Return the DER (tag, length, value) of a dotted object identifier."""
    try:
        arcs = [int(arc) for arc in dotted.split(".")]
    except ValueError:
        raise DerError(f"not an object identifier: {dotted!r}") from None
    if len(arcs) < 2 or min(arcs) < 0 or arcs[0] > 2 or (arcs[0] < 2 and arcs[1] > 39):
        raise DerError(f"not an object identifier: {dotted!r}")
    content = b""
    for arc in (arcs[0] * 40 + arcs[1], *arcs[2:]):
        octets = [arc & 0x7F]
        while arc := arc >> 7:
            octets.append(arc & 0x7F | 0x80)
        content += bytes(reversed(octets))
    if len(content) > 0x7F:
        raise DerError("an object identifier that is too long")
    return encode(OBJECT_IDENTIFIER, content)


def integer(content: bytes) -> int:
    """Return the value of an INTEGER's *content*; it may be negative."""
    if not content:
        raise DerError("an empty integer")
    return int.from_bytes(content, "big", signed=True)


def boolean(content: bytes) -> bool:
    """Return the value of a BOOLEAN's *content*: DER allows only 00 and FF."""
    if content not in (b"\x00", b"\xff"):
        raise DerError("a boolean that is neither 00 nor FF")
    return content == b"\xff"


def set_bits(content: bytes) -> frozenset[int]:
    """Return the numbers of the bits that a BIT STRING's *content* sets."""
    if not content or content[0] > 7:
        raise DerError("not a bit string")
    bits = "".join(f"{octet:08b}" for octet in content[1:])
    return frozenset(number for number, bit in enumerate(bits) if bit == "1")


# tag -> codec of the text inside; T61String is deliberately missing: producers put
# Latin-1, T.61 and anything else into it, so its text is ambiguous.
TEXT_CODECS = {
    UTF8_STRING: "utf-8",
    NUMERIC_STRING: "ascii",
    PRINTABLE_STRING: "ascii",
    IA5_STRING: "ascii",
    VISIBLE_STRING: "ascii",
    BMP_STRING: "utf-16-be",
    UNIVERSAL_STRING: "utf-32-be",
}


def text(element: Element) -> str:
    """Return the text of a string element.

    Raises:
        DerError: not a string type of known encoding, or bytes that are not
            valid in it.
    """
    codec = TEXT_CODECS.get(element.tag)
    if codec is None:
        raise DerError(f"tag {element.tag:#04x} is not a string of known encoding")
    try:
        return element.content.decode(codec)
    except UnicodeDecodeError as error:
        raise DerError(f"not valid {codec}: {error.reason}") from None
