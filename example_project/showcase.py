"""The requests that the demonstration prints, and the expected results.

Each is data: it is printed as a shell command, and sent by ``demo.py --check``, with
the same command or, if curl is not installed, with Python.
"""

from __future__ import annotations

import http.client
import json
import os
import shlex
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from . import pki, seed

_TIMEOUT = 20


@dataclass(frozen=True)
class Request:
    """One request and the expected response; status 0 means a failed handshake.

    *identity* names the certificate that the client presents, and *headers* a file
    with additional header lines. *user* is the user whom the response must name;
    *says* is a text that it must contain.
    """

    title: str
    path: str
    status: int
    identity: str | None = None
    headers: str | None = None
    plain: bool = False
    user: str | None = None
    says: str = ""


@dataclass(frozen=True)
class Answer:
    """The response, or *failure* if there was none."""

    status: int = 0
    body: str = ""
    failure: str = ""


@dataclass(frozen=True)
class Place:
    """Where the requests are sent, and where the certificates are stored."""

    url: str
    plain_url: str
    folder: Path


def list_requests(verify_client: str) -> Iterator[Request]:
    """Yield the requests, with the responses of nginx and Django in this mode.

    Under ``on`` nginx refuses requests without a certificate; under ``optional`` it
    forwards them to Django, and under ``optional_no_ca`` also certificates whose CA it
    does not know.
    """
    on = verify_client == "on"
    without, says_without = (
        (400, "No required SSL certificate was sent") if on else (403, "no_certificate")
    )
    says_unverified = "The SSL certificate error"

    yield Request(
        "A service, mapped by the fingerprint of its certificate",
        "/whoami/",
        200,
        identity=pki.SERVICE,
        user=seed.SERVICE_USER,
    )
    yield Request(
        "A person, mapped by the e-mail address in the certificate",
        "/ledger/",
        200,
        identity=pki.PERSON,
        user=seed.PERSON_USER,
    )
    yield Request(
        "An employee who will leave; accepted until the mapping is removed",
        "/ledger/",
        200,
        identity=pki.LEAVER,
        user=seed.LEAVER_USER,
    )
    yield Request(
        "The service again, with an asynchronous view",
        "/ledger/async/",
        200,
        identity=pki.SERVICE,
        user=seed.SERVICE_USER,
    )
    if not on:
        yield Request("The public page, without a certificate", "/", 200)
    yield Request("No certificate", "/ledger/", without, says=says_without)
    yield Request(
        "A good certificate of the CA that is not mapped",
        "/ledger/",
        403,
        identity=pki.STRANGER,
        says="unmapped",
    )
    yield Request(
        "An expired certificate: nginx refuses it",
        "/ledger/",
        400,
        identity=pki.EXPIRED,
        says=says_unverified,
    )
    if verify_client == "optional_no_ca":
        yield Request(
            "The person's name from another CA: nginx forwards it, Django refuses it",
            "/ledger/",
            403,
            identity=pki.IMPOSTOR,
            says="untrusted_issuer",
        )
    else:
        yield Request(
            "The person's name from another CA: nginx refuses it",
            "/ledger/",
            400,
            identity=pki.IMPOSTOR,
            says=says_unverified,
        )
    yield Request(
        "The service's headers, sent by a client without a certificate",
        "/ledger/",
        without,
        headers=pki.STOLEN_HEADERS,
        says=says_without,
    )
    yield Request(
        "The same, spelt with underscores",
        "/ledger/",
        without,
        headers=pki.MISSPELT_HEADERS,
        says=says_without,
    )
    yield Request(
        "The person with the service's headers: still the person",
        "/whoami/",
        200,
        identity=pki.PERSON,
        headers=pki.STOLEN_HEADERS,
        user=seed.PERSON_USER,
    )
    yield Request(
        "The service's headers over plain HTTP",
        "/ledger/",
        403,
        headers=pki.STOLEN_HEADERS,
        plain=True,
        says="no_certificate",
    )


# How a client sees a handshake that the proxy has aborted: as a TLS alert, or only as a
# closed connection.
_ENDED = (
    "alert",
    "reset",
    "broken pipe",
    "eof",
    "unexpected",
    "closed",
    "not connected",
)


