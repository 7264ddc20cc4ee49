"""The how-to guides: their tables are complete, and their commands work in order."""

from __future__ import annotations

import base64
import datetime as dt
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from django.contrib.auth import get_user_model
from django.core.management import call_command, load_command_class
from django.test import Client
from django.urls import path

from django_clientcert.management.subcommands import crl as crl_command
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
)
from django_clientcert.testing import IssuedCertificate, ThrowawayCA, proxy_headers
from django_clientcert.x509.rules import PRESETS as RULE_PRESETS
from django_clientcert.x509.rules import RuleIdentity
from tests.commands.running import CommandResult, clientcert

from .pages import (
    DOCS,
    ROOT,
    expect,
    find_blocks,
    find_sections,
    find_table,
    first_column,
    list_commands,
    list_messages,
    read_howto,
    read_reference,
)
from .running import run, write_named_block


def test_every_reason_to_refuse_a_crl_has_a_remedy() -> None:
    """The table lists all codes that can be raised, and no other."""
    package = ROOT / "django_clientcert" / "x509" / "crl"
    source = "".join(file.read_text(encoding="utf-8") for file in package.glob("*.py"))
    codes = set(re.findall(r'\brefuse\(\s*"(\w+)"', source))
    assert len(codes) > 15
    assert sorted(first_column(read_howto("revoke"), "Code")) == sorted(codes)


def test_every_policy_is_in_the_how_to_and_in_the_reference() -> None:
    """Both have the same order."""
    policies = CertificateAuthority.Policy.values
    assert first_column(read_howto("revoke"), "Policy") == policies
    assert first_column(read_reference("models"), "Policy") == policies


def test_every_state_of_a_mapping_is_documented() -> None:
    """In the how-to, in order, and in the reference."""
    states = CertificateMapping.State.values
    assert first_column(read_howto("renew-certificates"), "State") == states
    rows = find_table(read_reference("models"), "Field")
    (row,) = (row for row in rows if "`state`" in row)
    assert set(states) <= set(re.findall(r"`(\w+)`", row[1]))


def test_every_identity_and_preset_of_a_rule_is_documented() -> None:
    """In the how-to and at the options of the command."""
    identities = [identity.value for identity in RuleIdentity]
    assert first_column(read_howto("smart-cards"), "Identity") == identities
    terms = re.split(
        r"\n\n(?=`)",
        find_sections(read_reference("commands"))["clientcert authority rule NAME"],
    )
    documented = {
        term.split("\n")[0]: set(re.findall(r"`([a-z_]+)`", term)) for term in terms
    }
    assert documented["`--identity IDENTITY`"] == set(identities)
    assert documented["`--preset PRESET`"] == set(RULE_PRESETS)
    used = re.findall(r"--preset (\w+)", read_howto("smart-cards"))
    assert used == list(RULE_PRESETS)


# Messages of the library that validates paths
FROM_CRYPTOGRAPHY = {"must be an X509v3 certificate"}


@pytest.mark.parametrize(
    ("page", "corner"),
    [("smart-cards", "It says"), ("explain-a-refusal", "What you see")],
)
def test_the_messages_that_a_table_quotes_are_real(page: str, corner: str) -> None:
    """The code has each of them, except for the values in it."""
    messages = "\n".join(list_messages())
    rows = find_table(read_howto(page), corner)[1:]
    quoted = [text for row in rows for text in re.findall("“(.*?)”", row[0])]
    assert len(quoted) > 4
    for text in {*quoted} - FROM_CRYPTOGRAPHY:
        for part in re.split(r"san_\w+|…|\d+", text):
            assert part in messages, text


# Labels of Django's own admin
FROM_DJANGO = {"Delete selected", "Add", "Search", "Filters", "Actions"}


@pytest.mark.parametrize(
    "page",
    [
        DOCS / "reference" / "models.md",
        *(
            DOCS / "howto" / f"{name}.md"
            for name in (
                "explain-a-refusal",
                "import-and-export",
                "inbox",
                "map-certificates",
                "renew-certificates",
                "revoke",
                "see-what-expires",
                "smart-cards",
            )
        ),
    ],
    ids=lambda page: page.stem,
)
def test_the_labels_of_the_admin_that_a_page_names_are_real(page: Path) -> None:
    """They are in italics or bold, and begin with a capital letter."""
    messages = "\n".join(list_messages()).lower()
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    labels = re.findall(r"(?<![*\w])\*{1,2}([A-Z][^*.:]{2,60})\*{1,2}", text)
    parts = {
        " ".join(part.split())
        for label in labels
        for part in re.split(r"\s[›→]\s", label)
    }
    missing = {part for part in parts - FROM_DJANGO if part.lower() not in messages}
    assert not missing


def test_the_output_of_probe_is_real() -> None:
    """The outcomes, the attempts, the findings and what to change are in the code."""
    messages = "\n".join(list_messages())
    (block,) = find_blocks(read_howto("probe"), "text")
    lines = [line for line in block.splitlines() if line and not line.endswith(":")]
    assert len(lines) > 3
    for line in lines:
        for part in re.split(r" {2,}|: |^- ", line):
            name = re.sub(r"^https?$|^https?, host .*|^any$|^HTTP \d+$", "", part)
            assert name in messages, line


