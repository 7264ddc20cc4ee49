"""Validators of what an administrator types."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from .bundles import holds_private_key

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


def normalise_hosts(text: str) -> str:
    """Return host names, one a line, lower case.

    Raises:
        ValidationError: something that is not a host name.
    """
    hosts = re.split(r"[\s,]+", text.strip().lower()) if text.strip() else []
    for host in hosts:
        if not _HOST.match(host):
            raise ValidationError(
                {
                    "hosts": ValidationError(
                        _("“%(host)s” is not a host name: leave out port and scheme."),
                        code="host",
                        params={"host": host},
                    )
                }
            )
    return "\n".join(dict.fromkeys(hosts))
