"""The forms of the admin: what is typed, pasted or uploaded, made into rows."""

from __future__ import annotations

from .authorities import CertificateAuthorityForm
from .explain import ExplainForm
from .mappings import CertificateMappingForm
from .renewals import RenewalForm
from .revocations import (
    RevocationForm,
    RevocationListForm,
    RevocationReasonForm,
    WhyForm,
)

__all__ = [
    "CertificateAuthorityForm",
    "CertificateMappingForm",
    "ExplainForm",
    "RenewalForm",
    "RevocationForm",
    "RevocationListForm",
    "RevocationReasonForm",
    "WhyForm",
]
