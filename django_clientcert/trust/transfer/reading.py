"""Files read as rows, one at a time, with the line on which each begins.

No error repeats content of a file before it was checked for private keys, and nothing
is written to disk.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_clientcert.exceptions import BundleError, ClientCertError
from django_clientcert.models.validators import PRIVATE_KEY_MESSAGE
from django_clientcert.x509.bundles import (
    choose_end_entity,
    holds_private_key,
    read_certificates,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible

from .records import MAPPING, MAPPING_FIELDS, Record
from .writing import unguard

MAX_RECORD = 4 * 1024 * 1024
MAX_CELL = 512 * 1024
MAX_ENTRY = 1024 * 1024
MAX_ENTRIES = 200_000

_NAMES: dict[str, Callable[[ClientCertificate], Sequence[Any]]] = {
    "common-name": lambda certificate: certificate.common_names,
    "email": lambda certificate: certificate.subject_alternative_names.emails,
    "upn": lambda certificate: certificate.subject_alternative_names.upns,
}
USER_FROM = ("file-name", *_NAMES)

_CHUNK = 64 * 1024
_HEAD = re.compile(
    r'\s*\{\s*"format"\s*:\s*"django-clientcert"\s*,\s*"version"\s*:\s*1\s*,'
    r'\s*"records"\s*:\s*\['
)
_HEAD_SIZE = 4096
_DECODER = json.JSONDecoder()
_DELIMITERS = ",;\t"
_TAIL = re.compile(r"\s*\}\s*\Z")
_CUT_OFF = gettext_lazy("Line %(line)d: the file is cut off or damaged.")

# What zipfile raises for archives that are damaged, encrypted or unusual
_ZIP_ERRORS = (
    *(EOFError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error),
)
# A row of JSON may have been anything; one of another format was a mapping.
_UNKNOWN: Record = {"type": "unreadable"}


class TransferError(Exception):
    """The file cannot be read as a whole; the text is one line, safe to show."""


class Row(NamedTuple):
    """A record and its place in the file, or why there is no record."""

    place: str
    record: Record
    problem: str = ""


def read_rows(
    path: Path, format: str | None = None, *, user_from: str = "file-name"
) -> Iterator[Row]:
    """Yield the rows of *path*: a folder, or a CSV, JSON or zip file.

    Raises:
        TransferError: the rest cannot be read.
        OSError: the file system cannot read it.
    """
    if path.is_dir():
        yield from _read_folder(path, user_from)
        return
    with path.open("rb") as file:
        yield from _READERS[format or _guess(path, file)](file, user_from)


def read_uploads(
    uploads: Sequence[tuple[str, BinaryIO]], *, user_from: str = "file-name"
) -> Iterator[Row]:
    """Yield the rows of *uploads*, names and files: one with rows, or certificates.

    The format of a file is recognised by how it begins.

    Raises:
        TransferError: the rest cannot be read, or one of several files has rows.
    """
    formats = [_recognise(file) for _name, file in uploads]
    if formats == ["certificate"] * len(formats):
        for name, file in uploads:
            yield _check_file(name, file, user_from)
    elif len(uploads) > 1:
        raise TransferError(
            _("Choose one file with rows, one archive, or several certificates.")
        )
    else:
        yield from _READERS[formats[0]](uploads[0][1], user_from)


def refuse_bombs(uploads: Sequence[tuple[str, BinaryIO]], max_bytes: int) -> None:
    """Refuse archives that declare more than *max_bytes*; none unpacks to more.

    Raises:
        TransferError: there is one.
    """
    for _name, file in uploads:
        size = 0
        # An error is reported when the file is read, if it is an archive at all.
        with suppress(*_ZIP_ERRORS), zipfile.ZipFile(file) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        file.seek(0)
        if size > max_bytes:
            message = _("The archive contains more than %(size)d MiB.")
            raise TransferError(message % {"size": max_bytes // 1024**2})


def _recognise(file: BinaryIO) -> str:
    """Return “certificate”, or the format of a file with several rows."""
    octets = file.read(_HEAD_SIZE)
    file.seek(0)
    if octets.startswith(b"PK\x03\x04"):
        return "zip"
    if octets.startswith(b"\x30"):  # a SEQUENCE in DER
        return "certificate"
    text = octets.decode(_encoding(octets), "replace").lstrip()
    if text.startswith("{"):
        return "json"
    head = text.partition("\n")[0].lower()
    is_csv = "user" in head and any(delimiter in head for delimiter in _DELIMITERS)
    return "certificate" if "-----BEGIN" in text and not is_csv else "csv"


def _guess(path: Path, file: BinaryIO) -> str:
    if _recognise(file) == "zip":
        return "zip"
    suffix = path.suffix.lower().removeprefix(".")
    if suffix in _READERS:
        return suffix
    raise TransferError(
        _("The format of the file is unknown. Give --format csv, json or zip.")
    )


def _text(file: BinaryIO) -> io.TextIOWrapper:
    encoding = _encoding(file.read(2))
    file.seek(0)
    return io.TextIOWrapper(file, encoding, newline="")


def _encoding(start: bytes) -> str:
    is_wide = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return "utf-16" if is_wide else "utf-8-sig"


def _at_line(number: int) -> str:
    return _("line %(line)d") % {"line": number}


def _read_json(file: BinaryIO, user_from: str) -> Iterator[Row]:
    """Yield the records, regardless of white space."""
    try:
        with _text(file) as text:
            yield from _decode(text)
    except UnicodeError as error:
        raise TransferError(_("The file is not UTF-8.")) from error


def _decode(text: io.TextIOWrapper) -> Iterator[Row]:
    buffer = text.read(_HEAD_SIZE)
    head = _HEAD.match(buffer)
    if head is None:
        raise TransferError(_("This was not written by “clientcert export”."))
    line = 1 + head.group().count("\n")
    buffer, separator = buffer[head.end() :], ""
    while True:
        buffer, line = _skip(text, buffer, line)
        if buffer.startswith("]"):
            break
        if not buffer.startswith(separator):
            raise TransferError(_CUT_OFF % {"line": line})
        buffer, line = _skip(text, buffer.removeprefix(separator), line)
        separator = ","
        try:
            record, written, buffer = _take(text, buffer, line)
            row = _check_json(_at_line(line), record, written)
        except RecursionError as error:
            message = _("Line %(line)d: nested too deeply.")
            raise TransferError(message % {"line": line}) from error
        yield row
        line += written.count("\n")
    if not _TAIL.fullmatch(buffer[1:] + text.read(_CHUNK)):
        message = _("Line %(line)d: the file continues after the records.")
        raise TransferError(message % {"line": line})


def _take(text: io.TextIOWrapper, buffer: str, line: int) -> tuple[Any, str, str]:
    """Return the next record, as decoded and as written, and the rest of the buffer."""
    while True:
        try:
            record, end = _DECODER.raw_decode(buffer)
        except ValueError as error:
            # Doubles the buffer, so that decoding again costs no more than reading.
            more = text.read(max(_CHUNK, len(buffer)))
            if not more or len(buffer) > MAX_RECORD:
                raise TransferError(_CUT_OFF % {"line": line}) from error
            buffer += more
        else:
            return record, buffer[:end], buffer[end:]


def _skip(text: io.TextIOWrapper, buffer: str, line: int) -> tuple[str, int]:
    """Return the buffer without leading white space, and the line number."""
    while True:
        rest = buffer.lstrip(" \t\r\n")
        line += buffer.count("\n") - rest.count("\n")
        if rest:
            return rest, line
        buffer = text.read(_CHUNK)
        if not buffer:
            raise TransferError(_CUT_OFF % {"line": line})


def _check_json(place: str, record: Any, written: str) -> Row:
    if not isinstance(record, dict):
        return Row(place, _UNKNOWN, _("This is not a record"))
    # The decoded record as well, because escapes must not hide a key.
    if holds_private_key(written) or _has_key(record):
        return Row(place, _UNKNOWN, str(PRIVATE_KEY_MESSAGE))
    return Row(place, record)


def _has_key(value: Any) -> bool:
    if isinstance(value, str):
        return holds_private_key(value)
    if isinstance(value, dict):
        return any(_has_key(part) for pair in value.items() for part in pair)
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
                    yield _check_cells(_at_line(begin), names, cells)
        except UnicodeError as error:
            message = _(
                "After line %(line)d: the file is not UTF-8. Save it as “CSV UTF-8”."
            )
            raise TransferError(message % {"line": line + 1}) from error
        except csv.Error as error:
            message = _("After line %(line)d: this is not CSV (%(why)s).")
            params = {"line": line + 1, "why": visible(str(error))}
            raise TransferError(message % params) from error
        finally:
            csv.field_size_limit(before)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Yield the lines; one without an end must not exhaust the memory."""
    while line := text.readline(MAX_RECORD):
        if len(line) == MAX_RECORD:
            raise csv.Error("a line is too long")
        yield line


