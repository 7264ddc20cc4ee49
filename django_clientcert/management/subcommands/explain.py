"""``clientcert explain``: every step of the decision on a certificate."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.http.request import split_domain_port
from django.utils import timezone

from django_clientcert.bundles import choose_end_entity
from django_clientcert.certificates import ClientCertificate
from django_clientcert.conf import conf
from django_clientcert.encodings import DECODERS
from django_clientcert.escaping import visible
from django_clientcert.evaluation import evaluate
from django_clientcert.exceptions import BundleError, CertificateParseError, Refusal
from django_clientcert.management.arguments import moment
from django_clientcert.management.files import (
    STDIN,
    read_certificate_file,
    read_input,
    refuse_private_keys,
    show_name,
)
from django_clientcert.management.lookups import find_user_rule
from django_clientcert.management.report import make_report, verdict_of, write_text
from django_clientcert.presented import Presented
from django_clientcert.proxies import ABSENT, Proxy

if TYPE_CHECKING:
    from django_clientcert.management.commands.clientcert import Command


def add_parser(subparsers: Any) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "explain",
        help="say why a certificate is accepted or refused",
        description=(
            "Take every step of the decision on a certificate and say how it came\n"
            "out. Nothing is written. With FILE, the certificate itself is judged,\n"
            "and no request is spoken of; with --header, a request of the proxy that\n"
            "carries this value."
        ),
        epilog=(
            "Examples:\n"
            "  manage.py clientcert explain alice.crt\n"
            "  manage.py clientcert explain alice.crt --at 2027-01-01\n"
            "  manage.py clientcert explain --header '-----BEGIN%20CERT...' --json\n"
            "  manage.py clientcert explain --header - --peer 203.0.113.9 < value.txt\n"
            "\n"
            "Exit status: 0 it would be accepted, 1 it would be refused, 2 wrong usage."
        ),
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="a certificate: PEM, DER or PKCS#7; a chain is fine; - reads standard "
        "input",
    )
    source.add_argument(
        "--header",
        metavar="VALUE",
        help="the value of the header with the certificate, as the proxy sends it; - "
        "reads standard input",
    )
    parser.add_argument(
        "--host", help="the host name that is asked for (default: see the output)"
    )
    parser.add_argument(
        "--verdict",
        help="what the proxy says about the certificate (default: with --header, its "
        "word for success; with FILE, nothing: the path is validated here)",
    )
    parser.add_argument(
        "--chain",
        action="append",
        default=[],
        metavar="VALUE",
        help="with --header, the value of a header with the certificates above it; may "
        "be repeated, in the order of the preset",
    )
    parser.add_argument(
        "--subject-dn",
        metavar="DN",
        help="the proxy's header with the subject (default: what fits)",
    )
    parser.add_argument(
        "--issuer-dn",
        metavar="DN",
        help="the proxy's header with the issuer (default: what fits)",
    )
    parser.add_argument(
        "--peer",
        metavar="ADDRESS",
        help="who sends the request (default: the first trusted proxy)",
    )
    parser.add_argument(
        "--at",
        type=moment,
        metavar="MOMENT",
        help="judge as of this moment: ISO 8601, UTC where it names no zone (default: "
        "now)",
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object, for programs"
    )
    parser.set_defaults(run=run)


def run(command: Command, options: dict[str, Any]) -> None:
    """Evaluate, and print every step, as text or as one JSON object.

    The keys of the object are those of ``report.make_report()``.

    Raises:
        CommandError: the certificate would be refused, or cannot be had.
    """
    if (options["file"] is None) == (options["header"] is None):
        raise CommandError("Give either FILE or --header VALUE.", returncode=2)
    refuse_private_keys(
        **{
            name: options[name]
            for name in ("header", "host", "verdict", "subject_dn", "issuer_dn", "peer")
        }
    )
    for value in options["chain"]:
        refuse_private_keys(chain=value)
    assumptions: list[str] = []
    at = _choose_moment(options, assumptions)
    read = _from_file if options["file"] is not None else _from_header
    presented, certificate = read(options, assumptions)
    host = _choose_host(options["host"], assumptions)
    decision = evaluate(
        presented, host=host, at=at, can_authenticate=find_user_rule(assumptions)
    )
    report = make_report(
        decision,
        certificate,
        at=at,
        host=host,
        assumptions=assumptions,
        from_request=presented.from_request,
        verdict_given=presented.verdict is not None,
    )
    if options["json"]:
        command.say(json.dumps(report, indent=2))
    else:
        for line in write_text(report):
            command.say(line)
    if not decision.accepted:
        raise CommandError(f"The certificate {verdict_of(report)}.")


def _choose_moment(options: dict[str, Any], assumptions: list[str]) -> dt.datetime:
    if options["at"] is None:
        return timezone.now()
    at, assumed_utc = options["at"]
    if assumed_utc:
        assumptions.append("time: --at names no zone; taken as UTC")
    moment_given: dt.datetime = at
    return moment_given


def _from_file(
    options: dict[str, Any], assumptions: list[str]
) -> tuple[Presented, ClientCertificate | None]:
    """Return the certificate of a file, without any request around it."""
    for option in ("peer", "subject_dn", "issuer_dn", "chain"):
        if options[option]:
            raise CommandError(
                f"--{option.replace('_', '-')} is about a request: use it with "
                "--header.",
                returncode=2,
            )
    name = options["file"]
    try:
        certificates = read_certificate_file(name)
        certificate = choose_end_entity(certificates)
    except BundleError as error:
        raise CommandError(f"{show_name(name)}: {error}") from error
    proxy = conf.CLIENTCERT_PROXY
    verdict = _present(options["verdict"])
    assumptions.append(
        "request: none, because a file is judged: peer, transport, host, secret and "
        "headers are not looked at"
    )
    if verdict is None:
        assumptions.append(
            "verdict: none, so the path is validated here; --verdict "
            f"{proxy.success} judges as if the proxy had done it"
        )
    above = [one.der for one in certificates if one != certificate]
    if above and proxy.forwards_chains:
        assumptions.append("chain: the file’s other certificates, forwarded too")
    elif above:
        assumptions.append(f"chain: none, because {proxy.name} forwards none")
        above = []
    return (
        Presented(proxy, verdict=verdict, certificates=(certificate.der, *above)),
        certificate,
    )


def _from_header(
    options: dict[str, Any], assumptions: list[str]
) -> tuple[Presented, ClientCertificate | None]:
    """Return the request of a proxy, with what is not given filled in."""
    proxy = conf.CLIENTCERT_PROXY
    value = options["header"]
    if value == STDIN:
        octets = read_input(STDIN)
        value = octets.removesuffix(b"\n").removesuffix(b"\r").decode("latin-1")
    else:
        value = _as_wsgi(value)
    value = _present(value)
    certificate = _decode(proxy, value)
    secret = conf.CLIENTCERT_PROXY_SECRET
    assumptions.append(f"preset: {proxy.name}")
    presented = Presented(
        proxy,
        value=value,
        verdict=_choose_verdict(options["verdict"], proxy, assumptions),
        subject_dn=_choose_name(
            "subject", options["subject_dn"], proxy.subject_dn, certificate, assumptions
        ),
        issuer_dn=_choose_name(
            "issuer", options["issuer_dn"], proxy.issuer_dn, certificate, assumptions
        ),
        conditions=tuple(word for _, word in proxy.conditions),
        chain=_read_chain(options["chain"], proxy),
        peer=_choose_peer(options["peer"], assumptions),
        secret=None if secret is None else secret[1][0],
    )
    assumptions.extend(f"{name}: {word}" for name, word in proxy.conditions)
    assumptions.append("transport: taken as secure")
    if secret is not None:
        assumptions.append("secret: the first of CLIENTCERT_PROXY_SECRET")
    return presented, certificate


def _read_chain(values: list[str], proxy: Proxy) -> tuple[str, ...]:
    """Return the values of the headers with the chain, as a server hands them over.

    Raises:
        CommandError: the proxy has no such headers.
    """
    if len(values) > len(proxy.chain):
        raise CommandError(
            f"--chain: {proxy.name} has {len(proxy.chain)} headers for a chain, and "
            f"{len(values)} are given.",
            returncode=2,
        )
    given = (_present(_as_wsgi(one)) for one in values)
    return tuple(one for one in given if one is not None)


def _as_wsgi(text: str) -> str:
    """Return *text* as a WSGI server hands it over: each octet a character."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _present(value: str | None) -> str | None:
    """Return *value*, or None where it is what programs write for nothing."""
    return None if value is None or value in ABSENT else value


