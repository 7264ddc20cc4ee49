"""The result of an evaluation, as data."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db import DatabaseError

from django_clientcert.evaluation.decisions import NOT_REACHED, REFUSED, Decision
from django_clientcert.evaluation.peer import GATES, STEPS
from django_clientcert.evaluation.presented import Presented
from django_clientcert.exceptions import CertificateParseError, Reason
from django_clientcert.models import CertificateMapping, Revocation, serial_key
from django_clientcert.models.rules import describe_rule
from django_clientcert.trust.renewals import find_predecessors
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible, visible_once
from django_clientcert.x509.identities import IdentityKind, find_identities
from django_clientcert.x509.identities import show_value as show_identity
from django_clientcert.x509.text import to_iso

from .reasons import EXPLANATIONS

NOT_LOOKED_AT = "not_looked_at"

Report = dict[str, Any]


def make_report(
    decision: Decision,
    presented: Presented,
    certificate: ClientCertificate | None,
    *,
    at: dt.datetime,
    host: str,
    assumptions: Sequence[str],
) -> Report:
    """Return *decision* on *presented* as JSON-ready data, with these stable keys.

    - ``at`` (ISO 8601, UTC), ``host``, ``assumptions``: a list of sentences
    - ``accepted``; ``reason``, ``meaning``, ``remedy``: null if accepted; ``detail``
    - ``user``: the name; ``mapping``: null unless a mapping accepted the certificate
    - ``rule``: null unless a rule accepted it; otherwise ``authority``, the
      ``identity`` that it reads, the user's ``field`` and its ``value``, the rule as a
      sentence in ``text``, and ``creates_user``, whether a user would be created
    - ``successor_of``: for an unmapped certificate, the ids of the mappings whose
      certificate it seems to renew
    - ``revocations``: the ids of those for its public key or serial number
    - ``certificate``: see ``describe_certificate()``; null if it cannot be decoded
    - ``steps``: each with ``name``, ``outcome`` (``passed``, ``refused``,
      ``not_reached``, ``not_looked_at``), ``reason`` (null unless refused), ``detail``
    - ``identities``: each with ``kind``, ``value`` and ``mappings``, null if the
      database cannot be read
    - ``problems``: why further identities could not be read

    A mapping has ``id``, ``user``, ``kind``, ``value``, ``authority`` (null for
    none), ``strong`` (false if only the authority vouches for the name), ``state``,
    ``valid_from``, ``valid_until``, ``hosts``.
    """
    reason = decision.reason
    explanation = None if reason is None else EXPLANATIONS[reason]
    mapping = decision.mapping if decision.accepted else None
    skipped = set() if presented.from_request else set(GATES)
    if not presented.from_request and presented.verdict is None:
        skipped.add("verdict")
    identities, problems = _describe_identities(certificate)
    return {
        "at": at.isoformat(),
        "host": visible(host),
        "assumptions": list(assumptions),
        "accepted": decision.accepted,
        "reason": None if reason is None else reason.value,
        "meaning": None if explanation is None else str(explanation.meaning),
        "remedy": None if explanation is None else str(explanation.remedy),
        "detail": one_line(decision.detail),
        "user": username_of(decision.user) or None,
        "mapping": None if mapping is None else _describe_mapping(mapping),
        "rule": _describe_rule(decision),
        "successor_of": _successor_of(decision),
        "revocations": _revocations(certificate),
        "certificate": certificate and describe_certificate(certificate),
        "steps": list(_describe_steps(decision, skipped)),
        "identities": identities,
        "problems": problems,
    }


def _describe_steps(decision: Decision, skipped: set[str]) -> Iterator[Report]:
    """Return the steps in the order in which they are taken."""
    taken = {step.name: step for step in decision.steps}
    for name in STEPS:
        outcome = taken[name].outcome
        if outcome == NOT_REACHED and name in skipped:
            outcome = NOT_LOOKED_AT
        yield {
            "name": name,
            "outcome": outcome,
            "reason": str(decision.reason) if outcome == REFUSED else None,
            "detail": one_line(taken[name].detail),
        }


def _describe_rule(decision: Decision) -> Report | None:
    authority = decision.rule_authority
    if not decision.accepted or authority is None:
        return None
    return {
        "authority": str(authority),
        "identity": visible(authority.rule_identity),
        "field": visible(authority.user_field),
        # Rules compare exactly, so the user's value equals the value read.
        "value": visible(str(getattr(decision.user, authority.user_field))),
        "text": describe_rule(authority),
        "creates_user": decision.creates_user,
    }


def _successor_of(decision: Decision) -> list[Any]:
    """Return the mappings whose certificate an unmapped one seems to renew."""
    if decision.reason is not Reason.UNMAPPED or decision.certificate is None:
        return []
    return [mapping.pk for mapping in find_predecessors(decision.certificate)]


def _revocations(certificate: ClientCertificate | None) -> list[Any]:
    """Return the revocations of the public key, or of the serial number."""
    if certificate is None:
        return []
    try:
        keys = [certificate.public_key_bytes], [serial_key(certificate.serial_number)]
        rows = Revocation.objects.matching(*keys).order_by("pk")
        return list(rows.values_list("pk", flat=True))
    except (CertificateParseError, DatabaseError):
        return []  # the evaluation reports it


def _describe_identities(
    certificate: ClientCertificate | None,
) -> tuple[list[Report], list[str]]:
    """Return every identity with its mappings, and the problems with others."""
    if certificate is None:
        return [], []
    identities = find_identities(certificate)
    mappings: defaultdict[tuple[str, bytes], list[Report]] = defaultdict(list)
    can_be_read = True
    try:
        keys = [identity.key for identity in identities.found]
        for row in CertificateMapping.objects.matching(keys).order_by("pk"):
            mappings[row.kind, bytes(row.key)].append(_describe_mapping(row))
    except DatabaseError:
        can_be_read = False  # the evaluation reports it: trust_unavailable
    described = [
        {
            "kind": identity.kind.value,
            "value": show_value(identity.kind.value, identity.value),
            "mappings": mappings[identity.kind.value, identity.key]
            if can_be_read
            else None,
        }
        for identity in identities.found
    ]
    problems = (*identities.problems, *identities.left_out)
    return described, list(map(one_line, problems))


def _describe_mapping(mapping: CertificateMapping) -> Report:
    return {
        "id": mapping.pk,
        "user": username_of(mapping.user),
        "kind": mapping.kind,
        "value": show_value(mapping.kind, mapping.value),
        "authority": None if mapping.authority is None else str(mapping.authority),
        "strong": mapping.is_exact,
        "state": mapping.state,
        "valid_from": to_iso(mapping.valid_from),
        "valid_until": to_iso(mapping.valid_until),
        "hosts": mapping.hosts.split(),
    }


def username_of(user: Any) -> str:
    """Return the username of *user*, safe to show; an empty text without a user."""
    return "" if user is None else visible(str(user.get_username()))


MAX_CHARACTERS = 4096


def one_line(text: str) -> str:
    """Return *text*, which is usually escaped already, so that it stays on its line."""
    return visible_once(text, MAX_CHARACTERS)


def show_value(kind: str, value: str) -> str:
    """Return the value of an identity, safe to show."""
    return show_identity(IdentityKind(kind), value, MAX_CHARACTERS)


def describe_certificate(certificate: ClientCertificate) -> dict[str, Any]:
    """Return the fields of *certificate* by stable keys; never raises.

    ``subject``, ``issuer``, ``serial_number`` (hex), ``not_before``, ``not_after``
    (ISO 8601), ``fingerprint``, ``public_key`` (SHA-256, hex), each None if it
    cannot be read, and ``problems``, the reasons for that.
    """
    problems: list[str] = []

    def read(get: Callable[[], str]) -> str | None:
        try:
            return one_line(get())
        except CertificateParseError as error:
            if (problem := one_line(error.detail)) not in problems:
                problems.append(problem)
            return None

    return {
        "subject": read(lambda: str(certificate.subject)),
        "issuer": read(lambda: str(certificate.issuer)),
        "serial_number": read(lambda: certificate.serial_number_hex),
        "not_before": read(lambda: certificate.not_before.isoformat()),
        "not_after": read(lambda: certificate.not_after.isoformat()),
        "fingerprint": certificate.fingerprint,
        "public_key": read(lambda: certificate.public_key_fingerprint),
        "problems": problems,
    }
