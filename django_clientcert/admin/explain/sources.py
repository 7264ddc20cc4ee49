"""Rows whose certificate the page explains, named in its query string."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from django.contrib.admin import AdminSite
from django.http import HttpRequest

from django_clientcert.admin.base.base_admin import is_possible_key
from django_clientcert.models import (
    CertificateMapping,
    SeenCertificate,
    UnknownCertificate,
)
from django_clientcert.trust.revoke import certificate_of
from django_clientcert.x509.certificates import ClientCertificate


class Source(NamedTuple):
    """A model with certificates: how to get a row’s certificate and host."""

    model: Any
    certificate: Callable[[Any], ClientCertificate | None]
    host: Callable[[Any], str] = lambda row: ""


class Chosen(NamedTuple):
    """A row that was chosen; ``certificate`` is None if it stores none."""

    query: dict[str, str]
    name: str
    certificate: ClientCertificate | None
    host: str


SOURCES: Mapping[str, Source] = {
    "mapping": Source(CertificateMapping, certificate_of),
    "seen": Source(
        SeenCertificate, SeenCertificate.client_certificate, lambda row: str(row.host)
    ),
    "unknown": Source(
        UnknownCertificate,
        UnknownCertificate.client_certificate,
        lambda row: str(row.host),
    ),
}


def find_source(site: AdminSite, request: HttpRequest) -> Chosen | None:
    """Return the row that the query string names, if the user may view it."""
    for name, source in SOURCES.items():
        key = request.GET.get(name, "")
        if not (
            key
            and site.is_registered(source.model)
            and is_possible_key(source.model._meta.pk, key)
        ):
            continue
        model_admin: Any = site.get_model_admin(source.model)
        row = model_admin.get_object(request, key)
        if row is not None and model_admin.has_view_permission(request, row):
            return Chosen(
                {name: str(row.pk)},
                f"{model_admin.opts.verbose_name} {row.pk}: {row}",
                source.certificate(row),
                source.host(row),
            )
    return None
