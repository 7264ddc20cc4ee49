"""The reader of DER, and the writer the tests use, held against each other."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_clientcert.testing import ThrowawayCA, encode_pem
from django_clientcert.x509 import der
from django_clientcert.x509.der import DerError, Element
from tests import der_writer as w

READERS: dict[str, Callable[[bytes], object]] = {
    "read": der.read,
    "read_all": der.read_all,
    "only": lambda data: der.only(data, der.SEQUENCE),
    "children": der.children,
    "object_identifier": lambda data: der.object_identifier(
        Element(der.OBJECT_IDENTIFIER, data, b"")
    ),
    "integer": der.integer,
    "boolean": der.boolean,
}


@pytest.mark.parametrize("reader", READERS)
@given(st.binary(max_size=80))
def test_n12_raises_nothing_else(reader: str, data: bytes) -> None:
    """N12: whatever the bytes are, there is a result or a DerError."""
    with suppress(DerError):
        READERS[reader](data)


@given(st.integers(0, 255), st.binary(max_size=40), st.binary(max_size=4))
def test_text_raises_nothing_else(tag: int, content: bytes, encoded: bytes) -> None:
    """A string is text or a DerError."""
    with suppress(DerError):
        assert isinstance(der.text(Element(tag, content, encoded)), str)


tags = st.integers(0, 255).filter(lambda tag: tag & 0x1F != 0x1F)
sizes = st.sampled_from([0, 1, 127, 128, 129, 255, 256, 257, 65535, 65536])


@given(tags, sizes, st.binary(max_size=3))
def test_what_is_written_is_read(tag: int, size: int, behind: bytes) -> None:
    """Every length, short and long, is read back; the bytes after it are left."""
    content = bytes(size)
    encoded = w.tlv(tag, content)
    assert der.read(encoded + behind) == (Element(tag, content, encoded), len(encoded))
    assert der.read(b"ab" + encoded, 2)[0].content == content
    assert der.read_all(encoded * 2) == [Element(tag, content, encoded)] * 2
    assert der.only(encoded, tag).content == content


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("", id="nothing"),
        pytest.param("30", id="no length"),
        pytest.param("3001", id="no content"),
        pytest.param("308102", id="one length octet, no content"),
        pytest.param("3082", id="length octets missing"),
        pytest.param("308201", id="one length octet missing"),
        pytest.param("3080", id="indefinite"),
        pytest.param("30800000", id="indefinite, closed"),
        pytest.param("30ff", id="reserved length"),
        pytest.param("3085" + "0000000001" + "00", id="five length octets"),
        pytest.param("30817f" + "00" * 127, id="127 in the long form"),
        pytest.param("308200ff" + "00" * 255, id="leading zero in the length"),
        pytest.param("3084ffffffff", id="four gigabytes claimed"),
        pytest.param("3f8101" + "00", id="high tag number"),
        pytest.param("1f0100", id="high tag number, primitive"),
    ],
)
def test_n12_read_refuses(data: str) -> None:
    """N12: truncated or non-minimal DER is refused before anything is copied."""
    with pytest.raises(DerError):
        der.read(bytes.fromhex(data))


def test_only_and_children() -> None:
    """Exactly one element, of the tag that was asked for."""
    inner = w.tlv(w.INTEGER, b"\1")
    assert (
        der.children(w.tlv(w.SEQUENCE, inner, inner))
        == [Element(w.INTEGER, b"\1", inner)] * 2
    )
    assert der.children(w.tlv(w.SET), der.SET) == []
    with pytest.raises(DerError, match="after"):
        der.only(inner + b"\0", der.INTEGER)
    with pytest.raises(DerError, match="0x02 instead of 0x30"):
        der.children(inner)


@pytest.mark.parametrize(
    ("dotted", "encoded"),
    [
        ("0.0", "060100"),
        ("0.39", "060127"),
        ("1.0", "060128"),
        ("1.39", "06014f"),
        ("2.0", "060150"),
        ("2.5.4.3", "0603550403"),
        ("2.999.1", "0603883701"),
        ("1.2.840.113549.1.9.1", "06092a864886f70d010901"),
        ("2.5.29.37.0", "0604551d2500"),
        ("1.2.128", "06032a8100"),
    ],
)
def test_object_identifiers(dotted: str, encoded: str) -> None:
    """X.690, 8.19: both directions, and the other writer."""
    assert der.encode_object_identifier(dotted).hex() == encoded
    assert der.object_identifier(der.read(bytes.fromhex(encoded))[0]) == dotted
    assert w.oid(dotted).hex() == encoded


@given(
    st.integers(0, 2),
    st.integers(0, 39),
    st.lists(st.integers(0, 2**70), max_size=6),
)
def test_object_identifiers_lead_back(first: int, second: int, rest: list[int]) -> None:
    """Arcs of any size."""
    dotted = ".".join(str(arc) for arc in (first, second, *rest))
    encoded = der.encode_object_identifier(dotted)
    assert encoded == w.oid(dotted)
    assert der.object_identifier(der.read(encoded)[0]) == dotted


@pytest.mark.parametrize("content", ["", "80", "5580", "558001", "ff", "2a8001"])
def test_object_identifier_refuses(content: str) -> None:
    """Cut off, or an arc that begins with zeros."""
    with pytest.raises(DerError):
        der.object_identifier(
            Element(der.OBJECT_IDENTIFIER, bytes.fromhex(content), b"")
        )


def test_object_identifier_refuses_another_type() -> None:
    """The content of another type could look like one."""
    with pytest.raises(DerError, match="0x04 instead of an object identifier"):
        der.object_identifier(der.read(b"\4\3\x55\4\3")[0])


@pytest.mark.parametrize(
    "dotted",
    [
        *("", "1", "a.b", "1.", ".1", "1..2", "3.1", "1.40", "0.40", "-1.2", "1.-2"),
        "1.2.-3",
        "1.2." + "9" * 300,
        "1.2." + "9" * 9000,
        "1.2" + ".1" * 127,
    ],
    ids=lambda dotted: dotted[:12] or "nothing",
)
def test_encode_object_identifier_refuses(dotted: str) -> None:
    """Not an identifier, or too long for a short length."""
    with pytest.raises(DerError):
        der.encode_object_identifier(dotted)


@given(st.integers(-(2**200), 2**200))
def test_integers_lead_back(value: int) -> None:
    """Of any size and sign."""
    encoded = w.integer(value)
    assert der.integer(der.only(encoded, der.INTEGER).content) == value


@pytest.mark.parametrize(
    ("content", "value"), [("00", 0), ("ff", -1), ("80", -128), ("0080", 128)]
)
def test_integer(content: str, value: int) -> None:
    """Two's complement."""
    assert der.integer(bytes.fromhex(content)) == value
    assert w.integer(value)[2:].hex() == content


