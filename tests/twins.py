"""The other spelling of an ECDSA signature: the same certificate, other octets."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from . import der_writer as w

# The order of P-256 (SEC 2, 2.4.2)
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def twin_of(der: bytes) -> bytes:
    """Return the certificate in *der*, signed with P-256, with s replaced by n - s.

    Both signatures verify (SEC 1, 4.1.4), and nobody needs the CA's key for it.
    """
    certificate = x509.load_der_x509_certificate(der)
    r, s = decode_dss_signature(certificate.signature)
    body = certificate.tbs_certificate_bytes
    start = der.index(body) + len(body)
    bits = w.tlv(0x03, b"\0" + certificate.signature)
    algorithm = der[start : len(der) - len(bits)]
    other = w.tlv(0x03, b"\0" + encode_dss_signature(r, _ORDER - s))
    return w.tlv(0x30, body, algorithm, other)
