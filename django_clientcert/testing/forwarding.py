"""What the proxy of a preset forwards for a certificate, and how Django receives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django_clientcert.wire import (
    ValueSource,
    forwarded_values,
    get_proxy,
    meta_key,
)


class TlsConnection:
    """A connection with a client's certificate, such as ``gunicorn.socket``."""

    def __init__(self, der: bytes | None) -> None:
        self.der = der

    def getpeercert(self, binary_form: bool = False) -> Any:
        """Return the certificate, or None if the client sent none."""
        return self.der if binary_form else {}


def proxy_headers(
    der: bytes,
    *,
    preset: str = "ingress-nginx",
    verdict: str | None = None,
    chain: Sequence[bytes] = (),
) -> dict[str, str]:
    """Return the header fields that the proxy of *preset* forwards for *der*.

    *verdict* is what it says about the certificate (default: its word for success),
    *chain* the intermediate certificates that the client sent, DER. A proxy that
    forwards no chain leaves them out.

    Raises:
        ValueError: there is no such preset, or it has no headers: see ``proxy_meta()``.
    """
    proxy = get_proxy(preset)
    if not proxy.is_header:
        raise ValueError(f"the preset {preset!r} has no headers; use proxy_meta()")
    return forwarded_values(proxy, der, verdict=verdict, chain=chain)


def headers_to_meta(headers: Mapping[str, str]) -> dict[str, str]:
    """Return *headers* under their names in ``request.META``."""
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

    The request is secure and comes from *peer*; add that address to
    ``CLIENTCERT_TRUSTED_PROXIES`` in the test settings, unless the preset reads no
    header. *verdict* and *chain* are as for ``proxy_headers()``.

    Raises:
        ValueError: there is no such preset.
    """
    proxy = get_proxy(preset)
    meta: dict[str, Any]
    if proxy.source == ValueSource.SOCKET:
        meta = {proxy.certificate: TlsConnection(der)}
    else:
        values = forwarded_values(proxy, der, verdict=verdict, chain=chain)
        meta = {proxy.meta_key(name): value for name, value in values.items()}
    return {**meta, "REMOTE_ADDR": peer, "wsgi.url_scheme": "https"}
