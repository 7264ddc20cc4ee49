"""The run through all steps; what needs the database is asked for by a generator.

``_decide()`` yields what has to be read, and goes on with what was: so the
synchronous and the asynchronous evaluation share everything but the reading.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
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
from django_clientcert.x509.identities import Identities, Identity, find_identities
from django_clientcert.x509.paths import Path

from .authorities import check_crls, check_revoked, find_path
from .decisions import NOT_REACHED, PASSED, REFUSED, Decision, Step
from .gates import GATES, check_gates
from .lookup import Found, LookupKeys, look_up
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
# Changes what was found before anything is decided: for questions, not for requests
Adapt = Callable[[Found], None]
# Yields what has to be called, and is sent what that returned
_Steps = Generator[Callable[[], Any], Any, None]

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


class _Run:
    """One evaluation under way: what passed so far, or the refusal that ended it."""

    def __init__(self, presented: Presented, host: str, at: dt.datetime) -> None:
        self.presented = presented
        self.host = host
        self.at = at
        self.steps: list[Step] = []
        self.refusal: Refusal | None = None
        self.certificate: ClientCertificate | None = None
        # What was sent to get from it to a CA: intermediates, and nothing else
        self.above: tuple[ClientCertificate, ...] = ()
        self.identities: Identities | None = None
        self.mapping: CertificateMapping | None = None
        self.rule_authority: CertificateAuthority | None = None
        self.user: Any = None
        self.creates_user = False
        self.last_seen_at: dt.datetime | None = None

    def step(self, name: str, check: Callable[[], str]) -> bool:
        """Take one step; return whether it passed."""
        try:
            detail = check()
        except Refusal as refusal:
            self.refuse(name, refusal)
            return False
        self.passed(name, detail)
        return True

    def passed(self, name: str, detail: str) -> None:
        """Write down a step that passed."""
        self.steps.append(Step(name, PASSED, detail))

    def refuse(self, name: str, refusal: Refusal) -> None:
        """End the run."""
        self.refusal = refusal
        self.steps.append(Step(name, REFUSED, refusal.detail))

    def identify_peer(self) -> bool:
        """Take the steps up to the names: what did the peer prove possession of?"""
        presented = self.presented
        if not presented.has_certificate:
            self.refusal = Refusal(Reason.NO_CERTIFICATE, self._why_none())
            return False
        for name, gate in GATES if presented.from_request else ():
            if not self.step(name, partial(gate, presented, self.host)):
                return False
        has_verdict = presented.from_request or presented.verdict is not None
        if has_verdict and not self.step("verdict", lambda: check_verdict(presented)):
            return False
        read: list[ClientCertificate] = []

        def decode() -> str:
            read.extend(find_certificates(presented))
            above = f", {len(read) - 1} above it" if len(read) > 1 else ""
            return f"{len(read[0].der)} bytes of DER{above}"

        if not self.step("decode", decode):
            return False
        certificate, *above = read
        if not self.step("parse", lambda: parse(certificate)):
            return False
        if not self.step("names", lambda: compare_names(presented, certificate)):
            return False
        self.certificate = certificate
        self.above = tuple(above)
        return True

    def _why_none(self) -> str:
        """Return why there is no certificate, where the proxy says that there is."""
        presented = self.presented
        if not presented.is_vouched_for or check_gates(presented, host=self.host):
            return ""
        return (
            f"the proxy says {presented.proxy.success} and forwards no certificate: "
            "it is left out by the configuration, or too long for the proxy"
        )

    def prepare(self) -> LookupKeys | None:
        """Take every step in front of the query; return what to look up."""
        certificate = self.proven
        if not self.step("validity", lambda: check_dates(certificate, self.at)):
            return None
        if not self.step("purpose", lambda: check_purpose(certificate)):
            return None
        self.identities = find_identities(certificate)
        chain = (certificate, *self.above)
        try:
            return LookupKeys(
                identities=[one.key for one in self.identities.found],
                issuer_names=[name_key(one.issuer_der) for one in chain],
                public_keys=[one.public_key_bytes for one in chain],
                serials=[serial_key(one.serial_number) for one in chain],
                fingerprint=certificate.fingerprint_bytes,
            )
        except Refusal as refusal:
            self.refuse("revocation", refusal)
            return None

    @property
    def proven(self) -> ClientCertificate:
        """The certificate that the peer proved possession of."""
        assert self.certificate is not None  # noqa: S101 - for the type checker
        return self.certificate

    def decide(
        self,
        *,
        can_authenticate: CanAuthenticate,
        create_users: bool,
        adapt: Adapt | None = None,
    ) -> _Steps:
        """Take all steps; yields what has to be read."""
        if not self.identify_peer() or (keys := self.prepare()) is None:
            return
        try:
            found: Found = yield partial(look_up, keys)
        except DatabaseError as error:
            self.database_failed("match", error)
            return
        if adapt is not None:
            adapt(found)
        self.last_seen_at = found.last_seen_at
        certificate = self.proven
        if not self.step(
            "revocation",
            lambda: check_revoked(certificate, found, self.at, self.above),
        ):
            return
        untrusted: list[Refusal] = []
        rows = self._matching(found.mappings)
        if rows:
            self.passed("match", ", ".join(f"mapping {row.pk}" for row in rows))
            verified = self._verify(rows, untrusted)
            if self.refusal is not None:
                return
            if verified:
                self._conclude(verified, found, can_authenticate)
                return
        yield from self._conclude_by_rule(
            found, untrusted, can_authenticate, create_users
        )

    def database_failed(self, name: str, error: DatabaseError) -> None:
        """End the run: what cannot be read denies."""
        logger.error("the mappings cannot be read: %s", type(error).__name__)
        self.refuse(
            name, Refusal(Reason.TRUST_UNAVAILABLE, "the mappings cannot be read")
        )

    def _matching(self, rows: Iterable[CertificateMapping]) -> list[CertificateMapping]:
        """Return the rows for this certificate, the best kind first."""
        assert self.identities is not None  # noqa: S101 - for the type checker
        found = {one.key: one for one in self.identities.found}
        return sorted(
            (row for row in rows if _belongs(row, found)),
            key=lambda row: (row.specificity, row.pk),
        )

    def _unmapped(self, found: Found) -> Refusal:
        assert self.identities is not None  # noqa: S101 - for the type checker
        if self.identities.problems:
            return Refusal(
                Reason.MALFORMED_CERTIFICATE,
                "no pin matches, and the rest cannot be used: "
                + "; ".join(self.identities.problems),
            )
        detail = "no mapping matches this certificate"
        if found.authorities:
            names = ", ".join(str(one) for one in found.authorities[:5])
            detail += f", and no rule: {names} has none"
        else:
            detail += "; no authority has a CA of its issuer’s name"
        return Refusal(Reason.UNMAPPED, detail)

    # --- mappings

    def _verify(
        self, rows: Sequence[CertificateMapping], untrusted: list[Refusal]
    ) -> list[tuple[CertificateMapping, Path | None]]:
        """Return the rows of the best kind whose authority issued the certificate.

        Each with the path to it. A row whose authority did not issue it does not
        match, and is put into *untrusted*. A row whose authority did, and whose
        path breaks a rule, ends the run: a worse kind must not overtake it.
        """
        for level in sorted({row.specificity for row in rows}):
            verified: list[tuple[CertificateMapping, Path | None]] = []
            details: list[str] = []
            blocking: Refusal | None = None
            for row in (one for one in rows if one.specificity == level):
                try:
                    path = self._path_of(row)
                except Refusal as refusal:
                    located = Refusal(
                        refusal.reason, f"mapping {row.pk}: {refusal.detail}"
                    )
                    if refusal.reason is Reason.UNTRUSTED_ISSUER:
                        untrusted.append(located)
                    else:
                        blocking = blocking or located
                    continue
                verified.append((row, path))
                details.append(f"mapping {row.pk}: {_describe(row, path)}")
            if verified:
                self.passed("verify", "; ".join(details))
                return verified
            if blocking is not None:
                self.refuse("verify", blocking)
                return []
        return []

    def _path_of(self, row: CertificateMapping) -> Path | None:
        """Return the path to the authority of *row*; None for a pin without one."""
        if row.authority is not None:
            return self._path_to(row.authority)
        if row.is_pin:
            return None
        raise Refusal(
            Reason.UNTRUSTED_ISSUER,
            "it names no authority, and is no pin: choose one for it",
        )

    def _path_to(self, authority: CertificateAuthority) -> Path:
        return find_path(
            authority,
            self.proven,
            self.above,
            self.at,
            proxy_verified=conf.CLIENTCERT_PROXY_VERIFIES
            and self.presented.is_vouched_for,
        )

    def _conclude(
        self,
        verified: Sequence[tuple[CertificateMapping, Path | None]],
        found: Found,
        can_authenticate: CanAuthenticate,
    ) -> None:
        """Take the steps behind the path, for mappings."""
        paths = {
            row.authority.pk: (row.authority, path)
            for row, path in verified
            if row.authority is not None and path is not None
        }
        if not self.step("crls", lambda: self._check_crls(paths.values(), found)):
            return
        rows = [row for row, _ in verified]
        if self.step("mapping", lambda: self._choose(rows)):
            self.step("user", lambda: self._check_user(can_authenticate))

    def _check_crls(
        self, paths: Iterable[tuple[CertificateAuthority, Path]], found: Found
    ) -> str:
        said = [
            check_crls(path, authority, found, self.at) for authority, path in paths
        ]
        return "; ".join(said) or "no authority is asked"

    def _choose(self, rows: Sequence[CertificateMapping]) -> str:
        """Pick the row that decides, or refuse."""
        listed = ", ".join(f"mapping {row.pk}" for row in rows)
        if len({row.user_id for row in rows}) > 1:
            raise Refusal(Reason.AMBIGUOUS_MAPPING, f"{listed} name different users")
        for row in rows:
            if row.state == row.State.DISABLED:
                raise Refusal(Reason.MAPPING_DISABLED, f"mapping {row.pk} is disabled")
        refusals = []
        for row in rows:
            try:
                self._check_row(row)
            except Refusal as refusal:
                refusals.append(refusal)
            else:
                self.mapping = row
                return f"mapping {row.pk}, {row.kind}"
        raise refusals[0]

    def _check_row(self, row: CertificateMapping) -> None:
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
        if not row.covers_host(self.host):
            raise Refusal(
                Reason.HOST_NOT_COVERED,
                f"mapping {row.pk} is not for {visible(self.host, 80) or 'this host'}",
            )

    def _check_user(self, can_authenticate: CanAuthenticate) -> str:
        assert self.mapping is not None  # noqa: S101 - for the type checker
        user = self.mapping.user
        if not can_authenticate(user):
            raise Refusal(Reason.INACTIVE_USER, f"user {user.pk} may not log in")
        self.user = user
        return f"user {user.pk}"

    # --- rules

    def _conclude_by_rule(
        self,
        found: Found,
        untrusted: list[Refusal],
        can_authenticate: CanAuthenticate,
        create_users: bool,
    ) -> _Steps:
        """Take the steps for the rule of whichever authority issued the certificate."""
        was_matched = bool(untrusted)
        paths: list[tuple[CertificateAuthority, Path]] = []
        for authority in found.authorities:
            if not authority.rule_identity:
                continue
            try:
                paths.append((authority, self._path_to(authority)))
            except Refusal as refusal:
                untrusted.append(refusal)
        if not paths and not untrusted:
            self.refuse("match", self._unmapped(found))
            return
        if not was_matched:
            self.passed("match", "no mapping; rules of authorities are looked at")
        blocking = [
            one for one in untrusted if one.reason is not Reason.UNTRUSTED_ISSUER
        ]
        if blocking or not paths:
            self.refuse("verify", (blocking or untrusted)[0])
            return
        self.passed("verify", "; ".join(_show_path(*one) for one in paths))
        if not self.step("crls", lambda: self._check_crls(paths, found)):
            return
        claims: list[Claim] = []
        authorities = [authority for authority, _ in paths]
        if self.step("mapping", lambda: self._read_claims(authorities, claims)):
            yield from self._find_user(claims, can_authenticate, create_users)

    def _read_claims(
        self, authorities: Iterable[CertificateAuthority], claims: list[Claim]
    ) -> str:
        """Put what the rules say into *claims*; some may have nothing to say."""
        silent: list[Refusal] = []
        for authority in authorities:
            try:
                claims.append(read_claim(authority, self.proven, self.host))
            except Refusal as refusal:
                if refusal.reason not in (Reason.UNMAPPED, Reason.HOST_NOT_COVERED):
                    raise
                silent.append(refusal)
        if not claims:
            raise silent[0]
        return "; ".join(map(str, claims))

    def _find_user(
        self,
        claims: Sequence[Claim],
        can_authenticate: CanAuthenticate,
        create_users: bool,
    ) -> _Steps:
        """Find the user of the claims, or make one where the rule says so."""
        try:
            users: list[Any] = yield partial(find_users, claims)
            user = choose_user(claims, users)
            creates_user = user is None
            if creates_user and create_users:
                user = yield partial(create_user, claims[0])
            elif creates_user:
                user = new_user(claims[0])
                self.creates_user = True
            if not can_authenticate(user):
                raise Refusal(Reason.INACTIVE_USER, f"user {user.pk} may not log in")
        except Refusal as refusal:
            self.refuse("user", refusal)
        except DatabaseError as error:
            self.database_failed("user", error)
        else:
            self.user, self.rule_authority = user, claims[0].authority
            self.passed(
                "user",
                f"user {user.pk}"
                if user.pk is not None and not self.creates_user
                else "a new user, who is created on the first request",
            )

    def decision(self) -> Decision:
        """Return what came out of it."""
        taken = {step.name for step in self.steps}
        rest = tuple(Step(name, NOT_REACHED) for name in STEPS if name not in taken)
        accepted = self.refusal is None
        return Decision(
            accepted=accepted,
            reason=None if self.refusal is None else self.refusal.reason,
            detail="" if self.refusal is None else self.refusal.detail,
            certificate=self.certificate,
            user=self.user if accepted else None,
            mapping=self.mapping,
            rule_authority=self.rule_authority,
            creates_user=accepted and self.creates_user,
            last_seen_at=self.last_seen_at,
            steps=(*self.steps, *rest),
        )


def _describe(row: CertificateMapping, path: Path | None) -> str:
    if row.authority is None or path is None:
        return "a pin needs no authority"
    return _show_path(row.authority, path)


def _show_path(authority: CertificateAuthority, path: Path) -> str:
    return f"{authority}, a path of {len(path.certificates)} certificates"


def _belongs(row: CertificateMapping, found: dict[bytes, Identity]) -> bool:
    """Tell whether a row's kind is the kind its key was looked up for."""
    identity = found.get(bytes(row.key))
    return identity is not None and identity.kind.value == row.kind


