"""Certificates above the client's that the proxy forwards: a way up, never an anchor.

``traefik`` forwards them in one header with the client's, and verifies nothing;
``haproxy`` in another, and says what it found.
"""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from django_clientcert.conf import conf
from django_clientcert.evaluation.decisions import REFUSED, Decision
from django_clientcert.evaluation.presented import Presented
from django_clientcert.evaluation.run import evaluate
from django_clientcert.exceptions import Reason
from django_clientcert.models import CertificateAuthority
from django_clientcert.testing import (
    IssuedCertificate,
    ThrowawayCA,
    make_key,
    make_name,
    self_signed,
)
from django_clientcert.trust.crl_import import import_crl
from django_clientcert.trust.revoke import (
    revoke_certificate,
    revoke_period,
    revoke_serial,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.paths import PathValidator
from tests.conftest import Wsgi
from tests.deciding import map_to

pytestmark = pytest.mark.django_db

DAY = dt.timedelta(days=1)
NOW = dt.datetime.now(dt.timezone.utc)


def parsed(certificate: IssuedCertificate) -> ClientCertificate:
    """Return the certificate as the package has it."""
    return ClientCertificate(certificate.certificate.public_bytes(Encoding.DER))


def in_base64(certificate: IssuedCertificate) -> str:
    """Return the DER in base64."""
    return base64.b64encode(parsed(certificate).der).decode()


def concatenated(*certificates: IssuedCertificate) -> str:
    """Return the DER of several certificates, as HAProxy writes a chain."""
    return base64.b64encode(b"".join(parsed(one).der for one in certificates)).decode()


def through_traefik(*certificates: IssuedCertificate, **options: Any) -> Decision:
    """Return the decision on certificates that Traefik forwards."""
    value = ",".join(map(in_base64, certificates))
    return evaluate(
        Presented(conf.CLIENTCERT_PROXY, value=value, peer="10.1.2.3"),
        host="testserver",
        **options,
    )


def through_haproxy(
    leaf: IssuedCertificate,
    *above: IssuedCertificate,
    verdict: str = "0",
    used: str | None = "1",
) -> Decision:
    """Return the decision on certificates that HAProxy forwards."""
    return evaluate(
        Presented(
            conf.CLIENTCERT_PROXY,
            value=in_base64(leaf),
            verdict=verdict,
            conditions=(used,),
            chain=(concatenated(*above),) if above else (),
            peer="10.1.2.3",
        ),
        host="testserver",
    )


@pytest.fixture
def traefik(settings: Any) -> None:
    """The proxy in front."""
    settings.CLIENTCERT_PROXY = "traefik"


@pytest.fixture
def haproxy(settings: Any) -> None:
    """Another."""
    settings.CLIENTCERT_PROXY = "haproxy"


@pytest.fixture(scope="module")
def root() -> ThrowawayCA:
    """What the administrator trusts."""
    return ThrowawayCA.create("Company Root")


@pytest.fixture(scope="module")
def issuing(root: ThrowawayCA) -> ThrowawayCA:
    """What only the client has."""
    return root.issue_ca("Company Issuing")


@pytest.fixture(scope="module")
def leaf(issuing: ThrowawayCA) -> IssuedCertificate:
    """The client's certificate."""
    return issuing.issue("alice")


@pytest.fixture
def company(alice: Any, root: ThrowawayCA) -> CertificateAuthority:
    """The authority, with the root alone; it names Alice by her subject."""
    authority = CertificateAuthority.objects.create(name="Company", bundle=root.pem)
    map_to(alice, "subject", "CN=alice", authority=authority)
    return authority


def step_of(decision: Decision) -> str:
    """Return the step that refused."""
    (refused,) = (one.name for one in decision.steps if one.outcome == REFUSED)
    return refused


# --- the way up ------------------------------------------------------------------


@pytest.mark.usefixtures("traefik", "company")
def test_a_forwarded_intermediate_leads_to_the_anchor(
    alice: Any, root: ThrowawayCA, issuing: ThrowawayCA, leaf: IssuedCertificate
) -> None:
    """Without it there is no path; the root beside it changes nothing."""
    assert through_traefik(leaf).reason == "untrusted_issuer"
    for above in ((issuing,), (issuing, root)):
        decision = through_traefik(leaf, *above)
        assert decision.user == alice
        assert decision.certificate == parsed(leaf)
    # Nothing of it was kept for the next one.
    assert through_traefik(leaf).reason == "untrusted_issuer"


@pytest.mark.usefixtures("haproxy", "company")
def test_a_chain_of_another_header(
    alice: Any, issuing: ThrowawayCA, leaf: IssuedCertificate
) -> None:
    """The proxy verified the path, and still has to show it."""
    assert through_haproxy(leaf).reason == "untrusted_issuer"
    assert through_haproxy(leaf, issuing).user == alice
    # Some write the client's own certificate there too.
    assert through_haproxy(leaf, leaf, issuing).user == alice


@pytest.mark.usefixtures("traefik")
def test_rules_reach_through_a_forwarded_chain(
    alice: Any, root: ThrowawayCA, issuing: ThrowawayCA, leaf: IssuedCertificate
) -> None:
    """The authority is found by the issuer of what was sent."""
    CertificateAuthority.objects.create(
        name="Company", bundle=root.pem, rule_identity="common_name"
    )
    assert through_traefik(leaf).reason == "unmapped"
    assert through_traefik(leaf, issuing).user == alice


@pytest.mark.usefixtures("traefik", "company")
def test_an_intermediate_of_the_bundle_may_be_in_the_middle(
    alice: Any, company: CertificateAuthority, root: ThrowawayCA, issuing: ThrowawayCA
) -> None:
    """Half of the path from here, half from there."""
    company.bundle = root.pem + issuing.pem
    company.save()
    lower = issuing.issue_ca("Company Lower")
    deep = lower.issue("alice")
    assert through_traefik(deep).reason == "untrusted_issuer"
    assert through_traefik(deep, lower).user == alice


@pytest.mark.usefixtures("traefik", "company")
def test_the_bundle_comes_first(
    alice: Any, company: CertificateAuthority, root: ThrowawayCA, issuing: ThrowawayCA
) -> None:
    """A revoked way that the client sends is not taken where there is another."""
    other = root.issue_ca("Company Issuing", key=issuing.key)
    company.bundle = root.pem + issuing.pem
    company.save()
    revoke_serial(company, parsed(other).serial_number, issuer="CN=Company Root")
    assert through_traefik(issuing.issue("alice"), other).user == alice


# --- never an anchor, never an identity ------------------------------------------


@pytest.mark.usefixtures("traefik", "company")
def test_n33_a_forwarded_root_is_no_anchor(alice: Any) -> None:
    """Of the same name as the one that is trusted, with a chain that is whole."""
    fake = ThrowawayCA.create("Company Root")
    issuing = fake.issue_ca("Company Issuing")
    leaf = issuing.issue("alice")
    decision = through_traefik(leaf, issuing, fake)
    assert decision.reason == "untrusted_issuer"
    assert decision.user is None


@pytest.mark.usefixtures("traefik", "company")
def test_n30_only_the_first_is_the_identity(
    alice: Any, root: ThrowawayCA, leaf: IssuedCertificate
) -> None:
    """Whoever sends Alice's certificate behind a valid one of its own is not Alice."""
    map_to(alice, "fingerprint", leaf.fingerprint)
    mallory = root.issue("mallory")
    # A CA that calls itself Alice, pinned even
    named = ThrowawayCA.create("alice")
    map_to(alice, "public_key", parsed(named).public_key_fingerprint)
    decision = through_traefik(mallory, root, named)
    assert decision.reason == "unmapped"
    assert decision.certificate == parsed(mallory)
    for second in (leaf, self_signed("alice")):
        assert through_traefik(mallory, second).reason == "ambiguous_header"


@pytest.mark.usefixtures("traefik", "company")
def test_n06_two_lines_that_were_joined_are_refused(
    alice: Any, root: ThrowawayCA, leaf: IssuedCertificate, issuing: ThrowawayCA
) -> None:
    """In either order: a second client's certificate gives them away."""
    map_to(alice, "fingerprint", leaf.fingerprint)
    mallory = root.issue("mallory")
    for lines in ((leaf, issuing, mallory), (mallory, leaf, issuing)):
        decision = through_traefik(*lines)
        assert decision.reason == "ambiguous_header"
        assert decision.certificate is None


@pytest.mark.usefixtures("traefik", "company")
def test_a11_the_second_certificate_has_issued_the_first(
    alice: Any, root: ThrowawayCA, leaf: IssuedCertificate, issuing: ThrowawayCA
) -> None:
    """Another client may present the certificate of a CA: that of its own, or anyone's.

    A name proves nothing, so the signature is checked.
    """
    map_to(alice, "fingerprint", leaf.fingerprint)
    namesake = ThrowawayCA.create("Company Issuing")
    for second in (namesake, ThrowawayCA.create("Mallory"), root):
        for rest in ((), (issuing,)):
            decision = through_traefik(leaf, second, *rest)
            assert decision.reason == "ambiguous_header"
            assert decision.certificate is None
    assert through_traefik(leaf, issuing, namesake).user == alice
    # The same certificate twice is one.
    assert through_traefik(leaf, leaf).user == alice


@pytest.mark.usefixtures("traefik", "company")
@pytest.mark.parametrize(("bits", "exponent"), [(2048, 2**64 + 13), (8200, 65537)])
def test_a01_an_unusual_key_checks_nothing(
    root: ThrowawayCA, monkeypatch: pytest.MonkeyPatch, bits: int, exponent: int
) -> None:
    """The client chooses it, and pays nothing for what it costs here."""
    modulus = (1 << (bits - 1)) + 1
    key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    subject = make_name("Unusual")
    issuer = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(root.certificate.subject)
        .public_key(key)
        .serial_number(7)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(root.key, hashes.SHA256())
    )
    leaf = ThrowawayCA.create("Unusual").issue("alice")
    monkeypatch.setattr(ClientCertificate, "is_signed_by", None)
    decision = through_traefik(leaf, IssuedCertificate(issuer, root.key))
    assert decision.reason == "ambiguous_header"


