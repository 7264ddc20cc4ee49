"""The reference of the presets, and the pages of the proxies."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from django_clientcert.testing import IssuedCertificate
from django_clientcert.wire import CHAIN_ENCODINGS, DECODERS, FIELDS, PRESETS, Proxy
from tests.commands.running import clientcert

from .pages import (
    DOCS,
    ROOT,
    find_table,
    find_terms,
    first_column,
    read_howto,
    read_reference,
)
from .running import make_environment, run


def load_writer() -> ModuleType:
    """Return the module that generates the page of presets."""
    spec = importlib.util.spec_from_file_location(
        "write_presets", DOCS / "write_presets.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_part_is_up_to_date() -> None:
    """If this fails, run docs/write_presets.py."""
    writer = load_writer()
    _, _, rest = read_reference("presets").partition(writer.BEGIN)
    written, end, _ = rest.partition(writer.END)
    assert end
    assert written == writer.render()


def test_every_preset_has_notes() -> None:
    """Sentences side by side, none joined by accident."""
    notes = load_writer().NOTES
    assert list(notes) == list(PRESETS)
    for note in notes.values():
        assert note.pitfalls
        for sentence in (note.client_copies, *note.pitfalls):
            assert sentence.endswith(".")
            assert not re.search(r"\.[A-Z]", sentence)


def test_every_preset_is_in_the_overview() -> None:
    """There is a row for each, in their order."""
    _, *rows = find_table(read_reference("presets"), "Preset")
    assert [re.findall("`(.+?)`", row[0])[0] for row in rows] == list(PRESETS)
    for row, proxy in zip(rows, PRESETS.values(), strict=True):
        assert row[0] == f"[`{proxy.name}`](#{proxy.name})"
        assert row[1].replace("`", "") == proxy.title
        assert row[2] == f"`{proxy.certificate}`"
        assert row[3] == f"`{proxy.encoding}`"
        assert row[4] == (
            f"`{proxy.verdict}`: `{proxy.success}`" if proxy.verdict else "no verdict"
        )
        assert row[5] == ("yes" if proxy.verifies else "no")


def read_preset(name: str) -> str:
    """Return the section of one preset, on one line and without marks of code."""
    (section,) = re.findall(
        rf"^### `{name}`\n(.*?)^#", read_reference("presets"), re.MULTILINE | re.DOTALL
    )
    return " ".join(section.replace("`", "").split())


@pytest.mark.parametrize("proxy", PRESETS.values(), ids=list(PRESETS))
def test_all_of_a_preset_is_in_its_section(proxy: Proxy) -> None:
    """Every name that is read, every significant word, and the notes for people."""
    text = read_preset(proxy.name)
    for name in proxy.names:
        assert re.search(rf"[ ]{name}[,; ]", text), name
    notes = load_writer().NOTES[proxy.name]
    for note in (
        *(proxy.title, proxy.reference),
        *(notes.client_copies, *notes.pitfalls),
    ):
        assert note
        assert note in text
    if proxy.verdict is not None:
        assert f"success is exactly {proxy.success}," in text
        assert f"begins with {', '.join(proxy.failure)}" in text
    for name, word in proxy.conditions:
        assert f"Condition: {name} is exactly {word}" in text
    if proxy.chain:
        assert f"{proxy.chain[-1]}, as {proxy.chain_encoding}" in text
    assert ("Chain:" in text) == (
        bool(proxy.chain) or proxy.encoding in CHAIN_ENCODINGS
    )
    if proxy.subject_dn is not None:
        required = "required" if proxy.names_required else "if sent"
        assert f"{proxy.issuer_dn}; {required} -" in text
    assert f"Validates the path: {'yes' if proxy.verifies else 'no; '}" in text
    assert ("Read from:" in text) == (not proxy.is_header)


@pytest.mark.parametrize("proxy", PRESETS.values(), ids=list(PRESETS))
def test_every_preset_has_a_page_that_says_how_to_use_it(proxy: Proxy) -> None:
    """It names the preset, and the preset's section leads there."""
    (name,) = re.findall(r"\(\.\./howto/([\w-]+)\.md\)", read_preset(proxy.name))
    assert f'CLIENTCERT_PROXY = "{proxy.name}"' in read_howto(name)


def test_the_keys_and_encodings_of_a_custom_proxy_are_in_the_reference() -> None:
    """All of them, and no others."""
    text = read_reference("presets")
    keys = [
        key
        for row in find_table(text, "Key")[1:]
        for key in re.findall(r"`(\w+)`", row[0])
    ]
    assert sorted(keys) == sorted({*FIELDS, "preset"})
    encodings = text[text.index("### Encodings") :]
    assert sorted(find_terms(encodings)) == sorted(DECODERS)


# What ingress-nginx reads (internal/ingress/annotations/authtls/main.go)
ANNOTATIONS = {
    "auth-tls-secret",
    "auth-tls-verify-client",
    "auth-tls-verify-depth",
    "auth-tls-error-page",
    "auth-tls-pass-certificate-to-upstream",
    "auth-tls-match-cn",
}


def test_the_migration_from_ingress_nginx_names_every_successor_and_annotation() -> (
    None
):
    """The presets exist, and each annotation has a row."""
    text = read_howto("moving-from-ingress-nginx")
    rows = find_table(text, "Successor")[1:]
    named = [name for row in rows for name in re.findall('`"(.+?)"`', row[1])]
    assert set(named) <= set(PRESETS)
    assert {
        name
        for name in PRESETS
        if name.startswith(("traefik", "envoy-", "contour", "istio", "haproxy-"))
    } <= set(named)
    # Only proxies that send no verdict need the CA as an authority.
    for row in rows:
        for name in re.findall('`"(.+?)"`', row[1]):
            assert ("the CA" in row[2]) != PRESETS[name].verifies, name
    names = first_column(text, "ingress-nginx")
    annotations = {name.partition(":")[0] for name in names if "auth-tls-" in name}
    assert annotations == ANNOTATIONS
    head, *rows = find_table(text, "ingress-nginx")
    assert {len(row) for row in rows} == {len(head)}


def test_every_configuration_of_the_example_project_is_shown_or_named() -> None:
    """Some how-to names it."""
    text = "".join(
        page.read_text(encoding="utf-8") for page in (DOCS / "howto").glob("*.md")
    )
    for file in (ROOT / "example_project" / "proxies").iterdir():
        if file.suffix not in (".py", ".ini", ".pyc") and file.is_file():
            assert f"example_project/proxies/{file.name}" in text, file.name


@pytest.mark.django_db
@pytest.mark.needs_program("bash", "openssl")
@pytest.mark.parametrize(
    ("page", "preset"),
    [
        ("nginx", "nginx"),
        ("caddy", "caddy"),
        ("haproxy", "haproxy"),
        ("apache", "apache"),
        ("traefik", "traefik"),
    ],
)
def test_the_header_that_a_page_makes_for_explain_is_that_of_its_proxy(
    page: str,
    preset: str,
    tmp_path: Path,
    alice_cert: IssuedCertificate,
    settings: Any,
) -> None:
    """It is decoded to the certificate that it was made from."""
    (tmp_path / "alice.pem").write_text(alice_cert.pem)
    (script,) = re.findall(r'explain --header "\$\((.+)\)"$', read_howto(page), re.M)
    made = run(f'printf %s "$({script})"', tmp_path, make_environment(tmp_path))
    settings.CLIENTCERT_PROXY = preset
    explained = clientcert("explain", "--header", made)
    assert f"parse      passed         {alice_cert.fingerprint}" in explained.out
