"""The forms in which certificates are handed out, besides PEM and DER."""

from __future__ import annotations

import base64
import codecs
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.x509 import ocsp

from . import der
from .certificates import UNREADABLE

_PEM = b"-----BEGIN "
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ESCAPED_PEM = re.compile(rb"-----BEGIN(?:%20|\+)[A-Za-z0-9%._~+/=-]+-----(?:%0A)?")
# The keys of certificates in a Secret or ConfigMap of Kubernetes, as YAML
_YAML_VALUE = re.compile(
    rb"^[ \t]*[\"']?[\w.-]*\.(?:crt|pem)[\"']?:[ \t]*[\"']?([A-Za-z0-9+/]{40,}={0,2})"
    rb"[\"']?[ \t\r]*$",
    re.MULTILINE,
)
_LABEL = re.compile(rb"^.*(?:BEGIN|END) (?:X509 |TRUSTED )?CERTIFICATE.*$", re.I | re.M)


def unwrap(octets: bytes) -> bytes:
    """Return the PEM or DER that *octets* contain in a form that leaves no doubt.

    UTF-16, URL-encoded PEM, base64 of PEM or DER (also between colons, or in several
    lists), a Kubernetes Secret, a SPIFFE bundle. Anything else is returned as it is.
    """
    if octets.startswith(_UTF16):
        octets = octets.decode("utf-16", "replace").encode()
    is_json = octets.lstrip()[:1] == b"{"
    if octets[:1] == b"\x30" or (_PEM in octets and not is_json):
        return octets
    if escaped := _ESCAPED_PEM.search(octets):
        return unquote_to_bytes(escaped[0])
    texts = list((_find_in_json if is_json else _find_base64)(octets))
    parts = [_decode(text) for text in texts]
    if not parts or b"" in parts:
        return octets
    return b"".join(part if _PEM in part else _to_pem(part) for part in parts)


def _find_base64(octets: bytes) -> Iterator[bytes]:
    if values := _YAML_VALUE.findall(octets):
        yield from values
        return
    for text in octets.split(b","):
        yield b"".join(text.split()).strip(b":")


def _find_in_json(octets: bytes) -> Iterator[bytes]:
    try:
        value: Any = json.loads(octets)
        keys = value.get("keys", ())
        data = value.get("data", {}) | value.get("stringData", {})
        texts = [key["x5c"][0] for key in keys if key.get("use") == "x509-svid"]
        texts += [data[name] for name in data if name.endswith((".crt", ".pem"))]
        for text in texts:
            octets = text.encode("ascii")
            yield base64.b64encode(octets) if _PEM in octets else octets
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return  # another kind of JSON


def _decode(text: bytes) -> bytes:
    """Return the PEM or DER of which *text* is the base64, or nothing."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except ValueError:
        return b""
    return decoded if _PEM in decoded or decoded[:1] == b"\x30" else b""


def _to_pem(encoded: bytes) -> bytes:
    body = base64.encodebytes(encoded)
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"


# How files begin that hold no certificate, or none in a form that is read here
_BEGINNINGS = {
    b"\xfe\xed\xfe\xed": (
        "a Java keystore: export each certificate with “keytool -exportcert -rfc”"
    ),
    b"\x1f\x8b": "compressed (gzip): unpack it",
    b"PK\x03\x04": "a zip archive: unpack it",
    b"<": "an HTML or XML page",
    b"\x30\x80\x06": "in BER: convert it with “openssl pkcs7 -inform der -print_certs”",
}


def describe(octets: bytes) -> str:
    """Return what a file is that holds no certificate, and what to do, or ""."""
    start = octets.lstrip()
    for beginning, words in _BEGINNINGS.items():
        if start.startswith(beginning):
            return words
    if damaged := _LABEL.search(octets):
        line = damaged[0].decode("utf-8", "replace").strip()[:60]
        return (
            f"PEM with a damaged line: “{line}”. Write “-----BEGIN CERTIFICATE-----” "
            "and “-----END CERTIFICATE-----”, with five hyphens each"
        )
    if start.startswith(b"{"):
        return "JSON without certificates in a form that is known here"
    try:
        element, end = der.read(octets)
    except der.DerError:
        return ""
    if element.tag == der.SEQUENCE and end < len(octets):
        return "DER, followed by other bytes: give one certificate, or PEM"
    return _describe_der(octets, element)


def _describe_der(octets: bytes, element: der.Element) -> str:
    loaders: dict[str, Any] = {
        "a CRL: import it with “manage.py clientcert crl import”": (
            x509.load_der_x509_crl
        ),
        "a certificate request: have the CA sign it": x509.load_der_x509_csr,
        "an OCSP response": ocsp.load_der_ocsp_response,
    }
    for words, load in loaders.items():
        try:
            load(octets)
        except UNREADABLE:
            continue
        return words
    try:
        tags = [child.tag for child in der.children(element.encoded)]
    except der.DerError:
        return ""
    return "a public key" if tags == [der.SEQUENCE, der.BIT_STRING] else ""
