"""Certificate revocation lists: read, checked and remembered (RFC 5280, 5).

``read_list()`` checks one list when it is imported, all that does not depend on a
certificate; what is left of it is a small ``ListInfo`` and the entries. What a list
says of a certificate is decided in ``revocation``.

A list may be large: 35 MB for a million entries. So it is read where it stands,
without a copy, and its entries are handed out one at a time. The signature is
verified over the bytes of the list, which takes a tenth of the time that
``cryptography`` needs to encode them anew.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any, NamedTuple, NoReturn, Protocol

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

from . import der as asn1
from .certificates import ClientCertificate
from .escaping import visible, visible_once
from .exceptions import (
    CertificateParseError,
    NameNotMatchableError,
    RevocationListError,
)
from .names import DistinguishedName
from .verification import Path, may_sign_lists

MAX_LIST_BYTES = 256 * 1024 * 1024
MIN_RSA_BITS = 2048
# How far the clock of a CA may be ahead
LEEWAY = dt.timedelta(minutes=5)
# How long a list counts that does not say when the next one comes
MAX_AGE = dt.timedelta(days=7)

AUTHORITY_KEY_IDENTIFIER = "2.5.29.35"
SUBJECT_KEY_IDENTIFIER = "2.5.29.14"
CRL_NUMBER = "2.5.29.20"
DELTA_CRL_INDICATOR = "2.5.29.27"
ISSUING_DISTRIBUTION_POINT = "2.5.29.28"
CRL_DISTRIBUTION_POINTS = "2.5.29.31"
REASON_CODE = "2.5.29.21"
INVALIDITY_DATE = "2.5.29.24"
CERTIFICATE_ISSUER = "2.5.29.29"
# AD CS writes it into the lists that it signs with each of its keys for the
# certificates of that key, under one name.
MICROSOFT_CA_VERSION = "1.3.6.1.4.1.311.21.1"

_DIRECTORY_NAME = 0xA4
_ENUMERATED = 0x0A
_REMEMBERED = 4096

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,64})-----")
_LABELS = frozenset({b"X509 CRL", b"CRL"})
_WHITE_SPACE = b" \t\r\n\f\v"


class RevocationReason(IntEnum):
    """Why a certificate was revoked: CRLReason's numbers (RFC 5280, 5.3.1)."""

    UNSPECIFIED = 0
    KEY_COMPROMISE = 1
    CA_COMPROMISE = 2
    AFFILIATION_CHANGED = 3
    SUPERSEDED = 4
    CESSATION_OF_OPERATION = 5
    CERTIFICATE_HOLD = 6
    REMOVE_FROM_CRL = 8
    PRIVILEGE_WITHDRAWN = 9
    AA_COMPROMISE = 10

    @property
    def rfc_name(self) -> str:
        """The name that RFC 5280 gives it."""
        return _REASON_NAMES[self]


_REASON_NAMES = {
    RevocationReason.UNSPECIFIED: "unspecified",
    RevocationReason.KEY_COMPROMISE: "keyCompromise",
    RevocationReason.CA_COMPROMISE: "cACompromise",
    RevocationReason.AFFILIATION_CHANGED: "affiliationChanged",
    RevocationReason.SUPERSEDED: "superseded",
    RevocationReason.CESSATION_OF_OPERATION: "cessationOfOperation",
    RevocationReason.CERTIFICATE_HOLD: "certificateHold",
    RevocationReason.REMOVE_FROM_CRL: "removeFromCRL",
    RevocationReason.PRIVILEGE_WITHDRAWN: "privilegeWithdrawn",
    RevocationReason.AA_COMPROMISE: "aACompromise",
}
_REASONS = {reason.value: reason for reason in RevocationReason}

# ReasonFlags (4.2.1.13) number them in another way: bit 0 is not used.
_REASON_BITS = (
    None,
    RevocationReason.KEY_COMPROMISE,
    RevocationReason.CA_COMPROMISE,
    RevocationReason.AFFILIATION_CHANGED,
    RevocationReason.SUPERSEDED,
    RevocationReason.CESSATION_OF_OPERATION,
    RevocationReason.CERTIFICATE_HOLD,
    RevocationReason.PRIVILEGE_WITHDRAWN,
    RevocationReason.AA_COMPROMISE,
)
ALL_REASONS = frozenset(reason for reason in _REASON_BITS if reason is not None)


class Entry(NamedTuple):
    """What a list says of one serial number."""

    serial: int
    reason: RevocationReason | None = None
    revoked_at: dt.datetime | None = None
    invalid_since: dt.datetime | None = None


class SignerPaths(Protocol):
    """Finds whoever may sign lists: ``verification.PathValidator`` does."""

    def signer_paths(
        self, subject: bytes, public_key: bytes, at: dt.datetime
    ) -> Sequence[Path]:
        """See ``PathValidator.signer_paths()``."""


# --- which certificates a list speaks of -----------------------------------------


