"""``clientcert probe`` against real proxies: it finds every hole, and no other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, environment
from .pki import Pki

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

Report = dict[str, Any]
Run = Callable[..., Report]


@pytest.fixture
def probe(folder: Path, pki: Pki, tmp_path: Path) -> Run:
    """Run the command with the settings of the deployment; return what it found."""
    (tmp_path / "ca.pem").write_text(pki.ca.pem)

    def run(
        proxy: Any,
        preset: str,
        *arguments: str,
        own: str | None = "mallory",
        settings: dict[str, Any] | None = None,
    ) -> Report:
        command = [
            *(sys.executable, "-m", "django", "clientcert", "probe"),
            *(f"{proxy.url}/open/", "--cafile", str(tmp_path / "ca.pem"), "--json"),
            *("--http-port", str(proxy.plain_port), *arguments),
        ]
        if own is not None:
            command += ["--cert", str(folder / f"{own}.pem")]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(folder, {"CLIENTCERT_PROXY": preset, **(settings or {})}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.startswith("{"), done.stderr
        report: Report = json.loads(done.stdout)
        assert (done.returncode == 1) == bool(report["holes"]), done.stderr
        report["stderr"] = done.stderr
        report["status"] = done.returncode
        return report

    return run


def holes(report: Report) -> list[tuple[str, str]]:
    """Return the place and spelling of each hole."""
    return [
        (one["place"], one["spelling"])
        for one in report["attempts"]
        if one["outcome"] == "HOLE"
    ]


def remedies(report: Report) -> str:
    """Return what to change."""
    return "\n".join(one["remedy"] for one in report["attempts"])


NAMES = [
    pytest.param(name, marks=pytest.mark.needs_program(program))
    for name, program in (
        ("nginx", "nginx"),
        ("haproxy", "haproxy"),
        ("caddy", "caddy"),
        ("traefik", "traefik"),
        ("envoy", "envoy"),
        ("apache", "apache2"),
    )
]


@pytest.mark.parametrize("suffix", ["", "_asgi"], ids=["wsgi", "asgi"])
@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_configurations_have_no_hole(
    name: str, suffix: str, programs: Callable[..., Any], probe: Run
) -> None:
    """And every attempt over HTTPS was answered by the application, or refused."""
    report = probe(programs(name, name + suffix), name, "--host", "open.example.com")
    assert holes(report) == []
    reached = [one for one in report["attempts"] if one["outcome"] != "not reached"]
    # Two paths, another host; each without and with a certificate; nine spellings
    assert len(reached) >= 2 * 3 * 9
    assert {one["place"] for one in report["attempts"]} >= {"https", "http"}


# --- ingress-nginx ---------------------------------------------------------------


@pytest.mark.needs_program("nginx")
@pytest.mark.parametrize("mode", ["on", "optional", "optional_no_ca"])
def test_an_ingress_as_it_should_be(
    mode: str, proxies: Callable[..., Any], probe: Run
) -> None:
    """No false alarm."""
    assert holes(probe(proxies("wsgi", verify_client=mode), "ingress-nginx")) == []


@pytest.mark.needs_program("nginx")
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_an_ingress_without_the_annotation(
    interface: str, proxies: Callable[..., Any], probe: Run
) -> None:
    """All four headers pass, and the forged certificate is believed."""
    report = probe(proxies(interface, ca=None), "ingress-nginx", own=None)
    assert ("https", "as the proxy writes them") in holes(report)
    assert "believed" in json.dumps(report)
    assert "auth-tls-secret" in remedies(report)


@pytest.mark.needs_program("nginx")
@pytest.mark.parametrize("own", [None, "mallory"])
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_an_ingress_that_does_not_pass_the_certificate(
    interface: str, own: str | None, proxies: Callable[..., Any], probe: Run
) -> None:
    """The client’s own ssl-client-cert passes, beside a genuine verdict."""
    proxy = proxies(interface, verify_client="optional", pass_certificate=False)
    report = probe(proxy, "ingress-nginx", own=own)
    assert ("https", "as the proxy writes them") in holes(report)
    assert "auth-tls-pass-certificate-to-upstream" in remedies(report)


@pytest.mark.needs_program("nginx")
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_an_ingress_that_keeps_underscores(
    interface: str, proxies: Callable[..., Any], probe: Run
) -> None:
    """enable-underscores-in-headers: dropped, or refused beside the proxy’s own."""
    proxy = proxies(interface, underscores_in_headers=True, verify_client="optional")
    report = probe(proxy, "ingress-nginx")
    assert holes(report) == []
    spelt = [one for one in report["attempts"] if "underscore" in one["spelling"]]
    noted = [one for one in spelt if one["outcome"] == "note"]
    assert bool(noted) == (interface == "asgi")  # gunicorn drops them
    assert all("underscores" in one["remedy"] for one in noted)


# --- holes punched on purpose ----------------------------------------------------

_TRUSTED = "    forwardedHeaders:\n      insecure: true\n\nproviders:"

_LOCATION = """\
        location /open/ {
            proxy_pass http://127.0.0.1:8000;
            proxy_set_header X-Forwarded-Proto $scheme;
        }

