"""``clientcert notify``: who is told what, and that it is told once."""

from __future__ import annotations

import datetime as dt
from smtplib import SMTPException
from typing import Any

import django
import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone

from django_clientcert.conf import conf
from django_clientcert.exceptions import CertificateParseError
from django_clientcert.management.subcommands import notify
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    ExpiryNotice,
)
from django_clientcert.signals import certificate_expiring
from django_clientcert.testing import ThrowawayCA
from django_clientcert.trust import expiry
from django_clientcert.trust.crl_import import import_crl
from django_clientcert.x509.certificates import ClientCertificate
from tests.deciding import map_to

from .running import clientcert

pytestmark = pytest.mark.django_db

DAY = dt.timedelta(days=1)


@pytest.fixture
def now() -> dt.datetime:
    """The moment of the test."""
    return timezone.now()


def mapped(
    user: Any, ca: ThrowawayCA, name: str, end: dt.datetime, **fields: Any
) -> CertificateMapping:
    """Return a mapping made from a certificate with that end."""
    issued = ca.issue(name, not_before=end - 60 * DAY, not_after=end)
    return map_to(
        user,
        "fingerprint",
        issued.fingerprint,
        certificate=issued.der,
        **fields,
    )


def recipients() -> list[str]:
    """Return who got a mail."""
    return sorted(one for message in mail.outbox for one in message.to)


# --- who is told what ------------------------------------------------------------


def test_owners_and_administrators_get_one_mail_each(
    alice: Any, bob: Any, ca: ThrowawayCA, now: dt.datetime, settings: Any
) -> None:
    """Each owner what is theirs; the configured address all of it."""
    settings.CLIENTCERT_NOTIFY_EMAILS = ["pki@example.com"]
    mapped(alice, ca, "first", now + 5 * DAY)
    mapped(alice, ca, "second", now + 25 * DAY)
    mapped(bob, ca, "third", now + 5 * DAY, valid_until=now + 2 * DAY)
    mapped(bob, ca, "later", now + 40 * DAY)
    outcome = clientcert("notify")
    assert (outcome.status, outcome.err) == (0, "")
    assert "Sent: 3. Expiring within 30 days: 4." in outcome.out
    assert recipients() == ["alice@example.com", "bob@example.com", "pki@example.com"]
    texts = {message.to[0]: message.body for message in mail.outbox}
    assert "CN=first" in texts["alice@example.com"]
    assert "CN=second" in texts["alice@example.com"]
    assert "CN=third" not in texts["alice@example.com"]
    assert "mapping" in texts["bob@example.com"]
    assert "later" not in texts["bob@example.com"]
    assert texts["pki@example.com"].count("\n- ") == 4
    # The first to end comes first.
    lines = texts["pki@example.com"].splitlines()
    assert [line for line in lines if line.startswith("- ")] == sorted(
        line for line in lines if line.startswith("- ")
    )


def test_authorities_and_lists_are_for_administrators(
    alice: Any, now: dt.datetime
) -> None:
    """They have no owner."""
    root = ThrowawayCA.create("Expiry Root", not_after=now + 20 * DAY)
    authority = CertificateAuthority.objects.create(name="PKI", bundle=root.pem)
    import_crl(authority, root.crl(next_update=now + 3 * DAY))
    assert clientcert("notify").status == 0
    assert mail.outbox == []
    assert clientcert("notify", "--to", "pki@example.com").status == 0
    (message,) = mail.outbox
    assert "certificate of an authority PKI: CN=Expiry Root" in message.body
    assert "CRL PKI" in message.body


