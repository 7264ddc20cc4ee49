"""``clientcert revoke``: lock a certificate out, at once and for good."""

from __future__ import annotations

import datetime as dt
import json
import sys
from contextlib import suppress
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils import timezone

from django_clientcert.exceptions import BundleError, ClientCertError
from django_clientcert.management.console.affected import find_mappings, find_seen
from django_clientcert.management.console.arguments import Moment, last_second, moment
from django_clientcert.management.console.command import ClientCertCommand
from django_clientcert.management.console.files import (
    read_certificate_file,
    refuse_private_keys,
    show_name,
)
from django_clientcert.management.console.lookups import find_authority, find_row
from django_clientcert.management.console.text import one_line, show_moment, some_of
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
)
from django_clientcert.trust.revoke import (
    certificate_of,
    revoke_certificate,
    revoke_period,
    revoke_public_key,
    revoke_serial,
)
from django_clientcert.x509.bundles import choose_end_entity
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl import RevocationReason
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.identities import (
    IdentityKind,
    find_identities,
    parse_identity,
)
from django_clientcert.x509.names import Order
from django_clientcert.x509.text import parse_serial, show_serial

REASONS = {
    RevocationReason(number).rfc_name: number
    for number in Revocation.RevocationReasonChoice.values
}
# More mappings of one certificate are counted, not named.
_MAX_ROWS = 50
# What some options go with; without it, they would be left out in silence.
_GOES_WITH = {
    "--authority": ("--serial", "--issued-from"),
    "--issuer": ("--serial",),
    "--issued-until": ("--issued-from",),
    "--json": ("--list",),
}


