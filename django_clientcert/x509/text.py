"""How moments, serial numbers and long lists are written, and read back."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable

MAX_LISTED = 10

_SERIAL_LABEL = re.compile(r"\A\s*serial(\s*number)?\s*[=:]\s*")
# Longer than any CA may issue (RFC 5280, 4.1.2.2: 20 octets)
_HEX, _DECIMAL = r"-?[0-9a-f]{1,128}", r"-?[0-9]{1,128}"


def show_moment(at: dt.datetime) -> str:
    """Return *at* in UTC, to the second: “2027-01-31 23:59:59 UTC”."""
    return _show(at, "seconds")


def show_minute(at: dt.datetime) -> str:
    """Return *at* in UTC, to the minute: “2027-01-31 23:59 UTC”."""
    return _show(at, "minutes")


def _show(at: dt.datetime, precision: str) -> str:
    # Not strftime, which drops the leading zeros of a year before 1000.
    naive = at.astimezone(dt.timezone.utc).replace(tzinfo=None)
    return naive.isoformat(" ", precision) + " UTC"


def show_day(at: dt.datetime) -> str:
    """Return the day of *at* in UTC: “2027-01-31”."""
    return show_moment(at)[:10]


def to_iso(at: dt.datetime | None) -> str | None:
    """Return *at* in UTC in ISO 8601, for programs; a naive time is a local one."""
    return None if at is None else at.astimezone(dt.timezone.utc).isoformat()


def show_serial(number: int) -> str:
    """Return a serial number as lower-case hex pairs, as OpenSSL prints it."""
    digits = f"{abs(number):x}"
    return ("-" if number < 0 else "") + digits.zfill(len(digits) + len(digits) % 2)


def parse_serial(text: str, *, decimal: bool = False) -> int | None:
    """Return the serial number that *text* spells in hex, or None.

    With or without colons, spaces, “0x” or the label of ``openssl x509 -serial``.
    With *decimal*, return what the digits would be in decimal, if colons or “0x” do not
    show that they are hex.
    """
    digits = re.sub(r"\s", "", _SERIAL_LABEL.sub("", text.lower()))
    if decimal:
        return int(digits) if re.fullmatch(_DECIMAL, digits) else None
    digits = digits.replace(":", "").removeprefix("0x")
    return int(digits, 16) if re.fullmatch(_HEX, digits) else None


def some_of(texts: Iterable[str], total: int | None = None) -> str:
    """Return the first ten of *texts* with commas, and how many more there are.

    *total* is how many there are in all if *texts* is itself cut off.
    """
    texts = list(texts)
    listed = texts[:MAX_LISTED]
    more = (len(texts) if total is None else total) - len(listed)
    return ", ".join(listed) + (f" and {more} more" if more > 0 else "")


# How the libraries behind cryptography describe an error, for programmers
_PARSE_ERROR = re.compile(
    r"(?:error parsing asn1 value: )?"
    r"ParseError \{ kind: (\w+)(?:.*?, location: \[(.*?)\])?.*\}",
    re.DOTALL,
)
_DEBUG_OUTPUT = re.compile(r":? \w+ \{.*\}| \(encountered processing .*\)", re.DOTALL)


def show_error(error: Exception) -> str:
    """Return what a library raised, in words."""
    if isinstance(error, UnicodeDecodeError):
        octets = error.object[error.start : error.end].hex()
        return f"octet {octets} is not allowed in {error.encoding.upper()} text"
    if isinstance(error, KeyError):
        return f"the value {error} is unknown"

    def replace(match: re.Match[str]) -> str:
        kind = re.sub(r"(?<=.)(?=[A-Z])", " ", match[1]).lower()
        place = (match[2] or "").replace('"', "").replace("::", ".").replace(", ", ".")
        return f"the encoding breaks DER ({kind}{' in ' * bool(place)}{place})"

    return _DEBUG_OUTPUT.sub("", _PARSE_ERROR.sub(replace, str(error)))
