"""``clientcert proxy-config``: its output, which is what the proxies were run with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from django_clientcert.management.subcommands.proxy_config import (
    spelling_patterns,
    written_names,
)
from django_clientcert.wire import PRESETS, get_proxy

from .running import clientcert

CONFIGURATIONS = Path(__file__).parents[2] / "example_project" / "proxies"


def lines_of(text: str) -> list[str]:
    """Return the lines that a program reads, each with single spaces."""
    stripped = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_lines(name: str, settings: Any) -> None:
    """With each name that is read, and the matching setting."""
    settings.CLIENTCERT_PROXY = name
    settings.CLIENTCERT_PROXY_SECRET = ("X-Proxy-Secret", "s")
    outcome = clientcert("proxy-config", name)
    assert (outcome.status, outcome.err) == (0, "")
    assert f'CLIENTCERT_PROXY = "{name}"' in outcome.out
    proxy = get_proxy(name)
    if proxy.is_header:
        # The chain of a preset with several headers in the names of the others
        for header in proxy.names:
            assert header in outcome.out.lower(), header
    else:
        assert proxy.certificate in outcome.out
    assert "{{" not in outcome.out
    assert "None" not in outcome.out


SAME = {
    "nginx": ["nginx.conf"],
    "haproxy": ["haproxy.cfg"],
    "caddy": ["Caddyfile"],
    "traefik": ["traefik-dynamic.yaml"],
    "envoy": ["envoy.yaml"],
    "apache": ["apache.conf"],
    "mod_wsgi": ["apache-mod_wsgi.conf"],
    "uwsgi": ["uwsgi.ini"],
    "gunicorn": ["gunicorn.conf.py"],
}


@pytest.mark.parametrize("name", SAME)
def test_it_is_what_the_tested_configurations_say(name: str, settings: Any) -> None:
    """Line by line, the output equals what was tested with the real program."""
    settings.CLIENTCERT_PROXY = name
    text = "\n".join((CONFIGURATIONS / file).read_text() for file in SAME[name])
    there = lines_of(text)
    printed = lines_of(clientcert("proxy-config", name).out)
    assert [line for line in printed if line not in there] == []


def test_custom_headers(settings: Any) -> None:
    """The output follows a description that differs from the preset."""
    settings.CLIENTCERT_PROXY = {
        "preset": "haproxy",
        "certificate": "x-peer-cert",
        "verdict": "x-verify",
        "conditions": {"x-used": "1"},
        "chain": "x-above",
    }
    out = clientcert("proxy-config", "haproxy").out
    assert "http-request set-header X-Peer-Cert   %[ssl_c_der,base64]" in out
    assert "http-request set-header X-Verify %[ssl_c_verify]" in out
    assert "http-request set-header X-Used   %[ssl_c_used]" in out
    assert "http-request del-header ^x[-_]peer[-_]cert$ -m reg" in out
    assert "http-request del-header ^x[-_]verify$ -m reg" in out
    assert "CLIENTCERT_PROXY as it is" in out
    # Another kind of proxy is another preset.
    assert "X-SSL-Client-Cert" in clientcert("proxy-config", "nginx").out


def test_p05_haproxy_is_told_about_big_certificates() -> None:
    """ML-DSA with a chain does not fit into its default buffer."""
    assert "tune.bufsize 65536" in clientcert("proxy-config", "haproxy").out


def test_names_without_an_x_in_apache(settings: Any) -> None:
    """The two regular expressions fit whatever the names are."""
    settings.CLIENTCERT_PROXY = {
        "preset": "apache",
        "certificate": "client-pem",
        "verdict": "client-verify",
        "chain": (),
        "chain_encoding": None,
    }
    out = clientcert("proxy-config", "apache").out
    assert "=~ /.*-/i" in out
    match = re.search(r'SetEnvIfNoCase "([^"]+)"', out)
    assert match is not None
    for name in ("client_pem", "client_verify", "x_forwarded-proto"):
        assert re.match(match[1], name), name
    for name in ("client-pem", "x-forwarded-proto", "accept_x"):
        assert not re.match(match[1], name), name


@pytest.mark.parametrize("name", PRESETS)
def test_n05_patterns_are_of_every_spelling(name: str) -> None:
    """N05: hyphens and underscores, in any mixture, and no other header."""
    names = [header for header in PRESETS[name].names if PRESETS[name].is_header]
    patterns = spelling_patterns(names)
    for header in names:
        for spelling in (header, header.replace("-", "_"), header.replace("-", "_", 1)):
            assert any(re.search(pattern, spelling) for pattern in patterns)
    assert not any(re.search(pattern, "x-request-id") for pattern in patterns)


def test_a_setting_that_is_another_preset(settings: Any) -> None:
    """What would have to be written is said."""
    settings.CLIENTCERT_PROXY = "ingress-nginx"
    settings.CLIENTCERT_TRUSTED_PROXIES = None
    settings.SECURE_PROXY_SSL_HEADER = None
    out = clientcert("proxy-config", "caddy").out
    assert 'CLIENTCERT_PROXY = "caddy"  # it is "ingress-nginx" now' in out
    assert "CLIENTCERT_TRUSTED_PROXIES = [...]" in out
    assert "SECURE_PROXY_SSL_HEADER = (" in out
    assert "authority add" in out


def test_the_scheme_s_header_is_the_project_s(settings: Any) -> None:
    """Whatever SECURE_PROXY_SSL_HEADER says."""
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_SCHEME", "on")
    assert (
        'proxy_set_header X-Scheme   "on";' in clientcert("proxy-config", "nginx").out
    )
    assert "header_up X-Scheme on" in clientcert("proxy-config", "caddy").out
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_SCHEME", "on; evil")
    outcome = clientcert("proxy-config", "nginx")
    assert (outcome.status, outcome.out) == (1, "")


def test_hosts_and_gateway_identity_are_the_project_s(settings: Any) -> None:
    """In the snippets that name one."""
    settings.CLIENTCERT_HOSTS = ["*", ".partners.example"]
    settings.CLIENTCERT_PROXY = {
        "preset": "istio-sidecar",
        "gateway_identity": "spiffe://td/ns/istio-system/sa/own-gateway",
    }
    out = clientcert("proxy-config", "istio-sidecar").out
    assert 'hosts: ["partners.example"]' in out
    assert "- td/ns/istio-system/sa/own-gateway" in out


# --- the secret ------------------------------------------------------------------


def test_the_secret_is_shown_when_asked_for(settings: Any) -> None:
    """Otherwise the output may be pasted anywhere."""
    settings.CLIENTCERT_PROXY_SECRET = (
        "X-Our-Secret",
        ["new.Secret_1", "older.Secret_0"],
    )
    for name in PRESETS:
        out = clientcert("proxy-config", name).out
        assert "Secret_" not in out
        shown = clientcert("proxy-config", name, "--show-secret").out
        if "X-Our-Secret" in out:
            assert "see CLIENTCERT_PROXY_SECRET" in out
            assert "new.Secret_1" in shown
            assert "older" not in shown


@pytest.mark.parametrize(
    "secret", ['a"b', "a b", "a$b", "a%b", "a{b}", "a\nb", "a;b", "a'b", "a\\b", "ä"]
)
def test_a_secret_that_could_mean_something_is_refused(
    secret: str, settings: Any
) -> None:
    """Each program has its own quotes and variables; it is not repeated."""
    settings.CLIENTCERT_PROXY_SECRET = ("X-Proxy-Secret", secret)
    outcome = clientcert("proxy-config", "nginx", "--show-secret")
    assert (outcome.status, outcome.out) == (1, "")
    assert secret not in outcome.error
    assert clientcert("proxy-config", "nginx").status == 0


# --- options ---------------------------------------------------------------------


def test_paths_and_addresses() -> None:
    """The path of the CA, and the address of Django."""
    out = clientcert(
        *("proxy-config", "traefik", "--ca", "/srv/ca.pem"),
        *("--upstream", "app.example:9000"),
    ).out
    assert "- /srv/ca.pem" in out
    assert '- url: "http://app.example:9000"' in out


@pytest.mark.parametrize(
    "arguments",
    [
        ("nginks",),
        ("nginx", "--ca", "/a b"),
        ("nginx", "--ca", "/a;b"),
        ("nginx", "--upstream", "x"),
        ("nginx", "--upstream", "x:80; evil"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    """It says so, and prints nothing."""
    outcome = clientcert("proxy-config", *arguments)
    assert outcome.status == 1
    assert outcome.error
    assert outcome.out == ""


KUBERNETES = ["ingress-nginx", "traefik-ingress-nginx", "envoy-gateway", "contour"]
KUBERNETES += ["istio", "istio-sidecar", "haproxy-ingress", "kong", "traefik", "envoy"]


@pytest.mark.parametrize("name", KUBERNETES)
@pytest.mark.parametrize("secret", [None, ("X-Proxy-Secret", "s")])
def test_what_is_yaml_can_be_read(name: str, secret: Any, settings: Any) -> None:
    """With and without a secret."""
    settings.CLIENTCERT_PROXY = name
    settings.CLIENTCERT_PROXY_SECRET = secret
    documents = list(yaml.safe_load_all(clientcert("proxy-config", name).out))
    assert all(isinstance(document, dict) for document in documents)


def test_names_as_people_write_them() -> None:
    """As in the documentation of each program."""
    assert set(written_names(PRESETS["nginx"]).values()) == {
        "X-SSL-Client-Cert",
        "X-SSL-Client-Verify",
        "X-SSL-Client-S-DN",
        "X-SSL-Client-I-DN",
    }
    assert "X-ARR-Clientcert" in written_names(PRESETS["azure-app-service"]).values()
    assert "SSL_CLIENT_CERT" in written_names(PRESETS["mod_wsgi"]).values()
