"""A small project: the settings of the README, with logging off.

On SQLite, or with a database server:
``python -m tests.with_database postgresql -- python -m benchmarks.revocation``.
"""

from __future__ import annotations

import os

from tests.settings import DATABASES as TESTED_DATABASES

SECRET_KEY = "not a secret: benchmarks only"
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "benchmarks.urls"
USE_TZ = True
# Persistent connections, as in projects for which speed matters.
DATABASES = {"default": {**TESTED_DATABASES["default"], "CONN_MAX_AGE": None}}
if os.environ.get("CLIENTCERT_TEST_DATABASE", "sqlite") == "sqlite":
    DATABASES["default"]["NAME"] = os.environ.get("BENCHMARK_DATABASE", ":memory:")
INSTALLED_APPS = [
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
    "django.contrib.auth.backends.ModelBackend",
]
CLIENTCERT_PROXY = "ingress-nginx"
CLIENTCERT_TRUSTED_PROXIES = ["127.0.0.1"]
# False, so that Django validates the path, which is the more expensive way.
CLIENTCERT_PROXY_VERIFIES = False
