"""The screens: who a certificate is, which CAs answer for names, what is revoked."""

from __future__ import annotations

from .authorities.screen import CertificateAuthorityAdmin
from .inbox.screen import UnknownCertificateAdmin
from .mappings.screen import CertificateMappingAdmin
from .revocations.crl_screen import RevocationListAdmin
from .revocations.screen import RevocationAdmin
from .seen import SeenCertificateAdmin

__all__ = [
    "CertificateAuthorityAdmin",
    "CertificateMappingAdmin",
    "RevocationAdmin",
    "RevocationListAdmin",
    "SeenCertificateAdmin",
    "UnknownCertificateAdmin",
]
