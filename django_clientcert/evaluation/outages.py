"""The log lines of an outage: a few, however many requests there are."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Lock

from django.db import Error as DatabaseError
from django.db import ProgrammingError

from django_clientcert.x509.escaping import visible

logger = logging.getLogger("django_clientcert.evaluation")

# Seconds between two lines about the same failure
INTERVAL = 10.0


def describe_failure(error: DatabaseError) -> str:
    """Return what the database said, on one line, and what a missing table needs."""
    text = visible(" ".join(str(error).split()), 200)
    described = f"{type(error).__name__}: {text}"
    # MariaDB's codes for a missing table and a missing column among them
    if type(error) is ProgrammingError or "no such " in text or "(1054, " in text:
        described += ". Did you run “manage.py migrate”?"
    return described


class OutageLog:
    """Logs database failures, each kind once in a while, with the number since then.

    *clock* returns seconds and never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        # By what failed: when it is logged again, and how often it was not
        self._failures: dict[str, tuple[float, int]] = {}

    def report(self, failure: str, error: DatabaseError) -> None:
        """Log *failure*, with the database's own words."""
        with self._lock:
            now = self._clock()
            due_at, count = self._failures.get(failure, (now, 0))
            if now < due_at:
                self._failures[failure] = due_at, count + 1
                return
            self._failures[failure] = now + INTERVAL, 0
        logger.error(
            "database failure: %s: %s%s",
            failure,
            describe_failure(error),
            f" (and {count} times since the last such line)" if count else "",
        )


outages = OutageLog()
