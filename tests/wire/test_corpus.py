"""The command that decodes captured headers, and the captures themselves."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from django_clientcert.testing import (
    ENCODERS,
    IssuedCertificate,
    ThrowawayCA,
    proxy_headers,
)
from django_clientcert.wire import PRESETS
from tests import corpus

CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "corpus"
ALL = sorted(CAPTURES.glob("*.json"))
NGINX = sorted(CAPTURES.glob("nginx-*.*.json"))

needs_captures = pytest.mark.skipif(not NGINX, reason="no captures beside the project")


@needs_captures
@pytest.mark.parametrize("file", ALL, ids=[file.stem for file in ALL])
def test_every_capture_passes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What real programs passed on, and clouds document, is read as it was meant."""
    result = corpus.run([file])
    assert (result.failed, capsys.readouterr().out) == (0, "")
    # One program sends nothing over HTTP.
    assert result.passed or file.stem == "hitch"


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
    """The other tests of this module change one thing at a time."""
    assert corpus.find_mismatches(case) == []


def test_another_certificate_fails(case: dict[str, Any]) -> None:
    """A certificate other than the expected one is a mismatch."""
    case["expected"]["sha256"] = "00" * 32
    assert "came out" in corpus.find_mismatches(case)[0]


def test_an_unexpected_certificate_fails(case: dict[str, Any]) -> None:
    """A certificate if none is expected is a mismatch."""
    case["expected"]["sha256"] = None
    assert "came out" in corpus.find_mismatches(case)[0]


def test_no_certificate_fails(case: dict[str, Any]) -> None:
    """No certificate if one is expected is a mismatch, with the reason."""
    del case["headers"]["ssl-client-cert"]
    assert "no_certificate" in corpus.find_mismatches(case)[0]


def test_another_verdict_fails(case: dict[str, Any]) -> None:
    """A verdict other than the expected one is a mismatch."""
    case["expected"]["verify"] = "FAILED:x"
    assert any("verdict is 'SUCCESS'" in text for text in corpus.find_mismatches(case))


def test_a_failed_verdict_passes_only_where_the_app_verifies(
    case: dict[str, Any],
) -> None:
    """A certificate that the proxy refused is decoded if the application verifies."""
    case["headers"]["ssl-client-verify"] = case["expected"]["verify"] = "FAILED:x"
    assert corpus.find_mismatches(case) == []


def test_a_dn_of_another_certificate_fails(case: dict[str, Any]) -> None:
    """The DN headers are compared with the certificate."""
    case["headers"]["ssl-client-subject-dn"] = "CN=mallory"
    assert "header_mismatch" in corpus.find_mismatches(case)[0]


def test_an_underscore_beside_the_header_may_only_spoil_it(
    case: dict[str, Any], mallory_cert: IssuedCertificate
) -> None:
    """Another spelling is refused, which is right; it never becomes somebody else."""
    spoofed = proxy_headers(mallory_cert.der)["ssl-client-cert"]
    case["raw_headers"] = [*case["headers"].items(), ("ssl_client_cert", spoofed)]
    assert corpus.find_mismatches(case) == []
    case["raw_headers"] = [
        ("ssl_client_cert", spoofed),
        *(
            (name, value)
            for name, value in case["headers"].items()
            if "cert" not in name
        ),
    ]
    assert "no_certificate" in corpus.find_mismatches(case)[0]


def test_a_chain_that_is_not_there_fails(case: dict[str, Any]) -> None:
    """Where a chain is expected, the header has to have it."""
    case["expected"]["chain"] = ["00" * 32]
    assert "the chain is []" in corpus.find_mismatches(case)[0]


def test_an_unknown_program_fails(case: dict[str, Any]) -> None:
    """Another program's captures are failures that say what is missing."""
    case["program"] = "squid"
    assert corpus.find_mismatches(case) == ["no preset yet for program 'squid'"]


def test_what_is_not_in_http_is_skipped(case: dict[str, Any], tmp_path: Path) -> None:
    """It is counted, and there is a reason."""
    file = tmp_path / "captures.json"
    file.write_text(json.dumps({"cases": [{**case, "program": "hitch"}]}), "utf-8")
    assert str(corpus.run([file])) == "0 passed, 0 failed, 1 skipped"
    assert all(source.reason for source in corpus.SOURCES if source.proxy is None)


def test_what_came_through_is_never_skipped(
    case: dict[str, Any], mallory_cert: IssuedCertificate, tmp_path: Path
) -> None:
    """A capture that says nothing was forwarded, and has headers, is read."""
    case["forwarded"] = False
    case["headers"] = proxy_headers(mallory_cert.der)
    file = tmp_path / "captures.json"
    file.write_text(json.dumps({"cases": [case]}), "utf-8")
    assert str(corpus.run([file])) == "0 passed, 1 failed"


