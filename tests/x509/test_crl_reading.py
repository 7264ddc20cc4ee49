"""CRLs when they are imported: what is read, and what is refused."""

from __future__ import annotations

import base64
import datetime as dt
import json
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed448, mldsa, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_clientcert.exceptions import RevocationListError
from django_clientcert.testing import ThrowawayCA, make_name
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl import reading
from django_clientcert.x509.crl.files import split_crls
from django_clientcert.x509.crl.reading import CRLInfo, ParsedCRL, read_crl
from django_clientcert.x509.crl.reasons import ALL_REASONS, RevocationReason
from django_clientcert.x509.crl.scopes import Scope
from django_clientcert.x509.crl.structure import Entry
from django_clientcert.x509.paths import PathValidator
from tests import crl_writer as c
from tests import der_writer as w
from tests.crl_writer import crl, entry
from tests.der_writer import attribute, extension, integer, oid, tlv

UTC = dt.timezone.utc
NOW = dt.datetime.now(UTC)
DAY = dt.timedelta(days=1)
R = x509.ReasonFlags


@pytest.fixture(scope="module")
def ca() -> ThrowawayCA:
    """A root CA."""
    return ThrowawayCA.create("List CA")


def own(ca: Any) -> ClientCertificate:
    """Return a CA's certificate as the package has it."""
    return ClientCertificate(ca.der)


def read(
    data: bytes, *issuers: Any, at: dt.datetime = NOW, **options: Any
) -> ParsedCRL:
    """Read a CRL of one of *issuers*."""
    return read_crl(data, [own(one) for one in issuers], at=at, **options)


def refused(
    code: str, data: bytes, *issuers: Any, at: dt.datetime = NOW, **options: Any
) -> str:
    """Check that a CRL is refused with *code*; return the message."""
    with pytest.raises(RevocationListError) as raised:
        read(data, *issuers, at=at, **options)
    assert raised.value.code == code
    message = str(raised.value)
    assert message.endswith(".")
    assert message.isprintable()
    return message


# --- what is read -----------------------------------------------------------------


def test_what_is_remembered(ca: ThrowawayCA) -> None:
    """Issuer, key, numbers, dates, algorithm, size and fingerprint."""
    begin = dt.datetime(2026, 1, 1, tzinfo=UTC)
    data = ca.crl([5, 6], number=12, this_update=begin, next_update=begin + DAY)
    parsed = read(data, ca, at=begin)
    issuer = own(ca)
    assert parsed.signer == issuer
    assert parsed.info == CRLInfo(
        issuer_name=hashes_of(issuer.subject_der),
        issuer_key=issuer.public_key_bytes,
        number=12,
        base_number=None,
        this_update=begin,
        next_update=begin + DAY,
        scope=Scope(),
        signature_algorithm="ECDSA with SHA-256",
        entry_count=2,
        fingerprint=hashes_of(data).hex(),
    )
    assert not parsed.info.is_delta
    assert parsed.info.label() == "CRL number 12"
    assert parsed.info.expires() == begin + DAY
    assert str(parsed.info.scope) == ""


def hashes_of(data: bytes) -> bytes:
    """Return the SHA-256."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize()


def test_bulk_is_not_shown(ca: ThrowawayCA) -> None:
    """A CRL does not add 35 MB to a traceback."""
    assert "der" not in repr(read(ca.crl(range(1, 50)), ca))


@pytest.mark.parametrize("label", ["X509 CRL", "CRL"])
def test_pem(ca: ThrowawayCA, label: str) -> None:
    """PEM with text around it, and with any line endings, is the same CRL."""
    data = ca.crl([5])
    lines = base64.encodebytes(data).decode().splitlines()
    text = "\r\n".join(
        ["Certificate Revocation List:", f"-----BEGIN {label}-----", *lines]
    )
    text += f"\r\n-----END {label}-----\r\ntrailing"
    assert read(text.encode(), ca).der == data


def test_pem_in_pieces(ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of the pieces does not change the result."""
    monkeypatch.setattr("django_clientcert.x509.bundles._PIECE", 7)
    data = ca.crl(range(1, 30))
    assert read(pem(data), ca).der == data


def pem(data: bytes) -> bytes:
    """Return a CRL in PEM."""
    return b"-----BEGIN X509 CRL-----\n%s-----END X509 CRL-----\n" % base64.encodebytes(
        data
    )


def test_several_crls_in_one_file(ca: ThrowawayCA) -> None:
    """They are reported as such, and can be split."""
    one, other = ca.crl([5]), ca.crl([6], number=2)
    data = pem(one) + pem(other)
    assert "The file contains 2 CRLs" in refused("several_lists", data, ca)
    assert split_crls(data) == (one, other)
    assert split_crls(one) == (one,)


def test_version_1(ca: ThrowawayCA) -> None:
    """OpenSSL writes it if nobody asked for extensions."""
    data = crl(ca, version=b"", entries=[entry(5)], extensions=None)
    parsed = read(data, ca)
    assert parsed.info.number is None
    assert [one.serial for one in parsed.entries()] == [5]
    assert parsed.info.label().startswith("CRL of 20")


@pytest.mark.parametrize(("entries", "count"), [(None, 0), ([], 0), ([entry(5)], 1)])
def test_no_entries(ca: ThrowawayCA, entries: Any, count: int) -> None:
    """The field is left out, or there and empty."""
    parsed = read(crl(ca, entries=entries), ca)
    assert parsed.info.entry_count == count
    assert len(list(parsed.entries())) == count


def test_without_next_update(ca: ThrowawayCA) -> None:
    """Such a CRL is current for seven days."""
    info = read(crl(ca, next_update=b""), ca).info
    assert info.next_update is None
    assert info.expires() == info.this_update + 7 * DAY


def test_dates_of_either_type(ca: ThrowawayCA) -> None:
    """UTCTime of the last century, GeneralizedTime of the next."""
    data = crl(
        ca,
        this_update=tlv(0x17, b"991231235959Z"),
        next_update=tlv(0x18, b"20510101000000Z"),
        entries=[
            entry(5, date=tlv(0x17, b"500101000000Z")),
            entry(6, date=tlv(0x17, b"491231000000Z")),
        ],
    )
    parsed = read(data, ca)
    assert parsed.info.this_update == dt.datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert parsed.info.next_update == dt.datetime(2051, 1, 1, tzinfo=UTC)
    years = [one.revoked_at.year for one in parsed.entries() if one.revoked_at]
    assert years == [1950, 2049]


