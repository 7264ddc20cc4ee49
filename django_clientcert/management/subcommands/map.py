"""Map a certificate to a user.

A fingerprint or public key is enough by itself. A mapping of any other kind
counts only for certificates that its authority issued.

Examples:
  manage.py clientcert map partner.crt --user partner
  manage.py clientcert map - --user partner --kind public_key < p.crt
  manage.py clientcert map alice.crt --user alice --kind san_email
  manage.py clientcert map new.crt --successor-of 17 --retire-on 2027-01-31

Exit status: 0 mapped, now or before; 1 refused; 2 wrong usage.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import router, transaction

from django_clientcert.evaluation.presented import present_certificates, success_verdict
from django_clientcert.evaluation.run import evaluate
from django_clientcert.exceptions import ClientCertError
from django_clientcert.explaining.reasons import EXPLANATIONS
from django_clientcert.explaining.report import (
    describe_certificate,
    show_value,
    username_of,
)
from django_clientcert.models import CertificateMapping
from django_clientcert.trust.renewals import find_predecessors, renew
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.identities import (
    SAN_KINDS,
    Identity,
    IdentityKind,
    identity_of_kind,
    parse_identity,
    san_identities,
)
from django_clientcert.x509.text import show_moment, some_of

from .console.arguments import (
    CERTIFICATE,
    NOTE,
    Arguments,
    last_moment,
    moment,
    option_of,
)
from .console.command import ClientCertCommand, UsageError
from .console.files import read_end_entity
from .console.lookups import ADD_AUTHORITY, choose_authority, find_row, find_user
from .console.text import show_validity

# The options that --successor-of excludes, because it takes their values from the
# old mapping or sets them itself
_TAKEN_FROM_PREDECESSOR = (
    *("user", "kind", "value", "authority", "host", "note", "valid_until"),
)

# The options that have no effect on a mapping that exists, and its fields
_IGNORED_IF_EXISTING = {
    "authority": "authority_id",
    "host": "hosts",
    "note": "note",
    "valid_from": "valid_from",
    "valid_until": "valid_until",
}

ARGUMENTS: Arguments = {
    "file FILE": CERTIFICATE,
    "--user NAME": "the username (required unless --successor-of is given)",
    "--kind KIND": {
        "help": "what to recognise the certificate by: %(choices)s (default: "
        f"{IdentityKind.FINGERPRINT})",
        "choices": [kind.value for kind in IdentityKind],
    },
    "--value VALUE": "which name, if the certificate has several of a san_ kind",
    "--authority NAME": "the authority that must have issued the certificate (default: "
    "the one stored authority that did; none for fingerprint and public_key)",
    "--host HOST ...": "accept it for this host name only; .example.com covers every "
    "host below",
    **NOTE,
    "--valid-from DATE": {
        "help": "accept it only from this moment on: the mapping is scheduled",
        "type": moment,
    },
    "--valid-until DATE": {
        "help": "no longer accept it after this day, or from this moment on (ISO 8601; "
        "UTC if it names no time zone)",
        "type": last_moment,
    },
    "--successor-of ID": "the certificate renews that of this mapping, which retires "
    "on --retire-on; user, kind, authority and hosts are taken from it",
    "--retire-on DATE": {
        "help": "with --successor-of: the last day of the old mapping",
        "type": last_moment,
    },
}


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Store the mapping, unless it exists.

    Raises:
        CommandError: it cannot be stored; says why, and what to type instead.
    """
    if options["successor_of"] is not None or options["retire_on"] is not None:
        _renew(command, options)
        return
    if options["user"] is None:
        raise UsageError("Give --user NAME, or --successor-of ID to renew a mapping.")
    kind = IdentityKind(options["kind"] or IdentityKind.FINGERPRINT)
    certificate = read_end_entity(options["file"])
    user = find_user(options["user"])
    identity = _choose_identity(certificate, kind, options["value"])
    wanted = CertificateMapping.for_identity(
        identity,
        certificate,
        user=user,
        authority=choose_authority(certificate, kind, options["authority"]),
        hosts="\n".join(options["host"]),
        note=options["note"],
        valid_until=options["valid_until"] and options["valid_until"].at,
    )
    if options["valid_from"] is not None:
        wanted.state = CertificateMapping.State.SCHEDULED
        wanted.valid_from = options["valid_from"].at
    with transaction.atomic(using=router.db_for_write(CertificateMapping)):
        existing = wanted.find_twin()
        if existing is None or existing.user_id != user.pk:
            existing = None
            wanted.full_clean()
            wanted.save()
    if existing is None:
        command.say(f"Mapped to {username_of(user)}.")
    else:
        command.say(f"Nothing to do: already mapped to {username_of(user)}.")
        if ignored := _ignored_options(existing, wanted, options):
            command.warn(
                f"{', '.join(ignored)} had no effect, because mapping {existing.pk} "
                "exists and was not changed. Change it in the admin."
            )
    mapping = existing or wanted
    _show(command, mapping, certificate)
    if existing is None:
        command.say_lines(_predecessors(mapping, certificate))


