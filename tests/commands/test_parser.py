"""``manage.py clientcert``: help, usage, exit status, files and standard input."""

from __future__ import annotations

import argparse
import datetime as dt
import io
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import ManagementUtility
from django.core.management.base import CommandError
from django.db import OperationalError

from django_clientcert.exceptions import BundleError
from django_clientcert.explaining.report import (
    describe_certificate,
    one_line,
    show_value,
)
from django_clientcert.management.subcommands.console import files
from django_clientcert.management.subcommands.console.arguments import (
    last_moment,
    moment,
)
from django_clientcert.management.subcommands.console.text import encodable, show_iso
from django_clientcert.models import CertificateAuthority
from django_clientcert.testing import IssuedCertificate, encode_escaped_pem
from django_clientcert.x509.bundles import MAX_BUNDLE_BYTES, read_certificates
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.text import show_moment

from .running import clientcert

UTC = dt.timezone.utc

GROUPS = [["authority"], ["crl"], ["inbox"]]
LEVELS = [
    [],
    *GROUPS,
    *(["authority", action] for action in ("add", "set", "rule", "export", "list")),
    *(["crl", action] for action in ("import", "fetch", "list")),
    *(["inbox", action] for action in ("list", "purge")),
    *(
        [name]
        for name in [
            "map",
            "revoke",
            "explain",
            "what-if",
            "expiring",
            "notify",
            "probe",
            "proxy-config",
            "import",
            "export",
            "diff",
        ]
    ),
]


def shell(*arguments: str) -> int:
    """Return the exit status that a shell would see."""
    with pytest.raises(SystemExit) as ended:
        ManagementUtility(["manage.py", "clientcert", *arguments]).execute()
    code = ended.value.code
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize("level", LEVELS, ids=" ".join)
def test_help_at_every_level(level: list[str], capsys: Any, monkeypatch: Any) -> None:
    """Every subcommand says what it is for, with a summary of every argument."""
    monkeypatch.setenv("COLUMNS", "80")
    assert shell(*level, "--help") == 0
    printed = capsys.readouterr().out
    assert "usage: manage.py clientcert" in printed
    # A terminal may know nothing else, and argparse does not ask.
    assert printed.isascii()
    for line in printed.splitlines():
        assert len(line) < 80


