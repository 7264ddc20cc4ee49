"""Measure whether a request takes longer with more mappings, and larger bundles.

    python -m benchmarks.scale [--most N] [--database NAME]

From one mapping to a million, ten times as many at a time (``--most 10000000`` goes
on), and a bundle of 200 CAs beside one of two. Each is a ratio to a session, which does
not grow, and then to the first row.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from . import measuring
from .project import Project, configure, request, stack
from .request import DJANGO, OWN, SESSION, sessions


def main() -> None:
    """Measure and print."""
    parser = measuring.arguments(
        __doc__.splitlines()[0], rounds=30, most=1_000_000, cas=200
    )
    options = parser.parse_args()
    measuring.start_database(options, "benchmarks.scale")
    with tempfile.TemporaryDirectory() as folder:
        configure(Path(folder))
        from django.db import connection

        from django_clientcert.testing import proxy_meta

        project = Project(0)
        handler = stack(MIDDLEWARE=[*DJANGO, OWN])
        unverified = {"verdict": "FAILED:unable"}
        runs = {
            SESSION: dict(sessions(project))[SESSION],
            "nothing": request(stack(MIDDLEWARE=DJANGO), "/nothing/", expected=b"ok"),
            "pin": request(handler, "/who/", **proxy_meta(project.pinned.der)),
            "subject": request(
                handler, "/who/", **proxy_meta(project.named.der, **unverified)
            ),
        }
        rows: dict[str, Any] = {}
        first: dict[str, float] = {}
        stored, count = 0, 1

        def add_row(name: str) -> None:
            figures = measuring.measure(runs, options.rounds)
            base = figures["nothing"].median
            rows[name] = {}
            session = figures[SESSION].median - base
            for kind in ("pin", "subject"):
                # The session has one row, so it shows how fast the machine is now.
                net = (figures[kind].median - base) / session
                first.setdefault(kind, net)
                rows[name][f"{kind}, of a session"] = round(net, 3)
                rows[name][f"{kind}, growth"] = round(net / first[kind], 2)

        while count <= options.most:
            project.add_pins(stored, count)
            stored = count
            analyse(connection)
            add_row(f"{count:,} mappings")
            count *= 10
        bundle = project.authority.bundle
        for number in range(options.cas - 2):
            bundle += project.root.issue_ca(f"CA {number}").pem
        project.authority.bundle = bundle
        project.authority.save()
        add_row(f"{stored:,} mappings, a bundle of {options.cas} CAs")
        measuring.show("Size", rows, options, chart="pin, growth")
        connection.close()


def analyse(connection: Any) -> None:
    """Let the database count its rows, as a server does by itself now and then."""
    statement = {"mysql": "ANALYZE TABLE django_clientcert_certificatemapping"}
    with connection.cursor() as cursor:
        cursor.execute(statement.get(connection.vendor, "ANALYZE"))
        if connection.vendor == "mysql":
            cursor.fetchall()


if __name__ == "__main__":
    main()
