"""The attempts: every way in which a client may try to send the headers itself.

Each request is raw octets: HTTP libraries would repair what must be malformed.
"""

from __future__ import annotations

import http.client
import secrets
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

_LIMIT = 65536


@dataclass(frozen=True)
class Spelling:
    """One way to write the headers: its name, for people, and the lines."""

    name: str
    write: Callable[[Sequence[tuple[str, str]]], bytes]
    # Whether it must not remove the proxy's own header
    removes: bool = False


def _plain(lines: Sequence[tuple[str, str]]) -> bytes:
    return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in lines)


def _renamed(rename: Callable[[str], str]) -> Callable[..., bytes]:
    return lambda lines: _plain([(rename(name), value) for name, value in lines])


def _first_hyphen(name: str) -> str:
    return name.replace("-", "_", 1)


def _last_hyphen(name: str) -> str:
    return "_".join(name.rsplit("-", 1))


def _after_line_feed(lines: Sequence[tuple[str, str]]) -> bytes:
    """Return the lines as one header whose value continues after bare line feeds."""
    hidden = "".join(f"\n{name}: {value}" for name, value in lines)
    return f"x-clientcert-a: 1{hidden}\r\n".encode("latin-1")


def _removed(lines: Sequence[tuple[str, str]]) -> bytes:
    names = ", ".join(name for name, _ in lines)
    return f"Connection: {names}\r\n".encode("latin-1") + _plain(lines)


SPELLINGS = (
    Spelling("as the proxy writes them", _plain),
    Spelling("capital letters", _renamed(str.upper)),
    Spelling("underscores", _renamed(lambda name: name.replace("-", "_"))),
    Spelling("first hyphen an underscore", _renamed(_first_hyphen)),
    Spelling("last hyphen an underscore", _renamed(_last_hyphen)),
    Spelling("dots", _renamed(lambda name: name.replace("-", "."))),
    Spelling("twice", lambda lines: 2 * _plain(lines)),
    Spelling("after a bare line feed", _after_line_feed),
    Spelling("named in Connection", _removed, removes=True),
)


@dataclass(frozen=True)
class Place:
    """Where requests are sent, and with which certificate: one series of attempts."""

    name: str
    host: str
    port: int
    tls: bool
    path: str
    # For the Host header and the TLS handshake
    authority: str
    with_certificate: bool = False
    # Bypassing the proxy, to the application itself
    direct: bool = False

    @property
    def server_name(self) -> str:
        """The host name for the TLS handshake."""
        return urlsplit(f"//{self.authority}").hostname or self.host


def list_places(
    url: SplitResult,
    *,
    paths: Sequence[str],
    hosts: Sequence[str],
    upstreams: Sequence[tuple[str, int]],
    plain_port: int | None,
    has_certificate: bool,
) -> Iterator[Place]:
    """Return every place, the most likely holes first.

    *url* has a host; *paths* (default: the root and a made-up one) and *hosts* are
    tried in addition to its own. *plain_port* is that of plain HTTP, 0 for none; None
    means 80, if the URL is one of https without a port.
    """
    tls = url.scheme == "https"
    host = url.hostname or ""
    port = url.port or (443 if tls else 80)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    made_up = f"/clientcert-probe-{secrets.token_hex(4)}/"
    others = paths or [other for other in ("/", made_up) if other != path]
    variants = [
        ("", path, host),
        *((f", path {other}", other, host) for other in others),
        *((f", host {other}", path, other) for other in hosts),
    ]
    for certificate in [False, True] if has_certificate and tls else [False]:
        suffix = ", own certificate" if certificate else ""
        for variant, its_path, its_host in variants:
            name = f"{url.scheme}{variant}{suffix}"
            authority = _in_url(its_host, port)
            yield Place(name, host, port, tls, its_path, authority, certificate)
    if plain_port is None and tls and url.port is None:
        plain_port = 80
    if plain_port:
        authority = _in_url(host, plain_port)
        yield Place("http", host, plain_port, False, path, authority)
    authority = _in_url(host, port)
    for upstream, upstream_port in upstreams:
        name = f"direct to {upstream}:{upstream_port}"
        yield Place(name, upstream, upstream_port, False, path, authority, direct=True)


def _in_url(host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port in (80, 443) else f"{name}:{port}"


@dataclass(frozen=True)
class Reply:
    """The status and the beginning of the body, or the problem if there is none."""

    status: int
    body: str = ""
    problem: str = ""
    is_silence: bool = False


class Client:
    """Sends requests with or without TLS, with or without a certificate."""

    def __init__(
        self,
        *,
        cafile: str | None,
        insecure: bool,
        certificate: tuple[str, str | None] | None,
        timeout: float,
    ) -> None:
        """Load the certificates.

        Raises:
            OSError: a file cannot be read, or contains no certificate or key.
        """
        self.timeout = timeout
        self._contexts = {
            own: _context(cafile, insecure, certificate if own else None)
            for own in (False, True)
        }

    def send(self, place: Place, lines: bytes) -> Reply:
        """Return the reply to a GET with header *lines*.

        Never raises: any failure, including an invalid name or port, becomes the
        ``problem`` of the reply.
        """
        request = (
            f"GET {place.path} HTTP/1.1\r\nHost: {place.authority}\r\n".encode()
            + b"User-Agent: django-clientcert-probe\r\nAccept: */*\r\n"
            + lines
            + b"\r\n"
        )
        try:
            return self._send(place, request)
        except (OSError, http.client.HTTPException, ValueError, OverflowError) as error:
            return Reply(
                0,
                problem=f"{type(error).__name__}: {error}",
                is_silence=isinstance(error, (TimeoutError, ConnectionRefusedError)),
            )

    def _send(self, place: Place, request: bytes) -> Reply:
        address = (place.host, place.port)
        with closing(socket.create_connection(address, self.timeout)) as plain:
            connection: socket.socket = plain
            if place.tls:
                name = place.server_name
                context = self._contexts[place.with_certificate]
                connection = context.wrap_socket(plain, server_hostname=name)
            with closing(connection):
                connection.sendall(request)
                response = http.client.HTTPResponse(connection, method="GET")
                with closing(response):
                    response.begin()
                    body = response.read(_LIMIT)
                    return Reply(response.status, body.decode("utf-8", "replace"))


def _context(
    cafile: str | None, insecure: bool, certificate: tuple[str, str | None] | None
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=cafile)
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context
