"""What an administrator uploads: read certificate by certificate, or refused."""

from __future__ import annotations

import base64
import dataclasses
import time
import timeit
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)
from hypothesis import given
from hypothesis import strategies as st

from django_clientcert.exceptions import BundleError, PrivateKeyFoundError
from django_clientcert.testing import (
    IssuedCertificate,
    ThrowawayCA,
    encode_pem,
    make_key,
    self_signed,
)
from django_clientcert.x509 import bundles
from django_clientcert.x509.bundles import (
    choose_end_entity,
    holds_private_key,
    is_self_signed,
    read_certificates,
    sort_bundle,
    to_pem,
)
from django_clientcert.x509.certificates import ClientCertificate
from tests import der_writer as w
from tests.der_writer import common_name, tlv


def wrap(label: str, octets: bytes) -> str:
    """Return a PEM block of any label."""
    return encode_pem(octets).replace(" CERTIFICATE", f" {label}")


def found(data: bytes | str) -> list[bytes]:
    """Return the DER of the certificates read."""
    return [one.der for one in read_certificates(data)]


# --- what is read -----------------------------------------------------------------


@pytest.fixture(scope="module")
def chain(ca: ThrowawayCA) -> list[bytes]:
    """A leaf and two CAs."""
    issuing = ca.issue_ca("Issuing")
    return [issuing.issue("alice").der, issuing.der, ca.der]


def test_pem(chain: list[bytes]) -> None:
    """One block or many, whatever surrounds them, with any line endings."""
    pem = "".join(map(encode_pem, chain))
    assert found(pem) == chain
    assert found(pem.encode()) == chain
    assert found(pem.replace("\n", "\r\n")) == chain
    assert found("\ufeffsubject=CN = José\n\n" + pem + "\nBag Attributes\n") == chain
    assert found(encode_pem(chain[0])) == chain[:1]
    assert found(pem * 2) == chain * 2


def test_pem_of_one_line(chain: list[bytes]) -> None:
    """What a form, a YAML file or an env variable made of the lines."""
    pem = encode_pem(chain[0])
    assert found(pem.replace("\n", " ")) == chain[:1]
    assert found(pem.replace("\n", "")) == chain[:1]


@pytest.mark.parametrize("label", ["CERTIFICATE", "X509 CERTIFICATE"])
def test_labels(label: str, chain: list[bytes]) -> None:
    """Old names of the label."""
    assert found(wrap(label, chain[0])) == chain[:1]


def test_trusted_certificate(chain: list[bytes]) -> None:
    """OpenSSL appends its trust settings; the certificate in front is read."""
    settings = tlv(w.SEQUENCE, tlv(w.SEQUENCE))
    assert found(wrap("TRUSTED CERTIFICATE", chain[0] + settings)) == chain[:1]
    assert found(wrap("TRUSTED CERTIFICATE", chain[0])) == chain[:1]
    with pytest.raises(BundleError, match="certificate 1 of 1"):
        found(wrap("TRUSTED CERTIFICATE", b"\x30\x80"))


def test_der(chain: list[bytes]) -> None:
    """One certificate as it is."""
    assert found(chain[0]) == chain[:1]


def test_pkcs7(chain: list[bytes]) -> None:
    """Windows' .p7b, in both forms."""
    certificates = [one.x509 for one in map(ClientCertificate, chain)]
    encoded = pkcs7.serialize_certificates(certificates, Encoding.DER)
    pem = pkcs7.serialize_certificates(certificates, Encoding.PEM)
    assert set(found(encoded)) == set(chain)
    assert set(found(pem)) == set(chain)
    assert set(found(encode_pem(chain[0]) + pem.decode())) == set(chain)


def test_other_blocks_beside_are_passed_over(chain: list[bytes]) -> None:
    """A CRL or parameters beside a certificate do not matter."""
    both = (
        wrap("X509 CRL", b"\5\0") + encode_pem(chain[0]) + wrap("DH PARAMETERS", b"0")
    )
    assert found(both) == chain[:1]


def test_to_pem_leads_back(chain: list[bytes]) -> None:
    """What is written is what the ingress' ca.crt is, and read again."""
    certificates = read_certificates("".join(map(encode_pem, chain)))
    assert to_pem(certificates) == "".join(map(encode_pem, chain))
    assert to_pem(()) == ""


def test_n26_a_certificate_with_strange_text_is_read(ca: ThrowawayCA) -> None:
    """N26: what can be pinned can be uploaded."""
    encoded = w.certificate(ca, subject=common_name(b"Jos\xe9", w.T61))
    assert found(encoded) == [encoded]