def test_a_crl_for_one_moment(ca: ThrowawayCA) -> None:
    """Both dates may be the same, and both ends count."""
    moment = w.time(NOW - DAY)
    assert read(crl(ca, this_update=moment, next_update=moment), ca)


def test_entries(ca: ThrowawayCA) -> None:
    """Serial number, reason, date and invalidity date; None if absent."""
    since = dt.datetime(2025, 12, 24, tzinfo=UTC)
    generalized = tlv(0x18, f"{since:%Y%m%d%H%M%SZ}".encode())
    entries = [
        entry(1),
        entry(2**159, c.reason(1)),
        entry(-3, c.reason(6), extension(c.INVALIDITY_DATE, generalized)),
        entry(128, extension(c.INVALIDITY_DATE, generalized)),
        entry(tlv(2, b"\0\0\x07")),
        entry(9, c.reason(8)),
    ]
    parsed = read(crl(ca, entries=entries), ca)
    assert list(parsed.entries()) == [
        Entry(1, None, c.DATE),
        Entry(2**159, RevocationReason.KEY_COMPROMISE, c.DATE),
        Entry(-3, RevocationReason.CERTIFICATE_HOLD, c.DATE, since),
        Entry(128, None, c.DATE, since),
        Entry(7, None, c.DATE),
        Entry(9, RevocationReason.REMOVE_FROM_CRL, c.DATE),
    ]
    assert parsed.info.entry_count == 6
    assert RevocationReason.CERTIFICATE_HOLD.rfc_name == "certificateHold"


def test_entries_as_cryptography_reads_them(ca: ThrowawayCA) -> None:
    """Another reader sees the same."""
    reasons = [*ALL_REASONS, RevocationReason.UNSPECIFIED]
    data = ca.crl(
        {n: R(reasons[n % len(reasons)].rfc_name) for n in range(1, 300)}
        | {2**150 + n: None for n in range(300)}
    )
    theirs = [
        (
            one.serial_number,
            next((e.value.reason.value for e in one.extensions), None),
            one.revocation_date_utc,
        )
        for one in x509.load_der_x509_crl(data)
    ]
    ours = [
        (one.serial, one.reason and one.reason.rfc_name, one.revoked_at)
        for one in read(data, ca).entries()
    ]
    assert [(s, "unspecified" if r == 0 else r, d) for s, r, d in ours] == theirs


