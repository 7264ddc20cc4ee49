"""``clientcert diff``: what two environments do not have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.testing import ThrowawayCA

from .running import clientcert

pytestmark = pytest.mark.django_db


def test_every_change_is_said(
    mapping: CertificateMapping,
    authority: CertificateAuthority,
    alice: Any,
    other_ca: ThrowawayCA,
    tmp_path: Path,
) -> None:
    """Added, removed and changed, by names and not by numbers."""
    old, new = str(tmp_path / "old.json"), str(tmp_path / "new.json")
    gone = CertificateMapping.objects.create(
        user=alice, kind="subject", value="CN=gone", authority=authority
    )
    clientcert("export", "--output", old)
    assert clientcert("diff", old).out == "No differences.\n"
    gone.delete()
    mapping.state, mapping.note = "disabled", "x"
    mapping.save()
    CertificateAuthority.objects.create(name="New", bundle=other_ca.pem)
    outcome = clientcert("diff", old)
    assert (outcome.status, outcome.error) == (1, "Differences: 3.")
    assert outcome.out.splitlines() == [
        "+ authority: name New",
        f"~ mapping: user alice, kind fingerprint, value {mapping.value} (note, state)",
        "- mapping: user alice, kind subject, value CN=gone, authority Test CA",
    ]
    clientcert("export", "--output", new)
    assert clientcert("diff", old, new).out == outcome.out
    data = clientcert("diff", old, new, "--json").data["differences"]
    assert [one["change"] for one in data] == ["added", "changed", "removed"]
    assert data[0] == {
        "change": "added",
        "type": "authority",
        "key": {"name": "New"},
        "fields": [],
    }
    assert clientcert("diff", new, "--json").data == {"differences": []}


def test_csv_compares_mappings_only(
    mapping: CertificateMapping, authority: CertificateAuthority, tmp_path: Path
) -> None:
    """The other file's authorities are no difference then."""
    file, full = str(tmp_path / "x.csv"), str(tmp_path / "x.json")
    clientcert("export", "--format", "csv", "--output", file)
    clientcert("export", "--output", full)
    assert clientcert("diff", file, full).status == 0
    assert clientcert("diff", file).status == 0
    mapping.delete()
    assert clientcert("diff", file).status == 1


def test_files_that_cannot_be_compared(tmp_path: Path) -> None:
    """Status 1, with the file and the line."""
    file = tmp_path / "x.csv"
    assert "No such file" in clientcert("diff", str(file)).error
    file.write_text("user,value\nalice\n")
    assert "line 2: The row has 1 cells" in clientcert("diff", str(file)).error
