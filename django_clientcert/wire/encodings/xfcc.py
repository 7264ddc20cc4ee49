"""Envoy's ``x-forwarded-client-cert`` (XFCC).

A list of elements, one for each proxy that the request came through; an element is
a list of ``key=value`` pairs, with some of the values in quotes. Envoy quotes what it
has encoded, but not the names from the certificate (``URI``, ``DNS``): a client can
write commas, semicolons and whole elements there. If Envoy appends to the header it
received, a client can prepend anything, including an open quote.

Therefore the grammar alone is not trusted. Envoy writes the SHA-256 of the
certificate into every element, so there must be exactly one per proxy, *anywhere* in
the text, and the first must match the certificate.
"""

from __future__ import annotations

import hashlib
import re

from django_clientcert.exceptions import HeaderDecodeError, Reason

from .pem import decode_pem, decode_pem_chain
from .values import unescape

# One per element that a proxy wrote; only someone else writes it in quotes.
_HASH = re.compile(r"\bhash=\"?[0-9a-f]{64}", re.IGNORECASE)
_PAIR = re.compile(
    r"""(?P<key>[A-Za-z]+)=
        (?: "(?:[^"\\]|\\.)*"
          | (?P<bare>(?!")[^;,]*) )
        (?=[;,]|\Z)""",
    re.VERBOSE | re.DOTALL,
)
# What remains after a semicolon in a name from the certificate
_RESIDUE = re.compile(r"[^;,]*")

_BASE64 = re.compile(r"M[A-Za-z0-9+/]+=*")
# Written by the proxy, once per element
_OWN = frozenset({"hash", "cert", "chain", "subject"})
# From the certificate, and not quoted
_NAMES = frozenset({"uri", "dns"})


def decode_xfcc(value: str) -> tuple[bytes, ...]:
    """Return the certificates that the only proxy wrote.

    Raises:
        HeaderDecodeError: elements of more than one proxy, no ``Cert``, or
            anything that Envoy does not write.
    """
    if _BASE64.fullmatch(value):
        raise HeaderDecodeError(
            "base64 without any key=value: is it the router of Cloud Foundry "
            "(CLIENTCERT_PROXY = “cloud-foundry”)?"
        )
    return _certificates(value, 1)


def decode_xfcc_two_hops(value: str) -> tuple[bytes, ...]:
    """Return the certificates that the first of exactly two proxies wrote.

    The sidecar of a service mesh appends its own element to what the gateway wrote.

    Raises:
        HeaderDecodeError: elements of one proxy or of more than two, or anything
            that Envoy does not write.
    """
    return _certificates(value, 2)


def read_caller_uris(value: str) -> tuple[str, ...]:
    """Return the URIs in the certificate of the caller of the last proxy.

    *value* is one that ``decode_xfcc_two_hops()`` accepts. Everything after the last
    hash was written by the proxy in front of the application. Returns none if that
    part is not what Envoy writes.
    """
    *_, last = _HASH.finditer(value)
    rest = value[last.end() :]
    uris: list[str] = []
    while rest:
        match = _PAIR.match(rest, 1)
        if rest[0] != ";" or match is None:
            return ()
        if match["key"].lower() == "uri" and match["bare"]:
            uris.append(match["bare"])
        rest = rest[match.end() :]
    return tuple(uris)


def _check_hops(value: str, expected: int) -> None:
    # An open quote can hide an element from a grammar, but nothing from this count.
    hops = sum(1 for _ in _HASH.finditer(value))
    if hops != expected:
        raise HeaderDecodeError(
            f"elements of {hops} proxies; expected {expected}",
            reason=Reason.AMBIGUOUS_HEADER
            if hops > expected
            else Reason.MALFORMED_HEADER,
        )


def _first_element(value: str) -> dict[str, str]:
    """Return the proxy's own pairs of the first element, with the quotes of values."""
    pairs: dict[str, str] = {}
    names_began = False
    offset = 0
    while True:
        match = _PAIR.match(value, offset)
        if match is None:
            residue = _RESIDUE.match(value, offset)
            # Only a name of the client leaves a residue, and never a quote.
            if not names_began or residue is None or '"' in residue[0]:
                raise HeaderDecodeError(
                    "an element that is not a list of key=value pairs"
                )
            offset = residue.end()
        else:
            key = match["key"].lower()
            if key in pairs:
                raise HeaderDecodeError(f"{match['key']} occurs twice")
            names_began = names_began or key in _NAMES
            if key in _OWN:
                pairs[key] = match[0].partition("=")[2]
            offset = match.end()
        # A semicolon at the very end is nothing: Azure Container Apps documents one.
        if value[offset : offset + 1] != ";" or offset + 1 == len(value):
            return pairs
        offset += 1


def _certificates(value: str, hops: int) -> tuple[bytes, ...]:
    """Return the certificate of the first of *hops* elements, followed by its chain."""
    _check_hops(value, hops)
    element = _first_element(value)
    cert = element.get("cert", "")
    if not cert.startswith('"'):
        raise HeaderDecodeError(
            "no Cert in the first element: configure the proxy to forward it, with "
            "set_current_client_cert_details: {cert: true}"
        )
    (leaf,) = decode_pem(unescape(cert[1:-1]))
    if element.get("hash", "").strip('"').lower() != hashlib.sha256(leaf).hexdigest():
        raise HeaderDecodeError(
            "Hash and Cert belong to different certificates",
            reason=Reason.HEADER_MISMATCH,
        )
    if "chain" not in element:
        return (leaf,)
    if not element["chain"].startswith('"'):
        raise HeaderDecodeError("a Chain without quotes")
    chain = decode_pem_chain(unescape(element["chain"][1:-1]))
    if chain[0] != leaf:
        raise HeaderDecodeError(
            "Chain does not begin with Cert", reason=Reason.HEADER_MISMATCH
        )
    return chain
