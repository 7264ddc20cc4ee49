"""Mail what expires soon to the people concerned.

Each user gets a mail about their own certificates and mappings. The addresses
in CLIENTCERT_NOTIFY_EMAILS get one about everything, with authorities and
CRLs. Each is sent once 30, 7 and 1 days before the end; run this every day. A
mail that could not be sent is tried again the next time. The signal
certificate_expiring is sent for each as well.

Examples:
  manage.py clientcert notify --dry-run
  manage.py clientcert notify --to pki@example.com

Exit status: 0 all sent, or nothing to send; 1 a mail could not be sent; 2
wrong usage.
"""

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
from django_clientcert.explaining.report import one_line
from django_clientcert.models import ExpiryNotice
from django_clientcert.signals import certificate_expiring
from django_clientcert.trust.expiry import (
    STAGES,
    Notice,
    find_notices,
    known_keys,
    write_mail,
)

from .console.arguments import Arguments
from .console.command import ClientCertCommand, UsageError

# The recipient that stands for the receivers of the signal
_SIGNAL = ""

ARGUMENTS: Arguments = {
    "--to ADDRESS ...": "send to this address instead of CLIENTCERT_NOTIFY_EMAILS",
    "--no-owners": "send nothing to the users",
    "--dry-run": "print the mails, but send nothing and remember nothing",
}


def run(command: ClientCertCommand, options: dict[str, Any]) -> None:
    """Send what has not been sent yet.

    Raises:
        CommandError: an address is not valid, or a mail could not be sent.
    """
    now = timezone.now()
    addresses = _addresses(options["to"])
    notices = list(find_notices(now))
    mails = _by_recipient(notices, addresses, owners=not options["no_owners"])
    sent = failed = 0
    with translation.override(settings.LANGUAGE_CODE):
        for recipient, concerned in mails.items():
            new = _unsent(recipient, concerned)
            if not new:
                continue
            subject, text = write_mail(new, now, to_owner=recipient not in addresses)
            if options["dry_run"]:
                head = f"To: {one_line(recipient)}", f"Subject: {one_line(subject)}"
                command.say_lines([*head, "", *text.splitlines(), ""])
                continue
            try:
                sent += _send(recipient, new, subject, text)
            except (SMTPException, OSError) as error:
                failed += 1
                command.warn(
                    f"not sent to {one_line(recipient)}: {one_line(str(error))}"
                )
    if options["dry_run"]:
        command.say("Nothing was sent, because this was a dry run.")
        return
    _send_signals(_unsent(_SIGNAL, notices))
    ExpiryNotice.forget_old(now)
    command.say(f"Sent: {sent}. Expiring within {max(STAGES)} days: {len(notices)}.")
    if failed:
        raise CommandError(
            f"Not sent: {failed}. They will be tried again the next time."
        )


def _addresses(given: Sequence[str]) -> list[str]:
    """Return the addresses that are told everything.

    Raises:
        CommandError: one is not an e-mail address.
    """
    for address in given:
        try:
            validate_email(address)
        except ValidationError as error:
            raise UsageError(
                f"--to {one_line(address)}: this is not an e-mail address. Write one "
                "like pki@example.com."
            ) from error
    return list(dict.fromkeys(given or conf.CLIENTCERT_NOTIFY_EMAILS))


def _by_recipient(
    notices: Sequence[Notice], addresses: Sequence[str], *, owners: bool
) -> dict[str, list[Notice]]:
    """Return the notices of each recipient, the users last."""
    mails = {address: list(notices) for address in addresses if notices}
    to_owners: dict[str, list[Notice]] = defaultdict(list)
    for notice in notices if owners else ():
        address = _address_of(notice.expiry.user)
        if address and address not in mails:
            to_owners[address].append(notice)
    return {**mails, **to_owners}


def _address_of(user: Any) -> str:
    """Return the address of an active user, or an empty text without one."""
    if user is None or not getattr(user, "is_active", True):
        return ""
    name = getattr(type(user), "get_email_field_name", lambda: "")()
    address = str(getattr(user, name, "") or "") if name else ""
    try:
        validate_email(address)
    except ValidationError:
        return ""
    return address


def _unsent(recipient: str, notices: Sequence[Notice]) -> list[Notice]:
    """Return those of *notices* that *recipient* has not got at this stage."""
    known = known_keys([notice.key(recipient) for notice in notices])
    return [notice for notice in notices if notice.key(recipient) not in known]


def _remember(recipient: str, notices: Sequence[Notice]) -> None:
    keys = dict.fromkeys(notice.key(recipient) for notice in notices)
    ExpiryNotice.objects.bulk_create(ExpiryNotice(key=key) for key in keys)


def _send(recipient: str, notices: Sequence[Notice], subject: str, text: str) -> int:
    """Send one mail; return 1, or 0 if another run is already sending it.

    The notices are stored first, in a transaction that ends after the mail. So of two
    simultaneous runs the second is refused, and a mail that fails leaves none behind.
    """
    try:
        with transaction.atomic(using=router.db_for_write(ExpiryNotice)):
            _remember(recipient, notices)
            EmailMessage(subject, text, to=[recipient]).send()
    except IntegrityError:
        return 0
    return 1


def _send_signals(notices: Sequence[Notice]) -> None:
    """Send the signal for each of *notices*."""
    for notice in notices:
        expiry = notice.expiry
        try:
            with transaction.atomic(using=router.db_for_write(ExpiryNotice)):
                _remember(_SIGNAL, [notice])
        except IntegrityError:
            continue  # another run sends it
        certificate_expiring.send_robust(
            sender=type(expiry.instance),
            instance=expiry.instance,
            certificate=expiry.certificate,
            user=expiry.user,
            expires_at=expiry.expires_at,
            stage=dt.timedelta(days=notice.stage),
        )
