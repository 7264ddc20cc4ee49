"""Set the rule that assigns an authority's certificates to users.

With a rule, certificates that have no mapping of their own log in the user
whose field equals a value in the certificate. Options that are not given are
reset to their defaults. Without any options, the current rule is shown.

Examples:
  manage.py clientcert authority rule "DoD" --preset cac
  manage.py clientcert authority rule Staff --identity san_email \\
    --user-field email
  manage.py clientcert authority rule Devices --preset spiffe \\
    --pattern 'spiffe://corp.example/*' --create-users --group devices
  manage.py clientcert authority rule Staff --remove

Exit status: 0 set or shown, 1 refused, 2 wrong usage.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from django.core.management.base import CommandError
from django.db import router, transaction

from django_clientcert.models import CertificateAuthority
from django_clientcert.models.rules import describe_rule, is_unique_user_field
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.rules import PRESETS, RuleIdentity
from django_clientcert.x509.text import some_of

from .console.arguments import AUTHORITY, Arguments
from .console.command import ClientCertCommand, UsageError
from .console.lookups import find_authority

# The fields that options set
_FIELDS = {
    "identity": "rule_identity",
    "user_field": "rule_user_field",
    "pattern": "rule_pattern",
    "host": "rule_hosts",
    "policy": "rule_policies",
    "extended_key_usage": "rule_extended_key_usages",
    "create_users": "rule_creates_users",
    "allow_privileged": "rule_allows_privileged",
}

ARGUMENTS: Arguments = {
    **AUTHORITY,
    "--preset": {
        "help": "a common rule: cac (the EDIPI of a Common Access Card), piv (the "
        "UPN), spiffe (an id of your trust domain, which --pattern names)",
        "choices": sorted(PRESETS),
    },
    "--identity IDENTITY": {
        "help": "the value of the certificate that names the user: %(choices)s",
        "choices": [identity.value for identity in RuleIdentity],
    },
    "--user-field FIELD": "the user's field that equals it (default: the username)",
    "--pattern PATTERN": "a pattern for the value, with one * for the part that names "
    "the user and literal text around it",
    "--host VALUE ...": "accept it for requests to this host only",
    "--policy VALUE ...": "require one of these certificate policies (dotted)",
    "--extended-key-usage VALUE ...": "require all of these extended key usages "
    "(dotted)",
    "--group VALUE ...": "add users who are created to this group",
    "--create-users": "create users who do not exist: without a password, never staff",
    "--allow-privileged": "let the rule log in staff and superusers too",
    "--remove": "remove the rule",
}


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Set, remove or show a rule.

    Raises:
        CommandError: the rule cannot be used, or the options contradict each other.
    """
    given = any(options[name] for name in (*_FIELDS, "preset", "group"))
    if options["remove"] and given:
        raise UsageError("--remove cannot be combined with other options.")
    authority = find_authority(options["name"])
    if options["remove"] or given:
        groups = _find_groups(options["group"])
        _change(authority, options)
        with transaction.atomic(using=router.db_for_write(CertificateAuthority)):
            authority.save()
            authority.rule_groups.set(groups)
    command.say(f"{authority}: {describe_rule(authority)}")
    if authority.rule_identity:
        _warn(command, authority)


def _change(authority: CertificateAuthority, options: dict[str, Any]) -> None:
    """Set the fields of the rule and validate them.

    Raises:
        CommandError: nothing names the user.
        ValidationError: a field cannot be used.
    """
    preset = PRESETS.get(options["preset"] or "", {})
    for option, field in _FIELDS.items():
        value = options[option]
        if not isinstance(value, bool):
            # Text, or a list of texts that is stored with one on each line
            value = "\n".join(value) if isinstance(value, list) else value
            value = value or preset.get(field, "")
        setattr(authority, field, value)
    if not options["remove"] and not authority.rule_identity:
        raise UsageError("Give --identity or --preset, to say what names the user.")
    authority.clean_rule()


def _find_groups(names: list[str]) -> list[Group]:
    groups = list(Group.objects.filter(name__in=names))
    missing = sorted(set(names) - {group.name for group in groups})
    if missing:
        raise CommandError(
            f"There is no group {some_of(visible(name, 80) for name in missing)}."
        )
    return groups


def _warn(command: ClientCertCommand, authority: CertificateAuthority) -> None:
    """Warn about consequences that may surprise."""
    if not is_unique_user_field(authority.user_field):
        command.warn(
            f"the field {authority.user_field} is not unique. Users who share a value "
            "are refused, and without an index each request reads all users."
        )
    if authority.rule_creates_users:
        command.warn(
            "everyone to whom the CA issues a certificate that fits becomes a user."
        )
    if authority.rule_allows_privileged:
        command.warn(
            "whoever runs the CA can issue a certificate for every administrator."
        )