def _renew(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Map the certificate in place of another one, whose mapping retires.

    Raises:
        CommandError: it does not renew that one, or an option is missing.
    """
    if options["successor_of"] is None or options["retire_on"] is None:
        raise UsageError("Give --successor-of ID and --retire-on DATE together.")
    given = [option_of(name) for name in _TAKEN_FROM_PREDECESSOR if options[name]]
    if given:
        raise UsageError(
            f"{', '.join(given)} cannot be given with --successor-of: the new mapping "
            "takes over the settings of the old one. Leave it out, and change the "
            "mapping in the admin."
        )
    certificate = read_end_entity(options["file"])
    old = find_row(CertificateMapping, options["successor_of"], "mapping")
    new = renew(
        old,
        certificate,
        retire_on=options["retire_on"].at,
        valid_from=options["valid_from"] and options["valid_from"].at,
    )
    command.say(f"Mapped to {username_of(new.user)}.")
    _show(command, new, certificate)
    command.say(
        f"Mapping {old.pk} retires: it is not accepted from "
        f"{show_moment(old.valid_until)} on."
    )


def _predecessors(
    mapping: CertificateMapping, certificate: ClientCertificate
) -> Iterator[str]:
    """Yield a line on each mapping that can retire: this certificate renews its own."""
    for old in find_predecessors(certificate):
        if old.pk != mapping.pk and old.state == old.State.ACTIVE:
            yield (
                f"The certificate is the successor of mapping {old.pk} "
                f"({username_of(old.user)}). Retire that one in the admin; next time, "
                "--successor-of does both at once."
            )


def _choose_identity(
    certificate: ClientCertificate, kind: IdentityKind, value: str | None
) -> Identity:
    """Return what the certificate is to be recognised by.

    Raises:
        CommandError: it has no such identity, or several to choose from.
    """
    if value is not None and kind not in SAN_KINDS:
        raise UsageError(
            "--value chooses one of several alternative names, so it needs a --kind "
            f"that begins with san_; a certificate has only one {kind}."
        )
    try:
        if value is None:
            return identity_of_kind(kind, certificate)
        wanted = parse_identity(kind, value)
        offered = [
            identity
            for identity in san_identities(certificate)
            if identity.kind is kind
        ]
    except ClientCertError as error:
        # The message is about a form field; here, there is an option.
        message = str(error).replace("Type one.", "Choose one with --value.")
        raise CommandError(message) from error
    if wanted not in offered:
        names = some_of(visible(identity.value, 80) for identity in offered)
        raise CommandError(
            f"The certificate has no {kind} “{visible(value, 80)}”; it has: "
            f"{names or 'none'}."
        )
    return wanted


def _ignored_options(
    existing: CertificateMapping, wanted: CertificateMapping, options: dict[str, Any]
) -> list[str]:
    """Return which options had no effect, because the mapping existed."""

    def value_of(mapping: CertificateMapping, field: str) -> Any:
        value = getattr(mapping, field)
        return set(value.lower().split()) if field == "hosts" else value

    return [
        option_of(name)
        for name, field in _IGNORED_IF_EXISTING.items()
        if options[name] and value_of(existing, field) != value_of(wanted, field)
    ]


def _show(
    command: ClientCertCommand,
    mapping: CertificateMapping,
    certificate: ClientCertificate,
) -> None:
    """Print the mapping as it is stored; warn if it does not accept *certificate*."""
    begin, end = mapping.valid_from, mapping.valid_until
    fields = {
        "mapping": mapping.pk,
        "user": username_of(mapping.user),
        "kind": mapping.kind,
        "value": show_value(mapping.kind, mapping.value),
        "authority": mapping.authority or "none needed",
        "state": mapping.state,
        "hosts": ", ".join(mapping.hosts.split()) or "all",
        "valid from": "now on" if begin is None else show_moment(begin),
        "valid until": "further notice" if end is None else show_moment(end),
        "certificate": show_validity(describe_certificate(certificate)),
    }
    command.say_fields(fields)
    for warning in _warnings(mapping, certificate):
        command.warn(warning)


def _warnings(
    mapping: CertificateMapping, certificate: ClientCertificate
) -> Iterator[str]:
    """Yield why the certificate would not authenticate the mapping's user now."""
    with suppress(ClientCertError):  # the evaluation reports one that cannot be read
        if certificate.is_ca:
            yield (
                "this is the certificate of a CA. Map it only if the client has made "
                "it for itself. To accept certificates that the CA issues, add it as "
                f"an authority: {ADD_AUTHORITY}"
            )
    try:
        decision = evaluate(
            present_certificates([certificate], verdict=success_verdict()),
            host=mapping.first_host,
        )
    except ImproperlyConfigured as error:
        yield f"no certificate is accepted yet: {error} See “manage.py check”."
        return
    if decision.reason is not None:
        explanation = EXPLANATIONS[decision.reason]
        yield (
            f"the certificate would be refused now: {decision.reason}. "
            f"{explanation.meaning} {explanation.remedy}"
        )
    elif decision.mapping is not None and decision.mapping.user_id != mapping.user_id:
        yield (
            "the certificate still authenticates "
            f"{username_of(decision.mapping.user)}, because the kind of mapping "
            f"{decision.mapping.pk} ({decision.mapping.kind}) takes precedence."
        )
