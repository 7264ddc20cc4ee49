"""Settings of the test project: what the README tells a user to write."""

from __future__ import annotations

import os

import django
from django.core.exceptions import ImproperlyConfigured

SECRET_KEY = "not a secret: tests only"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1", ".example.com"]
ROOT_URLCONF = "tests.urls"
USE_TZ = True

# In memory, unless the environment names a server; ``python -m
# tests.with_database`` starts one and sets these variables.
_ENGINES = {
    "sqlite": "django.db.backends.sqlite3",
    "postgresql": "django.db.backends.postgresql",
    "mariadb": "django.db.backends.mysql",
}
_database = os.environ.get("CLIENTCERT_TEST_DATABASE", "sqlite")
if _database not in _ENGINES:
    raise ImproperlyConfigured(
        f"CLIENTCERT_TEST_DATABASE is {_database!r}: use one of {', '.join(_ENGINES)}."
    )
DATABASES = {"default": {"ENGINE": _ENGINES[_database], "NAME": ":memory:"}}
if _database != "sqlite":
    for _part in ("HOST", "PORT", "USER", "PASSWORD", "NAME"):
        DATABASES["default"][_part] = os.environ.get(
            f"CLIENTCERT_TEST_DATABASE_{_part}", ""
        )

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_URL = "static/"

# Django 6.1 wants to know by whom mail is sent; EMAIL_BACKEND is for older ones.
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}

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
]
AUTHENTICATION_BACKENDS = [
    "django_clientcert.backends.ClientCertBackend",
    "django.contrib.auth.backends.ModelBackend",
]
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

CLIENTCERT_PROXY = "ingress-nginx"
CLIENTCERT_TRUSTED_PROXIES = ["10.0.0.0/8", "127.0.0.1"]
