#!/usr/bin/env python3
"""Run the whole test suite: ``python3 runtests.py [pytest arguments]``.

Needs a Python (3.10 or newer) and a package index, nothing else: the first run
prepares a virtual environment of its own below ``.venv-tests/``. Without
arguments everything runs; ``-k``, ``-x``, paths (from the top of the project)
and all the rest go to pytest, whose exit status is returned. ``-n 2`` runs two
processes.
"""

# The syntax is old on purpose: see bootstrap_environment.py.
import os
import sys

import bootstrap_environment

if __name__ == "__main__":
    bootstrap_environment.ensure(".venv-tests", "test,browser", sys.argv)

    import pytest

    os.chdir(bootstrap_environment.ROOT)
    sys.exit(pytest.main(sys.argv[1:]))