"""

HOLED = [
    pytest.param(
        "nginx",
        (
            (
                "        location / {",
                _LOCATION + "        location / {",
            ),
        ),
        "https",
        "as the proxy writes them",
        marks=pytest.mark.needs_program("nginx"),
        id="nginx, a location without the lines",
    ),
    pytest.param(
        "nginx",
        (("proxy_set_header X-SSL-Client-Cert ", "# proxy_set_header X-SSL-Client-C"),),
        "https, own certificate",
        "as the proxy writes them",
        marks=pytest.mark.needs_program("nginx"),
        id="nginx, the certificate is not set",
    ),
    pytest.param(
        "apache",
        (
            (
                "RequestHeader set X-SSL-Client-Cert ",
                "# RequestHeader set X-SSL-Client-C",
            ),
        ),
        "https, own certificate",
        "as the proxy writes them",
        marks=pytest.mark.needs_program("apache2"),
        id="Apache, the certificate is not set",
    ),
    pytest.param(
        "apache",
        (
            (
                "    RequestHeader unset Connection",
                "    # RequestHeader unset Connection",
            ),
        ),
        "https, own certificate",
        "named in Connection",
        marks=pytest.mark.needs_program("apache2"),
        id="Apache, Connection removes the header",
    ),
    pytest.param(
        "haproxy",
        (
            ("    http-request del-header ^x[-_]ssl", "    # del-header ^x[-_]ssl"),
            ("set-header X-SSL-Client-Cert ", "add-header X-SSL-Client-Cert "),
        ),
        "https, own certificate",
        "as the proxy writes them",
        marks=pytest.mark.needs_program("haproxy"),
        id="HAProxy, add-header",
    ),
    pytest.param(
        "haproxy",
        (
            ("    http-request del-header ^x[-_]ssl", "    # del-header ^x[-_]ssl"),
            ("%[ssl_c_der,base64]", "%[ssl_c_der,base64] if { ssl_c_used }"),
        ),
        "https",
        "as the proxy writes them",
        marks=pytest.mark.needs_program("haproxy"),
        id="HAProxy, a condition",
    ),
    pytest.param(
        "envoy",
        ((": SANITIZE_SET", ": APPEND_FORWARD"),),
        "https, own certificate",
        "as the proxy writes them",
        marks=pytest.mark.needs_program("envoy"),
        id="Envoy, APPEND_FORWARD",
    ),
    pytest.param(
        "envoy",
        ((": SANITIZE_SET", ": FORWARD_ONLY"),),
        "https, own certificate",
        "as the proxy writes them",
        marks=pytest.mark.needs_program("envoy"),
        id="Envoy, FORWARD_ONLY",
    ),
    pytest.param(
        "envoy",
        ((": SANITIZE_SET", ": ALWAYS_FORWARD_ONLY"),),
        "https",
        "as the proxy writes them",
        marks=pytest.mark.needs_program("envoy"),
        id="Envoy, ALWAYS_FORWARD_ONLY",
    ),
    pytest.param(
        "traefik",
        (("\nproviders:", _TRUSTED),),
        "https",
        "as the proxy writes them",
        marks=pytest.mark.needs_program("traefik"),
        id="Traefik, insecure",
    ),
    pytest.param(
        "caddy",
        (("\t\theader_up X-Client-Cert-Der", "\t\t# header_up X-Client-Cert-Der"),),
        "https",
        "as the proxy writes them",
        marks=pytest.mark.needs_program("caddy"),
        id="Caddy, the header is not set",
    ),
]


@pytest.mark.parametrize(("name", "change", "place", "spelling"), HOLED)
def test_a_hole_is_found(
    name: str,
    change: tuple[tuple[str, str], ...],
    place: str,
    spelling: str,
    programs: Callable[..., Any],
    probe: Run,
) -> None:
    """In its place, in its spelling, with what to change.

    What the proxy lets pass does not depend on the interface behind it.
    """
    report = probe(programs(name, name, change=change), name)
    assert (place, spelling) in holes(report)
    found = [one for one in report["attempts"] if one["outcome"] == "HOLE"]
    assert all(one["remedy"] for one in found)
    assert "Holes: " in report["stderr"]


# --- past the proxy, and other keys ----------------------------------------------


@pytest.mark.needs_program("nginx")
def test_the_application_itself(
    proxies: Callable[..., Any],
    applications: Callable[[str], Any],
    probe: Run,
) -> None:
    """Whoever reaches it from a trusted address can say anything."""
    direct = ("--upstream", applications("wsgi").address)
    report = probe(proxies("wsgi"), "ingress-nginx", *direct)
    place = f"direct to {applications('wsgi').address}"
    assert (place, "as the proxy writes them") in holes(report)
    assert "CLIENTCERT_PROXY_SECRET" in remedies(report)
    direct = ("--upstream", applications("nginx_secret").address)
    report = probe(proxies("wsgi"), "ingress-nginx", *direct)
    assert not [one for one in holes(report) if one[0].startswith("direct")]


@pytest.mark.needs_program("nginx")
def test_another_key_gets_no_answer(proxies: Callable[..., Any], probe: Run) -> None:
    """It says what may be the matter, and is no success."""
    other = {"SECRET_KEY": "another"}
    report = probe(proxies("wsgi"), "ingress-nginx", settings=other)
    assert report["status"] == 2
    assert {one["outcome"] for one in report["attempts"]} == {"not reached"}
    assert "Check that this is the SECRET_KEY of" in report["stderr"]
