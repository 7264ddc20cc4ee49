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


def find_deletion(request: HttpRequest, site: AdminSite, objs: Any) -> Deletion:
    """Return what is deleted with authorities or CRLs, and what prevents that."""
    rows = list(objs)
    collector = _WithoutEntries(using=router.db_for_write(RevokedSerial), origin=objs)
    collector.collect(rows)
    deleted: dict[type[Model], list[Any]] = {
        model: list(collector.data.get(model, ()))
        for model in (CertificateAuthority, AuthorityCertificate, RevocationList)
    }
    crls = deleted[RevocationList]
    refused = {
        model._meta.verbose_name
        for model in (CertificateAuthority, RevocationList)
        for row in deleted[model]
        if not site.get_model_admin(model).has_delete_permission(request, row)
    }
    counts = {model: len(instances) for model, instances in deleted.items()}
    counts[RevokedSerial] = RevokedSerial.objects.filter(crl__in=crls).count()
    return (
        [*map(str, rows), [str(crl) for crl in crls if crl not in rows]],
        {
            model._meta.verbose_name_plural: number
            for model, number in counts.items()
            if number
        },
        refused,
        [f"{row._meta.verbose_name}: {row}" for row in collector.protected],
    )


class _WithoutEntries(NestedObjects):
    """Collects everything but the entries of CRLs."""

    def related_objects(
        self, related_model: type[Model], related_fields: Any, objs: Any
    ) -> Any:
        """Return the rows of *related_model*, without entries of CRLs."""
        rows = super().related_objects(related_model, related_fields, objs)
        return rows.none() if related_model is RevokedSerial else rows
