"""The documentation says what is there, and what it tells to type works.

Names are compared both ways: what is missing from the reference fails, and so does
what is in the reference and nowhere else. Code is compiled, configurations go
through a real nginx, and the README's project and the whole tutorial are built and
run as they stand.
"""

from __future__ import annotations

import argparse
import ast
import datetime as dt
import importlib.util
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import call_command, load_command_class
from django.test import Client
from django.urls import path

from django_clientcert import models, signals
from django_clientcert.checks import IDS
from django_clientcert.conf import NAMES, conf
from django_clientcert.evaluation import STEPS
from django_clientcert.exceptions import Reason
from django_clientcert.management.subcommands import crl as crl_command
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
)
from django_clientcert.testing import IssuedCertificate, ThrowawayCA, proxy_headers
from django_clientcert.wire import CHAIN_ENCODINGS, DECODERS, FIELDS, PRESETS, Proxy
from django_clientcert.x509.identities import IdentityKind, parse_sha256
from django_clientcert.x509.rules import PRESETS as RULE_PRESETS
from django_clientcert.x509.rules import RuleIdentity
from tests.commands.running import Outcome, clientcert
from tests.plugins.required_programs import find_program
from tests.project.test_wings import ROOMS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(page for page in DOCS.rglob("*.md") if "_build" not in page.parts),
    ]
)

# What ingress-nginx reads (internal/ingress/annotations/authtls/main.go)
ANNOTATIONS = {
    "auth-tls-secret",
    "auth-tls-verify-client",
    "auth-tls-verify-depth",
    "auth-tls-error-page",
    "auth-tls-pass-certificate-to-upstream",
    "auth-tls-match-cn",
}

# Of HAProxy Ingress, which took over the other names
OTHER_ANNOTATIONS = {"auth-tls-cert-header", "auth-tls-strict"}

# Environment variables, and no settings
NO_SETTINGS = {"CLIENTCERT_REQUIRE_PROGRAMS"}


def read(name: str) -> str:
    """Return a page below ``docs/reference``."""
    return (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8")


def find_blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def find_terms(text: str) -> list[str]:
    """Return what stands in code style in the terms of definition lists."""
    lines = re.findall(r"^(`.*)\n: ", text, re.MULTILINE)
    return [term for line in lines for term in re.findall(r"`([^`]+)`", line)]


def find_sections(text: str) -> dict[str, str]:
    """Return the sections with a heading in code style, by that heading."""
    parts = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)[1:]
    return {
        heading.strip("`"): body
        for heading, body in zip(parts[::2], parts[1::2], strict=True)
        if heading.startswith("`")
    }


def find_table(text: str, corner: str) -> list[list[str]]:
    """Return the rows of the table whose first cell is *corner*, the head first."""
    rows: list[list[str]] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if rows or (line.startswith("|") and cells[0].strip("| ") == corner):
            if not line.startswith("|"):
                break
            rows.append([cell.strip("| ") for cell in cells])
    return [row for row in rows if set(row[0]) != {"-"} and "---" not in row[0]]


# --- the reference -----------------------------------------------------------------


def test_every_setting_is_in_the_reference_and_no_other() -> None:
    """A section and a row of the table for each."""
    text = read("settings")
    sections = [name for name in find_sections(text) if name.startswith("CLIENTCERT_")]
    rows = find_table(text, "Setting")[1:]
    assert sorted(sections) == sorted(NAMES)
    assert [re.findall(r"CLIENTCERT_\w+", row[0])[0] for row in rows] == sections


def test_the_defaults_in_the_reference_are_the_real_ones(settings: Any) -> None:
    """What the table says is what a project gets that sets nothing."""
    for name in NAMES:
        if hasattr(settings, name):
            delattr(settings, name)
    told = {
        re.findall(r"CLIENTCERT_\w+", row[0])[0]: row[1].strip("`")
        for row in find_table(read("settings"), "Setting")[1:]
    }
    assert told["CLIENTCERT_PROXY"] == f'"{conf.CLIENTCERT_PROXY.name}"'
    assert told["CLIENTCERT_REQUIRE_SECURE"] == str(conf.CLIENTCERT_REQUIRE_SECURE)
    assert told["CLIENTCERT_MAX_HEADER_BYTES"] == str(conf.CLIENTCERT_MAX_HEADER_BYTES)
    assert told["CLIENTCERT_INBOX_SIZE"] == str(conf.CLIENTCERT_INBOX_SIZE)
    interval = conf.CLIENTCERT_LAST_USED_INTERVAL
    assert interval is not None
    assert told["CLIENTCERT_LAST_USED_INTERVAL"] == f"{interval.seconds // 60} minutes"
    assert not conf.CLIENTCERT_TRUSTED_PROXIES
    assert conf.CLIENTCERT_HOSTS is None
    assert conf.CLIENTCERT_PROXY_SECRET is None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_a_setting_or_annotation_that_does_not_exist(page: Path) -> None:
    """A misspelt name would be copied."""
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"\bCLIENTCERT_[A-Z_]*[A-Z]\b", text))
    assert named <= {*NAMES, *NO_SETTINGS}
    annotations = set(re.findall(r"\bauth-tls-[a-z-]*[a-z]", text))
    assert annotations <= ANNOTATIONS | OTHER_ANNOTATIONS


