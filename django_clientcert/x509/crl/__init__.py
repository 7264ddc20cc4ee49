"""Certificate revocation lists (RFC 5280, 5 and 6.3): pure, time is an argument.

``read_crl()`` checks one list when it is imported, all that does not depend on a
certificate. ``check_path()`` decides what the lists that are loaded say of a path.
Neither opens a file or a socket: whoever imports has the bytes, and whoever asks
has looked up the entries by their serial number.
"""

from __future__ import annotations

from .files import split_crls
from .reading import LEEWAY, MAX_AGE, MAX_CRL_BYTES, CRLInfo, ParsedCRL, read_crl
from .reasons import ALL_REASONS, RevocationReason, read_reason
from .scopes import Scope
from .signers import SignerPaths
from .status import (
    Hits,
    Outcome,
    RevocationPolicy,
    Status,
    check_path,
    collect_hits,
    lookups,
    status,
)
from .structure import Entry

__all__ = [
    "ALL_REASONS",
    "LEEWAY",
    "MAX_AGE",
    "MAX_CRL_BYTES",
    "CRLInfo",
    "Entry",
    "Hits",
    "Outcome",
    "ParsedCRL",
    "RevocationPolicy",
    "RevocationReason",
    "Scope",
    "SignerPaths",
    "Status",
    "check_path",
    "collect_hits",
    "lookups",
    "read_crl",
    "read_reason",
    "split_crls",
    "status",
]
