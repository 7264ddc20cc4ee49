"""Files as rows, one at a time, with the line that each begins or ends on.

Nothing that a file says is repeated in an error before it was seen to hold no
private key; nothing is written to the disk.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from django_clientcert.bundles import (
    choose_end_entity,
    holds_private_key,
    read_certificates,
)
from django_clientcert.certificates import ClientCertificate
from django_clientcert.escaping import visible
from django_clientcert.exceptions import BundleError, ClientCertError

from .records import MAPPING, MAPPING_FIELDS, Record
from .writing import FORMULA

MAX_RECORD = 4 * 1024 * 1024
MAX_CELL = 512 * 1024
MAX_ENTRY = 1024 * 1024
MAX_ENTRIES = 200_000
USER_FROM = ("file-name", "common-name", "email", "upn")

_CHUNK = 64 * 1024
_HEAD = re.compile(
    r'\s*\{\s*"format"\s*:\s*"django-clientcert"\s*,\s*"version"\s*:\s*1\s*,'
    r'\s*"records"\s*:\s*\['
)
_HEAD_SIZE = 4096
_TAIL = re.compile(r"\s*\}\s*\Z")
_PRIVATE_KEY = (
    "holds a private key. A private key never leaves its owner: it was not stored"
)

# Of JSON: it may have been anything. In the other formats, only a mapping.
_UNKNOWN: Record = {"type": "unreadable"}


class TransferError(Exception):
    """The file as a whole cannot be read; one line, safe to show."""


class Row(NamedTuple):
    """A record and where it stands, or why there is none."""

    place: str
    record: Record
    problem: str = ""


def read_rows(
    path: Path, format: str | None = None, *, user_from: str = "file-name"
) -> Iterator[Row]:
    """Yield the rows of *path*: a folder, or a CSV, JSON or zip file.

    Raises:
        TransferError: it cannot be read on.
        OSError: the same, of the file system.
    """
    if path.is_dir():
        yield from _read_folder(path, user_from)
        return
    with path.open("rb") as file:
        yield from _READERS[format or _guess(path, file)](file, user_from)


def _guess(path: Path, file: BinaryIO) -> str:
    start = file.read(4)
    file.seek(0)
    if start == b"PK\x03\x04":
        return "zip"
    suffix = path.suffix.lower().removeprefix(".")
    if suffix in _READERS:
        return suffix
    raise TransferError("Say with --format what kind of file it is: csv, json or zip.")


def _text(file: BinaryIO) -> io.TextIOWrapper:
    start = file.read(2)
    file.seek(0)
    wide = start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return io.TextIOWrapper(
        file, encoding="utf-16" if wide else "utf-8-sig", newline=""
    )


def _read_json(file: BinaryIO, user_from: str) -> Iterator[Row]:
    """Yield the records, however the file is laid out."""
    try:
        with _text(file) as text:
            yield from _decode(text)
    except UnicodeError as error:
        raise TransferError("The file is not UTF-8.") from error


def _decode(text: io.TextIOWrapper) -> Iterator[Row]:
    buffer = text.read(_HEAD_SIZE)
    head = _HEAD.match(buffer)
    if head is None:
        raise TransferError("This is not what “clientcert export” writes.")
    decoder = json.JSONDecoder()
    line = 1 + head.group().count("\n")
    buffer, first = buffer[head.end() :], True
    while True:
        buffer, line = _skip(text, buffer, line)
        if buffer.startswith("]"):
            break
        if not first:
            if not buffer.startswith(","):
                raise TransferError(f"Line {line}: the file is cut off or damaged.")
            buffer, line = _skip(text, buffer[1:], line)
        first = False
        while True:
            try:
                record, end = decoder.raw_decode(buffer)
                break
            except RecursionError as error:
                raise TransferError(f"Line {line}: nested too deeply.") from error
            except ValueError as error:
                # As much again as there is: decoding anew costs no more than reading.
                more = text.read(max(_CHUNK, len(buffer)))
                if not more or len(buffer) > MAX_RECORD:
                    raise TransferError(
                        f"Line {line}: the file is cut off or damaged."
                    ) from error
                buffer += more
        written, buffer = buffer[:end], buffer[end:]
        yield _check_json(f"line {line}", record, written)
        line += written.count("\n")
    rest = buffer[1:] + text.read(_CHUNK)
    if not _TAIL.fullmatch(rest):
        raise TransferError(f"Line {line}: there is more behind the records.")


def _skip(text: io.TextIOWrapper, buffer: str, line: int) -> tuple[str, int]:
    """Return the buffer without the space it begins with, and the line."""
    while True:
        rest = buffer.lstrip(" \t\r\n")
        line += buffer.count("\n") - rest.count("\n")
        if rest:
            return rest, line
        buffer = text.read(_CHUNK)
        if not buffer:
            raise TransferError(f"Line {line}: the file is cut off or damaged.")


def _check_json(place: str, record: Any, written: str) -> Row:
    if not isinstance(record, dict):
        return Row(place, _UNKNOWN, "This is no record")
    # As it is meant, not as it is spelt: an escape must not hide a key.
    if holds_private_key(written) or _has_key(record):
        return Row(place, _UNKNOWN, f"This {_PRIVATE_KEY}")
    return Row(place, record)


def _has_key(value: Any) -> bool:
    if isinstance(value, str):
        return holds_private_key(value)
    if isinstance(value, dict):
        return any(_has_key(one) for pair in value.items() for one in pair)
    return isinstance(value, list) and any(map(_has_key, value))


def _read_csv(file: BinaryIO, user_from: str) -> Iterator[Row]:
    with _text(file) as text:
        before = csv.field_size_limit(MAX_CELL)
        line = 0
        try:
            delimiter, names = _read_head(text.readline(_HEAD_SIZE))
            reader = csv.reader(_lines(text), delimiter=delimiter, strict=True)
            for cells in reader:
                begin, line = line + 2, reader.line_num
                if any(cells):
                    yield _check_cells(f"line {begin}", names, cells)
        except UnicodeError as error:
            raise TransferError(
                f"After line {line + 1}: the file is not UTF-8. Save it as “CSV UTF-8”."
            ) from error
        except csv.Error as error:
            raise TransferError(
                f"After line {line + 1}: this is no CSV ({visible(str(error))})."
            ) from error
        finally:
            csv.field_size_limit(before)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Yield the lines; one that never ends must not fill the memory."""
    while line := text.readline(MAX_RECORD):
        if len(line) == MAX_RECORD:
            raise csv.Error("a line is too long")
        yield line


