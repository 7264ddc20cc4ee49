"""One evaluation: first who the peer is, without a query, then which user that is."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import Any

from asgiref.sync import sync_to_async
from django.db import Error as DatabaseError
from django.utils import timezone

from django_clientcert.conf import conf
from django_clientcert.exceptions import Reason, Refusal
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    name_key,
    serial_key,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.identities import Identities, find_identities
from django_clientcert.x509.paths import Path

from .authorities import check_crls, check_revoked, find_path
from .decisions import NOT_REACHED, PASSED, REFUSED, Decision, Step
from .gates import GATES, take_gates
from .lookup import LookupKeys, LookupResult, look_up
from .presented import Presented
from .reading import (
    check_dates,
    check_purpose,
    check_verdict,
    compare_names,
    find_certificates,
    parse,
)
from .rules import Claim, choose_user, create_user, find_users, new_user, read_claim

logger = logging.getLogger("django_clientcert.evaluation")

CanAuthenticate = Callable[[Any], bool]
# Changes what was looked up before anything is decided: for "what if" questions
Overrides = Callable[[LookupResult], None]

STEPS = (
    *(name for name, _ in GATES),
    "verdict",
    "decode",
    "parse",
    "names",
    "validity",
    "purpose",
    "revocation",
    "match",
    "verify",
    "crls",
    "mapping",
    "user",
)


def take_step(steps: list[Step], name: str, check: Callable[[], str]) -> None:
    """Call *check* and append to *steps* what came of it.

    Raises:
        Refusal: the check refused.
    """
    try:
        detail = check()
    except Refusal as refusal:
        steps.append(Step(name, REFUSED, refusal.detail))
        raise
    steps.append(Step(name, PASSED, detail))


class Peer:
    """Who sent a request, as far as the request tells; each step is taken once.

    The steps up to the names need neither the time nor a query.
    """

    def __init__(self, presented: Presented, host: str) -> None:
        self.presented = presented
        self.host = host
        self.steps: Sequence[Step] = ()
        self.refusal: Refusal | None = None
        # What the client sent to lead from its certificate to a CA
        self.intermediates: tuple[ClientCertificate, ...] = ()

    @cached_property
    def gates(self) -> tuple[list[Step], Refusal | None]:
        """The gates that were passed, and the refusal that ended them, if any."""
        return take_gates(self.presented, self.host)

    @cached_property
    def certificate(self) -> ClientCertificate | None:
        """The certificate that the peer proved possession of.

        None if there is none that can be believed; ``refusal`` says why.
        """
        steps: list[Step] = []
        try:
            certificate, *intermediates = self._identify(steps)
        except Refusal as refusal:
            self.steps, self.refusal = steps, refusal
            return None
        self.steps, self.intermediates = steps, tuple(intermediates)
        return certificate

    def _identify(self, steps: list[Step]) -> Sequence[ClientCertificate]:
        presented = self.presented
        if not presented.has_certificate:
            raise Refusal(Reason.NO_CERTIFICATE, self._explain_absence())
        if presented.from_request:
            passed, refusal = self.gates
            steps += passed
            if refusal is not None:
                raise refusal
        step = partial(take_step, steps)
        if presented.from_request or presented.verdict is not None:
            step("verdict", lambda: check_verdict(presented))
        certificates: list[ClientCertificate] = []

        def decode() -> str:
            certificates.extend(find_certificates(presented))
            detail = f"{len(certificates[0].der)} bytes of DER"
            count = len(certificates) - 1
            return f"{detail}, with {count} intermediates" if count else detail

        step("decode", decode)
        step("parse", lambda: parse(certificates[0]))
        step("names", lambda: compare_names(presented, certificates[0]))
        return certificates

    def _explain_absence(self) -> str:
        """Return why there is no certificate although the proxy reports success."""
        if not self.presented.is_vouched_for or self.gates[1] is not None:
            return ""
        return (
            f"the proxy says {self.presented.proxy.success} but forwards no "
            "certificate: its configuration leaves it out, or it is too long for the "
            "proxy"
        )

    def decision(self) -> Decision:
        """Return why the peer is unknown, or which certificate it has.

        Never an acceptance: nothing says yet which user that is.
        """
        certificate = self.certificate
        return make_decision(self.steps, self.refusal, certificate=certificate)


class Evaluation:
    """Decides once which user a peer is.

    ``prepare()`` leads to the query, ``decide()`` makes it and everything after it.
    """

    def __init__(
        self,
        peer: Peer,
        at: dt.datetime,
        *,
        can_authenticate: CanAuthenticate,
        create_users: bool,
        overrides: Overrides | None = None,
    ) -> None:
        self.peer = peer
        self.at = at
        self._can_authenticate = can_authenticate
        self._create_users = create_users
        self._overrides = overrides
        # Before the steps are copied: it takes them.
        self._certificate = peer.certificate
        self.steps = list(peer.steps)
        self.refusal = peer.refusal
        self.mapping: CertificateMapping | None = None
        self.rule_authority: CertificateAuthority | None = None
        self.user: Any = None
        self.creates_user = False
        self.last_seen_at: dt.datetime | None = None

    def run(self) -> Decision:
        """Take all steps."""
        keys = self.prepare()
        if keys is not None:
            self.decide(keys)
        return self.decision()

    async def arun(self) -> Decision:
        """See run(). Everything from the query on runs in a thread."""
        keys = self.prepare()
        if keys is not None:
            await sync_to_async(self.decide)(keys)
        return self.decision()

    def prepare(self) -> LookupKeys | None:
        """Take every step before the query; return the keys, or None if refused."""
        if self.refusal is not None:
            return None
        try:
            self._step("validity", lambda: check_dates(self.peer_certificate, self.at))
            self._step("purpose", lambda: check_purpose(self.peer_certificate))
            return self._keys()
        except Refusal as refusal:
            self.refusal = refusal
            return None

    def decide(self, keys: LookupKeys) -> None:
        """Take every step from the query on."""
        try:
            self._decide(keys)
        except Refusal as refusal:
            self.refusal = refusal

    @property
    def peer_certificate(self) -> ClientCertificate:
        """The certificate that the peer proved possession of."""
        assert self._certificate is not None  # noqa: S101 - for the type checker
        return self._certificate

    @cached_property
    def identities(self) -> Identities:
        """What the peer's certificate can be mapped by."""
        return find_identities(self.peer_certificate)

    def _step(self, name: str, check: Callable[[], str]) -> None:
        take_step(self.steps, name, check)

    def _pass(self, name: str, detail: str) -> None:
        self.steps.append(Step(name, PASSED, detail))

    def _refuse(self, name: str, refusal: Refusal) -> Refusal:
        """Record a step that refused; return *refusal*, to be raised."""
        self.steps.append(Step(name, REFUSED, refusal.detail))
        return refusal

    def _database_failed(self, name: str, error: DatabaseError) -> Refusal:
        """Log *error*; return the refusal: what cannot be read authenticates nobody."""
        logger.error("the mappings cannot be read: %s", type(error).__name__)
        return self._refuse(
            name, Refusal(Reason.TRUST_UNAVAILABLE, "the mappings cannot be read")
        )

    def _keys(self) -> LookupKeys:
        certificate = self.peer_certificate
        chain = (certificate, *self.peer.intermediates)
        try:
            return LookupKeys(
                identities=[identity.key for identity in self.identities.found],
                issuer_names=[name_key(item.issuer_der) for item in chain],
                public_keys=[item.public_key_bytes for item in chain],
                serials=[serial_key(item.serial_number) for item in chain],
                fingerprint=certificate.fingerprint_bytes,
            )
        except Refusal as refusal:
            raise self._refuse("revocation", refusal) from refusal

    def _decide(self, keys: LookupKeys) -> None:
        try:
            result = look_up(keys)
        except DatabaseError as error:
            raise self._database_failed("match", error) from error
        if self._overrides is not None:
            self._overrides(result)
        self.last_seen_at = result.last_seen_at
        self._step(
            "revocation",
            lambda: check_revoked(
                self.peer_certificate, result, self.at, self.peer.intermediates
            ),
        )
        untrusted: list[Refusal] = []
        rows = self._matching(result.mappings)
        if rows:
            self._pass("match", _list(rows))
            verified = self._verify(rows, result, untrusted)
            if verified:
                self._decide_by_mapping(verified, result)
                return
        self._decide_by_rule(result, untrusted)

    def _matching(self, rows: Iterable[CertificateMapping]) -> list[CertificateMapping]:
        """Return the rows for this certificate, the most specific kind first."""
        kinds = {item.key: item.kind.value for item in self.identities.found}
        return sorted(
            (row for row in rows if kinds.get(bytes(row.key)) == row.kind),
            key=lambda row: (row.specificity, row.pk),
        )

    def _path_to(self, authority: CertificateAuthority, result: LookupResult) -> Path:
        return find_path(
            authority,
            result,
            self.peer_certificate,
            self.peer.intermediates,
            self.at,
            proxy_verified=conf.CLIENTCERT_PROXY_VERIFIES
            and self.peer.presented.is_vouched_for,
        )

    def _check_crls(
        self, paths: Iterable[tuple[CertificateAuthority, Path]], result: LookupResult
    ) -> str:
        details = [
            check_crls(path, authority, result, self.at) for authority, path in paths
        ]
        return "; ".join(details) or "no authority, so no CRL applies"

    def _check_user(self, user: Any) -> None:
        if not self._can_authenticate(user):
            raise Refusal(Reason.INACTIVE_USER, f"user {user.pk} may not log in")

    # --- mappings

    def _verify(
        self,
        rows: Sequence[CertificateMapping],
        result: LookupResult,
        untrusted: list[Refusal],
    ) -> list[tuple[CertificateMapping, Path | None]]:
        """Return the rows of the best kind whose authority issued the certificate.

        Each with the path to it. A row whose authority did not issue it does not
        match, and is put into *untrusted*.

        Raises:
            Refusal: the authority of a row did issue it, but the path breaks a rule:
                a less specific kind must not overtake that row.
        """
        for specificity in sorted({row.specificity for row in rows}):
            verified: list[tuple[CertificateMapping, Path | None]] = []
            blocking: list[Refusal] = []
            for row in rows:
                if row.specificity != specificity:
                    continue
                try:
                    verified.append((row, self._path_of(row, result)))
                except Refusal as refusal:
                    located = Refusal(
                        refusal.reason, f"mapping {row.pk}: {refusal.detail}"
                    )
                    if refusal.reason is Reason.UNTRUSTED_ISSUER:
                        untrusted.append(located)
                    else:
                        blocking.append(located)
            if verified:
                details = (
                    f"mapping {row.pk}: {_describe(row, path)}"
                    for row, path in verified
                )
                self._pass("verify", "; ".join(details))
                return verified
            if blocking:
                raise self._refuse("verify", blocking[0])
        return []

    def _path_of(self, row: CertificateMapping, result: LookupResult) -> Path | None:
        """Return the path to the authority of *row*; None for a pin without one."""
        if row.authority is not None:
            return self._path_to(row.authority, result)
        if row.is_pin:
            return None
        raise Refusal(
            Reason.UNTRUSTED_ISSUER,
            "it has no authority, which only a pin may lack: choose one for it",
        )

    def _decide_by_mapping(
        self,
        verified: Sequence[tuple[CertificateMapping, Path | None]],
        result: LookupResult,
    ) -> None:
        """Take the steps after the path, for mappings."""
        paths = {
            row.authority.pk: (row.authority, path)
            for row, path in verified
            if row.authority is not None and path is not None
        }
        self._step("crls", lambda: self._check_crls(paths.values(), result))
        rows = [row for row, _ in verified]
        self._step("mapping", lambda: self._choose_mapping(rows))
        self._step("user", self._choose_mapped_user)

    def _choose_mapping(self, rows: Sequence[CertificateMapping]) -> str:
        if len({row.user_id for row in rows}) > 1:
            raise Refusal(
                Reason.AMBIGUOUS_MAPPING, f"{_list(rows)} name different users"
            )
        for row in rows:
            if not row.is_enabled:
                raise Refusal(
                    Reason.MAPPING_DISABLED,
                    f"mapping {row.pk} is {_show_state(row)}",
                )
        refusals = []
        for row in rows:
            try:
                self._check_mapping(row)
            except Refusal as refusal:
                refusals.append(refusal)
            else:
                self.mapping = row
                return f"mapping {row.pk}, {row.kind}"
        raise refusals[0]

    def _check_mapping(self, row: CertificateMapping) -> None:
        if row.valid_from is not None and self.at < row.valid_from:
            raise Refusal(
                Reason.MAPPING_NOT_YET_VALID,
                f"mapping {row.pk} starts on {row.valid_from:%Y-%m-%d %H:%M}",
            )
        if row.valid_until is not None and self.at >= row.valid_until:
            raise Refusal(
                Reason.MAPPING_EXPIRED,
                f"mapping {row.pk} ended on {row.valid_until:%Y-%m-%d %H:%M}",
            )
        if not row.covers_host(self.peer.host):
            host = visible(self.peer.host, 80) or "this host"
            raise Refusal(
                Reason.HOST_NOT_COVERED, f"mapping {row.pk} is not for {host}"
            )

    def _choose_mapped_user(self) -> str:
        assert self.mapping is not None  # noqa: S101 - for the type checker
        self._check_user(self.mapping.user)
        self.user = self.mapping.user
        return f"user {self.user.pk}"

    # --- rules

    def _decide_by_rule(self, result: LookupResult, untrusted: list[Refusal]) -> None:
        """Take the steps for the rules of the authorities that issued it."""
        was_matched = bool(untrusted)
        paths: list[tuple[CertificateAuthority, Path]] = []
        for authority in result.authorities:
            if authority.rule_identity:
                try:
                    paths.append((authority, self._path_to(authority, result)))
                except Refusal as refusal:
                    untrusted.append(refusal)
        if not paths and not untrusted:
            raise self._refuse("match", self._unmapped(result))
        if not was_matched:
            self._pass("match", "no mapping, so the rules of authorities apply")
        blocking = [
            refusal
            for refusal in untrusted
            if refusal.reason is not Reason.UNTRUSTED_ISSUER
        ]
        if blocking or not paths:
            raise self._refuse("verify", (blocking or untrusted)[0])
        self._pass("verify", "; ".join(_show_path(*item) for item in paths))
        self._step("crls", lambda: self._check_crls(paths, result))
        claims: list[Claim] = []
        authorities = [authority for authority, _ in paths]
        self._step("mapping", lambda: self._read_claims(authorities, claims))
        try:
            self._step("user", lambda: self._find_user(claims))
        except DatabaseError as error:
            raise self._database_failed("user", error) from error

    def _unmapped(self, result: LookupResult) -> Refusal:
        if self.identities.problems:
            return Refusal(
                Reason.MALFORMED_CERTIFICATE,
                "no pin matches, and its names cannot be used: "
                + "; ".join(self.identities.problems),
            )
        detail = "no mapping matches this certificate"
        if result.authorities:
            names = ", ".join(map(str, result.authorities[:5]))
            detail += f"; authorities without a rule: {names}"
        else:
            detail += "; no authority has a CA with the name of its issuer"
        return Refusal(Reason.UNMAPPED, detail)

    def _read_claims(
        self, authorities: Iterable[CertificateAuthority], claims: list[Claim]
    ) -> str:
        """Append what the rules say to *claims*; a rule may not apply."""
        silent: list[Refusal] = []
        for authority in authorities:
            try:
                claims.append(
                    read_claim(authority, self.peer_certificate, self.peer.host)
                )
            except Refusal as refusal:
                if refusal.reason not in (Reason.UNMAPPED, Reason.HOST_NOT_COVERED):
                    raise
                silent.append(refusal)
        if not claims:
            raise silent[0]
        return "; ".join(map(str, claims))

    def _find_user(self, claims: Sequence[Claim]) -> str:
        """Find the user of *claims*, or create one if the rule says so."""
        user = choose_user(claims, find_users(claims))
        creates_user = False
        if user is None and self._create_users:
            user = create_user(claims[0])
        elif user is None:
            user, creates_user = new_user(claims[0]), True
        self._check_user(user)
        self.user, self.creates_user = user, creates_user
        self.rule_authority = claims[0].authority
        if creates_user or user.pk is None:
            return "a new user, who is created on the first request"
        return f"user {user.pk}"

    def decision(self) -> Decision:
        """Return the result."""
        return make_decision(
            self.steps,
            self.refusal,
            accepted=self.refusal is None,
            certificate=self._certificate,
            user=self.user if self.refusal is None else None,
            mapping=self.mapping,
            rule_authority=self.rule_authority,
            creates_user=self.refusal is None and self.creates_user,
            last_seen_at=self.last_seen_at,
        )


