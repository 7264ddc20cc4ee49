"""The one place where the steps are put together.

``evaluate()`` turns what a request presents into a ``Decision``. It is the same for
the middleware, the backend, the admin and the commands. Each step passes or
refuses with a reason; the first refusal decides, and nothing raises past it.

``aevaluate()`` is its asynchronous twin: all but the reading is shared.
"""

from __future__ import annotations

from .decisions import NOT_REACHED, PASSED, REFUSED, Decision, Step
from .gates import GATES, check_gates
from .run import (
    STEPS,
    Adapt,
    CanAuthenticate,
    aevaluate,
    evaluate,
    identify_peer,
    is_active,
)

__all__ = [
    "GATES",
    "NOT_REACHED",
    "PASSED",
    "REFUSED",
    "STEPS",
    "Adapt",
    "CanAuthenticate",
    "Decision",
    "Step",
    "aevaluate",
    "check_gates",
    "evaluate",
    "identify_peer",
    "is_active",
]