def test_every_reason_is_in_the_reference_and_no_other() -> None:
    """One entry for each word."""
    assert sorted(find_terms(read("reasons"))) == sorted(str(one) for one in Reason)


def test_every_check_is_in_the_reference_and_no_other() -> None:
    """One entry for each id."""
    assert sorted(find_terms(read("checks"))) == sorted(IDS.values())


def list_subcommands(
    parser: argparse.ArgumentParser, words: str = "clientcert"
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield each subcommand's words, its options, and its arguments in capitals."""
    options, arguments = [], []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from list_subcommands(below, f"{words} {name}")
            return
        if action.help == argparse.SUPPRESS or action.dest == "help":
            continue
        if action.option_strings:
            options.append(max(action.option_strings, key=len))
        else:
            arguments.append(str(action.metavar))
    yield words, options, arguments


def test_every_subcommand_and_option_is_in_the_reference_and_no_other() -> None:
    """A section for each subcommand, and an entry for each of its options."""
    command = load_command_class("django_clientcert", "clientcert")
    parser = command.create_parser("manage.py", "clientcert")
    sections = find_sections(read("commands"))
    there = {}
    for words, options, arguments in list_subcommands(parser):
        heading = next(one for one in sections if f"{one} ".startswith(f"{words} "))
        told = [one.split(" ")[0] for one in find_terms(sections[heading])]
        in_heading = heading.removeprefix(words).split()
        assert sorted(set(told) - set(arguments)) == sorted(options), words
        assert set(arguments) == {*in_heading, *(set(told) & set(arguments))}, words
        there[heading] = words
    assert sorted(there) == sorted(sections)


def load_writer() -> ModuleType:
    """Return the module that writes the page of presets."""
    spec = importlib.util.spec_from_file_location(
        "write_presets", DOCS / "write_presets.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_written_of_the_presets_is_up_to_date() -> None:
    """As docs/write_presets.py writes it; if this fails, run that."""
    writer = load_writer()
    _, _, rest = read("presets").partition(writer.BEGIN)
    written, end, _ = rest.partition(writer.END)
    assert end
    assert written == writer.render()


def test_every_preset_is_in_the_overview_as_it_is() -> None:
    """A row for each, in their order."""
    _, *rows = find_table(read("presets"), "Preset")
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
        rf"^### `{name}`\n(.*?)^#", read("presets"), re.MULTILINE | re.DOTALL
    )
    return " ".join(section.replace("`", "").split())


@pytest.mark.parametrize("proxy", PRESETS.values(), ids=list(PRESETS))
def test_all_of_a_preset_is_in_its_section(proxy: Proxy) -> None:
    """Every name that is read, every word that counts, and what people are told."""
    text = read_preset(proxy.name)
    for name in proxy.names:
        assert re.search(rf"[ ]{name}[,; ]", text), name
    for told in (proxy.title, proxy.client_copies, *proxy.traps, proxy.reference):
        assert told
        assert told in text
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
        required = "required" if proxy.names_required else "where sent"
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
    text = read("presets")
    keys = [
        key
        for row in find_table(text, "Key")[1:]
        for key in re.findall(r"`(\w+)`", row[0])
    ]
    assert sorted(keys) == sorted({*FIELDS, "preset"})
    encodings = text[text.index("### Encodings") :]
    assert sorted(find_terms(encodings)) == sorted(DECODERS)


def test_who_moves_from_ingress_nginx_finds_every_successor_and_annotation() -> None:
    """With presets that exist; and each annotation has a row."""
    text = read_howto("moving-from-ingress-nginx")
    rows = find_table(text, "Successor")[1:]
    named = [name for row in rows for name in re.findall('`"(.+?)"`', row[1])]
    assert set(named) <= set(PRESETS)
    assert {
        name
        for name in PRESETS
        if name.startswith(("traefik", "envoy-", "contour", "istio", "haproxy-"))
    } <= set(named)
    # Whoever sends no verdict needs the CA here, and only those.
    for row in rows:
        for name in re.findall('`"(.+?)"`', row[1]):
            assert ("the CA" in row[2]) != PRESETS[name].verifies, name
    told = {one for one in first_column(text, "ingress-nginx") if "auth-tls-" in one}
    assert {one.partition(":")[0] for one in told} == ANNOTATIONS
    head, *rows = find_table(text, "ingress-nginx")
    assert {len(row) for row in rows} == {len(head)}


def test_every_configuration_of_the_example_project_is_shown_or_named() -> None:
    """In some how-to, by its name."""
    text = "".join(
        page.read_text(encoding="utf-8") for page in (DOCS / "howto").glob("*.md")
    )
    for file in (ROOT / "example_project" / "proxies").iterdir():
        if file.suffix not in (".py", ".ini", ".pyc") and file.is_file():
            assert f"example_project/proxies/{file.name}" in text, file.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_manifests_and_configurations_in_yaml_can_be_read(page: Path) -> None:
    """Every block, each document a mapping."""
    for block in find_blocks(page.read_text(encoding="utf-8"), "yaml"):
        for document in yaml.safe_load_all(block):
            assert isinstance(document, dict)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_presets_that_a_page_names_exist(page: Path) -> None:
    """In settings, in dicts and after proxy-config."""
    text = page.read_text(encoding="utf-8")
    named = re.findall(r'CLIENTCERT_PROXY = "(.+?)"|"preset": "(.+?)"', text)
    asked = re.findall(r"clientcert proxy-config ([a-z][\w-]*)", text)
    assert {one or other for one, other in named} | set(asked) <= set(PRESETS)


def test_the_kinds_are_in_the_reference_the_best_first() -> None:
    """With whether they need an authority."""
    rows = find_table(read("models"), "Kind")[1:]
    assert [(row[0].strip("`"), row[2] == "not needed") for row in rows] == [
        (kind.value, kind.is_pin) for kind in IdentityKind
    ]


def list_fields(model: str) -> list[str]:
    """Return the names of a model's fields but its id, sorted."""
    options = getattr(models, model)._meta
    fields = (*options.concrete_fields, *options.local_many_to_many)
    return sorted(one.name for one in fields if one.name != "id")


@pytest.mark.parametrize(
    "model",
    ["CertificateMapping", "CertificateAuthority", "RevocationList", "Revocation"],
)
def test_every_field_is_in_the_reference(model: str) -> None:
    """In the table of its model, and no other."""
    sections = find_sections(read("models"))
    section = next(text for one, text in sections.items() if one.split("`")[0] == model)
    told = [
        name
        for row in find_table(section, "Field")[1:]
        for name in re.findall(r"`(\w+)`", row[0])
    ]
    assert sorted(told) == list_fields(model)


@pytest.mark.parametrize(
    ("model", "before"),
    [
        ("RevokedSerial", "`RevokedSerial` has"),
        ("SeenCertificate", "let in lately:"),
        ("UnknownCertificate", "public key:"),
        ("AuthorityCertificate", "certificate of the bundle ("),
    ],
)
def test_every_field_of_a_small_table_is_in_the_reference(
    model: str, before: str
) -> None:
    """In the paragraph about it, and no other."""
    _, _, text = read("models").partition(before)
    paragraph, _, _ = text.partition("\n\n")
    assert sorted(re.findall("`([a-z_]+)`", paragraph)) == list_fields(model)


def test_the_signals_and_steps_are_in_the_reference() -> None:
    """By name, and the steps in their order."""
    assert [one for one in find_terms(read("signals")) if "client_cert" in one] == [
        name for name in vars(signals) if name.startswith("client_cert_")
    ]
    listed = re.search(r"same order:(.*?); each has", read("requests"), re.DOTALL)
    assert listed is not None
    assert tuple(re.findall(r"`(\w+)`", listed[1])) == STEPS


def test_contributors_are_told_the_rooms_that_the_imports_are_held_to() -> None:
    """In the order of the rows, room by room."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    told = [
        (int(row[0]), frozenset(re.findall(r"`(\w+)`", part)))
        for row in find_table(text, "Room")[1:]
        for part in row[1].split("; ")
    ]
    assert told == list(ROOMS)


def list_log_calls() -> Iterator[tuple[str, str]]:
    """Yield the level and the line of every call of a logger, values as "…"."""
    for file in (ROOT / "django_clientcert").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and ast.unparse(node.func.value) == "logger"
            ):
                line = ast.literal_eval(node.args[0])
                yield node.func.attr.upper(), re.sub("%[rs]", "…", line)


def test_every_line_of_the_log_is_in_the_reference_and_no_other() -> None:
    """With its level; of a refusal, the shorter line is the same one."""
    rows = find_table(read("signals"), "Level")[1:]
    told = {(row[0].strip("`"), row[1].strip("`").split("…")[0]) for row in rows}
    logged = {(level, line.split("…")[0]) for level, line in list_log_calls()}
    assert told == {
        (level, "client certificate required: reason=no_certificate")
        if "required" in line
        else (level, line)
        for level, line in logged
    }


def test_a_refusal_is_logged_as_the_reference_says(
    ask: Any, alice: Any, alice_cert: IssuedCertificate, caplog: Any
) -> None:
    """So that an alert can be written from the documentation."""
    (line,) = (
        row[1].strip("`")
        for row in find_table(read("signals"), "Level")[1:]
        if "refused:" in row[1]
    )
    ask("/open/", alice_cert.der)
    assert re.fullmatch(line.replace("…", ".+"), caplog.messages[-1])


# --- revocation, rules, renewals ----------------------------------------------------


def read_howto(name: str) -> str:
    """Return a page below ``docs/howto``."""
    return (DOCS / "howto" / f"{name}.md").read_text(encoding="utf-8")


def first_column(text: str, corner: str) -> list[str]:
    """Return what stands in code style in the first column of a table."""
    rows = find_table(text, corner)[1:]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row[0])]


def test_every_code_of_a_list_that_is_refused_has_its_remedy() -> None:
    """All that the code can raise, and no other."""
    package = ROOT / "django_clientcert" / "revocation"
    source = "".join(file.read_text(encoding="utf-8") for file in package.glob("*.py"))
    codes = set(re.findall(r'\brefuse\(\s*"(\w+)"', source))
    assert len(codes) > 15
    assert sorted(first_column(read_howto("revoke"), "Code")) == sorted(codes)


def test_every_policy_is_documented_as_often_as_it_is_explained() -> None:
    """In the how-to and in the reference, in one order."""
    policies = CertificateAuthority.Policy.values
    assert first_column(read_howto("revoke"), "Policy") == policies
    assert first_column(read("models"), "Policy") == policies


def test_every_state_of_a_mapping_is_documented() -> None:
    """In the how-to, in order, and in the reference."""
    states = CertificateMapping.State.values
    assert first_column(read_howto("renew-certificates"), "State") == states
    (row,) = (one for one in find_table(read("models"), "Field") if "`state`" in one)
    assert set(states) <= set(re.findall(r"`(\w+)`", row[1]))


def test_every_identity_and_preset_of_a_rule_is_documented() -> None:
    """In the how-to and at the options of the command."""
    identities = [one.value for one in RuleIdentity]
    assert first_column(read_howto("smart-cards"), "Identity") == identities
    terms = re.split(
        r"\n\n(?=`)", find_sections(read("commands"))["clientcert authority rule NAME"]
    )
    told = {
        term.split("\n")[0]: set(re.findall(r"`([a-z_]+)`", term)) for term in terms
    }
    assert told["`--identity IDENTITY`"] == set(identities)
    assert told["`--preset PRESET`"] == set(RULE_PRESETS)
    used = re.findall(r"--preset (\w+)", read_howto("smart-cards"))
    assert used == list(RULE_PRESETS)


def test_what_a_rule_is_quoted_to_say_is_what_it_says() -> None:
    """Every quotation in the table, but for the values in it."""
    package = ROOT / "django_clientcert"
    source = "".join(
        (package / name).read_text(encoding="utf-8")
        for name in ("rules.py", "evaluation/rules.py")
    )
    rows = find_table(read_howto("smart-cards"), "It says")[1:]
    quoted = [one for row in rows for one in re.findall("“(.*?)”", row[0])]
    assert len(quoted) > len(RULE_PRESETS)
    for text in quoted:
        for part in re.split(r"san_\w+|…", text):
            assert part in source, text


def list_lines(text: str) -> Iterator[list[str]]:
    """Yield the arguments of each ``manage.py clientcert`` in a page's blocks."""
    # Those of lists are indented.
    fenced = r"^( *)```(?:sh|text)\n(.*?)^\1```$"
    for match in re.finditer(fenced, text, re.MULTILINE | re.DOTALL):
        for line in match[2].splitlines():
            _, found, rest = line.partition("python3 manage.py clientcert ")
            if found:
                words = shlex.shlex(rest, posix=True, punctuation_chars=True)
                words.commenters = "#"
                words.wordchars += "$:,*@"
                yield cut(list(words))


def cut(words: list[str]) -> list[str]:
    """Return the words of the first command of a line, without redirections."""
    end = next((at for at, one in enumerate(words) if set(one) <= set("<>|&;()")), None)
    kept = words[:end]
    # "2>&1" leaves its number.
    return kept[:-1] if end is not None and kept[-1] == "2" else kept


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_shows_is_understood(page: Path) -> None:
    """The subcommand, the options, and the form of their values."""
    command = load_command_class("django_clientcert", "clientcert")
    parser = command.create_parser("manage.py", "clientcert")
    for words in list_lines(page.read_text(encoding="utf-8")):
        if words[0] != "SUBCOMMAND":
            parser.parse_args(words)


class Reader:
    """Types what a how-to shows, in its order."""

    # These tell by their status what they have found.
    ANSWERS = ("what-if", "expiring", "explain")

    def __init__(self, page: str) -> None:
        # The page speaks of next year; so does the reader, whatever year it is.
        year = dt.datetime.now(dt.timezone.utc).year + 1
        self.text = re.sub(r"(?<!\d)2027(?!\d)", str(year), read_howto(page))
        self.year = year

    def type_all(self) -> list[tuple[str, Outcome]]:
        """Run everything; return each subcommand with its outcome."""
        outcomes = []
        for words in list_lines(self.text):
            if "--undo" in words:
                latest = Revocation.objects.latest("pk").pk
                words[words.index("--undo") + 1] = str(latest)
            outcome = clientcert(*words)
            allowed = {0, 1} if words[0] in self.ANSWERS else {0}
            assert outcome.status in allowed, (words, outcome.text)
            outcomes.append((" ".join(words), outcome))
        assert len(outcomes) > 5
        return outcomes


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ca: ThrowawayCA) -> Path:
    """The folder of somebody who reads the how-tos, with the files they speak of."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ca.crt").write_text(ca.pem)
    (tmp_path / "stolen.pem").write_text(ca.issue("laptop").pem)
    (tmp_path / "card.pem").write_text(ca.issue("erika").pem)
    (tmp_path / "issuing.crl").write_bytes(ca.crl([4711], number=7))
    for name in ("alice", "device7"):
        get_user_model().objects.create_user(name)
    Group.objects.create(name="staff-portal")
    return tmp_path


def store_authorities(bundle: str, *names: str) -> None:
    """Store authorities that a page takes for granted."""
    for name in names:
        CertificateAuthority.objects.create(name=name, bundle=bundle)


def store_mapping_17(certificate: IssuedCertificate) -> CertificateMapping:
    """Store the mapping that the pages call 17."""
    return CertificateMapping.objects.create(
        pk=17,
        user=get_user_model().objects.get(username="alice"),
        kind="fingerprint",
        value=certificate.fingerprint,
        certificate=certificate.der,
    )


@pytest.mark.django_db
def test_the_commands_of_revoke_work_in_their_order(
    desk: Path, ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And do what the page says: all but what was taken back is refused."""
    store_authorities(ca.pem, "Clients")
    store_mapping_17(ca.issue("alice"))
    fetched: list[str] = []

    def fetch(url: str, **_: Any) -> bytes:
        fetched.append(url)
        return ca.crl([4711, 4712], number=8)

    monkeypatch.setattr(crl_command, "fetch", fetch)
    outcomes = dict(Reader("revoke").type_all())
    (stored,) = CertificateAuthority.objects.all()
    # A page may show "crl fetch" for the hand and for cron.
    assert set(fetched) == {stored.crl_urls}
    assert stored.revocation_policy == "required"
    assert stored.revocation_lists.get().number == "8"
    assert Revocation.objects.filter(issued_from=None).count() == 2
    assert Revocation.objects.exclude(issued_from=None).count() == 1
    stolen = (desk / "stolen.pem").name
    refused = clientcert("explain", stolen)
    assert "revoked: revocation" in refused.out
    assert any("good until" in outcome.out for outcome in outcomes.values())


