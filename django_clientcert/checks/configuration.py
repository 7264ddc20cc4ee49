"""Can every setting be used, and is nobody trusted by accident?"""

from __future__ import annotations

import difflib
from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, register
from django.core.exceptions import ImproperlyConfigured

from django_clientcert.conf import NAMES, conf

from .ids import EXAMPLES, IDS
from .looking import Messages, reads_headers, trusted_networks, usable

_PREFIX = "CLIENTCERT_"


@register(Tags.security)
def check_trusted_proxies_are_set(app_configs: Any, **kwargs: Any) -> Messages:
    """Is anybody trusted to speak for a client?"""
    trusted = usable("CLIENTCERT_TRUSTED_PROXIES")
    if trusted is None or trusted or not reads_headers():
        return []
    return [
        Error(
            "CLIENTCERT_TRUSTED_PROXIES is not set: every client certificate is "
            "refused.",
            hint=(
                "List the networks that your proxy connects from: "
                'CLIENTCERT_TRUSTED_PROXIES = ["10.42.0.0/16"], or ["unix"] for a '
                "Unix socket."
            ),
            id=IDS["trusted_proxies_unset"],
        )
    ]


@register(Tags.security)
def check_trusted_proxies_are_not_everybody(
    app_configs: Any, **kwargs: Any
) -> Messages:
    """Is not everybody trusted to speak for a client?"""
    everything = [one for one in trusted_networks() if one.prefixlen == 0]
    if not everything:
        return []
    return [
        Error(
            "CLIENTCERT_TRUSTED_PROXIES covers every address "
            f"({', '.join(map(str, everything))}): whoever reaches the application "
            "can claim to be anybody.",
            hint=(
                "List only the networks that your proxy connects from: "
                'CLIENTCERT_TRUSTED_PROXIES = ["10.42.0.0/16"].'
            ),
            id=IDS["trusted_proxies_everybody"],
        )
    ]


@register(Tags.security)
def check_settings_are_known(app_configs: Any, **kwargs: Any) -> Messages:
    """Is every CLIENTCERT_ setting one that exists?"""
    unknown = [
        name for name in dir(settings) if name.startswith(_PREFIX) and name not in NAMES
    ]
    return [
        Error(
            f"There is no setting {name}: it has no effect.",
            hint=_suggest(name),
            id=IDS["setting_unknown"],
        )
        for name in unknown
    ]


def _suggest(name: str) -> str:
    # Without the prefix, which would make any two of them alike
    known = {one.removeprefix(_PREFIX): one for one in NAMES}
    for close in difflib.get_close_matches(name.removeprefix(_PREFIX), known, n=1):
        return f"Did you mean {known[close]}? Otherwise remove it."
    return f"Remove it. There are: {', '.join(sorted(NAMES))}."


@register(Tags.security)
def check_settings_are_usable(app_configs: Any, **kwargs: Any) -> Messages:
    """Can every setting be used? An empty value never switches anything off."""
    problems: dict[str, str] = {}
    for name in NAMES:
        try:
            getattr(conf, name)
        except ImproperlyConfigured as error:
            # One setting can be the default of another: say it once.
            problems.setdefault(str(error), name)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is said
            # Not its text: the setting may be a secret.
            problems.setdefault(
                f"{name} has a value that cannot be used ({type(error).__name__}).",
                name,
            )
    return [
        Error(problem, hint=_how_to_write(name), id=IDS["setting_unusable"])
        for problem, name in problems.items()
    ]


def _how_to_write(name: str) -> str:
    hint = f"Write {name} = {EXAMPLES[name]}"
    # Without this one, nobody is trusted.
    has_default = name != "CLIENTCERT_TRUSTED_PROXIES"
    return f"{hint}, or leave it out for the default." if has_default else f"{hint}."


@register(Tags.security)
def check_proxy_verifies(app_configs: Any, **kwargs: Any) -> Messages:
    """Does a proxy that is said to validate the path really do so?"""
    proxy = usable("CLIENTCERT_PROXY")
    if proxy is None or proxy.verifies or not usable("CLIENTCERT_PROXY_VERIFIES"):
        return []
    return [
        Error(
            "CLIENTCERT_PROXY_VERIFIES is True, but the proxy in CLIENTCERT_PROXY "
            f"({proxy.name}) does not validate the path of a certificate.",
            hint=(
                "Remove CLIENTCERT_PROXY_VERIFIES: the path is then validated here, "
                "for every mapping that names an authority."
            ),
            id=IDS["proxy_does_not_verify"],
        )
    ]