@pytest.mark.usefixtures("traefik", "company")
def test_an_intermediate_that_may_not_sign_is_no_way_up(
    root: ThrowawayCA, issuing: ThrowawayCA
) -> None:
    """RFC 5280, 6.1.4: a path length that ended, and a CA that ended."""
    last = root.issue_ca("Last", path_length=0)
    below = last.issue_ca("Below")
    assert through_traefik(below.issue("alice"), below, last).reason == "invalid_path"
    now = dt.datetime.now(dt.timezone.utc)
    ended = root.issue_ca("Ended", not_before=now - 3 * DAY, not_after=now - DAY)
    assert through_traefik(ended.issue("alice"), ended).reason == "invalid_path"


@pytest.mark.usefixtures("traefik", "company")
def test_n12_a_long_chain_is_refused(
    root: ThrowawayCA, issuing: ThrowawayCA, leaf: IssuedCertificate, settings: Any
) -> None:
    """More than any chain has."""
    settings.CLIENTCERT_MAX_HEADER_BYTES = 65536
    many = [root.issue_ca(f"CA {number}") for number in range(8)]
    assert through_traefik(leaf, issuing, *many).reason == "malformed_header"
    assert through_traefik(leaf, issuing, *many[:7]).accepted


@pytest.mark.usefixtures("haproxy")
def test_n12_certificate_and_chain_are_limited_together(
    company: CertificateAuthority,
    issuing: ThrowawayCA,
    leaf: IssuedCertificate,
    settings: Any,
) -> None:
    """However a proxy spreads them over its headers."""
    size = len(in_base64(leaf)) + len(concatenated(issuing))
    settings.CLIENTCERT_MAX_HEADER_BYTES = size
    assert through_haproxy(leaf, issuing).reason is not Reason.HEADER_TOO_LARGE
    settings.CLIENTCERT_MAX_HEADER_BYTES = size - 1
    decision = through_haproxy(leaf, issuing)
    assert decision.reason is Reason.HEADER_TOO_LARGE
    assert f"{size} bytes" in str(decision.steps)


