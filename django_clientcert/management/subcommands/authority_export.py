"""Print the certificates of an authority, for the proxy.

The output is what the proxy in front of Django expects: PEM, or the Kubernetes
Secret that ingress-nginx's annotation auth-tls-secret names. It has no private
key, because none is stored.

Examples:
  manage.py clientcert authority export Partners > ca.crt
  manage.py clientcert authority export Partners --format k8s-secret \\
    --secret client-ca --namespace example | kubectl apply -f -

Exit status: 0 printed, 1 the authority cannot be used, 2 wrong usage.
"""

from __future__ import annotations

import re
from typing import Any

from django.core.management.base import CommandError

from django_clientcert.exceptions import ClientCertError
from django_clientcert.explaining.report import one_line
from django_clientcert.x509.bundles import to_pem

from .console.arguments import AUTHORITY, Arguments, matching
from .console.command import ClientCertCommand, UsageError
from .console.lookups import find_authority

PEM, SECRET = "pem", "k8s-secret"

# The name of a Kubernetes object (RFC 1123, section 2.1)
_label = matching(
    "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?",
    "a Kubernetes name: up to 63 lower-case letters, digits and inner hyphens",
)

ARGUMENTS: Arguments = {
    **AUTHORITY,
    "--format": {
        "help": "pem: the certificates one after the other (default); k8s-secret: a "
        "manifest with them as ca.crt",
        "choices": (PEM, SECRET),
        "default": PEM,
    },
    "--secret LABEL": {
        "help": "the name of the k8s-secret (default: made from the authority's name)",
        "type": _label,
    },
    "--namespace LABEL": {
        "help": "the namespace of the k8s-secret (default: left to kubectl)",
        "type": _label,
    },
}


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Print the bundle.

    Raises:
        CommandError: the authority does not exist, or its bundle cannot be read.
    """
    if options["format"] == PEM and (options["secret"] or options["namespace"]):
        raise UsageError("--secret and --namespace need --format k8s-secret.")
    authority = find_authority(options["name"])
    try:
        pem = to_pem(authority.certificates())
    except ClientCertError as error:
        raise CommandError(
            f"The authority “{authority}” cannot be used: {one_line(str(error))}"
        ) from error
    if options["format"] == PEM:
        command.say_lines(pem.splitlines())
    else:
        name = options["secret"] or _secret_name(authority.name)
        command.say_lines(_manifest(name, options["namespace"], pem))


def _secret_name(name: str) -> str:
    """Return a name for the secret, made from the authority’s.

    Raises:
        CommandError: the authority's has no character that is allowed.
    """
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-")
    if not label:
        raise CommandError(
            "Give --secret LABEL: no name can be made from that of the authority."
        )
    return label


def _manifest(name: str, namespace: str | None, pem: str) -> list[str]:
    """Return the lines of the manifest."""
    return [
        "# Keep the key's name: without ca.crt, ingress-nginx turns client",
        "# certificates off for the host, and forged headers pass.",
        "apiVersion: v1",
        "kind: Secret",
        "metadata:",
        # Quoted, because a name may look like a number.
        f'  name: "{name}"',
        *([f'  namespace: "{namespace}"'] if namespace else []),
        "type: Opaque",
        "stringData:",
        "  ca.crt: |",
        *(f"    {line}" for line in pem.splitlines()),
    ]
