"""Path-validation cases that were not written here: ``python -m tests.conformance``."""
