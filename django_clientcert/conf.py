"""The settings: compared with Django's on every access, never copied at import."""

from __future__ import annotations

import datetime as dt
from collections import UserDict
from functools import cached_property, lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, NamedTuple, TypeAlias, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from .wire import Proxy, ProxyConfigurationError, get_proxy, meta_key

Network: TypeAlias = IPv4Network | IPv6Network

UNIX = "unix"


class Settings:
    """The project's ``CLIENTCERT_*`` settings, one property each, with its default.

    A value that cannot be used raises ``ImproperlyConfigured``: an empty or misspelt
    value never switches anything off. ``manage.py check`` reports it first. An object
    is about one state of the project's settings: ``current()`` returns the right one.
    """

    @cached_property
    def CLIENTCERT_PROXY(self) -> Proxy:
        """Preset name, dict or dotted path of one. Default: ``"ingress-nginx"``."""
        value = _read("CLIENTCERT_PROXY", "ingress-nginx")
        try:
            if isinstance(value, str) and "." in value:
                value = import_string(value)
            return get_proxy(value)
        except (ProxyConfigurationError, ImportError) as error:
            raise ImproperlyConfigured(f"CLIENTCERT_PROXY: {error}.") from error

    @cached_property
    def CLIENTCERT_TRUSTED_PROXIES(self) -> TrustedProxies:
        """Networks of trusted socket peers, or ``"unix"``. Default: none."""
        value = _read("CLIENTCERT_TRUSTED_PROXIES")
        if value is None:
            return _trusted_proxies(())
        if not _is_list_of_texts(value):
            raise ImproperlyConfigured(
                "CLIENTCERT_TRUSTED_PROXIES must be a list of networks, such as "
                '["10.42.0.0/16"].'
            )
        return _trusted_proxies(tuple(value))

    @cached_property
    def CLIENTCERT_PROXY_VERIFIES(self) -> bool:
        """Whether the proxy validates the path. Default: the preset's ``verifies``."""
        if _read("CLIENTCERT_PROXY_VERIFIES") is None:
            return self.CLIENTCERT_PROXY.verifies
        return _boolean("CLIENTCERT_PROXY_VERIFIES", True)

    @cached_property
    def CLIENTCERT_HOSTS(self) -> tuple[str, ...] | None:
        """Host names for which the proxy sets the headers. Default: None, all."""
        value = _read("CLIENTCERT_HOSTS")
        if value is None:
            return None
        if not _is_list_of_texts(value) or not value:
            raise ImproperlyConfigured(
                "CLIENTCERT_HOSTS must be a list of host names, such as "
                '["api.example.com"]; leave it out for all hosts.'
            )
        return tuple(host.lower() for host in value)

    @cached_property
    def CLIENTCERT_PROXY_SECRET(self) -> tuple[str, tuple[str, ...]] | None:
        """Header and one or two secrets that the proxy adds. Default: None.

        ``("X-Proxy-Secret", "…")`` or ``("X-Proxy-Secret", ["new", "old"])``.
        """
        value = _read("CLIENTCERT_PROXY_SECRET")
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
        ):
            raise ImproperlyConfigured(
                "CLIENTCERT_PROXY_SECRET must be a header name and one or two secrets, "
                'such as ("X-Proxy-Secret", ["new", "old"]).'
            )
        return meta_key(header), tuple(secrets)

    @cached_property
    def CLIENTCERT_REQUIRE_SECURE(self) -> bool:
        """Refuse the header unless the request ``is_secure()``. Default: True."""
        return _boolean("CLIENTCERT_REQUIRE_SECURE", True)

    @cached_property
    def CLIENTCERT_MAX_HEADER_BYTES(self) -> int:
        """Longer values are refused without being decoded. Default: 16384 bytes."""
        return _positive("CLIENTCERT_MAX_HEADER_BYTES", 16384)

    @cached_property
    def CLIENTCERT_DECISION_SECONDS(self) -> int:
        """How long a process may keep a decision. Default: 0, not at all."""
        return _positive("CLIENTCERT_DECISION_SECONDS", 0, minimum=0)

    @cached_property
    def CLIENTCERT_LAST_USED_INTERVAL(self) -> dt.timedelta | None:
        """How often a mapping's ``last_used_at`` may be written. Default: 15 minutes.

        A timedelta or seconds; None never writes it.
        """
        value = _read("CLIENTCERT_LAST_USED_INTERVAL", dt.timedelta(minutes=15))
        if value is None or isinstance(value, dt.timedelta):
            return value
        return dt.timedelta(seconds=_positive("CLIENTCERT_LAST_USED_INTERVAL", 900))

    @cached_property
    def CLIENTCERT_SEEN_SIZE(self) -> int:
        """How many accepted certificates are kept. Default: 10000; 0 keeps none."""
        return _positive("CLIENTCERT_SEEN_SIZE", 10000, minimum=0)

    @cached_property
    def CLIENTCERT_INBOX_SIZE(self) -> int:
        """How many unknown certificates are kept. Default: 1000; 0 keeps none."""
        return _positive("CLIENTCERT_INBOX_SIZE", 1000, minimum=0)

    @cached_property
    def CLIENTCERT_NOTIFY_EMAILS(self) -> tuple[str, ...]:
        """Addresses notified of everything that expires. Default: only the owners."""
        value = _read("CLIENTCERT_NOTIFY_EMAILS", ())
        if not _is_list_of_texts(value) or not all("@" in email for email in value):
            raise ImproperlyConfigured(
                "CLIENTCERT_NOTIFY_EMAILS must be a list of e-mail addresses, such as "
                '["pki@example.com"].'
            )
        return tuple(value)


