"""Path validation and purpose: what leads to an anchor, and what must not."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
import time
import timeit
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_clientcert.exceptions import (
    BundleError,
    CertificateParseError,
    PathError,
    Reason,
    Refusal,
)
from django_clientcert.testing import (
    SERVER_AUTH,
    IssuedCertificate,
    ThrowawayCA,
    make_key,
    make_name,
    self_signed,
)
from django_clientcert.x509 import paths as verification
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.paths import (
    MAX_CANDIDATES,
    MAX_INTERMEDIATES,
    MAX_PRESENTED,
    PRIVATE,
    PROFILES,
    STRICT,
    Path,
    PathValidator,
    Profile,
    check_end_entity,
    check_usage,
    check_validity,
)
from tests import der_writer as w
from tests.der_writer import common_name, extension, tlv

from .test_certificates import HOSTILE

NOW = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
SECOND, DAY = dt.timedelta(seconds=1), dt.timedelta(days=1)
ANY_USAGE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE

Source = IssuedCertificate | ClientCertificate | bytes


def read(source: Source) -> ClientCertificate:
    """Return what the package makes of a certificate."""
    if isinstance(source, ClientCertificate):
        return source
    return ClientCertificate(source if isinstance(source, bytes) else source.der)


def validator(
    anchors: Sequence[Source],
    intermediates: Sequence[Source] = (),
    profile: Profile = PRIVATE,
    **options: Any,
) -> PathValidator:
    """Return a validator."""
    return PathValidator(
        [read(one) for one in anchors],
        [read(one) for one in intermediates],
        profile,
        **options,
    )


def refusal(run: Callable[[], object]) -> Refusal:
    """Return the refusal that *run* ends with."""
    with pytest.raises(Refusal) as error:
        run()
    return error.value


def reasons(
    leaf: Source, anchors: Sequence[Source], intermediates: Sequence[Source] = ()
) -> tuple[str | int, str | int]:
    """Return what validate() and find_issuer() say: the path's length or a reason."""
    answers: list[str | int] = []
    for method in ("validate", "find_issuer"):
        built = validator(anchors, intermediates)
        try:
            path = getattr(built, method)(read(leaf), NOW)
        except Refusal as refused:
            answers.append(str(refused.reason))
        else:
            answers.append(len(path.certificates))
    return answers[0], answers[1]


def critical(oid: str, value: bytes = b"\5\0") -> tuple[x509.ExtensionType, bool]:
    """Return a critical extension that nobody knows."""
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), True


def with_key(ca: IssuedCertificate, key: Any) -> IssuedCertificate:
    """Return *ca* with another key, for the writer to sign with."""
    return dataclasses.replace(ca, key=key)


UNTRUSTED, INVALID = "untrusted_issuer", "invalid_path"


# --- dates ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (NOW - DAY - SECOND, Reason.NOT_YET_VALID),
        (NOW - DAY, None),
        (NOW, None),
        (NOW + DAY, None),
        (NOW + DAY + SECOND, Reason.EXPIRED),
        (NOW + DAY + dt.timedelta(microseconds=1), Reason.EXPIRED),
    ],
    ids=["a second early", "first", "now", "last", "a second late", "just late"],
)
@pytest.mark.parametrize("method", ["check_validity", "validate", "find_issuer"])
def test_n46_both_ends_count(
    method: str, at: dt.datetime, reason: Reason | None, ca: ThrowawayCA
) -> None:
    """N46: RFC 5280, 4.1.2.5: valid from the first second through the last."""
    root = ThrowawayCA.create(not_before=NOW - 9 * DAY, not_after=NOW + 9 * DAY)
    leaf = read(root.issue(not_before=NOW - DAY, not_after=NOW + DAY))

    def run() -> object:
        if method == "check_validity":
            return check_validity(leaf, at)
        return getattr(validator([root]), method)(leaf, at)

    if reason is None:
        run()
    else:
        assert refusal(run).reason is reason


def test_dates_that_cannot_be_read(ca: ThrowawayCA) -> None:
    """Unreadable dates are an error."""
    leaf = w.certificate(ca, validity=tlv(w.SEQUENCE))
    with pytest.raises(CertificateParseError):
        check_validity(read(leaf), NOW)


# --- purpose ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "pin", "path"),
    [
        pytest.param({}, True, True, id="clientAuth"),
        pytest.param({"eku": None}, True, True, id="no extendedKeyUsage"),
        pytest.param({"eku": [SERVER_AUTH]}, False, False, id="n47 serverAuth"),
        pytest.param({"eku": [ANY_USAGE]}, True, False, id="any"),
        pytest.param(
            {"eku": [SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]},
            True,
            True,
            id="both",
        ),
        pytest.param({"digital_signature": None}, True, True, id="no keyUsage"),
        pytest.param(
            {"digital_signature": False}, False, False, id="n47 no digitalSignature"
        ),
        pytest.param({"ca": True}, True, False, id="n47 a CA's"),
    ],
)
def test_n47_purpose(
    options: dict[str, Any], pin: bool, path: bool, ca: ThrowawayCA
) -> None:
    """N47: what a certificate says it is not for, it is not for, pinned or not."""
    leaf = read(ca.issue(**options))
    if pin:
        check_usage(leaf)
    else:
        assert refusal(lambda: check_usage(leaf)).reason is Reason.WRONG_PURPOSE
    for method in ("validate", "find_issuer"):
        built = validator([ca])
        if path:
            getattr(built, method)(leaf, NOW)
        else:
            refused = refusal(lambda m=method, b=built: getattr(b, m)(leaf, NOW))
            assert refused.reason is Reason.WRONG_PURPOSE


def test_key_agreement_is_a_client_s_usage(ca: ThrowawayCA) -> None:
    """Static ECDH clients do not sign (RFC 8422 still knows them)."""
    usage = extension(w.KEY_USAGE, bytes.fromhex("03020308"))
    leaf = read(w.certificate(ca, extensions=[*w.CLIENT_EXTENSIONS, usage]))
    check_usage(leaf)


def test_a_leaf_that_may_sign_certificates(ca: ThrowawayCA) -> None:
    """keyCertSign without CA:TRUE does not make a client's certificate either."""
    usage = extension(w.KEY_USAGE, bytes.fromhex("03020284"))
    leaf = read(w.certificate(ca, extensions=[*w.CLIENT_EXTENSIONS, usage]))
    refused = refusal(lambda: check_end_entity(leaf, PRIVATE))
    assert refused.reason is Reason.WRONG_PURPOSE
    assert "signing certificates" in refused.detail


@pytest.mark.parametrize("kind", [w.KEY_USAGE, w.EXTENDED_KEY_USAGE])
def test_n26_usages_that_cannot_be_read(kind: str, ca: ThrowawayCA) -> None:
    """N26: an unreadable usage is not no usage."""
    leaf = read(w.certificate(ca, extensions=[extension(kind, b"\5\0")]))
    with pytest.raises(CertificateParseError):
        check_usage(leaf)