def _decode(proxy: Proxy, value: str | None) -> ClientCertificate | None:
    """Return the certificate to show, whatever the decision will be on it."""
    if value is None:
        return None
    try:
        return ClientCertificate(DECODERS[proxy.encoding](value)[0])
    except Refusal:
        return None  # the step "decode" says why


def _choose_verdict(
    given: str | None, proxy: Proxy, assumptions: list[str]
) -> str | None:
    if given is not None or proxy.verdict is None:
        return _present(given)
    assumptions.append(
        f"verdict: {proxy.success}, the proxy’s word for success (--verdict)"
    )
    return proxy.success


def _choose_name(
    what: str,
    given: str | None,
    header: str | None,
    certificate: ClientCertificate | None,
    assumptions: list[str],
) -> str | None:
    """Return a header with a name; where none is given, what fits the certificate."""
    if given is not None:
        return _present(_as_wsgi(given))
    if header is None or certificate is None:
        return None
    try:
        name = certificate.subject if what == "subject" else certificate.issuer
        rendered = name.openssl_rfc2253()
    except CertificateParseError:
        assumptions.append(f"{header}: missing, because the {what} cannot be read")
        return None
    assumptions.append(
        f"{header}: as the certificate has it, so that it fits (--{what}-dn)"
    )
    return _present(rendered)


def _choose_peer(given: str | None, assumptions: list[str]) -> str | None:
    if given is not None:
        return given
    trusted = conf.CLIENTCERT_TRUSTED_PROXIES
    if trusted.networks:
        network = trusted.networks[0]
        # The address of a network itself is nobody's.
        first = network[1] if network.num_addresses > 2 else network[0]
        assumptions.append(
            f"peer: {first}, the first address of CLIENTCERT_TRUSTED_PROXIES (--peer)"
        )
        return str(first)
    if trusted.unix:
        assumptions.append("peer: the Unix socket of CLIENTCERT_TRUSTED_PROXIES")
    else:
        assumptions.append("peer: none, because CLIENTCERT_TRUSTED_PROXIES is empty")
    return None


def _choose_host(given: str | None, assumptions: list[str]) -> str:
    if given is not None:
        return split_domain_port(given)[0]
    for pattern in conf.CLIENTCERT_HOSTS or ():
        host = pattern.lstrip(".")
        if host != "*":
            assumptions.append(
                f"host: {visible(host)}, the first of CLIENTCERT_HOSTS (--host)"
            )
            return host
    assumptions.append("host: none; a mapping for certain hosts needs --host")
    return ""