def test_many_different_dates_and_extensions(
    ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept to save time is limited, and changes nothing."""
    monkeypatch.setattr("django_clientcert.x509.crl.structure._REMEMBERED", 2)
    entries = [
        entry(n, c.reason(n % 7), date=w.time(c.DATE + n * dt.timedelta(seconds=1)))
        for n in range(1, 20)
    ]
    found = list(read(crl(ca, entries=entries), ca).entries())
    assert [one.serial for one in found] == list(range(1, 20))
    assert all(one.reason == one.serial % 7 for one in found)
    assert all(
        one.revoked_at == c.DATE + one.serial * dt.timedelta(seconds=1) for one in found
    )


@pytest.mark.parametrize(
    "extensions",
    [
        [extension("1.2.3.4", b"\x05\x00", critical=True)],
        [extension("1.2.3.4", b"\x05\x00", critical=True), c.reason(8)],
        [c.reason(99)],
        [c.reason(7)],
    ],
    ids=["unknown", "unknown and removed", "reason 99", "reason 7"],
)
def test_what_is_not_understood_is_revoked(
    ca: ThrowawayCA, extensions: Sequence[bytes]
) -> None:
    """An unknown critical extension or reason never makes an entry harmless."""
    (found,) = read(crl(ca, entries=[entry(5, *extensions)]), ca).entries()
    assert found.reason is not RevocationReason.REMOVE_FROM_CRL


def test_entries_of_any_size(ca: ThrowawayCA) -> None:
    """Also one of several hundred octets."""
    unknown = extension("1.2.3.4", b"x" * 300)
    parsed = read(crl(ca, entries=[entry(5, unknown), entry(6)]), ca)
    assert parsed.info.entry_count == 2
    assert [one.serial for one in parsed.entries()] == [5, 6]


def test_unknown_extensions_that_are_not_critical(ca: ThrowawayCA) -> None:
    """They are ignored, in the CRL and in its entries."""
    unknown = extension("1.2.3.4", b"\x05\x00")
    data = crl(ca, entries=[entry(5, unknown, c.reason(8))], extensions=[unknown])
    (found,) = read(data, ca).entries()
    assert found.reason is RevocationReason.REMOVE_FROM_CRL


def test_entries_take_no_memory(ca: ThrowawayCA) -> None:
    """They are read from the CRL one at a time."""
    data = crl(ca, entries=[entry(n, c.reason(1)) for n in range(1, 50_000)])
    issuer = own(ca)
    issuer.public_key  # noqa: B018 - what is read once is not counted
    tracemalloc.start()
    try:
        parsed = read_crl(data, [issuer], at=NOW)
        assert sum(1 for _ in parsed.entries()) == 49_999
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000 < len(data)


# --- what is not a CRL ------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "neither DER nor PEM"),
        (b"hello", "neither DER nor PEM"),
        (b"  \n<!DOCTYPE html>", "web page"),
        (b'{"error": 404}', "web page"),
        (b"-----BEGIN X509 CRL ", "a broken BEGIN line"),
        (b"-----BEGIN X509 CRL-----\nAA=A\n-----END X509 CRL-----", "not base64"),
        (b"-----BEGIN X509 CRL-----\nAAA\n-----END X509 CRL-----", "not base64"),
        (b"-----BEGIN X509 CRL-----\n\xff\n-----END X509 CRL-----", "not base64"),
        (b"0", "not DER"),
        (b"0\x80\0\0", "not DER"),
        (b"0\x85\0\0\0\0\0", "not DER"),
        (b"0\x81", "not DER"),
        (pem(b"\x31\x02\x30\x00"), "may be a certificate"),
        (b"0\x02\x05\x00", "may be a certificate"),
    ],
)
def test_not_a_crl(ca: ThrowawayCA, data: bytes, word: str) -> None:
    """Web pages, error messages, other files: each is named."""
    assert word in refused("not_a_list", data, ca)


def test_a_certificate_is_not_a_crl(ca: ThrowawayCA) -> None:
    """In DER or in PEM."""
    assert "may be a certificate" in refused("not_a_list", ca.der, ca)
    message = refused("not_a_list", (ca.pem + ca.key_pem).encode(), ca)
    assert "only: CERTIFICATE, PRIVATE KEY." in message


def test_cut_off(ca: ThrowawayCA) -> None:
    """A download that broke off is named as such, with both sizes."""
    data = ca.crl(range(1, 99))
    for size in (2, 3, 100, len(data) - 1):
        code = "not_a_list" if size < 4 else "truncated"
        refused(code, data[:size], ca)
    assert f"{len(data)} bytes and the file 100" in refused("truncated", data[:100], ca)
    assert "END line" in refused("truncated", pem(data)[:-40], ca)


def test_too_large(ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is looked at before anything else."""
    monkeypatch.setattr(reading, "MAX_CRL_BYTES", 1 << 20)
    assert "1 MiB" in refused("too_large", bytes(1 << 20) + b"1", ca)
    data = ca.crl()
    monkeypatch.setattr(reading, "MAX_CRL_BYTES", len(data))
    assert read(data, ca)


BROKEN: dict[str, dict[str, Any]] = {
    "bytes behind the signature": {"behind": b"\x05\x00"},
    "unused bits": {"unused_bits": b"\x01"},
    "no bits": {"unused_bits": b"", "sign": lambda tbs: b""},
    "version 3": {"version": integer(2)},
    "a version in two octets": {"version": tlv(2, b"\0\1")},
    "two algorithms": {"inner_algorithm": c.algorithm("1.2.840.10045.4.3.3")},
    "no algorithm": {"inner_algorithm": b"\x05\x00"},
    "no issuer": {"issuer": b""},
    "thisUpdate is a number": {"this_update": integer(5)},
    "thisUpdate without seconds": {"this_update": tlv(0x17, b"2601020304Z")},
    "thisUpdate with an offset": {"this_update": tlv(0x17, b"260102030405+")},
    "thisUpdate with letters": {"this_update": tlv(0x17, b"26010203040xZ")},
    "thisUpdate of no date": {"this_update": tlv(0x17, b"260230030405Z")},
    "thisUpdate with fractions": {"this_update": tlv(0x18, b"20260102030405.5Z")},
    "thisUpdate with a short year": {"this_update": tlv(0x18, b"260102030405Z")},
    "thisUpdate with a long year": {"this_update": tlv(0x17, b"20260102030405Z")},
    "nextUpdate before": {"next_update": tlv(0x17, b"200101000000Z")},
    "a field too many": {"inside": b"\x05\x00"},
    "extensions of version 1": {"version": b"", "extensions": [c.number(1)]},
    "an entry that is a number": {"entries": [integer(5)]},
    "an entry cut off": {"entries": [b"\x30\x7f\x02"]},
    "an entry with half a length": {"entries": [b"\x30"]},
    "an entry of an odd length": {"entries": [b"\x30\x81\x01\x00"]},
    "a negative number": {"extensions": [c.number(-1)]},
    "a huge number": {"extensions": [c.number(1 << 160)]},
    "a number of another type": {"extensions": [extension(c.CRL_NUMBER, b"\x05\x00")]},
    "an extension twice": {"extensions": [c.number(1), c.number(1)]},
    "an extension without a value": {
        "extensions": [tlv(0x30, oid("1.2.3"))],
    },
    "an extension without a type": {
        "extensions": [tlv(0x30, integer(1), tlv(4, b""))],
    },
    "criticality of another type": {
        "extensions": [tlv(0x30, oid("1.2.3"), integer(1), tlv(4, b""))],
    },
    "a partition with an unknown field": {
        "extensions": [c.issuing_distribution_point(tlv(0x86, b"\xff"))],
    },
    "a partition with a field twice": {
        "extensions": [c.issuing_distribution_point(*[tlv(0x81, b"\xff")] * 2)],
    },
    "a partition of both kinds": {
        "extensions": [
            c.issuing_distribution_point(tlv(0x81, b"\xff"), tlv(0x82, b"\xff"))
        ],
    },
    "a partition without a name": {
        "extensions": [c.issuing_distribution_point(c.full_name())],
    },
    "a partition’s name of a third kind": {
        "extensions": [c.issuing_distribution_point(tlv(0xA0, tlv(0xA2, b"")))],
    },
    "two names of a partition": {
        "extensions": [
            c.issuing_distribution_point(
                tlv(0xA0, tlv(0xA0, c.uri("a")), tlv(0xA0, c.uri("b")))
            )
        ],
    },
    "reasons that are no bits": {
        "extensions": [c.issuing_distribution_point(tlv(0x83, b"\x08\xff"))],
    },
    "a delta CRL older than its base": {
        "extensions": [c.number(4), c.delta_indicator(5)],
    },
}


@pytest.mark.parametrize("parts", BROKEN.values(), ids=BROKEN)
def test_malformed(ca: ThrowawayCA, parts: dict[str, Any]) -> None:
    """A CRL that breaks the rules is refused as a whole, signed or not."""
    message = refused("malformed", crl(ca, **parts), ca)
    assert "Have the CA issue a new one" in message


def test_bytes_after_the_crl(ca: ThrowawayCA) -> None:
    """They are not covered by the signature."""
    refused("malformed", ca.crl() + b"\n", ca)


@pytest.mark.parametrize(
    "one",
    [
        tlv(0x30),
        tlv(0x30, integer(5)),
        tlv(0x30, tlv(4, b"\5"), w.time(c.DATE)),
        tlv(0x30, tlv(2, b""), w.time(c.DATE)),
        tlv(0x30, integer(5), integer(6)),
        tlv(0x30, integer(5), w.time(c.DATE), integer(6)),
        entry(5, c.reason(1), c.reason(1)),
        entry(5, extension(c.REASON, integer(1))),
        entry(5, extension(c.INVALIDITY_DATE, integer(1))),
        entry(5, extension(c.INVALIDITY_DATE, b"")),
    ],
)
def test_an_entry_that_cannot_be_read(ca: ThrowawayCA, one: bytes) -> None:
    """It ends the import, by its number: nothing may be missed."""
    parsed = read(crl(ca, entries=[entry(4), one, entry(6)]), ca)
    found = []
    with pytest.raises(RevocationListError, match="entry 2: ") as raised:
        found += [one.serial for one in parsed.entries()]
    assert raised.value.code == "malformed"


# --- which kinds are refused ------------------------------------------------------


def test_indirect_crls(ca: ThrowawayCA) -> None:
    """They are refused as such, whether the CRL or one of its entries says so."""
    flag = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)
    assert "indirect CRL" in refused("indirect", ca.crl(distribution_point=flag), ca)
    other = extension(c.CERTIFICATE_ISSUER, tlv(0x30, c.uri("x")), critical=True)
    parsed = read(crl(ca, entries=[entry(5, other)]), ca)
    with pytest.raises(RevocationListError, match="indirect CRL") as raised:
        list(parsed.entries())
    assert raised.value.code == "indirect"


