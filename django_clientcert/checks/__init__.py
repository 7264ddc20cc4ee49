"""System checks: one function for each question, with what to type in the hint.

None raises and none opens a socket. Only those with ``Tags.database`` query the
database: ``manage.py check --database default``.
"""

# Importing these modules registers their checks.
from . import configuration, database, deployment

__all__ = ["configuration", "database", "deployment"]
