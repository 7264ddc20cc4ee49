"""A lock that every database has: one row that is written."""

from __future__ import annotations

from django.db import connections, models


class MappingLock(models.Model):
    """The row that is locked before looking for an equal mapping and storing one.

    A unique constraint could not replace it: pins need no authority, and in an index
    every NULL is different.
    """

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return "the lock on mappings"

    @classmethod
    def acquire(cls, using: str) -> None:
        """Wait for others who store mappings; hold the lock until the transaction ends.

        Does nothing outside of a transaction. Call it first in one: SQLite has no lock
        on a row, and its transactions wait for each other only if they begin with a
        write.
        """
        if not connections[using].in_atomic_block:
            return
        rows = cls._base_manager.using(using)
        if not rows.filter(pk=1).update(id=1):
            rows.bulk_create([cls(pk=1)], ignore_conflicts=True)
            rows.filter(pk=1).update(id=1)
