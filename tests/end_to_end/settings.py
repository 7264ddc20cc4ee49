"""Settings of the application servers: the README's, and a database in a file."""

from __future__ import annotations

import json
import os

from tests.settings import *  # noqa: F403

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["END_TO_END_DATABASE"],
    }
}
ALLOWED_HOSTS = ["localhost", "127.0.0.1", ".example.com"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

CLIENTCERT_TRUSTED_PROXIES = ["127.0.0.1"]
# What one server differs in
globals().update(json.loads(os.environ.get("END_TO_END_SETTINGS", "{}")))
