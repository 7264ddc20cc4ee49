"""Header text to DER for values that are not one PEM block: chains, base64, octets."""

from __future__ import annotations

import base64
import time
import timeit
import tracemalloc
from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_clientcert.exceptions import HeaderDecodeError, Reason
from django_clientcert.testing import ENCODERS as ALL_ENCODERS
from django_clientcert.testing import IssuedCertificate, ThrowawayCA, encode_pem
from django_clientcert.wire import CHAIN_ENCODINGS, DECODERS, MAX_CERTIFICATES
from tests import der_writer as w

# Those of one PEM block are tested in test_encodings.py.
ENCODERS = {
    name: encode
    for name, encode in ALL_ENCODERS.items()
    if name not in ("escaped_pem", "folded_pem", "pem")
}
CHAINS = sorted(CHAIN_ENCODINGS)
BARE = sorted(set(ENCODERS) - {"xfcc", "xfcc_two_hops"})

DER = w.tlv(w.SEQUENCE, w.tlv(w.OCTET_STRING, bytes(range(200))))
SECOND = w.tlv(w.SEQUENCE, w.tlv(w.OCTET_STRING, b"second"))
THIRD = w.tlv(w.SEQUENCE, w.tlv(w.OCTET_STRING, b"the third one"))

B64 = base64.b64encode(DER).decode()


def refused(name: str, value: str) -> Reason:
    """Return the reason for which *value* is refused."""
    with pytest.raises(HeaderDecodeError) as error:
        DECODERS[name](value)
    return error.value.reason


# --- every encoding --------------------------------------------------------------


@pytest.mark.parametrize("name", ENCODERS)
def test_what_the_program_writes(
    name: str, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """A real certificate, and its issuer if the encoding has room for a chain."""
    ders = (alice_cert.der, ca.der)
    value = ENCODERS[name](ders)
    assert DECODERS[name](value) == (ders if name in CHAIN_ENCODINGS else ders[:1])


@pytest.mark.parametrize("name", ENCODERS)
@given(st.integers(0, 3000))
def test_every_length(name: str, size: int) -> None:
    """Whatever the padding is."""
    encoded = w.tlv(w.SEQUENCE, bytes(size))
    assert DECODERS[name](ENCODERS[name]([encoded])) == (encoded,)


@pytest.mark.parametrize("name", CHAINS)
def test_the_order_stays(name: str) -> None:
    """The client's own first, whatever follows."""
    ders = (DER, SECOND, THIRD)
    assert DECODERS[name](ENCODERS[name](ders)) == ders
    assert DECODERS[name](ENCODERS[name](ders[::-1])) == ders[::-1]


@pytest.mark.parametrize("name", CHAINS)
def test_n12_no_more_than_a_chain_has(name: str) -> None:
    """N12: sixteen are read, and a seventeenth refuses all."""
    ders = [DER] + [SECOND] * (MAX_CERTIFICATES - 1)
    assert len(DECODERS[name](ENCODERS[name](ders))) == MAX_CERTIFICATES
    value = ENCODERS[name]([*ders, SECOND])
    assert refused(name, value) is Reason.MALFORMED_HEADER


OCTETS = {
    "n23 a byte after": DER + b"\0",
    "cut off": DER[:-1],
    "not a sequence": w.tlv(w.SET, b""),
    "indefinite length": b"\x30\x80\x00\x00",
    "n12 64 KiB claimed": b"\x30\x83\x01\x00\x00",
    "n12 4 GiB claimed": b"\x30\x84\xff\xff\xff\xff",
    "no DER": b"certificate",
}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("case", OCTETS)
def test_n23_exactly_one_certificate(name: str, case: str) -> None:
    """N12, N23: each value is exactly one complete certificate."""
    value = ENCODERS[name]([OCTETS[case]])
    assert refused(name, value) is Reason.MALFORMED_CERTIFICATE


@pytest.mark.parametrize("name", sorted(CHAIN_ENCODINGS - {"xfcc", "xfcc_two_hops"}))
@pytest.mark.parametrize("case", sorted(set(OCTETS) - {"n23 a byte after"}))
def test_n16_a_damaged_second_refuses_all(name: str, case: str) -> None:
    """N16: nothing is skipped, and nothing moves up."""
    value = ENCODERS[name]([DER, OCTETS[case]])
    assert refused(name, value) is Reason.MALFORMED_CERTIFICATE
    value = ENCODERS[name]([OCTETS[case], DER])
    assert refused(name, value) is Reason.MALFORMED_CERTIFICATE


SINGLE = sorted(set(ENCODERS) - CHAIN_ENCODINGS - {"latin1_der"})


@pytest.mark.parametrize(
    "name", [*SINGLE, "escaped_pem_chain", "base64_der_concatenated"]
)
@pytest.mark.parametrize("put", ["{0},{0}", "{0},", ",{0}", "{0}, {0}", "x,{0}", ","])
def test_n06_a_comma_is_two_headers(name: str, put: str) -> None:
    """N06: encodings of one certificate, or without commas."""
    value = put.format(ENCODERS[name]([DER]))
    assert refused(name, value) is Reason.AMBIGUOUS_HEADER


@pytest.mark.parametrize("name", ["base64_der_list", "escaped_base64_der_list"])
@pytest.mark.parametrize("put", ["{0},", ",{0}", "{0},,{0}", "{0}, {0}", ",", ""])
def test_an_empty_place_in_a_list_is_refused(name: str, put: str) -> None:
    """Two lines that were joined by a server, one of them empty."""
    value = put.format(ENCODERS[name]([DER]))
    assert refused(name, value) is Reason.MALFORMED_HEADER


# --- base64 ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(B64, id="as HAProxy writes it"),
        pytest.param(f'"{B64}"', id="in quotes"),
        pytest.param(B64[:64] + " " + B64[64:], id="a space for a line end"),
    ],
)
def test_base64_der(value: str) -> None:
    """One line, quotes around it, or the lines of a PEM body."""
    assert DECODERS["base64_der"](value) == (DER,)


