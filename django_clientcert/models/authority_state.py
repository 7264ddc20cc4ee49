"""What is remembered of an authority's revocations beside the entries themselves.

It stands in one column of the authority, so that the query of a request brings it
along: the lists that are loaded, what they say of the certificates in the bundle,
which of those are revoked here, and the periods whose certificates are.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from django_clientcert.x509.crl.reading import CRLInfo
from django_clientcert.x509.crl.reasons import read_reason
from django_clientcert.x509.crl.status import Hits
from django_clientcert.x509.crl.structure import Entry


@dataclass(frozen=True)
class Period:
    """Everything issued between two moments, both included, is revoked.

    ``number`` is the primary key of the revocation, as text.
    """

    number: str
    begin: dt.datetime
    end: dt.datetime

    def covers(self, not_before: dt.datetime) -> bool:
        """Tell whether a certificate valid from *not_before* was issued in it."""
        return self.begin <= not_before <= self.end


@dataclass(frozen=True)
class AuthorityState:
    """The revocations of one authority.

    ``lists`` are by their primary key, as text. ``hits`` are what they say of the
    certificates in the bundle. ``revoked`` are those of the bundle's certificates
    that are revoked here: SHA-256 of the DER, hex, and the revocation's key.
    """

    lists: Mapping[str, CRLInfo] = field(default_factory=dict)
    hits: Hits = field(default_factory=dict)
    revoked: Mapping[str, str] = field(default_factory=dict)
    periods: tuple[Period, ...] = ()

    def to_text(self) -> str:
        """Return it as JSON; empty where there is nothing to remember."""
        if not (self.lists or self.revoked or self.periods):
            return ""
        return json.dumps(
            {
                "lists": {key: one.to_json() for key, one in self.lists.items()},
                "hits": [
                    [
                        fingerprint,
                        str(entry.serial),
                        entry.reason,
                        entry.revoked_at and entry.revoked_at.isoformat(),
                    ]
                    for (fingerprint, _), entry in self.hits.items()
                ],
                "revoked": dict(self.revoked),
                "periods": [
                    [one.number, one.begin.isoformat(), one.end.isoformat()]
                    for one in self.periods
                ],
            }
        )


EMPTY = AuthorityState()


@lru_cache(maxsize=512)
def read_state(text: str) -> AuthorityState:
    """Return what ``AuthorityState.to_text()`` wrote.

    Raises:
        ValueError: it is something else; never taken for "nothing is revoked".
    """
    if not text:
        return EMPTY
    try:
        data = json.loads(text)
        return AuthorityState(
            lists={key: CRLInfo.from_json(one) for key, one in data["lists"].items()},
            hits={
                (fingerprint, int(serial)): Entry(
                    int(serial),
                    read_reason(reason),
                    revoked_at and dt.datetime.fromisoformat(revoked_at),
                )
                for fingerprint, serial, reason, revoked_at in data["hits"]
            },
            revoked=data["revoked"],
            periods=tuple(
                Period(
                    number,
                    dt.datetime.fromisoformat(begin),
                    dt.datetime.fromisoformat(end),
                )
                for number, begin, end in data["periods"]
            ),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the revocations cannot be read: {error!r}") from error
