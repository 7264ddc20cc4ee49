"""A small project: the settings of the README, with logging off.

On SQLite, or with a database server:
``python -m tests.with_database postgresql -- python -m benchmarks.revocation``.
"""

from __future__ import annotations

import importlib.util
import os

from tests.settings import DATABASES as TESTED_DATABASES

# Packages to compare with, each if it is installed
HAS_REST_FRAMEWORK = importlib.util.find_spec("rest_framework") is not None
USER_DATA_FN = "benchmarks.settings.read_dn"
AUTOCREATE_VALID_SSL_USERS = False

SECRET_KEY = "not a secret: benchmarks only"
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
ROOT_URLCONF = "benchmarks.urls"
USE_TZ = True
# Persistent connections, as in projects for which speed matters.
DATABASES = {"default": {**TESTED_DATABASES["default"], "CONN_MAX_AGE": None}}
if os.environ.get("CLIENTCERT_TEST_DATABASE", "sqlite") == "sqlite":
    DATABASES["default"]["NAME"] = os.environ.get("BENCHMARK_DATABASE", ":memory:")
if os.environ.get("BENCHMARK_PREPARED"):  # PostgreSQL then plans a statement once
    DATABASES["default"]["OPTIONS"] = {
        "server_side_binding": True,
        "prepare_threshold": 1,
    }
INSTALLED_APPS = [
    *(["rest_framework", "rest_framework.authtoken"] if HAS_REST_FRAMEWORK else []),
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django_clientcert",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_clientcert.middleware.ClientCertMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "django_clientcert.backends.ClientCertBackend",
    *(
        f"{module}.{backend}"
        for module, backend in (
            ("django_ssl_auth", "SSLClientAuthBackend"),
            ("django_tls_certificate_auth", "TLSClientCertAuthenticationBackend"),
        )
        if importlib.util.find_spec(module)
    ),
    "django.contrib.auth.backends.ModelBackend",
]
CLIENTCERT_PROXY = "ingress-nginx"
CLIENTCERT_TRUSTED_PROXIES = ["127.0.0.1"]
# False, so that Django validates the path, which is the more expensive way.
CLIENTCERT_PROXY_VERIFIES = False
CLIENTCERT_LAST_USED_INTERVAL = 3600
CLIENTCERT_DECISION_SECONDS = int(os.environ.get("BENCHMARK_DECISION_SECONDS", "0"))
CLIENTCERT_REQUIRE_SECURE = False
LOGGING_CONFIG = None


def read_dn(dn: str) -> dict[str, str]:
    """Return the user of a name, for django-ssl-auth."""
    return {"username": dn.removeprefix("CN=")}
