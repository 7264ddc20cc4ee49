"""The columns of an authority's identity rule, and their validation."""

from __future__ import annotations

import re

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
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

from .validators import (
    field_error,
    normalise_hosts,
    optional_text,
    validate_no_private_key,
)

_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,38})){1,31}\Z")


class IdentityRuleFields(models.Model):
    """A rule: every certificate of this CA belongs to the user whom it names."""

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
        _("certificate value"),
        max_length=32,
        choices=IdentityChoice.choices,
        blank=True,
        help_text=_(
            "Leave empty for no rule. Certificates with more than one such value are "
            "refused."
        ),
    )
    rule_user_field = models.CharField(
        _("user field"),
        max_length=100,
        blank=True,
        help_text=_(
            "A unique field of the user that users cannot change themselves. Leave "
            "empty for the field that they log in with. Values must be exactly equal."
        ),
    )
    rule_pattern = models.CharField(
        _("pattern"),
        max_length=255,
        blank=True,
        help_text=_(
            "One “*” in place of the user’s name, with literal text around it, such "
            "as “*@example.com”. Leave empty to use the whole value."
        ),
        validators=[validate_no_private_key],
    )
    rule_hosts = optional_text(
        _("hosts"),
        _(
            "Host names that the rule applies to, one per line; “.example.com” covers "
            "all subdomains. Leave empty for all hosts."
        ),
    )
    rule_policies = optional_text(
        _("certificate policies"),
        _(
            "Object identifiers, one per line; the certificate must have at least one "
            "of them. Leave empty to accept any."
        ),
    )
    rule_extended_key_usages = optional_text(
        _("extended key usages"),
        _(
            "Object identifiers, one per line; the certificate must have all of them. "
            "Leave empty to accept any."
        ),
    )
    rule_creates_users = models.BooleanField(
        _("create missing users"),
        default=False,
        help_text=_(
            "They get no password and are never staff or superusers. Everyone whose "
            "certificate from this CA matches the rule can then log in."
        ),
    )
    rule_groups = models.ManyToManyField(
        Group, blank=True, related_name="+", verbose_name=_("groups of created users")
    )
    rule_allows_privileged = models.BooleanField(
        _("the rule may log in staff and superusers"),
        default=False,
        help_text=_(
            "The operator of the CA can then issue a certificate for any "
            "administrator. Otherwise, staff and superusers need a mapping of their "
            "own."
        ),
    )

    class Meta:
        abstract = True

    def clean(self) -> None:
        """Refuse a rule that could match more than intended, or nothing.

        Raises:
            ValidationError: names the field and what to enter instead.
        """
        super().clean()
        self.clean_rule()

    def clean_rule(self) -> None:
        """See clean(); the rule only."""
        self.rule_hosts = normalise_hosts(self.rule_hosts, "rule_hosts")
        for name in ("rule_policies", "rule_extended_key_usages"):
            setattr(self, name, _normalise_oids(getattr(self, name), name))
        # For other values, field validation reports the valid choices.
        if self.rule_identity in self.IdentityChoice.values:
            _check_pattern(self.rule_pattern)
            check_user_field(self.user_field)

    @property
    def user_field(self) -> str:
        """The user's field that the rule compares with."""
        return self.rule_user_field or get_user_model().USERNAME_FIELD

    def rule(self) -> Rule | None:
        """Return the rule, or None if there is none.

        Raises:
            ValueError: the columns do not hold a rule; it must accept nobody.
        """
        if not self.rule_identity:
            return None
        check_pattern(self.rule_pattern)
        return Rule(
            RuleIdentity(self.rule_identity),
            self.user_field,
            self.rule_pattern,
            tuple(self.rule_policies.split()),
            tuple(self.rule_extended_key_usages.split()),
        )


def describe_rule(authority: IdentityRuleFields) -> str:
    """Return the rule of *authority* in one sentence, safe to show."""
    if not authority.rule_identity:
        return gettext("no rule")
    identity = visible(authority.get_rule_identity_display())
    text = gettext("the certificate’s %(identity)s is the user’s %(field)s")
    parts = [text % {"identity": identity, "field": visible(authority.user_field)}]
    usages = authority.rule_extended_key_usages
    for text, value in (
        (gettext("if it matches “%(value)s”"), authority.rule_pattern),
        (gettext("on %(value)s"), authority.rule_hosts),
        (gettext("with one of the policies %(value)s"), authority.rule_policies),
        (gettext("with the extended key usages %(value)s"), usages),
    ):
        if value:
            parts.append(text % {"value": visible(", ".join(value.split()), 200)})
    if authority.rule_creates_users:
        parts.append(gettext("missing users are created"))
    if authority.rule_allows_privileged:
        parts.append(gettext("staff and superusers too"))
    return "; ".join(parts)


def check_user_field(name: str) -> None:
    """Raise unless users can be found by the field *name*: text, and not the password.

    Raises:
        ValidationError: lists the fields that there are.
    """
    possible = user_fields()
    if name in possible:
        return
    message = _("Users have no text field “%(name)s”. There are: %(fields)s.")
    fields = ", ".join(possible)
    raise field_error(
        "rule_user_field", message, "user_field", name=name, fields=fields
    )


def user_fields() -> list[str]:
    """Return the fields by which a rule may find users, the unique ones first."""
    fields = [
        field
        for field in get_user_model()._meta.concrete_fields
        if isinstance(field, (models.CharField, models.TextField))
        and field.name != "password"
        and not field.is_relation
        and not field.choices
    ]
    return [field.name for field in sorted(fields, key=lambda field: not field.unique)]


def is_unique_user_field(name: str) -> bool:
    """Return whether the database stores at most one user per value of a field."""
    fields = get_user_model()._meta.concrete_fields
    return any(field.name == name and field.unique for field in fields)


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
        ValidationError: says what to enter instead.
    """
    try:
        check_pattern(pattern)
    except PatternError as error:
        message = _PATTERN_ERRORS[error.code]
        raise field_error("rule_pattern", message, "pattern", **error.params) from error
    # example.org is reserved (RFC 2606)
    if pattern == PRESETS["spiffe"]["rule_pattern"]:
        message = _(
            "Write your own trust domain instead of example.org: "
            "spiffe://corp.example/*"
        )
        raise field_error("rule_pattern", message, "pattern")


def _normalise_oids(text: str, field: str) -> str:
    """Return dotted object identifiers, one per line."""
    oids = re.split(r"[\s,;]+", text.strip()) if text.strip() else []
    for oid in oids:
        if not _OID.match(oid):
            message = _(
                "“%(oid)s” is not an object identifier such as 1.3.6.1.5.5.7.3.2."
            )
            raise field_error(field, message, "oid", oid=oid[:80])
    return "\n".join(dict.fromkeys(oids))
