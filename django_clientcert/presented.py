"""What a request says about a client certificate, before anything is believed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.request import split_domain_port

from .conf import conf
from .proxies import ABSENT, Proxy, meta_key


@dataclass(frozen=True)
class Presented:
    """The values that one request carries, untouched, and who sent them.

    ``certificates`` is set instead of ``value`` where the DER is already at hand
    and no request is spoken of, as in ``manage.py clientcert explain FILE``: there
    are no gates to pass then.
    """

    proxy: Proxy
    value: str | None = field(default=None, repr=False)
    verdict: str | None = None
    subject_dn: str | None = field(default=None, repr=False)
    issuer_dn: str | None = field(default=None, repr=False)
    peer: str | None = None
    secure: bool = True
    secret: str | None = field(default=None, repr=False)
    # Why the headers cannot be told apart; empty where they can
    ambiguity: str = ""
    certificates: tuple[bytes, ...] | None = field(default=None, repr=False)
    # Whether any header of the preset was there, the certificate's or another
    anything: bool = True

    @property
    def has_certificate(self) -> bool:
        """Whether there is a certificate to speak of, or headers to tell apart."""
        return (
            self.certificates is not None
            or self.value is not None
            or bool(self.ambiguity)
        )

    @property
    def from_request(self) -> bool:
        """Whether a request is spoken of, with a sender who has to be trusted."""
        return self.certificates is None


def read_request(request: HttpRequest) -> Presented:
    """Return what *request* carries. Believes nothing and raises nothing."""
    proxy = conf.CLIENTCERT_PROXY
    meta = request.META

    def value(name: str | None) -> str | None:
        found = None if name is None else meta.get(proxy.meta_key(name))
        return found if isinstance(found, str) and found not in ABSENT else None

    secret = conf.CLIENTCERT_PROXY_SECRET
    scope_headers = _scope_headers(request)
    keys = {proxy.meta_key(name) for name in proxy.names}
    peer = meta.get("REMOTE_ADDR")
    return Presented(
        proxy=proxy,
        value=value(proxy.certificate),
        verdict=value(proxy.verdict),
        subject_dn=value(proxy.subject_dn),
        issuer_dn=value(proxy.issuer_dn),
        peer=peer if isinstance(peer, str) else None,
        secure=request.is_secure(),
        secret=meta.get(secret[0]) if secret else None,
        ambiguity=_find_ambiguity(proxy, scope_headers),
        anything=any(key in meta for key in keys)
        or any(_meta_key(name) in keys for name, _ in scope_headers),
    )


def get_host(request: HttpRequest) -> str:
    """Return the host name of *request*, lower case, without port; "" if invalid."""
    try:
        host = request.get_host()
    except DisallowedHost:
        return ""
    return split_domain_port(host)[0]


def strip_headers(request: HttpRequest, proxy: Proxy) -> None:
    """Take every header of *proxy* out of *request*, so that no code believes it."""
    for name in proxy.names:
        request.META.pop(proxy.meta_key(name), None)
    # request.headers is computed once from META
    request.__dict__.pop("headers", None)
    scope = getattr(request, "scope", None)
    if scope is not None and proxy.is_header:
        keys = {meta_key(name) for name in proxy.names}
        kept = [
            (name, value)
            for name, value in scope.get("headers", ())
            if _meta_key(name) not in keys
        ]
        request.scope = {**scope, "headers": kept}  # type: ignore[attr-defined]


def _scope_headers(request: HttpRequest) -> Iterable[tuple[bytes, bytes]]:
    """Return the header lines as ASGI has them; nothing under WSGI."""
    scope = getattr(request, "scope", None)
    return scope.get("headers", ()) if scope is not None else ()


def _meta_key(name: bytes) -> str:
    """Return the key that a header line gets in ``request.META``.

    By Django's own rule: Unicode's upper case makes "SS" of a sharp s.
    """
    return meta_key(name.decode("latin-1"))


def _find_ambiguity(proxy: Proxy, lines: Iterable[tuple[bytes, bytes]]) -> str:
    """Return why the header lines of ASGI cannot be told apart, or "".

    An underscore instead of a hyphen becomes the same key in ``request.META``
    (CVE-2015-0219, CVE-2026-3902), and two lines become one with a comma. Under
    WSGI the server has folded them before: a comma is all that can be seen there.
    """
    if not proxy.is_header:
        return ""
    headers = {meta_key(name): name for name in proxy.names}
    seen = set()
    for name, _ in lines:
        header = headers.get(_meta_key(name))
        if header is None:
            continue
        if name.lower() != header.encode("ascii"):
            return f"the header {header} is spelt in another way, as with an underscore"
        if header in seen:
            return f"the header {header} is there twice"
        seen.add(header)
    return ""