NAMES = tuple(name for name in vars(Settings) if name.startswith("CLIENTCERT_"))


class _Read(NamedTuple):
    """Settings, and what shows whether they are still the project's.

    That is Django's object with the settings, the values that it has itself, and a
    copy of all values: a list or a dict may have been changed in place.
    """

    holder: object
    own: list[Any]
    values: list[Any]
    copies: list[Any]
    settings: Settings


_last: _Read | None = None


def current() -> Settings:
    """Return the settings as they are now, read again only if one has changed."""
    global _last
    last, holder = _last, _holder()
    own = list(map(vars(holder).get, NAMES)) if last is not None else []
    if last is None or not (
        holder is last.holder and own == last.own and last.values == last.copies
    ):
        values = [_read(name) for name in NAMES]  # sets up Django's object, too
        holder = _holder()
        own = list(map(vars(holder).get, NAMES))
        last = _Read(holder, own, values, _copy(values), Settings())
        _last = last  # at once: threads never see a mixture
    return last.settings


def _holder() -> object:
    """Return the object that Django replaces or changes when a setting changes."""
    return settings._wrapped  # type: ignore[misc]


def _copy(value: Any) -> Any:
    """Return *value* with copies of the lists and dictionaries in it."""
    if type(value) is dict or isinstance(value, UserDict):
        return {key: _copy(item) for key, item in value.items()}
    if type(value) in (list, tuple, set):
        return type(value)(map(_copy, value))
    return value


class _Current:
    """Has the attributes of the current settings."""

    def __getattr__(self, name: str) -> Any:
        return getattr(current(), name)


class TrustedProxies(NamedTuple):
    """The networks of trusted proxies, and whether a Unix socket is trusted too."""

    networks: tuple[Network, ...]
    unix: bool

    def __bool__(self) -> bool:
        return bool(self.networks) or self.unix


@lru_cache(maxsize=16)
def _trusted_proxies(values: tuple[str, ...]) -> TrustedProxies:
    try:
        networks = tuple(ip_network(value) for value in values if value != UNIX)
    except ValueError as error:
        raise ImproperlyConfigured(f"CLIENTCERT_TRUSTED_PROXIES: {error}.") from error
    return TrustedProxies(networks, unix=UNIX in values)


def _is_list_of_texts(value: Any) -> bool:
    """Return whether *value* is a list of texts, none of them empty."""
    return isinstance(value, (list, tuple, set, frozenset)) and all(
        isinstance(text, str) and text for text in value
    )


def _read(name: str, default: Any = None) -> Any:
    return getattr(settings, name, default)


def _boolean(name: str, default: bool) -> bool:
    value = _read(name, default)
    if not isinstance(value, bool):
        raise ImproperlyConfigured(f"{name} must be True or False, not {value!r}.")
    return value


def _positive(name: str, default: int, *, minimum: int = 1) -> int:
    value = _read(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        or_zero = "" if minimum else " or 0"
        raise ImproperlyConfigured(
            f"{name} must be a positive whole number{or_zero}, not {value!r}."
        )
    return int(value)


conf = cast(Settings, _Current())
