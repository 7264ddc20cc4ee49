"""``clientcert probe``: attack the deployment with forged headers, from outside."""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from django.conf import settings
from django.core.management.base import CommandError

from django_clientcert.conf import conf
from django_clientcert.management.console.command import ClientCertCommand
from django_clientcert.management.console.text import one_line
from django_clientcert.probe import HEADER, Answer, make_token, read_answer
from django_clientcert.probe.attempts import SPELLINGS, Place, Spelling, list_places
from django_clientcert.probe.client import Client, Reply
from django_clientcert.probe.findings import CLOSED, HOLE, UNREACHED, Finding, judge
from django_clientcert.wire import Proxy
from django_clientcert.wire.forwarding import forwarded_values
from django_clientcert.x509.certificates import ClientCertificate

_NOTHING = Spelling("nothing forged", lambda lines: b"")


def add_parser(subparsers: Any) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "probe",
        help="attack the deployment with forged headers, and say which got through",
        description=(
            "Send forged headers to the deployment at URL, in every spelling that a\n"
            "proxy or server may let pass, and ask the application which of them\n"
            "arrived. The application answers because the request is signed with the\n"
            "project's SECRET_KEY: run this with the settings of the deployment. It\n"
            "sends a throw-away certificate, and changes nothing."
        ),
        epilog=(
            "Examples:\n"
            "  manage.py clientcert probe https://api.example.com/\n"
            "  manage.py clientcert probe https://api.example.com/ \\\n"
            "    --cert alice.pem --key alice.key --host www.example.com \\\n"
            "    --upstream 10.42.7.9:8000\n"
            "\n"
            "Exit status: 0 no hole, 1 a hole, 2 wrong usage, or nothing is known,\n"
            "because the application did not answer."
        ),
    )
    parser.add_argument(
        "url", metavar="URL", type=_url, help="where the application is, by the proxy"
    )
    parser.add_argument(
        "--cert",
        metavar="FILE",
        help="a client certificate that the proxy accepts, PEM, to see what passes "
        "beside it; its key may be in the same file",
    )
    parser.add_argument("--key", metavar="FILE", help="the key of --cert, PEM")
    parser.add_argument(
        "--path",
        action="append",
        default=[],
        dest="paths",
        metavar="PATH",
        help="another path to try; may be repeated (default: / and a made-up one)",
    )
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        dest="hosts",
        metavar="NAME",
        help="another virtual host of the same proxy; may be repeated",
    )
    parser.add_argument(
        "--upstream",
        action="append",
        default=[],
        dest="upstreams",
        type=_address,
        metavar="HOST:PORT",
        help="the application server itself, to go past the proxy; may be repeated",
    )
    parser.add_argument(
        "--http-port",
        type=int,
        metavar="PORT",
        help="the proxy's port for plain HTTP (default: 80 for an https URL without a "
        "port; 0: none)",
    )
    parser.add_argument(
        "--cafile", metavar="FILE", help="the CA of the proxy's own certificate, PEM"
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="do not verify the proxy's own certificate",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="how long to wait for each answer (default: 10)",
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object, for programs"
    )
    parser.set_defaults(run=run)