@pytest.mark.django_db
def test_the_commands_of_smart_cards_work_in_their_order(
    desk: Path, ca: ThrowawayCA
) -> None:
    """Every rule is one that can be set; the last one creates the card's user."""
    store_authorities(ThrowawayCA.create().pem, "DoD", "Agency", "Mesh", "Devices")
    outcomes = Reader("smart-cards").type_all()
    _, explained = outcomes[-1]
    assert explained.status == 0
    assert "a new user, who is created on the first request" in explained.out
    shown = clientcert("authority", "rule", "Mesh").out
    assert "spiffe://corp.example/*" in shown


@pytest.mark.django_db
def test_the_commands_of_renewals_work_in_their_order(
    desk: Path, ca: ThrowawayCA
) -> None:
    """Also the two ways to renew a CA; a successor is called one."""
    old, new = ThrowawayCA.create("Old Root"), ThrowawayCA.create("New Root")
    reader = Reader("renew-certificates")
    first, second = old.issue("alice"), old.issue("alice")
    (desk / "alice.pem").write_text(first.pem)
    (desk / f"alice-{reader.year}.pem").write_text(second.pem)
    (desk / "device.pem").write_text(ca.issue(None, uris=["urn:device:7"]).pem)
    (desk / "old-ca.crt").write_text(old.pem)
    (desk / "new-ca.crt").write_text(new.pem)
    (desk / "both.crt").write_text(old.pem + new.pem)
    store_authorities(old.pem, "Clients")
    store_authorities(ThrowawayCA.create("Another").pem, "Old CA")
    mapping = store_mapping_17(first)

    (quoted,) = re.findall("says “(.*?)”", reader.text)
    before = clientcert("explain", f"alice-{reader.year}.pem")
    assert quoted in before.out

    outcomes = dict(reader.type_all())
    mapping.refresh_from_db()
    assert mapping.state == "retiring"
    successor = CertificateMapping.objects.get(value=second.fingerprint)
    assert (successor.user, successor.state) == (mapping.user, "active")
    (asked,) = (
        one for words, one in outcomes.items() if "--without-authority" in words
    )
    assert asked.status == 0
    call_command("check", databases=["default"])


