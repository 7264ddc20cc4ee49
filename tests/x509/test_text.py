"""How moments, serial numbers and long lists are written."""

from __future__ import annotations

import datetime as dt

import pytest

from django_clientcert.x509.text import (
    parse_serial,
    show_day,
    show_error,
    show_minute,
    show_moment,
    show_serial,
    some_of,
    to_iso,
)

UTC = dt.timezone.utc


def test_moments_are_written_in_utc() -> None:
    """In three lengths, and with every digit of a year before 1000."""
    east = dt.datetime(
        2027, 1, 1, 1, 2, 3, 456, tzinfo=dt.timezone(dt.timedelta(0, 7200))
    )
    assert show_moment(east) == "2026-12-31 23:02:03 UTC"
    assert show_minute(east) == "2026-12-31 23:02 UTC"
    assert show_day(east) == "2026-12-31"
    assert show_moment(dt.datetime(50, 1, 1, tzinfo=UTC)) == "0050-01-01 00:00:00 UTC"
    assert to_iso(east) == "2026-12-31T23:02:03.000456+00:00"
    assert to_iso(None) is None


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "00"), (7, "07"), (0x1EAD85, "1ead85"), (-7, "-07"), (-0x123, "-0123")],
)
def test_a_serial_number_is_hex_pairs(number: int, shown: str) -> None:
    """As OpenSSL prints it; the printed form can be typed."""
    assert show_serial(number) == shown
    assert parse_serial(shown) == number


@pytest.mark.parametrize(
    "text",
    [
        "1ead85",
        "1E:AD:85",
        "1e ad 85",
        " 0x1EAD85\n",
        "serial=1EAD85",
        "Serial Number: 1e:ad:85",
    ],
)
def test_a_serial_number_is_read_in_every_usual_spelling(text: str) -> None:
    """Whatever the tool printed that it was copied from."""
    assert parse_serial(text) == 0x1EAD85


@pytest.mark.parametrize(
    "text", ["", ":", "0x", "-", "--7", "xyz", "1-2", "1e.ad", "١", "f" * 129]
)
def test_what_is_not_a_serial_number(text: str) -> None:
    """Neither a part of a text is read, nor digits of other scripts."""
    assert parse_serial(text) is None


def test_a_long_list_is_cut() -> None:
    """Ten are named, the others counted, also those that were not fetched."""
    assert some_of([]) == ""
    assert some_of(str(number) for number in range(3)) == "0, 1, 2"
    assert some_of("abcdefghij") == "a, b, c, d, e, f, g, h, i, j"
    assert some_of("abcdefghijkl").endswith("i, j and 2 more")
    assert some_of("abcdefghijk", total=500).endswith("i, j and 490 more")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ValueError(
                "error parsing asn1 value: ParseError { kind: ExtraData, location: "
                '["Certificate::tbs_cert", "Spki"] }'
            ),
            "the encoding breaks DER (extra data in Certificate.tbs_cert.Spki)",
        ),
        (
            ValueError(
                "error parsing asn1 value: ParseError { kind: ShortData { needed: 1 } }"
            ),
            "the encoding breaks DER (short data)",
        ),
        (
            ValueError(
                "invalid: forbidden public key algorithm: AlgorithmIdentifier { oid: "
                "DefinedByMarker(PhantomData<asn1::X>), params: Ec(Curve(x)) }"
            ),
            "invalid: forbidden public key algorithm",
        ),
        (
            UnicodeDecodeError("ascii", b"a\xcf", 1, 2, "ordinal not in range(128)"),
            "octet cf is not allowed in ASCII text",
        ),
        (KeyError(6), "the value 6 is unknown"),
        (ValueError("bytes after the element"), "bytes after the element"),
    ],
)
def test_d10_errors_of_libraries_are_said_in_words(
    error: Exception, words: str
) -> None:
    """Nothing that only a programmer of that library can read."""
    assert show_error(error) == words