def test_another_purpose(ca: ThrowawayCA) -> None:
    """The purpose is what was asked for, for the leaf and for the CAs above it."""
    purpose = ExtendedKeyUsageOID.SERVER_AUTH.dotted_string
    server = ca.issue_ca(extensions=[(x509.ExtendedKeyUsage([SERVER_AUTH]), False)])
    built = validator([ca], [server], purpose=purpose)
    assert built.validate(read(server.issue(eku=[SERVER_AUTH])), NOW)
    refused = refusal(lambda: built.validate(read(server.issue()), NOW))
    assert refused.reason is Reason.WRONG_PURPOSE


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({"eku": None}, "extendedKeyUsage is missing"),
        ({"digital_signature": None}, "keyUsage is missing"),
    ],
    ids=["no extendedKeyUsage", "no keyUsage"],
)
def test_strict_wants_usages(
    options: dict[str, Any], detail: str, ca: ThrowawayCA
) -> None:
    """The strict profile takes nothing for granted."""
    leaf = read(ca.issue(emails=["a@example.com"], **options))
    built = validator([ca], profile=STRICT)
    refused = refusal(lambda: built.validate(leaf, NOW))
    assert (refused.reason, refused.detail) == (Reason.WRONG_PURPOSE, detail)


# --- the leaf's key ---------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize(
    ("make", "good"),
    [
        pytest.param(
            lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505
            False,
            id="RSA-1024",
        ),
        pytest.param(lambda: make_key("rsa2048"), True, id="RSA-2048"),
        pytest.param(lambda: make_key("p256"), True, id="P-256"),
        pytest.param(lambda: make_key("p384"), True, id="P-384"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP521R1()), True, id="P-521"),
        pytest.param(
            lambda: ec.generate_private_key(ec.SECP256K1()), False, id="secp256k1"
        ),
        pytest.param(lambda: make_key("ed25519"), True, id="Ed25519"),
    ],
)
def test_the_leaf_s_key(
    make: Callable[[], Any], good: bool, profile: Profile, ca: ThrowawayCA
) -> None:
    """PATHS 7: the verifier does not look at it, so it is looked at here."""
    leaf = read(ca.issue(key=make(), emails=["a@example.com"]))
    for method in ("validate", "find_issuer"):
        run = getattr(validator([ca], profile=profile), method)
        if good:
            assert len(run(leaf, NOW).certificates) == 2
        else:
            assert refusal(lambda r=run: r(leaf, NOW)).reason is Reason.INVALID_PATH


@pytest.mark.parametrize(
    "curve", [ec.BrainpoolP256R1, ec.BrainpoolP384R1, ec.BrainpoolP512R1]
)
def test_p09_brainpool_where_the_proxy_verifies(
    curve: Callable[[], ec.EllipticCurve], ca: ThrowawayCA
) -> None:
    """RFC 8734; the verifier here does not support it. Strict means Web PKI."""
    leaf = read(ca.issue(key=ec.generate_private_key(curve())))
    private = validator([ca], profile=PRIVATE)
    assert len(private.find_issuer(leaf, NOW).certificates) == 2
    strict = validator([ca], profile=STRICT)
    for step in (private.validate, strict.validate, strict.find_issuer):
        assert refusal(lambda r=step: r(leaf, NOW)).reason in {
            Reason.INVALID_PATH,
            Reason.WRONG_PURPOSE,
        }


def test_a_key_that_cannot_be_read(ca: ThrowawayCA) -> None:
    """Nothing is known about it, so it is refused."""
    leaf = read(w.certificate(ca, **HOSTILE["key of an unknown algorithm"]))
    with pytest.raises(CertificateParseError):
        check_end_entity(leaf, PRIVATE)


# --- paths ------------------------------------------------------------------------


def test_no_anchor_is_never_any_anchor(ca: ThrowawayCA) -> None:
    """N56: intermediates alone are not trusted."""
    with pytest.raises(BundleError):
        validator([], [ca])


def test_an_anchor_that_cannot_be_read() -> None:
    """Building the validator raises."""
    for anchors, intermediates in (([b"x"], []), ([self_signed()], [b"x"])):
        with pytest.raises(CertificateParseError):
            validator(anchors, intermediates)


@pytest.mark.parametrize("depth", range(MAX_INTERMEDIATES + 2))
def test_depth(depth: int, ca: ThrowawayCA) -> None:
    """Four intermediates are followed, and no more, wherever they come from."""
    cas = [ca]
    for number in range(depth):
        cas.append(cas[-1].issue_ca(f"CA {number}"))
    expected = depth + 2 if depth <= MAX_INTERMEDIATES else None
    leaf = read(cas[-1].issue())
    for run in (
        lambda: validator([ca], cas[1:]).validate(leaf, NOW),
        lambda: validator([ca], cas[:0:-1]).validate(leaf, NOW),
        lambda: validator([ca]).validate(leaf, NOW, [read(one) for one in cas[1:]]),
        lambda: validator([ca], cas[1:]).find_issuer(leaf, NOW),
    ):
        if expected is None:
            assert refusal(run).reason in (Reason.INVALID_PATH, Reason.UNTRUSTED_ISSUER)
        else:
            path = run()
            assert path.certificates == (
                leaf,
                *(read(one) for one in reversed(cas)),
            )


def test_max_intermediates_is_an_option(ca: ThrowawayCA) -> None:
    """Also none at all."""
    issuing = ca.issue_ca()
    assert validator([ca], [issuing], max_intermediates=1).validate(
        read(issuing.issue()), NOW
    )
    none = validator([ca], [issuing], max_intermediates=0)
    assert none.validate(read(ca.issue()), NOW)
    refused = refusal(lambda: none.validate(read(issuing.issue()), NOW))
    assert refused.reason is Reason.INVALID_PATH


def test_an_intermediate_is_missing(ca: ThrowawayCA) -> None:
    """The reason tells an operator that nothing in the bundle signed it."""
    issuing = ca.issue_ca()
    assert reasons(issuing.issue(), [ca]) == (UNTRUSTED, UNTRUSTED)
    refused = refusal(lambda: validator([ca]).find_issuer(read(issuing.issue()), NOW))
    assert "missing from the bundle" in refused.detail


def test_an_intermediate_may_be_an_anchor(ca: ThrowawayCA) -> None:
    """A bundle without its root trusts what it has."""
    issuing = ca.issue_ca()
    assert reasons(issuing.issue(), [issuing]) == (2, 2)
    assert reasons(ca.issue(), [issuing]) == (UNTRUSTED, UNTRUSTED)


def test_what_is_presented_is_used_and_not_trusted(ca: ThrowawayCA) -> None:
    """Intermediates may come from the client; anchors never do."""
    issuing = ca.issue_ca()
    leaf = read(issuing.issue())
    assert validator([ca]).validate(leaf, NOW, [read(issuing)])
    stranger = ThrowawayCA.create("Stranger")
    lower = stranger.issue_ca("Lower")
    presented = [read(lower), read(stranger)]
    refusal(lambda: validator([ca]).validate(read(lower.issue()), NOW, presented))


