"""Signals, sent by the middleware once for each request that was decided."""

from __future__ import annotations

from django.dispatch import Signal

# request, certificate, mapping, user
client_cert_accepted = Signal()

# request, certificate (None where it could not be read), reason
client_cert_refused = Signal()
