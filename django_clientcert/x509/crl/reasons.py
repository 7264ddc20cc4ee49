"""Why a certificate was revoked, as CRLs encode it (RFC 5280, 5.3.1)."""

from __future__ import annotations

from enum import IntEnum

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
REASONS_BY_CODE = {reason.value: reason for reason in RevocationReason}

# ReasonFlags (4.2.1.13) number them differently: bit 0 is not used.
_REASON_BITS = {
    1: RevocationReason.KEY_COMPROMISE,
    2: RevocationReason.CA_COMPROMISE,
    3: RevocationReason.AFFILIATION_CHANGED,
    4: RevocationReason.SUPERSEDED,
    5: RevocationReason.CESSATION_OF_OPERATION,
    6: RevocationReason.CERTIFICATE_HOLD,
    7: RevocationReason.PRIVILEGE_WITHDRAWN,
    8: RevocationReason.AA_COMPROMISE,
}
ALL_REASONS = frozenset(_REASON_BITS.values())


def show_reasons(reasons: frozenset[RevocationReason]) -> str:
    """Return *reasons* by RFC 5280's names, in its order."""
    return ", ".join(reason.rfc_name for reason in sorted(reasons)) or "no reason"


def read_reason_flags(content: bytes) -> frozenset[RevocationReason]:
    """Return the reasons in the content of a ReasonFlags bit string."""
    bits = der.set_bits(content)
    return frozenset(reason for bit, reason in _REASON_BITS.items() if bit in bits)


def read_reason(code: int | None) -> RevocationReason | None:
    """Return the reason with the number *code*; an unknown number still revokes."""
    if code is None:
        return None
    return REASONS_BY_CODE.get(code, RevocationReason.UNSPECIFIED)
