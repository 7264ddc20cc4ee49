"""The small project that is measured: its database, its users and certificates."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def configure(folder: Path) -> None:
    """Set up the project; its database is in *folder* unless there is a server."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    os.environ.setdefault("BENCHMARK_DATABASE", str(folder / "benchmark.sqlite3"))
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


class Project:
    """A CA with an intermediate, a user, and *mappings* of other certificates."""

    def __init__(self, mappings: int) -> None:
        from django.contrib.auth import get_user_model

        from django_clientcert.models import CertificateAuthority, CertificateMapping
        from django_clientcert.testing import ThrowawayCA, make_key

        self.root = ThrowawayCA.create("Root", key="rsa2048")
        self.issuing = self.root.issue_ca("Issuing", key="rsa2048")
        self.staff = self.root.issue_ca("Staff", key="rsa2048")
        self.authority = CertificateAuthority.objects.create(
            name="PKI", bundle=self.root.pem + self.issuing.pem
        )
        CertificateAuthority.objects.create(
            name="Staff",
            bundle=self.root.pem + self.staff.pem,
            rule_identity="common_name",
        )
        self.user = get_user_model().objects.create_user("alice")
        self.key = make_key("rsa2048")
        CertificateMapping.objects.bulk_create(
            self._pins(range(mappings)), batch_size=1000
        )
        self.pinned = self.issuing.issue("pinned", key="rsa2048")
        self.named = self.issuing.issue(
            "named", key="rsa2048", emails=["named@example.com"]
        )
        self.ruled = self.staff.issue("alice", key="rsa2048")
        self.stranger = self.issuing.issue("stranger", key="rsa2048")
        for kind, value, authority in (
            ("fingerprint", self.pinned.fingerprint, None),
            ("subject", "CN=named", self.authority),
        ):
            CertificateMapping.objects.create(
                user=self.user, kind=kind, value=value, authority=authority
            )

    def _pins(self, numbers: range) -> Iterator[Any]:
        from django_clientcert.models import CertificateMapping
        from django_clientcert.x509.identities import IdentityKind, parse_identity

        for number in numbers:
            identity = parse_identity(IdentityKind.FINGERPRINT, f"{number:064x}")
            yield CertificateMapping.for_identity(identity, user=self.user)

    def add_pins(self, first: int, last: int) -> None:
        """Store more mappings, numbered from *first* to before *last*."""
        from django_clientcert.models import CertificateMapping

        for start in range(first, last, 10_000):
            numbers = range(start, min(start + 10_000, last))
            CertificateMapping.objects.bulk_create(self._pins(numbers), batch_size=1000)

    def strangers(self, count: int) -> list[Any]:
        """Return *count* certificates that differ, of the mapped name and key."""
        return [
            self.issuing.issue("named", key=self.key, emails=[f"{number}@example.com"])
            for number in range(count)
        ]


def stack(**overridden: Any) -> Any:
    """Return a WSGI handler of the project with some settings *overridden*."""
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import override_settings

    with override_settings(**overridden):
        return WSGIHandler()


def request(
    handler: Any,
    path: str,
    *,
    expected: bytes = b"alice",
    cookies: Any = None,
    **meta: Any,
) -> Callable[[], Any]:
    """Return a call that makes one request and looks at the answer.

    A value of *meta* may be a list: then each request has the next of them.
    """
    from django.test import RequestFactory

    factory = RequestFactory()
    if cookies is not None:
        factory.cookies = cookies
    lists = {key: value for key, value in meta.items() if isinstance(value, list)}
    environ = factory.get(path, **{**meta, **dict.fromkeys(lists, "")}).environ
    count = 0

    def run() -> None:
        nonlocal count
        # A server passes a new dict with new strings each time.
        fresh = {
            key: (value + " ")[:-1] if type(value) is str else value
            for key, value in environ.items()
        }
        for key, values in lists.items():
            fresh[key] = (values[count % len(values)] + " ")[:-1]
        count += 1
        response = handler(fresh, lambda status, headers: None)
        if expected not in response.content:
            raise SystemExit(
                f"{path}: {response.status_code} {response.content[:200]!r}"
            )
        response.close()

    return run
