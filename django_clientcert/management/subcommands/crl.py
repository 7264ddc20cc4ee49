"""``clientcert crl``: revocation lists of authorities, imported and fetched."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.management.base import CommandError
from django.db import DatabaseError
from django.utils import timezone

from django_clientcert.exceptions import ClientCertError, RevocationListError
from django_clientcert.management.console.command import ClientCertCommand
from django_clientcert.management.console.fetch import fetch
from django_clientcert.management.console.files import STDIN, read_input, show_name
from django_clientcert.management.console.lookups import find_authority
from django_clientcert.management.console.progress import ProgressBar
from django_clientcert.management.console.text import one_line, show_moment, some_of
from django_clientcert.models import CertificateAuthority, RevocationList
from django_clientcert.trust.crl_import import Imported, import_crl
from django_clientcert.x509.crl import (
    MAX_CRL_BYTES,
    CRLInfo,
    RevocationPolicy,
    read_crl,
    split_crls,
)

# What says that a list is another authority's
_NOT_MINE = frozenset({"unknown_issuer", "other_key"})


def add_parser(subparsers: Any) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "crl",
        help="import, fetch and list revocation lists",
        description="The revocation lists (CRLs) of authorities.",
    )
    actions = parser.add_subparsers(
        title="actions", dest="action", metavar="ACTION", required=True
    )
    importing = actions.add_parser(
        "import",
        help="import a revocation list from a file",
        description=(
            "Import a revocation list: complete, delta or partitioned. It is checked\n"
            "first; if it is refused, the list that was in force stays so."
        ),
        epilog=(
            "Example:\n"
            "  manage.py clientcert crl import issuing.crl --authority Partners\n"
            "\n"
            "Exit status: 0 imported, or loaded already, 1 refused, 2 wrong usage."
        ),
    )
    importing.add_argument(
        "file",
        metavar="FILE",
        help="DER, or PEM with one list or several; - reads standard input",
    )
    importing.add_argument(
        "--authority",
        metavar="NAME",
        help="whose list it is (default: the one stored authority that issued it)",
    )
    importing.set_defaults(run=run_import)
    fetching = actions.add_parser(
        "fetch",
        help="fetch the lists of authorities from their addresses, for cron",
        description=(
            "Fetch and import the lists of authorities, from the addresses that were\n"
            "set for them. A list that is loaded already is no error. Where one\n"
            "fails, the others are fetched all the same."
        ),
        epilog=(
            "Example:\n"
            "  manage.py clientcert crl fetch -v 0\n"
            "\n"
            "Exit status: 0 all are loaded, 1 some failed, 2 wrong usage."
        ),
    )
    fetching.add_argument(
        "--authority",
        action="append",
        default=[],
        dest="authorities",
        metavar="NAME",
        help="only this authority's; may be repeated (default: all)",
    )
    fetching.add_argument(
        "--timeout",
        type=_seconds,
        default=20,
        metavar="SECONDS",
        help="how long to wait for an answer (default: %(default)s)",
    )
    fetching.add_argument(
        "--deadline",
        type=_seconds,
        default=300,
        metavar="SECONDS",
        help="how long one list may take in all (default: %(default)s)",
    )
    fetching.set_defaults(run=run_fetch)
    listing = actions.add_parser(
        "list",
        help="list the lists that are loaded",
        description="List the revocation lists that are loaded, and which are stale.",
        epilog="Exit status: 0 listed, 1 the database cannot be used, 2 wrong usage.",
    )
    listing.add_argument(
        "--json", action="store_true", help="one JSON object, for programs"
    )
    listing.set_defaults(run=run_list)


def _seconds(text: str) -> float:
    """Return a number of seconds above 0.

    Raises:
        ValueError: it is none; argparse says so.
    """
    value = float(text)
    if not 0 < value <= 86400:
        raise ValueError(text)
    return value


def run_import(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Import the lists of a file.

    Raises:
        CommandError: one is refused; says which, and which went in before.
    """
    name = options["file"]
    data = read_input(name, MAX_CRL_BYTES)
    wanted = options["authority"]
    authority = None if wanted is None else find_authority(wanted)
    source = "standard input" if name == STDIN else name
    done = 0
    try:
        for one in split_crls(data):
            chosen = authority or _find_issuing_authority(one)
            _store(command, options, chosen, one, source)
            done += 1
    except ClientCertError as error:
        before = f" {done} before it went in." if done else ""
        raise CommandError(
            f"{show_name(name)}: {one_line(str(error))}{before}"
        ) from error


