"""Settings of the application servers: the README's, and a database in a file."""

from __future__ import annotations

import json
import os
from datetime import timedelta

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
_differences = json.loads(os.environ.get("END_TO_END_SETTINGS", "{}"))
if "CLIENTCERT_LAST_USED_INTERVAL" in _differences:
    _seconds = _differences.pop("CLIENTCERT_LAST_USED_INTERVAL")
    CLIENTCERT_LAST_USED_INTERVAL = timedelta(seconds=_seconds)
globals().update(_differences)
