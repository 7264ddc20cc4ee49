"""Which certificates on a page are revoked: a few queries, however many there are."""

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
from django_clientcert.models.authority_state import preload_states
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible_once

Key = TypeVar("Key", bound=Hashable)


class _Names(NamedTuple):
    """What revocations of a certificate are looked up by."""

    issuer_name: bytes
    public_key: bytes
    serial: bytes


def revoked_mappings(mappings: Iterable[CertificateMapping]) -> dict[int, Refusal]:
    """Return why the certificates of *mappings* are refused, by primary key.

    See ``revoked_certificates()``.
    """
    rows = list(mappings)
    certificates = {
        row.pk: certificate
        for row in rows
        if (certificate := row.client_certificate()) is not None
    }
    refusals = revoked_certificates(certificates)
    pins = {row.pk: bytes(row.key) for row in rows if row.kind == "public_key"}
    hits = Revocation.objects.filter(public_key__in=set(pins.values()))
    numbers = dict(hits.values_list("public_key", "pk")) if pins else {}
    for pk, key in pins.items():
        if key in numbers:
            detail = _("revocation %(pk)s revokes its public key") % {
                "pk": numbers[key]
            }
            refusals.setdefault(pk, Refusal(Reason.REVOKED, detail))
    return refusals


def revoked_certificates(
    certificates: Mapping[Key, ClientCertificate],
) -> dict[Key, Refusal]:
    """Return why some of *certificates* are refused, by their keys; up to 8 queries.

    Five of them are for authorities that this process has not read. The decision is
    that of a request. Any reason but “revoked” means that the status is unknown.
    Certificates that cannot be read are left out, as they never match.
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
        subject_key__in={name.issuer_name for name in names.values()}
    ).select_related("authority"):
        authorities.setdefault(ca.subject_key, {})[ca.authority_id] = ca.authority
    preload_states([row for rows in authorities.values() for row in rows.values()])
    serials = {name.serial for name in names.values()}
    revocations = [
        RevocationHit(str(row.pk), row.public_key, row.issuer_key, row.serial)
        for row in Revocation.objects.matching(
            {name.public_key for name in names.values()}, serials
        )
    ]
    entries: dict[bytes, list[EntryHit]] = {}
    for entry in RevokedSerial.objects.filter(serial__in=serials):
        entries.setdefault(entry.serial, []).append(
            EntryHit(str(entry.crl_id), entry.serial, entry.reason, entry.revoked_at)
        )
    now = timezone.now()
    refusals: dict[Key, Refusal] = {}
    for key, name in names.items():
        result = LookupResult(
            authorities=list(authorities.get(name.issuer_name, {}).values()),
            revocations=[
                hit
                for hit in revocations
                if hit.public_key == name.public_key or hit.serial == name.serial
            ],
            entries=entries.get(name.serial, []),
        )
        try:
            check_revoked(certificates[key], result, now)
        except Refusal as refusal:
            refusals[key] = refusal
    return refusals


def show_revocation(refusal: Refusal | None) -> str:
    """Return whether a certificate is revoked, and why; safe to show."""
    if refusal is None:
        return _("not revoked")
    why = {"why": visible_once(refusal.detail, 500)}
    if refusal.reason is Reason.REVOKED:
        return _("The certificate is revoked: %(why)s.") % why
    return _("The certificate is refused, as its status is unknown: %(why)s.") % why