def is_active(user: Any) -> bool:
    """Tell whether *user* may log in: Django's own rule."""
    return bool(getattr(user, "is_active", True))


def identify_peer(presented: Presented, *, host: str) -> Decision:
    """Return what the peer proved possession of, without any query.

    The decision is never an acceptance: ``certificate`` is set, or ``reason`` says
    why not.
    """
    run = _Run(presented, host, timezone.now())
    run.identify_peer()
    decision = run.decision()
    return Decision(
        accepted=False,
        reason=decision.reason,
        detail=decision.detail,
        certificate=decision.certificate,
        steps=decision.steps,
    )


def evaluate(
    presented: Presented,
    *,
    host: str,
    at: dt.datetime | None = None,
    can_authenticate: CanAuthenticate = is_active,
    create_users: bool = False,
    adapt: Adapt | None = None,
) -> Decision:
    """Return the decision on what *presented* says.

    *host* is the request's host name in lower case without a port, *at* an aware
    moment (default: now). One query where there is something to look up, and a
    second where a rule names the user. Without *create_users*, a user whom a rule
    would create is only described: not saved, without a primary key. *adapt* may
    change what was found: a question of the kind “what if”. Whatever is presented,
    the answer is a decision.
    """
    run = _Run(presented, host, at or timezone.now())
    steps = run.decide(
        can_authenticate=can_authenticate, create_users=create_users, adapt=adapt
    )
    call = next(steps, None)
    while call is not None:
        try:
            result = call()
        except (DatabaseError, Refusal) as error:
            call = _throw(steps, error)
        else:
            call = _send(steps, result)
    return run.decision()


async def aevaluate(
    presented: Presented,
    *,
    host: str,
    at: dt.datetime | None = None,
    can_authenticate: CanAuthenticate = is_active,
    create_users: bool = False,
) -> Decision:
    """See evaluate()."""
    run = _Run(presented, host, at or timezone.now())
    steps = run.decide(can_authenticate=can_authenticate, create_users=create_users)
    call = next(steps, None)
    while call is not None:
        try:
            result = await sync_to_async(call)()
        except (DatabaseError, Refusal) as error:
            call = _throw(steps, error)
        else:
            call = _send(steps, result)
    return run.decision()


def _send(steps: _Steps, result: Any) -> Callable[[], Any] | None:
    """Let the steps go on with what was read; return what to read next."""
    try:
        return steps.send(result)
    except StopIteration:
        return None


def _throw(steps: _Steps, error: Exception) -> Callable[[], Any] | None:
    """Let the steps go on without it; return what to read next."""
    try:
        return steps.throw(error)
    except StopIteration:
        return None
