"""``check --deploy``: what is dangerous once strangers can send requests."""

from __future__ import annotations

import importlib.util
from typing import Any

from django.conf import settings
from django.core.checks import Tags, Warning, register

from django_clientcert.wire import INGRESS_NGINX

from .configuration import EXAMPLES, Messages, reads_headers, trusted_networks, usable

# Larger than a whole private network, such as 10.0.0.0/8 or fd00::/8
_WIDE = 8
# gunicorn's default for limit_request_field_size
_GUNICORN_BYTES = 8190


@register(Tags.security, deploy=True)
def check_transport_is_required(**kwargs: Any) -> Messages:
    """Is a certificate refused on a request without TLS?"""
    if usable("CLIENTCERT_REQUIRE_SECURE") is False:
        yield Warning(
            "CLIENTCERT_REQUIRE_SECURE is False: on a plain HTTP port of the proxy, "
            "a client may be able to send the headers itself.",
            hint=(
                "Remove CLIENTCERT_REQUIRE_SECURE, and set SECURE_PROXY_SSL_HEADER if "
                "your proxy terminates TLS."
            ),
            id="clientcert.W030",
        )


@register(Tags.security, deploy=True)
def check_hosts_are_limited(**kwargs: Any) -> Messages:
    """Are the hosts listed for which an ingress sets the headers?"""
    proxy = usable("CLIENTCERT_PROXY")
    if (
        proxy is not None
        # Also of a custom proxy: with the ingress' headers, it has the ingress' gap.
        and proxy.certificate == INGRESS_NGINX.certificate
        and getattr(settings, "CLIENTCERT_HOSTS", None) is None
        and "*" in (settings.ALLOWED_HOSTS or ())
    ):
        yield Warning(
            "CLIENTCERT_HOSTS is not set and ALLOWED_HOSTS contains “*”: for a host "
            "without the annotation auth-tls-secret, the ingress passes a client's own "
            "headers through.",
            hint=(
                "List the hosts that have the annotation: CLIENTCERT_HOSTS = "
                f"{EXAMPLES['CLIENTCERT_HOSTS']}."
            ),
            id="clientcert.W031",
        )


@register(Tags.security, deploy=True)
def check_networks_are_narrow(**kwargs: Any) -> Messages:
    """Is a very large trusted network protected by a secret?"""
    wide = [
        str(network) for network in trusted_networks() if 0 < network.prefixlen < _WIDE
    ]
    if wide and getattr(settings, "CLIENTCERT_PROXY_SECRET", None) is None:
        yield Warning(
            "CLIENTCERT_TRUSTED_PROXIES covers a very large network "
            f"({', '.join(wide)}), and CLIENTCERT_PROXY_SECRET is not set: anyone in "
            "it can impersonate any user.",
            hint=(
                "List only the networks that your proxy connects from, or configure it "
                'to send a secret: CLIENTCERT_PROXY_SECRET = ("X-Proxy-Secret", "…").'
            ),
            id="clientcert.W032",
        )


@register(Tags.security, deploy=True)
def check_transport_is_known(**kwargs: Any) -> Messages:
    """Can Django know that a request reached the proxy over TLS?"""
    if (
        reads_headers()
        and usable("CLIENTCERT_REQUIRE_SECURE") is True
        and settings.SECURE_PROXY_SSL_HEADER is None
    ):
        yield Warning(
            "SECURE_PROXY_SSL_HEADER is not set: unless the server itself marks "
            "requests as secure, every certificate is refused (insecure_transport).",
            hint=(
                'Write SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https"), '
                "if your proxy overwrites X-Forwarded-Proto."
            ),
            id="clientcert.W033",
        )


@register(Tags.security, deploy=True)
def check_header_size(**kwargs: Any) -> Messages:
    """Does the server accept a header as long as CLIENTCERT_MAX_HEADER_BYTES?"""
    limit = usable("CLIENTCERT_MAX_HEADER_BYTES") or 0
    if limit > _GUNICORN_BYTES and reads_headers() and _is_installed("gunicorn"):
        yield Warning(
            f"CLIENTCERT_MAX_HEADER_BYTES is {limit}, and gunicorn's "
            f"limit_request_field_size is {_GUNICORN_BYTES} unless you change it: it "
            "refuses a longer certificate, such as a post-quantum one, before Django "
            "sees it.",
            hint=(
                # gunicorn counts the name of the header and the line end too.
                f"Start it with --limit-request-field_size {limit + 256}, or write "
                f"CLIENTCERT_MAX_HEADER_BYTES = {_GUNICORN_BYTES}."
            ),
            id="clientcert.W034",
        )


@register(Tags.security, deploy=True)
def check_underscores(**kwargs: Any) -> Messages:
    """Does the server drop a header in a second spelling?"""
    # Under ASGI, the middleware itself sees every spelling.
    if reads_headers() and getattr(settings, "WSGI_APPLICATION", None):
        name = usable("CLIENTCERT_PROXY").certificate
        yield Warning(
            f"Under WSGI, {name.replace('-', '_')} and {name} are the same header for "
            "Django: the proxy and the server must drop names with underscores, which "
            "Django cannot check.",
            hint=(
                "Leave nginx's underscores_in_headers off (ingress-nginx: "
                "enable-underscores-in-headers: false) and the header_map of gunicorn "
                '22 or later at "drop"; both are the defaults. Other proxies: '
                "manage.py clientcert proxy-config NAME. Then silence this check: "
                'SILENCED_SYSTEM_CHECKS = ["clientcert.W035"].'
            ),
            id="clientcert.W035",
        )


@register(Tags.security, deploy=True)
def check_gateway_identity_is_known(**kwargs: Any) -> Messages:
    """With a sidecar, is it configured who may call it?"""
    proxy = usable("CLIENTCERT_PROXY")
    if (
        proxy is not None
        and proxy.encoding == "xfcc_two_hops"
        and proxy.gateway_identity is None
    ):
        yield Warning(
            "CLIENTCERT_PROXY has no gateway_identity: every workload of the mesh that "
            "can call the sidecar can impersonate the gateway, and thereby any user.",
            hint=(
                'Write CLIENTCERT_PROXY = {"preset": "istio-sidecar", '
                '"gateway_identity": '
                '"spiffe://cluster.local/ns/istio-system/sa/NAME"} with the identity '
                "of your gateway; or allow only the gateway with an "
                "AuthorizationPolicy, and silence this check: SILENCED_SYSTEM_CHECKS = "
                '["clientcert.W036"].'
            ),
            id="clientcert.W036",
        )


def _is_installed(package: str) -> bool:
    """Return whether *package* can be imported."""
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # the module was created by hand, without a spec
        return True
