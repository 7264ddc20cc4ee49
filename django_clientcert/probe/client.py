"""One request as raw octets: HTTP libraries would repair what must be malformed."""

from __future__ import annotations

import http.client
import socket
import ssl
from contextlib import closing
from dataclasses import dataclass

from .attempts import Place

_LIMIT = 65536


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