def test_indirect_crls_of_somebody_else(ca: ThrowawayCA) -> None:
    """The message says that they are indirect, not that the issuer is unknown."""
    flag = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)
    stranger = ThrowawayCA.create("Indirect")
    refused("indirect", stranger.crl(distribution_point=flag), ca)


def test_attribute_certificates(ca: ThrowawayCA) -> None:
    """CRLs for them are refused as such."""
    flag = x509.IssuingDistributionPoint(None, None, False, False, None, False, True)
    data = ca.crl(distribution_point=flag)
    assert "attribute certificates" in refused("attribute_certificates", data, ca)


@pytest.mark.parametrize("kind", ["1.2.3.4", c.CRL_NUMBER, c.AUTHORITY_KEY_IDENTIFIER])
def test_critical_extensions(ca: ThrowawayCA, kind: str) -> None:
    """One that is unknown, or must not be critical, is named."""
    value = integer(1) if kind == c.CRL_NUMBER else tlv(0x30)
    data = crl(ca, extensions=[extension(kind, value, critical=True)])
    assert kind in refused("critical_extension", data, ca)


# --- who signed it ----------------------------------------------------------------


def test_another_issuer(ca: ThrowawayCA) -> None:
    """Both names are in the sentence."""
    message = refused("unknown_issuer", ThrowawayCA.create("Someone Else").crl(), ca)
    assert "“CN=Someone Else”" in message
    assert "“CN=List CA”" in message
    assert "there are none" in refused("unknown_issuer", ca.crl())


def test_names_are_escaped() -> None:
    """No name in a CRL can break the line or turn its direction."""
    evil = ThrowawayCA.create(subject=make_name("evil\n\u202e"))
    message = refused("unknown_issuer", evil.crl())
    assert "\\0a" in message


@pytest.mark.parametrize("issuer", [b"\x30\x00", tlv(0x30, b"\x05\x00")])
def test_an_issuer_without_a_name(ca: ThrowawayCA, issuer: bytes) -> None:
    """An empty or malformed name belongs to nobody."""
    refused("unknown_issuer", crl(ca, issuer=issuer), ca)


def test_a_certificate_that_cannot_be_read_is_not_an_issuer(ca: ThrowawayCA) -> None:
    """It is skipped, and the right one after it is found."""
    broken = ClientCertificate(b"\x30\x00")
    assert read_crl(ca.crl(), [broken, own(ca)], at=NOW).signer == own(ca)
    with pytest.raises(RevocationListError, match="cannot be read"):
        read_crl(ca.crl(), [broken], at=NOW)


def test_the_name_in_another_string_type(ca: ThrowawayCA) -> None:
    """It is the same name, and stored as the CA's certificate has it."""
    name = w.name(attribute(w.COMMON_NAME, "list  CA", w.PRINTABLE))
    info = read(crl(ca, issuer=name), ca).info
    assert info.issuer_name == hashes_of(own(ca).subject_der)


def test_another_key(ca: ThrowawayCA) -> None:
    """The key identifiers reveal a CA of the same name with another key."""
    twin = ThrowawayCA.create("List CA")
    assert "authorityKeyIdentifier" in refused("other_key", twin.crl(), ca)
    assert read(twin.crl(), ca, twin).signer == own(twin)


@pytest.mark.parametrize(
    "extensions",
    [(), [extension(c.AUTHORITY_KEY_IDENTIFIER, tlv(0x30, tlv(0x82, b"\5")))]],
    ids=["without", "with a serial number only"],
)
def test_another_key_without_identifiers(
    ca: ThrowawayCA, extensions: Sequence[bytes]
) -> None:
    """Then the signature decides, whatever the order of the certificates."""
    twin = ThrowawayCA.create("List CA")
    data = crl(twin, extensions=extensions)
    refused("bad_signature", data, ca)
    assert read(data, ca, twin).signer == own(twin)
    assert read(data, twin, ca).signer == own(twin)


@pytest.mark.parametrize("identifier", [b"\x05\x00", None])
def test_an_issuer_whose_key_identifier_is_no_help(
    identifier: bytes | None,
) -> None:
    """If none can be read, the signature decides too."""
    root = ThrowawayCA.create("Odd CA")
    extensions = [*w.CA_EXTENSIONS]
    if identifier is not None:
        extensions.append(extension("2.5.29.14", identifier))
    issuer = ClientCertificate(
        w.certificate(
            root, subject=own(root).subject_der, key=root.key, extensions=extensions
        )
    )
    assert read_crl(root.crl(), [issuer], at=NOW).signer == issuer


def test_key_usage() -> None:
    """A CA whose keyUsage lacks cRLSign may sign certificates, but not CRLs."""
    root = ThrowawayCA.create("No CRLs")
    usage = extension(w.KEY_USAGE, bytes.fromhex("03020204"), critical=True)
    der = w.certificate(
        root,
        subject=own(root).subject_der,
        key=root.key,
        extensions=[w.CA_EXTENSIONS[0], usage],
    )
    with pytest.raises(RevocationListError, match="cRLSign") as raised:
        read_crl(root.crl(), [ClientCertificate(der)], at=NOW)
    assert raised.value.code == "no_crl_sign"
    # A second certificate of the same key may say otherwise.
    assert read_crl(root.crl(), [ClientCertificate(der), own(root)], at=NOW)
    broken = w.certificate(
        root,
        subject=own(root).subject_der,
        key=root.key,
        extensions=[extension(w.KEY_USAGE, b"\x05\x00")],
    )
    with pytest.raises(RevocationListError, match="cRLSign"):
        read_crl(root.crl(), [ClientCertificate(broken)], at=NOW)


