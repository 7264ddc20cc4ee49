"""Measure an authenticated request, relative to Django's session.

    python -m benchmarks.request [--rounds N] [--mappings N] [--json]

In turn and in one process, so that changes in the speed of the machine affect all of
them alike: (a) session authentication from the database, (b) a client certificate, as
a pin and by subject with its path validated, (c) a view that looks at nothing. The
result is the median of the rounds; the cost of (c) is subtracted before dividing.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REQUESTS_PER_ROUND = 100


def configure(folder: Path) -> None:
    """Set up a small project on SQLite in *folder*."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    os.environ["BENCHMARK_DATABASE"] = str(folder / "benchmark.sqlite3")
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def build(mappings: int) -> dict[str, Callable[[], Any]]:
    """Return the requests to compare, by name, each one call of the project."""
    from django.contrib.auth import get_user_model
    from django.contrib.sessions.backends.db import SessionStore
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import Client, RequestFactory

    from django_clientcert.models import CertificateAuthority, CertificateMapping
    from django_clientcert.testing import ThrowawayCA, proxy_meta
    from django_clientcert.x509.identities import IdentityKind, parse_identity

    ca = ThrowawayCA.create("Root", key="rsa2048")
    issuing = ca.issue_ca("Issuing", key="rsa2048")
    authority = CertificateAuthority.objects.create(
        name="PKI", bundle=ca.pem + issuing.pem
    )
    users = get_user_model().objects
    user = users.create_user("alice")
    others = []
    for number in range(mappings):
        identity = parse_identity(IdentityKind.FINGERPRINT, f"{number:064x}")
        others.append(
            CertificateMapping(
                user=user,
                kind="fingerprint",
                value=identity.value,
                key=identity.key,
            )
        )
    CertificateMapping.objects.bulk_create(others, batch_size=1000)
    pinned = issuing.issue("pinned", key="rsa2048")
    named = issuing.issue("named", key="rsa2048", emails=["named@example.com"])
    CertificateMapping.objects.create(
        user=user, kind="fingerprint", value=pinned.fingerprint
    )
    CertificateMapping.objects.create(
        user=user, kind="subject", value="CN=named", authority=authority
    )
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert isinstance(client.session, SessionStore)

    handler = WSGIHandler()
    factory = RequestFactory()
    factory.cookies = client.cookies
    anonymous = RequestFactory()

    def request(make: Any, path: str, **meta: Any) -> Callable[[], Any]:
        environ = make.get(path, **meta).environ

        def run() -> None:
            # A server passes a new dict with new strings each time.
            fresh = {
                key: (value + " ")[:-1] if type(value) is str else value
                for key, value in environ.items()
            }
            response = handler(fresh, lambda status, headers: None)
            if response.content != b"alice" and path != "/nothing/":
                raise SystemExit(f"{path}: {response.status_code}")
            response.close()

        return run

    return {
        "empty": request(anonymous, "/nothing/"),
        "session": request(factory, "/who/"),
        "pin": request(anonymous, "/who/", **proxy_meta(pinned.der)),
        "subject, path validated": request(
            anonymous, "/who/", **proxy_meta(named.der, verdict="FAILED:unable")
        ),
    }


def measure(
    requests: dict[str, Callable[[], Any]], rounds: int
) -> dict[str, list[float]]:
    """Return microseconds per request of every round, by name."""
    for run in requests.values():
        for _ in range(20):
            run()
    figures: dict[str, list[float]] = {name: [] for name in requests}
    gc.disable()
    for number in range(rounds):
        if sys.stderr.isatty():
            print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr)
        for name, run in requests.items():
            start = time.perf_counter()
            for _ in range(REQUESTS_PER_ROUND):
                run()
            elapsed = time.perf_counter() - start
            figures[name].append(elapsed / REQUESTS_PER_ROUND * 1e6)
        gc.collect()
    gc.enable()
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--mappings", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        configure(Path(folder))
        figures = measure(build(options.mappings), options.rounds)
        from django.db import connection

        connection.close()
    median = {name: statistics.median(values) for name, values in figures.items()}
    base = median["session"] - median["empty"]
    rows = {
        name: {
            "microseconds": round(value, 1),
            "ratio_to_session": round((value - median["empty"]) / base, 3),
        }
        for name, value in median.items()
    }
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'':26}{'µs (median)':>12}{'ratio to session, net':>24}")
    for name, row in rows.items():
        print(f"{name:26}{row['microseconds']:>12}{row['ratio_to_session']:>24}")


if __name__ == "__main__":
    main()
