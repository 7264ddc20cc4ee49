"""What every screen of our own keeps to, found in the tables of the model admins."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.test import Client, RequestFactory
from django.views.debug import ExceptionReporter

from django_clientcert.admin.base.base_admin import ClientCertModelAdmin
from django_clientcert.admin.base.screens import ROW_PERMISSIONS, screen

from .pages import log_in, make_staff, page

pytestmark = pytest.mark.django_db

SECRET = "correct horse battery staple"

SCREENS = [
    (f"{model._meta.app_label}_{model._meta.model_name}_{name}", path, view)
    for model, model_admin in admin.site._registry.items()
    if isinstance(model_admin, ClientCertModelAdmin)
    for path, view, name in model_admin.screens
]
PAGES = [(name, path) for name, path, _view in SCREENS]


def url_of(name: str, path: str) -> str:
    """Return the URL of a screen, with a key if it takes one."""
    return page(name, *([1] if "<" in path else []))


def test_there_are_screens() -> None:
    """Each has a path of its own."""
    assert len(SCREENS) > 10
    assert len({url_of(*row) for row in PAGES}) == len(SCREENS)


@pytest.mark.parametrize(("name", "path", "view"), SCREENS)
def test_every_screen_names_a_permission(name: str, path: str, view: Any) -> None:
    """A screen of one row names a permission that is asked about the row."""
    permissions = getattr(view, "func", view).permissions
    assert all(permissions), name
    if "<" in path and not name.endswith("_import_preview"):  # kept for one user
        assert "<path:object_id>" in path, name
        assert ROW_PERMISSIONS & {*permissions}, name


def test_a_screen_without_a_permission_cannot_be_written() -> None:
    """The decorator has no default."""
    with pytest.raises(TypeError):
        screen()  # type: ignore[call-arg]


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(("name", "path"), PAGES)
def test_nobody_without_permissions(name: str, path: str, method: str) -> None:
    """Neither a staff user who may do nothing, nor anyone who is not logged in."""
    url = url_of(name, path)
    staff = log_in(make_staff("staff"))
    assert getattr(staff, method)(url).status_code == 403, name
    response = getattr(Client(), method)(url)
    assert response.status_code == 302
    assert response["Location"].startswith(page("login"))


@pytest.mark.parametrize(("name", "path"), PAGES)
def test_no_post_without_a_token(name: str, path: str, root: Any) -> None:
    """Another site cannot make a superuser's browser send one."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(root, "django.contrib.auth.backends.ModelBackend")
    assert client.post(url_of(name, path), {"post": "yes"}).status_code == 403


class Rows:
    """A model admin whose user has some of the permissions, on some rows."""

    def __init__(self, row: Any = None, **permissions: Any) -> None:
        self.row = row
        self.permissions = permissions

    def get_object(self, request: Any, key: str) -> Any:
        """Return the row."""
        return self.row

    def __getattr__(self, name: str) -> Any:
        """Return the method that asks for a permission."""
        if name.startswith("has_") and name.endswith("_permission"):
            allowed = self.permissions[name[len("has_") : -len("_permission")]]
            return lambda request, *row: allowed if not row else allowed == row[0]
        raise AttributeError(name)


@screen("add", "view")
def show_row(model_admin: Any, request: Any, *row: Any) -> HttpResponse:
    """Return the row."""
    return HttpResponse(*row)


def request_page(rows: Rows, **arguments: str) -> bytes:
    """Return what the screen shows."""
    request = RequestFactory().get("/")
    return show_row(rows, request, **arguments).content  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["add", "view"])
def test_every_permission_is_needed(missing: str) -> None:
    """The view is not even called without one of them."""
    assert request_page(Rows(add=True, view=True)) == b""
    with pytest.raises(PermissionDenied):
        request_page(Rows(**{"add": True, "view": True, missing: False}))


def test_the_permission_is_asked_about_the_row() -> None:
    """The view gets only a row that the user may view."""
    assert request_page(Rows("mine", add=True, view="mine"), object_id="1") == b"mine"
    with pytest.raises(PermissionDenied):
        request_page(Rows("yours", add=True, view="mine"), object_id="1")
    with pytest.raises(PermissionDenied):
        request_page(Rows("mine", add="", view="mine"), object_id="1")
    with pytest.raises(Http404):
        request_page(Rows(None, add=True, view="mine"), object_id="1")


@pytest.mark.parametrize("debug", [True, False])
def test_n66_reports_hide_everything_that_was_sent(settings: Any, debug: bool) -> None:
    """Neither what was posted nor a variable of the view is in a report of an error."""
    settings.DEBUG = debug

    @screen("view")
    def view(model_admin: Any, request: Any) -> HttpResponse:
        local = request.POST["pasted"]
        raise ValueError(len(local))

    request = RequestFactory().post("/", {"pasted": SECRET})
    try:
        view(Rows(view=True), request)
    except ValueError as error:
        reporter = ExceptionReporter(request, type(error), error, error.__traceback__)
    html, text = reporter.get_traceback_html(), reporter.get_traceback_text()
    assert "ValueError" in html
    assert SECRET not in html
    assert SECRET not in text
