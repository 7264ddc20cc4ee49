"""What expires, and when: mappings, certificates, authorities and CRLs; and notices.

Used by the commands ``expiring`` and ``notify`` and the admin’s timeline.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext, ngettext

from django_clientcert.exceptions import CertificateParseError, ClientCertError
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    ExpiryNotice,
    RevocationList,
    SeenCertificate,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible_once

# Days before the end at which a notice is sent, once each
STAGES = (1, 7, 30)
# Fits into one line of output
_MAX_NAME = 200

Rows = QuerySet[CertificateMapping]


@dataclass(frozen=True)
class Expiry:
    """One thing that expires.

    ``what`` is ``certificate`` (one that a mapping stores), ``mapping`` (its own
    date), ``seen_certificate``, ``authority`` (a certificate of its bundle) or
    ``revocation_list``; ``name`` is safe to show.
    """

    what: str
    instance: Any
    name: str
    expires_at: dt.datetime
    certificate: ClientCertificate | None = None

    @property
    def user(self) -> Any:
        """The user concerned; None for an authority or a CRL."""
        return getattr(self.instance, "user", None)


@dataclass(frozen=True)
class Interval:
    """The moments after ``after`` (None: unbounded) up to ``until``, inclusive."""

    after: dt.datetime | None
    until: dt.datetime

    def has(self, at: dt.datetime) -> bool:
        """Return whether *at* is in the interval."""
        return (self.after is None or self.after < at) and at <= self.until

    def of(self, field: str) -> Q:
        """Return the condition that a column is in the interval."""
        condition = Q(**{f"{field}__lte": self.until})
        if self.after is not None:
            condition &= Q(**{f"{field}__gt": self.after})
        return condition


def enabled_mappings(mappings: Rows | None = None) -> Rows:
    """Return the mappings that are not disabled, of *mappings* or of all."""
    rows = CertificateMapping.objects.all() if mappings is None else mappings
    return rows.exclude(state=CertificateMapping.State.DISABLED)


def expiring_with_certificate(span: Interval) -> Rows:
    """Return the mappings whose certificate expires in *span* (indexed)."""
    return enabled_mappings().filter(span.of("certificate_not_after"))


def expiring_by_date(span: Interval) -> Rows:
    """Return the mappings whose own date is in *span* (indexed)."""
    return enabled_mappings().filter(span.of("valid_until"))


def expiring_first(mappings: Rows, span: Interval) -> tuple[Rows, Rows]:
    """Return the mappings that end in *span*: with their certificate, or before it.

    No mapping is in both querysets, and each queryset uses one index.
    """
    date, end = F("valid_until"), F("certificate_not_after")
    return (
        mappings.filter(
            span.of("certificate_not_after"),
            Q(valid_until=None) | Q(valid_until__gte=end),
        ),
        mappings.filter(
            span.of("valid_until"),
            Q(certificate_not_after=None) | Q(certificate_not_after__gt=date),
        ),
    )


def without_successor(mappings: Rows) -> Rows:
    """Return the mappings whose user has no later certificate with the same subject."""
    later = enabled_mappings().filter(
        user=OuterRef("user"),
        certificate_subject_key=OuterRef("certificate_subject_key"),
        certificate_not_after__gt=OuterRef("certificate_not_after"),
    )
    return mappings.filter(~Exists(later))


def certificate_expiries(mappings: Rows) -> Iterator[Expiry]:
    """Yield the expiry of the certificate of each of *mappings*."""
    for mapping in mappings.select_related("user").iterator():
        assert mapping.certificate_not_after is not None  # noqa: S101 - selected by it
        deferred = "certificate" in mapping.get_deferred_fields()
        yield Expiry(
            "certificate",
            mapping,
            visible_once(mapping.certificate_subject or str(mapping), _MAX_NAME),
            mapping.certificate_not_after,
            None if deferred else mapping.client_certificate(),
        )


def date_expiries(mappings: Rows) -> Iterator[Expiry]:
    """Yield the end date of each of *mappings*."""
    for mapping in mappings.select_related("user").iterator():
        assert mapping.valid_until is not None  # noqa: S101 - selected by it
        yield Expiry("mapping", mapping, str(mapping), mapping.valid_until)


def seen_expiries(span: Interval) -> Iterator[Expiry]:
    """Yield the expiry of certificates that were accepted recently."""
    rows = SeenCertificate.objects.filter(span.of("not_after"))
    for seen in rows.select_related("user").defer("certificate").iterator():
        assert seen.not_after is not None  # noqa: S101 - selected by it
        yield Expiry("seen_certificate", seen, str(seen), seen.not_after)


def authority_expiries(
    span: Interval, authorities: QuerySet[CertificateAuthority] | None = None
) -> Iterator[Expiry]:
    """Yield the expiry of the certificates in all bundles, or in *authorities*."""
    rows = CertificateAuthority.objects.all() if authorities is None else authorities
    for authority in rows.order_by("pk").iterator():
        with suppress(ClientCertError):  # reported by check --database
            for certificate in authority.certificates():
                with suppress(CertificateParseError):  # reported by “authority list”
                    name = f"{authority}: {certificate.subject}"
                    if span.has(end := certificate.not_after):
                        name = visible_once(name, _MAX_NAME)
                        yield Expiry("authority", authority, name, end, certificate)


def crl_expiries(
    span: Interval, crls: QuerySet[RevocationList] | None = None
) -> Iterator[Expiry]:
    """Yield the expiry of CRLs, of all or of *crls*."""
    rows = RevocationList.objects.all() if crls is None else crls
    for row in rows.select_related("authority").order_by("pk").iterator():
        end = row.crl_info().expires()
        if span.has(end):
            name = visible_once(f"{row.authority}: {row}", _MAX_NAME)
            yield Expiry("revocation_list", row, name, end)


# --- notices ----------------------------------------------------------------------


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
