"""What clients see while the database fails: ``python -m tests.faults``.

A PostgreSQL of its own, gunicorn and uvicorn in front of it, and for each fault some
thirty requests a second of clients whose right answer is known. The table says how
many got it, how many were told that the service is not available (503), and what must
never happen: the wrong answer. The exit status is 1 if that happened, or if a client
did not get its answer again after the fault had ended.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django_clientcert.testing import proxy_headers
from tests.end_to_end.conftest import ROOT, Application, environment
from tests.end_to_end.pki import PINNED, Pki
from tests.with_database import DATABASE, PostgreSQL, running

# Who is asked about, and as whom they are right
USERS: dict[str, str | None] = {
    "alice": "alice",  # by fingerprint
    "bob": "bob",  # by subject
    "dora": "dora",  # by a rule
    "mallory": None,
    "imitation": None,
    "revoked": None,
    "expired": None,
}
CLIENTS = 30
SECONDS = 6.0
RECOVERY = 30.0


@dataclass
class Results:
    """The answers of one fault, by what they were worth."""

    counts: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    recovered: float | None = None

    @property
    def failed(self) -> bool:
        """Whether somebody got an answer that is wrong, or none in the end."""
        wrong = self.counts["accepted"] + self.counts["refused"] + self.counts["error"]
        return bool(wrong) or self.recovered is None


class Load:
    """Clients that ask once a second each, as a proxy forwards them."""

    def __init__(self, address: str, pki: Pki) -> None:
        self.address = address
        self.headers = {
            name: {
                **proxy_headers(pki.certificates[name].der),
                "X-Forwarded-Proto": "https",
            }
            for name in USERS
        }

    def ask(self, name: str, results: Results) -> str:
        """Return what the answer is worth, and count it."""
        began = time.monotonic()
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request("GET", "/ledger/", headers=self.headers[name])
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        results.slowest = max(results.slowest, time.monotonic() - began)
        outcome = self._judge(USERS[name], response.status, body)
        results.counts[outcome] += 1
        return outcome

    @staticmethod
    def _judge(user: str | None, status: int, body: bytes) -> str:
        if status == http.client.SERVICE_UNAVAILABLE:
            return "unavailable"
        if status == http.client.OK:
            return "right" if json.loads(body)["user"] == user else "accepted"
        if status == http.client.FORBIDDEN:
            return "refused" if user else "right"
        return "error"

    def run(self, seconds: float, results: Results) -> None:
        """Ask for *seconds*, thirty times in each."""
        end = time.monotonic() + seconds

        def client(number: int) -> None:
            names = list(USERS)
            time.sleep(number / CLIENTS)
            while time.monotonic() < end:
                due = time.monotonic() + 1
                self.ask(names[number % len(names)], results)
                number += 1
                time.sleep(max(0.0, due - time.monotonic()))

        threads = [threading.Thread(target=client, args=[n]) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def recover(self, results: Results) -> None:
        """Ask until everybody gets the right answer, and say how long that took."""
        began = time.monotonic()
        while time.monotonic() - began < RECOVERY:
            rest = Results()
            if all(self.ask(name, rest) == "right" for name in USERS):
                results.recovered = time.monotonic() - began
                return
            time.sleep(0.2)


# --- the faults -------------------------------------------------------------------


class Faults:
    """What happens to the database; each is undone when its context ends."""

    def __init__(self, server: PostgreSQL) -> None:
        self.server = server
        # Those for whom there is no connection say so.
        self.log = (server.folder / "psql.log").open("ab")

    def sql(self, *statements: str) -> subprocess.Popen[bytes]:
        """Begin to run *statements* in a session of their own."""
        command = ["psql", "--host", str(self.server.folder), "--username"]
        command += ["clientcert", "--quiet", "--no-psqlrc", DATABASE]
        for statement in statements:
            command += ["-c", statement]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.log)

    @contextmanager
    def nothing(self) -> Iterator[None]:
        """No fault, to compare with."""
        yield

    @contextmanager
    def restart(self) -> Iterator[None]:
        """The server is stopped for two seconds, and started again."""
        self.server.stop()
        time.sleep(2)
        self.server.start()
        yield

    @contextmanager
    def crash(self) -> Iterator[None]:
        """The server is killed, and started again after two seconds."""
        self.server.kill()
        time.sleep(2)
        self.server.start()
        yield

    @contextmanager
    def sessions_ended(self) -> Iterator[None]:
        """Each session is terminated, three times."""
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        for _ in range(3):
            self.sql(
                f"{others} WHERE pid <> pg_backend_pid() AND "
                "backend_type = 'client backend'"
            ).wait()
            time.sleep(1)
        yield

    @contextmanager
    def full(self) -> Iterator[None]:
        """No connection is left for new sessions."""
        sessions = [self.sql("SELECT pg_sleep(4)") for _ in range(110)]
        yield
        for session in sessions:
            session.wait()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Nothing can be written, as on a replica that was promoted too late."""
        setting = "ALTER DATABASE clientcert SET default_transaction_read_only TO "
        self.sql(setting + "on").wait()
        with self.sessions_ended():
            yield
        self.sql("SET default_transaction_read_only TO off", setting + "off").wait()
        with self.sessions_ended():
            pass

    @contextmanager
    def mappings_locked(self) -> Iterator[None]:
        """A migration has the table of the mappings for four seconds."""
        with self._locked("django_clientcert_certificatemapping"):
            yield

    @contextmanager
    def seen_locked(self) -> Iterator[None]:
        """Something has the table of accepted certificates for four seconds."""
        with self._locked("django_clientcert_seencertificate", "SHARE"):
            yield

    @contextmanager
    def _locked(self, table: str, mode: str = "ACCESS EXCLUSIVE") -> Iterator[None]:
        lock = f"BEGIN; LOCK TABLE {table} IN {mode} MODE; SELECT pg_sleep(4); COMMIT"
        session = self.sql(lock)
        yield
        session.wait()


