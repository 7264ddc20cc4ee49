"""Signals: two for the decision on a request, one for what expires soon."""

from __future__ import annotations

from django.dispatch import Signal

# request, certificate, mapping, user
client_cert_accepted = Signal()

# request, certificate (None if it could not be read), reason
client_cert_refused = Signal()

# instance (mapping, authority or CRL), certificate (None unless that is what expires),
# user (None if it does not belong to a user), expires_at, stage (a timedelta)
certificate_expiring = Signal()