def test_an_issuer_whose_key_cannot_be_read() -> None:
    """Nothing verifies with it."""
    root = ThrowawayCA.create("No Key")
    der = w.certificate(
        root,
        subject=own(root).subject_der,
        spki=tlv(0x30, c.algorithm("1.2.3.4"), tlv(3, b"\0x")),
        extensions=w.CA_EXTENSIONS,
    )
    with pytest.raises(RevocationListError) as raised:
        read_crl(root.crl(), [ClientCertificate(der)], at=NOW)
    assert raised.value.code in ("bad_signature", "other_key")


def test_the_signer_leads_to_an_anchor(ca: ThrowawayCA) -> None:
    """If the authority's validator is given, the signer must belong to it."""
    sub = ca.issue_ca("Sub")
    validator = PathValidator([own(ca)], [own(sub)])
    assert read(ca.crl(), ca, signers=validator)
    assert read(sub.crl(), ca, sub, signers=validator)
    expired = ThrowawayCA.create("Old").issue_ca("Sub")
    message = refused("untrusted_signer", expired.crl(), expired, signers=validator)
    assert "“CN=Sub”" in message
    later = sub.certificate.not_valid_after_utc + DAY
    refused("untrusted_signer", sub.crl(), sub, at=later, signers=validator)
    refused("untrusted_signer", ca.crl(), ca, at=later, signers=validator)


# --- signatures -------------------------------------------------------------------


def pss(digest: hashes.HashAlgorithm, salt: int) -> padding.PSS:
    """Return the padding with one digest for both."""
    return padding.PSS(padding.MGF1(digest), salt)


@pytest.fixture(scope="module")
def rsa_ca() -> ThrowawayCA:
    """A root CA with an RSA key."""
    return ThrowawayCA.create("RSA CA", key="rsa2048")


