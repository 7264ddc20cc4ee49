"""``check --database``: are CRLs and revocations in force?"""

from __future__ import annotations

import datetime as dt

from django.core.checks import Warning
from django.utils import timezone

from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import CertificateAuthority, name_key
from django_clientcert.x509.escaping import visible_once
from django_clientcert.x509.text import some_of

from .base import Messages, check_of_database, label
from .ids import IDS

# The next CRL should be there before the last fifth of the current one's lifetime.
_LAST_PART = 0.2
_FETCH_CRLS = (
    "Type manage.py clientcert crl fetch, or crl import FILE; see manage.py clientcert "
    "crl list."
)


@check_of_database
def check_crls_are_current(alias: str) -> Messages:
    """Does every authority have the CRLs that its policy requires?"""
    now = timezone.now()
    stale, expiring = [], []
    authorities = CertificateAuthority.objects.using(alias)
    for authority in authorities.exclude(revocation_policy="off"):
        crls = list(authority.revocation_lists.all())
        if authority.revocation_policy == "required":
            names = {crl.crl_info().issuer_name for crl in crls}
            stale += [
                f"{label(authority)}: no CRL of {subject} is loaded"
                for subject in _cas_without_crl(authority, names, now)
            ]
        for crl in crls:
            info = crl.crl_info()
            end = info.expires()
            if end < now:
                stale.append(f"{label(authority)}: {crl}")
            elif end - now < (end - info.this_update) * _LAST_PART:
                expiring.append(f"{label(authority)}: {crl}")
    if stale:
        yield Warning(
            f"CRLs that are out of date or missing, in the database “{alias}”: "
            f"{some_of(stale)}. Under the policy “required”, certificates that depend "
            "on them are refused.",
            hint=_FETCH_CRLS,
            id=IDS["crl_stale"],
        )
    if expiring:
        yield Warning(
            f"CRLs that will soon be out of date, in the database “{alias}”: "
            f"{some_of(expiring)}.",
            hint=_FETCH_CRLS,
            id=IDS["crl_expiring"],
        )


def _cas_without_crl(
    authority: CertificateAuthority, names: set[bytes], at: dt.datetime
) -> list[str]:
    """Return the CAs of a bundle that are valid at *at* and not among *names*."""
    try:
        return [
            visible_once(ca.subject.rfc4514(), 120)
            for ca in authority.certificates()
            if ca.not_after >= at and name_key(ca.subject_der) not in names
        ]
    except ClientCertError:
        return []  # reported by check_authorities_are_usable()
