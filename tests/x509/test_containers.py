"""Files as administrators have them: read where that is clear, and otherwise named."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zipfile
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    pkcs7,
)

from django_clientcert.exceptions import BundleError, PrivateKeyFoundError
from django_clientcert.testing import ThrowawayCA, make_key, make_name
from django_clientcert.wire import ENCODERS
from django_clientcert.x509.bundles import read_certificates
from tests import crl_writer

ROOT = ThrowawayCA.create("Root")
OTHER = ThrowawayCA.create("Other")
BODY = base64.b64encode(ROOT.der)
PEM_IN_BASE64 = base64.b64encode(ROOT.pem.encode())
P7 = pkcs7.serialize_certificates([ROOT.certificate], Encoding.DER)


def secret(**data: str) -> dict[str, Any]:
    """Return a Secret of Kubernetes."""
    return {"apiVersion": "v1", "kind": "Secret", "data": data}


def block(label: str, octets: bytes) -> bytes:
    """Return a PEM block."""
    body = base64.encodebytes(octets).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode()


READ: dict[str, bytes] = {
    "UTF-16 of PowerShell": ROOT.pem.encode("utf-16"),
    "UTF-16, the other order": b"\xfe\xff" + ROOT.pem.encode("utf-16-be"),
    "UTF-16 of base64": BODY.decode().encode("utf-16"),
    "bare base64": BODY,
    "wrapped base64": base64.encodebytes(ROOT.der),
    "base64 with CRLF": base64.encodebytes(ROOT.der).replace(b"\n", b"\r\n"),
    "RFC 9440": b":" + BODY + b":",
    "URL-encoded PEM": quote(ROOT.pem, safe="").encode(),
    "XFCC": ENCODERS["xfcc"]([ROOT.der]).encode(),
    "base64 of PEM": PEM_IN_BASE64,
    "PKCS#7 under CERTIFICATE": block("CERTIFICATE", P7),
    "PKCS#7 in base64": base64.encodebytes(P7),
    "CMS": block("CMS", P7),
    "PKCS #7 SIGNED DATA": block("PKCS #7 SIGNED DATA", P7),
    "a Secret as JSON": json.dumps(
        secret(**{"ca.crt": PEM_IN_BASE64.decode()})
    ).encode(),
    "a Secret as YAML": b"apiVersion: v1\ndata:\n  ca.crt: " + PEM_IN_BASE64 + b"\n",
    "a ConfigMap as JSON": json.dumps({"data": {"ca-bundle.pem": ROOT.pem}}).encode(),
    "SPIFFE": json.dumps(
        {"keys": [{"use": "x509-svid", "kty": "EC", "x5c": [BODY.decode()]}]}
    ).encode(),
    "beside another block": block("PGP SIGNATURE", b"x")[:-30]
    + b"!\n-----END PGP SIGNATURE-----\n"
    + ROOT.pem.encode(),
}


@pytest.mark.parametrize("kind", READ)
def test_d08_r18_n19_forms_that_leave_no_doubt_are_read(kind: str) -> None:
    """Wherever a certificate or a CA is asked for: there is one reader."""
    (certificate,) = read_certificates(READ[kind])
    assert certificate.der == ROOT.der


def test_d08_several_in_one_value() -> None:
    """As Traefik and RFC 9440 send a chain, and SPIFFE a bundle."""
    both = [base64.b64encode(ca.der) for ca in (ROOT, OTHER)]
    keys = [{"use": "x509-svid", "x5c": [one.decode()]} for one in both]
    keys.append({"use": "jwt-svid", "x5c": ["AAAA"]})
    for data in (
        b",".join(both),
        b", ".join(b":" + one + b":" for one in both),
        json.dumps({"keys": keys}).encode(),
    ):
        read = [certificate.der for certificate in read_certificates(data)]
        assert read == [ROOT.der, OTHER.der]


def zipped() -> bytes:
    """Return an archive with a certificate."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ca.crt", ROOT.pem)
    return buffer.getvalue()


