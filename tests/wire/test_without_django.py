"""The wing can be used without Django, as its docstring shows."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import django_clientcert.wire
from django_clientcert.testing import IssuedCertificate


def test_the_example_runs_without_django(alice_cert: IssuedCertificate) -> None:
    """The code of the docstring, with Django blocked; garbage is refused."""
    docstring = django_clientcert.wire.__doc__ or ""
    example = textwrap.dedent(
        "\n".join(line for line in docstring.splitlines() if line.startswith("    "))
    )
    script = (
        'import sys\nsys.modules["django"] = None\n'
        f"der = {alice_cert.der!r}\n{example}\n"
        'assert read({proxy.certificate: "garbage"}) is None\n'
        'assert "asgiref" not in sys.modules\n'
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == [
        "CN=alice",
        "malformed_header: not base64: Incorrect padding",
    ]


def test_all_public_names_exist() -> None:
    """And every decoder of a preset is among them."""
    wire = django_clientcert.wire
    assert sorted(set(wire.__all__)) == sorted(wire.__all__)
    assert all(hasattr(wire, name) for name in wire.__all__)
    decoders = {f"decode_{name}" for name in wire.DECODERS}
    assert decoders == {name for name in wire.__all__ if name.startswith("decode_")}
