"""Install the built wheel into an empty environment and use it there.

``python .ci/try_distributions.py FOLDER`` takes the folder with exactly one
source distribution and one wheel. It exits with a message at the first thing
that is missing or does not work:

- the source distribution holds every file under version control, and the
  wheel every file of the package;
- the wheel brings its requirements along, and every module can be imported;
- a new project that follows the README passes ``check``, ``migrate`` and
  ``makemigrations --check``.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "django_clientcert"

# Of use in a work tree only.
_NOT_DISTRIBUTED = {".gitignore", ".readthedocs.yaml"}

# What the README tells a user to add to a new project.
_SETTINGS = """
INSTALLED_APPS += ["django_clientcert"]
MIDDLEWARE.insert(
    MIDDLEWARE.index("django.contrib.auth.middleware.AuthenticationMiddleware") + 1,
    "django_clientcert.middleware.ClientCertMiddleware",
)
AUTHENTICATION_BACKENDS = [
    "django_clientcert.backends.ClientCertBackend",
    "django.contrib.auth.backends.ModelBackend",
]
CLIENTCERT_PROXY = "ingress-nginx"
CLIENTCERT_TRUSTED_PROXIES = ["10.42.0.0/16"]
"""

# Imports every module, and says where from and with which versions.
_IMPORTS = """
import importlib, pkgutil, sys, django
from pathlib import Path
django.setup()
import django_clientcert
home = Path(django_clientcert.__file__).resolve()
if Path(sys.prefix).resolve() not in home.parents:
    sys.exit(f"imported from elsewhere: {home}")
if not home.with_name("py.typed").exists():
    sys.exit("py.typed is missing")
for module in pkgutil.walk_packages(django_clientcert.__path__, "django_clientcert."):
    # Integrations need packages that the wheel does not bring along.
    if not module.name.startswith("django_clientcert.contrib"):
        importlib.import_module(module.name)
print("django-clientcert", django_clientcert.__version__,
      "with Django", django.__version__)
"""


def main() -> None:
    """Try the distributions in the folder that is the only argument."""
    folder = Path(sys.argv[1])
    (source,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    examine_contents(source, wheel)
    with tempfile.TemporaryDirectory() as scratch:
        use(wheel, Path(scratch))
    print(f"{source.name} and {wheel.name}: complete, and the wheel works")


def examine_contents(source: Path, wheel: Path) -> None:
    """Exit where a distribution lacks a file that it should hold."""
    tracked = tracked_files()
    with tarfile.open(source) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    expect("the source distribution", held, tracked - _NOT_DISTRIBUTED)
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    package = {name for name in tracked if name.startswith(f"{PACKAGE}/")}
    # Translations are distributed compiled.
    expect("the wheel", held, {name for name in package if name[-3:] != ".po"})
    strangers = {name for name in held if name.split("/")[0] != PACKAGE}
    strangers = {name for name in strangers if ".dist-info/" not in name}
    if strangers:
        sys.exit(f"the wheel also installs {', '.join(sorted(strangers))}")


def tracked_files() -> set[str]:
    """Return the files under version control, relative to the top level."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    return {name for name in listing.stdout.decode().split("\0") if name}


def expect(what: str, held: set[str], wanted: set[str]) -> None:
    """Exit where *what*, which holds *held*, lacks one of *wanted*."""
    if missing := wanted - held:
        sys.exit(f"{what} lacks {', '.join(sorted(missing))}")


def use(wheel: Path, scratch: Path) -> None:
    """Install *wheel* and run a new project with it, all below *scratch*."""
    environment = scratch / "environment"
    venv.create(environment, with_pip=True)
    binaries = environment / ("Scripts" if sys.platform == "win32" else "bin")
    python = str(binaries / "python")

    def run(*arguments: str, cwd: Path = scratch) -> None:
        subprocess.run([python, *arguments], cwd=cwd, check=True)

    run("-m", "pip", "install", "-qq", "--no-input", str(wheel.resolve()))
    run("-m", "pip", "check")
    run("-m", "django", "startproject", "site_of_a_user", ".")
    with (scratch / "site_of_a_user" / "settings.py").open("a") as settings:
        settings.write(_SETTINGS)
    (scratch / "imports.py").write_text(
        "import os\n"
        'os.environ["DJANGO_SETTINGS_MODULE"] = "site_of_a_user.settings"\n'
        f"{_IMPORTS}"
    )
    run("-W", "error", "imports.py")
    run("manage.py", "check", "--fail-level", "WARNING")
    run("manage.py", "migrate", "--verbosity", "0")
    run("manage.py", "makemigrations", "--check", "--dry-run")


if __name__ == "__main__":
    main()
