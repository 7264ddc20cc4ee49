"""What is done on a page to get to a screen; in every language, so nothing is read."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

from .site import Site

FORM = "#content form:not(#changelist-search):not(#logout-form)"


def send(page: Page, site: Site) -> None:
    """Send the form as it is."""
    with page.expect_navigation():
        page.locator(f"{FORM} .submit-row input[type=submit].default").click()


def save_again(page: Page, site: Site) -> None:
    """Save and stay there: a message says so."""
    with page.expect_navigation():
        page.locator("[name=_continue]").click()


def fill(name: str, value: str) -> Callable[[Page, Site], None]:
    """Return what sends the form with another *value* in the field *name*."""

    def do(page: Page, site: Site) -> None:
        page.locator(f"{FORM} [name={name}]").fill(value)
        send(page, site)

    return do


def act(action: str) -> Callable[[Page, Site], None]:
    """Return what runs an action on all rows of a list."""

    def do(page: Page, site: Site) -> None:
        page.locator("#action-toggle").check()
        page.locator("select[name=action]").select_option(action)
        with page.expect_navigation():
            page.locator("button[name=index]").click()

    return do


def map_all(page: Page, site: Site) -> None:
    """Ask to map all of a list, of which some cannot be."""
    act("map_by_email")(page, site)
    page.locator("[name=which][value=all]").check()
    send(page, site)


def open_details(page: Page, site: Site) -> None:
    """Show what is folded away."""
    page.locator("#content details summary").first.click()


def preview_import(page: Page, site: Site) -> None:
    """Send a file of which every row is good."""
    _upload(page, "user,certificate\n" + _row("sam", site))


def preview_refused_import(page: Page, site: Site) -> None:
    """Send one of which some rows are refused."""
    unknown = _row("nobody-is-called-like-this", site, "foreign")
    _upload(page, "user,certificate\n" + _row("sam", site) + unknown + "erika,\n")


def _row(user: str, site: Site, certificate: str = "") -> str:
    return f'{user},"{site.read(f"{certificate or user}.crt")}"\n'


def _upload(page: Page, text: str) -> None:
    content = {"name": "people.csv", "mimeType": "text/csv", "buffer": text.encode()}
    page.locator("input[type=file]").set_input_files([content])  # type: ignore[list-item]
    with page.expect_navigation():
        page.locator(f"{FORM} .submit-row input[type=submit].default").click()
