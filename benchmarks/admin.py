"""Measure the lists of the admin with many mappings, relative to a thousand.

    python -m benchmarks.admin [--rows N ...] [--database NAME ...] [--rounds N]
                               [--only TEXT ...] [--keep FOLDER] [--json]

For each database (SQLite, and PostgreSQL if it is installed) and each N (1,000,
100,000 and 1,000,000), create N mappings of N users, and a tenth as many rows of the
other tables. Then request each page in turn, from the smallest table to the largest,
in one process, so that changes in the speed of the machine affect all of them alike.
The result is the median, and its ratio to that of the smallest table. It includes the
session, the queries and the template.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import hashlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.with_database import PostgreSQL, ServerError, running

DATABASES = ("sqlite", "postgresql")
MAPPINGS = "/admin/django_clientcert/certificatemapping/"
OTHERS = {
    "accepted certificates": "/admin/django_clientcert/seencertificate/",
    "inbox": "/admin/django_clientcert/unknowncertificate/",
    "revocations": "/admin/django_clientcert/revocation/",
    "authorities": "/admin/django_clientcert/certificateauthority/",
}
CERTIFICATES = 64
# The first user is the superuser who requests the pages.
FIRST_USER = 2


class Router:
    """Sends every query to the database that is being measured."""

    current = "default"

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Return the database that is being measured."""
        return Router.current

    db_for_write = db_for_read

    def allow_relation(self, first: Any, second: Any, **hints: Any) -> bool:
        """Allow all relations: related rows are in the same database."""
        return True


def name_of(database: str, rows: int) -> str:
    """Return the alias of a database."""
    return f"{database}_{rows}"


def configure(
    sizes: Sequence[int], folder: Path, server: PostgreSQL | None, names: Sequence[str]
) -> None:
    """Set up a project with a database for each size and system."""
    from tests import settings as tested

    databases: dict[str, Any] = {}
    for rows in sizes:
        if "sqlite" in names:
            databases[name_of("sqlite", rows)] = {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(folder / f"admin_{rows}.sqlite3"),
            }
        if server is not None:
            databases[name_of("postgresql", rows)] = {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": f"admin_{rows}",
                "HOST": str(server.folder),
                "PORT": server.port,
                "USER": "clientcert",
                "CONN_MAX_AGE": None,
            }
    databases["default"] = next(iter(databases.values()))

    from django.conf import settings

    settings.configure(
        **{
            **{name: getattr(tested, name) for name in dir(tested) if name.isupper()},
            "DATABASES": databases,
            "DATABASE_ROUTERS": [Router()],
            "ALLOWED_HOSTS": ["testserver"],
            "LOGGING_CONFIG": None,
        }
    )
    import django

    django.setup()


def say(text: str, end: str = "\n") -> None:
    """Print the progress to a terminal."""
    if end == "\n" or sys.stderr.isatty():
        print(text, end=end, file=sys.stderr, flush=True)


def create(database: str, rows: int) -> None:
    """Create the tables and *rows* mappings in a database, unless they exist."""
    from django.core.management import call_command
    from django.db import connections

    alias = Router.current = name_of(database, rows)
    if database == "postgresql":
        import psycopg

        given = connections[alias].settings_dict
        where = {"host": given["HOST"], "port": given["PORT"], "user": given["USER"]}
        with (
            psycopg.connect(dbname="postgres", autocommit=True, **where) as other,
            contextlib.suppress(psycopg.errors.DuplicateDatabase),
        ):
            other.execute(f'CREATE DATABASE "{given["NAME"]}"')
    call_command("migrate", verbosity=0, database=alias)
    fill(rows)
    with connections[alias].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if database == "postgresql" else "VACUUM")


