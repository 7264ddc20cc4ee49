"""What an administrator uploads: certificates in PEM, DER or PKCS#7.

A file is split first and read one certificate at a time, so that one bad
certificate is named instead of losing the whole bundle.
"""

from __future__ import annotations

import base64
import binascii
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from django_clientcert.exceptions import (
    BundleError,
    CertificateParseError,
    PrivateKeyFoundError,
)

from . import containers, der
from .certificates import UNREADABLE, ClientCertificate
from .escaping import visible
from .text import show_error

# Small enough to come back from a text area of the admin: Django's default for the
# size of a request is 2.5 MB.
MAX_BUNDLE_BYTES = 2 * 1024 * 1024
MAX_CERTIFICATES = 2000

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9# ]{1,64})-----")
_CERTIFICATE_LABELS = ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")
_PKCS7_LABELS = ("PKCS7", "PKCS #7 SIGNED DATA", "CMS")
_ENVELOPED = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03"
_WHITE_SPACE = b" \t\r\n\f\v"
# The PEM of a large CRL is decoded in pieces, which saves a copy in memory.
_PIECE = 1 << 20

# A length in DER; 80 is BER's "until further notice", which PKCS#12 files have.
_LENGTH = rb"(?:[\x00-\x80]|\x81.|\x82..|\x83...|\x84....)"
# How a private key begins. The beginning is enough: half a key is just as secret.
_DER_PRIVATE_KEY = re.compile(
    rb"\x30"
    + _LENGTH
    + rb"(?:\x02\x01[\x00\x01](?:\x30"  # PKCS#8 (RFC 5958)
    + _LENGTH
    # but not the parameters of a curve (RFC 3279, 2.3.5), which are public
    + rb"\x06(?!\x07\x2a\x86\x48\xce\x3d\x01)"
    rb"|\x02|\x04)"  # PKCS#1 (RFC 8017), SEC 1 (RFC 5915)
    rb"|\x02\x01\x03\x30"  # PKCS#12 (RFC 7292)
    # encrypted PKCS#8: the algorithm is one of PKCS#5 or PKCS#12
    rb"|\x30" + _LENGTH + rb"\x06.\x2a\x86\x48\x86\xf7\x0d\x01[\x05\x0c])",
    re.DOTALL,
)
_PKCS7_START = re.compile(rb"\x30" + _LENGTH + rb"\x06", re.DOTALL)
_PRIVATE_KEY_TEXT = re.compile(
    rb"-----\s*(?:BEGIN|END) [A-Z0-9 ]{0,64}PRIVATE KEY"
    rb"|Proc-Type:\s*4,\s*ENCRYPTED"
    rb"|openssh-key-v1\x00|b3BlbnNzaC1rZXktdjE"
    rb"|PuTTY-User-Key-File-",
    re.IGNORECASE,
)
# Where base64 of a SEQUENCE may begin: octet 30 is "M" and something from A to P.
_BASE64_SEQUENCE = re.compile(rb"(?<![A-Za-z0-9+/_-])M[A-P]")
_MAX_BASE64_RUNS = 10_000
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/_-].*", re.DOTALL)

PRIVATE_KEY_MESSAGE = (
    "This holds a private key. A private key never leaves its owner, so nothing was "
    "stored. Provide only the certificate, and consider the key compromised if it was "
    "sent over an untrusted connection."
)


def holds_private_key(data: bytes | str) -> bool:
    """Return whether *data* is or contains a private key in any usual form.

    PEM, OpenSSH and PuTTY by their labels, DER and PKCS#12 by how they begin, and
    the base64 of these two anywhere in a text.
    """
    octets = data.encode("utf-8", "replace") if isinstance(data, str) else data
    if _PRIVATE_KEY_TEXT.search(octets) or _DER_PRIVATE_KEY.match(octets.lstrip()):
        return True
    starts = islice(_BASE64_SEQUENCE.finditer(octets), _MAX_BASE64_RUNS)
    return any(
        _DER_PRIVATE_KEY.match(_decode_start(octets[run.start() : run.start() + 96]))
        for run in starts
    )


