"""Which module may look into which: the direction of every import in the package."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "django_clientcert"

# A module imports only modules of the rows above its own. The number is the room's;
# a room with several rows has an order of its own inside.
ROOMS: tuple[tuple[int, frozenset[str]], ...] = (
    (0, frozenset({"exceptions", "escaping", "der", "attribute_types"})),
    (1, frozenset({"names", "encodings"})),
    (1, frozenset({"certificates"})),
    (1, frozenset({"identities", "bundles"})),
    (2, frozenset({"verification", "proxies", "signals", "reasons", "rules"})),
    (2, frozenset({"conf", "validators", "admission", "revocation"})),
    (3, frozenset({"presented", "models"})),
    (3, frozenset({"lookup", "issuers", "list_import"})),
    (3, frozenset({"revoking", "renewals", "transfer", "expiries"})),
    (4, frozenset({"evaluation"})),
    (5, frozenset({"probing"})),
    (5, frozenset({"requests"})),
    (5, frozenset({"inbox"})),
    (5, frozenset({"backends"})),
    (5, frozenset({"decorators"})),
    (5, frozenset({"mixins"})),
    (5, frozenset({"explaining"})),
    (6, frozenset({"middleware", "forms"})),
    (6, frozenset({"checks"})),
    (7, frozenset({"admin", "apps", "management", "contrib", "migrations"})),
    (7, frozenset({"templatetags"})),
)
# For the tests of those who use the package; nothing in it imports this one.
OUTSIDE = "testing"

# Modules that know nothing of Django
WITHOUT_DJANGO = {name for room, row in ROOMS if room < 2 for name in row} | {
    "verification",
    "admission",
    "revocation",
}
# What opens files, sockets or processes, or reads the clock of its own accord
WITH_EFFECTS = frozenset(
    {"asyncio", "ftplib", "http", "io", "os", "pathlib", "random", "requests"}
    | {"select", "selectors", "shutil", "smtplib", "socket", "socketserver", "ssl"}
    | {"subprocess", "tempfile", "time", "urllib.request", "urllib3", "httpx"}
)


def module_of(file: Path) -> str:
    """Return the module, or the folder at the top, that *file* belongs to."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def files_of(module: str) -> list[Path]:
    """Return the source files of a module or folder of the package."""
    folder = PACKAGE / module
    return (
        sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{module}.py"]
    )


def imports(file: Path) -> Iterator[str]:
    """Return the absolute names of everything that *file* imports, anywhere in it.

    Also inside functions and under ``TYPE_CHECKING``: a type is a dependency too.
    """
    return imports_of(file.read_text("utf-8"), file)


def imports_of(source: str, file: Path) -> Iterator[str]:
    """Return what *source* imports if it stands in *file*."""
    package = ("django_clientcert", *file.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            stem = ".".join((*base, *([node.module] if node.module else [])))
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def inside(names: Iterator[str]) -> Iterator[str]:
    """Return the modules of the package among imported *names*."""
    for name in names:
        top, _, rest = name.partition(".")
        if top == "django_clientcert" and rest:
            yield rest.partition(".")[0]


def all_modules() -> set[str]:
    """Return every module and folder of the package."""
    return {module_of(file) for file in PACKAGE.rglob("*.py")} - {"__init__"}


def test_every_module_has_one_room() -> None:
    """A new module is given a place before it is imported anywhere."""
    placed = [name for _, row in ROOMS for name in row]
    assert len(placed) == len(set(placed))
    assert all_modules() - set(placed) - {OUTSIDE} == set()


def test_the_rooms_are_in_order() -> None:
    """The rows are sorted by their room."""
    numbers = [room for room, _ in ROOMS]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("module", sorted(all_modules() - {OUTSIDE}))
def test_imports_go_down_only(module: str) -> None:
    """A module imports what stands in a row above its own."""
    allowed: set[str] = set()
    for _, row in ROOMS:
        if module in row:
            break
        allowed |= row
    for file in files_of(module):
        found = set(inside(imports(file))) - {"__version__"}
        if (PACKAGE / module).is_dir():
            found.discard(module)
        assert found <= allowed, f"{file.name}: {sorted(found - allowed)}"


@pytest.mark.parametrize("module", sorted({*all_modules(), "__init__"} - {OUTSIDE}))
def test_nothing_imports_the_helpers_for_tests(module: str) -> None:
    """Throw-away CAs stay out of production."""
    for file in files_of(module):
        assert OUTSIDE not in set(inside(imports(file)))


@pytest.mark.parametrize("module", sorted(WITHOUT_DJANGO))
def test_no_django_below(module: str) -> None:
    """The lower rooms can be understood, and used, without Django."""
    for file in files_of(module):
        tops = {name.partition(".")[0] for name in imports(file)}
        assert not tops & {"django", "asgiref"}


@pytest.mark.parametrize("module", sorted(WITHOUT_DJANGO))
def test_no_effects_below(module: str) -> None:
    """The lower rooms open nothing, and take the time as an argument."""
    for file in files_of(module):
        names = set(imports(file))
        found = {name for name in names if name.partition(".")[0] in WITH_EFFECTS}
        found |= {name for name in names if name.startswith("urllib.request")}
        assert not found
        source = ast.parse(file.read_text("utf-8"))
        called = {
            node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            for node in ast.walk(source)
            if isinstance(node, ast.Call)
            and isinstance(node.func, (ast.Name, ast.Attribute))
        }
        assert not called & {"open", "now", "utcnow", "today", "eval", "exec"}


@pytest.mark.parametrize("module", sorted(WITHOUT_DJANGO | {OUTSIDE}))
def test_lower_rooms_load_without_django(module: str) -> None:
    """What is imported on the way brings no Django in either."""
    script = (
        f"import sys\nimport django_clientcert.{module}\nprint('django' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=PACKAGE.parent,
    )
    assert done.stdout == "False\n"


def test_the_reader_of_imports_sees_them_all() -> None:
    """The guard itself: every way to import is seen, relative ones resolved."""
    file = PACKAGE / "management" / "commands" / "clientcert.py"
    source = """
import os.path, json as j
from . import a
from .. import b
from ..deep import c
from ...models import d
from django_clientcert.e import f
def g():
    from ...testing import h
if TYPE_CHECKING:
    from ...requests import i
"""
    seen = set(imports_of(source, file))
    base = "django_clientcert"
    assert seen == {
        "os.path",
        "json",
        f"{base}.management.commands.a",
        f"{base}.management.b",
        f"{base}.management.deep.c",
        f"{base}.models.d",
        f"{base}.e.f",
        f"{base}.testing.h",
        f"{base}.requests.i",
    }
    assert set(inside(iter(seen))) == {
        "management",
        "models",
        "e",
        "testing",
        "requests",
    }
