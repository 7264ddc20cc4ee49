"""Recording refusals in the inbox of unknown certificates, and how often.

Anyone can make as many certificates as there are requests. So a process writes at
most one row of a database in a while. The refusals in between are counted, and the most
frequent certificates wait for their turn: until a request of the same database, since
another may be that of another tenant.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from ipaddress import ip_address
from threading import Lock
from typing import NamedTuple

from django.db import connections, router
from django.http import HttpRequest
from django.utils import timezone

from django_clientcert.conf import conf
from django_clientcert.evaluation.presented import Presented
from django_clientcert.exceptions import CertificateParseError, Reason
from django_clientcert.models import UnknownCertificate
from django_clientcert.requests import RequestState
from django_clientcert.x509.certificates import ClientCertificate

from .writing import writer

# Seconds between two writes of one process, however many refusals there are
WRITE_INTERVAL = 1.0
# Seconds between two writes of one certificate
REPEAT_INTERVAL = 60.0
# How many public keys are remembered, and how many certificates wait: a flood takes
# a few hundred kilobytes of memory at most.
MAX_REMEMBERED = 4096
MAX_WAITING = 32
# No address is longer, not even one of IPv6 with IPv4 at its end
MAX_ADDRESS = 45

# The reasons that are about the certificate. If a mapping refuses it, it is known
# already; and ``trust_unavailable`` is not about the certificate.
RECORDED = frozenset(
    {
        Reason.UNMAPPED,
        Reason.UNTRUSTED_ISSUER,
        Reason.INVALID_PATH,
        Reason.NOT_YET_VALID,
        Reason.EXPIRED,
        Reason.WRONG_PURPOSE,
        Reason.MALFORMED_CERTIFICATE,
        Reason.REVOKED,
        Reason.REVOCATION_UNKNOWN,
    }
)


class Sighting(NamedTuple):
    """One refusal of a certificate that the peer proved possession of."""

    certificate: ClientCertificate
    reason: Reason
    detail: str
    host: str
    address: str
    at: dt.datetime


@dataclass
class _Tally:
    """Per key: the refusals not yet written, and when the next write is due."""

    count: int = 0
    due_at: float = float("-inf")


class Throttle:
    """Decides which refusal is written when, for one database; no I/O.

    *clock* returns seconds and never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._next_write = float("-inf")
        # By public key, the most recent one last
        self._tallies: OrderedDict[bytes, _Tally] = OrderedDict()
        # The one that has waited longest comes first
        self.waiting: dict[bytes, Sighting] = {}

    def note(self, sighting: Sighting) -> None:
        """Count a refusal and queue it.

        Raises:
            CertificateParseError: the public key cannot be read.
        """
        key = sighting.certificate.public_key_bytes
        with self._lock:
            tally = self._tallies.setdefault(key, _Tally())
            tally.count += 1
            self._tallies.move_to_end(key)
            if len(self._tallies) > MAX_REMEMBERED:
                forgotten, _ = self._tallies.popitem(last=False)
                self.waiting.pop(forgotten, None)
            if self._clock() < tally.due_at:
                return
            if key not in self.waiting and len(self.waiting) >= MAX_WAITING:
                weakest = min(self.waiting, key=self._count_of)
                if self._count_of(weakest) >= tally.count:
                    return
                del self.waiting[weakest]
            self.waiting[key] = sighting

    def take(self) -> tuple[Sighting, int] | None:
        """Return the refusal to write now, with its count, or None.

        The most frequent certificate, and of equally frequent ones the one that has
        waited longest.
        """
        if not self.waiting:
            return None  # without the lock: the usual case
        with self._lock:
            now = self._clock()
            if now < self._next_write or not self.waiting:
                return None
            key = max(self.waiting, key=self._count_of)
            tally = self._tallies[key]
            count, tally.count = tally.count, 0
            tally.due_at = now + REPEAT_INTERVAL
            self._next_write = now + WRITE_INTERVAL
            return self.waiting.pop(key), count

    def put_back(self, sighting: Sighting, count: int) -> None:
        """Queue a refusal again that could not be written, with its count."""
        with self._lock:
            key = sighting.certificate.public_key_bytes
            tally = self._tallies.setdefault(key, _Tally())
            tally.count += count - 1
            tally.due_at = float("-inf")
        self.note(sighting)

    def _count_of(self, key: bytes) -> int:
        return self._tallies[key].count


