"""Print the proxy configuration that matches the settings.

Prints the directives for the proxy in front of Django: which headers it sets,
which of the client's own it removes, and the secret that it sends. They are
only part of a configuration; comments say where they belong.

Examples:
  manage.py clientcert proxy-config haproxy
  manage.py clientcert proxy-config nginx --ca /etc/ssl/clients.pem

Test the result with: manage.py clientcert probe URL.

Exit status: 0 printed, 1 a setting cannot be written there, 2 wrong usage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.template import Context, Engine

from django_clientcert.conf import conf
from django_clientcert.wire import PRESETS, Proxy

from .console.arguments import Arguments, matching
from .console.command import ClientCertCommand

_TEMPLATES = Path(__file__).parents[2] / "templates/django_clientcert/proxy_config"

# The folder of each program's files, as in the documentation and the example project
_FOLDERS = {
    "nginx": "/etc/nginx",
    "haproxy": "/etc/haproxy",
    "caddy": "/etc/caddy",
    "rfc9440": "/etc/caddy",
    "traefik": "/etc/traefik",
    "envoy": "/etc/envoy",
    "apache": "/etc/apache2",
    "mod_wsgi": "/etc/apache2",
    "uwsgi": "/etc/uwsgi",
    "gunicorn": "/etc/gunicorn",
}

# Characters that mean the same, in quotes, in the syntax of every proxy
_PLAIN = re.compile(r"[A-Za-z0-9._~+/=:@-]+\Z")

# The parts of header names that are not just capitalised
_WRITTEN = {"ssl": "SSL", "dn": "DN", "i": "I", "s": "S", "arr": "ARR", "tls": "Tls"}

# The gateway's service account that istioctl and the Helm chart create
_PRINCIPAL = "cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account"

ARGUMENTS: Arguments = {
    "proxy NAME": {
        "help": f"the proxy: {', '.join(sorted(PRESETS))}",
        "choices": sorted(PRESETS),
    },
    "--ca PATH": {
        "help": "the file with the CAs of the clients (default: clients-ca.pem in the "
        "folder of the proxy's configuration)",
        "type": matching("[A-Za-z0-9._~+/@-]+", "a path without spaces and quotes"),
    },
    "--upstream HOST:PORT": {
        "help": "the address of Django's server (default: %(default)s)",
        "type": matching(
            "[A-Za-z0-9.-]+:[0-9]{1,5}", "a host and a port like 127.0.0.1:8000"
        ),
        "default": "127.0.0.1:8000",
    },
    "--show-secret": "print the first secret of CLIENTCERT_PROXY_SECRET (otherwise: a "
    "placeholder)",
}


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Print the configuration.

    Raises:
        CommandError: a setting has a value that cannot be written there.
    """
    name = options["proxy"]
    proxy = _choose_proxy(name)
    engine = Engine(dirs=[str(_TEMPLATES)], autoescape=False)
    text = engine.get_template(f"{name}.txt").render(
        Context(_context(name, proxy, options))
    )
    command.say_lines(
        f"# {line}".rstrip() for line in [*_settings_lines(name, proxy), ""]
    )
    command.say_lines(text.rstrip("\n").splitlines())


def _choose_proxy(name: str) -> Proxy:
    """Return the project's proxy if it is of this kind, and otherwise the preset."""
    preset, own = PRESETS[name], conf.CLIENTCERT_PROXY
    same = own.encoding == preset.encoding and own.source == preset.source
    is_custom = own.name not in PRESETS
    return own if own.name == name or (is_custom and same) else preset


def _context(name: str, proxy: Proxy, options: dict[str, Any]) -> dict[str, Any]:
    folder = _FOLDERS.get(name, "/etc/ssl")
    hosts = [host for host in conf.CLIENTCERT_HOSTS or () if host not in ("*", "")]
    gateway_identity = proxy.gateway_identity or f"spiffe://{_PRINCIPAL}"
    written = written_names(proxy)
    names = [name for name in proxy.names if proxy.is_header]
    return {
        "certificate": written[proxy.certificate],
        "verdict": written.get(proxy.verdict or ""),
        "subject_dn": written.get(proxy.subject_dn or ""),
        "issuer_dn": written.get(proxy.issuer_dn or ""),
        "conditions": [written[header] for header, _ in proxy.conditions],
        "chain": [written[header] for header in proxy.chain],
        "names": list(written.values()),
        "patterns": spelling_patterns(names),
        "otherwise": _spelt_otherwise(names),
        "connection": "x[-_]"
        if all(name.startswith("x-") for name in names)
        else ".*-",
        "secret": _secret(show=options["show_secret"]),
        "scheme": _scheme(),
        "ca": options["ca"] or f"{folder}/clients-ca.pem",
        "folder": folder,
        "upstream": options["upstream"],
        "host": hosts[0].lstrip(".") if hosts else "api.example.com",
        "namespace": "example",
        "principal": gateway_identity.removeprefix("spiffe://"),
    }


