"""Who sent a request: gates, verdict, decoding and names; neither time nor query."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache, partial
from ipaddress import IPv6Address, ip_address
from itertools import chain
from typing import Any, NamedTuple, ParamSpec

from django.http import HttpRequest
from django.http.request import validate_host
from django.utils.crypto import constant_time_compare

from django_clientcert.conf import Network, Settings, TrustedProxies, current
from django_clientcert.exceptions import (
    HeaderDecodeError,
    NameSyntaxError,
    Reason,
    Refusal,
)
from django_clientcert.models import name_key, serial_key
from django_clientcert.wire import DECODERS, Proxy
from django_clientcert.wire.encodings.xfcc import read_caller_uris
from django_clientcert.x509.caching import remember
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.identities import Identities, find_identities
from django_clientcert.x509.names import DistinguishedName, Order, parse_name
from django_clientcert.x509.paths import MAX_PRESENTED

from .decisions import NOT_REACHED, PASSED, REFUSED, Decision, Step
from .lookup import LookupKeys
from .presented import Presented, get_host, read_request

_P = ParamSpec("_P")

# A certificate full of names has identities of some thirty times its size.
MAX_KEPT_IDENTITIES = 64
# The bytes of the objects that hold the evidence from one value, about
OBJECTS = 4096


class Steps(list[Step]):
    """The steps that were taken."""

    def take(
        self, name: str, check: Callable[_P, str], *args: _P.args, **kwargs: _P.kwargs
    ) -> None:
        """Call *check* and append what came of it.

        Raises:
            Refusal: the check refused.
        """
        try:
            detail = check(*args, **kwargs)
        except Refusal as refusal:
            self.refuse(name, refusal)
            raise
        self.append(Step(name, PASSED, detail))

    def refuse(self, name: str, refusal: Refusal) -> Refusal:
        """Append a step that refused; return *refusal*, to be raised."""
        self.append(Step(name, REFUSED, refusal.detail))
        return refusal

    def decision(
        self, refusal: Refusal | None, *, accepted: bool = False, **values: Any
    ) -> Decision:
        """Return the decision after these steps; those not taken are added."""
        taken = {step.name for step in self}
        missing = (Step(name, NOT_REACHED) for name in STEPS if name not in taken)
        return Decision(
            accepted=accepted,
            reason=None if refusal is None else refusal.reason,
            detail="" if refusal is None else refusal.detail,
            steps=(*self, *missing),
            **values,
        )


class Facts(NamedTuple):
    """What identifies a certificate, and what to look up for it."""

    identities: Identities
    # The kind of each key among the identities
    kinds: dict[bytes, str]
    keys: LookupKeys


def read_facts(
    certificate: ClientCertificate, intermediates: Iterable[ClientCertificate]
) -> Facts:
    """Return the facts about *certificate* and the CAs that came with it.

    Raises:
        Refusal: a part of a certificate cannot be read.
    """
    identities = find_identities(certificate)
    path = (certificate, *intermediates)
    keys = LookupKeys(
        identities=[identity.key for identity in identities.found],
        issuer_names=[name_key(item.issuer_der) for item in path],
        public_keys=[item.public_key_bytes for item in path],
        serials=[serial_key(item.serial_number) for item in path],
        fingerprint=certificate.fingerprint_bytes,
    )
    kinds = {identity.key: identity.kind.value for identity in identities.found}
    return Facts(identities, kinds, keys)


class Evidence:
    """What follows from the values that a proxy sent, whoever asks and whenever.

    The certificate that the peer proved possession of (None if ``refusal`` says why
    there is none to be believed), the CA certificates that came with it, and the
    steps that led there. An object may be of an earlier request with the same values.
    """

    def __init__(
        self,
        certificates: Sequence[ClientCertificate],
        steps: Sequence[Step] = (),
        refusal: Refusal | None = None,
    ) -> None:
        self.certificate = certificates[0] if certificates and not refusal else None
        # What the client sent to lead from its certificate to a CA
        self.intermediates = tuple(certificates[1:])
        self.steps = tuple(steps)
        # A new one: one that was raised refers to all that was on the stack.
        self.refusal = refusal and Refusal(refusal.reason, refusal.detail)
        self._facts: Facts | None = None
        # The decision on it, as far as decisions are kept
        self.kept: Any = None

    @property
    def facts(self) -> Facts:
        """What the certificate is looked up and matched with, kept if it is not much.

        Raises:
            Refusal: a part of the certificate cannot be read.
        """
        if self._facts is not None:
            return self._facts
        assert self.certificate is not None  # noqa: S101 - for the type checker
        facts = read_facts(self.certificate, self.intermediates)
        if len(facts.identities.found) <= MAX_KEPT_IDENTITIES:
            self._facts = facts
        return facts

    @cached_property
    def expiry(self) -> str:
        """The last moment of the certificate's validity, as the steps show it."""
        assert self.certificate is not None  # noqa: S101 - for the type checker
        return f"until {self.certificate.not_after:%Y-%m-%d %H:%M} UTC"