@dataclass(frozen=True)
class Scope:
    """Which certificates of its issuer, and which reasons, a list speaks of.

    ``names`` are the GeneralNames (DER) of a partition's distribution point, one
    relative to the issuer made whole; empty where there is none. ``only`` is
    ``"user"``, ``"ca"`` or None. ``reasons`` is None where all are covered.
    """

    names: tuple[bytes, ...] = ()
    only: str | None = None
    reasons: frozenset[RevocationReason] | None = None

    @cached_property
    def keys(self) -> frozenset[bytes]:
        """The names in a form that is equal for names that match."""
        return frozenset(_general_name_key(name) for name in self.names)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 that is the same for the same scope, however it is written."""
        return hashlib.sha256(
            json.dumps(
                [
                    sorted(key.hex() for key in self.keys),
                    self.only,
                    None if self.reasons is None else sorted(self.reasons),
                ]
            ).encode()
        ).digest()

    def __str__(self) -> str:
        """Return the scope for people; empty where a list speaks of everything."""
        parts = []
        if self.only is not None:
            parts.append(
                "certificates of CAs only"
                if self.only == "ca"
                else "certificates of end entities only"
            )
        if self.names:
            parts.append(
                "partition " + ", ".join(_show_general_name(one) for one in self.names)
            )
        if self.reasons is not None:
            parts.append(f"only for {show_reasons(self.reasons)}")
        return "; ".join(parts)

    def reasons_for(
        self, certificate: ClientCertificate
    ) -> frozenset[RevocationReason] | None:
        """Return the reasons that a list covers for *certificate*; None: no scope.

        *certificate* is the issuer's (RFC 5280, 6.3.3 (b) and (d)).

        Raises:
            CertificateParseError: its extensions cannot be read.
        """
        if self.only is not None and (self.only == "ca") != certificate.is_ca:
            return None
        reasons = ALL_REASONS if self.reasons is None else self.reasons
        if not self.names:
            return reasons
        # A list outside of any distribution point counts too, as if there were
        # one with the issuer's name (the end of 6.3.3).
        issuer = _general_name_key(_explicit(_DIRECTORY_NAME, certificate.issuer_der))
        if issuer in self.keys:
            return reasons
        found = [
            point.reasons
            for point in _distribution_points(certificate)
            if point.keys & self.keys
        ]
        return reasons & frozenset[RevocationReason]().union(*found) if found else None

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return {
            "names": [name.hex() for name in self.names],
            "only": self.only,
            "reasons": None if self.reasons is None else sorted(self.reasons),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scope:
        """Return what ``to_json()`` was called on."""
        reasons = data["reasons"]
        return cls(
            tuple(bytes.fromhex(name) for name in data["names"]),
            data["only"],
            None
            if reasons is None
            else frozenset(RevocationReason(one) for one in reasons),
        )


def show_reasons(reasons: frozenset[RevocationReason]) -> str:
    """Return *reasons* by RFC 5280's names, in its order."""
    return ", ".join(one.rfc_name for one in sorted(reasons)) or "no reason"


class _DistributionPoint(NamedTuple):
    keys: frozenset[bytes]
    reasons: frozenset[RevocationReason]


def _distribution_points(
    certificate: ClientCertificate,
) -> list[_DistributionPoint]:
    """Return the distribution points whose lists its issuer signs (4.2.1.13).

    One that names another cRLIssuer takes an indirect list, which is refused.
    """
    extension = certificate.extensions.get(CRL_DISTRIBUTION_POINTS)
    if extension is None:
        return []
    own = _general_name_key(_explicit(_DIRECTORY_NAME, certificate.issuer_der))
    points = []
    try:
        for item in asn1.children(extension.value):
            fields = _fields(item.encoded, {0xA0, 0x81, 0xA2})
            issuers = [one.encoded for one in asn1.read_all(fields.get(0xA2, b""))]
            keys = {_general_name_key(name) for name in issuers}
            if keys and own not in keys:
                continue
            if 0xA0 in fields:
                names = _point_names(fields[0xA0], certificate.issuer_der)
                keys = {_general_name_key(name) for name in names}
            reasons = _reason_flags(fields[0x81]) if 0x81 in fields else ALL_REASONS
            points.append(_DistributionPoint(frozenset(keys), reasons))
    except ValueError as error:
        raise CertificateParseError(
            f"extension {CRL_DISTRIBUTION_POINTS}: {error}"
        ) from error
    return points


def _fields(encoded: bytes, allowed: set[int]) -> dict[int, bytes]:
    """Return the contents of the tagged fields of a SEQUENCE, each once at most."""
    found: dict[int, bytes] = {}
    for element in asn1.children(encoded):
        if element.tag not in allowed or element.tag in found:
            raise asn1.DerError(f"a field with the tag {element.tag:#04x}")
        found[element.tag] = element.content
    return found


def _point_names(content: bytes, issuer: bytes) -> tuple[bytes, ...]:
    """Return the GeneralNames of a DistributionPointName, made whole."""
    choice, end = asn1.read(content)
    if end != len(content):
        raise asn1.DerError("bytes behind a distribution point’s name")
    if choice.tag == 0xA0:
        names = tuple(one.encoded for one in asn1.read_all(choice.content))
        if not names:
            raise asn1.DerError("a distribution point without a name")
        return names
    if choice.tag != 0xA1:
        raise asn1.DerError("a distribution point’s name of another kind")
    rdns = asn1.only(issuer, asn1.SEQUENCE).content
    name = _explicit(asn1.SEQUENCE, rdns + _explicit(asn1.SET, choice.content))
    return (_explicit(_DIRECTORY_NAME, name),)


def _reason_flags(content: bytes) -> frozenset[RevocationReason]:
    """Return the reasons in the content of a ReasonFlags bit string."""
    if not content or content[0] > 7:
        raise asn1.DerError("not a bit string")
    bits = "".join(f"{octet:08b}" for octet in content[1:])
    return frozenset(
        reason
        for reason, bit in zip(_REASON_BITS, bits, strict=False)
        if reason is not None and bit == "1"
    )


