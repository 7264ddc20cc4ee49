"""Writes for the record, which must not keep requests waiting."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Lock

from django.db import Error as DatabaseError
from django.db import IntegrityError

from django_clientcert.evaluation.keeping import unnoticed
from django_clientcert.evaluation.outages import describe_failure

logger = logging.getLogger("django_clientcert")

# Seconds without a write after one that failed: it may have kept a request waiting
PAUSE = 10.0
# Seconds to wait for another thread that writes
PATIENCE = 0.1


class Writer:
    """Lets one thread of the process write at a time, and none after a failure.

    A database that is locked, full or read-only delays one request every few seconds
    at most. What was not written is due again on a later request. *clock* returns
    seconds and never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._writing = Lock()
        self._paused_until = float("-inf")

    def is_paused(self) -> bool:
        """Whether a write has failed a moment ago."""
        return self._clock() < self._paused_until

    def write(self, name: str, record: Callable[[], object]) -> bool:
        """Call *record*, which writes what *name* says; return whether it did."""
        if self.is_paused() or not self._writing.acquire(timeout=PATIENCE):
            return False
        try:
            if self.is_paused():  # since the other thread has failed
                return False
            with unnoticed():
                record()
        except DatabaseError as error:
            if not isinstance(error, IntegrityError):  # that one is the row’s fault
                self._paused_until = self._clock() + PAUSE
            logger.warning("not written: %s: %s", name, describe_failure(error))
            return False
        finally:
            self._writing.release()
        return True


writer = Writer()
