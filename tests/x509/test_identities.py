"""What a certificate is recognised by, and what a person types for it."""

from __future__ import annotations

import base64
import hashlib
import warnings
from contextlib import suppress

import pytest
from cryptography.utils import CryptographyDeprecationWarning
from hypothesis import given
from hypothesis import strategies as st

from django_clientcert.exceptions import (
    CertificateParseError,
    ClientCertError,
    NameNotMatchableError,
    NameSyntaxError,
    Refusal,
)
from django_clientcert.testing import (
    IssuedCertificate,
    ThrowawayCA,
    make_key,
    make_name,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import (
    MAX_NAMES_PER_KIND,
    Identity,
    IdentityKind,
    find_identities,
    identity_of_kind,
    issuer_serial_identity,
    parse_identity,
    parse_sha256,
    public_key_identity,
    san_identities,
    san_identity,
    show_value,
    subject_identity,
)
from django_clientcert.x509.names import Order, parse_name
from django_clientcert.x509.rules import Rule, RuleIdentity, read_identity
from tests import der_writer as w
from tests.der_writer import common_name, tlv

SANS = [
    IdentityKind.SAN_EMAIL,
    IdentityKind.SAN_DNS,
    IdentityKind.SAN_URI,
    IdentityKind.SAN_UPN,
]


def read(issued: IssuedCertificate) -> ClientCertificate:
    """Return what the package makes of an issued certificate."""
    return ClientCertificate(issued.der)


@pytest.fixture(scope="module")
def alice(alice_cert: IssuedCertificate) -> ClientCertificate:
    """Alice's certificate, with one name of each kind."""
    return read(alice_cert)


def by_kind(certificate: ClientCertificate) -> dict[IdentityKind, list[Identity]]:
    """Return the identities found, by their kind."""
    found: dict[IdentityKind, list[Identity]] = {}
    for one in find_identities(certificate).found:
        found.setdefault(one.kind, []).append(one)
    return found


# --- kinds ------------------------------------------------------------------------


def test_levels_put_the_best_kind_first() -> None:
    """Pins, then issuer and serial, then the subject, then the SAN kinds alike."""
    levels = [kind.specificity for kind in IdentityKind]
    assert levels == [0, 1, 2, 3, 4, 4, 4, 4]
    assert [kind for kind in IdentityKind if kind.is_pin] == [
        IdentityKind.FINGERPRINT,
        IdentityKind.PUBLIC_KEY,
    ]
    assert str(IdentityKind.SAN_UPN) == f"{IdentityKind.SAN_UPN}" == "san_upn"


def test_every_identity_of_a_certificate(alice: ClientCertificate) -> None:
    """All eight kinds, the best first, each with its own key."""
    found = find_identities(alice)
    assert [one.kind for one in found.found] == list(IdentityKind)
    assert found.problems == ()
    assert len({one.key for one in found.found}) == 8
    assert all(len(one.key) == 32 for one in found.found)
    values = {one.kind: one.value for one in found.found}
    assert values[IdentityKind.FINGERPRINT] == alice.fingerprint
    assert values[IdentityKind.PUBLIC_KEY] == alice.public_key_fingerprint
    assert values[IdentityKind.ISSUER_SERIAL] == (
        f"{alice.serial_number_hex} CN=Test Root CA"
    )
    assert values[IdentityKind.SUBJECT] == "CN=alice"
    assert values[IdentityKind.SAN_EMAIL] == "alice@example.com"
    assert values[IdentityKind.SAN_DNS] == "alice.example.com"
    assert values[IdentityKind.SAN_URI] == "spiffe://example.com/alice"
    assert values[IdentityKind.SAN_UPN] == "alice@corp.example"


def test_pins_are_the_hash_itself(alice: ClientCertificate) -> None:
    """So a fingerprint prefix is a range of the index."""
    found = by_kind(alice)
    assert found[IdentityKind.FINGERPRINT][0].key == hashlib.sha256(alice.der).digest()
    assert found[IdentityKind.PUBLIC_KEY][0].key == (
        hashlib.sha256(alice.public_key_der).digest()
    )


def test_the_same_text_of_two_kinds_has_two_keys() -> None:
    """A DNS name that reads like a URI or an address is none."""
    keys = {san_identity(kind, "alice@example.com").key for kind in SANS}
    assert len(keys) == 4


@pytest.mark.parametrize("kind", IdentityKind)
def test_identity_of_kind(kind: IdentityKind, alice: ClientCertificate) -> None:
    """The one of a kind is the one that is found."""
    assert [identity_of_kind(kind, alice)] == by_kind(alice)[kind]


@pytest.mark.parametrize("kind", IdentityKind)
def test_what_is_shown_leads_back(kind: IdentityKind, alice: ClientCertificate) -> None:
    """The canonical text of an identity, typed, is that identity."""
    one = identity_of_kind(kind, alice)
    assert parse_identity(kind, one.value, order=Order.MOST_SPECIFIC_FIRST) == one


@pytest.mark.parametrize("kind", [*SANS])
def test_identity_of_kind_without_one(kind: IdentityKind, ca: ThrowawayCA) -> None:
    """A certificate without such a name is refused with a sentence."""
    with pytest.raises(NameSyntaxError, match="has no san_"):
        identity_of_kind(kind, read(ca))


def test_n35_several_names_have_to_be_chosen_from(ca: ThrowawayCA) -> None:
    """N35: two addresses are not one; both are listed for the person to choose."""
    certificate = read(ca.issue(emails=["a@example.com", "b@example.com"]))
    with pytest.raises(NameSyntaxError, match=r"several: a@example\.com, b@example"):
        identity_of_kind(IdentityKind.SAN_EMAIL, certificate)
    assert len(by_kind(certificate)[IdentityKind.SAN_EMAIL]) == 2


def test_a_name_given_twice_is_one(ca: ThrowawayCA) -> None:
    """The same name, or one that differs by its host's case, is one identity."""
    certificate = read(ca.issue(emails=["a@example.com", "a@EXAMPLE.com"]))
    assert len(san_identities(certificate)) == 1
    assert (
        identity_of_kind(IdentityKind.SAN_EMAIL, certificate).value == "a@example.com"
    )


def test_a_certificate_without_subject(ca: ThrowawayCA) -> None:
    """An empty subject is neither a problem nor an identity."""
    certificate = read(ca.issue(None, emails=["a@example.com"]))
    assert find_identities(certificate).problems == ()
    assert IdentityKind.SUBJECT not in by_kind(certificate)
    with pytest.raises(NameNotMatchableError, match="empty"):
        identity_of_kind(IdentityKind.SUBJECT, certificate)


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        (IdentityKind.SUBJECT, r"CN=a\,b", r"CN=a\,b"),
        (IdentityKind.ISSUER_SERIAL, r"01 CN=a\,b", r"01 CN=a\,b"),
        (IdentityKind.SUBJECT, "CN=a\nb", r"CN=a\u{a}b"),
        (IdentityKind.SAN_URI, "x:\u200b\\", r"x:\u{200b}\\"),
        (IdentityKind.FINGERPRINT, "00ff", "00ff"),
    ],
)
def test_n29_values_are_shown_in_one_line(
    kind: IdentityKind, value: str, shown: str
) -> None:
    """N29: names are escaped once, everything else here."""
    assert show_value(kind, value) == shown
    assert show_value(IdentityKind.SAN_UPN, "a" * 20, 4) == "aaaa…"


