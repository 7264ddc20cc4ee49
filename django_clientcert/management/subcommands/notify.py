"""``clientcert notify``: mail what expires to whom it concerns, once for each stage."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.management.base import CommandError
from django.core.validators import validate_email
from django.db import IntegrityError, router, transaction
from django.utils import timezone, translation

from django_clientcert.conf import conf
from django_clientcert.management.console.command import ClientCertCommand
from django_clientcert.management.console.notices import (
    STAGES,
    Notice,
    find_notices,
    known_keys,
    write_mail,
)
from django_clientcert.management.console.text import one_line
from django_clientcert.models import ExpiryNotice
from django_clientcert.signals import certificate_expiring

# The recipient that stands for the receivers of the signal
_SIGNAL = ""


def add_parser(subparsers: Any) -> None:
    """Describe the arguments."""
    stages = ", ".join(str(days) for days in sorted(STAGES, reverse=True))
    parser = subparsers.add_parser(
        "notify",
        help="mail what expires soon to whom it concerns",
        description=(
            "Mail what expires soon: to each user their certificates and mappings, to\n"
            "the addresses of CLIENTCERT_NOTIFY_EMAILS all of it, with authorities\n"
            f"and revocation lists. One mail each, once {stages} days before the\n"
            "end; run it every day. A mail that could not be sent is tried again next\n"
            "time. Sends the signal certificate_expiring for each as well."
        ),
        epilog=(
            "Examples:\n"
            "  manage.py clientcert notify --dry-run\n"
            "  manage.py clientcert notify --to pki@example.com\n"
            "\n"
            "Exit status: 0 all sent, or nothing to send; 1 a mail could not be sent;\n"
            "2 wrong usage."
        ),
    )
    parser.add_argument(
        "--to",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="instead of CLIENTCERT_NOTIFY_EMAILS; may be repeated",
    )
    parser.add_argument(
        "--no-owners", action="store_true", help="send nothing to the users"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the mails, send nothing and remember nothing",
    )
    parser.set_defaults(run=run)


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Send what was not sent yet.

    Raises:
        CommandError: an address is none, or a mail could not be sent.
    """
    now = timezone.now()
    addresses = _addresses(options["to"])
    notices = list(find_notices(now))
    mails = _by_recipient(notices, addresses, owners=not options["no_owners"])
    failed = []
    sent = 0
    with translation.override(settings.LANGUAGE_CODE):
        for recipient, concerned in mails.items():
            new = _untold(recipient, concerned)
            if not new:
                continue
            mail = write_mail(new, now, to_owner=recipient not in addresses)
            if options["dry_run"]:
                _show(command, recipient, *mail)
                continue
            try:
                sent += _send(recipient, new, *mail)
            except (SMTPException, OSError) as error:
                failed.append(recipient)
                command.warn(
                    f"not sent to {one_line(recipient)}: {one_line(str(error))}"
                )
    if options["dry_run"]:
        command.say("Nothing was sent.")
        return
    _signal(_untold(_SIGNAL, notices))
    ExpiryNotice.forget_old(now)
    command.say(f"Sent: {sent}. Expiring within {max(STAGES)} days: {len(notices)}.")
    if failed:
        raise CommandError(
            f"Not sent: {len(failed)}. They are tried again the next time."
        )


def _addresses(given: Sequence[str]) -> list[str]:
    """Return the addresses of those who are told everything.

    Raises:
        CommandError: one is none.
    """
    for address in given:
        try:
            validate_email(address)
        except ValidationError as error:
            raise CommandError(
                f"--to {one_line(address)}: that is no e-mail address.", returncode=2
            ) from error
    return list(dict.fromkeys(given or conf.CLIENTCERT_NOTIFY_EMAILS))


def _by_recipient(
    notices: Sequence[Notice], addresses: Sequence[str], *, owners: bool
) -> dict[str, list[Notice]]:
    """Return what is to be told to whom, the users last."""
    mails: dict[str, list[Notice]] = {address: list(notices) for address in addresses}
    of_owners: dict[str, list[Notice]] = defaultdict(list)
    for notice in notices if owners else ():
        address = _address_of(notice.ending.user)
        if address and address not in mails:
            of_owners[address].append(notice)
    return {**{one: all_ for one, all_ in mails.items() if all_}, **of_owners}


def _address_of(user: Any) -> str:
    """Return the address of an active user, or "" where there is none."""
    if user is None or not getattr(user, "is_active", True):
        return ""
    name = getattr(type(user), "get_email_field_name", lambda: "")()
    address = str(getattr(user, name, "") or "") if name else ""
    try:
        validate_email(address)
    except ValidationError:
        return ""
    return address


def _untold(recipient: str, notices: Sequence[Notice]) -> list[Notice]:
    """Return those of *notices* that *recipient* has not been told at this stage."""
    told = known_keys([one.key(recipient) for one in notices])
    return [one for one in notices if one.key(recipient) not in told]


def _remember(recipient: str, notices: Sequence[Notice]) -> None:
    ExpiryNotice.objects.bulk_create(
        ExpiryNotice(key=key)
        for key in dict.fromkeys(one.key(recipient) for one in notices)
    )


def _send(recipient: str, notices: Sequence[Notice], subject: str, text: str) -> int:
    """Send one mail; return 1, or 0 where another run is sending it right now.

    The notices are written first, in a transaction that the mail ends: of two runs at
    a time the second is refused, and a mail that fails leaves none behind.
    """
    try:
        with transaction.atomic(using=router.db_for_write(ExpiryNotice)):
            _remember(recipient, notices)
            EmailMessage(subject, text, to=[recipient]).send()
    except IntegrityError:
        return 0
    return 1


def _signal(notices: Sequence[Notice]) -> None:
    """Tell the receivers of the signal what they were not told at this stage."""
    for notice in notices:
        ending = notice.ending
        try:
            with transaction.atomic(using=router.db_for_write(ExpiryNotice)):
                _remember(_SIGNAL, [notice])
        except IntegrityError:
            continue  # another run tells it
        certificate_expiring.send_robust(
            sender=type(ending.instance),
            instance=ending.instance,
            certificate=ending.certificate,
            user=ending.user,
            expires_at=ending.expires_at,
            stage=dt.timedelta(days=notice.stage),
        )


def _show(command: ClientCertCommand, recipient: str, subject: str, text: str) -> None:
    command.say(f"To: {one_line(recipient)}")
    command.say(f"Subject: {one_line(subject)}")
    command.say("")
    for line in text.splitlines():
        command.say(line)
    command.say("")