def _general_name_key(encoded: bytes) -> bytes:
    """Return bytes that are equal for GeneralNames that match.

    Directory names are compared in canonical form (7.1). All others, URLs above
    all, are compared as they stand: CAs write the same text into both.
    """
    if encoded[:1] != bytes([_DIRECTORY_NAME]):
        return encoded
    try:
        name = asn1.only(encoded, _DIRECTORY_NAME).content
        return encoded[:1] + DistinguishedName.from_der(name).canonical()
    except (ValueError, NameNotMatchableError):
        return encoded


def _show_general_name(encoded: bytes) -> str:
    element = asn1.read(encoded)[0]
    if element.tag == _DIRECTORY_NAME:
        try:
            name = DistinguishedName.from_der(element.content)
            return visible_once(str(name), 120)
        except CertificateParseError:
            pass
    return visible(element.content.decode("ascii", "backslashreplace"), 120)


def _explicit(tag: int, content: bytes) -> bytes:
    """Return *content* with *tag* and a minimal length in front."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


# --- one list --------------------------------------------------------------------


@dataclass(frozen=True)
class ListInfo:
    """What has to be known of a list besides its entries.

    ``issuer_name`` is the SHA-256 of the issuing CA's Name (DER, as it stands in the
    CA's certificate), ``issuer_key`` that of the key (SubjectPublicKeyInfo) that
    signed the list. A list with a ``base_number`` is a delta list (5.2.4).
    ``own_key_only``: the CA signs a list with each of its keys for that key's
    certificates. ``fingerprint`` is the SHA-256 of the DER, 64 hex digits.
    """

    issuer_name: bytes
    issuer_key: bytes
    number: int | None
    base_number: int | None
    this_update: dt.datetime
    next_update: dt.datetime | None
    scope: Scope
    signature_algorithm: str
    entry_count: int
    fingerprint: str
    own_key_only: bool = False

    @property
    def is_delta(self) -> bool:
        """Whether the list only says what has changed since another."""
        return self.base_number is not None

    def expires(self, max_age: dt.timedelta = MAX_AGE) -> dt.datetime:
        """Return the last moment at which the list is not stale.

        *max_age* is for lists that do not say when the next one comes; RFC 5280
        (5.1.2.5) asks for it, and some CAs forget it.
        """
        if self.next_update is not None:
            return self.next_update
        return self.this_update + max_age

    def replaces(self, other: ListInfo) -> bool:
        """Tell whether this list takes the place of *other*: same issuer and kind."""
        return (
            self.issuer_name == other.issuer_name
            and self.issuer_key == other.issuer_key
            and self.scope.digest == other.scope.digest
            and self.is_delta == other.is_delta
        )

    def label(self) -> str:
        """Return how to call the list in a sentence."""
        kind = "delta list" if self.is_delta else "list"
        if self.number is None:
            return f"{kind} of {self.this_update:%Y-%m-%d %H:%M}"
        return f"{kind} number {self.number}"

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return {
            "issuer_name": self.issuer_name.hex(),
            "issuer_key": self.issuer_key.hex(),
            # JSON's numbers end at 2**53 for many readers; these go to 2**159.
            "number": _to_text(self.number),
            "base_number": _to_text(self.base_number),
            "this_update": self.this_update.isoformat(),
            "next_update": self.next_update and self.next_update.isoformat(),
            "scope": self.scope.to_json(),
            "signature_algorithm": self.signature_algorithm,
            "entry_count": self.entry_count,
            "fingerprint": self.fingerprint,
            "own_key_only": self.own_key_only,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ListInfo:
        """Return what ``to_json()`` was called on."""
        next_update = data["next_update"]
        return cls(
            issuer_name=bytes.fromhex(data["issuer_name"]),
            issuer_key=bytes.fromhex(data["issuer_key"]),
            number=_from_text(data["number"]),
            base_number=_from_text(data["base_number"]),
            this_update=dt.datetime.fromisoformat(data["this_update"]),
            next_update=next_update and dt.datetime.fromisoformat(next_update),
            scope=Scope.from_json(data["scope"]),
            signature_algorithm=data["signature_algorithm"],
            entry_count=data["entry_count"],
            fingerprint=data["fingerprint"],
            own_key_only=data["own_key_only"],
        )


def _to_text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _from_text(text: str | None) -> int | None:
    return None if text is None else int(text)


@dataclass(frozen=True)
class ParsedList:
    """A list that passed every check, and who signed it."""

    info: ListInfo
    signer: ClientCertificate
    der: bytes = field(repr=False)
    # Where the entries begin and end in the DER
    region: tuple[int, int] = field(repr=False)

    def entries(self) -> Iterator[Entry]:
        """Yield the entries one at a time, in the order of the list.

        A serial number may come twice; see ``revocation.collect_hits()``.

        Raises:
            RevocationListError: an entry cannot be read (``malformed``), or speaks
                of another CA's certificate (``indirect``).
        """
        return _read_entries(self.der, *self.region)


def read_list(
    data: bytes,
    issuers: Sequence[ClientCertificate],
    *,
    at: dt.datetime,
    previous: Sequence[ListInfo] = (),
    signers: SignerPaths | None = None,
    require_number: bool = False,
    leeway: dt.timedelta = LEEWAY,
    max_bytes: int = MAX_LIST_BYTES,
) -> ParsedList:
    """Return the list in *data*, DER or PEM, checked for use at *at*.

    *issuers* are the certificates that may have issued it, anchors and
    intermediates; with *signers* the one that signed must also lead to an anchor.
    *previous* are the lists that are in force now, so that no older one takes their
    place. A list that is stale already is returned: what it lists is revoked.

    Raises:
        RevocationListError: with one of these codes:
            ``not_a_list``, ``several_lists``, ``truncated``, ``malformed``,
            ``too_large``;
            ``indirect``, ``attribute_certificates``, ``critical_extension``;
            ``unknown_issuer``, ``other_key``, ``no_crl_sign``, ``untrusted_signer``;
            ``weak_signature``, ``unsupported_signature``, ``bad_signature``;
            ``no_number``, ``from_the_future``;
            ``already_loaded``, ``rollback_number``, ``rollback_date``.
    """
    if len(data) > max_bytes:
        _refuse(
            "too_large",
            f"The file is larger than {max_bytes // 1024 // 1024} MiB. Ask the CA "
            "for a partitioned list, or raise the limit.",
        )
    encoded = _single(data)
    outline = _outline(encoded)
    extensions = _read_extensions(outline)
    own_key_only = _check_extensions(outline, extensions)
    signer, algorithm = _find_signer(outline, extensions.key_identifier, issuers)
    if signers is not None and not signers.signer_paths(
        signer.subject_der, signer.public_key_bytes, at
    ):
        _refuse(
            "untrusted_signer",
            f"The list is signed by {_show(signer)}, whose certificate does not "
            "lead to a trust anchor of the authority at this time. Add the "
            "certificates that are missing in between, or the renewed one.",
        )
    info = ListInfo(
        issuer_name=hashlib.sha256(signer.subject_der).digest(),
        issuer_key=signer.public_key_bytes,
        number=extensions.number,
        base_number=extensions.base_number,
        this_update=outline.this_update,
        next_update=outline.next_update,
        scope=extensions.scope,
        signature_algorithm=algorithm,
        entry_count=_count_entries(encoded, *outline.entries),
        fingerprint=hashlib.sha256(encoded).hexdigest(),
        own_key_only=own_key_only,
    )
    _check_number(info, require_number=require_number)
    if info.this_update > at + leeway:
        _refuse(
            "from_the_future",
            f"The list begins on {info.this_update:%Y-%m-%d %H:%M} UTC, which is in "
            "the future. Compare the clocks of this server and of the CA.",
        )
    _check_previous(info, previous)
    return ParsedList(info, signer, encoded, outline.entries)


def split_lists(data: bytes) -> tuple[bytes, ...]:
    """Return the DER of each list in a file: one in DER, or any number in PEM.

    Raises:
        RevocationListError: ``not_a_list`` or ``truncated``.
    """
    if data[:1] == b"\x30":
        return (data,)
    start = data[:256].lstrip(_WHITE_SPACE)
    if b"-----BEGIN " not in data:
        if start[:1] in (b"<", b"{"):
            _refuse(
                "not_a_list",
                "This is a web page or an error message, not a revocation list. "
                "Check the address that it was fetched from.",
            )
        _refuse(
            "not_a_list",
            "This is neither DER nor PEM (“-----BEGIN X509 CRL-----”), so it is no "
            "revocation list.",
        )
    lists, others = [], set()
    position = 0
    while begin := _BEGIN.search(data, position):
        end = b"-----END " + begin[1] + b"-----"
        stop = data.find(end, begin.end())
        if stop < 0:
            _refuse(
                "truncated", "The file is cut off: an END line is missing. Get it anew."
            )
        position = stop + len(end)
        if begin[1] in _LABELS:
            lists.append(_from_base64(data[begin.end() : stop]))
        else:
            others.add(begin[1].decode("ascii"))
    if not lists:
        _refuse(
            "not_a_list",
            "There is no revocation list in it, only: "
            f"{', '.join(sorted(others)) or 'a broken BEGIN line'}.",
        )
    return tuple(lists)


def _single(data: bytes) -> bytes:
    lists = split_lists(data)
    if len(lists) > 1:
        _refuse(
            "several_lists",
            f"There are {len(lists)} revocation lists in it. Import them one by one.",
        )
    return lists[0]


def _from_base64(body: bytes) -> bytes:
    try:
        return base64.b64decode(body.translate(None, _WHITE_SPACE), validate=True)
    except binascii.Error:
        _refuse("not_a_list", "What stands in the PEM block is not base64.")


def _refuse(code: str, message: str) -> NoReturn:
    raise RevocationListError(code, message)


@contextmanager
def _reading() -> Iterator[None]:
    """Make every way in which a list can be broken one error."""
    try:
        yield
    except RevocationListError:
        raise
    except ValueError as error:
        _malformed(error)


def _malformed(what: object) -> NoReturn:
    _refuse(
        "malformed",
        f"The list breaks the rules for revocation lists ({visible(str(what))}). "
        "Have the CA issue a new one.",
    )


def _show(certificate: ClientCertificate) -> str:
    return "“" + visible_once(str(certificate.subject), 120) + "”"


# --- the structure (5.1) ---------------------------------------------------------


@dataclass(frozen=True)
class _Outline:
    """Where the parts of a CertificateList are; only small ones are copied."""

    data: bytes
    tbs: tuple[int, int]
    issuer: bytes
    this_update: dt.datetime
    next_update: dt.datetime | None
    entries: tuple[int, int]
    extensions: bytes | None
    algorithm: bytes
    signature: bytes

    @property
    def signed(self) -> memoryview:
        """The bytes that are signed, where they stand."""
        return memoryview(self.data)[self.tbs[0] : self.tbs[1]]


def _span(data: bytes, offset: int, end: int) -> tuple[int, int, int]:
    """Return tag, start and stop of the content of the element at *offset*.

    The same rules as ``der.read()``, without a copy of the content.

    Raises:
        DerError: not DER, or behind *end*.
    """
    if offset + 2 > end:
        raise asn1.DerError("truncated")
    tag, size = data[offset], data[offset + 1]
    start = offset + 2
    if size >= 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4 or start + count > end:
            raise asn1.DerError("an indefinite or oversized length")
        size = int.from_bytes(data[start : start + count], "big")
        if size < 0x80 or size >> (8 * (count - 1)) == 0:
            raise asn1.DerError("a length that is not minimal")
        start += count
    if start + size > end:
        raise asn1.DerError("truncated")
    return tag, start, start + size


def _outline(data: bytes) -> _Outline:
    _check_size(data)
    with _reading():
        return _read_outline(data)


def _check_size(data: bytes) -> None:
    """Refuse a file that is cut off, or longer than the list in it."""
    try:
        _, _, stop = _span(data, 0, len(data) + (1 << 33))
    except (asn1.DerError, IndexError):
        _refuse("not_a_list", "This is not DER, so it is no revocation list.")
    if stop > len(data):
        _refuse(
            "truncated",
            f"The file is cut off: the list has {stop} bytes and the file "
            f"{len(data)}. Get it anew.",
        )
    if stop < len(data):
        _malformed(f"{len(data) - stop} bytes behind its end")


def _read_outline(data: bytes) -> _Outline:
    outer, start, stop = _span(data, 0, len(data))
    tag, tbs_start, tbs_stop = _span(data, start, stop)
    if {outer, tag} != {asn1.SEQUENCE} or data[tbs_start : tbs_start + 1] == b"\xa0":
        _refuse(
            "not_a_list",
            "This is not a revocation list, but perhaps a certificate. Give the "
            "file that the CA publishes its revocations in (often *.crl).",
        )
    algorithm, after = _element(data, tbs_stop, stop, asn1.SEQUENCE)
    signature, after = _element(data, after, stop, asn1.BIT_STRING)
    if after != stop:
        raise asn1.DerError("bytes behind the signature")
    bits = asn1.only(signature, asn1.BIT_STRING).content
    if bits[:1] != b"\0":
        raise asn1.DerError("the signature is not whole octets")

    position = tbs_start
    version, body, position_after = _span(data, position, tbs_stop)
    has_extensions = version == asn1.INTEGER
    if has_extensions:
        if data[body:position_after] != b"\x01":
            raise asn1.DerError("neither version 1 nor version 2")
        position = position_after
    inner, position = _element(data, position, tbs_stop, asn1.SEQUENCE)
    if inner != algorithm:
        raise asn1.DerError("two different signature algorithms")
    issuer, position = _element(data, position, tbs_stop, asn1.SEQUENCE)
    tag, body, position = _span(data, position, tbs_stop)
    this_update = _time(tag, data[body:position])
    next_update = None
    entries = (position, position)
    extensions = None
    if position < tbs_stop and data[position] in (
        asn1.UTC_TIME,
        asn1.GENERALIZED_TIME,
    ):
        tag, body, position = _span(data, position, tbs_stop)
        next_update = _time(tag, data[body:position])
        if next_update < this_update:
            raise asn1.DerError("nextUpdate is before thisUpdate")
    if position < tbs_stop and data[position] == asn1.SEQUENCE:
        _, body, position = _span(data, position, tbs_stop)
        entries = (body, position)
    if position < tbs_stop and has_extensions and data[position] == 0xA0:
        _, body, position = _span(data, position, tbs_stop)
        extensions = data[body:position]
    if position != tbs_stop:
        raise asn1.DerError("a field that does not belong there")
    return _Outline(
        data=data,
        tbs=(start, tbs_stop),
        issuer=issuer,
        this_update=this_update,
        next_update=next_update,
        entries=entries,
        extensions=extensions,
        algorithm=algorithm,
        signature=bits[1:],
    )


def _element(data: bytes, offset: int, end: int, tag: int) -> tuple[bytes, int]:
    """Return the whole small element of *tag* at *offset*, and the offset behind."""
    found, _, stop = _span(data, offset, end)
    if found != tag:
        raise asn1.DerError(f"tag {found:#04x} where {tag:#04x} belongs")
    return data[offset:stop], stop


def _time(tag: int, content: bytes) -> dt.datetime:
    """Return a UTCTime or GeneralizedTime as RFC 5280 (4.1.2.5) writes them."""
    if tag == asn1.UTC_TIME and len(content) == 13:
        # 50 to 99 are of the last century (4.1.2.5.1)
        content = (b"19" if content[:1] >= b"5" else b"20") + content
    elif tag != asn1.GENERALIZED_TIME or len(content) != 15:
        raise asn1.DerError("not a time")
    if content[14:] != b"Z" or not content[:14].isdigit():
        raise asn1.DerError("not a time in UTC with seconds")
    year, month, day, hour, minute, second = (
        int(content[start:stop])
        for start, stop in ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14))
    )
    return dt.datetime(year, month, day, hour, minute, second, tzinfo=dt.timezone.utc)


# --- the extensions (5.2) --------------------------------------------------------


@dataclass(frozen=True)
class _Extensions:
    number: int | None = None
    base_number: int | None = None
    scope: Scope = field(default_factory=Scope)
    key_identifier: bytes | None = None
    indirect: bool = False
    attribute_certificates: bool = False
    # Dotted type and criticality of every one
    found: tuple[tuple[str, bool], ...] = ()


def _read_extensions(outline: _Outline) -> _Extensions:
    if outline.extensions is None:
        return _Extensions()
    with _reading():
        values = _extension_values(outline.extensions)
        scope, indirect, attributes = _read_scope(
            values.get(ISSUING_DISTRIBUTION_POINT, (False, b"\x30\x00"))[1],
            outline.issuer,
        )
        return _Extensions(
            number=_read_number(values, CRL_NUMBER),
            base_number=_read_number(values, DELTA_CRL_INDICATOR),
            scope=scope,
            key_identifier=_read_key_identifier(values),
            indirect=indirect,
            attribute_certificates=attributes,
            found=tuple((oid, critical) for oid, (critical, _) in values.items()),
        )


def _extension_values(encoded: bytes) -> dict[str, tuple[bool, bytes]]:
    """Return criticality and value of each Extension of a SEQUENCE, by its type."""
    values: dict[str, tuple[bool, bytes]] = {}
    for item in asn1.children(encoded):
        parts = asn1.children(item.encoded)
        if not 2 <= len(parts) <= 3 or parts[0].tag != asn1.OBJECT_IDENTIFIER:
            raise asn1.DerError("an extension of another shape")
        oid = asn1.object_identifier(parts[0].content)
        critical = len(parts) == 3 and asn1.boolean(
            asn1.only(parts[1].encoded, asn1.BOOLEAN).content
        )
        if oid in values:
            raise asn1.DerError(f"the extension {oid} twice")
        values[oid] = (
            critical,
            asn1.only(parts[-1].encoded, asn1.OCTET_STRING).content,
        )
    return values


def _read_number(values: Mapping[str, tuple[bool, bytes]], oid: str) -> int | None:
    if oid not in values:
        return None
    number = asn1.integer(asn1.only(values[oid][1], asn1.INTEGER).content)
    if not 0 <= number < 1 << 160:
        raise asn1.DerError("a number that is negative or longer than 20 octets")
    return number


def _read_key_identifier(values: Mapping[str, tuple[bool, bytes]]) -> bytes | None:
    if AUTHORITY_KEY_IDENTIFIER not in values:
        return None
    for field_ in asn1.children(values[AUTHORITY_KEY_IDENTIFIER][1]):
        if field_.tag == 0x80:
            return field_.content
    return None


def _read_scope(value: bytes, issuer: bytes) -> tuple[Scope, bool, bool]:
    """Return the scope in an issuing distribution point (5.2.5), and two refusals.

    Those are whether the list is an indirect one, and one of attribute
    certificates.
    """
    fields = _fields(value, {0xA0, 0x81, 0x82, 0x83, 0x84, 0x85})
    flags = {
        tag: tag in fields and asn1.boolean(fields[tag])
        for tag in (0x81, 0x82, 0x84, 0x85)
    }
    if flags[0x81] and flags[0x82]:
        raise asn1.DerError("only end entities and only CAs at the same time")
    return (
        Scope(
            names=_point_names(fields[0xA0], issuer) if 0xA0 in fields else (),
            only="user" if flags[0x81] else "ca" if flags[0x82] else None,
            reasons=_reason_flags(fields[0x83]) if 0x83 in fields else None,
        ),
        flags[0x84],
        flags[0x85],
    )


_INDIRECT = (
    "This is an indirect list: it speaks of certificates of other CAs. Indirect lists "
    "are not supported; ask for the list that the CA itself signs."
)


def _check_extensions(outline: _Outline, extensions: _Extensions) -> bool:
    """Refuse kinds of lists that cannot be used; return ``own_key_only``."""
    if extensions.indirect:
        _refuse("indirect", _INDIRECT)
    if extensions.attribute_certificates:
        _refuse(
            "attribute_certificates",
            "This is a list of attribute certificates. Ask the CA for the list of "
            "its public key certificates.",
        )
    for oid, critical in extensions.found:
        if critical and oid not in (ISSUING_DISTRIBUTION_POINT, DELTA_CRL_INDICATOR):
            _refuse(
                "critical_extension",
                f"The list has the critical extension {oid}, which is not known "
                "here or must not be critical, so what it says cannot be relied "
                "on (RFC 5280, 5.2). Ask the CA for a list without it.",
            )
    return any(oid == MICROSOFT_CA_VERSION for oid, _ in extensions.found)


# --- who signed it ---------------------------------------------------------------


def _find_signer(
    outline: _Outline,
    key_identifier: bytes | None,
    issuers: Sequence[ClientCertificate],
) -> tuple[ClientCertificate, str]:
    """Return the certificate whose key signed the list, and the algorithm's name."""
    named = [one for one in issuers if _has_name(one, outline.issuer)]
    issuer = "“" + visible_once(_show_name(outline.issuer), 120) + "”"
    if not named:
        known = "; ".join(dict.fromkeys(_show(one) for one in issuers[:10]))
        _refuse(
            "unknown_issuer",
            f"The list is issued by {issuer}, which is none of the authority’s "
            f"certificates ({known or 'there are none'}). Add the certificate of "
            "that CA to the authority, or give this list to the authority that it "
            "belongs to.",
        )
    fitting = [one for one in named if _has_key(one, key_identifier)]
    if not fitting:
        assert key_identifier is not None  # noqa: S101 - for the type checker
        _refuse(
            "other_key",
            f"The list is signed with another key of {issuer} "
            f"(authorityKeyIdentifier {key_identifier[:20].hex()}) than its "
            "certificates in the authority have. Add the CA’s certificate for that "
            "key, or ask for the list that belongs to the one you have.",
        )
    signing = [one for one in fitting if _may_sign(one)]
    if not signing:
        _refuse(
            "no_crl_sign",
            f"The certificate of {issuer} may not sign revocation lists: its "
            "keyUsage lacks cRLSign. Add the certificate that may, or have the "
            "CA’s certificate issued anew.",
        )
    algorithm = _read_algorithm(outline.algorithm)
    for one in signing:
        key = _public_key(one)
        if key is None or not algorithm.verifies(key, outline):
            continue
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < MIN_RSA_BITS:
            _refuse(
                "weak_signature",
                f"The list is signed with an RSA key of {key.key_size} bits, which "
                f"can be broken. The CA needs a key of {MIN_RSA_BITS} bits.",
            )
        return one, algorithm.name
    _refuse(
        "bad_signature",
        f"The signature of the list does not verify with the key of {issuer}. The "
        "file was changed or damaged, or the list is signed with another key. Get "
        "it anew from the CA.",
    )


