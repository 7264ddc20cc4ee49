"""Why path validation cannot use a CA's certificate, reported on upload.

The algorithms and the rules for extensions in ``cryptography.x509.verification``
cannot be changed from Python, so a CA may be genuine and yet useless to the
verifier. A test compares every sentence here with the verifier itself.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cryptography
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import SignatureAlgorithmOID

from django_clientcert.exceptions import BundleError, CertificateParseError

from . import der
from .bundles import is_self_signed, read_items, sort_bundle
from .certificates import (
    AUTHORITY_KEY_IDENTIFIER,
    BASIC_CONSTRAINTS,
    CLIENT_AUTH,
    EXTENDED_KEY_USAGE,
    KEY_USAGE,
    NAME_CONSTRAINTS,
    SUBJECT_ALTERNATIVE_NAME,
    SUBJECT_KEY_IDENTIFIER,
    UNREADABLE,
    ClientCertificate,
    algorithm_name,
)
from .escaping import visible
from .paths import Profile
from .text import show_day, show_error, some_of

_AUTHORITY_INFORMATION_ACCESS = "1.3.6.1.5.5.7.1.1"

_NEVER_CRITICAL = {
    AUTHORITY_KEY_IDENTIFIER: "authorityKeyIdentifier",
    SUBJECT_KEY_IDENTIFIER: "subjectKeyIdentifier",
    _AUTHORITY_INFORMATION_ACCESS: "authorityInfoAccess",
}
_UNDERSTOOD = frozenset(
    {
        *_NEVER_CRITICAL,
        BASIC_CONSTRAINTS,
        EXTENDED_KEY_USAGE,
        KEY_USAGE,
        NAME_CONSTRAINTS,
        SUBJECT_ALTERNATIVE_NAME,
    }
)
_CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_RSA_PSS_KEY = "1.2.840.113549.1.1.10"
_MIN_RSA_BITS = 2048
# RFC 5280, 4.1.2.2 allows 20 octets; the verifier counts one more for the sign.
_MAX_SERIAL_BITS = 167

# The verifier of cryptography 49 knows the keys and refuses them.
_VERIFIES_ML_DSA = int(cryptography.__version__.partition(".")[0]) >= 50


def _signatures(names: str) -> frozenset[x509.ObjectIdentifier]:
    """Return the signature algorithms whose names in cryptography match *names*."""
    named = vars(SignatureAlgorithmOID).items()
    return frozenset(oid for name, oid in named if re.fullmatch(names, name))


_ML_DSA = "ML_DSA_(44|65|87)"
_SIGNATURES = _signatures(
    "(RSA|ECDSA)_WITH_SHA(256|384|512)" + (f"|{_ML_DSA}" if _VERIFIES_ML_DSA else "")
)
# The verifier refuses most of these, but the signature itself can be checked; SHA-1
# and older are excluded.
_CHECKABLE = _signatures(
    "(RSA|ECDSA)_WITH_SHA(3_)?(224|256|384|512)|DSA_WITH_SHA(224|256|384|512)"
    f"|RSASSA_PSS|ED25519|ED448|{_ML_DSA}"
)
# RSASSA-PSS with SHA-256, -384 or -512, the same hash in MGF1, and a salt as long
# as the hash (RFC 4055, 3.1): the AlgorithmIdentifier in DER.
_PSS_SIGNATURES = frozenset(
    bytes.fromhex(
        "304106092a864886f70d01010a3034"
        f"a00f300d06096086480165030402{hash_}0500"
        f"a11c301a06092a864886f70d010108300d06096086480165030402{hash_}0500"
        f"a2030201{salt}"
    )
    for hash_, salt in (("01", "20"), ("02", "30"), ("03", "40"))
)

_BY_PROXY = "paths through it work only if the proxy verifies them"
_NOT_AT_ALL = "no path can pass through it"


def read_bundle(data: bytes | str) -> tuple[list[ClientCertificate], list[str]]:
    """Return the CA certificates in an upload, and why others in it are left out.

    Usable here or not: ``examine()`` tells that.

    Raises:
        PrivateKeyFoundError: it contains a private key.
        BundleError: too large, empty, or without a CA certificate.
    """
    certificates, left_out = [], []
    for item in read_items(data):
        problem = item.problem
        try:
            if not problem and not _claims_to_be_ca(item.certificate):
                problem = "an end-entity certificate, and only those of CAs belong here"
        except CertificateParseError as error:
            problem = visible(error.detail)
        if problem:
            left_out.append(str(item._replace(problem=problem)))
        else:
            certificates.append(item.certificate)
    if not certificates:
        raise BundleError(f"The file contains no CA certificate: {some_of(left_out)}")
    return certificates, left_out


@dataclass(frozen=True)
class Admission:
    """One certificate of a bundle: its role, and what makes it unusable."""

    certificate: ClientCertificate
    is_anchor: bool
    problems: tuple[str, ...]


def examine(
    certificates: Sequence[ClientCertificate], *, at: dt.datetime, profile: Profile
) -> tuple[Admission, ...]:
    """Return the role and the problems of each certificate of a bundle, in order."""
    anchors = frozenset(sort_bundle(certificates).anchors)
    examined = []
    for certificate in certificates:
        is_anchor = certificate in anchors
        texts = problems(certificate, is_anchor=is_anchor, at=at, profile=profile)
        if not is_anchor and (lost := issuer_problem(certificate, certificates)):
            texts = (*texts, lost)
        examined.append(Admission(certificate, is_anchor, texts))
    return tuple(examined)


def _claims_to_be_ca(certificate: ClientCertificate) -> bool:
    """Return whether a certificate is meant to be a CA's; version 1 cannot say so."""
    if certificate.is_ca or "keyCertSign" in (certificate.key_usage or ()):
        return True
    return certificate.x509.version is x509.Version.v1 and is_self_signed(certificate)


