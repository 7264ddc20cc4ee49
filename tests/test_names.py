"""Distinguished names: read from DER, compared, printed and typed by people."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from django_clientcert import attribute_types
from django_clientcert.exceptions import (
    CertificateParseError,
    NameNotMatchableError,
    NameSyntaxError,
)
from django_clientcert.names import (
    Attribute,
    DistinguishedName,
    Order,
    fold_ascii,
    fold_email,
    parse_name,
)
from django_clientcert.testing import ThrowawayCA, encode_pem
from tests import der_writer as w
from tests.der_writer import attribute, common_name, name, tlv

CN, C, O, OU = w.COMMON_NAME, w.COUNTRY, w.ORGANIZATION, w.UNIT  # noqa: E741
UID, DC = attribute_types.USER_ID, attribute_types.DOMAIN_COMPONENT
EMAIL, SERIAL_NUMBER = attribute_types.EMAIL_ADDRESS, attribute_types.SERIAL_NUMBER
SURNAME = attribute_types.SURNAME

FIRST, GENERAL = Order.MOST_SPECIFIC_FIRST, Order.MOST_GENERAL_FIRST


def read(encoded: bytes) -> DistinguishedName:
    """Return the name in *encoded*."""
    return DistinguishedName.from_der(encoded)


def of(*values: tuple[str, str]) -> DistinguishedName:
    """Return a name of single attributes in DER order, all UTF8String."""
    return read(name(*(attribute(kind, value) for kind, value in values)))


FR_ACME_ALICE = of((C, "FR"), (O, "ACME"), (CN, "alice"))

# The cases of a survey of what nginx, OpenSSL, Java and cryptography print, and
# the variations that must stay different: id -> (DER, nginx, for people).
VECTORS: dict[str, tuple[bytes, str, str]] = {
    "plain": (
        name(attribute(C, "FR"), attribute(O, "ACME"), attribute(CN, "alice")),
        "CN=alice,O=ACME,C=FR",
        "CN=alice,O=ACME,C=FR",
    ),
    "printable": (
        name(
            attribute(C, "FR", w.PRINTABLE),
            attribute(O, "ACME", w.PRINTABLE),
            attribute(CN, "alice", w.PRINTABLE),
        ),
        "CN=alice,O=ACME,C=FR",
        "CN=alice,O=ACME,C=FR",
    ),
    "case": (
        name(attribute(C, "fr"), attribute(O, "Acme"), attribute(CN, "ALICE")),
        "CN=ALICE,O=Acme,C=fr",
        "CN=ALICE,O=Acme,C=fr",
    ),
    "spaces": (
        name(attribute(C, "FR"), attribute(O, " AC  ME "), attribute(CN, "alice")),
        r"CN=alice,O=\ AC  ME\ ,C=FR",
        r"CN=alice,O=\20AC  ME\20,C=FR",
    ),
    "reversed": (
        name(attribute(CN, "alice"), attribute(O, "ACME"), attribute(C, "FR")),
        "C=FR,O=ACME,CN=alice",
        "C=FR,O=ACME,CN=alice",
    ),
    "utf8": (common_name("José"), r"CN=Jos\C3\A9", "CN=José"),
    "utf8_nfd": (common_name("Jose\u0301"), r"CN=Jose\CC\81", "CN=Jose\u0301"),
    "bmp": (
        common_name("José".encode("utf-16-be"), w.BMP),
        r"CN=Jos\C3\A9",
        "CN=José",
    ),
    "universal": (
        common_name("José".encode("utf-32-be"), w.UNIVERSAL),
        r"CN=Jos\C3\A9",
        "CN=José",
    ),
    "t61": (common_name(b"Jos\xe9", w.T61), r"CN=Jos\C3\A9", "CN=#14044a6f73e9"),
    "multi": (
        name([attribute(CN, "alice"), attribute(UID, "42")]),
        "UID=42+CN=alice",
        "CN=alice+UID=42",
    ),
    "multi_unsorted": (
        name([attribute(UID, "42"), attribute(CN, "alice")]),
        "CN=alice+UID=42",
        "UID=42+CN=alice",
    ),
    "plus_inside": (
        common_name("alice+UID=42"),
        r"CN=alice\+UID=42",
        r"CN=alice\+UID=42",
    ),
    "two_rdns": (
        name(attribute(CN, "alice"), attribute(UID, "42")),
        "UID=42,CN=alice",
        "UID=42,CN=alice",
    ),
    "slash_inside": (common_name("alice/O=evil"), "CN=alice/O=evil", "CN=alice/O=evil"),
    "email": (
        name(attribute(EMAIL, "a@ex.com", w.IA5)),
        "emailAddress=a@ex.com",
        "emailAddress=a@ex.com",
    ),
    "serial_number": (
        name(attribute(SERIAL_NUMBER, "42", w.PRINTABLE)),
        "serialNumber=42",
        "serialNumber=42",
    ),
    "surname": (name(attribute(SURNAME, "Doe")), "SN=Doe", "surname=Doe"),
    "unknown_type": (
        name(attribute("1.2.3.4.5.6", "zz")),
        "1.2.3.4.5.6=#0C027A7A",
        "1.2.3.4.5.6=#0c027a7a",
    ),
    "unknown_string": (
        name(attribute(CN, b"\x00\x02", w.BIT_STRING)),
        "CN=#03020002",
        "CN=#03020002",
    ),
    "long_dump": (
        name(attribute(CN, bytes(200), w.BIT_STRING)),
        "CN=#0381C8" + "00" * 200,
        "CN=#0381c8" + "00" * 200,
    ),
    "nul": (common_name("alice\0.evil"), r"CN=alice\00.evil", r"CN=alice\00.evil"),
    "ctrl": (
        common_name("a\r\nb\x1b\x7f"),
        r"CN=a\0D\0Ab\1B\7F",
        r"CN=a\0d\0ab\1b\7f",
    ),
    "bidi": (common_name("a\u202eb"), r"CN=a\E2\80\AEb", r"CN=a\e2\80\aeb"),
    "zwsp": (common_name("al\u200bice"), r"CN=al\E2\80\8Bice", r"CN=al\e2\80\8bice"),
    "softhyphen": (common_name("al\u00adice"), r"CN=al\C2\ADice", r"CN=al\c2\adice"),
    "no_break_space": (
        common_name("alice\u00a0"),
        r"CN=alice\C2\A0",
        r"CN=alice\c2\a0",
    ),
    "cyr": (common_name("\u0430lice"), r"CN=\D0\B0lice", "CN=\u0430lice"),
    "sharps": (common_name("Straße"), r"CN=Stra\C3\9Fe", "CN=Straße"),
    "double_s": (common_name("Strasse"), "CN=Strasse", "CN=Strasse"),
    "kelvin": (common_name("\u212a"), r"CN=\E2\84\AA", "CN=\u212a"),
    "k": (common_name("k"), "CN=k", "CN=k"),
    "duke": (
        name(attribute(OU, "CN=duke,"), attribute(CN, "luke")),
        r"CN=luke,OU=CN=duke\,",
        r"CN=luke,OU=CN=duke\,",
    ),
    "luke": (
        common_name("luke,CN=duke"),
        r"CN=luke\,CN=duke",
        r"CN=luke\,CN=duke",
    ),
    "marks": (
        common_name('#a"b\\c<d>e;f=g'),
        r"CN=\#a\"b\\c\<d\>e\;f=g",
        r"CN=\#a\"b\\c\<d\>e\;f=g",
    ),
    "inner_hash": (common_name("a#b"), "CN=a#b", "CN=a#b"),
    "twocn": (
        name(attribute(CN, "alice"), attribute(CN, "bob")),
        "CN=bob,CN=alice",
        "CN=bob,CN=alice",
    ),
    "emptyval": (common_name(""), "CN=", "CN="),
    "empty": (name(), "", ""),
}
# Names that are the same although their bytes differ
EQUAL = [{"plain", "printable", "case"}, {"utf8", "bmp", "universal"}] + [
    {"multi", "multi_unsorted"}
]
# Names that must never match, not even themselves
NEVER = {"nul", "ctrl", "bidi", "emptyval", "empty"}

parametrize_vectors = pytest.mark.parametrize("case", VECTORS)


@parametrize_vectors
def test_nginx_rendering(case: str) -> None:
    """openssl_rfc2253() is what nginx prints, for every shape of name."""
    encoded, nginx, _ = VECTORS[case]
    assert read(encoded).openssl_rfc2253() == nginx


@parametrize_vectors
def test_rendering_for_people(case: str) -> None:
    """rfc4514() and str() show text, and what cannot be seen in hex."""
    encoded, _, people = VECTORS[case]
    assert read(encoded).rfc4514() == people
    assert str(read(encoded)) == people


@pytest.mark.parametrize("other", VECTORS)
@parametrize_vectors
def test_n36_n37_only_equal_names_are_equal(case: str, other: str) -> None:
    """N36, N37: neither structure nor letters fold two people into one."""
    one, two = read(VECTORS[case][0]), read(VECTORS[other][0])
    same = case == other or any({case, other} <= group for group in EQUAL)
    if {case, other} & NEVER:
        for never in {case, other} & NEVER:
            with pytest.raises(NameNotMatchableError):
                read(VECTORS[never][0]).canonical()
    else:
        assert (one.canonical() == two.canonical()) is same
        assert (one.digest() == two.digest()) is same


@pytest.mark.needs_program("openssl")
@parametrize_vectors
def test_nginx_rendering_is_openssl_s(
    case: str, ca: ThrowawayCA, tmp_path: Path
) -> None:
    """The rendering is the one of the real OpenSSL, with the flags of nginx."""
    encoded, nginx, _ = VECTORS[case]
    assert ask_openssl(ca, encoded, tmp_path, "RFC2253") == nginx


@pytest.mark.needs_program("openssl")
def test_every_known_type_is_openssl_s(ca: ThrowawayCA, tmp_path: Path) -> None:
    """The table of short names is the one of the real OpenSSL."""
    types = list(attribute_types.OPENSSL_NAMES)
    for start in range(0, len(types), 20):
        encoded = name(*(attribute(kind, "v") for kind in types[start : start + 20]))
        expected = read(encoded).openssl_rfc2253()
        assert ask_openssl(ca, encoded, tmp_path, "RFC2253") == expected


def ask_openssl(ca: ThrowawayCA, subject: bytes, folder: Path, *options: str) -> str:
    """Return what openssl prints for a certificate with this *subject*."""
    file = folder / "certificate.pem"
    file.write_text(encode_pem(w.certificate(ca, subject=subject)), "ascii")
    command = ["openssl", "x509", "-in", str(file), "-noout", "-subject"]
    for option in options:
        command += ["-nameopt", option]
    done = subprocess.run(command, check=True, capture_output=True, timeout=30)
    return done.stdout.decode().removeprefix("subject=").removesuffix("\n")


# What parse_name() may refuse for being ambiguous: the legacy form shows a slash
# inside a value, and no form shows bytes that are not text.
UNTYPABLE = {
    "empty",
    "nul",
    "ctrl",
    "bidi",
    "t61",
    "unknown_string",
    "unknown_type",
    "long_dump",
}


@pytest.mark.needs_program("openssl")
@pytest.mark.parametrize("option", ["oneline", "oneline,-space_eq", "RFC2253", "compat"])
@pytest.mark.parametrize("case", sorted(set(VECTORS) - UNTYPABLE))
def test_what_openssl_prints_is_read_or_refused(
    case: str, option: str, ca: ThrowawayCA, tmp_path: Path
) -> None:
    """Pasting any output of openssl gives that name or a refusal, never another."""
    encoded = VECTORS[case][0]
    # As a person runs it: text as text, not in escapes
    options = [*option.split(","), "utf8", "-esc_msb"]
    text = ask_openssl(ca, encoded, tmp_path, *options)
    order = FIRST if option == "RFC2253" else GENERAL
    try:
        parsed = parse_name("subject=" + text, order=order)
    except NameSyntaxError:
        # "SN" means two things; the old form does not show where a value ends.
        assert case == "surname" or (option == "compat")
    else:
        if case in {"plain", "multi", "twocn"}:
            assert parsed.rfc4514() == read(encoded).rfc4514()
        assert parsed.same_values(read(encoded)) or option == "compat"


