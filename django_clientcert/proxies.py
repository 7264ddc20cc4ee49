"""What each proxy sends, as data: one preset is read, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from .encodings import DECODERS
from .exceptions import ClientCertError

# What programs write where there is no certificate
ABSENT = frozenset({"", "-", "(null)"})

_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+\Z")
_ENVIRON_KEY = re.compile(r"[A-Z][A-Z0-9_]*\Z")


class ProxyConfigurationError(ClientCertError, ValueError):
    """``CLIENTCERT_PROXY`` does not describe a proxy; says what is wrong."""


@dataclass(frozen=True)
class Proxy:
    """One proxy's way of handing over a client certificate.

    Header fields are named in lower case with hyphens, as they stand on the wire.
    With ``source="environ"`` the names are keys of ``request.META`` instead, which
    a client cannot set.
    """

    name: str
    certificate: str
    encoding: str
    # Header of the proxy's verdict, the word for success, and the beginning of what
    # it says about a certificate that it could not verify.
    verdict: str | None
    success: str = "SUCCESS"
    failure: str = "FAILED:"
    # Headers with the names of the certificate, to compare. Where the proxy always
    # sets them, they must be there.
    subject_dn: str | None = None
    issuer_dn: str | None = None
    names_required: bool = False
    # Whether the proxy itself validates the path; CLIENTCERT_PROXY_VERIFIES overrides.
    verifies: bool = True
    source: str = "header"
    # For the documentation and the system checks
    overwrites: bool = True
    traps: tuple[str, ...] = ()
    reference: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of every header (or environ key) that is read."""
        return tuple(
            name
            for name in (
                self.certificate,
                self.verdict,
                self.subject_dn,
                self.issuer_dn,
            )
            if name is not None
        )

    @property
    def is_header(self) -> bool:
        """Whether the names are header fields."""
        return self.source == "header"

    def meta_key(self, name: str) -> str:
        """Return the key in ``request.META`` under which *name* arrives."""
        return meta_key(name) if self.is_header else name


def meta_key(header: str) -> str:
    """Return the key of a header field in ``request.META``."""
    return "HTTP_" + header.upper().replace("-", "_")


INGRESS_NGINX = Proxy(
    name="ingress-nginx",
    certificate="ssl-client-cert",
    encoding="escaped_pem",
    verdict="ssl-client-verify",
    subject_dn="ssl-client-subject-dn",
    issuer_dn="ssl-client-issuer-dn",
    names_required=True,
    traps=(
        "Without the auth-tls-secret annotation, all four headers of a client pass.",
        (
            "Without auth-tls-pass-certificate-to-upstream, a client's own "
            "ssl-client-cert passes beside a genuine SUCCESS; the two DN headers "
            "uncover it."
        ),
        "With enable-underscores-in-headers, other spellings pass.",
    ),
    reference="ingress-nginx 1.15.1, rootfs/etc/nginx/template/nginx.tmpl",
)

NGINX = Proxy(
    name="nginx",
    certificate="x-ssl-client-cert",
    encoding="escaped_pem",
    verdict="x-ssl-client-verify",
    subject_dn="x-ssl-client-s-dn",
    issuer_dn="x-ssl-client-i-dn",
    traps=(
        (
            "proxy_set_header overwrites only the names it sets, in the location in "
            "which it stands."
        ),
        "underscores_in_headers on lets other spellings pass.",
    ),
    reference="https://nginx.org/en/docs/http/ngx_http_ssl_module.html#variables",
)

PRESETS = {proxy.name: proxy for proxy in (INGRESS_NGINX, NGINX)}

_FIELDS = frozenset(one.name for one in fields(Proxy)) - {"name"}
_OPTIONAL_NAMES = ("subject_dn", "issuer_dn")
_NAMES = ("certificate", "verdict", *_OPTIONAL_NAMES)


def get_proxy(value: object) -> Proxy:
    """Return the proxy that a ``CLIENTCERT_PROXY`` setting describes.

    *value* is the name of a preset, a ``Proxy``, or a dict: ``preset`` to start
    from (default ``"nginx"``) and the fields that differ.

    Raises:
        ProxyConfigurationError: says what to write instead.
    """
    if isinstance(value, Proxy):
        return _checked(value)
    if isinstance(value, str):
        try:
            return PRESETS[value]
        except KeyError:
            raise ProxyConfigurationError(
                f"there is no preset {value!r}; use one of {', '.join(sorted(PRESETS))}"
            ) from None
    if isinstance(value, Mapping):
        return _from_mapping(value)
    raise ProxyConfigurationError(
        f"a preset's name or a dict is wanted, not {type(value).__name__}"
    )


def _from_mapping(value: Mapping[str, Any]) -> Proxy:
    unknown = sorted(set(value) - _FIELDS - {"preset"}, key=str)
    if unknown:
        raise ProxyConfigurationError(
            f"unknown key {unknown[0]!r}; known are preset, "
            f"{', '.join(sorted(_FIELDS))}"
        )
    preset = get_proxy(value.get("preset", NGINX.name))
    changes = {key: each for key, each in value.items() if key != "preset"}
    return _checked(replace(preset, name="custom", **changes))


def _checked(proxy: Proxy) -> Proxy:
    """Return *proxy*, its headers in lower case, if it can be read safely.

    Nothing is switched off by "".
    """
    encoding: object = proxy.encoding  # a custom one may be anything
    if not isinstance(encoding, str) or encoding not in DECODERS:
        raise ProxyConfigurationError(
            f"there is no encoding {proxy.encoding!r}; use one of "
            f"{', '.join(sorted(DECODERS))}"
        )
    if proxy.source not in ("header", "environ"):
        raise ProxyConfigurationError('source is "header" or "environ"')
    pattern = _HEADER_NAME if proxy.is_header else _ENVIRON_KEY
    optional = _OPTIONAL_NAMES if proxy.verifies else ("verdict", *_OPTIONAL_NAMES)
    for key in _NAMES:
        name = getattr(proxy, key)
        if name is None and key in optional:
            continue
        if not isinstance(name, str) or not pattern.match(name):
            raise ProxyConfigurationError(
                f"{key!r} is {name!r}: name a header field with letters, digits and "
                "hyphens"
                if proxy.is_header
                else f"{key!r} is {name!r}: name a key of the environ"
            )
        if not proxy.is_header and name.startswith("HTTP_"):
            raise ProxyConfigurationError(
                f"{key!r} is {name!r}: keys with HTTP_ come from the client"
            )
    if proxy.is_header:
        # As they stand on the wire: header lines are compared with them.
        proxy = replace(
            proxy,
            certificate=proxy.certificate.lower(),
            verdict=proxy.verdict and proxy.verdict.lower(),
            subject_dn=proxy.subject_dn and proxy.subject_dn.lower(),
            issuer_dn=proxy.issuer_dn and proxy.issuer_dn.lower(),
        )
    if len(set(proxy.names)) != len(proxy.names):
        raise ProxyConfigurationError("two keys name the same header")
    for key in ("verifies", "names_required"):
        if not isinstance(getattr(proxy, key), bool):
            raise ProxyConfigurationError(f"{key!r} is True or False")
    for key in ("success", "failure"):
        if not isinstance(getattr(proxy, key), str) or not getattr(proxy, key):
            raise ProxyConfigurationError(f"{key!r} must not be empty")
    return proxy
