"""What a deletion takes with it, counted: a list may have a million entries."""

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

# Listed, counted and asked for as Django's own page does: names, number of each
# kind, kinds that may not be deleted, and what stands in the way
Deletion = tuple[list[Any], dict[Any, int], set[Any], list[Any]]


def deletion_of_lists(request: HttpRequest, site: AdminSite, lists: Any) -> Deletion:
    """Return what deleting *lists* takes with it."""
    rows = list(lists)
    admin = site.get_model_admin(RevocationList)
    refused = any(not admin.has_delete_permission(request, one) for one in rows)
    entries = RevokedSerial.objects.filter(crl__in=[one.pk for one in rows]).count()
    return (
        [str(one) for one in rows],
        _counts({RevocationList: len(rows), RevokedSerial: entries}),
        {RevocationList._meta.verbose_name} if refused else set(),
        [],
    )


def deletion_of_authorities(
    request: HttpRequest, site: AdminSite, authorities: Any
) -> Deletion:
    """Return what deleting *authorities* takes with it, and what keeps them."""
    rows = list(authorities)
    collector = _WithoutEntries(
        using=router.db_for_write(CertificateAuthority), origin=authorities
    )
    collector.collect(rows)
    lists = [
        one for one in collector.data.get(RevocationList, ()) if one.pk is not None
    ]
    names, counts, refused, _ = deletion_of_lists(request, site, lists)
    admin = site.get_model_admin(CertificateAuthority)
    if any(not admin.has_delete_permission(request, one) for one in rows):
        refused.add(CertificateAuthority._meta.verbose_name)
    own = _counts(
        {
            CertificateAuthority: len(rows),
            AuthorityCertificate: len(collector.data.get(AuthorityCertificate, ())),
        }
    )
    protected = [f"{one._meta.verbose_name}: {one}" for one in collector.protected]
    return [*(str(one) for one in rows), names], {**own, **counts}, refused, protected


class _WithoutEntries(NestedObjects):
    """Collects all but the entries of lists."""

    def related_objects(
        self, related_model: type[Model], related_fields: Any, objs: Any
    ) -> Any:
        """Return the rows of *related_model*; no entries of lists."""
        rows = super().related_objects(related_model, related_fields, objs)
        return rows.none() if related_model is RevokedSerial else rows


def _counts(numbers: dict[type[Model], int]) -> dict[Any, int]:
    return {
        model._meta.verbose_name_plural: number
        for model, number in numbers.items()
        if number
    }
