"""Links in every Markdown file lead somewhere, in the built pages and on code hosts."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from pathlib import Path

from .pages import DOCS, ROOT, each_page, list_pages

# Fenced blocks, and code in running text: links in there are examples.
_CODE = re.compile(
    r"^( *)(`{3,}|~{3,}).*?^\1\2$|(`+)(?!`).+?(?<!`)\3(?!`)", re.M | re.S
)
_FENCES = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_ROLE = re.compile(r"\{[a-z]+(?::[a-z]+)*\}`")
_DIRECTIVE = re.compile(r"^ *(?:`{3,}|:{3,})\{([\w:-]+)\}", re.MULTILINE)
_EXTERNAL = ("https://", "http://", "mailto:")
# What a code host shows as a block of code: a list of pages, a file that the text
# links to, and documentation that is generated from docstrings.
_DIRECTIVES = {"toctree", "include", "literalinclude", "eval-rst"}


def make_anchor(heading: str) -> str:
    """Return the anchor that GitHub and MyST make from the text of a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    kept = (
        character
        for character in text.strip().lower()
        if character in " -_" or unicodedata.category(character)[0] in "LMN"
    )
    return "".join(kept).replace(" ", "-")


def list_anchors(page: Path) -> set[str]:
    """Return the anchors of a page; a repeated heading gets a number."""
    text = _FENCES.sub("", page.read_text(encoding="utf-8"))
    anchors: set[str] = set()
    seen: Counter[str] = Counter()
    for heading in _HEADING.findall(text):
        anchor = make_anchor(heading)
        anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return anchors


def list_targets(page: Path) -> list[str]:
    """Return the targets of all links and images in the running text of a page."""
    text = _FENCES.sub("", page.read_text(encoding="utf-8"))
    return _LINK.findall(_CODE.sub("", text))


@each_page
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    """A code host resolves a relative link like this, and so does Sphinx."""
    broken = []
    for target in list_targets(page):
        if target.startswith(_EXTERNAL):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if (
            not file.is_relative_to(ROOT)
            or not file.exists()
            or (anchor and anchor not in list_anchors(file))
        ):
            broken.append(target)
    assert not broken


@each_page
def test_pages_can_be_read_without_sphinx(page: Path) -> None:
    """No roles, and no directives with content of their own."""
    text = page.read_text(encoding="utf-8")
    assert not _ROLE.findall(text)
    assert set(_DIRECTIVE.findall(text)) <= _DIRECTIVES


@each_page
def test_a_page_names_what_is_generated(page: Path) -> None:
    """Each class and function that only Sphinx can show, and where it is described."""
    text = page.read_text(encoding="utf-8")
    directive = r"^ *\.\. auto(?!module|property)\w+:: [\w.]*?(\w+)$"
    names = re.findall(directive, text, re.MULTILINE)
    before, _, _ = text.partition("\n## ")
    for name in names:
        assert f"`{name}`" in _FENCES.sub("", text), name
    if names:
        assert "generated from" in before
        assert "`django_clientcert/" in before


def test_every_page_is_in_a_table_of_contents() -> None:
    """Sphinx lists every page, and no page that does not exist."""
    listed = {DOCS / "index.md"}
    for page in list_pages(DOCS):
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.M | re.S):
            names = [line for line in block.splitlines() if line and line[0] != ":"]
            listed |= {page.parent / f"{name}.md" for name in names}
    assert listed == set(list_pages(DOCS))


def test_every_page_can_be_reached_by_links() -> None:
    """From the README, for readers on a code host."""
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        for target in list_targets(page):
            name = target.partition("#")[0]
            if name and not target.startswith(_EXTERNAL):
                waiting.append((page.parent / name).resolve())
    # The changelog's page includes the file at the top.
    missing = {*list_pages(DOCS)} - reached - {DOCS / "changelog.md"}
    assert not missing
