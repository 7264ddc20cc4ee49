"""The pages of the documentation, and what can be read from their Markdown."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"


def list_pages(folder: Path) -> list[Path]:
    """Return the Markdown files below *folder*, without what Sphinx has built."""
    return sorted(page for page in folder.rglob("*.md") if "_build" not in page.parts)


PAGES = sorted(
    [*ROOT.glob("*.md"), ROOT / "example_project" / "README.md", *list_pages(DOCS)]
)


each_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT))
)


def read_reference(name: str) -> str:
    """Return a page below ``docs/reference``."""
    return (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8")


def read_howto(name: str) -> str:
    """Return a page below ``docs/howto``."""
    return (DOCS / "howto" / f"{name}.md").read_text(encoding="utf-8")


def find_blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def find_terms(text: str) -> list[str]:
    """Return the code-style words in the terms of definition lists."""
    lines = re.findall(r"^(`.*)\n: ", text, re.MULTILINE)
    return [term for line in lines for term in re.findall(r"`([^`]+)`", line)]


def find_sections(text: str) -> dict[str, str]:
    """Return the sections whose heading begins in code style, by heading."""
    parts = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)[1:]
    return {
        heading.strip("`"): body
        for heading, body in zip(parts[::2], parts[1::2], strict=True)
        if heading.startswith("`")
    }


def find_table(text: str, corner: str) -> list[list[str]]:
    """Return the rows, header first, of the table whose first cell is *corner*."""
    rows: list[list[str]] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if rows or (line.startswith("|") and cells[0].strip("| ") == corner):
            if not line.startswith("|"):
                break
            rows.append([cell.strip("| ") for cell in cells])
    return [row for row in rows if set(row[0]) != {"-"} and "---" not in row[0]]


def first_column(text: str, corner: str) -> list[str]:
    """Return the code-style words in the first column of a table."""
    rows = find_table(text, corner)[1:]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row[0])]


def list_commands(text: str) -> Iterator[list[str]]:
    """Yield the arguments of each ``manage.py clientcert`` in a page's blocks."""
    # Blocks inside lists are indented.
    fenced = r"^( *)```(?:sh|text)\n(.*?)^\1```$"
    for match in re.finditer(fenced, text, re.MULTILINE | re.DOTALL):
        for line in match[2].splitlines():
            _, command, rest = line.partition("python3 manage.py clientcert ")
            if command:
                words = shlex.shlex(rest, posix=True, punctuation_chars=True)
                words.commenters = "#"
                words.wordchars += "$:,*@"
                yield cut_command(list(words))


def cut_command(words: list[str]) -> list[str]:
    """Return the words of the first command of a line, without redirections."""
    operators = (
        index for index, word in enumerate(words) if set(word) <= set("<>|&;()")
    )
    end = next(operators, None)
    kept = words[:end]
    # "2>&1" leaves its number.
    return kept[:-1] if end is not None and kept[-1] == "2" else kept


def expect(documented: str, printed: str) -> None:
    """Fail unless every line of *documented* is in *printed*; "…" matches anything."""
    flat = " ".join(printed.split())
    for line in documented.splitlines():
        parts = " ".join(line.split()).split("…")
        pattern = ".*".join(re.escape(part) for part in parts)
        assert re.search(pattern, flat), f"{line}\n{printed}"


def list_messages() -> Iterator[str]:
    """Yield the texts in the code and templates of the package, "…" for values."""
    for file in (ROOT / "django_clientcert" / "templates").rglob("*.html"):
        yield file.read_text(encoding="utf-8")
    for file in (ROOT / "django_clientcert").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
