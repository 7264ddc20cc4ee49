"""The servers: two or three of the application, and an nginx for each configuration."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from example_project.nginx import Nginx
from example_project.programs import Program

from .pki import PINNED, Pki

ROOT = Path(__file__).parents[2]
START_TIMEOUT = 30


@dataclass
class Answer:
    """The status of a response, and what the view saw."""

    status: int
    body: bytes

    @property
    def seen(self) -> dict[str, Any]:
        """The view's JSON."""
        assert self.status == 200, (self.status, self.body[:300])
        answer: dict[str, Any] = json.loads(self.body)
        return answer


@pytest.fixture(scope="session")
def pki() -> Pki:
    """The certificates."""
    return Pki()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Path:
    """A folder with the certificates and the filled database."""
    made = tmp_path_factory.mktemp("end_to_end")
    (made / "bundle.pem").write_text(pki.ca.pem + pki.issuing.pem)
    for name, certificate in pki.certificates.items():
        (made / f"{name}.pem").write_text(certificate.chain_pem + certificate.key_pem)
    for name in PINNED:
        fingerprint = pki.certificates[name].fingerprint
        (made / f"{name}.fingerprint").write_text(fingerprint)
    subprocess.run(
        [sys.executable, "-m", "tests.end_to_end.seed", str(made)],
        cwd=ROOT,
        env=environment(made, {}),
        check=True,
    )
    return made


def environment(folder: Path, settings: dict[str, Any]) -> dict[str, str]:
    """Return the environment of an application server."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.end_to_end.settings",
        "END_TO_END_DATABASE": str(folder / "db.sqlite3"),
        "END_TO_END_SETTINGS": json.dumps(settings),
    }


@pytest.fixture(scope="session")
def manage(folder: Path) -> Callable[..., str]:
    """Run ``manage.py`` beside the servers that are running."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "django", *arguments],
            cwd=ROOT,
            env=environment(folder, {}),
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    return run


class Application:
    """An application server on a free port of 127.0.0.1."""

    def __init__(
        self, folder: Path, name: str, interface: str, settings: dict[str, Any]
    ) -> None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        listener.listen(64)
        # The server inherits the socket, so nobody can take the port in between.
        descriptor = str(listener.fileno())
        if interface == "wsgi":
            command = ["-m", "gunicorn", "--bind", f"fd://{descriptor}"]
            limit = settings.get("CLIENTCERT_MAX_HEADER_BYTES", 16384)
            command += ["--threads", "4", "--limit-request-field_size", str(limit)]
            command += ["--log-level", "warning", "tests.end_to_end.wsgi"]
        else:
            command = ["-m", "uvicorn", "--fd", descriptor, "--no-proxy-headers"]
            command += ["--http", "h11", "--h11-max-incomplete-event-size", "65536"]
            command += ["--log-level", "warning", "--lifespan", "off"]
            command += ["tests.end_to_end.asgi:application"]
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=environment(folder, settings),
                pass_fds=[listener.fileno()],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        listener.close()

    def wait(self) -> None:
        """Return when it answers."""
        host, port = self.address.split(":")
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            connection = http.client.HTTPConnection(host, int(port), timeout=5)
            try:
                connection.request("GET", "/untouched/")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass  # not there yet
            finally:
                connection.close()
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


APPLICATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "wsgi": ("wsgi", {}),
    "asgi": ("asgi", {}),
    "wsgi_verifies": ("wsgi", {"CLIENTCERT_PROXY_VERIFIES": False}),
    "asgi_verifies": ("asgi", {"CLIENTCERT_PROXY_VERIFIES": False}),
    "wsgi_hosts": ("wsgi", {"CLIENTCERT_HOSTS": ["localhost"]}),
    "asgi_hosts": ("asgi", {"CLIENTCERT_HOSTS": ["localhost"]}),
}