# --- pins -------------------------------------------------------------------------


def test_n31_another_key_is_nobody(ca: ThrowawayCA, other_ca: ThrowawayCA) -> None:
    """N31: serial, names and AKI of Alice, and another key, share no pin with her."""
    key = make_key()
    alice = read(ca.issue("alice", serial=7, key=key))
    forged = read(other_ca.issue("alice", serial=7))
    pins = {one.key for one in find_identities(alice).found if one.kind.is_pin}
    assert not pins & {one.key for one in find_identities(forged).found}
    # The names are equal: only the authority that a row names tells them apart.
    assert issuer_serial_identity(alice) == issuer_serial_identity(forged)


def test_n32_the_same_key_under_another_name(ca: ThrowawayCA) -> None:
    """N32: a key that was certified again keeps its pin and nothing else."""
    key = make_key()
    alice = read(ca.issue("alice", serial=7, key=key))
    bob = read(ca.issue("bob", serial=7, key=key))
    assert public_key_identity(alice) == public_key_identity(bob)
    shared = {one.kind for one in find_identities(alice).found} & {
        one.kind
        for one in find_identities(bob).found
        if one in find_identities(alice).found
    }
    assert shared == {IdentityKind.PUBLIC_KEY, IdentityKind.ISSUER_SERIAL}
    assert subject_identity(alice.subject) != subject_identity(bob.subject)


