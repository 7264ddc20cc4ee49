"""``clientcert proxy-config``: the lines for the proxy that fit the settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.template import Context, Engine

from django_clientcert.conf import conf
from django_clientcert.management.console.command import ClientCertCommand
from django_clientcert.wire import PRESETS, Proxy

_TEMPLATES = Path(__file__).parents[2] / "templates/django_clientcert/proxy_config"

# Where each program has its files, in the documentation and the example project
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

_PLACEHOLDER = "see CLIENTCERT_PROXY_SECRET"

# What means the same in every syntax below, in quotes
_PLAIN = re.compile(r"[A-Za-z0-9._~+/=:@-]+\Z")
_PATH = re.compile(r"[A-Za-z0-9._~+/@-]+\Z")
_ADDRESS = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}\Z")

# How the parts of a header's name are written where that is no capital letter
_WRITTEN = {"ssl": "SSL", "dn": "DN", "i": "I", "s": "S", "arr": "ARR", "tls": "Tls"}

# The service account of a gateway that istioctl and the Helm chart make
_PRINCIPAL = "cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account"


def add_parser(subparsers: Any) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "proxy-config",
        help="print the proxy's configuration that fits the settings",
        description=(
            "Print the lines for the proxy in front: which headers it sets, what it\n"
            "removes of a client's own, the secret that it sends. They are a part of\n"
            "a configuration; the comments say of which."
        ),
        epilog=(
            "Examples:\n"
            "  manage.py clientcert proxy-config haproxy\n"
            "  manage.py clientcert proxy-config nginx --ca /etc/ssl/clients.pem\n"
            "\n"
            "Try what comes of it: manage.py clientcert probe URL.\n"
            "\n"
            "Exit status: 0 printed, 1 a setting cannot be written there, 2 wrong\n"
            "usage."
        ),
    )
    parser.add_argument(
        "proxy",
        metavar="NAME",
        choices=sorted(PRESETS),
        help=f"the proxy: {', '.join(sorted(PRESETS))}",
    )
    parser.add_argument(
        "--ca",
        type=_path,
        metavar="PATH",
        help="the file with the CAs of the clients (default: clients-ca.pem where the "
        "program has its files)",
    )
    parser.add_argument(
        "--upstream",
        type=_address,
        default="127.0.0.1:8000",
        metavar="HOST:PORT",
        help="where Django listens (default: %(default)s)",
    )
    parser.add_argument(
        "--show-secret",
        action="store_true",
        help="print the first secret of CLIENTCERT_PROXY_SECRET; otherwise, where to "
        "look it up",
    )
    parser.set_defaults(run=run)


def _path(text: str) -> str:
    """Return a path that needs no quoting anywhere.

    Raises:
        ValueError: it does.
    """
    if not _PATH.match(text):
        raise ValueError(text)
    return text


def _address(text: str) -> str:
    """Return a host and a port.

    Raises:
        ValueError: it is something else.
    """
    if not _ADDRESS.match(text):
        raise ValueError(text)
    return text


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Print the lines.

    Raises:
        CommandError: a setting has something that cannot be written there.
    """
    name = options["proxy"]
    proxy = _choose_proxy(name)
    engine = Engine(dirs=[str(_TEMPLATES)], autoescape=False)
    template = engine.get_template(f"{name}.txt")
    context = _context(name, proxy, options)
    for line in [*_settings_lines(name, proxy), ""]:
        command.say(f"# {line}".rstrip())
    for line in template.render(Context(context)).rstrip("\n").splitlines():
        command.say(line)


def _choose_proxy(name: str) -> Proxy:
    """Return the project's proxy, if it is one of this kind; otherwise the preset."""
    preset, own = PRESETS[name], conf.CLIENTCERT_PROXY
    same = own.encoding == preset.encoding and own.source == preset.source
    is_custom = own.name not in PRESETS
    return own if own.name == name or (is_custom and same) else preset


