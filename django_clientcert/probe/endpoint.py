"""Signed questions and answers, and the one-time endpoint that answers.

It is on every path, for a request with a valid token only.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any, NamedTuple

from django.core import signing
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse

from django_clientcert.conf import conf
from django_clientcert.evaluation.peer import Peer
from django_clientcert.evaluation.presented import Presented
from django_clientcert.wire import meta_key

HEADER = "x-clientcert-probe"
_KEY = meta_key(HEADER)

# Seconds for which a question is answered; the clocks may differ by as much
MAX_AGE = 60

_QUESTION = "django_clientcert.probe.question"
_ANSWER = "django_clientcert.probe.answer"

# Questions that were answered: by this process, and in the cache for the others
_PREFIX = "django_clientcert.probe."
_REMEMBERED = 1000
_taken: OrderedDict[str, None] = OrderedDict()
_lock = Lock()


class Arrival:
    """What arrived in place of a forged value."""

    # Nothing under that name
    ABSENT = "absent"
    # Only the forged value
    FORGED = "forged"
    # The forged value joined with another
    MIXED = "mixed"
    # Another value: the proxy's own
    OTHER = "other"


@dataclass(frozen=True)
class Answer:
    """What arrived, and what the decision on it would have been."""

    nonce: str
    # One of ``Arrival`` by the header's name
    headers: Mapping[str, str]
    # The reason for which a gate refuses, or "" if all are open
    gate: str
    # Whether the forged certificate would have been believed; whether any would
    believed: bool
    proven: bool


def digest(value: str) -> str:
    """Return the digest of a value for a token; short, because it is in a header."""
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def make_token(forged: Mapping[str, str], fingerprint: str) -> tuple[str, str]:
    """Return a question about *forged* values by header, and its nonce.

    *fingerprint* is that of the throw-away certificate among these values.
    """
    nonce = secrets.token_urlsafe(12)
    question = {
        "n": nonce,
        "c": fingerprint,
        "h": {name: digest(value) for name, value in forged.items()},
    }
    return signing.dumps(question, salt=_QUESTION), nonce


def read_token(token: str) -> dict[str, Any] | None:
    """Return the question, or None if it is forged or too old."""
    try:
        question = signing.loads(token, salt=_QUESTION, max_age=MAX_AGE)
    except signing.BadSignature:
        return None
    return question if isinstance(question, dict) else None


def sign_answer(answer: Answer) -> str:
    """Return *answer* as signed text, which no intermediary could have made."""
    return signing.dumps(asdict(answer), salt=_ANSWER)


def read_answer(text: str, nonce: str) -> Answer | None:
    """Return the answer to the question with *nonce*, or None if it answers another."""
    try:
        values = signing.loads(text.strip(), salt=_ANSWER, max_age=MAX_AGE)
        answer = Answer(**values)
    except (signing.BadSignature, TypeError):
        return None
    return answer if answer.nonce == nonce else None


class ProbeQuestion(NamedTuple):
    """The contents of a token, and the values that arrived under the proxy's names."""

    nonce: str
    fingerprint: str
    forged: Mapping[str, str]
    arrived: Mapping[str, str | None]


def read_question(request: HttpRequest) -> ProbeQuestion | None:
    """Return the question in *request*, or None if it has no valid token.

    Call it before a closed gate removes headers from the request. Does no I/O.
    """
    token = request.META.get(_KEY)
    if token is None:
        return None
    question = read_token(token)
    if question is None:
        return None
    proxy = conf.CLIENTCERT_PROXY
    values = {name: request.META.get(proxy.meta_key(name)) for name in proxy.names}
    return ProbeQuestion(
        nonce=str(question.get("n")),
        fingerprint=str(question.get("c")),
        forged=dict(question.get("h") or {}),
        arrived={
            name: value if isinstance(value, str) else None
            for name, value in values.items()
        },
    )


def take(question: ProbeQuestion) -> bool:
    """Return whether *question* is asked for the first time, and remember it."""
    with _lock:
        if question.nonce in _taken:
            return False
        _taken[question.nonce] = None
        while len(_taken) > _REMEMBERED:
            _taken.popitem(last=False)
    # Longer than a token is valid
    return bool(cache.add(_PREFIX + question.nonce, 1, 2 * MAX_AGE))


def answer(question: ProbeQuestion, presented: Presented, host: str) -> HttpResponse:
    """Return which forged values arrived, signed; never any other value."""
    peer = Peer(presented, host)
    refusal = peer.gate_refusal
    result = Answer(
        nonce=question.nonce,
        headers={
            name: _arrival(value, question.forged.get(name))
            for name, value in question.arrived.items()
        },
        gate="" if refusal is None else str(refusal.reason),
        believed=peer.certificate is not None
        and peer.certificate.fingerprint == question.fingerprint,
        proven=peer.certificate is not None,
    )
    return HttpResponse(
        sign_answer(result),
        content_type="text/plain; charset=utf-8",
        headers={"Cache-Control": "no-store"},
    )


def _arrival(value: str | None, forged: str | None) -> str:
    if not value:
        return Arrival.ABSENT
    if digest(value) == forged:
        return Arrival.FORGED
    parts = [part.strip(" ") for part in value.split(",")]
    if any(digest(part) == forged for part in parts):
        return Arrival.MIXED
    return Arrival.OTHER
