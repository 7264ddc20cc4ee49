"""Every screen of the admin, where it is and how one gets there.

A new page belongs in here: ``test_screens.py`` compares the list with the addresses
that the admin has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlencode

from django.urls import reverse
from playwright.sync_api import Page

from . import steps
from .pki import ADMINISTRATOR, AUDITOR
from .site import Site

APP = "django_clientcert"
_SELECTED = "_selected_action"


class Screen(NamedTuple):
    """A screen: ``page`` is the name of its address, without that of the app.

    *row* names what it is about, *query* is put behind the address (``{name}`` is the
    key of a row), and *do* goes from there to what is to be seen. *person* looks at it.
    """

    name: str
    page: str
    row: str = ""
    query: dict[str, str] | None = None
    do: Callable[[Page, Site], None] | None = None
    person: str = ADMINISTRATOR

    @property
    def url_name(self) -> str:
        """The name of its address in the admin."""
        return self.page if self.page == "app_list" else f"{APP}_{self.page}"

    def address(self, site: Site) -> str:
        """Return where it is."""
        arguments = [APP] if self.page == "app_list" else []
        if self.row:
            arguments.append(site.rows[self.row])
        query = {
            name: value.format_map(site.rows)
            for name, value in (self.query or {}).items()
        }
        path = reverse(f"admin:{self.url_name}", args=arguments)
        return f"{site.url}{path}" + (f"?{urlencode(query)}" if query else "")

    def show(self, page: Page, site: Site) -> None:
        """Go there."""
        answer = page.goto(self.address(site))
        assert answer is not None
        assert answer.status == 200, answer.status
        if self.do is not None:
            self.do(page, site)


MAPPING, AUTHORITY, LIST, REVOCATION, SEEN, UNKNOWN = (
    "certificatemapping",
    "certificateauthority",
    "revocationlist",
    "revocation",
    "seencertificate",
    "unknowncertificate",
)


def _of_model(name: str, model: str, row: str) -> list[Screen]:
    """Return the screens that every model has."""
    return [
        Screen(f"{name}-list", f"{model}_changelist"),
        Screen(f"{name}-change", f"{model}_change", row),
        Screen(f"{name}-delete", f"{model}_delete", row),
        Screen(f"{name}-history", f"{model}_history", row),
    ]


def _to_add(name: str, model: str) -> list[Screen]:
    return [
        Screen(f"{name}-add", f"{model}_add"),
        Screen(f"{name}-add-error", f"{model}_add", do=steps.send),
    ]


SCREENS = (
    Screen("app", "app_list"),
    *_of_model("mapping", MAPPING, "erika"),
    Screen("mapping-list-empty", f"{MAPPING}_changelist", query={"q": "nothing"}),
    Screen("mapping-view", f"{MAPPING}_change", "erika", person=AUDITOR),
    *_to_add("mapping", MAPPING),
    Screen(
        "mapping-add-from-inbox",
        f"{MAPPING}_add",
        query={"unknown": "{renewal unknown}"},
    ),
    Screen("mapping-revoked", f"{MAPPING}_change", "leo"),
    Screen("mapping-saved", f"{MAPPING}_change", "billing", do=steps.save_again),
    Screen(
        "mapping-change-error",
        f"{MAPPING}_change",
        "erika",
        do=steps.fill("value", "CN=,,,"),
    ),
    Screen(
        "mapping-delete-selected", f"{MAPPING}_changelist", do=steps.act("delete_selected")
    ),
    Screen("mapping-history-empty", f"{MAPPING}_history", "billing"),
    Screen("mapping-renew", f"{MAPPING}_renew", "erika"),
    Screen("mapping-renew-error", f"{MAPPING}_renew", "erika", do=steps.send),
    Screen("mapping-revoke", f"{MAPPING}_changelist", do=steps.act("revoke")),
    Screen(
        "mapping-revoke-error",
        f"{MAPPING}_revoke",
        query={_SELECTED: "{erika}"},
        do=steps.fill("note", "-----BEGIN PRIVATE KEY-----"),
    ),
    Screen("mapping-revoke-nothing", f"{MAPPING}_revoke"),
    Screen("explain", f"{MAPPING}_explain"),
    Screen("explain-error", f"{MAPPING}_explain", do=steps.send),
    Screen("explain-accepted", f"{MAPPING}_explain", query={"seen": "{seen}"}),
    Screen(
        "explain-refused", f"{MAPPING}_explain", query={"unknown": "{foreign unknown}"}
    ),
    Screen(
        "explain-awkward", f"{MAPPING}_explain", query={"unknown": "{awkward unknown}"}
    ),
    Screen("explain-gone", f"{MAPPING}_explain", query={"unknown": "0"}),
    Screen("timeline", f"{MAPPING}_timeline"),
    Screen("timeline-numbers", f"{MAPPING}_timeline", do=steps.open_details),
    Screen("export", f"{MAPPING}_export"),
    Screen("import", f"{MAPPING}_import"),
    Screen("import-error", f"{MAPPING}_import", do=steps.send),
    # Where the preview is, is known when something was sent
    Screen("import-preview", f"{MAPPING}_import", do=steps.preview_import),
    Screen("import-refused", f"{MAPPING}_import", do=steps.preview_refused_import),
    *_of_model("authority", AUTHORITY, "partners"),
    Screen("authority-view", f"{AUTHORITY}_change", "partners", person=AUDITOR),
    *_to_add("authority", AUTHORITY),
    *_of_model("crl", LIST, "list"),
    *_to_add("crl", LIST),
    *_of_model("revocation", REVOCATION, "revocation"),
    Screen("revocation-view", f"{REVOCATION}_change", "revocation", person=AUDITOR),
    *_to_add("revocation", REVOCATION),
    *_of_model("seen", SEEN, "seen"),
    Screen("seen-awkward", f"{SEEN}_change", "awkward seen"),
    Screen("seen-revoke", f"{SEEN}_changelist", do=steps.act("revoke")),
    *_of_model("inbox", UNKNOWN, "stranger unknown"),
    Screen("inbox-list-empty", f"{UNKNOWN}_changelist", query={"q": "nothing"}),
    Screen("inbox-awkward", f"{UNKNOWN}_change", "awkward unknown"),
    Screen("inbox-map-by-email", f"{UNKNOWN}_changelist", do=steps.act("map_by_email")),
    Screen("inbox-map-by-upn", f"{UNKNOWN}_changelist", do=steps.act("map_by_upn")),
    Screen("inbox-map-error", f"{UNKNOWN}_changelist", do=steps.map_all),
)

# Reached by a screen whose address is another's: what is posted shows it.
SHOWN_BY = {
    f"{APP}_{MAPPING}_import_preview": "import-preview",
    f"{APP}_{SEEN}_revoke": "seen-revoke",
    f"{APP}_{UNKNOWN}_map_san_email": "inbox-map-by-email",
    f"{APP}_{UNKNOWN}_map_san_upn": "inbox-map-by-upn",
}

# Addresses without a screen, and why
NO_SCREENS = {
    f"{APP}_{MAPPING}_pem": "a file",
    f"{APP}_{SEEN}_pem": "a file",
    f"{APP}_{UNKNOWN}_pem": "a file",
    f"{APP}_{SEEN}_add": "forbidden: requests make those",
    f"{APP}_{UNKNOWN}_add": "forbidden: requests make those",
}
