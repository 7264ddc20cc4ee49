"""PEM blocks (RFC 7468), as proxies squeeze them into a header field."""

from __future__ import annotations

import re

from django_clientcert.exceptions import HeaderDecodeError

from .values import decode_certificate, limit, refuse_comma, unescape

_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"

_FOLD = re.compile(r"\n[ \t]|[ \t]")


def decode_escaped_pem(value: str) -> tuple[bytes, ...]:
    """Return the certificate of nginx's ``$ssl_client_escaped_cert``.

    *value* is one PEM block, percent-encoded (RFC 3986). A plus sign stays a plus
    sign: this is no form encoding. The line feed behind the block may be missing.

    Raises:
        HeaderDecodeError: anything else, or a comma, which is what two header
            lines become when they are joined.
    """
    refuse_comma(value)
    return decode_pem(unescape(value))


def decode_escaped_pem_chain(value: str) -> tuple[bytes, ...]:
    """Return the certificates of several PEM blocks, percent-encoded together.

    Raises:
        HeaderDecodeError: anything but one block behind the other, or a comma.
    """
    refuse_comma(value)
    return decode_pem_chain(unescape(value))


def decode_pem(value: str) -> tuple[bytes, ...]:
    """Return the certificate of one PEM block with real line ends.

    Raises:
        HeaderDecodeError: not exactly one ``CERTIFICATE`` block, or anything
            before, behind or inside it.
    """
    line_end = _line_end(value)
    return (_decode_block(value.removesuffix(line_end), line_end),)


def decode_pem_chain(value: str) -> tuple[bytes, ...]:
    """Return the certificates of PEM blocks with real line ends, in order.

    Raises:
        HeaderDecodeError: anything before, behind, between or inside the blocks,
            or more of them than any chain has.
    """
    line_end = _line_end(value)
    between = f"{_END}{line_end}{_BEGIN}"
    limit(value.count(between) + 1)
    first, *rest = value.removesuffix(line_end).split(between)
    blocks = [first, *rest]
    return tuple(
        _decode_block(
            ("" if number == 0 else _BEGIN)
            + block
            + ("" if number == len(rest) else _END),
            line_end,
        )
        for number, block in enumerate(blocks)
    )


def decode_folded_pem(value: str) -> tuple[bytes, ...]:
    r"""Return the certificate of nginx's old ``$ssl_client_cert``, or of Apache's.

    One PEM block whose lines are folded (RFC 9110, 5.5): each line end is followed
    by a tab, or has become the space or tab that a server puts there. The comma
    of two joined header lines is refused.

    Raises:
        HeaderDecodeError: anything else.
    """
    refuse_comma(value)
    value = value.strip("\n\t ")
    if not value.startswith(_BEGIN) or not value.endswith(_END):
        raise HeaderDecodeError("not exactly one PEM block of type CERTIFICATE")
    body = value[len(_BEGIN) : -len(_END)]
    if body[:1] not in ("\n", "\t", " ") or body[-1:] not in ("\n", "\t", " "):
        raise HeaderDecodeError("a PEM label that does not stand on its own line")
    return (decode_certificate(_FOLD.split(body.strip("\n\t "))),)


def _line_end(value: str) -> str:
    return "\r\n" if "\r" in value else "\n"


def _decode_block(value: str, line_end: str) -> bytes:
    """Return the DER between the two PEM labels, each on its own line."""
    begin, end = _BEGIN + line_end, line_end + _END
    # A second label inside fails the base64 test: it has spaces and hyphens.
    if not value.startswith(begin) or not value.endswith(end):
        raise HeaderDecodeError("not exactly one PEM block of type CERTIFICATE")
    return decode_certificate(value[len(begin) : -len(end)].split(line_end))
