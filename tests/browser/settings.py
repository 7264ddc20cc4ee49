"""Settings of the application server: those of the other servers, in any language."""

from __future__ import annotations

from tests.end_to_end.settings import *  # noqa: F403

LANGUAGE_CODE = "en"
ROOT_URLCONF = "tests.browser.urls"
MIDDLEWARE = [
    "tests.browser.policy.forbid_inline_code",
    *MIDDLEWARE,  # noqa: F405
    "django.middleware.locale.LocaleMiddleware",
]
