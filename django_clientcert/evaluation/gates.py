"""The gates: cheap, before anything is decoded."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from django.http.request import validate_host
from django.utils.crypto import constant_time_compare

from django_clientcert.conf import Network, TrustedProxies, conf
from django_clientcert.exceptions import Reason, Refusal
from django_clientcert.x509.escaping import visible

from .decisions import PASSED, REFUSED, Step
from .presented import Presented


def _gate_peer(presented: Presented, host: str) -> str:
    trusted = conf.CLIENTCERT_TRUSTED_PROXIES
    if not trusted and not presented.proxy.is_header:
        # No client can write there, and the address is the client's own.
        return "nothing is read from a header"
    if not trusted:
        raise Refusal(
            Reason.UNTRUSTED_PEER,
            "CLIENTCERT_TRUSTED_PROXIES is not set, so no peer is trusted",
        )
    if not _is_trusted(presented.peer, trusted):
        raise Refusal(
            Reason.UNTRUSTED_PEER,
            f"{quote(presented.peer)} is not in CLIENTCERT_TRUSTED_PROXIES",
        )
    return presented.peer or "Unix socket"


def _gate_transport(presented: Presented, host: str) -> str:
    if conf.CLIENTCERT_REQUIRE_SECURE and not presented.secure:
        raise Refusal(
            Reason.INSECURE_TRANSPORT,
            "the request is not is_secure(); behind a proxy, set "
            "SECURE_PROXY_SSL_HEADER",
        )
    return "secure" if presented.secure else "not required"


def _gate_host(presented: Presented, host: str) -> str:
    hosts = conf.CLIENTCERT_HOSTS
    if hosts is not None and not validate_host(host, list(hosts)):
        raise Refusal(
            Reason.HOST_NOT_COVERED,
            f"{visible(host, 80) or 'an invalid host'} is not in CLIENTCERT_HOSTS",
        )
    return visible(host, 80) if hosts is not None else "every host"


def _gate_secret(presented: Presented, host: str) -> str:
    expected = conf.CLIENTCERT_PROXY_SECRET
    if expected is None:
        return "not configured"
    # Compare every secret, so that the time does not tell which one matched.
    given = presented.secret or ""
    matches = [constant_time_compare(given, secret) for secret in expected[1]]
    if not any(matches):
        raise Refusal(
            Reason.BAD_PROXY_SECRET,
            "the proxy’s secret is missing" if not given else "the secret is wrong",
        )
    return "the secret matches"


def _gate_spelling(presented: Presented, host: str) -> str:
    if presented.ambiguity:
        raise Refusal(Reason.AMBIGUOUS_HEADER, presented.ambiguity)
    return "each header occurs once"


def _gate_size(presented: Presented, host: str) -> str:
    limit = conf.CLIENTCERT_MAX_HEADER_BYTES
    # Certificate and chain together: each header has its own limit in the server.
    certificates = len(presented.value or "") + sum(map(len, presented.chain))
    others = (
        presented.verdict,
        presented.subject_dn,
        presented.issuer_dn,
        *presented.conditions,
    )
    for size in (certificates, *(len(value or "") for value in others)):
        if size > limit:
            raise Refusal(
                Reason.HEADER_TOO_LARGE,
                f"{size} bytes, more than CLIENTCERT_MAX_HEADER_BYTES ({limit})",
            )
    return f"{certificates} bytes"


_Gate = Callable[[Presented, str], str]

GATES: tuple[tuple[str, _Gate], ...] = (
    ("peer", _gate_peer),
    ("transport", _gate_transport),
    ("host", _gate_host),
    ("secret", _gate_secret),
    ("spelling", _gate_spelling),
    ("size", _gate_size),
)


def take_gates(presented: Presented, host: str) -> tuple[list[Step], Refusal | None]:
    """Return the steps that were taken, and the refusal of the last one, if any."""
    steps: list[Step] = []
    for name, gate in GATES:
        try:
            detail = gate(presented, host)
        except Refusal as refusal:
            steps.append(Step(name, REFUSED, refusal.detail))
            return steps, refusal
        steps.append(Step(name, PASSED, detail))
    return steps, None


def check_gates(presented: Presented, *, host: str) -> Refusal | None:
    """Return why *presented* must not be believed, or None. Decodes nothing."""
    return take_gates(presented, host)[1]


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
