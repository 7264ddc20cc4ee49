"""The screens: who a certificate is, which CAs answer for names, what is revoked."""

from __future__ import annotations

from .authorities import CertificateAuthorityAdmin
from .mappings import CertificateMappingAdmin
from .revocation_lists import RevocationListAdmin
from .revocations import RevocationAdmin
from .seen import SeenCertificateAdmin
from .unknown import UnknownCertificateAdmin

__all__ = [
    "CertificateAuthorityAdmin",
    "CertificateMappingAdmin",
    "RevocationAdmin",
    "RevocationListAdmin",
    "SeenCertificateAdmin",
    "UnknownCertificateAdmin",
]