NAMES = (
    "nothing",
    "restart",
    "crash",
    "sessions_ended",
    "full",
    "read_only",
    "mappings_locked",
    "seen_locked",
)


def run_fault(load: Load, fault: Callable[[], Any]) -> Results:
    """Return what clients saw while *fault* happened, and after it."""
    results = Results()
    clients = threading.Thread(target=load.run, args=[SECONDS, results])
    clients.start()
    time.sleep(0.5)
    with fault():
        clients.join()
    load.recover(results)
    return results


def prepare(folder: Path, pki: Pki, settings: dict[str, Any]) -> None:
    """Fill the database."""
    (folder / "bundle.pem").write_text(pki.ca.pem + pki.issuing.pem)
    for name in PINNED:
        fingerprint = pki.certificates[name].fingerprint
        (folder / f"{name}.fingerprint").write_text(fingerprint)
    revoked = folder / "revoked.pem"
    revoked.write_text(pki.certificates["revoked"].pem)
    for command in (
        ["-m", "tests.end_to_end.seed", str(folder)],
        ["-m", "django", "clientcert", "revoke", str(revoked)],
    ):
        subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment(folder, settings),
            check=True,
            stdout=subprocess.DEVNULL,
        )


def main() -> int:
    """Return 1 if an answer was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__.partition("\n\n")[2]
    )
    parser.add_argument("faults", nargs="*", choices=[[], *NAMES], metavar="FAULT")
    parser.add_argument(
        "--interface", choices=["wsgi", "asgi"], action="append", default=[]
    )
    options = parser.parse_args()
    failed = False
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running(PostgreSQL))
        assert isinstance(server, PostgreSQL)
        database = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": DATABASE,
            "HOST": str(server.folder),
            "USER": "clientcert",
        }
        settings = {
            "DATABASES": {"default": database},
            "CLIENTCERT_LAST_USED_INTERVAL": 1,  # so that each request writes
        }
        pki = Pki()
        prepare(folder, pki, settings)
        print(f"{'':24}  right  503  wrongly: accepted  refused  5xx  slowest  back in")
        for interface in options.interface or ["wsgi", "asgi"]:
            application = Application(folder, interface, interface, settings)
            stack.callback(application.stop)
            application.wait()
            load = Load(application.address, pki)
            for name in options.faults or NAMES:
                results = run_fault(load, getattr(Faults(server), name))
                counts, back = results.counts, results.recovered
                print(
                    f"{interface} {name:19}  {counts['right']:5} "
                    f"{counts['unavailable']:4}  {counts['accepted']:17} "
                    f"{counts['refused']:8} {counts['error']:4}  "
                    f"{results.slowest:5.1f} s  "
                    f"{'never' if back is None else f'{back:5.1f} s'}",
                    flush=True,
                )
                failed |= results.failed
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
