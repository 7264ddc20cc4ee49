"""Attack the deployment with forged headers, and report which got through.

Sends forged headers to the deployment at URL, in every spelling that a proxy
or server may let pass, and asks the application which of them arrived. The
application answers because the request is signed with the project's
SECRET_KEY, so run this with the settings of the deployment. It sends a
throw-away certificate, and changes nothing.

Examples:
  manage.py clientcert probe https://api.example.com/
  manage.py clientcert probe https://api.example.com/ \\
    --cert alice.pem --key alice.key --host www.example.com \\
    --upstream 10.42.7.9:8000

Exit status: 0 no hole was found, 1 a hole was found, 2 wrong usage, or no
result because the application did not answer.
"""

from __future__ import annotations

import argparse
import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Any
from urllib.parse import SplitResult, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from django.conf import settings
from django.core.management.base import CommandError

from django_clientcert.conf import conf
from django_clientcert.explaining.report import one_line
from django_clientcert.probe.attempts import (
    SPELLINGS,
    Client,
    Place,
    Spelling,
    list_places,
)
from django_clientcert.probe.endpoint import HEADER, Answer, make_token, read_answer
from django_clientcert.probe.findings import CLOSED, HOLE, UNREACHED, Finding, judge
from django_clientcert.wire import Proxy
from django_clientcert.wire.forwarding import forwarded_values
from django_clientcert.x509.certificates import ClientCertificate

from .console.arguments import JSON, Arguments
from .console.command import ClientCertCommand, UsageError

_NOTHING = Spelling("nothing forged", lambda lines: b"")


def _url(text: str) -> SplitResult:
    """Return the parts of a URL.

    Raises:
        ArgumentTypeError: it is not one of http or https.
    """
    # The port raises if it is not a number.
    with suppress(ValueError):
        parts = urlsplit(text)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    raise argparse.ArgumentTypeError("write a URL like https://api.example.com/")


def _address(text: str) -> tuple[str, int]:
    """Return a host and a port.

    Raises:
        ArgumentTypeError: it is something else.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError("write a host and a port like 10.0.0.1:8000")
    return host.strip("[]"), int(port)


ARGUMENTS: Arguments = {
    "url URL": {"help": "the application's address at the proxy", "type": _url},
    "--cert FILE": "a client certificate that the proxy accepts, PEM, to see what "
    "passes along with it; its key may be in the same file",
    "--key FILE": "the key of --cert, PEM",
    "--cafile FILE": "the CA of the proxy's own certificate, PEM",
    "--insecure": "do not verify the proxy's own certificate",
    "--path PATH ...": "another path to try (default: / and a made-up one)",
    "--host NAME ...": "another virtual host of the same proxy",
    "--upstream HOST:PORT ...": {
        "help": "the application server itself, to bypass the proxy",
        "type": _address,
    },
    "--http-port PORT": {
        "help": "the proxy's port for plain HTTP (default: 80 for an https URL without "
        "a port; 0: none)",
        "type": int,
    },
    "--timeout SECONDS": {
        "help": "how long to wait for each answer (default: 10)",
        "type": float,
        "default": 10.0,
    },
    **JSON,
}


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Attack, and print a line for each attempt.

    Raises:
        CommandError: there is a hole, or the application did not answer.
    """
    if options["key"] and not options["cert"]:
        raise UsageError("--key needs --cert FILE.")
    probe = Probe(conf.CLIENTCERT_PROXY, _make_client(options))
    places = list_places(
        options["url"],
        paths=options["path"],
        hosts=options["host"],
        upstreams=options["upstream"],
        plain_port=options["http_port"],
        has_certificate=bool(options["cert"]),
    )
    findings: list[Finding] = []
    for finding in probe.run(places):
        findings.append(finding)
        if not options["json"]:
            command.say(_line(finding))
    counts = Counter(finding.outcome for finding in findings)
    if options["json"]:
        attempts = [asdict(finding) for finding in findings]
        command.say_json({"holes": counts[HOLE], "attempts": attempts})
    else:
        remedies = dict.fromkeys(finding.remedy for finding in findings)
        remedies.pop("", None)
        if remedies:
            command.say_lines(["", "What to change:"])
        command.say_lines(f"- {remedy}" for remedy in remedies)
    if counts[UNREACHED] == len(findings):
        raise UsageError(
            "The application did not answer any attempt, so there is no result. Check "
            "that this is the SECRET_KEY of the deployment, that its clock is right, "
            "that it has ClientCertMiddleware of this version, and that the URL leads "
            f"to it. The last reply: {one_line(probe.last_reply)}"
        )
    if counts[HOLE]:
        raise CommandError(f"Holes: {counts[HOLE]} in {len(findings)} attempts.")
    if not options["json"]:
        command.say(
            f"No hole in {len(findings)} attempts; {counts[UNREACHED]} got no answer."
        )


