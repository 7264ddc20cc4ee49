"""The screens of the authorities: what is admitted, said of it, and to whom."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from django_clientcert.admin.base.permissions import may_change_authority, why_not_map
from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.testing import ThrowawayCA, make_name
from django_clientcert.trust.crl_import import import_crl
from tests import der_writer as write
from tests.private_keys import TEXTS, UPLOADS, secrets_of
from tests.queries import captured

from .pages import (
    ADD_AUTHORITY,
    AUTHORITY,
    errors_on,
    log_in,
    make_staff,
    messages_after,
    page,
    text_of,
    warnings_after,
)

pytestmark = pytest.mark.django_db

NOW = timezone.now().replace(microsecond=0)
DAY = dt.timedelta(days=1)

LIST = f"{AUTHORITY}_changelist"
ADD = f"{AUTHORITY}_add"
CHANGE = f"{AUTHORITY}_change"
DELETE = f"{AUTHORITY}_delete"


RULE_TEXTS = [name for name in ADD_AUTHORITY if name.startswith("rule_")][1:]
RULE_FLAGS = ["rule_creates_users", "rule_allows_privileged"]


UNREADABLE_PEM = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"


def add(client: Client, /, **data: Any) -> Any:
    """Send the page for a new authority."""
    return client.post(page(ADD), {**ADD_AUTHORITY, **data})


def change(client: Client, authority: CertificateAuthority, /, **data: Any) -> Any:
    """Send the page of an authority, as it was but for *data*."""
    filled = {
        "name": authority.name,
        "bundle": authority.bundle.replace("\n", "\r\n"),
        "profile": authority.profile,
        "note": authority.note,
        "revocation_policy": authority.revocation_policy,
        "crl_urls": authority.crl_urls,
        **{name: getattr(authority, name) for name in RULE_TEXTS},
        **{name: "on" for name in RULE_FLAGS if getattr(authority, name)},
        "rule_groups": [group.pk for group in authority.rule_groups.all()],
    }
    return client.post(page(CHANGE, authority.pk), {**filled, **data})


def mapped(user: Any, authority: CertificateAuthority, **fields: Any) -> Any:
    """Return a new mapping by name."""
    fields = {"kind": "subject", "value": f"CN={user.pk}", **fields}
    return CertificateMapping.objects.create(user=user, authority=authority, **fields)


# --- adding and changing ----------------------------------------------------------


@pytest.mark.parametrize("how", ["pasted", "pem", "der"])
def test_add(as_root: Client, ca: ThrowawayCA, how: str) -> None:
    """Pasted or uploaded: stored as PEM, without a word where all is well."""
    assert as_root.get(page(ADD)).status_code == 200
    data: dict[str, Any] = {
        "pasted": {"bundle": ca.pem.replace("\n", "\r\n")},
        "pem": {"upload": SimpleUploadedFile("ca.crt", ca.pem.encode())},
        "der": {"upload": SimpleUploadedFile("ca.der", ca.der)},
    }[how]
    assert [level for level, _ in messages_after(add(as_root, **data))] == ["success"]
    authority = CertificateAuthority.objects.get()
    assert (authority.name, authority.bundle) == ("A CA", ca.pem)


def test_what_the_verifier_cannot_use_is_admitted_with_a_warning(
    as_root: Client,
) -> None:
    """It may be of use where the proxy verifies; nobody is surprised later."""
    ed25519 = ThrowawayCA.create("Ed", key="ed25519")
    orphan = ThrowawayCA.create("Gone").issue_ca("Orphan")
    old = ThrowawayCA.create(
        "Old", not_before=NOW - 9 * DAY, not_after=NOW - dt.timedelta(hours=1)
    )
    bundle = ed25519.pem + orphan.pem + old.pem
    assert warnings_after(add(as_root, bundle=bundle)) == [
        (
            "CN=Ed: Ed25519 CAs cannot be verified here; paths through it work only "
            "if the proxy verifies them."
        ),
        (
            "CN=Orphan: Its issuer, CN=Gone, is not in the bundle: no path can pass "
            "through it."
        ),
        (
            f"CN=Old: It expired on {NOW - dt.timedelta(hours=1):%Y-%m-%d}: no path "
            "can pass through it."
        ),
    ]
    assert CertificateAuthority.objects.get().bundle == bundle


def test_few_warnings_of_many(as_root: Client) -> None:
    """A bundle of hundreds does not fill the page."""
    root = ThrowawayCA.create("Gone")
    bundle = "".join(root.issue_ca(f"CA {number}").pem for number in range(25))
    bundle += ThrowawayCA.create("Root").pem
    assert len(warnings_after(add(as_root, bundle=bundle))) == 20


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda ca: ca.issue("alice").pem, "The file contains no CA certificate"),
        (lambda ca: "junk", "neither PEM"),
        (lambda ca: ca.pem + ca.pem[:100], "cut off"),
        (lambda ca: ca.pem.replace("M", "!"), "not base64"),
        (lambda ca: "", "Paste or upload"),
    ],
    ids=["only a client", "junk", "cut", "no base64", "nothing"],
)
def test_bundles_that_are_refused(
    as_root: Client, ca: ThrowawayCA, make: Any, words: str
) -> None:
    """Which certificate it is, and why, is said at the field."""
    (message,) = errors_on(add(as_root, bundle=make(ca)))["bundle"]
    assert words in message
    assert not CertificateAuthority.objects.exists()


def test_d03_what_is_left_out_is_said(as_root: Client, ca: ThrowawayCA) -> None:
    """By number and subject, after the rest has been stored."""
    bundle = ca.issue("alice").pem + ca.pem
    messages = warnings_after(add(as_root, bundle=bundle))
    (message,) = messages
    assert message.startswith("Left out: certificate 1 of 2 (CN=alice): an end-entity")
    assert CertificateAuthority.objects.get().bundle == ca.pem


def test_d02_a_certificate_that_is_no_longer_readable_costs_only_itself(
    as_root: Client, authority: CertificateAuthority
) -> None:
    """It is named on the page, which can be saved; the rest works."""
    stored = authority.bundle + UNREADABLE_PEM
    CertificateAuthority.objects.update(bundle=stored)
    authority.refresh_from_db()
    text = text_of(as_root.get(page(f"{AUTHORITY}_change", authority.pk)))
    assert "cannot be read, and has no effect: certificate 2 of 2" in text
    assert as_root.get(page(f"{AUTHORITY}_changelist")).status_code == 200
    messages_after(change(as_root, authority, note="seen"))
    authority.refresh_from_db()
    assert (authority.note, authority.bundle) == ("seen", stored)


def test_r16_a_bundle_that_locks_out_is_said(
    as_root: Client, authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """With the numbers, and the page stays usable."""
    certificate = ca.issue("alice")
    CertificateMapping.objects.create(
        user=get_user_model().objects.create_user("zoe"),
        kind="subject",
        value="CN=alice",
        authority=authority,
        certificate=certificate.der,
    )
    new = ThrowawayCA.create(subject=ca.certificate.subject)
    messages = warnings_after(change(as_root, authority, bundle=new.pem))
    assert messages[0] == (
        "1 mappings and 0 certificates accepted lately have no issuer in the new "
        "certificates and are refused."
    )


def test_replacing_the_certificates(
    as_root: Client, authority: CertificateAuthority
) -> None:
    """The page as it is saves nothing new; an upload replaces the bundle."""
    before = authority.bundle
    messages_after(change(as_root, authority, note="seen"))
    authority.refresh_from_db()
    assert (authority.bundle, authority.note) == (before, "seen")
    assert LogEntry.objects.get().get_change_message() == "Changed Note."
    successor = ThrowawayCA.create("Successor")
    upload = SimpleUploadedFile("ca.crt", successor.der)
    messages_after(change(as_root, authority, upload=upload))
    authority.refresh_from_db()
    assert authority.bundle == successor.pem


def test_prefilled_page(as_root: Client, ca: ThrowawayCA) -> None:
    """The address may fill in a name, but no certificate to trust."""
    response = as_root.get(page(ADD), {"name": "Partners", "bundle": ca.pem})
    form = response.context["adminform"].form
    assert form["name"].value() == "Partners"
    assert not form["bundle"].value()


# --- private keys -----------------------------------------------------------------


@pytest.mark.parametrize("field", ["name", "bundle", "profile", "note", "unheard_of"])
def test_n66_private_key_is_not_echoed(
    as_root: Client, ca: ThrowawayCA, field: str, caplog: Any
) -> None:
    """N66: refused in every field, and nowhere in the answer, the log or a table."""
    for text in TEXTS.values():
        response = add(as_root, **{"bundle": ca.pem, field: text})
        assert errors_on(response)
        shown = response.content.decode() + caplog.text
        assert not [secret for secret in secrets_of(text) if secret in shown]
        assert "This holds a private key." in text_of(response)
    assert not CertificateAuthority.objects.exists()


@pytest.mark.parametrize("kind", UPLOADS)
def test_n66_uploaded_private_key(as_root: Client, kind: str) -> None:
    """N66: the same for a file."""
    response = add(as_root, upload=SimpleUploadedFile("ca.crt", UPLOADS[kind]))
    assert list(errors_on(response)) == ["upload"]
    assert not CertificateAuthority.objects.exists()


# --- the page and the list --------------------------------------------------------


def test_certificates_are_listed(as_root: Client, ca: ThrowawayCA) -> None:
    """Each with its role and what the verifier can or cannot do with it."""
    root = ThrowawayCA.create(
        subject=make_name("Root", country="FR"), not_after=NOW + 100.5 * DAY
    )
    below = root.issue_ca("Issuing CA", key="rsa2048")
    device = ThrowawayCA.create("Devices", key="ed25519")
    authority = CertificateAuthority.objects.create(
        name="All", bundle=root.pem + below.pem + device.pem
    )
    text = text_of(as_root.get(page(CHANGE, authority.pk)))
    for expected in (
        "CN=Root,C=FR role: trust anchor issuer: CN=Root,C=FR valid:",
        "ends in 100 days",
        "CN=Issuing CA role: intermediate issuer: CN=Root,C=FR",
        "key: RSA, 2048 bits",
        "verification: can be used to verify client certificates",
        "CN=Devices role: trust anchor",
        "key: Ed25519",
        "verification: Ed25519 CAs cannot be verified here",
        bytes.fromhex(root.fingerprint).hex(":").upper(),
    ):
        assert expected in text


def test_strict_profile_is_held_against_the_certificates(as_root: Client) -> None:
    """What the profile asks for is said under that profile."""
    key = write.make_key()
    name = write.common_name("No usage")
    signer = ThrowawayCA(ThrowawayCA.create().certificate, key)
    der = write.certificate(
        signer,
        key=key,
        issuer=name,
        subject=name,
        extensions=write.CA_EXTENSIONS[:1],
    )
    upload = SimpleUploadedFile("ca.der", der)
    (text,) = warnings_after(add(as_root, upload=upload, profile="strict"))
    assert "It lacks a keyUsage" in text


def test_large_bundle_is_cut_short(as_root: Client) -> None:
    """The page of a bundle of hundreds stays one."""
    root = ThrowawayCA.create("Root")
    authority = CertificateAuthority.objects.create(
        name="Many",
        bundle="".join(root.issue_ca(f"CA {n}").pem for n in range(101)),
    )
    text = text_of(as_root.get(page(CHANGE, authority.pk)))
    assert "CN=CA 99 " in text
    assert "CN=CA 100" not in text
    assert "and 1 more" in text


@pytest.mark.parametrize("bundle", ["junk", "", "\u202e<script>alert(1)</script>"])
def test_broken_bundle_is_shown(as_root: Client, bundle: str) -> None:
    """A row that cannot be used is shown, with what is wrong; and can be mended."""
    authority = CertificateAuthority.objects.create(name="<b>\u202e", bundle=bundle)
    CertificateAuthority.objects.filter(pk=authority.pk).update(profile="lax")
    for response in (
        as_root.get(page(CHANGE, authority.pk)),
        as_root.get(page(LIST)),
    ):
        assert response.status_code == 200
        assert "<script>alert" not in response.content.decode()
        assert "<b>\u202e" not in response.content.decode()
    assert "bundle" in errors_on(change(as_root, authority, profile="private"))


def test_odd_names_are_escaped(as_root: Client) -> None:
    """N29: what stands in a certificate stays one line of text."""
    key = write.make_key()
    name = write.common_name("<script>alert(1)</script>\u202e")
    signer = ThrowawayCA(ThrowawayCA.create().certificate, key)
    der = write.certificate(
        signer, key=key, issuer=name, subject=name, extensions=write.CA_EXTENSIONS
    )
    response = add(as_root, upload=SimpleUploadedFile("ca.der", der), note="x")
    messages_after(response)
    (authority,) = CertificateAuthority.objects.all()
    response = as_root.get(page(CHANGE, authority.pk))
    assert "CN=\\<script\\>alert(1)\\</script\\>\\e2\\80\\ae" in text_of(response)
    assert "<script>alert" not in response.content.decode()


def test_unreadable_subject(as_root: Client, ca: ThrowawayCA) -> None:
    """A CA whose name is not valid text is called by its fingerprint or bytes."""
    der = write.certificate(
        ca, subject=write.common_name(b"\xff"), extensions=write.CA_EXTENSIONS
    )
    upload = SimpleUploadedFile("ca.der", der)
    messages_after(add(as_root, upload=upload))
    authority = CertificateAuthority.objects.get()
    text = text_of(as_root.get(page(CHANGE, authority.pk)))
    assert "CN=#0c01ff role: trust anchor" in text


def test_list(as_root: Client, alice: Any, bob: Any) -> None:
    """Name, certificates, what expires first, mappings."""
    root = ThrowawayCA.create("Root", not_after=NOW + 400 * DAY)
    below = root.issue_ca("Below", not_after=NOW + 20.5 * DAY)
    authority = CertificateAuthority.objects.create(
        name="Partners", bundle=root.pem + below.pem
    )
    CertificateAuthority.objects.create(name="Broken", bundle="junk")
    mapped(alice, authority)
    mapped(bob, authority)
    text = text_of(as_root.get(page(LIST)))
    ends = f"{NOW + 20.5 * DAY:%Y-%m-%d}"
    assert f"Partners 2 {ends}: expires in 20 days 2 if loaded, no CRL none" in text
    assert re.search(r"Broken cannot be read: This is neither PEM .*unknown 0", text)
    assert as_root.get(page(LIST), {"o": "-4"}).status_code == 200
    assert as_root.get(page(LIST), {"q": "part"}).status_code == 200


def test_the_list_costs_the_same_however_long(
    as_root: Client, alice: Any, ca: ThrowawayCA
) -> None:
    """All mappings are counted by one query, and all states are read by five.

    In a process that knows the states, by none.
    """

    def count(process: Any) -> int:
        with captured(process) as queries:
            as_root.get(page(LIST))
        return len(queries)

    def add(name: str) -> None:
        authority = CertificateAuthority.objects.create(name=name, bundle=ca.pem)
        mapped(alice, authority)
        import_crl(authority, ca.crl([1]))

    as_root.get(page(LIST))  # what Django itself reads once
    add("0")
    first = count("cold")
    for number in range(1, 10):
        add(str(number))
    assert count("cold") == first
    assert count("as it is") == first - 5


# --- permissions, as an attacker sees them ----------------------------------------


@pytest.mark.parametrize("state", ["active", "disabled"])
@pytest.mark.parametrize("kind", ["subject", "fingerprint"])
@pytest.mark.parametrize("who", ["superuser", "staff"])
def test_n65_authority_of_one_above_is_read_only(
    as_helper: Client,
    authority: CertificateAuthority,
    root: Any,
    who: str,
    kind: str,
    state: str,
) -> None:
    """N65: another CA in it could make a certificate for that user."""
    user = root if who == "superuser" else make_staff("colleague")
    value = "CN=root" if kind == "subject" else "ab" * 32
    mapped(user, authority, kind=kind, value=value, state=state)
    mine = ThrowawayCA.create("Mine")
    before = CertificateAuthority.objects.values().get()
    for data in (
        {"bundle": mine.pem},
        {"upload": SimpleUploadedFile("ca.crt", mine.der)},
        {"name": "Other"},
        {"profile": "strict"},
        {"note": "x"},
    ):
        assert change(as_helper, authority, **data).status_code == 403
    address = page(DELETE, authority.pk)
    assert as_helper.post(address, {"post": "yes"}).status_code == 403
    as_helper.post(
        page(LIST),
        {
            "action": "delete_selected",
            "_selected_action": [authority.pk],
            "post": "yes",
        },
    )
    assert CertificateAuthority.objects.values().get() == before
    response = as_helper.get(page(CHANGE, authority.pk))
    assert response.status_code == 200
    assert b'name="_save"' not in response.content
    messages_after(change(log_in(root), authority, note="x"))


def test_n65_authority_of_others_may_be_changed(
    as_helper: Client,
    helper: Any,
    authority: CertificateAuthority,
    alice: Any,
) -> None:
    """Mappings of herself and of users who are no staff are in reach anyway."""
    mapped(alice, authority)
    mapped(helper, authority)
    messages_after(change(as_helper, authority, note="x"))
    for name in ("add", "list"):
        assert as_helper.get(page({"add": ADD, "list": LIST}[name])).status_code == 200


def test_n65_with_permission_to_change_users(
    as_helper: Client, helper: Any, authority: CertificateAuthority, root: Any
) -> None:
    """Other members of the staff are in reach then; a superuser is not."""
    mapped(make_staff("colleague"), authority)
    codename = f"change_{get_user_model()._meta.model_name}"
    granted = make_staff("x", codename).user_permissions.get(codename=codename)
    helper.user_permissions.add(granted)
    messages_after(change(as_helper, authority, note="x"))
    mapped(root, authority)
    assert change(as_helper, authority, note="y").status_code == 403


def test_authority_with_mappings_is_not_deleted(
    as_root: Client, authority: CertificateAuthority, alice: Any
) -> None:
    """Not even by a superuser: the mappings would hang in the air."""
    mapped(alice, authority)
    response = as_root.post(page(DELETE, authority.pk), {"post": "yes"})
    assert response.status_code == 200
    assert CertificateAuthority.objects.exists()


def test_viewer_sees_everything_read_only(
    authority: CertificateAuthority, root: Any
) -> None:
    """Without a form, without an error."""
    mapped(root, authority)
    client = log_in(make_staff("viewer", "view_certificateauthority"))
    response = client.get(page(CHANGE, authority.pk))
    text = text_of(response)
    assert "CN=Test Root CA role: trust anchor" in text
    assert "-----BEGIN CERTIFICATE-----" in text
    body = response.content.split(b'id="content-main"')[1]
    for element in (b"<textarea", b"<select", b'type="file"', b'name="_save"'):
        assert element not in body
    assert client.get(page(LIST)).status_code == 200
    assert change(client, authority, note="x").status_code == 403
    assert add(client).status_code == 403


class Person:
    """A user of a model without ``is_staff`` and ``is_superuser``."""

    pk = 1


def test_users_without_flags(
    authority: CertificateAuthority, alice: Any, root: Any, monkeypatch: Any
) -> None:
    """Where the flags are no columns, each user is asked."""
    person = Person()
    assert why_not_map(person, Person()) is None
    assert why_not_map(person, root) is not None
    model = get_user_model()
    real = model._meta.get_field

    def get_field(name: str) -> Any:
        return real("no such column" if name == "is_staff" else name)

    monkeypatch.setattr(model._meta, "get_field", get_field)
    mapped(alice, authority)
    assert may_change_authority(person, authority)
    mapped(root, authority)
    assert not may_change_authority(person, authority)
    assert may_change_authority(root, authority)
