"""What is asked about a certificate, and the answer as data: the command and the page.

Nothing is written, and nothing is asked of a request: whoever asks says what one
would carry, and what is not said is assumed, and that is said.
"""

from __future__ import annotations

from .asking import (
    Assumption,
    Question,
    as_wsgi,
    ask_about_certificates,
    ask_about_header,
    choose_host,
    present,
    user_rule,
)
from .report import NOT_LOOKED_AT, Report, make_report
from .text import describe_certificate, one_line, show_value

__all__ = [
    "NOT_LOOKED_AT",
    "Assumption",
    "Question",
    "Report",
    "as_wsgi",
    "ask_about_certificates",
    "ask_about_header",
    "choose_host",
    "describe_certificate",
    "make_report",
    "one_line",
    "present",
    "show_value",
    "user_rule",
]
