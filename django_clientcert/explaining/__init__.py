"""Queries about a certificate, and the answer as data for the command and the admin.

Nothing is written, and no request is read: the query describes what a request would
contain. Values that are not given are assumed, and the report lists them.
"""

from __future__ import annotations
