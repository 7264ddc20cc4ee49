"""Envoy's ``x-forwarded-client-cert`` (XFCC).

A list of elements, one for each proxy that the request came through; an element is
a list of ``key=value``, some of the values in quotes. Envoy quotes what it has
encoded, and not the names out of the certificate (``URI``, ``DNS``): a client can
write commas, semicolons and whole elements there. Where Envoy appends to what it
was sent, a client writes what it likes in front, an open quote included.

So nothing is taken on the word of the grammar alone. Envoy puts the SHA-256 of the
certificate into every element that it writes, so as many of those as there are
proxies must be there, *anywhere* in the text, and the certificate must have it.
"""

from __future__ import annotations

import hashlib
import re

from django_clientcert.exceptions import HeaderDecodeError, Reason

from .pem import decode_pem, decode_pem_chain
from .values import unescape

# One for each element that a proxy wrote. In quotes only by somebody else.
_HASH = re.compile(r"\bhash=\"?[0-9a-f]{64}", re.IGNORECASE)
_PAIR = re.compile(
    r"""(?P<key>[A-Za-z]+)=
        (?: "(?P<quoted>(?:[^"\\]|\\.)*)"
          | (?P<bare>(?!")[^;,]*) )
        (?=[;,]|\Z)""",
    re.VERBOSE | re.DOTALL,
)
# What a semicolon in a name out of the certificate leaves behind
_RESIDUE = re.compile(r"[^;,]*")

# Written by the proxy, once for each element
_OWN = frozenset({"hash", "cert", "chain", "subject"})
# What is not quoted, out of the certificate
_NAMES = frozenset({"uri", "dns"})


def decode_xfcc(value: str) -> tuple[bytes, ...]:
    """Return the certificates that the one proxy in front wrote.

    Raises:
        HeaderDecodeError: elements of more than one proxy, no ``Cert``, or
            anything that is not as Envoy writes it.
    """
    _count_hops(value, 1)
    return _certificates(_first_element(value))


def decode_xfcc_two_hops(value: str) -> tuple[bytes, ...]:
    """Return the certificates that the first of exactly two proxies wrote.

    As the sidecar of a service mesh appends itself behind what the gateway wrote.

    Raises:
        HeaderDecodeError: elements of one proxy or of more than two, or anything
            that is not as Envoy writes it.
    """
    _count_hops(value, 2)
    return _certificates(_first_element(value))


def read_forwarder(value: str) -> tuple[str, ...]:
    """Return the URIs in the certificate of whoever connected to the last proxy.

    *value* as ``decode_xfcc_two_hops()`` reads it: what stands behind the last hash
    was written by the proxy in front of the application. None of them where it is
    not as Envoy writes it.
    """
    *_, last = _HASH.finditer(value)
    rest = value[last.end() :]
    found: list[str] = []
    while rest:
        match = _PAIR.match(rest, 1)
        if rest[0] != ";" or match is None:
            return ()
        if match["key"].lower() == "uri" and match["bare"]:
            found.append(match["bare"])
        rest = rest[match.end() :]
    return tuple(found)


def _count_hops(value: str, wanted: int) -> None:
    # An open quote may hide an element from a grammar, and nothing from this.
    found = sum(1 for _ in _HASH.finditer(value))
    if found > wanted:
        raise HeaderDecodeError(
            f"elements of {found} proxies, where {wanted} is said to be in front",
            reason=Reason.AMBIGUOUS_HEADER,
        )
    if found < wanted:
        raise HeaderDecodeError(
            f"elements of {found} proxies, where {wanted} should have written one"
        )


def _first_element(value: str) -> dict[str, tuple[str, bool]]:
    """Return the proxy's own pairs of the first element: value, and if quoted."""
    pairs: dict[str, tuple[str, bool]] = {}
    names_began = False
    offset = 0
    while True:
        match = _PAIR.match(value, offset)
        if match is None:
            residue = _RESIDUE.match(value, offset)
            # Only a client's own name leaves something behind, and no quote.
            if not names_began or residue is None or '"' in residue[0]:
                raise HeaderDecodeError("an element that is no list of key=value")
            offset = residue.end()
        else:
            key = match["key"].lower()
            if key in _OWN and key in pairs:
                raise HeaderDecodeError(f"{match['key']} stands there twice")
            names_began = names_began or key in _NAMES
            is_quoted = match["quoted"] is not None
            if key in _OWN:
                pairs[key] = match["quoted" if is_quoted else "bare"], is_quoted
            offset = match.end()
        if value[offset : offset + 1] != ";":
            return pairs
        offset += 1


def _certificates(element: dict[str, tuple[str, bool]]) -> tuple[bytes, ...]:
    """Return the certificate of *element*, and the chain behind it."""
    cert, cert_quoted = element.get("cert", ("", False))
    if not cert_quoted:
        raise HeaderDecodeError(
            "no Cert in the first element: let the proxy forward it, with "
            "set_current_client_cert_details: {cert: true}"
        )
    (leaf,) = decode_pem(unescape(cert))
    if element.get("hash", ("", False))[0].lower() != hashlib.sha256(leaf).hexdigest():
        raise HeaderDecodeError(
            "Hash and Cert speak of different certificates",
            reason=Reason.HEADER_MISMATCH,
        )
    if "chain" not in element:
        return (leaf,)
    chain_value, chain_quoted = element["chain"]
    if not chain_quoted:
        raise HeaderDecodeError("a Chain without quotes")
    chain = decode_pem_chain(unescape(chain_value))
    if chain[0] != leaf:
        raise HeaderDecodeError(
            "Chain does not begin with Cert", reason=Reason.HEADER_MISMATCH
        )
    return chain