def test_n12_a_few_presented_certificates_count(ca: ThrowawayCA) -> None:
    """N12: those after the eighth are ignored."""
    issuing = ca.issue_ca()
    leaf, stranger = read(issuing.issue()), read(self_signed())
    last = [stranger] * (MAX_PRESENTED - 1) + [read(issuing)]
    assert validator([ca]).validate(leaf, NOW, last)
    refused = refusal(lambda: validator([ca]).validate(leaf, NOW, [stranger, *last]))
    assert refused.reason is Reason.UNTRUSTED_ISSUER


def test_n33_an_anchor_is_its_key(ca: ThrowawayCA, other_ca: ThrowawayCA) -> None:
    """N33: another CA of the same name is another CA, with and without an AKI."""
    assert ca.certificate.subject == other_ca.certificate.subject
    for leaf in (other_ca.issue("alice"), w.certificate(other_ca)):
        assert reasons(leaf, [ca]) == (UNTRUSTED, UNTRUSTED)
        assert reasons(leaf, [other_ca]) == (2, 2)
        assert reasons(leaf, [ca, other_ca]) == (2, 2)
        assert reasons(leaf, [ca], [other_ca]) == (UNTRUSTED, UNTRUSTED)


def test_n30_an_intermediate_has_to_be_signed(ca: ThrowawayCA) -> None:
    """N30: a self-made CA of the issuing CA's name leads nowhere."""
    issuing = ca.issue_ca("Issuing")
    fake = ThrowawayCA.create("Issuing")
    assert reasons(fake.issue("alice"), [ca], [issuing]) == (UNTRUSTED, UNTRUSTED)
    assert reasons(fake.issue("alice"), [ca], [issuing, fake]) == (
        UNTRUSTED,
        UNTRUSTED,
    )


def test_n48_self_signed_leads_nowhere(ca: ThrowawayCA) -> None:
    """N48: Alice's own subject proves nothing; nor does the CA's."""
    for common in ("alice", "Test Root CA"):
        assert reasons(self_signed(common), [ca]) == (UNTRUSTED, UNTRUSTED)


def test_a_leaf_in_the_store_needs_its_issuer() -> None:
    """PATHS 6: the verifier would take it; a CA's rule is for what the CA issued."""
    leaf = self_signed("alice")
    assert reasons(leaf, [leaf]) == (UNTRUSTED, UNTRUSTED)
    refused = refusal(lambda: validator([leaf]).validate(read(leaf), NOW))
    assert "itself an anchor" in refused.detail


def test_rollover_with_the_same_name(ca: ThrowawayCA, other_ca: ThrowawayCA) -> None:
    """Old and new root side by side: both kinds of certificate go on working."""
    for leaf in (ca.issue("old"), other_ca.issue("new")):
        for bundle in ([ca, other_ca], [other_ca, ca]):
            assert reasons(leaf, bundle) == (2, 2)


def test_rollover_with_a_cross_certificate(ca: ThrowawayCA) -> None:
    """The new root, certified by the old one, leads to either."""
    new = ThrowawayCA.create("New Root")
    cross = ca.issue_ca("New Root", key=new.key)
    leaf = new.issue("alice")
    assert reasons(leaf, [ca], [cross]) == (3, 3)
    assert reasons(leaf, [new], [cross]) == (2, 2)


def test_a_circle_of_cross_certificates_ends(ca: ThrowawayCA) -> None:
    """CAs that certified each other, and nobody else did."""
    a, b = ThrowawayCA.create("A"), ThrowawayCA.create("B")
    circle = [a.issue_ca("B", key=b.key), b.issue_ca("A", key=a.key)]
    # The verifier went round until the path was too long.
    assert reasons(b.issue(), [ca], circle) == (INVALID, UNTRUSTED)
    assert reasons(b.issue(), [a], circle) == (3, 3)


# --- CA certificates --------------------------------------------------------------


def test_a_ca_that_is_not_valid(ca: ThrowawayCA) -> None:
    """An expired intermediate or root breaks the path."""
    old = {"not_before": NOW - 9 * DAY, "not_after": NOW - DAY}
    early = {"not_before": NOW + DAY, "not_after": NOW + 9 * DAY}
    for dates in (old, early):
        issuing = ca.issue_ca("Issuing", **dates)
        assert reasons(issuing.issue(), [ca], [issuing]) == (INVALID, INVALID)
        root = ThrowawayCA.create("Root", **dates)
        assert reasons(root.issue(), [root]) == (INVALID, INVALID)


def test_a_renewed_intermediate_is_preferred(ca: ThrowawayCA) -> None:
    """If a key was certified again, the valid certificate counts."""
    key = make_key()
    old = ca.issue_ca("Issuing", key=key, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    new = ca.issue_ca("Issuing", key=key)
    for order in ([old, new], [new, old]):
        assert reasons(new.issue(), [ca], order) == (3, 3)
        path = validator([ca], order).find_issuer(read(new.issue()), NOW)
        assert path.certificates[1] == read(new)
    assert reasons(new.issue(), [ca], [old, old]) == (INVALID, INVALID)


def test_path_length(ca: ThrowawayCA) -> None:
    """A CA that may not have CAs below itself, whatever the proxy says."""
    upper = ca.issue_ca("Upper", path_length=0)
    lower = upper.issue_ca("Lower")
    assert reasons(upper.issue(), [ca], [upper]) == (3, 3)
    assert reasons(lower.issue(), [ca], [upper, lower]) == (
        INVALID,
        UNTRUSTED,
    )


def test_a_leaf_is_not_a_ca(ca: ThrowawayCA) -> None:
    """A client certificate that signs another one leads nowhere."""
    alice = ca.issue("alice")
    forged = w.certificate(alice, subject=common_name("admin"))
    assert reasons(forged, [ca], [alice]) == (INVALID, UNTRUSTED)


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        pytest.param(w.CA_EXTENSIONS, (3, 3), id="as it should be"),
        pytest.param(w.CA_EXTENSIONS[:1], (3, 3), id="no keyUsage"),
        pytest.param(
            [extension(w.BASIC_CONSTRAINTS, tlv(w.SEQUENCE, tlv(w.BOOLEAN, b"\xff")))],
            (3, 3),
            id="basicConstraints is not critical",
        ),
        pytest.param([], (INVALID, UNTRUSTED), id="no extensions"),
        pytest.param(w.CA_EXTENSIONS[1:], (INVALID, UNTRUSTED), id="only keyUsage"),
        pytest.param(
            [w.CA_EXTENSIONS[0], extension(w.KEY_USAGE, bytes.fromhex("03020780"))],
            (INVALID, UNTRUSTED),
            id="no keyCertSign",
        ),
        pytest.param(
            [w.CA_EXTENSIONS[0], extension(w.KEY_USAGE, b"\5\0")],
            (INVALID, UNTRUSTED),
            id="keyUsage cannot be read",
        ),
        pytest.param(
            [extension(w.BASIC_CONSTRAINTS, b"\5\0"), w.CA_EXTENSIONS[1]],
            (INVALID, UNTRUSTED),
            id="basicConstraints cannot be read",
        ),
        pytest.param(
            [
                *w.CA_EXTENSIONS,
                extension(
                    w.EXTENDED_KEY_USAGE,
                    tlv(w.SEQUENCE, w.oid("1.3.6.1.5.5.7.3.1")),
                ),
            ],
            (INVALID, UNTRUSTED),
            id="only for servers",
        ),
        pytest.param(
            [
                *w.CA_EXTENSIONS,
                extension(w.EXTENDED_KEY_USAGE, tlv(w.SEQUENCE, w.oid("2.5.29.37.0"))),
            ],
            (3, 3),
            id="for anything",
        ),
        pytest.param(
            [*w.CA_EXTENSIONS, extension("1.2.3.4", b"\5\0", critical=True)],
            (INVALID, 3),
            id="unknown and critical",
        ),
        pytest.param(
            [*w.CA_EXTENSIONS, extension("1.2.3.4", b"\5\0")],
            (3, 3),
            id="unknown",
        ),
        pytest.param(
            [
                *w.CA_EXTENSIONS,
                extension("2.5.29.36", bytes.fromhex("3003800100"), critical=True),
            ],
            (INVALID, 3),
            id="paths 13 policyConstraints",
        ),
        pytest.param(
            [*w.CA_EXTENSIONS, w.subject_alternative_name(tlv(0x87, b"\1\2\3"))],
            (3, 3),
            id="paths 4 SAN cannot be read",
        ),
        pytest.param(
            [*w.CA_EXTENSIONS, extension("2.5.29.31", b"\x30\1")],
            (3, 3),
            id="paths 4 distribution points cannot be read",
        ),
    ],
)
def test_what_a_ca_certificate_must_have(
    extensions: Sequence[bytes], expected: tuple[Any, Any], ca: ThrowawayCA
) -> None:
    """PATHS 2, 4: an own rule replaces the built-in one, so each is tried."""
    key = make_key()
    subject = common_name("Issuing")
    issuing = w.certificate(ca, subject=subject, key=key, extensions=extensions)
    leaf = w.certificate(with_key(ca, key), issuer=subject)
    assert reasons(leaf, [ca], [issuing]) == expected


