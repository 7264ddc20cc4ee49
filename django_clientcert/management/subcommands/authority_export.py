"""``clientcert authority export``: the bundle, for the proxy in front."""

from __future__ import annotations

import re
from typing import Any

from django.core.management.base import CommandError

from django_clientcert.exceptions import ClientCertError
from django_clientcert.management.console.command import ClientCertCommand
from django_clientcert.management.console.lookups import find_authority
from django_clientcert.management.console.text import one_line
from django_clientcert.x509.bundles import to_pem

PEM, SECRET = "pem", "k8s-secret"

# What Kubernetes takes as the name of an object (RFC 1123, 2.1)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


def add_parser(actions: Any) -> None:
    """Describe the arguments."""
    parser = actions.add_parser(
        "export",
        help="print the certificates of an authority, for the proxy",
        description=(
            "Print the certificates of an authority as the proxy in front wants them:\n"
            "PEM, or the Kubernetes Secret that ingress-nginx's annotation\n"
            "auth-tls-secret names. No private key is in it: there is none here."
        ),
        epilog=(
            "Examples:\n"
            "  manage.py clientcert authority export Partners > ca.crt\n"
            "  manage.py clientcert authority export Partners --format k8s-secret \\\n"
            "    --secret client-ca --namespace example | kubectl apply -f -\n"
            "\n"
            "Exit status: 0 printed, 1 the authority cannot be used, 2 wrong usage."
        ),
    )
    parser.add_argument("name", metavar="NAME", help="the authority")
    parser.add_argument(
        "--format",
        choices=[PEM, SECRET],
        default=PEM,
        help="pem: the certificates behind each other (default); k8s-secret: a "
        "manifest with them as ca.crt",
    )
    parser.add_argument(
        "--secret",
        type=_label,
        metavar="LABEL",
        help="with k8s-secret, its name (default: made of the authority's)",
    )
    parser.add_argument(
        "--namespace",
        type=_label,
        metavar="LABEL",
        help="with k8s-secret, its namespace (default: left to kubectl)",
    )
    parser.set_defaults(run=run)


def _label(text: str) -> str:
    """Return a name that Kubernetes takes.

    Raises:
        ValueError: it does not.
    """
    if not _LABEL.match(text):
        raise ValueError(text)
    return text


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Print the bundle.

    Raises:
        CommandError: there is no such authority, or its bundle cannot be read.
    """
    if options["format"] == PEM and (options["secret"] or options["namespace"]):
        raise CommandError(
            "--secret and --namespace are for --format k8s-secret.", returncode=2
        )
    authority = find_authority(options["name"])
    try:
        pem = to_pem(authority.certificates())
    except ClientCertError as error:
        raise CommandError(
            f"The authority “{authority}” cannot be used: {one_line(str(error))}"
        ) from error
    if options["format"] == PEM:
        lines = pem.splitlines()
    else:
        name = options["secret"] or _secret_name(authority.name)
        lines = _manifest(name, options["namespace"], pem)
    for line in lines:
        command.say(line)


def _secret_name(name: str) -> str:
    """Return a name for the secret, out of the authority’s.

    Raises:
        CommandError: nothing is left of it.
    """
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-")
    if not label:
        raise CommandError("Give --secret: no name can be made of the authority’s.")
    return label


def _manifest(name: str, namespace: str | None, pem: str) -> list[str]:
    """Return the lines of the manifest."""
    return [
        "# The name of the key is not free: without ca.crt, ingress-nginx switches",
        "# client certificates off for the host, and forged headers pass.",
        "apiVersion: v1",
        "kind: Secret",
        "metadata:",
        # In quotes: a name may look like a number.
        f'  name: "{name}"',
        *([f'  namespace: "{namespace}"'] if namespace else []),
        "type: Opaque",
        "stringData:",
        "  ca.crt: |",
        *(f"    {line}" for line in pem.splitlines()),
    ]
