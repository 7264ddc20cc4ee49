"""What a deletion deletes with it, counted: a CRL may have a million entries."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.sites import AdminSite
from django.contrib.admin.utils import NestedObjects
from django.db import router
from django.db.models import Model
from django.http import HttpRequest

from django_clientcert.models import (
    AuthorityCertificate,
    CertificateAuthority,
    RevocationList,
    RevokedSerial,
)

# What ``get_deleted_objects()`` returns: names, number of each kind, kinds that the
# user may not delete, and the protected rows that prevent the deletion
Deletion = tuple[list[Any], dict[Any, int], set[Any], list[Any]]


def deletion_of_crls(request: HttpRequest, site: AdminSite, crls: Any) -> Deletion:
    """Return what is deleted together with *crls*."""
    rows = list(crls)
    admin = site.get_model_admin(RevocationList)
    refused = any(not admin.has_delete_permission(request, row) for row in rows)
    entries = RevokedSerial.objects.filter(crl__in=[row.pk for row in rows]).count()
    return (
        [str(row) for row in rows],
        _counts({RevocationList: len(rows), RevokedSerial: entries}),
        {RevocationList._meta.verbose_name} if refused else set(),
        [],
    )


def deletion_of_authorities(
    request: HttpRequest, site: AdminSite, authorities: Any
) -> Deletion:
    """Return what is deleted with *authorities*, and what prevents that."""
    rows = list(authorities)
    collector = _WithoutEntries(
        using=router.db_for_write(CertificateAuthority), origin=authorities
    )
    collector.collect(rows)
    crls = [crl for crl in collector.data.get(RevocationList, ()) if crl.pk is not None]
    names, counts, refused, _ = deletion_of_crls(request, site, crls)
    admin = site.get_model_admin(CertificateAuthority)
    if any(not admin.has_delete_permission(request, row) for row in rows):
        refused.add(CertificateAuthority._meta.verbose_name)
    own = _counts(
        {
            CertificateAuthority: len(rows),
            AuthorityCertificate: len(collector.data.get(AuthorityCertificate, ())),
        }
    )
    protected = [f"{row._meta.verbose_name}: {row}" for row in collector.protected]
    return [*(str(row) for row in rows), names], {**own, **counts}, refused, protected


class _WithoutEntries(NestedObjects):
    """Collects everything but the entries of CRLs."""

    def related_objects(
        self, related_model: type[Model], related_fields: Any, objs: Any
    ) -> Any:
        """Return the rows of *related_model*, without entries of CRLs."""
        rows = super().related_objects(related_model, related_fields, objs)
        return rows.none() if related_model is RevokedSerial else rows


def _counts(numbers: dict[type[Model], int]) -> dict[Any, int]:
    return {
        model._meta.verbose_name_plural: number
        for model, number in numbers.items()
        if number
    }
