"""Queries about a certificate, and the answer as data for the command and the admin.

Nothing is written, and no request is read: the query describes what a request would
contain. Values that are not given are assumed, and the report lists them.
"""

from __future__ import annotations

from .asking import (
    Assumption,
    ExplainQuery,
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
    "ExplainQuery",
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