@pytest.mark.parametrize(
    "level", [level for level in LEVELS if level not in GROUPS], ids=" ".join
)
def test_help_names_the_exit_status(level: list[str], capsys: Any) -> None:
    """What a script may rely on is written where it looks first."""
    shell(*level, "--help")
    assert re.search("Exit status(, for cron)?: 0 ", capsys.readouterr().out)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["authority"],
        ["authority", "add", "ca.crt"],
        ["map", "alice.crt"],
        ["map", "alice.crt", "--user", "alice", "--kind", "sha1"],
        ["map", "alice.crt", "--user", "alice", "--valid-until", "soon"],
        ["explain", "alice.crt", "--at", "yesterday"],
        ["explain", "alice.crt", "--header", "x"],
        ["explain"],
        ["explain", "alice.crt", "--peer", "10.0.0.1"],
        ["explain", "--header"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(arguments: list[str], capsys: Any, db: None) -> None:
    """Wrong usage can be told from a refusal."""
    assert shell(*arguments) == 2
    assert capsys.readouterr().err


def test_failure_is_status_1_in_a_shell(
    tmp_path: Path, ca: IssuedCertificate, capsys: Any, db: None
) -> None:
    """A refusal is 1, with its reason on standard error."""
    file = tmp_path / "ca.pem"
    file.write_text(ca.pem)
    assert shell("map", str(file), "--user", "nobody") == 1
    assert "has the username “nobody”" in capsys.readouterr().err


def test_djangos_options_may_stand_behind_the_subcommand(db: None) -> None:
    """As in every other command: --settings, --traceback, --verbosity …"""
    for options in (
        ["--settings", "tests.settings"],
        ["--traceback", "--no-color"],
        ["-v", "2"],
    ):
        assert clientcert("authority", "list", *options).status == 0
    assert clientcert("-v", "0", "authority", "list").status == 0


def test_works_where_system_checks_fail(settings: Any, db: None) -> None:
    """When the project is misconfigured is when it is needed most."""
    settings.CLIENTCERT_TRUSTED_PROXIES = None
    ManagementUtility(["manage.py", "clientcert", "authority", "list"]).execute()


def test_missing_tables_are_said_in_words(monkeypatch: Any, db: None) -> None:
    """Before ``migrate``, there is a sentence instead of a traceback."""

    def fail(**kwargs: object) -> None:
        raise OperationalError("no such table: x\n")

    monkeypatch.setattr(CertificateAuthority.objects, "annotate", fail)
    outcome = clientcert("authority", "list")
    assert outcome.status == 1
    assert "no such table: x. Did you run “manage.py migrate”?" in outcome.error


def test_an_error_of_this_package_is_said_in_words(monkeypatch: Any, db: None) -> None:
    """Also one that no subcommand expects: a sentence, not a traceback."""

    def fail(**kwargs: object) -> None:
        raise BundleError("no\ncertificate")

    monkeypatch.setattr(CertificateAuthority.objects, "annotate", fail)
    outcome = clientcert("authority", "list")
    assert (outcome.status, outcome.error) == (1, r"no\u{a}certificate")


def test_unusable_setting_is_said_in_words(
    settings: Any, alice_cert: IssuedCertificate, db: None
) -> None:
    """A setting that stops the server stops the command, with its name."""
    settings.CLIENTCERT_HOSTS = ""
    outcome = clientcert("explain", "--header", encode_escaped_pem(alice_cert.der))
    assert outcome.status == 1
    assert "CLIENTCERT_HOSTS must be a list" in outcome.error
    assert "manage.py check" in outcome.error


# --- files -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.pem", "No such file"),
        (".", "Is a directory"),
        ("a\0b", "null"),
    ],
)
def test_unreadable_file_is_said_in_words(
    name: str, words: str, tmp_path: Path, monkeypatch: Any
) -> None:
    """The name is shown, on one line, and why it cannot be read."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError, match=words) as error:
        files.read_input(name)
    assert str(error.value).isprintable()


def test_no_more_is_read_than_is_needed_to_know_that_it_is_too_much(
    tmp_path: Path,
) -> None:
    """A device that never ends does not fill the memory."""
    file = tmp_path / "big"
    file.write_bytes(b"x" * 100)
    assert len(files.read_input(str(file), limit=10)) == 11


def test_oversized_file_is_refused(tmp_path: Path) -> None:
    """The limit is the one of uploads."""
    file = tmp_path / "big"
    file.write_bytes(b"x" * (MAX_BUNDLE_BYTES + 1))
    with pytest.raises(CommandError, match="larger than 2 MiB"):
        files.read_file(str(file), read_certificates)


def test_standard_input_without_bytes_below(monkeypatch: Any) -> None:
    """A replaced standard input may only have text."""
    monkeypatch.setattr("sys.stdin", io.StringIO("text"))
    assert files.read_input("-") == b"text"


@pytest.mark.parametrize("where", ["map", "authority", "explain"])
def test_content_instead_of_a_name_is_not_repeated(
    where: str, alice_cert: IssuedCertificate, db: None
) -> None:
    """``"$(cat alice.key)"`` must not end up in a log of error messages."""
    arguments = {
        "map": ["map", alice_cert.key_pem, "--user", "alice"],
        "authority": ["authority", "add", alice_cert.key_pem, "--name", "x"],
        # Behind "--", as argparse takes it for an option otherwise
        "explain": ["explain", "--", alice_cert.key_pem],
    }[where]
    outcome = clientcert(*arguments)
    assert outcome.status == 1
    assert "not its name" in outcome.error
    assert alice_cert.key_pem.splitlines()[1] not in outcome.text


@pytest.mark.parametrize(
    "arguments",
    [
        ["notify", "--to=KEY"],
        ["probe", "https://example.com", "--cert=KEY"],
        ["crl", "fetch", "--authority=KEY"],
        ["what-if", "--policy=KEY=off"],
        ["diff", "--", "KEY"],
    ],
    ids=" ".join,
)
def test_a_private_key_in_any_argument_is_not_repeated(
    arguments: list[str], alice_cert: IssuedCertificate, db: None
) -> None:
    """The arguments of every subcommand are searched, whatever they are for."""
    key = alice_cert.key_pem
    outcome = clientcert(*(text.replace("KEY", key) for text in arguments))
    assert outcome.status == 1
    assert "holds a private key" in outcome.error
    assert key.splitlines()[1] not in outcome.text


# --- arguments and text ----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "at", "assumed"),
    [
        ("2027-01-31T12:00:00Z", dt.datetime(2027, 1, 31, 12, tzinfo=UTC), False),
        ("2027-01-31T12:00+02:00", dt.datetime(2027, 1, 31, 10, tzinfo=UTC), False),
        ("2027-01-31 12:00", dt.datetime(2027, 1, 31, 12, tzinfo=UTC), True),
        ("2027-01-31", dt.datetime(2027, 1, 31, tzinfo=UTC), True),
        ("2027-1-31", dt.datetime(2027, 1, 31, tzinfo=UTC), True),
    ],
)
def test_moment(text: str, at: dt.datetime, assumed: bool) -> None:
    """ISO 8601; without a zone it is UTC, and that is remembered."""
    assert moment(text) == (at, assumed)


def test_last_moment_of_a_date_is_its_end() -> None:
    """“Valid until the 31st” includes the 31st."""
    assert last_moment("2027-01-31").at == dt.datetime(2027, 2, 1, tzinfo=UTC)
    assert last_moment("2027-01-31T00:00").at == dt.datetime(2027, 1, 31, tzinfo=UTC)
    assert last_moment("9999-12-31").at == dt.datetime(9999, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "soon", "2027-13-01", "2027-02-30T00:00", "0001-01-01T00:00+14:00"]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(argparse.ArgumentTypeError, match="2027-01-31"):
        moment(text)


def test_text_that_a_stream_cannot_print_is_escaped() -> None:
    """A terminal without UTF-8 gets an escape, not a crash."""

    class Ascii:
        encoding = "ascii"

    assert encodable("José “x”", Ascii()) == "Jos\\xe9 \\u201cx\\u201d"
    assert encodable("José", io.StringIO()) == "José"


def test_one_line_escapes_once() -> None:
    """What is escaped already stays as it is; what is not, is escaped."""
    assert one_line(r"a\u{202e}b") == r"a\u{202e}b"
    assert one_line("a\u202eb\n") == r"a\u{202e}b\u{a}"


def test_values_of_names_are_shown_as_they_can_be_typed() -> None:
    """A DN is escaped by its own rules, an alternative name by ours."""
    assert show_value("subject", r"CN=a\,b") == r"CN=a\,b"
    assert show_value("san_uri", "x:\u200b\\") == r"x:\u{200b}\\"


def test_moments_are_shown_in_utc() -> None:
    """Also those before the year 1000, and those that cannot be read."""
    east = dt.timezone(dt.timedelta(hours=2))
    assert show_moment(dt.datetime(2027, 1, 1, tzinfo=east)) == (
        "2026-12-31 22:00:00 UTC"
    )
    assert show_moment(dt.datetime(50, 1, 1, tzinfo=UTC)) == "0050-01-01 00:00:00 UTC"
    assert show_iso(None) == "(cannot be read)"


def test_a_certificate_that_cannot_be_read_is_described() -> None:
    """Each fact that is missing is None, and every problem is said once."""
    facts = describe_certificate(ClientCertificate(b"\x30\x00"))
    assert facts["subject"] is None
    assert facts["not_after"] is None
    assert len(facts["fingerprint"]) == 64
    assert facts["problems"]
    assert len(set(facts["problems"])) == len(facts["problems"])


def test_improperly_configured_is_what_the_settings_raise(settings: Any) -> None:
    """The command relies on it to tell settings from bugs."""
    from django_clientcert.conf import conf

    settings.CLIENTCERT_REQUIRE_SECURE = "false"
    with pytest.raises(ImproperlyConfigured):
        _ = conf.CLIENTCERT_REQUIRE_SECURE
