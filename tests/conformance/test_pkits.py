"""NIST's Public Key Interoperability Test Suite: what comes out, and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from django_clientcert.x509.crl.status import Outcome, collect_hits, status
from django_clientcert.x509.paths import PRIVATE, PathValidator

from . import pkits
from .__main__ import main
from .lists import load_lists
from .pkits import ANCHOR, AT, read_certificate, read_revocations

needs_suite = pytest.mark.skipif(
    pkits.folder() is None, reason="cryptography-vectors is not installed"
)

# How many tests each section of the document has
SECTIONS = (6, 8, 11, 21, 8, 17, 5, 20, 8, 14, 11, 10, 38, 35, 10, 2)

# Those that are refused for what the lists say, and not for another reason; by the
# reason. The others of these sections break a rule of path validation.
REVOKED = {
    "4.4": (2, 3, 8, 18, 20),
    "4.5": (2, 5, 7),
    "4.7": (),
    "4.14": (2, 6, 15, 16, 20, 21),
    "4.15": (3, 4, 6, 9),
}
UNKNOWN = {
    "4.4": (1, 4, 5, 6, 9, 10, 11, 12, 21),
    "4.5": (),
    "4.7": (4, 5),
    "4.14": (3, 8, 9, 12, 14, 17, 23, 26, 27, 31, 32, 34, 35),
    "4.15": (1, 10),
}
BY_PATH = {"4.4": (15,), "4.5": (8,), "4.7": (1, 2), "4.14": (11,), "4.15": ()}


@needs_suite
def test_the_suite(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing comes out in another way than the suite wants or the list says."""
    assert main(["--pkits"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "168 passed, 56 different, 0 failed"
    for section, count in (("4.4", 21), ("4.5", 8), ("4.7", 5), ("4.15", 10)):
        line = f"section {section}: {count} of {count} as it should be, 0 different"
        assert line in out
    assert "section 4.14: 27 of 35 as it should be, 8 different" in out


@needs_suite
def test_refused_for_the_right_reason() -> None:
    """A test that wants a revoked certificate refused is not passed by accident."""
    for test in pkits.read_tests():
        if test.section not in REVOKED or test.expected == "accept":
            continue
        number = int(test.number.rpartition(".")[2])
        message = pkits.validate(test) or ""
        if number in REVOKED[test.section]:
            assert message.startswith("Refusal: revoked:"), test
        elif number in UNKNOWN[test.section]:
            assert message.startswith("Refusal: revocation_unknown:"), test
        else:
            assert number in BY_PATH[test.section]
            assert "revo" not in message


@needs_suite
def test_every_file_exists() -> None:
    """The table names certificates and lists that are there."""
    for test in pkits.read_tests():
        for name in (test.leaf, *test.certificates):
            assert read_certificate(name).der
        for name in test.lists:
            assert read_revocations(name)


def test_the_table_is_whole() -> None:
    """Every test of every section, each once, with what its name says."""
    tests = pkits.read_tests()
    assert [test.number for test in tests] == [
        f"4.{section}.{number}"
        for section, count in enumerate(SECTIONS, 1)
        for number in range(1, count + 1)
    ]
    for test in tests:
        assert test.leaf.endswith(f"Test{test.number.rpartition('.')[2]}EE")
        if test.leaf.startswith("Valid"):
            assert test.expected == "accept"
        if test.leaf.startswith("Invalid"):
            assert test.expected == "refuse"
        assert test.expected in ("accept", "refuse")


def test_the_differences_are_of_the_kinds_that_may_be() -> None:
    """None where revocation is concerned, but for indirect lists and CAs as leaves."""
    listed = pkits.read_differences()
    expected = {test.number: test.expected for test in pkits.read_tests()}
    assert set(listed) <= set(expected)
    for number, reason in listed.items():
        section = number.rpartition(".")[0]
        assert section not in ("4.4", "4.5", "4.7", "4.15", "4.16")
        if section == "4.14":
            assert "indirect" in reason or number == "4.14.13"
        assert reason.startswith("accepted") == (expected[number] == "refuse")
        assert expected[number] == "accept" or section in pkits.POLICY_SECTIONS
    assert Counter(expected[one] for one in listed) == {"accept": 52, "refuse": 4}


@needs_suite
@pytest.mark.parametrize(
    ("number", "outcome"),
    [("4.14.11", Outcome.UNKNOWN), ("4.14.13", Outcome.GOOD)],
)
def test_lists_for_one_kind_of_certificates(number: str, outcome: Outcome) -> None:
    """Two tests end with a CA's certificate; what the lists say of it is right."""
    (test,) = (one for one in pkits.read_tests() if one.number == number)
    anchor = read_certificate(ANCHOR)
    (issuer,) = (read_certificate(name) for name in test.certificates)
    loaded = load_lists(
        [read_revocations(name) for name in test.lists],
        [anchor, issuer],
        AT,
        PathValidator([anchor], [issuer], PRIVATE),
    )
    assert not loaded.refused
    hits = collect_hits(
        (one.info.fingerprint, entry) for one in loaded.lists for entry in one.entries()
    )
    found = status(read_certificate(test.leaf), issuer, loaded.infos, hits, at=AT)
    assert found.outcome is outcome


def test_without_the_suite(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the package is missing, the command says so and fails."""
    monkeypatch.setattr(pkits, "folder", lambda: None)
    assert main(["--pkits"]) == 2
    assert "cryptography-vectors" in capsys.readouterr().out


@needs_suite
@pytest.mark.parametrize(
    ("listed", "line"),
    [
        ({}, "FAILED over-strict 4.1.4 ValidDSASignaturesTest4EE"),
        ({"4.1.1": "why"}, "FAILED LISTED but as it should be: 4.1.1 "),
        ({"4.1.3": "why"}, "FAILED FALSE ACCEPT 4.1.3 "),
    ],
    ids=["not listed", "listed in vain", "false accept"],
)
def test_what_fails(
    listed: dict[str, str],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """A difference that is not listed, a listed one that is none, a false accept."""
    lines = pkits.TESTS.read_text("utf-8").splitlines()
    rows = {row.partition("\t")[0]: row for row in lines}
    # The signature of 4.1.3's certificate is bad; here stands a good one.
    rows["4.1.3"] = rows["4.1.1"].replace("4.1.1\taccept", "4.1.3\trefuse")
    file = tmp_path / "tests.txt"
    file.write_text("\n".join(rows[f"4.1.{n}"] for n in (1, 3, 4)), "utf-8")
    tests = pkits.read_tests(file)
    monkeypatch.setattr(pkits, "read_tests", lambda: tests)
    monkeypatch.setattr(pkits, "read_differences", lambda: listed)
    assert main(["--pkits"]) == 1
    assert line in capsys.readouterr().out