# The kinds of name constraints that the verifier does not support, each with what a
# value begins with that it does not understand: nothing if it understands none
_SUBTREES: dict[type[x509.GeneralName], tuple[str, tuple[str, ...]]] = {
    x509.DNSName: ("a DNS name", (".",)),
    x509.RFC822Name: ("an e-mail address", ("@",)),
    x509.UniformResourceIdentifier: ("a URI", ()),
    x509.OtherName: ("another name, as a UPN is", ()),
    x509.RegisteredID: ("a registered identifier", ()),
}


def problems(
    certificate: ClientCertificate,
    *,
    is_anchor: bool,
    at: dt.datetime,
    profile: Profile,
) -> tuple[str, ...]:
    """Return why no path through a CA's certificate can be verified; empty if one can.

    Each is one English sentence for an administrator. Some say that a path still
    works if the proxy verifies it (see ``PathValidator.find_issuer``).
    """
    try:
        return (
            *_authority_problems(certificate, profile, is_anchor=is_anchor),
            *_field_problems(certificate, at),
            *_key_problems(certificate),
            *(() if is_anchor else _signature_problems(certificate)),
            *_extension_problems(certificate),
        )
    except CertificateParseError as error:
        return (f"It cannot be read ({visible(error.detail)}): {_NOT_AT_ALL}.",)


def issuer_problem(
    certificate: ClientCertificate, bundle: Sequence[ClientCertificate]
) -> str | None:
    """Return why no path leads from an intermediate to an anchor of its *bundle*.

    None if another certificate of *bundle* signed it, or if the signature
    cannot be checked at all (which ``problems()`` reports).
    """
    if certificate.x509.signature_algorithm_oid not in _CHECKABLE:
        return None
    others = [other for other in bundle if other != certificate]
    named = [other for other in others if other.subject_der == certificate.issuer_der]
    if any(map(certificate.is_signed_by, named)):
        return None
    issuer = visible(str(certificate.issuer), 80)
    if named:
        return (
            f"Its issuer, {issuer}, is in the bundle under that name, but with "
            f"another key: {_NOT_AT_ALL}."
        )
    if any(other.subject.matches(certificate.issuer) for other in others):
        return (
            f"Its issuer’s name, {issuer}, is spelt differently in the issuer’s own "
            f"certificate (case, spaces or string type): {_NOT_AT_ALL}."
        )
    return f"Its issuer, {issuer}, is not in the bundle: {_NOT_AT_ALL}."


def _authority_problems(
    certificate: ClientCertificate, profile: Profile, *, is_anchor: bool
) -> Iterator[str]:
    if certificate.x509.version is x509.Version.v1:
        if is_anchor:
            yield f"It is a version 1 certificate; {_BY_PROXY}."
        else:
            yield (
                "It is a version 1 certificate, which cannot say that it is a CA’s: "
                f"{_NOT_AT_ALL}."
            )
        return
    if not certificate.is_ca:
        yield f"It is not marked as a CA’s (basicConstraints): {_NOT_AT_ALL}."
    if not certificate.allows_usage("keyCertSign"):
        yield f"Its keyUsage does not allow signing certificates: {_NOT_AT_ALL}."
    if not certificate.allows_purpose(CLIENT_AUTH):
        yield f"Its extendedKeyUsage leaves out clientAuth: {_NOT_AT_ALL}."
    if profile.requires_ca_key_usage:
        if certificate.key_usage is None:
            yield f"It lacks a keyUsage, as the strict profile requires; {_BY_PROXY}."
        constraints = certificate.extensions.get(BASIC_CONSTRAINTS)
        if constraints is not None and not constraints.critical:
            yield (
                "The strict profile requires basicConstraints to be critical; "
                f"{_BY_PROXY}."
            )


