"""What axe-core finds on a page, without what stock Django's own markup is to blame for."""

from __future__ import annotations

from typing import Any, NamedTuple

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_axe = Axe()


class Known(NamedTuple):
    """A rule that stock Django breaks at one place, and why nothing here can help."""

    rule: str
    selector: str
    why: str


KNOWN: tuple[Known, ...] = (
    Known(
        "label-title-only",
        "#changelist-search > div > #searchbar",
        "The label of Django's search field is a picture; its alternative text is a "
        "name, but axe looks for text as soon as there is a help text besides.",
    ),
)


def find_violations(page: Page, rules: list[str] | None = None) -> list[str]:
    """Return each violation as a line: rule, element, what to do. All rules, or some."""
    return [
        f"{rule} at {selector}: {text}"
        for rule, selector, text in run_axe(page, rules)
        if not any(
            known.rule == rule and _is_at(page, selector, known.selector)
            for known in KNOWN
        )
    ]


def run_axe(page: Page, rules: list[str] | None = None) -> list[tuple[str, str, str]]:
    """Return each violation of *page*: the rule, the element, what is wrong."""
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules is not None:
        options["runOnly"] = rules
    else:
        # That of the colours takes as long as all others; it is asked by name.
        options["rules"] = {"color-contrast": {"enabled": False}}
    # Axe.run() would put the whole script into the page again, each time.
    if not page.evaluate("'axe' in window"):
        page.evaluate(_axe.axe_script)
    response = page.evaluate("options => axe.run(options)", options)
    return [
        (violation["id"], " ".join(map(str, node["target"])), node["failureSummary"])
        for violation in response["violations"]
        for node in violation["nodes"]
    ]


def _is_at(page: Page, selector: str, known: str) -> bool:
    """Tell whether an element is one of those of *known*."""
    return bool(
        page.evaluate(
            "([one, other]) => document.querySelector(one).matches(other)",
            [selector, known],
        )
    )
