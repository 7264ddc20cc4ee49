"""The tables: mappings, authorities, revocations, and what was observed."""

from __future__ import annotations

from . import derived  # noqa: F401 - connects its receivers
from .authorities import AuthorityCertificate, CertificateAuthority
from .fields import KeyField, KeyPlaceholder, name_key, serial_key
from .mappings import CertificateMapping, CertificateMappingQuerySet, MappingLock
from .observed import (
    SeenCertificate,
    SeenCertificateQuerySet,
    UnknownCertificate,
    UnknownCertificateQuerySet,
)
from .revocations import Revocation, RevocationList, RevocationQuerySet, RevokedSerial
from .temporary import ExpiryNotice, PendingImport

__all__ = [
    "AuthorityCertificate",
    "CertificateAuthority",
    "CertificateMapping",
    "CertificateMappingQuerySet",
    "ExpiryNotice",
    "KeyField",
    "KeyPlaceholder",
    "MappingLock",
    "PendingImport",
    "Revocation",
    "RevocationList",
    "RevocationQuerySet",
    "RevokedSerial",
    "SeenCertificate",
    "SeenCertificateQuerySet",
    "UnknownCertificate",
    "UnknownCertificateQuerySet",
    "name_key",
    "serial_key",
]
