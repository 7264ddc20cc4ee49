"""System checks: one function for each question, with what to type in the hint.

None raises and none opens a socket. Only those with ``Tags.database`` query the
database: ``manage.py check --database default``.
"""

# Importing these modules registers their checks.
from . import (
    authorities,
    configuration,
    deployment,
    installation,
    mappings,
    revocations,
)
from .ids import EXAMPLES, IDS

__all__ = [
    "EXAMPLES",
    "IDS",
    "authorities",
    "configuration",
    "deployment",
    "installation",
    "mappings",
    "revocations",
]
