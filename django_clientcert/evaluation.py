"""The one place where the steps are put together.

``evaluate()`` turns what a request presents into a ``Decision``. It is the same for
the middleware, the backend, the admin and the commands. Each step passes or
refuses with a reason; the first refusal decides, and nothing raises past it.

``aevaluate()`` is its asynchronous twin: all but the one query is shared.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from django.db import Error as DatabaseError
from django.http.request import validate_host
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from .certificates import ClientCertificate
from .conf import Network, TrustedProxies, conf
from .encodings import DECODERS
from .escaping import visible
from .exceptions import (
    BundleError,
    CertificateParseError,
    NameSyntaxError,
    Reason,
    Refusal,
)
from .identities import Identities, Identity, find_identities
from .lookup import afind_mappings, find_mappings
from .models import CertificateMapping
from .names import DistinguishedName, Order, parse_name
from .presented import Presented
from .verification import Path, check_usage, check_validity

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

logger = logging.getLogger(__name__)

CanAuthenticate = Callable[[Any], bool]

PASSED = "passed"
REFUSED = "refused"
NOT_REACHED = "not_reached"


@dataclass(frozen=True)
class Step:
    """One step of an evaluation: its name, outcome, and what an operator may read."""

    name: str
    outcome: str
    detail: str = ""


@dataclass(frozen=True)
class Decision:
    """Whether a request is authenticated by its client certificate, and why.

    ``certificate`` is what the peer proved possession of; None where that much is
    not established. ``detail`` and the steps are for operators, not for clients.
    """

    accepted: bool
    reason: Reason | None
    detail: str = ""
    certificate: ClientCertificate | None = field(default=None, repr=False)
    user: AbstractBaseUser | None = None
    mapping: CertificateMapping | None = None
    steps: tuple[Step, ...] = field(default=(), repr=False)


# --- the gates: cheap, before anything is decoded --------------------------------


def _gate_peer(presented: Presented, host: str) -> str:
    trusted = conf.CLIENTCERT_TRUSTED_PROXIES
    if not trusted:
        raise Refusal(
            Reason.UNTRUSTED_PEER, "CLIENTCERT_TRUSTED_PROXIES is not set: nobody is"
        )
    if not _is_trusted(presented.peer, trusted):
        raise Refusal(
            Reason.UNTRUSTED_PEER,
            f"{_quote(presented.peer)} is not in CLIENTCERT_TRUSTED_PROXIES",
        )
    return presented.peer or "Unix socket"


def _gate_transport(presented: Presented, host: str) -> str:
    if conf.CLIENTCERT_REQUIRE_SECURE and not presented.secure:
        raise Refusal(
            Reason.INSECURE_TRANSPORT,
            "the request is not is_secure(); behind a proxy, set "
            "SECURE_PROXY_SSL_HEADER",
        )
    return "secure" if presented.secure else "not required"


def _gate_host(presented: Presented, host: str) -> str:
    hosts = conf.CLIENTCERT_HOSTS
    if hosts is not None and not validate_host(host, list(hosts)):
        raise Refusal(
            Reason.HOST_NOT_COVERED,
            f"{visible(host, 80) or 'an invalid host'} is not in CLIENTCERT_HOSTS",
        )
    return visible(host, 80) if hosts is not None else "every host"


def _gate_secret(presented: Presented, host: str) -> str:
    expected = conf.CLIENTCERT_PROXY_SECRET
    if expected is None:
        return "not configured"
    # Every secret is compared, so the time says nothing about which one it was.
    given = presented.secret or ""
    matches = [constant_time_compare(given, one) for one in expected[1]]
    if not any(matches):
        raise Refusal(
            Reason.BAD_PROXY_SECRET,
            "the proxy’s secret is missing" if not given else "another secret",
        )
    return "known"


def _gate_spelling(presented: Presented, host: str) -> str:
    if presented.ambiguity:
        raise Refusal(Reason.AMBIGUOUS_HEADER, presented.ambiguity)
    return "one of each"


def _gate_size(presented: Presented, host: str) -> str:
    limit = conf.CLIENTCERT_MAX_HEADER_BYTES
    for value in (
        presented.value,
        presented.verdict,
        presented.subject_dn,
        presented.issuer_dn,
    ):
        if value is not None and len(value) > limit:
            raise Refusal(
                Reason.HEADER_TOO_LARGE,
                f"{len(value)} bytes, more than CLIENTCERT_MAX_HEADER_BYTES ({limit})",
            )
    return f"{len(presented.value or '')} bytes"


_Gate = Callable[[Presented, str], str]

GATES: tuple[tuple[str, _Gate], ...] = (
    ("peer", _gate_peer),
    ("transport", _gate_transport),
    ("host", _gate_host),
    ("secret", _gate_secret),
    ("spelling", _gate_spelling),
    ("size", _gate_size),
)


def check_gates(presented: Presented, *, host: str) -> Refusal | None:
    """Return why *presented* must not be believed, or None. Decodes nothing."""
    for _, gate in GATES:
        try:
            gate(presented, host)
        except Refusal as refusal:
            return refusal
    return None


def _quote(text: str | None) -> str:
    """Return untrusted *text* for an operator; a missing one is nothing."""
    return "nothing" if text is None else f"“{visible(text, 80)}”"


def _is_trusted(peer: str | None, trusted: TrustedProxies) -> bool:
    # Servers that listen on a Unix socket have no address to report.
    if not peer:
        return trusted.unix
    return _is_in(peer, trusted.networks)


@lru_cache(maxsize=1024)
def _is_in(peer: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


# --- decode and parse ------------------------------------------------------------


def _verdict(presented: Presented) -> str:
    proxy = presented.proxy
    if proxy.verdict is None:
        return "the proxy gives none"
    verdict = presented.verdict
    if verdict == proxy.success:
        return verdict
    if (
        verdict is not None
        and verdict.startswith(proxy.failure)
        and not conf.CLIENTCERT_PROXY_VERIFIES
    ):
        return f"{visible(verdict, 80)}; the path is validated here"
    raise Refusal(
        Reason.PROXY_VERDICT,
        f"the proxy says {_quote(verdict)}, not {proxy.success}",
    )


@lru_cache(maxsize=1024)
def _decode(encoding: str, value: str) -> ClientCertificate:
    """Return the certificate of a header value; the same one for the same text.

    Pure, so the result may be kept. A refusal is not kept.
    """
    return ClientCertificate(DECODERS[encoding](value)[0])


def _certificate(presented: Presented) -> ClientCertificate:
    if presented.certificates is not None:
        return ClientCertificate(presented.certificates[0])
    return _decode(presented.proxy.encoding, presented.value or "")


def _parse(certificate: ClientCertificate) -> str:
    certificate.x509  # noqa: B018 - strict DER, or a refusal
    certificate.extensions  # noqa: B018 - none twice
    return certificate.fingerprint


def _compare_names(presented: Presented, certificate: ClientCertificate) -> str:
    """Compare the proxy's DN headers with the certificate.

    A client may send somebody else's certificate where the proxy does not set that
    header but does set these.
    """
    proxy = presented.proxy
    if not presented.from_request:
        return "no headers to compare"
    compared = 0
    for header, given, attribute in (
        (proxy.subject_dn, presented.subject_dn, "subject"),
        (proxy.issuer_dn, presented.issuer_dn, "issuer"),
    ):
        if header is None or (given is None and not proxy.names_required):
            continue
        name: DistinguishedName = getattr(certificate, attribute)
        if not _is_name(given or "", name):
            raise Refusal(
                Reason.HEADER_MISMATCH,
                f"{header} is missing"
                if given is None
                else f"{header} speaks of another certificate",
            )
        compared += 1
    return f"{compared} headers agree" if compared else "no headers to compare"


def _check_dates(certificate: ClientCertificate, at: dt.datetime) -> str:
    check_validity(certificate, at)
    return f"until {certificate.not_after:%Y-%m-%d %H:%M} UTC"


def _check_purpose(certificate: ClientCertificate) -> str:
    check_usage(certificate)
    return "a TLS client’s"


def _is_name(given: str, name: DistinguishedName) -> bool:
    # A server takes the space off the end of a header (RFC 9110, 5.5), also the one
    # that a backslash escapes. No name ends with a lone backslash otherwise.
    if given.rstrip(" ") == name.openssl_rfc2253().rstrip(" "):
        return True
    # nginx escapes everything but ASCII; another spelling of the same values is
    # as good, and order and structure still count.
    try:
        parsed = parse_name(given, order=Order.MOST_SPECIFIC_FIRST)
    except NameSyntaxError:
        return False
    return parsed.same_values(name)


# --- the run ---------------------------------------------------------------------

STEPS = (
    *(name for name, _ in GATES),
    "verdict",
    "decode",
    "parse",
    "names",
    "validity",
    "purpose",
    "match",
    "verify",
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
        self.identities: Identities | None = None
        self.mapping: CertificateMapping | None = None

    def step(self, name: str, check: Callable[[], str]) -> bool:
        """Take one step; return whether it passed."""
        try:
            detail = check()
        except Refusal as refusal:
            self.refuse(name, refusal)
            return False
        self.steps.append(Step(name, PASSED, detail))
        return True

    def refuse(self, name: str, refusal: Refusal) -> None:
        """End the run."""
        self.refusal = refusal
        self.steps.append(Step(name, REFUSED, refusal.detail))

    def prove(self) -> bool:
        """Take the steps up to the names: what did the peer prove possession of?"""
        presented = self.presented
        if not presented.has_certificate:
            self.refusal = Refusal(Reason.NO_CERTIFICATE)
            return False
        for name, gate in GATES if presented.from_request else ():
            if not self.step(name, partial(gate, presented, self.host)):
                return False
        has_verdict = presented.from_request or presented.verdict is not None
        if has_verdict and not self.step("verdict", lambda: _verdict(presented)):
            return False
        read: list[ClientCertificate] = []

        def decode() -> str:
            read.append(_certificate(presented))
            return f"{len(read[0].der)} bytes of DER"

        if not self.step("decode", decode):
            return False
        certificate = read[0]
        if not self.step("parse", lambda: _parse(certificate)):
            return False
        if not self.step("names", lambda: _compare_names(presented, certificate)):
            return False
        self.certificate = certificate
        return True

    def prepare(self) -> Sequence[bytes]:
        """Take every step in front of the query; return the keys to look up."""
        certificate = self.certificate
        assert certificate is not None  # noqa: S101 - for the type checker
        if not self.step(
            "validity",
            lambda: _check_dates(certificate, self.at),
        ):
            return ()
        if not self.step("purpose", lambda: _check_purpose(certificate)):
            return ()
        self.identities = find_identities(certificate)
        return [one.key for one in self.identities.found]

    def conclude(
        self, rows: Iterable[CertificateMapping], can_authenticate: CanAuthenticate
    ) -> None:
        """Take the steps behind the query."""
        assert self.identities is not None  # noqa: S101 - for the type checker
        found = {one.key: one for one in self.identities.found}
        matching = [row for row in rows if _belongs(row, found)]
        if not matching:
            self.refuse("match", self._unmapped())
            return
        self.steps.append(
            Step("match", PASSED, ", ".join(f"mapping {row.pk}" for row in matching))
        )
        level = self._verify(sorted(matching, key=lambda row: (row.level, row.pk)))
        if level is None:
            return
        if not self.step("mapping", lambda: self._choose(level)):
            return
        self.step("user", lambda: self._check_user(can_authenticate))

    def _unmapped(self) -> Refusal:
        assert self.identities is not None  # noqa: S101
        if self.identities.problems:
            return Refusal(
                Reason.MALFORMED_CERTIFICATE,
                "no pin matches, and the rest cannot be used: "
                + "; ".join(self.identities.problems),
            )
        return Refusal(Reason.UNMAPPED, "no mapping matches this certificate")

    def _verify(
        self, rows: Sequence[CertificateMapping]
    ) -> list[CertificateMapping] | None:
        """Return the rows of the best kind whose authority issued the certificate.

        A row whose authority did not issue it does not match. A row whose
        authority did, and whose path breaks a rule, ends the search: a worse kind
        must not overtake it.
        """
        refusals: list[Refusal] = []
        for level in sorted({row.level for row in rows}):
            verified, details = [], []
            blocking: Refusal | None = None
            for row in rows:
                if row.level != level:
                    continue
                try:
                    details.append(f"mapping {row.pk}: {self._verify_row(row)}")
                    verified.append(row)
                except Refusal as refusal:
                    located = Refusal(
                        refusal.reason, f"mapping {row.pk}: {refusal.detail}"
                    )
                    refusals.append(located)
                    if refusal.reason is not Reason.UNTRUSTED_ISSUER:
                        blocking = blocking or located
            if verified:
                self.steps.append(Step("verify", PASSED, "; ".join(details)))
                return verified
            if blocking is not None:
                self.refuse("verify", blocking)
                return None
        self.refuse("verify", refusals[0])
        return None

    def _verify_row(self, row: CertificateMapping) -> str:
        if row.authority is None:
            if row.is_pin:
                return "a pin needs no authority"
            raise Refusal(
                Reason.UNTRUSTED_ISSUER,
                "it names no authority, and is no pin: choose one for it",
            )
        assert self.certificate is not None  # noqa: S101
        try:
            validator = row.authority.validator()
        except (BundleError, CertificateParseError) as error:
            logger.error("the authority %s cannot be used: %s", row.authority_id, error)
            raise Refusal(
                Reason.TRUST_UNAVAILABLE,
                f"the authority {row.authority} cannot be used: {visible(str(error))}",
            ) from error
        proxy_verified = (
            conf.CLIENTCERT_PROXY_VERIFIES
            and self.presented.proxy.verdict is not None
            and self.presented.verdict == self.presented.proxy.success
        )
        try:
            path: Path = (
                validator.find_issuer(self.certificate, self.at)
                if proxy_verified
                else validator.validate(self.certificate, self.at)
            )
        except Refusal as refusal:
            raise Refusal(
                refusal.reason, f"{row.authority}: {visible(refusal.detail)}"
            ) from refusal
        return f"{row.authority}, a path of {len(path.certificates)} certificates"

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
        assert self.mapping is not None  # noqa: S101
        user = self.mapping.user
        if not can_authenticate(user):
            raise Refusal(Reason.INACTIVE_USER, f"user {user.pk} may not log in")
        return f"user {user.pk}"

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
            user=self.mapping.user if accepted and self.mapping else None,
            mapping=self.mapping,
            steps=(*self.steps, *rest),
        )


def _belongs(row: CertificateMapping, found: dict[bytes, Identity]) -> bool:
    """Tell whether a row's kind is the kind its key was looked up for."""
    identity = found.get(bytes(row.key))
    return identity is not None and identity.kind.value == row.kind


