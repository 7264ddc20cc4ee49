"""Verdict, decoding and parsing: from a header to the certificate of the peer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import lru_cache

from django_clientcert.conf import conf
from django_clientcert.exceptions import NameSyntaxError, Reason, Refusal
from django_clientcert.wire import DECODERS, Proxy
from django_clientcert.wire.encodings.xfcc import read_caller_uris
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.names import DistinguishedName, Order, parse_name
from django_clientcert.x509.paths import MAX_PRESENTED, check_usage, check_validity

from .gates import quote
from .presented import Presented


def check_verdict(presented: Presented) -> str:
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
        and not conf.CLIENTCERT_PROXY_VERIFIES
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
    certificates = _decode(
        proxy.encoding,
        presented.value or "",
        proxy.chain_encoding if presented.chain else None,
        presented.chain,
    )
    if proxy.gateway_identity is not None:
        _check_gateway(proxy.gateway_identity, presented.value or "")
    return certificates


@lru_cache(maxsize=1024)
def _decode(
    encoding: str, value: str, chain_encoding: str | None, chain: tuple[str, ...]
) -> tuple[ClientCertificate, ...]:
    """Return the certificates of header values; the same ones for the same texts.

    Pure, so the result may be cached. A refusal is not cached.
    """
    certificates = list(DECODERS[encoding](value))
    if chain_encoding is not None:
        for header in chain:
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


def _check_gateway(expected: str, value: str) -> None:
    """Refuse requests that reached the sidecar from anyone but the gateway."""
    found = read_caller_uris(value)
    if set(found) != {expected}:
        raise Refusal(
            Reason.UNTRUSTED_PEER,
            f"the last proxy was called by {quote(' '.join(found) or None)}, not by "
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
            raise Refusal(
                Reason.HEADER_MISMATCH,
                f"{header} is missing"
                if given is None
                else f"{header} belongs to another certificate",
            )
        compared += 1
    return f"{compared} headers agree" if compared else "no headers to compare"


def check_dates(certificate: ClientCertificate, at: dt.datetime) -> str:
    check_validity(certificate, at)
    return f"until {certificate.not_after:%Y-%m-%d %H:%M} UTC"


def check_purpose(certificate: ClientCertificate) -> str:
    check_usage(certificate)
    return "usable for TLS client authentication"


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