def _url(text: str) -> Any:
    """Return the parts of an address.

    Raises:
        ValueError: it is none for http or https.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(text)
    parts.port  # noqa: B018 - raises where it is no number
    return parts


def _address(text: str) -> tuple[str, int]:
    """Return a host and a port.

    Raises:
        ValueError: it is something else.
    """
    host, _, port = text.rpartition(":")
    if not host:
        raise ValueError(text)
    return host.strip("[]"), int(port)


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Attack, and print a line for each attempt.

    Raises:
        CommandError: there is a hole, or nothing can be said.
    """
    if options["key"] and not options["cert"]:
        raise CommandError("--key needs --cert.", returncode=2)
    probe = Probe(conf.CLIENTCERT_PROXY, _make_client(options))
    places = list(_places(options))
    findings: list[Finding] = []
    for finding in probe.run(places):
        findings.append(finding)
        if not options["json"]:
            command.say(_line(finding))
    holes = [one for one in findings if one.outcome == HOLE]
    if options["json"]:
        attempts = [asdict(one) for one in findings]
        command.say(json.dumps({"holes": len(holes), "attempts": attempts}, indent=2))
    else:
        _print_remedies(command, findings)
    if all(one.outcome == UNREACHED for one in findings):
        raise CommandError(
            "The application did not answer any attempt, so nothing is known. Is this "
            "the SECRET_KEY of the deployment, is its clock right, is "
            "ClientCertMiddleware of this version there, and does the address lead to "
            f"it? The last reply: {one_line(probe.last_reply)}",
            returncode=2,
        )
    if holes:
        raise CommandError(f"Holes: {len(holes)} in {len(findings)} attempts.")
    if not options["json"]:
        unreached = sum(one.outcome == UNREACHED for one in findings)
        command.say(
            f"No hole in {len(findings)} attempts; without an answer: {unreached}."
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
            f"A file of --cert, --key or --cafile cannot be used: {error}"
        ) from error


def _places(options: dict[str, Any]) -> Iterator[Place]:
    url = options["url"]
    tls = url.scheme == "https"
    plain_port = options["http_port"]
    if plain_port is None and tls and url.port is None:
        plain_port = 80
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    made_up = f"/clientcert-probe-{secrets.token_hex(4)}/"
    paths = options["paths"] or [one for one in ("/", made_up) if one != path]
    return list_places(
        host=url.hostname,
        port=url.port or (443 if tls else 80),
        tls=tls,
        path=path,
        plain_port=plain_port or None,
        other_paths=paths,
        other_hosts=options["hosts"],
        upstreams=options["upstreams"],
        has_certificate=bool(options["cert"]),
    )


def _line(finding: Finding) -> str:
    said = f"  {one_line(finding.said)}" if finding.said else ""
    return f"{finding.outcome:<12} {finding.place}: {finding.spelling}{said}"


def _print_remedies(command: ClientCertCommand, findings: list[Finding]) -> None:
    remedies = dict.fromkeys(one.remedy for one in findings if one.remedy)
    if remedies:
        command.say("")
        command.say("What to change:")
    for remedy in remedies:
        command.say(f"- {remedy}")


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
        # Names of the environ as a client would write them
        self.values = (
            values if proxy.is_header else dict.fromkeys(proxy.names, "forged")
        )
        self.lines = [
            (name if proxy.is_header else name.replace("_", "-"), value)
            for name, value in self.values.items()
        ]

    def run(self, places: list[Place]) -> Iterator[Finding]:
        """Return the outcome of every attempt at *places*, one after the other."""
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
            # A proxy that refuses says so, or closes; silence says nothing
            outcome = UNREACHED if self.last_is_silence else CLOSED
            return Finding(place.name, spelling.name, outcome, self.last_reply)
        return judge(self.proxy, place, spelling, answer, usual=usual)

    def _ask(self, place: Place, spelling: Spelling) -> Answer | None:
        """Return what the application says of the forged headers; None: nothing."""
        token, nonce = make_token(self.values, self.fingerprint)
        lines = f"{HEADER}: {token}\r\n".encode()
        if not spelling.removes:
            lines += b"Connection: close\r\n"
        if not place.tls:
            lines += _secure_line()
        lines += spelling.write(self.lines)
        reply = self.client.send(place, lines)
        self.last_reply = _describe(reply)
        self.last_is_silence = reply.is_silence
        return read_answer(reply.body, nonce) if reply.status == 200 else None


def _secure_line() -> bytes:
    """Return the header that says that a request is secure, as a client can too."""
    configured = settings.SECURE_PROXY_SSL_HEADER
    if configured is None:
        return b""
    key, value = configured
    name = key.removeprefix("HTTP_").replace("_", "-")
    return f"{name}: {value}\r\n".encode("latin-1")


def _describe(reply: Reply) -> str:
    return reply.problem or f"HTTP {reply.status}"


def _throw_away_certificate() -> bytes:
    """Return a self-signed certificate whose key is forgotten, DER."""
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
