"""The parts of a CertificateList, read in place (RFC 5280, 5.1 and 5.3)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from django_clientcert.exceptions import RevocationListError
from django_clientcert.x509 import der as asn1
from django_clientcert.x509.certificates import read_extensions

from .problems import INDIRECT, malformed, reading, refuse
from .reasons import RevocationReason, read_reason

REASON_CODE = "2.5.29.21"
INVALIDITY_DATE = "2.5.29.24"
CERTIFICATE_ISSUER = "2.5.29.29"

_ENUMERATED = 0x0A
_REMEMBERED = 4096


@dataclass(frozen=True)
class Outline:
    """Where the parts of a CertificateList are; only small ones are copied."""

    data: bytes
    tbs: tuple[int, int]
    issuer: bytes
    this_update: dt.datetime
    next_update: dt.datetime | None
    entries: tuple[int, int]
    extensions: bytes
    algorithm: bytes
    signature: bytes

    @property
    def signed(self) -> memoryview:
        """The bytes that are signed, not copied."""
        return memoryview(self.data)[self.tbs[0] : self.tbs[1]]


def read_outline(data: bytes) -> Outline:
    """Return where the parts of the CRL in *data* are.

    Raises:
        RevocationListError: ``not_a_list``, ``truncated`` or ``malformed``.
    """
    _check_size(data)
    with reading():
        return _read_parts(data)


def _check_size(data: bytes) -> None:
    """Refuse a file that is cut off, or longer than the CRL in it."""
    try:
        _, _, stop = asn1.span(data, 0, len(data) + (1 << 33))
    except (asn1.DerError, IndexError):
        refuse("not_a_list", "This is not DER, so it is not a CRL.")
    if stop > len(data):
        refuse(
            "truncated",
            f"The file is cut off: the CRL has {stop} bytes and the file "
            f"{len(data)}. Download it again.",
        )
    if stop < len(data):
        malformed(f"{len(data) - stop} bytes after its end")


def _read_parts(data: bytes) -> Outline:
    outer, start, stop = asn1.span(data, 0, len(data))
    tag, tbs_start, tbs_stop = asn1.span(data, start, stop)
    if {outer, tag} != {asn1.SEQUENCE} or data[tbs_start : tbs_start + 1] == b"\xa0":
        refuse(
            "not_a_list",
            "This is not a CRL; it may be a certificate. Use the file "
            "in which the CA publishes its revocations (often *.crl).",
        )
    algorithm, after = _element(data, tbs_stop, stop, asn1.SEQUENCE)
    signature, after = _element(data, after, stop, asn1.BIT_STRING)
    if after != stop:
        raise asn1.DerError("bytes after the signature")
    bits = asn1.only(signature, asn1.BIT_STRING).content
    if bits[:1] != b"\0":
        raise asn1.DerError("the signature is not whole octets")

    position = tbs_start
    version, body, position_after = asn1.span(data, position, tbs_stop)
    has_extensions = version == asn1.INTEGER
    if has_extensions:
        # Version 2 is written as 1, version 1 not at all; only 2 has extensions.
        if data[body:position_after] != b"\x01":
            raise asn1.DerError("neither version 1 nor version 2")
        position = position_after
    inner, position = _element(data, position, tbs_stop, asn1.SEQUENCE)
    if inner != algorithm:
        raise asn1.DerError("two different signature algorithms")
    issuer, position = _element(data, position, tbs_stop, asn1.SEQUENCE)
    tag, body, position = asn1.span(data, position, tbs_stop)
    this_update = read_time(tag, data[body:position])
    next_update = None
    entries = (position, position)
    extensions = b"\x30\x00"
    times = (asn1.UTC_TIME, asn1.GENERALIZED_TIME)
    if position < tbs_stop and data[position] in times:
        tag, body, position = asn1.span(data, position, tbs_stop)
        next_update = read_time(tag, data[body:position])
        if next_update < this_update:
            raise asn1.DerError("nextUpdate is before thisUpdate")
    if position < tbs_stop and data[position] == asn1.SEQUENCE:
        _, body, position = asn1.span(data, position, tbs_stop)
        entries = (body, position)
    if position < tbs_stop and has_extensions and data[position] == 0xA0:
        _, body, position = asn1.span(data, position, tbs_stop)
        extensions = data[body:position]
    if position != tbs_stop:
        raise asn1.DerError("an unexpected field")
    return Outline(
        data=data,
        tbs=(start, tbs_stop),
        issuer=issuer,
        this_update=this_update,
        next_update=next_update,
        entries=entries,
        extensions=extensions,
        algorithm=algorithm,
        signature=bits[1:],
    )


def _element(data: bytes, offset: int, end: int, tag: int) -> tuple[bytes, int]:
    """Return the whole small element of *tag* at *offset*, and the offset after it."""
    actual, _, stop = asn1.span(data, offset, end)
    if actual != tag:
        raise asn1.DerError(f"tag {actual:#04x} instead of {tag:#04x}")
    return data[offset:stop], stop


def read_time(tag: int, content: bytes) -> dt.datetime:
    """Return a UTCTime or GeneralizedTime as RFC 5280 (4.1.2.5) writes them."""
    if tag == asn1.UTC_TIME and len(content) == 13:
        # 50 to 99 are of the last century (4.1.2.5.1)
        content = (b"19" if content[:1] >= b"5" else b"20") + content
    elif tag != asn1.GENERALIZED_TIME or len(content) != 15:
        raise asn1.DerError("not a time")
    if content[14:] != b"Z" or not content[:14].isdigit():
        raise asn1.DerError("not a time in UTC with seconds")
    pairs = (int(content[at : at + 2]) for at in range(4, 14, 2))
    month, day, hour, minute, second = pairs
    year, utc = int(content[:4]), dt.timezone.utc
    return dt.datetime(year, month, day, hour, minute, second, tzinfo=utc)


class Entry(NamedTuple):
    """What a CRL says about one serial number."""

    serial: int
    reason: RevocationReason | None = None
    revoked_at: dt.datetime | None = None
    invalid_since: dt.datetime | None = None


def count_entries(data: bytes, start: int, end: int) -> int:
    """Return how many entries there are between two offsets, without gaps."""
    count, position = 0, start
    try:
        while position < end:
            size = data[position + 1]
            # The usual entry is short, and this runs a million times.
            if data[position] == asn1.SEQUENCE and size < 0x80:
                position += 2 + size
            else:
                tag, _, position = asn1.span(data, position, end)
                if tag != asn1.SEQUENCE:
                    raise asn1.DerError("not an entry")
            count += 1
        if position != end:
            raise asn1.DerError("truncated")
    except (ValueError, IndexError) as error:
        malformed(f"entry {count + 1}: {error}")
    return count


def read_entries(data: bytes, start: int, end: int) -> Iterator[Entry]:
    """Yield the entries between two offsets.

    Many entries have the same dates and extensions, so each is parsed once.
    """
    times: dict[bytes, dt.datetime] = {}
    details: dict[bytes, tuple[RevocationReason | None, dt.datetime | None]] = {}
    number, position = 0, start
    try:
        while position < end:
            number += 1
            tag, body, position = asn1.span(data, position, end)
            tag_of_serial, first, after = asn1.span(data, body, position)
            if tag != asn1.SEQUENCE or tag_of_serial != asn1.INTEGER:
                raise asn1.DerError("not an entry")
            serial = asn1.integer(data[first:after])
            _, first, last = asn1.span(data, after, position)
            encoded = data[after:last]
            revoked_at = times.get(encoded)
            if revoked_at is None:
                revoked_at = read_time(data[after], data[first:last])
                if len(times) < _REMEMBERED:
                    times[encoded] = revoked_at
            if last == position:
                yield Entry(serial, None, revoked_at)
                continue
            encoded = data[last:position]
            detail = details.get(encoded)
            if detail is None:
                detail = _read_entry_extensions(encoded)
                if len(details) < _REMEMBERED:
                    details[encoded] = detail
            yield Entry(serial, detail[0], revoked_at, detail[1])
    except RevocationListError:
        raise
    except ValueError as error:
        malformed(f"entry {number}: {error}")


def _read_entry_extensions(
    encoded: bytes,
) -> tuple[RevocationReason | None, dt.datetime | None]:
    """Return reason and invalidity date in the extensions of an entry.

    What cannot be understood never makes an entry harmless: an unknown critical
    extension, or a reason without a meaning, leaves the certificate revoked.
    """
    reason: RevocationReason | None = None
    invalid_since: dt.datetime | None = None
    unknown = False
    for oid, extension in read_extensions(encoded).items():
        if oid == CERTIFICATE_ISSUER:
            refuse("indirect", INDIRECT)
        elif oid == REASON_CODE:
            encoded_reason = asn1.only(extension.value, _ENUMERATED).content
            reason = read_reason(asn1.integer(encoded_reason))
        elif oid == INVALIDITY_DATE:
            tag, start, stop = asn1.span(extension.value, 0, len(extension.value))
            invalid_since = read_time(tag, extension.value[start:stop])
        else:
            unknown |= extension.critical
    if unknown and reason is RevocationReason.REMOVE_FROM_CRL:
        reason = RevocationReason.UNSPECIFIED
    return reason, invalid_since