# One for each preset that is behind a real proxy, with room for long chains
for _preset in ("nginx", "haproxy", "caddy", "traefik", "envoy", "apache"):
    _settings = {"CLIENTCERT_PROXY": _preset, "CLIENTCERT_MAX_HEADER_BYTES": 65536}
    APPLICATIONS[_preset] = ("wsgi", _settings)
    APPLICATIONS[f"{_preset}_asgi"] = ("asgi", _settings)
    APPLICATIONS[f"{_preset}_secret"] = (
        "wsgi",
        {**_settings, "CLIENTCERT_PROXY_SECRET": ["X-Proxy-Secret", ["new", "old"]]},
    )


@pytest.fixture(scope="session")
def applications(folder: Path) -> Iterator[Callable[[str], Application]]:
    """Start application servers when they are asked for; stop them at the end."""
    running: dict[str, Application] = {}

    def get(name: str) -> Application:
        if name not in running:
            interface, settings = APPLICATIONS[name]
            running[name] = Application(folder, name, interface, settings)
            running[name].wait()
        return running[name]

    yield get
    for application in running.values():
        application.stop()


@pytest.fixture(scope="session")
def proxies(
    folder: Path, pki: Pki, applications: Callable[[str], Application]
) -> Iterator[Callable[..., Nginx]]:
    """Start an nginx for a configuration when it is asked for."""
    running: dict[tuple[Any, ...], Nginx] = {}
    with ExitStack() as stack:

        def get(application: str, **options: Any) -> Nginx:
            key = (application, *sorted(options.items()))
            if key not in running:
                options.setdefault("ca", pki.ca.pem)
                running[key] = stack.enter_context(
                    Nginx(
                        folder / f"nginx{len(running)}",
                        upstream=applications(application).address,
                        certificate=pki.server.chain_pem,
                        key=pki.server.key_pem,
                        **options,
                    )
                )
            return running[key]

        yield get


@pytest.fixture(scope="session")
def programs(
    folder: Path, pki: Pki, applications: Callable[[str], Application]
) -> Iterator[Callable[..., Program]]:
    """Start a program with its own configuration, or a changed one, when asked for."""
    running: dict[tuple[Any, ...], Program] = {}
    with ExitStack() as stack:

        def get(name: str, application: str, **options: Any) -> Program:
            key = (name, application, *sorted(options.items()))
            if key not in running:
                running[key] = stack.enter_context(
                    Program(
                        name,
                        folder / f"program{len(running)}",
                        upstream=applications(application).address,
                        certificate=pki.server.chain_pem,
                        key=pki.server.key_pem,
                        ca=pki.ca.pem,
                        **options,
                    )
                )
            return running[key]

        yield get


@pytest.fixture
def send(folder: Path, pki: Pki) -> Callable[..., Answer]:
    """Send a request over TLS, with or without a client certificate."""

    def request(
        nginx: Nginx | Program,
        path: str = "/open/",
        certificate: str | None = None,
        *,
        headers: list[tuple[str, str]] | None = None,
        host: str = "localhost",
        plain: bool = False,
        http2: bool = False,
    ) -> Answer:
        context = ssl.create_default_context(cadata=pki.ca.pem)
        if certificate is not None:
            context.load_cert_chain(folder / f"{certificate}.pem")
        if http2:
            return _send_http2(nginx, path, context, headers or [])
        connection: http.client.HTTPConnection = (
            http.client.HTTPConnection("127.0.0.1", nginx.plain_port, timeout=20)
            if plain
            else http.client.HTTPSConnection(
                "localhost", nginx.port, timeout=20, context=context
            )
        )
        try:
            connection.putrequest("GET", path, skip_host=True)
            connection.putheader("Host", host)
            for name, value in headers or []:
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    return request


def _send_http2(
    nginx: Nginx, path: str, context: ssl.SSLContext, headers: list[tuple[str, str]]
) -> Answer:
    import httpx

    with httpx.Client(http2=True, http1=False, verify=context, timeout=20) as client:
        response = client.get(nginx.url + path, headers=headers)
        assert response.http_version == "HTTP/2"
        return Answer(response.status_code, response.content)
