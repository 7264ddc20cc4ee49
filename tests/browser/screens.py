"""Every screen of the admin: its address, and what to do there before one looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django_clientcert.testing import encode_escaped_pem

from .site import Site

APP = "/admin/django_clientcert/"

Act = Callable[[Any, Site], None]


@dataclass(frozen=True)
class Screen:
    """A page; *url* is the name of its address, *act* is done there at first."""

    name: str
    url: str
    path: str
    act: Act | None = None


def _press(page: Any, text: str) -> None:
    with page.expect_navigation():
        page.get_by_role("button", name=text).first.click()


def _explain(page: Any, site: Site) -> None:
    page.get_by_label("Or the header value").fill(
        encode_escaped_pem(site.clients["stranger"].der)
    )
    _press(page, "Explain")


def _explain_nothing(page: Any, site: Site) -> None:
    _press(page, "Explain")


def _add_nothing(page: Any, site: Site) -> None:
    _press(page, "Save")


def _preview_mapping(page: Any, site: Site) -> None:
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option("map_by_email")
    # “Go” in Django 5.2, and “Run” in 6.1
    with page.expect_navigation():
        page.locator("button[name=index]").click()


def _upload_nonsense(page: Any, site: Site) -> None:
    page.locator("input[type=file]").set_input_files(
        {"name": "a.csv", "mimeType": "text/csv", "buffer": b"hello"}
    )
    _press(page, "Preview")


def list_screens(rows: dict[str, Any]) -> Iterator[Screen]:
    """Yield the screens; *rows* has the key of a row of each model."""
    for model in (
        "certificatemapping",
        "certificateauthority",
        "revocationlist",
        "revocation",
        "seencertificate",
        "unknowncertificate",
    ):
        begin, key = f"{APP}{model}/", rows[model]
        yield Screen(f"{model}-list", f"{model}_changelist", begin)
        yield Screen(f"{model}-empty-list", f"{model}_changelist", f"{begin}?q=nothing")
        if model not in ("seencertificate", "unknowncertificate"):
            yield Screen(f"{model}-add", f"{model}_add", f"{begin}add/")
            yield Screen(
                f"{model}-add-errors", f"{model}_add", f"{begin}add/", _add_nothing
            )
        yield Screen(f"{model}-change", f"{model}_change", f"{begin}{key}/change/")
        yield Screen(f"{model}-history", f"{model}_history", f"{begin}{key}/history/")
        if model != "seencertificate":
            yield Screen(f"{model}-delete", f"{model}_delete", f"{begin}{key}/delete/")
    mapping = f"{APP}certificatemapping/"
    key, unknown = rows["certificatemapping"], rows["unknowncertificate"]
    own = "certificatemapping"
    yield Screen("index", "app_list", APP)
    yield Screen("map-unknown", f"{own}_add", f"{mapping}add/?unknown={unknown}")
    yield Screen("renew", f"{own}_renew", f"{mapping}{key}/renew/")
    yield Screen("explain", f"{own}_explain", f"{mapping}explain/")
    yield Screen("explain-answer", f"{own}_explain", f"{mapping}explain/", _explain)
    yield Screen(
        "explain-errors", f"{own}_explain", f"{mapping}explain/", _explain_nothing
    )
    yield Screen(
        "explain-accepted", f"{own}_explain", f"{mapping}explain/?mapping={key}"
    )
    yield Screen("timeline", f"{own}_timeline", f"{mapping}timeline/?show=quarter")
    yield Screen("import", f"{own}_import", f"{mapping}import/")
    yield Screen(
        "import-errors", f"{own}_import", f"{mapping}import/", _upload_nonsense
    )
    yield Screen(
        "import-preview",
        f"{own}_import_preview",
        f"{mapping}import/{rows['pendingimport']}/",
    )
    yield Screen("export", f"{own}_export", f"{mapping}export/")
    yield Screen("revoke", f"{own}_revoke", f"{mapping}revoke/?_selected_action={key}")
    seen = f"{APP}seencertificate/"
    yield Screen(
        "revoke-seen",
        "seencertificate_revoke",
        f"{seen}revoke/?_selected_action={rows['seencertificate']}",
    )
    yield Screen(
        "map-several",
        "unknowncertificate_map_san_email",
        f"{APP}unknowncertificate/",
        _preview_mapping,
    )


# Addresses that are no screens of their own
NO_SCREENS = {
    "certificatemapping_pem": "a file",
    "seencertificate_pem": "a file",
    "unknowncertificate_pem": "a file",
    "seencertificate_add": "always refused",
    "seencertificate_delete": "always refused",
    "unknowncertificate_add": "always refused",
    "unknowncertificate_map_san_upn": "the same as map_san_email",
}
