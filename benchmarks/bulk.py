"""Measure the import and export of many mappings: seconds, and peak memory.

    python -m benchmarks.bulk [--rows N ...] [--json]

For each N (1,000 and 100,000), import a CSV file with fingerprints of N users into an
empty database, export it as JSON, and compare the export with the database. Each step
runs in a process of its own, whose peak is measured (``VmHWM``, Linux). “Streamed”
means a peak that hardly grows with N; ``diff`` keeps a digest of each row, so its peak
does grow.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_RUN = """
import sys
from pathlib import Path
import django
django.setup()
from django.core.management import call_command
call_command(*sys.argv[1:])
status = Path("/proc/self/status").read_text()
print("\\nPEAK", status.partition("VmHWM:")[2].split()[0])
"""
_USERS = """
import sys
import django
django.setup()
from django.contrib.auth import get_user_model
from django.core.management import call_command
call_command("migrate", verbosity=0)
model = get_user_model()
model.objects.bulk_create(
    (model(username=f"user{n}", password="!") for n in range(int(sys.argv[1]))),
    batch_size=500,
)
"""


def call(environment: dict[str, str], *arguments: str) -> dict[str, Any]:
    """Return the time and memory of a command in a process of its own."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "peak_megabytes": round(int(done.stdout.rpartition("PEAK ")[2]) / 1024, 1),
    }


def measure(rows: int, folder: Path) -> dict[str, Any]:
    """Return the figures for this number of rows."""
    settings = folder / "bulk_settings.py"
    settings.write_text(
        "from tests.settings import *\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', "
        f"'NAME': {str(folder / 'db.sqlite3')!r}}}}}\n"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "bulk_settings",
        "PYTHONPATH": os.pathsep.join((str(folder), str(Path.cwd()))),
    }
    subprocess.run(
        [sys.executable, "-c", _USERS, str(rows)], check=True, env=environment
    )
    table, export = folder / "rows.csv", folder / "all.json"
    with table.open("w") as file:
        file.write("user,value,note\n")
        file.writelines(f"user{n},{n:064x},{'x' * 100}\n" for n in range(rows))
    return {
        "rows": rows,
        "django_alone": call(environment, "clientcert", "authority", "list"),
        "import": call(environment, "clientcert", "import", str(table)),
        "export": call(environment, "clientcert", "export", "--output", str(export)),
        "import_json": call(environment, "clientcert", "import", str(export)),
        "diff": call(environment, "clientcert", "diff", str(export)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(rows, Path(folder)))
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for result in results:
        print(f"{result.pop('rows')} rows")
        for name, figures in result.items():
            print(
                f"  {name:14} {figures['seconds']:7} s {figures['peak_megabytes']:7} MB"
            )


if __name__ == "__main__":
    main()
