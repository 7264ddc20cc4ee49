"""``clientcert explain``: every step of the decision on a certificate."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from django_clientcert.conf import conf
from django_clientcert.exceptions import BundleError
from django_clientcert.explaining import (
    ExplainQuery,
    as_wsgi,
    ask_about_certificates,
    ask_about_header,
    choose_host,
    present,
)
from django_clientcert.management.console.arguments import moment
from django_clientcert.management.console.command import ClientCertCommand
from django_clientcert.management.console.files import (
    STDIN,
    read_certificate_file,
    read_input,
    refuse_private_keys,
    show_name,
)
from django_clientcert.management.console.report import verdict_of, write_text
from django_clientcert.wire import Proxy
from django_clientcert.x509.bundles import choose_end_entity


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


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Evaluate, and print every step, as text or as one JSON object.

    The keys of the object are those of ``explaining.make_report()``.

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
    at, about_time = _choose_moment(options)
    read = _from_file if options["file"] is not None else _from_header
    question = read(options)
    host, about_host = choose_host(options["host"])
    report = question.answer(
        host=host,
        at=at,
        assumptions=[
            *about_time,
            *(one.text + one.hint for one in (*question.assumptions, *about_host)),
        ],
    )
    if options["json"]:
        command.say(json.dumps(report, indent=2))
    else:
        for line in write_text(report):
            command.say(line)
    if not report["accepted"]:
        raise CommandError(f"The certificate {verdict_of(report)}.")


def _choose_moment(options: dict[str, Any]) -> tuple[dt.datetime, list[str]]:
    """Return the moment that is asked for, and what was assumed for it."""
    if options["at"] is None:
        return timezone.now(), []
    at, assumed_utc = options["at"]
    return at, ["time: --at names no zone; taken as UTC"] if assumed_utc else []


def _from_file(options: dict[str, Any]) -> ExplainQuery:
    """Return the certificate of a file, without any request around it.

    Raises:
        CommandError: it cannot be had, or an option is about a request.
    """
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
    return ask_about_certificates(certificates, certificate, verdict=options["verdict"])


def _from_header(options: dict[str, Any]) -> ExplainQuery:
    """Return the request of a proxy, with what is not given filled in."""
    value = options["header"]
    if value == STDIN:
        octets = read_input(STDIN)
        value = octets.removesuffix(b"\n").removesuffix(b"\r").decode("latin-1")
    else:
        value = as_wsgi(value)
    return ask_about_header(
        value,
        verdict=options["verdict"],
        subject_dn=options["subject_dn"],
        issuer_dn=options["issuer_dn"],
        chain=_read_chain(options["chain"], conf.CLIENTCERT_PROXY),
        peer=options["peer"],
    )


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
    given = (present(as_wsgi(one)) for one in values)
    return tuple(one for one in given if one is not None)