def list_requests_for(proxy: str) -> Iterator[Request]:
    """Yield the same for another proxy, which asks for a certificate.

    nginx sends a response to certificates that do not verify; the others abort the
    handshake, for which curl prints the status 000.
    """
    is_nginx = proxy == "nginx"
    for request in list_requests("optional"):
        if request.headers is not None:
            request = replace(request, headers=f"{proxy}-{request.headers}")
        if request.identity in (pki.EXPIRED, pki.IMPOSTOR) and not is_nginx:
            title = request.title.replace(
                "nginx refuses it", f"{proxy} aborts the handshake"
            )
            request = replace(request, title=title, status=0, says="")
        elif request.plain:
            title = f"{request.title}: redirected to HTTPS"
            request = replace(request, title=title, status=301, says="")
        elif proxy == "envoy" and request.headers == f"envoy-{pki.MISSPELT_HEADERS}":
            title = f"{request.title}: envoy refuses it"
            request = replace(request, title=title, status=400, says="")
        yield request


def curl(request: Request, place: Place) -> list[str]:
    """Return the command that sends *request* and prints the status last."""
    command = ["curl", "-sS", "-w", r"\n%{http_code}\n"]
    if any(os.environ.get(name) for name in ("https_proxy", "http_proxy", "ALL_PROXY")):
        command += ["--noproxy", "localhost"]
    if not request.plain:
        command += ["--cacert", str(place.folder / f"{pki.CA}.crt")]
    if request.identity is not None:
        command += ["--cert", str(place.folder / f"{request.identity}.crt")]
        command += ["--key", str(place.folder / f"{request.identity}.key")]
    if request.headers is not None:
        command += ["-H", f"@{place.folder / request.headers}"]
    return [*command, _address(request, place)]


def shell_line(request: Request, place: Place) -> str:
    """Return the same command, ready to paste."""
    return shlex.join(curl(request, place))


def send(request: Request, place: Place) -> Answer:
    """Send *request*: with curl, or else with Python."""
    if shutil.which("curl") is None:
        return send_with_python(request, place)
    try:
        result = subprocess.run(
            curl(request, place),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(failure=f"no response within {_TIMEOUT} seconds")
    if result.returncode:
        return Answer(failure=result.stderr.decode("utf-8", "replace").strip())
    body, _, status = result.stdout.decode("utf-8", "replace").strip().rpartition("\n")
    return Answer(int(status), body)


def send_with_python(request: Request, place: Place) -> Answer:
    """Send *request* without curl."""
    address = urlsplit(_address(request, place))
    connection: http.client.HTTPConnection
    if request.plain:
        connection = http.client.HTTPConnection(address.netloc, timeout=_TIMEOUT)
    else:
        context = ssl.create_default_context(cafile=place.folder / f"{pki.CA}.crt")
        if request.identity is not None:
            context.load_cert_chain(
                place.folder / f"{request.identity}.crt",
                place.folder / f"{request.identity}.key",
            )
        connection = http.client.HTTPSConnection(
            address.netloc, timeout=_TIMEOUT, context=context
        )
    headers = {}
    if request.headers is not None:
        lines = (place.folder / request.headers).read_text(encoding="ascii")
        headers = dict(line.split(": ", 1) for line in lines.splitlines())
    try:
        connection.request("GET", address.path, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, response.read().decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException) as error:
        return Answer(failure=f"{type(error).__name__}: {error}")
    finally:
        connection.close()


def find_difference(request: Request, answer: Answer) -> str:
    """Return how *answer* differs from what is expected, or an empty string."""
    if request.status == 0:
        if any(word in answer.failure.lower() for word in _ENDED):
            return ""
        return answer.failure or f"status {answer.status} instead of a failed handshake"
    if answer.failure:
        return answer.failure
    if answer.status != request.status:
        return f"status {answer.status} instead of {request.status}"
    if request.user is not None and _user_in(answer.body) != request.user:
        return f"user {_user_in(answer.body)!r} instead of {request.user!r}"
    if request.says not in answer.body:
        return f"the response does not contain {request.says!r}"
    return ""


def _address(request: Request, place: Place) -> str:
    return (place.plain_url if request.plain else place.url) + request.path


def _user_in(body: str) -> object:
    try:
        data = json.loads(body)
    except ValueError:
        return None
    return data.get("user") if isinstance(data, dict) else None
