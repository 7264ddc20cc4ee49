"""The command line: parsers, shared arguments and argument types."""

from __future__ import annotations

import argparse
import datetime as dt
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

from django.core.management.base import CommandParser, DjangoHelpFormatter
from django.utils.dateparse import parse_date, parse_datetime

# Options that Django accepts before the subcommand. People write them after it, too.
_DJANGO_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("-v", "--verbosity"), {"type": int, "choices": [0, 1, 2, 3]}),
    (("--settings",), {}),
    (("--pythonpath",), {}),
    (("--traceback",), {"action": "store_true"}),
    (("--no-color",), {"action": "store_true"}),
    (("--force-color",), {"action": "store_true"}),
)

_DURATION_UNITS = {"h": "hours", "d": "days", "w": "weeks"}

# The help of each argument, or its options for argparse, by its usage:
# “--user NAME” has a value and “--host NAME ...” may be repeated, “--list” is a flag,
# and “file FILE” or, if it may be left out, “file [FILE]”, is recognised by its place.
Arguments = Mapping[str, str | dict[str, Any]]

CERTIFICATE = (
    "the certificate: PEM, DER or PKCS#7, alone or with its chain; - reads standard "
    "input"
)
AUTHORITY: Arguments = {"name NAME": "the authority"}
JSON: Arguments = {"--json": "print one JSON object, for programs"}
NOTE: Arguments = {"--note TEXT": {"help": "a note to keep", "default": ""}}


class HelpFormatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions and examples."""


def read_help(docstring: str | None) -> dict[str, Any]:
    """Return argparse's help, description and epilog from a docstring.

    The first sentence is the help. The part from "Examples:" or "Exit status:" on is
    the epilog, up to a section "Raises:", which is for developers only.
    """
    # None under ``python -OO``
    text = inspect.cleandoc(docstring or "").partition("\n\nRaises:")[0]
    description, *epilog = re.split(r"\n\n(?=Examples?:|Exit status)", text, maxsplit=1)
    summary = description.partition("\n\n")[0].replace("\n", " ").removesuffix(".")
    return {
        "help": summary[:1].lower() + summary[1:],
        "description": description,
        "epilog": "".join(epilog),
    }


class SubcommandParser(CommandParser):
    """The parser of one subcommand."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(formatter_class=HelpFormatter, **kwargs)
        for names, options in _DJANGO_OPTIONS:
            # A default would overwrite the value given before the subcommand.
            self.add_argument(
                *names, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **options
            )

    def add(self, arguments: Arguments) -> None:
        """Add *arguments*; the value of one that may be repeated is a list."""
        for usage, given in arguments.items():
            name, *value = usage.split()
            options: dict[str, Any] = (
                {"help": given} if isinstance(given, str) else {**given}
            )
            if value:
                options["metavar"] = value[0].strip("[]")
            elif "choices" not in options:
                options["action"] = "store_true"
            if usage.endswith("]"):
                options["nargs"] = "?"
            if usage.endswith("..."):
                options |= {"action": "append", "default": []}
                options["help"] += "; may be repeated"
            self.add_argument(name, **options)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse; the argument after ``--header`` is always its value.

        A certificate begins with ``-----BEGIN``, which argparse would read as an
        option.
        """
        arguments = iter(sys.argv[1:] if args is None else args)
        joined = []
        for argument in arguments:
            value = next(arguments, None) if argument == "--header" else None
            joined.append(argument if value is None else f"{argument}={value}")
        parsed: tuple[Any, list[str]] = super().parse_known_args(joined, namespace)
        return parsed


class Subcommands:
    """The subcommands of a parser; the *noun* is what the usage line calls one."""

    def __init__(self, parser: argparse.ArgumentParser, noun: str) -> None:
        self._parsers = parser.add_subparsers(
            title=f"{noun}s",
            dest=noun,
            metavar=noun.upper(),
            required=True,
            parser_class=SubcommandParser,
        )

    def add(
        self,
        name: str,
        run: Callable[..., None],
        arguments: Arguments,
        docstring: str | None = None,
    ) -> None:
        """Add a subcommand that *run* does.

        Its help is *docstring*, or that of *run*; see ``read_help()``.
        """
        parser = self._parsers.add_parser(name, **read_help(docstring or run.__doc__))
        parser.set_defaults(run=run)
        parser.add(arguments)

    def add_module(self, name: str, module: ModuleType) -> None:
        """Add the subcommand, or the group of actions, of a module."""
        if hasattr(module, "ARGUMENTS"):
            self.add(name, module.run, module.ARGUMENTS, module.__doc__)
        else:
            parser = self._parsers.add_parser(name, **read_help(module.__doc__))
            module.add_actions(Subcommands(parser, "action"))


def option_of(name: str) -> str:
    """Return the option whose value is called *name*."""
    return f"--{name.replace('_', '-')}"


class Moment(NamedTuple):
    """A point in time, and whether its time zone had to be assumed."""

    at: dt.datetime
    assumed_utc: bool


def moment(text: str, *, into_day: dt.timedelta = dt.timedelta()) -> Moment:
    """Return the moment that an ISO 8601 *text* names; UTC if it names no zone.

    A date alone is the moment *into_day* after its midnight.

    Raises:
        ArgumentTypeError: it is neither a date nor a date with a time.
    """
    with suppress(ValueError, OverflowError):  # reported below
        day = parse_date(text)
        value = (
            parse_datetime(text) if day is None else dt.datetime.combine(day, dt.time())
        )
        if value is not None:
            if day is not None and day < dt.date.max:
                value += into_day
            naive = value.tzinfo is None
            zone = dt.timezone.utc
            at = value.replace(tzinfo=zone) if naive else value.astimezone(zone)
            return Moment(at, naive)
    raise argparse.ArgumentTypeError(
        "write a moment like 2027-01-31T23:59:00+01:00, or a date like 2027-01-31"
    )


# A date means the end of that day.
last_moment = partial(moment, into_day=dt.timedelta(days=1))

# For a bound that is included: many certificates are issued at midnight, so a period
# that ends on a day must not include the first moment of the next.
last_second = partial(moment, into_day=dt.timedelta(days=1, seconds=-1))


def duration(text: str) -> dt.timedelta:
    """Return a duration such as 12h, 30d or 6w.

    Raises:
        ArgumentTypeError: it is written in another way.
    """
    match = re.fullmatch("([0-9]{1,5})([hdw])", text)
    if match is None:
        raise argparse.ArgumentTypeError("write a time like 12h, 30d or 6w")
    return dt.timedelta(**{_DURATION_UNITS[match[2]]: int(match[1])})


def matching(pattern: str, expected: str) -> Callable[[str], str]:
    """Return an argument type that accepts what *pattern* matches as a whole.

    *expected* ends the sentence "write …", which is the error otherwise.
    """

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"write {expected}")
        return text

    return check
