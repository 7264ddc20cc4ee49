"""For each preset: its how-to page, what happens to a client's headers, and pitfalls.

``write_presets.py`` writes them into ``reference/presets.md``. Each was measured, or
taken from the documentation that the preset refers to.
"""

from __future__ import annotations

from typing import NamedTuple


class Notes(NamedTuple):
    """What people have to know to use a preset."""

    # The page in ``howto``
    howto: str
    # What the proxy does with headers of these names that a client sends
    client_copies: str
    pitfalls: tuple[str, ...]


_NO_ED448 = "A client's Ed448 certificate is treated as no certificate."

_XFCC_KEYS = (
    "A client's Ed25519, Ed448 or P-521 certificate is treated as no certificate."
)

_UNRELIABLE_VERDICT = (
    "With optional_no_ca, the verdict on an untrusted certificate is GENEROUS, but "
    "SUCCESS when its TLS session is resumed, so the verdict is not relied upon."
)

_NO_CHAIN_RESUMED = "The chain is missing if a TLS session is resumed."

_SAFE_ENVIRON = "A client cannot set a key of the environ."

_PAST_CLOUDFLARE = (
    "Requests that do not come through Cloudflare must not reach the application."
)


NOTES = {
    "ingress-nginx": Notes(
        howto="ingress-nginx",
        client_copies=(
            "Overwritten, or removed if there is no certificate; only on hosts with "
            "the auth-tls-secret annotation."
        ),
        pitfalls=(
            (
                "Without the auth-tls-secret annotation, all four headers of a client "
                "are passed through."
            ),
            (
                "Without auth-tls-pass-certificate-to-upstream, a client's own "
                "ssl-client-cert is passed through next to a genuine SUCCESS; the two "
                "DN headers reveal it."
            ),
            "With enable-underscores-in-headers, other spellings are passed through.",
        ),
    ),
    "nginx": Notes(
        howto="nginx",
        client_copies="Overwritten, or removed if the variable is empty.",
        pitfalls=(
            (
                "proxy_set_header overwrites only the names it sets, and only in the "
                "location that contains it."
            ),
            "underscores_in_headers on passes other spellings through.",
        ),
    ),
    "traefik-ingress-nginx": Notes(
        howto="traefik",
        client_copies=(
            "Overwritten; since Traefik 3.7.3, removed if there is no certificate, on "
            "hosts with the auth-tls annotations."
        ),
        pitfalls=(
            (
                "Before 3.7.3, the headers of a client without a certificate are "
                "passed through; the router for plain HTTP does so in later versions "
                "too."
            ),
            "Hosts without the auth-tls annotations pass all of these headers through.",
            "A header spelt with underscores is passed through.",
        ),
    ),
    "traefik": Notes(
        howto="traefik",
        client_copies=(
            "Removed, since 3.6 in every spelling, unless the client is in trustedIPs."
        ),
        pitfalls=(
            (
                "The header of a client without a certificate is passed through from "
                "addresses in forwardedHeaders.trustedIPs, and from everyone with "
                "insecure: true."
            ),
            (
                "With clientAuthType Request or Require, unverified certificates are "
                "forwarded and look the same."
            ),
            (
                "X-Forwarded-Tls-Client-Cert-Info does not quote its values, so a name "
                "in it can be forged. It is never read."
            ),
            (
                "Before 3.6, a name with underscores is passed through: use a server "
                "that drops it, or a newer Traefik."
            ),
            _NO_ED448,
        ),
    ),
    "envoy": Notes(
        howto="envoy",
        client_copies=(
            "Removed with SANITIZE_SET, the setting to use, and with SANITIZE."
        ),
        pitfalls=(
            (
                "The header contains the certificate whether or not it was verified: "
                "that depends on trusted_ca and require_client_certificate."
            ),
            (
                "Never use FORWARD_ONLY or ALWAYS_FORWARD_ONLY: the header is the "
                "client's own, which cannot be detected. With APPEND_FORWARD, what a "
                "client prepends is detected and refused."
            ),
            (
                "Names with underscores are passed through unless "
                "headers_with_underscores_action says otherwise."
            ),
            _XFCC_KEYS,
        ),
    ),
    "envoy-gateway": Notes(
        howto="envoy-gateway",
        client_copies=(
            "Removed with mode: Sanitize, the default, and with SanitizeSet, the mode "
            "to use."
        ),
        pitfalls=(
            (
                "Nothing is forwarded unless the ClientTrafficPolicy has "
                "xForwardedClientCert with mode: SanitizeSet and Cert in "
                "certDetailsToAdd."
            ),
            _XFCC_KEYS,
            (
                "Never use the modes ForwardOnly or AlwaysForwardOnly: the header is "
                "the client's own, which cannot be detected. With AppendForward, what "
                "a client prepends is detected and refused."
            ),
        ),
    ),
    "contour": Notes(
        howto="contour",
        client_copies="Removed: Contour sets SANITIZE_SET.",
        pitfalls=(
            "Nothing is forwarded unless forwardClientCertificate has cert: true.",
            (
                "With optionalClientCertificate or skipClientCertValidation, "
                "unverified certificates are forwarded and look the same."
            ),
        ),
    ),
    "istio": Notes(
        howto="istio",
        client_copies="Removed: the gateway sets SANITIZE_SET.",
        pitfalls=(
            (
                "A sidecar between the gateway and the application adds an element of "
                "its own: use istio-sidecar."
            ),
            (
                "With any forwardClientCertDetails other than SANITIZE_SET, a client "
                "can write into the header; only with APPEND_FORWARD is that detected "
                "and refused."
            ),
            _XFCC_KEYS,
        ),
    ),
    "istio-sidecar": Notes(
        howto="istio",
        client_copies=(
            "The gateway removes them; the sidecar appends its element to what its "
            "client sent."
        ),
        pitfalls=(
            (
                "Any workload in the mesh can call the sidecar and write the gateway's "
                "element itself: set gateway_identity to the gateway's URI, or allow "
                "only the gateway with an AuthorizationPolicy."
            ),
            "A request that came through one proxy, or through three, is refused.",
        ),
    ),
    "haproxy": Notes(
        howto="haproxy",
        client_copies=(
            "Overwritten by set-header without a condition; other spellings are "
            "removed by del-header."
        ),
        pitfalls=(
            (
                "ssl_c_verify is 0 without a certificate too, so ssl_c_used has to be "
                "sent as well."
            ),
            (
                "From about 12 KB of DER (16 KB of Base64), the sample of a "
                "certificate is silently empty and the request continues without it."
            ),
            (
                "set-header with a condition, and add-header, pass a client's copy "
                "through."
            ),
            "Names with underscores are passed through unless they are deleted.",
            "The chain is empty if a TLS session is resumed.",
        ),
    ),
    "haproxy-ingress": Notes(
        howto="haproxy-ingress",
        client_copies=(
            "Overwritten on hosts with auth-tls-secret, according to its documentation "
            "(not tested)."
        ),
        pitfalls=(
            "Nothing is forwarded unless auth-tls-cert-header is true.",
            "Hosts without auth-tls-secret pass a client's own header through.",
            "With another ssl-headers-prefix, the header has another name.",
        ),
    ),
    "openshift": Notes(
        howto="openshift",
        client_copies=(
            "Overwritten on TLS routes that the router terminates. Older routers pass "
            "them through on plain HTTP (CVE-2026-46579)."
        ),
        pitfalls=(
            (
                "The verdict is 0 without a certificate, too, so nothing tells that "
                "one was lost."
            ),
            (
                "Its headers with the names are in OpenSSL's old form and are not "
                "compared."
            ),
        ),
    ),
    "caddy": Notes(
        howto="caddy",
        client_copies=(
            "Overwritten by header_up; names with underscores are dropped since 2.11."
        ),
        pitfalls=(
            (
                "With the modes request and require, unverified certificates are "
                "forwarded and look the same: use verify_if_given or "
                "require_and_verify."
            ),
            (
                "The placeholder with the PEM makes an invalid header: every request "
                "fails."
            ),
            "A site without the header_up lines passes a client's own header through.",
            (
                "Before 2.11, names with underscores are passed through unless "
                "header_up -*_* removes them."
            ),
            _NO_ED448,
        ),
    ),
    "apache": Notes(
        howto="apache",
        client_copies=(
            "Overwritten by RequestHeader set; other spellings need RequestHeader "
            "unset."
        ),
        pitfalls=(
            _UNRELIABLE_VERDICT,
            (
                "Apache removes every header that a client names in its Connection "
                "field: the application then receives nothing, or the client's copy in "
                "another spelling."
            ),
            "SSLUserName sets REMOTE_USER for unverified certificates too.",
            _NO_CHAIN_RESUMED,
        ),
    ),
    "rfc9440": Notes(
        howto="rfc9440",
        client_copies=(
            "Must be removed (RFC 9440, 4); whether they are depends on the proxy."
        ),
        pitfalls=(
            "The field does not say whether the certificate was verified.",
            (
                "Every route that is not configured to remove a client's own "
                "Client-Cert passes it through."
            ),
        ),
    ),
    "mod_wsgi": Notes(
        howto="apache",
        client_copies=_SAFE_ENVIRON,
        pitfalls=(
            (
                "Needs SSLOptions +ExportCertData; +StdEnvVars alone does not export "
                "the certificate."
            ),
            _UNRELIABLE_VERDICT,
            _NO_CHAIN_RESUMED,
        ),
    ),
    "uwsgi": Notes(
        howto="app-servers",
        client_copies=_SAFE_ENVIRON,
        pitfalls=(
            "With --https-socket there is no certificate at all: use --https.",
            "HTTPS_DN is not escaped, so a name in it can be forged. It is never read.",
        ),
    ),
    "gunicorn": Notes(
        howto="app-servers",
        client_copies="Nothing is read from a header.",
        pitfalls=(
            "ASGI workers provide no certificate: put a proxy in front of them.",
            "Only the client's own certificate is available, never the intermediates.",
        ),
    ),
    "werkzeug": Notes(
        howto="app-servers",
        client_copies=_SAFE_ENVIRON,
        pitfalls=("For development only: do not expose this server to a network.",),
    ),
    "aws-alb-verify": Notes(
        howto="aws",
        client_copies="Not documented.",
        pitfalls=(
            (
                "The request contains no verdict, and it is not documented what "
                "happens to a client's own headers on a listener without mutual TLS."
            ),
            (
                "The intermediate certificates are not forwarded: add them to the "
                "authority."
            ),
        ),
    ),
    "aws-alb-passthrough": Notes(
        howto="aws",
        client_copies="Not documented.",
        pitfalls=("The load balancer verifies nothing: Django validates the path.",),
    ),
    "gcp": Notes(
        howto="gcp",
        client_copies=(
            "Overwritten by custom request headers, on the backend services that have "
            "them."
        ),
        pitfalls=(
            "You choose the names of the headers: use exactly these.",
            (
                "Other customers' load balancers connect from the same addresses: set "
                "CLIENTCERT_PROXY_SECRET."
            ),
            "A certificate longer than 16 KB is left out of the request.",
            (
                "A backend service without these custom headers passes a client's own "
                "through."
            ),
        ),
    ),
    "cloudflare": Notes(
        howto="cloudflare",
        client_copies=(
            "Headers that begin with Cf- are reserved for Cloudflare, according to its "
            "documentation (not tested)."
        ),
        pitfalls=(
            (
                "The certificate is forwarded whether or not it was verified: Django "
                "validates the path."
            ),
            (
                "Its documentation is contradictory on whether every request of a "
                "connection has the certificate."
            ),
            _PAST_CLOUDFLARE,
        ),
    ),
    "cloudflare-rfc9440": Notes(
        howto="cloudflare",
        client_copies="Client-Cert has to be removed by a separate rule.",
        pitfalls=(
            (
                "Verified stays true for a revoked certificate: Cf-Cert-Revoked is "
                "read too."
            ),
            (
                "The certificate is forwarded whether or not it was verified: only the "
                "verdict counts."
            ),
            _PAST_CLOUDFLARE,
        ),
    ),
    "cloudfront": Notes(
        howto="aws",
        client_copies="Not documented for the CloudFront-Viewer-Cert headers.",
        pitfalls=(
            (
                "In the modes passthrough and optional, a certificate is forwarded "
                "that was not verified: Django validates the path."
            ),
            "The origin must admit only requests that come through CloudFront.",
            "No chain is forwarded: put intermediate CAs into the authority.",
        ),
    ),
    "azure-app-service": Notes(
        howto="azure",
        client_copies=(
            "Overwritten by the front end, according to its documentation (not tested)."
        ),
        pitfalls=(
            "The platform verifies nothing: Django validates the path.",
            (
                "In the optional modes, sources disagree on whether the client has "
                "proved that it holds the key: use clientCertMode=Required."
            ),
            (
                "If another load balancer terminates TLS in front of it, anyone can "
                "write the header."
            ),
        ),
    ),
    "azure-app-gateway": Notes(
        howto="azure",
        client_copies="Overwritten by the rewrite set, on rules that it is linked to.",
        pitfalls=(
            (
                "A routing rule without the rewrite set passes a client's own headers "
                "through."
            ),
            (
                "The passthrough mode verifies nothing: set CLIENTCERT_PROXY_VERIFIES "
                "= False."
            ),
        ),
    ),
    "azure-container-apps": Notes(
        howto="azure",
        client_copies="Not documented.",
        pitfalls=("It does not verify the certificate: Django validates the path.",),
    ),
    "cloud-foundry": Notes(
        howto="cloud-foundry",
        client_copies=(
            "Overwritten if router.forwarded_client_cert is sanitize_set; passed "
            "through with always_forward and forward."
        ),
        pitfalls=(
            "Only with sanitize_set is the header the router's own.",
            "The header has Envoy's name, but holds nothing but base64.",
        ),
    ),
    "kong": Notes(
        howto="kong",
        client_copies="Not documented.",
        pitfalls=(
            (
                "The plugin forwards any certificate from the TLS handshake: Django "
                "validates the path."
            ),
            "Routes without the plugin pass a client's own header through.",
        ),
    ),
}
