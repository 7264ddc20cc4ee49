"""The one place where the steps are put together.

``run.evaluate()`` turns what a request presents into a ``Decision``. The middleware,
the backend, the admin and the commands all use it. Each step passes, or refuses with a
reason; the first refusal decides, and no exception gets past it.
"""

from __future__ import annotations

from .decisions import Decision, Step

__all__ = ["Decision", "Step"]
