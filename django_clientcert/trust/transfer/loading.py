"""The import of the rows of a file, validated as the admin validates input."""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import connections, router
from django.db.models import Model
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    MappingLock,
    Revocation,
    RevocationList,
    RevokedSerial,
    UnknownCertificate,
)
from django_clientcert.models.derived import renew_revisions
from django_clientcert.models.users import find_by_name
from django_clientcert.trust.issuers import check_authority, find_authority
from django_clientcert.x509 import identities
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl.reading import CRLInfo
from django_clientcert.x509.escaping import visible, visible_once
from django_clientcert.x509.identities import IdentityKind

from . import records
from .reading import Row, TransferError
from .records import Record, Refused, to_moment, to_text

_BATCH = 500
_WRONG_KIND = gettext_lazy("A field is missing or has the wrong type")
# What a row may be refused with: no input is an exception for the caller.
_REFUSALS = (
    *(Refused, ValidationError, ClientCertError),
    *(KeyError, TypeError, ValueError, AttributeError, OverflowError),
)

_FindKnown = Callable[[Collection[bytes]], Iterable[tuple[ClientCertificate, Any]]]


class Status(enum.Enum):
    """The result of a row."""

    NEW = "new"
    EXISTS = "exists"
    REFUSED = "refused"


class Outcome(NamedTuple):
    """The result of one row, with its place in the file and a description."""

    place: str
    what: str
    status: Status
    detail: str = ""
    is_mapping: bool = True


class _Candidate(NamedTuple):
    """A mapping, the keys of its certificate, and the owners of a typed digest."""

    place: str
    mapping: CertificateMapping
    keys: list[bytes]
    owners: list[Any]


