"""The problems reported at upload, compared with the verifier itself."""

from __future__ import annotations

import datetime as dt
import re
import warnings
from collections.abc import Callable
from typing import Any

import cryptography
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    ec,
    ed448,
    ed25519,
    mldsa,
    padding,
    rsa,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from django.apps import apps

from django_clientcert.exceptions import BundleError, CertificateParseError, Refusal
from django_clientcert.testing import (
    CLIENT_AUTH,
    SERVER_AUTH,
    ThrowawayCA,
    make_key,
    make_name,
    self_signed,
)
from django_clientcert.x509.bundles import to_pem
from django_clientcert.x509.ca_problems import issuer_problem, problems, read_bundle
from django_clientcert.x509.certificates import NAME_CONSTRAINTS, ClientCertificate
from django_clientcert.x509.paths import PRIVATE, PROFILES, STRICT, PathValidator
from tests import der_writer as write

NOW = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
DAY = dt.timedelta(days=1)

BY_PROXY = "work only if the proxy verifies them"
NOT_AT_ALL = "no path can pass through it"

Extensions = list[tuple[x509.ExtensionType, bool]]


def key_usage(**bits: bool) -> x509.KeyUsage:
    """Return a keyUsage with these bits and no others."""
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: bits.get(name, False) for name in names})


def sign(
    subject: x509.Name,
    issuer: x509.Name,
    key: Any,
    signer: Any,
    extensions: Extensions,
    *,
    algorithm: Any = None,
    salt: int | None = None,
    not_before: dt.datetime = NOW - DAY,
    not_after: dt.datetime = NOW + 90 * DAY,
) -> ClientCertificate:
    """Return a certificate; *salt* makes an RSA signature a PSS one."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    hashed = isinstance(signer, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey))
    signed = builder.sign(
        signer,
        (algorithm or hashes.SHA256()) if hashed else None,
        rsa_padding=None
        if salt is None
        else padding.PSS(padding.MGF1(algorithm or hashes.SHA256()), salt),
    )
    return ClientCertificate(signed.public_bytes(Encoding.DER))


def ca_extensions(key: Any, signer: Any) -> Extensions:
    """Return what a CA certificate has."""
    return [
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (key_usage(key_cert_sign=True, crl_sign=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            False,
        ),
    ]


def plain(extensions: Extensions) -> Extensions:
    """Return the extensions as they are."""
    return extensions


def without(kind: type[x509.ExtensionType]) -> Callable[[Extensions], Extensions]:
    """Return a change that takes one extension out."""
    return lambda extensions: [
        one for one in extensions if not isinstance(one[0], kind)
    ]


def having(
    value: x509.ExtensionType, *, critical: bool
) -> Callable[[Extensions], Extensions]:
    """Return a change that puts one extension in, for one of its kind."""
    return lambda extensions: [
        *without(type(value))(extensions),
        (value, critical),
    ]


@pytest.fixture(scope="module")
def rsa_root() -> tuple[Any, ClientCertificate]:
    """A root with an RSA key: it can sign in every way."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = make_name("RSA Root")
    return key, sign(name, name, key, key, ca_extensions(key, key))


def leaf(issuer: x509.Name, key: Any) -> ClientCertificate:
    """Return a client certificate with which nothing is wrong."""
    extensions: Extensions = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage([CLIENT_AUTH]), False),
        (x509.SubjectAlternativeName([x509.DNSName("alice.example")]), False),
        (key_usage(digital_signature=True), True),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False),
    ]
    return sign(make_name("alice"), issuer, make_key(), key, extensions)


def works(step: Callable[..., object], certificate: ClientCertificate) -> bool:
    """Tell whether *step* finds a path."""
    try:
        step(certificate, NOW)
    except (Refusal, CertificateParseError):
        return False
    return True