@pytest.mark.usefixtures("traefik")
def test_n12_certificates_that_all_sign_each_other_end() -> None:
    """A client's own crowd of CAs: every pair of them is looked at once."""
    key = make_key()
    top = ThrowawayCA.create("Crowd", key=key)
    crowd = [top.issue_ca("Crowd", key=key) for _ in range(8)]
    leaf = crowd[0].issue("alice")
    trusted = ThrowawayCA.create("Trusted")
    validator = PathValidator([parsed(trusted)])
    assert validator.issuers_of(parsed(leaf), [parsed(one) for one in crowd]) == ()
    validator = PathValidator([parsed(top)])
    found = validator.issuers_of(parsed(leaf), [parsed(one) for one in crowd])
    assert len(found) == 9


@pytest.mark.usefixtures("traefik", "company")
def test_n29_an_unreadable_certificate_above_is_a_decision(
    leaf: IssuedCertificate,
) -> None:
    """Never an exception, whatever the client sends there."""
    value = in_base64(leaf) + "," + base64.b64encode(b"\x30\x03\x02\x01\x01").decode()
    decision = evaluate(
        Presented(conf.CLIENTCERT_PROXY, value=value, peer="10.1.2.3"), host=""
    )
    assert decision.reason == "malformed_certificate"


# --- revocation ------------------------------------------------------------------