def with_cryptography(
    ca: ThrowawayCA,
    digest: hashes.HashAlgorithm | None,
    rsa_padding: padding.PSS | None = None,
) -> bytes:
    """Return a CRL that cryptography has signed."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.certificate.subject)
        .last_update(NOW - DAY)
        .next_update(NOW + DAY)
    )
    signed = builder.sign(ca.key, digest, rsa_padding=rsa_padding)  # type: ignore[arg-type]
    return signed.public_bytes(Encoding.DER)


SHA256, SHA384, SHA512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()


@pytest.mark.parametrize(
    ("key", "digest", "rsa_padding", "name"),
    [
        ("p256", SHA256, None, "ECDSA with SHA-256"),
        ("p256", SHA384, None, "ECDSA with SHA-384"),
        ("p384", SHA512, None, "ECDSA with SHA-512"),
        ("rsa2048", SHA256, None, "RSA with SHA-256"),
        ("rsa2048", SHA384, None, "RSA with SHA-384"),
        ("rsa2048", SHA512, None, "RSA with SHA-512"),
        ("rsa2048", SHA256, pss(SHA256, 32), "RSASSA-PSS with SHA-256"),
        ("rsa2048", SHA256, pss(SHA256, 20), "RSASSA-PSS with SHA-256"),
        ("rsa2048", SHA384, pss(SHA384, 48), "RSASSA-PSS with SHA-384"),
        ("rsa2048", SHA512, pss(SHA512, 64), "RSASSA-PSS with SHA-512"),
        ("ed25519", None, None, "Ed25519"),
    ],
)
def test_signatures_as_cryptography_verifies_them(
    key: str,
    digest: hashes.HashAlgorithm | None,
    rsa_padding: padding.PSS | None,
    name: str,
    ca: ThrowawayCA,
    rsa_ca: ThrowawayCA,
) -> None:
    """Good and bad: both say the same of every octet that is changed."""
    made = {"rsa2048": rsa_ca, "p256": ca}
    signer = made.get(key) or ThrowawayCA.create("Other CA", key=key)
    data = with_cryptography(signer, digest, rsa_padding)
    assert read(data, signer).info.signature_algorithm == name
    issuer: Any = signer.certificate.public_key()
    assert x509.load_der_x509_crl(data).is_signature_valid(issuer)
    for offset in range(len(data) - 60, len(data), 7):
        changed = data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]
        theirs = x509.load_der_x509_crl(changed).is_signature_valid(issuer)
        assert not theirs
        refused("bad_signature", changed, signer)


def test_ed448() -> None:
    """There are CAs with such keys; the package makes none."""
    root = ThrowawayCA.create("Ed448 CA")
    key = ed448.Ed448PrivateKey.generate()
    spki = key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    issuer = w.certificate(
        root, subject=own(root).subject_der, spki=spki, extensions=w.CA_EXTENSIONS
    )
    data = crl(root, signature_algorithm=c.algorithm("1.3.101.113"), sign=key.sign)
    parsed = read_crl(data, [ClientCertificate(issuer)], at=NOW)
    assert parsed.info.signature_algorithm == "Ed448"


@pytest.mark.parametrize(
    ("dotted", "name"),
    [
        ("1.2.840.113549.1.1.4", "MD5"),
        ("1.2.840.113549.1.1.5", "SHA-1"),
        ("1.2.840.10045.4.1", "SHA-1"),
        ("1.2.840.10040.4.3", "SHA-1"),
    ],
)
def test_weak_algorithms(ca: ThrowawayCA, dotted: str, name: str) -> None:
    """They are refused by name, before anything is verified."""
    data = crl(ca, signature_algorithm=c.algorithm(dotted))
    assert f"signed with {name}," in refused("weak_signature", data, ca)


def test_sha1_that_verifies(rsa_ca: ThrowawayCA) -> None:
    """A good signature with SHA-1 is refused all the same."""
    key = rsa_ca.key
    assert isinstance(key, rsa.RSAPrivateKey)
    data = crl(
        rsa_ca,
        signature_algorithm=c.algorithm("1.2.840.113549.1.1.5", b"\x05\x00"),
        sign=lambda tbs: key.sign(tbs, padding.PKCS1v15(), hashes.SHA1()),  # noqa: S303
    )
    refused("weak_signature", data, rsa_ca)


def test_weak_keys() -> None:
    """So is a good signature with a key that can be factored."""
    root = ThrowawayCA.create("Weak CA")
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    issuer = w.certificate(
        root, subject=own(root).subject_der, key=key, extensions=w.CA_EXTENSIONS
    )
    data = crl(
        root,
        signature_algorithm=c.algorithm("1.2.840.113549.1.1.11", b"\x05\x00"),
        sign=lambda tbs: key.sign(tbs, padding.PKCS1v15(), SHA256),
    )
    with pytest.raises(RevocationListError, match="1024 bits") as raised:
        read_crl(data, [ClientCertificate(issuer)], at=NOW)
    assert raised.value.code == "weak_signature"


@pytest.mark.parametrize(
    ("dotted", "name"),
    [
        ("1.2.840.113549.1.1.14", "sha224WithRSAEncryption"),
        ("1.2.840.10045.4.3.1", "ecdsa-with-SHA224"),
        ("2.16.840.1.101.3.4.3.2", "dsa-with-sha256"),
        ("2.16.840.1.101.3.4.3.20", "2.16.840.1.101.3.4.3.20"),
    ],
)
def test_d15_algorithms_that_are_not_supported(
    ca: ThrowawayCA, dotted: str, name: str
) -> None:
    """By name as far as the library has one; SHA-224 is not among the supported."""
    data = crl(ca, signature_algorithm=c.algorithm(dotted))
    said = refused("unsupported_signature", data, ca)
    assert f"signed with {name}, which" in said
    assert "SHA-256, SHA-384 or SHA-512" in said


@pytest.mark.parametrize(
    "key_type",
    [mldsa.MLDSA44PrivateKey, mldsa.MLDSA65PrivateKey, mldsa.MLDSA87PrivateKey],
)
def test_p01_ml_dsa_cas_have_crls(key_type: Any) -> None:
    """RFC 9881: the signature is checked, and a damaged one refused."""
    key = key_type.generate()
    name = make_name("ML-DSA CA")
    root = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None)
    )
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name)
        .last_update(NOW - DAY)
        .next_update(NOW + DAY)
    )
    signer = ClientCertificate(root.public_bytes(Encoding.DER))
    data = builder.sign(key, None).public_bytes(Encoding.DER)
    assert read_crl(data, [signer], at=NOW)
    with pytest.raises(RevocationListError) as raised:
        read_crl(data[:-1] + bytes([data[-1] ^ 1]), [signer], at=NOW)
    assert raised.value.code == "bad_signature"


@pytest.mark.parametrize(
    "encoded",
    [
        tlv(0x30),
        tlv(0x30, integer(1)),
        tlv(0x30, oid("1.2.3"), b"\x05\x00", b"\x05\x00"),
        c.algorithm("1.2.840.10045.4.3.2", b"\x05\x00"),
        c.algorithm("1.2.840.113549.1.1.11", integer(1)),
    ],
)
def test_algorithms_of_another_shape(ca: ThrowawayCA, encoded: bytes) -> None:
    """RSA has NULL for parameters, and all others none."""
    refused("malformed", crl(ca, signature_algorithm=encoded), ca)


def test_rsa_without_parameters(rsa_ca: ThrowawayCA) -> None:
    """Some leave the NULL out."""
    data = crl(rsa_ca, signature_algorithm=c.algorithm("1.2.840.113549.1.1.11"))
    assert read(data, rsa_ca)


def test_an_algorithm_of_another_key(ca: ThrowawayCA, rsa_ca: ThrowawayCA) -> None:
    """RSA does not verify with an elliptic curve."""
    data = crl(
        ca, signature_algorithm=c.algorithm("1.2.840.113549.1.1.11", b"\x05\x00")
    )
    refused("bad_signature", data, ca)


SHA_1, SHA_256 = "1.3.14.3.2.26", "2.16.840.1.101.3.4.2.1"
MGF1 = "1.2.840.113549.1.1.8"


def pss_algorithm(*fields: bytes) -> bytes:
    """Return RSASSA-PSS with raw parameters."""
    return c.algorithm("1.2.840.113549.1.1.10", tlv(0x30, *fields))


DIGEST = tlv(0xA0, c.algorithm(SHA_256))
MASK = tlv(0xA1, c.algorithm(MGF1, c.algorithm(SHA_256)))


@pytest.mark.parametrize(
    "encoded",
    [
        c.algorithm("1.2.840.113549.1.1.10"),
        pss_algorithm(),
        pss_algorithm(DIGEST),
        pss_algorithm(MASK),
        pss_algorithm(tlv(0xA0, c.algorithm(SHA_1)), MASK),
        pss_algorithm(DIGEST, tlv(0xA1, c.algorithm(MGF1, c.algorithm(SHA_1)))),
    ],
    ids=["none", "empty", "no mask", "no digest", "SHA-1", "mask with SHA-1"],
)
def test_pss_with_sha1(ca: ThrowawayCA, encoded: bytes) -> None:
    """What is left out is SHA-1."""
    data = crl(ca, signature_algorithm=encoded)
    assert "SHA-1" in refused("weak_signature", data, ca)


@pytest.mark.parametrize(
    "encoded",
    [
        pss_algorithm(tlv(0xA0, c.algorithm("1.2.3")), MASK),
        pss_algorithm(tlv(0xA0, tlv(0x30)), MASK),
        pss_algorithm(tlv(0xA0, tlv(0x30, integer(1))), MASK),
        pss_algorithm(DIGEST, tlv(0xA1, c.algorithm(MGF1))),
        pss_algorithm(DIGEST, tlv(0xA1, c.algorithm("1.2.3", c.algorithm(SHA_256)))),
        pss_algorithm(DIGEST, MASK, tlv(0xA2, integer(-1))),
        pss_algorithm(DIGEST, MASK, tlv(0xA2, integer(5000))),
        pss_algorithm(DIGEST, MASK, tlv(0xA3, integer(2))),
    ],
    ids=[
        "digest",
        "no digest",
        "digest of another type",
        "mask",
        "another mask",
        "negative salt",
        "long salt",
        "trailer",
    ],
)
def test_pss_that_is_broken(ca: ThrowawayCA, encoded: bytes) -> None:
    """A CRL with meaningless parameters is refused."""
    refused("malformed", crl(ca, signature_algorithm=encoded), ca)


def test_pss_with_defaults(rsa_ca: ThrowawayCA) -> None:
    """The length of the salt is 20 if it is omitted; the trailer may be present."""
    key = rsa_ca.key
    assert isinstance(key, rsa.RSAPrivateKey)
    for fields in ((), (tlv(0xA3, integer(1)),)):
        data = crl(
            rsa_ca,
            signature_algorithm=pss_algorithm(DIGEST, MASK, *fields),
            sign=lambda tbs: key.sign(tbs, pss(SHA256, 20), SHA256),
        )
        assert read(data, rsa_ca)


# --- numbers and dates ------------------------------------------------------------


def test_from_the_future(ca: ThrowawayCA) -> None:
    """A CA's clock may be five minutes ahead."""
    begin = NOW.replace(microsecond=0)
    data = ca.crl(this_update=begin)
    minute = dt.timedelta(minutes=1)
    assert read(data, ca, at=begin - 5 * minute)
    refused("from_the_future", data, ca, at=begin - 6 * minute)


