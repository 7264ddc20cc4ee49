"""Revoke a certificate, or everything that an authority issued in a period.

A certificate is revoked by its public key, and by its issuer's key and serial
number if a stored authority issued it. A revocation takes precedence over
every mapping and rule, from the next request on.

Examples:
  manage.py clientcert revoke stolen.crt --reason keyCompromise
  manage.py clientcert revoke --mapping 17
  manage.py clientcert revoke --authority Partners --serial 1ead85
  manage.py clientcert revoke --authority Partners \\
    --issued-from 2026-03-01 --issued-until 2026-03-14
  manage.py clientcert revoke --undo 3

Exit status: 0 revoked, now or before; 1 refused; 2 wrong usage.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.utils import timezone

from django_clientcert.explaining.report import one_line, username_of
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
)
from django_clientcert.trust.affected import (
    find_mappings,
    find_seen,
    is_known,
    issuer_serial_keys,
)
from django_clientcert.trust.revoke import (
    UNKNOWN_SERIAL,
    certificate_of,
    describe_delay,
    read_serial,
    revoke_certificate,
    revoke_period,
    revoke_public_key,
    revoke_serial,
)
from django_clientcert.trust.transfer.records import to_json
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl.reasons import RevocationReason
from django_clientcert.x509.identities import IdentityKind, find_identities
from django_clientcert.x509.text import show_moment, some_of

from .console.arguments import (
    CERTIFICATE,
    NOTE,
    Arguments,
    Moment,
    last_second,
    moment,
)
from .console.command import ClientCertCommand, UsageError
from .console.files import read_end_entity
from .console.lookups import find_authority, find_row
from .console.text import show_messages

REASONS = {
    RevocationReason(number).rfc_name: number
    for number in Revocation.RevocationReasonChoice.values
}
# Further mappings of one certificate are not looked at.
_MAX_ROWS = 50
# What some options need; without it, they would be ignored silently.
_NEEDS = {
    "--authority": ("--serial", "--issued-from"),
    "--issuer": ("--serial",),
    "--issued-until": ("--issued-from",),
    "--json": ("--list",),
}

ARGUMENTS: Arguments = {
    "file [FILE]": CERTIFICATE,
    "--mapping ID": "revoke the certificate of this mapping, or the last one that it "
    "accepted",
    "--authority NAME": "the authority that issued it: with --serial or --issued-from",
    "--serial HEX": "the serial number, in hex",
    "--issuer DN": "which CA of the authority issued it, if the authority has several",
    "--issued-from DATE": {
        "help": "revoke all that the authority issued from this moment (ISO 8601) ...",
        "type": moment,
    },
    "--issued-until DATE": {
        "help": "... to this one, or to the end of this day; both inclusive",
        "type": last_second,
    },
    "--reason REASON": {
        "help": "the reason, as RFC 5280 names it: %(choices)s (default: %(default)s)",
        "choices": list(REASONS),
        "default": "unspecified",
    },
    **NOTE,
    "--no-input": "do not ask before a whole period is revoked",
    "--undo ID": "undo this revocation",
    "--list": "list the revocations",
    "--json": "with --list: print one JSON object, for programs",
}


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Do the one thing that the options ask for.

    Raises:
        CommandError: it cannot be done, or the options ask for none or several.
    """
    wanted = [option for option in _RUNS if options[_dest(option)] not in (None, False)]
    if len(wanted) != 1:
        raise UsageError(
            f"Give one of {', '.join(_RUNS)}: what to revoke, undo or list."
        )
    for option, needed in _NEEDS.items():
        if options[_dest(option)] and wanted[0] not in needed:
            raise UsageError(
                f"{option} can be combined with {' or '.join(needed)}, but not with "
                f"{wanted[0]}."
            )
    _RUNS[wanted[0]](command, options)


def _dest(option: str) -> str:
    return option.lower().removeprefix("--").replace("-", "_")


def _revoke_file(command: ClientCertCommand, options: dict[str, Any]) -> None:
    _revoke_certificate(command, read_end_entity(options["file"]), options)


def _revoke_mapping(command: ClientCertCommand, options: dict[str, Any]) -> None:
    mapping = find_row(CertificateMapping, options["mapping"], "mapping")
    certificate = certificate_of(mapping)
    if certificate is not None:
        _revoke_certificate(command, certificate, options)
    elif mapping.kind == IdentityKind.PUBLIC_KEY.value:
        key = bytes(mapping.key)
        revocation = _revoke(command, options, revoke_public_key, key)
        _print_effect(command, revocation, [key])
    else:
        raise CommandError(
            f"Mapping {mapping.pk} has no stored certificate and has accepted none, so "
            "it is not known what to revoke. Give the certificate as FILE, or its "
            "--serial with --authority, or disable the mapping in the admin."
        )


def _revoke_certificate(
    command: ClientCertCommand, certificate: ClientCertificate, options: dict[str, Any]
) -> None:
    revocation = _revoke(command, options, revoke_certificate, certificate)
    if revocation.serial is None:
        command.warn(
            "no stored authority issued it, so it was revoked by its public key only, "
            "not by its serial number. That is enough for this certificate."
        )
    keys = [identity.key for identity in find_identities(certificate).found]
    _print_effect(command, revocation, keys)


def _revoke_serial(command: ClientCertCommand, options: dict[str, Any]) -> None:
    authority = _authority(options, "--serial")
    try:
        readings = read_serial(options["serial"])
    except ValidationError as error:
        raise UsageError(f"--serial: {show_messages(error)}") from error
    revoke = partial(revoke_serial, issuer=options["issuer"] or "")
    revocation = _revoke(command, options, revoke, authority, *readings)
    if not is_known(revocation):
        command.warn(str(UNKNOWN_SERIAL))
    _print_effect(command, revocation, issuer_serial_keys(revocation))


