"""What expires, whom it concerns, and what is written to them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from django.db.models import F
from django.utils.translation import gettext, ngettext

from django_clientcert.models import ExpiryNotice
from django_clientcert.trust.expiry import (
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
from django_clientcert.x509.escaping import visible_once

# Days before the end at which somebody is told, once each
STAGES = (1, 7, 30)


@dataclass(frozen=True)
class Notice:
    """Something that ends, and at which stage it is, in days."""

    ending: Expiry
    stage: int

    def key(self, recipient: str) -> bytes:
        """Return what stands for the notice to *recipient*."""
        one = self.ending
        return ExpiryNotice.key_of(
            recipient, one.what, one.instance.pk, one.expires_at, self.stage
        )


def find_notices(now: dt.datetime) -> Iterator[Notice]:
    """Yield what ends within the longest stage, and has not ended.

    Not what is disabled, and no certificate that has a successor.
    """
    span = Interval(now, now + dt.timedelta(days=max(STAGES)))
    certificates = without_successor(expiring_with_certificate(span))
    for ending in chain(
        certificate_expiries(certificates.order_by("pk")),
        date_expiries(expiring_by_date(span).order_by("pk")),
        authority_expiries(span),
        crl_expiries(span),
    ):
        left = ending.expires_at - now
        stage = next(days for days in STAGES if left <= dt.timedelta(days=days))
        yield Notice(ending, stage)


def write_mail(
    notices: Sequence[Notice], now: dt.datetime, *, to_owner: bool
) -> tuple[str, str]:
    """Return subject and text of the digest; no untrusted text is in the subject."""
    title = ngettext(
        "%(count)d client certificate or setting of it expires soon",
        "%(count)d client certificates or settings of them expire soon",
        len(notices),
    ) % {"count": len(notices)}
    head = (
        gettext(
            "You are known by these certificates. Ask for new ones in time, and have "
            "them entered before these end."
        )
        if to_owner
        else gettext("Renew these, or tell their owners.")
    )
    expiries = sorted((one.ending for one in notices), key=lambda one: one.expires_at)
    lines = [_line(one, now) for one in expiries]
    return title, "\n".join([head, "", *lines, ""])


def _line(ending: Expiry, now: dt.datetime) -> str:
    days = (ending.expires_at - now).days
    when = ngettext("in %(days)d day", "in %(days)d days", days) % {"days": days}
    kinds = {
        "certificate": gettext("certificate"),
        "mapping": gettext("mapping"),
        "authority": gettext("certificate of an authority"),
        "revocation_list": gettext("revocation list"),
    }
    user = ending.user
    whose = f" ({visible_once(str(user.get_username()), 80)})" if user else ""
    date = f"{ending.expires_at:%Y-%m-%d %H:%M} UTC"
    return f"- {date}, {when}: {kinds[ending.what]} {ending.name}{whose}"


def known_keys(keys: Sequence[bytes]) -> set[bytes]:
    """Return those of *keys* that were told already."""
    found: set[bytes] = set()
    for start in range(0, len(keys), 500):
        rows = ExpiryNotice.objects.filter(key__in=keys[start : start + 500])
        found |= {bytes(one) for one in rows.values_list(F("key"), flat=True)}
    return found