@pytest.mark.parametrize(
    "kwargs",
    [
        pytest.param({"extensions": w.CA_EXTENSIONS[:1]}, id="no keyUsage"),
        pytest.param(
            {
                "extensions": [
                    extension(
                        w.BASIC_CONSTRAINTS, tlv(w.SEQUENCE, tlv(w.BOOLEAN, b"\xff"))
                    ),
                    w.CA_EXTENSIONS[1],
                ]
            },
            id="basicConstraints is not critical",
        ),
    ],
)
def test_strict_wants_more_of_a_ca(kwargs: dict[str, Any], ca: ThrowawayCA) -> None:
    """The strict profile takes what the CA/Browser Forum's rules would have."""
    key = make_key()
    subject = common_name("Issuing")
    issuing = w.certificate(ca, subject=subject, key=key, **kwargs)
    below = with_key(dataclasses.replace(ca, certificate=read(issuing).x509), key)
    leaf = read(ThrowawayCA.issue(below, emails=["a@example.com"]))  # type: ignore[arg-type]
    assert validator([ca], [issuing]).validate(leaf, NOW)
    strict = validator([ca], [issuing], STRICT)
    assert refusal(lambda: strict.validate(leaf, NOW)).reason is Reason.INVALID_PATH


def test_profiles(ca: ThrowawayCA) -> None:
    """Strict accepts a well-made leaf; private also one without SAN, AKI, usages."""
    good = read(ca.issue(emails=["a@example.com"]))
    plain = read(ca.issue())
    bare = read(w.certificate(ca, extensions=None))
    assert PROFILES == {"private": PRIVATE, "strict": STRICT}
    assert validator([ca], profile=STRICT).validate(good, NOW)
    refused = refusal(lambda: validator([ca], profile=STRICT).validate(plain, NOW))
    assert refused.reason is Reason.INVALID_PATH
    for leaf in (good, plain, bare):
        assert validator([ca]).validate(leaf, NOW)


def test_private_takes_a_critical_extended_key_usage(ca: ThrowawayCA) -> None:
    """What Microsoft's CAs and others issue."""
    usage = extension(
        w.EXTENDED_KEY_USAGE,
        tlv(w.SEQUENCE, w.oid("1.3.6.1.5.5.7.3.2")),
        critical=True,
    )
    assert reasons(w.certificate(ca, extensions=[usage]), [ca]) == (2, 2)


def test_n47_an_unknown_critical_extension(ca: ThrowawayCA) -> None:
    """N47: refused if the path is validated here; otherwise the proxy decides."""
    leaf = ca.issue(extensions=[critical("1.2.3.4")])
    assert reasons(leaf, [ca]) == (INVALID, 2)


# --- what the verifier cannot use -------------------------------------------------


def test_an_ed25519_ca() -> None:
    """The proxy validates it; who issued the certificate is still found out."""
    root = ThrowawayCA.create("Edwards", key="ed25519")
    assert reasons(root.issue(), [root]) == (INVALID, 2)
    other = ThrowawayCA.create("Edwards", key="ed25519")
    assert reasons(other.issue(), [root])[1] == UNTRUSTED
    issuing = root.issue_ca("Issuing")
    assert reasons(issuing.issue(), [root], [issuing]) == (INVALID, 3)


def test_certificates_of_version_1(ca: ThrowawayCA) -> None:
    """An anchor of version 1 may omit that it is a CA; an intermediate may not."""
    key = make_key()
    subject = common_name("Version 1")
    below = with_key(ca, key)
    old = {"version": None, "extensions": None}
    root = w.certificate(below, subject=subject, issuer=subject, key=key, **old)
    leaf = w.certificate(below, issuer=subject)
    assert reasons(leaf, [root]) == (INVALID, 2)
    issuing = w.certificate(ca, subject=subject, key=key, **old)
    assert reasons(leaf, [ca], [issuing]) == (INVALID, UNTRUSTED)
    assert reasons(w.certificate(ca, **old), [ca]) == (INVALID, 2)


T61_NAME = common_name(b"Jos\xe9", w.T61)
BAD_UTF8_NAME = common_name(b"Jos\xe9")


