"""What ends, and when: mappings, certificates, authorities and revocation lists.

The commands ``expiring`` and ``notify`` and the admin’s timeline look here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from django_clientcert.exceptions import CertificateParseError, ClientCertError
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    RevocationList,
    SeenCertificate,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible_once

# As long as what is shown in a line
_MAX_NAME = 200

Rows = QuerySet[CertificateMapping]


@dataclass(frozen=True)
class Expiry:
    """One thing that ends.

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
        """Whose it is; None for an authority and a list."""
        return getattr(self.instance, "user", None)


@dataclass(frozen=True)
class Interval:
    """The moments later than ``after`` (where that is None: all) up to ``until``."""

    after: dt.datetime | None
    until: dt.datetime

    def has(self, at: dt.datetime) -> bool:
        """Tell whether *at* is one of them."""
        return (self.after is None or self.after < at) and at <= self.until

    def of(self, field: str) -> Q:
        """Return the condition that a column holds one of them."""
        condition = Q(**{f"{field}__lte": self.until})
        if self.after is not None:
            condition &= Q(**{f"{field}__gt": self.after})
        return condition


def enabled_mappings(mappings: Rows | None = None) -> Rows:
    """Return the mappings that let somebody in, or will: all but the disabled.

    Of *mappings*; without them, of all there are.
    """
    rows = CertificateMapping.objects.all() if mappings is None else mappings
    return rows.exclude(state=CertificateMapping.State.DISABLED)


def expiring_with_certificate(span: Interval) -> Rows:
    """Return the mappings whose certificate ends in *span*, by the index of that."""
    return enabled_mappings().filter(span.of("certificate_not_after"))


def expiring_by_date(span: Interval) -> Rows:
    """Return the mappings whose own date is in *span*, by the index of that."""
    return enabled_mappings().filter(span.of("valid_until"))


def expiring_first(mappings: Rows, span: Interval) -> tuple[Rows, Rows]:
    """Return those that end in *span*: with their certificate, or before it.

    No mapping is in both, and each is found by one index.
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
    """Return those for whose certificate the same user has no later one."""
    later = enabled_mappings().filter(
        user=OuterRef("user"),
        certificate_subject_key=OuterRef("certificate_subject_key"),
        certificate_not_after__gt=OuterRef("certificate_not_after"),
    )
    return mappings.filter(~Exists(later))


def certificate_expiries(mappings: Rows) -> Iterator[Expiry]:
    """Yield the ends of the certificates of *mappings*."""
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
    """Yield the ends that *mappings* were given."""
    for mapping in mappings.select_related("user").iterator():
        assert mapping.valid_until is not None  # noqa: S101 - selected by it
        yield Expiry("mapping", mapping, str(mapping), mapping.valid_until)


def seen_expiries(span: Interval) -> Iterator[Expiry]:
    """Yield the ends of certificates that were let in lately."""
    rows = SeenCertificate.objects.filter(span.of("not_after"))
    for one in rows.select_related("user").defer("certificate").iterator():
        assert one.not_after is not None  # noqa: S101 - selected by it
        yield Expiry("seen_certificate", one, str(one), one.not_after)


def authority_expiries(
    span: Interval, authorities: QuerySet[CertificateAuthority] | None = None
) -> Iterator[Expiry]:
    """Yield the ends of the certificates of the bundles: of all, or of these."""
    rows = CertificateAuthority.objects.all() if authorities is None else authorities
    for authority in rows.order_by("pk").iterator():
        for certificate, end in _ends_of(authority):
            if span.has(end):
                name = visible_once(f"{authority}: {certificate.subject}", _MAX_NAME)
                yield Expiry("authority", authority, name, end, certificate)


def crl_expiries(
    span: Interval, lists: QuerySet[RevocationList] | None = None
) -> Iterator[Expiry]:
    """Yield until when revocation lists count: all, or these."""
    rows = RevocationList.objects.all() if lists is None else lists
    for row in rows.select_related("authority").order_by("pk").iterator():
        end = row.crl_info().expires()
        if span.has(end):
            name = visible_once(f"{row.authority}: {row}", _MAX_NAME)
            yield Expiry("revocation_list", row, name, end)


def _ends_of(
    authority: CertificateAuthority,
) -> Iterator[tuple[ClientCertificate, dt.datetime]]:
    try:
        certificates = list(authority.certificates())
    except ClientCertError:
        return  # check --database says so
    for certificate in certificates:
        try:
            certificate.subject  # noqa: B018 - it is told by its subject
            yield certificate, certificate.not_after
        except CertificateParseError:
            continue  # authority list says what is wrong with it
