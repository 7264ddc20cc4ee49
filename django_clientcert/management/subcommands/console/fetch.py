"""Fetch a CRL from an address that an administrator has set.

Never used while a request is processed: only commands import this module.
"""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from django_clientcert.exceptions import ClientCertError
from django_clientcert.x509.escaping import visible

MAX_REDIRECTS = 5
_PIECE = 64 * 1024
_SCHEMES = ("http", "https")


class FetchError(ClientCertError):
    """A CRL could not be fetched; says why."""


class _OnlyWeb(urllib.request.HTTPRedirectHandler):
    """Follows a few redirects, and only to http and https."""

    max_redirections = MAX_REDIRECTS

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        """Return the request for *newurl*.

        Raises:
            FetchError: it is not http or https, or leads from https to http.
        """
        # Closed before urllib reads the rest, which may never end.
        fp.close()
        _check_scheme(newurl)
        if urlsplit(req.full_url).scheme == "https" and not newurl.startswith("https:"):
            raise FetchError(f"it redirects from https to {visible(newurl, 100)}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(
    url: str,
    *,
    max_bytes: int,
    timeout: float = 20,
    deadline: float = 300,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> bytes:
    """Return the content at *url*, http or https.

    No step takes longer than *timeout* seconds, and the whole not longer than
    *deadline* seconds.

    Raises:
        FetchError: it cannot be fetched, is larger than *max_bytes*, or takes too
            long.
    """
    _check_scheme(url)
    outcome: list[bytes | Exception] = []

    def work() -> None:
        try:
            outcome.append(_fetch(url, max_bytes, timeout, deadline, progress))
        except Exception as error:  # noqa: BLE001 - raised again in the waiting thread
            outcome.append(error)

    # In a thread, because a server that sends its headers byte by byte never exceeds
    # the time-out of the socket. A thread that is given up ends with the process.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(deadline)
    if not outcome:
        raise FetchError("it took too long")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _fetch(
    url: str,
    max_bytes: int,
    timeout: float,
    deadline: float,
    progress: Callable[[int, int], None],
) -> bytes:
    # The default handlers would also open files and FTP.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _OnlyWeb(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", "django-clientcert"), ("Accept", "*/*")]
    end = time.monotonic() + deadline
    try:
        with opener.open(url, timeout=timeout) as response:
            return _read(response, max_bytes, end, progress)
    except urllib.error.HTTPError as error:
        error.close()
        raise FetchError(
            f"the server answers {error.code} {visible(str(error.reason), 80)}"
        ) from error
    except urllib.error.URLError as error:
        raise FetchError(f"no answer: {visible(str(error.reason), 200)}") from error
    except (OSError, HTTPException, ValueError) as error:
        what = visible(str(error) or type(error).__name__, 200)
        raise FetchError(f"the connection failed: {what}") from error


def _check_scheme(url: str) -> None:
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise FetchError(f"{visible(url, 100)} is not a valid URL") from error
    if scheme not in _SCHEMES:
        raise FetchError(f"{visible(url, 100)} is neither http nor https")


def _read(
    response: Any,
    max_bytes: int,
    end: float,
    progress: Callable[[int, int], None],
) -> bytes:
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else 0
    too_large = FetchError(f"it is larger than {max_bytes // 1024 // 1024} MiB")
    if total > max_bytes:
        raise too_large
    data = bytearray()
    # read1() returns what has arrived, without waiting until the piece is full.
    while piece := response.read1(_PIECE):
        data += piece
        if len(data) > max_bytes:
            raise too_large
        if time.monotonic() > end:
            raise FetchError("it took too long")
        progress(len(data), total)
    if total and len(data) < total:
        raise FetchError(f"it was cut off after {len(data)} of {total} bytes")
    return bytes(data)
