"""Explain why a certificate is accepted or refused.

Takes every step of the decision and prints its outcome; nothing is stored.
With FILE, only the certificate is evaluated, without a request. With --header,
a request is evaluated in which the proxy sends this value.

Examples:
  manage.py clientcert explain alice.crt
  manage.py clientcert explain alice.crt --at 2027-01-01
  manage.py clientcert explain --header '-----BEGIN%20CERT...' --json
  manage.py clientcert explain --header - --peer 203.0.113.9 < value.txt

Exit status: 0 it would be accepted, 1 it would be refused, 2 wrong usage.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from django_clientcert.conf import conf
from django_clientcert.explaining import asking
from django_clientcert.wire import Proxy
from django_clientcert.x509.bundles import choose_end_entity, read_certificates

from .console.arguments import CERTIFICATE, JSON, Arguments, moment, option_of
from .console.command import ClientCertCommand, UsageError
from .console.files import (
    STDIN,
    errors_of_file,
    read_file,
    read_input,
)
from .console.report import verdict_of, write_text

_REQUEST_ONLY = ("peer", "subject_dn", "issuer_dn", "chain")

ARGUMENTS: Arguments = {
    "file [FILE]": CERTIFICATE,
    "--header VALUE": "the value of the header with the certificate, as the proxy "
    "sends it; - reads standard input",
    "--host NAME": "the host name of the request (default: see the output)",
    "--verdict WORD": "the proxy's verdict on the certificate (default: with --header, "
    "its word for success; with FILE, none, so the path is validated here)",
    "--subject-dn DN": "the proxy's header with the subject (default: as in the "
    "certificate)",
    "--issuer-dn DN": "the proxy's header with the issuer (default: as in the "
    "certificate)",
    "--peer ADDRESS": "the address that sends the request (default: the first trusted "
    "proxy)",
    "--chain VALUE ...": "with --header, the value of a header with intermediate "
    "certificates, in the order of the preset",
    "--at MOMENT": {
        "help": "judge as of this moment: ISO 8601, UTC if it names no time zone "
        "(default: now)",
        "type": moment,
    },
    **JSON,
}


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Evaluate, and print every step, as text or as one JSON object.

    The keys of the object are those of ``explaining.report.make_report()``.

    Raises:
        CommandError: the certificate would be refused, or cannot be read.
    """
    if (options["file"] is None) == (options["header"] is None):
        raise UsageError("Give either FILE or --header VALUE.")
    question = (_from_header if options["file"] is None else _from_file)(options)
    at, assumed_utc = options["at"] or (timezone.now(), False)
    if assumed_utc:
        text = "time: --at names no time zone; taken as UTC"
        question.assumptions.insert(0, (text, ""))
    report = question.answer(host=options["host"], at=at, options=True)
    if options["json"]:
        command.say_json(report)
    else:
        command.say_lines(write_text(report))
    if not report["accepted"]:
        raise CommandError(f"The certificate {verdict_of(report)}.")


def _from_file(options: dict[str, Any]) -> asking.ExplainQuery:
    """Return the question about the certificate in a file, without a request.

    Raises:
        CommandError: it cannot be read, or an option is about a request.
    """
    for option in _REQUEST_ONLY:
        if options[option]:
            raise UsageError(
                f"{option_of(option)} is about a request, so it needs "
                "--header VALUE in place of FILE."
            )
    certificates = read_file(options["file"], read_certificates)
    with errors_of_file(options["file"]):
        certificate = choose_end_entity(certificates)
    return asking.ask_about_certificates(
        certificates, certificate, verdict=options["verdict"]
    )


def _from_header(options: dict[str, Any]) -> asking.ExplainQuery:
    """Return the question about a proxy's request, with defaults filled in."""
    value = options["header"]
    if value == STDIN:
        octets = read_input(STDIN)
        value = octets.removesuffix(b"\n").removesuffix(b"\r").decode("latin-1")
    else:
        value = asking.as_wsgi(value)
    return asking.ask_about_header(
        value,
        verdict=options["verdict"],
        subject_dn=options["subject_dn"],
        issuer_dn=options["issuer_dn"],
        chain=_read_chain(options["chain"], conf.CLIENTCERT_PROXY),
        peer=options["peer"],
    )


def _read_chain(values: list[str], proxy: Proxy) -> tuple[str, ...]:
    """Return the values of the chain headers as a WSGI server passes them.

    Raises:
        CommandError: the proxy has fewer such headers.
    """
    if len(values) > len(proxy.chain):
        raise UsageError(
            f"--chain was given {len(values)} times, but {proxy.name} has "
            f"{len(proxy.chain)} headers for a chain."
        )
    present_values = (asking.present(asking.as_wsgi(value)) for value in values)
    return tuple(value for value in present_values if value is not None)
