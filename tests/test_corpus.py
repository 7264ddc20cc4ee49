"""The command that decodes captured headers, and the captures themselves."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from django_clientcert.proxies import PRESETS
from django_clientcert.testing import IssuedCertificate, ThrowawayCA, proxy_headers
from tests import corpus

CAPTURES = Path(__file__).resolve().parents[2] / "shared" / "corpus"
NGINX = sorted(CAPTURES.glob("nginx*.json"))

needs_captures = pytest.mark.skipif(not NGINX, reason="no captures beside the project")


@needs_captures
def test_every_capture_of_nginx_passes(capsys: pytest.CaptureFixture[str]) -> None:
    """All that real nginx servers passed on is read as it was meant."""
    assert corpus.main([str(one) for one in NGINX]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert " passed, 0 failed" in printed


@needs_captures
def test_n09_no_capture_goes_with_another_certificate(settings: Any) -> None:
    """N09: a capture with any other capture's certificate in it is refused."""
    cases = [
        case
        for case in json.loads(NGINX[0].read_text("utf-8"))["cases"]
        if case["expected"]["verify"] == "SUCCESS"
        and case["expected"]["sha256"]
        and "ssl-client-cert" in case["headers"]
    ]
    by_name = {case["headers"]["ssl-client-subject-dn"]: case for case in cases}
    assert len(by_name) > 2
    for one in by_name.values():
        for other in by_name.values():
            if one is other:
                continue
            swapped = copy.deepcopy(one)
            header = other["headers"]["ssl-client-cert"]
            swapped["headers"]["ssl-client-cert"] = header
            swapped["raw_headers"] = list(swapped["headers"].items())
            swapped["expected"]["sha256"] = None
            assert corpus.find_mismatches(swapped) == []


@pytest.fixture
def case(alice_cert: IssuedCertificate) -> dict[str, Any]:
    """A capture as it should be."""
    return {
        "cert_name": "alice",
        "config_note": "ingress-nginx on",
        "expected": {
            "chain": [],
            "sha256": alice_cert.fingerprint,
            "verify": "SUCCESS",
        },
        "forwarded": True,
        "headers": proxy_headers(alice_cert.der),
        "program": "nginx",
    }


def test_a_good_case_passes(case: dict[str, Any]) -> None:
    """The rest of this page changes one thing at a time."""
    assert corpus.find_mismatches(case) == []


def test_another_certificate_fails(case: dict[str, Any]) -> None:
    """A certificate other than the expected one is a mismatch."""
    case["expected"]["sha256"] = "00" * 32
    assert "came out" in corpus.find_mismatches(case)[0]


def test_an_unexpected_certificate_fails(case: dict[str, Any]) -> None:
    """A certificate where none is expected is a mismatch."""
    case["expected"]["sha256"] = None
    assert "came out" in corpus.find_mismatches(case)[0]


def test_no_certificate_fails(case: dict[str, Any]) -> None:
    """No certificate where one is expected is a mismatch, with the reason."""
    del case["headers"]["ssl-client-cert"]
    assert "no_certificate" in corpus.find_mismatches(case)[0]


def test_another_verdict_fails(case: dict[str, Any]) -> None:
    """A verdict other than the expected one is a mismatch."""
    case["expected"]["verify"] = "FAILED:x"
    assert "the verdict is 'SUCCESS'" in corpus.find_mismatches(case)[0]


def test_a_failed_verdict_passes_only_where_the_app_verifies(
    case: dict[str, Any],
) -> None:
    """A certificate that the proxy refused comes out where the app verifies."""
    case["headers"]["ssl-client-verify"] = case["expected"]["verify"] = "FAILED:x"
    assert corpus.find_mismatches(case) == []


def test_a_dn_of_another_certificate_fails(case: dict[str, Any]) -> None:
    """The DN headers are compared with the certificate."""
    case["headers"]["ssl-client-subject-dn"] = "CN=mallory"
    assert "header_mismatch" in corpus.find_mismatches(case)[0]


def test_an_underscore_is_ambiguous_under_asgi(case: dict[str, Any]) -> None:
    """Another spelling beside the header is refused."""
    case["raw_headers"] = [*case["headers"].items(), ("ssl_client_cert", "SPOOF")]
    assert "ambiguous_header" in corpus.find_mismatches(case)[0]


def test_a_chain_that_is_not_there_fails(case: dict[str, Any]) -> None:
    """Where a chain is expected, the header has to have it."""
    case["expected"]["chain"] = ["00" * 32]
    assert "the chain is []" in corpus.find_mismatches(case)[0]


def test_an_unknown_program_fails(case: dict[str, Any]) -> None:
    """Another program's captures are failures that say what is missing."""
    case["program"] = "hitch"
    assert corpus.find_mismatches(case) == ["no preset yet for program 'hitch'"]


def test_an_unknown_kind_of_case_fails(case: dict[str, Any]) -> None:
    """A kind of case that no row describes is never passed over."""
    case["headers"], case["config_note"] = {"x-other": "1"}, "something new"
    mismatches = corpus.find_mismatches(case)
    assert mismatches == ["unknown kind of case for program 'nginx'"]


def test_a_broken_case_fails(case: dict[str, Any]) -> None:
    """A case that cannot be run is a failure, and ends nothing."""
    del case["expected"]
    assert "KeyError" in corpus.find_mismatches(case)[0]


def test_names_of_ones_own(ca: ThrowawayCA, case: dict[str, Any]) -> None:
    """The escaped certificate under another header's name."""
    headers = case["headers"]
    case["headers"] = {
        "X-SSL-CERT": headers["ssl-client-cert"],
        "X-SSL-Verify": headers["ssl-client-verify"],
        "X-SSL-DN": headers["ssl-client-subject-dn"],
    }
    case["config_note"] = "X-SSL-CERT $ssl_client_escaped_cert"
    assert corpus.find_mismatches(case) == []


@pytest.mark.parametrize(
    ("cases", "status", "line"),
    [
        ([], 1, "0 passed, 1 failed"),
        ([{}], 0, "1 passed, 0 failed"),
        ([{}, {"forwarded": False}], 0, "1 passed, 0 failed, 1 skipped"),
        ([{"forwarded": False}], 1, "0 passed, 0 failed, 1 skipped"),
        ([{}, {"program": "x"}], 1, "1 passed, 1 failed"),
    ],
    ids=["empty", "good", "skipped", "only skipped", "bad"],
)
def test_status_and_last_line(
    case: dict[str, Any],
    cases: list[dict[str, Any]],
    status: int,
    line: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The exit status is 0 only where something passed and nothing failed."""
    file = tmp_path / "captures.json"
    file.write_text(json.dumps({"cases": [{**case, **one} for one in cases]}), "utf-8")
    assert corpus.main([str(file)]) == status
    assert capsys.readouterr().out.splitlines()[-1] == line


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Without files it says how it is used."""
    assert corpus.main([]) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_every_preset_has_captures() -> None:
    """A preset that no capture stands behind is a guess."""
    sources = {source.proxy.encoding for source in corpus.SOURCES}
    assert {proxy.encoding for proxy in PRESETS.values()} <= sources