def _revoke_period(command: ClientCertCommand, options: dict[str, Any]) -> None:
    authority = _authority(options, "--issued-from")
    if options["issued_until"] is None:
        raise UsageError("--issued-from needs --issued-until DATE.")
    begin: Moment = options["issued_from"]
    until: Moment = options["issued_until"]
    end = min(until.at, timezone.now() + dt.timedelta(days=36500))
    period = Revocation(authority=authority, issued_from=begin.at, issued_until=end)
    mappings = sum(1 for _ in find_mappings(period))
    seen = sum(1 for _ in find_seen(period))
    command.say(
        f"All that {authority} issued from {show_moment(begin.at)} to "
        f"{show_moment(end)}. Known certificates among them: {mappings} of mappings, "
        f"{seen} that logged in recently."
    )
    if not options["no_input"] and _is_interactive():
        answer = input("Type “yes” to revoke them: ")
        if answer.strip().lower() != "yes":
            raise CommandError("Nothing was revoked.")
    _revoke(command, options, revoke_period, authority, begin.at, end)


def _is_interactive() -> bool:
    return sys.stdin.isatty()


def _authority(options: dict[str, Any], option: str) -> CertificateAuthority:
    if options["authority"] is None:
        raise UsageError(
            f"{option} needs --authority NAME, the authority that issued it."
        )
    return find_authority(options["authority"])


def _revoke(
    command: ClientCertCommand,
    options: dict[str, Any],
    revoke: Callable[..., Revocation],
    *what: Any,
) -> Revocation:
    """Let *revoke* revoke *what*; print what was revoked, and how it is recognised."""
    began = timezone.now()
    number, note = REASONS[options["reason"]], options["note"]
    revocation = revoke(*what, reason=number, note=note)
    new = revocation.revoked_at >= began
    command.say(
        f"{'Revoked' if new else 'Already revoked'}: "
        + one_line(revocation.description)
    )
    reason = RevocationReason(revocation.reason).rfc_name
    fields = {
        "revocation": revocation.pk,
        "public key": revocation.public_key and revocation.public_key.hex(),
        "serial number": revocation.serial and revocation.serial.hex(),
        "authority": revocation.authority,
        "reason": f"{reason}, {one_line(revocation.note) or 'no note'}",
        "to undo": f"manage.py clientcert revoke --undo {revocation.pk}",
        "in effect": describe_delay(),
    }
    command.say_fields(fields)
    return revocation


def _print_effect(
    command: ClientCertCommand, revocation: Revocation, keys: list[bytes]
) -> None:
    """Print whom the certificate no longer authenticates, and what shares its key.

    *keys* are those of its identities, as far as they are known.
    """
    rows = list(CertificateMapping.objects.matching(keys).order_by("pk")[:_MAX_ROWS])
    matched = {row.pk for row in rows}
    others = [row for row in find_mappings(revocation) if row.pk not in matched]
    users = {username_of(seen.user) for seen in find_seen(revocation)}
    fields = {
        "no longer valid": some_of(map(_show_mapping, rows))
        or "for any mapping or rule; no mapping matches it now"
    }
    if others:
        fields["also revoked"] = "the certificate stored with " + some_of(
            map(_show_mapping, others)
        )
    if users:
        fields["last logged in"] = f"as {some_of(sorted(users))}"
    command.say_fields(fields)
    for row in rows:
        if not row.is_exact and row.state != row.State.DISABLED:
            command.say(
                f"Mapping {row.pk} is of a name, so another certificate with that name "
                "is still accepted. To refuse those too, disable it in the admin."
            )


def _show_mapping(mapping: CertificateMapping) -> str:
    return f"mapping {mapping.pk} ({mapping.kind}) of {username_of(mapping.user)}"


def _undo(command: ClientCertCommand, options: dict[str, Any]) -> None:
    revocation = find_row(Revocation, options["undo"], "revocation")
    number, what = revocation.pk, one_line(revocation.description)
    revocation.delete()
    command.say(f"Undone: revocation {number} of {what}.")


def _list(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Print the revocations, as text or as one JSON object."""
    rows = Revocation.objects.select_related("authority", "revoked_by").order_by("pk")
    command.list_rows(
        "revocations",
        [_describe(row) for row in rows.iterator()],
        _lines,
        empty="No revocations.",
    )


def _describe(revocation: Revocation) -> dict[str, Any]:
    """Return *revocation* as ``revoke --list --json`` prints it; keys are in hex."""
    return {
        "id": revocation.pk,
        "what": one_line(revocation.description),
        **{name: to_json(getattr(revocation, name)) for name in Revocation.IDENTITY},
        "authority": revocation.authority and str(revocation.authority),
        "reason": RevocationReason(revocation.reason).rfc_name,
        "note": one_line(revocation.note),
        "revoked_at": revocation.revoked_at.isoformat(),
        "revoked_by": username_of(revocation.revoked_by) or None,
    }


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    note = f", {facts['note']}" if facts["note"] else ""
    day = facts["revoked_at"][:10]
    yield f"{facts['id']}: {facts['what']}, {facts['reason']}, {day}{note}"


_RUNS = {
    "FILE": _revoke_file,
    "--mapping": _revoke_mapping,
    "--serial": _revoke_serial,
    "--issued-from": _revoke_period,
    "--undo": _undo,
    "--list": _list,
}
