"""One evaluation: which user a peer is, by one query."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cached_property, partial
from itertools import groupby
from typing import Any, TypeAlias

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import Error as DatabaseError
from django.utils import timezone

from django_clientcert.exceptions import Reason, Refusal
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
)
from django_clientcert.models.users import is_hidden
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.paths import Path, check_usage, check_validity

from .authorities import check_crls, check_revoked, find_path
from .decisions import PASSED, Decision, Step
from .keeping import Kept, count_changes, is_current, keep
from .lookup import LookupResult, look_up
from .outages import describe_failure, outages
from .peer import Facts, Peer, Steps
from .presented import Presented
from .rules import (
    Claim,
    choose_user,
    create_user,
    describe_similar_users,
    find_users,
    new_user,
    read_claim,
)
from .shortcut import Shortcut, find_shortcut, is_plain

CanAuthenticate = Callable[[Any], bool]
# Changes what was looked up before anything is decided: for "what if" questions
Overrides = Callable[[LookupResult], None]
# A mapping, and the path to its authority; None for a pin without one
_Verified: TypeAlias = tuple[CertificateMapping, Path | None]


class ShortDecision(Decision):
    """A certificate that one mapping accepts, without anything unusual about it.

    The mapping's instance and the steps are made when somebody asks: by the full
    evaluation, from what was looked up.
    """

    def __init__(self, evaluation: Evaluation, shortcut: Shortcut) -> None:
        vars(self).update(
            accepted=True,
            reason=None,
            certificate=evaluation.certificate,
            user=shortcut.user,
            last_seen_at=shortcut.last_seen_at,
            last_used_at=shortcut.last_used_at,
            _replay=partial(evaluation.replay, shortcut),
        )

    def __eq__(self, other: object) -> bool:
        return self._in_full == other

    __hash__ = Decision.__hash__

    def __reduce__(self) -> Any:
        """Pickle it in full."""
        return self._in_full.__reduce__()

    @cached_property
    def _in_full(self) -> Decision:
        in_full: Decision = vars(self)["_replay"]()
        return in_full

    @property
    def mapping(self) -> CertificateMapping | None:
        """The mapping that accepts the certificate."""
        return self._in_full.mapping

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of the evaluation."""
        return self._in_full.steps