@pytest.mark.parametrize("strange", [T61_NAME, BAD_UTF8_NAME], ids=["T61", "bad UTF-8"])
def test_n26_a_ca_whose_name_is_not_text(strange: bytes, ca: ThrowawayCA) -> None:
    """N26: names are compared as bytes, so what cannot be read still leads up."""
    key, key2 = make_key(), make_key()
    own = with_key(ca, key)
    root = w.certificate(
        own, subject=strange, issuer=strange, key=key, extensions=w.CA_EXTENSIONS
    )
    leaf = w.certificate(own, issuer=strange)
    assert reasons(leaf, [root]) == (2, 2)
    issuing = w.certificate(ca, subject=strange, key=key, extensions=w.CA_EXTENSIONS)
    assert reasons(leaf, [ca], [issuing]) == (3, 3)
    assert reasons(leaf, [ca]) == (UNTRUSTED, UNTRUSTED)
    below = w.certificate(
        own,
        subject=common_name("Below"),
        issuer=strange,
        key=key2,
        extensions=w.CA_EXTENSIONS,
    )
    deep = w.certificate(with_key(ca, key2), issuer=common_name("Below"))
    assert reasons(deep, [root], [below]) == (3, 3)


def test_a_name_in_another_string_type_is_another_name(ca: ThrowawayCA) -> None:
    """PATHS 10: paths compare DER; RFC 5280, 7.1 would have looked past it."""
    printable = common_name("Test Root CA", w.PRINTABLE)
    leaf = w.certificate(ca, issuer=printable)
    assert reasons(leaf, [ca]) == (UNTRUSTED, UNTRUSTED)


@pytest.mark.parametrize(
    "general_name",
    [
        pytest.param(tlv(0xA3), id="x400Address"),
        pytest.param(tlv(0xA5, tlv(0xA1, tlv(w.UTF8, b"x"))), id="ediPartyName"),
        pytest.param(tlv(0x87, b"\1\2\3"), id="3-byte IP"),
        pytest.param(tlv(0xA4, BAD_UTF8_NAME), id="directoryName"),
    ],
)
def test_n26_names_that_the_verifier_cannot_read(
    general_name: bytes, ca: ThrowawayCA
) -> None:
    """PATHS 3: it raises more than one kind of error; here it is a refusal."""
    names = w.subject_alternative_name(general_name)
    leaf = w.certificate(ca, extensions=[*w.CLIENT_EXTENSIONS, names])
    assert reasons(leaf, [ca]) == ("malformed_certificate", 2)


@pytest.mark.parametrize("case", HOSTILE)
def test_n26_n27_hostile_leaves(case: str, ca: ThrowawayCA) -> None:
    """N26, N27: whatever the leaf is, the answer is a path or a refusal."""
    reasons(w.certificate(ca, **HOSTILE[case]), [ca])


@pytest.mark.parametrize("case", HOSTILE)
def test_n26_n27_hostile_cas(case: str, ca: ThrowawayCA) -> None:
    """N26, N27: the same for a CA's certificate, as anchor and in between."""
    parts = dict(HOSTILE[case])
    subject = parts.get("subject", common_name("Hostile"))
    key = make_key()
    parts = {"subject": subject, "key": key, **parts}
    parts["extensions"] = [*w.CA_EXTENSIONS, *parts.get("extensions", ())]
    hostile = w.certificate(ca, **parts)
    own = w.certificate(with_key(ca, key), **{**parts, "issuer": subject})
    leaf = w.certificate(with_key(ca, key), issuer=subject)
    for anchors, intermediates in (([ca], [hostile]), ([own], []), ([hostile], [])):
        with suppress(CertificateParseError):  # said when the validator is built
            reasons(leaf, anchors, intermediates)


def test_d12_a_signature_certificate_points_to_the_other_one(ca: ThrowawayCA) -> None:
    """Cards hold two; only one of them may be used for TLS."""
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=True,
        **dict.fromkeys(
            (
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "key_cert_sign",
                "crl_sign",
                "encipher_only",
                "decipher_only",
            ),
            False,
        ),
    )
    leaf = ca.issue("a", digital_signature=None, extensions=[(usage, True)])
    with pytest.raises(Refusal) as raised:
        check_usage(ClientCertificate(leaf.der))
    assert raised.value.reason is Reason.WRONG_PURPOSE
    assert "for signing documents; cards hold a second one" in raised.value.detail


# --- name constraints -------------------------------------------------------------


def constrained(
    ca: ThrowawayCA,
    permitted: Sequence[x509.GeneralName] = (),
    excluded: Sequence[x509.GeneralName] = (),
) -> ThrowawayCA:
    """Return a CA that is held to some names, not critically."""
    constraints = x509.NameConstraints(list(permitted) or None, list(excluded) or None)
    return ca.issue_ca("Constrained", extensions=[(constraints, False)])


DNS, EMAIL = x509.DNSName("example.com"), x509.RFC822Name("example.com")
ACME = x509.DirectoryName(make_name(None, country="FR", organization="ACME"))


@pytest.mark.parametrize(
    ("subject", "inside"),
    [
        (make_name("alice", country="FR", organization="ACME"), True),
        (make_name("alice", country="fr", organization="Acme"), True),
        (make_name("alice", country="FR", organization="ACME", unit="x"), True),
        (make_name("alice", country="FR", organization="ACME Corp"), False),
        (make_name("alice", country="DE", organization="ACME"), False),
        (make_name("alice", organization="ACME"), False),
        (make_name("C=FR,O=ACME"), False),
        (x509.Name([*make_name("a"), *list(ACME.value)[::-1]]), False),
        (x509.Name([*list(ACME.value)[::-1], *make_name("a")]), False),
        (x509.Name([*make_name("a"), *ACME.value]), False),
        (make_name("alice"), False),
        (make_name(None), True),
    ],
    ids=lambda value: value.rfc4514_string() if isinstance(value, x509.Name) else None,
)
def test_directory_names(subject: x509.Name, inside: bool, ca: ThrowawayCA) -> None:
    """PATHS 5: the subject is held to its CA's directoryName constraints."""
    allowed, forbidden = constrained(ca, [ACME]), constrained(ca, (), [ACME])
    for issuing, good in ((allowed, inside), (forbidden, not inside)):
        if not subject.rdns:
            good = True  # an empty subject is not constrained
        leaf = issuing.issue(subject=subject, emails=["a@example.com"])
        expected = (3, 3) if good else (INVALID, INVALID)
        assert reasons(leaf, [ca], [issuing]) == expected


def test_several_directory_names(ca: ThrowawayCA) -> None:
    """One of the permitted is enough, one of the excluded too much."""
    other = x509.DirectoryName(make_name(None, country="DE"))
    unit = make_name(None, country="FR", organization="ACME", unit="out")
    issuing = constrained(ca, [other, ACME], [x509.DirectoryName(unit)])
    for subject, good in (
        (make_name("a", country="DE"), True),
        (make_name("a", country="FR", organization="ACME"), True),
        (make_name("a", country="FR", organization="ACME", unit="out"), False),
    ):
        expected = (3, 3) if good else (INVALID, INVALID)
        leaf = issuing.issue(subject=subject)
        assert reasons(leaf, [ca], [issuing]) == expected


