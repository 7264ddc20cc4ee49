"""Settings of the example project: those of the README, and what any site needs.

Deployment settings come from environment variables; the table in
``docs/howto/kubernetes.md`` lists all of them. Without any, these are the settings of
the demonstration that ``demo.py`` has prepared in the folder ``.demo``.
"""

from __future__ import annotations

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

PROJECT = Path(__file__).resolve().parent.parent


def read_list(name: str, default: str) -> list[str]:
    """Return the environment variable *name*, a list separated by commas."""
    value = os.environ.get(name, default)
    return [part.strip() for part in value.split(",") if part.strip()]


def read_boolean(name: str, *, default: bool) -> bool:
    """Return the environment variable *name*, ``true`` or ``false``.

    Raises:
        ImproperlyConfigured: it is neither, so a typing error never changes a setting.
    """
    value = os.environ.get(name, str(default)).lower()
    if value not in ("true", "false"):
        raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")
    return value == "true"


def read_secret_key() -> str:
    """Return the key that signs sessions, from the environment or the demonstration.

    Raises:
        ImproperlyConfigured: there is none.
    """
    if key := os.environ.get("DJANGO_SECRET_KEY"):
        return key
    try:
        return (DATA_FOLDER / "secret-key.txt").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise ImproperlyConfigured(
            "Set DJANGO_SECRET_KEY, or start example_project/demo.py once."
        ) from None


DATA_FOLDER = Path(os.environ.get("EXAMPLE_DATA_FOLDER", PROJECT.parent / ".demo"))
SECRET_KEY = read_secret_key()
DEBUG = read_boolean("DJANGO_DEBUG", default=False)
ALLOWED_HOSTS = read_list("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_clientcert",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_clientcert.middleware.ClientCertMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "django_clientcert.backends.ClientCertBackend",
    "django.contrib.auth.backends.ModelBackend",
]

# --- client certificates -------------------------------------------------------------

# demo.py --proxy chooses another one.
CLIENTCERT_PROXY = os.environ.get("CLIENTCERT_PROXY", "ingress-nginx")
# The trusted peers: nginx on this machine, or the network of the pods in which the
# ingress controller runs.
CLIENTCERT_TRUSTED_PROXIES = read_list("CLIENTCERT_TRUSTED_PROXIES", "127.0.0.1")
if "CLIENTCERT_HOSTS" in os.environ:
    CLIENTCERT_HOSTS = read_list("CLIENTCERT_HOSTS", "")
# False with "optional_no_ca", with which nginx forwards certificates that it could not
# verify, so that Django verifies them. Unset, it depends on the proxy's preset.
if "CLIENTCERT_PROXY_VERIFIES" in os.environ:
    CLIENTCERT_PROXY_VERIFIES = read_boolean("CLIENTCERT_PROXY_VERIFIES", default=True)

# nginx sets this header on every request, so no client can forge it.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- everything else -----------------------------------------------------------------

ROOT_URLCONF = "example.urls"
WSGI_APPLICATION = "example.wsgi.application"
ASGI_APPLICATION = "example.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_FOLDER / "db.sqlite3",
        # Readers and the one writer do not wait for each other.
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL;",
        },
    }
}
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = DATA_FOLDER / "static"

SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SILENCED_SYSTEM_CHECKS = [
    # ingress-nginx sends Strict-Transport-Security, and redirects to HTTPS.
    "security.W004",
    "security.W008",
    # gunicorn.conf.py raises the limit for a header line.
    "clientcert.W034",
    # gunicorn drops names with underscores, and so does nginx: their defaults.
    "clientcert.W035",
]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    # Not a line for every 403 and 404: the package logs the reason of refusals.
    "loggers": {"django.request": {"level": "ERROR"}},
}