class Peer:
    """Who sent a request, as far as the request tells; each step is taken once.

    *host* is the host name of the request, or returns it; without *settings*, those
    of this moment apply.
    """

    def __init__(
        self,
        presented: Presented,
        host: str | Callable[[], str],
        settings: Settings | None = None,
    ) -> None:
        self.presented = presented
        self._host = host
        self.settings = current() if settings is None else settings

    @cached_property
    def host(self) -> str:
        """The host name of the request, lower case, without port; "" if invalid."""
        return self._host if isinstance(self._host, str) else self._host()

    @cached_property
    def gate_refusal(self) -> Refusal | None:
        """The refusal of a gate, or None if all of them pass. Decodes nothing."""
        try:
            for gate in GATES.values():
                gate(self)
        except Refusal as refusal:
            return refusal
        return None

    @cached_property
    def evidence(self) -> Evidence:
        """What the proxy's values prove, once the gates have passed."""
        presented = self.presented
        if not presented.has_certificate:
            absent = Refusal(Reason.NO_CERTIFICATE, self._explain_absence())
            return Evidence((), refusal=absent)
        if not presented.from_request:
            return _examine(self.settings, presented)
        if self.gate_refusal is not None:
            return Evidence((), refusal=self.gate_refusal)
        return _weigh_evidence(
            self.settings,
            presented.value,
            presented.verdict,
            presented.conditions,
            presented.chain,
            presented.subject_dn,
            presented.issuer_dn,
        )

    @property
    def certificate(self) -> ClientCertificate | None:
        """The certificate that the peer proved possession of.

        None if there is none that can be believed; ``refusal`` says why.
        """
        return self.evidence.certificate

    @property
    def is_vouched_for(self) -> bool:
        """Whether the proxy has validated the path, and says so."""
        verifies = self.settings.CLIENTCERT_PROXY_VERIFIES
        return verifies and self.presented.is_vouched_for

    @property
    def refusal(self) -> Refusal | None:
        """Why there is no certificate that can be believed; None if there is one."""
        return self.evidence.refusal

    @property
    def intermediates(self) -> tuple[ClientCertificate, ...]:
        """What the client sent to lead from its certificate to a CA."""
        return self.evidence.intermediates

    @property
    def steps(self) -> Steps:
        """The steps up to the certificate; the gates are passed again for their words.

        They depend on nothing but the values, so they do not change.
        """
        steps = Steps()
        if self.presented.from_request and self.presented.has_certificate:
            with suppress(Refusal):
                for name, gate in GATES.items():
                    steps.take(name, gate, self)
        steps += self.evidence.steps
        return steps

    def _explain_absence(self) -> str:
        """Return what may be wrong if there is no certificate, or ""."""
        presented, proxy = self.presented, self.presented.proxy
        if self.gate_refusal is not None:
            return ""
        if presented.is_vouched_for and not proxy.success_for_all:
            return (
                f"the proxy says {proxy.success} but forwards no certificate: its "
                "configuration leaves it out, or it is too long for the proxy"
            )
        if presented.other_header:
            return (
                f"there is no header {proxy.certificate}, but there is "
                f"{presented.other_header}"
            )
        return ""

    def decision(self) -> Decision:
        """Return why the peer is unknown, or which certificate it has.

        Never an acceptance: nothing says yet which user that is.
        """
        return self.steps.decision(self.refusal, certificate=self.certificate)