def _context(name: str, proxy: Proxy, options: dict[str, Any]) -> dict[str, Any]:
    folder = _FOLDERS.get(name, "/etc/ssl")
    hosts = [one for one in conf.CLIENTCERT_HOSTS or () if one not in ("*", "")]
    gateway_identity = proxy.gateway_identity or f"spiffe://{_PRINCIPAL}"
    written = written_names(proxy)
    names = [one for one in proxy.names if proxy.is_header]
    return {
        "certificate": written[proxy.certificate],
        "verdict": written.get(proxy.verdict or ""),
        "subject_dn": written.get(proxy.subject_dn or ""),
        "issuer_dn": written.get(proxy.issuer_dn or ""),
        "conditions": [written[one] for one, _ in proxy.conditions],
        "chain": [written[one] for one in proxy.chain],
        "names": list(written.values()),
        "patterns": spelling_patterns(names),
        "otherwise": _spelt_otherwise(names),
        "connection": "x[-_]" if all(one.startswith("x-") for one in names) else ".*-",
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
    """Return the names of *proxy* as people write them."""
    if not proxy.is_header:
        return {name: name for name in proxy.names}
    return {
        name: name if name.startswith("ssl-") else _write(name) for name in proxy.names
    }


def _write(name: str) -> str:
    return "-".join(_WRITTEN.get(part, part.capitalize()) for part in name.split("-"))


def spelling_patterns(names: Sequence[str]) -> list[str]:
    """Return regular expressions for every spelling of header *names*."""
    common = _common_parts(names)
    if len(common) > 1:
        return ["^" + "[-_]".join(common) + "[-_]"]
    return ["^" + "[-_]".join(name.split("-")) + "$" for name in names]


def _spelt_otherwise(names: Sequence[str]) -> str:
    """Return one for those with an underscore, and of the scheme’s header."""
    common = _common_parts(names)
    if common[:1] == ["x"] and len(common) > 1:
        rest = "[-_]".join(common[1:])
        return f"^(?=.*_)x[-_]({rest}|forwarded)[-_]"
    every = "|".join("[-_]".join(name.split("-")) for name in names)
    return f"^(?=.*_)({every}|x[-_]forwarded[-_].*)$"


def _common_parts(names: Iterable[str]) -> list[str]:
    """Return what all *names* begin with, in parts."""
    common: list[str] = []
    for parts in zip(*(name.split("-")[:-1] for name in names), strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return common


def _secret(*, show: bool) -> dict[str, str] | None:
    """Return the header and the first secret, or where to look it up.

    Raises:
        CommandError: it has characters that a configuration may read differently.
    """
    configured = conf.CLIENTCERT_PROXY_SECRET
    if configured is None:
        return None
    key, secrets = configured
    header = _write(key.removeprefix("HTTP_").replace("_", "-").lower())
    if not show:
        return {"header": header, "value": _PLACEHOLDER}
    if not _PLAIN.match(secrets[0]):
        raise CommandError(
            "The secret has characters that the configuration of a proxy could read in "
            "its own way. Use letters, digits and . _ ~ + / = : @ - for "
            "CLIENTCERT_PROXY_SECRET."
        )
    return {"header": header, "value": secrets[0]}


def _scheme() -> dict[str, str]:
    """Return the header that tells Django that a request is secure.

    Raises:
        CommandError: it is none that a proxy could set.
    """
    configured = settings.SECURE_PROXY_SSL_HEADER or ("HTTP_X_FORWARDED_PROTO", "https")
    key, value = configured
    header = key.removeprefix("HTTP_").replace("_", "-").lower()
    if not _PLAIN.match(header) or not _PLAIN.match(value):
        raise CommandError("SECURE_PROXY_SSL_HEADER cannot be written for a proxy.")
    return {"header": _write(header), "value": value}


def _settings_lines(name: str, proxy: Proxy) -> list[str]:
    """Return what the settings of the project have to say with it."""
    lines = [f"{PRESETS[name].title}, for Django with"]
    own = conf.CLIENTCERT_PROXY
    if own.name in PRESETS and own.name != name:
        lines.append(f'  CLIENTCERT_PROXY = "{name}"  # it is "{own.name}" now')
    elif own.name == name:
        lines.append(f'  CLIENTCERT_PROXY = "{name}"')
    else:
        lines.append("  CLIENTCERT_PROXY as it is, a description of its own")
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
