"""Measure what the worst requests of a stranger cost, and what stays of them.

    python -m benchmarks.hostile [--rounds N]

Each shape is a certificate, or a chain, that fits into ``CLIENTCERT_MAX_HEADER_BYTES``;
each request has another one, so that no cache helps. Shown are the median and the worst
milliseconds of processor time, and the kilobytes that one request leaves behind.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from . import measuring
from .project import Project, configure

AUTHORITIES = 6
MAX_BYTES = 16384


def names(count: int, kind: str) -> dict[str, Any]:
    """Return many alternative names of a kind."""
    formats = {
        "dns": "{}.a",
        "emails": "{}@a",
        "uris": "x:{}",
        "upns": "{}@b",
    }
    return {kind: [formats[kind].format(number) for number in range(count)]}


def shapes(project: Project) -> dict[str, tuple[str, Callable[[int], list[Any]]]]:
    """Return, by name, the preset that takes it and what makes the certificates."""
    key = ec.generate_private_key(ec.SECP256R1())
    slow = rsa.generate_private_key(public_exponent=65537, key_size=4096)
    plain = "plain"

    def issue(ca: Any, number: int, **more: Any) -> list[Any]:
        return [ca.issue(f"x{number}", key=key, **more)]

    def many_names(number: int) -> list[Any]:
        wanted: dict[str, Any] = {}
        for kind in ("dns", "emails", "uris", "upns"):
            wanted |= names(200, kind)
        return issue(project.issuing, number, **wanted)

    def too_many_names(number: int) -> list[Any]:
        return issue(project.issuing, number, **names(1400, "dns"))

    def long_subject(number: int) -> list[Any]:
        subject = x509.Name(
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"{number} {one}")
            for one in range(500)
        )
        return [project.issuing.issue(None, subject=subject, key=key)]

    def chain(kind: Any) -> Callable[[int], list[Any]]:
        def make(number: int) -> list[Any]:
            ca = project.root
            cas = []
            for _ in range(7 if kind != "rsa" else 4):
                ca = ca.issue_ca("Issuing", key=slow if kind == "rsa" else "p256")
                cas.append(ca)
            return [ca.issue(f"x{number}", key=key), *reversed(cas)]

        return make

    return {
        "a usual certificate": (plain, lambda number: issue(project.issuing, number)),
        "800 alternative names": (plain, many_names),
        "1,400 DNS names": (plain, too_many_names),
        "500 parts of a subject": (plain, long_subject),
        "a chain of 8, P-256": ("chain", chain("p256")),
        "a chain of 5, RSA-4096": ("chain", chain("rsa")),
    }


def main() -> None:
    """Measure and print."""
    parser = measuring.arguments(__doc__.splitlines()[0], rounds=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        configure(Path(folder))
        from django.db import connection
        from django.test import override_settings

        from django_clientcert.models import CertificateAuthority

        project = Project(1000)
        bundle = project.root.pem + project.issuing.pem
        for number in range(AUTHORITIES):
            CertificateAuthority.objects.create(name=f"Same {number}", bundle=bundle)
        rows: dict[str, Any] = {}
        with override_settings(CLIENTCERT_INBOX_SIZE=0):
            for name, (preset, make) in shapes(project).items():
                rows[name] = measure(preset, make, options.rounds)
        title = f"The worst requests, {AUTHORITIES + 1} authorities of one CA"
        measuring.show(title, rows, options, chart="worst ms")
        connection.close()


def measure(
    preset: str, make: Callable[[int], list[Any]], rounds: int
) -> dict[str, Any]:
    """Return the figures of one shape."""
    from django.test import override_settings

    from django_clientcert.evaluation.presented import Presented
    from django_clientcert.evaluation.run import evaluate
    from django_clientcert.wire import get_proxy

    encoding = "escaped_pem_chain" if preset == "chain" else "escaped_pem"
    proxy = get_proxy(
        {
            "certificate": "x-cert",
            "encoding": encoding,
            "verdict": None,
            "subject_dn": None,
            "issuer_dn": None,
            "names_required": False,
            "verifies": False,
        }
    )
    values = []
    for number in range(rounds + 1):
        chain = make(number)
        values.append(quote("".join(one.pem for one in chain), safe="-"))
    assert max(map(len, values)) <= MAX_BYTES, max(map(len, values))
    times, kept = [], []
    reason = None
    with override_settings(CLIENTCERT_PROXY=proxy):
        for number, value in enumerate(values):
            presented = Presented(proxy, value, peer="127.0.0.1")
            gc.collect()
            if number % 2:
                tracemalloc.start()
            start = time.process_time()
            decision = evaluate(presented, host="testserver")
            spent = time.process_time() - start
            reason = decision.reason
            del decision, presented
            if number % 2:
                gc.collect()
                kept.append(tracemalloc.get_traced_memory()[0])
                tracemalloc.stop()
            elif number:
                times.append(spent * 1e3)
    times.sort()
    return {
        "header, bytes": max(map(len, values)),
        "reason": str(reason),
        "median ms": round(times[len(times) // 2], 2),
        "worst ms": round(times[-1], 2),
        "stays, KB": round(max(kept) / 1024, 1),
    }


assert os.name == "posix"

if __name__ == "__main__":
    main()