def test_directory_names_hold_for_the_cas_below(ca: ThrowawayCA) -> None:
    """RFC 5280, 6.1.3 (b): all below are held to it, but for self-issued CAs."""
    issuing = constrained(ca, [ACME])
    inside = make_name("alice", country="FR", organization="ACME")
    below = issuing.issue_ca("Below")
    leaf = below.issue(subject=inside)
    assert reasons(leaf, [ca], [issuing, below]) == (INVALID, INVALID)
    renewed = issuing.issue_ca("Constrained")
    leaf = renewed.issue(subject=inside)
    assert reasons(leaf, [ca], [issuing, renewed]) == (4, 4)


def test_constraints_of_the_anchor_hold_too() -> None:
    """A private root may be held to its organisation itself."""
    root = ThrowawayCA.create(extensions=[(x509.NameConstraints([ACME], None), False)])
    assert reasons(root.issue("alice"), [root]) == (INVALID, INVALID)


@pytest.mark.parametrize(
    "subject", [common_name("a\0b"), BAD_UTF8_NAME, common_name("")], ids=repr
)
def test_a_name_that_never_matches_is_outside(subject: bytes, ca: ThrowawayCA) -> None:
    """N28: what cannot be compared is not inside, and not outside either."""
    for issuing in (constrained(ca, [ACME]), constrained(ca, (), [ACME])):
        leaf = w.certificate(issuing, subject=subject)
        assert reasons(leaf, [ca], [issuing]) == (INVALID, INVALID)


@pytest.mark.parametrize(
    ("in_subject", "alternative", "inside"),
    [
        (["a@example.org"], ["a@example.com"], False),
        (["a@example.com"], ["a@example.com"], True),
        (["a@example.com", "a@example.org"], ["a@example.com"], False),
        (["b@example.com"], ["a@example.com"], False),
    ],
)
def test_d13_an_address_in_the_subject_is_held_to_its_constraint(
    in_subject: list[str], alternative: list[str], inside: bool, ca: ThrowawayCA
) -> None:
    """Also beside a permitted alternative name: a subject is mapped as a whole."""
    issuing = constrained(ca, [EMAIL])
    names = [x509.NameAttribute(x509.NameOID.EMAIL_ADDRESS, one) for one in in_subject]
    leaf = issuing.issue(
        subject=x509.Name([*make_name("a"), *names]), emails=alternative
    )
    expected = (3, 3) if inside else (INVALID, INVALID)
    assert reasons(leaf, [ca], [issuing]) == expected


def test_a_critical_directory_name_is_the_verifier_s(ca: ThrowawayCA) -> None:
    """It refuses what it does not implement; the proxy's path is still held to it."""
    constraints = [(x509.NameConstraints([ACME], None), True)]
    issuing = ca.issue_ca("Constrained", extensions=constraints)
    inside = make_name("alice", country="FR", organization="ACME")
    assert reasons(issuing.issue(subject=inside), [ca], [issuing]) == (INVALID, 3)
    assert reasons(issuing.issue("alice"), [ca], [issuing]) == (INVALID, INVALID)


@pytest.mark.parametrize(
    ("subtree", "options", "expected"),
    [
        (DNS, {"dns": ["a.example.com"]}, (3, 3)),
        (DNS, {"dns": ["a.example.org"]}, (INVALID, INVALID)),
        (DNS, {"common_name": "alice"}, (3, 3)),
        (DNS, {"common_name": "www.example.org"}, (INVALID, INVALID)),
        (DNS, {"common_name": "b.example.org", "dns": ["a.example.com"]}, (3, 3)),
        (EMAIL, {"emails": ["a@example.com"]}, (3, 3)),
        (EMAIL, {"emails": ["a@example.org"]}, (INVALID, INVALID)),
        (EMAIL, {"common_name": "alice"}, (3, 3)),
        (EMAIL, {"subject": make_name("a", email="a@example.org")}, (INVALID, INVALID)),
        (
            EMAIL,
            {
                "subject": make_name("a", email="a@example.org"),
                "emails": ["a@example.com"],
            },
            (INVALID, INVALID),
        ),
    ],
    ids=str,
)
def test_host_and_mail_names(
    subtree: x509.GeneralName,
    options: dict[str, Any],
    expected: tuple[Any, Any],
    ca: ThrowawayCA,
) -> None:
    """PATHS 5: a name does not escape its constraint by moving into the subject."""
    issuing = constrained(ca, [subtree])
    assert reasons(issuing.issue(**options), [ca], [issuing]) == expected


def test_a_common_name_that_is_not_text_under_a_host_constraint(
    ca: ThrowawayCA,
) -> None:
    """It might be a host name, so it is taken for one."""
    issuing = constrained(ca, [DNS])
    leaf = w.certificate(issuing, subject=T61_NAME)
    assert reasons(leaf, [ca], [issuing]) == (INVALID, INVALID)


def test_constraints_that_cannot_be_read(ca: ThrowawayCA) -> None:
    """Nobody knows what the CA may name, so they are not ignored."""
    key = make_key()
    subject = common_name("Issuing")
    for value in (b"\x30\1", tlv(w.SEQUENCE, tlv(0xA0, tlv(w.SEQUENCE, tlv(0xA3))))):
        issuing = w.certificate(
            ca,
            subject=subject,
            key=key,
            extensions=[*w.CA_EXTENSIONS, extension(w.NAME_CONSTRAINTS, value)],
        )
        leaf = w.certificate(with_key(ca, key), issuer=subject)
        answers = reasons(leaf, [ca], [issuing])
        assert answers[0] in (INVALID, "malformed_certificate")
        assert answers[1] == INVALID


# --- many certificates ------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd(ca: ThrowawayCA) -> list[ThrowawayCA]:
    """More CAs of one name than anybody has."""
    return [ca.issue_ca("Many") for _ in range(200)]


def fastest(run: Callable[[], object]) -> float:
    """Return the seconds that *run* takes on an idle machine, about."""

    def once() -> None:
        with suppress(Refusal):
            run()

    return min(timeit.repeat(once, number=1, repeat=3, timer=time.process_time))


