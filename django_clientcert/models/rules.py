"""The columns of an authority's identity rule, and what may stand in them."""

from __future__ import annotations

import re
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.x509.escaping import visible
from django_clientcert.x509.rules import (
    PRESETS,
    PatternError,
    Rule,
    RuleIdentity,
    check_pattern,
)

from .validators import normalise_hosts, validate_no_private_key

_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,38})){1,31}\Z")


class IdentityRuleFields(models.Model):
    """ "Every certificate of this CA is the user whose name stands in it." """

    class IdentityChoice(models.TextChoices):
        COMMON_NAME = RuleIdentity.COMMON_NAME.value, _("common name (subject)")
        SAN_EMAIL = RuleIdentity.SAN_EMAIL.value, _("e-mail address (SAN)")
        SAN_UPN = RuleIdentity.SAN_UPN.value, _("user principal name (SAN)")
        SAN_URI = RuleIdentity.SAN_URI.value, _("URI (SAN)")
        SAN_DNS = RuleIdentity.SAN_DNS.value, _("DNS name (SAN)")
        SUBJECT_SERIAL_NUMBER = (
            RuleIdentity.SUBJECT_SERIAL_NUMBER.value,
            _("serialNumber (subject)"),
        )
        EDIPI = RuleIdentity.EDIPI.value, _("EDIPI, the number of a CAC")

    rule_identity = models.CharField(
        _("the certificate’s"),
        max_length=32,
        choices=IdentityChoice.choices,
        blank=True,
        help_text=_(
            "Leave empty for no rule. A certificate must have exactly one value of "
            "it; of several, none is believed."
        ),
    )
    rule_user_field = models.CharField(
        _("is the user’s"),
        max_length=100,
        blank=True,
        help_text=_(
            "A field of the user that is unique, such as “username” or “email”. "
            "Empty: the one that users log in with. Compared to the letter."
        ),
    )
    rule_pattern = models.CharField(
        _("pattern"),
        max_length=255,
        blank=True,
        help_text=_(
            "One “*” where the user’s name stands, and literal text around it: "
            "“*@example.com”. Empty: the whole value."
        ),
        validators=[validate_no_private_key],
    )
    rule_hosts = models.TextField(
        _("for the hosts"),
        blank=True,
        help_text=_(
            "Host names the rule is good for, one a line; “.example.com” covers every "
            "host below. Empty: all."
        ),
        validators=[validate_no_private_key],
    )
    rule_policies = models.TextField(
        _("certificate policies"),
        blank=True,
        help_text=_(
            "Dotted numbers, one a line; the certificate must have one of them. "
            "Empty: not looked at."
        ),
        validators=[validate_no_private_key],
    )
    rule_extended_key_usages = models.TextField(
        _("extended key usages"),
        blank=True,
        help_text=_(
            "Dotted numbers, one a line; the certificate must have all of them. "
            "Empty: not looked at."
        ),
        validators=[validate_no_private_key],
    )
    rule_creates_users = models.BooleanField(
        _("create missing users"),
        default=False,
        help_text=_(
            "They get no password, and are never staff or superusers. Everybody whom "
            "the CA gives a certificate can come in then."
        ),
    )
    rule_groups = models.ManyToManyField(
        Group,
        blank=True,
        related_name="+",
        verbose_name=_("groups of created users"),
    )
    rule_allows_privileged = models.BooleanField(
        _("the rule may log in staff and superusers"),
        default=False,
        help_text=_(
            "Whoever runs the CA can then make a certificate for every "
            "administrator. Otherwise those need a mapping of their own."
        ),
    )

    class Meta:
        abstract = True

    def clean(self) -> None:
        """Refuse a rule that could match more than it says, or nobody.

        Raises:
            ValidationError: with the field and what to write instead.
        """
        super().clean()
        self.clean_rule()

    def clean_rule(self) -> None:
        """See clean(); the rule only."""
        self.rule_hosts = normalise_hosts(self.rule_hosts, "rule_hosts")
        for name in ("rule_policies", "rule_extended_key_usages"):
            setattr(self, name, _normalise_oids(getattr(self, name), name))
        if not self.rule_identity:
            return
        try:
            RuleIdentity(self.rule_identity)
        except ValueError:
            return  # the field's own validation names the choices
        _check_pattern(self.rule_pattern)
        check_user_field(self.user_field)

    @property
    def user_field(self) -> str:
        """The user's field that the rule compares with."""
        return self.rule_user_field or get_user_model().USERNAME_FIELD

    def rule(self) -> Rule | None:
        """Return the rule, or None where there is none.

        Raises:
            ValueError: the columns hold what is no rule; nobody may be let in by it.
        """
        if not self.rule_identity:
            return None
        identity = RuleIdentity(self.rule_identity)
        check_pattern(self.rule_pattern)
        return Rule(
            identity,
            self.user_field,
            self.rule_pattern,
            tuple(self.rule_policies.split()),
            tuple(self.rule_extended_key_usages.split()),
        )


