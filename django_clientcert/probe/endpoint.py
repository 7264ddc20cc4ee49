"""The one-time endpoint: on every path, for a request with a valid token only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import NamedTuple

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse

from django_clientcert.conf import conf
from django_clientcert.evaluation.peer import Peer
from django_clientcert.evaluation.presented import Presented
from django_clientcert.wire import meta_key

from .tokens import HEADER, MAX_AGE, Answer, Arrival, digest, read_token, sign_answer

_KEY = meta_key(HEADER)

# Questions that were answered: by this process, and in the cache for the others
_PREFIX = "django_clientcert.probe."
_REMEMBERED = 1000
_taken: OrderedDict[str, None] = OrderedDict()
_lock = Lock()


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
    refusal = peer.gates[1]
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