def _make_client(options: dict[str, Any]) -> Client:
    certificate = (options["cert"], options["key"]) if options["cert"] else None
    try:
        return Client(
            cafile=options["cafile"],
            insecure=options["insecure"],
            certificate=certificate,
            timeout=options["timeout"],
        )
    except OSError as error:
        raise CommandError(
            f"A file given by --cert, --key or --cafile cannot be used: {error}"
        ) from error


def _line(finding: Finding) -> str:
    detail = f"  {one_line(finding.said)}" if finding.said else ""
    return f"{finding.outcome:<12} {finding.place}: {finding.spelling}{detail}"


class Probe:
    """The attempts on one deployment."""

    def __init__(self, proxy: Proxy, client: Client) -> None:
        self.proxy = proxy
        self.client = client
        self.last_reply = "none"
        self.last_is_silence = False
        der = _throw_away_certificate()
        self.fingerprint = ClientCertificate(der).fingerprint
        values = forwarded_values(proxy, der, chain=[der] * len(proxy.chain))
        # Names in the WSGI environ are written as a client would write headers.
        self.values = (
            values if proxy.is_header else dict.fromkeys(proxy.names, "forged")
        )
        self.lines = [
            (name if proxy.is_header else name.replace("_", "-"), value)
            for name, value in self.values.items()
        ]

    def run(self, places: Iterable[Place]) -> Iterator[Finding]:
        """Make every attempt at *places*, and yield its outcome."""
        for place in places:
            usual = self._ask(place, _NOTHING)
            if usual is None:
                yield Finding(place.name, "any", UNREACHED, self.last_reply)
                continue
            for spelling in SPELLINGS:
                yield self._attempt(place, spelling, usual)

    def _attempt(self, place: Place, spelling: Spelling, usual: Answer) -> Finding:
        answer = self._ask(place, spelling)
        if answer is None:
            # A proxy that refuses answers or closes the connection. Silence proves
            # nothing.
            outcome = UNREACHED if self.last_is_silence else CLOSED
            return Finding(place.name, spelling.name, outcome, self.last_reply)
        return judge(self.proxy, place, spelling, answer, usual=usual)

    def _ask(self, place: Place, spelling: Spelling) -> Answer | None:
        """Return the application's answer about the forged headers, or None."""
        token, nonce = make_token(self.values, self.fingerprint)
        lines = f"{HEADER}: {token}\r\n".encode()
        if not spelling.removes:
            lines += b"Connection: close\r\n"
        if not place.tls:
            lines += _secure_line()
        lines += spelling.write(self.lines)
        reply = self.client.send(place, lines)
        self.last_reply = reply.problem or f"HTTP {reply.status}"
        self.last_is_silence = reply.is_silence
        return read_answer(reply.body, nonce) if reply.status == 200 else None


def _secure_line() -> bytes:
    """Return the header that marks a request as secure; a client can send it, too."""
    configured = settings.SECURE_PROXY_SSL_HEADER
    if configured is None:
        return b""
    key, value = configured
    name = key.removeprefix("HTTP_").replace("_", "-")
    return f"{name}: {value}\r\n".encode("latin-1")


def _throw_away_certificate() -> bytes:
    """Return a self-signed certificate, DER; its key is not kept."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, "django-clientcert probe")]
    )
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
