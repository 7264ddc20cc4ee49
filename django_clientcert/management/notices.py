"""What expires, whom it concerns, and what is written to them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils.translation import gettext, ngettext

from django_clientcert.certificates import ClientCertificate
from django_clientcert.escaping import visible_once
from django_clientcert.exceptions import CertificateParseError, ClientCertError
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    ExpiryNotice,
    RevocationList,
)

# Days before the end at which somebody is told, once each
STAGES = (1, 7, 30)


@dataclass(frozen=True)
class Ending:
    """Something that ends: what, whose, and at which stage it is."""

    what: str
    instance: CertificateMapping | CertificateAuthority | RevocationList
    certificate: ClientCertificate | None
    name: str
    expires_at: dt.datetime
    stage: int

    def key(self, recipient: str) -> bytes:
        """Return what stands for the notice to *recipient*."""
        return ExpiryNotice.key_of(
            recipient, self.what, self.instance.pk, self.expires_at, self.stage
        )

    @property
    def user(self) -> Any:
        """Whose it is; None for an authority and a list."""
        return getattr(self.instance, "user", None)


def find_endings(now: dt.datetime) -> Iterator[Ending]:
    """Yield what ends within the longest stage, and has not ended.

    Not what is disabled, and no certificate that has a successor.
    """
    until = now + dt.timedelta(days=max(STAGES))
    mappings = (
        CertificateMapping.objects.exclude(state=CertificateMapping.State.DISABLED)
        .select_related("user")
        .order_by("pk")
    )
    of_certificates = mappings.filter(
        certificate_not_after__gt=now, certificate_not_after__lte=until
    )
    for mapping in _without_successor(of_certificates).iterator():
        yield _ending(
            "certificate",
            mapping,
            mapping.client_certificate(),
            mapping.certificate_subject or str(mapping),
            mapping.certificate_not_after,
            now,
        )
    for mapping in mappings.filter(
        valid_until__gt=now, valid_until__lte=until
    ).iterator():
        yield _ending("mapping", mapping, None, str(mapping), mapping.valid_until, now)
    for authority in CertificateAuthority.objects.order_by("pk").iterator():
        for certificate, end in _ends_of(authority):
            if now < end <= until:
                name = f"{authority}: {certificate.subject}"
                yield _ending("authority", authority, certificate, name, end, now)
    for row in (
        RevocationList.objects.select_related("authority").order_by("pk").iterator()
    ):
        end = row.list_info().expires()
        if now < end <= until:
            name = f"{row.authority}: {row}"
            yield _ending("revocation_list", row, None, name, end, now)


def _without_successor(
    mappings: QuerySet[CertificateMapping],
) -> QuerySet[CertificateMapping]:
    later = CertificateMapping.objects.exclude(
        state=CertificateMapping.State.DISABLED
    ).filter(
        user=OuterRef("user"),
        certificate_subject_key=OuterRef("certificate_subject_key"),
        certificate_not_after__gt=OuterRef("certificate_not_after"),
    )
    return mappings.filter(~Exists(later))


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


def _ending(
    what: str,
    instance: CertificateMapping | CertificateAuthority | RevocationList,
    certificate: ClientCertificate | None,
    name: str,
    expires_at: dt.datetime | None,
    now: dt.datetime,
) -> Ending:
    assert expires_at is not None  # noqa: S101 - it was selected by it
    left = expires_at - now
    stage = next(days for days in STAGES if left <= dt.timedelta(days=days))
    return Ending(
        what, instance, certificate, visible_once(name, 200), expires_at, stage
    )


def write_mail(
    endings: Sequence[Ending], now: dt.datetime, *, to_owner: bool
) -> tuple[str, str]:
    """Return subject and text of the digest; no untrusted text is in the subject."""
    title = ngettext(
        "%(count)d client certificate or setting of it expires soon",
        "%(count)d client certificates or settings of them expire soon",
        len(endings),
    ) % {"count": len(endings)}
    head = (
        gettext(
            "You are known by these certificates. Ask for new ones in time, and have "
            "them entered before these end."
        )
        if to_owner
        else gettext("Renew these, or tell their owners.")
    )
    lines = [_line(one, now) for one in sorted(endings, key=lambda one: one.expires_at)]
    return title, "\n".join([head, "", *lines, ""])


def _line(ending: Ending, now: dt.datetime) -> str:
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
