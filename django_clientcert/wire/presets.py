"""The known proxies, each measured, or taken from its documentation.

A preset whose proxy gives no verdict, or an unreliable one, has ``verifies=False``:
Django then validates the path for every mapping that names an authority.
"""

from __future__ import annotations

from dataclasses import replace

from .proxy import Proxy, ValueSource

# --- nginx -----------------------------------------------------------------------

INGRESS_NGINX = Proxy(
    name="ingress-nginx",
    title="ingress-nginx",
    certificate="ssl-client-cert",
    encoding="escaped_pem",
    verdict="ssl-client-verify",
    subject_dn="ssl-client-subject-dn",
    issuer_dn="ssl-client-issuer-dn",
    names_required=True,
    client_copies=(
        "Overwritten, or removed if there is no certificate; only on hosts with the "
        "auth-tls-secret annotation."
    ),
    traps=(
        (
            "Without the auth-tls-secret annotation, all four headers of a client "
            "are passed through."
        ),
        (
            "Without auth-tls-pass-certificate-to-upstream, a client's own "
            "ssl-client-cert is passed through next to a genuine SUCCESS; the two DN "
            "headers reveal it."
        ),
        "With enable-underscores-in-headers, other spellings are passed through.",
    ),
    reference="ingress-nginx 1.15.1, rootfs/etc/nginx/template/nginx.tmpl",
)

NGINX = Proxy(
    name="nginx",
    title="nginx",
    certificate="x-ssl-client-cert",
    encoding="escaped_pem",
    verdict="x-ssl-client-verify",
    subject_dn="x-ssl-client-s-dn",
    issuer_dn="x-ssl-client-i-dn",
    client_copies="Overwritten, or removed if the variable is empty.",
    traps=(
        (
            "proxy_set_header overwrites only the names it sets, and only in the "
            "location that contains it."
        ),
        "underscores_in_headers on passes other spellings through.",
    ),
    reference="https://nginx.org/en/docs/http/ngx_http_ssl_module.html#variables",
)

# --- Traefik ---------------------------------------------------------------------

_NO_ED448 = "A client's Ed448 certificate is treated as no certificate."

TRAEFIK_INGRESS_NGINX = Proxy(
    name="traefik-ingress-nginx",
    title="Traefik's provider for ingress-nginx",
    certificate="ssl-client-cert",
    encoding="escaped_pem",
    verdict="ssl-client-verify",
    client_copies=(
        "Overwritten; since Traefik 3.7.3, removed if there is no certificate, on "
        "hosts with the auth-tls annotations."
    ),
    traps=(
        (
            "Before 3.7.3, the headers of a client without a certificate are passed "
            "through; the router for plain HTTP does so in later versions too."
        ),
        "Hosts without the auth-tls annotations pass all of these headers through.",
        "A header spelt with underscores is passed through.",
    ),
    reference="https://doc.traefik.io/traefik/reference/routing-configuration/kubernetes/ingress-nginx/",
)

TRAEFIK = Proxy(
    name="traefik",
    title="Traefik",
    certificate="x-forwarded-tls-client-cert",
    encoding="base64_der_list",
    verifies=False,
    client_copies=(
        "Removed, since 3.6 in every spelling, unless the client is in trustedIPs."
    ),
    traps=(
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
            "Before 3.6, a name with underscores is passed through: use a server that "
            "drops it, or a newer Traefik."
        ),
        _NO_ED448,
    ),
    reference="https://doc.traefik.io/traefik/reference/routing-configuration/http/middlewares/passtlsclientcert/",
)

# --- Envoy -----------------------------------------------------------------------

_XFCC_KEYS = (
    "A client's Ed25519, Ed448 or P-521 certificate is treated as no certificate."
)