def _field_problems(certificate: ClientCertificate, at: dt.datetime) -> Iterator[str]:
    if at > certificate.not_after:
        yield f"It expired on {show_day(certificate.not_after)}: {_NOT_AT_ALL}."
    elif at < certificate.not_before:
        yield (
            f"It is valid from {show_day(certificate.not_before)} on; until then "
            f"{_NOT_AT_ALL}."
        )
    serial = certificate.serial_number
    if serial < 0:
        yield f"Its serial number is negative; {_BY_PROXY}."
    elif serial == 0:
        yield "Its serial number is zero, which a later cryptography may not read."
    elif serial.bit_length() > _MAX_SERIAL_BITS:
        yield f"Its serial number is longer than 20 octets; {_BY_PROXY}."
    if not certificate.subject or not certificate.issuer:
        yield f"Its subject or issuer is empty; {_BY_PROXY}."


def _key_problems(certificate: ClientCertificate) -> Iterator[str]:
    try:
        key = certificate.public_key
    except CertificateParseError:
        yield f"Its public key is of an unsupported kind: {_NOT_AT_ALL}."
        return
    kind = _unusable_key(certificate, key)
    if kind is not None:
        yield f"{kind} CAs cannot be verified here; {_BY_PROXY}."


def _unusable_key(certificate: ClientCertificate, key: object) -> str | None:
    """Return the kind of a key that the verifier does not support, or None."""
    if isinstance(key, rsa.RSAPublicKey):
        if certificate.x509.public_key_algorithm_oid.dotted_string == _RSA_PSS_KEY:
            return "RSA-PSS"
        return f"RSA-{key.key_size}" if key.key_size < _MIN_RSA_BITS else None
    if isinstance(key, ec.EllipticCurvePublicKey):
        algorithm = der.children(certificate.public_key_der)[0]
        if der.children(algorithm.encoded)[1].tag == der.SEQUENCE:
            return "Explicit elliptic curve"
        return None if key.curve.name in _CURVES else key.curve.name
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519"
    if isinstance(key, ed448.Ed448PublicKey):
        return "Ed448"
    # certificates.SIGNING_KEYS contains no other kind.
    return None if _VERIFIES_ML_DSA else "ML-DSA"


def _signature_problems(certificate: ClientCertificate) -> Iterator[str]:
    """Yield the problem with the signature; that of an anchor is never checked."""
    algorithm = certificate.x509.signature_algorithm_oid
    if algorithm in _SIGNATURES:
        return
    if der.children(certificate.der)[1].encoded in _PSS_SIGNATURES:
        return
    shown = algorithm_name(algorithm.dotted_string)
    if algorithm in _CHECKABLE:
        yield f"It is signed with {shown}, which is not accepted here; {_BY_PROXY}."
    else:
        yield f"It is signed with {shown}, which cannot be checked: {_NOT_AT_ALL}."


def _extension_problems(certificate: ClientCertificate) -> Iterator[str]:
    try:
        extensions = certificate.x509.extensions
    except UNREADABLE as error:
        why = f"An extension cannot be read ({visible(show_error(error))})"
        if NAME_CONSTRAINTS in certificate.extensions:
            yield f"{why}, so its name constraints cannot be either: {_NOT_AT_ALL}."
        else:
            yield f"{why}; some {_BY_PROXY}."
        return
    for oid, extension in certificate.extensions.items():
        if oid == NAME_CONSTRAINTS:
            limits = extensions.get_extension_for_class(x509.NameConstraints).value
            yield from _subtree_problems(limits, critical=extension.critical)
        elif not extension.critical:
            continue
        elif oid in _NEVER_CRITICAL:
            yield f"Its {_NEVER_CRITICAL[oid]} is marked critical; {_BY_PROXY}."
        elif oid not in _UNDERSTOOD:
            yield f"Its critical extension {oid} is not understood here; {_BY_PROXY}."


def _subtree_problems(limits: x509.NameConstraints, *, critical: bool) -> Iterator[str]:
    subtrees = [*(limits.permitted_subtrees or ()), *(limits.excluded_subtrees or ())]
    if critical and any(isinstance(base, x509.DirectoryName) for base in subtrees):
        yield (
            "Its critical name constraints limit directory names, which cannot be "
            f"verified here; {_BY_PROXY}."
        )
    for base in subtrees:
        kind, starts = _SUBTREES.get(type(base), ("", ()))
        # The empty text, which stands for every name, is not understood either.
        if kind and (not starts or not base.value or base.value.startswith(starts)):
            value = f"“{visible(base.value, 80)}” " if starts else ""
            yield (
                f"Its name constraint {value}for {kind} cannot be compared here: every "
                f"certificate with {kind} is refused."
            )
