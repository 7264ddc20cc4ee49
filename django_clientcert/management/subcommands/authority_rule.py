"""``clientcert authority rule``: whose certificates an authority issues."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import router, transaction

from django_clientcert.management.console.command import ClientCertCommand
from django_clientcert.management.console.files import refuse_private_keys
from django_clientcert.management.console.lookups import find_authority
from django_clientcert.management.console.text import one_line, some_of
from django_clientcert.models import CertificateAuthority
from django_clientcert.models.rules import describe_rule, is_unique_user_field
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.rules import PRESETS, RuleIdentity

# Options that take one value, and the fields that they set
_VALUES = {
    "identity": "rule_identity",
    "user_field": "rule_user_field",
    "pattern": "rule_pattern",
}
_LISTS = {
    "hosts": "rule_hosts",
    "policies": "rule_policies",
    "usages": "rule_extended_key_usages",
}


def add_parser(actions: Any) -> None:
    """Describe the arguments."""
    parser = actions.add_parser(
        "rule",
        help="say whose certificates an authority issues, without a mapping for each",
        description=(
            "Set the rule of an authority: every certificate of it is the user whose\n"
            "name stands in it. What is not given goes back to its default; without\n"
            "any option, the rule is shown."
        ),
        epilog=(
            "Examples:\n"
            '  manage.py clientcert authority rule "DoD" --preset cac\n'
            "  manage.py clientcert authority rule Staff --identity san_email \\\n"
            "    --user-field email\n"
            "  manage.py clientcert authority rule Devices --preset spiffe \\\n"
            "    --pattern 'spiffe://corp.example/*' --create-users --group devices\n"
            "  manage.py clientcert authority rule Staff --remove\n"
            "\n"
            "Exit status: 0 set or shown, 1 refused, 2 wrong usage."
        ),
    )
    parser.add_argument("name", metavar="NAME", help="the authority")
    parser.add_argument(
        "--preset",
        choices=sorted(PRESETS),
        help="what many need: cac (the EDIPI of a Common Access Card), piv (the UPN), "
        "spiffe (an id of your trust domain, which --pattern names)",
    )
    parser.add_argument(
        "--identity",
        choices=[one.value for one in RuleIdentity],
        metavar="IDENTITY",
        help="what names the user: %(choices)s",
    )
    parser.add_argument(
        "--user-field",
        metavar="FIELD",
        help="the user's field that it equals (default: the one they log in with)",
    )
    parser.add_argument(
        "--pattern",
        metavar="PATTERN",
        help="one * where the user's name stands, literal text around it",
    )
    for option, dest, what in (
        ("--host", "hosts", "for requests to this host only"),
        ("--policy", "policies", "the certificate has one of these policies (dotted)"),
        (
            "--extended-key-usage",
            "usages",
            "the certificate has all of these extended key usages (dotted)",
        ),
        ("--group", "groups", "a group of the users that are created"),
    ):
        parser.add_argument(
            option,
            action="append",
            default=[],
            dest=dest,
            metavar="VALUE",
            help=f"{what}; may be repeated",
        )
    parser.add_argument(
        "--create-users",
        action="store_true",
        help="create users who are missing: without a password, never staff",
    )
    parser.add_argument(
        "--allow-privileged",
        action="store_true",
        help="let the rule log in staff and superusers too",
    )
    parser.add_argument("--remove", action="store_true", help="remove the rule")
    parser.set_defaults(run=run)


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Set, remove or show a rule.

    Raises:
        CommandError: the rule says too much, or nothing that can be.
    """
    refuse_private_keys(
        **{name: options[name] for name in ("name", "pattern", "user_field")},
        host=" ".join(options["hosts"]),
    )
    given = [
        name
        for name in (*_VALUES, *_LISTS, "preset", "groups", "create_users")
        if options[name]
    ]
    given += ["allow_privileged"] if options["allow_privileged"] else []
    if options["remove"] and given:
        raise CommandError("--remove goes alone.", returncode=2)
    authority = find_authority(options["name"])
    if options["remove"] or given:
        groups = _find_groups(options["groups"])
        _change(authority, options)
        with transaction.atomic(using=router.db_for_write(CertificateAuthority)):
            authority.save()
            authority.rule_groups.set(groups)
    command.say(f"{authority}: {describe_rule(authority)}")
    if authority.rule_identity:
        _warn(command, authority)


def _change(authority: CertificateAuthority, options: dict[str, Any]) -> None:
    """Set the fields of the rule, and see that they can be used."""
    for name in (*_VALUES.values(), *_LISTS.values()):
        setattr(authority, name, "")
    for name, value in PRESETS.get(options["preset"] or "", {}).items():
        setattr(authority, name, value)
    for option, name in _VALUES.items():
        if options[option]:
            setattr(authority, name, options[option])
    for option, name in _LISTS.items():
        setattr(authority, name, "\n".join(options[option]))
    authority.rule_creates_users = options["create_users"]
    authority.rule_allows_privileged = options["allow_privileged"]
    if not options["remove"] and not authority.rule_identity:
        raise CommandError(
            "Say what names the user: --identity or --preset.", returncode=2
        )
    try:
        authority.clean_rule()
    except ValidationError as error:
        raise CommandError(" ".join(map(one_line, error.messages))) from error


def _find_groups(names: list[str]) -> list[Group]:
    groups = list(Group.objects.filter(name__in=names))
    missing = sorted(set(names) - {one.name for one in groups})
    if missing:
        raise CommandError(
            f"There is no group {some_of(visible(one, 80) for one in missing)}."
        )
    return groups


def _warn(command: ClientCertCommand, authority: CertificateAuthority) -> None:
    """Say what may surprise."""
    if not is_unique_user_field(authority.user_field):
        command.warn(
            f"{authority.user_field} is not unique: where two users have the same, "
            "both are refused, and without an index each request reads all users."
        )
    if authority.rule_creates_users:
        command.warn(
            "everybody to whom the CA gives a certificate that fits becomes a user."
        )
    if authority.rule_allows_privileged:
        command.warn(
            "whoever runs the CA can make a certificate for every administrator."
        )