def fill(rows: int) -> None:
    """Create realistic rows, at random but always the same."""
    from django.contrib.auth import get_user_model

    from django_clientcert.models import CertificateAuthority, CertificateMapping
    from django_clientcert.testing import ThrowawayCA

    if CertificateMapping.objects.exists():
        return
    User = get_user_model()
    User.objects.create_superuser("root", password=None)
    cas = [ThrowawayCA.create(f"CA {number}") for number in range(5)]
    authorities = [
        CertificateAuthority.objects.create(name=f"CA {number}", bundle=ca.pem)
        for number, ca in enumerate(cas)
    ]
    issued = [
        (cas[number % 5].issue(f"device-{number}").der, authorities[number % 5].pk)
        for number in range(CERTIFICATES)
    ]
    load(
        User,
        (
            {
                "username": f"user{number:07}",
                "email": f"user{number:07}@corp.example",
                "password": "!",
            }
            for number in range(rows)
        ),
    )
    load(CertificateMapping, make_mappings(rows, issued))
    load_others(rows // 10, issued)


def load(model: Any, rows: Iterable[dict[str, Any]]) -> None:
    """Write *rows* to the table of *model* without creating instances."""
    from django.db import connections, models

    connection = connections[Router.current]
    instance = model()
    fields = [one for one in model._meta.concrete_fields if not one.primary_key]
    given = [
        one.get_db_prep_save(one.pre_save(instance, True), connection) for one in fields
    ]
    # SQLite has no dates.
    prepared = {
        one.attname: one.get_db_prep_save
        for one in fields
        if connection.vendor == "sqlite" and isinstance(one, models.DateTimeField)
    }

    def values() -> Iterator[list[Any]]:
        for number, row in enumerate(rows, 1):
            if not number % 10_000:
                say(f"\r{Router.current}: {number} {model._meta.verbose_name}", " ")
            for name, prepare in prepared.items():
                if name in row:
                    row[name] = prepare(row[name], connection)
            yield [
                row.get(one.attname, default)
                for one, default in zip(fields, given, strict=True)
            ]

    table = connection.ops.quote_name(model._meta.db_table)
    columns = ", ".join(connection.ops.quote_name(one.column) for one in fields)
    with transaction(connection) as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for one in values():
                    copy.write_row(one)
        else:
            marks = ", ".join("?" for one in fields)
            sql = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608
            cursor.executemany(sql, values())


@contextlib.contextmanager
def transaction(connection: Any) -> Iterator[Any]:
    """Provide the driver's own cursor, and commit."""
    from django.db.transaction import atomic

    with atomic(connection.alias):
        cursor = connection.connection.cursor()
        yield cursor
        cursor.close()


KINDS = {
    "public_key": 55,
    "fingerprint": 25,
    "subject": 10,
    "san_email": 5,
    "san_dns": 3,
    "san_uri": 1,
    "issuer_serial": 1,
}
STATES = {"active": 97, "disabled": 1, "retiring": 1, "scheduled": 1}


def value_of(kind: str, number: int) -> str:
    """Return the value of a mapping."""
    return {
        "subject": f"CN=device-{number},OU=Devices,O=Example Corp,C=DE",
        "san_email": f"user{number:07}@corp.example",
        "san_dns": f"device-{number}.corp.example",
        "san_uri": f"spiffe://corp.example/device-{number}",
        "issuer_serial": f"{number + 1:x} CN=CA 1",
    }.get(kind) or hashlib.sha256(str(number).encode()).hexdigest()


def make_mappings(
    rows: int, issued: Sequence[tuple[bytes, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield what ``save()`` would write for this number of mappings."""
    from django.utils import timezone

    from django_clientcert.x509.identities import IdentityKind, parse_identity

    now, chance = timezone.now(), random.Random(1)
    kinds, states = ([*one] for one in (KINDS, STATES))
    for number in range(rows):
        (kind,) = chance.choices(kinds, [*KINDS.values()])
        (state,) = chance.choices(states, [*STATES.values()])
        identity = parse_identity(IdentityKind(kind), value_of(kind, number))
        row: dict[str, Any] = {
            "user_id": number + FIRST_USER,
            "kind": kind,
            "value": identity.value,
            "key": identity.key,
            "state": state,
            "note": "Made for a benchmark.",
        }
        if state == "retiring":
            row["valid_until"] = now + dt.timedelta(days=200)
        elif state == "scheduled":
            row["valid_from"] = now + dt.timedelta(days=20)
        certificate, authority = issued[number % CERTIFICATES]
        if kind not in {"public_key", "fingerprint"}:
            row["authority_id"] = authority
        elif chance.random() < 0.9:
            minutes = chance.randrange(-60 * 1440, 730 * 1440)
            row |= {
                "authority_id": authority,
                "certificate": certificate,
                "certificate_subject": f"CN=device-{number},O=Example Corp,C=DE",
                "certificate_not_after": now + dt.timedelta(minutes=minutes),
                "certificate_subject_key": identity.key,
            }
        used = chance.random()
        if used < 0.9:
            days = chance.random() * (90 if used < 0.7 else 900)
            row["last_used_at"] = now - dt.timedelta(days=days)
        yield row


def load_others(rows: int, issued: Sequence[tuple[bytes, Any]]) -> None:
    """Write this number of rows to each of the other tables."""
    from django.utils import timezone

    from django_clientcert.models import Revocation, SeenCertificate, UnknownCertificate

    now, chance = timezone.now(), random.Random(2)

    def common(number: int) -> dict[str, Any]:
        at = now - dt.timedelta(minutes=chance.random() * 1e5)
        return {
            "fingerprint": hashlib.sha256(f"seen {number}".encode()).digest(),
            "certificate": issued[number % CERTIFICATES][0],
            "subject": f"CN=device-{number},O=Example Corp,C=DE",
            "not_after": now + dt.timedelta(days=chance.randrange(1, 700)),
            "host": "www.corp.example",
            "first_seen_at": at,
            "last_seen_at": at,
        }

    load(
        SeenCertificate,
        ({"user_id": number + FIRST_USER, **common(number)} for number in range(rows)),
    )
    load(
        UnknownCertificate,
        (
            {
                "public_key": hashlib.sha256(f"key {number}".encode()).digest(),
                "reason": chance.choice(["unmapped", "expired", "untrusted_issuer"]),
                **common(number),
            }
            for number in range(rows)
        ),
    )
    load(
        Revocation,
        (
            {
                "public_key": hashlib.sha256(f"bad {number}".encode()).digest(),
                "description": f"CN=device-{number},O=Example Corp,C=DE",
                "reason": chance.choice([0, 1, 4]),
                "revoked_at": now - dt.timedelta(minutes=chance.random() * 1e5),
            }
            for number in range(rows)
        ),
    )


def pages(rows: int) -> dict[str, str]:
    """Return the URLs that are compared, by a description."""
    from django_clientcert.models import CertificateMapping

    some = rows // 3
    pins = CertificateMapping.objects.filter(pk__gt=some, kind="public_key")
    digits = pins.order_by("pk")[0].value
    found = {
        "page one": "",
        "page one, a page further": "?p=2",
        "page in the middle": f"?p={max(rows // 200, 2)}",
        "last page": f"?p={rows // 100}",
        "beyond the last page": f"?p={rows}",
        "by user": "?o=1",
        "by validity": "?o=4",
        "by validity, last first": "?o=-4",
        "by last use": "?o=6",
        "by last use, last first": "?o=-6",
        "fingerprint": f"?q={digits}",
        "first 8 digits": f"?q={digits[:8]}",
        "user name": f"?q=user{some:07}",
        "beginning of a user name": "?q=user000",
        "e-mail address": f"?q=user{some:07}@corp.example",
        "subject": f"?q=CN%3Ddevice-{some},OU%3DDevices,O%3DExample+Corp,C%3DDE",
        "part of a subject": f"?q=device-{some}",
        "text of every subject": "?q=Example+Corp",
        "text that does not occur": "?q=nowhere",
        "active": "?state__exact=active",
        "disabled": "?state__exact=disabled",
        "public keys": "?kind__exact=public_key",
        "URIs": "?kind__exact=san_uri",
        "one authority": "?authority__id__exact=1",
        "no authority": "?authority__isnull=True",
        "valid": "?validity=valid",
        "expire within 7 days": "?validity=week",
        "expire within 90 days": "?validity=quarter",
        "expired": "?validity=expired",
        "of unknown validity": "?validity=unknown",
        "used recently": "?used=recently",
        "used long ago": "?used=before",
        "never used": "?used=never",
        "disabled, expired": "?state__exact=disabled&validity=expired",
    }
    addresses = {name: MAPPINGS + query for name, query in found.items()}
    addresses |= {
        "one mapping": f"{MAPPINGS}{some + 1}/change/",
        "add a mapping": f"{MAPPINGS}add/",
        "what expires when": f"{MAPPINGS}timeline/",
        "at a glance": "/admin/django_clientcert/",
    }
    for name, address in OTHERS.items():
        addresses[name] = address
        if name != "authorities":
            addresses[f"{name}, searched"] = f"{address}?q=device-{some // 10}"
    return addresses


def measure(
    names: Sequence[str], sizes: Sequence[int], rounds: int, only: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield milliseconds of each page by size, one database after the other."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    for database in names:
        clients = {}
        for rows in sizes:
            Router.current = name_of(database, rows)
            clients[rows] = Client()
            clients[rows].force_login(
                get_user_model().objects.get(username="root"),
                "django.contrib.auth.backends.ModelBackend",
            )
        for name in pages(sizes[0]):
            if not any(text in name for text in only):
                continue
            say(f"\r{database}: {name:30}", end="")
            took: dict[int, list[float]] = {rows: [] for rows in sizes}
            for number in range(rounds + 1):
                for rows in sizes:
                    Router.current = name_of(database, rows)
                    start = time.perf_counter()
                    answer = clients[rows].get(pages(rows)[name], follow=True)
                    elapsed = time.perf_counter() - start
                    if answer.status_code != 200:
                        raise SystemExit(f"{name}: {answer.status_code}")
                    if number:  # the first round is a warm-up
                        took[rows].append(elapsed * 1000)
            median = {rows: statistics.median(each) for rows, each in took.items()}
            yield {
                "database": database,
                "page": name,
                "milliseconds": {rows: round(ms, 1) for rows, ms in median.items()},
                "ratio": {
                    rows: round(ms / median[sizes[0]], 2) for rows, ms in median.items()
                },
            }
        say("\r" + " " * 50, end="\r")


def show(results: Sequence[dict[str, Any]], sizes: Sequence[int]) -> None:
    """Print a table for each database, as Markdown."""
    for database in dict.fromkeys(result["database"] for result in results):
        print(f"\n| {database} | ms at {sizes[0]:,} |", end="")
        print("".join(f" {rows:,} |" for rows in sizes[1:]))
        print("|---|" + "--:|" * len(sizes))
        for result in results:
            if result["database"] == database:
                first = result["milliseconds"][sizes[0]]
                ratios = "".join(f" {result['ratio'][rows]} |" for rows in sizes[1:])
                print(f"| {result['page']} | {first} |{ratios}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[1_000, 100_000, 1_000_000]
    )
    parser.add_argument("--database", choices=DATABASES, nargs="+", default=DATABASES)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each page")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[""],
        help="only pages with one of these in their name",
    )
    parser.add_argument("--keep", type=Path, help="the folder for SQLite’s files")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sizes, names = sorted(set(options.rows)), list(options.database)
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(
            stack.enter_context(tempfile.TemporaryDirectory())
        )
        server = None
        if "postgresql" in names:
            try:
                server = stack.enter_context(running(PostgreSQL))
            except ServerError as error:
                say(f"Without PostgreSQL: {error}")
                names.remove("postgresql")
        if not names:
            raise SystemExit("No database is available.")
        configure(sizes, folder, server, names)  # type: ignore[arg-type]
        for name in names:
            for rows in sizes:
                create(name, rows)
        results = list(measure(names, sizes, options.rounds, options.only))
        from django.db import connections

        connections.close_all()
    if options.json:
        print(json.dumps(results, indent=2))
    else:
        show(results, sizes)


if __name__ == "__main__":
    main()
