"""What the application answers to ``manage.py clientcert probe``, and to nobody else.

The command attacks the deployment from outside with forged headers and has to know
which of them arrived. Only the application can tell, so it does: to a request that
carries a token made with the project's ``SECRET_KEY``, a minute old at most, once.
Whoever can make one could sign sessions too. All others get what they always get.
"""

from .endpoint import Question, answer, read_question, take
from .tokens import (
    HEADER,
    MAX_AGE,
    Answer,
    Arrival,
    make_token,
    read_answer,
    read_token,
)

__all__ = [
    "HEADER",
    "MAX_AGE",
    "Answer",
    "Arrival",
    "Question",
    "answer",
    "make_token",
    "read_answer",
    "read_question",
    "read_token",
    "take",
]
