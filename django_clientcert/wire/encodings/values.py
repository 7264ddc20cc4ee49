"""What every encoding checks: canonical base64, whole certificates, not too many."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Sequence

from django_clientcert.exceptions import HeaderDecodeError, Reason
from django_clientcert.x509 import der

Decoder = Callable[[str], tuple[bytes, ...]]

# The longest chain that is read, the client's own certificate included
MAX_CERTIFICATES = 16

# What percent-encoding (RFC 3986, 2.3) never leaves; "+", "/" and "=" are let
# through because AWS leaves them as they are. Then a "%" without two hex digits.
_NOT_ESCAPED = re.compile(r"[^A-Za-z0-9._~+/=%-]|%(?![0-9A-Fa-f]{2})")


def refuse_comma(value: str) -> None:
    """Refuse what two header lines become when they are joined."""
    if "," in value:
        raise HeaderDecodeError(
            "a comma: two header lines were joined", reason=Reason.AMBIGUOUS_HEADER
        )


def limit(count: int) -> None:
    """Refuse more certificates than any chain has."""
    if count > MAX_CERTIFICATES:
        raise HeaderDecodeError(f"more than {MAX_CERTIFICATES} certificates")


def unescape(value: str) -> str:
    """Return the ASCII text that percent-encoding made *value* of.

    A plus sign stays a plus sign: this is no form encoding.
    """
    if _NOT_ESCAPED.search(value):
        raise HeaderDecodeError("a character that percent-encoding does not leave")
    try:
        return unquote(value).decode("ascii")
    except UnicodeDecodeError:
        raise HeaderDecodeError("not ASCII behind the percent-encoding") from None


def unquote(value: str) -> bytes:
    """Return what a *value* whose escapes are all whole stands for.

    Quoted-printable (RFC 2045, 6.7) is the same with another mark, and its decoder
    is written in C: several times faster, and it makes no list of the pieces.
    """
    return binascii.a2b_qp(value.replace("=", "%3D").replace("%", "="))


def decode_base64(lines: Sequence[str], *, padded: bool = True) -> bytes:
    """Return the octets of lines of canonical base64 (RFC 4648, 3.5).

    Python's decoder skips what is not base64, so the result is encoded again and
    compared: nothing but the canonical text survives that. Without *padded*, the
    equals signs at the end may be missing.
    """
    text = "".join(lines)
    if not padded and len(text) % 4 in (2, 3) and "=" not in text:
        text += "=" * (4 - len(text) % 4)
    try:
        octets = binascii.a2b_base64(text)
    except ValueError as error:
        raise HeaderDecodeError(f"not base64: {error}") from None
    if (
        "" in lines
        or binascii.b2a_base64(octets, newline=False).decode("ascii") != text
    ):
        raise HeaderDecodeError("something other than canonical base64")
    return octets


def check_der(octets: bytes) -> bytes:
    """Return *octets* if they are one DER value, whole and alone."""
    try:
        der.only(octets, der.SEQUENCE)
    except der.DerError as error:
        raise HeaderDecodeError(
            f"not the DER of one certificate: {error}",
            reason=Reason.MALFORMED_CERTIFICATE,
        ) from None
    return octets


def decode_certificate(lines: Sequence[str]) -> bytes:
    """Return the DER of one certificate in lines of canonical base64."""
    return check_der(decode_base64(lines))