def peer_of(request: HttpRequest) -> Peer:
    """Return who sent *request*; its host name is read when a step needs it."""
    settings = current()
    return Peer(read_request(request, settings), partial(get_host, request), settings)


# --- from the values to the evidence ---------------------------------------------


def _weigh(settings: Settings, *values: str | tuple[str | None, ...] | None) -> int:
    """Return the bytes that evidence from *values* takes, at most.

    A certificate full of short names is the worst: nine times as much as its header.
    So that many short values take no more, each has the weight of the objects too.
    """
    texts = chain.from_iterable(
        value if isinstance(value, tuple) else (value,) for value in values
    )
    return OBJECTS + 9 * sum(len(text or "") for text in texts)


@remember(16 * 1024 * 1024, _weigh, most=64 * 1024)
def _weigh_evidence(
    settings: Settings,
    value: str | None,
    verdict: str | None,
    conditions: tuple[str | None, ...],
    intermediates: tuple[str, ...],
    subject_dn: str | None,
    issuer_dn: str | None,
) -> Evidence:
    """Return what these values prove; the same object for the same texts."""
    presented = Presented(
        settings.CLIENTCERT_PROXY,
        value,
        verdict,
        conditions,
        intermediates,
        subject_dn,
        issuer_dn,
    )
    return _examine(settings, presented)


def _examine(settings: Settings, presented: Presented) -> Evidence:
    """Take the steps from the verdict to the names."""
    steps = Steps()
    certificates: Sequence[ClientCertificate] = ()

    def decode() -> str:
        nonlocal certificates
        certificates = find_certificates(presented)
        detail = f"{len(certificates[0].der)} bytes of DER"
        count = len(certificates) - 1
        return f"{detail}, with {count} intermediates" if count else detail

    try:
        if presented.from_request or presented.verdict is not None:
            steps.take("verdict", check_verdict, settings, presented)
        steps.take("decode", decode)
        steps.take("parse", parse, certificates[0])
        steps.take("names", compare_names, presented, certificates[0])
    except Refusal as refusal:
        return Evidence((), steps, refusal)
    return Evidence(certificates, steps)


# --- the gates: cheap, before anything is decoded --------------------------------


def _gate_peer(peer: Peer) -> str:
    trusted = peer.settings.CLIENTCERT_TRUSTED_PROXIES
    if not trusted and not peer.presented.proxy.is_header:
        # No client can write there, and the address is the client's own.
        return "nothing is read from a header"
    if not trusted:
        raise Refusal(
            Reason.UNTRUSTED_PEER,
            "CLIENTCERT_TRUSTED_PROXIES is not set, so no peer is trusted",
        )
    if not _is_trusted(peer.presented.peer, trusted):
        raise Refusal(
            Reason.UNTRUSTED_PEER,
            f"{quote(peer.presented.peer)} is not in CLIENTCERT_TRUSTED_PROXIES",
        )
    return peer.presented.peer or "Unix socket"


def _gate_transport(peer: Peer) -> str:
    if peer.settings.CLIENTCERT_REQUIRE_SECURE and not peer.presented.secure:
        raise Refusal(
            Reason.INSECURE_TRANSPORT,
            "the request is not is_secure(); behind a proxy, set "
            "SECURE_PROXY_SSL_HEADER",
        )
    return "secure" if peer.presented.secure else "not required"


def _gate_host(peer: Peer) -> str:
    hosts = peer.settings.CLIENTCERT_HOSTS
    if hosts is not None and not validate_host(peer.host, list(hosts)):
        raise Refusal(
            Reason.HOST_NOT_COVERED,
            f"{visible(peer.host, 80) or 'an invalid host'} is not in CLIENTCERT_HOSTS",
        )
    return visible(peer.host, 80) if hosts is not None else "every host"


def _gate_secret(peer: Peer) -> str:
    expected = peer.settings.CLIENTCERT_PROXY_SECRET
    if expected is None:
        return "not configured"
    # Compare every secret, so that the time does not tell which one matched.
    # A lone surrogate, which no server sends, must not be an error.
    given = (peer.presented.secret or "").encode("utf-8", "surrogatepass")
    matches = [constant_time_compare(given, secret) for secret in expected[1]]
    if not any(matches):
        raise Refusal(
            Reason.BAD_PROXY_SECRET,
            "the proxy’s secret is missing" if not given else "the secret is wrong",
        )
    return "the secret matches"