# --- names ------------------------------------------------------------------------


def test_n36_the_subject_is_structure(ca: ThrowawayCA) -> None:
    """N36: a text that reads like two attributes is one."""
    names = [
        w.name(
            [w.attribute(w.COMMON_NAME, "alice"), w.attribute(w.ORGANIZATION, "acme")]
        ),
        common_name("alice+O=acme"),
        w.name(
            w.attribute(w.COMMON_NAME, "alice"), w.attribute(w.ORGANIZATION, "acme")
        ),
        w.name(
            w.attribute(w.ORGANIZATION, "acme"), w.attribute(w.COMMON_NAME, "alice")
        ),
    ]
    keys = {
        subject_identity(ClientCertificate(w.certificate(ca, subject=one)).subject).key
        for one in names
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    "value",
    ["*)(uid=*", "%s", "{0}", "' OR 1=1 --", "a" * 4000, "${jndi:ldap://x}", "{{7*7}}"],
    ids=lambda value: value[:12],
)
def test_n42_a_name_is_only_text(value: str, ca: ThrowawayCA) -> None:
    """N42: whatever the name says, it becomes 32 bytes and a text."""
    certificate = ClientCertificate(w.certificate(ca, subject=common_name(value)))
    one = subject_identity(certificate.subject)
    assert len(one.key) == 32
    again = parse_identity(
        IdentityKind.SUBJECT, one.value, order=Order.MOST_SPECIFIC_FIRST
    )
    assert again == one


@pytest.mark.parametrize(
    ("typed", "other", "same"),
    [
        ("Alice@Ex.com", "Alice@EX.COM", True),
        ("Alice@Ex.com", "alice@ex.com", False),
        ("alice@ex.com", "xalice@ex.com", False),
        ("alice@ex.com", "alice@ex.com.evil", False),
        ("stra\u00dfe@ex.com", "strasse@ex.com", False),
    ],
)
@pytest.mark.parametrize("kind", [IdentityKind.SAN_EMAIL, IdentityKind.SAN_UPN])
def test_n38_n40_addresses(
    kind: IdentityKind, typed: str, other: str, same: bool
) -> None:
    """N38, N40: whole values, and only the host is folded."""
    assert (san_identity(kind, typed).key == san_identity(kind, other).key) is same


def test_dns_names_fold_and_uris_do_not() -> None:
    """RFC 5280, 7.2 and 7.4: case is ignored in a host name, but not in a URI."""
    fold = san_identity(IdentityKind.SAN_DNS, "Alice.EXAMPLE.com")
    assert fold == san_identity(IdentityKind.SAN_DNS, "alice.example.com")
    assert fold.value == "alice.example.com"
    assert fold != san_identity(IdentityKind.SAN_DNS, "alice.example.com.")
    one = san_identity(IdentityKind.SAN_URI, "spiffe://A/b")
    assert one != san_identity(IdentityKind.SAN_URI, "spiffe://a/b")


