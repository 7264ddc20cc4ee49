"""The result of an evaluation."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from django_clientcert.exceptions import Reason
from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.x509.certificates import ClientCertificate

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

PASSED = "passed"
REFUSED = "refused"
NOT_REACHED = "not_reached"


class Step(NamedTuple):
    """One step of an evaluation: its name, its outcome, and a detail for operators."""

    name: str
    outcome: str
    detail: str = ""


@dataclass(frozen=True)
class Decision:
    """Whether a request is authenticated by its client certificate, and why.

    ``certificate`` is what the peer proved possession of; None if that is not
    established. ``detail`` and the steps are for operators, not for clients.
    """

    accepted: bool
    reason: Reason | None
    detail: str = ""
    certificate: ClientCertificate | None = field(default=None, repr=False)
    user: AbstractBaseUser | None = None
    mapping: CertificateMapping | None = None
    # The authority whose rule named the user, if no mapping did
    rule_authority: CertificateAuthority | None = None
    # Whether the rule creates the user, who is not in the database yet
    creates_user: bool = False
    # When the certificate was last accepted, and the mapping last used, as recorded
    last_seen_at: dt.datetime | None = field(default=None, repr=False)
    last_used_at: dt.datetime | None = field(default=None, repr=False)
    steps: tuple[Step, ...] = field(default=(), repr=False)

    @property
    def authority(self) -> CertificateAuthority | None:
        """The authority that vouches for the user: the rule's, or the mapping's."""
        if self.rule_authority is not None:
            return self.rule_authority
        return None if self.mapping is None else self.mapping.authority
