"""An administrator's day, through nginx: by certificate, without a password."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_clientcert.testing import encode_escaped_pem

from .screens import APP
from .site import Site

pytestmark = pytest.mark.needs_program("chromium", "nginx", "playwright")

Window = Callable[..., Any]


def status_of(page: Any, path: str) -> int:
    """Return the status of the answer to the browser."""
    response = page.goto(path)
    return int(response.status)


def press(page: Any, name: str) -> None:
    """Press a button."""
    page.get_by_role("button", name=name, exact=True).first.click()


def test_from_the_unknown_certificate_to_a_working_one(
    site: Site, window: Window
) -> None:
    """It calls, is found in the inbox, is mapped, works; revoked, it is out at once."""
    stranger, admin = window("stranger"), window("anna")
    assert status_of(stranger, "/ledger/") == 403

    assert status_of(admin, "/admin/") == 200
    assert "anna" in admin.locator("#user-tools").inner_text().lower()
    admin.goto(f"{APP}unknowncertificate/")
    admin.get_by_role("link", name="CN=stranger").click()
    assert "not mapped" not in admin.locator("#content h1").inner_text()
    admin.get_by_role("link", name="Map to…").click()
    field = admin.locator("#id_user")
    if field.evaluate("one => one.tagName") == "SELECT":
        admin.locator(".field-user .select2-selection").click()
        admin.locator(".select2-search__field").fill("partner1")
        admin.get_by_role("option", name="partner1", exact=True).click()
    press(admin, "Save")
    assert "was added successfully" in admin.locator(".messagelist").inner_text()

    assert status_of(stranger, "/ledger/") == 200
    assert '"partner1"' in stranger.content()

    admin.goto(f"{APP}certificatemapping/?q=partner1")
    admin.locator("#result_list tbody a").first.click()
    admin.get_by_role("link", name="Revoke the certificate").click()
    press(admin, "Revoke 1 certificate")
    assert "is revoked" in admin.locator(".messagelist").inner_text()
    assert status_of(stranger, "/ledger/") == 403

    # And why? The page says it.
    admin.goto(f"{APP}certificatemapping/explain/")
    header = encode_escaped_pem(site.clients["stranger"].der)
    admin.get_by_label("Or the header value").fill(header)
    press(admin, "Explain")
    verdict = admin.locator("#answer-verdict").inner_text()
    assert "revoked" in verdict


def test_a_file_is_looked_at_and_then_imported(site: Site, window: Window) -> None:
    """The rows that are good go in, and the page says which."""
    admin = window("anna")
    admin.goto(f"{APP}certificatemapping/")
    admin.get_by_role("link", name="Import").click()
    text = f"user,value\npartner2,{'12' * 32}\nnobody,{'34' * 32}\n"
    admin.locator("input[type=file]").set_input_files(
        {"name": "a.csv", "mimeType": "text/csv", "buffer": text.encode()}
    )
    press(admin, "Preview")
    rows = admin.locator(".clientcert-answer tbody tr")
    assert rows.count() == 2
    assert "will be created" in rows.first.inner_text()
    press(admin, "Import 1 row")
    assert "created" in rows.first.inner_text()
    assert "refused" in rows.last.inner_text()
    admin.goto(f"{APP}certificatemapping/?q={'12' * 8}")
    assert "partner2" in admin.locator("#result_list").inner_text()


def test_a_disabled_administrator_is_out_on_the_next_click(window: Window) -> None:
    """Who is signed in by certificate is looked at with each request."""
    berta, anna = window("berta"), window("anna")
    assert status_of(berta, APP) == 200
    assert berta.locator("#user-tools").count()
    anna.goto(f"{APP}certificatemapping/?q=berta")
    anna.locator("#action-toggle").check()
    anna.locator("select[name=action]").select_option("disable")
    anna.locator("button[name=index]").click()
    assert "was disabled" in anna.locator(".messagelist").inner_text()
    berta.reload()
    assert "/admin/login/" in berta.url


def test_without_a_certificate_there_is_the_login_page(window: Window) -> None:
    """And nothing else."""
    nobody = window()
    nobody.goto(APP)
    assert "/admin/login/" in nobody.url
