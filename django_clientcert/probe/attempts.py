"""The attempts: every way in which a client may try to send the headers itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit


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


def _twice(lines: Sequence[tuple[str, str]]) -> bytes:
    return _plain(lines) + _plain(lines)


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
    Spelling("twice", _twice),
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
    *,
    host: str,
    port: int,
    tls: bool,
    path: str,
    plain_port: int | None,
    other_paths: Sequence[str],
    other_hosts: Sequence[str],
    upstreams: Sequence[tuple[str, int]],
    has_certificate: bool,
) -> Iterator[Place]:
    """Return every place, the most likely holes first."""
    scheme = "https" if tls else "http"
    variants = [
        ("", path, host),
        *((f", path {other}", other, host) for other in other_paths),
        *((f", host {other}", path, other) for other in other_hosts),
    ]
    for certificate in [False, True] if has_certificate and tls else [False]:
        suffix = ", own certificate" if certificate else ""
        for variant, its_path, its_host in variants:
            name = f"{scheme}{variant}{suffix}"
            authority = _in_url(its_host, port)
            yield Place(name, host, port, tls, its_path, authority, certificate)
    if plain_port is not None:
        authority = _in_url(host, plain_port)
        yield Place("http", host, plain_port, False, path, authority)
    authority = _in_url(host, port)
    for upstream, upstream_port in upstreams:
        name = f"direct to {upstream}:{upstream_port}"
        yield Place(name, upstream, upstream_port, False, path, authority, direct=True)


def _in_url(host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port in (80, 443) else f"{name}:{port}"