def describe_rule(authority: IdentityRuleFields) -> str:
    """Return the rule of *authority* in one sentence, safe to show."""
    if not authority.rule_identity:
        return gettext("no rule")
    pattern = authority.rule_pattern
    parts = [
        gettext("the certificate’s %(identity)s is the user’s %(field)s")
        % {
            "identity": visible(authority.get_rule_identity_display()),
            "field": visible(authority.user_field),
        }
    ]
    for text, value in (
        (gettext("where it fits “%(value)s”"), pattern),
        (gettext("for %(value)s"), authority.rule_hosts),
        (gettext("with one of the policies %(value)s"), authority.rule_policies),
        (
            gettext("with the extended key usages %(value)s"),
            authority.rule_extended_key_usages,
        ),
    ):
        if value:
            parts.append(text % {"value": visible(", ".join(value.split()), 200)})
    if authority.rule_creates_users:
        parts.append(gettext("missing users are created"))
    if authority.rule_allows_privileged:
        parts.append(gettext("staff and superusers too"))
    return "; ".join(parts)


def check_user_field(name: str) -> None:
    """Return if users can be found by the field *name*: a text, no password.

    Raises:
        ValidationError: with the fields that there are.
    """
    possible = user_fields()
    if name in possible:
        return
    raise ValidationError(
        {
            "rule_user_field": ValidationError(
                _("Users have no text field “%(name)s”. There are: %(fields)s."),
                code="user_field",
                params={"name": name, "fields": ", ".join(possible)},
            )
        }
    )


def user_fields() -> list[str]:
    """Return the fields by which a rule may find users, the unique ones first."""
    fields = [
        one
        for one in get_user_model()._meta.concrete_fields
        if isinstance(one, (models.CharField, models.TextField))
        and one.name != "password"
        and not one.is_relation
        and not one.choices
    ]
    return [one.name for one in sorted(fields, key=lambda one: not one.unique)]


def is_unique_user_field(name: str) -> bool:
    """Tell whether the database holds at most one user for each value of a field."""
    try:
        field: Any = get_user_model()._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return bool(field.unique)


_PATTERN_ERRORS = {
    "one_group": _(
        "Write exactly one “%(group)s” in place of the user’s name; everything else is "
        "taken literally."
    ),
    "only_group": _(
        "“%(group)s” alone matches everything. Leave the pattern empty to take the "
        "whole value, or write the literal text around the name."
    ),
    "control_character": _("The pattern contains a control character."),
}


def _check_pattern(pattern: str) -> None:
    """Refuse a pattern that cannot be used, and the domain of the SPIFFE preset.

    Raises:
        ValidationError: with what to write instead.
    """
    try:
        check_pattern(pattern)
    except PatternError as error:
        message, params = _PATTERN_ERRORS[error.code], error.params
    else:
        # RFC 2606: example.org is nobody's
        if pattern != PRESETS["spiffe"]["rule_pattern"]:
            return
        message, params = (
            _(
                "Write your own trust domain instead of example.org: "
                "spiffe://corp.example/*"
            ),
            {},
        )
    raise ValidationError(
        {"rule_pattern": ValidationError(message, code="pattern", params=params)}
    )


def _normalise_oids(text: str, field: str) -> str:
    """Return dotted object identifiers, one a line."""
    found = re.split(r"[\s,;]+", text.strip()) if text.strip() else []
    for one in found:
        if not _OID.match(one):
            raise ValidationError(
                {
                    field: ValidationError(
                        _("“%(oid)s” is no dotted number, such as 1.3.6.1.5.5.7.3.2."),
                        code="oid",
                        params={"oid": one[:80]},
                    )
                }
            )
    return "\n".join(dict.fromkeys(found))