# --- what is refused --------------------------------------------------------------


GOOD = encode_pem(w.certificate(ThrowawayCA.create("Bundle CA")))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param("", "is empty", id="nothing"),
        pytest.param(" \n\t", "is empty", id="blank"),
        pytest.param("certificate", "neither PEM", id="a word"),
        pytest.param(b"\x30", "neither PEM", id="cut DER"),
        pytest.param(b"\x30\x00", "neither PEM", id="empty DER"),
        pytest.param(tlv(w.SET, b"\5\0"), "neither PEM", id="another type"),
        pytest.param(tlv(w.SEQUENCE, b"\5\0"), "certificate 1 of 1", id="other DER"),
        pytest.param(b"\0" * 100, "neither PEM", id="zeros"),
        pytest.param(b"\xff\xfe-\0-\0-\0", "neither PEM", id="UTF-16"),
        pytest.param("-----BEGIN CERTIFICATE-----", "cut off", id="only BEGIN"),
        pytest.param(GOOD[:-20], "cut off", id="END is missing"),
        pytest.param(GOOD[:-20] + "\n" + GOOD, "cut off", id="n16 END is missing"),
        pytest.param(GOOD + GOOD[:100], "cut off", id="n16 the second is cut"),
        pytest.param(
            GOOD.replace("END CERT", "END X509 CERT"), "cut off", id="another END"
        ),
        pytest.param("-----BEGIN certificate-----\n", "cut off", id="lower case"),
        pytest.param("-----BEGIN \n", "cut off", id="no label"),
        pytest.param(
            GOOD.replace("\nM", "\n!M", 1), "block 1 is not base64", id="no base64"
        ),
        pytest.param(
            GOOD + GOOD.replace("\nM", "\n!M", 1),
            "block 2 is not base64",
            id="n16 the second is no base64",
        ),
        pytest.param(
            GOOD.replace("\nM", "\nComment: hello\n\nM", 1),
            "not base64",
            id="n18 headers",
        ),
        pytest.param(
            GOOD + encode_pem(b"\5\0"), "certificate 2 of 2", id="the second is none"
        ),
        pytest.param(wrap("X509 CRL", b"\5\0"), "only: X509 CRL", id="a CRL"),
        pytest.param(
            wrap("PUBLIC KEY", b"\5\0") + wrap("CERTIFICATE REQUEST", b"\5\0"),
            "only: CERTIFICATE REQUEST, PUBLIC KEY",
            id="a request",
        ),
        pytest.param(wrap("PKCS7", b"\5\0"), "PKCS#7 file cannot", id="bad PKCS#7"),
        pytest.param(
            tlv(w.SEQUENCE, w.oid("1.2.840.113549.1.7.1")),
            "PKCS#7 file cannot",
            id="other PKCS#7",
        ),
        pytest.param("x" * (bundles.MAX_BUNDLE_BYTES + 1), "2 MiB", id="too big"),
        pytest.param(GOOD * 2001, "more than 2000", id="too many"),
    ],
)
def test_refused(data: bytes | str, says: str) -> None:
    """With a sentence that says which part and why."""
    with pytest.raises(BundleError, match=says):
        read_certificates(data)


def test_an_empty_pkcs7_holds_nothing() -> None:
    """Signed data without a certificate."""
    signed = tlv(
        w.SEQUENCE,
        w.integer(1),
        tlv(w.SET),
        tlv(w.SEQUENCE, w.oid("1.2.840.113549.1.7.1")),
        tlv(0xA0),
        tlv(w.SET),
    )
    empty = tlv(w.SEQUENCE, w.oid("1.2.840.113549.1.7.2"), tlv(0xA0, signed))
    with pytest.raises(BundleError):
        read_certificates(empty)


def test_a_refusal_shows_nothing_raw(ca: ThrowawayCA) -> None:
    """Text from the file is escaped in the message."""
    certificate = w.certificate(ca, extensions=[*w.CLIENT_EXTENSIONS] * 2)
    with pytest.raises(BundleError) as error:
        read_certificates(certificate)
    assert str(error.value).isprintable()


# --- private keys -----------------------------------------------------------------