def is_active(user: Any) -> bool:
    """Tell whether *user* may log in: Django's own rule."""
    return bool(getattr(user, "is_active", True))


def prove(presented: Presented, *, host: str) -> Decision:
    """Return what the peer proved possession of, without any query.

    The decision is never an acceptance: ``certificate`` is set, or ``reason`` says
    why not.
    """
    run = _Run(presented, host, timezone.now())
    run.prove()
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
) -> Decision:
    """Return the decision on what *presented* says.

    *host* is the request's host name in lower case without a port, *at* an aware
    moment (default: now). One query where there is something to look up. Whatever
    is presented, the answer is a decision.
    """
    run = _Run(presented, host, at or timezone.now())
    keys = run.prepare() if run.prove() else ()
    if keys:
        try:
            rows = find_mappings(keys)
        except DatabaseError as error:
            _database_failed(run, error)
        else:
            run.conclude(rows, can_authenticate)
    return run.decision()


async def aevaluate(
    presented: Presented,
    *,
    host: str,
    at: dt.datetime | None = None,
    can_authenticate: CanAuthenticate = is_active,
) -> Decision:
    """See evaluate()."""
    run = _Run(presented, host, at or timezone.now())
    keys = run.prepare() if run.prove() else ()
    if keys:
        try:
            rows = await afind_mappings(keys)
        except DatabaseError as error:
            _database_failed(run, error)
        else:
            run.conclude(rows, can_authenticate)
    return run.decision()


def _database_failed(run: _Run, error: DatabaseError) -> None:
    logger.error("the mappings cannot be read: %s", type(error).__name__)
    run.refuse(
        "match", Refusal(Reason.TRUST_UNAVAILABLE, "the mappings cannot be read")
    )
