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
        """Leave out the length, which is fixed."""
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_length"]
        return name, path, args, kwargs

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        """Return a binary type of that length, if the database has one."""
        if connection.vendor == "mysql":
            return f"varbinary({KEY_BYTES})"
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
        """Return bytes, whatever type the driver returns."""
        return None if value is None else bytes(value)


def serial_key(serial_number: int) -> bytes:
    """Return the lookup key of a serial number, at most 32 bytes.

    The content of the INTEGER, or its SHA-256 if that is longer than the 20 octets
    that RFC 5280 (4.1.2.2) allows would ever be.
    """
    size = (serial_number + (serial_number < 0)).bit_length() // 8 + 1
    octets = serial_number.to_bytes(size, "big", signed=True)
    return octets if size < KEY_BYTES else hashlib.sha256(octets).digest()


def name_key(name: bytes) -> bytes:
    """Return the lookup key of a CA's Name (DER), its SHA-256.

    Of the encoded bytes, because path validation compares those as well.
    """
    return hashlib.sha256(name).digest()


def prefix_range(digits: str) -> tuple[bytes, bytes]:
    """Return the least and the greatest key whose hex value begins with *digits*."""
    digits, size = digits.lower(), 2 * KEY_BYTES
    return bytes.fromhex(digits.ljust(size, "0")), bytes.fromhex(
        digits.ljust(size, "f")
    )
