"""The known proxies, each measured, or taken from its documentation.

A preset whose proxy gives no verdict, or an unreliable one, has ``verifies=False``:
Django then validates the path for every mapping that names an authority. What a proxy
does with a client's own headers, and its pitfalls: ``docs/preset_notes.py``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from .proxy import Proxy, ValueSource

# One that gives no verdict, or an unreliable one
_unverified = partial(Proxy, verifies=False)

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
    reference="https://nginx.org/en/docs/http/ngx_http_ssl_module.html#variables",
)

# --- Traefik ---------------------------------------------------------------------

TRAEFIK_INGRESS_NGINX = Proxy(
    name="traefik-ingress-nginx",
    title="Traefik's provider for ingress-nginx",
    certificate="ssl-client-cert",
    encoding="escaped_pem",
    verdict="ssl-client-verify",
    reference="https://doc.traefik.io/traefik/reference/routing-configuration/kubernetes/ingress-nginx/",
)

TRAEFIK = _unverified(
    name="traefik",
    title="Traefik",
    certificate="x-forwarded-tls-client-cert",
    encoding="base64_der_list",
    reference="https://doc.traefik.io/traefik/reference/routing-configuration/http/middlewares/passtlsclientcert/",
)

# --- Envoy -----------------------------------------------------------------------

ENVOY = _unverified(
    name="envoy",
    title="Envoy",
    certificate="x-forwarded-client-cert",
    encoding="xfcc",
    reference="https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert",
)

ENVOY_GATEWAY = replace(
    ENVOY,
    name="envoy-gateway",
    title="Envoy Gateway",
    reference="https://gateway.envoyproxy.io/docs/api/extension_types/",
)

CONTOUR = replace(
    ENVOY,
    name="contour",
    title="Contour",
    reference="https://projectcontour.io/docs/main/config/tls-termination/",
)

ISTIO = replace(
    ENVOY,
    name="istio",
    title="Istio's gateway",
    reference="https://istio.io/latest/docs/reference/config/networking/proxy-config/#ForwardClientCertDetails",
)

ISTIO_SIDECAR = replace(
    ISTIO,
    name="istio-sidecar",
    title="Istio's gateway followed by a sidecar",
    encoding="xfcc_two_hops",
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
    reference="https://docs.haproxy.org/3.2/configuration.html#7.3.4-ssl_c_der",
)

HAPROXY_INGRESS = _unverified(
    name="haproxy-ingress",
    title="HAProxy Ingress",
    certificate="x-ssl-client-cert",
    encoding="base64_der",
    reference="https://haproxy-ingress.github.io/docs/configuration/keys/#auth-tls",
)

OPENSHIFT = Proxy(
    name="openshift",
    title="OpenShift's router",
    certificate="x-ssl-client-der",
    encoding="base64_der",
    verdict="x-ssl-client-verify",
    success="0",
    success_for_all=True,
    failure=HAPROXY.failure,
    reference="https://docs.openshift.com/container-platform/latest/networking/ingress-operator.html",
)

# --- other proxies ---------------------------------------------------------------

CADDY = _unverified(
    name="caddy",
    title="Caddy",
    certificate="x-client-cert-der",
    encoding="base64_der",
    reference="https://caddyserver.com/docs/caddyfile/concepts#placeholders",
)

# With optional_no_ca, the verdict on an untrusted certificate is GENEROUS, but SUCCESS
# when its TLS session is resumed.
APACHE = _unverified(
    name="apache",
    title="Apache httpd, mod_proxy",
    certificate="x-ssl-client-cert",
    encoding="folded_pem",
    verdict="x-ssl-client-verify",
    failure=("FAILED:", "GENEROUS"),
    chain=tuple(f"x-ssl-client-chain-{number}" for number in range(3)),
    chain_encoding="folded_pem",
    reference="https://httpd.apache.org/docs/2.4/mod/mod_ssl.html#envvars",
)

RFC9440 = _unverified(
    name="rfc9440",
    title="Client-Cert of RFC 9440",
    certificate="client-cert",
    encoding="rfc9440",
    chain=("client-cert-chain",),
    chain_encoding="rfc9440_list",
    reference="https://www.rfc-editor.org/rfc/rfc9440.html",
)

# --- in the application server ---------------------------------------------------

MOD_WSGI = _unverified(
    name="mod_wsgi",
    title="Apache httpd, mod_wsgi",
    source=ValueSource.ENVIRON,
    certificate="SSL_CLIENT_CERT",
    encoding="pem",
    verdict="SSL_CLIENT_VERIFY",
    failure=("FAILED:", "GENEROUS"),
    chain=tuple(f"SSL_CLIENT_CERT_CHAIN_{number}" for number in range(3)),
    chain_encoding="pem",
    reference="https://httpd.apache.org/docs/2.4/mod/mod_ssl.html#ssloptions",
)

UWSGI = _unverified(
    name="uwsgi",
    title="uWSGI with --https",
    source=ValueSource.ENVIRON,
    certificate="HTTPS_CLIENT_CERTIFICATE",
    encoding="latin1_der",
    reference="https://uwsgi-docs.readthedocs.io/en/latest/HTTPS.html",
)

GUNICORN = _unverified(
    name="gunicorn",
    title="gunicorn with --certfile",
    source=ValueSource.SOCKET,
    certificate="gunicorn.socket",
    encoding="latin1_der",
    reference="https://docs.gunicorn.org/en/stable/settings.html#cert-reqs",
)

WERKZEUG = _unverified(
    name="werkzeug",
    title="Werkzeug's development server",
    source=ValueSource.ENVIRON,
    certificate="SSL_CLIENT_CERT",
    encoding="pem",
    reference="https://werkzeug.palletsprojects.com/en/stable/serving/",
)

# --- clouds ----------------------------------------------------------------------

AWS_ALB_VERIFY = _unverified(
    name="aws-alb-verify",
    title="AWS Application Load Balancer, verify with trust store",
    certificate="x-amzn-mtls-clientcert-leaf",
    encoding="escaped_pem",
    reference="https://docs.aws.amazon.com/elasticloadbalancing/latest/application/mutual-authentication.html",
)

AWS_ALB_PASSTHROUGH = _unverified(
    name="aws-alb-passthrough",
    title="AWS Application Load Balancer, passthrough",
    certificate="x-amzn-mtls-clientcert",
    encoding="escaped_pem_chain",
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
    reference="https://docs.cloud.google.com/load-balancing/docs/https/custom-headers-global#mtls-variables",
)

CLOUDFLARE = _unverified(
    name="cloudflare",
    title="Cloudflare, forwarded client certificates",
    certificate="cf-client-cert-der-base64",
    encoding="base64_der",
    reference="https://developers.cloudflare.com/ssl/client-certificates/forward-a-client-certificate/",
)

CLOUDFLARE_RFC9440 = replace(
    RFC9440,
    name="cloudflare-rfc9440",
    title="Cloudflare, transform rule with RFC 9440",
    verdict="cf-cert-verified",
    success="true",
    failure=("false",),
    conditions=(("cf-cert-presented", "true"), ("cf-cert-revoked", "false")),
    verifies=True,
    reference="https://developers.cloudflare.com/rules/transform/managed-transforms/reference/#add-tls-client-auth-headers",
)

CLOUDFRONT = _unverified(
    name="cloudfront",
    title="Amazon CloudFront",
    certificate="cloudfront-viewer-cert-pem",
    encoding="escaped_pem",
    conditions=(("cloudfront-viewer-cert-present", "1"),),
    reference="https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/viewer-mtls-headers.html",
)

AZURE_APP_SERVICE = _unverified(
    name="azure-app-service",
    title="Azure App Service",
    certificate="x-arr-clientcert",
    encoding="base64_der",
    reference="https://learn.microsoft.com/en-us/azure/app-service/app-service-web-configure-tls-mutual-auth",
)

AZURE_APP_GATEWAY = Proxy(
    name="azure-app-gateway",
    title="Azure Application Gateway",
    certificate="x-client-certificate",
    encoding="escaped_pem",
    verdict="x-client-certificate-verification",
    reference="https://learn.microsoft.com/en-us/azure/application-gateway/rewrite-http-headers-url#mutual-authentication-server-variables",
)

AZURE_CONTAINER_APPS = replace(
    ENVOY,
    name="azure-container-apps",
    title="Azure Container Apps",
    reference="https://learn.microsoft.com/en-us/azure/container-apps/client-certificate-authorization",
)

CLOUD_FOUNDRY = _unverified(
    name="cloud-foundry",
    title="Cloud Foundry's router",
    certificate="x-forwarded-client-cert",
    encoding="base64_der",
    reference="https://docs.cloudfoundry.org/concepts/http-routing.html",
)

KONG = _unverified(
    name="kong",
    title="Kong Gateway, tls-metadata-headers",
    certificate="x-client-cert",
    encoding="escaped_pem",
    reference="https://developer.konghq.com/plugins/tls-metadata-headers/",
)

# Every proxy above by its name, in the same order
PRESETS = {
    value.name: value for value in tuple(globals().values()) if isinstance(value, Proxy)
}
