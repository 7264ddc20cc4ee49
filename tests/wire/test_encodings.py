"""One PEM block in a header: what nginx writes is read, and nothing else."""

from __future__ import annotations

import base64
import random
import ssl
import time
import timeit
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_clientcert.exceptions import HeaderDecodeError, Reason
from django_clientcert.testing import (
    IssuedCertificate,
    ThrowawayCA,
    encode_escaped_pem,
    encode_pem,
)
from django_clientcert.wire import (
    DECODERS,
    decode_escaped_pem,
    decode_folded_pem,
    decode_pem,
    is_absent,
)
from django_clientcert.wire.encodings import pem
from django_clientcert.wire.encodings.values import unquote as unquote_whole
from tests import der_writer as w

from .test_other_encodings import ENCODERS as OTHERS

DER = w.tlv(w.SEQUENCE, w.tlv(w.OCTET_STRING, bytes(range(200))))
PEM = encode_pem(DER)
BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def fold(pem: str, mark: str = "\n\t") -> str:
    """Return *pem* as a header whose lines are joined by *mark*."""
    return pem.strip().replace("\n", mark)


ENCODERS: dict[str, Callable[[str], str]] = {
    "escaped_pem": lambda pem: quote(pem, safe=""),
    "folded_pem": fold,
    "pem": lambda pem: pem,
}


def refused(name: str, value: str) -> Reason:
    """Return the reason for which *value* is refused."""
    with pytest.raises(HeaderDecodeError) as error:
        DECODERS[name](value)
    return error.value.reason


def test_every_decoder_is_tested() -> None:
    """Here, or on the page of the others: a new encoding gets its rows."""
    assert {*ENCODERS, *OTHERS} == set(DECODERS)


@pytest.mark.parametrize("name", ENCODERS)
def test_what_the_proxy_writes(name: str, alice_cert: IssuedCertificate) -> None:
    """A real certificate, as nginx hands it over."""
    value = ENCODERS[name](alice_cert.pem)
    assert DECODERS[name](value) == (alice_cert.der,)


@pytest.mark.parametrize("name", ENCODERS)
@given(st.integers(0, 5000))
def test_every_length(name: str, size: int) -> None:
    """Whatever the padding and the last line are."""
    encoded = w.tlv(w.SEQUENCE, bytes(size))
    assert DECODERS[name](ENCODERS[name](encode_pem(encoded))) == (encoded,)


# --- $ssl_client_escaped_cert -----------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(quote(PEM, safe=""), id="as nginx writes it"),
        pytest.param(quote(PEM.rstrip("\n"), safe=""), id="no line end"),
        pytest.param(quote(PEM, safe="+/="), id="+ / = as they are"),
        pytest.param(quote(PEM.replace("\n", "\r\n"), safe=""), id="CRLF"),
        pytest.param("".join(f"%{ord(char):02X}" for char in PEM), id="all escaped"),
    ],
)
def test_escaped_pem(value: str) -> None:
    """Any percent-encoding of the one block is the same block."""
    assert decode_escaped_pem(value) == (DER,)


def test_escaped_pem_in_lower_case_hex() -> None:
    """RFC 3986, 2.1: the case of the digits does not matter."""
    value = quote(PEM, safe="").replace("%0A", "%0a").replace("%3D", "%3d")
    assert decode_escaped_pem(value) == (DER,)


def test_n20_a_plus_sign_stays() -> None:
    """N20: percent-encoding is not form encoding."""
    encoded = w.tlv(w.SEQUENCE, w.tlv(w.OCTET_STRING, b"\xef\xbe\xfb" * 20))
    pem = encode_pem(encoded)
    assert "+" in pem
    assert decode_escaped_pem(quote(pem, safe="")) == (encoded,)
    assert decode_escaped_pem(quote(pem, safe="+")) == (encoded,)
    spaced = quote(pem, safe="").replace("%2B", "%20")
    assert refused("escaped_pem", spaced) is Reason.MALFORMED_HEADER


@pytest.mark.parametrize("name", ["escaped_pem", "folded_pem"])
@pytest.mark.parametrize("put", ["{0},{0}", "{0},", ",{0}", "{0},x", "x,{0}", ","])
def test_n06_a_comma_is_two_headers(name: str, put: str) -> None:
    """N06: what two header lines become is ambiguous, in either order."""
    value = put.format(ENCODERS[name](PEM))
    assert refused(name, value) is Reason.AMBIGUOUS_HEADER