def request() -> x509.CertificateSigningRequest:
    """Return a certificate request."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(make_name("alice"))
    return builder.sign(make_key(), hashes.SHA256())


def public_key() -> bytes:
    """Return a SubjectPublicKeyInfo."""
    public = make_key().public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def ocsp_response() -> bytes:
    """Return a response without content."""
    unsuccessful = x509.ocsp.OCSPResponseStatus.UNAUTHORIZED
    response = x509.ocsp.OCSPResponseBuilder.build_unsuccessful(unsuccessful)
    return response.public_bytes(Encoding.DER)


NAMED: dict[str, tuple[bytes, str]] = {
    "CRL": (crl_writer.crl(ROOT), "This is a CRL: import it with"),
    "CRL in PEM": (block("X509 CRL", b"x"), "no certificate, only: X509 CRL"),
    "request": (request().public_bytes(Encoding.DER), "request: have the CA sign it"),
    "request in PEM": (
        request().public_bytes(Encoding.PEM),
        "only: CERTIFICATE REQUEST; have the CA sign it",
    ),
    "request in base64": (
        base64.b64encode(request().public_bytes(Encoding.DER)),
        "request: have the CA sign it",
    ),
    "public key": (public_key(), "This is a public key"),
    "OCSP": (ocsp_response(), "This is an OCSP response"),
    "Java": (b"\xfe\xed\xfe\xed\0\0\0\2", "a Java keystore: export each"),
    "gzip": (gzip.compress(ROOT.pem.encode()), "compressed"),
    "zip": (zipped(), "a zip archive"),
    "HTML": (b"\n<!DOCTYPE html><html>", "an HTML or XML page"),
    "JSON": (b'{"keys": []}', "JSON without certificates"),
    "JSON of other things": (b'{"data": 7}', "JSON without certificates"),
    "nested JSON": (b'{"a":' * 100_000, "JSON without certificates"),
    "trailing line end": (ROOT.der + b"\n", "DER, followed by other bytes"),
    "two in DER": (ROOT.der + OTHER.der, "DER, followed by other bytes"),
    "four hyphens": (ROOT.pem.encode().replace(b"-----B", b"----B"), "a damaged line"),
    "lower case": (ROOT.pem.lower().encode(), "a damaged line"),
    "em dashes": (ROOT.pem.replace("-----", "—").encode(), "a damaged line"),
    "encrypted": (
        pkcs7.PKCS7EnvelopeBuilder()
        .set_data(b"x")
        .add_recipient(
            ROOT.issue("rsa", key="rsa2048").certificate,
        )
        .encrypt(Encoding.DER, []),
        "an encrypted message",
    ),
    "BER": (b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80", "BER"),
    "half base64": (BODY[:-7] + b"!!", "neither PEM"),
    "base64 of something": (base64.b64encode(b"x" * 100), "neither PEM"),
    # Each of these took minutes if an expression went back and forth.
    "blank lines": (b"\n" * 500_000 + b"x", "neither PEM"),
    "blanks": (b" " * 500_000 + b"x", "neither PEM"),
    "dots": (b"." * 500_000, "neither PEM"),
    "begins": (b"-----BEGIN%20" * 50_000, "is cut off"),
    "words": (b"BEGIN " * 100_000, "neither PEM"),
    "base64 in many lines": (b"a.crt: " + b"A" * 500_000 + b"!", "neither PEM"),
    "a sequence of nothing": (b"\x30\x03\x30\x05\x00", "neither PEM"),
    "a sequence of an integer": (b"\x30\x03\x02\x01\x00", "certificate 1 of 1"),
}


@pytest.mark.parametrize("kind", NAMED)
def test_d09_other_files_are_named(kind: str) -> None:
    """With what to do, in words."""
    data, words = NAMED[kind]
    with pytest.raises(BundleError, match=words) as raised:
        read_certificates(data)
    assert "ParseError" not in str(raised.value)


@pytest.mark.parametrize("form", ["base64 of PEM", "Secret", "UTF-16", "URL-encoded"])
def test_d08_a_private_key_is_refused_in_every_form(form: str) -> None:
    """Also beside its certificate."""
    both = ROOT.pem + ROOT.key_pem
    encoded = base64.b64encode(ROOT.key_pem.encode()).decode()
    tls = {"tls.crt": PEM_IN_BASE64.decode(), "tls.pem": encoded}
    data = {
        "base64 of PEM": base64.b64encode(both.encode()),
        "Secret": json.dumps(secret(**tls)).encode(),
        "UTF-16": both.encode("utf-16"),
        "URL-encoded": quote(both, safe="").encode(),
    }[form]
    with pytest.raises(PrivateKeyFoundError):
        read_certificates(data)


def test_d09_parameters_of_a_curve_are_no_private_key() -> None:
    """OpenSSL writes them in front of a certificate; they are public."""
    prime_field = bytes.fromhex("020101300c06072a8648ce3d0101020107")
    parameters = block(
        "EC PARAMETERS", b"\x30" + bytes([len(prime_field)]) + prime_field
    )
    (certificate,) = read_certificates(parameters + ROOT.pem.encode())
    assert certificate.der == ROOT.der
    with pytest.raises(PrivateKeyFoundError):
        read_certificates(ROOT.p12("secret"))