def add_parser(subparsers: Any) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "revoke",
        help="revoke a certificate, or all that an authority issued in a time",
        description=(
            "Revoke a certificate here and now: by its public key, and by its\n"
            "issuer's key and serial number where a stored authority issued it. A\n"
            "revocation beats every mapping and rule, from the next request on."
        ),
        epilog=(
            "Examples:\n"
            "  manage.py clientcert revoke stolen.crt --reason keyCompromise\n"
            "  manage.py clientcert revoke --mapping 17\n"
            "  manage.py clientcert revoke --authority Partners --serial 1ead85\n"
            "  manage.py clientcert revoke --authority Partners \\\n"
            "    --issued-from 2026-03-01 --issued-until 2026-03-14\n"
            "  manage.py clientcert revoke --undo 3\n"
            "\n"
            "Exit status: 0 revoked, now or before; 1 refused; 2 wrong usage."
        ),
    )
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="PEM, DER or PKCS#7; a chain is fine; - reads standard input",
    )
    parser.add_argument(
        "--mapping",
        metavar="ID",
        help="the certificate of this mapping, or the last one that it let in",
    )
    parser.add_argument(
        "--authority",
        metavar="NAME",
        help="the authority that issued it: with --serial or --issued-from",
    )
    parser.add_argument("--serial", metavar="HEX", help="the serial number, in hex")
    parser.add_argument(
        "--issuer",
        metavar="DN",
        help="which CA of the authority, where it has several",
    )
    parser.add_argument(
        "--issued-from",
        type=moment,
        metavar="DATE",
        help="revoke all that the authority issued from this moment (ISO 8601) …",
    )
    parser.add_argument(
        "--issued-until",
        type=last_second,
        metavar="DATE",
        help="… to this one, or to the end of this day; both are included",
    )
    parser.add_argument(
        "--reason",
        choices=list(REASONS),
        default="unspecified",
        metavar="REASON",
        help="RFC 5280's word for why: %(choices)s (default: %(default)s)",
    )
    parser.add_argument("--note", default="", metavar="TEXT", help="a note to keep")
    parser.add_argument(
        "--no-input",
        action="store_true",
        help="do not ask before all of a time is revoked",
    )
    parser.add_argument("--undo", metavar="ID", help="take a revocation back")
    parser.add_argument("--list", action="store_true", help="list the revocations")
    parser.add_argument(
        "--json", action="store_true", help="with --list: one JSON object, for programs"
    )
    parser.set_defaults(run=run)


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Do the one thing that the options ask for.

    Raises:
        CommandError: it cannot be done, or they ask for none or several.
    """
    refuse_private_keys(
        note=options["note"], authority=options["authority"], issuer=options["issuer"]
    )
    wanted = {
        "FILE": options["file"] is not None,
        "--mapping": options["mapping"] is not None,
        "--serial": options["serial"] is not None,
        "--issued-from": options["issued_from"] is not None,
        "--undo": options["undo"] is not None,
        "--list": options["list"],
    }
    if sum(wanted.values()) != 1:
        raise CommandError(
            f"Give one of {', '.join(wanted)}: what to revoke, or what else to do.",
            returncode=2,
        )
    what = next(name for name, given in wanted.items() if given)
    for option, others in _GOES_WITH.items():
        if options[option[2:].replace("-", "_")] and what not in others:
            raise CommandError(
                f"{option} goes with {' or '.join(others)}, not with {what}.",
                returncode=2,
            )
    try:
        _RUNS[what](command, options)
    except ValidationError as error:
        raise CommandError(" ".join(map(one_line, error.messages))) from error


def _revoke_file(command: ClientCertCommand, options: dict[str, Any]) -> None:
    try:
        certificate = choose_end_entity(read_certificate_file(options["file"]))
    except BundleError as error:
        raise CommandError(f"{show_name(options['file'])}: {error}") from error
    _revoke_certificate(command, certificate, options)


def _revoke_mapping(command: ClientCertCommand, options: dict[str, Any]) -> None:
    mapping = find_row(CertificateMapping, options["mapping"], "mapping")
    certificate = certificate_of(mapping)
    if certificate is not None:
        _revoke_certificate(command, certificate, options)
    elif mapping.kind == IdentityKind.PUBLIC_KEY.value:
        began = timezone.now()
        revocation = revoke_public_key(bytes(mapping.key), **_common(options))
        _report(command, revocation, began)
        _print_effect(command, revocation, [mapping.key])
    else:
        raise CommandError(
            f"Mapping {mapping.pk} has no certificate, and none was seen: what is to "
            "be revoked is not known. Give the certificate in a file, its --serial "
            "with --authority, or disable the mapping in the admin."
        )


def _revoke_certificate(
    command: ClientCertCommand, certificate: ClientCertificate, options: dict[str, Any]
) -> None:
    began = timezone.now()
    revocation = revoke_certificate(certificate, **_common(options))
    _report(command, revocation, began)
    if revocation.serial is None:
        command.warn(
            "no stored authority issued it, so its serial number could not be revoked; "
            "its public key was, which is enough for this certificate."
        )
    keys = [one.key for one in find_identities(certificate).found]
    _print_effect(command, revocation, keys)


def _revoke_serial(command: ClientCertCommand, options: dict[str, Any]) -> None:
    authority = _authority(options, "--serial")
    number = parse_serial(options["serial"])
    if number is None:
        raise CommandError(
            "--serial is a number in hex, such as 1ead85 or 1E:AD:85.", returncode=2
        )
    began = timezone.now()
    revocation = revoke_serial(
        authority, number, issuer=options["issuer"] or "", **_common(options)
    )
    _report(command, revocation, began)
    _print_effect(command, revocation, _keys_of_serial(authority, number, revocation))


def _revoke_period(command: ClientCertCommand, options: dict[str, Any]) -> None:
    authority = _authority(options, "--issued-from")
    if options["issued_until"] is None:
        raise CommandError("--issued-from needs --issued-until.", returncode=2)
    begin: Moment = options["issued_from"]
    until: Moment = options["issued_until"]
    end = min(until.at, timezone.now() + dt.timedelta(days=36500))
    period = Revocation(authority=authority, issued_from=begin.at, issued_until=end)
    mappings = sum(1 for _ in find_mappings(period))
    seen = sum(1 for _ in find_seen(period))
    command.say(
        f"All that {authority} issued from {show_moment(begin.at)} to "
        f"{show_moment(end)}: as far as their certificates are known, {mappings} "
        f"mappings and {seen} certificates that were let in lately."
    )
    if not options["no_input"] and _somebody_is_there():
        answer = input("Type “yes” to revoke them: ")
        if answer.strip().lower() != "yes":
            raise CommandError("Nothing was revoked.")
    began = timezone.now()
    _report(
        command,
        revoke_period(authority, begin.at, end, **_common(options)),
        began,
    )


def _somebody_is_there() -> bool:
    return sys.stdin.isatty()


def _keys_of_serial(
    authority: CertificateAuthority, number: int, revocation: Revocation
) -> list[bytes]:
    """Return the keys of mappings for the serial number that was revoked."""
    keys = []
    for one in authority.certificates():
        if one.public_key_bytes == revocation.issuer_key:
            # No mapping can be of such a name; the number is revoked all the same.
            with suppress(ClientCertError):
                value = f"{show_serial(number)} {one.subject}"
                order = Order.MOST_SPECIFIC_FIRST
                keys.append(
                    parse_identity(IdentityKind.ISSUER_SERIAL, value, order=order).key
                )
    return keys


def _authority(options: dict[str, Any], option: str) -> CertificateAuthority:
    if options["authority"] is None:
        raise CommandError(
            f"{option} needs --authority: a serial number or a time is one CA's.",
            returncode=2,
        )
    return find_authority(options["authority"])


def _common(options: dict[str, Any]) -> dict[str, Any]:
    return {"reason": REASONS[options["reason"]], "note": options["note"]}


def _report(
    command: ClientCertCommand, revocation: Revocation, began: dt.datetime
) -> None:
    """Say what was revoked, and by what it will be recognised."""
    new = revocation.revoked_at >= began
    command.say(
        f"{'Revoked' if new else 'Revoked already'}: {one_line(revocation.description)}"
    )
    keys = [
        ("public key", revocation.public_key and revocation.public_key.hex()),
        ("serial number", revocation.serial and revocation.serial.hex()),
        ("of the CA", revocation.authority and str(revocation.authority)),
    ]
    command.say(f"  {'revocation':<15} {revocation.pk}")
    for name, value in keys:
        if value:
            command.say(f"  {name:<15} {value}")
    reason = RevocationReason(revocation.reason).rfc_name
    note = one_line(revocation.note) or "no note"
    undo = f"manage.py clientcert revoke --undo {revocation.pk}"
    command.say(f"  {'reason':<15} {reason}, {note}")
    command.say(f"  {'taken back by':<15} {undo}")


def _print_effect(
    command: ClientCertCommand, revocation: Revocation, keys: list[bytes]
) -> None:
    """Say whom the certificate lets in no more, and what else has its key.

    *keys* are those of its identities, as far as they are known.
    """
    rows = list(CertificateMapping.objects.matching(keys).order_by("pk")[:_MAX_ROWS])
    command.say(
        f"  {'no more through':<15} "
        + (
            some_of(map(_show_mapping, rows))
            or "any mapping or rule; no mapping matches it now"
        )
    )
    matched = {one.pk for one in rows}
    others = [one for one in find_mappings(revocation) if one.pk not in matched]
    if others:
        command.say(
            f"  {'revoked as well':<15} what was stored with "
            + some_of(map(_show_mapping, others))
        )
    seen = {visible(one.user.get_username()) for one in find_seen(revocation)}
    if seen:
        command.say(f"  {'let in lately':<15} as {some_of(sorted(seen))}")
    for one in rows:
        if not one.is_exact and one.state != one.State.DISABLED:
            command.say(
                f"Mapping {one.pk} is of a name: another certificate with that name "
                "is let in as before. If nobody should be, disable it in the admin."
            )


def _show_mapping(one: CertificateMapping) -> str:
    return f"mapping {one.pk} ({one.kind}) of {visible(one.user.get_username())}"


def _undo(command: ClientCertCommand, options: dict[str, Any]) -> None:
    revocation = find_row(Revocation, options["undo"], "revocation")
    number, what = revocation.pk, one_line(revocation.description)
    revocation.delete()
    command.say(f"Taken back: revocation {number} of {what}.")


def _list(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Print the revocations, as text or as one JSON object.

    The object has one key, ``revocations``: a list of objects with ``id``, ``what``,
    ``public_key``, ``issuer_key``, ``serial`` (hex, or null), ``authority``,
    ``issued_from``, ``issued_until``, ``reason``, ``note``, ``revoked_at``,
    ``revoked_by``.
    """
    rows = Revocation.objects.select_related("authority", "revoked_by").order_by("pk")
    found = [_describe(one) for one in rows.iterator()]
    if options["json"]:
        command.say(json.dumps({"revocations": found}, indent=2))
        return
    for one in found:
        command.say(
            f"{one['id']}: {one['what']}, {one['reason']}, {one['revoked_at'][:10]}"
            + (f", {one['note']}" if one["note"] else "")
        )
    if not found:
        command.say("No revocations.")


def _describe(revocation: Revocation) -> dict[str, Any]:
    def digits(key: bytes | None) -> str | None:
        return None if key is None else key.hex()

    def iso(at: dt.datetime | None) -> str | None:
        return None if at is None else at.isoformat()

    by = revocation.revoked_by
    return {
        "id": revocation.pk,
        "what": one_line(revocation.description),
        "public_key": digits(revocation.public_key),
        "issuer_key": digits(revocation.issuer_key),
        "serial": digits(revocation.serial),
        "authority": revocation.authority and str(revocation.authority),
        "issued_from": iso(revocation.issued_from),
        "issued_until": iso(revocation.issued_until),
        "reason": RevocationReason(revocation.reason).rfc_name,
        "note": one_line(revocation.note),
        "revoked_at": iso(revocation.revoked_at),
        "revoked_by": None if by is None else visible(str(by.get_username())),
    }


_RUNS = {
    "FILE": _revoke_file,
    "--mapping": _revoke_mapping,
    "--serial": _revoke_serial,
    "--issued-from": _revoke_period,
    "--undo": _undo,
    "--list": _list,
}