def _has_name(certificate: ClientCertificate, name: bytes) -> bool:
    """Tell whether *name* is the subject, in whatever string types (7.1)."""
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
    """Tell whether the key can be the one meant; without identifiers it can."""
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
        return may_sign_lists(certificate)
    except CertificateParseError:
        return False


def _public_key(certificate: ClientCertificate) -> CertificatePublicKeyTypes | None:
    try:
        return certificate.public_key
    except CertificateParseError:
        return None


@dataclass(frozen=True)
class _Algorithm:
    """A signature algorithm that is strong enough."""

    name: str
    kind: type[Any]
    digest: hashes.HashAlgorithm | None = None
    pss: padding.PSS | None = None

    def verifies(self, key: CertificatePublicKeyTypes, outline: _Outline) -> bool:
        """Tell whether *key* made the signature of *outline*."""
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
    "1.2.840.113549.1.1.11": _Algorithm("RSA with SHA-256", _RSA, hashes.SHA256()),
    "1.2.840.113549.1.1.12": _Algorithm("RSA with SHA-384", _RSA, hashes.SHA384()),
    "1.2.840.113549.1.1.13": _Algorithm("RSA with SHA-512", _RSA, hashes.SHA512()),
    "1.2.840.10045.4.3.2": _Algorithm("ECDSA with SHA-256", _EC, hashes.SHA256()),
    "1.2.840.10045.4.3.3": _Algorithm("ECDSA with SHA-384", _EC, hashes.SHA384()),
    "1.2.840.10045.4.3.4": _Algorithm("ECDSA with SHA-512", _EC, hashes.SHA512()),
    "1.3.101.112": _Algorithm("Ed25519", ed25519.Ed25519PublicKey),
    "1.3.101.113": _Algorithm("Ed448", ed448.Ed448PublicKey),
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


