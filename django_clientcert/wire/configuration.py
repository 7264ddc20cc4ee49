"""From ``CLIENTCERT_PROXY`` to a description that can be read safely."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from .encodings import DECODERS
from .presets import NGINX, PRESETS
from .proxy import FIELDS, Proxy, ProxyConfigurationError, Source

_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+\Z")
_ENVIRON_KEY = re.compile(r"[A-Z][A-Z0-9_]*\Z")
_SOCKET_KEY = re.compile(r"[a-z][a-z0-9_.]*\Z")

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
    unknown = sorted(set(value) - FIELDS - {"preset"}, key=str)
    if unknown:
        raise ProxyConfigurationError(
            f"unknown key {unknown[0]!r}; known are preset, {', '.join(sorted(FIELDS))}"
        )
    preset = get_proxy(value.get("preset", NGINX.name))
    changes = {key: each for key, each in value.items() if key != "preset"}
    return _checked(replace(preset, name="custom", **changes))


def _checked(proxy: Proxy) -> Proxy:
    """Return *proxy*, its headers in lower case, if it can be read safely.

    Nothing is switched off by "".
    """
    if proxy.source not in Source.ALL:
        listed = ", ".join(f'"{one}"' for one in Source.ALL)
        raise ProxyConfigurationError(f"source is one of {listed}")
    proxy = replace(
        proxy,
        failure=_texts("failure", proxy.failure),
        conditions=_conditions(proxy.conditions),
        chain=_texts("chain", proxy.chain, empty=True),
    )
    _check_encodings(proxy)
    for key, name in _named(proxy):
        _check_name(proxy, key, name)
    if proxy.is_header:
        proxy = _in_lower_case(proxy)
    if len(set(proxy.names)) != len(proxy.names):
        raise ProxyConfigurationError("two keys name the same header")
    for key in ("verifies", "names_required"):
        if not isinstance(getattr(proxy, key), bool):
            raise ProxyConfigurationError(f"{key!r} is True or False")
    success: object = proxy.success
    if not isinstance(success, str) or not success:
        raise ProxyConfigurationError("'success' must not be empty")
    _check_forwarder(proxy)
    return proxy


def _texts(key: str, value: object, *, empty: bool = False) -> tuple[str, ...]:
    """Return one text or several as several."""
    texts: tuple[Any, ...]
    if isinstance(value, str):
        texts = (value,)
    elif isinstance(value, (list, tuple)):
        texts = tuple(value)
    else:
        raise ProxyConfigurationError(f"{key!r} is a text or a list of texts")
    if not texts and not empty:
        raise ProxyConfigurationError(f"{key!r} must not be empty")
    if not all(isinstance(one, str) and one for one in texts):
        raise ProxyConfigurationError(f"{key!r} must not be empty")
    return texts


def _conditions(value: object) -> tuple[tuple[str, str], ...]:
    """Return conditions, of a dict or as they are, as pairs."""
    pairs = tuple(value.items()) if isinstance(value, Mapping) else value
    if not isinstance(pairs, (list, tuple)) or not all(
        isinstance(pair, (list, tuple))
        and len(pair) == 2
        and all(isinstance(one, str) and one for one in pair)
        for pair in pairs
    ):
        raise ProxyConfigurationError(
            "'conditions' is a dict: the name of a header, and the one word that it "
            "must have"
        )
    return tuple((name, word) for name, word in pairs)


def _check_encodings(proxy: Proxy) -> None:
    _check_encoding(proxy.encoding)
    if proxy.chain:
        _check_encoding(proxy.chain_encoding)
    elif proxy.chain_encoding is not None:
        raise ProxyConfigurationError(
            "'chain_encoding' without 'chain': name the headers of the chain"
        )


def _check_encoding(encoding: object) -> None:
    # A custom one may be anything.
    if not isinstance(encoding, str) or encoding not in DECODERS:
        raise ProxyConfigurationError(
            f"there is no encoding {encoding!r}; use one of "
            f"{', '.join(sorted(DECODERS))}"
        )


def _named(proxy: Proxy) -> Iterator[tuple[str, object]]:
    """Return every name that is read, with the key that gives it."""
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
    pattern, what = {
        Source.HEADER: (
            _HEADER_NAME,
            "name a header field with letters, digits and hyphens",
        ),
        Source.ENVIRON: (_ENVIRON_KEY, "name a key of the environ"),
        Source.SOCKET: (
            _SOCKET_KEY if key == "certificate" else _ENVIRON_KEY,
            "name the key of the environ that has the connection",
        ),
    }[proxy.source]
    if not isinstance(name, str) or not pattern.match(name):
        raise ProxyConfigurationError(f"{key!r} is {name!r}: {what}")
    if not proxy.is_header and name.startswith("HTTP_"):
        raise ProxyConfigurationError(
            f"{key!r} is {name!r}: keys with HTTP_ come from the client"
        )


def _in_lower_case(proxy: Proxy) -> Proxy:
    """Return *proxy* with its names as on the wire: header lines are compared."""
    return replace(
        proxy,
        certificate=proxy.certificate.lower(),
        verdict=proxy.verdict and proxy.verdict.lower(),
        subject_dn=proxy.subject_dn and proxy.subject_dn.lower(),
        issuer_dn=proxy.issuer_dn and proxy.issuer_dn.lower(),
        conditions=tuple((name.lower(), word) for name, word in proxy.conditions),
        chain=tuple(name.lower() for name in proxy.chain),
    )


def _check_forwarder(proxy: Proxy) -> None:
    gateway_identity: object = proxy.gateway_identity
    if gateway_identity is None:
        return
    if not isinstance(gateway_identity, str) or ":" not in gateway_identity:
        raise ProxyConfigurationError(
            "'gateway_identity' is the URI in the gateway's certificate, such as "
            "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway"
        )
    if proxy.encoding != "xfcc_two_hops":
        raise ProxyConfigurationError(
            "'gateway_identity' is for the encoding xfcc_two_hops only"
        )