def _read_head(head: str) -> tuple[str, list[str]]:
    if holds_private_key(head):
        raise TransferError(f"{_at_line(1)}: {PRIVATE_KEY_MESSAGE}")
    for delimiter in _DELIMITERS:
        names = [
            name.strip().lower()
            for row in csv.reader([head.strip()], delimiter=delimiter)
            for name in row
        ]
        if "user" in names and len(names) > 1:
            break
    else:
        message = _(
            "Line 1 must name the columns: user, value or certificate, and any of "
            "%(names)s."
        )
        raise TransferError(message % {"names": ", ".join(MAPPING_FIELDS)})
    if unknown := [name for name in names if name not in MAPPING_FIELDS]:
        message = _("Line 1 names an unknown column: %(name)s.")
        raise TransferError(message % {"name": visible(unknown[0], 80)})
    if len(set(names)) != len(names):
        raise TransferError(_("Line 1 names a column twice."))
    return delimiter, names


def _check_cells(place: str, names: list[str], cells: list[str]) -> Row:
    if any(map(holds_private_key, cells)):
        return Row(place, {}, str(PRIVATE_KEY_MESSAGE))
    if len(cells) != len(names):
        text = _("The row has %(cells)d cells, but there are %(columns)d columns")
        return Row(place, {}, text % {"cells": len(cells), "columns": len(names)})
    record = {
        name: unguard(cell) or None for name, cell in zip(names, cells, strict=True)
    }
    return Row(place, {"type": MAPPING, **record})