def compare(
    ca: ClientCertificate,
    client: ClientCertificate,
    parent: ClientCertificate | None,
) -> dict[str, tuple[str, ...]]:
    """Hold ``problems()`` against the verifier; return them by profile."""
    anchors, intermediates = ([ca], []) if parent is None else ([parent], [ca])
    found = {}
    for profile in PROFILES.values():
        validator = PathValidator(anchors, intermediates, profile)
        said = problems(ca, is_anchor=parent is None, at=NOW, profile=profile)
        assert (not said) == works(validator.validate, client), (profile.name, said)
        by_proxy = not any(NOT_AT_ALL in one for one in said)
        assert by_proxy == works(validator.find_issuer, client), (profile.name, said)
        assert all((BY_PROXY in one) != (NOT_AT_ALL in one) for one in said)
        found[profile.name] = said
    return found


KEYS: dict[str, Callable[[], Any]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "p224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "brainpool": lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
    "rsa1024": lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505
    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
    "mldsa44": mldsa.MLDSA44PrivateKey.generate,
    "mldsa65": mldsa.MLDSA65PrivateKey.generate,
    "mldsa87": mldsa.MLDSA87PrivateKey.generate,
}
ML_DSA_KEYS = {"mldsa44", "mldsa65", "mldsa87"}
GOOD_KEYS = {"p256", "p384", "p521", "rsa2048"}
if int(cryptography.__version__.partition(".")[0]) >= 50:
    GOOD_KEYS |= ML_DSA_KEYS
WORDS = {
    **dict.fromkeys(ML_DSA_KEYS, "ML-DSA CAs"),
    "p224": "secp224r1 CAs",
    "secp256k1": "secp256k1 CAs",
    "brainpool": "brainpoolP256r1 CAs",
    "rsa1024": "RSA-1024 CAs",
    "ed25519": "Ed25519 CAs",
    "ed448": "Ed448 CAs",
}


@pytest.mark.parametrize("position", ["anchor", "intermediate"])
@pytest.mark.parametrize("kind", KEYS)
def test_keys(
    kind: str, position: str, rsa_root: tuple[Any, ClientCertificate]
) -> None:
    """A key that the verifier does not know is named, as anchor and in between."""
    key = KEYS[kind]()
    name = make_name("CA")
    signer, parent = (key, None) if position == "anchor" else rsa_root
    issuer = name if parent is None else parent.x509.subject
    ca = sign(name, issuer, key, signer, ca_extensions(key, signer))
    said = compare(ca, leaf(name, key), parent)
    if kind in GOOD_KEYS:
        assert said["private"] == ()
    else:
        assert len(said["private"]) == 1
        assert said["private"][0].startswith(WORDS[kind])


SIGNATURES: dict[str, tuple[hashes.HashAlgorithm, int | None, bool]] = {
    "sha256": (hashes.SHA256(), None, True),
    "sha384": (hashes.SHA384(), None, True),
    "sha512": (hashes.SHA512(), None, True),
    "sha224": (hashes.SHA224(), None, False),
    "sha3": (hashes.SHA3_256(), None, False),
    "pss-sha256": (hashes.SHA256(), 32, True),
    "pss-sha384": (hashes.SHA384(), 48, True),
    "pss-sha512": (hashes.SHA512(), 64, True),
    "pss-odd-salt": (hashes.SHA256(), 20, False),
}


@pytest.mark.parametrize("kind", SIGNATURES)
def test_signatures(kind: str, rsa_root: tuple[Any, ClientCertificate]) -> None:
    """How a CA was signed counts in between, and not for an anchor."""
    signer, parent = rsa_root
    algorithm, salt, good = SIGNATURES[kind]
    name = make_name("CA")
    key = make_key()
    below = sign(
        name,
        parent.x509.subject,
        key,
        signer,
        ca_extensions(key, signer),
        algorithm=algorithm,
        salt=salt,
    )
    said = compare(below, leaf(name, key), parent)["private"]
    assert [one[:17] for one in said] == ([] if good else ["It is signed with"])
    anchor = sign(
        name,
        name,
        signer,
        signer,
        ca_extensions(signer, signer),
        algorithm=algorithm,
        salt=salt,
    )
    assert compare(anchor, leaf(name, signer), None)["private"] == ()