@pytest.mark.usefixtures("traefik")
@pytest.mark.parametrize("by", ["key", "serial number", "time"])
def test_n50_a_revoked_intermediate_is_no_way_up(
    by: str, company: CertificateAuthority, root: ThrowawayCA
) -> None:
    """Although it is in no bundle, and only the client sends it."""
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    lost = root.issue_ca("Lost", not_before=now - 3 * DAY)
    leaf = lost.issue("alice", not_before=now - DAY)
    assert through_traefik(leaf, lost).accepted
    if by == "key":
        revocation = revoke_certificate(parsed(lost))
    elif by == "serial number":
        revocation = revoke_serial(
            company, parsed(lost).serial_number, issuer="CN=Company Root"
        )
    else:
        revocation = revoke_period(company, now - 4 * DAY, now - 2 * DAY)
    decision = through_traefik(leaf, lost)
    assert decision.reason == "revoked"
    assert step_of(decision) == "crls"
    revocation.delete()
    assert through_traefik(leaf, lost).accepted


@pytest.mark.usefixtures("traefik")
def test_n50_a_listed_intermediate_is_no_way_up(
    company: CertificateAuthority, root: ThrowawayCA
) -> None:
    """The root's list names it; another of its CAs stays."""
    lost, kept = root.issue_ca("Lost"), root.issue_ca("Kept")
    import_crl(company, root.crl([lost]))
    assert through_traefik(lost.issue("alice"), lost).reason == "revoked"
    assert through_traefik(kept.issue("alice"), kept).accepted
    # The other's serial number in the same chain is not the intermediate's.
    assert through_traefik(kept.issue("alice"), kept, lost).accepted


@pytest.mark.usefixtures("traefik")
def test_n50_a_revoked_leaf_below_a_forwarded_intermediate(
    company: CertificateAuthority, issuing: ThrowawayCA
) -> None:
    """By its key, and by when it was issued: the way up does not matter."""
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    leaf = issuing.issue("alice", not_before=now - 3 * DAY)
    revocation = revoke_certificate(parsed(leaf))
    assert through_traefik(leaf, issuing).reason == "revoked"
    revocation.delete()
    revoke_period(company, now - 4 * DAY, now - 2 * DAY)
    decision = through_traefik(leaf, issuing)
    assert decision.reason == "revoked"
    assert step_of(decision) == "revocation"


@pytest.mark.usefixtures("traefik")
def test_a_time_is_not_that_of_a_ca_that_leads_elsewhere(
    alice: Any, company: CertificateAuthority, issuing: ThrowawayCA
) -> None:
    """A pin of another PKI, sent with a certificate of the company's beside it."""
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    elsewhere = ThrowawayCA.create("Elsewhere")
    leaf = elsewhere.issue("pinned", not_before=now - 3 * DAY)
    map_to(alice, "fingerprint", leaf.fingerprint)
    revoke_period(company, now - 4 * DAY, now - 2 * DAY)
    assert through_traefik(leaf, elsewhere, issuing).user == alice


# --- the proxy's words -----------------------------------------------------------


