"""Signed questions and signed answers."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.core import signing

HEADER = "x-clientcert-probe"

# Seconds for which a question is answered; the clocks may differ by as much
MAX_AGE = 60

_QUESTION = "django_clientcert.probe.question"
_ANSWER = "django_clientcert.probe.answer"


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
