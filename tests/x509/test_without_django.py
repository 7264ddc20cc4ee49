"""The wing is usable without Django, as its docstring shows."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
import textwrap
from pathlib import Path

from django_clientcert import x509
from django_clientcert.testing import ThrowawayCA

ROOT = Path(__file__).resolve().parents[2]
# As if Django were not installed
NO_DJANGO = "import sys; sys.modules['django'] = None\n"


def run(script: str, folder: Path = ROOT) -> str:
    """Return what *script* prints in *folder* if Django cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", NO_DJANGO + script],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_of_the_docstring_runs(ca: ThrowawayCA, tmp_path: Path) -> None:
    """It prints the path, and every identity of the certificate."""
    assert x509.__doc__ is not None
    example = x509.__doc__.partition("::\n")[2].partition("\n\nCRLs are in")[0]
    issued = ca.issue_ca("Issuing").issue("alice", emails=["alice@example.org"])
    (tmp_path / "ca.crt").write_text(ca.pem)
    (tmp_path / "alice.pem").write_text(issued.chain_pem)
    printed = run(textwrap.dedent(example), tmp_path).splitlines()
    assert printed[0] == "CN=alice < CN=Issuing < CN=Test Root CA"
    assert f"fingerprint {issued.fingerprint}" in printed
    assert "san_email alice@example.org" in printed


def test_every_module_imports_without_django() -> None:
    """Also those that the package itself does not export."""
    modules = [
        module.name
        for module in pkgutil.walk_packages(x509.__path__, f"{x509.__name__}.")
    ]
    assert len(modules) > 15
    run("\n".join(f"import {module}" for module in modules))


def test_what_is_exported_is_there() -> None:
    """And nothing is named twice."""
    assert all(hasattr(x509, name) for name in x509.__all__)
    assert len(set(x509.__all__)) == len(x509.__all__)
