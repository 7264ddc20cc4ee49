"""The import of the rows of a file, validated as the admin validates input."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import router
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
from django_clientcert.trust.issuers import find_authority
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl.reading import CRLInfo
from django_clientcert.x509.escaping import visible, visible_once
from django_clientcert.x509.identities import (
    Identity,
    IdentityKind,
    find_identities,
    identity_of_kind,
    show_value,
)

from .parts import (
    Refused,
    check_texts,
    to_der,
    to_flag,
    to_key,
    to_moment,
    to_needed_key,
    to_small,
    to_text,
)
from .reading import Row, TransferError
from .records import (
    AUTHORITY,
    AUTHORITY_FLAGS,
    AUTHORITY_TEXTS,
    LIST,
    MAPPING,
    MAPPING_FIELDS,
    REVOCATION,
    SERIALS,
    Record,
    authority_record,
    mapping_record,
    revocation_record,
)

_BATCH = 500
_WRONG_KIND = gettext_lazy("A field is missing or has the wrong type")


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
    place: str
    mapping: CertificateMapping
    pins: frozenset[bytes]


class Loader:
    """Stores rows, in a transaction that the caller begins and ends.

    ``counts`` has the number of rows per status, and ``refused_others`` the number of
    refused rows that are not mappings.

    *kind* applies to mappings without one. *refuse_user* returns why certificates may
    not be mapped to a user, or None; *mappings_only* refuses every other record;
    *stored* is called with each batch of stored rows.
    """

    def __init__(
        self,
        *,
        kind: IdentityKind = IdentityKind.FINGERPRINT,
        refuse_user: Callable[[Any], ValidationError | None] = lambda user: None,
        mappings_only: bool = False,
        stored: Callable[[list[Model]], None] = lambda rows: None,
    ) -> None:
        self.counts = dict.fromkeys(Status, 0)
        self.refused_others = 0
        self._kind = kind
        self._refuse_user = refuse_user
        self._mappings_only = mappings_only
        self._stored = stored
        self._using = router.db_for_write(CertificateMapping)
        self._authorities: dict[str, CertificateAuthority] = {}
        # Per CRL being stored: its row and the number of entries stored so far
        self._lists: dict[tuple[str, str], tuple[RevocationList, int]] = {}
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
        for (name, _digest), (row, count) in self._lists.items():
            if count != row.entry_count:
                raise TransferError(
                    _(
                        "A CRL of “%(name)s” has %(expected)d entries, but the file "
                        "contains %(found)d."
                    )
                    % {
                        "name": visible(name, 80),
                        "expected": row.entry_count,
                        "found": count,
                    }
                )
            renew_revisions([row.authority_id], self._using)

    def _load_batch(self, rows: list[Row]) -> Iterator[Outcome]:
        # By number, because a place is not unique.
        done: dict[int, Outcome | None] = {}
        mappings = {}
        for number, row in enumerate(rows):
            if row.record.get("type") == MAPPING:
                mappings[number] = row
            else:
                done[number] = self._load_other(row)
        done |= self._load_mappings(mappings)
        for number in range(len(rows)):
            outcome = done[number]
            if outcome is not None:
                yield outcome

    # --- authorities, CRLs, revocations --------------------------------------------

    def _load_other(self, row: Row) -> Outcome | None:
        """Return the outcome of *row*; None for a stored batch of serial numbers."""
        kind = row.record.get("type")
        what = visible(str(row.record.get("name", kind or _("row"))), 80)
        if row.problem:
            # An unreadable row is a mapping in CSV, but may be anything in JSON.
            return Outcome(row.place, _("row"), Status.REFUSED, row.problem, not kind)
        try:
            load = {
                AUTHORITY: self._load_authority,
                LIST: self._load_list,
                SERIALS: self._load_serials,
                REVOCATION: self._load_revocation,
            }[str(kind)]
        except KeyError:
            detail = _("“%(name)s” is not a record type")
            detail %= {"name": visible(str(kind), 40)}
            return Outcome(row.place, _("row"), Status.REFUSED, detail, False)
        if self._mappings_only:
            detail = _("Only a superuser may import records other than mappings")
            return Outcome(row.place, what, Status.REFUSED, detail, False)
        try:
            check_texts(row.record)
            status = load(row.record)
        except Refused as error:
            return Outcome(row.place, what, Status.REFUSED, str(error), False)
        except ValidationError as error:
            detail = _join(error)
            return Outcome(row.place, what, Status.REFUSED, detail, False)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return Outcome(row.place, what, Status.REFUSED, str(_WRONG_KIND), False)
        if status is None:
            return None
        return Outcome(row.place, what, status, "", False)

    def _load_authority(self, record: Record) -> Status:
        texts = {name: to_text(record[name]) for name in AUTHORITY_TEXTS}
        flags = {name: to_flag(record[name]) for name in AUTHORITY_FLAGS}
        names = sorted({to_text(one) for one in record["rule_groups"]})
        authority = CertificateAuthority(name=to_text(record["name"]), **texts, **flags)
        existing = CertificateAuthority.objects.filter(name=authority.name).first()
        if existing is not None:
            _compare(authority_record(existing), record)
            return Status.EXISTS
        groups = list(Group.objects.filter(name__in=names))
        if missing := sorted(set(names) - {one.name for one in groups}):
            text = _("There is no group “%(name)s”")
            raise Refused(text % {"name": visible(missing[0], 80)})
        authority.full_clean(exclude=["revision"])
        authority.save()
        authority.rule_groups.set(groups)
        self._stored([authority])
        self._authorities.pop(authority.name, None)
        return Status.NEW

    def _load_list(self, record: Record) -> Status:
        authority = self._find_authority(record["authority"])
        info = CRLInfo.from_json(record["info"])
        key = (authority.name, info.fingerprint)
        lists = authority.revocation_lists
        if key in self._lists or key in self._known:
            raise Refused(_("This CRL is in the file twice"))
        if lists.filter(fingerprint=info.fingerprint).exists():
            self._known.add(key)
            return Status.EXISTS
        ours = {row.pk for row, _count in self._lists.values()}
        if lists.exclude(pk__in=ours).exists():
            raise Refused(
                _(
                    "The authority has other CRLs here. Import this one with "
                    "“clientcert crl import”"
                )
            )
        row = RevocationList.of(
            authority, info, issuer=to_text(record["issuer"]), source=record["source"]
        )
        row.full_clean(exclude=["authority"])
        row.save()
        self._stored([row])
        self._lists[key] = (row, 0)
        return Status.NEW

    def _load_serials(self, record: Record) -> None:
        key = (to_text(record["authority"]), to_text(record["list"]))
        if key in self._known:
            return
        if key not in self._lists:
            raise Refused(_("The CRL of these serial numbers is missing"))
        of, count = self._lists[key]
        rows = [
            RevokedSerial(
                crl=of,
                serial=to_needed_key(serial),
                reason=None if reason is None else to_small(reason),
                revoked_at=to_moment(at),
            )
            for serial, reason, at in record["serials"]
        ]
        RevokedSerial.objects.bulk_create(rows, batch_size=_BATCH)
        self._lists[key] = of, count + len(rows)

    def _load_revocation(self, record: Record) -> Status:
        name = record["authority"]
        revocation = Revocation(
            authority=None if name is None else self._find_authority(name),
            public_key=to_key(record["public_key"]),
            issuer_key=to_key(record["issuer_key"]),
            serial=to_key(record["serial"]),
            issued_from=to_moment(record["issued_from"]),
            issued_until=to_moment(record["issued_until"]),
            certificate=to_der(record["certificate"]),
            description=to_text(record["description"]),
            reason=to_small(record["reason"]),
            note=to_text(record["note"]),
        )
        same = Revocation.objects.filter(
            **{
                name: getattr(revocation, name)
                for name in ("authority", "public_key", "issuer_key", "serial")
                if getattr(revocation, name) is not None
            },
            issued_from=revocation.issued_from,
            issued_until=revocation.issued_until,
        ).select_related("authority", "revoked_by")
        at = to_moment(record["revoked_at"])
        by = record["revoked_by"]
        wanted = revocation_record(revocation)
        for one in same:
            names = ("authority", "public_key", "issuer_key", "serial")
            there = revocation_record(one)
            if all(there[name] == wanted[name] for name in names):
                return Status.EXISTS
        revocation.full_clean(exclude=["authority", "revoked_by"])
        revocation.revoked_by = None if by is None else find_by_name([by]).get(by)
        revocation.save()
        self._stored([revocation])
        if at is not None:
            Revocation.objects.filter(pk=revocation.pk).update(revoked_at=at)
        return Status.NEW

    # --- mappings --------------------------------------------------------------------

    def _load_mappings(self, rows: dict[int, Row]) -> dict[int, Outcome]:
        """Store mappings with a constant number of queries."""
        done: dict[int, Outcome] = {}
        names = (row.record.get("user") for row in rows.values())
        users = find_by_name(sorted({one for one in names if isinstance(one, str)}))
        candidates = {}
        for number, row in rows.items():
            try:
                candidates[number] = self._build(row, users)
            except Refused as error:
                detail = str(error)
            except ValidationError as error:
                detail = _join(error)
            except (TypeError, ValueError, AttributeError, OverflowError):
                detail = str(_WRONG_KIND)
            else:
                continue
            done[number] = Outcome(
                row.place, _show_row(row.record), Status.REFUSED, detail
            )
        known = self._near(candidates.values())
        new = []
        for number, (place, mapping, pins) in candidates.items():
            what = f"{visible(mapping.user.get_username(), 80)}: {mapping.kind} " + (
                show_value(IdentityKind(mapping.kind), mapping.value, 80)
            )
            try:
                twin = _find_twin(mapping, pins, known)
                if twin is not None:
                    _compare(mapping_record(twin), mapping_record(mapping))
            except Refused as error:
                done[number] = Outcome(place, what, Status.REFUSED, str(error))
                continue
            if twin is None:
                new.append(mapping)
                known.setdefault(bytes(mapping.key), []).append(mapping)
            done[number] = Outcome(
                place, what, Status.NEW if twin is None else Status.EXISTS
            )
        CertificateMapping.objects.bulk_create(new)
        self._stored(list(new))
        # Mapped certificates leave the inbox.
        mapped = (mapping.client_certificate() for mapping in new)
        UnknownCertificate.objects.all().of_keys(*filter(None, mapped)).delete()
        return done

    def _build(self, row: Row, users: dict[str, Any]) -> _Candidate:
        """Return the mapping of *row*, validated without looking at other mappings.

        Raises:
            Refused, ValidationError: it cannot be stored.
        """
        record = {**dict.fromkeys(MAPPING_FIELDS), **row.record}
        check_texts(record)
        name = record["user"]
        if not isinstance(name, str) or name not in users:
            raise Refused(_no_user(name))
        if (refusal := self._refuse_user(users[name])) is not None:
            raise Refused(" ".join(refusal.messages))
        der = to_der(record["certificate"])
        certificate = None if der is None else ClientCertificate(der)
        kind = self._choose_kind(record["kind"])
        mapping = CertificateMapping(
            user=users[name],
            kind=kind.value,
            value=to_text(record["value"] or ""),
            authority=self._choose_authority(record["authority"], kind, certificate),
            state=to_text(record["state"] or CertificateMapping.State.ACTIVE.value),
            valid_from=to_moment(record["valid_from"]),
            valid_until=to_moment(record["valid_until"]),
            hosts=to_text(record["hosts"] or ""),
            note=to_text(record["note"] or ""),
            certificate=der,
        )
        if not record["value"]:
            mapping.set_identity(self._take_identity(kind, certificate))
        mapping.clean_fields(exclude=["user", "authority", "key"])
        mapping.clean_alone()
        mapping.derive()
        pins: frozenset[bytes] = frozenset()
        if certificate is not None:
            found = find_identities(certificate).found
            if not any(one.key == mapping.key and one.kind is kind for one in found):
                raise Refused(_("The certificate does not contain this value"))
            pins = frozenset(one.key for one in found if one.kind.is_pin)
        return _Candidate(row.place, mapping, pins)

    def _choose_kind(self, name: Any) -> IdentityKind:
        try:
            return self._kind if name is None else IdentityKind(name)
        except ValueError as error:
            text = _("“%(name)s” is not a kind of mapping") % {
                "name": visible(str(name), 40)
            }
            raise Refused(text) from error

    def _take_identity(
        self, kind: IdentityKind, certificate: ClientCertificate | None
    ) -> Identity:
        if certificate is None:
            raise Refused(_("A value or a certificate is required"))
        try:
            return identity_of_kind(kind, certificate)
        except ClientCertError as error:
            raise Refused(visible_once(str(error), 500)) from error

    def _choose_authority(
        self, name: Any, kind: IdentityKind, certificate: ClientCertificate | None
    ) -> CertificateAuthority | None:
        """Return the authority called *name*; without a name, the issuer."""
        if name is not None:
            return self._find_authority(name)
        if kind.is_pin or certificate is None:
            return None  # the model’s validation requires one if necessary
        try:
            return find_authority(certificate)
        except ValidationError as error:
            raise Refused(" ".join(error.messages)) from error

    def _find_authority(self, name: Any) -> CertificateAuthority:
        name = to_text(name)
        if name not in self._authorities:
            found = CertificateAuthority.objects.filter(name=name).first()
            if found is None or found.name != name:
                text = _("There is no authority “%(name)s”")
                raise Refused(text % {"name": visible(name, 80)})
            self._authorities[name] = found
        return self._authorities[name]

    def _near(
        self, candidates: Collection[_Candidate]
    ) -> dict[bytes, list[CertificateMapping]]:
        """Return the stored mappings that could conflict, by their key."""
        keys = {bytes(one.mapping.key) for one in candidates}
        keys = keys.union(*(one.pins for one in candidates))
        known: dict[bytes, list[CertificateMapping]] = {}
        ordered = sorted(keys)
        for start in range(0, len(ordered), _BATCH):
            part = ordered[start : start + _BATCH]
            for mapping in CertificateMapping.objects.matching(part):
                known.setdefault(bytes(mapping.key), []).append(mapping)
        return known


def _find_twin(
    mapping: CertificateMapping,
    pins: frozenset[bytes],
    known: dict[bytes, list[CertificateMapping]],
) -> CertificateMapping | None:
    """Return the equal mapping, if there is one.

    Raises:
        Refused: it, or the certificate's key, is mapped to another user.
    """
    twin = None
    for other in known.get(bytes(mapping.key), ()):
        if not mapping.is_twin(other):
            continue
        if other.user_id != mapping.user_id:
            raise Refused(_("This is already mapped to another user"))
        twin = other
    for key in pins:
        for other in known.get(key, ()):
            if other.is_pin and other.user_id != mapping.user_id:
                raise Refused(
                    _("The key of this certificate is mapped to another user")
                )
    return twin


def _compare(there: Record, wanted: Record) -> None:
    """Refuse a row that exists with other values, because nothing is overwritten.

    Raises:
        Refused: names the fields that differ.
    """
    names = [name for name in there if there[name] != wanted.get(name)]
    if names:
        text = _("This exists already, with different values in: %(names)s")
        raise Refused(text % {"names": ", ".join(names)})


def _no_user(name: Any) -> str:
    field = get_user_model().USERNAME_FIELD
    if not isinstance(name, str):
        return _("The user is missing")
    text = _("No user, or more than one, has the %(field)s “%(name)s”")
    return text % {"field": field, "name": visible(name, 80)}


def _show_row(record: Record) -> str:
    return visible(str(record.get("user") or _("row")), 80)


def _join(error: ValidationError) -> str:
    return " ".join(
        f"{name}: {visible_once(text, 500)}"
        for name, texts in error.message_dict.items()
        for text in texts
    )