def _read_head(head: str) -> tuple[str, list[str]]:
    if holds_private_key(head):
        raise TransferError(f"Line 1 {_PRIVATE_KEY}.")
    for delimiter in ",;\t":
        names = [
            one.strip().lower()
            for row in csv.reader([head.strip()], delimiter=delimiter)
            for one in row
        ]
        if "user" in names and len(names) > 1:
            break
    else:
        raise TransferError(
            "Line 1 has to name the columns: user, and value or certificate, and "
            f"any of {', '.join(MAPPING_FIELDS)}."
        )
    unknown = [one for one in names if one not in MAPPING_FIELDS]
    if unknown or len(set(names)) != len(names):
        raise TransferError(
            "Line 1 names a column twice."
            if not unknown
            else f"Line 1 names an unknown column: {visible(unknown[0], 80)}."
        )
    return delimiter, names


def _check_cells(place: str, names: list[str], cells: list[str]) -> Row:
    if any(map(holds_private_key, cells)):
        return Row(place, {}, f"This {_PRIVATE_KEY}")
    if len(cells) != len(names):
        return Row(place, {}, f"There are {len(cells)} cells, and {len(names)} columns")
    record = {
        name: (cell[1:] if cell[:1] == "'" and FORMULA.match(cell) else cell) or None
        for name, cell in zip(names, cells, strict=True)
    }
    return Row(place, {"type": MAPPING, **record})


def _read_zip(file: BinaryIO, user_from: str) -> Iterator[Row]:
    """Yield a row for each file; its name is only ever shown, or a user's."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [one for one in archive.infolist() if not one.is_dir()]
            if len(entries) > MAX_ENTRIES:
                raise TransferError(f"There are more than {MAX_ENTRIES} files in it.")
            for entry in entries:
                with archive.open(entry) as member:
                    octets = member.read(MAX_ENTRY + 1)
                name = PurePosixPath(entry.filename)
                yield _check_file(entry.filename, name.stem, octets, user_from)
    except (
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise TransferError(
            f"The archive cannot be read: {visible(str(error), 200)}."
        ) from error


def _read_folder(folder: Path, user_from: str) -> Iterator[Row]:
    for path in sorted(folder.iterdir()):
        if path.is_file():
            with path.open("rb") as file:
                octets = file.read(MAX_ENTRY + 1)
            yield _check_file(path.name, path.stem, octets, user_from)


def _check_file(name: str, stem: str, octets: bytes, user_from: str) -> Row:
    if holds_private_key(name):
        return Row("a file", {}, f"Its name {_PRIVATE_KEY}")
    place = visible(name, 120)
    if holds_private_key(octets):
        return Row(place, {}, f"This {_PRIVATE_KEY}")
    if len(octets) > MAX_ENTRY:
        return Row(place, {}, f"This is larger than {MAX_ENTRY // 1024} KiB")
    try:
        certificate = choose_end_entity(read_certificates(octets))
        user = stem if user_from == "file-name" else _user_of(certificate, user_from)
    except (BundleError, ClientCertError) as error:
        return Row(place, {}, str(error))
    return Row(place, {"type": MAPPING, "user": user, "certificate": certificate})


def _user_of(certificate: ClientCertificate, user_from: str) -> str:
    """Return the one name of a kind; of several, none is believed.

    Raises:
        BundleError: there is none, or more than one.
        CertificateParseError: it cannot be read.
    """
    names: tuple[Any, ...]
    if user_from == "common-name":
        names = certificate.common_names
    else:
        found = certificate.subject_alternative_names
        names = tuple(found.emails if user_from == "email" else found.upns)
    if len(names) != 1 or not isinstance(names[0], str):
        raise BundleError(f"The certificate does not have exactly one {user_from}")
    return names[0]


_READERS = {"csv": _read_csv, "json": _read_json, "zip": _read_zip}