@pytest.mark.parametrize(
    ("program", "name", "encoding"),
    [
        ("nginx", "X-SSL-CERT", "escaped_pem"),
        ("nginx", "X-SSL-CERT", "folded_pem"),
        ("nginx", "X-SSL-CERT", "pem"),
        ("nginx", "X-SSL-Client-Cert", "escaped_pem"),
        ("nginx+uwsgi_pass", "SSL_CLIENT_CERT", "escaped_pem"),
        ("nginx+uwsgi_pass", "SSL_CLIENT_CERT", "pem"),
        ("traefik<=2.9.1", "X-Forwarded-Tls-Client-Cert", "escaped_base64_der_list"),
        ("traefik", "X-Forwarded-Tls-Client-Cert", "base64_der_list"),
        ("AWS ALB", "X-Amzn-Mtls-Clientcert-Leaf", "escaped_pem"),
        ("AWS ALB", "X-Amzn-Mtls-Clientcert", "escaped_pem_chain"),
    ],
)
def test_the_form_tells_where_the_note_does_not(
    program: str, name: str, encoding: str, ca: ThrowawayCA
) -> None:
    """A note that nobody has seen yet: the header's name and form are enough."""
    value = ENCODERS[encoding]([ca.issue("alice").der])
    source = corpus.find_source(
        {
            "program": program,
            "config_note": "unseen",
            "headers": {},
            "environ" if "+" in program else "headers": {name: value},
        }
    )
    assert source is not None
    assert source.proxy is not None
    assert source.proxy.encoding == encoding
    assert source.proxy.certificate.lower() == name.lower()


def test_what_a_client_mixes_in_may_only_spoil_it(
    alice_cert: IssuedCertificate, mallory_cert: IssuedCertificate
) -> None:
    """Envoy that appends: refused, never the client's own element."""
    name = "x-forwarded-client-cert"
    element, spoofed = (
        proxy_headers(certificate.der, preset="envoy")[name]
        for certificate in (alice_cert, mallory_cert)
    )
    case = {
        "cert_name": "alice",
        "config_note": "APPEND_FORWARD",
        "expected": {"chain": [], "sha256": alice_cert.fingerprint, "verify": None},
        "forwarded": True,
        "headers": {name: f"{spoofed},{element}"},
        "program": "envoy",
    }
    assert corpus.find_mismatches(case) == []
    case["headers"] = {name: spoofed}
    assert "came out" in corpus.find_mismatches(case)[0]


def test_a_certificate_that_is_not_forwarded_must_not_come_out(
    alice_cert: IssuedCertificate,
) -> None:
    """Envoy with the hash alone."""
    headers = proxy_headers(alice_cert.der, preset="envoy")
    case = {
        "cert_name": "alice",
        "cert_in_header": False,
        "config_note": "SANITIZE_SET; nothing selected (Hash only)",
        "expected": {"chain": [], "sha256": alice_cert.fingerprint, "verify": None},
        "forwarded": True,
        "headers": headers,
        "program": "envoy",
    }
    assert "came out" in corpus.find_mismatches(case)[0]
    case["headers"] = {"x-forwarded-client-cert": f"Hash={alice_cert.fingerprint}"}
    assert corpus.find_mismatches(case) == []


def test_a_revoked_certificate_must_not_come_out(
    alice_cert: IssuedCertificate,
) -> None:
    """Cloudflare says true all the same."""
    headers = proxy_headers(alice_cert.der, preset="cloudflare-rfc9440")
    case = {
        "cert_name": "alice",
        "config_note": "revoked",
        "expected": {
            "chain": [],
            "sha256": alice_cert.fingerprint,
            "verify": "true+revoked",
        },
        "forwarded": True,
        "headers": headers,
        "program": "Cloudflare",
    }
    assert "came out" in corpus.find_mismatches(case)[0]
    headers["cf-cert-revoked"] = "true"
    assert corpus.find_mismatches(case) == []


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
        ([{}, {"forwarded": False, "headers": {}}], 0, "1 passed, 0 failed, 1 skipped"),
        ([{"forwarded": False, "headers": {}}], 1, "0 passed, 0 failed, 1 skipped"),
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
    """The exit status is 0 only if something passed and nothing failed."""
    file = tmp_path / "captures.json"
    file.write_text(json.dumps({"cases": [{**case, **new} for new in cases]}), "utf-8")
    assert corpus.main([str(file)]) == status
    assert capsys.readouterr().out.splitlines()[-1] == line


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Without files it says how it is used."""
    assert corpus.main([]) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_every_preset_has_captures() -> None:
    """A preset without a capture would be a guess."""
    captured = {
        (source.proxy.certificate, source.proxy.encoding)
        for source in corpus.SOURCES
        if source.proxy
    }
    wanted = {
        (proxy.certificate, proxy.encoding)
        for proxy in PRESETS.values()
        if proxy.source != "socket"  # no text to capture
    }
    # As documented; tests/evaluation/test_documented_presets.py has made-up values.
    documented = {
        ("cloudfront-viewer-cert-pem", "escaped_pem"),
        ("x-ssl-client-der", "base64_der"),
        ("x-forwarded-client-cert", "base64_der"),
    }
    assert wanted - captured == documented
