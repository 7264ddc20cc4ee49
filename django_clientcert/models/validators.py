"""Validators of what an administrator types."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from django_clientcert.x509.bundles import holds_private_key

_HOST = re.compile(r"\.?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\Z|\[[0-9a-f:.]+\]\Z")


def validate_no_private_key(value: str) -> None:
    """Refuse a text with a private key in it; the message does not repeat it.

    Raises:
        ValidationError: code ``private_key``.
    """
    if holds_private_key(value):
        raise ValidationError(
            _(
                "This holds a private key. A private key never leaves its owner: it "
                "was not stored. Paste only the certificate."
            ),
            code="private_key",
        )


def normalise_hosts(text: str, field: str = "hosts") -> str:
    """Return host names, one a line, lower case; *field* is where errors belong.

    Raises:
        ValidationError: something that is not a host name.
    """
    hosts = re.split(r"[\s,]+", text.strip().lower()) if text.strip() else []
    for host in hosts:
        if not _HOST.match(host):
            raise ValidationError(
                {
                    field: ValidationError(
                        _("“%(host)s” is not a host name: leave out port and scheme."),
                        code="host",
                        params={"host": host},
                    )
                }
            )
    return "\n".join(dict.fromkeys(hosts))


def normalise_urls(text: str, field: str) -> str:
    """Return web addresses, one a line; *field* is where errors belong.

    Raises:
        ValidationError: something that is no http or https address, or that holds
            a password.
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
            raise ValidationError(
                {
                    field: ValidationError(
                        _(
                            "“%(url)s” is no web address: write http:// or https://, "
                            "one address a line, without a user name in it."
                        ),
                        code="url",
                        params={"url": url[:200]},
                    )
                }
            )
    return "\n".join(dict.fromkeys(urls))
