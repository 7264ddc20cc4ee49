"""The marker ``slow``, which ``runtests.py --quick`` leaves out.

One list names what takes seconds, because it starts processes, draws thousands of
examples or fills long tables. What needs a program is left out by its own marker.
"""

from __future__ import annotations

import pytest

# Beginnings of the ids of tests, from the top of the project
SLOW = (
    "tests/admin/test_forms.py::test_mutated_uploads_never_raise",
    "tests/admin/test_long_lists.py",
    "tests/admin/test_mappings.py::test_with_a_user_model_of_ones_own",
    "tests/browser/",
    "tests/conformance/",
    "tests/docs/",
    "tests/end_to_end/",
    "tests/models/test_custom_user.py",
    "tests/models/test_databases.py",
    "tests/project/test_example_project.py",
    "tests/project/test_kubernetes.py",
    "tests/project/test_translations.py",
    "tests/project/test_with_database.py",
    "tests/wire/test_corpus.py",
    "tests/x509/test_certificates.py::test_damaged_certificates",
    "tests/x509/test_crl_reading.py::test_entries_take_no_memory",
    "tests/x509/test_paths.py::test_damage_raises_nothing_else",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what the list names, before ``-m`` selects."""
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
