"""The one place where the steps are put together.

``evaluate()`` turns what a request presents into a ``Decision``. The middleware, the
backend, the admin and the commands all use it. Each step passes, or refuses with a
reason; the first refusal decides, and no exception gets past it.

``aevaluate()`` does the same without blocking the event loop.
"""

from __future__ import annotations

from .decisions import NOT_REACHED, PASSED, REFUSED, Decision, Step
from .gates import GATES, check_gates
from .run import (
    STEPS,
    CanAuthenticate,
    Evaluation,
    Overrides,
    Peer,
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
    "CanAuthenticate",
    "Decision",
    "Evaluation",
    "Overrides",
    "Peer",
    "Step",
    "aevaluate",
    "check_gates",
    "evaluate",
    "identify_peer",
    "is_active",
]
