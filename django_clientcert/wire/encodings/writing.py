"""DER to header text, as each program writes it: the inverse of the decoders.

For tests, and to find out what a proxy passes through. No decision depends on it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from urllib.parse import quote

from django_clientcert.x509.bundles import encode_pem

# The default identity of a service mesh's gateway
GATEWAY = "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway"


def encode_escaped_pem(der: bytes) -> str:
    """Return *der* as nginx's ``$ssl_client_escaped_cert`` writes it."""
    return quote(encode_pem(der), safe="")


def encode_escaped_pem_chain(ders: Sequence[bytes]) -> str:
    """Return PEM blocks as AWS writes them: ``+``, ``=`` and ``/`` stay."""
    return quote("".join(map(encode_pem, ders)), safe="+=/")


def encode_folded_pem(der: bytes) -> str:
    """Return *der* as Apache writes it, with a space for each line end."""
    return encode_pem(der).replace("\n", " ").rstrip(" ")


def encode_base64_pem(der: bytes) -> str:
    """Return *der* as PEM, in base64."""
    return base64.b64encode(encode_pem(der).encode()).decode("ascii")


def encode_base64_der(der: bytes) -> str:
    """Return *der* as HAProxy and Caddy write it."""
    return base64.b64encode(der).decode("ascii")


def encode_base64_der_list(ders: Sequence[bytes]) -> str:
    """Return *ders* as Traefik writes them."""
    return ",".join(map(encode_base64_der, ders))


def encode_rfc9440_list(ders: Sequence[bytes]) -> str:
    """Return *ders* as a list of byte sequences (RFC 9440, 2.3)."""
    return ", ".join(f":{encode_base64_der(der)}:" for der in ders)


def encode_xfcc(ders: Sequence[bytes]) -> str:
    """Return *ders* as a single Envoy writes them, with their chain."""
    cert = encode_escaped_pem(ders[0])
    chain = "".join(map(encode_escaped_pem, ders))
    digest = hashlib.sha256(ders[0]).hexdigest()
    return f'Hash={digest};Cert="{cert}";Chain="{chain}"'


def encode_xfcc_two_hops(
    ders: Sequence[bytes], gateway_identity: str | None = None
) -> str:
    """Return *ders* as a gateway and the sidecar that it calls write them.

    *gateway_identity* is the URI in the gateway's certificate.
    """
    digest = hashlib.sha256(b"the gateway's certificate").hexdigest()
    own = "spiffe://cluster.local/ns/default/sa/default"
    return (
        f'{encode_xfcc(ders)},By={own};Hash={digest};Subject="";'
        f"URI={gateway_identity or GATEWAY}"
    )


def _first(encode: Callable[[bytes], str]) -> Callable[[Sequence[bytes]], str]:
    """Return an encoder of the first certificate, for encodings that hold only one."""
    return lambda ders: encode(ders[0])


# By the names of ``DECODERS``; each takes certificates, the client's first
ENCODERS: dict[str, Callable[[Sequence[bytes]], str]] = {
    "escaped_pem": _first(encode_escaped_pem),
    "base64_pem": _first(encode_base64_pem),
    "escaped_pem_chain": encode_escaped_pem_chain,
    "folded_pem": _first(encode_folded_pem),
    "pem": _first(encode_pem),
    "base64_der": _first(encode_base64_der),
    "base64_der_concatenated": lambda ders: encode_base64_der(b"".join(ders)),
    "base64_der_list": encode_base64_der_list,
    "escaped_base64_der_list": lambda ders: ",".join(
        quote(encode_base64_der(der), safe="") for der in ders
    ),
    "latin1_der": _first(lambda der: der.decode("latin-1")),
    "rfc9440": _first(lambda der: encode_rfc9440_list([der])),
    "rfc9440_list": encode_rfc9440_list,
    "xfcc": encode_xfcc,
    "xfcc_two_hops": encode_xfcc_two_hops,
}
