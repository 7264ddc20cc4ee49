"""Files and standard input, and private keys that do not belong there."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from django.core.management.base import CommandError

from django_clientcert.exceptions import ClientCertError
from django_clientcert.trust.transfer.reading import TransferError
from django_clientcert.x509.bundles import (
    MAX_BUNDLE_BYTES,
    choose_end_entity,
    holds_private_key,
    read_certificates,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible

from .arguments import option_of

Parsed = TypeVar("Parsed")

STDIN = "-"
# The arguments for read_input(), which has its own words for a key in their place
_READ_FILES = ("file", "bundle")
_FINGERPRINT = re.compile(r"(?:[0-9A-Fa-f]{2}[: -]?){19,31}[0-9A-Fa-f]{2}")


@contextmanager
def errors_of_file(name: str, problem: str = "", end: str = "") -> Iterator[None]:
    """Turn an error about the file *name* into a ``CommandError`` that names it.

    *problem* follows the name, and *end* the error.
    """
    try:
        yield
    except (ClientCertError, TransferError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise CommandError(
            f"{show_name(name)}{problem}: {why.rstrip('.')}.{end}"
        ) from error


def read_input(name: str, limit: int = MAX_BUNDLE_BYTES) -> bytes:
    """Return the content of the file *name*, or standard input for ``-``.

    At most *limit* + 1 bytes, so that the caller can tell that it is too large.

    Raises:
        CommandError: it cannot be read.
    """
    if "-----BEGIN" in name or holds_private_key(name):
        # Not repeated, because it could be a key.
        raise CommandError(
            "This is the text of a file, not its name. Write “-” and send the text "
            "to standard input. If it was a private key, the shell may have kept it "
            "in its history."
        )
    if _FINGERPRINT.fullmatch(name):
        raise CommandError(
            "This is a fingerprint, not the name of a file. Map it in the admin, or "
            "import a CSV file with the columns user and value."
        )
    with errors_of_file(name, " cannot be read"):
        if name == STDIN:
            return _read_stdin(limit + 1)
        with Path(name).open("rb") as file:
            return file.read(limit + 1)


def read_file(
    name: str, parse: Callable[[bytes], Parsed], limit: int = MAX_BUNDLE_BYTES
) -> Parsed:
    """Return what *parse* makes of the file *name*, or of standard input.

    Raises:
        CommandError: it cannot be read, is refused, or has a private key.
    """
    content = read_input(name, limit)
    with errors_of_file(name):
        return parse(content)


def read_end_entity(name: str) -> ClientCertificate:
    """Return the one certificate in the file *name* that issued none of the others.

    Raises:
        CommandError: as ``read_file()``, or there are several.
    """
    return read_file(name, lambda data: choose_end_entity(read_certificates(data)))


def show_name(name: str) -> str:
    """Return a file's name, safe to show."""
    return "Standard input" if name == STDIN else visible(name)


def refuse_private_keys(options: Mapping[str, Any]) -> None:
    """Refuse a private key among the values of *options*, without repeating it.

    Raises:
        CommandError: there is one; names the option.
    """
    for name, value in options.items():
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        if name not in _READ_FILES and holds_private_key(text):
            raise CommandError(
                f"{option_of(name)} holds a private key. A private key must never "
                "leave its owner; the shell may have kept it in its history."
            )


def _read_stdin(limit: int) -> bytes:
    binary = getattr(sys.stdin, "buffer", None)
    if binary is not None:
        octets: bytes = binary.read(limit)
        return octets
    return sys.stdin.read(limit).encode("utf-8", "surrogateescape")
