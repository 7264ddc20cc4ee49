"""Files with CRLs: one in DER, or any number in PEM."""

from __future__ import annotations

import binascii

from django_clientcert.x509.bundles import decode_base64, split_pem

from .problems import refuse


def split_crls(data: bytes) -> tuple[bytes, ...]:
    """Return the DER of each CRL in a file: one in DER, or any number in PEM.

    Raises:
        RevocationListError: ``not_a_list`` or ``truncated``.
    """
    if data[:1] == b"\x30":
        return (data,)
    if b"-----BEGIN " not in data:
        if data[:256].lstrip().startswith((b"<", b"{")):
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
    for label, start, stop in split_pem(data):
        if stop < 0:
            refuse(
                "truncated",
                "The file is cut off: an END line is missing. Download it again.",
            )
        if label not in ("X509 CRL", "CRL"):
            others.add(label)
            continue
        try:
            crls.append(decode_base64(data, start, stop))
        except binascii.Error:
            refuse("not_a_list", "The content of the PEM block is not base64.")
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