# Root and intermediate of `openssl req -x509` and `openssl x509 -req -sha1`
# (OpenSSL 3.0, November 2026); the keys are lost. cryptography signs no SHA-1.
SHA1_INTERMEDIATE = """\
-----BEGIN CERTIFICATE-----
MIIDBjCCAe6gAwIBAgIUWGNgJgG/GKX5P8k6KK/fpoWl1pIwDQYJKoZIhvcNAQEF
BQAwDDEKMAgGA1UEAwwBUjAeFw0yNjExMjQwMjQwNDlaFw0yNzA5MjAwMjQwNDla
MAwxCjAIBgNVBAMMAUkwggEiMA0GCSqGSIb3DQEBAQUAA4IBDwAwggEKAoIBAQCd
cM2IcwInfR1AiHpN57laWV/YtYA4qS8EPG/MO7vXpt2XQPm1KqWwjm3unuvG2v57
AboQBNef78449T9wdhB1ub9JXMdY0LZoFYNQY0ue6YNnH3WpISHvXnS6ej++/Jvh
KhaBbkPrOOY1vG8vg6rEed+OtDJ6M5Vcc4ifS8usHEg7SeVmaYFkn0/YCcdMeqeS
qnmMyiBpChGXxQHwxueriiaIo1jWYh6fcP01hv9y5NAtUE+Bd8U/8j+0VFjgAguc
RRrt+rWFwxEVrRqh09c3CFyAURF5pu0XAHJETWLME9lF2RiciNEsqTGSWM+BLMFy
cHHCRyDEZ6yJ7uMhZ6D7AgMBAAGjYDBeMA8GA1UdEwEB/wQFMAMBAf8wCwYDVR0P
BAQDAgIEMB0GA1UdDgQWBBQVBreO9DbWaYRJjoVFmIx6psyPTjAfBgNVHSMEGDAW
gBRjpB8RDMbGAjFTsw9sgOP9kirFuTANBgkqhkiG9w0BAQUFAAOCAQEAHUx3r0j6
23C+qe1+oGBCPUrBP+TP1IPqxY9iPk3ruswAetqT38Y1Jj4YEZ2cOjLTYdBIWXPJ
WE0zi56lmO+epvBZxYYcF81CGayXBhXhLqNoToQLnXyhZ/o0qmew3ZCNZx+nXlq4
jJ9o0dGo7IWEKkI+X2EOj++xFBtrb8uprVRu0k7yWZmwntYHrL65JOdYTJOeMmsw
+aJ3SXEB3n+sZKSuFXWus1cBe9R8cN/+hJoU3/EEgcA5Fy1FGoTweqEoo2b7CrBO
miIh8+y/uHlntKyFH7yqJeqlDFn597dXeFu2JbSoQAFyHpTp6liYeujoNNj80cHN
P4qs9n5LSZv6LQ==
-----END CERTIFICATE-----
"""


def test_sha1_signature_is_useless_everywhere() -> None:
    """A SHA-1 signature is not even looked at when the proxy verifies."""
    pem = x509.load_pem_x509_certificate(SHA1_INTERMEDIATE.encode())
    ca = ClientCertificate(pem.public_bytes(Encoding.DER))
    (said,) = problems(ca, is_anchor=False, at=ca.not_before + DAY, profile=PRIVATE)
    assert said == (
        "It is signed with sha1WithRSAEncryption, which cannot be checked: no path "
        "can pass through it."
    )
    assert issuer_problem(ca, [ca]) is None