# By alias, name and schema of the database
throttles: defaultdict[tuple[str, str, str], Throttle] = defaultdict(Throttle)


def find_unrecorded_refusal(state: RequestState) -> Callable[[], None] | None:
    """Return what records a refusal, or None. No I/O.

    It may be that of an earlier request, which could not be recorded then.
    """
    sighting = _sighting_of(state)
    if sighting is None and not any(one.waiting for one in list(throttles.values())):
        return None
    return partial(record_refusal, sighting) if conf.CLIENTCERT_INBOX_SIZE else None


def record_refusal(sighting: Sighting | None) -> None:
    """Count a refusal, if any, and record the one that is due. Never fails a request.

    Only a refusal of the database that is written to: in the thread of the request,
    because its connection says which one that is.
    """
    connection = connections[router.db_for_write(UnknownCertificate)]
    name = str(connection.settings_dict["NAME"])
    schema = str(getattr(connection, "schema_name", ""))  # django-tenants sets it
    throttle = throttles[connection.alias, name, schema]
    if sighting is not None:
        throttle.note(sighting)
    if writer.is_paused() or (due := throttle.take()) is None:
        return
    sighting, count = due
    record = partial(
        UnknownCertificate.record,
        sighting.certificate,
        reason=sighting.reason,
        detail=sighting.detail,
        host=sighting.host,
        address=sighting.address,
        count=count,
        size=conf.CLIENTCERT_INBOX_SIZE,
        at=sighting.at,
    )
    if not writer.write("unknown certificate", record):
        throttle.put_back(sighting, count)


def forget(certificate: ClientCertificate) -> None:
    """Remove a certificate that was accepted from the inbox.

    Raises:
        DatabaseError: the database cannot be written to.
    """
    if conf.CLIENTCERT_INBOX_SIZE:
        UnknownCertificate.objects.all().of_keys(certificate).delete()


def _sighting_of(state: RequestState) -> Sighting | None:
    """Return the refusal of this request, if it belongs into the inbox."""
    decision = state.decision
    if decision is None or decision.accepted:
        return None
    certificate, reason = decision.certificate, decision.reason
    if certificate is None or decision.mapping is not None or reason not in RECORDED:
        return None
    try:
        certificate.public_key_bytes  # noqa: B018 - the key of the row; cached
    except CertificateParseError:
        return None
    return Sighting(
        certificate,
        reason,
        decision.detail,
        state.host,
        find_address(state.request, state.presented),
        timezone.now(),
    )


def find_address(request: HttpRequest, presented: Presented) -> str:
    """Return the client's IP address as far as it is known, or "".

    Not the proxy's own: the proxy appends the client's to ``X-Forwarded-For``, so it
    is the last element there. If the proxy does not write that header, the client
    can: the address is for display only, never for a decision.
    """
    peer = presented.peer or ""
    if not presented.proxy.is_header:
        return _address(peer)
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR")
    last = forwarded.rpartition(",")[2] if isinstance(forwarded, str) else ""
    return _address(last) or _address(peer)


def _address(text: str) -> str:
    """Return the IP address that *text* spells, or ""."""
    text = text.strip()
    return _read_address(text) if len(text) <= MAX_ADDRESS else ""


@lru_cache(maxsize=1024)
def _read_address(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    # The zone identifier after a “%” is free text.
    return "" if "%" in str(address) else str(address)
