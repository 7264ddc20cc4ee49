"""Who signed a CRL: the CA's name, key and right to sign (6.3.3 (f)), the algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    ec,
    ed448,
    ed25519,
    mldsa,
    padding,
    rsa,
)
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from django_clientcert.exceptions import CertificateParseError
from django_clientcert.x509 import der as asn1
from django_clientcert.x509.certificates import (
    SUBJECT_KEY_IDENTIFIER,
    ClientCertificate,
    algorithm_name,
)
from django_clientcert.x509.escaping import visible_once
from django_clientcert.x509.names import DistinguishedName
from django_clientcert.x509.paths import may_sign_crls

from .problems import reading, refuse, show_subject
from .scopes import tagged_fields
from .structure import Outline

MIN_RSA_BITS = 2048


def find_signer(
    outline: Outline,
    key_identifier: bytes | None,
    issuers: Sequence[ClientCertificate],
) -> tuple[ClientCertificate, str]:
    """Return the certificate whose key signed the CRL, and the algorithm's name.

    Raises:
        RevocationListError: see ``read_crl()``.
    """
    named = [
        certificate for certificate in issuers if _has_name(certificate, outline.issuer)
    ]
    shown = "“" + visible_once(_show_name(outline.issuer), 120) + "”"
    if not named:
        known = "; ".join(
            dict.fromkeys(show_subject(certificate) for certificate in issuers[:10])
        )
        refuse(
            "unknown_issuer",
            f"The CRL is issued by {shown}, which is not one of the "
            f"authority’s certificates ({known or 'there are none'}). Add the "
            "certificate of that CA to the authority, or import this CRL for the "
            "authority that it belongs to.",
        )
    fitting = [
        certificate for certificate in named if _has_key(certificate, key_identifier)
    ]
    if key_identifier is not None and not fitting:
        refuse(
            "other_key",
            f"The CRL is signed with another key of {shown} "
            f"(authorityKeyIdentifier {key_identifier[:20].hex()}) than its "
            "certificates in the authority have. Add the CA’s certificate for that "
            "key, or ask for the CRL that belongs to the one you have.",
        )
    signing = list(filter(may_sign_crls, fitting))
    if not signing:
        refuse(
            "no_crl_sign",
            f"The certificate of {shown} may not sign CRLs: its "
            "keyUsage lacks cRLSign. Add the certificate that may, or have the "
            "CA’s certificate reissued.",
        )
    algorithm = read_algorithm(outline.algorithm)
    for certificate in signing:
        with suppress(CertificateParseError):
            key = certificate.public_key
            if not algorithm.verifies(key, outline):
                continue
            if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
                refuse(
                    "weak_signature",
                    f"The CRL is signed with an RSA key of {key.key_size} bits, which "
                    f"can be broken. The CA needs a key of {MIN_RSA_BITS} bits.",
                )
            return certificate, algorithm.name
    refuse(
        "bad_signature",
        f"The signature of the CRL does not verify with the key of {shown}. The "
        "file was changed or damaged, or the CRL is signed with another key. Download "
        "it again from the CA.",
    )


def _has_name(certificate: ClientCertificate, name: bytes) -> bool:
    """Return whether *name* is the subject, in any string types (7.1)."""
    with suppress(CertificateParseError):
        return certificate.subject_der == name or certificate.subject.matches(
            DistinguishedName.from_der(name)
        )
    return False


def _show_name(name: bytes) -> str:
    try:
        return str(DistinguishedName.from_der(name))
    except CertificateParseError:
        return "#" + name[:60].hex()


def _has_key(certificate: ClientCertificate, key_identifier: bytes | None) -> bool:
    """Return whether the key may be the one identified; without identifiers it may."""
    try:
        extension = certificate.extensions.get(SUBJECT_KEY_IDENTIFIER)
        return (
            key_identifier is None
            or extension is None
            or asn1.only(extension.value, asn1.OCTET_STRING).content == key_identifier
        )
    except ValueError:
        return True


@dataclass(frozen=True)
class Algorithm:
    """A signature algorithm that is strong enough."""

    name: str
    kind: type[Any]
    # What ``verify()`` of the key takes in addition to the signature and the data
    arguments: tuple[Any, ...] = ()

    def verifies(self, key: CertificatePublicKeyTypes, outline: Outline) -> bool:
        """Return whether *key* made the signature of *outline*."""
        if not isinstance(key, self.kind):
            return False
        try:
            key.verify(outline.signature, outline.signed, *self.arguments)
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            return False
        return True


_SHA2 = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}


def _rsa(digest: hashes.HashAlgorithm, pss: padding.PSS | None = None) -> Algorithm:
    name = f"{'RSASSA-PSS' if pss else 'RSA'} with SHA-{digest.digest_size * 8}"
    return Algorithm(name, rsa.RSAPublicKey, (pss or padding.PKCS1v15(), digest))


def _ecdsa(digest: hashes.HashAlgorithm) -> Algorithm:
    name = f"ECDSA with SHA-{digest.digest_size * 8}"
    return Algorithm(name, ec.EllipticCurvePublicKey, (ec.ECDSA(digest),))


_ALGORITHMS = {
    "1.2.840.113549.1.1.11": _rsa(hashes.SHA256()),
    "1.2.840.113549.1.1.12": _rsa(hashes.SHA384()),
    "1.2.840.113549.1.1.13": _rsa(hashes.SHA512()),
    "1.2.840.10045.4.3.2": _ecdsa(hashes.SHA256()),
    "1.2.840.10045.4.3.3": _ecdsa(hashes.SHA384()),
    "1.2.840.10045.4.3.4": _ecdsa(hashes.SHA512()),
    "1.3.101.112": Algorithm("Ed25519", ed25519.Ed25519PublicKey),
    "1.3.101.113": Algorithm("Ed448", ed448.Ed448PublicKey),
    # RFC 9881
    "2.16.840.1.101.3.4.3.17": Algorithm("ML-DSA-44", mldsa.MLDSA44PublicKey),
    "2.16.840.1.101.3.4.3.18": Algorithm("ML-DSA-65", mldsa.MLDSA65PublicKey),
    "2.16.840.1.101.3.4.3.19": Algorithm("ML-DSA-87", mldsa.MLDSA87PublicKey),
}
_RSASSA_PSS = "1.2.840.113549.1.1.10"
_MGF1 = "1.2.840.113549.1.1.8"
_NULL = b"\x05\x00"
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
        if not 1 <= len(parts) <= 2:
            raise asn1.DerError("a malformed signature algorithm")
        oid = asn1.object_identifier(parts[0])
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
            and (algorithm.kind is not rsa.RSAPublicKey or parameters != [_NULL])
        ):
            raise asn1.DerError("unexpected parameters of the signature algorithm")
    if algorithm is None:
        name = algorithm_name(oid)
        refuse(
            "unsupported_signature",
            f"The CRL is signed with {name}, which is not supported. Supported are RSA "
            "and ECDSA with SHA-256, SHA-384 or SHA-512, Ed25519, Ed448 and ML-DSA.",
        )
    return algorithm


def _read_pss(encoded: bytes) -> Algorithm:
    """Return RSASSA-PSS with the parameters of RFC 4055 (3.1)."""
    fields = tagged_fields(encoded, {0xA0, 0xA1, 0xA2, 0xA3})
    digest = _read_sha2(fields.get(0xA0))
    if 0xA1 not in fields:
        _refuse_weak("SHA-1")
    parts = asn1.children(fields[0xA1])
    if len(parts) != 2 or asn1.object_identifier(parts[0]) != _MGF1:
        raise asn1.DerError("a mask generation other than MGF1")
    mask_digest = _read_sha2(parts[1].encoded)
    salt = 20
    if 0xA2 in fields:
        salt = asn1.integer(asn1.only(fields[0xA2], asn1.INTEGER).content)
    if 0xA3 in fields and asn1.only(fields[0xA3], asn1.INTEGER).content != b"\x01":
        raise asn1.DerError("an unknown trailer field of RSASSA-PSS")
    if not 0 <= salt <= 1024:
        raise asn1.DerError("an invalid salt length of RSASSA-PSS")
    return _rsa(digest, padding.PSS(padding.MGF1(mask_digest), salt))


def _read_sha2(encoded: bytes | None) -> hashes.HashAlgorithm:
    """Return the digest of an AlgorithmIdentifier; SHA-1 if it is absent."""
    if encoded is None:
        _refuse_weak("SHA-1")
    parts = asn1.children(encoded)
    if not parts:
        raise asn1.DerError("a malformed digest algorithm")
    oid = asn1.object_identifier(parts[0])
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