def _decode_start(text: bytes) -> bytes:
    """Return the octets that *text* begins with, in base64 or base64url."""
    digits = _NOT_BASE64.sub(b"", b"".join(text.split()), count=1)
    digits = digits.replace(b"-", b"+").replace(b"_", b"/")
    return base64.b64decode(digits[: len(digits) // 4 * 4])


def read_certificates(data: bytes | str) -> tuple[ClientCertificate, ...]:
    """Return the certificates in an upload, in order, each readable.

    PEM (one or many, text around them ignored), DER, or PKCS#7 in either form.

    Raises:
        PrivateKeyFoundError: it contains a private key.
        BundleError: too large, empty, or with an unreadable certificate, whose
            number and subject it gives.
    """
    items = read_items(data)
    for item in items:
        if item.problem:
            raise BundleError(f"The file has an unreadable certificate: {item}.")
    return tuple(item.certificate for item in items)


class BundleItem(NamedTuple):
    """A certificate of a bundle, and why it cannot be read, or ""."""

    certificate: ClientCertificate
    place: str
    problem: str

    def __str__(self) -> str:
        try:
            subject = visible(str(self.certificate.subject), 80)
        except CertificateParseError:
            subject = ""
        return f"{self.place} ({subject or 'without a subject'}): {self.problem}"


def read_items(data: bytes | str) -> list[BundleItem]:
    """Return all certificates in an upload, in order, also unreadable ones.

    Raises:
        PrivateKeyFoundError: it contains a private key.
        BundleError: too large, empty, or none can be read.
    """
    octets = data.encode("utf-8", "replace") if isinstance(data, str) else data
    if len(octets) > MAX_BUNDLE_BYTES:
        raise BundleError(
            f"The file is larger than {MAX_BUNDLE_BYTES // 1024 // 1024} MiB."
        )
    unwrapped = containers.unwrap(octets)
    if any(map(holds_private_key, {octets, unwrapped})):
        raise PrivateKeyFoundError(PRIVATE_KEY_MESSAGE)
    if not octets.strip():
        raise BundleError("The file is empty.")
    octets = unwrapped
    encodings = _from_pem(octets) if b"-----BEGIN " in octets else _from_der(octets)
    if not encodings:
        raise BundleError("The file contains no certificate.")
    if len(encodings) > MAX_CERTIFICATES:
        raise BundleError(
            f"The file contains more than {MAX_CERTIFICATES} certificates."
        )
    items = []
    for number, encoded in enumerate(encodings, 1):
        certificate, problem = ClientCertificate(encoded), ""
        try:
            certificate.check_readable()
        except CertificateParseError as error:
            problem = visible(error.detail)
        place = f"certificate {number} of {len(encodings)}"
        items.append(BundleItem(certificate, place, problem))
    if all(item.problem for item in items):
        _refuse_other_file(encodings[0])
        raise BundleError(f"The file has no readable certificate: {items[0]}.")
    return items


def choose_end_entity(
    certificates: Sequence[ClientCertificate],
) -> ClientCertificate:
    """Return the certificate of an uploaded chain that issued none of the others.

    Raises:
        BundleError: there are several.
    """
    unique = list(dict.fromkeys(certificates))
    leaves = [
        leaf
        for leaf in unique
        if not any(
            other.issuer_der == leaf.subject_der for other in unique if other != leaf
        )
    ]
    if len(leaves) == 1:
        return leaves[0]
    subjects = [str(certificate.subject) for certificate in leaves or unique]
    listed = "; ".join(visible(subject, 80) for subject in subjects[:5])
    raise BundleError(
        f"The file contains several certificates ({listed}). Upload one at a time."
    )


def to_pem(certificates: Sequence[ClientCertificate]) -> str:
    """Return *certificates* as concatenated PEM, as in the ingress' ``ca.crt``."""
    return "".join(encode_pem(certificate.der) for certificate in certificates)


def encode_pem(certificate: bytes) -> str:
    """Return *certificate* (DER) as one PEM block (RFC 7468, 3)."""
    body = "\n".join(textwrap.wrap(base64.b64encode(certificate).decode(), 64))
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"


def _from_pem(octets: bytes) -> list[bytes]:
    blocks = [block for block in split_pem(octets) if block[2] >= 0]
    if octets.count(b"-----BEGIN ") != len(blocks):
        raise BundleError(
            "A PEM block is cut off: there are more BEGIN lines than whole blocks."
        )
    encodings: list[bytes] = []
    others = set()
    for number, (label, start, stop) in enumerate(blocks, 1):
        if label not in (*_CERTIFICATE_LABELS, *_PKCS7_LABELS):
            others.add(label)
            continue
        try:
            decoded = decode_base64(octets, start, stop)
        except binascii.Error as error:
            raise BundleError(
                f"PEM block {number} is not base64: {show_error(error)}."
            ) from error
        if label in _CERTIFICATE_LABELS:
            # OpenSSL appends trust settings to a TRUSTED CERTIFICATE
            if label.startswith("TRUSTED"):
                decoded = _first_element(decoded)
            encodings += _from_pkcs7(decoded) if _is_pkcs7(decoded) else [decoded]
        else:
            encodings += _from_pkcs7(decoded)
    if not encodings and others:
        advice = "; have the CA sign it" if "REQUEST" in "".join(others) else ""
        listed = ", ".join(sorted(others))
        raise BundleError(f"The file contains no certificate, only: {listed}{advice}.")
    return encodings


def split_pem(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield the label of every PEM block, and where its content begins and ends.

    In time linear in the size. If the last block is cut off, its end is -1.
    """
    position = 0
    while position >= 0 and (begin := _BEGIN.search(data, position)):
        end = b"-----END " + begin[1] + b"-----"
        stop = data.find(end, begin.end())
        yield begin[1].decode("ascii"), begin.end(), stop
        position = stop + len(end) if stop >= 0 else -1


def decode_base64(data: bytes, start: int, stop: int) -> bytes:
    """Return what is encoded between two offsets, decoded in pieces.

    Raises:
        binascii.Error: not base64.
    """
    decoded, rest = [], b""
    for position in range(start, stop, _PIECE):
        piece = data[position : min(position + _PIECE, stop)]
        text = rest + piece.translate(None, _WHITE_SPACE)
        whole = len(text) - len(text) % 4
        decoded.append(base64.b64decode(text[:whole], validate=True))
        rest = text[whole:]
    return b"".join([*decoded, base64.b64decode(rest, validate=True)])


def _first_element(octets: bytes) -> bytes:
    try:
        return der.read(octets)[0].encoded
    except der.DerError:
        return octets


def _from_der(octets: bytes) -> list[bytes]:
    if _is_pkcs7(octets):
        return _from_pkcs7(octets)
    try:
        der.read(der.only(octets, der.SEQUENCE).content)
    except der.DerError as error:
        _refuse_other_file(octets)
        raise BundleError(
            "This is neither PEM (“-----BEGIN CERTIFICATE-----”) nor DER."
        ) from error
    return [octets]


def _is_pkcs7(octets: bytes) -> bool:
    """Return whether *octets* are a SEQUENCE that begins with a type, in DER or BER."""
    return bool(_PKCS7_START.match(octets))


def _refuse_other_file(octets: bytes) -> None:
    """Raise if *octets* are a file of another kind that is known."""
    if words := containers.describe(octets):
        raise BundleError(f"This is {visible(words, 200)}.")


def _from_pkcs7(octets: bytes) -> list[bytes]:
    try:
        loaded = pkcs7.load_der_pkcs7_certificates(octets)
    except (
        ValueError,
        UnsupportedAlgorithm,
        # BER, if warnings are errors
        Warning,
    ) as error:
        if _ENVELOPED in octets[:40]:
            raise BundleError("This is an encrypted message (PKCS#7).") from error
        _refuse_other_file(octets)
        why = show_error(error)
        raise BundleError(f"The PKCS#7 file cannot be read: {why}.") from error
    return [certificate.public_bytes(Encoding.DER) for certificate in loaded]


@dataclass(frozen=True)
class TrustStore:
    """A bundle, sorted: the trust anchors, and the intermediates below them."""

    anchors: tuple[ClientCertificate, ...]
    intermediates: tuple[ClientCertificate, ...]


def sort_bundle(certificates: Sequence[ClientCertificate]) -> TrustStore:
    """Return the anchors and intermediates of a bundle.

    Anchors are the self-signed certificates, or all of them if none is.
    """
    unique = list(dict.fromkeys(certificates))
    anchors = tuple(filter(is_self_signed, unique))
    if not anchors:
        return TrustStore(tuple(unique), ())
    others = tuple(certificate for certificate in unique if certificate not in anchors)
    return TrustStore(anchors, others)


def is_self_signed(certificate: ClientCertificate) -> bool:
    """Return whether a certificate is signed with its own key.

    If the signature algorithm cannot be checked (SHA-1, say), equal names decide,
    as a self-signature proves nothing anyway.
    """
    if not certificate.is_self_issued:
        return False
    try:
        certificate.x509.verify_directly_issued_by(certificate.x509)
    except InvalidSignature:
        return False
    except UNREADABLE:
        return True
    return True