def _read_algorithm(encoded: bytes) -> _Algorithm:
    """Return the algorithm of an AlgorithmIdentifier (RFC 5480, 8017, 8410)."""
    with _reading():
        parts = asn1.children(encoded)
        if not 1 <= len(parts) <= 2 or parts[0].tag != asn1.OBJECT_IDENTIFIER:
            raise asn1.DerError("a signature algorithm of another shape")
        oid = asn1.object_identifier(parts[0].content)
        if oid in _WEAK:
            _refuse_weak(_WEAK[oid])
        if oid == _RSASSA_PSS:
            return _read_pss(parts[1].encoded if len(parts) == 2 else b"\x30\x00")
        algorithm = _ALGORITHMS.get(oid)
        # RSA has NULL there, and all others have nothing (RFC 5480, 2.2; 8410, 3)
        if algorithm is not None and len(parts) == 2:
            if algorithm.kind is not _RSA or parts[1].encoded != b"\x05\x00":
                raise asn1.DerError("parameters of the signature algorithm")
    if algorithm is None:
        _refuse(
            "unsupported_signature",
            f"The list is signed with the algorithm {oid}, which is not supported. "
            "RSA, ECDSA and Ed25519 with SHA-2 are.",
        )
    return algorithm


def _read_pss(encoded: bytes) -> _Algorithm:
    """Return RSASSA-PSS with the parameters of RFC 4055 (3.1)."""
    fields = _fields(encoded, {0xA0, 0xA1, 0xA2, 0xA3})
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
            raise asn1.DerError("another trailer field of RSASSA-PSS")
    if not 0 <= salt <= 1024:
        raise asn1.DerError("a length of the salt of RSASSA-PSS")
    return _Algorithm(
        f"RSASSA-PSS with SHA-{digest.digest_size * 8}",
        _RSA,
        digest,
        padding.PSS(padding.MGF1(mask_digest), salt),
    )


