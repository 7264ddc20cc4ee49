"""The commands and files that contributors use every day."""

from __future__ import annotations

import configparser
import re
import runpy
import subprocess
import sys

import pytest
import yaml

import runtests
from tests.plugins.slow import SLOW

from .wings import ROOT


def test_the_hooks_have_the_versions_of_tox() -> None:
    """What a commit hook accepts, continuous integration accepts."""
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    wanted = {
        re.split(r"[<>=\[]", line, maxsplit=1)[0]: line
        for line in tox["testenv:lint"]["deps"].split()
    }
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    required = {
        re.split(r"[<>=\[]", line, maxsplit=1)[0]: line
        for hook in hooks
        for line in hook["additional_dependencies"]
    }
    assert set(wanted) == {"codespell", "ruff"}
    assert wanted.items() <= required.items()
    assert {repo["repo"] for repo in config["repos"]} == {"local"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ["-n", "auto"]),
        (["--quick"], ["-m", "not slow and not needs_program", "-n", "auto"]),
        (["-n", "1", "tests/wire"], ["-n", "1", "tests/wire"]),
        (["-n4"], ["-n4"]),
        (["--pdb", "-x"], ["--pdb", "-x"]),
        (["-k", "pin"], ["-n", "auto", "-k", "pin"]),
    ],
)
def test_arguments_of_runtests(given: list[str], expected: list[str]) -> None:
    """All cores by default, one process for a debugger, and --quick selects."""
    assert runtests.pytest_arguments(given) == expected


@pytest.mark.parametrize("start", SLOW)
def test_what_is_slow_is_there(start: str) -> None:
    """A name in the list that names nothing would leave nothing out."""
    path, _, function = start.partition("::")
    assert (ROOT / path).exists()
    assert not function or f"def {function}(" in (ROOT / path).read_text("utf-8")


def test_runtests_explains_itself() -> None:
    """--help needs no environment and names --quick."""
    done = subprocess.run(
        [sys.executable, "runtests.py", "--help"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert "--quick" in done.stdout


SOURCE = '''"""Two lines
of docstring."""

# a comment
def f():
    """Docstring."""
    return (
        "text"
        # a comment inside
    )
'''


def test_lines_of_code_are_counted() -> None:
    """Comments, blank lines and docstrings do not count; everything else does."""
    counting = runpy.run_path(str(ROOT / ".ci" / "count_lines.py"))
    assert counting["count"](SOURCE) == 4


def test_p08_each_python_is_listed_wherever_versions_are() -> None:
    """Classifiers, README and the environments of tox name the same ones."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    classifiers = re.findall(r"Python :: (3\.\d+)", setup["metadata"]["classifiers"])
    row = re.search(
        r"^\| Python \| (.*) \|$", (ROOT / "README.md").read_text("utf-8"), re.M
    )
    assert row is not None
    assert row[1].split(", ") == classifiers
    assert classifiers[-2:] == ["3.14", "3.15"]
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    tested = set(
        re.findall(r"\b3\d\d\b", re.sub(r"py(?=3)", "", tox["tox"]["env_list"]))
    )
    assert tested == {version.replace(".", "") for version in classifiers}
