"""One CRL: how it is checked on import, and what is kept of it.

``read_crl()`` checks everything that does not depend on a certificate; the result is
a small ``CRLInfo`` and the entries. What a CRL says about a certificate is decided in
``status``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from django_clientcert.x509 import der as asn1
from django_clientcert.x509.certificates import (
    AUTHORITY_KEY_IDENTIFIER,
    ClientCertificate,
    Extension,
    read_extensions,
)
from django_clientcert.x509.paths import PathValidator
from django_clientcert.x509.text import show_minute

from .files import read_single
from .problems import INDIRECT, malformed, reading, refuse, show_subject
from .reasons import read_reason_flags
from .scopes import Scope, point_names, tagged_fields
from .signatures import find_signer
from .structure import Entry, count_entries, read_entries, read_outline

MAX_CRL_BYTES = 256 * 1024 * 1024
# How far the clock of a CA may be ahead
LEEWAY = dt.timedelta(minutes=5)
# How long a CRL without nextUpdate is current
MAX_AGE = dt.timedelta(days=7)

CRL_NUMBER = "2.5.29.20"
DELTA_CRL_INDICATOR = "2.5.29.27"
ISSUING_DISTRIBUTION_POINT = "2.5.29.28"
# AD CS writes it into the CRLs that it signs with each of its keys for the
# certificates of that key, under one name.
MICROSOFT_CA_VERSION = "1.3.6.1.4.1.311.21.1"


@dataclass(frozen=True)
class CRLInfo:
    """What is known about a CRL in addition to its entries.

    ``issuer_name`` is the SHA-256 of the issuing CA's Name (DER, as encoded in the
    CA's certificate), ``issuer_key`` that of the key (SubjectPublicKeyInfo) that
    signed the CRL. A CRL with a ``base_number`` is a delta CRL (5.2.4).
    ``own_key_only``: the CA signs a CRL with each of its keys for that key's
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
        """Whether the CRL only contains the changes since another one."""
        return self.base_number is not None

    def expires(self) -> dt.datetime:
        """Return the last moment at which the CRL is not stale.

        RFC 5280 (5.1.2.5) requires nextUpdate, and some CAs omit it.
        """
        return self.next_update or self.this_update + MAX_AGE

    @property
    def series(self) -> tuple[bytes, ...]:
        """Issuer, key and scope: what CRLs that replace each other have in common."""
        return self.issuer_name, self.issuer_key, self.scope.digest

    def replaces(self, other: CRLInfo) -> bool:
        """Return whether this CRL makes *other* superfluous.

        A complete CRL replaces the complete one before it, and delta CRLs up to
        its own number. A delta CRL replaces those with the same base or a later
        one; the others may be needed to reach its base.
        """
        if self.series != other.series:
            return False
        if self.base_number is None:
            return other.base_number is None or (
                self.number is not None and (other.number or 0) <= self.number
            )
        return (
            other.base_number is not None
            and self.base_number <= other.base_number
            and (other.number or 0) <= (self.number or 0)
        )

    def label(self) -> str:
        """Return the name of the CRL in a sentence."""
        kind = "delta CRL" if self.is_delta else "CRL"
        if self.number is None:
            return f"{kind} of {show_minute(self.this_update)}"
        return f"{kind} number {self.number}"

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return asdict(self) | {
            "issuer_name": self.issuer_name.hex(),
            "issuer_key": self.issuer_key.hex(),
            # JSON's numbers end at 2**53 for many readers; these go to 2**159.
            "number": _unless_none(str, self.number),
            "base_number": _unless_none(str, self.base_number),
            "this_update": self.this_update.isoformat(),
            "next_update": _unless_none(dt.datetime.isoformat, self.next_update),
            "scope": self.scope.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CRLInfo:
        """Return what ``to_json()`` was called on."""
        read_time = dt.datetime.fromisoformat
        converted = {
            "issuer_name": bytes.fromhex(data["issuer_name"]),
            "issuer_key": bytes.fromhex(data["issuer_key"]),
            "number": _unless_none(int, data["number"]),
            "base_number": _unless_none(int, data["base_number"]),
            "this_update": read_time(data["this_update"]),
            "next_update": _unless_none(read_time, data["next_update"]),
            "scope": Scope.from_json(data["scope"]),
        }
        return cls(**{item.name: data[item.name] for item in fields(cls)} | converted)


def _unless_none(convert: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else convert(value)


@dataclass(frozen=True)
class ParsedCRL:
    """A CRL that passed every check, and the certificate that signed it."""

    info: CRLInfo
    signer: ClientCertificate
    der: bytes = field(repr=False)
    # Where the entries begin and end in the DER
    region: tuple[int, int] = field(repr=False)

    def entries(self) -> Iterator[Entry]:
        """Yield the entries one at a time, in the order of the CRL.

        A serial number may occur twice; see ``collect_hits()``.

        Raises:
            RevocationListError: an entry cannot be read (``malformed``), or is
                about another CA's certificate (``indirect``).
        """
        return read_entries(self.der, *self.region)


def read_crl(
    data: bytes,
    issuers: Sequence[ClientCertificate],
    *,
    at: dt.datetime,
    previous: Sequence[CRLInfo] = (),
    signers: PathValidator | None = None,
    require_number: bool = False,
) -> ParsedCRL:
    """Return the CRL in *data*, DER or PEM, checked for use at *at*.

    *issuers* are the certificates that may have issued it, anchors and
    intermediates; with *signers* the one that signed must also lead to an anchor.
    *previous* are the CRLs that are in force now, which no older one may replace.
    A CRL that is already stale is returned, as its entries still revoke.

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
    if len(data) > MAX_CRL_BYTES:
        refuse(
            "too_large",
            f"The file is larger than {MAX_CRL_BYTES // 1024 // 1024} MiB. Ask the CA "
            "for a partitioned CRL, or raise the limit.",
        )
    encoded = read_single(data)
    outline = read_outline(encoded)
    with reading():
        extensions = read_extensions(outline.extensions)
        number = _read_number(extensions, CRL_NUMBER)
        base_number = _read_number(extensions, DELTA_CRL_INDICATOR)
        key_identifier = _read_key_identifier(extensions)
        scope = _read_scope(extensions, outline.issuer)
    _check_critical(extensions)
    signer, algorithm = find_signer(outline, key_identifier, issuers)
    if signers is not None and not signers.signer_paths(
        signer.subject_der, signer.public_key_bytes, at
    ):
        refuse(
            "untrusted_signer",
            f"The CRL is signed by {show_subject(signer)}, whose certificate does not "
            "lead to a trust anchor of the authority at this time. Add the "
            "missing intermediate certificates, or the renewed one.",
        )
    info = CRLInfo(
        issuer_name=hashlib.sha256(signer.subject_der).digest(),
        issuer_key=signer.public_key_bytes,
        number=number,
        base_number=base_number,
        this_update=outline.this_update,
        next_update=outline.next_update,
        scope=scope,
        signature_algorithm=algorithm,
        entry_count=count_entries(encoded, *outline.entries),
        fingerprint=hashlib.sha256(encoded).hexdigest(),
        own_key_only=MICROSOFT_CA_VERSION in extensions,
    )
    _check_number(info, require_number=require_number)
    if info.this_update > at + LEEWAY:
        refuse(
            "from_the_future",
            f"The CRL is not valid until {show_minute(info.this_update)}, which is "
            "in the future. Compare the clocks of this server and the CA.",
        )
    _check_previous(info, previous)
    return ParsedCRL(info, signer, encoded, outline.entries)


def _read_number(extensions: Mapping[str, Extension], oid: str) -> int | None:
    if oid not in extensions:
        return None
    number = asn1.integer(asn1.only(extensions[oid].value, asn1.INTEGER).content)
    if not 0 <= number < 1 << 160:
        raise asn1.DerError("a number that is negative or longer than 20 octets")
    return number


def _read_key_identifier(extensions: Mapping[str, Extension]) -> bytes | None:
    if AUTHORITY_KEY_IDENTIFIER not in extensions:
        return None
    parts = asn1.children(extensions[AUTHORITY_KEY_IDENTIFIER].value)
    return next((part.content for part in parts if part.tag == 0x80), None)


def _read_scope(extensions: Mapping[str, Extension], issuer: bytes) -> Scope:
    """Return the scope in the issuing distribution point (5.2.5).

    Raises:
        RevocationListError: the CRL is not about certificates of its issuer.
    """
    if ISSUING_DISTRIBUTION_POINT not in extensions:
        return Scope()
    fields = tagged_fields(
        extensions[ISSUING_DISTRIBUTION_POINT].value,
        {0xA0, 0x81, 0x82, 0x83, 0x84, 0x85},
    )
    users, authorities, indirect, attributes = (
        tag in fields and asn1.boolean(fields[tag]) for tag in (0x81, 0x82, 0x84, 0x85)
    )
    if users and authorities:
        raise asn1.DerError("only end entities and only CAs at the same time")
    scope = Scope(
        names=point_names(fields[0xA0], issuer) if 0xA0 in fields else (),
        only="user" if users else "ca" if authorities else None,
        reasons=read_reason_flags(fields[0x83]) if 0x83 in fields else None,
    )
    if indirect:
        refuse("indirect", INDIRECT)
    if attributes:
        refuse(
            "attribute_certificates",
            "This CRL is for attribute certificates. Ask the CA for the CRL of "
            "its public key certificates.",
        )
    return scope


def _check_critical(extensions: Mapping[str, Extension]) -> None:
    known = (ISSUING_DISTRIBUTION_POINT, DELTA_CRL_INDICATOR)
    for oid, extension in extensions.items():
        if extension.critical and oid not in known:
            refuse(
                "critical_extension",
                f"The CRL has the critical extension {oid}, which is not known "
                "here or must not be critical, so the CRL cannot be relied "
                "on (RFC 5280, 5.2). Ask the CA for a CRL without it.",
            )


def _check_number(info: CRLInfo, *, require_number: bool) -> None:
    if info.number is None and (info.is_delta or require_number):
        refuse(
            "no_number",
            "The CRL has no CRLNumber"
            + (", which a delta CRL needs" if info.is_delta else "")
            + " (RFC 5280, 5.2.3). Configure the CA to add one.",
        )
    if (info.number or 0) < (info.base_number or 0):
        malformed("a delta CRL is older than the CRL that it builds on")


def _check_previous(info: CRLInfo, previous: Sequence[CRLInfo]) -> None:
    """Refuse a CRL that is older than one that it would replace."""
    if any(other.fingerprint == info.fingerprint for other in previous):
        refuse("already_loaded", f"This CRL is already loaded: {info.label()}.")
    for other in previous:
        if info.series != other.series or info.is_delta != other.is_delta:
            continue
        if (
            info.number is not None
            and other.number is not None
            and info.number < other.number
        ):
            refuse(
                "rollback_number",
                f"This is an older CRL (number {info.number}) than the one that "
                f"is loaded (number {other.number}). Get the newest CRL; if the "
                "CA really restarted its numbering, delete the loaded CRL first.",
            )
        if info.this_update < other.this_update:
            refuse(
                "rollback_date",
                f"This is an older CRL (of {show_minute(info.this_update)}) than the "
                f"one that is loaded (of {show_minute(other.this_update)}). Get the "
                "newest CRL.",
            )
