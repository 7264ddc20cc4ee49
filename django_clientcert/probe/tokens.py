"""Signed questions and signed answers."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.core import signing

HEADER = "x-clientcert-probe"

# Seconds for which a question is answered; the clocks may differ by as much.
MAX_AGE = 60

_QUESTION = "django_clientcert.probe.question"
_ANSWER = "django_clientcert.probe.answer"


class Arrival:
    """What became of a forged value."""

    # There is nothing of that name
    ABSENT = "absent"
    # The forged value, and nothing else
    FORGED = "forged"
    # The forged value joined with another
    MIXED = "mixed"
    # Another value: the proxy's own
    OTHER = "other"


@dataclass(frozen=True)
class Answer:
    """What arrived, and what would have come of it."""

    nonce: str
    # By the header's name, one of ``Arrival``
    headers: Mapping[str, str]
    # The reason with which a gate refuses, or "" where all are open
    gate: str
    # Whether the forged certificate would have been believed, or another was
    believed: bool
    proven: bool


def digest(value: str) -> str:
    """Return what stands for a value in a token; short, because it is in a header."""
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def make_token(forged: Mapping[str, str], fingerprint: str) -> tuple[str, str]:
    """Return a question about *forged* values by header, and its nonce.

    *fingerprint* is that of the throw-away certificate among them.
    """
    nonce = secrets.token_urlsafe(12)
    question = {
        "n": nonce,
        "c": fingerprint,
        "h": {name: digest(value) for name, value in forged.items()},
    }
    return signing.dumps(question, salt=_QUESTION), nonce


def read_token(token: str) -> dict[str, Any] | None:
    """Return the question, or None where it is forged or too old."""
    try:
        question = signing.loads(token, salt=_QUESTION, max_age=MAX_AGE)
    except signing.BadSignature:
        return None
    return question if isinstance(question, dict) else None


def sign_answer(answer: Answer) -> str:
    """Return *answer* as text that nobody in between can have made."""
    return signing.dumps(asdict(answer), salt=_ANSWER)


def read_answer(text: str, nonce: str) -> Answer | None:
    """Return the answer to the question with *nonce*, or None where it is another's."""
    try:
        values = signing.loads(text.strip(), salt=_ANSWER, max_age=MAX_AGE)
        answer = Answer(**values)
    except (signing.BadSignature, TypeError):
        return None
    return answer if answer.nonce == nonce else None