NOT_BASE64 = {
    "nothing": "",
    "a word": "SPOOF",
    "n22 junk inside": B64[:9] + "!" + B64[9:],
    "n22 url alphabet": base64.urlsafe_b64encode(b"\x30\x03\xff\xfe\xfb").decode(),
    "n22 no padding": base64.b64encode(w.tlv(w.SEQUENCE, b"ab"))
    .decode()
    .rstrip("=")[:-1],
    "n22 too much padding": B64 + "====",
    "n22 pad bits": "MAB=",
    "n22 a line end": B64 + "\n",
    "n22 a line end inside": B64[:8] + "\n" + B64[8:],
    "n20 form encoding": "MAAA" + " " + " AAA",
    "two spaces": B64[:8] + "  " + B64[8:],
    "a tab": B64[:8] + "\t" + B64[8:],
    "one quote": f'"{B64}',
    "another letter": "é" + B64,
    "NUL": B64 + "\0",
    "PEM": encode_pem(DER).replace(",", ""),
}


@pytest.mark.parametrize(
    "name", ["base64_der", "base64_der_list", "base64_der_concatenated"]
)
@pytest.mark.parametrize("case", NOT_BASE64)
def test_n22_only_canonical_base64(name: str, case: str) -> None:
    """N22: what a lenient decoder skips, adds or forgives is refused."""
    assert refused(name, NOT_BASE64[case]) is Reason.MALFORMED_HEADER


@pytest.mark.parametrize("value", ["MAA%3D", "MA%41A", "MAA%3d", "%2BAA", "MAA+", "M%"])
def test_n21_only_what_query_escape_writes(value: str) -> None:
    """Go escapes three characters, in upper case; nothing else is undone."""
    if value == "MAA%3D":
        assert DECODERS["escaped_base64_der_list"](value) == (b"\x30\x00",)
        return
    reason = refused("escaped_base64_der_list", value)
    assert reason in (Reason.MALFORMED_HEADER, Reason.MALFORMED_CERTIFICATE)


def test_raw_traefik_is_not_escaped_traefik() -> None:
    """2.9.2 changed it: each is read as declared, and the other is refused."""
    der = w.tlv(w.SEQUENCE, b"\x00\xfb\xef\xbe\xff\xff\xff")
    raw = base64.b64encode(der).decode()
    assert "+" in raw
    assert "/" in raw
    assert refused("escaped_base64_der_list", raw) is Reason.MALFORMED_HEADER
    assert refused("base64_der_list", quote(raw, safe="")) is Reason.MALFORMED_HEADER


# --- PEM blocks together ---------------------------------------------------------

BLOCKS = encode_pem(DER) + encode_pem(SECOND)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(BLOCKS, id="LF"),
        pytest.param(BLOCKS.rstrip("\n"), id="no line end"),
        pytest.param(BLOCKS.replace("\n", "\r\n"), id="CRLF"),
    ],
)
def test_escaped_pem_chain(text: str) -> None:
    """As AWS writes it, and as RFC 3986 has it."""
    for safe in ("", "+=/"):
        value = quote(text, safe=safe)
        assert DECODERS["escaped_pem_chain"](value) == (DER, SECOND)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("\n" + BLOCKS, id="a line in front"),
        pytest.param(BLOCKS + "\n", id="a line after"),
        pytest.param(encode_pem(DER) + "\n" + encode_pem(SECOND), id="a line between"),
        pytest.param(encode_pem(DER) + "x\n" + encode_pem(SECOND), id="text between"),
        pytest.param(
            encode_pem(DER).rstrip("\n") + encode_pem(SECOND), id="nothing between"
        ),
        pytest.param(
            encode_pem(DER)
            + "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
            id="n17 a private key",
        ),
        pytest.param(
            BLOCKS.replace(" CERTIFICATE", " X509 CERTIFICATE"), id="n18 another label"
        ),
        pytest.param(BLOCKS.replace("\n", " "), id="n19 spaces"),
        pytest.param(BLOCKS.replace("\n", "\r\n", 1), id="n19 mixed line ends"),
    ],
)
def test_n15_to_n19_blocks_after_each_other(text: str) -> None:
    """Nothing around them, between them, or instead of them."""
    value = quote(text.replace(",", "."), safe="")
    assert refused("escaped_pem_chain", value) is Reason.MALFORMED_HEADER


