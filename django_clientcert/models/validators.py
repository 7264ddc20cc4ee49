"""Validators of the administrator’s input."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_clientcert.x509.bundles import holds_private_key

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

_HOST = re.compile(r"\.?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\Z|\[[0-9a-f:.]+\]\Z")


# The text of ``PrivateKeyFoundError``, translated
PRIVATE_KEY_MESSAGE = _(
    "This holds a private key. A private key never leaves its owner, so nothing was "
    "stored. Provide only the certificate, and consider the key compromised if it was "
    "sent over an untrusted connection."
)


def field_error(
    field: str, message: str | _StrPromise, code: str, **params: Any
) -> ValidationError:
    """Return an error that is reported for *field*."""
    return ValidationError({field: ValidationError(message, code, params)})


def validate_no_private_key(value: str) -> None:
    """Refuse a text that holds a private key; the message does not repeat it.

    Raises:
        ValidationError: code ``private_key``.
    """
    if holds_private_key(value):
        raise ValidationError(PRIVATE_KEY_MESSAGE, code="private_key")


def optional_text(
    label: str | _StrPromise, help_text: str | _StrPromise = ""
) -> models.TextField[str, str]:
    """Return a column for text that may be empty and must not hold a private key."""
    return models.TextField(
        label, blank=True, help_text=help_text, validators=[validate_no_private_key]
    )


def normalise_hosts(text: str, field: str = "hosts") -> str:
    """Return host names in lower case, one per line; errors are reported for *field*.

    Raises:
        ValidationError: something that is not a host name.
    """
    hosts = re.split(r"[\s,]+", text.strip().lower()) if text.strip() else []
    for host in hosts:
        if not _HOST.match(host):
            message = _("“%(host)s” is not a host name. Leave out scheme and port.")
            raise field_error(field, message, "host", host=host)
    return "\n".join(dict.fromkeys(hosts))


def normalise_urls(text: str, field: str) -> str:
    """Return web addresses, one per line; errors are reported for *field*.

    Raises:
        ValidationError: one is not an http or https URL, or contains a password.
    """
    urls = text.split()
    for url in urls:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
            usable = usable and parts.port != 0 and parts.username is None
        except ValueError:
            usable = False
        if not usable or not url.isascii() or not url.isprintable():
            message = _(
                "“%(url)s” is not a valid URL. Enter http:// or https:// URLs, one per "
                "line, without a user name."
            )
            raise field_error(field, message, "url", url=url[:200])
    return "\n".join(dict.fromkeys(urls))
