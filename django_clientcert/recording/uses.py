"""Record that an accepted certificate was used."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from django.utils import timezone

from django_clientcert.conf import conf
from django_clientcert.evaluation import Decision
from django_clientcert.models import CertificateMapping, SeenCertificate
from django_clientcert.requests import RequestState

from .refusals import forget
from .writing import writer


class Use(NamedTuple):
    """The use of an accepted certificate."""

    decision: Decision
    host: str
    at: dt.datetime
    # Whether the mapping, and the certificate, were last recorded long ago
    mapping_is_due: bool
    certificate_is_due: bool


def find_unrecorded_use(state: RequestState) -> Callable[[], None] | None:
    """Return what records the use of the certificate, or None. No I/O."""
    settings, decision = state.peer.settings, state.decision
    interval = settings.CLIENTCERT_LAST_USED_INTERVAL
    if (
        interval is None
        or decision is None
        or not decision.accepted
        or writer.is_paused()
    ):
        return None
    now = timezone.now()

    def is_due(last: dt.datetime | None) -> bool:
        # A time in the future is of a clock that was wrong.
        return last is None or not now - interval < last <= now

    mapping_is_due = is_due(decision.last_used_at)
    certificate_is_due = settings.CLIENTCERT_SEEN_SIZE > 0 and is_due(
        decision.last_seen_at
    )
    if not (mapping_is_due or certificate_is_due):
        return None
    # What is kept of the decision has the times from before.
    state.peer.evidence.kept = None
    mapping_is_due &= decision.mapping is not None
    use = Use(decision, state.host, now, mapping_is_due, certificate_is_due)
    return partial(record_use, use)


def record_use(use: Use) -> None:
    """Record that a certificate was used. Never fails a request."""
    mapping, certificate = use.decision.mapping, use.decision.certificate
    if mapping is not None and use.mapping_is_due:
        writer.write(
            f"last use of mapping {mapping.pk}",
            partial(CertificateMapping.objects.record_use, mapping),
        )
    if certificate is not None and use.certificate_is_due:
        writer.write(
            f"last use of certificate {certificate.short_fingerprint}",
            partial(
                SeenCertificate.record,
                certificate,
                user=use.decision.user,
                mapping=mapping,
                authority=use.decision.authority,
                host=use.host,
                size=conf.CLIENTCERT_SEEN_SIZE,
                at=use.at,
            ),
        )
    if certificate is not None and use.decision.last_seen_at is None:
        writer.write("removal from the inbox", partial(forget, certificate))
