"""NIST's Public Key Interoperability Test Suite: paths and revocation together.

``python -m tests.conformance --pkits`` runs it; the certificates and lists come with
the package ``cryptography-vectors``. Each test builds a path with ``PathValidator``
to the suite's trust anchor, imports the lists that the test names, and asks
``check_path()`` with the policy that a list is required.

``pkits_tests.txt`` says what each test consists of. ``pkits_differences.txt`` lists,
with its reason, every test that comes out in another way than the suite wants it;
anything else that does is a failure, and so is a listed test that does not. Only in
the sections on certificate policies (4.8 to 4.12) may a listed test be accepted that
the suite refuses: nobody here asks for a policy.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from django_clientcert.exceptions import ClientCertError
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.paths import PRIVATE, PathValidator

from .lists import check, load_lists

TESTS = Path(__file__).with_name("pkits_tests.txt")
DIFFERENCES = Path(__file__).with_name("pkits_differences.txt")

# The suite is valid from 2010 to 2030.
AT = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)
ANCHOR = "TrustAnchorRootCertificate"
ANCHOR_LIST = "TrustAnchorRootCRL"
POLICY_SECTIONS = frozenset(f"4.{section}" for section in range(8, 13))


@dataclass(frozen=True)
class Test:
    """One test of the suite, with the names of its files."""

    number: str
    expected: str
    leaf: str
    certificates: tuple[str, ...]
    lists: tuple[str, ...]

    # pytest would take it for a class of tests
    __test__ = False

    @property
    def section(self) -> str:
        """The section of the document that the test stands in."""
        return self.number.rpartition(".")[0]


def read_tests(path: Path = TESTS) -> list[Test]:
    """Return the tests in the order of the document."""
    tests = []
    for line in _lines(path):
        number, expected, leaf, certificates, lists = line.split("\t")
        tests.append(Test(number, expected, leaf, _names(certificates), _names(lists)))
    return tests


def read_differences(path: Path = DIFFERENCES) -> dict[str, str]:
    """Return the listed differences: number to reason."""
    return dict(line.split("\t") for line in _lines(path))


def _lines(path: Path) -> Iterator[str]:
    for line in path.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line


def _names(text: str) -> tuple[str, ...]:
    return () if text == "-" else tuple(text.split(" "))


@cache
def folder() -> Path | None:
    """Return where the suite's files are; None where they are not installed."""
    spec = find_spec("cryptography_vectors")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "x509" / "PKITS_data"


def read_certificate(name: str) -> ClientCertificate:
    """Return a certificate of the suite."""
    found = folder()
    assert found is not None
    return ClientCertificate((found / "certs" / f"{name}.crt").read_bytes())


def read_revocations(name: str) -> bytes:
    """Return a revocation list of the suite, DER."""
    found = folder()
    assert found is not None
    return (found / "crls" / f"{name}.crl").read_bytes()


def validate(test: Test) -> str | None:
    """Return None where *test* is accepted, else why it is not."""
    anchor = read_certificate(ANCHOR)
    refused: list[str] = []
    try:
        bundle = [read_certificate(name) for name in test.certificates]
        validator = PathValidator([anchor], bundle, PRIVATE)
        path = validator.validate(read_certificate(test.leaf), AT)
        loaded = load_lists(
            [read_revocations(name) for name in (ANCHOR_LIST, *test.lists)],
            [anchor, *bundle],
            AT,
            validator,
        )
        refused = loaded.refused
        check(path, loaded, AT, validator)
    except ClientCertError as refusal:
        return "; ".join([f"{type(refusal).__name__}: {refusal}", *refused])
    return None


def main() -> int:
    """Run the suite and print what came out; return the exit status."""
    if folder() is None:
        print("cryptography-vectors is not installed: pip install -e .[test]")
        return 2
    listed = read_differences()
    passed: Counter[str] = Counter()
    different: Counter[str] = Counter()
    total: Counter[str] = Counter()
    failed = []
    for test in read_tests():
        total[test.section] += 1
        message = validate(test)
        accepted = message is None
        if accepted == (test.expected == "accept"):
            passed[test.section] += 1
            if test.number in listed:
                failed.append(f"LISTED but as it should be: {test.number} {test.leaf}")
            continue
        different[test.section] += 1
        kind = "FALSE ACCEPT" if accepted else "over-strict"
        allowed = test.number in listed and (
            not accepted or test.section in POLICY_SECTIONS
        )
        print(f"{kind} {test.number} {test.leaf}: {(message or 'accepted')[:300]}")
        print(f"    listed: {listed[test.number]}" if allowed else "    not listed")
        if not allowed:
            failed.append(f"{kind} {test.number} {test.leaf}")
    for section, count in total.items():
        print(
            f"section {section}: {passed[section]} of {count} as it should be, "
            f"{different[section]} different"
        )
    for line in failed:
        print(f"FAILED {line}")
    print(
        f"{sum(passed.values())} passed, {sum(different.values())} different, "
        f"{len(failed)} failed"
    )
    return 1 if failed else 0