@dataclass(kw_only=True)
class Loader:
    """Stores rows, in a transaction that the caller begins and ends.

    ``counts`` has the number of rows per status, and ``refused_others`` the number of
    refused rows that are not mappings.

    *kind* applies to mappings without one. *refuse_user* returns why certificates may
    not be mapped to a user, or None; *find_known* returns the known certificates with
    any of some keys, and their users; *mappings_only* refuses every other record;
    *stored* is called with each batch of stored rows.
    """

    kind: IdentityKind = IdentityKind.FINGERPRINT
    refuse_user: Callable[[Any], ValidationError | None] | None = None
    find_known: _FindKnown = lambda keys: ()
    mappings_only: bool = False
    stored: Callable[[list[Model]], None] = lambda rows: None

    def __post_init__(self) -> None:
        self.counts = dict.fromkeys(Status, 0)
        self.refused_others = 0
        self._using = router.db_for_write(CertificateMapping)
        self._authorities: dict[str, CertificateAuthority] = {}
        # Per CRL being stored: its row and the number of entries stored so far
        self._crls: dict[tuple[str, str], tuple[RevocationList, int]] = {}
        self._known: set[tuple[str, str]] = set()

    def load(self, rows: Iterable[Row]) -> Iterator[Outcome]:
        """Store *rows* and yield the outcome of each, in order.

        Raises:
            TransferError: the file ends before it is complete.
        """
        MappingLock.acquire(self._using)
        remaining = iter(rows)
        while batch := list(islice(remaining, _BATCH)):
            for outcome in self._load_batch(batch):
                self.counts[outcome.status] += 1
                if outcome.status is Status.REFUSED and not outcome.is_mapping:
                    self.refused_others += 1
                yield outcome
        for (name, _digest), (row, count) in self._crls.items():
            if count != row.entry_count:
                message = _(
                    "A CRL of “%(name)s” has %(expected)d entries, but the file "
                    "contains %(found)d."
                )
                name, expected = visible(name, 80), row.entry_count
                params = {"name": name, "expected": expected, "found": count}
                raise TransferError(message % params)
            renew_revisions([row.authority_id], self._using)

    def _load_batch(self, rows: list[Row]) -> Iterator[Outcome]:
        # By number, because a place is not unique.
        done: dict[int, Outcome | None] = {}
        mappings = {}
        for number, row in enumerate(rows):
            if row.record.get("type") == records.MAPPING:
                mappings[number] = row
            else:
                done[number] = self._load_other(row)
        done |= self._load_mappings(mappings)
        yield from filter(None, (done[number] for number in range(len(rows))))

    # --- authorities, CRLs, revocations --------------------------------------------

    def _load_other(self, row: Row) -> Outcome | None:
        """Return the outcome of *row*; None for a stored batch of serial numbers."""
        kind = row.record.get("type")
        what = _("row")
        if row.problem:
            # An unreadable row is a mapping in CSV, but may be anything in JSON.
            return Outcome(row.place, what, Status.REFUSED, row.problem, not kind)
        try:
            load = {
                records.AUTHORITY: self._load_authority,
                records.LIST: self._load_crl,
                records.SERIALS: self._load_serials,
                records.REVOCATION: self._load_revocation,
            }.get(str(kind))
            if load is None:
                text = _("“%(name)s” is not a record type")
                raise Refused(text % {"name": visible(str(kind), 40)})
            what = visible(str(row.record.get("name", kind)), 80)
            if self.mappings_only:
                raise Refused(
                    _("Only a superuser may import records other than mappings")
                )
            records.check_texts(row.record)
            status = load(row.record)
        except _REFUSALS as error:
            return Outcome(row.place, what, Status.REFUSED, _explain(error), False)
        return None if status is None else Outcome(row.place, what, status, "", False)

    def _load_authority(self, record: Record) -> Status:
        names = {to_text(name) for name in record["rule_groups"]}
        authority = CertificateAuthority(
            name=to_text(record["name"]),
            **{name: to_text(record[name]) for name in records.AUTHORITY_TEXTS},
            **{name: records.to_flag(record[name]) for name in records.AUTHORITY_FLAGS},
        )
        existing = CertificateAuthority.objects.filter(name=authority.name).first()
        if existing is not None:
            _compare(records.authority_record(existing), record)
            return Status.EXISTS
        groups = list(Group.objects.filter(name__in=names))
        if missing := sorted(names - {group.name for group in groups}):
            text = _("There is no group “%(name)s”")
            raise Refused(text % {"name": visible(missing[0], 80)})
        authority.full_clean(exclude=["revision"])
        authority.save()
        authority.rule_groups.set(groups)
        self.stored([authority])
        self._authorities.pop(authority.name, None)
        return Status.NEW

    def _load_crl(self, record: Record) -> Status:
        authority = self._find_authority(record["authority"])
        info = CRLInfo.from_json(record["info"])
        key = (authority.name, info.fingerprint)
        crls = authority.revocation_lists
        if key in self._crls or key in self._known:
            raise Refused(_("This CRL is in the file twice"))
        if crls.filter(fingerprint=info.fingerprint).exists():
            self._known.add(key)
            return Status.EXISTS
        if crls.exclude(
            pk__in={row.pk for row, _count in self._crls.values()}
        ).exists():
            text = _(
                "The authority has other CRLs here. Import this one with "
                "“clientcert crl import”"
            )
            raise Refused(text)
        row = RevocationList.of(
            authority, info, issuer=to_text(record["issuer"]), source=record["source"]
        )
        row.full_clean(exclude=["authority"])
        row.save()
        self.stored([row])
        self._crls[key] = (row, 0)
        return Status.NEW

    def _load_serials(self, record: Record) -> None:
        key = (to_text(record["authority"]), to_text(record["list"]))
        if key in self._known:
            return
        if key not in self._crls:
            raise Refused(_("The CRL of these serial numbers is missing"))
        crl, count = self._crls[key]
        rows = [
            RevokedSerial(
                crl=crl,
                serial=records.to_needed_key(serial),
                reason=None if reason is None else records.to_small(reason),
                revoked_at=to_moment(at),
            )
            for serial, reason, at in record["serials"]
        ]
        RevokedSerial.objects.bulk_create(rows, batch_size=_BATCH)
        self._crls[key] = crl, count + len(rows)

    def _load_revocation(self, record: Record) -> Status:
        name, by = record["authority"], record["revoked_by"]
        revocation = Revocation(
            authority=None if name is None else self._find_authority(name),
            **{
                name: convert(record[name])
                for name, convert in records.REVOCATION_VALUES.items()
            },
        )
        at = to_moment(record["revoked_at"])
        if Revocation.objects.equal_to(revocation).exists():
            return Status.EXISTS
        revocation.full_clean(exclude=["authority", "revoked_by"])
        revocation.revoked_by = None if by is None else find_by_name([by]).get(by)
        revocation.save()
        self.stored([revocation])
        if at is not None:
            Revocation.objects.filter(pk=revocation.pk).update(revoked_at=at)
        return Status.NEW

    # --- mappings --------------------------------------------------------------------

    def _load_mappings(self, rows: dict[int, Row]) -> dict[int, Outcome]:
        """Store mappings with a constant number of queries."""
        done: dict[int, Outcome] = {}
        names = (row.record.get("user") for row in rows.values())
        users = find_by_name(sorted({name for name in names if isinstance(name, str)}))
        candidates = {}
        for number, row in rows.items():
            try:
                candidates[number] = self._build(row, users)
            except _REFUSALS as error:
                what = visible(str(row.record.get("user") or _("row")), 80)
                done[number] = Outcome(row.place, what, Status.REFUSED, _explain(error))
        self._add_known(candidates.values())
        known = _find_stored(candidates.values())
        new: list[CertificateMapping] = []
        for number, candidate in candidates.items():
            place, mapping = candidate.place, candidate.mapping
            name = visible(mapping.user.get_username(), 80)
            kind = IdentityKind(mapping.kind)
            value = identities.show_value(kind, mapping.value, 80)
            what = f"{name}: {kind.value} {value}"
            try:
                is_new = self._is_new(candidate, known)
            except Refused as error:
                done[number] = Outcome(place, what, Status.REFUSED, str(error))
                continue
            if is_new:
                new.append(mapping)
                known.setdefault(bytes(mapping.key), []).append(mapping)
            done[number] = Outcome(place, what, Status.NEW if is_new else Status.EXISTS)
        if connections[self._using].features.can_return_rows_from_bulk_insert:
            CertificateMapping.objects.bulk_create(new)
        else:  # MySQL returns no primary keys, which the history needs
            for mapping in new:
                mapping.save(force_insert=True)
        self.stored(list(new))
        # Mapped certificates leave the inbox.
        mapped = (mapping.client_certificate() for mapping in new)
        UnknownCertificate.objects.all().of_keys(*filter(None, mapped)).delete()
        return done

    def _build(self, row: Row, users: dict[str, Any]) -> _Candidate:
        """Return the mapping of *row*, validated without looking at other mappings.

        Raises:
            Refused, ValidationError, ClientCertError: it cannot be stored.
        """
        record = {**dict.fromkeys(records.MAPPING_FIELDS), **row.record}
        records.check_texts(record)
        user = _choose_user(record["user"], users)
        if (refusal := self._why_not_map(user)) is not None:
            raise refusal
        der = records.to_der(record["certificate"])
        certificate = None if der is None else ClientCertificate(der)
        kind = self._choose_kind(record["kind"])
        mapping = CertificateMapping(
            user=user,
            kind=kind.value,
            value=to_text(record["value"] or ""),
            authority=self._choose_authority(record, kind, certificate),
            state=to_text(record["state"] or CertificateMapping.State.ACTIVE.value),
            valid_from=to_moment(record["valid_from"]),
            valid_until=to_moment(record["valid_until"]),
            hosts=to_text(record["hosts"] or ""),
            note=to_text(record["note"] or ""),
            certificate=der,
        )
        if not record["value"]:
            if certificate is None:
                raise Refused(_("A value or a certificate is required"))
            mapping.set_identity(identities.identity_of_kind(kind, certificate))
        mapping.clean_fields(exclude=["user", "authority", "key"])
        mapping.clean_alone()
        mapping.describe_certificate()
        if certificate is None:
            return _Candidate(row.place, mapping, [], [])
        found = identities.find_identities(certificate).found
        if (kind, mapping.key) not in {(own.kind, own.key) for own in found}:
            raise Refused(_("The certificate does not contain this value"))
        # Without a check of the users, only pins can stand in the way.
        keys = [own.key for own in found if own.kind.is_pin or self.refuse_user]
        return _Candidate(row.place, mapping, keys, [])

    def _add_known(self, candidates: Collection[_Candidate]) -> None:
        """Add what is known about the certificates of typed values."""
        typed = defaultdict(list)
        for candidate in candidates:
            if candidate.mapping.certificate is None:
                typed[candidate.mapping.key].append(candidate)
        for certificate, owner in self.find_known(typed.keys()) if typed else ():
            keys = [own.key for own in identities.find_identities(certificate).found]
            for candidate in chain(*(typed.get(key, ()) for key in keys)):
                candidate.keys.extend(keys)
                candidate.owners.extend([] if owner is None else [owner])

    def _why_not_map(self, user: Any) -> ValidationError | None:
        return None if self.refuse_user is None else self.refuse_user(user)

    def _choose_kind(self, name: Any) -> IdentityKind:
        try:
            return self.kind if name is None else IdentityKind(name)
        except ValueError as error:
            text = _("“%(name)s” is not a kind of mapping")
            raise Refused(text % {"name": visible(str(name), 40)}) from error

    def _choose_authority(
        self, record: Record, kind: IdentityKind, certificate: ClientCertificate | None
    ) -> CertificateAuthority | None:
        """Return the authority that *record* names; without a name, the issuer.

        Raises:
            Refused, ValidationError: there is none, or it did not issue *certificate*.
        """
        if record["authority"] is not None:
            authority = self._find_authority(record["authority"])
            # An exported mapping has a value. Its certificate may be older than the
            # bundle that vouches for the one renewed since.
            if certificate is not None and not record["value"]:
                check_authority(authority, certificate)
            return authority
        if kind.is_pin or certificate is None:
            return None  # the model’s validation requires one if necessary
        return find_authority(certificate)

    def _find_authority(self, name: Any) -> CertificateAuthority:
        name = to_text(name)
        if name not in self._authorities:
            authority = CertificateAuthority.objects.filter(name=name).first()
            if authority is None or authority.name != name:
                text = _("There is no authority “%(name)s”")
                raise Refused(text % {"name": visible(name, 80)})
            self._authorities[name] = authority
        return self._authorities[name]

    def _is_new(
        self, candidate: _Candidate, known: dict[bytes, list[CertificateMapping]]
    ) -> bool:
        """Return whether no equal mapping exists.

        Raises:
            Refused: it has other values; or it, or the certificate's key, is mapped to
                another user; or a user who may not be mapped would lose the
                certificate, because a more specific mapping takes precedence.
        """
        mapping, twin = candidate.mapping, None
        for other in known.get(bytes(mapping.key), ()):
            if not mapping.is_twin(other):
                continue
            if other.user_id != mapping.user_id:
                raise Refused(_("This is already mapped to another user"))
            twin = other
        for owner in () if twin is not None else candidate.owners:
            if owner != mapping.user and self._why_not_map(owner) is not None:
                text = _(
                    "A certificate with this value belongs to a user whose mappings "
                    "you may not change."
                )
                raise Refused(text)
        for other in (other for key in candidate.keys for other in known.get(key, ())):
            if other.user_id == mapping.user_id:
                continue
            if other.is_pin:
                raise Refused(
                    _("The key of this certificate is mapped to another user")
                )
            if twin is None and self._why_not_map(other.user) is not None:
                text = _(
                    "Mapping %(pk)s (%(kind)s) maps this certificate to a user whose "
                    "mappings you may not change."
                )
                kind = other.get_kind_display()
                raise Refused(text % {"pk": other.pk, "kind": kind})
        if twin is not None:
            _compare(records.mapping_record(twin), records.mapping_record(mapping))
        return twin is None


