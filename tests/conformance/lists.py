"""Revocation lists of a conformance case: imported, and asked about a path."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django_clientcert.exceptions import RevocationListError
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl.reading import CRLInfo, ParsedCRL, read_crl
from django_clientcert.x509.crl.status import (
    RevocationPolicy,
    check_path,
    collect_hits,
    lookups,
)
from django_clientcert.x509.paths import Path, PathValidator


@dataclass
class Loaded:
    """The lists that passed, and why the others did not."""

    lists: list[ParsedCRL]
    refused: list[str]

    @property
    def infos(self) -> list[CRLInfo]:
        """What has to be known of the lists besides their entries."""
        return [one.info for one in self.lists]


def load_lists(
    encoded: Sequence[bytes],
    issuers: Sequence[ClientCertificate],
    at: dt.datetime,
    signers: PathValidator,
    *,
    require_number: bool = False,
) -> Loaded:
    """Import lists one behind the other, as an administrator would."""
    loaded = Loaded([], [])
    for one in encoded:
        try:
            loaded.lists.append(
                read_crl(
                    one,
                    issuers,
                    at=at,
                    previous=loaded.infos,
                    signers=signers,
                    require_number=require_number,
                )
            )
        except RevocationListError as error:
            loaded.refused.append(f"{error.code}: {error}")
    return loaded


def check(path: Path, loaded: Loaded, at: dt.datetime, signers: PathValidator) -> None:
    """Ask whether *path* is revoked, with the entries that are asked for.

    Raises:
        Refusal: it is, or nobody knows.
    """
    asked = lookups(path, loaded.infos, at=at, signers=signers)
    hits = collect_hits(
        (one.info.fingerprint, entry)
        for one in loaded.lists
        for entry in one.entries()
        if (one.info.fingerprint, entry.serial) in asked
    )
    check_path(
        path,
        loaded.infos,
        hits,
        at=at,
        policy=RevocationPolicy.REQUIRED,
        signers=signers,
    )
