"""The README: its commands exist, and a project that follows it works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .pages import README, ROOT, find_blocks
from .running import run


def test_the_two_commands_of_the_readme_are_there() -> None:
    """So is the option that it names."""
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


@pytest.mark.needs_program("bash")
def test_the_project_of_the_readme_works(
    readme_project: tuple[Path, dict[str, str]],
) -> None:
    """Settings, view and commands are used unchanged, and so is the proxy's request."""
    folder, environment = readme_project
    (install, *_, commands) = find_blocks(README.read_text(encoding="utf-8"), "sh")[2:]
    assert "pip install" in install
    # The README says that alice exists.
    users = "from django.contrib.auth.models import User; User.objects"
    make_alice = f"python3 manage.py shell -c \"{users}.create_user('alice')\""
    commands = commands.replace(
        "python3 manage.py clientcert",
        f"{make_alice}\npython3 manage.py clientcert",
    )
    # A new project has no mail server, no hosts and the key that Django generated.
    commands = commands.replace("check --deploy", "check --deploy --tag security")
    assert "Mapped to alice" in run(commands, folder, environment)

    ask = """
from pathlib import Path
from django.test import Client
from django_clientcert.x509.bundles import read_certificates
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
