"""Projects and files that the pages refer to."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

from django_clientcert.testing import ThrowawayCA

from .pages import README, find_blocks
from .running import make_environment, run, write_named_block


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ca: ThrowawayCA) -> Path:
    """Change to a folder with the files that the how-tos refer to; return it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.crt").write_text(ca.pem)
    (tmp_path / "stolen.pem").write_text(ca.issue("laptop").pem)
    (tmp_path / "card.pem").write_text(ca.issue("erika").pem)
    (tmp_path / "issuing.crl").write_bytes(ca.crl([4711], number=7))
    for name in ("alice", "device7"):
        get_user_model().objects.create_user(name)
    Group.objects.create(name="staff-portal")
    return tmp_path


URLS = """
from django.contrib import admin
from django.urls import path

from . import views

urlpatterns = [path("admin/", admin.site.urls), path("ledger/", views.ledger)]
"""


@pytest.fixture
def readme_project(tmp_path: Path, ca: ThrowawayCA) -> tuple[Path, dict[str, str]]:
    """Return a project that follows the README, and the environment to run it in."""
    environment = make_environment(tmp_path)
    folder = tmp_path / "project"
    folder.mkdir()
    run("python3 -m django startproject project .", folder, environment)
    for block in find_blocks(README.read_text(encoding="utf-8"), "python"):
        write_named_block(block, folder / "project")
    (folder / "project" / "urls.py").write_text(URLS)
    (folder / "alice.pem").write_text(ca.issue("alice").pem)
    return folder, environment