DIRECTORY = x509.DirectoryName(make_name("alice"))
EXTENSIONS: dict[str, tuple[Callable[[Extensions], Extensions], str, str]] = {
    # the change, what is said under "private", what under "strict"
    "plain": (plain, "", ""),
    "no ski": (without(x509.SubjectKeyIdentifier), "", ""),
    "no aki": (without(x509.AuthorityKeyIdentifier), "", ""),
    "no usage": (without(x509.KeyUsage), "", "lacks"),
    "usage not critical": (
        having(key_usage(key_cert_sign=True), critical=False),
        "",
        "",
    ),
    "usage without keyCertSign": (
        having(key_usage(digital_signature=True), critical=True),
        "does not allow signing certificates",
        "does not allow signing certificates",
    ),
    "no constraints": (
        without(x509.BasicConstraints),
        "not marked as a CA",
        "not marked as a CA",
    ),
    "not a ca": (
        having(x509.BasicConstraints(ca=False, path_length=None), critical=True),
        "not marked as a CA",
        "not marked as a CA",
    ),
    "constraints not critical": (
        having(x509.BasicConstraints(ca=True, path_length=None), critical=False),
        "",
        "basicConstraints to be critical",
    ),
    "server only": (
        having(x509.ExtendedKeyUsage([SERVER_AUTH]), critical=False),
        "leaves out clientAuth",
        "leaves out clientAuth",
    ),
    "client": (having(x509.ExtendedKeyUsage([CLIENT_AUTH]), critical=True), "", ""),
    "any usage": (
        having(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
            critical=False,
        ),
        "",
        "",
    ),
    "critical directory constraint": (
        having(x509.NameConstraints([DIRECTORY], None), critical=True),
        "directory names",
        "directory names",
    ),
    "directory constraint": (
        having(x509.NameConstraints([DIRECTORY], None), critical=False),
        "",
        "",
    ),
    "critical dns constraint": (
        having(x509.NameConstraints([x509.DNSName("example")], None), critical=True),
        "",
        "",
    ),
    "critical policies": (
        having(
            x509.CertificatePolicies(
                [x509.PolicyInformation(x509.ObjectIdentifier("2.5.29.32.0"), None)]
            ),
            critical=True,
        ),
        "2.5.29.32 is not understood",
        "2.5.29.32 is not understood",
    ),
    "critical policy constraints": (
        having(x509.PolicyConstraints(0, None), critical=True),
        "2.5.29.36 is not understood",
        "2.5.29.36 is not understood",
    ),
    "critical unknown": (
        having(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),
            critical=True,
        ),
        "1.2.3.4 is not understood",
        "1.2.3.4 is not understood",
    ),
    "critical ski": (
        having(x509.SubjectKeyIdentifier(b"1" * 20), critical=True),
        "subjectKeyIdentifier is marked critical",
        "subjectKeyIdentifier is marked critical",
    ),
}


@pytest.mark.parametrize("position", ["anchor", "intermediate"])
@pytest.mark.parametrize("kind", EXTENSIONS)
def test_extensions(
    kind: str, position: str, rsa_root: tuple[Any, ClientCertificate]
) -> None:
    """Every extension that stops the verifier is named, and no other."""
    change, private, strict = EXTENSIONS[kind]
    key = make_key()
    name = make_name("CA")
    signer, parent = (key, None) if position == "anchor" else rsa_root
    issuer = name if parent is None else parent.x509.subject
    ca = sign(name, issuer, key, signer, change(ca_extensions(key, signer)))
    said = compare(ca, leaf(name, key), parent)
    for profile, words in (("private", private), ("strict", strict)):
        assert len(said[profile]) == (1 if words else 0)
        assert words in "".join(said[profile])