@pytest.mark.parametrize("identified", [True, False], ids=["AKI", "no AKI"])
def test_n12_many_cas_of_one_name(
    identified: bool,
    crowd: list[ThrowawayCA],
    ca: ThrowawayCA,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PATHS 9: the work ends, and the first 64 are looked at."""
    signer = ClientCertificate.is_signed_by
    count = 0

    def counted(*arguments: Any) -> bool:
        nonlocal count
        count += 1
        return signer(*arguments)

    monkeypatch.setattr(ClientCertificate, "is_signed_by", counted)
    for position, expected in ((0, (3, 3)), (63, (3, None)), (199, None)):
        issuing = crowd[position]
        leaf = read(issuing.issue() if identified else w.certificate(issuing))
        count = 0
        answers = reasons(leaf, [ca], crowd)
        assert count <= MAX_CANDIDATES
        if expected is None:
            assert answers == (UNTRUSTED, UNTRUSTED)
        else:
            assert answers[0] == 3
        built = validator([ca], crowd)
        assert fastest(lambda b=built, one=leaf: b.validate(one, NOW)) < 0.5
        assert fastest(lambda b=built, one=leaf: b.find_issuer(one, NOW)) < 0.5


def test_n12_many_roots_of_one_name() -> None:
    """PATHS 9: the verifier's own budget of signatures ends in a refusal."""
    roots = [ThrowawayCA.create("Many") for _ in range(200)]
    stranger = with_key(roots[0], make_key())
    for leaf in (w.certificate(roots[-1]), w.certificate(stranger)):
        assert reasons(leaf, roots) in [(INVALID, UNTRUSTED), (UNTRUSTED, UNTRUSTED)]


def test_only_what_names_lead_to_is_tried(
    crowd: list[ThrowawayCA], ca: ThrowawayCA
) -> None:
    """PATHS 14: a bundle of thousands is narrowed by name first."""
    issuing = ca.issue_ca("Issuing").issue_ca("Lower")
    built = validator([ca], [*crowd, issuing])
    found = verification._reachable([read(issuing.issue())], built._by_subject)
    assert found == [read(issuing)]
    many = verification._reachable([read(crowd[0].issue())], built._by_subject)
    assert len(many) == MAX_CANDIDATES


# --- what is remembered -----------------------------------------------------------


class Calls:
    """Counts how often the real work is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for method in ("_validate", "_climb"):
            self.watch(monkeypatch, method)

    def watch(self, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        """Count the calls of a method."""
        original = getattr(PathValidator, method)

        def counted(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            return original(*arguments, **options)

        monkeypatch.setattr(PathValidator, method, counted)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Count how often paths are looked for."""
    return Calls(monkeypatch)


@pytest.mark.parametrize("method", ["validate", "find_issuer"])
def test_a_path_is_remembered(method: str, ca: ThrowawayCA, calls: Calls) -> None:
    """The same certificate again costs no signature."""
    built = validator([ca])
    leaf = ca.issue()
    first = getattr(built, method)(read(leaf), NOW)
    assert calls.count == 1
    assert getattr(built, method)(read(leaf), NOW + SECOND) is first
    assert calls.count == 1


@pytest.mark.parametrize("method", ["validate", "find_issuer"])
@pytest.mark.parametrize("late", ["leaf", "intermediate", "root"])
def test_n46_dates_are_looked_at_again(method: str, late: str) -> None:
    """N46: a remembered path ends with the first of its certificates."""
    ends = dict.fromkeys(("leaf", "intermediate", "root"), NOW + 9 * DAY)
    ends[late] = NOW + DAY
    root = ThrowawayCA.create(not_after=ends["root"])
    issuing = root.issue_ca(not_after=ends["intermediate"])
    leaf = read(issuing.issue(not_after=ends["leaf"]))
    run = getattr(validator([root], [issuing]), method)
    assert run(leaf, NOW)
    assert run(leaf, NOW + DAY)
    reason = Reason.EXPIRED if late == "leaf" else Reason.INVALID_PATH
    for at in (NOW + DAY + SECOND, NOW + 2 * DAY):
        assert refusal(lambda a=at: run(leaf, a)).reason is reason
    # And back: a clock that was set right
    assert run(leaf, NOW)
    before = refusal(lambda: run(leaf, NOW - 2 * DAY))
    assert before.reason is Reason.NOT_YET_VALID


@pytest.mark.parametrize("method", ["validate", "find_issuer"])
def test_a_refusal_is_never_remembered(
    method: str, ca: ThrowawayCA, other_ca: ThrowawayCA, calls: Calls
) -> None:
    """What was refused is looked at again, whole."""
    built = validator([ca])
    run = getattr(built, method)
    early = read(ca.issue(not_before=NOW + DAY, not_after=NOW + 9 * DAY))
    for _ in range(2):
        assert refusal(lambda: run(early, NOW)).reason is Reason.NOT_YET_VALID
    assert run(early, NOW + 2 * DAY)
    foreign = read(other_ca.issue())
    calls.count = 0
    for _ in range(2):
        assert refusal(lambda: run(foreign, NOW)).reason is Reason.UNTRUSTED_ISSUER
    assert calls.count == 2
    assert list(built._remembered.values()) == [run(early, NOW + 2 * DAY)]


def test_what_was_presented_is_not_remembered(ca: ThrowawayCA) -> None:
    """A path over somebody's intermediate is none for those who do not send it."""
    issuing = ca.issue_ca()
    leaf = read(issuing.issue())
    built = validator([ca])
    assert built.validate(leaf, NOW, [read(issuing)])
    refused = refusal(lambda: built.validate(leaf, NOW))
    assert refused.reason is Reason.UNTRUSTED_ISSUER


def test_the_two_kinds_of_path_are_kept_apart() -> None:
    """What was only traced to its issuer was not validated."""
    root = ThrowawayCA.create(key="ed25519")
    leaf = read(root.issue())
    built = validator([root])
    assert built.find_issuer(leaf, NOW)
    assert refusal(lambda: built.validate(leaf, NOW)).reason is Reason.INVALID_PATH


def test_memory_is_bounded(ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest path is forgotten."""
    monkeypatch.setattr(verification, "MAX_REMEMBERED_PATHS", 3)
    built = validator([ca])
    leaves = [read(ca.issue(f"client {number}")) for number in range(5)]
    for leaf in leaves:
        built.validate(leaf, NOW)
    assert list(built._remembered) == [one.fingerprint_bytes for one in leaves[2:]]


def test_one_validator_serves_many_threads(ca: ThrowawayCA) -> None:
    """It is built once and asked from everywhere."""
    issuing = ca.issue_ca()
    built = validator([ca], [issuing])
    leaves = [issuing.issue(f"client {number}").der for number in range(20)]
    found: list[int] = []

    def work() -> None:
        for _ in range(5):
            for leaf in leaves:
                path = built.validate(read(leaf), NOW)
                found.append(len(path.certificates))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [3] * 400


def test_a_path_says_when_it_is_valid(ca: ThrowawayCA) -> None:
    """The latest beginning and the first end."""
    one = read(ca.issue(not_before=NOW - 3 * DAY, not_after=NOW + DAY))
    two = read(ca.issue(not_before=NOW - 2 * DAY, not_after=NOW + 2 * DAY))
    path = Path.of([one, two])
    assert (path.not_before, path.not_after) == (NOW - 2 * DAY, NOW + DAY)
    assert path.covers(NOW - 2 * DAY)
    assert path.covers(NOW + DAY)
    assert not path.covers(NOW - 2 * DAY - SECOND)
    assert not path.covers(NOW + DAY + SECOND)


# --- who may sign CRLs ------------------------------------------------------------


def test_signers_of_crls(ca: ThrowawayCA) -> None:
    """The CA itself, and one of its name and another key that leads to it."""
    name = ca.certificate.subject
    signer = ca.issue_ca(subject=name)
    built = validator([ca], [signer])
    root, other = read(ca), read(signer)

    def found(one: ClientCertificate, at: dt.datetime = NOW) -> list[int]:
        paths = built.signer_paths(one.subject_der, one.public_key_bytes, at)
        return [len(path.certificates) for path in paths]

    assert found(root) == [1]
    assert found(other) == [2]
    assert found(other) == [2]
    assert list(built._remembered) == [b"signer" + other.fingerprint_bytes]
    assert found(other, NOW + 999 * DAY) == []
    assert built.signer_paths(root.subject_der, b"another key", NOW) == ()
    assert built.signer_paths(b"another name", root.public_key_bytes, NOW) == ()


def test_who_may_not_sign_crls(ca: ThrowawayCA) -> None:
    """keyUsage says so, or cannot be read, or nothing leads to the anchor."""
    usages = {
        "certificates only": bytes.fromhex("03020204"),
        "unreadable": b"\5\0",
    }
    for value in usages.values():
        one = w.certificate(
            ca, extensions=[w.CA_EXTENSIONS[0], extension(w.KEY_USAGE, value)]
        )
        built = validator([ca], [one])
        certificate = read(one)
        assert (
            built.signer_paths(
                certificate.subject_der, certificate.public_key_bytes, NOW
            )
            == ()
        )
    stranger = read(ThrowawayCA.create("Stranger"))
    built = validator([ca], [stranger])
    key = stranger.public_key_bytes
    assert built.signer_paths(stranger.subject_der, key, NOW) == ()


# --- the verifier's own words -----------------------------------------------------


def words(
    leaf: Source, anchors: Sequence[Source], between: Sequence[Source] = ()
) -> str:
    """Return what cryptography's verifier says, without anything of ours."""
    store = Store([read(one).x509 for one in anchors])
    verifier = (
        PolicyBuilder()
        .store(store)
        .time(NOW)
        .extension_policies(
            ca_policy=verification._ca_policy(PRIVATE, verification.CLIENT_AUTH),
            ee_policy=verification._end_entity_policy(PRIVATE),
        )
        .build_client_verifier()
    )
    with pytest.raises(VerificationError) as error:
        verifier.verify(read(leaf).x509, [read(one).x509 for one in between])
    return str(error.value)


def test_what_the_verifier_says_without_an_issuer(
    ca: ThrowawayCA, other_ca: ThrowawayCA
) -> None:
    """Its texts are not an interface, so the installed version is checked."""
    issuing = ca.issue_ca("Issuing")
    fake = other_ca.issue_ca("Issuing")
    said = {
        words(ThrowawayCA.create("Stranger").issue(), [ca]),
        words(other_ca.issue(), [ca]),
        words(w.certificate(other_ca), [ca]),
        words(issuing.issue(), [ca]),
        words(fake.issue(), [ca], [issuing]),
        words(fake.issue(), [ca], [fake]),
        words(self_signed("alice"), [ca]),
    }
    for one in said:
        assert verification._reason_for(one) is Reason.UNTRUSTED_ISSUER, one
    # Each text of the list is still in use.
    for text in verification._NO_ISSUER:
        assert any(text in one for one in said), text


def test_what_the_verifier_says_of_a_broken_rule(ca: ThrowawayCA) -> None:
    """A path that leads to the anchor and breaks a rule is another reason."""
    old = ca.issue_ca("Old", not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    upper = ca.issue_ca("Upper", path_length=0)
    lower = upper.issue_ca("Lower")
    unknown = ca.issue_ca("Unknown", extensions=[critical("1.2.3.4")])
    edwards = ThrowawayCA.create("Edwards", key="ed25519")
    for one in (
        words(old.issue(), [ca], [old]),
        words(lower.issue(), [ca], [upper, lower]),
        words(unknown.issue(), [ca], [unknown]),
        words(edwards.issue(), [edwards]),
        words(ca.issue(extensions=[critical("1.2.3.4")]), [ca]),
        words(w.certificate(ca.issue("alice")), [ca], [ca.issue("alice")]),
    ):
        if "signature does not match" not in one:
            assert verification._reason_for(one) is Reason.INVALID_PATH, one


# --- whatever comes ---------------------------------------------------------------


@pytest.fixture(scope="module")
def path(ca: ThrowawayCA) -> list[bytes]:
    """A leaf and the CAs above it, with everything a verifier looks at."""
    constraints = x509.NameConstraints([x509.DNSName("example.com"), ACME], None)
    issuing = ca.issue_ca("Issuing", extensions=[(constraints, False)])
    subject = make_name("alice", country="FR", organization="ACME")
    leaf = issuing.issue(
        subject=subject, dns=["a.example.com"], emails=["a@example.com"]
    )
    assert reasons(leaf, [ca], [issuing]) == (3, 3)
    return [leaf.der, issuing.der, ca.der]


def _signed(certificates: list[bytes]) -> list[bytes]:
    """Return what of each is signed."""
    return [
        x509.load_der_x509_certificate(one).tbs_certificate_bytes
        for one in certificates
    ]


@given(st.data())
@settings(
    max_examples=600,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_damage_raises_nothing_else(path: list[bytes], data: st.DataObject) -> None:
    """Changed bytes in any certificate: a path or a refusal."""
    signed = _signed(path[:2])
    octets = [bytearray(one) for one in path]
    which = data.draw(st.integers(0, 2))
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(octets[which]) - 1))
        octets[which][at] = data.draw(st.integers(0, 255))
    leaf, issuing, root = (bytes(one) for one in octets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        try:
            answers = reasons(leaf, [root], [issuing])
        except CertificateParseError:
            return
    # Nobody can change what is signed; only the root signs itself. Around the
    # signature an octet may be another: the unused bits of its BIT STRING.
    assert which == 2 or answers[0] != 3 or _signed([leaf, issuing]) == signed


def test_errors_are_path_errors(ca: ThrowawayCA) -> None:
    """A path that breaks is one kind of refusal."""
    with pytest.raises(PathError, match="no certificate of the authority signed"):
        validator([ca]).validate(read(self_signed()), NOW)


def test_r16_a_ca_with_a_new_key_is_told_from_a_missing_one(ca: ThrowawayCA) -> None:
    """The name is there, so no intermediate is missing."""
    renewed = ThrowawayCA.create(subject=ca.certificate.subject)
    certificate = read(ca.issue("alice"))
    for step in (validator([renewed]).validate, validator([renewed]).find_issuer):
        with pytest.raises(PathError, match="the same name and another key") as raised:
            step(certificate, NOW)
        assert raised.value.reason is Reason.UNTRUSTED_ISSUER
    other = validator([ThrowawayCA.create("Other")])
    for step in (other.validate, other.find_issuer):
        with pytest.raises(PathError, match="is an intermediate missing"):
            step(certificate, NOW)


def test_d15_too_many_cas_of_a_name_are_said(ca: ThrowawayCA) -> None:
    """The search ends, and that is no missing intermediate."""
    name = ca.certificate.subject
    twins = [ThrowawayCA.create(subject=name) for _ in range(MAX_CANDIDATES + 1)]
    with pytest.raises(PathError, match="more than 64 of its CAs have the issuer"):
        validator(twins).find_issuer(read(ca.issue("alice")), NOW)