@pytest.fixture(scope="module")
def private_keys() -> dict[str, bytes]:
    """Return private keys in every usual form."""
    keys = {
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "x25519": x25519.X25519PrivateKey.generate(),
        "ed25519": make_key("ed25519"),
    }
    password = BestAvailableEncryption(b"secret")
    forms = {}
    for kind, key in keys.items():
        for encoding in (Encoding.PEM, Encoding.DER):
            label = f"{kind} {'PEM' if encoding is Encoding.PEM else 'DER'}"
            for name, encryption in (("", NoEncryption()), (" encrypted", password)):
                forms[f"{label} PKCS8{name}"] = key.private_bytes(
                    encoding, PrivateFormat.PKCS8, encryption
                )
            if kind in ("rsa", "ec"):
                forms[f"{label} traditional"] = key.private_bytes(
                    encoding, PrivateFormat.TraditionalOpenSSL, NoEncryption()
                )
        if kind in ("rsa", "ec"):
            forms[f"{kind} traditional encrypted"] = key.private_bytes(
                Encoding.PEM, PrivateFormat.TraditionalOpenSSL, password
            )
        if kind in ("rsa", "ec", "ed25519"):
            forms[f"{kind} OpenSSH"] = key.private_bytes(
                Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
            )
    issued = self_signed("device")
    forms["PKCS12"] = issued.p12("secret")
    forms["PKCS12 without a password"] = pkcs12.serialize_key_and_certificates(
        b"x", issued.key, issued.certificate, None, NoEncryption()
    )
    return forms


def test_n17_a_private_key_is_found(
    private_keys: dict[str, bytes], alice_cert: IssuedCertificate
) -> None:
    """N17: in every form, alone, in text and beside a certificate."""
    pem = alice_cert.pem.encode()
    assert len(private_keys) > 20
    for form, octets in private_keys.items():
        cases = [octets]
        if octets.startswith(b"-----"):
            cases += [pem + octets, octets + pem, b"Bag Attributes\n" + octets]
            cases += [octets.lower(), octets.replace(b"\n", b"\r\n"), octets[:60]]
            # Without its labels it still is one.
            body = b"\n".join(octets.splitlines()[1:-1])
            cases += [body, b"key: " + body.replace(b"\n", b""), body[:100]]
        else:
            cases += [base64.b64encode(octets), base64.encodebytes(octets)]
            cases += [base64.urlsafe_b64encode(octets).rstrip(b"="), octets[:100]]
        for data in cases:
            assert holds_private_key(data), form
            with pytest.raises(PrivateKeyFoundError) as error:
                read_certificates(data)
            assert "nothing was stored" in str(error.value)


def test_n17_a_private_key_in_text() -> None:
    """N17: a text field is looked through as well as a file."""
    assert holds_private_key("hello\n-----BEGIN RSA PRIVATE KEY-----\n")
    assert holds_private_key("-----BEGIN PGP PRIVATE KEY BLOCK-----")
    assert holds_private_key("PuTTY-User-Key-File-3: ssh-ed25519")


def test_what_is_not_a_private_key(chain: list[bytes]) -> None:
    """Certificates, public keys and plain text are none."""
    public = make_key("rsa2048").public_key()
    for form in (Encoding.PEM, Encoding.DER):
        assert not holds_private_key(
            public.public_bytes(form, PublicFormat.SubjectPublicKeyInfo)
        )
    certificate = ClientCertificate(chain[0])
    for data in (
        *("", "note", "A" * 44, "A" * 41, "0" + "A" * 43, "private key: ask Bob"),
        *(chain[0], encode_pem(chain[0]), base64.b64encode(chain[0])),
        *(b"\x30", b"\x30\x00", tlv(w.SEQUENCE, tlv(w.INTEGER, b"\1"))),
        pkcs7.serialize_certificates([certificate.x509], Encoding.DER),
    ):
        assert not holds_private_key(data)


# --- one certificate out of a chain -----------------------------------------------


def certificates_of(*encoded: bytes) -> list[ClientCertificate]:
    """Return certificates."""
    return [ClientCertificate(one) for one in encoded]


def test_choose_end_entity(chain: list[bytes]) -> None:
    """The one that issued none of the others, in any place and number."""
    for data in (chain, chain[::-1], [*chain, *chain], chain[:2], chain[:1], chain[2:]):
        certificates = certificates_of(*data)
        leaf = chain[0] if chain[0] in data else chain[2]
        assert choose_end_entity(certificates).der == leaf


def test_choose_end_entity_refuses_two(ca: ThrowawayCA) -> None:
    """Two people's certificates are named, and none is chosen."""
    two = certificates_of(ca.issue("alice").der, ca.issue("bob\n").der, ca.der)
    with pytest.raises(BundleError, match="CN=alice") as error:
        choose_end_entity(two)
    assert str(error.value).isprintable()


