"""A process keeps what it has read of an authority, and is never out of date."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from django.core.management import call_command
from django.db import DatabaseError, connection, connections, transaction

from django_clientcert.evaluation import lookup, run
from django_clientcert.models import (
    CertificateAuthority,
    Revocation,
    RevocationList,
)
from django_clientcert.models import authority_state as module
from django_clientcert.models.authority_state import (
    get_state,
    load_state,
    preload_states,
)
from django_clientcert.testing import IssuedCertificate, ThrowawayCA
from django_clientcert.trust.crl_import import import_crl
from django_clientcert.trust.revoke import revoke_certificate, revoke_period
from django_clientcert.x509.certificates import ClientCertificate
from tests.deciding import decide, map_to
from tests.queries import captured

NOW = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
DAY = dt.timedelta(days=1)
FOREVER = (NOW - 4000 * DAY, NOW + DAY)

in_transaction = pytest.mark.django_db
with_commits = pytest.mark.django_db(transaction=True)
on_a_server = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite has one writer at a time"
)


@contextmanager
def undone() -> Iterator[None]:
    """Roll back what is done in the block."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Begin as a new process."""
    module._states.clear()
    yield
    module._states.clear()


@pytest.fixture
def mapped(alice: Any, authority: CertificateAuthority) -> CertificateAuthority:
    """An authority, and a mapping of alice by her name."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    return authority


def revision_of(authority: CertificateAuthority) -> uuid.UUID:
    """Return the revision in the database."""
    return CertificateAuthority.objects.values_list("revision", flat=True).get(
        pk=authority.pk
    )


def ca_certificate(ca: ThrowawayCA) -> ClientCertificate:
    """Return a CA's own certificate."""
    return ClientCertificate(ca.certificate.public_bytes(Encoding.DER))


# --- what a request costs --------------------------------------------------------


@in_transaction
def test_one_query_once_the_revision_is_known(
    mapped: CertificateAuthority, alice_cert: IssuedCertificate
) -> None:
    """And none of it brings the bundle."""
    assert decide(alice_cert).accepted
    with captured("as it is") as queries:
        assert decide(alice_cert).accepted
    (query,) = queries
    assert "bundle" not in query.sql
    mapped.save()
    with captured("as it is") as queries:
        assert decide(alice_cert).accepted
    assert len(queries) == 1 + 4  # no CRL, so no entries to look for


