"""Notices of what expires soon, and the mails about them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from django.db.models import F
from django.utils.translation import gettext, ngettext

from django_clientcert.models import ExpiryNotice
from django_clientcert.x509.escaping import visible_once

from .expiry import (
    Expiry,
    Interval,
    authority_expiries,
    certificate_expiries,
    crl_expiries,
    date_expiries,
    expiring_by_date,
    expiring_with_certificate,
    without_successor,
)

# Days before the end at which a notice is sent, once each
STAGES = (1, 7, 30)


@dataclass(frozen=True)
class Notice:
    """Something that expires; *stage* is the number of days left, rounded up."""

    expiry: Expiry
    stage: int

    def key(self, recipient: str) -> bytes:
        """Return the key by which this notice to *recipient* is remembered."""
        expiry = self.expiry
        return ExpiryNotice.key_of(
            recipient, expiry.what, expiry.instance.pk, expiry.expires_at, self.stage
        )


def find_notices(now: dt.datetime) -> Iterator[Notice]:
    """Yield what expires within the longest stage, but has not yet.

    Disabled mappings and certificates that have a successor are left out.
    """
    span = Interval(now, now + dt.timedelta(days=max(STAGES)))
    certificates = without_successor(expiring_with_certificate(span))
    for expiry in chain(
        certificate_expiries(certificates.order_by("pk")),
        date_expiries(expiring_by_date(span).order_by("pk")),
        authority_expiries(span),
        crl_expiries(span),
    ):
        left = expiry.expires_at - now
        stage = next(days for days in STAGES if left <= dt.timedelta(days=days))
        yield Notice(expiry, stage)


def write_mail(
    notices: Sequence[Notice], now: dt.datetime, *, to_owner: bool
) -> tuple[str, str]:
    """Return subject and text of a mail; the subject has no untrusted text."""
    title = ngettext(
        "%(count)d client certificate or related setting will expire soon",
        "%(count)d client certificates or related settings will expire soon",
        len(notices),
    ) % {"count": len(notices)}
    head = gettext("Renew these, or inform their owners.")
    if to_owner:
        head = gettext(
            "These are your registered certificates. Request replacements and have "
            "them registered before the dates below."
        )
    ordered = sorted(notices, key=lambda notice: notice.expiry.expires_at)
    lines = [_line(notice.expiry, now) for notice in ordered]
    return title, "\n".join([head, "", *lines, ""])


def _line(expiry: Expiry, now: dt.datetime) -> str:
    days = (expiry.expires_at - now).days
    when = ngettext("in %(days)d day", "in %(days)d days", days) % {"days": days}
    kinds = {
        "certificate": gettext("certificate"),
        "mapping": gettext("mapping"),
        "authority": gettext("certificate of an authority"),
        "revocation_list": gettext("CRL"),
    }
    user = expiry.user
    whose = f" ({visible_once(str(user.get_username()), 80)})" if user else ""
    date = f"{expiry.expires_at:%Y-%m-%d %H:%M} UTC"
    return f"- {date}, {when}: {kinds[expiry.what]} {expiry.name}{whose}"


def known_keys(keys: Sequence[bytes]) -> set[bytes]:
    """Return those of *keys* that are remembered as sent."""
    known: set[bytes] = set()
    for start in range(0, len(keys), 500):
        rows = ExpiryNotice.objects.filter(key__in=keys[start : start + 500])
        known |= {bytes(key) for key in rows.values_list(F("key"), flat=True)}
    return known