def test_choose_end_entity_of_a_circle(ca: ThrowawayCA) -> None:
    """If CAs have certified each other, there is no end entity; they are named."""
    a, b = common_name("A"), common_name("B")
    circle = certificates_of(
        w.certificate(ca, subject=a, issuer=b), w.certificate(ca, subject=b, issuer=a)
    )
    with pytest.raises(BundleError, match=r"CN=A; CN=B"):
        choose_end_entity(circle)


def test_sort_bundle(chain: list[bytes]) -> None:
    """The self-signed are anchors; the others are intermediates, each once."""
    trust = sort_bundle(certificates_of(*chain, *chain))
    assert [one.der for one in trust.anchors] == [chain[2]]
    assert [one.der for one in trust.intermediates] == chain[:2]


def test_sort_bundle_without_a_root(chain: list[bytes]) -> None:
    """Where nothing is self-signed, all of it is trusted."""
    trust = sort_bundle(certificates_of(*chain[:2], chain[1]))
    assert [one.der for one in trust.anchors] == chain[:2]
    assert trust.intermediates == ()
    assert sort_bundle(()).anchors == ()


def test_is_self_signed(ca: ThrowawayCA, chain: list[bytes]) -> None:
    """By its key, not by its name alone."""
    leaf, issuing, root = certificates_of(*chain)
    assert is_self_signed(root)
    assert not is_self_signed(issuing)
    assert not is_self_signed(leaf)
    # A new key for an old name, signed with the old one: self-issued only
    rollover = w.certificate(ca, subject=ca.certificate.subject.public_bytes())
    assert not is_self_signed(ClientCertificate(rollover))


def test_is_self_signed_with_an_algorithm_that_cannot_be_checked() -> None:
    """Then equal names decide: a self-signature proves nothing anyway."""
    name = common_name("Old root")
    key = make_key()
    ca = dataclasses.replace(self_signed("x"), key=key)
    good = w.certificate(ca, subject=name, issuer=name, key=key)
    # Another algorithm, unknown to everybody, of an identifier as long
    encoded = good.replace(w.oid("1.2.840.10045.4.3.2"), w.oid("1.2.840.10045.4.3.99"))
    assert is_self_signed(ClientCertificate(encoded))
    assert is_self_signed(ClientCertificate(good))


# --- whatever comes ---------------------------------------------------------------


@given(st.one_of(st.binary(max_size=100), st.text(max_size=100)))
def test_raises_nothing_else(data: bytes | str) -> None:
    """Any upload is certificates or a BundleError."""
    with suppress(BundleError):
        read_certificates(data)


PIECES = [
    "-----BEGIN CERTIFICATE-----",
    "-----END CERTIFICATE-----",
    "\n",
    GOOD,
    "MAA=",
]
PIECES += ["-----BEGIN PKCS7-----", "-----END PKCS7-----", "-----BEGIN ", "x"]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_raises_nothing_else_for_likely_texts(text: str) -> None:
    """Texts that get further."""
    with suppress(BundleError):
        assert all(one.subject for one in read_certificates(text))


@given(st.data())
def test_damage_raises_nothing_else(data: st.DataObject) -> None:
    """A damaged certificate, in DER, is one or a BundleError."""
    octets = bytearray(base64.b64decode("".join(GOOD.splitlines()[1:-1])))
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    with suppress(BundleError):
        certificates = read_certificates(bytes(octets))
        sort_bundle(certificates)
        choose_end_entity(certificates)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"-----BEGIN A-----\n" * 2000, id="many BEGIN lines"),
        pytest.param(
            b"-----BEGIN A-----\n" * 1000 + b"-----END B-----\n" * 1000, id="labels"
        ),
        pytest.param(b"A" * 50 + b" " * 30000 + b"!", id="spaces"),
        pytest.param(b"-----BEGIN " + b"A " * 15000, id="a long label"),
        pytest.param(b"=" * 30000, id="padding"),
        pytest.param(b"\x30\x80" * 15000, id="nested"),
    ],
)
def test_n12_work_is_linear(data: bytes) -> None:
    """N12: ten times the upload is some ten times the work, not a hundred."""

    def cost(what: bytes) -> float:
        def read() -> None:
            with suppress(BundleError):
                read_certificates(what)

        return min(timeit.repeat(read, number=1, repeat=3, timer=time.process_time))

    assert cost(data * 10) < 40 * cost(data) + 0.01