def _read_sha2(encoded: bytes | None) -> hashes.HashAlgorithm:
    """Return the digest of an AlgorithmIdentifier; left out, it is SHA-1."""
    if encoded is None:
        _refuse_weak("SHA-1")
    parts = asn1.children(encoded)
    if not parts or parts[0].tag != asn1.OBJECT_IDENTIFIER:
        raise asn1.DerError("a digest algorithm of another shape")
    oid = asn1.object_identifier(parts[0].content)
    if oid == "1.3.14.3.2.26":
        _refuse_weak("SHA-1")
    if oid not in _SHA2:
        raise asn1.DerError(f"the digest {oid} in RSASSA-PSS")
    return _SHA2[oid]


def _refuse_weak(name: str) -> NoReturn:
    _refuse(
        "weak_signature",
        f"The list is signed with {name}, with which a list can be forged. Set the "
        "CA to SHA-256 and have it issue a new one.",
    )


# --- numbers and dates -----------------------------------------------------------


def _check_number(info: ListInfo, *, require_number: bool) -> None:
    if info.number is None and (info.is_delta or require_number):
        _refuse(
            "no_number",
            "The list has no CRLNumber"
            + (", which a delta list needs" if info.is_delta else "")
            + " (RFC 5280, 5.2.3). Set the CA to write one.",
        )
    if (
        info.number is not None
        and info.base_number is not None
        and info.number < info.base_number
    ):
        _malformed("a delta list is older than what it builds on")


