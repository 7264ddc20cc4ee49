"""The screens of revocations and CRLs."""
