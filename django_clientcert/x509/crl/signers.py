"""Which CA signed a CRL: its name, its key, and its right to sign (6.3.3 (f))."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
)

from django_clientcert.exceptions import CertificateParseError, NameNotMatchableError
from django_clientcert.x509 import der as asn1
from django_clientcert.x509.certificates import (
    SUBJECT_KEY_IDENTIFIER,
    ClientCertificate,
)
from django_clientcert.x509.escaping import visible_once
from django_clientcert.x509.names import DistinguishedName
from django_clientcert.x509.paths import Path, may_sign_crls

from .algorithms import read_algorithm
from .problems import refuse, show_subject
from .structure import Outline

MIN_RSA_BITS = 2048


class SignerPaths(Protocol):
    """Finds the certificates that may sign CRLs, as ``PathValidator`` does."""

    def signer_paths(
        self, subject: bytes, public_key: bytes, at: dt.datetime
    ) -> Sequence[Path]:
        """See ``PathValidator.signer_paths()``."""


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
    signing = [certificate for certificate in fitting if _may_sign(certificate)]
    if not signing:
        refuse(
            "no_crl_sign",
            f"The certificate of {shown} may not sign CRLs: its "
            "keyUsage lacks cRLSign. Add the certificate that may, or have the "
            "CA’s certificate reissued.",
        )
    algorithm = read_algorithm(outline.algorithm)
    for certificate in signing:
        key = _public_key(certificate)
        if key is None or not algorithm.verifies(key, outline):
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
    try:
        subject = certificate.subject_der
        return subject == name or (
            DistinguishedName.from_der(subject).canonical()
            == DistinguishedName.from_der(name).canonical()
        )
    except (CertificateParseError, NameNotMatchableError):
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


def _may_sign(certificate: ClientCertificate) -> bool:
    try:
        return may_sign_crls(certificate)
    except CertificateParseError:
        return False


def _public_key(certificate: ClientCertificate) -> CertificatePublicKeyTypes | None:
    try:
        return certificate.public_key
    except CertificateParseError:
        return None
