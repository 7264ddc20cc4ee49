"""What a request says about a client certificate, before anything is checked."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.request import split_domain_port

from django_clientcert.conf import Settings, conf, current
from django_clientcert.wire import PRESETS, Proxy, ValueSource, is_absent, meta_key
from django_clientcert.x509.certificates import ClientCertificate


@dataclass(slots=True)
class Presented:
    """The values that one request carries, untouched, and who sent them.

    Not frozen, only because each request makes one, and that would take twice as long.

    ``certificates`` is set instead of ``value`` and ``chain`` if there is no request
    and the DER is at hand, as in ``manage.py clientcert explain FILE``. There are no
    gates to pass then.
    """

    proxy: Proxy
    value: str | None = field(default=None, repr=False)
    verdict: str | None = None
    # The values of the proxy's conditions, in their order
    conditions: tuple[str | None, ...] = ()
    # Those of the headers with intermediates that are present, in order
    chain: tuple[str, ...] = field(default=(), repr=False)
    subject_dn: str | None = field(default=None, repr=False)
    issuer_dn: str | None = field(default=None, repr=False)
    peer: str | None = None
    secure: bool = True
    secret: str | None = field(default=None, repr=False)
    # Why the headers are ambiguous; empty if they are not
    ambiguity: str = ""
    certificates: tuple[bytes, ...] | None = field(default=None, repr=False)
    # Whether any header of the preset was present, the certificate's or another
    anything: bool = True
    # A header of another preset that is there instead, for the log and the DEBUG page
    other_header: str = ""

    @property
    def has_certificate(self) -> bool:
        """Whether there is a certificate, or an ambiguity that has to be refused."""
        return not self.from_request or self.value is not None or bool(self.ambiguity)

    @property
    def is_vouched_for(self) -> bool:
        """Whether the proxy's verdict is that it verified the certificate."""
        proxy = self.proxy
        return (
            proxy.verdict is not None
            and self.verdict == proxy.success
            and self.unmet_condition is None
        )

    @property
    def unmet_condition(self) -> tuple[str, str | None, str] | None:
        """The first header without its required value: name, value, required value.

        None if there is none, or no request.
        """
        if not self.from_request:
            return None
        required = self.proxy.conditions
        values = self.conditions or (None,) * len(required)
        for (name, word), value in zip(required, values, strict=True):
            if value != word:
                return name, value, word
        return None

    @property
    def from_request(self) -> bool:
        """Whether there is a request, with a sender who has to be trusted."""
        return self.certificates is None


def present_certificates(
    certificates: Iterable[ClientCertificate], *, verdict: str | None = None
) -> Presented:
    """Return *certificates* as if the proxy had forwarded them, with its *verdict*.

    The client's own certificate comes first. There is no request, so there are no
    gates to pass. Without a verdict, the path is validated here.
    """
    return Presented(
        conf.CLIENTCERT_PROXY,
        verdict=verdict,
        certificates=tuple(certificate.der for certificate in certificates),
    )


def success_verdict() -> str | None:
    """Return the verdict of a proxy that has verified; None if ours does not."""
    proxy = conf.CLIENTCERT_PROXY
    verifies = conf.CLIENTCERT_PROXY_VERIFIES and proxy.verdict is not None
    return proxy.success if verifies else None


def read_request(request: HttpRequest, settings: Settings | None = None) -> Presented:
    """Return what *request* carries. Checks nothing and raises nothing."""
    settings = current() if settings is None else settings
    proxy, secret = settings.CLIENTCERT_PROXY, settings.CLIENTCERT_PROXY_SECRET
    meta, keys = request.META, proxy.meta_keys

    def value(name: str | None) -> str | None:
        text = None if name is None else meta.get(keys[name])
        return text if isinstance(text, str) and not is_absent(text) else None

    peer = meta.get("REMOTE_ADDR")
    certificate = (
        _read_socket(meta.get(proxy.certificate))
        if proxy.source == ValueSource.SOCKET
        else value(proxy.certificate)
    )
    presented = Presented(
        proxy,
        certificate,
        value(proxy.verdict),
        subject_dn=value(proxy.subject_dn),
        issuer_dn=value(proxy.issuer_dn),
        peer=peer if isinstance(peer, str) else None,
        secure=request.is_secure(),
        secret=meta.get(secret[0]) if secret else None,
        anything=certificate is not None or any(key in meta for key in keys.values()),
    )
    if proxy.conditions:
        presented.conditions = tuple(value(name) for name, _ in proxy.conditions)
    if proxy.chain:
        presented.chain = tuple(filter(None, map(value, proxy.chain)))
    if certificate is None and not _OTHER_HEADERS.keys().isdisjoint(meta):
        others = _OTHER_HEADERS.keys() & meta.keys() - set(keys.values())
        presented.other_header = min(
            (_OTHER_HEADERS[key] for key in others), default=""
        )
    if (lines := _scope_headers(request)) and proxy.is_header:
        _read_lines(presented, lines)
    return presented