@in_transaction
def test_no_more_states_are_kept_than_allowed(
    ca: ThrowawayCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were not used for longest go first."""
    monkeypatch.setattr(module, "MAX_KEPT", 2)
    first, second, third = (
        CertificateAuthority.objects.create(name=name, bundle=ca.pem) for name in "abc"
    )
    for each in (first, second, first, third):
        get_state(each)
    assert {key[1] for key in module._states} == {first.pk, third.pk}


# --- the states of many authorities ----------------------------------------------


@pytest.fixture
def several(ca: ThrowawayCA) -> list[CertificateAuthority]:
    """Authorities that share a CA, which the first two revoke in different ways."""
    authorities = [
        CertificateAuthority.objects.create(name=name, bundle=ca.pem) for name in "abc"
    ]
    for authority in authorities:
        import_crl(authority, ca.crl([7]))
    import_crl(authorities[0], ca.crl([ca.certificate.serial_number], number=2))
    revoke_period(authorities[1], *FOREVER)
    revoke_certificate(ca_certificate(ca))
    return list(CertificateAuthority.objects.order_by("name"))


@in_transaction
def test_many_states_are_read_by_five_queries(
    several: list[CertificateAuthority],
) -> None:
    """Each is the one that would be read by itself; then they are known."""
    with captured("cold") as queries:
        preload_states(several)
    assert len(queries) == 5
    with captured("as it is") as queries:
        preload_states(several)
        preload_states([])
        states = [get_state(authority) for authority in several]
    assert not queries
    assert states == [load_state(authority.pk, "default") for authority in several]
    assert [bool(state.hits) for state in states] == [True, False, False]
    assert [bool(state.periods) for state in states] == [False, True, False]


@in_transaction
def test_what_is_not_preloaded(
    several: list[CertificateAuthority], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long bundle, a CRL that cannot be read, and what changes meanwhile."""
    first, second, third = several
    third.bundle += " " * module.MAX_PRELOADED
    RevocationList.objects.filter(authority=second).update(info="{}")
    second.refresh_from_db()
    read = module._read_rows

    def read_and_change(*arguments: Any) -> Any:
        rows = read(*arguments)
        first.save()
        return rows

    monkeypatch.setattr(module, "_read_rows", read_and_change)
    preload_states(several)
    assert not module._states
    monkeypatch.setattr(module, "_is_consistent", lambda using: False)
    with captured("cold") as queries:
        preload_states(several)
    assert not queries


# --- every change counts at once -------------------------------------------------

CHANGES: dict[str, Callable[[CertificateAuthority, ThrowawayCA], Any]] = {
    "saved": lambda authority, ca: authority.save(),
    "saved in part": lambda authority, ca: authority.save(update_fields=["note"]),
    "updated": lambda authority, ca: CertificateAuthority.objects.update(note="x"),
    "CRL imported": lambda authority, ca: import_crl(authority, ca.crl([7])),
    "CRL deleted": lambda authority, ca: RevocationList.objects.all().delete(),
    "period revoked": lambda authority, ca: revoke_period(authority, *FOREVER),
    "revocations deleted": lambda authority, ca: Revocation.objects.all().delete(),
    "CA revoked": lambda authority, ca: revoke_certificate(ca_certificate(ca)),
}


@in_transaction
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_renews_the_revision(
    authority: CertificateAuthority,
    ca: ThrowawayCA,
    change: Callable[[CertificateAuthority, ThrowawayCA], Any],
) -> None:
    """Through whatever method of the models."""
    import_crl(authority, ca.crl([5]))
    revoke_period(authority, NOW, NOW)
    authority.refresh_from_db()
    before = revision_of(authority)
    change(authority, ca)
    assert revision_of(authority) != before


@in_transaction
def test_a_revocation_that_is_changed_counts_for_both(
    mapped: CertificateAuthority, alice_cert: IssuedCertificate, other_ca: ThrowawayCA
) -> None:
    """Where it was, and where it is now."""
    other = CertificateAuthority.objects.create(name="Other", bundle=other_ca.pem)
    revocation = revoke_period(mapped, *FOREVER)
    assert decide(alice_cert).reason == "revoked"
    revocation.authority = other
    revocation.save()
    assert decide(alice_cert).accepted
    revocation.authority = mapped
    revocation.save()
    assert decide(alice_cert).reason == "revoked"


@in_transaction
def test_a_fixture_does_not_bring_an_old_revision_back(
    mapped: CertificateAuthority, alice_cert: IssuedCertificate, tmp_path: Path
) -> None:
    """This process knows it with other content: a revocation came later."""
    assert decide(alice_cert).accepted
    file = tmp_path / "dump.json"
    call_command("dumpdata", "django_clientcert", output=str(file), verbosity=0)
    revoke_period(mapped, *FOREVER)
    assert decide(alice_cert).reason == "revoked"
    call_command("loaddata", str(file), verbosity=0)
    assert decide(alice_cert).reason == "revoked"


# --- transactions ----------------------------------------------------------------


@in_transaction
def test_what_was_rolled_back_is_forgotten(
    mapped: CertificateAuthority, alice_cert: IssuedCertificate
) -> None:
    """Neither the revocation stays, nor does taking it back."""
    assert decide(alice_cert).accepted
    with undone():
        revoke_period(mapped, *FOREVER)
        assert decide(alice_cert).reason == "revoked"
    assert decide(alice_cert).accepted
    revocation = revoke_period(mapped, *FOREVER)
    assert decide(alice_cert).reason == "revoked"
    with undone():
        Revocation.objects.get(pk=revocation.pk).delete()
        assert decide(alice_cert).accepted
    assert decide(alice_cert).reason == "revoked"


@in_transaction
def test_a_state_that_changes_while_it_is_read_is_read_again(
    mapped: CertificateAuthority,
    alice_cert: IssuedCertificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A change between the two looks at the revision; one at a time, and always."""
    read = module._read_rows
    changes = [1]

    def read_and_change(*arguments: Any) -> Any:
        rows = read(*arguments)
        if changes:
            changes.pop()
            revoke_period(mapped, *FOREVER)
            mapped.save()
        return rows

    monkeypatch.setattr(module, "_read_rows", read_and_change)
    assert decide(alice_cert).reason == "revoked"
    assert decide(alice_cert).reason == "revoked"
    changes[:] = range(1000)
    mapped.save()
    assert decide(alice_cert).reason == "trust_unavailable"
    with pytest.raises(DatabaseError):
        load_state(mapped.pk, "default")
    changes.clear()
    assert decide(alice_cert).reason == "revoked"


@in_transaction
def test_a_crl_that_is_replaced_after_the_query_does_not_lose_its_entries(
    mapped: CertificateAuthority,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The entries of the query are of the old CRL, the state is of the new one."""
    serial = ClientCertificate(alice_cert.der).serial_number
    import_crl(mapped, ca.crl([serial], number=1))
    load = module.load_state
    replaced: list[int] = []

    def replace_and_load(*arguments: Any) -> Any:
        if not replaced:
            replaced.append(1)
            import_crl(mapped, ca.crl([serial], number=2))
        return load(*arguments)

    monkeypatch.setattr(module, "load_state", replace_and_load)
    assert decide(alice_cert).reason == "revoked"
    assert replaced


def in_thread(work: Callable[[], Any]) -> Any:
    """Return what *work* returns, on a connection of its own."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        finally:
            connections.close_all()

    thread = Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


@on_a_server
@with_commits
@pytest.mark.parametrize("level", ["read committed", "repeatable read"])
def test_a_transaction_leaves_no_older_state_behind(
    mapped: CertificateAuthority, alice_cert: IssuedCertificate, level: str
) -> None:
    """It began before a revocation, and looks at the authority after it.

    In MariaDB, a row that the transaction has written to is seen as it is now, all
    others as they were when the transaction began.
    """
    assert decide(alice_cert).accepted
    isolation = f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}"
    if connection.vendor == "mysql":
        isolation = f"SET SESSION TRANSACTION ISOLATION LEVEL {level}"
    kept = getattr(connection, "isolation_level", None)
    with connection.cursor() as cursor:
        cursor.execute(isolation)
    if connection.vendor == "mysql":
        connection.isolation_level = level  # type: ignore[attr-defined]
    try:
        with transaction.atomic():
            Revocation.objects.count()  # the snapshot is made
            in_thread(lambda: revoke_period(mapped, *FOREVER))
            decide(alice_cert)
            row = CertificateAuthority._base_manager.filter(pk=mapped.pk)
            # PostgreSQL, and newer MariaDB: somebody else was faster
            with suppress(DatabaseError):
                with transaction.atomic():
                    row.update(note="changed")
                decide(alice_cert)
    finally:
        connection.close()
        if connection.vendor == "mysql":
            connection.isolation_level = kept  # type: ignore[attr-defined]
    assert decide(alice_cert).reason == "revoked"
    assert in_thread(lambda: decide(alice_cert).reason) == "revoked"


@on_a_server
@with_commits
def test_of_two_writers_neither_is_lost(
    mapped: CertificateAuthority, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """The second waits for the row of the authority, and renews it once more."""
    started = Event()
    seen: list[str | None] = []

    def revoke() -> None:
        started.set()
        revoke_period(mapped, *FOREVER)

    with transaction.atomic():
        import_crl(mapped, ca.crl([7]))
        thread = Thread(target=lambda: (revoke(), connections.close_all()))
        thread.start()
        started.wait(10)
        seen.append(decide(alice_cert).reason)
    thread.join()
    assert seen in ([None], ["revoked"])
    assert decide(alice_cert).reason == "revoked"
    assert len(get_state(CertificateAuthority.objects.get()).crls) == 1


@on_a_server
@with_commits
def test_a_ca_revoked_while_its_bundle_is_saved_counts(
    authority: CertificateAuthority, ca: ThrowawayCA, other_ca: ThrowawayCA, alice: Any
) -> None:
    """Neither transaction sees what the other one writes."""
    issuing = ca.issue_ca("Issuing")
    certificate = issuing.issue("alice")
    second = CertificateAuthority.objects.create(name="Second", bundle=other_ca.pem)
    map_to(alice, "subject", "CN=alice", authority=second)

    def save() -> None:
        second.bundle = ca.pem + issuing.pem
        second.save()
        # Read between the two commits
        assert decide(certificate).accepted

    with transaction.atomic():
        revoke_certificate(ca_certificate(issuing))
        in_thread(save)
    assert decide(certificate).reason == "revoked"


KILLED = """
import os, signal, sys
import django
django.setup()
from django.db import connection, transaction
from django_clientcert.models import CertificateAuthority, derived
from django_clientcert.trust.revoke import revoke_period
import datetime as dt
connection.settings_dict["NAME"] = sys.argv[1]
def die(*arguments, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
renew = derived.renew_revisions
def renew_and_die(*arguments):
    if sys.argv[2] == "after":
        renew(*arguments)
    die()
derived.renew_revisions = renew_and_die
now = dt.datetime.now(dt.timezone.utc)
revoke_period(CertificateAuthority.objects.get(), now - dt.timedelta(4000), now)
"""


@on_a_server
@with_commits
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_writer_that_is_killed_changes_nothing(
    mapped: CertificateAuthority, alice_cert: IssuedCertificate, moment: str
) -> None:
    """Between its statements: the revocation and the revision are one transaction."""
    assert decide(alice_cert).accepted
    before = revision_of(mapped)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, connection.settings_dict["NAME"], moment],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert done.returncode == -signal.SIGKILL
    assert not Revocation.objects.exists()
    assert revision_of(mapped) == before
    assert decide(alice_cert).accepted


@in_transaction
def test_an_authority_that_was_deleted_meanwhile_has_no_state(authority: Any) -> None:
    """Nothing is kept for it."""
    kept = CertificateAuthority.objects.get(pk=authority.pk)
    authority.delete()
    assert get_state(kept).revision is None


@in_transaction
def test_a_transaction_that_sees_two_moments_keeps_nothing(
    authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MariaDB's REPEATABLE READ; each look reads the tables again."""
    monkeypatch.setattr(module, "_is_consistent", lambda using: False)
    before = dict(module._states)
    assert get_state(authority).revision == authority.revision
    assert module._states == before


@in_transaction
def test_authorities_that_change_all_the_time_are_unavailable(
    authority: Any, alice: Any, alice_cert: IssuedCertificate, monkeypatch: Any
) -> None:
    """After some attempts the answer is a refusal, not a decision of two moments."""
    map_to(alice, "subject", "CN=alice", authority=authority)
    monkeypatch.setattr(run, "find_shortcut", lambda keys: None)
    monkeypatch.setattr(lookup, "ATTEMPTS", 0)
    assert decide(alice_cert).reason == "trust_unavailable"
