"""Import, fetch and list the CRLs of authorities."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.management.base import CommandError
from django.db import DatabaseError
from django.utils import timezone

from django_clientcert.exceptions import ClientCertError, RevocationListError
from django_clientcert.explaining.report import one_line
from django_clientcert.models import CertificateAuthority, RevocationList
from django_clientcert.trust.crl_import import import_crl
from django_clientcert.trust.revoke import describe_delay
from django_clientcert.x509.crl.files import split_crls
from django_clientcert.x509.crl.reading import MAX_CRL_BYTES, CRLInfo, read_crl
from django_clientcert.x509.crl.status import RevocationPolicy
from django_clientcert.x509.text import show_moment, some_of

from .console.arguments import JSON, Arguments, Subcommands
from .console.command import ClientCertCommand
from .console.fetch import fetch
from .console.files import STDIN, errors_of_file, read_file
from .console.lookups import ADD_AUTHORITY, find_authority
from .console.text import show_crl

# The codes of errors that say that another CA issued a CRL
_ISSUED_BY_OTHERS = frozenset({"unknown_issuer", "other_key"})


def _seconds(text: str) -> float:
    """Return a number of seconds above 0.

    Raises:
        ArgumentTypeError: it is not one.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(
            "write a number of seconds above 0, at most 86400 (a day)"
        )
    return value


_IMPORTING: Arguments = {
    "file FILE": "DER, or PEM with one CRL or several; - reads standard input",
    "--authority NAME": "the authority of the CRL (default: the one stored authority "
    "that issued it)",
}
_FETCHING: Arguments = {
    "--authority NAME ...": "fetch the CRLs of this authority only (default: all)",
    "--timeout SECONDS": {
        "help": "how long to wait for an answer (default: %(default)s)",
        "type": _seconds,
        "default": 20,
    },
    "--deadline SECONDS": {
        "help": "how long one CRL may take in all (default: %(default)s)",
        "type": _seconds,
        "default": 300,
    },
}


def add_actions(actions: Subcommands) -> None:
    """Add the actions and their arguments."""
    actions.add("import", run_import, _IMPORTING)
    actions.add("fetch", run_fetch, _FETCHING)
    actions.add("list", run_list, JSON)


