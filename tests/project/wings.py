"""The plan of the package, and the imports that it is compared with.

The plan is the table in CONTRIBUTING.md.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "django_clientcert"
_ROW = re.compile(r"^\| `(?P<wing>[a-z0-9_/]+)` \|(?P<holds>[^|]*)\|(?P<rest>.*)\|$")
_NAME = re.compile(r"`([a-z0-9_/]+)`")


@dataclass(frozen=True)
class Wing:
    """A row of the table: a module or folder, and what it may import."""

    name: str
    may_import: frozenset[str]
    knows_django: bool


def read_plan(text: str) -> dict[str, Wing]:
    """Return the rows of the table of wings in *text*, in order."""
    wings: dict[str, Wing] = {}
    for line in text.splitlines():
        row = _ROW.match(line.strip())
        if row is None:
            continue
        may_import, _, django = row["rest"].rpartition("|")
        name = row["wing"]
        assert name not in wings, f"{name} has two rows"
        assert django.strip() in ("yes", "no"), f"{name}: {django!r}"
        names = frozenset(_NAME.findall(may_import))
        wings[name] = Wing(name, names, django.strip() == "yes")
    return wings


PLAN = read_plan((ROOT / "CONTRIBUTING.md").read_text("utf-8"))


def files_of(wing: str) -> list[Path]:
    """Return the source files of *wing*, which is a module or a folder."""
    folder = PACKAGE / wing
    if folder.is_dir():
        return sorted(folder.rglob("*.py"))
    file = PACKAGE / f"{wing}.py"
    return [file] if file.is_file() else []


def all_wings() -> set[str]:
    """Return the modules and folders of code at the top of the package."""
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    return folders | {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}


def imports_of(source: str, file: Path) -> Iterator[str]:
    """Return the absolute names of everything that *source* imports, anywhere in it.

    Also inside functions and under ``TYPE_CHECKING``: a type is a dependency too.
    """
    package = ("django_clientcert", *file.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            stem = ".".join((*base, *([node.module] if node.module else [])))
            yield from (f"{stem}.{alias.name}" for alias in node.names)


@cache
def imports(file: Path) -> set[str]:
    """Return the absolute names of everything that *file* imports."""
    return set(imports_of(file.read_text("utf-8"), file))


def wings_in(names: Iterable[str]) -> set[str]:
    """Return the wings among imported *names*."""
    parts = [name.split(".") for name in names]
    wings = {part[1] for part in parts if part[0] == "django_clientcert" and part[1:]}
    return wings - {"__version__"}


def module_name(file: Path) -> str:
    """Return the dotted name of *file*; a folder's is that of its ``__init__``."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def module_graph() -> dict[str, set[str]]:
    """Return which modules of the package each of them imports."""
    files = {module_name(file): file for file in PACKAGE.rglob("*.py")}

    def resolve(name: str) -> str | None:
        while name and name not in files:
            name = name.rpartition(".")[0]
        return name or None

    graph: dict[str, set[str]] = {}
    for name, file in files.items():
        modules = {resolve(imported) for imported in imports(file)}
        graph[name] = {module for module in modules if module not in (None, name)}
    return graph


def folder_graph(folder: str) -> dict[str, set[str]]:
    """Return which parts of *folder* import which: its subfolders and modules.

    The folder's own ``__init__`` is left out: it gathers what the others define.
    """
    prefix = f"django_clientcert.{folder.replace('/', '.')}."

    def part(module: str) -> str | None:
        return (
            module[len(prefix) :].partition(".")[0]
            if module.startswith(prefix)
            else None
        )

    graph: dict[str, set[str]] = {}
    for module, imported in module_graph().items():
        if (own := part(module)) is not None:
            graph.setdefault(own, set()).update(
                other for name in imported if (other := part(name)) not in (None, own)
            )
    return graph


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of more than one node that reach each other, sorted."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for other in graph.get(todo.pop(), set()) - seen:
                seen.add(other)
                todo.append(other)
        reach[start] = seen
    groups = {
        tuple(sorted({other for other in reach[node] if node in reach[other]}))
        for node in graph
        if node in reach[node]
    }
    return sorted(list(group) for group in groups)
