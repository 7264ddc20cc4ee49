"""Every example in any page: names exist, code compiles, configurations can be read."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import load_command_class

from django_clientcert.conf import NAMES, conf
from django_clientcert.testing import IssuedCertificate, ThrowawayCA, proxy_headers
from django_clientcert.wire import PRESETS
from django_clientcert.x509.identities import parse_sha256
from tests.plugins.required_programs import find_program

from .pages import PAGES, ROOT, each_page, find_blocks, list_commands
from .running import make_environment, run
from .test_presets import ANNOTATIONS

# Names of HAProxy Ingress, which adopted the others
OTHER_ANNOTATIONS = {"auth-tls-cert-header", "auth-tls-strict"}


# Environment variables, not settings
NO_SETTINGS = {"CLIENTCERT_REQUIRE_PROGRAMS"}


@each_page
def test_no_page_names_a_setting_or_annotation_that_does_not_exist(page: Path) -> None:
    """A misspelt name would be copied."""
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"\bCLIENTCERT_[A-Z_]*[A-Z]\b", text))
    assert named <= {*NAMES, *NO_SETTINGS}
    annotations = set(re.findall(r"\bauth-tls-[a-z-]*[a-z]", text))
    assert annotations <= ANNOTATIONS | OTHER_ANNOTATIONS


@each_page
def test_manifests_and_configurations_in_yaml_can_be_read(page: Path) -> None:
    """Every document of every block is a mapping."""
    for block in find_blocks(page.read_text(encoding="utf-8"), "yaml"):
        for document in yaml.safe_load_all(block):
            assert isinstance(document, dict)


@each_page
def test_the_presets_that_a_page_names_exist(page: Path) -> None:
    """They are named in settings, in dicts and after proxy-config."""
    text = page.read_text(encoding="utf-8")
    named = re.findall(r'CLIENTCERT_PROXY = "(.+?)"|"preset": "(.+?)"', text)
    asked = re.findall(r"clientcert proxy-config ([a-z][\w-]*)", text)
    assert {name or base for name, base in named} | set(asked) <= set(PRESETS)


@each_page
def test_every_command_that_a_page_shows_is_understood(page: Path) -> None:
    """The subcommand, the options, and the format of their values."""
    command = load_command_class("django_clientcert", "clientcert")
    parser = command.create_parser("manage.py", "clientcert")
    for words in list_commands(page.read_text(encoding="utf-8")):
        if words[0] != "SUBCOMMAND":
            parser.parse_args(words)


@each_page
def test_python_in_the_documentation_compiles(page: Path) -> None:
    """Every block compiles on the oldest Python that is supported."""
    for block in find_blocks(page.read_text(encoding="utf-8"), "python"):
        ast.parse(block, feature_version=(3, 10))


def list_settings_examples() -> Iterator[Any]:
    """Return every assignment to a setting of this package, in any page."""
    for page in PAGES:
        for block in find_blocks(page.read_text(encoding="utf-8"), "python"):
            for node in ast.parse(block).body:
                if isinstance(node, ast.Assign):
                    (name,) = map(ast.unparse, node.targets)
                    if name in NAMES:
                        source = ast.unparse(node.value)
                        identifier = f"{page.relative_to(ROOT)}-{name}"
                        yield pytest.param(name, source, id=identifier)


@pytest.mark.parametrize(("name", "source"), list(list_settings_examples()))
def test_every_example_of_a_setting_can_be_used(
    name: str, source: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is used unchanged."""
    monkeypatch.setenv("PROXY_SECRET", "of the proxy")
    value = eval(source, {"os": os})  # noqa: S307 - our own documentation
    setattr(settings, name, value)
    getattr(conf, name)


@pytest.mark.needs_program("bash", "openssl")
def test_the_openssl_lines_print_what_can_be_pasted(
    tmp_path: Path, alice_cert: IssuedCertificate
) -> None:
    """The fingerprint can be pasted, and the length is that of the header."""
    (tmp_path / "alice.pem").write_text(alice_cert.pem)
    environment = make_environment(tmp_path)
    lines = {
        line
        for page in PAGES
        for block in find_blocks(page.read_text(encoding="utf-8"), "sh")
        for line in block.splitlines()
        if line.startswith("openssl x509 -in alice.pem")
    }
    printed = {line: run(line, tmp_path, environment) for line in lines}
    (fingerprint,) = (text for line, text in printed.items() if "-fingerprint" in line)
    (length,) = (text for line, text in printed.items() if "urllib" in line)
    assert parse_sha256(fingerprint).hex() == alice_cert.fingerprint
    assert int(length) == len(proxy_headers(alice_cert.der)["ssl-client-cert"])


def wrap_for_nginx(block: str) -> str:
    """Return a complete configuration around a block of directives."""
    if "server {" not in block:
        block = f"server {{ listen 127.0.0.1:1 ssl;\n{block}\n}}"
    return f"pid nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{block}\n}}\n"


def list_nginx_blocks() -> Iterator[Any]:
    """Return every block of nginx directives that is not a complete file."""
    for page in PAGES:
        blocks = find_blocks(page.read_text(encoding="utf-8"), "nginx")
        for number, block in enumerate(blocks):
            if not block.startswith("# nginx.conf"):
                yield pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")


@pytest.mark.needs_program("nginx")
@pytest.mark.parametrize("block", list(list_nginx_blocks()))
def test_nginx_accepts_the_directives(
    block: str, tmp_path: Path, ca: ThrowawayCA
) -> None:
    """Every block, with test files in place of those that it names."""
    server = ca.issue("localhost", dns=["localhost"])
    for name, text in (
        ("server.pem", server.pem),
        ("server.key", server.key_pem),
        ("clients-ca.pem", ca.pem),
        ("client-certificate.conf", ""),
        ("uwsgi_params", ""),
    ):
        (tmp_path / name).write_text(text)
    config = wrap_for_nginx(re.sub(r"/etc/nginx/(?:tls/)?", f"{tmp_path}/", block))
    if "ssl_certificate " not in config:
        config = config.replace(
            "access_log off;",
            "access_log off; ssl_certificate server.pem; ssl_certificate_key "
            "server.key;",
        )
    config = re.sub(r"listen (80|443)\b", r"listen 127.0.0.1:1\1", config)
    (tmp_path / "nginx.conf").write_text(config)
    program = find_program("nginx")
    assert program is not None
    temporary = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};"
        for kind in ("proxy", "fastcgi", "uwsgi", "scgi", "client_body")
    )
    (tmp_path / "nginx.conf").write_text(
        config.replace("access_log off;", f"access_log off;{temporary}")
    )
    result = subprocess.run(
        [program, "-t", "-e", "stderr", "-p", tmp_path, "-c", tmp_path / "nginx.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
