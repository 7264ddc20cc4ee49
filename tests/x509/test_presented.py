"""What a client presents with its certificate, and what that may cost."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import PolicyBuilder

from django_clientcert.exceptions import Reason, Refusal
from django_clientcert.testing import (
    IssuedCertificate,
    ThrowawayCA,
    make_key,
    make_name,
    self_signed,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.paths import MAX_PRESENTED, PathValidator
from tests import der_writer as w

NOW = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)


def read(issued: IssuedCertificate) -> ClientCertificate:
    """Return what the package makes of a certificate."""
    return ClientCertificate(issued.der)


class Recorder:
    """A policy builder that records the certificates handed to the verifier."""

    def __init__(self, builder: PolicyBuilder) -> None:
        self.builder = builder
        self.handed: list[ClientCertificate] = []

    def time(self, at: dt.datetime) -> Recorder:
        """See ``PolicyBuilder.time()``."""
        self.verifier = self.builder.time(at).build_client_verifier()
        return self

    def build_client_verifier(self) -> Recorder:
        """See ``PolicyBuilder.build_client_verifier()``."""
        return self

    def verify(self, leaf: Any, intermediates: Sequence[Any]) -> Any:
        """See ``ClientVerifier.verify()``."""
        self.handed += [
            ClientCertificate(certificate.public_bytes(Encoding.DER))
            for certificate in intermediates
        ]
        return self.verifier.verify(leaf, intermediates)


class Work(NamedTuple):
    """What a validation returned, and what it took."""

    outcome: Reason | int
    handed: list[ClientCertificate]
    # The certificates whose keys checked a signature, once for each check
    keys: list[ClientCertificate]


Validate = Callable[..., Work]


@pytest.fixture
def validate(ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch) -> Validate:
    """Return a function that validates a path to the CA and counts the work."""
    keys: list[ClientCertificate] = []
    check = ClientCertificate.is_signed_by

    def counted(self: ClientCertificate, issuer: ClientCertificate) -> bool:
        # The names are compared before the signature is checked.
        if self.issuer_der == issuer.subject_der:
            keys.append(issuer)
        return check(self, issuer)

    monkeypatch.setattr(ClientCertificate, "is_signed_by", counted)

    def run(leaf: IssuedCertificate, presented: Sequence[IssuedCertificate]) -> Work:
        validator = PathValidator([read(ca)])
        recorder = Recorder(validator._builder)
        monkeypatch.setattr(validator, "_builder", recorder)
        keys.clear()
        outcome: Reason | int
        try:
            path = validator.validate(read(leaf), NOW, [read(one) for one in presented])
            outcome = len(path.certificates)
        except Refusal as refused:
            outcome = refused.reason
        return Work(outcome, recorder.handed, list(keys))

    return run


def of_one_name(
    root: ThrowawayCA, keys: Sequence[Any], count: int = MAX_PRESENTED
) -> list[ThrowawayCA]:
    """Return CAs of one name, each signed by the one before; the keys repeat."""
    name = root.certificate.subject
    authorities = [root]
    while len(authorities) < count:
        key = keys[len(authorities) % len(keys)]
        authorities.append(authorities[-1].issue_ca("", subject=name, key=key))
    return authorities


def costly_key() -> rsa.RSAPrivateKey:
    """Return a key of a kind that costs more to check."""
    return rsa.generate_private_key(public_exponent=65537, key_size=4096)


def p521() -> ec.EllipticCurvePrivateKey:
    """Return a key on the costliest of the usual curves."""
    return ec.generate_private_key(ec.SECP521R1())


@pytest.mark.parametrize("name", ["Stranger", "Test Root CA"])
@pytest.mark.parametrize(
    "make",
    [lambda: [p521()], lambda: [p521(), p521()], lambda: [costly_key()]],
    ids=["one key", "two keys", "another kind of key"],
)
@pytest.mark.parametrize("count", [1, MAX_PRESENTED // 2, MAX_PRESENTED, 20])
def test_a01_keys_that_a_client_chose_check_nothing(
    count: int,
    make: Callable[[], list[Any]],
    name: str,
    ca: ThrowawayCA,
    validate: Validate,
) -> None:
    """Given to the verifier, CAs of one name and key are tried each with each."""
    keys = make()
    root = ThrowawayCA.create(subject=make_name(name), key=keys[0])
    work = validate(root.issue(), of_one_name(root, keys, count))
    assert work.outcome is Reason.UNTRUSTED_ISSUER
    assert work.handed == []
    # The bundle's own key checks each presented certificate that names it.
    assert set(work.keys) <= {read(ca)}
    # And the client’s own, to say why
    assert len(work.keys) <= MAX_PRESENTED + 1


def test_a01_what_the_bundle_has_signed_is_used(
    ca: ThrowawayCA, validate: Validate
) -> None:
    """In any order, and through several certificates; the others are left out."""
    upper = ca.issue_ca("Upper")
    lower = upper.issue_ca("Lower")
    stranger = ThrowawayCA.create("Lower", key=p521())
    strangers = of_one_name(stranger, [stranger.key], MAX_PRESENTED - 2)
    for presented in (
        [*strangers, lower, upper],
        [upper, lower, *strangers],
        [*strangers[:3], upper, *strangers[3:], lower],
    ):
        work = validate(lower.issue(), presented)
        assert work.outcome == 4
        assert set(work.handed) == {read(upper), read(lower)}
        assert set(work.keys) <= {read(ca), read(upper), read(lower)}
        assert validate(stranger.issue(), presented).outcome is (
            Reason.UNTRUSTED_ISSUER
        )


def test_a01_certificates_after_the_eighth_are_not_checked(
    ca: ThrowawayCA, validate: Validate
) -> None:
    """Neither given to the verifier nor compared with the bundle."""
    issuing = ca.issue_ca("Issuing")
    presented = [*(ca.issue(key=make_key()) for _ in range(MAX_PRESENTED)), issuing]
    work = validate(issuing.issue(), presented)
    assert work.outcome is Reason.UNTRUSTED_ISSUER
    assert len(work.keys) <= MAX_PRESENTED
    assert read(issuing) not in work.handed


def test_a01_the_root_and_another_leaf_in_the_chain_do_no_harm(
    ca: ThrowawayCA, validate: Validate
) -> None:
    """Many send their root too."""
    issuing = ca.issue_ca("Issuing")
    presented = [issuing, ca, ca, self_signed("alice")]
    assert validate(issuing.issue(), presented).outcome == 3


def test_a01_only_the_key_of_a_ca_checks_a_signature(
    ca: ThrowawayCA, validate: Validate
) -> None:
    """The bundle signed a client’s certificate too, but that key proves nothing."""
    issued = ca.issue(key=p521())
    client = ThrowawayCA(issued.certificate, issued.key)
    presented = of_one_name(client, [client.key])
    leaf = presented[-1].issue()
    work = validate(leaf, presented)
    assert work.outcome is Reason.UNTRUSTED_ISSUER
    assert work.handed == []
    assert set(work.keys) <= {read(ca)}
    validator = PathValidator([read(ca)])
    forged = read(client.issue())
    assert validator.issuers_of(forged, [read(client)]) == ()


def test_a01_unreadable_basic_constraints_are_not_a_ca(ca: ThrowawayCA) -> None:
    """Whether the key may sign certificates is unknown, so it checks none."""
    key = make_key()
    odd = ClientCertificate(
        w.certificate(ca, key=key, extensions=[w.extension(w.BASIC_CONSTRAINTS, b"")])
    )
    below = read(ThrowawayCA(odd.x509, key).issue())
    assert below.is_signed_by(odd)
    assert PathValidator([read(ca)]).issuers_of(below, [odd]) == ()