def test_a_stale_crl_is_read(ca: ThrowawayCA) -> None:
    """Its entries revoke, so it is better than none."""
    assert read(ca.crl([5]), ca, at=NOW + 300 * DAY).info.next_update


def test_numbers(ca: ThrowawayCA) -> None:
    """A CRL may lack one unless it is required; a delta CRL must have one."""
    assert read(ca.crl(number=None), ca).info.number is None
    assert "CRLNumber" in refused(
        "no_number", ca.crl(number=None), ca, require_number=True
    )
    assert "delta CRL" in refused("no_number", ca.crl(number=None, base_number=1), ca)
    for number in (0, 2**160 - 1):
        assert read(crl(ca, extensions=[c.number(number)]), ca).info.number == number
    assert read(ca.crl(number=5, base_number=5), ca).info.base_number == 5
    info = read(ca.crl(number=6, base_number=5), ca).info
    assert info.is_delta
    assert info.base_number == 5
    assert info.label() == "delta CRL number 6"


def at_day(ca: ThrowawayCA, day: int, **options: Any) -> bytes:
    """Return a CRL that was issued so many days ago."""
    begin = NOW.replace(microsecond=0) - day * DAY
    return ca.crl(this_update=begin, **options)


def test_rollback_by_number(ca: ThrowawayCA) -> None:
    """A lower number is refused, whatever the date; N52."""
    loaded = [read(at_day(ca, 2, number=7), ca).info]
    message = refused("rollback_number", at_day(ca, 1, number=6), ca, previous=loaded)
    assert "number 6" in message
    assert "number 7" in message
    assert read(at_day(ca, 1, number=7), ca, previous=loaded)
    assert read(at_day(ca, 1, number=8), ca, previous=loaded)
    assert read(at_day(ca, 1, number=None), ca, previous=loaded)


def test_rollback_by_date(ca: ThrowawayCA) -> None:
    """An earlier date is refused, even without numbers."""
    for numbers in ((7, 8), (None, None), (7, None), (None, 8)):
        loaded = [read(at_day(ca, 2, number=numbers[0]), ca).info]
        older = at_day(ca, 3, number=numbers[1])
        refused("rollback_date", older, ca, previous=loaded)
        same_moment = at_day(ca, 2, number=numbers[1], revoked=[5])
        assert read(same_moment, ca, previous=loaded)


def test_the_same_crl_again(ca: ThrowawayCA) -> None:
    """If you fetch it every hour, the message says that nothing is new."""
    data = ca.crl()
    loaded = [read(ca.crl(number=2), ca).info, read(data, ca).info]
    assert "CRL number 1" in refused("already_loaded", data, ca, previous=loaded)


def test_rollback_is_of_one_scope(ca: ThrowawayCA) -> None:
    """Another key, partition or kind counts on its own."""
    other = ThrowawayCA.create("List CA")
    users = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
    loaded = [read(at_day(ca, 1, number=9), ca).info]
    for data in (
        at_day(other, 2, number=8),
        at_day(ca, 2, number=8, distribution_point=users),
        at_day(ca, 2, number=8, base_number=7),
    ):
        assert read(data, ca, other, previous=loaded)


def test_what_a_crl_replaces(ca: ThrowawayCA) -> None:
    """The complete CRL before it, and the delta CRLs that it includes."""

    def info(number: int | None, base: int | None = None) -> CRLInfo:
        return read(ca.crl(number=number, base_number=base), ca).info

    five, seven = info(5), info(7)
    assert seven.replaces(five)
    assert seven.replaces(info(None))
    assert seven.replaces(info(7, 5))
    assert not seven.replaces(info(8, 5))
    assert not info(None).replaces(info(8, 5))
    assert not info(8, 5).replaces(five)
    # One that leads up to the new one's beginning is still needed.
    assert info(8, 5).replaces(info(7, 5))
    assert info(8, 5).replaces(info(7, 6))
    assert info(8, 5).replaces(info(8, 5))
    assert not info(9, 7).replaces(info(7, 5))
    users = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
    assert not seven.replaces(read(ca.crl(distribution_point=users), ca).info)
    other = ThrowawayCA.create("List CA")
    assert not seven.replaces(read(other.crl(), other).info)
    assert not info(8, 5).replaces(info(9, 6))


# --- scopes -----------------------------------------------------------------------


def scope_of(ca: ThrowawayCA, *fields: bytes) -> Scope:
    """Return the scope of a CRL with a raw issuing distribution point."""
    point = c.issuing_distribution_point(*fields)
    return read(crl(ca, extensions=[point]), ca).info.scope


def test_scopes(ca: ThrowawayCA) -> None:
    """Kinds, partitions and reasons are read, and described."""
    assert scope_of(ca) == Scope()
    assert scope_of(ca, tlv(0x81, b"\0")) == Scope()
    users = scope_of(ca, tlv(0x81, b"\xff"))
    assert users == Scope(only="user")
    assert str(users) == "certificates of end entities only"
    cas = scope_of(ca, tlv(0x82, b"\xff"))
    assert str(cas) == "certificates of CAs only"
    some = scope_of(ca, tlv(0x83, b"\x07\x60\x80"))
    assert some.reasons == {
        RevocationReason.KEY_COMPROMISE,
        RevocationReason.CA_COMPROMISE,
        RevocationReason.AA_COMPROMISE,
    }
    assert str(some) == "only for keyCompromise, cACompromise, aACompromise"
    assert str(scope_of(ca, tlv(0x83, b"\x00\x80"))) == "only for no reason"
    part = scope_of(ca, c.full_name(c.uri("http://x/1.crl"), c.uri("ldap://x")))
    assert str(part) == "partition http://x/1.crl, ldap://x"


