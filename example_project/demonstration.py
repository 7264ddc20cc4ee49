"""The demonstration itself: prepare, start, explain, check or wait, stop.

Everything is stored in one folder and used again at the next start, unless
``--reset`` is given.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import secrets
import shlex
import shutil
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from . import pki
from .application import PROJECT, Application, ApplicationError
from .nginx import Nginx, NginxError, PortBusy, find_program, listen
from .programs import Program, ProgramError
from .programs import find_program as find_other_program

if TYPE_CHECKING:
    from .showcase import Place, Request

INGRESS_NGINX = "ingress-nginx"

# --reset keeps the virtual environments: creating them takes a minute.
ENVIRONMENTS = "environments"

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemonstrationError(Exception):
    """The demonstration cannot start or continue; the message says why."""


class Stopped(BaseException):
    """A signal asks to stop."""


def run(arguments: Namespace, folder: Path) -> int:
    """Run the demonstration in *folder*; return the exit status of the program."""
    for number in _SIGNALS:
        signal.signal(number, _raise_stopped)
    try:
        with _locked(folder):
            return _run(arguments, folder)
    except Stopped:
        print("\nStopped.")
        return 0
    except (DemonstrationError, NginxError, ProgramError, ApplicationError) as error:
        print(error, file=sys.stderr)
        return 1


def _run(arguments: Namespace, folder: Path) -> int:
    proxy = arguments.proxy
    program = find_program() if proxy == INGRESS_NGINX else None
    path = None if program else find_other_program(proxy)
    _require_free_ports(arguments.port)
    if arguments.reset:
        reset(folder)
    passwords = prepare(folder)
    environment = {
        "EXAMPLE_DATA_FOLDER": str(folder),
        # Show the reason of refusals, and serve the static files of the admin.
        "DJANGO_DEBUG": "true",
        "CLIENTCERT_PROXY": proxy,
    }
    if program:
        verifies = arguments.verify_client != "optional_no_ca"
        environment["CLIENTCERT_PROXY_VERIFIES"] = str(verifies)
    else:
        # The preset decides whether the proxy verifies, not the caller's shell.
        os.environ.pop("CLIENTCERT_PROXY_VERIFIES", None)
        pki.write_headers_for(folder / "pki", proxy)
    os.environ.update(environment)
    _prepare_database(folder, passwords["admin"])

    with ExitStack() as stack:
        log = folder / "application.log" if arguments.check else None
        application = stack.enter_context(Application(environment, log))
        files = folder / "pki"
        certificate = _read(files / f"{pki.SERVER}.crt")
        key = _read(files / f"{pki.SERVER}.key")
        ca = _read(files / f"{pki.CA}.crt")
        front: Nginx | Program
        if program:
            front = Nginx(
                folder / "nginx",
                upstream=application.address,
                certificate=certificate,
                key=key,
                ca=ca,
                verify_client=arguments.verify_client,
                port=arguments.port,
                plain_port=arguments.port and arguments.port + 1,
                program=program,
            )
        else:
            front = Program(
                proxy,
                folder / f"proxy-{proxy}",
                upstream=application.address,
                certificate=certificate,
                key=key,
                ca=ca,
                port=arguments.port,
                plain_port=arguments.port and arguments.port + 1,
                path=path,
            )
        stack.enter_context(front)
        from .showcase import Place, list_requests, list_requests_for

        place = Place(front.url, front.plain_url, _short(files))
        if program:
            print(f"A Django project behind {program},")
            print(f"with auth-tls-verify-client: {arguments.verify_client}\n")
        else:
            print(f"A Django project behind {proxy} ({path}),")
            print(f'with CLIENTCERT_PROXY = "{proxy}"\n')
        requests = list(
            list_requests(arguments.verify_client)
            if program
            else list_requests_for(proxy)
        )
        if arguments.check:
            return check(requests, place)
        tell(requests, place, folder, passwords)
        wait(application, front, proxy)


def reset(folder: Path) -> None:
    """Delete everything except the virtual environments."""
    for path in folder.iterdir():
        if path.name in (ENVIRONMENTS, _LOCK):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def prepare(folder: Path) -> dict[str, str]:
    """Create missing certificates and passwords in *folder*; return the passwords."""
    if not pki.is_usable(folder / "pki", dt.datetime.now(dt.timezone.utc)):
        # The database refers to the certificates, so replace both or neither.
        reset(folder)
    passwords = {
        name: _keep_secret(folder / f"{name}.txt", length)
        for name, length in (
            ("secret-key", 50),
            ("admin-password", 12),
            ("p12-password", 12),
        )
    }
    if not (folder / "pki").exists():
        print("creating certificates", file=sys.stderr)
        pki.create_pki(folder / "pki", passwords["p12-password"])
    return {"admin": passwords["admin-password"], "p12": passwords["p12-password"]}


def _prepare_database(folder: Path, admin_password: str) -> None:
    """Migrate the database and add the users and mappings."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "example.settings"
    import django

    django.setup()
    from .seed import prepare_database

    prepare_database(folder / "pki", admin_password)


