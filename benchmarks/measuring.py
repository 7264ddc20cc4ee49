"""Measure things in turn, and show them as a table, as JSON and as a chart.

In turn and in one process, so that changes in the speed of the machine affect all of
them alike. Compare ratios, not times.
"""

from __future__ import annotations

import argparse
import gc
import html
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

Run = Callable[[], Any]


class Figure(NamedTuple):
    """Microseconds: the median of the rounds, and the quarters on both sides of it."""

    median: float
    lower: float
    upper: float


def arguments(description: str, **defaults: int) -> argparse.ArgumentParser:
    """Return the parser that all benchmarks share; *defaults* are options."""
    parser = argparse.ArgumentParser(description=description)
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value, metavar="N")
    parser.add_argument(
        "--database",
        choices=["sqlite", "postgresql", "mariadb"],
        default=os.environ.get("CLIENTCERT_TEST_DATABASE", "sqlite"),
        help="starts a server of its own, if the programs are installed",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write a bar chart")
    return parser


def start_database(options: argparse.Namespace, module: str) -> None:
    """Run again with a server, if one is asked for and there is none yet."""
    if options.database == os.environ.get("CLIENTCERT_TEST_DATABASE", "sqlite"):
        return
    python = [sys.executable, "-m"]
    command = [*python, "tests.with_database", options.database, "--", *python, module]
    sys.exit(subprocess.run([*command, *sys.argv[1:]], check=False).returncode)


def measure(
    runs: Mapping[str, Run], rounds: int, repeats: int = 25
) -> dict[str, Figure]:
    """Return the time that each run takes: *rounds* times *repeats*, in turn."""
    logging.disable()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        for _ in range(30):
            run()
    gc.collect()
    gc.freeze()
    for number in range(rounds):
        if sys.stderr.isatty():
            print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr)
        for name, run in runs.items():
            start = time.perf_counter()
            for _ in range(repeats):
                run()
            times[name].append((time.perf_counter() - start) / repeats * 1e6)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return {name: Figure(*_quartiles(values)) for name, values in times.items()}


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    lower, median, upper = statistics.quantiles(values, n=4)
    return median, lower, upper


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    import cryptography
    import django
    from django.db import connection

    return {
        "date": time.strftime("%Y-%m-%d"),
        "cores": str(os.cpu_count()),
        "Python": platform.python_version(),
        "Django": django.__version__,
        "cryptography": cryptography.__version__,
        "database": connection.vendor,
    }


def show(
    title: str,
    rows: Mapping[str, Mapping[str, Any]],
    options: argparse.Namespace,
    *,
    chart: str = "",
) -> None:
    """Print *rows*, and write what *options* ask for; *chart* is the column drawn."""
    described = machine()
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    width = max(map(len, rows))
    print(f"{title} ({', '.join(f'{k} {v}' for k, v in described.items())})")
    print(" " * width + "".join(f"{column:>18}" for column in columns))
    for name, row in rows.items():
        values = "".join(f"{row.get(column, '')!s:>18}" for column in columns)
        print(f"{name:{width}}{values}")
    if options.json is not None:
        content = {"title": title, "machine": described, "rows": rows}
        options.json.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    if options.svg is not None:
        bars = {name: float(row[chart]) for name, row in rows.items() if chart in row}
        options.svg.write_text(draw(f"{title}: {chart}", bars), "utf-8")


def draw(title: str, bars: Mapping[str, float]) -> str:
    """Return a bar chart as SVG; its colours follow those of the page."""
    step, left, width = 28, 330, 800
    most = max(bars.values())
    lines = [f'<text x="0" y="18" font-weight="bold">{html.escape(title)}</text>']
    for number, (name, value) in enumerate(bars.items(), 1):
        y = number * step + 4
        length = max(1, value / most * (width - left - 70))
        lines += [
            (
                f'<text x="{left - 10}" y="{y + 15}" text-anchor="end">'
                f"{html.escape(name)}</text>"
            ),
            f'<rect x="{left}" y="{y}" width="{length:.1f}" height="20" rx="2"/>',
            f'<text x="{left + length + 8:.1f}" y="{y + 15}">{value:g}</text>',
        ]
    height = (len(bars) + 1) * step + 10
    style = "text{font:14px sans-serif;fill:CanvasText}rect{fill:#44718f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{html.escape(title)}"><style>{style}</style>\n'
        + "\n".join(lines)
        + "\n</svg>\n"
    )