def _read_zip(file: BinaryIO, user_from: str) -> Iterator[Row]:
    """Yield one row per file; its name is only shown, or used as the user’s name."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > MAX_ENTRIES:
                message = _("The archive contains more than %(count)d files.")
                raise TransferError(message % {"count": MAX_ENTRIES})
            for entry in entries:
                # Errors of other methods are not zipfile's own.
                if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
                    raise NotImplementedError("compressed in an unusual way")
                with archive.open(entry) as member:
                    yield _check_file(entry.filename, member, user_from)
    except _ZIP_ERRORS as error:
        message = _("The archive cannot be read: %(why)s.")
        raise TransferError(message % {"why": visible(str(error), 200)}) from error


def _read_folder(folder: Path, user_from: str) -> Iterator[Row]:
    for path in sorted(folder.iterdir()):
        if path.is_file():
            with path.open("rb") as file:
                yield _check_file(path.name, file, user_from)


def _check_file(name: str, file: IO[bytes], user_from: str) -> Row:
    octets = file.read(MAX_ENTRY + 1)
    if holds_private_key(name):
        return Row(_("a file’s name"), {}, str(PRIVATE_KEY_MESSAGE))
    place = visible(name, 120)
    if holds_private_key(octets):
        return Row(place, {}, str(PRIVATE_KEY_MESSAGE))
    if len(octets) > MAX_ENTRY:
        text = _("This is larger than %(size)d KiB")
        return Row(place, {}, text % {"size": MAX_ENTRY // 1024})
    try:
        certificate = choose_end_entity(read_certificates(octets))
        user = _user_of(name, certificate, user_from)
    except ClientCertError as error:
        return Row(place, {}, str(error))
    return Row(place, {"type": MAPPING, "user": user, "certificate": certificate})


def _user_of(file_name: str, certificate: ClientCertificate, user_from: str) -> str:
    """Return what names the user: the file, or the only name of a kind.

    Raises:
        BundleError: there is no name, or more than one.
        CertificateParseError: it cannot be read.
    """
    if user_from == "file-name":
        return PurePosixPath(file_name).stem
    names = _NAMES[user_from](certificate)
    if len(names) != 1 or not isinstance(names[0], str):
        message = _("The certificate does not have exactly one %(name)s")
        raise BundleError(message % {"name": user_from})
    return names[0]


_READERS = {"csv": _read_csv, "json": _read_json, "zip": _read_zip}
