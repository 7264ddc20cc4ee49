"""Which certificates on a page are revoked, whatever their number in a few queries."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple, TypeVar

from django.utils import timezone
from django.utils.translation import gettext as _

from django_clientcert.evaluation.authorities import check_revoked
from django_clientcert.evaluation.lookup import EntryHit, LookupResult, RevocationHit
from django_clientcert.exceptions import CertificateParseError, Reason, Refusal
from django_clientcert.models import (
    AuthorityCertificate,
    CertificateAuthority,
    CertificateMapping,
    Revocation,
    RevokedSerial,
    name_key,
    serial_key,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible_once

Key = TypeVar("Key", bound=Hashable)


class _Names(NamedTuple):
    """What a certificate's revocation is looked up with."""

    issuer_name: bytes
    public_key: bytes
    serial: bytes


def revoked_mappings(mappings: Iterable[CertificateMapping]) -> dict[int, Refusal]:
    """Return why certificates of *mappings* are refused, by the mapping's key.

    See ``revoked_certificates()``.
    """
    rows = list(mappings)
    certificates = {
        one.pk: certificate
        for one in rows
        if (certificate := one.client_certificate()) is not None
    }
    found = revoked_certificates(certificates)
    pins = {one.pk: bytes(one.key) for one in rows if one.kind == "public_key"}
    hits = Revocation.objects.filter(public_key__in=set(pins.values()))
    numbers = dict(hits.values_list("public_key", "pk")) if pins else {}
    for pk, key in pins.items():
        if key in numbers:
            detail = _("revocation %(pk)s is of its public key") % {"pk": numbers[key]}
            found.setdefault(pk, Refusal(Reason.REVOKED, detail))
    return found


def revoked_certificates(
    certificates: Mapping[Key, ClientCertificate],
) -> dict[Key, Refusal]:
    """Return why those of *certificates* that are revoked are: three queries at most.

    Decided as a request would be: any other reason than “revoked” means that it cannot
    be told. What cannot be read is left out: it lets nobody in.
    """
    names: dict[Key, _Names] = {}
    for key, certificate in certificates.items():
        with suppress(CertificateParseError):
            names[key] = _Names(
                name_key(certificate.issuer_der),
                certificate.public_key_bytes,
                serial_key(certificate.serial_number),
            )
    if not names:
        return {}
    authorities: dict[bytes, dict[int, CertificateAuthority]] = {}
    for ca in AuthorityCertificate.objects.filter(
        subject_key__in={one.issuer_name for one in names.values()}
    ).select_related("authority"):
        authorities.setdefault(ca.subject_key, {})[ca.authority_id] = ca.authority
    revocations = [
        RevocationHit(str(one.pk), one.public_key, one.issuer_key, one.serial)
        for one in Revocation.objects.matching(
            {one.public_key for one in names.values()},
            {one.serial for one in names.values()},
        )
    ]
    entries: dict[bytes, list[EntryHit]] = {}
    for entry in RevokedSerial.objects.filter(
        serial__in={one.serial for one in names.values()}
    ):
        entries.setdefault(entry.serial, []).append(
            EntryHit(str(entry.crl_id), entry.serial, entry.reason, entry.revoked_at)
        )
    now = timezone.now()
    why: dict[Key, Refusal] = {}
    for key, one in names.items():
        result = LookupResult(
            authorities=list(authorities.get(one.issuer_name, {}).values()),
            revocations=[
                hit
                for hit in revocations
                if hit.public_key == one.public_key or hit.serial == one.serial
            ],
            entries=entries.get(one.serial, []),
        )
        try:
            check_revoked(certificates[key], result, now)
        except Refusal as refusal:
            why[key] = refusal
    return why


def show_revocation(refusal: Refusal | None) -> str:
    """Return whether a certificate is revoked, and why; safe to show."""
    if refusal is None:
        return _("not revoked")
    why = {"why": visible_once(refusal.detail, 500)}
    if refusal.reason is Reason.REVOKED:
        return _("The certificate is revoked: %(why)s.") % why
    return _("It cannot be told, so the certificate is refused: %(why)s.") % why
