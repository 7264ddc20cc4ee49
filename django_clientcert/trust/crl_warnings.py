"""What is suspicious about a new CRL: that it has lost entries of the one before.

A CA that writes its CRLs wrongly is far more likely than one that takes a revocation
back, and otherwise nobody would notice that the certificates are accepted again.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice

from django.db.models import (
    BigIntegerField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    QuerySet,
)
from django.utils.translation import gettext, ngettext

from django_clientcert.exceptions import CertificateParseError
from django_clientcert.models import (
    CertificateMapping,
    Revocation,
    RevocationList,
    RevokedSerial,
    SeenCertificate,
    serial_key,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl.reasons import RevocationReason
from django_clientcert.x509.escaping import visible, visible_once
from django_clientcert.x509.text import show_day, some_of

from .affected import is_revoked

_CHUNK = 500


def find_warnings(
    row: RevocationList,
    replaced: Sequence[RevocationList],
    kept: Sequence[RevocationList],
    *,
    at: dt.datetime,
    using: str,
) -> Iterator[str]:
    """Yield a sentence for each reason to ask the CA about the CRL *row*.

    It replaces the CRLs *replaced*, whose entries are still stored, and *kept* stay in
    force. Left out are entries of known certificates that have expired (RFC 5280,
    3.3), those on hold, and those that a delta CRL has removed (5.3.1).
    """
    entries = RevokedSerial._base_manager.using(using)
    info = row.crl_info()
    same_ca = [
        crl
        for crl in kept
        if (other := crl.crl_info()).issuer_name == info.issuer_name
        and other.issuer_key == info.issuer_key
    ]
    released = (RevocationReason.CERTIFICATE_HOLD, RevocationReason.REMOVE_FROM_CRL)
    old = entries.filter(crl__in=replaced)
    # SQLite would look for a serial number in a million entries of the CRL, not in the
    # few with that serial number, if it could use the index of the foreign key.
    unindexed = ExpressionWrapper(F("crl_id") + 0, output_field=BigIntegerField())
    same_serial = entries.filter(serial=OuterRef("serial")).annotate(of=unindexed)
    removed = same_serial.filter(reason=RevocationReason.REMOVE_FROM_CRL)
    lost = old.exclude(reason__in=released).filter(
        ~Exists(same_serial.filter(of__in=[crl.pk for crl in (row, *same_ca)])),
        ~Exists(removed.filter(of__in=[crl.pk for crl in replaced])),
    )
    count = lost.values("serial").distinct().count()
    expired: set[bytes] = set()
    valid: dict[bytes, str] = {}
    for key, end, text in _find_known(row, lost) if count else ():
        if end < at:
            expired.add(key)
        else:
            valid.setdefault(key, text)
    count -= len(expired - valid.keys())
    if count:
        unknown = gettext("a certificate that is not known here")
        yield (
            ngettext(
                "%(count)d serial number that %(old)s revoked is not in %(new)s, that "
                "of %(known)s. A CA may leave out only certificates that have expired "
                "(RFC 5280, 3.3). Ask it, and if this is a mistake, revoke the "
                "certificate here.",
                "%(count)d serial numbers that %(old)s revoked are not in %(new)s, "
                "among them that of %(known)s. A CA may leave out only certificates "
                "that have expired (RFC 5280, 3.3). Ask it, and if this is a mistake, "
                "revoke the certificates here.",
                count,
            )
            % {
                "count": count,
                "old": ", ".join(crl.label() for crl in replaced),
                "new": row.label(),
                "known": some_of(valid.values()) or unknown,
            }
        )
    if entries.filter(crl=row, serial=serial_key(0)).exists():
        yield gettext(
            "%(crl)s has an entry for the serial number 0, which no certificate may "
            "have (RFC 5280, 4.1.2.2). Ask the CA whether it stands for another one."
        ) % {"crl": row.label()}


def _find_known(
    row: RevocationList, lost: QuerySet[RevokedSerial]
) -> Iterator[tuple[bytes, dt.datetime, str]]:
    """Yield the known certificates with serial numbers of *lost*.

    Each as the key of its serial number, the end of its validity, and a text.
    """
    mappings = CertificateMapping.objects.exclude(certificate=None)
    rows: Iterator[CertificateMapping | SeenCertificate] = chain(
        mappings.select_related("user").order_by("pk").iterator(_CHUNK),
        SeenCertificate.objects.select_related("user").order_by("pk").iterator(_CHUNK),
    )
    issuer_key = row.crl_info().issuer_key
    while batch := list(islice(rows, _CHUNK)):
        certificates = defaultdict(list)
        for known in batch:
            certificate = ClientCertificate(bytes(known.certificate or b""))
            with suppress(CertificateParseError):  # it is never accepted
                key = serial_key(certificate.serial_number)
                certificates[key].append((known, certificate))
        keys = lost.filter(serial__in=list(certificates)).values_list("serial")
        serials = {bytes(serial) for (serial,) in keys.distinct()}
        # In the order of the rows, whatever the database's
        for key in (key for key in certificates if key in serials):
            revocation = Revocation(
                authority=row.authority, issuer_key=issuer_key, serial=key
            )
            for known, certificate in certificates[key]:
                with suppress(CertificateParseError):
                    if is_revoked(revocation, certificate):
                        end = certificate.not_after
                        yield key, end, _describe(known, certificate, end)


def _describe(
    known: CertificateMapping | SeenCertificate,
    certificate: ClientCertificate,
    end: dt.datetime,
) -> str:
    names = {
        "subject": visible_once(certificate.subject.rfc4514(), 80),
        "pk": known.pk,
        "user": visible(str(known.user), 50),
        "end": show_day(end),
    }
    if isinstance(known, CertificateMapping):
        return gettext("%(subject)s (mapping %(pk)s, valid until %(end)s)") % names
    text = gettext("%(subject)s (last accepted as %(user)s, valid until %(end)s)")
    return text % names
