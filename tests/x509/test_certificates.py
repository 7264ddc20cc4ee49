"""DER to ClientCertificate: every part on its own, and one kind of error."""

from __future__ import annotations

import datetime as dt
import hashlib
import warnings
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_clientcert.exceptions import CertificateParseError, Reason
from django_clientcert.testing import IssuedCertificate, ThrowawayCA, make_key
from django_clientcert.x509 import certificates
from django_clientcert.x509.certificates import (
    ClientCertificate,
    Extension,
    SubjectAlternativeNames,
)
from django_clientcert.x509.identities import find_identities
from tests import der_writer as w
from tests.der_writer import attribute, common_name, extension, name, tlv

PROPERTIES = [
    name
    for name, value in vars(ClientCertificate).items()
    if not name.startswith("_") and hasattr(value, "__get__") and not callable(value)
]
# What needs no parsing
SAFE = {"fingerprint", "fingerprint_bytes", "short_fingerprint", "sha1_fingerprint"}


# What only cryptography reads, which loads a certificate as a whole or not at all
BY_CRYPTOGRAPHY = {"x509", "public_key", "has_usual_key", "not_before", "not_after"}


def look(certificate: ClientCertificate) -> dict[str, object]:
    """Return every property, or the CertificateParseError it raised."""
    found: dict[str, object] = {}
    for one in PROPERTIES:
        try:
            found[one] = getattr(certificate, one)
        except CertificateParseError as error:
            found[one] = error
    return found


def of(ca: IssuedCertificate, *extensions: bytes, **parts: object) -> ClientCertificate:
    """Return a hostile certificate; *extensions* follow the usual ones."""
    if extensions:
        parts["extensions"] = [*w.CLIENT_EXTENSIONS, *extensions]
    return ClientCertificate(w.certificate(ca, **parts))  # type: ignore[arg-type]


# --- a good one -------------------------------------------------------------------


def test_every_property_is_known_here() -> None:
    """A new property is looked at by the tests of this page."""
    assert len(PROPERTIES) >= 20
    assert set(PROPERTIES) > SAFE


def test_a_plain_certificate(ca: ThrowawayCA) -> None:
    """Every property agrees with cryptography."""
    issued = ca.issue(
        "alice",
        serial=0x1EAD85,
        emails=["alice@example.com", "a@example.org"],
        dns=["alice.example.com"],
        uris=["spiffe://example.com/alice"],
        upns=["alice@corp.example"],
        ips=["192.0.2.7", "2001:db8::7"],
        extensions=[
            (
                x509.CertificatePolicies(
                    [x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)]
                ),
                False,
            )
        ],
    )
    certificate = ClientCertificate(issued.der)
    assert certificate.fingerprint == hashlib.sha256(issued.der).hexdigest()
    assert certificate.fingerprint_bytes.hex() == certificate.fingerprint
    assert certificate.short_fingerprint == certificate.fingerprint[:16]
    sha1 = hashlib.new("sha1", issued.der, usedforsecurity=False)
    assert certificate.sha1_fingerprint == sha1.hexdigest()
    assert certificate.x509 == issued.certificate
    assert certificate.serial_number == 0x1EAD85
    assert certificate.serial_number_hex == "1ead85"
    assert certificate.subject_der == issued.certificate.subject.public_bytes()
    assert certificate.issuer_der == issued.certificate.issuer.public_bytes()
    assert certificate.subject.rfc4514() == "CN=alice"
    assert certificate.issuer.rfc4514() == "CN=Test Root CA"
    assert certificate.common_names == ("alice",)
    assert certificate.public_key == issued.key.public_key()
    assert (
        certificate.public_key_fingerprint
        == hashlib.sha256(certificate.public_key_der).hexdigest()
    )
    assert certificate.public_key_bytes.hex() == certificate.public_key_fingerprint
    assert certificate.not_before == issued.certificate.not_valid_before_utc
    assert certificate.not_after == issued.certificate.not_valid_after_utc
    assert certificate.is_ca is False
    assert certificate.is_self_issued is False
    assert certificate.key_usage == {"digitalSignature"}
    assert certificate.extended_key_usage == (certificates.CLIENT_AUTH,)
    assert certificate.policies == ("1.2.3.4",)
    assert certificate.subject_alternative_names == SubjectAlternativeNames(
        emails=("alice@example.com", "a@example.org"),
        dns=("alice.example.com",),
        uris=("spiffe://example.com/alice",),
        upns=("alice@corp.example",),
        ips=("192.0.2.7", "2001:db8::7"),
    )
    assert certificate.extensions[certificates.BASIC_CONSTRAINTS] == Extension(
        certificates.BASIC_CONSTRAINTS, True, b"\x30\x00"
    )
    assert certificate.extensions[certificates.EXTENDED_KEY_USAGE].critical is False


