"""Header text to DER: one strict, pure function for each encoding on the wire.

Each takes the whole value, already known to be short enough, and returns a tuple
of DER certificates, the client's own first. A value is taken as a whole or not
at all: nothing is skipped, repaired or guessed.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable

from . import der
from .exceptions import HeaderDecodeError, Reason

Decoder = Callable[[str], tuple[bytes, ...]]

_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"

# What percent-encoding (RFC 3986, 2.3) never leaves; "+", "/" and "=" are let
# through because AWS leaves them as they are. Then a "%" without two hex digits.
_NOT_ESCAPED = re.compile(r"[^A-Za-z0-9._~+/=%-]|%(?![0-9A-Fa-f]{2})")
_FOLD = re.compile(r"\n[ \t]|[ \t]")


def decode_escaped_pem(value: str) -> tuple[bytes, ...]:
    """Return the certificate of nginx's ``$ssl_client_escaped_cert``.

    *value* is one PEM block, percent-encoded (RFC 3986). A plus sign stays a plus
    sign: this is no form encoding. The line feed behind the block may be missing.

    Raises:
        HeaderDecodeError: anything else, or a comma, which is what two header
            lines become when they are joined.
    """
    _refuse_comma(value)
    if _NOT_ESCAPED.search(value):
        raise HeaderDecodeError("a character that percent-encoding does not leave")
    try:
        text = _unquote(value).decode("ascii")
    except UnicodeDecodeError:
        raise HeaderDecodeError("not ASCII behind the percent-encoding") from None
    return decode_pem(text)


def decode_pem(value: str) -> tuple[bytes, ...]:
    """Return the certificate of one PEM block with real line ends (RFC 7468).

    Raises:
        HeaderDecodeError: not exactly one ``CERTIFICATE`` block, or anything
            before, behind or inside it.
    """
    line_end = "\r\n" if "\r" in value else "\n"
    body = _body(value.removesuffix(line_end), line_end)
    return (_decode_lines(body.split(line_end)),)


def decode_folded_pem(value: str) -> tuple[bytes, ...]:
    r"""Return the certificate of nginx's old ``$ssl_client_cert``.

    One PEM block whose lines are folded (RFC 9110, 5.5): each line end is followed
    by a tab, or has become the space or tab that a server puts there. The comma
    of two joined header lines is refused.

    Raises:
        HeaderDecodeError: anything else.
    """
    _refuse_comma(value)
    value = value.strip("\n\t ")
    if not value.startswith(_BEGIN) or not value.endswith(_END):
        raise HeaderDecodeError("not exactly one PEM block of type CERTIFICATE")
    body = value[len(_BEGIN) : -len(_END)]
    if body[:1] not in ("\n", "\t", " ") or body[-1:] not in ("\n", "\t", " "):
        raise HeaderDecodeError("a PEM label that does not stand on its own line")
    return (_decode_lines(_FOLD.split(body.strip("\n\t "))),)


# Every encoding by the name that a preset, or a custom one, gives it.
DECODERS: dict[str, Decoder] = {
    "escaped_pem": decode_escaped_pem,
    "folded_pem": decode_folded_pem,
    "pem": decode_pem,
}


def _unquote(value: str) -> bytes:
    """Return what a *value* whose escapes are all whole stands for.

    Quoted-printable (RFC 2045, 6.7) is the same with another mark, and its decoder
    is written in C: several times faster, and it makes no list of the pieces.
    """
    return binascii.a2b_qp(value.replace("=", "%3D").replace("%", "="))


def _refuse_comma(value: str) -> None:
    if "," in value:
        raise HeaderDecodeError(
            "a comma: two header lines were joined", reason=Reason.AMBIGUOUS_HEADER
        )


def _body(value: str, line_end: str) -> str:
    """Return what stands between the two PEM labels, each on its own line."""
    begin, end = _BEGIN + line_end, line_end + _END
    # A second label inside fails the base64 test: it has spaces and hyphens.
    if not value.startswith(begin) or not value.endswith(end):
        raise HeaderDecodeError("not exactly one PEM block of type CERTIFICATE")
    return value[len(begin) : -len(end)]


def _decode_lines(lines: list[str]) -> bytes:
    """Return the DER in lines of canonical base64 (RFC 4648, 3.5): one certificate.

    Python's decoder skips what is not base64, so the result is encoded again and
    compared: nothing but the canonical text survives that.
    """
    base64_text = "".join(lines)
    try:
        octets = binascii.a2b_base64(base64_text)
    except ValueError as error:
        raise HeaderDecodeError(f"not base64: {error}") from None
    if (
        "" in lines
        or binascii.b2a_base64(octets, newline=False).decode("ascii") != base64_text
    ):
        raise HeaderDecodeError("something other than canonical base64 in the block")
    try:
        der.only(octets, der.SEQUENCE)
    except der.DerError as error:
        raise HeaderDecodeError(
            f"not the DER of one certificate: {error}",
            reason=Reason.MALFORMED_CERTIFICATE,
        ) from None
    return octets
