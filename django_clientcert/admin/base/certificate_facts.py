"""A certificate in words, part by part: one that fails does not hide the others.

The contents of a certificate are a stranger's: control characters are made visible
(see ``escaping``), and HTML is escaped by ``format_html``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _

from django_clientcert.exceptions import CertificateParseError
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible, visible_once
from django_clientcert.x509.identities import find_identities
from django_clientcert.x509.names import DistinguishedName

from .markup import MAX_NAME, hex_pairs, join_lines, list_some
from .times import NO_END, moment, relative

MAX_LISTED = 20
_MAX_DIGITS = 128

USAGES = {
    "1.3.6.1.5.5.7.3.1": "serverAuth",
    "1.3.6.1.5.5.7.3.2": "clientAuth",
    "1.3.6.1.5.5.7.3.3": "codeSigning",
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.8": "timeStamping",
    "1.3.6.1.5.5.7.3.9": "OCSPSigning",
    "1.3.6.1.5.5.7.3.17": "ipsecIKE",
    "1.3.6.1.5.2.3.4": "pkInitClientAuth",
    "1.3.6.1.4.1.311.10.3.4": "encryptingFileSystem",
    "1.3.6.1.4.1.311.20.2.2": "smartcardLogon",
    "2.5.29.37.0": "anyExtendedKeyUsage",
}
POLICIES = {"2.5.29.32.0": "anyPolicy"}
SIGNATURES = {"1.3.101.112": "Ed25519", "1.3.101.113": "Ed448"}
WEAK_HASHES = frozenset({"md5", "sha1"})
# 112 bits of security (NIST SP 800-57 part 1, table 2)
MIN_RSA_BITS = 2048
MIN_CURVE_BITS = 224
CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def show_fact(
    certificate: ClientCertificate | None, show: Callable[[ClientCertificate], str]
) -> str:
    """Return ``show(certificate)``, or that this part cannot be read and why.

    “none” if there is no certificate.
    """
    if certificate is None:
        return _("none")
    try:
        return show(certificate)
    except CertificateParseError as error:
        return _("cannot be read: %(why)s") % {"why": visible(error.detail)}


def show_subject(certificate: ClientCertificate) -> str:
    """Return the subject."""
    return _name(certificate.subject)


def show_issuer(certificate: ClientCertificate) -> str:
    """Return the issuer."""
    return _name(certificate.issuer)


def show_serial_number(certificate: ClientCertificate) -> str:
    """Return the serial number as hex pairs."""
    digits = certificate.serial_number_hex
    sign, digits = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    rest = "…" if digits[_MAX_DIGITS:] else ""
    return format_html("{}{}", hex_pairs(digits[:_MAX_DIGITS], sign), rest)


def show_validity(certificate: ClientCertificate) -> str:
    """Return when its validity begins and ends, and its status now."""
    begin, end, now = certificate.not_before, certificate.not_after, timezone.now()
    if end == NO_END:
        return _("since %(begin)s, without an end") % {"begin": moment(begin)}
    if now > end:
        status = _("expired %(when)s") % {"when": relative(end, now)}
    elif now < begin:
        status = _("begins %(when)s") % {"when": relative(begin, now)}
    else:
        status = _("ends %(when)s") % {"when": relative(end, now)}
    return _("%(begin)s to %(end)s, %(status)s") % {
        "begin": moment(begin),
        "end": moment(end),
        "status": status,
    }


def show_public_key(certificate: ClientCertificate) -> str:
    """Return the algorithm and size of the public key, and whether it is weak."""
    public_key = certificate.public_key
    if isinstance(public_key, rsa.RSAPublicKey):
        text = _("RSA, %(bits)d bits") % {"bits": public_key.key_size}
        return _flag(text, is_weak=public_key.key_size < MIN_RSA_BITS)
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        name = public_key.curve.name
        text = _("elliptic curve %(name)s") % {"name": CURVES.get(name, name)}
        return _flag(text, is_weak=public_key.curve.key_size < MIN_CURVE_BITS)
    return type(public_key).__name__.removesuffix("PublicKey")


def show_signature_hash(certificate: ClientCertificate) -> str:
    """Return the hash algorithm of the signature, and whether it is weak."""
    parsed = certificate.x509
    try:
        algorithm = parsed.signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        algorithm = None
    if algorithm is None:
        oid = parsed.signature_algorithm_oid.dotted_string
        return SIGNATURES.get(oid, oid)
    name = algorithm.name
    return _flag(name.upper(), is_weak=name in WEAK_HASHES)


def show_key_usage(certificate: ClientCertificate) -> str:
    """Return the key usage."""
    bits = certificate.key_usage
    return _("none") if bits is None else ", ".join(sorted(bits))


def show_extended_key_usage(certificate: ClientCertificate) -> str:
    """Return the extended key usages, by name if they have one."""
    return _listed(certificate.extended_key_usage or (), USAGES)


def show_policies(certificate: ClientCertificate) -> str:
    """Return the policies."""
    return _listed(certificate.policies, POLICIES)


def show_alternative_names(certificate: ClientCertificate) -> str:
    """Return the subject alternative names by kind."""
    names = certificate.subject_alternative_names
    groups: list[tuple[str, tuple[str, ...]]] = [
        (_("e-mail"), names.emails),
        (_("DNS"), names.dns),
        (_("URI"), names.uris),
        (_("user principal name"), names.upns),
        (_("IP address"), names.ips),
        (_("other"), names.others),
        (_("cannot be read"), names.unreadable),
    ]
    lines = [
        f"{kind}: {list_some(shown, MAX_LISTED)}"
        for kind, values in groups
        if (shown := [visible(value) for value in values if value])
    ]
    return join_lines(lines) if lines else _("none")


def show_fingerprint(certificate: ClientCertificate) -> str:
    """Return the SHA-256 digest of the whole certificate."""
    return hex_pairs(certificate.fingerprint)


def show_problems(certificate: ClientCertificate) -> str:
    """Return why identities of the certificate cannot be used."""
    identities = find_identities(certificate)
    problems = (*identities.problems, *identities.left_out)
    return join_lines(visible_once(problem, 500) for problem in problems)


def _flag(text: str, *, is_weak: bool) -> str:
    if not is_weak:
        return text
    return format_html("{} <strong>{}</strong>", text, _("⚠ weak"))


def _name(name: DistinguishedName) -> str:
    return visible_once(name.rfc4514(), MAX_NAME) if name else _("empty")


def _listed(oids: Iterable[str], names: Mapping[str, str]) -> str:
    return list_some([names.get(oid, oid) for oid in oids], MAX_LISTED) or _("none")
