"""Verdict, decoding and parsing: from a header to a certificate that was proven."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

from django_clientcert.certificates import ClientCertificate
from django_clientcert.conf import conf
from django_clientcert.encodings import DECODERS
from django_clientcert.escaping import visible
from django_clientcert.exceptions import NameSyntaxError, Reason, Refusal
from django_clientcert.names import DistinguishedName, Order, parse_name
from django_clientcert.presented import Presented
from django_clientcert.verification import check_usage, check_validity

from .gates import quote


def check_verdict(presented: Presented) -> str:
    proxy = presented.proxy
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


@lru_cache(maxsize=1024)
def _decode(encoding: str, value: str) -> ClientCertificate:
    """Return the certificate of a header value; the same one for the same text.

    Pure, so the result may be kept. A refusal is not kept.
    """
    return ClientCertificate(DECODERS[encoding](value)[0])


def find_certificate(presented: Presented) -> ClientCertificate:
    if presented.certificates is not None:
        return ClientCertificate(presented.certificates[0])
    return _decode(presented.proxy.encoding, presented.value or "")


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