ESCAPED = quote(PEM, safe="")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="nothing"),
        pytest.param("SPOOF1", id="a word"),
        pytest.param(PEM, id="not escaped"),
        pytest.param(ESCAPED + "%", id="a percent sign at the end"),
        pytest.param(ESCAPED + "%0", id="half an escape"),
        pytest.param(ESCAPED.replace("%0A", "%zz"), id="no hex"),
        pytest.param(ESCAPED.replace("%0A", "%ff"), id="not ASCII"),
        pytest.param(ESCAPED.replace("%0A", "%C3%A9"), id="UTF-8"),
        pytest.param(quote(ESCAPED, safe=""), id="escaped twice"),
        pytest.param(ESCAPED.replace("%2B", "%252B").replace("M", "%254D"), id="%25"),
        pytest.param(ESCAPED.replace("%20", " "), id="a space"),
        pytest.param(ESCAPED.replace("%20", "+"), id="form encoding"),
        pytest.param(ESCAPED + "\n", id="a line feed"),
        pytest.param(ESCAPED + "\u00e9", id="another character"),
        pytest.param(ESCAPED + "%00", id="NUL"),
        pytest.param('"' + ESCAPED + '"', id="quotes"),
        pytest.param(ESCAPED + ESCAPED, id="two blocks"),
        pytest.param("%0A" + ESCAPED, id="a line end in front"),
        pytest.param(ESCAPED + "%0A", id="two line ends"),
    ],
)
def test_n21_escaped_pem_refuses(value: str) -> None:
    """N21: an escape that is none, or doubled, is refused and not repaired."""
    assert refused("escaped_pem", value) is Reason.MALFORMED_HEADER


# --- the block --------------------------------------------------------------------

LINES = PEM.splitlines()
BODY = "".join(LINES[1:-1])
OTHER = encode_pem(w.tlv(w.SEQUENCE))
DAMAGED = PEM.replace(LINES[1], "!" + LINES[1][1:])
KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQA=\n-----END PRIVATE KEY-----\n"

NOT_ONE_BLOCK = {
    "n15_two_blocks": PEM + OTHER,
    "n15_the_same_twice": PEM + PEM,
    "n16_damaged_then_good": DAMAGED + OTHER,
    "n16_good_then_damaged": OTHER + DAMAGED,
    "n16_no_end_then_good": PEM.replace(END + "\n", "") + OTHER,
    "n17_text_in_front": "subject=CN = alice\n" + PEM,
    "n17_text_after": PEM + "trailing",
    "n17_line_before": "\n" + PEM,
    "n17_line_after": PEM + "\n",
    "n17_private_key_in_front": KEY + PEM,
    "n17_private_key_after": PEM + KEY,
    "n17_private_key": KEY,
    "n18_rfc1421_headers": PEM.replace(
        BEGIN + "\n", BEGIN + "\nProc-Type: 4,ENCRYPTED\n\n"
    ),
    "n18_x509_label": PEM.replace(" CERTIFICATE", " X509 CERTIFICATE"),
    "n18_trusted_label": PEM.replace(" CERTIFICATE", " TRUSTED CERTIFICATE"),
    "n18_pkcs7_label": PEM.replace(" CERTIFICATE", " PKCS7"),
    "n18_lower_case_label": PEM.replace("CERTIFICATE", "certificate"),
    "n18_labels_differ": PEM.replace("END CERTIFICATE", "END X509 CERTIFICATE"),
    "n18_four_hyphens": PEM.replace("-----", "----"),
    "n18_no_labels": BODY,
    "n18_only_begin": BEGIN,
    "n18_only_labels": f"{BEGIN}\n{END}\n",
    "n18_blank_body": f"{BEGIN}\n\n{END}\n",
    "n22_junk_inside": PEM.replace(LINES[2], LINES[2][:9] + "!" + LINES[2][9:]),
    "n22_hyphen_inside": PEM.replace(LINES[2], LINES[2][:9] + "-" + LINES[2][9:]),
    "n22_url_alphabet": PEM.replace("+", "-").replace("/", "_"),
    "n22_blank_line": PEM.replace(LINES[2], "\n" + LINES[2]),
    "n22_padding_inside": PEM.replace(LINES[1], LINES[1][:-2] + "=="),
    "n22_no_padding": f"{BEGIN}\n{base64.b64encode(w.tlv(48)).decode()[:-1]}\n{END}",
    "n22_too_much_padding": PEM.replace("\n" + END, "=\n" + END),
    "n22_pad_bits": f"{BEGIN}\nMAB=\n{END}\n",
    "n22_pad_bits_of_two": f"{BEGIN}\nMAQwAT==\n{END}\n",
    "n22_cut_off": f"{BEGIN}\n{BODY[:-5]}\n{END}\n",
}