def _gate_spelling(peer: Peer) -> str:
    if peer.presented.ambiguity:
        raise Refusal(Reason.AMBIGUOUS_HEADER, peer.presented.ambiguity)
    return "each header occurs once"


def _gate_size(peer: Peer) -> str:
    limit = peer.settings.CLIENTCERT_MAX_HEADER_BYTES
    presented = peer.presented
    # Certificate and chain together: each header has its own limit in the server.
    certificates = len(presented.value or "") + sum(map(len, presented.chain))
    others = (
        presented.verdict,
        presented.subject_dn,
        presented.issuer_dn,
        *presented.conditions,
    )
    size = max(certificates, *[len(value or "") for value in others])
    if size > limit:
        raise Refusal(
            Reason.HEADER_TOO_LARGE,
            f"{size} bytes, more than CLIENTCERT_MAX_HEADER_BYTES ({limit})",
        )
    return f"{certificates} bytes"


GATES = {
    "peer": _gate_peer,
    "transport": _gate_transport,
    "host": _gate_host,
    "secret": _gate_secret,
    "spelling": _gate_spelling,
    "size": _gate_size,
}

STEPS = (
    *GATES,
    *("verdict", "decode", "parse", "names", "validity", "purpose"),
    *("revocation", "match", "verify", "crls", "mapping", "user"),
)


def quote(text: str | None) -> str:
    """Return untrusted *text* in quotation marks, or “nothing” if it is missing."""
    return "nothing" if text is None else f"“{visible(text, 80)}”"


def _is_trusted(peer: str | None, trusted: TrustedProxies) -> bool:
    # Servers that listen on a Unix socket have no address to report.
    if not peer:
        return trusted.unix
    return _is_in(peer, trusted.networks)