@pytest.mark.parametrize(
    ("begins", "ends", "words"),
    [(-20, -1, "It expired on "), (1, 20, "It is valid from ")],
    ids=["expired", "not yet valid"],
)
@pytest.mark.parametrize("position", ["anchor", "intermediate"])
def test_dates(
    begins: int,
    ends: int,
    words: str,
    position: str,
    rsa_root: tuple[Any, ClientCertificate],
) -> None:
    """A CA that is not valid cannot be used, even if the proxy verifies."""
    key = make_key()
    name = make_name("CA")
    signer, parent = (key, None) if position == "anchor" else rsa_root
    ca = sign(
        name,
        name if parent is None else parent.x509.subject,
        key,
        signer,
        ca_extensions(key, signer),
        not_before=NOW + begins * DAY,
        not_after=NOW + ends * DAY,
    )
    (said,) = compare(ca, leaf(name, key), parent)["private"]
    assert said.startswith(words)


RAW: dict[str, tuple[dict[str, Any], str, str]] = {
    # arguments of the writer, what is said of an anchor and of an intermediate
    "plain": ({}, "", ""),
    "version 1": (
        {"version": None, "extensions": None},
        "It is a version 1 certificate; paths",
        "which cannot say that it is a CA’s",
    ),
    "serial negative": ({"serial": write.integer(-5)}, "is negative", "is negative"),
    "serial 20 octets": ({"serial": write.integer(1 << 158)}, "", ""),
    "serial 21 octets": ({"serial": write.integer(1 << 166)}, "", ""),
    "serial 22 octets": (
        {"serial": write.integer(1 << 167)},
        "longer than 20 octets",
        "longer than 20 octets",
    ),
    "empty name": ({"subject": write.name()}, "is empty", "is empty"),
    "t61 name": ({"subject": write.common_name(b"Jos\xe9", write.T61)}, "", ""),
    "bad utf-8 name": ({"subject": write.common_name(b"Jos\xe9")}, "", ""),
    "odd name constraints": (
        {
            "extensions": [
                *write.CA_EXTENSIONS,
                # an iPAddress of three octets
                write.extension(
                    write.NAME_CONSTRAINTS,
                    write.tlv(
                        write.SEQUENCE,
                        write.tlv(
                            0xA0, write.tlv(write.SEQUENCE, write.tlv(0x87, b"abc"))
                        ),
                    ),
                ),
            ]
        },
        "An extension cannot be read",
        "An extension cannot be read",
    ),
}


# cryptography warns of a serial number that is not positive, and loads it.
@pytest.mark.filterwarnings("ignore:Parsed a serial number:UserWarning")
@pytest.mark.parametrize("position", ["anchor", "intermediate"])
@pytest.mark.parametrize("kind", RAW)
def test_odd_certificates(kind: str, position: str) -> None:
    """Forms that no honest CA makes are named, not stumbled over."""
    arguments, of_anchor, of_intermediate = RAW[kind]
    key = make_key()
    root = ThrowawayCA.create("Root")
    subject = arguments.get("subject", write.common_name("CA"))
    arguments = {"extensions": write.CA_EXTENSIONS, **arguments, "subject": subject}
    parent: ClientCertificate | None = None
    if position == "anchor":
        signer = ThrowawayCA(root.certificate, key)
        ca = ClientCertificate(
            write.certificate(signer, key=key, issuer=subject, **arguments)
        )
    else:
        parent = ClientCertificate(root.der)
        ca = ClientCertificate(write.certificate(root, key=key, **arguments))
    client = ClientCertificate(
        write.certificate(ThrowawayCA(root.certificate, key), issuer=subject)
    )
    words = of_anchor if position == "anchor" else of_intermediate
    anchors, intermediates = ([ca], []) if parent is None else ([parent], [ca])
    validator = PathValidator(anchors, intermediates, PRIVATE)
    said = problems(ca, is_anchor=parent is None, at=NOW, profile=PRIVATE)
    assert len(said) == (1 if words else 0)
    assert words in "".join(said)
    assert (not said) == works(validator.validate, client)


