"""What CRLs say about certificates and paths (THREATS N49, N51-N53)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from django_clientcert.exceptions import CertificateParseError, Reason, Refusal
from django_clientcert.testing import (
    IssuedCertificate,
    ThrowawayCA,
    make_key,
    make_name,
)
from django_clientcert.x509 import der
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl.reading import CRLInfo, ParsedCRL, read_crl
from django_clientcert.x509.crl.reasons import RevocationReason
from django_clientcert.x509.crl.status import (
    Outcome,
    RevocationPolicy,
    Status,
    check_path,
    collect_hits,
    lookups,
    status,
)
from django_clientcert.x509.crl.structure import Entry
from django_clientcert.x509.paths import Path, PathValidator, may_sign_crls
from tests import crl_writer as c
from tests import der_writer as w
from tests.der_writer import attribute, extension, tlv

UTC = dt.timezone.utc
NOW = dt.datetime.now(UTC).replace(microsecond=0)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
R = x509.ReasonFlags
HOLD, COMPROMISE = R.certificate_hold, R.key_compromise
GOOD, REVOKED, UNKNOWN = Outcome.GOOD, Outcome.REVOKED, Outcome.UNKNOWN
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def of(issued: Any) -> ClientCertificate:
    """Return a certificate as the package has it."""
    return ClientCertificate(issued.der)


def read(ca: Any, *data: bytes, at: dt.datetime = NOW) -> list[ParsedCRL]:
    """Read CRLs of one CA."""
    return [read_crl(one, [of(ca)], at=at) for one in data]


def infos(crls: Sequence[ParsedCRL]) -> list[CRLInfo]:
    """Return what is stored about CRLs."""
    return [one.info for one in crls]


def hits(crls: Sequence[ParsedCRL]) -> dict[tuple[str, int], Entry]:
    """Return every entry of CRLs, as if all had been looked up."""
    return collect_hits(
        (one.info.fingerprint, entry) for one in crls for entry in one.entries()
    )


def ask(
    issued: Any,
    ca: Any,
    crls: Sequence[ParsedCRL],
    *,
    at: dt.datetime = NOW,
    **options: Any,
) -> Status:
    """Return the status of a certificate of *ca*."""
    return status(of(issued), of(ca), infos(crls), hits(crls), at=at, **options)


@pytest.fixture(scope="module")
def ca() -> ThrowawayCA:
    """A root CA."""
    return ThrowawayCA.create("List CA")


@pytest.fixture(scope="module")
def alice(ca: ThrowawayCA) -> IssuedCertificate:
    """A certificate with the serial number 7."""
    return ca.issue("alice", serial=7)


# --- one certificate --------------------------------------------------------------


def test_good(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """Not on a CRL that is current and covers everything."""
    begin = NOW - HOUR
    crls = read(ca, ca.crl([8], this_update=begin, next_update=begin + DAY))
    found = ask(alice, ca, crls)
    assert found.outcome is GOOD
    assert found.fresh_until == begin + DAY
    assert found.reason is None
    assert str(found.outcome) == "good"
    until = (begin + DAY).strftime("%Y-%m-%d %H:%M")
    assert found.detail == (
        f"not revoked, according to CRLs that are current until {until} UTC"
    )


def test_revoked(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """Reason and date are those of the entry."""
    begin = NOW - DAY
    crls = read(ca, ca.crl({7: COMPROMISE}, number=3, this_update=begin))
    found = ask(alice, ca, crls)
    assert found.outcome is REVOKED
    assert found.reason is RevocationReason.KEY_COMPROMISE
    assert found.revoked_at == begin
    assert found.detail == (
        f"revoked since {begin:%Y-%m-%d} (keyCompromise), according to CRL number 3 of "
        "“CN=List CA”"
    )


def test_an_entry_that_says_little(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """An entry from a table may have neither reason nor date."""
    (one,) = read(ca, ca.crl())
    found = status(
        of(alice), of(ca), [one.info], {(one.info.fingerprint, 7): Entry(7)}, at=NOW
    )
    assert found.outcome is REVOKED
    assert found.detail == "revoked, according to CRL number 1 of “CN=List CA”"


def test_n49_the_twin_of_a_revoked_certificate(
    ca: ThrowawayCA, alice: IssuedCertificate
) -> None:
    """The same content with the other signature is revoked all the same."""
    twin = make_twin(of(alice))
    assert twin.fingerprint != of(alice).fingerprint
    validator = PathValidator([of(ca)])
    assert validator.validate(twin, NOW)
    crls = read(ca, ca.crl([alice]))
    for one in (of(alice), twin):
        found = status(one, of(ca), infos(crls), hits(crls), at=NOW)
        assert found.outcome is REVOKED


def make_twin(certificate: ClientCertificate) -> ClientCertificate:
    """Return the certificate with its ECDSA signature (r, s) made (r, n - s)."""
    tbs, algorithm, signature = der.children(certificate.der)
    r, s = decode_dss_signature(signature.content[1:])
    other = encode_dss_signature(r, P256_ORDER - s)
    return ClientCertificate(
        tlv(0x30, tbs.encoded, algorithm.encoded, tlv(0x03, b"\0", other))
    )


def test_n51_a_serial_number_is_one_issuers(
    ca: ThrowawayCA, alice: IssuedCertificate
) -> None:
    """Serial number 7 of another CA is irrelevant, even if the name is the same."""
    twin = ThrowawayCA.create("List CA")
    other = ThrowawayCA.create("Other CA")
    mine = read(ca, ca.crl([8]))
    theirs = [*read(twin, twin.crl([7])), *read(other, other.crl([7]))]
    assert ask(alice, ca, [*theirs, *mine]).outcome is GOOD
    found = ask(alice, ca, theirs)
    assert found.outcome is UNKNOWN
    assert "are signed with another key" in found.detail
    assert "no CRL of “CN=List CA” is loaded" in ask(alice, ca, []).detail


def test_n52_a_stale_crl(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """It no longer clears the certificates that it omits; both ends are inclusive."""
    begin = NOW - DAY
    crls = read(ca, ca.crl([8], this_update=begin, next_update=begin + DAY))
    assert ask(alice, ca, crls, at=begin + DAY).outcome is GOOD
    found = ask(alice, ca, crls, at=begin + DAY + dt.timedelta(seconds=1))
    assert found.outcome is UNKNOWN
    since = (begin + DAY).strftime("%Y-%m-%d %H:%M")
    assert found.detail == (
        f"CRL number 1 has been stale since {since} UTC (CRLs of “CN=List CA”)"
    )


@pytest.mark.parametrize("reason", [None, COMPROMISE, HOLD])
def test_n52_an_entry_in_a_stale_crl(
    ca: ThrowawayCA, alice: IssuedCertificate, reason: R | None
) -> None:
    """Its entries revoke for good, and so does a hold until it is lifted."""
    crls = read(ca, ca.crl({7: reason}))
    assert ask(alice, ca, crls, at=NOW + 300 * DAY).outcome is REVOKED


def test_n52_without_next_update(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """Such a CRL is stale after seven days."""
    crls = read(ca, c.crl(ca, next_update=b"", extensions=[c.number(1)]))
    begin = crls[0].info.this_update
    assert ask(alice, ca, crls, at=begin + 7 * DAY).outcome is GOOD
    assert ask(alice, ca, crls, at=begin + 8 * DAY).outcome is UNKNOWN


def test_before_the_crl(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """Before it begins, a CRL clears nobody, but its entries revoke."""
    crls = read(ca, ca.crl([8], this_update=NOW))
    minutes = dt.timedelta(minutes=5)
    assert ask(alice, ca, crls, at=NOW - minutes).outcome is GOOD
    found = ask(alice, ca, crls, at=NOW - minutes - dt.timedelta(seconds=1))
    assert found.outcome is UNKNOWN
    assert f"is not valid until {NOW:%Y-%m-%d %H:%M} UTC" in found.detail
    revoking = read(ca, ca.crl([7], this_update=NOW))
    assert ask(alice, ca, revoking, at=NOW - HOUR).outcome is REVOKED


def partition(name: str, **options: Any) -> x509.IssuingDistributionPoint:
    """Return the issuing distribution point of a partition."""
    return x509.IssuingDistributionPoint(
        [x509.UniformResourceIdentifier(name)] if name else None,
        None,
        options.get("users", False),
        options.get("cas", False),
        options.get("reasons"),
        False,
        False,
    )


def points(*names: str, reasons: frozenset[R] | None = None) -> Any:
    """Return the extension that names the distribution points of a certificate."""
    return (
        x509.CRLDistributionPoints(
            [
                x509.DistributionPoint(
                    [x509.UniformResourceIdentifier(name)], None, reasons, None
                )
                for name in names
            ]
        ),
        False,
    )


def test_n53_every_crl_is_used(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """It is enough that one of several CRLs has the serial number."""
    crls = read(
        ca,
        ca.crl([8]),
        ca.crl([9], distribution_point=partition("", users=True)),
        ca.crl({7: COMPROMISE}, distribution_point=partition("http://x/2")),
    )
    assert ask(alice, ca, crls[:2]).outcome is GOOD
    assert ask(alice, ca, crls).outcome is REVOKED
    assert ask(alice, ca, crls[::-1]).outcome is REVOKED


def test_the_newest_of_a_scope_counts(
    ca: ThrowawayCA, alice: IssuedCertificate
) -> None:
    """An older CRL of the same scope no longer counts, in either direction."""
    old = ca.crl({7: HOLD}, number=1, this_update=NOW - 2 * DAY)
    new = ca.crl([8], number=2, this_update=NOW - DAY)
    crls = read(ca, old, new)
    assert ask(alice, ca, crls).outcome is GOOD
    assert ask(alice, ca, crls[::-1]).outcome is GOOD
    same_day = read(
        ca,
        ca.crl([8], number=None, this_update=NOW - DAY),
        ca.crl([7], number=3, this_update=NOW - DAY),
    )
    assert ask(alice, ca, same_day).outcome is REVOKED
    assert ask(alice, ca, same_day[::-1]).outcome is REVOKED


# --- scopes -----------------------------------------------------------------------


def test_crls_of_one_kind(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """A CRL for CAs' certificates says nothing about a client's, and vice versa."""
    users = read(ca, ca.crl(distribution_point=partition("", users=True)))
    cas = read(ca, ca.crl(distribution_point=partition("", cas=True)))
    sub = ca.issue_ca("Sub")
    assert ask(alice, ca, users).outcome is GOOD
    assert ask(sub, ca, cas).outcome is GOOD
    found = ask(alice, ca, cas)
    assert found.outcome is UNKNOWN
    assert "do not cover this certificate (certificates of CAs only)" in found.detail
    assert ask(sub, ca, users).outcome is UNKNOWN
    assert ask(sub, ca, [*users, *cas]).outcome is GOOD


def test_partitions(ca: ThrowawayCA) -> None:
    """A partition covers the certificates that name it, and no others."""
    crls = read(ca, ca.crl([9], distribution_point=partition("http://x/1")))
    named = ca.issue("a", extensions=[points("http://x/0", "http://x/1")])
    other = ca.issue("b", extensions=[points("http://x/2")])
    none = ca.issue("c")
    assert ask(named, ca, crls).outcome is GOOD
    for one in (other, none):
        found = ask(one, ca, crls)
        assert found.outcome is UNKNOWN
        assert "(partition http://x/1)" in found.detail
    whole = read(ca, ca.crl([9]))
    assert ask(named, ca, whole).outcome is GOOD
    assert ask(other, ca, whole).outcome is GOOD


def test_a_partition_of_the_issuers_name(
    ca: ThrowawayCA, alice: IssuedCertificate
) -> None:
    """If a certificate names none, that of the issuer's name counts."""
    name = c.directory_name(of(ca).subject_der)
    point = c.issuing_distribution_point(c.full_name(name))
    crls = read(ca, c.crl(ca, extensions=[point]))
    assert ask(alice, ca, crls).outcome is GOOD


