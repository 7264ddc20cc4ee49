"""DER without labels: base64 of one certificate or several, and the bare octets."""

from __future__ import annotations

from django_clientcert.exceptions import HeaderDecodeError, Reason
from django_clientcert.x509 import der

from .values import check_der, decode_base64, decode_certificate, limit, refuse_comma


def decode_base64_der(value: str) -> tuple[bytes, ...]:
    """Return the certificate of one base64 text, as HAProxy and Caddy write it.

    It may be in double quotes, and have single spaces in place of the line ends of a
    PEM body.

    Raises:
        HeaderDecodeError: anything else, or the comma of two joined header lines.
    """
    refuse_comma(value)
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return (decode_certificate(value.split(" ")),)


def decode_base64_der_concatenated(value: str) -> tuple[bytes, ...]:
    """Return the certificates of HAProxy's ``ssl_c_chain_der,base64``.

    One base64 text of certificates, one after the other.

    Raises:
        HeaderDecodeError: anything else, or the comma of two joined header lines.
    """
    refuse_comma(value)
    octets = decode_base64([value])
    certificates: list[bytes] = []
    offset = 0
    while offset < len(octets):
        limit(len(certificates) + 1)
        try:
            element, offset = der.read(octets, offset)
        except der.DerError as error:
            raise HeaderDecodeError(
                f"not the DER of certificates: {error}",
                reason=Reason.MALFORMED_CERTIFICATE,
            ) from None
        certificates.append(check_der(element.encoded))
    return tuple(certificates)


def decode_base64_der_list(value: str) -> tuple[bytes, ...]:
    """Return the certificates of Traefik's ``X-Forwarded-Tls-Client-Cert``.

    Base64 texts joined by commas, the client's own certificate first. Two joined
    header lines look the same; they are detected when the certificates are read,
    because a chain has only one end-entity certificate.

    Raises:
        HeaderDecodeError: anything else.
    """
    limit(value.count(",") + 1)
    return tuple(decode_certificate([text]) for text in value.split(","))


def decode_escaped_base64_der_list(value: str) -> tuple[bytes, ...]:
    """Return the certificates as Traefik up to 2.9.1 wrote them.

    Like ``decode_base64_der_list()``, with each text escaped by Go's
    ``url.QueryEscape``.

    Raises:
        HeaderDecodeError: anything else.
    """
    limit(value.count(",") + 1)
    return tuple(_decode_query_escaped(text) for text in value.split(","))


def decode_latin1_der(value: str) -> tuple[bytes, ...]:
    """Return the certificate whose octets are the characters of *value*.

    As uWSGI provides it in ``HTTPS_CLIENT_CERTIFICATE``.

    Raises:
        HeaderDecodeError: a character beyond latin-1, or not one DER value.
    """
    try:
        octets = value.encode("latin-1")
    except UnicodeEncodeError:
        raise HeaderDecodeError(
            "a character that does not represent an octet"
        ) from None
    return (check_der(octets),)


def _decode_query_escaped(value: str) -> bytes:
    for escape, character in (("%2B", "+"), ("%2F", "/"), ("%3D", "=")):
        if character in value:
            raise HeaderDecodeError("not base64 as escaped by url.QueryEscape")
        value = value.replace(escape, character)
    # Anything else that was escaped is not base64.
    return decode_certificate([value])