@pytest.mark.parametrize("kind", SANS)
@pytest.mark.parametrize(
    "value",
    ["", "a b", "a\0.evil", "a\nb", "a\tb", "a\x7fb", "a\x85b", "a\u202eb", "a\u2066b"],
    ids=repr,
)
def test_n28_names_that_never_match(kind: IdentityKind, value: str) -> None:
    """N28: no NUL or other control reaches a query, from either side."""
    with pytest.raises(NameNotMatchableError):
        san_identity(kind, value)


@pytest.mark.parametrize(
    "general_name",
    [
        pytest.param(tlv(0x81, b"alice@example.com\0.evil"), id="e-mail"),
        pytest.param(tlv(0x82, b"alice.example.com\0.evil"), id="DNS"),
        pytest.param(tlv(0x86, b"spiffe://a\0"), id="URI"),
        pytest.param(w.other_name(w.UPN, tlv(w.UTF8, b"alice@corp\0.evil")), id="UPN"),
        pytest.param(
            b"".join(
                tlv(0x82, b"a%d" % number) for number in range(MAX_NAMES_PER_KIND + 1)
            ),
            id="257 names",
        ),
    ],
)
def test_n26_n28_one_bad_name_spoils_them_all(
    general_name: bytes, ca: ThrowawayCA
) -> None:
    """N28: none of the names is believed, and the pins go on working."""
    names = w.subject_alternative_name(tlv(0x81, b"alice@example.com"), general_name)
    certificate = ClientCertificate(
        w.certificate(ca, extensions=[*w.CLIENT_EXTENSIONS, names])
    )
    found = find_identities(certificate)
    assert [one.kind for one in found.found] == [
        IdentityKind.FINGERPRINT,
        IdentityKind.PUBLIC_KEY,
        IdentityKind.ISSUER_SERIAL,
        IdentityKind.SUBJECT,
    ]
    assert len(found.problems) == 1
    assert found.problems[0].startswith("subject alternative names: ")
    assert found.problems[0].isprintable()


ODD_NAMES = {
    "3-byte IP": (tlv(0x87, b"\1\2\3"), "one iPAddress cannot be used"),
    "empty e-mail": (tlv(0x81, b""), "value “” is empty"),
    "empty DNS": (tlv(0x82, b""), "value “” is empty"),
    "DNS with spaces": (tlv(0x82, b"P-256 Server Cert"), "P-256 Server Cert"),
    "two addresses": (tlv(0x81, b"a@b.example; c@d.example"), "a@b.example; c@d"),
    "a name and an address": (tlv(0x81, b"A <a@b.example>"), "A <a@b.example>"),
    "DNS beyond ASCII": (tlv(0x82, b"\xcf.example"), "it is not ASCII; RFC 5280"),
    "e-mail beyond ASCII": (tlv(0x81, b"\xe9@b.example"), "octet e9 is not allowed"),
    "UPN of nothing": (tlv(0xA0, w.oid(w.UPN), tlv(0xA0)), "one otherName cannot"),
    "other name of nothing": (tlv(0xA0), "one otherName cannot be used"),
    "directory name of nothing": (tlv(0xA4, b"\5\0"), "one name cannot be used"),
}


@pytest.mark.parametrize("case", ODD_NAMES)
@pytest.mark.parametrize("is_first", [True, False])
def test_d05_an_odd_name_costs_only_itself(
    case: str, is_first: bool, ca: ThrowawayCA
) -> None:
    """The others are used; what was left out is said in words."""
    odd, words = ODD_NAMES[case]
    good = tlv(0x81, b"alice@example.com")
    names = (odd, good) if is_first else (good, odd)
    extensions = [*w.CLIENT_EXTENSIONS, w.subject_alternative_name(*names)]
    certificate = ClientCertificate(w.certificate(ca, extensions=extensions))
    found = find_identities(certificate)
    values = [one.value for one in found.found if one.kind in SANS]
    assert values == ["alice@example.com"]
    assert found.problems == ()
    (said,) = found.left_out
    assert words in said


