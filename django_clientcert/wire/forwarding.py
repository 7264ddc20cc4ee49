"""What a proxy forwards for a certificate, by the names of its headers."""

from __future__ import annotations

from collections.abc import Sequence

from django_clientcert.wire.encodings.writing import ENCODERS, encode_xfcc_two_hops
from django_clientcert.x509.certificates import ClientCertificate

from .encodings import OF_CHAINS
from .proxy import Proxy


def forwarded_values(
    proxy: Proxy,
    der: bytes,
    *,
    verdict: str | None = None,
    chain: Sequence[bytes] = (),
) -> dict[str, str]:
    """Return what *proxy* says of *der*, by the names of its headers or environ keys.

    *verdict* is what it says of the certificate (default: its word for success),
    *chain* what the client sent above it. A value that would be empty is left out.
    """
    certificate = ClientCertificate(der)
    ders = [der, *(chain if proxy.encoding in OF_CHAINS else ())]
    values = {proxy.certificate: ENCODERS[proxy.encoding](ders)}
    if proxy.encoding == "xfcc_two_hops":
        values[proxy.certificate] = encode_xfcc_two_hops(ders, proxy.gateway_identity)
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
    """Return the headers with the chain: one with all of it, or one for each."""
    if not chain or proxy.chain_encoding is None:
        return {}
    encode = ENCODERS[proxy.chain_encoding]
    if proxy.chain_encoding in OF_CHAINS:
        return {proxy.chain[0]: encode(chain)}
    return {name: encode([one]) for name, one in zip(proxy.chain, chain, strict=False)}
