"""Decode headers captured from real proxies: ``python -m tests.corpus FILE…``.

Each file has the captures of one program; each case says what the proxy passed on
and which certificate, if any, it spoke of. Every case goes through the project's
own way: a request is made of it, once as ASGI and once as WSGI hand requests over,
``presented`` reads it and ``Peer`` identifies the sender, once for a proxy that
verifies and once for one that does not. Every mismatch is printed, then
``N passed, N failed``; the exit status is 1 where anything failed.

A case passes where the expected certificate comes out, or none where none is
expected; where the verdict is the expected word; where a verdict other than success
is refused from a proxy that verifies; and where the proxy's DN headers agree with
the certificate. What the proxy did not forward is skipped.

Another program is a row in ``SOURCES``.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import django

PEER = "10.1.2.3"
SETTINGS = {
    "CLIENTCERT_TRUSTED_PROXIES": [PEER],
    # The default would refuse captures of very large certificates, which are here
    # to be decoded; it has tests of its own.
    "CLIENTCERT_MAX_HEADER_BYTES": 256 * 1024,
}

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()

from django.core.handlers.asgi import ASGIRequest  # noqa: E402
from django.core.handlers.wsgi import WSGIRequest  # noqa: E402
from django.http import HttpRequest  # noqa: E402
from django.test import override_settings  # noqa: E402
from django.test.client import FakePayload  # noqa: E402

from django_clientcert.evaluation import Decision  # noqa: E402
from django_clientcert.evaluation.peer import Peer, find_certificates  # noqa: E402
from django_clientcert.evaluation.presented import Presented, get_host, read_request  # noqa: E402
from django_clientcert.wire import INGRESS_NGINX, NGINX, PRESETS, Proxy  # noqa: E402

Case = Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """How to recognise the captures of one configuration, and how to read them.

    *note* is searched in the case's ``config_note``; *names* are headers or environ
    keys, lower case, any of which is enough too, if *form* is found in its value.
    Without either, every case of the program fits. *proxy* None: nothing of HTTP has
    a certificate there, for the *reason*.
    """

    program: str
    proxy: Proxy | None
    note: str = ""
    names: frozenset[str] = frozenset()
    form: str = ""
    # Whether what a client sends gets in between, so that a refusal is right
    mixes: bool = False
    reason: str = ""

    def fits(self, case: Case) -> bool:
        """Tell whether *case* is one of this configuration."""
        if not re.fullmatch(self.program, str(case.get("program"))):
            return False
        if not self.note and not self.names:
            return True
        noted = self.note and re.search(self.note, case["config_note"])
        return bool(noted) or any(
            name.lower() in self.names and re.search(self.form, str(value))
            for name, value in (*case["headers"].items(), *_environ(case).items())
        )


def _environ(case: Case) -> Mapping[str, Any]:
    environ: Mapping[str, Any] = case.get("environ") or {}
    return environ


def _preset(name: str, **changes: Any) -> Proxy:
    """Return a preset, or one that differs from it."""
    return replace(PRESETS[name], **changes)


# A variable that a header of one's own, or a parameter, is set to decides about the
# encoding; it stands in the note.
_OWN_NAMES = replace(
    NGINX,
    name="nginx, names of one's own",
    certificate="x-ssl-cert",
    verdict="x-ssl-verify",
    subject_dn="x-ssl-dn",
    issuer_dn="x-ssl-issuer-dn",
)
_NO_VERDICT = replace(_OWN_NAMES, verdict=None, verifies=False)
_PARAMETERS = Proxy(
    name="nginx, parameters",
    certificate="SSL_CLIENT_CERT",
    encoding="pem",
    verdict="SSL_CLIENT_VERIFY",
    subject_dn="SSL_CLIENT_S_DN",
    issuer_dn="SSL_CLIENT_I_DN",
    source="environ",
)
_NGINX = r"nginx"
_NGINX_PARAMETERS = r"nginx\+.*"
_RAW, _ESCAPED = r"\$ssl_client_raw_cert\b", r"\$ssl_client_escaped_cert\b"
_FOLDED = r"\$ssl_client_cert\b"

_ALONE: dict[str, Any] = {"verdict": None, "chain": (), "chain_encoding": None}
# A server that is no preset of its own: it does as mod_wsgi does, without a chain.
_CGI = _preset("mod_wsgi", chain=(), chain_encoding=None)

# The first that fits is taken.
SOURCES = (
    Source(_NGINX, replace(_NO_VERDICT, encoding="pem"), note=rf"{_RAW} in a header"),
    Source(_NGINX, replace(_OWN_NAMES, encoding="folded_pem"), note=_FOLDED),
    Source(_NGINX, _OWN_NAMES, note=rf"^(?!ingress).*{_ESCAPED}"),
    Source(
        _NGINX,
        INGRESS_NGINX,
        note=r"^ingress-nginx\b|^verify on\b|^optional(_no_ca)?\b",
        # "x-real-ip": its template's, also where there is nothing about a client
        names=frozenset({*INGRESS_NGINX.names, "x-real-ip"}),
    ),
    # Where the note does not tell, the form of the value does.
    Source(
        _NGINX,
        replace(_OWN_NAMES, encoding="folded_pem"),
        names=frozenset({"x-ssl-cert"}),
        form=r"-(\n?\t| )M",
    ),
    Source(
        _NGINX,
        replace(_NO_VERDICT, encoding="pem"),
        names=frozenset({"x-ssl-cert"}),
        form=r"-\r?\nM",
    ),
    Source(_NGINX, _OWN_NAMES, names=frozenset(_OWN_NAMES.names)),
    Source(_NGINX, NGINX, names=frozenset(NGINX.names)),
    Source(
        _NGINX_PARAMETERS,
        replace(_PARAMETERS, encoding="escaped_pem"),
        note=_ESCAPED,
        names=frozenset({"ssl_client_cert"}),
        form="%0A",
    ),
    Source(_NGINX_PARAMETERS, _PARAMETERS),
    # Several encodings at once; base64 of the PEM text is none that a preset has.
    Source(
        "apache2",
        _preset(
            "apache",
            certificate="x-cert-escaped",
            encoding="escaped_pem",
            verdict="x-cert-verify",
            chain=(),
            chain_encoding=None,
        ),
        names=frozenset({"x-cert-escaped"}),
        note=r"escape:",
    ),
    Source(
        "apache2",
        _preset("apache", verdict="x-verify", chain=(), chain_encoding=None),
        note=r"per-attribute",
        names=frozenset({"x-verify"}),
    ),
    Source("apache2", _preset("apache", **_ALONE), note=r"^RequestHeader only inside"),
    Source("apache2", _preset("apache")),
    Source("mod_wsgi", _preset("mod_wsgi")),
    Source("caddy", _preset("caddy")),
    Source("cheroot", _CGI),
    Source(
        "lighttpd",
        _preset("apache", chain=(), chain_encoding=None),
        note=r"mod_magnet|mod_proxy",
        names=frozenset({"x-ssl-client-verify"}),
    ),
    Source("lighttpd", _CGI),
    Source("uwsgi.*", _preset("uwsgi")),
    Source("werkzeug", _preset("werkzeug")),
    Source(
        r"traefik.+",
        _preset("traefik", encoding="escaped_base64_der_list"),
        # Before 2.9.2
        note="Query",
        names=frozenset({"x-forwarded-tls-client-cert"}),
        form="%(2B|2F|3D)",
    ),
    Source("traefik.*", _preset("traefik")),
    Source(
        "envoy",
        _preset("envoy", certificate="x-client-cert", encoding="escaped_pem"),
        note=r"request_headers_to_add|keep_empty_value",
        names=frozenset({"x-client-cert"}),
    ),
    Source("envoy", _preset("envoy"), note=r"APPEND_FORWARD|FORWARD_ONLY", mixes=True),
    Source("envoy", _preset("envoy")),
    Source("contour", _preset("contour")),
    Source("istio-gateway", _preset("istio")),
    Source("istio-sidecar", _preset("istio-sidecar")),
    Source("haproxy", _preset("haproxy"), names=frozenset({"x-ssl-client-used"})),
    Source(
        "haproxy",
        _preset("haproxy", conditions=(), verifies=False, **_ALONE),
        note=r"if .*ssl_c_used|add-header",
        mixes=True,
    ),
    Source("haproxy", _preset("haproxy", conditions=())),
    Source("haproxy-ingress", _preset("haproxy-ingress")),
    Source(
        "hitch",
        None,
        reason="it forwards connections: the certificate is in PROXY v2, not in HTTP",
    ),
    Source(
        "AWS ALB",
        _preset("aws-alb-verify"),
        note=r"^verify\b",
        names=frozenset({"x-amzn-mtls-clientcert-leaf"}),
    ),
    Source("AWS ALB", _preset("aws-alb-passthrough")),
    Source("Azure.*", _preset("azure-app-service"), note=r"^App Service"),
    Source("Azure.*", _preset("azure-app-gateway")),
    Source("Cloudflare", _preset("cloudflare"), note=r"client_certificate_forwarding"),
    Source("Cloudflare", _preset("cloudflare-rfc9440")),
    Source("Google Cloud.*", _preset("gcp")),
    Source("RFC 9440", _preset("rfc9440")),
    Source("kong.*", _preset("kong")),
    Source(
        r"f5-irule / WebLogic",
        _preset("haproxy-ingress", certificate="wl-proxy-client-cert"),
    ),
    Source(
        "f5-irule",
        _preset(
            "haproxy",
            encoding="escaped_pem",
            conditions=(),
            chain=(),
            chain_encoding=None,
        ),
    ),
)


def find_source(case: Case) -> Source | None:
    """Return how to read *case*, or None where nothing fits."""
    return next((source for source in SOURCES if source.fits(case)), None)


def find_mismatches(case: Case) -> list[str]:
    """Return what is wrong with *case*, one sentence each; nothing where it passes."""
    source = find_source(case)
    program = case.get("program")
    if source is None:
        known = any(re.fullmatch(one.program, str(program)) for one in SOURCES)
        what = "unknown kind of case for" if known else "no preset yet for"
        return [f"{what} program {program!r}"]
    if source.proxy is None:
        return []
    try:
        return list(_compare(case, source.proxy, mixes=source.mixes))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
        return [f"{type(error).__name__}: {error}"]


def _compare(case: Case, proxy: Proxy, *, mixes: bool) -> Iterator[str]:
    expected = case["expected"]
    # Some forward something of a certificate, and not the certificate.
    forwarded = None if case.get("cert_in_header") is False else expected["sha256"]
    for interface, request, strict in _requests(case, proxy):
        strict = strict and not mixes
        for verifies in (True, False):
            label = f"{interface}, the proxy {'verifies' if verifies else 'does not'}"
            with override_settings(
                **SETTINGS,
                CLIENTCERT_PROXY=proxy,
                CLIENTCERT_PROXY_VERIFIES=verifies,
            ):
                presented = read_request(request)
                decision = Peer(presented, get_host(request)).decision()
            trusted = _is_trusted(proxy, expected["verify"], verifies=verifies)
            yield from _check(
                decision, forwarded if trusted else None, label, strict=strict
            )
            if not strict:
                continue
            yield from _check_verdict(proxy, presented.verdict, expected, label)
            if decision.certificate is not None:
                yield from _check_chain(presented, expected["chain"])


def _is_trusted(proxy: Proxy, verdict: str | None, *, verifies: bool) -> bool:
    """Tell whether a certificate with the expected *verdict* may come out."""
    if proxy.verdict is None:
        return True
    if verdict is None or "+revoked" in verdict:
        return False
    return verdict == proxy.success or (
        not verifies and verdict.startswith(proxy.failure)
    )


def _check_verdict(
    proxy: Proxy, found: str | None, expected: Mapping[str, Any], label: str
) -> Iterator[str]:
    # Where the proxy spoke of nothing, a verdict is the client's own.
    spoken = expected["sha256"] is not None or expected["verify"] is not None
    # A revocation stands in another header.
    wanted = expected["verify"] and expected["verify"].removesuffix("+revoked")
    if proxy.verdict is not None and spoken and found != wanted:
        yield f"{label}: the verdict is {found!r}, not {wanted!r}"


def _check(
    decision: Decision, wanted: str | None, label: str, *, strict: bool
) -> Iterator[str]:
    found = decision.certificate.fingerprint if decision.certificate else None
    # A lax server may spoil a good header; it must never make another one of it.
    if found == wanted or (not strict and found is None):
        return
    if found is None:
        yield f"{label}: refused, {decision.reason}: {decision.detail}"
    else:
        yield f"{label}: {found} came out, not {wanted}"


def _check_chain(presented: Presented, expected: Sequence[str]) -> Iterator[str]:
    chain = [one.fingerprint for one in find_certificates(presented)[1:]]
    if chain != list(expected):
        yield f"the chain is {chain}, not {list(expected)}"


def _requests(case: Case, proxy: Proxy) -> Iterator[tuple[str, HttpRequest, bool]]:
    """Return the requests that *case* becomes: interface, request, and whether the
    server keeps apart what differs by an underscore only."""
    lines = [(name, value) for name, value in case.get("raw_headers") or ()]
    lines = lines or list(case["headers"].items())
    environ = _environ(case)
    if proxy.is_header:
        yield "ASGI", _asgi_request(lines), not _has_copies(lines, proxy)
        yield "WSGI", _wsgi_request(lines, environ, folding=False), True
        yield "WSGI, folding", _wsgi_request(lines, environ, folding=True), False
    else:
        yield "WSGI", _wsgi_request(lines, environ, folding=True), True


def _has_copies(lines: Sequence[tuple[str, str]], proxy: Proxy) -> bool:
    """Tell whether a header is there in a second spelling: that is refused."""
    return any(
        "_" in name and name.lower().replace("_", "-") in proxy.names
        for name, _ in lines
    )


def _asgi_request(lines: Sequence[tuple[str, str]]) -> HttpRequest:
    return ASGIRequest(
        {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": "/",
            "query_string": b"",
            "scheme": "https",
            "client": (PEER, 1234),
            "server": ("testserver", 443),
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1"))
                for name, value in [("host", "testserver"), *lines]
            ],
        },
        FakePayload(b""),
    )


def _wsgi_request(
    lines: Sequence[tuple[str, str]], environ: Mapping[str, str], *, folding: bool
) -> HttpRequest:
    """Return the request as WSGI servers hand it over.

    With *folding* as the lax ones do: an underscore is as good as a hyphen, and
    values of the same name are joined.
    """
    meta: dict[str, Any] = {}
    for name, value in lines:
        if "_" in name and not folding:
            continue
        key = "HTTP_" + name.upper().replace("-", "_")
        meta[key] = f"{meta[key]},{value}" if key in meta else value
    return WSGIRequest(
        {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/",
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "443",
            "HTTP_HOST": "testserver",
            **meta,
            **environ,
            "REMOTE_ADDR": PEER,
            "wsgi.url_scheme": "https",
            "wsgi.input": FakePayload(b""),
        }
    )


@dataclass
class Result:
    """What came of the cases of one or more files."""

    passed: int = 0
    failed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        text = f"{self.passed} passed, {self.failed} failed"
        skipped = self.skipped.total()
        return text + (f", {skipped} skipped" if skipped else "")


def _find_reason_to_skip(case: Case) -> str:
    """Return why nothing of *case* can be read, or "" where something can."""
    source = find_source(case)
    if source is not None and source.proxy is None:
        return source.reason
    # What has come through all the same is read, whatever the capture says of it.
    if case["forwarded"] is False and not (case["headers"] or _environ(case)):
        return "no request came through"
    return ""


def run(files: Sequence[str | Path]) -> Result:
    """Run every case of *files*, print the mismatches and return the counts."""
    result = Result()
    for file in files:
        cases = json.loads(Path(file).read_text("utf-8"))["cases"]
        if not cases:
            print(f"{file}: no case in it")
            result.failed += 1
        for number, case in enumerate(cases):
            reason = _find_reason_to_skip(case)
            if reason:
                result.skipped[f"{case['program']}: {reason}"] += 1
                continue
            mismatches = find_mismatches(case)
            for mismatch in mismatches:
                print(
                    f"{Path(file).name}, case {number} "
                    f"({case['cert_name']}; {case['config_note']}): {mismatch}"
                )
            if mismatches:
                result.failed += 1
            else:
                result.passed += 1
    return result


def main(arguments: Sequence[str]) -> int:
    """Run the files named on the command line; return the exit status."""
    if not arguments:
        print(f"usage: python -m tests.corpus FILE…\n\n{__doc__}", file=sys.stderr)
        return 2
    result = run(arguments)
    for reason, count in sorted(result.skipped.items()):
        print(f"{count} skipped, {reason}")
    print(result)
    return 1 if result.failed or not result.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