def test_never_raises_on_junk() -> None:
    """A certificate that cannot be read is reported as such."""
    (said,) = problems(
        ClientCertificate(b"junk"), is_anchor=True, at=NOW, profile=PRIVATE
    )
    assert said.startswith("It cannot be read (")


def public_key_info(algorithm: str, content: bytes) -> bytes:
    """Return a SubjectPublicKeyInfo."""
    return write.tlv(
        write.SEQUENCE,
        write.tlv(write.SEQUENCE, write.oid(algorithm)),
        write.tlv(write.BIT_STRING, b"\0", content),
    )


def rsa_public_key() -> bytes:
    """Return an RSAPublicKey."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)


@pytest.mark.parametrize(
    ("spki", "words"),
    [
        (
            lambda: public_key_info("1.2.3.4", b"abc"),
            "Its public key is of an unsupported kind: no path",
        ),
        (
            lambda: public_key_info("1.2.840.113549.1.1.10", rsa_public_key()),
            "RSA-PSS CAs cannot be verified here; paths",
        ),
        (
            lambda: public_key_info("1.3.101.110", b"x" * 32),
            "Its public key is of an unsupported kind: no path",
        ),
    ],
    ids=["unknown", "rsa-pss", "x25519"],
)
def test_odd_keys(spki: Callable[[], bytes], words: str) -> None:
    """A key that cannot verify anything is a problem, not an error."""
    ca = write.certificate(
        ThrowawayCA.create(), spki=spki(), extensions=write.CA_EXTENSIONS
    )
    (said,) = problems(ClientCertificate(ca), is_anchor=True, at=NOW, profile=PRIVATE)
    assert said.startswith(words)


def of(*certificates: Any) -> list[ClientCertificate]:
    """Return what was issued as certificates."""
    return [ClientCertificate(one.der) for one in certificates]


def test_bundle_of_cas_is_admitted() -> None:
    """Roots, intermediates, and a version 1 root, which cannot say what it is."""
    root = ThrowawayCA.create()
    v1 = write.certificate(
        root,
        version=None,
        extensions=None,
        key=root.key,
        subject=root.certificate.subject.public_bytes(),
    )
    certificates = [*of(root, root.issue_ca()), ClientCertificate(v1)]
    assert read_bundle(to_pem(certificates)) == (certificates, [])


def broken_constraints(root: ThrowawayCA) -> ClientCertificate:
    """Return a certificate whose basicConstraints cannot be read."""
    extensions = [write.extension(write.BASIC_CONSTRAINTS, b"\x30\x05\x00")]
    return ClientCertificate(write.certificate(root, extensions=extensions))


LEFT_OUT: dict[str, tuple[Callable[[ThrowawayCA], ClientCertificate], str]] = {
    "a client": (
        lambda root: of(root.issue("alice"))[0],
        r"\(CN=alice\): an end-entity",
    ),
    "a self-signed client": (
        lambda root: of(self_signed("device"))[0],
        r"\(CN=device\): an end-entity certificate",
    ),
    "no subject": (
        lambda root: of(root.issue(None))[0],
        r"\(without a subject\): an end",
    ),
    "broken": (broken_constraints, r"extension 2\.5\.29\.19: "),
    "unreadable": (
        lambda root: ClientCertificate(b"\x30\x00"),
        r"\(without a subject\): not a certificate",
    ),
    "unreadable, with a subject": (
        lambda root: ClientCertificate(
            write.certificate(root, serial=b"\x02\x02\x00\x01")
        ),
        r"\(CN=alice\): not a certificate: the encoding breaks DER",
    ),
    "control characters": (
        lambda root: of(root.issue("a\u202eb"))[0],
        r"\(CN=a\\\\e2\\\\80\\\\aeb\)",
    ),
}


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_d03_the_rest_of_a_bundle_is_read(kind: str) -> None:
    """What is left out, is named: an end-entity certificate would be an anchor."""
    make, words = LEFT_OUT[kind]
    root = ThrowawayCA.create()
    odd = make(root)
    certificates, left_out = read_bundle(to_pem([*of(root), odd]))
    assert certificates == of(root)
    (said,) = left_out
    assert said.startswith("certificate 2 of 2 (")
    assert re.search(words, said), said
    with pytest.raises(BundleError, match=words):
        read_bundle(to_pem([odd]))


def test_issuer_problem() -> None:
    """An intermediate whose issuer is missing, or is another one, leads nowhere."""
    root = ThrowawayCA.create("Root")
    twin = ThrowawayCA.create("Root")
    shouting = ThrowawayCA.create("ROOT")
    (below,) = of(root.issue_ca())
    assert issuer_problem(below, [below, *of(root)]) is None
    missing = issuer_problem(below, [below]) or ""
    assert "Its issuer, CN=Root, is not in the bundle" in missing
    assert "with another key" in (issuer_problem(below, [below, *of(twin)]) or "")
    assert "spelt differently" in (issuer_problem(below, of(shouting)) or "")
    (unnamed,) = of(ThrowawayCA.create(subject=x509.Name([])).issue_ca())
    assert "is not in the bundle" in (issuer_problem(unnamed, of(root)) or "")


def test_strict_and_private_are_the_profiles() -> None:
    """A new profile needs its own sentences."""
    assert set(PROFILES.values()) == {PRIVATE, STRICT}


def name_constraint(tag: int, value: bytes) -> x509.UnrecognizedExtension:
    """Return name constraints that permit one GeneralName, which may be odd."""
    subtree = write.tlv(write.SEQUENCE, write.tlv(tag, value))
    encoded = write.tlv(write.SEQUENCE, write.tlv(0xA0, subtree))
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(NAME_CONSTRAINTS), encoded)


_UPN_TYPE = bytes.fromhex("060a2b060104018237140203")

EXAMPLES: dict[str, dict[str, list[str]]] = {
    "a DNS name": {"dns": ["a.example.com"]},
    "an e-mail address": {"emails": ["a@example.com"]},
    "a URI": {"uris": ["https://a.example.com/x"]},
    "another name, as a UPN is": {"upns": ["a@example.com"]},
}


@pytest.mark.parametrize(
    ("tag", "value", "refused"),
    [
        (0x82, b".example.com", "a DNS name"),
        (0x82, b"", "a DNS name"),
        (0x82, b"example.com", ""),
        (0x81, b"@example.com", "an e-mail address"),
        (0x81, b"", "an e-mail address"),
        (0x81, b"example.com", ""),
        (0x81, b"a@example.com", ""),
        (0x86, b"example.com", "a URI"),
        (0x86, b".example.com", "a URI"),
        (0xA0, _UPN_TYPE + b"\xa0\x0d\x0c\x0bexample.com", "another name, as a UPN is"),
    ],
)
@pytest.mark.parametrize("critical", [False, True])
def test_d04_name_constraints_that_cannot_be_compared(
    tag: int, value: bytes, refused: str, critical: bool
) -> None:
    """Said at upload: each certificate with such a name is refused, and no other."""
    root = ThrowawayCA.create(extensions=[(name_constraint(tag, value), critical)])
    anchor = ClientCertificate(root.der)
    said = problems(anchor, is_anchor=True, at=NOW, profile=PRIVATE)
    assert len(said) == bool(refused)
    assert not refused or f"certificate with {refused} is refused" in said[0]
    validator = PathValidator([anchor])
    for kind, names in EXAMPLES.items():
        certificate = ClientCertificate(root.issue("alice", **names).der)  # type: ignore[arg-type]
        for step in (validator.validate, validator.find_issuer):
            assert works(step, certificate) == (kind != refused), (kind, step)


TLS_FEATURE = "1.3.6.1.5.5.7.1.24"


def test_d01_an_extension_that_the_library_fails_at_is_a_remark() -> None:
    """A TLSFeature (RFC 7633) with a value that it does not know."""
    feature = x509.UnrecognizedExtension(
        x509.ObjectIdentifier(TLS_FEATURE), bytes.fromhex("3003020106")
    )
    constraints = x509.NameConstraints([x509.DNSName("example.com")], None)
    for extensions in ([(feature, False)], [(constraints, True), (feature, False)]):
        root = ThrowawayCA.create(extensions=extensions)  # type: ignore[arg-type]
        anchor = ClientCertificate(root.der)
        with pytest.raises(KeyError):  # or the test would show nothing
            _ = anchor.x509.extensions
        (said,) = problems(anchor, is_anchor=True, at=NOW, profile=PRIVATE)
        assert "An extension cannot be read" in said
        validator = PathValidator([anchor])
        for step in (validator.validate, validator.find_issuer):
            works(step, ClientCertificate(root.issue("alice").der))


def test_p09_explicit_parameters_are_a_remark() -> None:
    """RFC 5480 (2.1.1) forbids them, and the verifier refuses the path."""
    key = ec.generate_private_key(ec.SECP256R1())
    prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    b = bytes.fromhex(
        "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"
    )
    generator = bytes.fromhex(
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    )
    octets = lambda value: write.tlv(write.OCTET_STRING, value)  # noqa: E731
    parameters = write.tlv(
        write.SEQUENCE,
        write.integer(1),
        write.tlv(write.SEQUENCE, write.oid("1.2.840.10045.1.1"), write.integer(prime)),
        write.tlv(write.SEQUENCE, octets((prime - 3).to_bytes(32, "big")), octets(b)),
        octets(generator),
        write.integer(order),
        write.integer(1),
    )
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    spki = write.tlv(
        write.SEQUENCE,
        write.tlv(write.SEQUENCE, write.oid("1.2.840.10045.2.1"), parameters),
        write.tlv(write.BIT_STRING, b"\0" + point),
    )
    root = ThrowawayCA.create("CA", key=key)
    encoded = write.certificate(
        root,
        subject=root.certificate.subject.public_bytes(),
        spki=spki,
        extensions=write.CA_EXTENSIONS,
    )
    ca = ClientCertificate(encoded)
    said = problems(ca, is_anchor=True, at=NOW, profile=PRIVATE)
    assert "Explicit elliptic curve CAs cannot be verified here" in said[0]
    client = ClientCertificate(root.issue("alice", emails=["a@example.com"]).der)
    assert not works(PathValidator([ca]).validate, client)
    assert works(PathValidator([ca]).find_issuer, client)


def test_p09_an_algorithm_that_is_not_known_is_called_unsupported() -> None:
    """The certificate is well formed."""
    spki = write.tlv(
        write.SEQUENCE,
        write.tlv(write.SEQUENCE, write.oid("2.16.840.1.101.3.4.3.20")),
        write.tlv(write.BIT_STRING, b"\0" * 33),
    )
    ca = ClientCertificate(write.certificate(ThrowawayCA.create(), spki=spki))
    with pytest.raises(CertificateParseError, match="not supported: TLS clients do"):
        _ = ca.public_key


def test_d15_a_serial_number_of_zero_is_a_remark() -> None:
    """As the library warns at each reading, which is silenced."""
    root = ThrowawayCA.create()
    encoded = write.certificate(
        root,
        serial=write.integer(0),
        subject=root.certificate.subject.public_bytes(),
        key=root.key,
        extensions=write.CA_EXTENSIONS,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        apps.get_app_config("django_clientcert").ready()
        certificate = ClientCertificate(encoded)
        said = problems(certificate, is_anchor=True, at=NOW, profile=PRIVATE)
        validator = PathValidator([certificate])
        assert works(validator.validate, ClientCertificate(root.issue("alice").der))
    assert said == (
        "Its serial number is zero, which a later cryptography may not read.",
    )
