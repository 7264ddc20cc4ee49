"""The id of every message of the system checks, as the source has it."""

from __future__ import annotations

import ast
from pathlib import Path

from django_clientcert import checks


def find_check_ids() -> list[tuple[str, str]]:
    """Return ``Error`` or ``Warning`` and the id of each message, sorted by id.

    A message without an id, or with one that is not a literal, is an error.
    """
    ids = []
    for file in Path(checks.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("Error", "Warning")
            ):
                (value,) = (item.value for item in node.keywords if item.arg == "id")
                ids.append((node.func.id, str(ast.literal_eval(value))))
    return sorted(ids, key=lambda pair: pair[1])