def test_integer_refuses_nothing_at_all() -> None:
    """An INTEGER has at least one octet."""
    with pytest.raises(DerError):
        der.integer(b"")


@pytest.mark.parametrize(("content", "value"), [("00", False), ("ff", True)])
def test_boolean(content: str, value: bool) -> None:
    """DER knows two values only."""
    assert der.boolean(bytes.fromhex(content)) is value


@pytest.mark.parametrize("content", ["", "01", "0000", "ffff"])
def test_boolean_refuses(content: str) -> None:
    """BER's other truths are not DER."""
    with pytest.raises(DerError):
        der.boolean(bytes.fromhex(content))


@pytest.mark.parametrize(
    ("tag", "codec"),
    [
        (w.UTF8, "utf-8"),
        (w.NUMERIC, "ascii"),
        (w.PRINTABLE, "ascii"),
        (w.IA5, "ascii"),
        (w.VISIBLE, "ascii"),
        (w.BMP, "utf-16-be"),
        (w.UNIVERSAL, "utf-32-be"),
    ],
)
def test_text(tag: int, codec: str) -> None:
    """Every string type whose text is known."""
    text = "123" if codec == "ascii" else "Josÿ€"
    element = der.read(w.tlv(tag, text.encode(codec)))[0]
    assert der.text(element) == text


@pytest.mark.parametrize(
    ("tag", "content"),
    [
        pytest.param(w.T61, b"a", id="T61"),
        pytest.param(w.OCTET_STRING, b"a", id="no string"),
        pytest.param(w.UTF8, b"\xff", id="UTF-8"),
        pytest.param(w.UTF8, b"\xc0\x80", id="overlong UTF-8"),
        pytest.param(w.IA5, b"\x80", id="IA5"),
        pytest.param(w.BMP, b"\xdc\x00", id="lone surrogate"),
        pytest.param(w.BMP, b"a", id="half a character"),
        pytest.param(w.UNIVERSAL, b"\x00\x00\xd8\x00", id="surrogate in UCS-4"),
    ],
)
def test_n26_text_refuses(tag: int, content: bytes) -> None:
    """N26: a type whose text is a guess, and bytes that are not valid in theirs."""
    with pytest.raises(DerError):
        der.text(Element(tag, content, b""))


@pytest.mark.needs_program("openssl")
@pytest.mark.parametrize("key", ["p256", "rsa2048", "ed25519"])
def test_what_the_writer_writes_verifies(key: str, tmp_path: Path) -> None:
    """OpenSSL accepts a plain certificate of the tests' writer."""
    ca = ThrowawayCA.create("Writer CA", key=key)
    authority, leaf = tmp_path / "ca.pem", tmp_path / "leaf.pem"
    authority.write_text(ca.pem, "ascii")
    leaf.write_text(encode_pem(w.certificate(ca)), "ascii")
    done = subprocess.run(
        ["openssl", "verify", "-CAfile", str(authority), str(leaf)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout.endswith(": OK\n"), done.stderr
