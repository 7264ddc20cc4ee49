"""The proxies that are known, each measured or read in what its maker says.

A preset whose proxy gives no verdict, or one that cannot be relied upon, does not
verify: the path is validated here then, for every mapping that names an authority.
"""

from __future__ import annotations

from dataclasses import replace

from .proxy import Proxy, Source

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
        "Overwritten, or removed where there is no certificate; only on hosts with the "
        "auth-tls-secret annotation."
    ),
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
    title="nginx",
    certificate="x-ssl-client-cert",
    encoding="escaped_pem",
    verdict="x-ssl-client-verify",
    subject_dn="x-ssl-client-s-dn",
    issuer_dn="x-ssl-client-i-dn",
    client_copies="Overwritten, or removed where the variable is empty.",
    traps=(
        (
            "proxy_set_header overwrites only the names it sets, in the location in "
            "which it stands."
        ),
        "underscores_in_headers on lets other spellings pass.",
    ),
    reference="https://nginx.org/en/docs/http/ngx_http_ssl_module.html#variables",
)

# --- Traefik ---------------------------------------------------------------------

TRAEFIK_INGRESS_NGINX = Proxy(
    name="traefik-ingress-nginx",
    title="Traefik's provider for ingress-nginx",
    certificate="ssl-client-cert",
    encoding="escaped_pem",
    verdict="ssl-client-verify",
    client_copies=(
        "Overwritten; removed without a certificate since Traefik 3.7.3 on hosts with "
        "the auth-tls annotations."
    ),
    traps=(
        (
            "Before 3.7.3, the headers of a client without a certificate pass; the "
            "router for plain HTTP lets them pass in later versions too."
        ),
        "Hosts without the auth-tls annotations let every one of these headers pass.",
        "A header spelt with underscores passes.",
    ),
    reference=(
        "https://doc.traefik.io/traefik/reference/routing-configuration/kubernetes/"
        "ingress-nginx/"
    ),
)

TRAEFIK = Proxy(
    name="traefik",
    title="Traefik",
    certificate="x-forwarded-tls-client-cert",
    encoding="base64_der_list",
    verifies=False,
    client_copies=(
        "Removed, in every spelling since 3.6, from whoever is not in trustedIPs."
    ),
    traps=(
        (
            "From addresses in forwardedHeaders.trustedIPs, and from everybody with "
            "insecure: true, the header of a client without a certificate passes."
        ),
        (
            "With clientAuthType Request or Require, certificates that nobody checked "
            "are forwarded and look the same."
        ),
        (
            "X-Forwarded-Tls-Client-Cert-Info is not quoted inside: a name in it can "
            "be forged. It is never read."
        ),
        (
            "Before 3.6 a name with underscores passes: use a server that drops it, or "
            "a newer Traefik."
        ),
        "A client's Ed448 certificate counts as none.",
    ),
    reference=(
        "https://doc.traefik.io/traefik/reference/routing-configuration/http/"
        "middlewares/passtlsclientcert/"
    ),
)

# --- Envoy -----------------------------------------------------------------------

_XFCC_TRAP = (
    "The header names a certificate whether it was verified or not: validation is "
    "what trusted_ca and require_client_certificate make of it."
)
_XFCC_APPEND = (
    "With FORWARD_ONLY and ALWAYS_FORWARD_ONLY the header is the client's own, and "
    "nothing gives that away: never use them. With APPEND_FORWARD a client writes in "
    "front of the proxy; that is noticed, and refused."
)
_XFCC_UNDERSCORES = (
    "Names with underscores pass unless headers_with_underscores_action says otherwise."
)

_XFCC_KEYS = "A client's Ed25519, Ed448 or P-521 certificate counts as none."

ENVOY = Proxy(
    name="envoy",
    title="Envoy",
    certificate="x-forwarded-client-cert",
    encoding="xfcc",
    verifies=False,
    client_copies="Removed with SANITIZE_SET, the setting to use; and with SANITIZE.",
    traps=(_XFCC_TRAP, _XFCC_APPEND, _XFCC_UNDERSCORES, _XFCC_KEYS),
    reference=(
        "https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/"
        "headers#x-forwarded-client-cert"
    ),
)