def written_names(proxy: Proxy) -> dict[str, str]:
    """Return the names of *proxy*, each with its usual spelling."""
    return {
        name: _write(name) if proxy.is_header and not name.startswith("ssl-") else name
        for name in proxy.names
    }


def _write(name: str) -> str:
    return "-".join(_WRITTEN.get(part, part.capitalize()) for part in name.split("-"))


def spelling_patterns(names: Sequence[str]) -> list[str]:
    """Return regular expressions that match every spelling of header *names*."""
    common = _common_parts(names)
    if len(common) > 1:
        return ["^" + "[-_]".join(common) + "[-_]"]
    return ["^" + "[-_]".join(name.split("-")) + "$" for name in names]


def _spelt_otherwise(names: Sequence[str]) -> str:
    """Return one for spellings with an underscore, also of the scheme’s header."""
    common = _common_parts(names)
    if common[:1] == ["x"] and len(common) > 1:
        rest = "[-_]".join(common[1:])
        return f"^(?=.*_)x[-_]({rest}|forwarded)[-_]"
    every = "|".join("[-_]".join(name.split("-")) for name in names)
    return f"^(?=.*_)({every}|x[-_]forwarded[-_].*)$"


def _common_parts(names: Iterable[str]) -> list[str]:
    """Return the parts with which all *names* begin."""
    columns = zip(*(name.split("-")[:-1] for name in names), strict=False)
    return [
        same[0] for same in takewhile(lambda column: len(set(column)) == 1, columns)
    ]


def _secret(*, show: bool) -> dict[str, str] | None:
    """Return the header with the first secret, if there is one; see ``_header()``."""
    if conf.CLIENTCERT_PROXY_SECRET is None:
        return None
    key, secrets = conf.CLIENTCERT_PROXY_SECRET
    return _header("CLIENTCERT_PROXY_SECRET", key, secrets[0] if show else None)


def _scheme() -> dict[str, str]:
    """Return the header that tells Django that a request is secure."""
    configured = settings.SECURE_PROXY_SSL_HEADER or ("HTTP_X_FORWARDED_PROTO", "https")
    return _header("SECURE_PROXY_SSL_HEADER", *configured)


def _header(setting: str, key: str, value: str | None) -> dict[str, str]:
    """Return the header of *setting* and its *value*, or a placeholder for None.

    Raises:
        CommandError: it has characters that a configuration may read differently.
    """
    header = key.removeprefix("HTTP_").replace("_", "-").lower()
    if not all(_PLAIN.match(text) for text in (header, value) if text is not None):
        raise CommandError(
            f"{setting} has characters with a special meaning in the configuration of "
            "a proxy. Use only letters, digits and . _ ~ + / = : @ -"
        )
    value = f"see {setting}" if value is None else value
    return {"header": _write(header), "value": value}


def _settings_lines(name: str, proxy: Proxy) -> list[str]:
    """Return the settings that the project needs for this configuration."""
    lines = [f"{PRESETS[name].title}, for Django with"]
    own = conf.CLIENTCERT_PROXY
    if own.name in PRESETS and own.name != name:
        lines.append(f'  CLIENTCERT_PROXY = "{name}"  # it is "{own.name}" now')
    elif own.name == name:
        lines.append(f'  CLIENTCERT_PROXY = "{name}"')
    else:
        lines.append("  CLIENTCERT_PROXY as it is, the project's own description")
    if proxy.is_header:
        if not conf.CLIENTCERT_TRUSTED_PROXIES:
            lines.append(
                "  CLIENTCERT_TRUSTED_PROXIES = [...]  # where it connects from"
            )
        if settings.SECURE_PROXY_SSL_HEADER is None:
            lines.append(
                '  SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")'
            )
    if not proxy.verifies:
        lines.append("The path is validated here: manage.py clientcert authority add.")
    return lines