@lru_cache(maxsize=1024)
def _is_in(peer: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


# --- from a header to the certificate --------------------------------------------


def check_verdict(settings: Settings, presented: Presented) -> str:
    proxy = presented.proxy
    unmet = presented.unmet_condition
    if unmet is not None:
        raise _refuse_value(proxy, *unmet)
    if proxy.verdict is None:
        return "the proxy sends none"
    verdict = presented.verdict
    if verdict == proxy.success:
        return verdict
    if (
        verdict is not None
        and verdict.startswith(proxy.failure)
        and not settings.CLIENTCERT_PROXY_VERIFIES
    ):
        return f"{visible(verdict, 80)}; Django validates the path"
    raise _refuse_value(proxy, proxy.verdict, verdict, proxy.success)


def _refuse_value(proxy: Proxy, name: str, value: str | None, expected: str) -> Refusal:
    """Return the refusal for a value that is not the *expected* one."""
    source = f"header {name}" if proxy.is_header else name
    actual = "missing" if value is None else quote(value)
    return Refusal(
        Reason.PROXY_VERDICT, f"{source} is {actual} (expected “{expected}”)"
    )


def find_certificates(presented: Presented) -> tuple[ClientCertificate, ...]:
    """Return the client's own certificate, followed by the intermediates.

    Raises:
        Refusal: they cannot be read, or come from two header lines; or the request did
            not come through the required gateway.
    """
    if presented.certificates is not None:
        return _as_chain(presented.certificates)
    proxy = presented.proxy
    try:
        certificates = _decode(
            proxy.encoding,
            presented.value or "",
            proxy.chain_encoding if presented.chain else None,
            presented.chain,
        )
    except HeaderDecodeError as error:
        names = " and ".join((proxy.certificate, *proxy.chain[: len(presented.chain)]))
        raise Refusal(error.reason, f"{names}: {error.detail}") from error
    if proxy.gateway_identity is not None:
        _check_gateway(proxy.gateway_identity, presented.value or "")
    return certificates


def _decode(
    encoding: str, value: str, chain_encoding: str | None, headers: tuple[str, ...]
) -> tuple[ClientCertificate, ...]:
    """Return the certificates of header values."""
    certificates = list(DECODERS[encoding](value))
    if len(certificates) > 1:
        _check_issuer(*map(ClientCertificate, certificates[:2]))
    if chain_encoding is not None:
        for header in headers:
            certificates += DECODERS[chain_encoding](header)
    return _as_chain(certificates)


def _as_chain(ders: Sequence[bytes]) -> tuple[ClientCertificate, ...]:
    """Return the certificates, provided that all but the first are CA certificates.

    Two header lines that were joined look like one list of certificates; the second
    client's certificate gives them away.
    """
    leaf, *others = map(ClientCertificate, ders)
    # Some proxies write the client's own certificate into both headers.
    intermediates = [certificate for certificate in others if certificate != leaf]
    if len(intermediates) > MAX_PRESENTED:
        raise Refusal(
            Reason.MALFORMED_HEADER,
            f"{len(intermediates)} intermediates; at most {MAX_PRESENTED} are accepted",
        )
    if any(not certificate.is_ca for certificate in intermediates):
        raise Refusal(
            Reason.AMBIGUOUS_HEADER,
            "one of the intermediates is not a CA certificate: two header lines were "
            "joined, or the client sent a certificate that does not belong there",
        )
    return leaf, *intermediates


def _check_issuer(leaf: ClientCertificate, issuer: ClientCertificate) -> None:
    """Refuse a list whose second certificate has not issued the first.

    A TLS client sends its chain in this order (RFC 5246, 7.4.2). In two header lines
    that were joined, the second begins with another client’s certificate, which may
    well be that of a CA.
    """
    if issuer != leaf and not (issuer.has_usual_key and leaf.is_signed_by(issuer)):
        raise Refusal(
            Reason.AMBIGUOUS_HEADER,
            "the second certificate has not issued the first: two header lines were "
            "joined, or the client sends its chain in another order",
        )


def _check_gateway(expected: str, value: str) -> None:
    """Refuse requests that reached the sidecar from anyone but the gateway."""
    callers = read_caller_uris(value)
    if set(callers) != {expected}:
        raise Refusal(
            Reason.UNTRUSTED_PEER,
            f"the last proxy was called by {quote(' '.join(callers) or None)}, not by "
            f"{expected}",
        )


def parse(certificate: ClientCertificate) -> str:
    certificate.x509  # noqa: B018 - strict DER, or a refusal
    certificate.extensions  # noqa: B018 - none twice
    return certificate.fingerprint


def compare_names(presented: Presented, certificate: ClientCertificate) -> str:
    """Compare the proxy's DN headers with the certificate.

    A client can send somebody else's certificate if the proxy does not set that
    header but does set these.
    """
    proxy = presented.proxy
    if not presented.from_request:
        return "no headers to compare"
    compared = 0
    for header, given, attribute in (
        (proxy.subject_dn, presented.subject_dn, "subject"),
        (proxy.issuer_dn, presented.issuer_dn, "issuer"),
    ):
        if header is None or (given is None and not proxy.names_required):
            continue
        name: DistinguishedName = getattr(certificate, attribute)
        if not _is_name(given or "", name):
            if given is None:
                detail = f"{header} is missing"
            elif given.startswith("/"):
                detail = (
                    f"{header} is in OpenSSL’s old form (/C=…/CN=…), which cannot be "
                    "compared: have the proxy send RFC 2253, as nginx does with "
                    "$ssl_client_s_dn and HAProxy with %[ssl_c_s_dn(,0,rfc2253)]"
                )
            else:
                detail = f"{header} belongs to another certificate"
            raise Refusal(Reason.HEADER_MISMATCH, detail)
        compared += 1
    return f"{compared} headers agree" if compared else "no headers to compare"


def _is_name(given: str, name: DistinguishedName) -> bool:
    # A server strips spaces from the end of a header (RFC 9110, 5.5), even one that a
    # backslash escapes. No name ends with a lone backslash otherwise.
    if given.rstrip(" ") == name.openssl_rfc2253().rstrip(" "):
        return True
    # nginx escapes everything but ASCII. Another spelling of the same values is
    # accepted, but order and structure have to match.
    try:
        parsed = parse_name(given, order=Order.MOST_SPECIFIC_FIRST)
    except NameSyntaxError:
        return False
    return parsed.same_values(name)