def _choose_user(name: Any, users: dict[str, Any]) -> Any:
    if not isinstance(name, str):
        raise Refused(_("The user is missing"))
    if name not in users:
        field = get_user_model().USERNAME_FIELD
        text = _("No user, or more than one, has the %(field)s “%(name)s”")
        raise Refused(text % {"field": field, "name": visible(name, 80)})
    return users[name]


def _find_stored(
    candidates: Collection[_Candidate],
) -> dict[bytes, list[CertificateMapping]]:
    """Return the stored mappings that could conflict, by their key."""
    keys = sorted(
        {bytes(candidate.mapping.key) for candidate in candidates}.union(
            *(candidate.keys for candidate in candidates)
        )
    )
    known: dict[bytes, list[CertificateMapping]] = {}
    for start in range(0, len(keys), _BATCH):
        for mapping in CertificateMapping.objects.matching(
            keys[start : start + _BATCH]
        ):
            known.setdefault(bytes(mapping.key), []).append(mapping)
    return known


def _compare(there: Record, wanted: Record) -> None:
    """Refuse a row that exists with other values, because nothing is overwritten.

    Raises:
        Refused: names the fields that differ.
    """
    names = [name for name in there if there[name] != wanted.get(name)]
    if names:
        text = _("This exists already, with different values in: %(names)s")
        raise Refused(text % {"names": ", ".join(names)})


def _explain(error: Exception) -> str:
    """Return why a row is refused, safe to show."""
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, ClientCertError):
        return visible_once(str(error), 500)
    if not isinstance(error, ValidationError):
        return str(_WRONG_KIND)
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return " ".join(
        f"{name}: {visible_once(text, 500)}"
        for name, texts in error.message_dict.items()
        for text in texts
    )
