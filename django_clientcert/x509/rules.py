"""Identity rules: every certificate of a CA is the user that its identity names.

A rule reads exactly one value from a certificate, or the part of it that a pattern
selects; which user has that value is for the caller to find. Pure: no query here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django_clientcert.exceptions import ClientCertError, Reason, Refusal, Word

from . import attribute_types
from .certificates import ClientCertificate
from .escaping import FORBIDDEN, visible
from .names import fold_ascii, fold_email

# The part of a pattern that matches the user's name
GROUP = "*"

# DoD ID number: at the end of the common name, or in the UPN, 10 digits, or 16 with
# the person's category (DoDI 1000.13)
_EDIPI_UPN = re.compile(r"([0-9]{10})(?:[0-9]{6})?@mil\Z", re.ASCII | re.IGNORECASE)
_EDIPI_COMMON_NAME = re.compile(r"[^.]+(?:\.[^.]+)*\.([0-9]{10})\Z")


class PatternError(ClientCertError, ValueError):
    """A pattern that could match more than it says.

    ``code`` is ``one_group``, ``only_group`` or ``control_character``; ``params``
    are what a text for people may quote.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.params = {"group": GROUP}


class RuleIdentity(Word):
    """What a rule reads."""

    COMMON_NAME = "common_name"
    SAN_EMAIL = "san_email"
    SAN_UPN = "san_upn"
    SAN_URI = "san_uri"
    SAN_DNS = "san_dns"
    SUBJECT_SERIAL_NUMBER = "subject_serial_number"
    EDIPI = "edipi"


@dataclass(frozen=True)
class Rule:
    """One rule of an authority."""

    identity: RuleIdentity
    user_field: str
    pattern: str = ""
    # What else the certificate must have; empty requires nothing.
    policies: tuple[str, ...] = ()
    extended_key_usages: tuple[str, ...] = ()


# To be replaced by the administrator
PLACEHOLDER_DOMAIN = "example.org"

# Common rules, as the fields of an authority
PRESETS: Mapping[str, Mapping[str, str]] = {
    # The DoD ID number is in the UPN of newer cards and in every common name.
    "cac": {"rule_identity": "edipi"},
    "piv": {"rule_identity": "san_upn"},
    "spiffe": {
        "rule_identity": "san_uri",
        "rule_pattern": f"spiffe://{PLACEHOLDER_DOMAIN}/*",
    },
}


def read_identity(rule: Rule, certificate: ClientCertificate) -> str:
    """Return the one value that *rule* takes from *certificate*.

    Raises:
        Refusal: a constraint is not met or no value matches (``unmapped``), or
            there is more than one to choose from (``ambiguous_mapping``).
        CertificateParseError: it cannot be read.
    """
    _check_constraints(rule, certificate)
    values = list(dict.fromkeys(_values(rule.identity, certificate)))
    if len(values) > 1:
        listed = ", ".join(visible(value, 40) for value in values[:5])
        raise Refusal(
            Reason.AMBIGUOUS_MAPPING,
            f"the rule requires one {rule.identity}, the certificate has {listed}",
        )
    if not values:
        raise Refusal(Reason.UNMAPPED, f"the certificate has no {rule.identity}")
    value = values[0]
    if not value or FORBIDDEN.search(value):
        raise Refusal(
            Reason.MALFORMED_CERTIFICATE,
            f"the {rule.identity} is empty or contains a control character",
        )
    taken = apply_pattern(rule.pattern, value, rule.identity)
    if taken is None:
        raise Refusal(
            Reason.UNMAPPED,
            f"the {rule.identity} “{visible(value, 80)}” does not match the pattern "
            f"“{visible(rule.pattern, 80)}”",
        )
    return taken


def check_pattern(pattern: str) -> None:
    """Raise unless *pattern* is empty, or one group with literal text around it.

    Raises:
        PatternError: no group, several, nothing but the group, or a control character.
    """
    if not pattern:
        return
    if pattern.count(GROUP) != 1:
        raise PatternError("one_group", f"the pattern needs exactly one “{GROUP}”")
    if pattern == GROUP:
        raise PatternError("only_group", f"“{GROUP}” alone matches everything")
    if FORBIDDEN.search(pattern):
        raise PatternError(
            "control_character", "the pattern contains a control character"
        )


def apply_pattern(pattern: str, value: str, identity: RuleIdentity) -> str | None:
    """Return the part of *value* that the group of *pattern* matches, or None.

    Anchored at both ends. The group is one part of a name: no slash, no at sign, no
    space, and in a DNS name no dot. Linear time: no regular expression is built.
    """
    if not pattern:
        return value
    before, _group, after = pattern.partition(GROUP)
    if identity is RuleIdentity.SAN_DNS:
        before, after = fold_ascii(before), fold_ascii(after)
    elif identity in (RuleIdentity.SAN_EMAIL, RuleIdentity.SAN_UPN):
        after = fold_email(after)
    if (
        len(value) <= len(before) + len(after)
        or not value.startswith(before)
        or not value.endswith(after)
    ):
        return None
    taken = value[len(before) : len(value) - len(after)]
    separators = "/@ \\" + ("." if identity is RuleIdentity.SAN_DNS else "")
    return None if set(taken) & set(separators) else taken


def _check_constraints(rule: Rule, certificate: ClientCertificate) -> None:
    if rule.policies and not set(rule.policies) & set(certificate.policies):
        raise Refusal(
            Reason.UNMAPPED,
            "the certificate has none of the required policies",
        )
    missing = set(rule.extended_key_usages) - set(certificate.extended_key_usage or ())
    if missing:
        listed = ", ".join(sorted(missing))
        raise Refusal(
            Reason.UNMAPPED, f"the certificate lacks the extended key usage {listed}"
        )


def _values(identity: RuleIdentity, certificate: ClientCertificate) -> Sequence[str]:
    """Return every value of *identity*; more than one is for the caller to refuse."""
    if identity is RuleIdentity.COMMON_NAME:
        return _known(certificate.common_names)
    if identity is RuleIdentity.SUBJECT_SERIAL_NUMBER:
        return _known(certificate.subject.values(attribute_types.SERIAL_NUMBER))
    names = certificate.subject_alternative_names
    if identity is RuleIdentity.SAN_EMAIL:
        return [fold_email(email) for email in names.emails]
    if identity is RuleIdentity.SAN_UPN:
        return [fold_email(upn) for upn in names.upns]
    if identity is RuleIdentity.SAN_URI:
        return names.uris
    if identity is RuleIdentity.SAN_DNS:
        return [fold_ascii(host) for host in names.dns]
    return _edipis(certificate)


def _edipis(certificate: ClientCertificate) -> list[str]:
    """Return the DoD ID numbers in UPN and common name; they should be the same."""
    numbers = [
        match[1]
        for upn in certificate.subject_alternative_names.upns
        if (match := _EDIPI_UPN.match(upn))
    ]
    numbers += [
        match[1]
        for name in _known(certificate.common_names)
        if (match := _EDIPI_COMMON_NAME.match(name))
    ]
    return numbers


def _known(values: Sequence[str | None]) -> list[str]:
    """Return *values*; a value whose text cannot be determined counts as empty."""
    return [value or "" for value in values]