def run_import(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Import CRLs from a file.

    A CRL may be complete, a delta or partitioned. It is checked first. If it is
    refused, the CRL that is loaded stays in force.

    Example:
      manage.py clientcert crl import issuing.crl --authority Partners

    Exit status: 0 imported, or loaded already, 1 refused, 2 wrong usage.

    Raises:
        CommandError: a CRL is refused; says how many were imported before.
    """
    name, authority = options["file"], None
    crls = read_file(name, split_crls, MAX_CRL_BYTES)
    if options["authority"] is not None:
        authority = find_authority(options["authority"])
    source = "standard input" if name == STDIN else name
    for done, crl in enumerate(crls):
        end = f" CRLs imported before it: {done}." if done else ""
        with errors_of_file(name, end=end):
            _store(command, authority or _find_issuing_authority(crl), crl, source)


def run_fetch(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Fetch the CRLs of authorities from their URLs, for example from cron.

    A CRL that is loaded already is not an error. If one cannot be fetched, the
    others still are. A CRL that has lost entries is loaded, with a warning.

    Example:
      manage.py clientcert crl fetch -v 0

    Exit status: 0 all are loaded, 1 some failed or have lost entries, 2 wrong
    usage.

    Raises:
        CommandError: some could not be fetched, were refused, or are suspicious.
    """
    authorities = [find_authority(name) for name in options["authority"]] or list(
        CertificateAuthority.objects.exclude(crl_urls="")
    )
    urls = [
        (authority, url)
        for authority in authorities
        for url in authority.crl_urls.split()
    ]
    failed = suspicious = 0
    for authority, url in urls:
        problems, warned = _fetch_and_store(command, options, authority, url)
        for problem in problems:
            command.warn(f"{authority}: {one_line(url)}: {one_line(str(problem))}")
        failed += bool(problems)
        suspicious += warned
    errors = []
    if failed:
        errors.append(
            f"{failed} of {len(urls)} addresses failed; the CRLs that were in force "
            "stay in force."
        )
    if suspicious:
        errors.append(f"CRLs that were imported with a warning: {suspicious}.")
    if errors:
        raise CommandError(" ".join(errors))
    if not urls:
        command.say_unless_quiet(
            "No authority has an address for its CRLs. Set one: manage.py clientcert "
            "authority set NAME --crl-url URL"
        )


def _fetch_and_store(
    command: ClientCertCommand,
    options: dict[str, Any],
    authority: CertificateAuthority,
    url: str,
) -> tuple[list[Exception], int]:
    """Import the CRLs at *url*, usually one.

    Returns:
        The errors, and how many CRLs were imported with a warning.
    """
    problems: list[Exception] = []
    suspicious = 0
    try:
        with command.progress("fetching") as bar:
            data = fetch(
                url,
                max_bytes=MAX_CRL_BYTES,
                timeout=options["timeout"],
                deadline=options["deadline"],
                progress=bar,
            )
        crls = split_crls(data)
    except ClientCertError as error:
        return [error], 0
    for crl in crls:
        try:
            suspicious += _store(command, authority, crl, url)
        # The database may refuse one and accept others; the authority may be deleted.
        except (ClientCertError, DatabaseError, ObjectDoesNotExist) as error:
            problems.append(error)
    return problems, suspicious


def _store(
    command: ClientCertCommand,
    authority: CertificateAuthority,
    data: bytes,
    source: str,
) -> bool:
    """Import one CRL, DER, and print which CRL is in force.

    It is not an error if that one is loaded already. Return whether the import gave
    warnings.

    Raises:
        RevocationListError: it is refused.
        BundleError, CertificateParseError: the authority cannot be used.
        CertificateAuthority.DoesNotExist: it was deleted.
    """
    try:
        with command.progress("storing") as bar:
            imported = import_crl(authority, data, source=source, progress=bar)
    except RevocationListError as error:
        if error.code != "already_loaded":
            raise
        command.say_unless_quiet(f"{authority}: {one_line(source)}: nothing new.")
        fingerprint = hashlib.sha256(data).hexdigest()
        for row in authority.revocation_lists.filter(fingerprint=fingerprint):
            _warn(command, authority, row.crl_info())
        return False
    info = imported.info
    replaced = (
        f", in place of {', '.join(imported.replaced)}" if imported.replaced else ""
    )
    command.say_unless_quiet(
        f"{authority}: {info.label()} is in force, {info.entry_count} entries, "
        f"valid until {show_moment(info.expires())}{replaced}."
    )
    if delay := describe_delay():
        command.say_unless_quiet(delay)
    for warning in imported.warnings:
        command.warn(f"{authority}: {warning}")
    _warn(command, authority, info)
    return bool(imported.warnings)


def _warn(
    command: ClientCertCommand, authority: CertificateAuthority, info: CRLInfo
) -> None:
    """Say why a CRL that is loaded may have no effect."""
    if info.expires() < timezone.now():
        command.warn(
            f"{authority}: {info.label()} is stale. The certificates that it revokes "
            "stay revoked, but it does not clear any other."
        )
    if authority.policy() is RevocationPolicy.OFF:
        command.warn(
            f"{authority}: its revocation policy is off, so the CRL is ignored. Turn "
            "it on: manage.py clientcert authority set NAME --revocation-policy "
            "if_loaded"
        )


def _find_issuing_authority(data: bytes) -> CertificateAuthority:
    """Return the one authority whose CA signed a CRL.

    Raises:
        CommandError: there is none, or more than one.
        RevocationListError: no authority could use it.
    """
    issuers, problems = [], []
    for authority in CertificateAuthority.objects.iterator():
        try:
            read_crl(data, authority.certificates(), at=timezone.now())
        except RevocationListError as error:
            problems.append(error)
        except ClientCertError:
            continue  # check --database says what is wrong with that one
        else:
            issuers.append(authority)
    if len(issuers) == 1:
        return issuers[0]
    if issuers:
        raise CommandError(
            "Several authorities have the CA of this CRL: "
            f"{some_of(map(str, issuers))}. Choose one with --authority NAME."
        )
    # Two CAs may have the same name, so another authority's objection is reported
    # only if none accepts the CRL.
    for problem in problems:
        if problem.code not in _ISSUED_BY_OTHERS:
            raise problem
    why = "none issued this one" if problems else "no authority is stored"
    raise CommandError(
        f"A CRL belongs to an authority, but {why}. Add it: {ADD_AUTHORITY}"
    )


def run_list(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """List the CRLs that are loaded, and which of them are stale.

    Exit status: 0 listed, 1 the database cannot be used, 2 wrong usage.
    """
    rows = RevocationList.objects.select_related("authority").order_by(
        "authority__name", "pk"
    )
    command.list_rows(
        "revocation_lists",
        [_describe(row) for row in rows],
        _lines,
        empty="No CRLs. Import one: manage.py clientcert crl import FILE",
    )


def _describe(row: RevocationList) -> dict[str, Any]:
    """Return *row* as ``crl list --json`` prints it; an empty ``scope`` means all."""
    info = row.crl_info()
    return {
        "id": row.pk,
        "authority": str(row.authority),
        "policy": row.authority.revocation_policy,
        "label": info.label(),
        "issuer": one_line(row.issuer),
        "scope": str(info.scope),
        "number": None if info.number is None else str(info.number),
        "this_update": info.this_update.isoformat(),
        "next_update": info.next_update and info.next_update.isoformat(),
        "expires_at": info.expires().isoformat(),
        "stale": info.expires() < timezone.now(),
        "entries": row.entry_count,
        "source": one_line(row.source),
        "imported_at": row.imported_at.isoformat(),
    }


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    label = f"{facts['label']} of {facts['issuer']}"
    yield f"{facts['authority']}: {label}, {show_crl(facts)}"
    if facts["scope"]:
        yield f"  only {facts['scope']}"
    yield f"  from {facts['source'] or 'an upload'}"