def test_a_ca_s_certificate(ca: ThrowawayCA) -> None:
    """A root says what it is."""
    certificate = ClientCertificate(ca.der)
    assert certificate.is_ca is True
    assert certificate.is_self_issued is True
    assert certificate.key_usage == {"keyCertSign", "cRLSign"}
    assert certificate.extended_key_usage is None
    assert certificate.policies == ()
    assert not certificate.subject_alternative_names


def test_version_1(ca: ThrowawayCA) -> None:
    """Without a version field and extensions, the rest is read."""
    certificate = of(ca, version=None, extensions=None)
    assert certificate.x509.version is x509.Version.v1
    assert certificate.extensions == {}
    assert certificate.is_ca is False
    assert certificate.key_usage is None
    assert certificate.common_names == ("alice",)


def test_unique_identifiers_are_passed_over(ca: ThrowawayCA) -> None:
    """Fields between the key and the extensions do not hide the extensions."""
    unique = tlv(0x81, b"\0\1\2")
    wrapped = tlv(0xA3, tlv(w.SEQUENCE, *w.CLIENT_EXTENSIONS))
    certificate = of(ca, extensions=None, behind=unique + wrapped)
    assert certificate.extended_key_usage == (certificates.CLIENT_AUTH,)


def test_it_is_a_value(ca: ThrowawayCA, alice_cert: IssuedCertificate) -> None:
    """Equal by its DER, hashable, immutable, and silent about its contents."""
    one, same = ClientCertificate(alice_cert.der), ClientCertificate(alice_cert.der)
    assert one == same
    assert hash(one) == hash(same)
    assert one != ClientCertificate(ca.der)
    assert one != alice_cert.der
    assert repr(one) == f"<ClientCertificate {one.short_fingerprint}>"
    with pytest.raises(AttributeError, match="immutable"):
        one.der = b""  # type: ignore[misc]
    with pytest.raises(AttributeError, match="immutable"):
        del one.der
    buffer = bytearray(alice_cert.der)
    copied = ClientCertificate(buffer)  # type: ignore[arg-type]
    buffer[0] = 0
    assert copied.der == alice_cert.der


