"""Settings of the application server: those of the other servers, in any language."""

from __future__ import annotations

import os

from tests.end_to_end.settings import *  # noqa: F403

LANGUAGE_CODE = os.environ.get("BROWSER_LANGUAGE", "en")
MIDDLEWARE = [
    "tests.browser.policy.forbid_inline_code",
    *MIDDLEWARE,  # noqa: F405
]