# By key of META: the certificate's header of each preset, and the preset
_OTHER_HEADERS = {
    meta_key(proxy.certificate): f"{proxy.certificate} (CLIENTCERT_PROXY = “{name}”)"
    for name, proxy in reversed(PRESETS.items())
    if proxy.is_header
}


def get_host(request: HttpRequest) -> str:
    """Return the host name of *request*, lower case, without port; "" if invalid."""
    try:
        host = request.get_host()
    except DisallowedHost:
        return ""
    return split_domain_port(host)[0]


def strip_headers(request: HttpRequest, proxy: Proxy) -> None:
    """Remove every header of *proxy* from *request*, so that no code trusts it.

    A connection is not a header, so it stays.
    """
    if proxy.source != ValueSource.SOCKET:
        _remove(request, {proxy.meta_key(name) for name in proxy.names})


def strip_secret(request: HttpRequest, settings: Settings) -> None:
    """Remove the proxy's secret, which has been read, from *request*.

    Views need it for nothing, and error mails would show it.
    """
    if settings.CLIENTCERT_PROXY_SECRET is not None:
        _remove(request, {settings.CLIENTCERT_PROXY_SECRET[0]})


def _remove(request: HttpRequest, keys: set[str]) -> None:
    """Remove these keys of ``request.META``, and the headers that they come from."""
    for key in keys:
        request.META.pop(key, None)
    # request.headers is computed once from META
    request.__dict__.pop("headers", None)
    scope = getattr(request, "scope", None)
    if scope is not None:
        kept = [
            line for line in _scope_headers(request) if _meta_key(line[0]) not in keys
        ]
        request.scope = {**scope, "headers": kept}  # type: ignore[attr-defined]


def _read_socket(connection: object) -> str | None:
    """Return the peer's certificate on a TLS connection, its octets as characters.

    None if there is none: without TLS, without a certificate, or if the connection
    is gone already (its owner will notice).
    """
    get_certificate = getattr(connection, "getpeercert", None)
    der: object = None
    if callable(get_certificate):
        with suppress(OSError, ValueError):
            der = get_certificate(True)
    return der.decode("latin-1") if isinstance(der, bytes) and der else None


def _scope_headers(request: HttpRequest) -> Iterable[tuple[bytes, bytes]]:
    """Return the header lines of ASGI; none under WSGI."""
    scope = getattr(request, "scope", None)
    return scope.get("headers", ()) if scope is not None else ()


def _meta_key(name: bytes) -> str:
    """Return the key that a header line gets in ``request.META``.

    By Django's own rule: Unicode's upper case makes "SS" of a sharp s.
    """
    return meta_key(name.decode("latin-1"))


def _read_lines(presented: Presented, lines: Iterable[tuple[bytes, bytes]]) -> None:
    """Look whether the header lines of ASGI are ambiguous.

    An underscore instead of a hyphen becomes the same key in ``request.META``
    (CVE-2015-0219, CVE-2026-3902), and two lines become one with a comma. Under
    WSGI the server has joined them already: only a comma can be seen there.
    """
    headers = {key: name for name, key in presented.proxy.meta_keys.items()}
    seen = set()
    for line, _ in lines:
        header = headers.get(_meta_key(line))
        if header is None:
            continue
        presented.anything = True
        if line.lower() != header.encode("ascii"):
            presented.ambiguity = (
                f"the header {header} is spelt differently, as with an underscore"
            )
            return
        if header in seen:
            presented.ambiguity = f"the header {header} is present twice"
            return
        seen.add(header)
