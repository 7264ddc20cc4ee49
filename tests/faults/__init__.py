"""A database that fails under load: ``python -m tests.faults``, outside of CI."""
