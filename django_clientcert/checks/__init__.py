"""System checks: one function for each question, with what to type in the hint.

None raises and none opens a socket. Only those with ``Tags.database`` look into the
database: ``manage.py check --database default``.
"""

# What is imported here registers itself.
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