@pytest.mark.parametrize(
    ("name", "case"),
    [
        (name, case)
        for name in ENCODERS
        for case in NOT_ONE_BLOCK
        # Servers put spaces around a folded value.
        if name != "folded_pem" or case not in {"n17_line_before", "n17_line_after"}
    ],
)
def test_n15_to_n22_exactly_one_block(name: str, case: str) -> None:
    """N15-N18, N22: one CERTIFICATE block of canonical base64, nothing around it."""
    # A comma is another reason, with a test of its own.
    value = ENCODERS[name](NOT_ONE_BLOCK[case].replace(",", "."))
    assert refused(name, value) is Reason.MALFORMED_HEADER


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(DER + b"\0", id="n23 a byte after"),
        pytest.param(DER + DER, id="n23 two"),
        pytest.param(DER[:-1], id="cut off"),
        pytest.param(w.tlv(w.SET, b""), id="not a sequence"),
        pytest.param(b"\x30\x80\x00\x00", id="indefinite length"),
        pytest.param(b"\x30\x83\x01\x00\x00", id="n12 64 KiB claimed"),
        pytest.param(b"\x30\x84\xff\xff\xff\xff", id="n12 4 GiB claimed"),
        pytest.param(b"certificate", id="no DER"),
    ],
)
def test_n23_exactly_one_certificate(name: str, octets: bytes) -> None:
    """N12, N23: the base64 holds exactly one complete DER value."""
    value = ENCODERS[name](encode_pem(octets))
    assert refused(name, value) is Reason.MALFORMED_CERTIFICATE


def test_n17_a_private_key_is_not_repeated() -> None:
    """N17: what was in the header is not in the error."""
    for name, encoder in ENCODERS.items():
        with pytest.raises(HeaderDecodeError) as error:
            DECODERS[name](encoder(KEY + PEM))
        assert "MC4CAQA" not in str(error.value)


# --- line ends --------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(PEM, id="LF"),
        pytest.param(PEM.rstrip("\n"), id="no line end"),
        pytest.param(PEM.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(f"{BEGIN}\n{BODY}\n{END}\n", id="one long line"),
    ],
)
def test_pem(value: str) -> None:
    """Real line ends."""
    assert decode_pem(value) == (DER,)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(PEM.replace("\n", " "), id="spaces"),
        pytest.param(PEM.replace("\n", "\t"), id="tabs"),
        pytest.param(PEM.replace("\n", "\n\t"), id="folded"),
        pytest.param(PEM.replace("\n", ""), id="nothing"),
        pytest.param(PEM.replace("\n", "\r"), id="CR"),
        pytest.param(PEM.replace("\n", "\r\n", 1), id="mixed"),
        pytest.param(PEM.replace("\n", "\n\n"), id="double"),
        pytest.param(PEM.replace("\n", " \n"), id="spaces at the end"),
        pytest.param(PEM.replace("\n", "\n "), id="spaces in front"),
        pytest.param(PEM.replace("\n", "\x0b"), id="vertical tab"),
        pytest.param(PEM.replace("\n", "\u2028"), id="Unicode's line end"),
    ],
)
def test_n19_pem_refuses_other_line_ends(value: str) -> None:
    """N19: only what the declared encoding allows."""
    assert refused("pem", value) is Reason.MALFORMED_HEADER
    assert refused("escaped_pem", quote(value, safe="")) is Reason.MALFORMED_HEADER


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(fold(PEM), id="as nginx writes it"),
        pytest.param(fold(PEM, "\n "), id="LF, space"),
        pytest.param(fold(PEM, " "), id="spaces"),
        pytest.param(fold(PEM, "\t"), id="tabs"),
        pytest.param(fold(PEM) + "\n", id="a line end after"),
        pytest.param(" " + fold(PEM, " ") + " ", id="spaces around"),
    ],
)
def test_folded_pem(value: str) -> None:
    """A folded line, and what servers make of it."""
    assert decode_folded_pem(value) == (DER,)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="nothing"),
        pytest.param(PEM, id="bare line feeds"),
        pytest.param(fold(PEM, "\r\n\t"), id="CRLF, tab"),
        pytest.param(fold(PEM, "\n\t\t"), id="two tabs"),
        pytest.param(fold(PEM, "  "), id="two spaces"),
        pytest.param(fold(PEM, "\u00a0"), id="no-break spaces"),
        pytest.param(f"{BEGIN}{BODY} {END}", id="label on the first line"),
        pytest.param(f"{BEGIN} {BODY}{END}", id="label on the last line"),
        pytest.param(ESCAPED, id="escaped"),
    ],
)
def test_n19_folded_pem_refuses(value: str) -> None:
    """N19: one fold for each line end, and nothing else."""
    assert refused("folded_pem", value) is Reason.MALFORMED_HEADER