@pytest.mark.parametrize(
    ("odd", "expected"),
    [
        (tlv(0x81, b"\xe9@b.example"), "ambiguous_mapping"),
        (tlv(0x81, b""), "ambiguous_mapping"),
        (tlv(0x82, b"\xe9"), "alice@example.com"),
        (tlv(0x87, b"\1"), "alice@example.com"),
    ],
)
def test_d05_for_a_rule_an_odd_name_counts(
    odd: bytes, expected: str, ca: ThrowawayCA
) -> None:
    """It wants exactly one of its kind, and the odd one is another."""
    names = w.subject_alternative_name(odd, tlv(0x81, b"alice@example.com"))
    extensions = [*w.CLIENT_EXTENSIONS, names]
    certificate = ClientCertificate(w.certificate(ca, extensions=extensions))
    try:
        value = read_identity(Rule(RuleIdentity.SAN_EMAIL, "email"), certificate)
    except Refusal as refusal:
        value = str(refusal.reason)
    assert value == expected


def test_256_names_of_a_kind_are_looked_up(ca: ThrowawayCA) -> None:
    """At the limit all of them count."""
    names = w.subject_alternative_name(
        *(tlv(0x82, b"a%d" % number) for number in range(MAX_NAMES_PER_KIND))
    )
    certificate = ClientCertificate(w.certificate(ca, extensions=[names]))
    assert len(by_kind(certificate)[IdentityKind.SAN_DNS]) == MAX_NAMES_PER_KIND


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(common_name("alice\0.evil"), id="NUL"),
        pytest.param(common_name(b"Jos\xe9"), id="invalid UTF-8"),
        pytest.param(tlv(w.SEQUENCE, tlv(w.SET)), id="no name"),
    ],
)
def test_n26_n28_a_subject_that_never_matches(subject: bytes, ca: ThrowawayCA) -> None:
    """N26, N28: the subject is left out and named; pins and names go on working."""
    found = find_identities(ClientCertificate(w.certificate(ca, subject=subject)))
    kinds = [one.kind for one in found.found]
    assert kinds == [
        IdentityKind.FINGERPRINT,
        IdentityKind.PUBLIC_KEY,
        IdentityKind.ISSUER_SERIAL,
    ]
    assert [one.partition(":")[0] for one in found.problems] == ["subject"]


def test_n26_a_t61_subject_is_found_by_its_bytes(ca: ThrowawayCA) -> None:
    """N26: it can be mapped from an upload, and by nothing a person would type."""
    subject = common_name(b"Jos\xe9", w.T61)
    certificate = ClientCertificate(w.certificate(ca, subject=subject))
    one = identity_of_kind(IdentityKind.SUBJECT, certificate)
    assert parse_identity(IdentityKind.SUBJECT, one.value) == one
    assert one.key != parse_identity(IdentityKind.SUBJECT, "CN=José").key


def test_n12_only_the_pin_of_what_is_not_a_certificate() -> None:
    """Whatever the bytes are, the fingerprint is there."""
    found = find_identities(ClientCertificate(b"no certificate"))
    assert [one.kind for one in found.found] == [IdentityKind.FINGERPRINT]
    assert len(found.problems) == 4


def test_n39_another_other_name_is_not_a_upn(ca: ThrowawayCA) -> None:
    """N39: only the one type is a user principal name."""
    names = w.subject_alternative_name(
        w.other_name("1.2.3.4", tlv(w.UTF8, b"alice@corp.example"))
    )
    certificate = ClientCertificate(w.certificate(ca, extensions=[names]))
    assert IdentityKind.SAN_UPN not in by_kind(certificate)


# --- issuer and serial number -----------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "1ead85 CN=Test CA,O=Example",
        "1EAD85 CN=Test CA,O=Example",
        "1E:AD:85 CN=Test CA,O=Example",
        "001ead85 CN=Test CA,O=Example",
        "  1ead85   O = Example, CN = Test CA \n",
        "1ead85 subject=O = Example, CN = Test CA",
        "1ead85 /O=Example/CN=Test CA",
    ],
)
def test_issuer_and_serial(text: str, ca: ThrowawayCA) -> None:
    """Hex in any usual spelling, and the name in any form."""
    root = ThrowawayCA.create(subject=make_name("Test CA", organization="Example"))
    certificate = read(root.issue(serial=0x1EAD85))
    assert parse_identity(IdentityKind.ISSUER_SERIAL, text) == issuer_serial_identity(
        certificate
    )


