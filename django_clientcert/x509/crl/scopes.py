"""Which certificates a CRL covers: partitions, kinds, reasons (5.2.5)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django_clientcert.exceptions import CertificateParseError, NameNotMatchableError
from django_clientcert.x509 import der as asn1
from django_clientcert.x509.certificates import DIRECTORY_NAME, ClientCertificate
from django_clientcert.x509.escaping import visible, visible_once
from django_clientcert.x509.names import DistinguishedName

from .reasons import ALL_REASONS, RevocationReason, read_reason_flags, show_reasons

CRL_DISTRIBUTION_POINTS = "2.5.29.31"


@dataclass(frozen=True)
class Scope:
    """Which certificates of its issuer, and which reasons, a CRL covers.

    ``names`` are the GeneralNames (DER) of a partition's distribution point, with
    a name relative to the issuer completed; empty if there is none. ``only`` is
    ``"user"``, ``"ca"`` or None. ``reasons`` is None if all are covered.
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
        """SHA-256 that is the same for the same scope, however it is encoded."""
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
        """Return the scope for people; empty if a CRL covers everything."""
        parts = []
        if self.only is not None:
            holders = "CAs" if self.only == "ca" else "end entities"
            parts.append(f"certificates of {holders} only")
        if self.names:
            parts.append(f"partition {', '.join(map(_show_general_name, self.names))}")
        if self.reasons is not None:
            parts.append(f"only for {show_reasons(self.reasons)}")
        return "; ".join(parts)

    def reasons_for(
        self, certificate: ClientCertificate
    ) -> frozenset[RevocationReason] | None:
        """Return the reasons that a CRL covers for *certificate*; None if out of scope.

        *certificate* was issued by the CRL's issuer (RFC 5280, 6.3.3 (b) and (d)).

        Raises:
            CertificateParseError: its extensions cannot be read.
        """
        if self.only is not None and (self.only == "ca") != certificate.is_ca:
            return None
        reasons = ALL_REASONS if self.reasons is None else self.reasons
        if not self.names:
            return reasons
        # A CRL outside any distribution point counts too, as if there were
        # one with the issuer's name (the end of 6.3.3).
        issuer = _general_name_key(asn1.encode(DIRECTORY_NAME, certificate.issuer_der))
        if issuer in self.keys:
            return reasons
        reasons_of_points = [
            reasons_of_point
            for keys, reasons_of_point in _distribution_points(certificate)
            if keys & self.keys
        ]
        if not reasons_of_points:
            return None
        return reasons & frozenset[RevocationReason]().union(*reasons_of_points)

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
            tuple(map(bytes.fromhex, data["names"])),
            data["only"],
            None if reasons is None else frozenset(map(RevocationReason, reasons)),
        )


def _distribution_points(
    certificate: ClientCertificate,
) -> list[tuple[set[bytes], frozenset[RevocationReason]]]:
    """Return keys and reasons of each distribution point (4.2.1.13).

    Only of those whose CRLs the issuer itself signs: a point that names another
    cRLIssuer has an indirect CRL, which is refused.
    """
    extension = certificate.extensions.get(CRL_DISTRIBUTION_POINTS)
    if extension is None:
        return []
    own = _general_name_key(asn1.encode(DIRECTORY_NAME, certificate.issuer_der))
    points = []
    try:
        for item in asn1.children(extension.value):
            fields = tagged_fields(item.encoded, {0xA0, 0x81, 0xA2})
            issuers = [name.encoded for name in asn1.read_all(fields.get(0xA2, b""))]
            keys = {_general_name_key(name) for name in issuers}
            if keys and own not in keys:
                continue
            if 0xA0 in fields:
                names = point_names(fields[0xA0], certificate.issuer_der)
                keys = {_general_name_key(name) for name in names}
            reasons = read_reason_flags(fields[0x81]) if 0x81 in fields else ALL_REASONS
            points.append((keys, reasons))
    except ValueError as error:
        raise CertificateParseError(
            f"extension {CRL_DISTRIBUTION_POINTS}: {error}"
        ) from error
    return points


def tagged_fields(encoded: bytes, allowed: set[int]) -> dict[int, bytes]:
    """Return the contents of the tagged fields of a SEQUENCE, each at most once."""
    fields: dict[int, bytes] = {}
    for element in asn1.children(encoded):
        if element.tag not in allowed or element.tag in fields:
            raise asn1.DerError(f"a field with the tag {element.tag:#04x}")
        fields[element.tag] = element.content
    return fields


def point_names(content: bytes, issuer: bytes) -> tuple[bytes, ...]:
    """Return the GeneralNames of a DistributionPointName, a relative name completed."""
    choice, end = asn1.read(content)
    if end != len(content):
        raise asn1.DerError("bytes after a distribution point’s name")
    if choice.tag == 0xA0:
        names = tuple(name.encoded for name in asn1.read_all(choice.content))
        if not names:
            raise asn1.DerError("a distribution point without a name")
        return names
    if choice.tag != 0xA1:
        raise asn1.DerError("a distribution point’s name of another kind")
    rdns = asn1.only(issuer, asn1.SEQUENCE).content
    name = asn1.encode(asn1.SEQUENCE, rdns + asn1.encode(asn1.SET, choice.content))
    return (asn1.encode(DIRECTORY_NAME, name),)


def _general_name_key(encoded: bytes) -> bytes:
    """Return bytes that are equal for GeneralNames that match.

    Directory names are compared in canonical form (7.1). All others, mostly
    URLs, are compared as encoded: CAs write the same text into both.
    """
    if encoded[:1] != bytes([DIRECTORY_NAME]):
        return encoded
    try:
        name = asn1.only(encoded, DIRECTORY_NAME).content
        return encoded[:1] + DistinguishedName.from_der(name).canonical()
    except (ValueError, NameNotMatchableError):
        return encoded


def _show_general_name(encoded: bytes) -> str:
    element = asn1.read(encoded)[0]
    if element.tag == DIRECTORY_NAME:
        try:
            name = DistinguishedName.from_der(element.content)
            return visible_once(str(name), 120)
        except CertificateParseError:
            pass
    return visible(element.content.decode("ascii", "backslashreplace"), 120)
