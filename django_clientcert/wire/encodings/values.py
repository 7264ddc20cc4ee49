"""Checks that all encodings share: canonical base64, whole certificates, few enough."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Sequence

from django_clientcert.exceptions import HeaderDecodeError, Reason
from django_clientcert.x509 import der

Decoder = Callable[[str], tuple[bytes, ...]]

# The longest chain that is read, the client's own certificate included
MAX_CERTIFICATES = 16

# What percent-encoding (RFC 3986, 2.3) never leaves unescaped, except for "+", "/" and
# "=", which AWS does not escape; and a "%" without two hex digits.
_NOT_ESCAPED = re.compile(r"[^A-Za-z0-9._~+/=%-]|%(?![0-9A-Fa-f]{2})")


def refuse_comma(value: str) -> None:
    """Refuse a comma, which joins two header lines."""
    if "," in value:
        raise HeaderDecodeError(
            "the value contains a comma: two header lines were joined",
            reason=Reason.AMBIGUOUS_HEADER,
        )


def limit(count: int) -> None:
    """Refuse more certificates than ``MAX_CERTIFICATES``."""
    if count > MAX_CERTIFICATES:
        raise HeaderDecodeError(f"more than {MAX_CERTIFICATES} certificates")


def unescape(value: str) -> str:
    """Return the ASCII text of which *value* is the percent-encoding.

    A plus sign stays a plus sign, because this is not form encoding.
    """
    if _NOT_ESCAPED.search(value):
        raise HeaderDecodeError(
            "not URL-encoded (with nginx, forward $ssl_client_escaped_cert)"
        )
    try:
        return unquote(value).decode("ascii")
    except UnicodeDecodeError:
        raise HeaderDecodeError("not ASCII after percent-decoding") from None


def unquote(value: str) -> bytes:
    """Return the octets of a percent-encoded *value* whose escapes are all complete.

    Quoted-printable (RFC 2045, 6.7) differs only in the escape character, and its
    decoder is written in C: several times faster, without a list of the pieces.
    """
    return binascii.a2b_qp(value.replace("=", "%3D").replace("%", "="))


def decode_base64(lines: Sequence[str], *, padded: bool = True) -> bytes:
    """Return the octets of lines of canonical base64 (RFC 4648, 3.5).

    Python's decoder skips characters that are not base64, so the result is encoded
    again and compared: only the canonical text passes. With ``padded=False``, the
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
        raise HeaderDecodeError("not canonical base64")
    return octets


def check_der(octets: bytes) -> bytes:
    """Return *octets*, if they are exactly one complete DER value."""
    try:
        der.only(octets, der.SEQUENCE)
    except der.DerError as error:
        raise HeaderDecodeError(
            "base64 of PEM text, which is the encoding base64_pem"
            if octets.startswith(b"-----BEGIN ")
            else f"not the DER of one certificate: {error}",
            reason=Reason.MALFORMED_CERTIFICATE,
        ) from None
    return octets


def decode_certificate(lines: Sequence[str]) -> bytes:
    """Return the DER of one certificate in lines of canonical base64."""
    return check_der(decode_base64(lines))
