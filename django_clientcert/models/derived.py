"""What is written down twice, so that a request needs one query.

An authority remembers what its lists and the revocations say (``revocation_state``),
and what its certificates can be found by (``AuthorityCertificate``). Both are made
anew in the transaction of whatever changes: signals call, whoever saves or deletes.
``QuerySet.update()`` sends none.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.db import connections, models, transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from django_clientcert.exceptions import CertificateParseError, ClientCertError
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl import collect_hits

from .authorities import AuthorityCertificate, CertificateAuthority
from .authority_state import AuthorityState, Period
from .fields import serial_key
from .revocations import Revocation, RevocationList, RevokedSerial


def rebuild_state(authority_id: Any, using: str | None) -> None:
    """Write down anew what an authority knows of revocations.

    The row is locked: of two changes at a time, the second sees the first.
    """
    authorities = CertificateAuthority._base_manager.using(using)
    with transaction.atomic(using=using):
        authority = lock_authority(authority_id, using)
        if authority is not None:  # else it is just being deleted
            text = derive_state(authority).to_text()
            authorities.filter(pk=authority_id).update(revocation_state=text)


def lock_authority(authority_id: Any, using: str | None) -> CertificateAuthority | None:
    """Return the authority as it is now, or None; in a transaction, until its end.

    Nobody else changes it meanwhile. Where the database has a lock that lets others
    refer to it all the same, that one is taken: a list of a million entries must not
    hold up those who log in with a new certificate.
    """
    authorities = CertificateAuthority._base_manager.using(using)
    features = connections[authorities.db].features
    return (
        authorities.select_for_update(no_key=features.has_select_for_no_key_update)
        .filter(pk=authority_id)
        .first()
    )


def derive_state(authority: CertificateAuthority) -> AuthorityState:
    """Return what ``authority.state()`` should be, out of the other tables.

    In a transaction that has locked the authority.
    """
    using = authority._state.db
    certificates = _readable_certificates(authority)
    by_serial: dict[bytes, set[int]] = {}
    for one in certificates:
        number = one.serial_number
        by_serial.setdefault(serial_key(number), set()).add(number)
    # Locked too: in MariaDB, a plain read may see what was there before the lock.
    lists = {
        one.pk: one.crl_info()
        for one in RevocationList._base_manager.using(using)
        .select_for_update()
        .filter(authority=authority)
        .order_by("pk")
    }
    entries = RevokedSerial._base_manager.using(using).filter(
        crl__in=list(lists), serial__in=list(by_serial)
    )
    hits = collect_hits(
        (lists[each.crl_id].fingerprint, each.entry(number))
        for each in entries
        for number in by_serial[each.serial]
    )
    revocations = list(
        Revocation._base_manager.using(using)
        .select_for_update()
        .filter(
            models.Q(public_key__in=[one.public_key_bytes for one in certificates])
            | models.Q(serial__in=list(by_serial))
            | models.Q(authority=authority, issued_from__isnull=False)
        )
        .order_by("pk")
    )
    return AuthorityState(
        lists={str(key): info for key, info in lists.items()},
        hits=hits,
        revoked=_revoked(authority, certificates, revocations),
        periods=tuple(
            Period(str(each.pk), each.issued_from, each.issued_until)
            for each in revocations
            if each.authority_id == authority.pk
            and each.issued_from is not None
            and each.issued_until is not None
        ),
    )


def _readable_certificates(
    authority: CertificateAuthority,
) -> list[ClientCertificate]:
    """Return the certificates of the bundle that can be looked up."""
    readable = []
    with suppress(ClientCertError):  # check says what is wrong with the bundle
        for one in dict.fromkeys(authority.certificates()):
            with suppress(CertificateParseError):
                one.serial_number, one.subject_der, one.public_key_der  # noqa: B018
                readable.append(one)
    return readable


def _revoked(
    authority: CertificateAuthority,
    certificates: list[ClientCertificate],
    revocations: list[Revocation],
) -> dict[str, str]:
    """Return which certificates of the bundle are revoked here, and by what."""
    found: dict[str, str] = {}
    for each in revocations:
        for one in certificates:
            same_serial = (
                each.serial is not None
                and serial_key(one.serial_number) == each.serial
                and each.issuer_key in _issuer_keys(authority, one)
            )
            if same_serial or one.public_key_bytes == each.public_key:
                found.setdefault(one.fingerprint, str(each.pk))
    return found


def _issuer_keys(
    authority: CertificateAuthority, certificate: ClientCertificate
) -> set[bytes]:
    try:
        return {
            one.public_key_bytes
            for one in authority.validator().issuers_of(certificate)
        }
    except ClientCertError:
        return set()


def index_certificates(authority: CertificateAuthority) -> None:
    """Write down what the certificates of the bundle can be found by."""
    using = authority._state.db
    rows = AuthorityCertificate._base_manager.using(using)
    rows.filter(authority=authority).delete()
    rows.bulk_create(
        AuthorityCertificate.of(authority, one)
        for one in _readable_certificates(authority)
    )


@receiver(post_save, sender=CertificateAuthority)
def _authority_saved(
    instance: CertificateAuthority,
    raw: bool,
    using: str,
    update_fields: frozenset[str] | None,
    **kwargs: Any,
) -> None:
    # A fixture brings its own copy of what is derived.
    if not raw and (update_fields is None or "bundle" in update_fields):
        index_certificates(instance)
        rebuild_state(instance.pk, using)
        instance.refresh_from_db(using=using, fields=["revocation_state"])


@receiver(post_save, sender=RevocationList)
@receiver(post_delete, sender=RevocationList)
def _list_changed(
    instance: RevocationList, using: str, raw: bool = False, **kwargs: Any
) -> None:
    if not raw:
        rebuild_state(instance.authority_id, using)


@receiver(post_save, sender=Revocation)
@receiver(post_delete, sender=Revocation)
def _revocation_changed(
    instance: Revocation, using: str, raw: bool = False, **kwargs: Any
) -> None:
    if raw:
        return
    concerned = set(
        AuthorityCertificate._base_manager.using(using)
        .filter(
            models.Q(public_key=instance.public_key) | models.Q(serial=instance.serial)
        )
        .values_list("authority_id", flat=True)
    )
    if instance.is_period and instance.authority_id is not None:
        concerned.add(instance.authority_id)
    for authority_id in sorted(concerned):
        rebuild_state(authority_id, using)