def make_decision(
    steps: Sequence[Step],
    refusal: Refusal | None,
    *,
    accepted: bool = False,
    **values: Any,
) -> Decision:
    """Return the decision after *steps*; those that were not taken are added."""
    taken = {step.name for step in steps}
    return Decision(
        accepted=accepted,
        reason=None if refusal is None else refusal.reason,
        detail="" if refusal is None else refusal.detail,
        steps=(
            *steps,
            *(Step(name, NOT_REACHED) for name in STEPS if name not in taken),
        ),
        **values,
    )


def _list(rows: Iterable[CertificateMapping]) -> str:
    return ", ".join(f"mapping {row.pk}" for row in rows)


def _describe(row: CertificateMapping, path: Path | None) -> str:
    if row.authority is None or path is None:
        return "a pin needs no authority"
    return _show_path(row.authority, path)


def _show_state(row: CertificateMapping) -> str:
    """Return the state of a mapping that is not enabled, in words."""
    if row.state == row.State.DISABLED:
        return "disabled"
    if row.state == row.State.SCHEDULED:
        return "scheduled without a date to begin on, so it counts as disabled"
    return f"in the unknown state “{visible(row.state, 80)}”, so it counts as disabled"


def _show_path(authority: CertificateAuthority, path: Path) -> str:
    return f"{authority}, a path of {len(path.certificates)} certificates"


