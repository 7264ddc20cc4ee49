"""The screens: who a certificate is, and which CAs answer for names."""

from __future__ import annotations

from .authorities import CertificateAuthorityAdmin
from .mappings import CertificateMappingAdmin

__all__ = ["CertificateAuthorityAdmin", "CertificateMappingAdmin"]
