"""The reference documents every name, and no other.

Names are compared both ways: a name that is missing from the reference fails, and so
does one that is in the reference but nowhere else.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from django.core.management import load_command_class

from django_clientcert import models, signals, wire, x509
from django_clientcert.conf import NAMES, conf
from django_clientcert.evaluation.peer import STEPS
from django_clientcert.exceptions import Reason
from django_clientcert.testing import IssuedCertificate
from django_clientcert.x509.identities import IdentityKind
from tests.check_ids import find_check_ids

from .pages import (
    ROOT,
    find_sections,
    find_table,
    find_terms,
    first_column,
    read_reference,
)


def test_every_setting_is_in_the_reference_and_no_other() -> None:
    """Each has a section and a row of the table."""
    text = read_reference("settings")
    sections = [name for name in find_sections(text) if name.startswith("CLIENTCERT_")]
    rows = find_table(text, "Setting")[1:]
    assert sorted(sections) == sorted(NAMES)
    assert [re.findall(r"CLIENTCERT_\w+", row[0])[0] for row in rows] == sections


def test_the_defaults_in_the_reference_are_the_real_ones(settings: Any) -> None:
    """The table shows what a project without settings gets."""
    for name in NAMES:
        if hasattr(settings, name):
            delattr(settings, name)
    documented = {
        re.findall(r"CLIENTCERT_\w+", row[0])[0]: row[1].strip("`")
        for row in find_table(read_reference("settings"), "Setting")[1:]
    }
    assert documented["CLIENTCERT_PROXY"] == f'"{conf.CLIENTCERT_PROXY.name}"'
    assert documented["CLIENTCERT_REQUIRE_SECURE"] == str(
        conf.CLIENTCERT_REQUIRE_SECURE
    )
    assert documented["CLIENTCERT_MAX_HEADER_BYTES"] == str(
        conf.CLIENTCERT_MAX_HEADER_BYTES
    )
    assert documented["CLIENTCERT_INBOX_SIZE"] == str(conf.CLIENTCERT_INBOX_SIZE)
    interval = conf.CLIENTCERT_LAST_USED_INTERVAL
    assert interval is not None
    assert (
        documented["CLIENTCERT_LAST_USED_INTERVAL"]
        == f"{interval.seconds // 60} minutes"
    )
    assert not conf.CLIENTCERT_TRUSTED_PROXIES
    assert conf.CLIENTCERT_HOSTS is None
    assert conf.CLIENTCERT_PROXY_SECRET is None


def test_every_reason_is_in_the_reference_and_no_other() -> None:
    """One entry for each word."""
    assert sorted(find_terms(read_reference("reasons"))) == sorted(
        str(reason) for reason in Reason
    )


def test_every_check_is_in_the_reference_and_no_other() -> None:
    """One entry for each id."""
    ids = [check_id for _, check_id in find_check_ids()]
    assert sorted(find_terms(read_reference("checks"))) == ids


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
    sections = find_sections(read_reference("commands"))
    documented = []
    for words, options, arguments in list_subcommands(parser):
        heading = next(name for name in sections if f"{name} ".startswith(f"{words} "))
        terms = {term.split(" ")[0] for term in find_terms(sections[heading])}
        in_heading = heading.removeprefix(words).split()
        assert sorted(terms - set(arguments)) == sorted(options), words
        assert set(arguments) == {*in_heading, *(terms & set(arguments))}, words
        documented.append(heading)
    assert sorted(documented) == sorted(sections)


def test_the_kinds_are_in_the_reference_most_specific_first() -> None:
    """The table also says whether they need an authority."""
    rows = find_table(read_reference("models"), "Kind")[1:]
    assert [(row[0].strip("`"), row[2] == "not needed") for row in rows] == [
        (kind.value, kind.is_pin) for kind in IdentityKind
    ]


@pytest.mark.parametrize("package", [x509, wire], ids=lambda package: package.__name__)
def test_the_public_names_of_packages_without_django_are_documented(
    package: ModuleType,
) -> None:
    """The table of the package lists them, and no other."""
    section = find_sections(read_reference("certificates"))[package.__name__]
    names = first_column(section, "Name")
    assert sorted(names) == sorted(package.__all__)


def list_fields(model: str) -> list[str]:
    """Return the names of a model's fields except its id, sorted."""
    options = getattr(models, model)._meta
    fields = (*options.concrete_fields, *options.local_many_to_many)
    return sorted(field.name for field in fields if field.name != "id")


@pytest.mark.parametrize(
    "model",
    ["CertificateMapping", "CertificateAuthority", "RevocationList", "Revocation"],
)
def test_every_field_is_in_the_reference(model: str) -> None:
    """The table of its model names it, and no other."""
    sections = find_sections(read_reference("models"))
    section = next(
        text for name, text in sections.items() if name.split("`")[0] == model
    )
    documented = [
        name
        for row in find_table(section, "Field")[1:]
        for name in re.findall(r"`(\w+)`", row[0])
    ]
    assert sorted(documented) == list_fields(model)


@pytest.mark.parametrize(
    ("model", "before"),
    [
        ("RevokedSerial", "`RevokedSerial` has"),
        ("SeenCertificate", "accepted recently:"),
        ("UnknownCertificate", "public key:"),
        ("AuthorityCertificate", "certificate of the bundle ("),
    ],
)
def test_every_field_of_a_small_table_is_in_the_reference(
    model: str, before: str
) -> None:
    """The paragraph about it names them, and no other."""
    _, _, text = read_reference("models").partition(before)
    paragraph, _, _ = text.partition("\n\n")
    assert sorted(re.findall("`([a-z_]+)`", paragraph)) == list_fields(model)


def test_the_signals_and_steps_are_in_the_reference() -> None:
    """By name, and the steps in their order."""
    assert [
        term for term in find_terms(read_reference("signals")) if "client_cert" in term
    ] == [name for name in vars(signals) if name.startswith("client_cert_")]
    listed = re.search(
        r"same order:(.*?); each has", read_reference("requests"), re.DOTALL
    )
    assert listed is not None
    assert tuple(re.findall(r"`(\w+)`", listed[1])) == STEPS


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
    """Each with its level; the shorter line of a refusal counts as the same."""
    rows = find_table(read_reference("signals"), "Level")[1:]
    documented = {(row[0].strip("`"), row[1].strip("`").split("…")[0]) for row in rows}
    logged = {(level, line.split("…")[0]) for level, line in list_log_calls()}
    assert documented == {
        (level, "client certificate required: reason=no_certificate")
        if "required" in line
        else (level, line)
        for level, line in logged
    }


def test_a_refusal_is_logged_as_the_reference_says(
    ask: Any, alice: Any, alice_cert: IssuedCertificate, caplog: Any
) -> None:
    """An alert can be written from the documentation."""
    (line,) = (
        row[1].strip("`")
        for row in find_table(read_reference("signals"), "Level")[1:]
        if "refused:" in row[1]
    )
    ask("/open/", alice_cert.der)
    assert re.fullmatch(line.replace("…", ".+"), caplog.messages[-1])
