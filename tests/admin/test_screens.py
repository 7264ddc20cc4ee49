"""What every screen of our own keeps to, found in the tables of the model admins."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.views.debug import ExceptionReporter

from django_clientcert.admin.base.base_admin import ClientCertModelAdmin
from django_clientcert.admin.base.screens import screen

from .pages import log_in, make_staff, page

pytestmark = pytest.mark.django_db

SECRET = "correct horse battery staple"

SCREENS = [
    (f"{model._meta.app_label}_{model._meta.model_name}_{name}", path)
    for model, model_admin in admin.site._registry.items()
    if isinstance(model_admin, ClientCertModelAdmin)
    for path, _view, name in model_admin.screens
]


def url_of(name: str, path: str) -> str:
    """Return the URL of a screen, with a key if it takes one."""
    return page(name, *([1] if "<" in path else []))


def test_there_are_screens() -> None:
    """Each has a path of its own."""
    assert len(SCREENS) > 10
    assert len({url_of(*row) for row in SCREENS}) == len(SCREENS)


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(("name", "path"), SCREENS)
def test_nobody_without_permissions(name: str, path: str, method: str) -> None:
    """Neither a staff user who may do nothing, nor anyone who is not logged in."""
    url = url_of(name, path)
    staff = log_in(make_staff("staff"))
    response = getattr(staff, method)(url)
    assert response.status_code == 403 or "renew" in name, name
    if response.status_code != 403:  # Django's own answer to a key that is not there
        assert response.status_code == 302
    response = getattr(Client(), method)(url)
    assert response.status_code == 302
    assert response["Location"].startswith(page("login"))


@pytest.mark.parametrize(("name", "path"), SCREENS)
def test_no_post_without_a_token(name: str, path: str, root: Any) -> None:
    """Another site cannot make a superuser's browser send one."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(root, "django.contrib.auth.backends.ModelBackend")
    assert client.post(url_of(name, path), {"post": "yes"}).status_code == 403


class Rows:
    """A model admin whose user has some of the permissions."""

    def __init__(self, **permissions: bool) -> None:
        self.permissions = permissions

    def __getattr__(self, name: str) -> Any:
        """Return the method that asks for a permission."""
        if name.startswith("has_") and name.endswith("_permission"):
            middle = name.removeprefix("has_").removesuffix("_permission")
            return lambda request: self.permissions[middle]
        raise AttributeError(name)


@pytest.mark.parametrize("missing", ["add", "view"])
def test_every_permission_is_needed(missing: str) -> None:
    """The view is not even called without one of them."""

    @screen("add", "view")
    def view(model_admin: Any, request: Any) -> HttpResponse:
        raise AssertionError

    rows = Rows(**{"add": True, "view": True, missing: False})
    with pytest.raises(PermissionDenied):
        view(rows, RequestFactory().get("/"))


@pytest.mark.parametrize("debug", [True, False])
def test_n66_reports_hide_everything_that_was_sent(settings: Any, debug: bool) -> None:
    """Neither what was posted nor a variable of the view is in a report of an error."""
    settings.DEBUG = debug

    @screen()
    def view(model_admin: Any, request: Any) -> HttpResponse:
        local = request.POST["pasted"]
        raise ValueError(len(local))

    request = RequestFactory().post("/", {"pasted": SECRET})
    try:
        view(Rows(), request)
    except ValueError as error:
        reporter = ExceptionReporter(request, type(error), error, error.__traceback__)
    html, text = reporter.get_traceback_html(), reporter.get_traceback_text()
    assert "ValueError" in html
    assert SECRET not in html
    assert SECRET not in text
