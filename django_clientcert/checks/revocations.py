"""``check --database``: are lists and revocations in force?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.core.checks import Tags, Warning, register
from django.utils import timezone

from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import CertificateAuthority, name_key
from django_clientcert.x509.escaping import visible_once
from django_clientcert.x509.text import some_of

from .ids import IDS
from .looking import Messages, label, look_into

# The last fifth of a list's time is when the next one should be there.
_LAST_PART = 0.2


_FETCH_LISTS = (
    "Type manage.py clientcert crl fetch, or crl import FILE; see manage.py clientcert "
    "crl list."
)


@register(Tags.database)
def check_lists_are_current(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Messages:
    """Does every authority have the revocation lists that its policy asks for?"""

    def look(alias: str) -> Messages:
        now = timezone.now()
        stale, expiring = [], []
        authorities = CertificateAuthority.objects.using(alias)
        for authority in authorities.exclude(revocation_policy="off"):
            rows = list(authority.revocation_lists.all())
            if authority.revocation_policy == "required":
                names = {row.crl_info().issuer_name for row in rows}
                stale += [
                    f"{label(authority)}: none of {subject} is loaded"
                    for subject in _cas_without_list(authority, names, now)
                ]
            for row in rows:
                info = row.crl_info()
                end = info.expires()
                if end < now:
                    stale.append(f"{label(authority)}: {row}")
                elif end - now < (end - info.this_update) * _LAST_PART:
                    expiring.append(f"{label(authority)}: {row}")
        said: Messages = []
        if stale:
            said.append(
                Warning(
                    "Revocation lists that are stale or missing, in the database "
                    f"“{alias}”: {some_of(stale)}. Under the policy “required”, "
                    "whoever depends on them is refused.",
                    hint=_FETCH_LISTS,
                    id=IDS["list_stale"],
                )
            )
        if expiring:
            said.append(
                Warning(
                    "Revocation lists that will be stale soon, in the database "
                    f"“{alias}”: {some_of(expiring)}.",
                    hint=_FETCH_LISTS,
                    id=IDS["list_expiring"],
                )
            )
        return said

    return look_into(databases, look)


def _cas_without_list(
    authority: CertificateAuthority, names: set[bytes], at: dt.datetime
) -> list[str]:
    """Return the CAs of a bundle, valid at *at*, that issued none of the lists."""
    try:
        return [
            visible_once(one.subject.rfc4514(), 120)
            for one in authority.certificates()
            if one.not_after >= at and name_key(one.subject_der) not in names
        ]
    except ClientCertError:
        return []  # check_authorities_are_usable() speaks of it
