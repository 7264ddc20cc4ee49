"""Pictures of every screen: ``python -m tests.browser.screenshots [FOLDER]``."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from example_project.nginx import NginxError

from .chromium import LOOKS, open_window, start_browser
from .screens import list_screens
from .site import ROOT, Site

DEFAULT_FOLDER = ROOT / ".screenshots"


def main(arguments: list[str] | None = None) -> int:
    """Make the pictures; return the exit status."""
    options = _parse(arguments)
    if shutil.which("chromium") is None:
        print("There is no chromium on PATH: apt-get install chromium", file=sys.stderr)
        return 2
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory() as folder, Site(Path(folder)) as site:
            _make(site, options)
    except NginxError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"The pictures are in {options.folder}.")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.browser.screenshots",
        description=(
            "Start a site with a busy administrator’s data, and take a picture of "
            "every screen in every look."
        ),
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="FOLDER",
        help="where to put them (default: .screenshots, which is not committed)",
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="screens with TEXT in their name"
    )
    parser.add_argument(
        "--look", action="append", choices=LOOKS, help="may be repeated (default: all)"
    )
    return parser.parse_args(arguments)


def _make(site: Site, options: argparse.Namespace) -> None:
    screens = [one for one in list_screens(site.rows) if options.only in one.name]
    looks = options.look or list(LOOKS)
    done, count = 0, len(screens) * len(looks)
    with start_browser() as browser:
        for look in looks:
            with open_window(browser, site, "anna", **LOOKS[look]) as page:
                for screen in screens:
                    page.goto(screen.path)
                    # The buttons are found by their English names.
                    if screen.act is not None and not look.startswith("right"):
                        screen.act(page, site)
                    file = options.folder / f"{screen.name}-{look}.png"
                    page.screenshot(path=file, full_page=True)
                    done += 1
                    print(f"{done} of {count}: {file.name}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