CONTOUR = replace(
    ENVOY,
    name="contour",
    title="Contour",
    client_copies="Removed: Contour sets SANITIZE_SET.",
    traps=(
        "Nothing is forwarded unless forwardClientCertificate has cert: true.",
        (
            "With optionalClientCertificate or skipClientCertValidation, certificates "
            "that nobody checked are forwarded and look the same."
        ),
    ),
    reference="https://projectcontour.io/docs/main/config/tls-termination/",
)

ENVOY_GATEWAY = replace(
    ENVOY,
    name="envoy-gateway",
    title="Envoy Gateway",
    client_copies=(
        "Removed with mode: Sanitize, the default, and with SanitizeSet, the "
        "one to use."
    ),
    traps=(
        (
            "Nothing is forwarded unless the ClientTrafficPolicy has "
            "xForwardedClientCert "
            "with mode: SanitizeSet and Cert among certDetailsToAdd."
        ),
        _XFCC_KEYS,
        (
            "With the modes ForwardOnly and AlwaysForwardOnly the header is the "
            "client's own, and nothing gives that away: never use them. With "
            "AppendForward a client writes in front of the proxy; that is noticed, and "
            "refused."
        ),
    ),
    reference="https://gateway.envoyproxy.io/docs/api/extension_types/",
)

ISTIO = replace(
    ENVOY,
    name="istio",
    title="Istio's gateway",
    client_copies="Removed: the gateway sets SANITIZE_SET.",
    traps=(
        (
            "Where a sidecar stands between the gateway and the application, it adds "
            "an element of its own: use istio-sidecar."
        ),
        (
            "With another forwardClientCertDetails than SANITIZE_SET, a client writes "
            "into the header: only with APPEND_FORWARD is that noticed, and refused."
        ),
        _XFCC_KEYS,
    ),
    reference=(
        "https://istio.io/latest/docs/reference/config/networking/proxy-config/"
        "#ForwardClientCertDetails"
    ),
)

ISTIO_SIDECAR = replace(
    ISTIO,
    name="istio-sidecar",
    title="Istio's gateway and a sidecar behind it",
    encoding="xfcc_two_hops",
    client_copies=(
        "The gateway removes them; the sidecar adds itself behind what its client sent."
    ),
    traps=(
        (
            "Any workload of the mesh can call the sidecar and write the gateway's "
            "element itself: set gateway_identity to the gateway's URI, or let an "
            "AuthorizationPolicy admit the gateway alone."
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
        "Overwritten by set-header without a condition; other spellings by del-header."
    ),
    traps=(
        (
            "ssl_c_verify is 0 without a certificate too: ssl_c_used has to be "
            "sent beside it."
        ),
        (
            "From about 12 KB of DER on, which is 16 KB of Base64, the sample of a "
            "certificate is silently empty and the request goes on without it."
        ),
        "set-header with a condition, and add-header, let a client's copy pass.",
        "Names with underscores pass unless they are deleted.",
        "The chain is empty when a TLS session is resumed.",
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
        "Overwritten on hosts with auth-tls-secret; said by its maker, not run."
    ),
    traps=(
        "Nothing is forwarded unless auth-tls-cert-header is true.",
        "Hosts without auth-tls-secret let a client's own header pass.",
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
            "With the modes request and require, certificates that nobody checked are "
            "forwarded and look the same: use verify_if_given or require_and_verify."
        ),
        "The placeholder with the PEM makes an invalid header: every request fails.",
        "A site without the header_up lines lets a client's own header pass.",
        (
            "Before 2.11, names with underscores pass unless header_up -*_* removes "
            "them."
        ),
        "A client's Ed448 certificate counts as none.",
    ),
    reference="https://caddyserver.com/docs/caddyfile/concepts#placeholders",
)

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
        (
            "With optional_no_ca, an untrusted certificate is GENEROUS, and SUCCESS "
            "when its TLS session is resumed: so the verdict is not relied upon."
        ),
        (
            "A client that names a header in its Connection field has Apache remove "
            "it: then nothing is forwarded, or what it wrote in another spelling."
        ),
        "SSLUserName sets REMOTE_USER for certificates that nobody verified.",
        "The chain is missing when a TLS session is resumed.",
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
        "The field says nothing of whether the certificate was verified.",
        (
            "Every route that is not told to remove a client's own Client-Cert "
            "lets it pass."
        ),
    ),
    reference="https://www.rfc-editor.org/rfc/rfc9440.html",
)