def test_authorities_and_lists_that_last_are_not_told(
    ca: ThrowawayCA, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor a certificate of theirs that cannot be read."""
    authority = CertificateAuthority.objects.create(name="PKI", bundle=ca.pem)
    import_crl(authority, ca.crl(next_update=now + 90 * DAY))
    assert clientcert("notify", "--to", "pki@example.com").status == 0

    def fail(self: Any) -> Any:
        raise CertificateParseError("validity")

    monkeypatch.setattr(ClientCertificate, "not_after", property(fail))
    assert clientcert("notify", "--to", "pki@example.com").status == 0
    assert mail.outbox == []


def test_what_is_not_told(
    alice: Any, bob: Any, ca: ThrowawayCA, now: dt.datetime
) -> None:
    """Expired, disabled, succeeded, and whose user has no address or may not log in."""
    mapped(alice, ca, "expired", now - DAY)
    mapped(alice, ca, "disabled", now + DAY, state="disabled")
    mapped(alice, ca, "renewed", now + DAY)
    mapped(alice, ca, "renewed", now + 90 * DAY)
    mapped(bob, ca, "of bob", now + DAY)
    get_user_model().objects.filter(pk=bob.pk).update(is_active=False)
    nobody = get_user_model().objects.create_user("nobody", email="not an address")
    mapped(nobody, ca, "of nobody", now + DAY)
    assert clientcert("notify").status == 0
    assert mail.outbox == []


def test_a_disabled_successor_is_none(
    alice: Any, ca: ThrowawayCA, now: dt.datetime
) -> None:
    """Then the old one still matters."""
    mapped(alice, ca, "renewed", now + DAY)
    mapped(alice, ca, "renewed", now + 90 * DAY, state="disabled")
    clientcert("notify")
    assert recipients() == ["alice@example.com"]


def test_an_owner_who_is_told_everything_gets_one_mail(
    alice: Any, ca: ThrowawayCA, now: dt.datetime
) -> None:
    """And no owner at all with --no-owners."""
    mapped(alice, ca, "a", now + DAY)
    clientcert("notify", "--to", "alice@example.com")
    assert recipients() == ["alice@example.com"]
    mail.outbox.clear()
    mapped(alice, ca, "b", now + DAY)
    clientcert("notify", "--no-owners")
    assert mail.outbox == []


# --- once ------------------------------------------------------------------------


def test_each_stage_once(
    alice: Any, ca: ThrowawayCA, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """30, 7 and 1 days before; not every day."""
    mapped(alice, ca, "a", now + 40 * DAY)
    sent = []
    for day in range(42):
        monkeypatch.setattr(notify.timezone, "now", lambda day=day: now + day * DAY)
        mail.outbox.clear()
        clientcert("notify")
        if mail.outbox:
            sent.append(40 - day)
    assert sent == [30, 7, 1]


def test_a_stage_that_was_missed_is_told_late(
    alice: Any, ca: ThrowawayCA, now: dt.datetime
) -> None:
    """Whoever starts cron five days before the end hears of it now."""
    mapped(alice, ca, "a", now + 5 * DAY)
    clientcert("notify")
    clientcert("notify")
    assert len(mail.outbox) == 1
    assert "in 4 days" in mail.outbox[0].body or "in 5 days" in mail.outbox[0].body


def test_a_new_end_is_sent_again(alice: Any, ca: ThrowawayCA, now: dt.datetime) -> None:
    """What was put off ends another time."""
    mapping = map_to(alice, "fingerprint", "ab" * 32, valid_until=now + 5 * DAY)
    clientcert("notify")
    mapping.valid_until = now + 6 * DAY
    mapping.save()
    clientcert("notify")
    assert len(mail.outbox) == 2


def use_backend(settings: Any, path: str) -> None:
    """Let another class send, in the way of this Django."""
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": path}}
    else:
        settings.EMAIL_BACKEND = path


class Broken(EmailBackend):
    """A mail server that takes nothing for Bob."""

    def send_messages(self, messages: Any) -> int:
        """Refuse, or send."""
        if any("bob@example.com" in message.to for message in messages):
            raise SMTPException("try later\nplease")
        return int(super().send_messages(messages))


def test_a_mail_that_fails_is_tried_again(
    alice: Any, bob: Any, ca: ThrowawayCA, now: dt.datetime, settings: Any
) -> None:
    """The others are sent, and it is said; one line stays one line."""
    use_backend(settings, "tests.commands.test_notify.Broken")
    mapped(alice, ca, "a", now + DAY)
    mapped(bob, ca, "b", now + DAY)
    outcome = clientcert("notify")
    assert outcome.status == 1
    assert "Not sent: 1" in outcome.error
    assert "not sent to bob@example.com: try later" in outcome.err
    assert outcome.err.count("\n") == 1
    assert recipients() == ["alice@example.com"]
    use_backend(settings, "django.core.mail.backends.locmem.EmailBackend")
    assert clientcert("notify").status == 0
    assert recipients() == ["alice@example.com", "bob@example.com"]


def test_of_two_runs_at_a_time_one_sends(
    alice: Any, ca: ThrowawayCA, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other has seen nothing of it when it began."""
    mapped(alice, ca, "a", now + DAY)
    clientcert("notify")
    monkeypatch.setattr(notify, "known_keys", lambda keys: set())
    outcome = clientcert("notify")
    assert outcome.status == 0
    assert "Sent: 0." in outcome.out
    assert len(mail.outbox) == 1


def test_old_notices_are_forgotten(
    alice: Any, ca: ThrowawayCA, now: dt.datetime
) -> None:
    """After every stage is long over."""
    mapped(alice, ca, "a", now + DAY)
    clientcert("notify")
    (notice, *_) = ExpiryNotice.objects.all()
    assert len(str(notice)) == 16
    ExpiryNotice.objects.update(sent_at=now - 200 * DAY)
    get_user_model().objects.all().delete()
    clientcert("notify")
    assert not ExpiryNotice.objects.exists()


def test_many_keys_are_asked_in_parts(alice: Any, now: dt.datetime) -> None:
    """More than some databases take at once."""
    keys = [
        ExpiryNotice.key_of("a", "mapping", number, now, 1) for number in range(1200)
    ]
    ExpiryNotice.objects.bulk_create(ExpiryNotice(key=key) for key in keys[:700])
    assert expiry.known_keys(keys) == set(keys[:700])


# --- dry run, words, addresses ---------------------------------------------------


def test_help_names_the_stages() -> None:
    """The docstring that is the help agrees with the code."""
    assert expiry.STAGES == (1, 7, 30)
    assert "once 30, 7 and 1 days before the end" in " ".join(
        str(notify.__doc__).split()
    )


def test_dry_run_prints_and_remembers_nothing(
    alice: Any, ca: ThrowawayCA, now: dt.datetime
) -> None:
    """What would be sent, to whom."""
    mapped(alice, ca, "a", now + DAY)
    outcome = clientcert("notify", "--dry-run")
    assert outcome.status == 0
    assert "To: alice@example.com" in outcome.out
    assert "Subject: 1 client certificate" in outcome.out
    assert "CN=a" in outcome.out
    assert outcome.out.endswith("Nothing was sent, because this was a dry run.\n")
    assert mail.outbox == []
    assert not ExpiryNotice.objects.exists()


def test_n29_untrusted_text_stays_on_its_line(
    alice: Any, ca: ThrowawayCA, now: dt.datetime
) -> None:
    """Whatever is in a subject; none of it is in the mail's own."""
    mapped(alice, ca, "x\nBcc: evil@example.com\u202e", now + DAY)
    clientcert("notify")
    (message,) = mail.outbox
    assert message.subject == (
        "1 client certificate or related setting will expire soon"
    )
    assert "\nBcc" not in message.body
    assert "\u202e" not in message.body


@pytest.mark.parametrize("address", ["", "x", "a b@example.com", "a@example.com\nb"])
def test_an_address_that_is_none(address: str) -> None:
    """Wrong usage, before anything is sent."""
    outcome = clientcert("notify", "--to", address)
    assert outcome.status == 2
    assert "not an e-mail address" in outcome.error


@pytest.mark.parametrize("value", ["pki@example.com", ["pki"], [1], None])
def test_a_setting_that_cannot_be_used(value: Any, settings: Any) -> None:
    """A text is not a list of texts."""
    settings.CLIENTCERT_NOTIFY_EMAILS = value
    with pytest.raises(ImproperlyConfigured, match="CLIENTCERT_NOTIFY_EMAILS"):
        conf.CLIENTCERT_NOTIFY_EMAILS  # noqa: B018 - it is read


def test_a_broken_authority_spoils_nothing(
    alice: Any, ca: ThrowawayCA, now: dt.datetime
) -> None:
    """check --database says what is wrong with it."""
    authority = CertificateAuthority.objects.create(name="PKI", bundle=ca.pem)
    CertificateAuthority.objects.filter(pk=authority.pk).update(bundle="nonsense")
    mapped(alice, ca, "a", now + DAY)
    assert clientcert("notify", "--to", "pki@example.com").status == 0
    assert len(mail.outbox) == 2


# --- the signal ------------------------------------------------------------------


def test_the_signal_comes_once_for_each_stage(
    alice: Any, ca: ThrowawayCA, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it is about; a receiver that raises stops nothing."""
    received = []

    def receive(sender: Any, **arguments: Any) -> None:
        received.append((sender, arguments))
        raise RuntimeError("a receiver")

    mapping = mapped(alice, ca, "a", now + 5 * DAY)
    certificate_expiring.connect(receive)
    try:
        assert clientcert("notify").status == 0
        assert clientcert("notify").status == 0
        monkeypatch.setattr(notify, "known_keys", lambda keys: set())
        assert clientcert("notify").status == 0
    finally:
        certificate_expiring.disconnect(receive)
    ((sender, arguments),) = received
    assert sender is CertificateMapping
    assert arguments["instance"] == mapping
    assert arguments["user"] == alice
    assert arguments["certificate"] == mapping.client_certificate()
    assert arguments["stage"] == 7 * DAY
    assert arguments["expires_at"] == mapping.certificate_not_after
