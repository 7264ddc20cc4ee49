"""Verdict, decoding and parsing: from a header to a certificate that was proven."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import lru_cache

from django_clientcert.conf import conf
from django_clientcert.exceptions import NameSyntaxError, Reason, Refusal
from django_clientcert.wire import DECODERS
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
        name, value, word = unmet
        raise Refusal(
            Reason.PROXY_VERDICT, f"{name} is {quote(value)}, not {quote(word)}"
        )
    if proxy.verdict is None:
        return "the proxy gives none"
    verdict = presented.verdict
    if verdict == proxy.success:
        return verdict
    if (
        verdict is not None
        and verdict.startswith(proxy.failure)
        and not conf.CLIENTCERT_PROXY_VERIFIES
    ):
        return f"{visible(verdict, 80)}; the path is validated here"
    raise Refusal(
        Reason.PROXY_VERDICT,
        f"the proxy says {quote(verdict)}, not {proxy.success}",
    )


def find_certificates(presented: Presented) -> tuple[ClientCertificate, ...]:
    """Return the client's own certificate, and behind it what leads up to a CA.

    Raises:
        Refusal: they cannot be read, or are of two header lines; or the request did
            not come through the gateway that it has to come through.
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
        _check_forwarder(proxy.gateway_identity, presented.value or "")
    return certificates


@lru_cache(maxsize=1024)
def _decode(
    encoding: str, value: str, chain_encoding: str | None, chain: tuple[str, ...]
) -> tuple[ClientCertificate, ...]:
    """Return the certificates of header values; the same ones for the same texts.

    Pure, so the result may be kept. A refusal is not kept.
    """
    found = list(DECODERS[encoding](value))
    if chain_encoding is not None:
        for one in chain:
            found += DECODERS[chain_encoding](one)
    return _as_chain(found)


def _as_chain(found: Sequence[bytes]) -> tuple[ClientCertificate, ...]:
    """Return the certificates, if all but the first can be a CA's.

    In a list of certificates, two header lines look like one: that a second client's
    certificate is there gives them away.
    """
    leaf, *others = map(ClientCertificate, found)
    # Some write the client's own certificate into both headers.
    above = [one for one in others if one != leaf]
    if len(above) > MAX_PRESENTED:
        raise Refusal(
            Reason.MALFORMED_HEADER,
            f"{len(above)} certificates above the client’s; {MAX_PRESENTED} are read",
        )
    if any(not one.is_ca for one in above):
        raise Refusal(
            Reason.AMBIGUOUS_HEADER,
            "a certificate above the client’s is no CA’s: two header lines were "
            "joined, or the client sends what does not belong there",
        )
    return leaf, *above


def _check_forwarder(expected: str, value: str) -> None:
    """Refuse what another than the gateway sent to the sidecar."""
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

    A client may send somebody else's certificate where the proxy does not set that
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
                else f"{header} speaks of another certificate",
            )
        compared += 1
    return f"{compared} headers agree" if compared else "no headers to compare"


def check_dates(certificate: ClientCertificate, at: dt.datetime) -> str:
    check_validity(certificate, at)
    return f"until {certificate.not_after:%Y-%m-%d %H:%M} UTC"


def check_purpose(certificate: ClientCertificate) -> str:
    check_usage(certificate)
    return "a TLS client’s"


def _is_name(given: str, name: DistinguishedName) -> bool:
    # A server takes the space off the end of a header (RFC 9110, 5.5), also the one
    # that a backslash escapes. No name ends with a lone backslash otherwise.
    if given.rstrip(" ") == name.openssl_rfc2253().rstrip(" "):
        return True
    # nginx escapes everything but ASCII; another spelling of the same values is
    # as good, and order and structure still count.
    try:
        parsed = parse_name(given, order=Order.MOST_SPECIFIC_FIRST)
    except NameSyntaxError:
        return False
    return parsed.same_values(name)