def with_points(ca: ThrowawayCA, *raw: bytes) -> ClientCertificate:
    """Return a certificate with raw distribution points."""
    value = extension(c.DISTRIBUTION_POINTS, tlv(0x30, *raw))
    return ClientCertificate(
        w.certificate(ca, extensions=[*w.CLIENT_EXTENSIONS, value])
    )


def test_relative_names(ca: ThrowawayCA) -> None:
    """Names relative to the issuer match those that are whole."""
    part = attribute(w.COMMON_NAME, "P1")
    whole = c.directory_name(w.name(attribute(w.COMMON_NAME, "List CA"), part))
    for listed in (c.relative_name(part), c.full_name(whole)):
        point = c.issuing_distribution_point(listed)
        crls = read(ca, c.crl(ca, extensions=[point]))
        for named in (c.relative_name(part), c.full_name(c.uri("http://x"), whole)):
            certificate = with_points(ca, tlv(0x30, named))
            found = status(certificate, of(ca), infos(crls), {}, at=NOW)
            assert found.outcome is GOOD
        other = c.relative_name(attribute(w.COMMON_NAME, "P2"))
        certificate = with_points(ca, tlv(0x30, other))
        found = status(certificate, of(ca), infos(crls), {}, at=NOW)
        assert found.outcome is UNKNOWN


