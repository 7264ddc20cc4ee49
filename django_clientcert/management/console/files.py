"""What is read from a file or from standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from django.core.management.base import CommandError

from django_clientcert.exceptions import BundleError
from django_clientcert.x509.bundles import (
    MAX_BUNDLE_BYTES,
    holds_private_key,
    read_certificates,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible

STDIN = "-"


def read_input(name: str, limit: int = MAX_BUNDLE_BYTES) -> bytes:
    """Return the file *name*, or standard input for ``-``.

    No more than *limit* bytes and one, so that the reader can tell it is too much.

    Raises:
        CommandError: it cannot be read.
    """
    if "-----BEGIN" in name or holds_private_key(name):
        # Not repeated: it could be a key.
        raise CommandError(
            "This is the text of a file, not its name. Write “-” and send the text "
            "to standard input. If it was a private key, the shell may have kept it "
            "in its history."
        )
    try:
        if name == STDIN:
            return _read_stdin(limit + 1)
        with Path(name).open("rb") as file:
            return file.read(limit + 1)
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise CommandError(f"{show_name(name)} cannot be read: {what}.") from error


def read_certificate_file(name: str) -> tuple[ClientCertificate, ...]:
    """Return the certificates in the file *name*, or on standard input.

    Raises:
        CommandError: it cannot be read, holds no certificate, or a private key.
    """
    try:
        return read_certificates(read_input(name))
    except BundleError as error:
        raise CommandError(f"{show_name(name)}: {error}") from error


def show_name(name: str) -> str:
    """Return a file's name as it may be shown."""
    return "Standard input" if name == STDIN else visible(name)


def refuse_private_keys(**options: str | None) -> None:
    """Refuse a private key among the values of *options*, without repeating it.

    Raises:
        CommandError: there is one; names the option.
    """
    for option, value in options.items():
        if value is not None and holds_private_key(value):
            raise CommandError(
                f"--{option.replace('_', '-')} holds a private key. A private key "
                "never leaves its owner; the shell may have kept it in its history."
            )


def _read_stdin(limit: int) -> bytes:
    binary = getattr(sys.stdin, "buffer", None)
    if binary is not None:
        octets: bytes = binary.read(limit)
        return octets
    return sys.stdin.read(limit).encode("utf-8", "surrogateescape")
