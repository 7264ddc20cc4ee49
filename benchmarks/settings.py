"""A small project: as the README says, with logging off."""

from __future__ import annotations

import os

SECRET_KEY = "not a secret: benchmarks only"
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "benchmarks.urls"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("BENCHMARK_DATABASE", ":memory:"),
        # Connections stay open, as SPEED matters most where they do.
        "CONN_MAX_AGE": None,
    }
}
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
# Not True: a path is validated by the app, the dearer way
CLIENTCERT_PROXY_VERIFIES = False
