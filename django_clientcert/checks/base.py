"""What the checks share: settings that may be broken, tables that may be missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import collapse_addresses
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, router, transaction
from django.utils.connection import ConnectionDoesNotExist
from django.utils.module_loading import import_string

from django_clientcert.conf import Network, conf
from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.wire import Proxy

Messages = Iterator[CheckMessage]

REPLACE_BUNDLE = (
    "Ask the CA for its current certificates and type manage.py clientcert authority "
    "add BUNDLE --name NAME --replace."
)


def check_of_settings(*, deploy: bool = False) -> Callable[..., Any]:
    """Register a function that yields messages as a check of the settings."""

    def decorate(find: Callable[[], Messages]) -> Any:
        def check(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
            return list(find())

        return register(_named_like(find, check), Tags.security, deploy=deploy)

    return decorate


def check_of_database(find: Callable[[str], Messages]) -> Any:
    """Register a function that yields messages about one database that has the tables.

    It is called for each database of ``check --database``.
    """

    def check(
        app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
    ) -> list[CheckMessage]:
        messages: list[CheckMessage] = []
        for alias in databases or ():
            try:
                if router.allow_migrate_model(alias, CertificateMapping):
                    # A savepoint: a missing table must not spoil the transaction.
                    with transaction.atomic(using=alias):
                        messages += list(find(alias))
            except (DatabaseError, ImproperlyConfigured, ConnectionDoesNotExist):
                continue  # not migrated, or no database at all: not for this check
        return messages

    return register(_named_like(find, check), Tags.database)


def _named_like(find: Callable[..., Any], check: Any) -> Any:
    # functools.wraps() would hide the signature, which Django inspects.
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(check, attribute, getattr(find, attribute))
    return check


def usable(name: str) -> Any:
    """Return a setting's value, or None if it cannot be used.

    check_settings_are_usable() reports why.
    """
    try:
        return getattr(conf, name)
    except Exception:  # noqa: BLE001 - see above
        return None


def trusted_networks() -> list[Network]:
    """Return the trusted networks, with adjacent ones merged."""
    trusted = usable("CLIENTCERT_TRUSTED_PROXIES")
    networks = () if trusted is None else trusted.networks
    return [
        *collapse_addresses(network for network in networks if network.version == 4),
        *collapse_addresses(network for network in networks if network.version == 6),
    ]


def reads_headers() -> bool:
    """Return whether the certificate comes in a header field."""
    proxy: Proxy | None = usable("CLIENTCERT_PROXY")
    return proxy is not None and proxy.is_header


def is_installed(package: str) -> bool:
    """Return whether *package* can be imported."""
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # the module was created by hand, without a spec
        return True


def dotted_paths(setting: str) -> list[str]:
    """Return the texts in a list setting, whatever else it may contain."""
    value = getattr(settings, setting, None)
    if not isinstance(value, (list, tuple)):
        return []
    return [path for path in value if isinstance(path, str)]


def import_or_none(path: str) -> Any:
    """Return the object at a dotted path, or None if it cannot be imported."""
    try:
        return import_string(path)
    except Exception:  # noqa: BLE001 - other people's modules may raise anything
        # Django reports it when it loads the middleware or the backend.
        return None


def is_subclass(candidate: Any, parent: Any) -> bool:
    """Return whether both are classes, and *candidate* a subclass of *parent*."""
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


def authorities_of(alias: str) -> Iterable[CertificateAuthority]:
    """Return the authorities of a database, with what their validators need."""
    return (
        CertificateAuthority.objects.using(alias)
        .only("name", "bundle", "profile")
        .iterator()
    )


def label(authority: CertificateAuthority) -> str:
    """Return the name and id of an authority."""
    return f"“{authority}” (id {authority.pk})"
