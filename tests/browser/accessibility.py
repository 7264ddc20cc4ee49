"""What axe-core finds on a page, without what stock Django's own markup is to blame for."""

from __future__ import annotations

from typing import NamedTuple

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


# What axe is asked for. The colours take as long as all other rules together, and are
# looked at where this package writes.
STRUCTURE = """axe.run(document, {
    resultTypes: ["violations"],
    rules: {"color-contrast": {enabled: false}},
})"""
COLOURS = """axe.run("#content", {
    resultTypes: ["violations"],
    runOnly: ["color-contrast"],
})"""


def find_violations(page: Page, *questions: str) -> list[str]:
    """Return each violation as a line: rule, element, what to do."""
    return [
        f"{rule} at {selector}: {text}"
        for question in questions
        for rule, selector, text in ask_axe(page, question)
        if not any(
            known.rule == rule and _is_at(page, selector, known.selector)
            for known in KNOWN
        )
    ]


def ask_axe(page: Page, question: str) -> list[tuple[str, str, str]]:
    """Return each violation of *page*: the rule, the element, what is wrong."""
    # Axe.run() would put the whole script into the page again, each time.
    if not page.evaluate("'axe' in window"):
        page.evaluate(_axe.axe_script)
    return [
        (violation["id"], " ".join(map(str, node["target"])), node["failureSummary"])
        for violation in page.evaluate(question)["violations"]
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
