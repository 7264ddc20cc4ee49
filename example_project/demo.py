#!/usr/bin/env python3
"""Start the example project behind a real nginx: ``python3 example_project/demo.py``.

Needs only Python (3.10 or newer) and a package index. The first start creates a
virtual environment, certificates and a database, all below ``.demo/``; the next one
takes seconds. The script prints requests to paste and the URL of the admin; Ctrl-C
stops it. ``--check`` sends those requests itself and stops.
"""

# Old syntax, intentionally: see bootstrap_environment.py.
import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
FOLDER = ".demo"
DEFAULT_PORT = 8443

# The extra in setup.cfg for each proxy; only the chosen one is installed.
EXTRAS = {
    "ingress-nginx": "demo",
    "nginx": "demo",
    "caddy": "demo-caddy",
    "envoy": "demo-envoy",
    "traefik": "demo-traefik",
}


def parse_arguments():
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description="A Django project with client certificates behind a real proxy; "
        "without --proxy, an nginx that forwards them as ingress-nginx does.",
        epilog="Everything is stored in %s; delete it when you are done."
        % os.path.join(ROOT, FOLDER),
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="send the printed requests, show each status, and stop; the exit status "
        "is 1 if a result is not as expected",
    )
    parser.add_argument(
        "--port",
        type=port_number,
        metavar="N",
        help="the port for HTTPS (default: %d; with --check a free one); plain HTTP "
        "uses the next one" % DEFAULT_PORT,
    )
    parser.add_argument(
        "--proxy",
        choices=sorted(EXTRAS),
        default="ingress-nginx",
        help="the proxy; all except ingress-nginx use their configuration in "
        "example_project/proxies (default: %(default)s)",
    )
    parser.add_argument(
        "--verify-client",
        choices=["on", "optional", "optional_no_ca"],
        default="optional",
        help="with --proxy ingress-nginx: what nginx does with client certificates, "
        "as in the annotation auth-tls-verify-client (default: %(default)s)",
    )
    parser.add_argument(
        "--reset",
        action="store_true",
        help="create new certificates, passwords and a new database",
    )
    arguments = parser.parse_args()
    if arguments.proxy != "ingress-nginx" and arguments.verify_client != "optional":
        parser.error("--verify-client is for --proxy ingress-nginx")
    if arguments.port is None:
        arguments.port = 0 if arguments.check else DEFAULT_PORT
    return arguments


def port_number(text):
    """Return *text* as a port that has a next one; 0 means any free ports."""
    number = int(text)
    if not 0 <= number <= 65534:
        raise ValueError(text)
    return number


def main():
    """Prepare an environment, and run the demonstration in it."""
    arguments = parse_arguments()
    if os.name == "nt":
        sys.exit("The demonstration needs Linux or macOS; on Windows use WSL.")
    # The folder contains private keys.
    os.umask(0o077)
    folder = os.path.join(ROOT, FOLDER)
    if not os.path.isdir(folder):
        os.mkdir(folder)
    os.chmod(folder, 0o700)

    # Import from these two folders, whatever PYTHONPATH is
    sys.path[:0] = [ROOT, HERE]
    import bootstrap_environment

    bootstrap_environment.ensure(
        os.path.join(FOLDER, "environments"), EXTRAS[arguments.proxy], sys.argv
    )

    from pathlib import Path

    from example_project.demonstration import run

    return run(arguments, Path(folder))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        # While the environment is created; demonstration.py handles it later.
        sys.exit("\nStopped.")
