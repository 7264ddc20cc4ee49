"""The marker ``slow``, which ``runtests.py --quick`` leaves out.

One list names what takes seconds, because it starts processes, draws thousands of
examples, fills long tables or shows every odd certificate on a screen. What needs
a program is left out by its own marker.
"""

from __future__ import annotations

import pytest

# Beginnings of the ids of tests, from the top of the project
SLOW = (
    "tests/admin/test_authorities.py::test_n66_private_key_is_not_echoed",
    "tests/admin/test_certificate_page.py::test_n26_n29_odd_certificates_have_pages",
    "tests/admin/test_explain.py::test_n26_n29_odd_certificates_are_explained",
    "tests/admin/test_forms.py::test_mutated_uploads_never_raise",
    "tests/admin/test_inbox.py::test_n26_n29_odd_certificates_are_shown",
    "tests/admin/test_long_lists.py",
    "tests/admin/test_mappings.py::test_n26_n29_odd_certificates_are_shown",
    "tests/admin/test_mappings.py::test_odd_certificates_are_uploaded",
    "tests/admin/test_mappings.py::test_with_a_user_model_of_ones_own",
    "tests/admin/test_private_keys.py",
    "tests/admin/test_revocations.py::test_n66_private_key_is_not_echoed",
    "tests/admin/test_rules.py::test_n66_private_key_is_not_echoed",
    "tests/browser/",
    "tests/commands/test_crl.py::test_what_cannot_be_had_is_said",
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
    "tests/x509/test_presented.py::test_a01_keys_that_a_client_chose_check_nothing",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what the list names, before ``-m`` selects."""
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
