"""The admin: mappings, the inbox, authorities, CRLs and revocations."""

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
