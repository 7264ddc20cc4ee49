"""The command that runs path-validation cases, and the cases themselves."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from django_clientcert.testing import ThrowawayCA

from . import __main__ as conformance
from .__main__ import Result, main, read_list, run

SHARED = Path(__file__).resolve().parents[3] / "shared" / "conformance"
CASES = SHARED / "x509-limbo.json"


@pytest.mark.skipif(not CASES.exists(), reason="no cases beside the project")
def test_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    """No false accept, and no over-strict refusal but those listed."""
    assert main(["--strict", str(CASES)]) == 0
    cases = json.loads(CASES.read_text("utf-8"))["cases"]
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"{len(cases)} passed, 0 failed"


@pytest.mark.skipif(not CASES.exists(), reason="no cases beside the project")
def test_the_list_names_cases_that_exist() -> None:
    """A listed case that is gone would hide nothing, and say so never."""
    cases = json.loads(CASES.read_text("utf-8"))["cases"]
    assert set(read_list()) <= {case["id"] for case in cases}


def test_the_list_needs_reasons(tmp_path: Path) -> None:
    """Whoever lists a refusal says why; comments and blank lines do not count."""
    file = tmp_path / "list.txt"
    file.write_text("# comment\n\na::b\tbecause\n", "utf-8")
    assert read_list(file) == {"a::b": "because"}
    file.write_text("a::b\n", "utf-8")
    with pytest.raises(ValueError, match="no reason"):
        read_list(file)


@pytest.fixture(scope="module")
def good() -> dict[str, Any]:
    """A case of a path over two intermediates."""
    root = ThrowawayCA.create("Root")
    issuing = root.issue_ca("Middle").issue_ca("Issuing")
    leaf = issuing.issue("alice")
    untrusted = leaf.chain_pem.split("-----BEGIN")[2:]
    return {
        "id": "own::good",
        "trusted": [root.pem],
        "untrusted": ["-----BEGIN" + one for one in untrusted],
        "leaf": leaf.pem,
        "crls": [],
        "at": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        "max_depth": None,
        "purpose": "clientAuth",
        "expected": "accept",
    }


def test_a_good_case_passes(good: dict[str, Any]) -> None:
    """The rest of this page changes one thing at a time."""
    result = Result()
    run([good], result)
    assert result == Result(passed=1)


@pytest.mark.parametrize(
    "change",
    [
        {"max_depth": 1},
        {"purpose": "serverAuth"},
        {"untrusted": []},
        {"at": "2001-01-01T00:00:00+00:00"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_case_says_counts(good: dict[str, Any], change: Any) -> None:
    """Depth, purpose, certificates and time are those of the case."""
    result = Result()
    run([{**good, **change}], result)
    assert list(result.over_strict) == ["own::good"]


def test_more_than_may_be_presented(good: dict[str, Any]) -> None:
    """The needed certificates count wherever they stand among many."""
    others = [ThrowawayCA.create("Other").pem for _ in range(9)]
    for untrusted in (others + good["untrusted"], good["untrusted"] + others):
        result = Result()
        run([{**good, "untrusted": untrusted}], result)
        assert result.passed == 1


@pytest.mark.parametrize("arguments", [[], ["--pkits", "cases.json"]])
def test_files_or_the_suite(arguments: list[str]) -> None:
    """One of them is run, not both and not none."""
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2


def test_an_accepted_case_that_must_be_refused(good: dict[str, Any]) -> None:
    """That is a false accept."""
    result = Result()
    run([{**good, "expected": "refuse"}], result)
    assert result.false_accepts == ["own::good"]


def test_one_way_accepted_is_accepted(
    good: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is enough for a false accept, and not enough for a pass."""
    monkeypatch.setattr(
        conformance, "validate", lambda case, *, presented: None if presented else "no"
    )
    result = Result()
    run([good, {**good, "expected": "refuse"}], result)
    assert result.over_strict == {"own::good": "no"}
    assert result.false_accepts == ["own::good"]


@pytest.fixture(scope="module")
def good_with_lists() -> dict[str, Any]:
    """A case of a certificate with a list that does not list it."""
    ca = ThrowawayCA.create("Root")
    leaf = ca.issue("alice", serial=7)
    return {
        "id": "own::listed",
        "trusted": [ca.pem],
        "untrusted": [],
        "leaf": leaf.pem,
        "crls": [_pem(ca.crl([8]))],
        "revoking": [_pem(ca.crl([7]))],
        "unnumbered": [_pem(ca.crl([8], number=None))],
        "at": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        "max_depth": None,
        "purpose": "clientAuth",
        "expected": "accept",
    }


def _pem(crl: bytes) -> str:
    return x509.load_der_x509_crl(crl).public_bytes(Encoding.PEM).decode()


def test_a_case_with_lists(good_with_lists: dict[str, Any]) -> None:
    """A certificate that is not listed is accepted."""
    result = Result()
    run([good_with_lists], result)
    assert result == Result(passed=1)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ("revoking", "Refusal: revoked: “CN=alice”"),
        ("unnumbered", "; no_number: The CRL has no CRLNumber"),
    ],
)
def test_a_case_with_lists_that_refuse(
    good_with_lists: dict[str, Any], lists: str, message: str
) -> None:
    """A revoked certificate is refused, and one of which nothing is known."""
    result = Result()
    run([{**good_with_lists, "crls": good_with_lists[lists]}], result)
    assert message in result.over_strict["own::listed"]


@pytest.mark.parametrize(
    "change",
    [{"expected": "perhaps"}, {"purpose": "other"}, {"at": "never"}],
    ids=lambda change: next(iter(change)),
)
def test_a_case_of_another_kind_fails(good: dict[str, Any], change: Any) -> None:
    """An unknown word, or an error that is no refusal, is never a refusal."""
    result = Result()
    run([{**good, "expected": "refuse", **change}], result)
    assert len(result.others) == 1
    assert result.passed == 0


@pytest.mark.parametrize(
    ("changes", "listed", "strict", "status", "line"),
    [
        ([{}], {}, False, 0, "1 passed, 0 failed"),
        ([{"expected": "refuse"}], {}, False, 1, "0 passed, 1 failed"),
        ([{}, {"max_depth": 0}], {}, False, 0, "1 passed, 0 failed"),
        ([{}, {"max_depth": 0}], {}, True, 1, "1 passed, 1 failed"),
        ([{"max_depth": 0}], {"0": "why"}, True, 0, "1 passed, 0 failed"),
        ([{}], {"0": "why"}, False, 1, "0 passed, 1 failed"),
        ([{}], {"9": "why"}, False, 0, "1 passed, 0 failed"),
        ([{"at": "never"}], {}, False, 1, "0 passed, 1 failed"),
    ],
    ids=[
        "good",
        "false accept",
        "not listed",
        "not listed, strict",
        "listed",
        "listed and accepted",
        "listed and not run",
        "broken",
    ],
)
def test_status_and_last_line(
    good: dict[str, Any],
    changes: list[dict[str, Any]],
    listed: dict[str, str],
    strict: bool,
    status: int,
    line: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What fails, and how it is counted."""
    file = tmp_path / "cases.json"
    cases = [{**good, **one, "id": str(number)} for number, one in enumerate(changes)]
    file.write_text(json.dumps({"cases": cases}), "utf-8")
    monkeypatch.setattr(conformance, "read_list", lambda: listed)
    assert main([str(file), *(["--strict"] if strict else [])]) == status
    assert capsys.readouterr().out.splitlines()[-1] == line