def is_active(user: Any) -> bool:
    """Return whether *user* may log in: Django's own rule."""
    return bool(getattr(user, "is_active", True))


def identify_peer(presented: Presented, *, host: str) -> Decision:
    """Return what the peer proved possession of, without any query.

    The decision is never an acceptance: ``certificate`` is set, or ``reason`` says
    why not.
    """
    return Peer(presented, host).decision()


def evaluate(
    presented: Presented,
    *,
    host: str,
    at: dt.datetime | None = None,
    can_authenticate: CanAuthenticate = is_active,
    create_users: bool = False,
    overrides: Overrides | None = None,
) -> Decision:
    """Return the decision on *presented*.

    *host* is the request's host name in lower case without a port, *at* an aware
    moment (default: now). Makes one query if there is something to look up, and a
    second if a rule names the user. Without *create_users*, a user whom a rule would
    create is only described: not saved, without a primary key. *overrides* may
    change what was looked up, to answer “what if”. Whatever is presented, the answer
    is a decision.
    """
    return Evaluation(
        Peer(presented, host),
        at or timezone.now(),
        can_authenticate=can_authenticate,
        create_users=create_users,
        overrides=overrides,
    ).run()


async def aevaluate(
    presented: Presented,
    *,
    host: str,
    at: dt.datetime | None = None,
    can_authenticate: CanAuthenticate = is_active,
    create_users: bool = False,
) -> Decision:
    """See evaluate()."""
    return await Evaluation(
        Peer(presented, host),
        at or timezone.now(),
        can_authenticate=can_authenticate,
        create_users=create_users,
    ).arun()
