"""``check --deploy``: what is dangerous where strangers send requests."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import Tags, Warning, register

from django_clientcert.wire import INGRESS_NGINX

from .ids import EXAMPLES, IDS
from .looking import Messages, is_installed, reads_headers, trusted_networks, usable

# Wider than a whole private network, such as 10.0.0.0/8 or fd00::/8
_WIDE = {4: 8, 6: 8}


# gunicorn's limit_request_field_size
_GUNICORN_BYTES = 8190


@register(Tags.security, deploy=True)
def check_transport_is_required(app_configs: Any, **kwargs: Any) -> Messages:
    """Is a certificate refused on a request without TLS?"""
    if usable("CLIENTCERT_REQUIRE_SECURE") is not False:
        return []
    return [
        Warning(
            "CLIENTCERT_REQUIRE_SECURE is False: on a plain HTTP port of the proxy, "
            "a client may be able to send the headers itself.",
            hint=(
                "Remove CLIENTCERT_REQUIRE_SECURE, and set SECURE_PROXY_SSL_HEADER if "
                "your proxy ends TLS."
            ),
            id=IDS["insecure_transport"],
        )
    ]


@register(Tags.security, deploy=True)
def check_hosts_are_limited(app_configs: Any, **kwargs: Any) -> Messages:
    """Is it known for which hosts an ingress sets the headers?"""
    proxy = usable("CLIENTCERT_PROXY")
    if (
        proxy is None
        # A custom proxy with the ingress' headers has the ingress' gap.
        or proxy.certificate != INGRESS_NGINX.certificate
        or getattr(settings, "CLIENTCERT_HOSTS", None) is not None
        or "*" not in (settings.ALLOWED_HOSTS or ())
    ):
        return []
    return [
        Warning(
            "CLIENTCERT_HOSTS is not set and ALLOWED_HOSTS has “*”: for a host "
            "without the annotation auth-tls-secret, the ingress lets a client's own "
            "headers pass.",
            hint=(
                "List the hosts that have the annotation: CLIENTCERT_HOSTS = "
                f"{EXAMPLES['CLIENTCERT_HOSTS']}."
            ),
            id=IDS["every_host"],
        )
    ]


@register(Tags.security, deploy=True)
def check_networks_are_narrow(app_configs: Any, **kwargs: Any) -> Messages:
    """Is a very wide trusted network backed by a secret?"""
    wide = [one for one in trusted_networks() if 0 < one.prefixlen < _WIDE[one.version]]
    if not wide or getattr(settings, "CLIENTCERT_PROXY_SECRET", None) is not None:
        return []
    return [
        Warning(
            "CLIENTCERT_TRUSTED_PROXIES covers a very wide network "
            f"({', '.join(map(str, wide))}), and CLIENTCERT_PROXY_SECRET is not set: "
            "everybody in it can claim to be anybody.",
            hint=(
                "List only the networks that your proxy connects from, or let it send "
                'a secret: CLIENTCERT_PROXY_SECRET = ("X-Proxy-Secret", "…").'
            ),
            id=IDS["wide_network"],
        )
    ]


@register(Tags.security, deploy=True)
def check_transport_is_known(app_configs: Any, **kwargs: Any) -> Messages:
    """Can Django know that a request reached the proxy over TLS?"""
    if (
        not reads_headers()
        or usable("CLIENTCERT_REQUIRE_SECURE") is not True
        or settings.SECURE_PROXY_SSL_HEADER is not None
    ):
        return []
    return [
        Warning(
            "SECURE_PROXY_SSL_HEADER is not set: unless the server itself says that "
            "a request is secure, every certificate is refused (insecure_transport).",
            hint=(
                'Write SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https"), '
                "if your proxy overwrites X-Forwarded-Proto."
            ),
            id=IDS["secure_unknown"],
        )
    ]


@register(Tags.security, deploy=True)
def check_header_size(app_configs: Any, **kwargs: Any) -> Messages:
    """Does the server take a header as long as the one that is read?"""
    limit = usable("CLIENTCERT_MAX_HEADER_BYTES")
    if (
        limit is None
        or limit <= _GUNICORN_BYTES
        or not reads_headers()
        or not is_installed("gunicorn")
    ):
        return []
    return [
        Warning(
            f"CLIENTCERT_MAX_HEADER_BYTES is {limit}, and gunicorn's "
            f"limit_request_field_size is {_GUNICORN_BYTES} unless you change it: it "
            "refuses a longer certificate, such as a post-quantum one, before Django "
            "sees it.",
            hint=(
                # The name of the header and the line end count there.
                f"Start it with --limit-request-field_size {limit + 256}, or write "
                f"CLIENTCERT_MAX_HEADER_BYTES = {_GUNICORN_BYTES}."
            ),
            id=IDS["header_size"],
        )
    ]


@register(Tags.security, deploy=True)
def check_underscores(app_configs: Any, **kwargs: Any) -> Messages:
    """Does the server keep a header in a second spelling away?"""
    proxy = usable("CLIENTCERT_PROXY")
    if (
        proxy is None
        or not reads_headers()
        # Under ASGI, the middleware itself sees every spelling.
        or not getattr(settings, "WSGI_APPLICATION", None)
    ):
        return []
    alias = proxy.certificate.replace("-", "_")
    return [
        Warning(
            f"Under WSGI, {alias} and {proxy.certificate} are one header for Django: "
            "the proxy and the server must drop names with underscores, which cannot "
            "be seen from here.",
            hint=(
                "Keep nginx' underscores_in_headers off (ingress-nginx: "
                "enable-underscores-in-headers: false) and gunicorn, 22 or newer, at "
                'header_map = "drop"; both are the defaults. Other proxies: manage.py '
                "clientcert proxy-config NAME. Then silence it: "
                f'SILENCED_SYSTEM_CHECKS = ["{IDS["underscores"]}"].'
            ),
            id=IDS["underscores"],
        )
    ]


@register(Tags.security, deploy=True)
def check_gateway_identity_is_known(app_configs: Any, **kwargs: Any) -> Messages:
    """Behind a sidecar, is it known who may call it?"""
    proxy = usable("CLIENTCERT_PROXY")
    if (
        proxy is None
        or proxy.encoding != "xfcc_two_hops"
        or proxy.gateway_identity is not None
    ):
        return []
    return [
        Warning(
            "CLIENTCERT_PROXY has no gateway_identity: every workload of the mesh that "
            "can call the sidecar can claim to be the gateway, and then any user.",
            hint=(
                'Write CLIENTCERT_PROXY = {"preset": "istio-sidecar", '
                '"gateway_identity": '
                '"spiffe://cluster.local/ns/istio-system/sa/NAME"} with the identity '
                "of your gateway; or let an AuthorizationPolicy admit the gateway "
                "alone, and silence it: SILENCED_SYSTEM_CHECKS = "
                f'["{IDS["forwarder_unset"]}"].'
            ),
            id=IDS["forwarder_unset"],
        )
    ]