def tell(
    requests: list[Request], place: Place, folder: Path, passwords: dict[str, str]
) -> None:
    """Print what a visitor can try."""
    from .seed import ADMIN, LEAVER_USER, PERSON_USER
    from .showcase import shell_line

    command = [str(_short(Path(sys.executable))), str(_short(PROJECT / "manage.py"))]
    command += ["clientcert"]
    explain = [*command, "explain", str(place.folder / f"{pki.STRANGER}.crt")]
    revoke = [*command, "revoke", str(place.folder / f"{pki.LEAVER}.crt")]
    print("Requests to paste, each with the status that it should print last:\n")
    for request in requests:
        print(f"{request.status:03}  {request.title}")
        print(f"  {shell_line(request, place)}\n")
    print(
        f"""\
In a browser: {place.url}/ (it warns about the server's certificate; continue).
The admin is at {place.url}/admin/:
  user      {ADMIN}
  password  {passwords["admin"]}
Or log in as {PERSON_USER} with a certificate and no password. Import
  file      {_short(folder / "pki" / f"{pki.PERSON}.p12")}
  password  {passwords["p12"]}
  Firefox: Settings, Privacy & Security, View Certificates, Your Certificates, Import
  Chrome: Settings, Privacy and security, Security, Manage certificates, Your
  certificates, Import; on macOS and Windows open the file instead
and choose it when the browser asks. Remove it from the browser afterwards.

To see why a certificate is refused, step by step:
  {shlex.join(explain)}
Disable {LEAVER_USER}'s mapping in the admin, or revoke the certificate, and the next
request gets a 403.
  {shlex.join(revoke)}

Ctrl-C stops everything.""",
        flush=True,
    )


def check(requests: list[Request], place: Place) -> int:
    """Send every printed request; return 0 if all results are as expected."""
    from .showcase import find_difference, send, shell_line

    unexpected = 0
    for request in requests:
        difference = find_difference(request, send(request, place))
        status = "UNEXPECTED" if difference else "as expected"
        print(f"{request.status:03}  {status:<12} {request.title}")
        if difference:
            unexpected += 1
            print(f"     {difference}\n     {shell_line(request, place)}")
        sys.stdout.flush()
    if unexpected:
        print(
            f"\n{unexpected} unexpected result(s). If you changed users, mappings or "
            "authorities in the demonstration, start again with --reset."
        )
        return 1
    print("\nAll as expected.")
    return 0


def wait(application: Application, front: Nginx | Program, proxy: str) -> NoReturn:
    """Wait until a signal arrives or a child exits; never return.

    Raises:
        Stopped: a signal asks to stop.
        DemonstrationError: gunicorn or the proxy has exited.
    """
    while True:
        time.sleep(0.2)
        if not application.is_running:
            raise DemonstrationError("gunicorn has exited: see above.")
        if front.pid is None:
            raise DemonstrationError(f"{proxy} has exited; see {_short(front.folder)}.")


# --- helpers --------------------------------------------------------------------

_LOCK = "lock"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock *folder*, so that no second demonstration uses it at the same time."""
    with (folder / _LOCK).open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise DemonstrationError(
                f"The demonstration is already running (process {lock.read()}). "
                "Stop it with Ctrl-C first."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _require_free_ports(port: int) -> None:
    for number in (port, port + 1) if port else ():
        try:
            listen(number).close()
        except PortBusy as error:
            raise PortBusy(
                f"{error}\nChoose others: --port N uses N for HTTPS and N + 1 for "
                "plain HTTP; --port 0 finds free ones."
            ) from error


def _keep_secret(path: Path, length: int) -> str:
    """Return the text of *path*; create it at random if it does not exist."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(length), encoding="ascii")
    return _read(path)


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii")


def _short(path: Path) -> Path:
    """Return *path* relative to the working directory, if it is below."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path


def _raise_stopped(number: int, frame: FrameType | None) -> NoReturn:
    # Ignore another Ctrl-C while stopping.
    for signal_number in _SIGNALS:
        signal.signal(signal_number, signal.SIG_IGN)
    raise Stopped
