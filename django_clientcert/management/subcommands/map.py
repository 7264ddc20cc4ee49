"""``clientcert map``: say that a certificate is a user's."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management.base import CommandError
from django.db import router, transaction

from django_clientcert.evaluation import evaluate
from django_clientcert.evaluation.presented import present_certificates, success_verdict
from django_clientcert.exceptions import BundleError, ClientCertError
from django_clientcert.explaining.reasons import explain
from django_clientcert.management.console.arguments import last_moment, moment
from django_clientcert.management.console.command import ClientCertCommand
from django_clientcert.management.console.files import (
    read_certificate_file,
    refuse_private_keys,
    show_name,
)
from django_clientcert.management.console.lookups import (
    choose_authority,
    find_row,
    find_user,
)
from django_clientcert.management.console.text import (
    describe_certificate,
    one_line,
    show_moment,
    show_validity,
    show_value,
    some_of,
)
from django_clientcert.models import CertificateMapping
from django_clientcert.trust.renewals import find_predecessors, renew
from django_clientcert.x509.bundles import choose_end_entity
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

# What --successor-of takes from the old mapping, or sets itself
_OF_THE_OLD = {
    "--user": "user",
    "--kind": "kind",
    "--value": "value",
    "--authority": "authority",
    "--host": "hosts",
    "--note": "note",
    "--valid-until": "valid_until",
}


def add_parser(subparsers: Any) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "map",
        help="map a certificate to a user",
        description=(
            "Map a certificate to a user. A fingerprint or public key is enough by\n"
            "itself; for every other kind, an authority has to answer for the name:\n"
            "the one that issued the certificate."
        ),
        epilog=(
            "Examples:\n"
            "  manage.py clientcert map partner.crt --user partner\n"
            "  manage.py clientcert map - --user partner --kind public_key < p.crt\n"
            "  manage.py clientcert map alice.crt --user alice --kind san_email\n"
            "  manage.py clientcert map new.crt --successor-of 17 \\\n"
            "    --retire-on 2027-01-31\n"
            "\n"
            "Exit status: 0 mapped, now or before; 1 refused; 2 wrong usage."
        ),
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="PEM, DER or PKCS#7; a chain is fine; - reads standard input",
    )
    parser.add_argument(
        "--user",
        metavar="NAME",
        help="the user's name, whatever field of the user model that is",
    )
    parser.add_argument(
        "--kind",
        choices=[kind.value for kind in IdentityKind],
        metavar="KIND",
        help="what to recognise the certificate by: %(choices)s (default: "
        f"{IdentityKind.FINGERPRINT})",
    )
    parser.add_argument(
        "--value",
        metavar="VALUE",
        help="which name, where the certificate has several of a san_ kind",
    )
    parser.add_argument(
        "--authority",
        metavar="NAME",
        help="the authority that must have issued the certificate (default: the one "
        "stored authority that did; none for fingerprint and public_key)",
    )
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        dest="hosts",
        metavar="HOST",
        help="good for this host name only; may be repeated; .example.com covers "
        "every host below",
    )
    parser.add_argument("--note", default="", metavar="TEXT", help="a note to keep")
    parser.add_argument(
        "--valid-from",
        type=moment,
        metavar="DATE",
        help="accept it from this moment on only: the mapping is scheduled",
    )
    parser.add_argument(
        "--valid-until",
        type=last_moment,
        metavar="DATE",
        help="no longer accept it after this day, or from this moment (ISO 8601; UTC "
        "where it names no zone)",
    )
    parser.add_argument(
        "--successor-of",
        metavar="ID",
        help="the certificate renews that of this mapping, which retires on "
        "--retire-on; kind, user, authority and hosts are taken from there",
    )
    parser.add_argument(
        "--retire-on",
        type=last_moment,
        metavar="DATE",
        help="with --successor-of: the last day of the old mapping",
    )
    parser.set_defaults(run=run)


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Store the mapping, or find that it is there already.

    Raises:
        CommandError: whatever is in the way, with what to type instead.
    """
    if options["successor_of"] is not None or options["retire_on"] is not None:
        _renew(command, options)
        return
    if options["user"] is None:
        raise CommandError(
            "Give --user, or --successor-of where it renews a mapping.", returncode=2
        )
    kind = IdentityKind(options["kind"] or IdentityKind.FINGERPRINT)
    refuse_private_keys(
        user=options["user"],
        value=options["value"],
        authority=options["authority"],
        note=options["note"],
        host=" ".join(options["hosts"]),
    )
    certificate = _read_certificate(options["file"])
    user = find_user(options["user"])
    identity = _choose_identity(certificate, kind, options["value"])
    authority = choose_authority(certificate, kind, options["authority"])
    until = options["valid_until"]
    mapping = CertificateMapping.for_identity(
        identity,
        certificate,
        user=user,
        authority=authority,
        hosts="\n".join(options["hosts"]),
        note=options["note"],
        valid_until=None if until is None else until.at,
    )
    if options["valid_from"] is not None:
        mapping.state = CertificateMapping.State.SCHEDULED
        mapping.valid_from = options["valid_from"].at
    with transaction.atomic(using=router.db_for_write(CertificateMapping)):
        existing = mapping.find_twin()
        if existing is None or existing.user_id != user.pk:
            existing = None
            _save(mapping)
    if existing is None:
        command.say(f"Mapped to {visible(user.get_username())}.")
    else:
        command.say(f"Nothing to do: mapped to {visible(user.get_username())} already.")
        _warn_about_differences(command, existing, mapping, options)
    _print_mapping(command, existing or mapping, certificate)
    _try(command, existing or mapping, certificate)
    if existing is None:
        _mention_predecessors(command, mapping, certificate)


