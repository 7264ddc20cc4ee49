"""Measure requests per second: client certificate, nginx, gunicorn, Django.

    python -m benchmarks.end_to_end [--rounds N] [--database NAME]

nginx terminates TLS on 127.0.0.1 and asks for a client certificate; gunicorn has two
workers with persistent connections to the database; ApacheBench (``ab``) sends requests
over four connections that stay open. Each kind of request has its turn in each round,
and is divided by the one with a session. Needs nginx and ab on PATH, and gunicorn.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from . import measuring
from .project import Project, configure

NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream usual {{ server 127.0.0.1:{usual}; keepalive 8; }}
  upstream keeping {{ server 127.0.0.1:{keeping}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port} ssl;
    keepalive_requests 1000000;
    ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
    ssl_client_certificate {folder}/ca.pem; ssl_verify_client optional;
    ssl_verify_depth 3;
    proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Host 127.0.0.1;
    proxy_set_header ssl-client-verify $ssl_client_verify;
    proxy_set_header ssl-client-cert $ssl_client_escaped_cert;
    proxy_set_header ssl-client-subject-dn $ssl_client_s_dn;
    proxy_set_header ssl-client-issuer-dn $ssl_client_i_dn;
    location / {{ proxy_pass http://usual; }}
    location /kept/ {{ proxy_pass http://keeping/who/; }}
  }}
}}
"""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def write_pem(path: Path, issued: Any, *, with_key: bool = False) -> None:
    """Write a certificate with its chain, and its key beside it or after it."""
    key = issued.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    ).decode()
    path.write_text(issued.chain_pem + (key if with_key else ""))
    path.with_suffix(".key").write_text(key)


def start_gunicorn(port: int, **environment: str) -> subprocess.Popen[bytes]:
    """Start two workers."""
    command = [sys.executable, "-m", "gunicorn", f"--bind=127.0.0.1:{port}"]
    command += ["--workers=2", "--keep-alive=600", "--log-level=error"]
    command += ["--worker-class=gthread", "--threads=4"]
    command.append("benchmarks.asgi_application:wsgi_application")
    return subprocess.Popen(command, env={**os.environ, **environment})


def wait_for(port: int) -> None:
    """Wait until something listens there."""
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def rate(url: str, certificate: Path | None, cookie: str, requests: int) -> float:
    """Return the requests per second that ApacheBench counts."""
    command = ["ab", "-q", "-k", "-c", "4", "-n", str(requests)]
    command += ["-E", str(certificate)] if certificate else []
    command += ["-C", f"sessionid={cookie}"] if cookie else []
    done = subprocess.run([*command, url], capture_output=True, text=True, check=False)
    found = re.search(r"Requests per second:\s+([0-9.]+)", done.stdout)
    if found is None or "Non-2xx" in done.stdout:
        raise SystemExit(f"{url}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return float(found[1])


def main() -> None:
    """Measure and print."""
    parser = measuring.arguments(
        __doc__.splitlines()[0], rounds=5, mappings=1000, requests=1500
    )
    options = parser.parse_args()
    for program in ("nginx", "ab"):
        if shutil.which(program) is None:
            raise SystemExit(f"There is no {program} on PATH.")
    measuring.start_database(options, "benchmarks.end_to_end")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configure(folder)
        from django.db import connection
        from django.test import Client

        project = Project(options.mappings)
        client = Client()
        client.force_login(
            project.user, backend="django.contrib.auth.backends.ModelBackend"
        )
        cookie = client.cookies["sessionid"].value
        connection.close()
        ports = {name: free_port() for name in ("port", "usual", "keeping")}
        (folder / "ca.pem").write_text(project.root.pem + project.issuing.pem)
        write_pem(folder / "server.pem", project.root.issue("127.0.0.1"))
        write_pem(folder / "client.pem", project.pinned, with_key=True)
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, **ports))
        started = [
            start_gunicorn(ports["usual"]),
            start_gunicorn(ports["keeping"], BENCHMARK_DECISION_SECONDS="3600"),
            subprocess.Popen(
                ["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
            ),
        ]
        try:
            for port in ports.values():
                wait_for(port)
            certificate = folder / "client.pem"
            url = f"https://127.0.0.1:{ports['port']}"
            runs = {
                "no authentication": (f"{url}/nothing/", certificate, ""),
                "session": (f"{url}/who/", None, cookie),
                "certificate: pin": (f"{url}/who/", certificate, ""),
                "certificate: pin, decision kept": (f"{url}/kept/", certificate, ""),
            }
            rates: dict[str, list[float]] = {name: [] for name in runs}
            for number in range(options.rounds + 1):
                for name, run in runs.items():
                    value = rate(*run, options.requests)
                    if number:
                        rates[name].append(value)
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
                process.wait()
        medians = {name: statistics.median(values) for name, values in rates.items()}
        rows: dict[str, Any] = {
            name: {
                "requests/s": round(value),
                "of a session": round(value / medians["session"], 2),
                "of none": round(value / medians["no authentication"], 2),
            }
            for name, value in medians.items()
        }
        title = "nginx and gunicorn, requests per second"
        measuring.show(title, rows, options, chart="of a session")
        connection.close()


if __name__ == "__main__":
    main()
