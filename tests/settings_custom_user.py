"""The settings of the tests, with a user model of the project's own."""

from __future__ import annotations

from .settings import *  # noqa: F403
from .settings import DATABASES, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.custom_user"]
AUTH_USER_MODEL = "custom_user.Member"

# A database of its own: the suite that runs the tests with these settings is
# still at work in the other one.
if DATABASES["default"]["NAME"] != ":memory:":
    DATABASES["default"]["TEST"] = {"NAME": "test_custom_user"}
