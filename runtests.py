#!/usr/bin/env python3
"""Run the test suite: ``python3 runtests.py [--quick] [pytest arguments]``.

Needs a Python (3.10 or newer) and a package index, nothing else: the first run
prepares a virtual environment of its own below ``.venv-tests/``. Without
arguments the whole suite runs, on all processor cores.

--quick   Leave out what takes long or starts real programs: browsers, proxies,
          database servers, application servers, the example project and the
          programs of the documentation.

All other arguments go to pytest (``-k``, ``-x``, ``-n 1``, paths from the top of
the project, ...), whose exit status is returned.
"""

# The syntax is old on purpose: see bootstrap_environment.py.
import os
import sys

import bootstrap_environment

QUICK = "--quick"
# Measured on two cores; the first run also installs the requirements.
DURATIONS = {
    False: "the whole suite takes some 8 minutes on two cores; --quick, which\n"
    "leaves out browsers, proxies, servers and everything else that takes long,\n"
    "takes a minute and a half",
    True: "--quick leaves out browsers, proxies, servers and everything else that\n"
    "takes long; it takes a minute and a half on two cores",
}
# With these, pytest has to stay in one process.
ONE_PROCESS = ("--pdb", "--trace", "-s", "--capture=no", "--collect-only", "--co")


def pytest_arguments(arguments):
    """Return what pytest is called with for the *arguments* of this script."""
    given = [argument for argument in arguments if argument != QUICK]
    result = []
    if len(given) < len(arguments):
        result += ["-m", "not slow and not needs_program"]
    chosen = [name for name in given if name.startswith(("-n", "--numprocesses"))]
    if not chosen and not set(given).intersection(ONE_PROCESS):
        result += ["-n", "auto"]
    return result + given


def main(argv):
    """Say what is coming, and run pytest."""
    if {"-h", "--help"}.intersection(argv):
        print(__doc__)  # noqa: T201 - the help of a command
        return 0
    bootstrap_environment.ensure(".venv-tests", "test,browser", argv)

    import pytest

    if all(argument == QUICK for argument in argv[1:]):
        sys.stderr.write("[runtests] %s.\n" % DURATIONS[QUICK in argv])
    os.chdir(bootstrap_environment.ROOT)
    return pytest.main(pytest_arguments(argv[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