def test_a_partition_relative_to_the_issuer(ca: ThrowawayCA) -> None:
    """It is made whole, and is the same as one that was whole."""
    relative = scope_of(ca, c.relative_name(attribute(w.COMMON_NAME, "P1")))
    name = w.name(attribute(w.COMMON_NAME, "List CA"), attribute(w.COMMON_NAME, "P1"))
    whole = scope_of(ca, c.full_name(c.directory_name(name)))
    assert relative == whole
    assert str(relative) == "partition CN=P1,CN=List CA"


def test_long_names_of_partitions(ca: ThrowawayCA) -> None:
    """A name of more than 127 octets is made whole as well."""
    value = attribute(w.COMMON_NAME, "P" * 300)
    assert "P" * 50 in str(scope_of(ca, c.relative_name(value)))


def test_partitions_with_odd_names(ca: ThrowawayCA) -> None:
    """They are compared and shown as encoded, and break nothing."""
    odd = scope_of(
        ca,
        c.full_name(
            tlv(0xA4, b"\x05\x00"),
            tlv(0xA4),
            c.directory_name(b"\x30\x00"),
            c.uri("a\nb"),
            tlv(0x86, b"\xff"),
        ),
    )
    assert len(odd.keys) == 5
    assert str(odd).isprintable()


def test_the_digest_of_a_scope(ca: ThrowawayCA) -> None:
    """The same scope has the same, however it is written; another one another."""
    one, two = c.uri("http://x/1"), c.uri("http://x/2")
    same = {
        scope_of(ca, c.full_name(one, two)).digest,
        scope_of(ca, c.full_name(two, one)).digest,
    }
    assert len(same) == 1
    upper = c.directory_name(w.common_name("PART"))
    lower = c.directory_name(w.common_name("part", w.PRINTABLE))
    same = {scope_of(ca, c.full_name(n)).digest for n in (upper, lower)}
    assert len(same) == 1
    different = [
        (),
        (c.full_name(one),),
        (c.full_name(two),),
        (c.full_name(one), tlv(0x81, b"\xff")),
        (tlv(0x81, b"\xff"),),
        (tlv(0x82, b"\xff"),),
        (tlv(0x83, b"\x06\x40"),),
        (tlv(0x83, b"\x05\x20"),),
    ]
    assert len({scope_of(ca, *fields).digest for fields in different}) == 8


def test_microsoft_crls_are_of_one_key(ca: ThrowawayCA) -> None:
    """AD CS signs a CRL with each key, for the certificates of that key."""
    version = extension("1.3.6.1.4.1.311.21.1", integer(1))
    assert read(crl(ca, extensions=[version]), ca).info.own_key_only
    assert not read(crl(ca), ca).info.own_key_only


@pytest.mark.parametrize(
    "options",
    [
        {"number": 2**150, "base_number": 3},
        {"number": None},
    ],
)
def test_json(ca: ThrowawayCA, options: dict[str, Any]) -> None:
    """What is remembered goes through JSON and comes back whole."""
    info = read(ca.crl([5], **options), ca).info
    assert CRLInfo.from_json(json.loads(json.dumps(info.to_json()))) == info
    rich = c.issuing_distribution_point(
        c.full_name(c.uri("http://x")), tlv(0x82, b"\xff"), tlv(0x83, b"\x06\x40")
    )
    info = read(crl(ca, extensions=[rich], next_update=b""), ca).info
    assert CRLInfo.from_json(json.loads(json.dumps(info.to_json()))) == info


# --- whatever comes ---------------------------------------------------------------


@pytest.fixture(scope="module")
def seeds(ca: ThrowawayCA) -> list[bytes]:
    """CRLs with every field."""
    point = c.issuing_distribution_point(
        c.full_name(c.directory_name(w.common_name("x")), c.uri("http://x")),
        tlv(0x81, b"\xff"),
        tlv(0x83, b"\x06\x40"),
    )
    identifier = extension(c.AUTHORITY_KEY_IDENTIFIER, tlv(0x30, tlv(0x80, b"k")))
    return [
        crl(
            ca,
            entries=[entry(5), entry(6, c.reason(1)), entry(2**150)],
            extensions=[c.number(7), c.delta_indicator(6), point],
        ),
        crl(ca, entries=[entry(5)], extensions=[identifier]),
        crl(ca, signature_algorithm=pss_algorithm(DIGEST, MASK)),
        ca.crl([5, 6]),
    ]


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_changed_crls(seeds: list[bytes], ca: ThrowawayCA, data: st.DataObject) -> None:
    """Whatever is changed, a CRL is read or refused with a message."""
    changed = bytearray(data.draw(st.sampled_from(seeds)))
    for _ in range(data.draw(st.integers(1, 4))):
        offset = data.draw(st.integers(0, len(changed) - 1))
        kind = data.draw(st.sampled_from(["set", "cut", "insert"]))
        if kind == "set":
            changed[offset] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del changed[offset : offset + data.draw(st.integers(1, 9))]
        else:
            changed[offset:offset] = data.draw(st.binary(max_size=9))
        if not changed:
            break
    _read_or_refuse(bytes(changed), ca)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Bytes that are not a CRL are refused with a message."""
    with pytest.raises(RevocationListError):
        read_crl(data, [], at=NOW)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_changed_and_signed(ca: ThrowawayCA, data: st.DataObject) -> None:
    """Even if the CA itself has signed nonsense."""
    entries = data.draw(
        st.lists(st.binary(max_size=40) | st.just(entry(5)), max_size=4)
    )
    kinds = [c.IDP, c.DELTA, c.CRL_NUMBER, c.AUTHORITY_KEY_IDENTIFIER]
    extensions = [
        extension(kind, data.draw(st.binary(max_size=30)), critical=False)
        for kind in data.draw(st.lists(st.sampled_from(kinds), max_size=3))
    ]
    _read_or_refuse(crl(ca, entries=entries, extensions=extensions), ca)


def _read_or_refuse(data: bytes, ca: ThrowawayCA) -> None:
    refusal = None
    try:
        parsed = read(data, ca)
        list(parsed.entries())
    except RevocationListError as error:
        refusal = error
    if refusal is not None:
        assert str(refusal).isprintable()
        assert str(refusal).endswith(".")
        return
    assert CRLInfo.from_json(parsed.info.to_json()) == parsed.info
    assert str(parsed.info.scope).isprintable()
