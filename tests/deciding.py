"""Decisions on certificates that the trusted proxy forwards, without a request."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from django_clientcert.conf import conf
from django_clientcert.evaluation import Decision
from django_clientcert.evaluation.presented import Presented
from django_clientcert.evaluation.run import evaluate
from django_clientcert.models import CertificateMapping
from django_clientcert.testing import IssuedCertificate, proxy_headers


def through_proxy(der: bytes, verdict: str = "SUCCESS") -> Presented:
    """Return what the trusted proxy presents for *der*."""
    headers = proxy_headers(der, verdict=verdict)
    return Presented(
        conf.CLIENTCERT_PROXY,
        value=headers["ssl-client-cert"],
        verdict=headers["ssl-client-verify"],
        subject_dn=headers.get("ssl-client-subject-dn"),
        issuer_dn=headers.get("ssl-client-issuer-dn"),
        peer="10.1.2.3",
    )


def decide(
    certificate: IssuedCertificate | bytes,
    *,
    host: str = "testserver",
    at: dt.datetime | None = None,
    create_users: bool = False,
) -> Decision:
    """Return the decision on a certificate that the proxy forwards."""
    der = certificate if isinstance(certificate, bytes) else certificate.der
    return evaluate(through_proxy(der), host=host, at=at, create_users=create_users)


def map_to(user: Any, kind: str, value: str, **fields: Any) -> CertificateMapping:
    """Return a new mapping."""
    return CertificateMapping.objects.create(
        user=user, kind=kind, value=value, **fields
    )


# What is in the column after a typing error, or a release with more states
UNKNOWN_STATES = ["Disabled", "ACTIVE", "active ", "revoked", "x", ""]


@contextmanager
def states_unchecked() -> Iterator[None]:
    """Let the state of a mapping be any text, as in a table without its constraint."""
    off, on = {
        "sqlite": (
            "PRAGMA ignore_check_constraints = ON",
            "PRAGMA ignore_check_constraints = OFF",
        ),
        # Undone with the transaction of the test
        "postgresql": (
            (
                # No trigger of a deferred foreign key may be pending.
                "SET CONSTRAINTS ALL IMMEDIATE;"
                "ALTER TABLE django_clientcert_certificatemapping"
                " DROP CONSTRAINT clientcert_mapping_known_state"
            ),
            "SELECT 1",
        ),
        "mysql": (
            "SET check_constraint_checks = OFF",
            "SET check_constraint_checks = ON",
        ),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(off)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(on)