def _renew(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Map the certificate in the place of another one, which retires.

    Raises:
        CommandError: it does not renew that one, or half of the command is missing.
    """
    if options["successor_of"] is None or options["retire_on"] is None:
        raise CommandError("--successor-of and --retire-on go together.", returncode=2)
    given = [option for option, name in _OF_THE_OLD.items() if options[name]]
    if given:
        raise CommandError(
            f"{', '.join(given)} cannot be given with --successor-of: the new mapping "
            "is like the old one. Leave it out, and change the mapping in the admin.",
            returncode=2,
        )
    certificate = _read_certificate(options["file"])
    old = find_row(CertificateMapping, options["successor_of"], "mapping")
    begin = options["valid_from"]
    try:
        new = renew(
            old,
            certificate,
            retire_on=options["retire_on"].at,
            valid_from=None if begin is None else begin.at,
        )
    except ValidationError as error:
        raise CommandError(" ".join(map(one_line, error.messages))) from error
    command.say(f"Mapped to {visible(new.user.get_username())}.")
    _print_mapping(command, new, certificate)
    command.say(
        f"Mapping {old.pk} retires: it lets nobody in from "
        f"{show_moment(old.valid_until)} on."
    )
    _try(command, new, certificate)


def _mention_predecessors(
    command: ClientCertCommand,
    mapping: CertificateMapping,
    certificate: ClientCertificate,
) -> None:
    """Say whose renewal the certificate seems to be: that one can retire now."""
    for old in find_predecessors(certificate):
        if old.pk != mapping.pk and old.state == old.State.ACTIVE:
            command.say(
                f"The certificate is the successor of mapping {old.pk} "
                f"({visible(old.user.get_username())}). Let that one retire in the "
                "admin; next time, --successor-of does both at once."
            )


def _read_certificate(name: str) -> ClientCertificate:
    try:
        return choose_end_entity(read_certificate_file(name))
    except BundleError as error:
        raise CommandError(f"{show_name(name)}: {error}") from error


def _choose_identity(
    certificate: ClientCertificate, kind: IdentityKind, value: str | None
) -> Identity:
    """Return what the certificate is to be recognised by."""
    try:
        if value is None:
            return identity_of_kind(kind, certificate)
        if kind not in SAN_KINDS:
            raise CommandError(
                f"--value chooses one of several names; there is only one {kind}.",
                returncode=2,
            )
        wanted = parse_identity(kind, value)
        offered = [one for one in san_identities(certificate) if one.kind is kind]
    except ClientCertError as error:
        raise CommandError(_with_option(str(error))) from error
    if wanted not in offered:
        raise CommandError(
            f"The certificate has no {kind} “{visible(value, 80)}”; it has: "
            + (some_of(visible(one.value, 80) for one in offered) or "none")
            + "."
        )
    return wanted


def _with_option(message: str) -> str:
    """Name the option where the message asks to type a value."""
    return message.replace("Type one.", "Choose one with --value.")


def _save(mapping: CertificateMapping) -> None:
    try:
        mapping.full_clean()
    except ValidationError as error:
        raise CommandError(
            " ".join(f"{field}: {text}" for field, text in _messages(error))
        ) from error
    mapping.save()


def _messages(error: ValidationError) -> list[tuple[str, str]]:
    return [
        (field, text) for field, texts in error.message_dict.items() for text in texts
    ]


def _warn_about_differences(
    command: ClientCertCommand,
    existing: CertificateMapping,
    wanted: CertificateMapping,
    options: dict[str, Any],
) -> None:
    """Say which options had no effect, because the mapping was there before."""
    ignored = [
        option
        for option, given, same in (
            (
                "--authority",
                options["authority"],
                existing.authority_id == wanted.authority_id,
            ),
            (
                "--host",
                options["hosts"],
                set(existing.hosts.split()) == set(wanted.hosts.lower().split()),
            ),
            ("--note", options["note"], existing.note == wanted.note),
            (
                "--valid-from",
                options["valid_from"],
                existing.valid_from == wanted.valid_from,
            ),
            (
                "--valid-until",
                options["valid_until"],
                existing.valid_until == wanted.valid_until,
            ),
        )
        if given and not same
    ]
    if ignored:
        command.warn(
            f"{', '.join(ignored)} had no effect: mapping {existing.pk} was there "
            "already and was left as it is. Change it in the admin."
        )


def _print_mapping(
    command: ClientCertCommand,
    mapping: CertificateMapping,
    certificate: ClientCertificate,
) -> None:
    """Print what is in the database now."""
    lines = [
        ("mapping", str(mapping.pk)),
        ("user", visible(mapping.user.get_username())),
        ("kind", mapping.kind),
        ("value", show_value(mapping.kind, mapping.value)),
        ("authority", str(mapping.authority) if mapping.authority else "none needed"),
        ("state", mapping.state),
        ("hosts", ", ".join(mapping.hosts.split()) or "all"),
        (
            "valid from",
            "now on" if mapping.valid_from is None else show_moment(mapping.valid_from),
        ),
        (
            "valid until",
            "further notice"
            if mapping.valid_until is None
            else show_moment(mapping.valid_until),
        ),
        ("certificate", show_validity(describe_certificate(certificate))),
    ]
    for name, value in lines:
        command.say(f"  {name:<12} {value}")


def _try(
    command: ClientCertCommand,
    mapping: CertificateMapping,
    certificate: ClientCertificate,
) -> None:
    """Warn if the certificate would not be that user now."""
    try:
        decision = evaluate(
            present_certificates([certificate], verdict=success_verdict()),
            host=mapping.first_host,
        )
    except ImproperlyConfigured as error:
        command.warn(f"no certificate is accepted yet: {error} See “manage.py check”.")
        return
    if decision.reason is not None:
        explanation = explain(decision.reason)
        command.warn(
            f"the certificate would be refused now: {decision.reason}. "
            f"{explanation.meaning} {explanation.remedy}"
        )
    elif decision.mapping is not None and decision.mapping.user_id != mapping.user_id:
        command.warn(
            "the certificate is still "
            f"{visible(decision.mapping.user.get_username())}: mapping "
            f"{decision.mapping.pk} ({decision.mapping.kind}) is of a better kind."
        )