class Evaluation:
    """Decides once which user a peer is.

    ``prepare()`` leads to the query, ``decide()`` makes it and everything after it.
    """

    # Set by prepare() and decide(), for the steps that follow
    certificate: ClientCertificate
    facts: Facts
    result: LookupResult

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
        self.refusal = peer.refusal
        # Those after the certificate is known
        self.steps = Steps()
        self._shortcut: Shortcut | None = None
        self._is_hidden = is_hidden
        self.mapping: CertificateMapping | None = None
        self.rule_authority: CertificateAuthority | None = None
        self.user: Any = None
        self.creates_user = False
        self.last_seen_at: dt.datetime | None = None
        # Why rows and authorities with the issuer's name do not apply
        self._untrusted: list[Refusal] = []
        self._claims: list[Claim] = []

    def run(self) -> Decision:
        """Take all steps."""
        facts = self.prepare()
        if facts is not None:
            self.decide(facts)
        return self.decision()

    async def arun(self, *, is_quick: bool = False) -> Decision:
        """See run(). Everything from the query on runs in a thread.

        *is_quick*: whether a user may log in can be told without a query.
        """
        facts = self.prepare()
        in_loop = is_quick and is_plain(get_user_model())
        if facts is not None and not (in_loop and self._take_kept()):
            await sync_to_async(self.decide)(facts)
        return self.decision()

    def prepare(self) -> Facts | None:
        """Take every step before the query; return the facts, or None if refused."""
        if self.peer.certificate is None:
            return None
        self.certificate = self.peer.certificate
        try:
            self.steps.take("validity", self._check_dates)
            self.steps.take("purpose", self._check_purpose)
            self.facts = self._read_facts()
        except Refusal as refusal:
            self.refusal = refusal
            return None
        return self.facts

    def decide(self, facts: Facts) -> None:
        """Take every step from the query on, unless a kept decision accepts."""
        if self._take_kept():
            return
        try:
            result = self._look_up(facts)
            if result is not None:
                self._decide(result)
        except Refusal as refusal:
            self.refusal = refusal

    def decision(self) -> Decision:
        """Return the result."""
        if self._shortcut is not None:
            return ShortDecision(self, self._shortcut)
        accepted = self.refusal is None
        return Steps([*self.peer.steps, *self.steps]).decision(
            self.refusal,
            accepted=accepted,
            certificate=self.peer.certificate,
            user=self.user if accepted else None,
            mapping=self.mapping,
            rule_authority=self.rule_authority,
            creates_user=accepted and self.creates_user,
            last_seen_at=self.last_seen_at,
            last_used_at=self.mapping and self.mapping.last_used_at,
        )

    def _check_dates(self) -> str:
        check_validity(self.certificate, self.at)
        return self.peer.evidence.expiry

    def _check_purpose(self) -> str:
        check_usage(self.certificate)
        return "usable for TLS client authentication"

    def _read_facts(self) -> Facts:
        try:
            return self.peer.evidence.facts
        except Refusal as refusal:
            raise self.steps.refuse("revocation", refusal) from refusal

    def _database_failed(
        self, step: str, failure: str, error: DatabaseError
    ) -> Refusal:
        """Report *error*; return the refusal: what is unknown authenticates nobody."""
        outages.report(failure, error)
        detail = f"{failure}: {describe_failure(error)}"
        return self.steps.refuse(step, Refusal(Reason.TRUST_UNAVAILABLE, detail))

    def _take_kept(self) -> bool:
        """Accept at once, if a decision is kept that does; return whether it did."""
        seconds = self.peer.settings.CLIENTCERT_DECISION_SECONDS
        kept: Kept | None = self.peer.evidence.kept
        if not seconds or kept is None or self._overrides:
            return False
        if not is_current(kept):
            self.peer.evidence.kept = None  # it holds what was read of the user
            return False
        # An error of a rule of the project's own: the steps report it.
        with suppress(DatabaseError):
            self._shortcut = kept.shortcut.accept_again(
                self.peer, self.at, self._can_authenticate
            )
        return self._shortcut is not None

    def _take_shortcut(self, facts: Facts) -> LookupResult | None:
        """Accept at once, if that is possible; or return all that was looked up."""
        changes = count_changes()
        shortcut = None if self._overrides else find_shortcut(facts.keys)
        if shortcut is None:
            return None
        if not shortcut.accept(self.peer, facts.kinds, self.at, self._can_authenticate):
            return shortcut.result(facts.kinds)
        self._shortcut = shortcut
        if seconds := self.peer.settings.CLIENTCERT_DECISION_SECONDS:
            self.peer.evidence.kept = keep(shortcut, seconds, changes)
        return None

    def _look_up(self, facts: Facts) -> LookupResult | None:
        """Return what the steps need, or None if they are not needed."""
        try:
            result = self._take_shortcut(facts)
            if result is None and self._shortcut is None:
                result = look_up(facts.keys)
        except DatabaseError as error:
            failure = "the mappings cannot be read"
            raise self._database_failed("match", failure, error) from error
        return result

    def replay(self, shortcut: Shortcut) -> Decision:
        """Return the decision step by step, from what the shortcut has looked up."""
        evaluation = Evaluation(
            self.peer,
            self.at,
            can_authenticate=lambda user: True,  # as it turned out
            create_users=False,
        )
        evaluation.prepare()
        result = shortcut.result(self.facts.kinds)
        assert result is not None  # noqa: S101 - it has sufficed
        evaluation._is_hidden = lambda user: False
        evaluation._decide(result)
        return evaluation.decision()

    def _decide(self, result: LookupResult) -> None:
        self.result = result
        if self._overrides is not None:
            self._overrides(result)
        self.last_seen_at = result.last_seen_at
        self.steps.take("revocation", self._check_revoked)
        rows = self._matching()
        if rows:
            self.steps.append(Step("match", PASSED, _list(rows)))
            verified = self._verify(rows)
            if verified:
                self._decide_by_mapping(verified)
                return
        self._decide_by_rule()

    def _check_revoked(self) -> str:
        sent = self.peer.intermediates
        return check_revoked(self.certificate, self.result, self.at, sent)

    def _matching(self) -> list[CertificateMapping]:
        """Return the rows for this certificate, the most specific kind first."""
        kinds, rows = self.facts.kinds, self.result.mappings
        matching = [row for row in rows if kinds.get(bytes(row.key)) == row.kind]
        return sorted(matching, key=lambda row: (row.specificity, row.pk))

    def _path_to(self, authority: CertificateAuthority) -> Path:
        return find_path(
            authority,
            self.result,
            self.certificate,
            self.peer.intermediates,
            self.at,
            proxy_verified=self.peer.is_vouched_for,
        )

    def _check_crls(self, paths: Iterable[tuple[CertificateAuthority, Path]]) -> str:
        details = [
            check_crls(path, authority, self.result, self.at)
            for authority, path in paths
        ]
        return "; ".join(details) or "no authority, so no CRL applies"

    def _accept(self, user: Any) -> str:
        if not self._can_authenticate(user):
            raise Refusal(Reason.INACTIVE_USER, f"user {user.pk} may not log in")
        self.user = user
        return f"user {user.pk}"

    # --- mappings

    def _accept_mapped(self, user: Any) -> str:
        if self._is_hidden(user):
            raise Refusal(
                Reason.INACTIVE_USER,
                f"the default manager of the user model hides user {user.pk}",
            )
        return self._accept(user)

    def _verify(self, rows: Sequence[CertificateMapping]) -> list[_Verified]:
        """Return the rows of the best kind whose authority issued the certificate.

        Each with the path to it. A row whose authority did not issue it does not match.

        Raises:
            Refusal: the authority of a row did issue it, but the path breaks a rule:
                a less specific kind must not overtake that row.
        """
        for _, group in groupby(rows, key=lambda row: row.specificity):
            verified: list[_Verified] = []
            blocking: list[Refusal] = []
            for row in group:
                try:
                    verified.append((row, self._path_of(row)))
                except Refusal as refusal:
                    is_untrusted = refusal.reason is Reason.UNTRUSTED_ISSUER
                    (self._untrusted if is_untrusted else blocking).append(
                        Refusal(refusal.reason, f"mapping {row.pk}: {refusal.detail}")
                    )
            if verified:
                detail = "; ".join(_describe(*item) for item in verified)
                self.steps.append(Step("verify", PASSED, detail))
                return verified
            if blocking:
                raise self.steps.refuse("verify", blocking[0])
        return []

    def _path_of(self, row: CertificateMapping) -> Path | None:
        """Return the path to the authority of *row*; None for a pin without one."""
        if row.authority is not None:
            return self._path_to(row.authority)
        if row.is_pin:
            return None
        raise Refusal(
            Reason.UNTRUSTED_ISSUER,
            "it has no authority, which only a pin may lack: choose one for it",
        )

    def _decide_by_mapping(self, verified: Sequence[_Verified]) -> None:
        """Take the steps after the path, for mappings."""
        paths = {
            row.authority.pk: (row.authority, path)
            for row, path in verified
            if row.authority is not None and path is not None
        }
        self.steps.take("crls", self._check_crls, paths.values())
        rows = [row for row, _ in verified]
        self.steps.take("mapping", self._choose_mapping, rows)
        try:
            self.steps.take("user", self._accept_mapped, rows[0].user)
        except DatabaseError as error:
            failure = "the user of a mapping cannot be read"
            raise self._database_failed("user", failure, error) from error

    def _choose_mapping(self, rows: Sequence[CertificateMapping]) -> str:
        if len({row.user_id for row in rows}) > 1:
            raise Refusal(
                Reason.AMBIGUOUS_MAPPING, f"{_list(rows)} name different users"
            )
        for row in rows:
            if not row.is_enabled:
                raise Refusal(
                    Reason.MAPPING_DISABLED, f"mapping {row.pk} is {_show_state(row)}"
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

    # --- rules

    def _decide_by_rule(self) -> None:
        """Take the steps for the rules of the authorities that issued it."""
        untrusted = self._untrusted
        was_matched = bool(untrusted)
        paths: list[tuple[CertificateAuthority, Path]] = []
        for authority in self.result.authorities:
            if authority.rule_identity:
                try:
                    paths.append((authority, self._path_to(authority)))
                except Refusal as refusal:
                    untrusted.append(refusal)
        if not paths and not untrusted:
            raise self.steps.refuse("match", self._unmapped())
        if not was_matched:
            detail = "no mapping, so the rules of authorities apply"
            self.steps.append(Step("match", PASSED, detail))
        blocking = [
            refusal
            for refusal in untrusted
            if refusal.reason is not Reason.UNTRUSTED_ISSUER
        ]
        if blocking or not paths:
            raise self.steps.refuse("verify", (blocking or untrusted)[0])
        detail = "; ".join(_show_path(*item) for item in paths)
        self.steps.append(Step("verify", PASSED, detail))
        self.steps.take("crls", self._check_crls, paths)
        authorities = [authority for authority, _ in paths]
        self.steps.take("mapping", self._read_claims, authorities)
        try:
            self.steps.take("user", self._find_user)
        except DatabaseError as error:
            failure = "the user of a rule cannot be read or created"
            raise self._database_failed("user", failure, error) from error

    def _unmapped(self) -> Refusal:
        if self.facts.identities.problems:
            return Refusal(
                Reason.MALFORMED_CERTIFICATE,
                "no fingerprint or public key matches, and its names cannot be used: "
                + "; ".join(self.facts.identities.problems),
            )
        detail = "no mapping matches this certificate"
        if self.result.authorities:
            names = ", ".join(map(str, self.result.authorities[:5]))
            detail += f"; authorities without a rule: {names}"
        else:
            detail += "; no authority has a CA with the name of its issuer"
        if self.facts.identities.left_out:
            detail += "; left out: " + "; ".join(self.facts.identities.left_out[:5])
        return Refusal(Reason.UNMAPPED, detail)

    def _read_claims(self, authorities: Iterable[CertificateAuthority]) -> str:
        """Append what the rules say to the claims; a rule may not apply."""
        silent: list[Refusal] = []
        for authority in authorities:
            try:
                claim = read_claim(authority, self.certificate, self.peer.host)
            except Refusal as refusal:
                if refusal.reason not in (Reason.UNMAPPED, Reason.HOST_NOT_COVERED):
                    raise
                silent.append(refusal)
            else:
                self._claims.append(claim)
        if not self._claims:
            raise silent[0]
        return "; ".join(map(str, self._claims))

    def _find_user(self) -> str:
        """Find the user of the claims, or create one if the rule says so."""
        claims = self._claims
        users = find_users(claims)
        try:
            user = choose_user(claims, users)
        except Refusal as refusal:
            # Only where somebody asks for the reason, as it takes a query.
            if users or self._create_users:
                raise
            hint = describe_similar_users(claims)
            raise Refusal(refusal.reason, refusal.detail + hint) from refusal
        creates_user = user is None and not self._create_users
        if user is None:
            user = new_user(claims[0]) if creates_user else create_user(claims[0])
        detail = self._accept(user)
        self.creates_user, self.rule_authority = creates_user, claims[0].authority
        return (
            "a new user, who is created on the first request"
            if creates_user
            else detail
        )


def _list(rows: Iterable[CertificateMapping]) -> str:
    return ", ".join(f"mapping {row.pk}" for row in rows)


def _describe(row: CertificateMapping, path: Path | None) -> str:
    if row.authority is None or path is None:
        return f"mapping {row.pk}: a fingerprint or public key needs no authority"
    return f"mapping {row.pk}: {_show_path(row.authority, path)}"


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
