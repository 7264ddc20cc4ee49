"""Files with CRLs: one in DER, or any number in PEM."""

from __future__ import annotations

import base64
import binascii
import re

from .problems import refuse

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,64})-----")
_LABELS = frozenset({b"X509 CRL", b"CRL"})
_WHITE_SPACE = b" \t\r\n\f\v"
# The PEM of a large CRL is decoded in pieces, which saves a copy in memory.
_PIECE = 1 << 20


def split_crls(data: bytes) -> tuple[bytes, ...]:
    """Return the DER of each CRL in a file: one in DER, or any number in PEM.

    Raises:
        RevocationListError: ``not_a_list`` or ``truncated``.
    """
    if data[:1] == b"\x30":
        return (data,)
    start = data[:256].lstrip(_WHITE_SPACE)
    if b"-----BEGIN " not in data:
        if start[:1] in (b"<", b"{"):
            refuse(
                "not_a_list",
                "This is a web page or an error message, not a CRL. "
                "Check the URL that it was fetched from.",
            )
        refuse(
            "not_a_list",
            "This is neither DER nor PEM (“-----BEGIN X509 CRL-----”), so it is "
            "not a CRL.",
        )
    crls, others = [], set()
    position = 0
    while begin := _BEGIN.search(data, position):
        end = b"-----END " + begin[1] + b"-----"
        stop = data.find(end, begin.end())
        if stop < 0:
            refuse(
                "truncated",
                "The file is cut off: an END line is missing. Download it again.",
            )
        position = stop + len(end)
        if begin[1] in _LABELS:
            crls.append(_from_base64(data, begin.end(), stop))
        else:
            others.add(begin[1].decode("ascii"))
    if not crls:
        refuse(
            "not_a_list",
            "The file contains no CRL, only: "
            f"{', '.join(sorted(others)) or 'a broken BEGIN line'}.",
        )
    return tuple(crls)


def read_single(data: bytes) -> bytes:
    """Return the DER of the only CRL in a file.

    Raises:
        RevocationListError: as ``split_crls()``, or ``several_lists``.
    """
    crls = split_crls(data)
    if len(crls) > 1:
        refuse(
            "several_lists",
            f"The file contains {len(crls)} CRLs. Import them one at a time.",
        )
    return crls[0]


def _from_base64(data: bytes, start: int, stop: int) -> bytes:
    """Return the base64 between two offsets, decoded in pieces."""
    decoded, rest = [], b""
    try:
        for position in range(start, stop, _PIECE):
            piece = data[position : min(position + _PIECE, stop)]
            text = rest + piece.translate(None, _WHITE_SPACE)
            whole = len(text) - len(text) % 4
            decoded.append(base64.b64decode(text[:whole], validate=True))
            rest = text[whole:]
        decoded.append(base64.b64decode(rest, validate=True))
    except binascii.Error:
        refuse("not_a_list", "The content of the PEM block is not base64.")
    return b"".join(decoded)