# --- in the server ---------------------------------------------------------------

MOD_WSGI = Proxy(
    name="mod_wsgi",
    title="Apache httpd, mod_wsgi",
    source=Source.ENVIRON,
    certificate="SSL_CLIENT_CERT",
    encoding="pem",
    verdict="SSL_CLIENT_VERIFY",
    failure=("FAILED:", "GENEROUS"),
    chain=tuple(f"SSL_CLIENT_CERT_CHAIN_{number}" for number in range(3)),
    chain_encoding="pem",
    verifies=False,
    client_copies="A client cannot set a key of the environ.",
    traps=(
        (
            "Needs SSLOptions +ExportCertData; with +StdEnvVars alone there is no "
            "certificate."
        ),
        (
            "With optional_no_ca, an untrusted certificate is GENEROUS, and SUCCESS "
            "when its TLS session is resumed: so the verdict is not relied upon."
        ),
        "The chain is missing when a TLS session is resumed.",
    ),
    reference="https://httpd.apache.org/docs/2.4/mod/mod_ssl.html#ssloptions",
)

UWSGI = Proxy(
    name="uwsgi",
    title="uWSGI with --https",
    source=Source.ENVIRON,
    certificate="HTTPS_CLIENT_CERTIFICATE",
    encoding="latin1_der",
    verifies=False,
    client_copies="A client cannot set a key of the environ.",
    traps=(
        "Behind --https-socket there is no certificate at all: use --https.",
        "HTTPS_DN is not escaped: a name in it can be forged. It is never read.",
    ),
    reference="https://uwsgi-docs.readthedocs.io/en/latest/HTTPS.html",
)

GUNICORN = Proxy(
    name="gunicorn",
    title="gunicorn with --certfile",
    source=Source.SOCKET,
    certificate="gunicorn.socket",
    encoding="latin1_der",
    verifies=False,
    client_copies="Nothing is read from a header.",
    traps=(
        "Workers for ASGI give no certificate: with them, put a proxy in front.",
        "Only the client's own certificate is there, never those above it.",
    ),
    reference="https://docs.gunicorn.org/en/stable/settings.html#cert-reqs",
)

WERKZEUG = Proxy(
    name="werkzeug",
    title="Werkzeug's development server",
    source=Source.ENVIRON,
    certificate="SSL_CLIENT_CERT",
    encoding="pem",
    verifies=False,
    client_copies="A client cannot set a key of the environ.",
    traps=("It is for development: no server for a network.",),
    reference="https://werkzeug.palletsprojects.com/en/stable/serving/",
)

# --- clouds ----------------------------------------------------------------------

AWS_ALB_VERIFY = Proxy(
    name="aws-alb-verify",
    title="AWS Application Load Balancer, verify with trust store",
    certificate="x-amzn-mtls-clientcert-leaf",
    encoding="escaped_pem",
    verifies=False,
    client_copies="Not documented.",
    traps=(
        (
            "There is no verdict in the request, and no word on what becomes of a "
            "client's own headers on a listener without mutual TLS."
        ),
        (
            "The certificates above the client's are not forwarded: add them to "
            "the authority."
        ),
    ),
    reference=(
        "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/"
        "mutual-authentication.html"
    ),
)

AWS_ALB_PASSTHROUGH = Proxy(
    name="aws-alb-passthrough",
    title="AWS Application Load Balancer, passthrough",
    certificate="x-amzn-mtls-clientcert",
    encoding="escaped_pem_chain",
    verifies=False,
    client_copies="Not documented.",
    traps=("The load balancer verifies nothing: the path is validated here.",),
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
        "Custom request headers overwrite them, on the backend service that has them."
    ),
    traps=(
        "The headers have the names that you give them: give them these.",
        (
            "Other customers' load balancers connect from the same addresses: set "
            "CLIENTCERT_PROXY_SECRET."
        ),
        "A certificate longer than 16 KB is left out of the request.",
        "A backend service without these custom headers lets a client's own pass.",
    ),
    reference=(
        "https://docs.cloud.google.com/load-balancing/docs/https/"
        "custom-headers-global#mtls-variables"
    ),
)

