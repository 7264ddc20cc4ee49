"""Measure the cost of checking for revocation, relative to no CRL.

    python -m benchmarks.revocation [--entries N] [--rounds N] [--json]

Create and import a CRL of N entries (a million), and a second one that replaces it.
Then measure, in turn and in one process: (a) the decision on a certificate without any
CRL, (b) the same with the CRL, whose N entries do not include the certificate, (c) the
decision on a revoked certificate, and for comparison (d)
``get_revoked_certificate_by_serial_number()`` of cryptography on the same CRL, for a
serial number that it does not contain. The result is the median.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gc
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.project import configure

CALLS_PER_ROUND = 50

# The program of the importing process. Its last line is its peak memory in kB from
# Linux, because the usual figure would include the parent process.
_IMPORT = """
import sys
from pathlib import Path
import django
django.setup()
from django.core.management import call_command
call_command("clientcert", "crl", "import", sys.argv[1])
status = Path("/proc/self/status").read_text()
print(status.partition("VmHWM:")[2].split()[0])
"""


def make_list(ca: Any, entries: int, listed: int, number: int) -> bytes:
    """Return CRL *number* with *entries* random serial numbers and *listed*, as DER."""
    from tests import crl_writer
    from tests.der_writer import integer, time, tlv

    dates = [
        time(crl_writer.DATE + dt.timedelta(seconds=number)) for number in range(50_000)
    ]
    reason = tlv(0x30, crl_writer.reason(4))
    # Random, as CAs number their certificates: in order they would be easier to index.
    serials = random.Random(number)
    body = [
        tlv(
            0x30,
            integer(serials.getrandbits(150) | 1 << 150),
            dates[place % len(dates)],
            reason,
        )
        for place in range(entries)
    ]
    body.append(tlv(0x30, integer(listed), dates[0]))
    return crl_writer.crl(ca, entries=body, extensions=[crl_writer.number(number)])


def import_file(file: Path, data: bytes) -> dict[str, Any]:
    """Import *data* as an administrator does, in a process of its own."""
    file.write_bytes(data)
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, str(file)],
        check=True,
        capture_output=True,
        text=True,
    )
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "peak_megabytes": round(int(done.stdout.split()[-1]) / 1024),
    }


def measure(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Return microseconds per call of every round, by name."""
    figures: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    gc.disable()
    for _ in range(rounds):
        for name, call in calls.items():
            count = CALLS_PER_ROUND if name != "cryptography" else 2
            start = time.perf_counter()
            for _ in range(count):
                call()
            figures[name].append((time.perf_counter() - start) / count * 1e6)
    gc.enable()
    return figures


def run(folder: Path, entries: int, rounds: int) -> dict[str, Any]:
    """Return the figures."""
    from cryptography import x509
    from django.contrib.auth import get_user_model

    from django_clientcert.conf import conf
    from django_clientcert.evaluation.presented import Presented
    from django_clientcert.evaluation.run import evaluate
    from django_clientcert.models import CertificateAuthority, CertificateMapping
    from django_clientcert.testing import ThrowawayCA

    user = get_user_model().objects.create_user("alice")

    def build(name: str) -> tuple[Any, Any, Any]:
        ca = ThrowawayCA.create(name, key="rsa2048")
        authority = CertificateAuthority.objects.create(name=name, bundle=ca.pem)
        good, listed = ca.issue(f"{name} good"), ca.issue(f"{name} listed")
        for one in (good, listed):
            CertificateMapping.objects.create(
                user=user,
                kind="subject",
                value=one.certificate.subject.rfc4514_string(),
                authority=authority,
            )
        return ca, authority, (good, listed)

    def decide(certificate: Any, reason: str | None) -> Callable[[], Any]:
        presented = Presented(conf.CLIENTCERT_PROXY, certificates=(certificate.der,))

        def call() -> None:
            decision = evaluate(presented, host="testserver")
            if decision.reason != reason:
                raise SystemExit(f"{decision.reason}: {decision.detail}")

        return call

    _, _, (without, _) = build("Without")
    ca, _, (good, listed) = build("With")
    imports = {}
    for number, name in enumerate(("import", "import in its place"), 1):
        data = make_list(ca, entries, listed.certificate.serial_number, number)
        imports[name] = import_file(folder / "benchmark.crl", data)
    crl = x509.load_der_x509_crl(data)
    absent = good.certificate.serial_number
    figures = measure(
        {
            "no list": decide(without, None),
            "list, not on it": decide(good, None),
            "list, on it": decide(listed, "revoked"),
            "cryptography": lambda: crl.get_revoked_certificate_by_serial_number(
                absent
            ),
        },
        rounds,
    )
    median = {name: statistics.median(values) for name, values in figures.items()}
    return {
        "entries": entries + 1,
        "list_megabytes": round(len(data) / 1e6, 1),
        "imports": imports,
        "decisions": {
            name: {
                "microseconds": round(value, 1),
                "ratio_to_no_list": round(value / median["no list"], 2),
            }
            for name, value in median.items()
        },
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        configure(Path(folder))
        figures = run(Path(folder), options.entries, options.rounds)
        from django.db import connection

        connection.close()
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"{figures['entries']} entries, {figures['list_megabytes']} MB")
    for name, row in figures["imports"].items():
        print(f"{name}: {row['seconds']} s, peak {row['peak_megabytes']} MB")
    print(f"{'':20}{'µs (median)':>14}{'ratio to no list':>20}")
    for name, row in figures["decisions"].items():
        print(f"{name:20}{row['microseconds']:>14}{row['ratio_to_no_list']:>20}")


if __name__ == "__main__":
    main()
