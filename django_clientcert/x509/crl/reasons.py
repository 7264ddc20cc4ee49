"""Why a certificate was revoked, as lists write it (RFC 5280, 5.3.1)."""

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

# ReasonFlags (4.2.1.13) number them in another way: bit 0 is not used.
_REASON_BITS = (
    None,
    RevocationReason.KEY_COMPROMISE,
    RevocationReason.CA_COMPROMISE,
    RevocationReason.AFFILIATION_CHANGED,
    RevocationReason.SUPERSEDED,
    RevocationReason.CESSATION_OF_OPERATION,
    RevocationReason.CERTIFICATE_HOLD,
    RevocationReason.PRIVILEGE_WITHDRAWN,
    RevocationReason.AA_COMPROMISE,
)
ALL_REASONS = frozenset(reason for reason in _REASON_BITS if reason is not None)


def show_reasons(reasons: frozenset[RevocationReason]) -> str:
    """Return *reasons* by RFC 5280's names, in its order."""
    return ", ".join(one.rfc_name for one in sorted(reasons)) or "no reason"


def read_reason_flags(content: bytes) -> frozenset[RevocationReason]:
    """Return the reasons in the content of a ReasonFlags bit string."""
    if not content or content[0] > 7:
        raise der.DerError("not a bit string")
    bits = "".join(f"{octet:08b}" for octet in content[1:])
    return frozenset(
        reason
        for reason, bit in zip(_REASON_BITS, bits, strict=False)
        if reason is not None and bit == "1"
    )


def read_reason(code: int | None) -> RevocationReason | None:
    """Return the reason of a number out of a list; an unknown one still revokes."""
    if code is None:
        return None
    return REASONS_BY_CODE.get(code, RevocationReason.UNSPECIFIED)
