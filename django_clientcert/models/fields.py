"""Columns of a fixed, small number of bytes that every database can index."""

from __future__ import annotations

import hashlib
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

KEY_BYTES = 32


class KeyPlaceholder(int):
    """A number that stands for a key while a query is compiled."""


class KeyField(models.BinaryField):  # type: ignore[type-arg]
    """At most 32 bytes, indexable everywhere (MySQL cannot index a BLOB)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_length"] = KEY_BYTES
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        """Leave out the length, which is not a choice."""
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_length"]
        return name, path, args, kwargs

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        """Return a binary type of that length where there is one."""
        if connection.vendor == "mysql":
            return f"varbinary({KEY_BYTES})"
        if connection.vendor == "oracle":
            return f"raw({KEY_BYTES})"
        return super().db_type(connection)

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        """Return what the driver takes for bytes; a placeholder as it is."""
        if isinstance(value, KeyPlaceholder):
            return value
        return super().get_db_prep_value(value, connection, prepared)

    def from_db_value(
        self, value: Any, expression: object, connection: BaseDatabaseWrapper
    ) -> bytes | None:
        """Return bytes, whatever the driver hands out."""
        return None if value is None else bytes(value)


def serial_key(serial_number: int) -> bytes:
    """Return what a serial number is looked up with: at most 32 bytes.

    The content of the INTEGER (RFC 5280 allows 20 octets); of one that is longer
    than any CA may issue, its SHA-256.
    """
    size = (serial_number + (serial_number < 0)).bit_length() // 8 + 1
    octets = serial_number.to_bytes(size, "big", signed=True)
    return octets if size < KEY_BYTES else hashlib.sha256(octets).digest()


def name_key(name: bytes) -> bytes:
    """Return what a CA's Name (DER) is looked up with: its SHA-256.

    As it stands: path validation compares the names of CAs to the letter too.
    """
    return hashlib.sha256(name).digest()