def test_the_fingerprint_needs_no_parsing(
    alice_cert: IssuedCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is looked up first costs one hash."""
    monkeypatch.setattr(certificates, "_guarded", None)
    certificate = ClientCertificate(alice_cert.der)
    for one in SAFE:
        assert getattr(certificate, one)
    with pytest.raises(TypeError):
        certificate.x509  # noqa: B018


def test_what_was_found_is_kept(alice_cert: IssuedCertificate) -> None:
    """A property is read once."""
    certificate = ClientCertificate(alice_cert.der)
    for one in ("x509", "subject", "extensions", "subject_alternative_names"):
        assert getattr(certificate, one) is getattr(certificate, one)


@pytest.mark.parametrize(
    ("serial", "shown"),
    [(0x1, "01"), (0xABC, "0abc"), (0xFF, "ff"), (2**159, "80" + "00" * 19)],
)
def test_serial_number_hex(ca: ThrowawayCA, serial: int, shown: str) -> None:
    """Pairs of digits, as OpenSSL prints them."""
    assert of(ca, serial=w.integer(serial)).serial_number_hex == shown


# --- a bad one --------------------------------------------------------------------


@pytest.mark.parametrize("serial", [-1, -0xABCDEF, 0])
def test_n27_serial_number_that_is_not_positive(ca: ThrowawayCA, serial: int) -> None:
    """N27: negative or zero: readable, but refused if warnings are errors."""
    certificate = of(ca, serial=w.integer(serial))
    assert certificate.serial_number == serial
    assert certificate.serial_number_hex in {"-01", "-abcdef", "00"}
    with pytest.raises(CertificateParseError, match="positive"):
        certificate.x509  # noqa: B018
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        assert ClientCertificate(certificate.der).x509.serial_number == serial


HOSTILE: dict[str, dict[str, object]] = {
    "empty serial": {"serial": tlv(w.INTEGER)},
    "serial that is not minimal": {"serial": tlv(w.INTEGER, b"\0\1")},
    "serial of 200 octets": {"serial": w.integer(2**1600)},
    "serial of another type": {"serial": tlv(w.OCTET_STRING, b"\1")},
    "version 2": {"version": 1},
    "version 4": {"version": 3},
    "version 1 with extensions": {"version": None},
    "T61 subject": {"subject": common_name(b"Jos\xe9", w.T61)},
    "invalid UTF-8 in the subject": {"subject": common_name(b"Jos\xe9")},
    "BMP subject": {"subject": common_name("José".encode("utf-16-be"), w.BMP)},
    "odd BMP subject": {"subject": common_name(b"abc", w.BMP)},
    "NUL in the subject": {"subject": common_name("alice\0.evil")},
    "unsorted set": {
        "subject": name([attribute(w.COMMON_NAME, "alice"), attribute(w.UNIT, "zz")])
    },
    "empty set in the subject": {"subject": tlv(w.SEQUENCE, tlv(w.SET))},
    "subject that is no sequence": {"subject": tlv(w.SET)},
    "huge subject": {"subject": common_name("a" * 100_000)},
    "many parts": {"subject": name(*[attribute(w.UNIT, "a")] * 5000)},
    "T61 issuer": {"issuer": common_name(b"Jos\xe9", w.T61)},
    "no dates": {"validity": tlv(w.SEQUENCE)},
    "words for dates": {
        "validity": tlv(w.SEQUENCE, tlv(0x17, b"yesterday"), tlv(0x17, b"tomorrow"))
    },
    "the 30th of February": {
        "validity": tlv(w.SEQUENCE, *[tlv(0x17, b"260230000000Z")] * 2)
    },
    "the year 0": {"validity": tlv(w.SEQUENCE, *[tlv(0x18, b"00000101000000Z")] * 2)},
    "the year 9999": {
        "validity": tlv(w.SEQUENCE, *[tlv(0x18, b"99991231235959Z")] * 2)
    },
    "ends before it begins": {
        "validity": tlv(
            w.SEQUENCE, tlv(0x17, b"300101000000Z"), tlv(0x17, b"200101000000Z")
        )
    },
    "no key": {"spki": tlv(w.SEQUENCE)},
    "key of an unknown algorithm": {
        "spki": tlv(
            w.SEQUENCE,
            tlv(w.SEQUENCE, w.oid("1.2.3.4")),
            tlv(w.BIT_STRING, b"\0abc"),
        )
    },
    "RSA key that is none": {
        "spki": tlv(
            w.SEQUENCE,
            tlv(w.SEQUENCE, w.oid("1.2.840.113549.1.1.1"), tlv(w.NULL)),
            tlv(w.BIT_STRING, b"\0abc"),
        )
    },
    "point that is not on its curve": {
        "spki": tlv(
            w.SEQUENCE,
            tlv(w.SEQUENCE, w.oid("1.2.840.10045.2.1"), w.oid("1.2.840.10045.3.1.7")),
            tlv(w.BIT_STRING, b"\0\4" + bytes(64)),
        )
    },
    "duplicate extension": {"extensions": [*w.CLIENT_EXTENSIONS] * 2},
    "empty extensions": {"extensions": []},
    "extension without a value": {
        "extensions": [tlv(w.SEQUENCE, w.oid("1.2.3"))],
    },
    "extension of four parts": {
        "extensions": [
            tlv(
                w.SEQUENCE,
                w.oid("1.2.3"),
                tlv(w.BOOLEAN, b"\xff"),
                tlv(w.BOOLEAN, b"\xff"),
                tlv(w.OCTET_STRING),
            )
        ],
    },
    "extension without a type": {
        "extensions": [tlv(w.SEQUENCE, tlv(w.INTEGER, b"\1"), tlv(w.OCTET_STRING))],
    },
    "extension of nothing": {"extensions": [tlv(w.SEQUENCE)]},
    "criticality 01": {
        "extensions": [
            tlv(w.SEQUENCE, w.oid("1.2.3"), tlv(w.BOOLEAN, b"\1"), tlv(w.OCTET_STRING))
        ],
    },
    "many extensions": {
        "extensions": [extension(f"1.2.3.{one}", b"\5\0") for one in range(2000)]
    },
    "bytes behind": {"behind": b"\5\0"},
}
for label, value in {
    "nothing": b"",
    "no sequence": b"\5\0",
    "a cut sequence": b"\x30\x05\x30",
    "an integer inside": tlv(w.SEQUENCE, tlv(w.INTEGER, b"\1")),
}.items():
    for oid in (
        w.SAN,
        w.BASIC_CONSTRAINTS,
        w.KEY_USAGE,
        w.EXTENDED_KEY_USAGE,
        w.NAME_CONSTRAINTS,
        certificates.CERTIFICATE_POLICIES,
    ):
        HOSTILE[f"{oid}: {label}"] = {"extensions": [extension(oid, value)]}
for label, general_name in {
    "3-byte IP": tlv(0x87, b"\1\2\3"),
    "no IP": tlv(0x87),
    "IP with a mask": tlv(0x87, bytes(8)),
    "e-mail with Latin-1": tlv(0x81, b"jos\xe9@example.com"),
    "e-mail with a NUL": tlv(0x81, b"alice@example.com\0.evil"),
    "DNS with Latin-1": tlv(0x82, b"\xe9"),
    "other name of nothing": tlv(0xA0),
    "other name without a value": tlv(0xA0, w.oid(w.UPN)),
    "other name of three": tlv(0xA0, w.oid(w.UPN), tlv(0xA0), tlv(0xA0)),
    "other name without a type": tlv(0xA0, tlv(w.INTEGER, b"\1"), tlv(0xA0)),
    "UPN of nothing": tlv(0xA0, w.oid(w.UPN), tlv(0xA0)),
    "UPN in T61": w.other_name(w.UPN, tlv(w.T61, b"jos\xe9")),
    "UPN in bad UTF-8": w.other_name(w.UPN, tlv(w.UTF8, b"\xff")),
    "UPN and more": w.other_name(w.UPN, tlv(w.UTF8, b"a") + tlv(w.UTF8, b"b")),
    "UPN in another wrapping": tlv(
        0xA0, w.oid(w.UPN), tlv(w.OCTET_STRING, tlv(w.UTF8, b"a"))
    ),
    "directory name that is none": tlv(0xA4, b"\5\0"),
    "directory name in T61": tlv(0xA4, common_name(b"\xe9", w.T61)),
    "an unknown choice": tlv(0x89, b"x"),
    "many names": b"".join(tlv(0x82, b"a") for _ in range(5000)),
}.items():
    HOSTILE[f"SAN: {label}"] = {
        "extensions": [w.subject_alternative_name(general_name)]
    }


@pytest.mark.parametrize("case", HOSTILE)
def test_n26_n27_hostile_certificates(case: str, ca: ThrowawayCA) -> None:
    """N26, N27: every property is a value or a CertificateParseError."""
    found = look(of(ca, **HOSTILE[case]))
    assert not any(isinstance(found[one], Exception) for one in SAFE)
    # And what is built on it never raises.
    assert find_identities(of(ca, **HOSTILE[case])).found


@pytest.mark.parametrize(
    ("case", "broken"),
    [
        ("T61 subject", set()),
        ("invalid UTF-8 in the subject", set()),
        ("SAN: 3-byte IP", set()),
        ("SAN: UPN in another wrapping", set()),
        ("SAN: e-mail with Latin-1", set()),
        ("SAN: DNS with Latin-1", set()),
        ("2.5.29.17: no sequence", {"subject_alternative_names"}),
        ("2.5.29.15: nothing", {"key_usage"}),
        ("2.5.29.37: no sequence", {"extended_key_usage"}),
        ("2.5.29.19: nothing", {"is_ca", "path_length"}),
        ("2.5.29.32: an integer inside", {"policies"}),
        ("key of an unknown algorithm", {"public_key", "has_usual_key"}),
        ("serial that is not minimal", BY_CRYPTOGRAPHY),
        ("unsorted set", BY_CRYPTOGRAPHY),
        ("empty set in the subject", {"subject", "common_names"}),
    ],
)
def test_n26_one_broken_part_hides_no_other(
    case: str, broken: set[str], ca: ThrowawayCA
) -> None:
    """N26: each part is read on its own, so that pins go on working."""
    found = look(of(ca, **HOSTILE[case]))
    failed = {one for one, value in found.items() if isinstance(value, Exception)}
    assert failed == broken
    assert found["public_key_bytes"]


def test_n27_a_duplicate_extension_is_refused(ca: ThrowawayCA) -> None:
    """N27: RFC 5280, 4.2: none twice; the first would be as good as the second."""
    certificate = of(ca, **HOSTILE["duplicate extension"])
    for one in ("extensions", "is_ca", "subject_alternative_names", "key_usage"):
        with pytest.raises(CertificateParseError, match="twice"):
            getattr(certificate, one)


def test_the_error_is_a_refusal(ca: ThrowawayCA) -> None:
    """It carries the stable reason, and is a ValueError too."""
    with pytest.raises(CertificateParseError) as error:
        ClientCertificate(b"").subject  # noqa: B018
    assert error.value.reason is Reason.MALFORMED_CERTIFICATE
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize(
    ("value", "usages"),
    [
        ("0300", None),
        ("030108", None),
        ("030100", set()),
        ("03020780", {"digitalSignature"}),
        ("03020640", {"nonRepudiation"}),
        ("0303070080", {"decipherOnly"}),
        ("0303070081", {"decipherOnly"}),
        ("0302017e", None),
    ],
)
def test_key_usage_bits(ca: ThrowawayCA, value: str, usages: set[str] | None) -> None:
    """RFC 5280, 4.2.1.3: the first bit is the highest; unused bits count nothing."""
    certificate = of(ca, extensions=[extension(w.KEY_USAGE, bytes.fromhex(value))])
    if value == "0302017e":
        assert len(certificate.key_usage or ()) == 6
    elif usages is None:
        with pytest.raises(CertificateParseError):
            certificate.key_usage  # noqa: B018
    else:
        assert certificate.key_usage == usages


@pytest.mark.parametrize(
    ("content", "is_ca"),
    [
        (b"", False),
        (tlv(w.BOOLEAN, b"\xff"), True),
        (tlv(w.BOOLEAN, b"\0"), False),
        (tlv(w.INTEGER, b"\0"), False),
        (tlv(w.BOOLEAN, b"\xff") + tlv(w.INTEGER, b"\0"), True),
    ],
    ids=["empty", "yes", "no", "only a length", "with a length"],
)
def test_is_ca(ca: ThrowawayCA, content: bytes, is_ca: bool) -> None:
    """basicConstraints in every shape."""
    value = tlv(w.SEQUENCE, content)
    assert of(ca, extensions=[extension(w.BASIC_CONSTRAINTS, value)]).is_ca is is_ca


def test_n28_n39_alternative_names_of_other_kinds(ca: ThrowawayCA) -> None:
    """N39: only the one type is a UPN; the rest is shown and never looked up."""
    certificate = of(
        ca,
        w.subject_alternative_name(
            w.other_name("1.2.3.4", tlv(w.UTF8, b"alice@ad")),
            w.other_name(w.UPN, tlv(w.IA5, b"alice@corp")),
            tlv(0xA4, common_name("alice")),
            tlv(0xA4, common_name(b"Jos\xe9", w.T61)),
            tlv(0x88, b"\x2a\x03"),
            tlv(0x81, b"a\0b"),
        ),
    )
    names = certificate.subject_alternative_names
    assert names.upns == ("alice@corp",)
    assert names.emails == ("a\0b",)
    assert names.others == (
        "otherName 1.2.3.4=#0c08616c696365406164",
        "directoryName CN=alice",
        "directoryName CN=#14044a6f73e9",
        "[8] #2a03",
    )
    assert names


def test_public_key_bytes_are_those_of_the_certificate(ca: ThrowawayCA) -> None:
    """PATHS 12: encoding the key again would change the pin."""
    key = make_key("rsa2048")
    numbers = key.public_key().public_numbers()  # type: ignore[union-attr]
    body = tlv(w.SEQUENCE, w.integer(numbers.n), w.integer(numbers.e))
    # Without the NULL that RFC 3279 asks for
    spki = tlv(
        w.SEQUENCE,
        tlv(w.SEQUENCE, w.oid("1.2.840.113549.1.1.1")),
        tlv(w.BIT_STRING, b"\0", body),
    )
    certificate = of(ca, spki=spki)
    assert certificate.public_key_der == spki
    assert certificate.public_key_bytes == hashlib.sha256(spki).digest()


def test_dates_are_utc(ca: ThrowawayCA) -> None:
    """Aware, also beyond 2050."""
    begin = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)
    end = dt.datetime(2051, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)
    certificate = of(ca, validity=tlv(w.SEQUENCE, w.time(begin), w.time(end)))
    assert (certificate.not_before, certificate.not_after) == (begin, end)


# --- whatever comes ---------------------------------------------------------------


@given(st.binary(max_size=120))
def test_random_bytes(octets: bytes) -> None:
    """No bytes make any other error."""
    look(ClientCertificate(octets))
    find_identities(ClientCertificate(octets))


@pytest.fixture(scope="module")
def rich(ca: ThrowawayCA) -> bytes:
    """A certificate with a bit of everything, to damage."""
    return ca.issue(
        subject=x509.Name(
            [
                x509.RelativeDistinguishedName(
                    [
                        x509.NameAttribute(x509.NameOID.COMMON_NAME, "alice"),
                        x509.NameAttribute(x509.NameOID.USER_ID, "42"),
                    ]
                ),
                x509.RelativeDistinguishedName(
                    [x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "FR")]
                ),
            ]
        ),
        emails=["alice@example.com"],
        dns=["alice.example.com"],
        uris=["spiffe://example.com/alice"],
        upns=["alice@corp.example"],
        ips=["192.0.2.7"],
        extensions=[
            (
                x509.CertificatePolicies(
                    [x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)]
                ),
                True,
            ),
            (x509.SubjectKeyIdentifier(b"1234"), False),
        ],
    ).certificate.public_bytes(Encoding.DER)


@given(st.data())
@settings(
    max_examples=1000,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_damaged_certificates(rich: bytes, data: st.DataObject) -> None:
    """Changed, missing or doubled bytes anywhere make no other error."""
    octets = bytearray(rich)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(octets) - 1))
        how = data.draw(st.sampled_from(["change", "change", "remove", "double"]))
        if how == "change":
            octets[at] = data.draw(st.integers(0, 255))
        elif how == "remove":
            del octets[at : at + data.draw(st.integers(1, 8))]
        else:
            octets[at:at] = octets[at : at + data.draw(st.integers(1, 8))]
        if not octets:
            break
    damaged = ClientCertificate(bytes(octets))
    look(damaged)
    assert find_identities(damaged).found[0].key == damaged.fingerprint_bytes


elements = st.recursive(
    st.builds(w.tlv, st.integers(0, 255), st.binary(max_size=12)),
    lambda inside: st.builds(
        lambda tag, parts: w.tlv(tag, *parts),
        st.sampled_from([w.SEQUENCE, w.SET, 0xA0, 0xA1, 0xA3, 0xA4]),
        st.lists(inside, max_size=4),
    ),
    max_leaves=12,
)
part_names = st.sampled_from(["serial", "subject", "issuer", "validity", "spki"])


@given(
    st.dictionaries(part_names, elements, max_size=3), st.lists(elements, max_size=3)
)
def test_well_formed_nonsense(
    ca: ThrowawayCA, parts: dict[str, bytes], extensions: list[bytes]
) -> None:
    """Good DER in the wrong places makes no other error."""
    with suppress(CertificateParseError):
        look(of(ca, extensions=extensions, **parts))
    find_identities(of(ca, extensions=extensions, **parts))


values = st.sampled_from(
    [w.SAN, w.BASIC_CONSTRAINTS, w.KEY_USAGE, w.EXTENDED_KEY_USAGE, "2.5.29.32"]
)


@given(st.lists(st.tuples(values, elements), max_size=4))
def test_nonsense_in_extensions(
    ca: ThrowawayCA, extensions: list[tuple[str, bytes]]
) -> None:
    """Good DER of another shape inside an extension makes no other error."""
    certificate = of(ca, extensions=[extension(*one) for one in extensions])
    look(certificate)
    find_identities(certificate)


def test_the_nearest_moment_of_validity(ca: ThrowawayCA) -> None:
    """A time inside the validity is left alone, another is moved to its nearest end."""
    certificate = ClientCertificate(ca.issue("alice").der)
    begin, end = certificate.not_before, certificate.not_after
    day = dt.timedelta(days=1)
    assert certificate.within_validity(begin + day) == begin + day
    assert certificate.within_validity(begin - day) == begin
    assert certificate.within_validity(end + day) == end