class Reader:
    """Types the commands of a how-to, in their order."""

    # These report by their status what they have found.
    ANSWERS = ("what-if", "expiring", "explain")

    def __init__(self, page: str) -> None:
        # On the page, 2027 is next year.
        year = dt.datetime.now(dt.timezone.utc).year + 1
        self.text = re.sub(r"(?<!\d)2027(?!\d)", str(year), read_howto(page))
        self.year = year

    def type_all(self) -> list[tuple[str, CommandResult]]:
        """Run everything; return each subcommand with its outcome."""
        outcomes = []
        for words in list_commands(self.text):
            if "--undo" in words:
                latest = Revocation.objects.latest("pk").pk
                words[words.index("--undo") + 1] = str(latest)
            outcome = clientcert(*words)
            allowed = {0, 1} if words[0] in self.ANSWERS else {0}
            assert outcome.status in allowed, (words, outcome.text)
            outcomes.append((" ".join(words), outcome))
        assert len(outcomes) > 5
        return outcomes


def store_authorities(bundle: str, *names: str) -> None:
    """Store the authorities that a page assumes."""
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
    """Everything is refused except what was undone, as the page says."""
    store_authorities(ca.pem, "Clients")
    store_mapping_17(ca.issue("alice"))
    fetched: list[str] = []

    def fetch(url: str, **_: Any) -> bytes:
        fetched.append(url)
        return ca.crl([4711, 4712], number=8)

    monkeypatch.setattr(crl_command, "fetch", fetch)
    outcomes = dict(Reader("revoke").type_all())
    (stored,) = CertificateAuthority.objects.all()
    # The page shows "crl fetch" twice, once for cron.
    assert set(fetched) == {stored.crl_urls}
    assert stored.revocation_policy == "required"
    assert stored.revocation_lists.get().number == "8"
    assert Revocation.objects.filter(issued_from=None).count() == 2
    assert Revocation.objects.exclude(issued_from=None).count() == 1
    stolen = (desk / "stolen.pem").name
    refused = clientcert("explain", stolen)
    assert "revoked: revocation" in refused.out
    assert "valid until" in outcomes["crl list"].out


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
    """They include the two ways to renew a CA; a successor is recognised."""
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
        outcome for words, outcome in outcomes.items() if "--without-authority" in words
    )
    assert asked.status == 0
    call_command("check", databases=["default"])


@pytest.mark.django_db
def test_a_refusal_is_explained_as_the_how_to_shows_it(ca: ThrowawayCA) -> None:
    """Every line is the same, for another certificate."""
    store_authorities(ca.pem, "Clients")
    text = read_howto("explain-a-refusal")
    (shown,) = (
        block for block in find_blocks(text, "text") if block.startswith("Steps")
    )
    explained = clientcert("explain", "-", stdin=ca.issue("bob").pem.encode())
    for old in (r"[0-9]+ bytes", "[0-9a-f]{64}", r"until [0-9-]+ [0-9:]+ UTC"):
        shown = re.sub(old, "…", shown)
    expect(shown, explained.out)
    (line,) = re.findall(r"detail=(.*)$", text, re.MULTILINE)
    assert line in explained.out


def test_the_manifest_of_the_how_to_is_that_of_the_example() -> None:
    """Settings, secrets and namespace have the names of the Deployment."""
    (block,) = find_blocks(read_howto("revoke"), "yaml")
    job = yaml.safe_load(block)
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    manifests = ROOT / "example_project" / "kubernetes" / "app.yaml"
    (deployment,) = (
        manifest
        for manifest in yaml.safe_load_all(manifests.read_text(encoding="utf-8"))
        if manifest and manifest["kind"] == "Deployment"
    )
    main = deployment["spec"]["template"]["spec"]["containers"][0]
    assert job["metadata"]["namespace"] == deployment["metadata"]["namespace"]
    assert container["image"] == main["image"]
    assert all(source in main["envFrom"] for source in container["envFrom"])
    program, script, name, *words = container["command"]
    assert (program, script, name) == ("python", "manage.py", "clientcert")
    command = load_command_class("django_clientcert", "clientcert")
    command.create_parser("manage.py", "clientcert").parse_args(words)


@pytest.mark.django_db
def test_the_login_of_the_how_to_makes_a_session(
    settings: Any, alice: Any, mapping: Any, alice_cert: IssuedCertificate
) -> None:
    """Only a mapped certificate logs in; sync and async."""
    page = (DOCS / "howto" / "login-session.md").read_text(encoding="utf-8")
    (block,) = (
        block for block in find_blocks(page, "python") if block.startswith("# views.py")
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


@pytest.mark.needs_program("bash")
def test_the_tests_of_the_how_to_pass_in_the_project_of_the_readme(
    readme_project: tuple[Path, dict[str, str]],
) -> None:
    """Code copied from one page works with code copied from the other."""
    folder, environment = readme_project
    page = (DOCS / "howto" / "testing.md").read_text(encoding="utf-8")
    (block,) = (
        block for block in find_blocks(page, "python") if block.startswith("# tests.py")
    )
    write_named_block(block, folder)
    output = run("python3 manage.py test", folder, environment)
    assert f"Ran {block.count('def test_')} tests" in output
    assert "OK" in output


def test_the_examples_without_django_run_without_it(
    ca: ThrowawayCA, tmp_path: Path
) -> None:
    """One prints the path and the identities, the other reads what Caddy sends."""
    validate, decode = find_blocks(read_howto("without-django"), "python")
    issued = ca.issue_ca("Issuing").issue("alice", emails=["alice@example.org"])
    (tmp_path / "ca.crt").write_text(ca.pem)
    (tmp_path / "alice.pem").write_text(issued.chain_pem)
    value = base64.b64encode(issued.der).decode()
    script = "import sys; sys.modules['django'] = None\n"
    script += f"{validate}\n{decode}\n"
    script += f"print(read({{proxy.certificate: {value!r}}}).subject)\n"
    script += "read({proxy.certificate: 'x'})"
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    first, *identities, subject, error = ended.stdout.splitlines()
    assert first == "CN=alice < CN=Issuing < CN=Test Root CA"
    assert "san_email alice@example.org" in identities
    assert subject == "CN=alice"
    assert "base64" in error
