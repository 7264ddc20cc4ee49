"""``check --database``: can every authority and its rule be used?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import Error, Tags, Warning, register
from django.core.exceptions import ValidationError
from django.utils import timezone

from django_clientcert.exceptions import ClientCertError
from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.models.rules import is_unique_user_field
from django_clientcert.x509.escaping import visible_once
from django_clientcert.x509.text import show_day, some_of

from .ids import IDS
from .looking import REPLACE_BUNDLE, Messages, authorities_of, label, look_into


@register(Tags.database)
def check_authorities_are_usable(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Messages:
    """Can every authority's bundle be loaded?"""

    def look(alias: str) -> Messages:
        broken = []
        for authority in authorities_of(alias):
            try:
                authority.validator()
            except ClientCertError as error:
                broken.append(f"{label(authority)}: {visible_once(str(error))}")
        if not broken:
            return []
        return [
            Error(
                f"Authorities that cannot be used, in the database “{alias}”: "
                f"{some_of(broken)} Whoever depends on them is refused.",
                hint=REPLACE_BUNDLE,
                id=IDS["authority_unusable"],
            )
        ]

    return look_into(databases, look)


@register(Tags.database)
def check_anchors_are_valid(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Messages:
    """Is every trust anchor still valid?"""

    def look(alias: str) -> Messages:
        now = timezone.now()
        mappings = CertificateMapping.objects.using(alias)
        expired = []
        for authority in authorities_of(alias):
            try:
                ended = [
                    f"{anchor.subject} ended on {show_day(anchor.not_after)}"
                    for anchor in authority.trust_store().anchors
                    if anchor.not_after < now
                ]
            except ClientCertError:
                continue  # check_authorities_are_usable() speaks of it
            if ended:
                count = mappings.filter(authority=authority).count()
                listed = ", ".join(ended)
                expired.append(f"{label(authority)}, {count} mappings: {listed}")
        if not expired:
            return []
        return [
            Warning(
                f"Anchors that have expired, in the database “{alias}”: "
                f"{some_of(expired)}. What they issued is refused.",
                hint=REPLACE_BUNDLE,
                id=IDS["anchor_expired"],
            )
        ]

    return look_into(databases, look)


@register(Tags.database)
def check_rules_are_usable(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Messages:
    """Can every identity rule be read, and does it say no more than it should?"""

    def look(alias: str) -> Messages:
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
        said: Messages = []
        if broken:
            said.append(
                Error(
                    f"Identity rules that cannot be used, in the database “{alias}”: "
                    f"{some_of(broken)} Nobody is let in by them.",
                    hint=(
                        "Set the rule anew: manage.py clientcert authority rule NAME."
                    ),
                    id=IDS["rule_unusable"],
                )
            )
        if shared:
            said.append(
                Warning(
                    "Identity rules that compare with a field of the user that is not "
                    f"unique, in the database “{alias}”: {some_of(shared)}. Of two "
                    "users with the same, none is let in, and without an index a "
                    "request reads all users.",
                    hint="Use a field with unique=True, or give this one an index.",
                    id=IDS["rule_field_not_unique"],
                )
            )
        if privileged:
            said.append(
                Warning(
                    "Identity rules that may log in staff and superusers, in the "
                    f"database “{alias}”: {some_of(privileged)}. Whoever runs the CA "
                    "can be every administrator.",
                    hint=(
                        "Give administrators mappings of their own, and set the rule "
                        "without --allow-privileged: manage.py clientcert authority "
                        "rule NAME."
                    ),
                    id=IDS["rule_allows_privileged"],
                )
            )
        return said

    return look_into(databases, look)
