"""Which wing may import which: the direction of every import in the package."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from .wings import (
    PACKAGE,
    PLAN,
    ROOT,
    all_wings,
    circles,
    files_of,
    folder_graph,
    imports,
    imports_of,
    module_graph,
    read_plan,
    wings_in,
)

# For the tests of those who use the package; nothing in it imports this one.
OUTSIDE = "testing"
WITHOUT_DJANGO = sorted(wing.name for wing in PLAN.values() if not wing.knows_django)
# Modules that open files, sockets or processes, or read the clock by themselves
WITH_EFFECTS = frozenset(
    {"asyncio", "ftplib", "http", "io", "os", "pathlib", "random", "requests"}
    | {"select", "selectors", "shutil", "smtplib", "socket", "socketserver", "ssl"}
    | {"subprocess", "tempfile", "time", "urllib.request", "urllib3", "httpx"}
)
# Throw-away certificates need a clock.
PURE = sorted({*WITHOUT_DJANGO} - {OUTSIDE})
MAX_NAMES = 24


def test_every_wing_has_a_row_and_every_row_a_wing() -> None:
    """A new wing gets a row first; a row that names nothing fails."""
    assert set(PLAN) == all_wings()


def test_what_rows_may_import_exists() -> None:
    """The third column names wings of the first, and those above it only."""
    before: set[str] = set()
    for wing in PLAN.values():
        assert wing.may_import <= before, wing.name
        before.add(wing.name)


def test_the_top_of_the_package_can_be_taken_in() -> None:
    """A newcomer reads few names."""
    assert len(all_wings()) <= MAX_NAMES


@pytest.mark.parametrize("wing", sorted(PLAN))
def test_a_wing_imports_what_its_row_says(wing: str) -> None:
    """Imports go down only, and only as far as the table says."""
    for file in files_of(wing):
        unexpected = wings_in(imports(file)) - PLAN[wing].may_import - {wing}
        assert not unexpected, f"{file.relative_to(ROOT)} imports {unexpected}"


@pytest.mark.parametrize("wing", sorted(PLAN))
def test_a_row_allows_nothing_that_is_not_used(wing: str) -> None:
    """A row that allows too much lets the next import in unseen."""
    used = set().union(*(wings_in(imports(file)) for file in files_of(wing)))
    assert PLAN[wing].may_import <= used


def test_no_module_is_in_a_circle() -> None:
    """Modules of a wing do not import each other in circles either."""
    assert circles(module_graph()) == []


@pytest.mark.parametrize(
    "folder", sorted(wing for wing in PLAN if (PACKAGE / wing).is_dir())
)
def test_no_folder_of_a_wing_is_in_a_circle(folder: str) -> None:
    """The screens of the admin, for example, form layers."""
    assert circles(folder_graph(folder)) == []


@pytest.mark.parametrize("wing", sorted({*PLAN, "__init__"} - {OUTSIDE}))
def test_nothing_imports_the_helpers_for_tests(wing: str) -> None:
    """Throw-away CAs stay out of production."""
    for file in files_of(wing):
        assert OUTSIDE not in wings_in(imports(file))


@pytest.mark.parametrize("wing", WITHOUT_DJANGO)
def test_no_django_is_imported(wing: str) -> None:
    """The lower wings can be understood without Django."""
    for file in files_of(wing):
        tops = {name.partition(".")[0] for name in imports(file)}
        assert not tops & {"django", "asgiref"}, file


@pytest.mark.parametrize("wing", PURE)
def test_no_effects(wing: str) -> None:
    """The lower wings open nothing, and take the time as an argument."""
    for file in files_of(wing):
        names = imports(file)
        effects = {name for name in names if name.partition(".")[0] in WITH_EFFECTS}
        effects |= {name for name in names if name.startswith("urllib.request")}
        assert not effects, file
        called = {
            node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            for node in ast.walk(ast.parse(file.read_text("utf-8")))
            if isinstance(node, ast.Call)
            and isinstance(node.func, (ast.Name, ast.Attribute))
        }
        assert not called & {"open", "now", "utcnow", "today", "eval", "exec"}, file


@pytest.mark.parametrize("wing", WITHOUT_DJANGO)
def test_lower_wings_load_without_django(wing: str) -> None:
    """They can be used without Django: nothing that they import brings it along."""
    modules = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in files_of(wing)
    ]
    script = f"import sys, {', '.join(modules)}\nprint('django' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert done.stdout == "False\n"


def test_the_guard_sees_every_import() -> None:
    """Every way to import is seen, and relative ones are resolved."""
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
    assert wings_in(seen) == {"management", "models", "e", "testing", "requests"}


def test_the_guard_sees_circles() -> None:
    """Direct ones and long ones, and not what merely leads into one."""
    graph = {"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"e"}, "e": {"c"}, "f": {"a"}}
    assert circles(graph) == [["a", "b"], ["c", "d", "e"]]
    assert circles({"a": {"b"}, "b": set()}) == []


def test_the_guard_reads_the_table() -> None:
    """Names of the third column, and whether Django is known."""
    plan = read_plan("| Wing |\n|---|\n| `b` | uses `x` | `a`, `c` | no |\n")
    assert plan["b"].may_import == {"a", "c"}
    assert not plan["b"].knows_django
