"""From ``CLIENTCERT_PROXY`` to a description that can be read safely."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from .encodings import DECODERS
from .presets import NGINX, PRESETS
from .proxy import FIELDS, Proxy, ProxyConfigurationError, ValueSource

# By source: what the name of the certificate may look like, and what to write. The
# other names beside a connection are keys of the environ.
_NAME_RULES = {
    ValueSource.HEADER: (
        r"[A-Za-z0-9-]+",
        "write a header name of letters, digits and hyphens",
    ),
    ValueSource.ENVIRON: (
        r"[A-Z][A-Z0-9_]*",
        "write a key of the environ, such as SSL_CLIENT_CERT",
    ),
    ValueSource.SOCKET: (
        r"[a-z][a-z0-9_.]*",
        "write the key of the environ that has the connection, such as gunicorn.socket",
    ),
}
_OPTIONAL_NAMES = ("subject_dn", "issuer_dn")
_NAMES = ("certificate", "verdict", *_OPTIONAL_NAMES)


def get_proxy(value: object) -> Proxy:
    """Return the proxy that a ``CLIENTCERT_PROXY`` setting describes.

    *value* is the name of a preset, a ``Proxy``, or a dict: ``preset`` to start
    from (default ``"nginx"``) and the fields that differ.

    Raises:
        ProxyConfigurationError: the message says what to write instead.
    """
    if isinstance(value, Proxy):
        return _checked(value)
    if isinstance(value, str):
        if value not in PRESETS:
            raise ProxyConfigurationError(
                f"there is no preset {value!r}; use one of {', '.join(sorted(PRESETS))}"
            )
        return PRESETS[value]
    if not isinstance(value, Mapping):
        raise ProxyConfigurationError(
            "expected the name of a preset, such as 'nginx', or a dict, not "
            f"{type(value).__name__}"
        )
    unknown = sorted(set(value) - FIELDS - {"preset"}, key=str)
    if unknown:
        raise ProxyConfigurationError(
            f"unknown key {unknown[0]!r}; use preset, {', '.join(sorted(FIELDS))}"
        )
    changes = {"preset": NGINX.name, **value}
    preset = get_proxy(changes.pop("preset"))
    return _checked(replace(preset, name="custom", **changes))


def _checked(proxy: Proxy) -> Proxy:
    """Return *proxy* with its header names in lower case, if it can be read safely.

    An empty string never switches anything off.
    """
    if proxy.source not in ValueSource.ALL:
        sources = ", ".join(f'"{source}"' for source in ValueSource.ALL)
        raise ProxyConfigurationError(f"'source' must be one of {sources}")
    proxy = replace(
        proxy,
        failure=_texts("failure", proxy.failure),
        conditions=_conditions(proxy.conditions),
        chain=_texts("chain", proxy.chain, may_be_empty=True),
    )
    _check_encodings(proxy)
    for key, name in _named(proxy):
        _check_name(proxy, key, name)
    if proxy.is_header:
        proxy = _in_lower_case(proxy)
    if len(set(proxy.names)) != len(proxy.names):
        raise ProxyConfigurationError("two keys name the same header")
    for key in ("verifies", "names_required", "success_for_all"):
        if not isinstance(getattr(proxy, key), bool):
            raise ProxyConfigurationError(f"{key!r} must be True or False")
    if not _is_text(proxy.success):
        raise ProxyConfigurationError("'success' must not be empty")
    _check_gateway_identity(proxy)
    return proxy


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _texts(key: str, value: object, *, may_be_empty: bool = False) -> tuple[str, ...]:
    """Return one text, or several, as a tuple."""
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, (list, tuple)):
        raise ProxyConfigurationError(f"{key!r} must be a text or a list of texts")
    if not (value or may_be_empty) or not all(map(_is_text, value)):
        raise ProxyConfigurationError(f"{key!r} must not be empty")
    return tuple(value)


def _conditions(value: object) -> tuple[tuple[str, str], ...]:
    """Return conditions, from a dict or from pairs, as pairs."""
    pairs = tuple(value.items()) if isinstance(value, Mapping) else value
    if not isinstance(pairs, (list, tuple)) or not all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 and all(map(_is_text, pair))
        for pair in pairs
    ):
        raise ProxyConfigurationError(
            "'conditions' must be a dict: the name of a header, and the one word that "
            "it must have"
        )
    return tuple((name, word) for name, word in pairs)


def _check_encodings(proxy: Proxy) -> None:
    if proxy.chain_encoding is not None and not proxy.chain:
        raise ProxyConfigurationError(
            "'chain_encoding' without 'chain': name the headers of the chain too"
        )
    for encoding in [proxy.encoding, *([proxy.chain_encoding] if proxy.chain else [])]:
        # A custom description may contain anything.
        if not isinstance(encoding, str) or encoding not in DECODERS:
            raise ProxyConfigurationError(
                f"there is no encoding {encoding!r}; use one of "
                f"{', '.join(sorted(DECODERS))}"
            )


def _named(proxy: Proxy) -> Iterator[tuple[str, object]]:
    """Return every name that is read, each with its key."""
    optional = _OPTIONAL_NAMES if proxy.verifies else ("verdict", *_OPTIONAL_NAMES)
    for key in _NAMES:
        name = getattr(proxy, key)
        if name is not None or key not in optional:
            yield key, name
    for name, _ in proxy.conditions:
        yield "conditions", name
    for name in proxy.chain:
        yield "chain", name


def _check_name(proxy: Proxy, key: str, name: object) -> None:
    source = proxy.source
    if source == ValueSource.SOCKET and key != "certificate":
        source = ValueSource.ENVIRON
    pattern, what_to_write = _NAME_RULES[source]
    if not isinstance(name, str) or not re.fullmatch(pattern, name):
        raise ProxyConfigurationError(f"{key!r} is {name!r}: {what_to_write}")
    if not proxy.is_header and name.startswith("HTTP_"):
        raise ProxyConfigurationError(
            f"{key!r} is {name!r}: keys that begin with HTTP_ come from the client"
        )


def _in_lower_case(proxy: Proxy) -> Proxy:
    """Return *proxy* with its names as on the wire, where they are compared."""
    names = {key: getattr(proxy, key) for key in _NAMES}
    return replace(
        proxy,
        **{key: name and name.lower() for key, name in names.items()},
        conditions=tuple((name.lower(), word) for name, word in proxy.conditions),
        chain=tuple(name.lower() for name in proxy.chain),
    )


def _check_gateway_identity(proxy: Proxy) -> None:
    identity: object = proxy.gateway_identity
    if identity is None:
        return
    if not isinstance(identity, str) or ":" not in identity:
        raise ProxyConfigurationError(
            "'gateway_identity' must be the URI in the gateway's certificate, such as "
            "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway"
        )
    if proxy.encoding != "xfcc_two_hops":
        raise ProxyConfigurationError(
            "'gateway_identity' needs the encoding xfcc_two_hops"
        )
