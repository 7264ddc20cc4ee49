"""What a change of the tables takes along: revisions, and the index of the bundles.

Each authority has a ``revision`` (``authority_state``) and rows that its certificates
are found by (``AuthorityCertificate``). Both are renewed in the transaction of the
change, by signals: so every save and every delete renews them.
``QuerySet.update()`` and ``bulk_create()`` send no signals.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.db import models, transaction
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import receiver

from .authorities import AuthorityCertificate, CertificateAuthority
from .authority_state import readable_certificates
from .fields import name_key, serial_key
from .revocations import Revocation, RevocationList


def renew_revisions(authority_ids: Iterable[Any], using: str | None) -> None:
    """Give each of these authorities a new revision; in the change's transaction.

    The value is random. A counter would return to a value that another process knows
    with other content, after a transaction was rolled back.
    """
    rows = CertificateAuthority._base_manager.using(using)
    for authority_id in sorted(authority_ids):  # always in one order: no deadlock
        rows.filter(pk=authority_id).update(revision=uuid.uuid4())


def index_certificates(authority: CertificateAuthority) -> None:
    """Store what the certificates of the bundle can be found by."""
    rows = AuthorityCertificate._base_manager.using(authority._state.db)
    rows.filter(authority=authority).delete()
    rows.bulk_create(
        AuthorityCertificate(
            authority=authority,
            subject_key=name_key(certificate.subject_der),
            public_key=certificate.public_key_bytes,
            serial=serial_key(certificate.serial_number),
        )
        for certificate in readable_certificates(authority)
    )


def _renew_concerned(revocation: Revocation, using: str) -> None:
    """Renew the authorities whose state *revocation* is part of.

    A revocation of a client's certificate is part of none: each request looks for it.
    """
    concerned = set(
        AuthorityCertificate._base_manager.using(using)
        .filter(
            models.Q(public_key=revocation.public_key)
            | models.Q(serial=revocation.serial)
        )
        .values_list("authority_id", flat=True)
    )
    if revocation.is_period and revocation.authority_id is not None:
        concerned.add(revocation.authority_id)
    renew_revisions(concerned, using)


@receiver(post_save, sender=CertificateAuthority)
def _authority_saved(
    instance: CertificateAuthority,
    raw: bool,
    using: str,
    update_fields: frozenset[str] | None,
    **kwargs: Any,
) -> None:
    if raw:
        # A fixture brings its own index, and a revision that may be known here with
        # other content.
        renew_revisions([instance.pk], using)
    elif update_fields is None or "bundle" in update_fields:
        index_certificates(instance)


@receiver(post_save, sender=RevocationList)
@receiver(post_delete, sender=RevocationList)
def _crl_changed(instance: RevocationList, using: str, **kwargs: Any) -> None:
    renew_revisions([instance.authority_id], using)


@receiver(pre_save, sender=Revocation)
def _revocation_changes(instance: Revocation, using: str, **kwargs: Any) -> None:
    """Renew the authorities that the revocation is about until now."""
    for stored in Revocation._base_manager.using(using).filter(pk=instance.pk):
        _renew_concerned(stored, using)


@receiver(post_save, sender=Revocation)
@receiver(post_delete, sender=Revocation)
def _revocation_changed(instance: Revocation, using: str, **kwargs: Any) -> None:
    _renew_concerned(instance, using)
    # Once more, for a bundle with that CA that was saved at the same time: neither
    # transaction sees what the other one has written.
    transaction.on_commit(partial(_renew_concerned, instance, using), using=using)
