"""Can every setting be used, and is nobody trusted by accident?"""

from __future__ import annotations

import difflib

from django.conf import settings
from django.core.checks import Error
from django.core.exceptions import ImproperlyConfigured

from django_clientcert.conf import NAMES, conf

from .base import Messages, check_of_settings, reads_headers, trusted_networks, usable
from .ids import EXAMPLES, IDS

_PREFIX = "CLIENTCERT_"


@check_of_settings()
def check_trusted_proxies_are_set() -> Messages:
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
            id=IDS["trusted_proxies_unset"],
        )


@check_of_settings()
def check_trusted_proxies_are_not_everybody() -> Messages:
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
            id=IDS["trusted_proxies_everybody"],
        )


@check_of_settings()
def check_settings_are_known() -> Messages:
    """Does every CLIENTCERT_ setting exist?"""
    for name in dir(settings):
        if name.startswith(_PREFIX) and name not in NAMES:
            yield Error(
                f"There is no setting {name}: it has no effect.",
                hint=_suggest(name),
                id=IDS["setting_unknown"],
            )


def _suggest(name: str) -> str:
    # Without the prefix, which would make any two names similar
    known = {setting.removeprefix(_PREFIX): setting for setting in NAMES}
    for close in difflib.get_close_matches(name.removeprefix(_PREFIX), known, n=1):
        return f"Did you mean {known[close]}? Otherwise remove it."
    return f"Remove it. The settings are: {', '.join(sorted(NAMES))}."


@check_of_settings()
def check_settings_are_usable() -> Messages:
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
        yield Error(problem, hint=_how_to_write(name), id=IDS["setting_unusable"])


def _how_to_write(name: str) -> str:
    hint = f"Write {name} = {EXAMPLES[name]}"
    # By default, no proxy is trusted.
    has_default = name != "CLIENTCERT_TRUSTED_PROXIES"
    return f"{hint}, or leave it out for the default." if has_default else f"{hint}."


@check_of_settings()
def check_proxy_verifies() -> Messages:
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
            id=IDS["proxy_does_not_verify"],
        )
