"""Settings of the site that a browser looks at: languages, and a database in a file."""

from __future__ import annotations

import os

from tests import settings as base
from tests.settings import *  # noqa: F403

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("BROWSER_DATABASE", ":memory:"),
        "OPTIONS": {"transaction_mode": "IMMEDIATE"},
    }
}
ROOT_URLCONF = "tests.browser.urls"
# The language is the browser's: a right-to-left one has its own style sheets.
MIDDLEWARE = list(base.MIDDLEWARE)
MIDDLEWARE.insert(
    1 + MIDDLEWARE.index("django.contrib.sessions.middleware.SessionMiddleware"),
    "django.middleware.locale.LocaleMiddleware",
)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True

CLIENTCERT_PROXY = "nginx"
CLIENTCERT_TRUSTED_PROXIES = ["127.0.0.1"]