# --- properties -------------------------------------------------------------------

BASE64 = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
PIECES = [BEGIN, END, "\n", "\t", " ", "%0A", "%20", "%", "=", "+", "MAA=", BODY, ","]


@pytest.mark.parametrize("name", ENCODERS)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES)).map("".join)))
def test_raises_nothing_else(name: str, value: str) -> None:
    """Any text is certificates or a HeaderDecodeError."""
    with suppress(HeaderDecodeError):
        assert all(der[0] == w.SEQUENCE for der in DECODERS[name](value))


@pytest.mark.parametrize("name", ENCODERS)
@given(st.data())
def test_one_changed_character_is_seen(name: str, data: st.DataObject) -> None:
    """No two values mean the same certificate but for spelling out the escapes.

    Another certificate is possible if the base64 itself was changed.
    """
    value = ENCODERS[name](PEM)
    at = data.draw(st.integers(0, len(value) - 1))
    character = data.draw(st.characters(codec="latin-1"))
    changed = value[:at] + character + value[at + 1 :]
    try:
        decoded = DECODERS[name](changed)
    except HeaderDecodeError:
        return
    if decoded != (DER,):
        assert character in BASE64
        return
    assert (
        changed == value
        or {character, value[at]} <= set(" \t\n")
        or (name == "escaped_pem" and unquote(changed) == PEM)
    )


@given(
    st.lists(st.sampled_from(["%41", "%2b", "%0A", "%3D", "a", "=", "+", "~", "%00"]))
)
def test_unquoting_is_the_library_s(pieces: list[str]) -> None:
    """The fast way gives what urllib gives, for every value with whole escapes."""
    value = "".join(pieces)
    assert unquote_whole(value) == unquote_to_bytes(value)


BIG = {
    "commas": "," * 65536,
    "percent signs": "%" * 30000,
    "escapes": "%41" * 20000,
    "one MiB": "A" * 2**20,
    "labels": (BEGIN + "\n") * 2000,
    "short lines": f"{BEGIN}\n" + "MAA=\n" * 10000 + END,
    "blank lines": BEGIN + "\n" * 50000 + END,
    "folds": BEGIN + "\n\t" * 25000 + END,
    "spaces": " " * 65536,
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
    # A list of very short lines costs most: some 60 bytes per line.
    assert peak < 16 * len(value) + 100_000


def test_n13_large_certificates_fit(ca: ThrowawayCA) -> None:
    """N13: a header of some 10,900 bytes, as post-quantum keys will have."""
    padding = w.extension("1.2.3.4", w.tlv(w.OCTET_STRING, bytes(7300)))
    encoded = w.certificate(ca, extensions=[*w.CLIENT_EXTENSIONS, padding])
    value = encode_escaped_pem(encoded)
    assert 10_500 < len(value) < 16_384
    assert decode_escaped_pem(value) == (encoded,)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(fold(PEM, ""), id="nothing"),
        pytest.param(fold(PEM, r"\n"), id="line feeds written out"),
        pytest.param(fold(PEM, r"\r\n"), id="both written out"),
        pytest.param(fold(PEM, r"\n") + r"\n", id="one at the end"),
        pytest.param(fold(PEM, " ") + r"\r\n ", id="both at the end"),
    ],
)
def test_r03_line_ends_that_a_balancer_has_replaced(value: str) -> None:
    """No label and no base64 has a backslash, and no base64 a hyphen."""
    assert DECODERS["folded_pem"](value) == (DER,)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(fold(PEM, r"\x"), id="another escape"),
        pytest.param(fold(PEM, r"\n\n"), id="empty lines"),
        pytest.param(fold(PEM, "") + fold(PEM, ""), id="two blocks"),
        pytest.param(fold(PEM, "-"), id="hyphens"),
        pytest.param(fold(PEM, "")[:-1], id="four hyphens"),
    ],
)
def test_r03_nothing_else_is_forgiven(value: str) -> None:
    """A value is accepted as a whole or not at all."""
    with pytest.raises(HeaderDecodeError):
        DECODERS["folded_pem"](value)