@pytest.mark.usefixtures("haproxy")
def test_n07_a_verdict_without_its_condition_is_none(
    company: CertificateAuthority, root: ThrowawayCA
) -> None:
    """HAProxy says 0 without a certificate too."""
    leaf = root.issue("alice")
    assert through_haproxy(leaf).accepted
    for used in (None, "0", "true", "1,1"):
        decision = through_haproxy(leaf, used=used)
        assert decision.reason == "proxy_verdict"
        assert "x-ssl-client-used" in decision.detail
    for verdict in ("", "10", "00", "0,0", " 0"):
        assert through_haproxy(leaf, verdict=verdict).reason == "proxy_verdict"


@pytest.mark.usefixtures("haproxy")
def test_n07_what_could_not_be_verified_is_validated_here(
    company: CertificateAuthority,
    root: ThrowawayCA,
    issuing: ThrowawayCA,
    leaf: IssuedCertificate,
    settings: Any,
) -> None:
    """OpenSSL's 20, with a proxy that may forward such certificates."""
    settings.CLIENTCERT_PROXY_VERIFIES = False
    assert through_haproxy(leaf, issuing, verdict="20").accepted
    stranger = ThrowawayCA.create("Company Root").issue("alice")
    assert through_haproxy(stranger, verdict="20").reason == "untrusted_issuer"
    assert through_haproxy(stranger, verdict="0").reason == "untrusted_issuer"
    assert through_haproxy(leaf, issuing, verdict="x").reason == "proxy_verdict"


def test_a_proxy_that_vouches_and_forwards_nothing_is_named(
    settings: Any,
) -> None:
    """HAProxy leaves out what is too long for it; nobody is let in, and it is said."""
    settings.CLIENTCERT_PROXY = "haproxy"

    def decide(**changes: Any) -> Decision:
        values: dict[str, Any] = {
            "verdict": "0",
            "conditions": ("1",),
            "peer": "10.1.2.3",
            **changes,
        }
        return evaluate(Presented(conf.CLIENTCERT_PROXY, **values), host="testserver")

    decision = decide()
    assert decision.reason == "no_certificate"
    assert "forwards no certificate" in decision.detail
    # Not where anybody else could say so, and not without a certificate.
    for changes in (
        {"peer": "203.0.113.9"},
        {"secure": False},
        {"conditions": ("0",)},
        {"conditions": (None,)},
        {"verdict": "20"},
        {"verdict": None},
    ):
        assert decide(**changes).detail == ""
    settings.CLIENTCERT_PROXY = "caddy"
    assert decide(conditions=()).detail == ""