# --- RFC 9440 --------------------------------------------------------------------


def test_n24_padding_may_be_missing() -> None:
    """RFC 8941, 4.2.7: a parser may take it; two equals signs too many it may not."""
    der = w.tlv(w.SEQUENCE, b"a")
    text = base64.b64encode(der).decode()
    assert not text.endswith("=")
    der = w.tlv(w.SEQUENCE, b"ab")
    text = base64.b64encode(der).decode()
    assert text.endswith("=")
    for name in ("rfc9440", "rfc9440_list"):
        assert DECODERS[name](f":{text}:") == (der,)
        assert DECODERS[name](f":{text.rstrip('=')}:") == (der,)
        assert DECODERS[name](f"  :{text}: ") == (der,)
        assert refused(name, f":{text}==:") is Reason.MALFORMED_HEADER


@pytest.mark.parametrize(
    "put",
    [
        "{0}",
        ":{0}",
        "{0}:",
        "::{0}::",
        ":{0}:;a=1",
        ":{0}:;a",
        "?1",
        '"{0}"',
        "(:{0}:)",
        ":{0}: :{0}:",
        ":",
        "::",
        "",
        ": {0}:",
    ],
)
def test_n24_one_byte_sequence(put: str) -> None:
    """N24: colons around it, no parameters, no inner list."""
    for name in ("rfc9440", "rfc9440_list"):
        value = put.format(B64)
        reason = refused(name, value)
        assert reason in (Reason.MALFORMED_HEADER, Reason.MALFORMED_CERTIFICATE)


@pytest.mark.parametrize("between", [",", ", ", " ,", "\t, \t"])
def test_a_list_of_byte_sequences(between: str) -> None:
    """RFC 8941, 4.2.1: optional white space around the comma."""
    second = base64.b64encode(SECOND).decode()
    value = f":{B64}:{between}:{second}:"
    assert DECODERS["rfc9440_list"](value) == (DER, SECOND)


@pytest.mark.parametrize("put", [":{0}:,", ",:{0}:", ":{0}:,,:{0}:"])
def test_a_list_without_holes(put: str) -> None:
    """RFC 8941, 4.2.1: no trailing comma."""
    value = put.format(B64)
    assert refused("rfc9440_list", value) is Reason.MALFORMED_HEADER


# --- octets ----------------------------------------------------------------------


def test_latin1_is_octets() -> None:
    """Every octet is a character; a character beyond is none."""
    der = w.tlv(w.SEQUENCE, w.tlv(w.OCTET_STRING, bytes(range(256))))
    assert DECODERS["latin1_der"](der.decode("latin-1")) == (der,)
    assert refused("latin1_der", "0\u20ac") is Reason.MALFORMED_HEADER
    assert refused("latin1_der", "") is Reason.MALFORMED_CERTIFICATE


# --- properties ------------------------------------------------------------------

PIECES = [
    B64,
    "MAA=",
    ":",
    ",",
    " ",
    ";",
    "=",
    "\\",
    '"',
    "%3D",
    "%",
    "Hash=" + "a" * 64,
    "Cert=",
    "Chain=",
    "URI=",
    "DNS=",
    "Subject=",
    "-----BEGIN%20CERTIFICATE-----%0AMAA%3D%0A-----END%20CERTIFICATE-----%0A",
]


@pytest.mark.parametrize("name", ENCODERS)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES)).map("".join)))
def test_raises_nothing_else(name: str, value: str) -> None:
    """Any text is certificates or a HeaderDecodeError."""
    with suppress(HeaderDecodeError):
        assert all(der[0] == w.SEQUENCE for der in DECODERS[name](value))


BIG = {
    "commas": "," * 65536,
    "colons": ":" * 65536,
    "percent signs": "%" * 30000,
    "escapes": "%41" * 20000,
    "quotes": '"' * 65536,
    "open quotes": 'Cert="' * 10000,
    "backslashes": 'Cert="' + "\\" * 65535,
    "keys": "a=" * 32768,
    "pairs": "URI=;" * 13000,
    "semicolons": "URI=;" + ";" * 65536,
    "letters": "a" * 65536,
    "hashes": "Hash=" + "a" * 65536,
    "nearly hashes": "hash=aaaa;" * 6000,
    "spaces": " " * 65536,
    "one MiB": "A" * 2**20,
    "little ones": "MAA=," * 13000,
    "little ones together": base64.b64encode(b"\x30\x00" * 20000).decode(),
}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("case", BIG)
def test_n12_bounded_work(name: str, case: str) -> None:
    """N12: absurd values cost little time, and memory in proportion."""
    value = BIG[case]

    def decode() -> None:
        with suppress(HeaderDecodeError):
            DECODERS[name](value)

    # What grows with the square takes minutes; a machine under load, a tenth of this.
    assert min(timeit.repeat(decode, number=1, repeat=5, timer=time.process_time)) < 0.5
    tracemalloc.start()
    decode()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * len(value) + 100_000
