"""What the questions share: settings that may be broken, tables that may be missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from ipaddress import collapse_addresses
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, router, transaction
from django.utils.connection import ConnectionDoesNotExist
from django.utils.module_loading import import_string

from django_clientcert.conf import Network, conf
from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.wire import Proxy

Messages = list[CheckMessage]


def usable(name: str) -> Any:
    """Return a setting's value, or None where it cannot be used.

    check_settings_are_usable() says why it cannot.
    """
    try:
        return getattr(conf, name)
    except Exception:  # noqa: BLE001 - see above
        return None


def trusted_networks() -> list[Network]:
    """Return the trusted networks, neighbours put together."""
    trusted = usable("CLIENTCERT_TRUSTED_PROXIES")
    networks = () if trusted is None else trusted.networks
    return [
        *collapse_addresses(one for one in networks if one.version == 4),
        *collapse_addresses(one for one in networks if one.version == 6),
    ]


def reads_headers() -> bool:
    """Tell whether the certificate comes as a header field."""
    proxy: Proxy | None = usable("CLIENTCERT_PROXY")
    return proxy is not None and proxy.is_header


def is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # a module that was put together by hand
        return True


def dotted_paths(setting: str) -> list[str]:
    """Return the dotted paths in a setting, whatever else it may hold."""
    value = getattr(settings, setting, None)
    return (
        [one for one in value if isinstance(one, str)]
        if isinstance(value, (list, tuple))
        else []
    )


def import_or_none(path: str) -> Any:
    """Return what a dotted path names, or None where it cannot be imported."""
    try:
        return import_string(path)
    except Exception:  # noqa: BLE001 - other people's modules may raise anything
        # Django says so itself when it loads the middleware or the backend.
        return None


def is_subclass(candidate: Any, parent: Any) -> bool:
    return (
        isinstance(candidate, type)
        and isinstance(parent, type)
        and issubclass(candidate, parent)
    )


def find_subclass(paths: Sequence[str], parent: Any) -> int | None:
    """Return the index of the first of *paths* that is *parent* or a subclass."""
    for index, path in enumerate(paths):
        if is_subclass(import_or_none(path), parent):
            return index
    return None


def look_into(
    databases: Sequence[str] | None, look: Callable[[str], Messages]
) -> Messages:
    """Return what *look* finds in each of *databases* that has the tables."""
    found: Messages = []
    for alias in databases or ():
        try:
            if router.allow_migrate_model(alias, CertificateMapping):
                # A savepoint: a table that is missing must not spoil the rest.
                with transaction.atomic(using=alias):
                    found += look(alias)
        except (DatabaseError, ImproperlyConfigured, ConnectionDoesNotExist):
            continue  # not migrated, or no database at all: nothing to say here
    return found


def authorities_of(alias: str) -> Iterable[CertificateAuthority]:
    return (
        CertificateAuthority.objects.using(alias)
        .only("name", "bundle", "profile")
        .iterator()
    )


def label(authority: CertificateAuthority) -> str:
    return f"“{authority}” (id {authority.pk})"


REPLACE_BUNDLE = (
    "Ask the CA for its current certificates and type manage.py clientcert authority "
    "add BUNDLE --name NAME --replace."
)
