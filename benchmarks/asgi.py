"""Measure an asynchronous request under uvicorn, relative to ``auser()`` of a session.

    python -m benchmarks.asgi [--rounds N] [--database NAME]

One process of uvicorn answers requests on 127.0.0.1 that come one after the other over
one connection; its processor time per request is compared, in turn, so that the client
does not count. What a view costs that looks at nothing is subtracted.
"""

from __future__ import annotations

import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import measuring
from .project import Project, configure

REQUESTS = 150


class Server:
    """One process of uvicorn, with some environment of its own."""

    def __init__(self, **environment: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        application = "benchmarks.asgi_application:application"
        command = [sys.executable, "-m", "uvicorn", application, f"--port={self.port}"]
        command += ["--log-level=error", "--lifespan=off", "--timeout-keep-alive=600"]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
        )
        for _ in range(200):
            try:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port)
                self.connection.connect()
                return
            except ConnectionRefusedError:
                time.sleep(0.05)
        raise SystemExit("uvicorn does not start")

    def get(self, path: str, headers: dict[str, str]) -> bytes:
        """Return the content of one answer."""
        self.connection.request("GET", path, headers=headers)
        return self.connection.getresponse().read()

    def processor_time(self) -> float:
        """Return the microseconds of processor time that the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2]
        user, system = map(int, fields.split()[11:13])
        return (user + system) / os.sysconf("SC_CLK_TCK") * 1e6

    def stop(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.terminate()
        self.process.wait()


def main() -> None:
    """Measure and print."""
    parser = measuring.arguments(__doc__.splitlines()[0], rounds=20, mappings=1000)
    options = parser.parse_args()
    measuring.start_database(options, "benchmarks.asgi")
    with tempfile.TemporaryDirectory() as folder:
        configure(Path(folder))
        from django.db import connection
        from django.test import Client

        from django_clientcert.testing import proxy_headers

        project = Project(options.mappings)
        client = Client()
        client.force_login(
            project.user, backend="django.contrib.auth.backends.ModelBackend"
        )
        cookie = client.cookies["sessionid"].value
        connection.close()
        session = {"Cookie": f"sessionid={cookie}"}
        certificate = proxy_headers(project.pinned.der)
        usual, keeping = Server(), Server(BENCHMARK_DECISION_SECONDS="3600")
        runs: dict[str, tuple[Server, str, dict[str, str], bytes]] = {
            "nothing": (usual, "/anothing/", {}, b"ok"),
            "session, auser()": (usual, "/awho/", session, b"alice"),
            "certificate: pin": (usual, "/awho/", certificate, b"alice"),
            "certificate: pin, decision kept": (
                keeping,
                "/awho/",
                certificate,
                b"alice",
            ),
        }
        times: dict[str, list[float]] = {name: [] for name in runs}
        try:
            for number in range(options.rounds + 1):
                for name, (server, path, headers, expected) in runs.items():
                    start = server.processor_time()
                    for _ in range(REQUESTS):
                        content = server.get(path, headers)
                        assert content == expected, (name, content)
                    if number:
                        spent = server.processor_time() - start
                        times[name].append(spent / REQUESTS)
        finally:
            usual.stop()
            keeping.stop()
        means = {name: statistics.fmean(values) for name, values in times.items()}
        base = means["nothing"]
        of_session = means["session, auser()"] - base
        rows: dict[str, Any] = {
            name: {
                "µs": round(mean, 0),
                "net, of a session": round((mean - base) / of_session, 3),
            }
            for name, mean in means.items()
        }
        title = "One asynchronous request, processor time of uvicorn"
        measuring.show(title, rows, options, chart="net, of a session")
        connection.close()


if __name__ == "__main__":
    main()
