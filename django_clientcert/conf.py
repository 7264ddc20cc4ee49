"""The settings: read on every access, never copied at import."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, TypeAlias

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from .wire import Proxy, ProxyConfigurationError, get_proxy, meta_key

Network: TypeAlias = IPv4Network | IPv6Network

UNIX = "unix"


class Settings:
    """``CLIENTCERT_*`` of the project, one property each, with its default.

    A value that cannot be used raises ``ImproperlyConfigured``: nothing is ever
    switched off by an empty or misspelt value. ``manage.py check`` says it first.
    """

    @property
    def CLIENTCERT_PROXY(self) -> Proxy:
        """Preset name, dict or dotted path of one. Default: ``"ingress-nginx"``."""
        value = getattr(settings, "CLIENTCERT_PROXY", "ingress-nginx")
        try:
            if isinstance(value, str) and "." in value:
                value = import_string(value)
            return get_proxy(value)
        except (ProxyConfigurationError, ImportError) as error:
            raise ImproperlyConfigured(f"CLIENTCERT_PROXY: {error}.") from error

    @property
    def CLIENTCERT_TRUSTED_PROXIES(self) -> TrustedProxies:
        """Networks whose socket peer may speak, or ``"unix"``. Default: nobody."""
        value = getattr(settings, "CLIENTCERT_TRUSTED_PROXIES", None)
        if value is None:
            return NOBODY
        if not _is_list_of_texts(value):
            raise ImproperlyConfigured(
                "CLIENTCERT_TRUSTED_PROXIES is a list of networks, such as "
                '["10.42.0.0/16"].'
            )
        return _trusted_proxies(tuple(value))

    @property
    def CLIENTCERT_PROXY_VERIFIES(self) -> bool:
        """Whether the proxy validates the path. Default: what the preset says."""
        value = getattr(settings, "CLIENTCERT_PROXY_VERIFIES", None)
        if value is None:
            return self.CLIENTCERT_PROXY.verifies
        return _boolean("CLIENTCERT_PROXY_VERIFIES", value)

    @property
    def CLIENTCERT_HOSTS(self) -> tuple[str, ...] | None:
        """Host names the proxy sets the headers for. Default: None, all of them."""
        value = getattr(settings, "CLIENTCERT_HOSTS", None)
        if value is None:
            return None
        if not value or not _is_list_of_texts(value) or not all(value):
            raise ImproperlyConfigured(
                "CLIENTCERT_HOSTS is a list of host names; leave it out for all."
            )
        return tuple(one.lower() for one in value)

    @property
    def CLIENTCERT_PROXY_SECRET(self) -> tuple[str, tuple[str, ...]] | None:
        """Header and one or two secrets that the proxy adds. Default: None.

        ``("X-Proxy-Secret", "…")`` or ``("X-Proxy-Secret", ["new", "old"])``.
        """
        value = getattr(settings, "CLIENTCERT_PROXY_SECRET", None)
        if value is None:
            return None
        header, secrets = (
            value if isinstance(value, (list, tuple)) and len(value) == 2 else ("", ())
        )
        if isinstance(secrets, str):
            secrets = (secrets,)
        if (
            not isinstance(header, str)
            or not header
            or not _is_list_of_texts(secrets)
            or not 1 <= len(secrets) <= 2
            or not all(secrets)
        ):
            raise ImproperlyConfigured(
                "CLIENTCERT_PROXY_SECRET is a header name and one or two secrets, "
                'such as ("X-Proxy-Secret", ["new", "old"]).'
            )
        return meta_key(header), tuple(secrets)

    @property
    def CLIENTCERT_REQUIRE_SECURE(self) -> bool:
        """Refuse the header unless the request ``is_secure()``. Default: True."""
        return _boolean(
            "CLIENTCERT_REQUIRE_SECURE",
            getattr(settings, "CLIENTCERT_REQUIRE_SECURE", True),
        )

    @property
    def CLIENTCERT_MAX_HEADER_BYTES(self) -> int:
        """A longer value is refused before any work. Default: 16384 bytes."""
        return _positive(
            "CLIENTCERT_MAX_HEADER_BYTES",
            getattr(settings, "CLIENTCERT_MAX_HEADER_BYTES", 16384),
        )

    @property
    def CLIENTCERT_LAST_USED_INTERVAL(self) -> dt.timedelta | None:
        """How often ``last_used_at`` of a mapping may be written. Default: 15 min.

        A timedelta or seconds; None never writes it.
        """
        value = getattr(
            settings, "CLIENTCERT_LAST_USED_INTERVAL", dt.timedelta(minutes=15)
        )
        if value is None or isinstance(value, dt.timedelta):
            return value
        seconds = _positive("CLIENTCERT_LAST_USED_INTERVAL", value)
        return dt.timedelta(seconds=seconds)

    @property
    def CLIENTCERT_SEEN_SIZE(self) -> int:
        """How many certificates that were let in are kept. Default: 10000; 0: none."""
        return _size("CLIENTCERT_SEEN_SIZE", 10000)

    @property
    def CLIENTCERT_INBOX_SIZE(self) -> int:
        """How many unknown certificates are kept. Default: 1000; 0 turns it off."""
        return _size("CLIENTCERT_INBOX_SIZE", 1000)

    @property
    def CLIENTCERT_NOTIFY_EMAILS(self) -> tuple[str, ...]:
        """Who is told of everything that expires. Default: nobody but the owners."""
        value = getattr(settings, "CLIENTCERT_NOTIFY_EMAILS", ())
        if not _is_list_of_texts(value) or not all("@" in one for one in value):
            raise ImproperlyConfigured(
                "CLIENTCERT_NOTIFY_EMAILS is a list of e-mail addresses, such as "
                '["pki@example.com"].'
            )
        return tuple(value)


NAMES = tuple(name for name in vars(Settings) if name.startswith("CLIENTCERT_"))


class TrustedProxies:
    """Who may speak for a client: networks, and perhaps a Unix socket."""

    def __init__(self, networks: tuple[Network, ...], *, unix: bool) -> None:
        self.networks = networks
        self.unix = unix

    def __bool__(self) -> bool:
        return bool(self.networks) or self.unix


NOBODY = TrustedProxies((), unix=False)


@lru_cache(maxsize=16)
def _trusted_proxies(values: tuple[str, ...]) -> TrustedProxies:
    networks = []
    for value in values:
        if value == UNIX:
            continue
        try:
            networks.append(ip_network(value))
        except ValueError as error:
            raise ImproperlyConfigured(
                f"CLIENTCERT_TRUSTED_PROXIES: {error}."
            ) from error
    return TrustedProxies(tuple(networks), unix=UNIX in values)


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset)) and all(
        isinstance(one, str) for one in value
    )


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ImproperlyConfigured(f"{name} is True or False, not {value!r}.")
    return value


def _positive(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ImproperlyConfigured(f"{name} is a positive whole number, not {value!r}.")
    return int(value)


def _size(name: str, default: int) -> int:
    value = getattr(settings, name, default)
    if value == 0 and not isinstance(value, bool):
        return 0
    return _positive(name, value)


conf = Settings()