def run_fetch(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Fetch the lists of the authorities.

    Raises:
        CommandError: some could not be had, or were refused.
    """
    named = [find_authority(name) for name in options["authorities"]]
    authorities = named or list(CertificateAuthority.objects.exclude(crl_urls=""))
    urls = [(one, url) for one in authorities for url in one.crl_urls.split()]
    failed = 0
    for authority, url in urls:
        problems = _fetch_and_store(command, options, authority, url)
        for problem in problems:
            command.warn(f"{authority}: {one_line(url)}: {one_line(str(problem))}")
        failed += bool(problems)
    if failed:
        raise CommandError(
            f"{failed} of {len(urls)} lists could not be loaded; those that were in "
            "force stay so."
        )
    if not urls and not _is_quiet(options):
        command.say(
            "No authority has an address for its lists. Set one: manage.py clientcert "
            "authority set NAME --crl-url URL"
        )


def _fetch_and_store(
    command: ClientCertCommand,
    options: dict[str, Any],
    authority: CertificateAuthority,
    url: str,
) -> list[Exception]:
    """Load what is at *url*, usually one list; return what went wrong."""
    problems: list[Exception] = []
    lists: tuple[bytes, ...] = ()
    try:
        with _bar(command, options, "fetching") as bar:
            data = fetch(
                url,
                max_bytes=MAX_CRL_BYTES,
                timeout=options["timeout"],
                deadline=options["deadline"],
                progress=bar,
            )
        lists = split_crls(data)
    except ClientCertError as error:
        problems.append(error)
    for one in lists:
        try:
            _store(command, options, authority, one, url)
        # The database may refuse one and take others; an authority may be gone.
        except (ClientCertError, DatabaseError, ObjectDoesNotExist) as error:
            problems.append(error)
    return problems


def _store(
    command: ClientCertCommand,
    options: dict[str, Any],
    authority: CertificateAuthority,
    data: bytes,
    source: str,
) -> None:
    """Import one list, DER, and say what is in force; that it is already is no error.

    Raises:
        RevocationListError: it is refused.
        BundleError, CertificateParseError: the authority cannot be used.
        CertificateAuthority.DoesNotExist: it was deleted.
    """
    try:
        with _bar(command, options, "storing") as bar:
            imported = import_crl(authority, data, source=source, progress=bar)
    except RevocationListError as error:
        if error.code != "already_loaded":
            raise
        if not _is_quiet(options):
            command.say(f"{authority}: {one_line(source)}: nothing new.")
        fingerprint = hashlib.sha256(data).hexdigest()
        for row in authority.revocation_lists.filter(fingerprint=fingerprint):
            _warn(command, authority, row.crl_info())
    else:
        _report(command, options, authority, imported)


def run_list(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Print the lists, as text or as one JSON object.

    The object has one key, ``revocation_lists``: a list of objects with ``id``,
    ``authority``, ``policy``, ``label``, ``issuer``, ``scope`` (empty for all),
    ``number``, ``this_update``, ``next_update``, ``expires_at``, ``stale``,
    ``entries``, ``source``, ``imported_at``.
    """
    now = timezone.now()
    rows = RevocationList.objects.select_related("authority").order_by(
        "authority__name", "pk"
    )
    found = []
    for row in rows:
        info = row.crl_info()
        found.append(
            {
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
                "stale": info.expires() < now,
                "entries": row.entry_count,
                "source": one_line(row.source),
                "imported_at": row.imported_at.isoformat(),
            }
        )
        if not options["json"]:
            state = "STALE since" if info.expires() < now else "good until"
            command.say(
                f"{row.authority}: {info.label()} of {one_line(row.issuer)}, "
                f"{row.entry_count} entries, {state} {show_moment(info.expires())}"
            )
            if str(info.scope):
                command.say(f"  only {info.scope}")
            command.say(f"  from {one_line(row.source) or 'an upload'}")
    if options["json"]:
        command.say(json.dumps({"revocation_lists": found}, indent=2))
    elif not found:
        command.say(
            "No revocation lists. Import one: manage.py clientcert crl import FILE"
        )


def _bar(
    command: ClientCertCommand, options: dict[str, Any], label: str
) -> ProgressBar:
    return ProgressBar(command.stderr, label, quiet=_is_quiet(options))


def _is_quiet(options: dict[str, Any]) -> bool:
    return bool(options["verbosity"] == 0)


def _find_issuing_authority(data: bytes) -> CertificateAuthority:
    """Return the one authority whose CA signed a list.

    Raises:
        CommandError: there is none, or more than one.
        RevocationListError: nobody could use it.
    """
    found, problems = [], []
    for authority in CertificateAuthority.objects.iterator():
        try:
            read_crl(data, authority.certificates(), at=timezone.now())
        except RevocationListError as error:
            problems.append(error)
        except ClientCertError:
            continue  # check --database says what is wrong with that one
        else:
            found.append(authority)
    if len(found) == 1:
        return found[0]
    if found:
        raise CommandError(
            "Several authorities have the CA of this list: "
            f"{some_of(str(one) for one in found)}. Choose one with --authority."
        )
    # Of CAs with one name, one may refuse what another has signed, so this is said
    # only where nobody takes it.
    for problem in problems:
        if problem.code not in _NOT_MINE:
            raise problem
    if problems:
        raise CommandError(
            "No stored authority issued this list. Add the CA's certificates: "
            "manage.py clientcert authority add BUNDLE --name NAME"
        )
    raise CommandError(
        "A list is an authority's, and none is stored. Add it: manage.py clientcert "
        "authority add BUNDLE --name NAME"
    )


def _report(
    command: ClientCertCommand,
    options: dict[str, Any],
    authority: CertificateAuthority,
    imported: Imported,
) -> None:
    """Say what is in force now, and why it may be of no use."""
    info = imported.info
    replaced = (
        f", in place of {', '.join(imported.replaced)}" if imported.replaced else ""
    )
    if not _is_quiet(options):
        command.say(
            f"{authority}: {info.label()} is in force, {info.entry_count} entries, "
            f"good until {show_moment(info.expires())}{replaced}."
        )
    _warn(command, authority, info)


def _warn(
    command: ClientCertCommand, authority: CertificateAuthority, info: CRLInfo
) -> None:
    """Say why a list that is loaded may be of no use."""
    if info.expires() < timezone.now():
        command.warn(
            f"{authority}: {info.label()} is stale: what it lists is revoked, and no "
            "more."
        )
    if authority.policy() is RevocationPolicy.OFF:
        command.warn(
            f"{authority}: its policy is off, so the list is not looked at: manage.py "
            "clientcert authority set NAME --revocation-policy if_loaded"
        )
