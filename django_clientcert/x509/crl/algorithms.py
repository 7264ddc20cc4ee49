"""The signature algorithms of CRLs: which are strong enough, and how to verify them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    ec,
    ed448,
    ed25519,
    padding,
    rsa,
)
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
)

from django_clientcert.x509 import der as asn1

from .problems import reading, refuse
from .scopes import tagged_fields
from .structure import Outline


@dataclass(frozen=True)
class Algorithm:
    """A signature algorithm that is strong enough."""

    name: str
    kind: type[Any]
    digest: hashes.HashAlgorithm | None = None
    pss: padding.PSS | None = None

    def verifies(self, key: CertificatePublicKeyTypes, outline: Outline) -> bool:
        """Return whether *key* made the signature of *outline*."""
        if not isinstance(key, self.kind):
            return False
        arguments: tuple[Any, ...] = ()
        if self.kind is _RSA:
            arguments = (self.pss or padding.PKCS1v15(), self.digest)
        elif self.digest is not None:
            arguments = (ec.ECDSA(self.digest),)
        try:
            key.verify(outline.signature, outline.signed, *arguments)
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            return False
        return True


_SHA2 = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
_RSA, _EC = rsa.RSAPublicKey, ec.EllipticCurvePublicKey
_ALGORITHMS = {
    "1.2.840.113549.1.1.11": Algorithm("RSA with SHA-256", _RSA, hashes.SHA256()),
    "1.2.840.113549.1.1.12": Algorithm("RSA with SHA-384", _RSA, hashes.SHA384()),
    "1.2.840.113549.1.1.13": Algorithm("RSA with SHA-512", _RSA, hashes.SHA512()),
    "1.2.840.10045.4.3.2": Algorithm("ECDSA with SHA-256", _EC, hashes.SHA256()),
    "1.2.840.10045.4.3.3": Algorithm("ECDSA with SHA-384", _EC, hashes.SHA384()),
    "1.2.840.10045.4.3.4": Algorithm("ECDSA with SHA-512", _EC, hashes.SHA512()),
    "1.3.101.112": Algorithm("Ed25519", ed25519.Ed25519PublicKey),
    "1.3.101.113": Algorithm("Ed448", ed448.Ed448PublicKey),
}
_RSASSA_PSS = "1.2.840.113549.1.1.10"
_MGF1 = "1.2.840.113549.1.1.8"
_WEAK = {
    "1.2.840.113549.1.1.2": "MD2",
    "1.2.840.113549.1.1.3": "MD4",
    "1.2.840.113549.1.1.4": "MD5",
    "1.2.840.113549.1.1.5": "SHA-1",
    "1.3.14.3.2.29": "SHA-1",
    "1.2.840.10040.4.3": "SHA-1",
    "1.2.840.10045.4.1": "SHA-1",
}


def read_algorithm(encoded: bytes) -> Algorithm:
    """Return the algorithm of an AlgorithmIdentifier (RFC 5480, 8017, 8410)."""
    with reading():
        parts = asn1.children(encoded)
        if not 1 <= len(parts) <= 2 or parts[0].tag != asn1.OBJECT_IDENTIFIER:
            raise asn1.DerError("a malformed signature algorithm")
        oid = asn1.object_identifier(parts[0].content)
        if oid in _WEAK:
            _refuse_weak(_WEAK[oid])
        if oid == _RSASSA_PSS:
            return _read_pss(parts[1].encoded if len(parts) == 2 else b"\x30\x00")
        algorithm = _ALGORITHMS.get(oid)
        # RSA has NULL parameters, all others have none (RFC 5480, 2.2; 8410, 3)
        parameters = [part.encoded for part in parts[1:]]
        if (
            algorithm is not None
            and parameters
            and (algorithm.kind is not _RSA or parameters != [b"\x05\x00"])
        ):
            raise asn1.DerError("unexpected parameters of the signature algorithm")
    if algorithm is None:
        refuse(
            "unsupported_signature",
            f"The CRL is signed with the algorithm {oid}, which is not supported. "
            "Supported are RSA and ECDSA with SHA-2, Ed25519 and Ed448.",
        )
    return algorithm


def _read_pss(encoded: bytes) -> Algorithm:
    """Return RSASSA-PSS with the parameters of RFC 4055 (3.1)."""
    fields = tagged_fields(encoded, {0xA0, 0xA1, 0xA2, 0xA3})
    digest = _read_sha2(fields.get(0xA0))
    mask_digest = digest
    if 0xA1 in fields:
        parts = asn1.children(fields[0xA1])
        if len(parts) != 2 or asn1.object_identifier(parts[0].content) != _MGF1:
            raise asn1.DerError("a mask generation other than MGF1")
        mask_digest = _read_sha2(parts[1].encoded)
    else:
        _refuse_weak("SHA-1")
    salt = 20
    if 0xA2 in fields:
        salt = asn1.integer(asn1.only(fields[0xA2], asn1.INTEGER).content)
    if 0xA3 in fields:
        trailer = asn1.only(fields[0xA3], asn1.INTEGER).content
        if trailer != b"\x01":
            raise asn1.DerError("an unknown trailer field of RSASSA-PSS")
    if not 0 <= salt <= 1024:
        raise asn1.DerError("an invalid salt length of RSASSA-PSS")
    return Algorithm(
        f"RSASSA-PSS with SHA-{digest.digest_size * 8}",
        _RSA,
        digest,
        padding.PSS(padding.MGF1(mask_digest), salt),
    )


def _read_sha2(encoded: bytes | None) -> hashes.HashAlgorithm:
    """Return the digest of an AlgorithmIdentifier; SHA-1 if it is absent."""
    if encoded is None:
        _refuse_weak("SHA-1")
    parts = asn1.children(encoded)
    if not parts or parts[0].tag != asn1.OBJECT_IDENTIFIER:
        raise asn1.DerError("a malformed digest algorithm")
    oid = asn1.object_identifier(parts[0].content)
    if oid == "1.3.14.3.2.26":
        _refuse_weak("SHA-1")
    if oid not in _SHA2:
        raise asn1.DerError(f"the digest {oid} in RSASSA-PSS")
    return _SHA2[oid]


def _refuse_weak(name: str) -> NoReturn:
    refuse(
        "weak_signature",
        f"The CRL is signed with {name}, which makes forgery possible. Configure "
        "the CA for SHA-256 and have it issue a new CRL.",
    )