CLOUDFLARE = Proxy(
    name="cloudflare",
    title="Cloudflare, forwarded client certificates",
    certificate="cf-client-cert-der-base64",
    encoding="base64_der",
    verifies=False,
    client_copies=(
        "Headers that begin with Cf- are Cloudflare's; said by its maker, not run."
    ),
    traps=(
        (
            "The certificate is forwarded whatever was found of it: the path is "
            "validated here."
        ),
        (
            "Its pages contradict each other on whether the certificate comes with "
            "every request of a connection."
        ),
        "Requests that do not come through Cloudflare must not reach the application.",
    ),
    reference=(
        "https://developers.cloudflare.com/ssl/client-certificates/"
        "forward-a-client-certificate/"
    ),
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
    client_copies="Client-Cert has to be removed by a rule of its own.",
    traps=(
        "Verified stays true for a revoked certificate: Cf-Cert-Revoked is read too.",
        (
            "The certificate is there whatever was found of it: the verdict is "
            "what counts."
        ),
        "Requests that do not come through Cloudflare must not reach the application.",
    ),
    reference=(
        "https://developers.cloudflare.com/rules/transform/managed-transforms/"
        "reference/#add-tls-client-auth-headers"
    ),
)

AZURE_APP_SERVICE = Proxy(
    name="azure-app-service",
    title="Azure App Service",
    certificate="x-arr-clientcert",
    encoding="base64_der",
    verifies=False,
    client_copies="Overwritten by the front end; said by its maker, not run.",
    traps=(
        "The platform verifies nothing: the path is validated here.",
        (
            "In the optional modes, whether the client proved that it has the key is "
            "disputed: use clientCertMode=Required."
        ),
        (
            "Behind another load balancer, TLS ends there: the header then comes from "
            "whoever writes it."
        ),
    ),
    reference=(
        "https://learn.microsoft.com/en-us/azure/app-service/"
        "app-service-web-configure-tls-mutual-auth"
    ),
)

AZURE_APP_GATEWAY = Proxy(
    name="azure-app-gateway",
    title="Azure Application Gateway",
    certificate="x-client-certificate",
    encoding="escaped_pem",
    verdict="x-client-certificate-verification",
    client_copies="Overwritten by the rewrite set, on rules that it is linked to.",
    traps=(
        "A routing rule without the rewrite set lets a client's own headers pass.",
        (
            "In the passthrough mode nothing is verified: set "
            "CLIENTCERT_PROXY_VERIFIES = False."
        ),
    ),
    reference=(
        "https://learn.microsoft.com/en-us/azure/application-gateway/"
        "rewrite-http-headers-url#mutual-authentication-server-variables"
    ),
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
            "The plugin forwards whatever the TLS handshake brought: the path is "
            "validated here."
        ),
        "Routes without the plugin let a client's own header pass.",
    ),
    reference="https://developer.konghq.com/plugins/tls-metadata-headers/",
)

PRESETS = {
    proxy.name: proxy
    for proxy in (
        INGRESS_NGINX,
        NGINX,
        TRAEFIK_INGRESS_NGINX,
        TRAEFIK,
        ENVOY,
        ENVOY_GATEWAY,
        CONTOUR,
        ISTIO,
        ISTIO_SIDECAR,
        HAPROXY,
        HAPROXY_INGRESS,
        CADDY,
        APACHE,
        MOD_WSGI,
        UWSGI,
        GUNICORN,
        WERKZEUG,
        RFC9440,
        AWS_ALB_VERIFY,
        AWS_ALB_PASSTHROUGH,
        GCP,
        CLOUDFLARE,
        CLOUDFLARE_RFC9440,
        AZURE_APP_SERVICE,
        AZURE_APP_GATEWAY,
        KONG,
    )
}