def test_what_a_proxy_that_vouches_leaves_out_is_logged(
    ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """ingress-nginx without pass-certificate-to-upstream: 403, and why in the log."""
    headers = {
        "ssl-client-verify": "SUCCESS",
        "ssl-client-subject-dn": "CN=alice",
        "ssl-client-issuer-dn": "CN=Test Root CA",
    }
    assert ask("/ledger/", headers=headers).status_code == 403
    (record,) = (one for one in caplog.records if one.name == "django_clientcert")
    assert "reason=no_certificate" in record.getMessage()
    assert "forwards no certificate" in record.getMessage()
    caplog.clear()
    ask("/ledger/", headers={"ssl-client-verify": "NONE"})
    assert not [one for one in caplog.records if one.name == "django_clientcert"]


# --- in the environ and on the connection ----------------------------------------


class Connection:
    """What gunicorn has in ``gunicorn.socket``."""

    def __init__(self, found: object) -> None:
        self.found = found

    def getpeercert(self, binary_form: bool = False) -> object:
        """Return the certificate, or raise as ssl does."""
        assert binary_form
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture
def gunicorn(settings: Any) -> None:
    """TLS ends in the server itself."""
    settings.CLIENTCERT_PROXY = "gunicorn"
    del settings.CLIENTCERT_TRUSTED_PROXIES


@pytest.fixture
def wsgi() -> Wsgi:
    """The interface that has an environ; the other has none."""
    return Wsgi()


@pytest.mark.usefixtures("gunicorn", "mapping")
def test_the_certificate_of_a_connection(
    wsgi: Wsgi, alice_cert: IssuedCertificate
) -> None:
    """Whoever the peer is; and no header counts."""
    meta = {"gunicorn.socket": Connection(alice_cert.der)}
    seen = wsgi("/ledger/", meta=meta, peer="203.0.113.9").json()
    assert seen["user"] == "alice"
    assert wsgi("/ledger/", alice_cert.der).status_code == 403


@pytest.mark.usefixtures("gunicorn")
@pytest.mark.parametrize(
    "connection",
    [
        None,
        object(),
        Connection(None),
        Connection(b""),
        Connection("text"),
        Connection(OSError("closed")),
        Connection(ValueError("handshake not done yet")),
    ],
    ids=["none", "plain", "no certificate", "empty", "text", "closed", "early"],
)
def test_n10_a_connection_without_a_certificate(wsgi: Wsgi, connection: Any) -> None:
    """Is none, and no error."""
    response = wsgi("/open/", meta={"gunicorn.socket": connection})
    assert response.json()["reason"] == "no_certificate"


@pytest.mark.usefixtures("mapping")
def test_a_network_that_is_named_counts_for_the_environ_too(
    wsgi: Wsgi, alice_cert: IssuedCertificate, settings: Any
) -> None:
    """Where CLIENTCERT_TRUSTED_PROXIES is set, the address has to be in it."""
    settings.CLIENTCERT_PROXY = "werkzeug"
    meta = {"SSL_CLIENT_CERT": alice_cert.pem}
    assert wsgi("/ledger/", meta=meta).json()["user"] == "alice"
    refused = wsgi("/open/", meta=meta, peer="203.0.113.9").json()
    assert refused["reason"] == "untrusted_peer"
    settings.CLIENTCERT_REQUIRE_SECURE = True
    plain = wsgi("/open/", meta=meta, scheme="http").json()
    assert plain["reason"] == "insecure_transport"


@pytest.mark.usefixtures("gunicorn", "mapping")
def test_a_connection_stays_where_a_gate_is_closed(
    wsgi: Wsgi, alice_cert: IssuedCertificate
) -> None:
    """It is the server's, and other code may need it."""
    connection = Connection(alice_cert.der)
    response = wsgi("/open/", meta={"gunicorn.socket": connection}, scheme="http")
    assert response.json()["reason"] == "insecure_transport"
    assert response.wsgi_request.META["gunicorn.socket"] is connection


# --- behind a sidecar ------------------------------------------------------------


GATEWAY = "spiffe://cluster.local/ns/istio-system/sa/ingress"


def xfcc(leaf: IssuedCertificate, *, by: str, hop: str = "a" * 64) -> str:
    """Return what a gateway and the sidecar behind it write."""
    certificate = parsed(leaf)
    pem = leaf.pem.replace("+", "%2B").replace("\n", "%0A").replace(" ", "%20")
    pem = pem.replace("/", "%2F").replace("=", "%3D")
    return (
        f'Hash={certificate.fingerprint};Cert="{pem}";Subject="CN=alice";URI=,'
        f'By=spiffe://cluster.local/ns/app/sa/app;Hash={hop};Subject="";URI={by}'
    )


@pytest.mark.usefixtures("mapping")
def test_n14_the_gateway_must_have_called_the_sidecar(
    ask: Any, alice_cert: IssuedCertificate, settings: Any
) -> None:
    """A workload that writes the gateway's element itself is refused."""
    settings.CLIENTCERT_PROXY = {"preset": "istio-sidecar", "gateway_identity": GATEWAY}
    name = "x-forwarded-client-cert"
    good = ask("/ledger/", headers={name: xfcc(alice_cert, by=GATEWAY)})
    assert good.json()["user"] == "alice"
    for by in ("spiffe://cluster.local/ns/app/sa/other", "", f"{GATEWAY}-2"):
        response = ask("/open/", headers={name: xfcc(alice_cert, by=by)})
        assert response.json()["reason"] == "untrusted_peer"
    both = xfcc(alice_cert, by=f"{GATEWAY};URI=spiffe://cluster.local/ns/x/sa/y")
    assert ask("/open/", headers={name: both}).json()["reason"] == "untrusted_peer"


def test_extensions_of_the_throw_away_ca_are_what_they_say(root: ThrowawayCA) -> None:
    """The tests above rest on CAs that may sign, and leaves that may not."""
    assert parsed(root.issue_ca("CA")).is_ca
    usage = root.issue("x").certificate.extensions.get_extension_for_class(
        x509.KeyUsage
    )
    assert not usage.value.key_cert_sign
