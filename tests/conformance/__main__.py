"""Run path-validation cases: ``python -m tests.conformance [--strict] FILE…``.

With ``--pkits`` instead of files, NIST's suite runs; see ``pkits``.

The cases (x509-limbo's form, reduced) go through ``verification.PathValidator``
with the profile for private CAs. Printed are every false accept and every
over-strict refusal with its message, then ``N passed, N failed``.

- A false accept fails.
- An over-strict refusal that ``over_strict.txt`` lists with its reason passes. One
  that is not listed is neither passed nor failed, because the list cannot know
  cases that nobody has seen; with ``--strict`` it fails.
- A listed case that is accepted fails: the list has to be true.
- A case with CRLs asks for the revocation of the whole path; a list that is refused
  is not there. They must have a CRLNumber, as RFC 5280 (5.2.3) wants.

What the peer sent (``untrusted``) is given to ``validate()`` as presented; of that
only the first ``MAX_PRESENTED`` count, so the rest stands in the bundle, as an
administrator would put it there. Each case runs a second time with all of it in the
bundle, which must make no difference.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.utils import CryptographyDeprecationWarning

from django_clientcert.exceptions import ClientCertError
from django_clientcert.wire import decode_pem
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.paths import (
    MAX_INTERMEDIATES,
    MAX_PRESENTED,
    PRIVATE,
    PathValidator,
)

from . import pkits
from .lists import check, load_lists

OVER_STRICT = Path(__file__).with_name("over_strict.txt")

PURPOSES = {
    "clientAuth": "1.3.6.1.5.5.7.3.2",
    "serverAuth": "1.3.6.1.5.5.7.3.1",
}


@dataclass
class Result:
    """What came of the cases of one or more files."""

    passed: int = 0
    false_accepts: list[str] = field(default_factory=list)
    # id -> message
    over_strict: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def read_list(path: Path = OVER_STRICT) -> dict[str, str]:
    """Return the listed over-strict refusals: id to reason."""
    listed = {}
    for line in path.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            case, _, reason = line.partition("\t")
            if not reason.strip():
                raise ValueError(f"{path.name}: {case!r} has no reason")
            listed[case] = reason.strip()
    return listed


def validate(case: Mapping[str, Any], *, presented: bool) -> str | None:
    """Return None where the path of *case* is accepted, else why it is not."""
    depth = case["max_depth"]
    at = dt.datetime.fromisoformat(case["at"])
    trusted = [_certificate(pem) for pem in case["trusted"]]
    sent = [_certificate(pem) for pem in case["untrusted"]]
    refused: list[str] = []
    split = MAX_PRESENTED if presented else 0
    try:
        validator = PathValidator(
            trusted,
            sent[split:],
            PRIVATE,
            purpose=PURPOSES[case["purpose"]],
            max_intermediates=MAX_INTERMEDIATES if depth is None else depth,
        )
        path = validator.validate(_certificate(case["leaf"]), at, sent[:split])
        if case["crls"]:
            loaded = load_lists(
                [one.encode() for one in case["crls"]],
                [*trusted, *sent],
                at,
                validator,
                require_number=True,
            )
            refused = loaded.refused
            check(path, loaded, at, validator)
    except ClientCertError as refusal:
        return "; ".join([f"{type(refusal).__name__}: {refusal}", *refused])
    return None


def _certificate(pem: str) -> ClientCertificate:
    return ClientCertificate(decode_pem(pem)[0])


def run(cases: Sequence[Mapping[str, Any]], result: Result) -> None:
    """Run *cases* and add what came of them to *result*."""
    for case in cases:
        expected = case["expected"]
        if expected not in ("accept", "refuse"):
            result.others.append(f"{case['id']}: expected is {expected!r}")
            continue
        try:
            answers = [validate(case, presented=one) for one in (True, False)]
        except Exception as error:  # noqa: BLE001 - only a refusal may come out
            result.others.append(f"{case['id']}: {type(error).__name__}: {error}")
            continue
        accepted = [answer is None for answer in answers]
        if expected == "refuse" and any(accepted):
            result.false_accepts.append(case["id"])
        elif expected == "accept" and not all(accepted):
            result.over_strict[case["id"]] = next(one for one in answers if one)
        else:
            result.passed += 1


def report(
    result: Result, ids: set[str], listed: Mapping[str, str], *, strict: bool
) -> bool:
    """Print what came out; return whether everything is as it should be."""
    for case in result.false_accepts:
        print(f"FALSE ACCEPT {case}")
    unlisted = 0
    for case, message in result.over_strict.items():
        print(f"over-strict {case}: {message}")
        if case in listed:
            print(f"    listed: {listed[case]}")
        else:
            unlisted += 1
            print("    not listed")
    stale = sorted((set(listed) & ids) - set(result.over_strict))
    for case in stale:
        print(f"LISTED but accepted: {case}")
    for other in result.others:
        print(f"ERROR {other}")
    if result.over_strict:
        print(
            f"{len(result.over_strict)} over-strict, {unlisted} of them not listed"
            + ("" if strict or not unlisted else " (they fail with --strict only)")
        )
    failed = len(result.false_accepts) + len(result.others) + len(stale)
    failed += unlisted if strict else 0
    passed = result.passed - len(stale) + len(result.over_strict) - unlisted
    print(f"{passed} passed, {failed} failed")
    return not failed and bool(passed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the files named on the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="*", metavar="FILE", type=Path)
    parser.add_argument(
        "--pkits",
        action="store_true",
        help="run NIST’s suite, from the package cryptography-vectors",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="an over-strict refusal that is not listed fails",
    )
    options = parser.parse_args(arguments)
    if bool(options.files) == options.pkits:
        parser.error("give FILE…, or --pkits")
    result, ids = Result(), set()
    with warnings.catch_warnings():
        # Anchors with the serial number 0; where warnings are errors, such a
        # certificate is refused, which says nothing about the path.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        if options.pkits:
            return pkits.main()
        for file in options.files:
            cases = json.loads(file.read_text("utf-8"))["cases"]
            ids |= {case["id"] for case in cases}
            run(cases, result)
    return 0 if report(result, ids, read_list(), strict=options.strict) else 1


if __name__ == "__main__":
    sys.exit(main())
