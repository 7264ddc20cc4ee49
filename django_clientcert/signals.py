"""Signals: two for each request that was decided, one for what expires."""

from __future__ import annotations

from django.dispatch import Signal

# request, certificate, mapping, user
client_cert_accepted = Signal()

# request, certificate (None where it could not be read), reason
client_cert_refused = Signal()

# instance (mapping, authority or list), certificate (None where it is no certificate),
# user (None where it is nobody's), expires_at, stage (a timedelta)
certificate_expiring = Signal()
