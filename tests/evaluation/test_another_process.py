"""What another process changes counts on the very next request."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from django_clientcert.testing import IssuedCertificate, ThrowawayCA
from django_clientcert.x509.certificates import ClientCertificate

# A process with a database in a file, which answers each line with a decision.
SERVER = """
import sys, django
django.setup()
from django.core.management import call_command
from django.contrib.auth import get_user_model
from django_clientcert.models import CertificateAuthority, CertificateMapping
from tests.deciding import decide
call_command("migrate", verbosity=0)
user = get_user_model().objects.create_user("alice")
other = get_user_model().objects.create_user("bob")
bundle, der = sys.stdin.readline(), bytes.fromhex(sys.stdin.readline())
authority = CertificateAuthority.objects.create(
    name="PKI", bundle=bundle.replace("|", chr(10))
)
CertificateMapping.objects.create(
    user=user, kind="subject", value="CN=alice", authority=authority
)
for line in sys.stdin:
    decision = decide(der)
    print(decision.reason or decision.user.get_username(), flush=True)
"""

MAPPINGS = "django_clientcert_certificatemapping"


class Process:
    """The process that decides, and its database, which this one changes."""

    def __init__(self, folder: Path, ca: ThrowawayCA, cert: IssuedCertificate) -> None:
        self.file = folder / "db.sqlite3"
        settings = folder / "another_settings.py"
        settings.write_text(
            "from tests.settings import *\n"
            "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', "
            f"'NAME': {str(self.file)!r}}}}}\n"
        )
        root = str(Path(__file__).parents[2])
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "another_settings",
            "PYTHONPATH": os.pathsep.join((str(folder), root)),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self._write(ca.pem.replace("\n", "|"))
        self._write(cert.der.hex())

    def _write(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def ask(self) -> str:
        """Return the user whom the certificate authenticates, or the reason."""
        assert self.process.stdout is not None
        self._write("")
        return self.process.stdout.readline().strip()

    def change(self, sql: str, *parameters: Any) -> None:
        """Change the database, past Django."""
        with closing(sqlite3.connect(self.file)) as database, database:
            database.execute(sql, parameters)

    def stop(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture
def process(
    tmp_path: Path, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> Iterator[Process]:
    """A process that accepts Alice's certificate, with everything it keeps warm."""
    started = Process(tmp_path, ca, alice_cert)
    try:
        assert [started.ask() for _ in range(3)] == ["alice"] * 3
        yield started
    finally:
        started.stop()


@pytest.mark.slow
def test_n58_every_change_of_another_process_counts_at_once(
    process: Process, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """Of mappings, users, revocations and authorities; undone, it accepts again."""
    certificate = ClientCertificate(alice_cert.der)
    yesterday, tomorrow = "2020-01-01 00:00:00", "2099-01-01 00:00:00"
    revocation = (
        "INSERT INTO django_clientcert_revocation (description, reason, note, "
        "revoked_at, {column}) VALUES ('', 0, '', ?, ?)"
    )
    undo_revocation = "DELETE FROM django_clientcert_revocation"
    for change, parameters, expected, undo in (
        (f"UPDATE {MAPPINGS} SET state = 'disabled'", (), "mapping_disabled", "state"),
        (
            f"UPDATE {MAPPINGS} SET valid_until = ?",
            (yesterday,),
            "mapping_expired",
            "valid_until",
        ),
        (
            f"UPDATE {MAPPINGS} SET valid_from = ?",
            (tomorrow,),
            "mapping_not_yet_valid",
            "valid_from",
        ),
        (f"UPDATE {MAPPINGS} SET hosts = 'x.example'", (), "host_not_covered", "hosts"),
        (f"UPDATE {MAPPINGS} SET user_id = 2", (), "bob", "user"),
        ("UPDATE auth_user SET is_active = 0", (), "inactive_user", "is_active"),
        (
            revocation.format(column="public_key"),
            (tomorrow, certificate.public_key_bytes),
            "revoked",
            undo_revocation,
        ),
        (
            "UPDATE django_clientcert_certificateauthority SET revocation_policy = ?",
            ("odd",),
            "trust_unavailable",
            "policy",
        ),
    ):
        process.change(change, *parameters)
        assert process.ask() == expected, change
        process.change(UNDO.get(undo, undo))
        assert process.ask() == "alice", undo
    process.change(
        f"INSERT INTO {MAPPINGS} (user_id, kind, value, key, state, hosts, note, "
        "created_at, certificate_subject) VALUES "
        "(2, 'fingerprint', ?, ?, 'active', '', '', ?, '')",
        certificate.fingerprint,
        certificate.fingerprint_bytes,
        yesterday,
    )
    assert process.ask() == "bob"  # the more specific kind
    process.change(f"DELETE FROM {MAPPINGS}")
    assert process.ask() == "unmapped"


UNDO = {
    "state": f"UPDATE {MAPPINGS} SET state = 'active'",
    "valid_until": f"UPDATE {MAPPINGS} SET valid_until = NULL",
    "valid_from": f"UPDATE {MAPPINGS} SET valid_from = NULL",
    "hosts": f"UPDATE {MAPPINGS} SET hosts = ''",
    "user": f"UPDATE {MAPPINGS} SET user_id = 1",
    "is_active": "UPDATE auth_user SET is_active = 1",
    "policy": "UPDATE django_clientcert_certificateauthority "
    "SET revocation_policy = 'if_loaded'",
}