def test_another_issuer_of_crls(ca: ThrowawayCA) -> None:
    """A distribution point of another issuer needs an indirect CRL."""
    url = c.full_name(c.uri("http://x/1"))
    crls = read(ca, c.crl(ca, extensions=[c.issuing_distribution_point(url)]))
    own, other = (
        tlv(0xA2, c.directory_name(name))
        for name in (of(ca).subject_der, w.common_name("Other"))
    )
    for point, outcome in (
        (tlv(0x30, url), GOOD),
        (tlv(0x30, url, own), GOOD),
        (tlv(0x30, url, other), UNKNOWN),
        (tlv(0x30, own), UNKNOWN),
    ):
        certificate = with_points(ca, point)
        found = status(certificate, of(ca), infos(crls), {}, at=NOW)
        assert found.outcome is outcome


@pytest.mark.parametrize(
    "raw",
    [
        b"\x05\x00",
        tlv(0x30, tlv(0x86, b"x")),
        tlv(0x30, tlv(0xA0)),
        tlv(0x30, tlv(0xA0, tlv(0xA0))),
        tlv(0x30, tlv(0x81)),
        tlv(0x30, tlv(0xA2, b"\x30\x7f")),
    ],
)
def test_distribution_points_that_cannot_be_read(ca: ThrowawayCA, raw: bytes) -> None:
    """They are an error of the certificate if a partition needs them."""
    certificate = with_points(ca, raw)
    whole = read(ca, ca.crl())
    assert status(certificate, of(ca), infos(whole), {}, at=NOW).outcome is GOOD
    crls = read(ca, ca.crl(distribution_point=partition("http://x/1")))
    with pytest.raises(CertificateParseError, match=r"extension 2\.5\.29\.31"):
        status(certificate, of(ca), infos(crls), {}, at=NOW)


COMPROMISES = frozenset({R.key_compromise, R.ca_compromise})
OTHERS = frozenset(
    {
        R.affiliation_changed,
        R.superseded,
        R.cessation_of_operation,
        R.certificate_hold,
        R.privilege_withdrawn,
        R.aa_compromise,
    }
)


