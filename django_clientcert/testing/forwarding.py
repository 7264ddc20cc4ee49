"""What the proxy of a preset forwards for a certificate, and how Django gets it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django_clientcert.certificates import ClientCertificate
from django_clientcert.encodings import OF_CHAINS
from django_clientcert.proxies import Proxy, Source, get_proxy, meta_key

from .encoders import ENCODERS, encode_xfcc_two_hops


class TlsConnection:
    """A connection with a client's certificate, as ``gunicorn.socket`` is one."""

    def __init__(self, der: bytes | None) -> None:
        self.der = der

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Return the certificate, or None where the client sent none."""
        return self.der if binary_form else {}


def proxy_headers(
    der: bytes,
    *,
    preset: str = "ingress-nginx",
    verdict: str | None = None,
    chain: Sequence[bytes] = (),
) -> dict[str, str]:
    """Return the header fields that the proxy of *preset* forwards for *der*.

    *verdict* is what it says of the certificate (default: its word for success),
    *chain* what the client sent above it, DER. A proxy that forwards no chain leaves
    it out.

    Raises:
        ValueError: there is no such preset, or it has no header: see ``proxy_meta()``.
    """
    proxy = get_proxy(preset)
    if not proxy.is_header:
        raise ValueError(f"the preset {preset!r} has no header; use proxy_meta()")
    return _values(proxy, der, verdict, chain)


def headers_to_meta(headers: Mapping[str, str]) -> dict[str, str]:
    """Return *headers* under the names that WSGI gives them in ``request.META``."""
    return {meta_key(name): value for name, value in headers.items()}


def proxy_meta(
    der: bytes,
    *,
    preset: str = "ingress-nginx",
    verdict: str | None = None,
    chain: Sequence[bytes] = (),
    peer: str = "127.0.0.1",
) -> dict[str, Any]:
    """Return ``extra`` for Django's test client: a request through the proxy.

    The request is secure and comes from *peer*; put that address into
    ``CLIENTCERT_TRUSTED_PROXIES`` of the test settings, unless the preset reads no
    header. *verdict* and *chain* are as for ``proxy_headers()``.

    Raises:
        ValueError: there is no such preset.
    """
    proxy = get_proxy(preset)
    meta: dict[str, Any]
    if proxy.source == Source.SOCKET:
        meta = {proxy.certificate: TlsConnection(der)}
    else:
        values = _values(proxy, der, verdict, chain)
        meta = {proxy.meta_key(name): value for name, value in values.items()}
    return {**meta, "REMOTE_ADDR": peer, "wsgi.url_scheme": "https"}


def _values(
    proxy: Proxy, der: bytes, verdict: str | None, chain: Sequence[bytes]
) -> dict[str, str]:
    """Return what the proxy says, by the names of its headers or environ keys."""
    certificate = ClientCertificate(der)
    ders = [der, *(chain if proxy.encoding in OF_CHAINS else ())]
    values = {proxy.certificate: ENCODERS[proxy.encoding](ders)}
    if proxy.encoding == "xfcc_two_hops":
        values[proxy.certificate] = encode_xfcc_two_hops(ders, proxy.forwarder)
    if proxy.verdict is not None:
        values[proxy.verdict] = proxy.success if verdict is None else verdict
    if proxy.subject_dn is not None:
        values[proxy.subject_dn] = certificate.subject.openssl_rfc2253()
    if proxy.issuer_dn is not None:
        values[proxy.issuer_dn] = certificate.issuer.openssl_rfc2253()
    values |= dict(proxy.conditions)
    values |= _chain_values(proxy, chain)
    # A header whose value would be empty is left out.
    return {name: value for name, value in values.items() if value}


def _chain_values(proxy: Proxy, chain: Sequence[bytes]) -> dict[str, str]:
    """Return the headers with the chain: one with all of it, or one for each."""
    if not chain or proxy.chain_encoding is None:
        return {}
    encode = ENCODERS[proxy.chain_encoding]
    if proxy.chain_encoding in OF_CHAINS:
        return {proxy.chain[0]: encode(chain)}
    return {name: encode([one]) for name, one in zip(proxy.chain, chain, strict=False)}
