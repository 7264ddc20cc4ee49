"""``Client-Cert`` and ``Client-Cert-Chain`` (RFC 9440): structured fields of DER."""

from __future__ import annotations

from django_clientcert.exceptions import HeaderDecodeError

from .values import check_der, decode_base64, limit, refuse_comma


def decode_rfc9440(value: str) -> tuple[bytes, ...]:
    """Return the certificate of ``Client-Cert``: one byte sequence (RFC 8941, 3.3.5).

    The padding of the base64 may be missing (4.2.7). RFC 9440 defines no parameters,
    so a value with any is refused.

    Raises:
        HeaderDecodeError: anything else, or the comma of two joined header lines.
    """
    refuse_comma(value)
    return (_decode_byte_sequence(value.strip(" ")),)


def decode_rfc9440_list(value: str) -> tuple[bytes, ...]:
    """Return the certificates of ``Client-Cert-Chain``: a list of byte sequences.

    Spaces and tabs around the commas are allowed (RFC 8941, 4.2.1). Several lines
    of this field are one list by definition.

    Raises:
        HeaderDecodeError: anything else.
    """
    limit(value.count(",") + 1)
    return tuple(
        _decode_byte_sequence(item.strip(" \t")) for item in value.strip(" ").split(",")
    )


def _decode_byte_sequence(item: str) -> bytes:
    if len(item) < 2 or item[0] != ":" or item[-1] != ":":
        raise HeaderDecodeError("not a byte sequence (:base64:)")
    return check_der(decode_base64([item[1:-1]], padded=False))
