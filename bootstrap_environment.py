"""A virtual environment of its own for each of the project's two commands.

``runtests.py`` and ``example_project/demo.py`` start on a machine that has a
Python and a package index and nothing else. Both call :func:`ensure` first.

Only the standard library is used, and the syntax is one that every Python
since 2.7 can read: an old interpreter has to get as far as the sentence that
says what is missing.
"""

import hashlib
import io
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))
DISTRIBUTION = "django-clientcert"

# What the installation depends on: when one of these changes, it is repeated.
_METADATA_FILES = ("setup.cfg", "pyproject.toml")

# Set across the one re-execution and removed on arrival: an interpreter that
# does not end up in its environment must stop, not start itself for ever.
_ARRIVING = "CLIENTCERT_BOOTSTRAP_ARRIVING"


def ensure(folder, extra, argv):
    """Return inside an environment that has the project and *extra* installed.

    *folder* is where the environments are kept, one for each version of
    Python, relative to the project's top level; version control must ignore
    it. *extra* names groups of requirements in ``setup.cfg``, with commas between.
    *argv* is the calling script's ``sys.argv``, script name included.

    Outside such an environment the call does not return: it makes the
    environment where it is missing, installs the project into it (editable)
    where that has not happened or the project's metadata changed, and
    executes *argv* again with the environment's Python. A virtual environment
    of the caller's own that has everything already is used as it is.

    Raises:
        SystemExit: the Python is too old, cannot make virtual environments,
            or the installation failed; the message says what to do.
    """
    _refuse_old_python()
    environment = os.path.join(ROOT, folder, _python_tag())
    inside = _same_path(sys.prefix, environment)
    arriving = os.environ.pop(_ARRIVING, "")
    if not inside:
        if arriving == environment:
            sys.exit(
                "%s did not start inside %s: delete that folder and try again."
                % (sys.executable, environment)
            )
        if _has_everything(extra):
            return
    python = _python_of(environment)
    _create(environment, python, inside)
    _install(environment, python, extra)
    if inside:
        return
    _execute_again(environment, python, argv)


def _refuse_old_python():
    """Exit with a message on a Python that the project does not support."""
    with io.open(os.path.join(ROOT, "setup.cfg"), encoding="utf-8") as config:
        match = re.search(r"(?m)^python_requires *= *>= *(\d+)\.(\d+)", config.read())
    required = (int(match.group(1)), int(match.group(2)))
    if sys.version_info < required:
        sys.exit(
            "%s needs Python %d.%d or newer; this is Python %d.%d (%s).\n"
            "Call the same command with a newer one, for example: python%d.%d %s"
            % (
                (DISTRIBUTION,)
                + required
                + tuple(sys.version_info[:2])
                + (sys.executable,)
                + required
                + (sys.argv[0],)
            )
        )


def _python_tag():
    """Return a folder name such as ``cpython-3.12``."""
    return "%s-%d.%d" % ((sys.implementation.name,) + sys.version_info[:2])


def _python_of(environment):
    """Return the path of *environment*'s interpreter."""
    if os.name == "nt":
        return os.path.join(environment, "Scripts", "python.exe")
    return os.path.join(environment, "bin", "python")


def _same_path(one, other):
    return os.path.realpath(one) == os.path.realpath(other)


def _has_everything(extra):
    """Return whether the running virtual environment needs nothing more.

    It must have the project itself installed, so that an installer has
    compared the versions once; here the names are enough. A requirement that
    is for some platforms only is not looked for.
    """
    if sys.prefix == sys.base_prefix:
        return False
    import configparser
    import importlib.metadata
    import sysconfig

    # Only what is installed: an editable installation into another
    # environment leaves metadata in the project's own folder.
    paths = sysconfig.get_paths()
    installed = {
        _normal_name(distribution.metadata["Name"] or "")
        for distribution in importlib.metadata.distributions(
            path=[paths["purelib"], paths["platlib"]]
        )
    }
    config = configparser.ConfigParser(interpolation=None)
    config.read(os.path.join(ROOT, "setup.cfg"), encoding="utf-8")
    requirements = (
        config["options"]["install_requires"]
        + "\n"
        + "\n".join(config["options.extras_require"][one] for one in extra.split(","))
    )
    wanted = {DISTRIBUTION}
    for line in requirements.splitlines():
        name = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", line)
        if name and ";" not in line:
            wanted.add(_normal_name(name.group(1)))
    return wanted <= installed


def _normal_name(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def _create(environment, python, inside):
    """Make the virtual environment, or make it anew where it cannot be used.

    A virtual environment holds absolute paths: of the Python it was made
    from, and of the project that was installed into it. It does not survive
    that either of them moves.
    """
    stamp = os.path.join(environment, "made-for.txt")
    made_for = "\n".join([os.path.realpath(sys.base_prefix), ROOT])
    if inside or (os.path.exists(python) and _read(stamp) == made_for):
        return
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as error:
        sys.exit(
            "%s cannot make virtual environments (%s).\n"
            "Debian and Ubuntu keep that part in a package of its own:\n"
            "    apt-get install python%d.%d-venv\n"
            "Elsewhere, use a Python that has the modules venv and ensurepip."
            % ((sys.executable, error) + sys.version_info[:2])
        )
    # Nothing of an older one, its stamps included, outlives the first step.
    _say("making a virtual environment in %s" % os.path.relpath(environment))
    command = [sys.executable, "-m", "venv", "--clear", environment]
    if subprocess.call(command, stdout=sys.stderr) != 0:
        sys.exit("The virtual environment could not be made: see above.")
    _write(stamp, made_for)


def _install(environment, python, extra):
    """Install the project and *extra* unless that is done and up to date."""
    stamp = os.path.join(environment, "installed-%s.txt" % extra)
    digest = hashlib.sha256()
    for name in _METADATA_FILES:
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    if _read(stamp) == digest.hexdigest():
        return
    _say(
        "installing %s[%s] and what it needs: a minute, the first time"
        % (DISTRIBUTION, extra)
    )
    command = [python, "-m", "pip", "install", "-qq", "--no-input", "--no-user"]
    command += ["--disable-pip-version-check"]
    command += ["--editable", "%s[%s]" % (ROOT, extra)]
    if subprocess.call(command, stdout=sys.stderr) != 0:
        sys.exit(
            "The installation failed: see above. A package index must be within\n"
            "reach; what was installed so far is kept in %s."
            % os.path.relpath(environment)
        )
    _write(stamp, digest.hexdigest())


def _execute_again(environment, python, argv):
    """Run *argv* with *environment*'s interpreter instead of this one."""
    os.environ[_ARRIVING] = environment
    command = [python] + list(argv)
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":
        # There os.execv() gives the console back before the work is done.
        sys.exit(subprocess.call(command))
    os.execv(python, command)


def _read(path):
    """Return the text of *path*, or an empty string where there is none."""
    try:
        with io.open(path, encoding="utf-8") as file:
            return file.read()
    except (IOError, OSError):
        return ""


def _write(path, text):
    with io.open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _say(message):
    sys.stderr.write("[%s] %s\n" % (DISTRIBUTION, message))
    sys.stderr.flush()
