#!/usr/bin/env python3
"""Django's command line for the example project."""

import os
import sys
from pathlib import Path


def main() -> None:
    """Run a management command."""
    # Use the package of this checkout if it is not installed.
    sys.path.append(str(Path(__file__).resolve().parent.parent))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