def _check_previous(info: ListInfo, previous: Sequence[ListInfo]) -> None:
    """Refuse a list that is older than one that it would take the place of."""
    for other in previous:
        if other.fingerprint == info.fingerprint:
            _refuse("already_loaded", f"This {info.label()} is loaded already.")
    for other in filter(info.replaces, previous):
        if (
            info.number is not None
            and other.number is not None
            and info.number < other.number
        ):
            _refuse(
                "rollback_number",
                f"This is an older list (number {info.number}) than the one that "
                f"is loaded (number {other.number}). Get the newest list; if the "
                "CA really began to count anew, delete the loaded one first.",
            )
        if info.this_update < other.this_update:
            _refuse(
                "rollback_date",
                f"This is an older list (of {info.this_update:%Y-%m-%d %H:%M} UTC) "
                f"than the one that is loaded (of {other.this_update:%Y-%m-%d %H:%M} "
                "UTC). Get the newest list.",
            )


# --- the entries (5.3) -----------------------------------------------------------


def _count_entries(data: bytes, start: int, end: int) -> int:
    """Return how many entries there are between two offsets, and no gap."""
    count, position = 0, start
    try:
        while position < end:
            size = data[position + 1]
            # The usual entry is short, and this runs a million times.
            if data[position] == asn1.SEQUENCE and size < 0x80:
                position += 2 + size
            else:
                tag, _, position = _span(data, position, end)
                if tag != asn1.SEQUENCE:
                    raise asn1.DerError("not an entry")
            count += 1
        if position != end:
            raise asn1.DerError("truncated")
    except (ValueError, IndexError) as error:
        _malformed(f"entry {count + 1}: {error}")
    return count


