"""Why a certificate was revoked, as CRLs encode it (RFC 5280, 5.3.1)."""

from __future__ import annotations

from enum import IntEnum

from cryptography import x509

from django_clientcert.x509 import der


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
        return x509.ReasonFlags[self.name.lower()].value


_BY_CODE = {reason.value: reason for reason in RevocationReason}
# The reasons that ReasonFlags (4.2.1.13) has a bit for, in their order from bit 1 on;
# bit 0 is not used.
_FLAGGED = [_BY_CODE[code] for code in (1, 2, 3, 4, 5, 6, 9, 10)]
ALL_REASONS = frozenset(_FLAGGED)


def show_reasons(reasons: frozenset[RevocationReason]) -> str:
    """Return *reasons* by RFC 5280's names, in its order."""
    return ", ".join(reason.rfc_name for reason in sorted(reasons)) or "no reason"


def read_reason_flags(content: bytes) -> frozenset[RevocationReason]:
    """Return the reasons in the content of a ReasonFlags bit string."""
    bits = der.set_bits(content)
    return frozenset(reason for bit, reason in enumerate(_FLAGGED, 1) if bit in bits)


def read_reason(code: int | None) -> RevocationReason | None:
    """Return the reason with the number *code*; an unknown number still revokes."""
    return None if code is None else _BY_CODE.get(code, RevocationReason.UNSPECIFIED)
