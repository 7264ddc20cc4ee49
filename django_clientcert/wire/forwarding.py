"""What a proxy forwards for a certificate, by the names of its headers."""

from __future__ import annotations

from collections.abc import Sequence

from django_clientcert.x509.certificates import ClientCertificate

from .encodings import CHAIN_ENCODINGS
from .encodings.writing import ENCODERS, encode_xfcc_two_hops
from .proxy import Proxy


def forwarded_values(
    proxy: Proxy,
    der: bytes,
    *,
    verdict: str | None = None,
    chain: Sequence[bytes] = (),
) -> dict[str, str]:
    """Return what *proxy* forwards for *der*, by the names of its headers.

    *verdict* is what it says about the certificate (default: its word for success),
    *chain* the intermediate certificates that the client sent. Empty values are left
    out. With a proxy that sets the environ, the names are keys of the environ.
    """
    certificate = ClientCertificate(der)
    ders = [der, *(chain if proxy.encoding in CHAIN_ENCODINGS else ())]
    values = {
        proxy.certificate: encode_xfcc_two_hops(ders, proxy.gateway_identity)
        if proxy.encoding == "xfcc_two_hops"
        else ENCODERS[proxy.encoding](ders)
    }
    if proxy.verdict is not None:
        values[proxy.verdict] = proxy.success if verdict is None else verdict
    if proxy.subject_dn is not None:
        values[proxy.subject_dn] = certificate.subject.openssl_rfc2253()
    if proxy.issuer_dn is not None:
        values[proxy.issuer_dn] = certificate.issuer.openssl_rfc2253()
    values |= dict(proxy.conditions)
    values |= _chain_values(proxy, chain)
    return {name: value for name, value in values.items() if value}


def _chain_values(proxy: Proxy, chain: Sequence[bytes]) -> dict[str, str]:
    """Return the headers of the chain: one for all of it, or one per certificate."""
    if not chain or proxy.chain_encoding is None:
        return {}
    encode = ENCODERS[proxy.chain_encoding]
    if proxy.chain_encoding in CHAIN_ENCODINGS:
        return {proxy.chain[0]: encode(chain)}
    return {
        name: encode([intermediate])
        for name, intermediate in zip(proxy.chain, chain, strict=False)
    }
