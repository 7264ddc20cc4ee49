"""``check --database``: can every authority and its rule be used?"""

from __future__ import annotations

from django.core.checks import Error, Warning
from django.core.exceptions import ValidationError
from django.utils import timezone

from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.models.rules import is_unique_user_field
from django_clientcert.x509.escaping import visible_once
from django_clientcert.x509.text import show_day, some_of

from .base import REPLACE_BUNDLE, Messages, authorities_of, check_of_database, label
from .ids import IDS


@check_of_database
def check_authorities_are_usable(alias: str) -> Messages:
    """Can every authority's bundle be loaded?"""
    broken = []
    for authority in authorities_of(alias):
        try:
            authority.validator()
        except ClientCertError as error:
            broken.append(f"{label(authority)}: {visible_once(str(error))}")
    if broken:
        yield Error(
            f"Authorities that cannot be used, in the database “{alias}”: "
            f"{some_of(broken)} Certificates that depend on them are refused.",
            hint=REPLACE_BUNDLE,
            id=IDS["authority_unusable"],
        )


@check_of_database
def check_anchors_are_valid(alias: str) -> Messages:
    """Is every trust anchor still valid?"""
    now = timezone.now()
    mappings = CertificateMapping.objects.using(alias)
    expired = []
    for authority in authorities_of(alias):
        try:
            anchors = ", ".join(
                f"{anchor.subject} expired on {show_day(anchor.not_after)}"
                for anchor in authority.trust_store().anchors
                if anchor.not_after < now
            )
        except ClientCertError:
            continue  # reported by check_authorities_are_usable()
        if anchors:
            count = mappings.filter(authority=authority).count()
            expired.append(f"{label(authority)}, {count} mappings: {anchors}")
    if expired:
        yield Warning(
            f"Trust anchors that have expired, in the database “{alias}”: "
            f"{some_of(expired)}. Certificates that they issued are refused.",
            hint=REPLACE_BUNDLE,
            id=IDS["anchor_expired"],
        )


@check_of_database
def check_rules_are_usable(alias: str) -> Messages:
    """Can every identity rule be read, and does it accept no more than it should?"""
    broken, shared, privileged = [], [], []
    for authority in CertificateAuthority.objects.using(alias).exclude(
        rule_identity=""
    ):
        try:
            authority.clean_rule()
            authority.rule()
        except (ValidationError, ValueError) as error:
            text = "; ".join(getattr(error, "messages", [str(error)]))
            broken.append(f"{label(authority)}: {visible_once(text)}")
            continue
        if not is_unique_user_field(authority.user_field):
            shared.append(f"{label(authority)}: {authority.user_field}")
        if authority.rule_allows_privileged:
            privileged.append(label(authority))
    if broken:
        yield Error(
            f"Identity rules that cannot be used, in the database “{alias}”: "
            f"{some_of(broken)} They accept no certificate.",
            hint="Set the rule again: manage.py clientcert authority rule NAME.",
            id=IDS["rule_unusable"],
        )
    if shared:
        yield Warning(
            "Identity rules that compare with a user field that is not unique, in the "
            f"database “{alias}”: {some_of(shared)}. Users who share a value are "
            "refused, and without an index every request reads all users.",
            hint="Use a field with unique=True, or add an index to this one.",
            id=IDS["rule_field_not_unique"],
        )
    if privileged:
        yield Warning(
            "Identity rules that may log in staff and superusers, in the database "
            f"“{alias}”: {some_of(privileged)}. Anyone who controls the CA can log in "
            "as any administrator.",
            hint=(
                "Create mappings for the administrators, and set the rule without "
                "--allow-privileged: manage.py clientcert authority rule NAME."
            ),
            id=IDS["rule_allows_privileged"],
        )
