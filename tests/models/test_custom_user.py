"""A user model of the project's own: the tests of requests once more, with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]
# What reads users: the query, the views, the commands, the checks; the tests of
# the admin choose for themselves
FILES = [
    "tests/face/test_checks.py",
    "tests/commands/test_map.py",
    "tests/models/test_databases.py",
    "tests/evaluation/test_flow.py",
    "tests/models/test_models.py",
    "tests/face/test_requests.py",
]

pytestmark = pytest.mark.skipif(
    settings.AUTH_USER_MODEL != "auth.User", reason="these are the other settings"
)


def run(*arguments: str) -> Any:
    """Run a module of Python with the other settings; the output is in a failure."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings_custom_user"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_suite_passes_with_a_user_model_of_ones_own() -> None:
    """Its primary key is a UUID, and its columns stand in two tables."""
    quick = ["-k", "not uses_the_index"]
    done = run("pytest", "-p", "no:cacheprovider", "-q", *quick, *FILES)
    assert done.returncode == 0, done.stdout


def test_no_migration_is_missing_with_it() -> None:
    """A foreign key to another model is no change of ours."""
    done = run("django", "makemigrations", "--check", "--dry-run")
    assert done.returncode == 0, done.stdout