ENVOY = Proxy(
    name="envoy",
    title="Envoy",
    certificate="x-forwarded-client-cert",
    encoding="xfcc",
    verifies=False,
    client_copies="Removed with SANITIZE_SET, the setting to use, and with SANITIZE.",
    traps=(
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
    reference="https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert",
)

ENVOY_GATEWAY = replace(
    ENVOY,
    name="envoy-gateway",
    title="Envoy Gateway",
    client_copies=(
        "Removed with mode: Sanitize, the default, and with SanitizeSet, the mode to "
        "use."
    ),
    traps=(
        (
            "Nothing is forwarded unless the ClientTrafficPolicy has "
            "xForwardedClientCert with mode: SanitizeSet and Cert in certDetailsToAdd."
        ),
        _XFCC_KEYS,
        (
            "Never use the modes ForwardOnly or AlwaysForwardOnly: the header is the "
            "client's own, which cannot be detected. With AppendForward, what a "
            "client prepends is detected and refused."
        ),
    ),
    reference="https://gateway.envoyproxy.io/docs/api/extension_types/",
)

CONTOUR = replace(
    ENVOY,
    name="contour",
    title="Contour",
    client_copies="Removed: Contour sets SANITIZE_SET.",
    traps=(
        "Nothing is forwarded unless forwardClientCertificate has cert: true.",
        (
            "With optionalClientCertificate or skipClientCertValidation, unverified "
            "certificates are forwarded and look the same."
        ),
    ),
    reference="https://projectcontour.io/docs/main/config/tls-termination/",
)

ISTIO = replace(
    ENVOY,
    name="istio",
    title="Istio's gateway",
    client_copies="Removed: the gateway sets SANITIZE_SET.",
    traps=(
        (
            "A sidecar between the gateway and the application adds an element of "
            "its own: use istio-sidecar."
        ),
        (
            "With any forwardClientCertDetails other than SANITIZE_SET, a client can "
            "write into the header; only with APPEND_FORWARD is that detected and "
            "refused."
        ),
        _XFCC_KEYS,
    ),
    reference="https://istio.io/latest/docs/reference/config/networking/proxy-config/#ForwardClientCertDetails",
)

ISTIO_SIDECAR = replace(
    ISTIO,
    name="istio-sidecar",
    title="Istio's gateway followed by a sidecar",
    encoding="xfcc_two_hops",
    client_copies=(
        "The gateway removes them; the sidecar appends its element to what its client "
        "sent."
    ),
    traps=(
        (
            "Any workload in the mesh can call the sidecar and write the gateway's "
            "element itself: set gateway_identity to the gateway's URI, or allow only "
            "the gateway with an AuthorizationPolicy."
        ),
        "A request that came through one proxy, or through three, is refused.",
    ),
)

# --- HAProxy ---------------------------------------------------------------------

HAPROXY = Proxy(
    name="haproxy",
    title="HAProxy",
    certificate="x-ssl-client-cert",
    encoding="base64_der",
    verdict="x-ssl-client-verify",
    success="0",
    failure=("1", "2", "3", "4", "5", "6", "7", "8", "9"),
    conditions=(("x-ssl-client-used", "1"),),
    chain=("x-ssl-client-chain",),
    chain_encoding="base64_der_concatenated",
    client_copies=(
        "Overwritten by set-header without a condition; other spellings are removed by "
        "del-header."
    ),
    traps=(
        (
            "ssl_c_verify is 0 without a certificate too, so ssl_c_used has to be "
            "sent as well."
        ),
        (
            "From about 12 KB of DER (16 KB of Base64), the sample of a certificate is "
            "silently empty and the request continues without it."
        ),
        "set-header with a condition, and add-header, pass a client's copy through.",
        "Names with underscores are passed through unless they are deleted.",
        "The chain is empty if a TLS session is resumed.",
    ),
    reference="https://docs.haproxy.org/3.2/configuration.html#7.3.4-ssl_c_der",
)

HAPROXY_INGRESS = Proxy(
    name="haproxy-ingress",
    title="HAProxy Ingress",
    certificate="x-ssl-client-cert",
    encoding="base64_der",
    verifies=False,
    client_copies=(
        "Overwritten on hosts with auth-tls-secret, according to its documentation "
        "(not tested)."
    ),
    traps=(
        "Nothing is forwarded unless auth-tls-cert-header is true.",
        "Hosts without auth-tls-secret pass a client's own header through.",
        "With another ssl-headers-prefix, the header has another name.",
    ),
    reference="https://haproxy-ingress.github.io/docs/configuration/keys/#auth-tls",
)

# --- other proxies ---------------------------------------------------------------

CADDY = Proxy(
    name="caddy",
    title="Caddy",
    certificate="x-client-cert-der",
    encoding="base64_der",
    verifies=False,
    client_copies=(
        "Overwritten by header_up; names with underscores are dropped since 2.11."
    ),
    traps=(
        (
            "With the modes request and require, unverified certificates are forwarded "
            "and look the same: use verify_if_given or require_and_verify."
        ),
        "The placeholder with the PEM makes an invalid header: every request fails.",
        "A site without the header_up lines passes a client's own header through.",
        (
            "Before 2.11, names with underscores are passed through unless header_up "
            "-*_* removes them."
        ),
        _NO_ED448,
    ),
    reference="https://caddyserver.com/docs/caddyfile/concepts#placeholders",
)

_UNRELIABLE_VERDICT = (
    "With optional_no_ca, the verdict on an untrusted certificate is GENEROUS, but "
    "SUCCESS when its TLS session is resumed, so the verdict is not relied upon."
)
_NO_CHAIN_RESUMED = "The chain is missing if a TLS session is resumed."

APACHE = Proxy(
    name="apache",
    title="Apache httpd, mod_proxy",
    certificate="x-ssl-client-cert",
    encoding="folded_pem",
    verdict="x-ssl-client-verify",
    failure=("FAILED:", "GENEROUS"),
    chain=tuple(f"x-ssl-client-chain-{number}" for number in range(3)),
    chain_encoding="folded_pem",
    verifies=False,
    client_copies=(
        "Overwritten by RequestHeader set; other spellings need RequestHeader unset."
    ),
    traps=(
        _UNRELIABLE_VERDICT,
        (
            "Apache removes every header that a client names in its Connection field: "
            "the application then receives nothing, or the client's copy in another "
            "spelling."
        ),
        "SSLUserName sets REMOTE_USER for unverified certificates too.",
        _NO_CHAIN_RESUMED,
    ),
    reference="https://httpd.apache.org/docs/2.4/mod/mod_ssl.html#envvars",
)

RFC9440 = Proxy(
    name="rfc9440",
    title="Client-Cert of RFC 9440",
    certificate="client-cert",
    encoding="rfc9440",
    chain=("client-cert-chain",),
    chain_encoding="rfc9440_list",
    verifies=False,
    client_copies=(
        "Must be removed (RFC 9440, 4); whether they are depends on the proxy."
    ),
    traps=(
        "The field does not say whether the certificate was verified.",
        (
            "Every route that is not configured to remove a client's own Client-Cert "
            "passes it through."
        ),
    ),
    reference="https://www.rfc-editor.org/rfc/rfc9440.html",
)

# --- in the application server ---------------------------------------------------

_SAFE_ENVIRON = "A client cannot set a key of the environ."

MOD_WSGI = Proxy(
    name="mod_wsgi",
    title="Apache httpd, mod_wsgi",
    source=ValueSource.ENVIRON,
    certificate="SSL_CLIENT_CERT",
    encoding="pem",
    verdict="SSL_CLIENT_VERIFY",
    failure=("FAILED:", "GENEROUS"),
    chain=tuple(f"SSL_CLIENT_CERT_CHAIN_{number}" for number in range(3)),
    chain_encoding="pem",
    verifies=False,
    client_copies=_SAFE_ENVIRON,
    traps=(
        (
            "Needs SSLOptions +ExportCertData; +StdEnvVars alone does not export the "
            "certificate."
        ),
        _UNRELIABLE_VERDICT,
        _NO_CHAIN_RESUMED,
    ),
    reference="https://httpd.apache.org/docs/2.4/mod/mod_ssl.html#ssloptions",
)

UWSGI = Proxy(
    name="uwsgi",
    title="uWSGI with --https",
    source=ValueSource.ENVIRON,
    certificate="HTTPS_CLIENT_CERTIFICATE",
    encoding="latin1_der",
    verifies=False,
    client_copies=_SAFE_ENVIRON,
    traps=(
        "With --https-socket there is no certificate at all: use --https.",
        "HTTPS_DN is not escaped, so a name in it can be forged. It is never read.",
    ),
    reference="https://uwsgi-docs.readthedocs.io/en/latest/HTTPS.html",
)

GUNICORN = Proxy(
    name="gunicorn",
    title="gunicorn with --certfile",
    source=ValueSource.SOCKET,
    certificate="gunicorn.socket",
    encoding="latin1_der",
    verifies=False,
    client_copies="Nothing is read from a header.",
    traps=(
        "ASGI workers provide no certificate: put a proxy in front of them.",
        "Only the client's own certificate is available, never the intermediates.",
    ),
    reference="https://docs.gunicorn.org/en/stable/settings.html#cert-reqs",
)

WERKZEUG = Proxy(
    name="werkzeug",
    title="Werkzeug's development server",
    source=ValueSource.ENVIRON,
    certificate="SSL_CLIENT_CERT",
    encoding="pem",
    verifies=False,
    client_copies=_SAFE_ENVIRON,
    traps=("For development only: do not expose this server to a network.",),
    reference="https://werkzeug.palletsprojects.com/en/stable/serving/",
)

# --- clouds ----------------------------------------------------------------------

_PAST_CLOUDFLARE = (
    "Requests that do not come through Cloudflare must not reach the application."
)

AWS_ALB_VERIFY = Proxy(
    name="aws-alb-verify",
    title="AWS Application Load Balancer, verify with trust store",
    certificate="x-amzn-mtls-clientcert-leaf",
    encoding="escaped_pem",
    verifies=False,
    client_copies="Not documented.",
    traps=(
        (
            "The request contains no verdict, and it is not documented what happens to "
            "a client's own headers on a listener without mutual TLS."
        ),
        "The intermediate certificates are not forwarded: add them to the authority.",
    ),
    reference="https://docs.aws.amazon.com/elasticloadbalancing/latest/application/mutual-authentication.html",
)

AWS_ALB_PASSTHROUGH = Proxy(
    name="aws-alb-passthrough",
    title="AWS Application Load Balancer, passthrough",
    certificate="x-amzn-mtls-clientcert",
    encoding="escaped_pem_chain",
    verifies=False,
    client_copies="Not documented.",
    traps=("The load balancer verifies nothing: Django validates the path.",),
    reference=AWS_ALB_VERIFY.reference,
)

GCP = Proxy(
    name="gcp",
    title="Google Cloud Application Load Balancer",
    certificate="x-client-cert-leaf",
    encoding="rfc9440",
    verdict="x-client-cert-chain-verified",
    success="true",
    failure=("false",),
    conditions=(("x-client-cert-present", "true"),),
    chain=("x-client-cert-chain",),
    chain_encoding="rfc9440_list",
    client_copies=(
        "Overwritten by custom request headers, on the backend services that have them."
    ),
    traps=(
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
    reference="https://docs.cloud.google.com/load-balancing/docs/https/custom-headers-global#mtls-variables",
)

CLOUDFLARE = Proxy(
    name="cloudflare",
    title="Cloudflare, forwarded client certificates",
    certificate="cf-client-cert-der-base64",
    encoding="base64_der",
    verifies=False,
    client_copies=(
        "Headers that begin with Cf- are reserved for Cloudflare, according to its "
        "documentation (not tested)."
    ),
    traps=(
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
    reference="https://developers.cloudflare.com/ssl/client-certificates/forward-a-client-certificate/",
)

CLOUDFLARE_RFC9440 = Proxy(
    name="cloudflare-rfc9440",
    title="Cloudflare, transform rule with RFC 9440",
    certificate="client-cert",
    encoding="rfc9440",
    verdict="cf-cert-verified",
    success="true",
    failure=("false",),
    conditions=(("cf-cert-presented", "true"), ("cf-cert-revoked", "false")),
    chain=("client-cert-chain",),
    chain_encoding="rfc9440_list",
    client_copies="Client-Cert has to be removed by a separate rule.",
    traps=(
        "Verified stays true for a revoked certificate: Cf-Cert-Revoked is read too.",
        (
            "The certificate is forwarded whether or not it was verified: only the "
            "verdict counts."
        ),
        _PAST_CLOUDFLARE,
    ),
    reference="https://developers.cloudflare.com/rules/transform/managed-transforms/reference/#add-tls-client-auth-headers",
)

AZURE_APP_SERVICE = Proxy(
    name="azure-app-service",
    title="Azure App Service",
    certificate="x-arr-clientcert",
    encoding="base64_der",
    verifies=False,
    client_copies=(
        "Overwritten by the front end, according to its documentation (not tested)."
    ),
    traps=(
        "The platform verifies nothing: Django validates the path.",
        (
            "In the optional modes, sources disagree on whether the client has proved "
            "that it holds the key: use clientCertMode=Required."
        ),
        (
            "If another load balancer terminates TLS in front of it, anyone can write "
            "the header."
        ),
    ),
    reference="https://learn.microsoft.com/en-us/azure/app-service/app-service-web-configure-tls-mutual-auth",
)

AZURE_APP_GATEWAY = Proxy(
    name="azure-app-gateway",
    title="Azure Application Gateway",
    certificate="x-client-certificate",
    encoding="escaped_pem",
    verdict="x-client-certificate-verification",
    client_copies="Overwritten by the rewrite set, on rules that it is linked to.",
    traps=(
        (
            "A routing rule without the rewrite set passes a client's own headers "
            "through."
        ),
        (
            "The passthrough mode verifies nothing: set "
            "CLIENTCERT_PROXY_VERIFIES = False."
        ),
    ),
    reference="https://learn.microsoft.com/en-us/azure/application-gateway/rewrite-http-headers-url#mutual-authentication-server-variables",
)

KONG = Proxy(
    name="kong",
    title="Kong Gateway, tls-metadata-headers",
    certificate="x-client-cert",
    encoding="escaped_pem",
    verifies=False,
    client_copies="Not documented.",
    traps=(
        (
            "The plugin forwards any certificate from the TLS handshake: Django "
            "validates the path."
        ),
        "Routes without the plugin pass a client's own header through.",
    ),
    reference="https://developer.konghq.com/plugins/tls-metadata-headers/",
)

# Every proxy above by its name, in the same order
PRESETS = {
    value.name: value for value in tuple(globals().values()) if isinstance(value, Proxy)
}
