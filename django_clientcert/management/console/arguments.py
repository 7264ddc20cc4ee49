"""How the command line is read: the parser, and the types of some arguments."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.core.management.base import CommandParser, DjangoHelpFormatter
from django.utils.dateparse import parse_date, parse_datetime

# What Django takes in front of the subcommand; behind it, people write it too.
_DJANGO_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("-v", "--verbosity"), {"type": int, "choices": [0, 1, 2, 3]}),
    (("--settings",), {}),
    (("--pythonpath",), {}),
    (("--traceback",), {"action": "store_true"}),
    (("--no-color",), {"action": "store_true"}),
    (("--force-color",), {"action": "store_true"}),
)


class HelpFormatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions and examples."""


class SubcommandParser(CommandParser):
    """The parser of one subcommand."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", HelpFormatter)
        super().__init__(**kwargs)
        for names, options in _DJANGO_OPTIONS:
            # No default: it would overwrite what stood in front of the subcommand.
            self.add_argument(
                *names, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **options
            )

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse, and take what follows ``--header`` as its value in any case.

        A certificate begins with ``-----BEGIN``, which argparse would take for an
        option.
        """
        given = iter(sys.argv[1:] if args is None else args)
        joined = []
        for one in given:
            value = next(given, None) if one == "--header" else None
            joined.append(one if value is None else f"{one}={value}")
        parsed: tuple[Any, list[str]] = super().parse_known_args(joined, namespace)
        return parsed


class Moment(NamedTuple):
    """A point in time, and whether its time zone had to be assumed."""

    at: dt.datetime
    assumed_utc: bool


def moment(text: str) -> Moment:
    """Return the moment that an ISO 8601 *text* names; UTC where no zone is given.

    A date alone is its first moment.

    Raises:
        ArgumentTypeError: it is neither a date nor a date with a time.
    """
    try:
        value = parse_datetime(text)
        if value is None and (day := parse_date(text)) is not None:
            value = dt.datetime.combine(day, dt.time())
        if value is not None:
            naive = value.tzinfo is None
            zone = dt.timezone.utc
            at = value.replace(tzinfo=zone) if naive else value.astimezone(zone)
            return Moment(at, naive)
    except (ValueError, OverflowError):
        pass  # said below
    raise argparse.ArgumentTypeError(
        "write a moment like 2027-01-31T23:59:00+01:00, or a date like 2027-01-31"
    )


def last_moment(text: str) -> Moment:
    """Return what ``moment()`` does; a date alone is the end of that day.

    Raises:
        ArgumentTypeError: as ``moment()``.
    """
    found = moment(text)
    try:
        if parse_date(text) is not None:
            return Moment(found.at + dt.timedelta(days=1), found.assumed_utc)
    except (ValueError, OverflowError):
        pass  # with a time, so it is the moment it says
    return found


def last_second(text: str) -> Moment:
    """Return what ``moment()`` does; a date alone is the last second of that day.

    For what includes its end: a certificate says to the second when it was issued,
    and many are issued at midnight, so the next day must not begin here.

    Raises:
        ArgumentTypeError: as ``moment()``.
    """
    found = last_moment(text)
    if found == moment(text):
        return found
    return Moment(found.at - dt.timedelta(seconds=1), found.assumed_utc)