@pytest.mark.parametrize("serial", [1, 0xABC, 2**159 - 1])
def test_serial_numbers_lead_back(serial: int, ca: ThrowawayCA) -> None:
    """Of any size; the shown text is the typed one."""
    one = issuer_serial_identity(read(ca.issue(serial=serial)))
    assert parse_identity(IdentityKind.ISSUER_SERIAL, one.value) == one


def test_n27_a_negative_serial_number(ca: ThrowawayCA) -> None:
    """N27: it is another than its positive twin, and can be typed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        negative = ClientCertificate(w.certificate(ca, serial=w.integer(-0x1EAD85)))
        one = issuer_serial_identity(negative)
    assert one.value.startswith("-1ead85 ")
    assert parse_identity(IdentityKind.ISSUER_SERIAL, one.value) == one
    positive = ClientCertificate(w.certificate(ca, serial=w.integer(0x1EAD85)))
    assert issuer_serial_identity(positive).key != one.key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1ead85",
        "1ead85 ",
        " CN=Test CA",
        "CN=Test CA",
        "xyz CN=Test CA",
        "1ead85,CN=Test CA",
        "1 2 CN=Test CA",
        "--1 CN=Test CA",
        "f" * 129 + " CN=Test CA",
        "1ead85 Test CA",
    ],
    ids=lambda text: text[:16] or "nothing",
)
def test_issuer_and_serial_refuses(text: str) -> None:
    """With what to type instead."""
    with pytest.raises(NameSyntaxError):
        parse_identity(IdentityKind.ISSUER_SERIAL, text)


# --- fingerprints -----------------------------------------------------------------

DIGEST = hashlib.sha256(b"certificate").digest()
HEX = DIGEST.hex()
COLONS = ":".join(HEX[at : at + 2] for at in range(0, 64, 2))
B64 = base64.b64encode(DIGEST).decode()
B64URL = base64.urlsafe_b64encode(DIGEST).decode().rstrip("=")
# With both characters that the two alphabets differ by
OTHER = bytes.fromhex("fbefbeffff") + DIGEST[5:]


@pytest.mark.parametrize(
    "text",
    [
        HEX,
        HEX.upper(),
        COLONS,
        COLONS.upper(),
        COLONS.replace(":", " "),
        f"  {HEX}\n",
        f"sha256 Fingerprint={COLONS.upper()}",
        f"SHA256 Fingerprint={COLONS.upper()}",
        f"SHA-256: {HEX}",
        f"SHA2-256(stdin)= {HEX}",
        f"SHA256(stdin)= {HEX}",
        f"sha256:{HEX}",
        B64,
        B64.rstrip("="),
        B64URL,
        f"x5t#S256: {B64URL}",
        f'x5t#S256="{B64URL}"',
        f'pin-sha256="{B64}"',
    ],
)
@pytest.mark.parametrize("kind", [IdentityKind.FINGERPRINT, IdentityKind.PUBLIC_KEY])
def test_n41_spellings_of_a_sha256(text: str, kind: IdentityKind) -> None:
    """N41: all that programs print is the same 32 bytes."""
    assert parse_sha256(text, kind) == DIGEST
    assert parse_identity(kind, text) == Identity(kind, DIGEST, HEX)


def test_both_alphabets_of_base64() -> None:
    """Plus and slash, hyphen and underscore."""
    assert parse_sha256(base64.b64encode(OTHER).decode()) == OTHER
    assert parse_sha256(base64.urlsafe_b64encode(OTHER).decode()) == OTHER


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "64 hex digits", id="nothing"),
        pytest.param("alice", "64 hex digits", id="a word"),
        pytest.param(HEX[:-1], "64 hex digits", id="63 digits"),
        pytest.param(HEX + "0", "64 hex digits", id="65 digits"),
        pytest.param(HEX + "00", "64 hex digits", id="33 bytes"),
        pytest.param(HEX[:-2] + "zz", "64 hex digits", id="no hex"),
        pytest.param(HEX[:40], "can be forged", id="n41 SHA-1"),
        pytest.param(COLONS[: 20 * 3 - 1], "can be forged", id="n41 SHA-1 in colons"),
        pytest.param(HEX[:32], "can be forged", id="n41 MD5"),
        pytest.param(
            f"SHA1 Fingerprint={COLONS[:59]}", "can be forged", id="n41 label"
        ),
        pytest.param("sha1 Fingerprint=xyz", "can be forged", id="n41 only the label"),
        pytest.param("MD5 Fingerprint=xyz", "can be forged", id="n41 MD5 label"),
        pytest.param(HEX * 2, "64 hex digits", id="SHA-512"),
        pytest.param(B64[:-2] + "==", "64 hex digits", id="short base64"),
        pytest.param(B64[:-2] + "B=", "64 hex digits", id="pad bits"),
        pytest.param(B64 + "=", "64 hex digits", id="too much padding"),
        pytest.param(COLONS.replace(":", "-"), "64 hex digits", id="hyphens"),
        pytest.param("\u0661" * 64, "64 hex digits", id="other digits"),
    ],
)
@pytest.mark.parametrize("kind", [IdentityKind.FINGERPRINT, IdentityKind.PUBLIC_KEY])
def test_n41_what_is_not_a_sha256(text: str, says: str, kind: IdentityKind) -> None:
    """N41: refused with the command that prints the right one."""
    with pytest.raises(NameSyntaxError, match=says) as error:
        parse_sha256(text, kind)
    assert "openssl x509 -in FILE -noout" in str(error.value)


@given(st.binary(min_size=32, max_size=32))
def test_every_digest_leads_back(digest: bytes) -> None:
    """In hex and in both alphabets, with and without padding."""
    assert parse_sha256(digest.hex()) == digest
    assert parse_sha256(digest.hex(":").upper()) == digest
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(digest).decode()
        assert parse_sha256(text) == parse_sha256(text.rstrip("=")) == digest


# --- whatever is typed ------------------------------------------------------------


@pytest.mark.parametrize("kind", IdentityKind)
@given(st.text(max_size=60))
def test_parse_identity_raises_nothing_else(kind: IdentityKind, text: str) -> None:
    """Any text is an identity that leads back, or an error of the package."""
    try:
        one = parse_identity(kind, text)
    except ClientCertError:
        return
    assert parse_identity(kind, one.value, order=Order.MOST_SPECIFIC_FIRST) == one


PIECES = [
    "1ead85",
    " ",
    "CN=",
    "alice",
    "O=x",
    ",",
    "@",
    "ex.COM",
    "/",
    "\0",
    "::",
    "SHA1",
]


@pytest.mark.parametrize("kind", IdentityKind)
@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_parse_identity_of_likely_texts(kind: IdentityKind, text: str) -> None:
    """Texts that get further."""
    with suppress(NameSyntaxError, NameNotMatchableError, CertificateParseError):
        assert len(parse_identity(kind, text).key) == 32


upns = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


@given(upns)
def test_a_upn_out_of_a_certificate_leads_back(upn: str) -> None:
    """What an upload was mapped by is found again when the row is saved."""
    try:
        one = san_identity(IdentityKind.SAN_UPN, upn)
    except NameNotMatchableError:
        return
    assert parse_identity(IdentityKind.SAN_UPN, one.value) == one


def test_the_subject_follows_the_order(alice: ClientCertificate) -> None:
    """A text that could be in either order is read in the given order."""
    text = "C=FR,O=ACME,CN=alice"
    for order in Order:
        expected = subject_identity(parse_name(text, order=order))
        assert parse_identity(IdentityKind.SUBJECT, text, order=order) == expected
    with pytest.raises(NameSyntaxError):
        parse_identity(IdentityKind.SUBJECT, text)