@pytest.mark.django_db
def test_a_refusal_is_explained_as_the_how_to_shows_it(ca: ThrowawayCA) -> None:
    """Line by line, with another certificate."""
    store_authorities(ca.pem, "Clients")
    text = read_howto("explain-a-refusal")
    (shown,) = (one for one in find_blocks(text, "text") if one.startswith("Steps"))
    explained = clientcert("explain", "-", stdin=ca.issue("bob").pem.encode())
    for old in (r"[0-9]+ bytes", "[0-9a-f]{64}", r"until [0-9-]+ [0-9:]+ UTC"):
        shown = re.sub(old, "…", shown)
    expect(shown, explained.out)
    (line,) = re.findall(r"detail=(.*)$", text, re.MULTILINE)
    assert line in explained.out


def test_the_manifest_of_the_how_to_is_that_of_the_example() -> None:
    """Settings, secrets and namespace go by the names of the Deployment."""
    (block,) = find_blocks(read_howto("revoke"), "yaml")
    job = yaml.safe_load(block)
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    manifests = ROOT / "example_project" / "kubernetes" / "app.yaml"
    there = list(yaml.safe_load_all(manifests.read_text(encoding="utf-8")))
    (deployment,) = (one for one in there if one and one["kind"] == "Deployment")
    main = deployment["spec"]["template"]["spec"]["containers"][0]
    assert job["metadata"]["namespace"] == deployment["metadata"]["namespace"]
    assert container["image"] == main["image"]
    sources = [one for one in container["envFrom"] if one in main["envFrom"]]
    assert sources == container["envFrom"]
    program, script, name, *words = container["command"]
    assert (program, script, name) == ("python", "manage.py", "clientcert")
    command = load_command_class("django_clientcert", "clientcert")
    command.create_parser("manage.py", "clientcert").parse_args(words)


