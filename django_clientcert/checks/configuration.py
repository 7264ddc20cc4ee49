"""Can every setting be used, is nobody trusted by accident, and is it all installed?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher, get_close_matches
from ipaddress import collapse_addresses
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import (
    AuthenticationMiddleware,
    RemoteUserMiddleware,
)
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import router
from django.utils.module_loading import import_string

from django_clientcert.backends import ClientCertBackend
from django_clientcert.conf import NAMES, Network, conf
from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.wire import PRESETS, Proxy

Messages = Iterator[CheckMessage]

_PREFIX = "CLIENTCERT_"
MIDDLEWARE = "django_clientcert.middleware.ClientCertMiddleware"
BACKEND = "django_clientcert.backends.ClientCertBackend"

# How long a revocation may take to reach every process
MAX_DECISION_SECONDS = 60

# Values that can be used; the tests try each of them.
EXAMPLES = {
    "CLIENTCERT_PROXY": '"ingress-nginx"',
    "CLIENTCERT_TRUSTED_PROXIES": '["10.42.0.0/16"]',
    "CLIENTCERT_PROXY_VERIFIES": "False",
    "CLIENTCERT_HOSTS": '["api.example.com"]',
    "CLIENTCERT_PROXY_SECRET": '("X-Proxy-Secret", ["new secret", "old secret"])',
    "CLIENTCERT_REQUIRE_SECURE": "True",
    "CLIENTCERT_MAX_HEADER_BYTES": "16384",
    "CLIENTCERT_DECISION_SECONDS": "5",
    "CLIENTCERT_LAST_USED_INTERVAL": "900",
    "CLIENTCERT_INBOX_SIZE": "1000",
    "CLIENTCERT_NOTIFY_EMAILS": '["pki@example.com"]',
    "CLIENTCERT_SEEN_SIZE": "10000",
}


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


# --- the settings ---------------------------------------------------------------


@register(Tags.security)
def check_trusted_proxies_are_set(**kwargs: Any) -> Messages:
    """Is any proxy trusted?"""
    trusted = usable("CLIENTCERT_TRUSTED_PROXIES")
    if trusted is not None and not trusted and reads_headers():
        yield Error(
            "CLIENTCERT_TRUSTED_PROXIES is not set: every client certificate is "
            "refused.",
            hint=(
                "List the networks that your proxy connects from: "
                'CLIENTCERT_TRUSTED_PROXIES = ["10.42.0.0/16"], or ["unix"] for a '
                "Unix socket."
            ),
            id="clientcert.E004",
        )


@register(Tags.security)
def check_trusted_proxies_are_not_everybody(**kwargs: Any) -> Messages:
    """Are only some addresses trusted?"""
    everything = [
        str(network) for network in trusted_networks() if network.prefixlen == 0
    ]
    if everything:
        yield Error(
            f"CLIENTCERT_TRUSTED_PROXIES covers every address "
            f"({', '.join(everything)}): anyone who can reach the application can "
            "impersonate any user.",
            hint=(
                "List only the networks that your proxy connects from: "
                'CLIENTCERT_TRUSTED_PROXIES = ["10.42.0.0/16"].'
            ),
            id="clientcert.E005",
        )


@register(Tags.security)
def check_settings_are_known(**kwargs: Any) -> Messages:
    """Does every CLIENTCERT_ setting exist?"""
    for name in dir(settings):
        if name.startswith(_PREFIX) and name not in NAMES:
            yield Error(
                f"There is no setting {name}: it has no effect.",
                hint=_suggest(name),
                id="clientcert.E006",
            )


def _suggest(name: str) -> str:
    # Without the prefix, which would make any two names similar
    typed = name.removeprefix(_PREFIX)
    known = {setting.removeprefix(_PREFIX): setting for setting in NAMES}

    def rank(setting: str) -> tuple[int, int]:
        # A word in common says more than letters scattered over a long name.
        match = SequenceMatcher(None, typed, setting).find_longest_match()
        return -match.size, len(setting)

    if close := sorted(get_close_matches(typed, known, n=len(known)), key=rank):
        names = " or ".join(known[setting] for setting in close[:2])
        return f"Did you mean {names}? Otherwise remove it."
    return f"Remove it. The settings are: {', '.join(sorted(NAMES))}."


@register(Tags.security)
def check_settings_are_usable(**kwargs: Any) -> Messages:
    """Can every setting be used? An empty value never switches anything off."""
    problems: dict[str, str] = {}
    for name in NAMES:
        try:
            getattr(conf, name)
        except ImproperlyConfigured as error:
            # One setting can be the default of another: report it once.
            problems.setdefault(str(error), name)
        except Exception as error:  # noqa: BLE001 - any error is reported
            # Without its text, because the setting may be a secret.
            problems.setdefault(
                f"{name} has a value that cannot be used ({type(error).__name__}).",
                name,
            )
    for problem, name in problems.items():
        yield Error(problem, hint=_how_to_write(name), id="clientcert.E007")


def _how_to_write(name: str) -> str:
    if name == "CLIENTCERT_PROXY":
        value = getattr(settings, name, None)
        preset = value.get("preset") if isinstance(value, dict) else value
        if isinstance(preset, str) and preset not in PRESETS:
            by_words = {_sorted_words(known): known for known in PRESETS}
            for close in get_close_matches(_sorted_words(preset), by_words, n=1):
                return f'Did you mean "{by_words[close]}"?'
    # By default, no proxy is trusted.
    has_default = name != "CLIENTCERT_TRUSTED_PROXIES"
    ending = ", or leave it out for the default." if has_default else "."
    return f"Write {name} = {EXAMPLES[name]}{ending}"


def _sorted_words(preset: str) -> str:
    # "nginx-ingress" is meant to be "ingress-nginx", and not "haproxy-ingress".
    return " ".join(sorted(preset.lower().replace("_", "-").split("-")))


@register(Tags.security)
def check_decision_seconds(**kwargs: Any) -> Messages:
    """Does a revocation take effect within a minute?"""
    seconds = usable("CLIENTCERT_DECISION_SECONDS")
    if seconds is not None and seconds > MAX_DECISION_SECONDS:
        yield Warning(
            f"CLIENTCERT_DECISION_SECONDS is {seconds}: for so long, each process may "
            "accept a certificate that was revoked, or whose mapping or user was "
            "disabled, by another process.",
            hint=f"Write {MAX_DECISION_SECONDS} or less, or leave it out.",
            id="clientcert.W017",
        )


@register(Tags.security)
def check_proxy_verifies(**kwargs: Any) -> Messages:
    """Does the proxy validate the path, if CLIENTCERT_PROXY_VERIFIES says so?"""
    proxy = usable("CLIENTCERT_PROXY")
    if proxy is not None and not proxy.verifies and usable("CLIENTCERT_PROXY_VERIFIES"):
        yield Error(
            "CLIENTCERT_PROXY_VERIFIES is True, but the proxy in CLIENTCERT_PROXY "
            f"({proxy.name}) does not validate the path of a certificate.",
            hint=(
                "Remove CLIENTCERT_PROXY_VERIFIES: Django then validates the path for "
                "every mapping that names an authority."
            ),
            id="clientcert.E008",
        )


# --- the middleware, the backend and the database router ------------------------


def _dotted_paths(setting: str) -> list[str]:
    """Return the texts in a list setting, whatever else it may contain."""
    value = getattr(settings, setting, None)
    paths = value if isinstance(value, (list, tuple)) else ()
    return [path for path in paths if isinstance(path, str)]


def _is_subclass(path: str, parent: type | str) -> bool:
    """Return whether *path* leads to a class that is *parent*, or a subclass."""
    try:
        parent = import_string(parent) if isinstance(parent, str) else parent
        return issubclass(import_string(path), parent)
    except Exception:  # noqa: BLE001 - other people's modules may raise anything
        # Django reports it when it loads the middleware or the backend.
        return False


def _find_subclass(paths: Sequence[str], parent: type | str) -> int | None:
    """Return the index of the first of *paths* that is *parent* or a subclass."""
    places = (place for place, path in enumerate(paths) if _is_subclass(path, parent))
    return next(places, None)


@register(Tags.security)
def check_middleware_is_there(**kwargs: Any) -> Messages:
    """Is the middleware, or a subclass, in MIDDLEWARE?"""
    if _find_subclass(_dotted_paths("MIDDLEWARE"), MIDDLEWARE) is None:
        yield Error(
            "The middleware is not in MIDDLEWARE: client certificates are ignored.",
            hint=(
                f'Add "{MIDDLEWARE}" to MIDDLEWARE, after '
                '"django.contrib.auth.middleware.AuthenticationMiddleware".'
            ),
            id="clientcert.E001",
        )


@register(Tags.security)
def check_middleware_order(**kwargs: Any) -> Messages:
    """Is the middleware after AuthenticationMiddleware?"""
    paths = _dotted_paths("MIDDLEWARE")
    ours = _find_subclass(paths, MIDDLEWARE)
    django = _find_subclass(paths, AuthenticationMiddleware)
    if ours is not None and django is not None and ours <= django:
        yield Error(
            f"{paths[ours]} is before {paths[django]}, which replaces the user of the "
            "certificate.",
            hint=f'Move "{paths[ours]}" after "{paths[django]}" in MIDDLEWARE.',
            id="clientcert.E002",
        )


@register(Tags.security)
def check_backend_is_there(**kwargs: Any) -> Messages:
    """Is the backend, or a subclass, in AUTHENTICATION_BACKENDS?"""
    paths = _dotted_paths("AUTHENTICATION_BACKENDS")
    if _find_subclass(paths, ClientCertBackend) is None:
        yield Error(
            "The backend is not in AUTHENTICATION_BACKENDS: the server does not start.",
            hint=f'Add "{BACKEND}" to AUTHENTICATION_BACKENDS, as the first.',
            id="clientcert.E003",
        )


@register(Tags.security)
def check_remote_user(**kwargs: Any) -> Messages:
    """Does a RemoteUserMiddleware trust one of the certificate headers?"""
    proxy = usable("CLIENTCERT_PROXY")
    ours = set() if proxy is None else {proxy.meta_key(name) for name in proxy.names}
    paths = _dotted_paths("MIDDLEWARE")
    place = _find_subclass(paths, MIDDLEWARE)
    for number, path in enumerate(paths):
        if not _is_subclass(path, RemoteUserMiddleware):
            continue
        middleware = import_string(path)
        if place is not None and place < number:
            yield Error(
                f"{path} comes after the client certificate middleware: it logs out "
                "the certificate’s user, or fails.",
                hint=f'Put "{path}" before "{paths[place]}" in MIDDLEWARE.',
                id="clientcert.E015",
            )
        header = str(getattr(middleware, "header", "")).upper().replace("-", "_")
        # Under ASGI, Django before 6.1 prefixes it with HTTP_.
        if ours & {header, f"HTTP_{header}"}:
            yield Error(
                f"{path} uses the header {middleware.header} as a username: it logs in "
                "any user that a certificate names, mapped or not.",
                hint=(
                    f'Remove "{path}" from MIDDLEWARE: the client certificate '
                    "middleware replaces it."
                ),
                id="clientcert.E009",
            )


@register(Tags.security)
def check_database_router(**kwargs: Any) -> Messages:
    """Are the mappings in the users' database, so that one query can join them?"""
    try:
        # For writing: reads may be distributed over replicas at random.
        users = router.db_for_write(get_user_model())
        elsewhere = {
            model._meta.label: alias
            for model in (CertificateMapping, CertificateAuthority)
            if (alias := router.db_for_write(model)) != users
        }
    except Exception:  # noqa: BLE001 - a router or user model that is broken
        # Then nothing in the project works, and Django reports why.
        return
    for label, alias in elsewhere.items():
        yield Error(
            f"The router sends {label} to the database “{alias}”, and the users to "
            f"“{users}”: one query has to reach both.",
            hint=(
                "Make db_for_read, db_for_write and allow_migrate of your router send "
                f"the app django_clientcert to “{users}”."
            ),
            id="clientcert.E010",
        )
