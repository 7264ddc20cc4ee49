#!/usr/bin/env python3
"""Count the lines of code of the package, by wing: ``python3 .ci/count_lines.py``.

A line of code has at least one token that is not a comment or part of a docstring.
Migrations are counted apart. An argument names another folder; ``--files`` lists
every file.
"""

from __future__ import annotations

import ast
import collections
import io
import sys
import tokenize
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "django_clientcert"
LAYOUT = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}
WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstring_lines(source: str) -> set[int]:
    """Return the numbers of the lines of every docstring in *source*."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, WITH_DOCSTRING) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            lines.update(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    return lines


def count(source: str) -> int:
    """Return how many lines of *source* are code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstring_lines(source))


def main(arguments: list[str]) -> None:
    """Print the counts, largest first, and the sum without migrations."""
    by_file = "--files" in arguments
    folders = [argument for argument in arguments if argument != "--files"]
    folder = Path(folders[0]) if folders else PACKAGE
    counts: collections.Counter[str] = collections.Counter()
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder).parts
        name = "/".join(parts) if by_file else parts[0]
        counts["(migrations)" if "migrations" in parts else name] += count(
            file.read_text("utf-8")
        )
    migrations = counts.pop("(migrations)", 0)
    for name, lines in counts.most_common():
        print(f"{lines:7,d}  {name}")
    print(f"{sum(counts.values()):7,d}  in all; migrations: {migrations:,d}")


if __name__ == "__main__":
    main(sys.argv[1:])
