"""Fixtures: people who are logged in to the admin, each with other permissions."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from .pages import all_permissions, log_in, make_staff


@pytest.fixture
def root(db: None) -> Any:
    """A superuser."""
    return get_user_model().objects.create_superuser("root", "root@example.com")


@pytest.fixture
def as_root(root: Any) -> Client:
    """The superuser, logged in."""
    return log_in(root)


@pytest.fixture
def as_viewer(db: None) -> Client:
    """A user who may view mappings and nothing else, logged in."""
    return log_in(make_staff("viewer", "view_certificatemapping"))


@pytest.fixture
def helper(db: None) -> Any:
    """A staff user with every permission on mappings and authorities, and no other."""
    return make_staff(
        "helper", *all_permissions("certificatemapping", "certificateauthority")
    )


@pytest.fixture
def as_helper(helper: Any) -> Client:
    """The helper, logged in."""
    return log_in(helper)