def test_r03_base64_of_pem_is_an_encoding() -> None:
    """And under base64 of DER, the message says so."""
    value = base64.b64encode(PEM.encode()).decode()
    assert DECODERS["base64_pem"](value) == (DER,)
    with pytest.raises(HeaderDecodeError, match="which is the encoding base64_pem"):
        DECODERS["base64_der"](value)
    for wrong in (
        base64.b64encode(DER).decode(),
        value + value,
        value[:-4],
        f" {value}",
    ):
        with pytest.raises(HeaderDecodeError):
            DECODERS["base64_pem"](wrong)


@pytest.mark.parametrize(
    ("value", "absent"),
    [
        ("-----BEGIN CERTIFICATE----------END CERTIFICATE-----", True),
        ("-----BEGIN CERTIFICATE----- -----END CERTIFICATE-----", True),
        ("-----BEGIN CERTIFICATE-----\n\t-----END CERTIFICATE-----\n\t", True),
        ("-----BEGIN CERTIFICATE-----MA==-----END CERTIFICATE-----", False),
        ("-----BEGIN CERTIFICATE-----", False),
        ("-----", False),
        ("-", True),
    ],
)
def test_r03_an_empty_block_is_no_certificate(value: str, absent: bool) -> None:
    """Hand-made headers have one for each visitor without a certificate."""
    assert is_absent(value) is absent


# --- nginx's own writing ---------------------------------------------------------


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_the_short_way_reads_what_nginx_writes(kind: str) -> None:
    """With and without the line feed at the end; it is the usual way otherwise."""
    for _ in range(8):  # base64 of every length
        issued = ThrowawayCA.create().issue("a" * random.randint(1, 9), key=kind)
        value = quote(issued.pem, safe="")
        assert pem._decode_usual(value) == issued.der
        assert pem._decode_usual(value.removesuffix("%0A")) == issued.der


_MARKS = ["%", "%%", "%0", "%0A", "%0a", "%0D%0A", "%3D", "=", "%2b", "+", " ", "\n"]
_MARKS += ["\r", "%\r", "A", ",", "é", "%00", "-", "-----END%20CERTIFICATE-----"]


@given(data=st.data())
@settings(max_examples=2000, deadline=None)
def test_the_short_way_takes_no_other_writing(
    alice_cert: IssuedCertificate, data: Any
) -> None:
    """What it accepts, the strict way does too, with the same octets."""
    value = quote(alice_cert.pem, safe="")
    place = data.draw(st.integers(0, len(value)))
    # What is replaced; nothing, if it is inserted
    width = data.draw(st.sampled_from([0, 0, 1, 3]))
    changed = (
        value[:place] + data.draw(st.sampled_from(_MARKS)) + value[place + width :]
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pem, "_decode_usual", lambda value: None)
        expected = _outcome(changed)
    assert _outcome(changed) == expected


def _outcome(value: str) -> Any:
    try:
        return pem.decode_escaped_pem(value)
    except HeaderDecodeError as error:
        return str(error)


@pytest.mark.parametrize("size", [0xFF, 0x100, 0xFFFF, 0x10000])
def test_the_short_way_takes_whole_certificates_only(size: int) -> None:
    """Of the size that certificates have; the others are looked at closely."""
    der = w.tlv(w.SEQUENCE, bytes(size))
    assert len(der) - 4 >= size - 1
    for octets in (der, der + b"\0", der[:-1], b"\x31" + der[1:]):
        usual = pem._decode_usual(quote(ssl.DER_cert_to_PEM_cert(octets), safe=""))
        is_usual = octets == der and 0xFF < size <= 0xFFFF
        assert usual == (octets if is_usual else None)