def _read_entries(data: bytes, start: int, end: int) -> Iterator[Entry]:
    """Yield the entries between two offsets.

    Dates and extensions are alike in many entries, so what was read is kept.
    """
    times: dict[bytes, dt.datetime] = {}
    details: dict[bytes, tuple[RevocationReason | None, dt.datetime | None]] = {}
    number, position = 0, start
    try:
        while position < end:
            number += 1
            tag, body, position = _span(data, position, end)
            tag_of_serial, first, behind = _span(data, body, position)
            if tag != asn1.SEQUENCE or tag_of_serial != asn1.INTEGER:
                raise asn1.DerError("not an entry")
            serial = asn1.integer(data[first:behind])
            _, first, last = _span(data, behind, position)
            encoded = data[behind:last]
            revoked_at = times.get(encoded)
            if revoked_at is None:
                revoked_at = _time(data[behind], data[first:last])
                if len(times) < _REMEMBERED:
                    times[encoded] = revoked_at
            if last == position:
                yield Entry(serial, None, revoked_at)
                continue
            encoded = data[last:position]
            detail = details.get(encoded)
            if detail is None:
                detail = _read_entry_extensions(encoded)
                if len(details) < _REMEMBERED:
                    details[encoded] = detail
            yield Entry(serial, detail[0], revoked_at, detail[1])
    except RevocationListError:
        raise
    except ValueError as error:
        _malformed(f"entry {number}: {error}")


def _read_entry_extensions(
    encoded: bytes,
) -> tuple[RevocationReason | None, dt.datetime | None]:
    """Return reason and invalidity date in the extensions of an entry.

    What cannot be understood never makes an entry harmless: an unknown critical
    extension, or a reason without a meaning, leaves the certificate revoked.
    """
    reason: RevocationReason | None = None
    invalid_since: dt.datetime | None = None
    unknown = False
    for oid, (critical, value) in _extension_values(encoded).items():
        if oid == CERTIFICATE_ISSUER:
            _refuse("indirect", _INDIRECT)
        elif oid == REASON_CODE:
            reason = _read_reason(value)
        elif oid == INVALIDITY_DATE:
            tag, start, stop = _span(value, 0, len(value))
            invalid_since = _time(tag, value[start:stop])
        else:
            unknown |= critical
    if unknown and reason is RevocationReason.REMOVE_FROM_CRL:
        reason = RevocationReason.UNSPECIFIED
    return reason, invalid_since


def _read_reason(value: bytes) -> RevocationReason:
    code = asn1.integer(asn1.only(value, _ENUMERATED).content)
    return _REASONS.get(code, RevocationReason.UNSPECIFIED)