# --- what can be compiled ------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_in_the_documentation_compiles(page: Path) -> None:
    """Every block, on the oldest Python that is supported."""
    for block in find_blocks(page.read_text(encoding="utf-8"), "python"):
        ast.parse(block, feature_version=(3, 10))


def list_settings_examples() -> Iterator[Any]:
    """Return every assignment to a setting of this package, in any page."""
    for page in PAGES:
        for block in find_blocks(page.read_text(encoding="utf-8"), "python"):
            for node in ast.parse(block).body:
                if isinstance(node, ast.Assign):
                    (name,) = (ast.unparse(one) for one in node.targets)
                    if name in NAMES:
                        source = ast.unparse(node.value)
                        identifier = f"{page.relative_to(ROOT)}-{name}"
                        yield pytest.param(name, source, id=identifier)


@pytest.mark.parametrize(("name", "source"), list(list_settings_examples()))
def test_every_example_of_a_setting_can_be_used(
    name: str, source: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it stands."""
    monkeypatch.setenv("PROXY_SECRET", "of the proxy")
    value = eval(source, {"os": os})  # noqa: S307 - our own documentation
    setattr(settings, name, value)
    getattr(conf, name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    """From the README and its neighbours, as a forge shows them."""
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), target


def test_every_page_is_in_a_table_of_contents() -> None:
    """Nothing is written that cannot be found."""
    listed = {DOCS / "index.md"}
    for page in DOCS.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.M | re.S):
            names = [one for one in block.splitlines() if one and one[0] != ":"]
            listed |= {page.parent / f"{name}.md" for name in names}
    pages = {page for page in PAGES if DOCS in page.parents}
    assert pages <= listed
    assert [page for page in listed if not page.exists()] == []


def test_the_two_commands_of_the_readme_are_there() -> None:
    """And the option that it names."""
    section = README.read_text(encoding="utf-8")
    section = section[section.index("## Two commands") : section.index("## Quick")]
    commands = [block.strip() for block in find_blocks(section, "sh")]
    assert commands == ["python3 example_project/demo.py", "python3 runtests.py"]
    for command in commands:
        assert (ROOT / command.removeprefix("python3 ")).is_file()
    usage = subprocess.run(
        [sys.executable, ROOT / "example_project/demo.py", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--check" in usage.stdout


# --- what can be run ------------------------------------------------------------------


def make_environment(folder: Path) -> dict[str, str]:
    """Return the environment of somebody who reads: ``python3`` and nginx on PATH."""
    programs = folder / "programs"
    programs.mkdir()
    for name, program in (
        ("python3", sys.executable),
        ("nginx", find_program("nginx")),
    ):
        if program is not None:
            (programs / name).write_text(f'#!/bin/sh\nexec "{program}" "$@"\n')
            (programs / name).chmod(0o755)
    return {
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "NO_PROXY": "*",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }


def run(script: str, folder: Path, environment: dict[str, str]) -> str:
    """Run lines of shell; return what they print. The first failure ends them."""
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, f"{script}\n{result.stdout}"
    return result.stdout


@contextmanager
def run_server(
    script: str, folder: Path, environment: dict[str, str], port: int, log: Path
) -> Iterator[None]:
    """Run lines of shell that do not end, until *port* answers and to the end."""
    with log.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {script.strip()}"],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            # runserver has a child of its own, which has to go with it.
            start_new_session=True,
        )
    try:
        until = time.monotonic() + 30
        while not answers(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def answers(port: int) -> bool:
    """Tell whether somebody listens on *port*."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def find_free_ports(count: int) -> list[int]:
    """Return ports on which nobody listens."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def write_named_block(block: str, folder: Path) -> None:
    """Put a block into the file that its first line names; add to one that is there."""
    first, _, _ = block.partition("\n")
    file = folder / first.removeprefix("# ")
    with file.open("a" if file.name == "settings.py" else "w") as output:
        output.write(f"\n{block}")


URLS = """
from django.contrib import admin
from django.urls import path

from . import views

urlpatterns = [path("admin/", admin.site.urls), path("ledger/", views.ledger)]
"""


@pytest.fixture
def readme_project(tmp_path: Path, ca: ThrowawayCA) -> tuple[Path, dict[str, str]]:
    """A project that follows the README, and what stands in its Python blocks."""
    environment = make_environment(tmp_path)
    folder = tmp_path / "project"
    folder.mkdir()
    run("python3 -m django startproject project .", folder, environment)
    for block in find_blocks(README.read_text(encoding="utf-8"), "python"):
        write_named_block(block, folder / "project")
    (folder / "project" / "urls.py").write_text(URLS)
    (folder / "alice.pem").write_text(ca.issue("alice").pem)
    return folder, environment


@pytest.mark.needs_program("bash")
def test_the_project_of_the_readme_works(
    readme_project: tuple[Path, dict[str, str]],
) -> None:
    """Settings, view and commands as they stand, and a request of the proxy."""
    folder, environment = readme_project
    (install, *_, commands) = find_blocks(README.read_text(encoding="utf-8"), "sh")[2:]
    assert "pip install" in install
    # The README says that alice is there already.
    users = "from django.contrib.auth.models import User; User.objects"
    make_alice = f"python3 manage.py shell -c \"{users}.create_user('alice')\""
    commands = commands.replace(
        "python3 manage.py clientcert",
        f"{make_alice}\npython3 manage.py clientcert",
    )
    # A new project has no mail server, no hosts and the key that Django made up.
    commands = commands.replace("check --deploy", "check --deploy --tag security")
    assert "Mapped to alice" in run(commands, folder, environment)

    ask = """
from pathlib import Path
from django.test import Client
from django_clientcert.bundles import read_certificates
from django_clientcert.testing import proxy_meta

(certificate,) = read_certificates(Path("alice.pem").read_bytes())
good = {**proxy_meta(certificate.der, peer="10.42.7.1"), "HTTP_HOST": "localhost"}
client = Client()
print(client.get("/ledger/", **good).content)
good.pop("wsgi.url_scheme")
print(client.get("/ledger/", **good).status_code)
print(client.get("/ledger/", HTTP_X_FORWARDED_PROTO="https", **good).content)
print(client.get("/ledger/", HTTP_X_FORWARDED_PROTO="https",
                 **{**good, "REMOTE_ADDR": "203.0.113.9"}).status_code)
"""
    (folder / "ask.py").write_text(ask)
    lines = run(
        "python3 manage.py shell -v 0 < ask.py 2>/dev/null", folder, environment
    ).splitlines()
    assert [line[:18] for line in lines] == [
        'b\'{"user": "alice"',
        "403",
        'b\'{"user": "alice"',
        "403",
    ]


@pytest.mark.needs_program("bash")
def test_the_tests_of_the_how_to_pass_in_the_project_of_the_readme(
    readme_project: tuple[Path, dict[str, str]],
) -> None:
    """What a reader copies from one page works with what they took from the other."""
    folder, environment = readme_project
    page = (DOCS / "howto" / "testing.md").read_text(encoding="utf-8")
    (block,) = (
        one for one in find_blocks(page, "python") if one.startswith("# tests.py")
    )
    write_named_block(block, folder)
    output = run("python3 manage.py test", folder, environment)
    assert f"Ran {block.count('def test_')} tests" in output
    assert "OK" in output


@pytest.mark.django_db
def test_the_login_of_the_how_to_makes_a_session(
    settings: Any, alice: Any, mapping: Any, alice_cert: IssuedCertificate
) -> None:
    """With a certificate that is mapped, and with no other; sync and async."""
    page = (DOCS / "howto" / "login-session.md").read_text(encoding="utf-8")
    (block,) = (
        one for one in find_blocks(page, "python") if one.startswith("# views.py")
    )
    views: dict[str, Any] = {"__name__": "views"}
    exec(compile(block, "login-session.md", "exec"), views)  # noqa: S102
    urls = ModuleType("urls")
    urls.urlpatterns = [  # type: ignore[attr-defined]
        path("login/", views["login_with_certificate"]),
        path("alogin/", views["alogin_with_certificate"]),
        path("", views["login_with_certificate"], name="home"),
    ]
    settings.ROOT_URLCONF = urls
    settings.CLIENTCERT_TRUSTED_PROXIES = ["127.0.0.1"]
    headers = proxy_headers(alice_cert.der)

    for address in ("/login/", "/alogin/"):
        client = Client()
        assert client.post(address, secure=True).status_code == 403
        assert client.get(address, secure=True, headers=headers).status_code == 405
        assert "_auth_user_id" not in client.session
        answer = client.post(address, secure=True, headers=headers)
        assert answer.status_code == 302
        assert client.session["_auth_user_id"] == str(alice.pk)


@pytest.mark.needs_program("bash", "openssl")
def test_the_openssl_lines_print_what_can_be_pasted(
    tmp_path: Path, alice_cert: IssuedCertificate
) -> None:
    """The fingerprint as it stands, and the length of the header."""
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
    """It is decoded to the certificate that it was made of."""
    (tmp_path / "alice.pem").write_text(alice_cert.pem)
    (script,) = re.findall(r'explain --header "\$\((.+)\)"$', read_howto(page), re.M)
    made = run(f'printf %s "$({script})"', tmp_path, make_environment(tmp_path))
    settings.CLIENTCERT_PROXY = preset
    explained = clientcert("explain", "--header", made)
    assert f"parse      passed         {alice_cert.fingerprint}" in explained.out


def wrap_for_nginx(block: str) -> str:
    """Return a whole configuration around a block of directives."""
    if "server {" not in block:
        block = f"server {{ listen 127.0.0.1:1 ssl;\n{block}\n}}"
    return f"pid nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{block}\n}}\n"


def list_nginx_blocks() -> Iterator[Any]:
    """Return every block of nginx's directives that is not a whole file."""
    for page in PAGES:
        blocks = find_blocks(page.read_text(encoding="utf-8"), "nginx")
        for number, block in enumerate(blocks):
            if not block.startswith("# nginx.conf"):
                yield pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")


@pytest.mark.needs_program("nginx")
@pytest.mark.parametrize("block", list(list_nginx_blocks()))
def test_nginx_takes_the_directives(
    block: str, tmp_path: Path, ca: ThrowawayCA
) -> None:
    """Every block, with files of our own in place of those it names."""
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


def find_steps(text: str) -> Iterator[tuple[str, str]]:
    """Yield the blocks of a page in order, and the comments that begin with "run:"."""
    pattern = r"^```(\w+)\n(.*?)^```$|^<!-- run: (.*?) -->$"
    for match in re.finditer(pattern, text, re.MULTILINE | re.DOTALL):
        yield (match[1], match[2]) if match[1] else ("sh", match[3])


def expect(told: str, printed: str) -> None:
    """Fail unless every line of *told* is in *printed*; "…" stands for anything."""
    flat = " ".join(printed.split())
    for line in told.splitlines():
        parts = " ".join(line.split()).split("…")
        pattern = ".*".join(re.escape(part) for part in parts)
        assert re.search(pattern, flat), f"{line}\n{printed}"


@pytest.mark.needs_program("bash", "curl", "nginx", "openssl")
def test_the_tutorial_works_as_it_stands(tmp_path: Path) -> None:
    """Every file, command and answer, with other ports only."""
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    tls_port, http_port = find_free_ports(2)
    text = text.replace("8443", str(tls_port)).replace("8000", str(http_port))
    environment = make_environment(tmp_path)
    folder = tmp_path / "bank"
    folder.mkdir()
    printed, checked = "", 0
    log = tmp_path / "django.log"
    with ExitStack() as stack:
        for language, block in find_steps(text):
            if language in ("python", "nginx"):
                write_named_block(block, folder)
            elif language == "text":
                logged = log.read_text() if log.exists() else ""
                expect(block, f"{printed}\n{logged}")
                checked += 1
            elif "runserver" in block:
                server = run_server(block, folder, environment, http_port, log)
                stack.enter_context(server)
            elif block.startswith("nginx "):
                nginx_log = tmp_path / "nginx.log"
                server = run_server(block, folder, environment, tls_port, nginx_log)
                stack.enter_context(server)
            elif "pip install" not in block and "demo.py" not in block:
                printed = run(block, folder, environment)
    assert checked == len(find_blocks(text, "text"))