def test_all_reasons_are_covered(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """CRLs for some reasons must together cover them all."""
    some, rest = read(
        ca,
        ca.crl(distribution_point=partition("", reasons=COMPROMISES)),
        ca.crl(distribution_point=partition("", reasons=OTHERS)),
    )
    found = ask(alice, ca, [some])
    assert found.outcome is UNKNOWN
    assert found.detail.endswith("only cover keyCompromise, cACompromise")
    assert ask(alice, ca, [some, rest]).outcome is GOOD
    stale = read(
        ca,
        ca.crl(
            distribution_point=partition("", reasons=OTHERS),
            this_update=NOW - 30 * DAY,
        ),
    )
    found = ask(alice, ca, [some, *stale])
    assert found.outcome is UNKNOWN
    assert "stale" in found.detail


def test_reasons_of_a_distribution_point(ca: ThrowawayCA) -> None:
    """A point may have fewer reasons than the CRL."""
    crls = read(ca, ca.crl(distribution_point=partition("http://x/1")))
    some = ca.issue("a", extensions=[points("http://x/1", reasons=COMPROMISES)])
    assert ask(some, ca, crls).outcome is UNKNOWN
    both = x509.CRLDistributionPoints(
        [
            x509.DistributionPoint(
                [x509.UniformResourceIdentifier("http://x/1")], None, reasons, None
            )
            for reasons in (COMPROMISES, OTHERS)
        ]
    )
    whole = ca.issue("b", extensions=[(both, False)])
    assert ask(whole, ca, crls).outcome is GOOD


# --- delta CRLs -------------------------------------------------------------------


def delta(
    ca: ThrowawayCA,
    number: int,
    base: int,
    revoked: Mapping[int, R | None] | Sequence[int] = (),
    *,
    age: dt.timedelta = HOUR,
    **options: Any,
) -> bytes:
    """Return a delta CRL."""
    return ca.crl(
        revoked, number=number, base_number=base, this_update=NOW - age, **options
    )


def complete(
    ca: ThrowawayCA,
    number: int | None,
    revoked: Mapping[int, R | None] | Sequence[int] = (),
    *,
    age: dt.timedelta = DAY,
    **options: Any,
) -> bytes:
    """Return a complete CRL that is older than the delta CRLs."""
    return ca.crl(revoked, number=number, this_update=NOW - age, **options)


def test_a_delta_crl_adds(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """Its entries revoke."""
    crls = read(ca, complete(ca, 5), delta(ca, 6, 5, {7: COMPROMISE}))
    found = ask(alice, ca, crls)
    assert found.outcome is REVOKED
    assert "according to delta CRL number 6 of" in found.detail
    assert ask(alice, ca, read(ca, complete(ca, 5), delta(ca, 6, 5))).outcome is GOOD


def test_a_delta_crl_lifts_a_hold(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """And nothing but a hold."""
    lifting = delta(ca, 6, 5, {7: R.remove_from_crl})
    assert ask(alice, ca, read(ca, complete(ca, 5), lifting)).outcome is GOOD
    crls = read(ca, complete(ca, 5, {7: HOLD}), lifting)
    assert ask(alice, ca, crls).outcome is GOOD
    for reason in (None, COMPROMISE):
        crls = read(ca, complete(ca, 5, {7: reason}), lifting)
        assert ask(alice, ca, crls).outcome is REVOKED


def test_a_complete_crl_lifts_nothing(
    ca: ThrowawayCA, alice: IssuedCertificate
) -> None:
    """removeFromCRL is meaningless there, so the entry counts."""
    crls = read(ca, complete(ca, 5, {7: R.remove_from_crl}))
    assert ask(alice, ca, crls).outcome is REVOKED


def test_a_stale_delta_crl(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """It still revokes, and lifts nothing."""
    old = {"age": DAY, "next_update": NOW - HOUR}
    base = complete(ca, 5, {8: HOLD}, age=2 * DAY)
    crls = read(ca, base, delta(ca, 6, 5, {7: None, 8: R.remove_from_crl}, **old))
    assert ask(alice, ca, crls).outcome is REVOKED
    bob = ca.issue("bob", serial=8)
    assert ask(bob, ca, crls).outcome is REVOKED
    carol = ca.issue("carol", serial=9)
    assert ask(carol, ca, crls).outcome is GOOD


def test_a_delta_crl_refreshes(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """A complete CRL may be stale if a delta CRL continues it."""
    old = complete(ca, 5, {8: None}, age=30 * DAY)
    assert ask(alice, ca, read(ca, old)).outcome is UNKNOWN
    crls = read(ca, old, delta(ca, 9, 5))
    found = ask(alice, ca, crls)
    assert found.outcome is GOOD
    assert found.fresh_until == NOW - HOUR + 7 * DAY
    bob = ask(ca.issue("bob", serial=8), ca, crls)
    assert bob.outcome is REVOKED
    assert "according to CRL number 5 of" in bob.detail
    last = found.fresh_until
    assert ask(alice, ca, crls, at=last).outcome is GOOD
    after = last + dt.timedelta(seconds=1)
    assert ask(alice, ca, crls, at=after).outcome is UNKNOWN


def test_a_gap(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """A delta CRL that builds on another number refreshes nothing, as it says."""
    old = complete(ca, 5, age=30 * DAY)
    crls = read(ca, old, delta(ca, 9, 6))
    found = ask(alice, ca, crls)
    assert found.outcome is UNKNOWN
    assert "CRL number 5 has been stale since" in found.detail
    assert "delta CRL number 9 builds on number 6, which is missing" in found.detail
    later = ask(alice, ca, crls, at=NOW + 8 * DAY)
    assert "missing" not in later.detail
    # It still revokes; and if the complete CRL is current, that is enough.
    crls = read(ca, old, delta(ca, 9, 6, [7]))
    assert ask(alice, ca, crls).outcome is REVOKED
    assert ask(alice, ca, read(ca, complete(ca, 5), delta(ca, 9, 6))).outcome is GOOD


def test_a_hold_over_a_gap(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """It is not lifted, because nobody knows what happened in between."""
    crls = read(ca, complete(ca, 5, {7: HOLD}), delta(ca, 9, 6, {7: R.remove_from_crl}))
    assert ask(alice, ca, crls).outcome is REVOKED


def test_several_delta_crls(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """They are sorted by number, and each continues the one before it."""
    old = {"next_update": NOW - 3 * HOUR}
    base = complete(ca, 5, {7: HOLD}, age=30 * DAY)
    first = delta(ca, 6, 5, {7: R.remove_from_crl}, age=9 * HOUR, **old)
    second = delta(ca, 7, 6, {8: None}, age=2 * HOUR)
    crls = read(ca, base, second, first)
    # The first is stale, and the second includes it.
    assert ask(alice, ca, crls).outcome is GOOD
    assert ask(ca.issue("bob", serial=8), ca, crls).outcome is REVOKED
    assert ask(alice, ca, read(ca, base, first)).outcome is REVOKED
    again = delta(ca, 8, 7, {7: HOLD})
    assert ask(alice, ca, read(ca, base, second, first, again)).outcome is REVOKED


def test_a_delta_crl_that_is_overtaken(
    ca: ThrowawayCA, alice: IssuedCertificate
) -> None:
    """A complete CRL with a higher number includes it."""
    crls = read(ca, delta(ca, 6, 5, {7: HOLD}, age=2 * DAY), complete(ca, 7))
    assert ask(alice, ca, crls).outcome is GOOD
    # Of the same number both speak of the same moment, so one of them is wrong.
    crls = read(ca, delta(ca, 7, 5, {7: HOLD}, age=2 * DAY), complete(ca, 7))
    assert ask(alice, ca, crls).outcome is REVOKED
    lifting = delta(ca, 7, 5, {7: R.remove_from_crl})
    crls = read(ca, complete(ca, 7, {7: HOLD}), lifting)
    assert ask(alice, ca, crls).outcome is REVOKED


def test_a_delta_crl_alone(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """It revokes, and clears nobody; N52."""
    crls = read(ca, delta(ca, 6, 5), delta(ca, 7, 5))
    found = ask(alice, ca, crls)
    assert found.outcome is UNKNOWN
    assert "without the complete CRL" in found.detail
    assert "(number 5 or later)" in found.detail
    assert ask(alice, ca, read(ca, delta(ca, 6, 5, [7]))).outcome is REVOKED


def test_a_complete_crl_without_a_number(
    ca: ThrowawayCA, alice: IssuedCertificate
) -> None:
    """No delta CRL can build on it, but the entries of a delta CRL revoke."""
    base = complete(ca, None, {7: HOLD})
    crls = read(ca, base, delta(ca, 6, 5, {7: R.remove_from_crl}))
    assert ask(alice, ca, crls).outcome is REVOKED
    crls = read(ca, complete(ca, None), delta(ca, 6, 5, [7]))
    assert ask(alice, ca, crls).outcome is REVOKED


def test_delta_crls_of_another_scope(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """They do not build on this one."""
    users = {"distribution_point": partition("", users=True)}
    crls = read(
        ca,
        complete(ca, 5, {7: HOLD}),
        delta(ca, 6, 5, {7: R.remove_from_crl}, **users),
    )
    assert ask(alice, ca, crls).outcome is REVOKED


def test_a_delta_crl_from_the_future(ca: ThrowawayCA, alice: IssuedCertificate) -> None:
    """It lifts nothing before it begins."""
    crls = read(ca, complete(ca, 5, {7: HOLD}), delta(ca, 6, 5, {7: R.remove_from_crl}))
    assert ask(alice, ca, crls).outcome is GOOD
    assert ask(alice, ca, crls, at=NOW - 2 * HOUR).outcome is REVOKED


@pytest.mark.parametrize("order", [1, -1])
def test_a_serial_number_twice(
    ca: ThrowawayCA, alice: IssuedCertificate, order: int
) -> None:
    """What revokes counts, in whatever order."""
    entries = [c.entry(7, c.reason(8)), c.entry(7, c.reason(1))][::order]
    data = c.crl(ca, entries=entries, extensions=[c.number(6), c.delta_indicator(5)])
    crls = read(ca, complete(ca, 5), data)
    found = ask(alice, ca, crls)
    assert found.outcome is REVOKED
    assert found.reason is RevocationReason.KEY_COMPROMISE


# --- the whole path ---------------------------------------------------------------


class Pki:
    """A root, an issuing CA, a client, and the loaded CRLs."""

    def __init__(self, *others: Any) -> None:
        self.root = ThrowawayCA.create("Root")
        self.sub = self.root.issue_ca("Sub")
        self.leaf = self.sub.issue("alice", serial=7)
        self.crls: list[ParsedCRL] = []
        self.trust(*others)

    def trust(self, *others: Any) -> None:
        """Add certificates to the bundle."""
        self.bundle = [of(self.sub), *map(of, others)]
        self.validator = PathValidator([of(self.root)], self.bundle)

    def load(self, *data: bytes) -> None:
        """Import CRLs."""
        issuers = [of(self.root), *self.bundle]
        self.crls += [
            read_crl(one, issuers, at=NOW, signers=self.validator) for one in data
        ]

    def path(self, leaf: Any = None) -> Path:
        """Return the path of a certificate."""
        return self.validator.validate(of(leaf or self.leaf), NOW)

    def check(
        self,
        policy: str = "required",
        at: dt.datetime = NOW,
        leaf: Any = None,
        signers: bool = True,
    ) -> tuple[Status, ...]:
        """Check the path, with the entries that are asked for and no others."""
        path, loaded = self.path(leaf), infos(self.crls)
        using = self.validator if signers else None
        asked = lookups(path, loaded, at=at, signers=using)
        every = hits(self.crls)
        return check_path(
            path,
            loaded,
            {key: every[key] for key in asked if key in every},
            at=at,
            policy=RevocationPolicy(policy),
            signers=using,
        )

    def refused(self, reason: Reason, **options: Any) -> str:
        """Check that the path is refused; return the detail."""
        with pytest.raises(Refusal) as raised:
            self.check(**options)
        assert raised.value.reason is reason
        return raised.value.detail


@pytest.fixture
def pki() -> Pki:
    """A path of three certificates."""
    return Pki()


def test_every_certificate_of_the_path(pki: Pki) -> None:
    """All but the anchor need a CRL if the policy requires one."""
    assert "“CN=alice”: no CRL of “CN=Sub”" in pki.refused(Reason.REVOCATION_UNKNOWN)
    pki.load(pki.sub.crl())
    assert "“CN=Sub”: no CRL of “CN=Root”" in pki.refused(Reason.REVOCATION_UNKNOWN)
    pki.load(pki.root.crl())
    assert [one.outcome for one in pki.check()] == [GOOD, GOOD]


def test_a_revoked_intermediate(pki: Pki) -> None:
    """It revokes all below it, and is reported before what is unknown."""
    pki.load(pki.root.crl([pki.sub]))
    for policy in ("required", "if_loaded"):
        detail = pki.refused(Reason.REVOKED, policy=policy)
        assert detail.startswith("“CN=Sub”: revoked since ")
    assert pki.check("off") == ()


def test_a_revoked_anchor(pki: Pki) -> None:
    """An anchor is trusted by configuration, so no CRL covers it."""
    pki.load(pki.root.crl([pki.root]), pki.sub.crl())
    assert len(pki.check()) == 2


def test_the_policies(pki: Pki) -> None:
    """An unknown status passes unless a CRL is required; a revoked one never does."""
    assert [one.outcome for one in pki.check("if_loaded")] == [UNKNOWN, UNKNOWN]
    pki.load(pki.root.crl(), pki.sub.crl([pki.leaf]))
    for policy in ("required", "if_loaded"):
        assert "“CN=alice”: revoked" in pki.refused(Reason.REVOKED, policy=policy)
        pki.refused(Reason.REVOKED, policy=policy, at=NOW + 99 * DAY)
    other = pki.sub.issue("bob")
    assert [one.outcome for one in pki.check(leaf=other)] == [GOOD, GOOD]
    assert "stale" in pki.refused(
        Reason.REVOCATION_UNKNOWN, leaf=other, at=NOW + 99 * DAY
    )
    assert pki.check("if_loaded", leaf=other, at=NOW + 99 * DAY)
    assert str(RevocationPolicy.REQUIRED) == "required"


def test_names_in_details_are_escaped(pki: Pki) -> None:
    """A subject cannot break the line, and an empty one is shown."""
    evil = pki.sub.issue(subject=make_name("a\nb\u202e"))
    assert pki.refused(Reason.REVOCATION_UNKNOWN, leaf=evil).isprintable()
    nobody = pki.sub.issue(subject=x509.Name([]), dns=["a.example"])
    assert pki.refused(Reason.REVOCATION_UNKNOWN, leaf=nobody).startswith("“”: ")


def test_a_subject_that_cannot_be_read(ca: ThrowawayCA) -> None:
    """The detail names the fingerprint then."""
    certificate = ClientCertificate(w.certificate(ca, subject=b"\x05\x00"))
    path = Path((certificate, of(ca)), NOW, NOW)
    with pytest.raises(Refusal, match=certificate.short_fingerprint):
        check_path(path, [], {}, at=NOW, policy=RevocationPolicy.REQUIRED)


def test_what_is_looked_up(pki: Pki) -> None:
    """One serial number for each certificate, in the CRLs of its issuer."""
    pki.load(pki.root.crl([5]), pki.sub.crl([6]), pki.sub.crl([7], base_number=1))
    root, sub, sub_delta = (one.info.fingerprint for one in pki.crls)
    assert lookups(pki.path(), infos(pki.crls), at=NOW) == {
        (sub, 7),
        (sub_delta, 7),
        (root, pki.sub.certificate.serial_number),
    }


# --- CRLs signed with another key -------------------------------------------------


def crl_signer(
    issuer: ThrowawayCA, name: x509.Name, *, key: Any = None, **options: Any
) -> IssuedCertificate:
    """Return a certificate that only signs CRLs, in the name of a CA."""
    usage = x509.KeyUsage(*[False] * 6, True, False, False)
    return issuer.issue(
        subject=name,
        key=key or make_key(),
        eku=None,
        digital_signature=None,
        extensions=[(usage, True)],
        **options,
    )


@pytest.fixture
def separate() -> tuple[Pki, IssuedCertificate]:
    """A CA whose CRLs are signed with a separate key."""
    pki = Pki()
    signer = crl_signer(pki.root, pki.sub.certificate.subject)
    pki.trust(signer)
    return pki, signer


def test_a_separate_key(separate: tuple[Pki, IssuedCertificate]) -> None:
    """Its CRLs count if its certificate leads to the same anchor and is good."""
    pki, signer = separate
    pki.load(pki.root.crl(), pki.sub.crl([8], signer=signer))
    assert [one.outcome for one in pki.check()] == [GOOD, GOOD]
    detail = pki.refused(Reason.REVOCATION_UNKNOWN, signers=False)
    assert "are signed with another key" in detail
    pki.load(pki.sub.crl([7], signer=signer, number=2, this_update=NOW))
    pki.refused(Reason.REVOKED)


def test_a_separate_key_is_looked_up(
    separate: tuple[Pki, IssuedCertificate],
) -> None:
    """The signer's certificate is looked up too."""
    pki, signer = separate
    pki.load(pki.root.crl(), pki.sub.crl(signer=signer))
    asked = lookups(pki.path(), infos(pki.crls), at=NOW, signers=pki.validator)
    root = pki.crls[0].info.fingerprint
    assert (root, signer.certificate.serial_number) in asked
    assert len(asked) == 3


def test_a_revoked_signer(separate: tuple[Pki, IssuedCertificate]) -> None:
    """Its CRLs clear nobody; their entries still revoke."""
    pki, signer = separate
    pki.load(pki.root.crl([signer]), pki.sub.crl([8], signer=signer))
    detail = pki.refused(Reason.REVOCATION_UNKNOWN)
    assert "signed by a key that may be revoked" in detail
    pki.refused(Reason.REVOKED, leaf=pki.sub.issue("bob", serial=8))
    pki.refused(Reason.REVOKED, leaf=pki.sub.issue("bob", serial=8), policy="if_loaded")
    assert [one.outcome for one in pki.check("if_loaded")] == [UNKNOWN, GOOD]


def test_a_signer_of_whom_nothing_is_known(
    separate: tuple[Pki, IssuedCertificate],
) -> None:
    """If CRLs are required, the signer needs one too."""
    pki, signer = separate
    pki.load(pki.sub.crl(signer=signer))
    assert "“CN=alice”" in pki.refused(Reason.REVOCATION_UNKNOWN)
    assert [one.outcome for one in pki.check("if_loaded")] == [GOOD, UNKNOWN]


@pytest.mark.parametrize("name", ["Root", "Other Root"])
def test_a_signer_of_another_pki(name: str) -> None:
    """A CA of the same name below another anchor signs for its own only."""
    pki = Pki()
    other_root = ThrowawayCA.create(name)
    other = other_root.issue_ca("Sub")
    pki.validator = PathValidator(
        [of(pki.root), of(other_root)], [of(pki.sub), of(other)]
    )
    pki.bundle = [of(pki.sub), of(other), of(other_root)]
    pki.load(pki.root.crl(), other_root.crl(), other.crl([7]))
    detail = pki.refused(Reason.REVOCATION_UNKNOWN)
    assert "are signed with another key" in detail


def test_the_same_anchor_twice() -> None:
    """An anchor is a name and a key: its certificate may have been renewed."""
    pki = Pki()
    name = pki.root.certificate.subject
    renewed = ThrowawayCA.create(subject=name, key=pki.root.key)
    signer = crl_signer(pki.root, pki.sub.certificate.subject)
    pki.bundle = [of(pki.sub), of(signer)]
    pki.validator = PathValidator([of(pki.root), of(renewed)], pki.bundle)
    pki.load(pki.root.crl(), pki.sub.crl(signer=signer))
    assert [one.outcome for one in pki.check()] == [GOOD, GOOD]


def test_a_ca_with_a_new_key() -> None:
    """Its CRLs with the new key cover the certificates of the old one."""
    pki = Pki()
    renewed = pki.root.issue_ca("Sub")
    pki.trust(renewed)
    pki.load(pki.root.crl(), renewed.crl([8]))
    assert [one.outcome for one in pki.check()] == [GOOD, GOOD]
    pki.refused(Reason.REVOKED, leaf=pki.sub.issue("bob", serial=8))


def test_a_ca_that_signs_a_crl_with_each_key() -> None:
    """If the old key has its own CRL, the new key's silence proves nothing."""
    pki = Pki()
    renewed = pki.root.issue_ca("Sub")
    pki.trust(renewed)
    stale = pki.sub.crl([8], this_update=NOW - 30 * DAY)
    pki.load(pki.root.crl(), stale, renewed.crl([9]))
    assert "stale" in pki.refused(Reason.REVOCATION_UNKNOWN)
    # The entries of any of them revoke.
    for serial in (8, 9):
        pki.refused(Reason.REVOKED, leaf=pki.sub.issue("bob", serial=serial))


def test_microsofts_ca_with_a_new_key() -> None:
    """Its CRLs say that they are for one key only."""
    pki = Pki()
    renewed = pki.root.issue_ca("Sub")
    pki.trust(renewed)
    version = extension("1.3.6.1.4.1.311.21.1", w.integer(0x10001))
    data = c.crl(renewed, entries=[c.entry(7)], extensions=[c.number(1), version])
    pki.load(pki.root.crl(), data)
    detail = pki.refused(Reason.REVOCATION_UNKNOWN)
    assert "are signed with another key" in detail
    assert pki.check("if_loaded")[0].outcome is UNKNOWN


def test_a_signer_that_vouches_for_itself() -> None:
    """A CRL cannot clear its own signer."""
    pki = Pki()
    # The CA itself has certified the key for its CRLs, and signs all of them with it.
    signer = crl_signer(pki.sub, pki.sub.certificate.subject)
    pki.trust(signer)
    pki.load(pki.root.crl(), pki.sub.crl(signer=signer))
    detail = pki.refused(Reason.REVOCATION_UNKNOWN)
    assert "“CN=alice”" in detail
    assert pki.check("if_loaded")


def test_a_signer_with_its_own_crl() -> None:
    """A partition about the signer, with the CA's own key, clears it (PKITS 4.5.6)."""
    pki = Pki()
    usage = extension(w.KEY_USAGE, bytes.fromhex("03020102"), critical=True)
    url = c.full_name(c.uri("http://x/own"))
    key = make_key()
    signer_der = w.certificate(
        pki.sub,
        subject=of(pki.sub).subject_der,
        key=key,
        serial=w.integer(99),
        extensions=[usage, extension(c.DISTRIBUTION_POINTS, tlv(0x30, tlv(0x30, url)))],
    )
    signer = IssuedCertificate(x509.load_der_x509_certificate(signer_der), key)
    pki.trust(signer)
    pki.load(
        pki.root.crl(),
        pki.sub.crl(signer=signer),
        pki.sub.crl(distribution_point=partition("http://x/own")),
    )
    assert [one.outcome for one in pki.check()] == [GOOD, GOOD]
    pki.load(
        pki.sub.crl(
            [99],
            distribution_point=partition("http://x/own"),
            number=2,
            this_update=NOW,
        ),
    )
    pki.refused(Reason.REVOCATION_UNKNOWN)


def test_signers_of_signers_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that vouch for one another are followed two steps and no further."""
    pki = Pki()
    name = pki.sub.certificate.subject
    keys = [crl_signer(pki.sub, name) for _ in range(4)]
    pki.trust(*keys)
    pki.load(pki.root.crl(), *(pki.sub.crl(signer=one) for one in keys))
    asked: list[bytes] = []
    find = pki.validator.signer_paths

    def counted(subject: bytes, public_key: bytes, at: dt.datetime) -> tuple[Path, ...]:
        asked.append(public_key)
        return find(subject, public_key, at)

    monkeypatch.setattr(pki.validator, "signer_paths", counted)
    with pytest.raises(Refusal):
        check_path(
            pki.path(),
            infos(pki.crls),
            {},
            at=NOW,
            policy=RevocationPolicy.REQUIRED,
            signers=pki.validator,
        )
    assert len(asked) <= 4 + 4 * 3


# --- who may sign: the validator's part -------------------------------------------


def test_signer_paths(pki: Pki) -> None:
    """Certificates of the bundle with that name and key, that lead to an anchor."""
    validator = pki.validator
    root, sub = of(pki.root), of(pki.sub)

    def find(one: ClientCertificate, at: dt.datetime = NOW) -> list[int]:
        paths = validator.signer_paths(one.subject_der, one.public_key_bytes, at)
        return [len(path.certificates) for path in paths]

    assert find(root) == [1]
    assert find(sub) == [2]
    # Once more, from what is remembered
    assert find(sub) == [2]
    assert find(sub, NOW + 9999 * DAY) == []
    assert find(root, NOW + 9999 * DAY) == []
    assert find(of(ThrowawayCA.create("Sub"))) == []
    assert find(of(ThrowawayCA.create("Stranger"))) == []


def test_signers_below_no_anchor_or_without_the_right() -> None:
    """A certificate in the bundle is not trusted for being there."""
    pki = Pki()
    stranger = ThrowawayCA.create("Elsewhere").issue_ca("Sub")
    name = make_name("Sub")
    client = pki.root.issue(subject=name)
    odd = w.certificate(
        pki.root,
        subject=of(pki.sub).subject_der,
        extensions=[extension("1.2.3.4", b"\x05\x00", critical=True)],
    )
    broken = w.certificate(
        pki.root,
        subject=of(pki.sub).subject_der,
        extensions=[extension(w.KEY_USAGE, b"\x05\x00")],
    )
    bundle = [
        of(pki.sub),
        of(stranger),
        of(client),
        ClientCertificate(odd),
        ClientCertificate(broken),
    ]
    validator = PathValidator([of(pki.root)], bundle)
    for one, count in zip(bundle, (1, 0, 0, 0, 0), strict=True):
        paths = validator.signer_paths(one.subject_der, one.public_key_bytes, NOW)
        assert len(paths) == count


def test_who_may_sign_crls(ca: ThrowawayCA) -> None:
    """keyUsage must include cRLSign if it is present."""
    assert may_sign_crls(of(ca))
    assert not may_sign_crls(of(ca.issue("client")))
    assert may_sign_crls(of(ca.issue("client", digital_signature=None)))
