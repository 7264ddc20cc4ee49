"""The inbox: certificates that were refused, and how to map them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_clientcert.admin import UnknownCertificateAdmin
from django_clientcert.admin.base.certificate_page import (
    CERTIFICATE_FIELDS,
    StoredCertificateAdmin,
)
from django_clientcert.admin.inbox import candidates
from django_clientcert.admin.inbox import screen as inbox
from django_clientcert.exceptions import Reason
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    UnknownCertificate,
    users,
)
from django_clientcert.recording.refusals import RECORDED
from django_clientcert.testing import IssuedCertificate, ThrowawayCA, self_signed
from django_clientcert.trust.revoke import revoke_certificate
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import IdentityKind
from tests.conftest import Clock, Wsgi
from tests.deciding import map_to

from .pages import (
    ADD_MAPPING,
    MAPPING,
    UNKNOWN,
    errors_on,
    log_in,
    make_staff,
    messages_after,
    page,
    run_action,
    text_of,
)
from .test_mappings import ODD

pytestmark = pytest.mark.django_db

LIST = f"{UNKNOWN}_changelist"
CHANGE = f"{UNKNOWN}_change"
ADD = f"{MAPPING}_add"
NOW = timezone.now()
DAY = dt.timedelta(days=1)


@pytest.fixture
def helper(db: None) -> Any:
    """A staff user who may map the certificates of the inbox."""
    return make_staff(
        "helper",
        "view_unknowncertificate",
        "view_certificatemapping",
        "add_certificatemapping",
    )


def refuse(certificate: IssuedCertificate | bytes, **values: Any) -> UnknownCertificate:
    """Return the row of a refused certificate."""
    der = certificate if isinstance(certificate, bytes) else certificate.der
    UnknownCertificate.record(
        ClientCertificate(der),
        **{
            "reason": Reason.UNMAPPED,
            "detail": "no mapping matches this certificate",
            "host": "api.example.com",
            "address": "192.0.2.7",
            "count": 3,
            "size": 1000,
            "at": NOW,
            **values,
        },
    )
    return UnknownCertificate.objects.get(
        public_key=ClientCertificate(der).public_key_bytes
    )


def found(client: Client, **query: str) -> set[Any]:
    """Return the primary keys of the rows on the changelist."""
    response = client.get(page(LIST), query)
    assert response.status_code == 200
    return {row.pk for row in response.context["cl"].result_list}


# --- from the refusal to the user -------------------------------------------------


def test_from_the_refusal_to_the_user(
    ask: Wsgi,
    alice: Any,
    as_root: Client,
    authority: Any,
    mallory_cert: IssuedCertificate,
    open_inbox: Clock,
) -> None:
    """A refused certificate is mapped as suggested, and accepted from then on."""
    assert ask("/ledger/", mallory_cert.der).status_code == 403
    text = text_of(as_root.get(page(LIST)))
    assert re.search("CN=mallory [^ ]+ [^ ]+ not mapped 1 time", text)
    assert "0 minutes ago first" in text
    row = UnknownCertificate.objects.get()
    shown = as_root.get(page(CHANGE, row.pk))
    link = shown.context["map_url"]
    assert f'<a href="{link}">Map to…</a>' in shown.content.decode()
    explained = shown.context["explain_url"]
    assert f'<a href="{explained}">Explain</a>' in shown.content.decode()
    answer = as_root.get(explained)
    assert answer.status_code == 200
    assert "it is not mapped to any user" in answer.content.decode()
    form = as_root.get(link).context["adminform"].form
    sent = {
        **ADD_MAPPING,
        "user": alice.pk,
        "kind": form["kind"].value(),
        "pasted": form["pasted"].value(),
    }
    assert sent["kind"] == "public_key"
    messages = messages_after(as_root.post(link, sent))
    assert any(
        "removed from “Unknown certificates”" in text for _level, text in messages
    )
    assert not UnknownCertificate.objects.exists()
    assert ask("/ledger/", mallory_cert.der).json()["user"] == "alice"


# --- the list ---------------------------------------------------------------------


def test_the_list(as_root: Client, ca: ThrowawayCA) -> None:
    """The columns of the changelist."""
    refuse(ca.issue("alice"))
    refuse(
        ca.issue("old", not_before=NOW - 9 * DAY, not_after=NOW - DAY),
        reason=Reason.EXPIRED,
        host="",
        address="",
        count=1,
    )
    UnknownCertificate.objects.filter(subject="CN=old").update(
        not_after=None, reason="of tomorrow"
    )
    text = text_of(as_root.get(page(LIST)))
    assert "CN=alice api.example.com 192.0.2.7 not mapped 3 times" in text
    assert "CN=old unknown unknown of tomorrow 1 time" in text
    assert re.search("first [0-9-]{10} unknown", text)


def test_every_reason_has_words() -> None:
    """Every recorded reason has a label, and no other."""
    assert set(inbox._REASONS) == RECORDED


def test_search_and_filter(as_root: Client, ca: ThrowawayCA) -> None:
    """Search by subject, host, or the beginning of a fingerprint; filter by reason."""
    one, other = ca.issue("alice"), ca.issue("deadbeef00")
    row, second = refuse(one), refuse(other, reason=Reason.EXPIRED, host="x.example")
    assert found(as_root, q="alice") == {row.pk}
    assert found(as_root, q="x.example") == {second.pk}
    assert found(as_root, q="deadbeef00") == {second.pk}
    certificate = ClientCertificate(one.der)
    for digits in (certificate.fingerprint, certificate.public_key_fingerprint):
        assert found(as_root, q=digits) == {row.pk}
        assert found(as_root, q=digits[:12].upper()) == {row.pk}
    assert found(as_root, reason="expired") == {second.pk}
    assert found(as_root, reason="junk") == {row.pk, second.pk}


def test_the_list_costs_the_same_however_long(as_root: Client, ca: ThrowawayCA) -> None:
    """The number of queries does not depend on the number of rows."""
    counts = []
    for number in range(6):
        refuse(ca.issue(f"c{number}"))
        if number in (0, 5):
            with CaptureQueriesContext(connection) as queries:
                as_root.get(page(LIST))
            counts.append(len(queries))
    assert counts[0] == counts[1]


# --- one certificate --------------------------------------------------------------


def test_the_page_says_what_it_is_and_what_to_do(
    as_root: Client, alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """The page shows the refusal, the issuing authority and the certificate."""
    row = refuse(alice_cert)
    response = as_root.get(page(CHANGE, row.pk))
    text = text_of(response)
    for expected in (
        "it is not mapped to any user. unmapped",
        "no mapping matches this certificate",
        "Map it to a user if you know whose it is",
        "3 times",
        "Issued by “Test CA”.",
        "none",
        "does not renew a mapped certificate",
        "public key (SHA-256) : ",
        "strong: only the holder of the private key",
        "e-mail address (SAN) : alice@example.com — by name",
        "“Test CA” vouches for it",
        "Subject: CN=alice",
        "Key usage: digitalSignature",
        "Extended key usage: clientAuth",
        "PEM: Download the certificate",
        "Revocation: not revoked",
    ):
        assert expected in text, expected
    content = response.content.decode()
    assert f"?unknown={row.pk}&amp;kind=san_email" in content
    assert "style=" not in re.sub(r"(?s)^.*?<main", "", content)


def test_the_public_key_is_described(as_root: Client, ca: ThrowawayCA) -> None:
    """The key's algorithm is shown, not the column of the same name."""
    row = refuse(ca.issue("kim"))
    text = text_of(as_root.get(page(CHANGE, row.pk)))
    assert "Public key: elliptic curve P-256" in text
    assert "b'" not in text


def test_no_column_hides_what_a_screen_says_of_a_certificate() -> None:
    """Django prefers a model field to a method of the admin with the same name."""
    for model, screens in admin.site._registry.items():
        if isinstance(screens, StoredCertificateAdmin):
            columns = {one.name for one in model._meta.get_fields()}
            assert not columns & set(CERTIFICATE_FIELDS), model


def test_the_certificate_can_be_taken_along(
    as_root: Client, alice_cert: IssuedCertificate
) -> None:
    """It can be downloaded, and its digests copied, by users who may view it."""
    row = refuse(alice_cert)
    content = as_root.get(page(CHANGE, row.pk)).content.decode()
    assert content.count('class="clientcert-copyable"') == 3
    address = page(f"{UNKNOWN}_pem", row.pk)
    assert f'href="{address}"' in content
    response = as_root.get(address)
    assert response.content.decode().strip() == alice_cert.pem.strip()
    other = log_in(make_staff("other", "view_certificatemapping"))
    assert other.get(address).status_code == 403


def test_a_strangers_names_are_nothing_to_map_by(
    as_root: Client, alice: Any, authority: Any
) -> None:
    """No authority vouches for the names in a self-signed certificate."""
    row = refuse(self_signed("alice"), reason=Reason.UNTRUSTED_ISSUER)
    text = text_of(as_root.get(page(CHANGE, row.pk)))
    assert "None of the authorities issued this certificate" in text
    assert "subject : " not in text
    assert "fingerprint (SHA-256) : " in text
    form = as_root.get(page(ADD), {"unknown": row.pk}).context["adminform"].form
    offered = [key for key, _label in form.fields["kind"].choices]
    assert offered == ["public_key", "fingerprint"]


def test_two_authorities_of_one_ca(
    as_root: Client, authority: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate
) -> None:
    """Both authorities are named, and neither is preselected."""
    CertificateAuthority.objects.create(name="Other CA", bundle=ca.pem)
    row = refuse(alice_cert)
    text = text_of(as_root.get(page(CHANGE, row.pk)))
    assert "several authorities contain: “" in text
    query = {"unknown": row.pk, "kind": "subject"}
    form = as_root.get(page(ADD), query).context["adminform"].form
    assert form["authority"].value() is None


def test_what_is_known_of_it_already(
    as_root: Client, helper: Any, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """The mappings of an expired certificate are shown, although it was refused."""
    row = refuse(alice_cert, reason=Reason.EXPIRED)
    mapping = map_to(alice, "fingerprint", alice_cert.fingerprint, state="disabled")
    response = as_root.get(page(CHANGE, row.pk))
    link = f'<a href="{page(f"{MAPPING}_change", mapping.pk)}">mapping {mapping.pk}'
    assert link in response.content.decode()
    viewer = log_in(make_staff("viewer", "view_unknowncertificate"))
    content = viewer.get(page(CHANGE, row.pk)).content.decode()
    assert link not in content
    assert "hidden from you" in content
    assert "Map to…" not in content
    assert "?unknown=" not in content


def test_a05_what_is_known_of_it_as_far_as_the_changelist_shows_it(
    as_root: Client,
    alice: Any,
    bob: Any,
    alice_cert: IssuedCertificate,
    authority: CertificateAuthority,
    monkeypatch: Any,
) -> None:
    """A project's own admin may show each user only some of the mappings."""
    row = refuse(alice_cert, reason=Reason.EXPIRED)
    hidden = map_to(alice, "fingerprint", alice_cert.fingerprint)
    shown = map_to(bob, "subject", "CN=alice", authority=authority)
    model_admin = admin.site.get_model_admin(CertificateMapping)
    rows = CertificateMapping.objects.filter(pk=shown.pk)
    monkeypatch.setattr(model_admin, "get_queryset", lambda request: rows)
    content = as_root.get(page(CHANGE, row.pk)).content.decode()
    assert f"mapping {shown.pk} (active)" in content
    assert f"mapping {hidden.pk} (" not in content


def test_a_reason_of_another_version(as_root: Client, ca: ThrowawayCA) -> None:
    """An unknown reason is shown as stored."""
    row = refuse(ca.issue("x"))
    UnknownCertificate.objects.update(reason="<b>", detail="")
    text = text_of(as_root.get(page(CHANGE, row.pk)))
    assert "Reason: <b>" in text
    assert "Detail: none" in text
    assert "What to do: unknown" in text
    UnknownCertificate.objects.update(reason="expired")
    assert "expired" in text_of(as_root.get(page(CHANGE, row.pk)))


def test_many_names_are_not_all_listed(
    as_root: Client, authority: Any, ca: ThrowawayCA
) -> None:
    """Only the first names are listed."""
    row = refuse(ca.issue("x", dns=[f"h{each}.example.com" for each in range(50)]))
    text = text_of(as_root.get(page(CHANGE, row.pk)))
    assert "and 42 more" in text
    assert "DNS name (SAN) : h40.example.com" not in text


@pytest.mark.filterwarnings("ignore:Parsed a serial number:UserWarning")
@pytest.mark.filterwarnings("ignore:The parsed certificate contains:UserWarning")
@pytest.mark.parametrize("case", ODD)
def test_n26_n29_odd_certificates_are_shown(
    as_root: Client, alice: Any, authority: Any, ca: ThrowawayCA, case: str
) -> None:
    """N26, N29: page, form and preview work for every certificate."""
    certificate = ClientCertificate(ODD[case](ca))
    row = UnknownCertificate.objects.create(
        public_key=b"\1" * 32,
        fingerprint=certificate.fingerprint_bytes,
        certificate=certificate.der,
        reason="malformed_certificate",
    )
    for response in (
        as_root.get(page(LIST)),
        as_root.get(page(CHANGE, row.pk)),
        as_root.get(page(ADD), {"unknown": row.pk}),
        run_action(as_root, "map_by_email", [row], UNKNOWN),
        as_root.post(
            f"{page(ADD)}?unknown={row.pk}",
            {
                **ADD_MAPPING,
                "user": alice.pk,
                "pasted": as_root.get(page(ADD), {"unknown": row.pk})
                .context["adminform"]
                .form["pasted"]
                .value(),
            },
        ),
    ):
        assert response.status_code in (200, 302)
        content = response.content.decode()
        assert "<script>alert" not in content
        assert not {"\0", "\x1b", "\u202e"} & set(content)


# --- the form that maps it --------------------------------------------------------


def test_a_name_brings_its_authority(
    as_root: Client, alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """The kind is taken from the link, and the authority is the issuer."""
    row = refuse(alice_cert)
    query = {"unknown": row.pk, "kind": "san_email"}
    response = as_root.get(page(ADD), query)
    form = response.context["adminform"].form
    assert (form["kind"].value(), form["authority"].value()) == (
        "san_email",
        authority.pk,
    )
    assert "comes from “Unknown certificates”. Issued by “Test CA”." in text_of(
        response
    )
    offered = [key for key, _label in form.fields["kind"].choices]
    assert offered[0] == "public_key"
    assert set(offered) == {one.value for one in IdentityKind}
    data = {**ADD_MAPPING, "user": alice.pk, "pasted": form["pasted"].value()}
    data |= {"kind": "san_email", "authority": authority.pk}
    messages_after(as_root.post(page(ADD), data))
    mapping = CertificateMapping.objects.get()
    assert (mapping.value, mapping.authority) == ("alice@example.com", authority)
    assert not UnknownCertificate.objects.exists()


@pytest.mark.parametrize("key", ["", "x", "-1", "9" * 40, "0", "\0"])
def test_a_row_that_cannot_be(as_root: Client, key: str) -> None:
    """An invalid parameter is ignored."""
    form = as_root.get(page(ADD), {"unknown": key}).context["adminform"].form
    assert form["pasted"].value() is None
    assert len(form.fields["kind"].choices) == len(IdentityKind)


def test_who_may_not_look_is_told_nothing(
    alice_cert: IssuedCertificate, monkeypatch: pytest.MonkeyPatch, as_root: Client
) -> None:
    """The parameter is ignored if the inbox is not in the admin."""
    row = refuse(alice_cert)
    mapper = log_in(make_staff("mapper", "add_certificatemapping"))
    form = mapper.get(page(ADD), {"unknown": row.pk}).context["adminform"].form
    assert form["pasted"].value() is None
    assert mapper.get(page(LIST)).status_code == 403
    monkeypatch.delitem(admin.site._registry, UnknownCertificate)
    form = as_root.get(page(ADD), {"unknown": row.pk}).context["adminform"].form
    assert form["pasted"].value() is None


def test_without_screens_of_mappings(
    alice: Any,
    alice_cert: IssuedCertificate,
    monkeypatch: pytest.MonkeyPatch,
    as_root: Client,
) -> None:
    """Without an admin of mappings, nothing links to it."""
    map_to(alice, "fingerprint", alice_cert.fingerprint)
    row = refuse(alice_cert)
    monkeypatch.delitem(admin.site._registry, CertificateMapping)
    content = as_root.get(page(CHANGE, row.pk)).content.decode()
    assert "Map to…" not in content
    assert "Explain" not in content
    assert "hidden from you" in content


def test_a_successor_is_one_step_away(
    as_root: Client,
    helper: Any,
    alice: Any,
    authority: Any,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
) -> None:
    """The renewal form is prefilled, and the row is deleted afterwards."""
    old = map_to(
        alice, "fingerprint", alice_cert.fingerprint, certificate=alice_cert.der
    )
    row = refuse(ca.issue("alice"))
    link = f"{page(f'{MAPPING}_renew', old.pk)}?unknown={row.pk}"
    for address in (page(CHANGE, row.pk), f"{page(ADD)}?unknown={row.pk}"):
        response = as_root.get(address)
        assert f"looks like the renewal of mapping {old.pk}" in text_of(response)
        assert f'<a href="{link}">Renew mapping {old.pk} with it' in (
            response.content.decode()
        )
        shown = log_in(helper).get(address)
        assert f"renewal of mapping {old.pk}." in text_of(shown)
        assert link not in shown.content.decode()
    form = as_root.get(link).context["adminform"].form
    sent = {name: form[name].value() for name in ("pasted", "retire_on")}
    sent["retire_on"] = f"{NOW + DAY:%Y-%m-%dT%H:%M}"
    messages_after(as_root.post(link, sent))
    assert CertificateMapping.objects.count() == 2
    assert not UnknownCertificate.objects.exists()
    old.refresh_from_db()
    assert old.state == "retiring"


def test_the_successor_of_a_disabled_one(
    as_root: Client,
    alice: Any,
    authority: Any,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
) -> None:
    """A disabled mapping cannot be renewed, and the page says so."""
    map_to(
        alice,
        "fingerprint",
        alice_cert.fingerprint,
        certificate=alice_cert.der,
        state="disabled",
    )
    row = refuse(ca.issue("alice"))
    text = text_of(as_root.get(page(CHANGE, row.pk)))
    assert "That mapping is disabled." in text


# --- permissions ------------------------------------------------------------------


def test_nobody_adds_or_changes_and_some_delete(
    as_root: Client, ca: ThrowawayCA
) -> None:
    """Deletion needs Django's permission, for one or several rows."""
    rows = [refuse(ca.issue(f"c{each}")) for each in range(3)]
    assert as_root.get(page(f"{UNKNOWN}_add")).status_code == 403
    assert as_root.post(page(CHANGE, rows[0].pk), {}).status_code == 403
    viewer = log_in(make_staff("viewer", "view_unknowncertificate"))
    delete = page(f"{UNKNOWN}_delete", rows[0].pk)
    assert viewer.post(delete, {"post": "yes"}).status_code == 403
    names = viewer.get(page(LIST)).context["action_form"]
    assert names is None or not {"delete_selected", "map_by_email"} & {
        name for name, _label in names.fields["action"].choices
    }
    messages_after(as_root.post(delete, {"post": "yes"}))
    data = {
        "action": "delete_selected",
        "_selected_action": [row.pk for row in rows[1:]],
        "post": "yes",
    }
    messages_after(as_root.post(page(LIST), data))
    assert not UnknownCertificate.objects.exists()


def test_nobody_else(ca: ThrowawayCA) -> None:
    """Neither staff users without the permission nor anonymous users."""
    row = refuse(ca.issue("x"))
    other = log_in(make_staff("other", "view_certificatemapping"))
    for address in (page(LIST), page(CHANGE, row.pk)):
        assert other.get(address).status_code == 403
        assert Client().get(address).status_code == 302
    assert other.post(page(f"{UNKNOWN}_map_san_email")).status_code == 403
    viewer = log_in(make_staff("viewer", "view_unknowncertificate"))
    assert viewer.post(page(f"{UNKNOWN}_map_san_email")).status_code == 403


@pytest.mark.parametrize("key", ["99", "x", "a" * 50])
def test_pages_that_do_not_exist(as_root: Client, key: str) -> None:
    """An unknown primary key redirects, with Django's own message."""
    assert as_root.get(page(CHANGE, key)).status_code == 302


# --- several at once --------------------------------------------------------------


def preview(client: Client, rows: Any, action: str = "map_by_email") -> Any:
    """Return the preview of an action."""
    response = run_action(client, action, rows, UNKNOWN)
    assert response.status_code == 200
    return response


def confirm(client: Client, shown: Any, which: str = "all", **data: Any) -> Any:
    """Submit the form of a preview."""
    sent = {
        "row": shown.context["selected"],
        "which": which,
        "note": "",
        "post": "yes",
        **data,
    }
    return client.post(shown.context["action_url"], sent)


def results(shown: Any) -> dict[str, str]:
    """Return the user of each certificate in a preview, or why it is not mapped."""
    return {
        row["subject"].removeprefix("CN="): row["why_not"] or str(row["user"])
        for row in shown.context["rows"]
    }


@pytest.fixture
def issued(
    alice: Any, bob: Any, authority: Any, ca: ThrowawayCA
) -> dict[str, IssuedCertificate]:
    """Certificates that name two users, by e-mail address and by UPN."""
    return {
        "a": ca.issue("a", emails=["alice@EXAMPLE.com"], upns=["Alice"]),
        "b": ca.issue("b", emails=["bob@example.com"], upns=["bob"]),
    }


@pytest.mark.parametrize("action", ["map_by_email", "map_by_upn"])
def test_several_are_mapped(
    as_root: Client,
    root: Any,
    alice: Any,
    bob: Any,
    authority: Any,
    issued: dict[str, IssuedCertificate],
    action: str,
    ask: Wsgi,
) -> None:
    """Public keys are mapped to the named users, and recorded in the history."""
    rows = [refuse(one) for one in issued.values()]
    shown = preview(as_root, rows, action)
    assert results(shown) == {"a": "alice", "b": "bob"}
    text = text_of(shown)
    assert "mapped by its public key" in text
    assert shown.context["adminform"].form["which"].value() == "all"
    messages = messages_after(confirm(as_root, shown, note="by hand"))
    assert messages == [
        (
            "success",
            "2 certificates were mapped and are accepted from the next request on.",
        )
    ]
    assert not UnknownCertificate.objects.exists()
    mappings = CertificateMapping.objects.order_by("pk")
    assert [(one.user, one.kind, one.authority, one.note) for one in mappings] == [
        (alice, "public_key", authority, "by hand"),
        (bob, "public_key", authority, "by hand"),
    ]
    assert LogEntry.objects.filter(user=root).count() == 2
    for name, certificate in issued.items():
        user = {"a": "alice", "b": "bob"}[name]
        assert ask("/ledger/", certificate.der).json()["user"] == user


def _another_user(alice: Any, **_given: Any) -> None:
    get_user_model().objects.create_user("alice2", email="alice@Example.COM")


def _inactive(alice: Any, **_given: Any) -> None:
    alice.is_active = False
    alice.save()


def _revoked(der: bytes, **_given: Any) -> None:
    revoke_certificate(ClientCertificate(der))


def _of_bob(der: bytes, bob: Any, authority: Any, **_given: Any) -> None:
    map_to(bob, "subject", "CN=a", authority=authority)


def _mapped(der: bytes, alice: Any, **_given: Any) -> None:
    value = ClientCertificate(der).public_key_fingerprint
    map_to(alice, "public_key", value, state="disabled")


def _two_authorities(ca: ThrowawayCA, **_given: Any) -> None:
    CertificateAuthority.objects.create(name="Other CA", bundle=ca.pem)


def _no_authority(authority: Any, **_given: Any) -> None:
    authority.delete()


def _broken_authority(authority: Any, **_given: Any) -> None:
    CertificateAuthority.objects.update(bundle="junk")


def _superuser(alice: Any, **_given: Any) -> None:
    alice.is_superuser = True
    alice.save()


def _gone(alice: Any, **_given: Any) -> None:
    alice.delete()


IN_THE_WAY: dict[str, tuple[Callable[..., None], str]] = {
    "no user": (_gone, "No user has this name."),
    "two users": (_another_user, "Several users have this name."),
    "inactive": (_inactive, "The user is not allowed to log in."),
    "revoked": (_revoked, "The certificate is revoked"),
    "another user's": (_of_bob, "maps it to another user"),
    "mapped": (_mapped, "already exists for this key"),
    "two authorities": (_two_authorities, "Several authorities issued this"),
    "no authority": (_no_authority, "None of the stored authorities issued this"),
    "broken authority": (_broken_authority, "cannot be determined"),
    "superuser": (_superuser, "Only a superuser may map"),
}


@pytest.mark.parametrize("case", IN_THE_WAY)
def test_n65_what_is_in_the_way(
    helper: Any,
    alice: Any,
    bob: Any,
    authority: Any,
    ca: ThrowawayCA,
    issued: dict[str, IssuedCertificate],
    case: str,
) -> None:
    """The problem is shown; the other certificates can be mapped without it."""
    interfere, expected = IN_THE_WAY[case]
    rows = {name: refuse(one) for name, one in issued.items()}
    interfere(der=issued["a"].der, alice=alice, bob=bob, authority=authority, ca=ca)
    before = CertificateMapping.objects.count()
    client = log_in(helper)
    shown = preview(client, rows.values())
    outcomes = results(shown)
    assert expected in outcomes["a"]
    if outcomes["b"] != "bob":
        assert shown.context["adminform"] is None  # nothing can be mapped at all
        return
    assert shown.context["adminform"].form["which"].value() == "valid"
    errors = errors_on(confirm(client, shown, "all"))
    assert "Nothing was mapped" in errors["which"][0]
    assert CertificateMapping.objects.count() == before
    said_after = messages_after(confirm(client, shown, "valid"))
    assert [level for level, _text in said_after] == ["success", "warning"]
    assert expected in said_after[1][1]
    assert CertificateMapping.objects.count() == before + 1
    assert list(UnknownCertificate.objects.all()) == [rows["a"]]


def test_a_name_that_nobody_answers_for_maps_nobody(
    as_root: Client, alice: Any, authority: Any, ca: ThrowawayCA
) -> None:
    """Anyone can put any name into a certificate they made themselves."""
    rows = [
        refuse(
            ThrowawayCA.create("Test Root CA").issue(
                "forged", emails=["alice@example.com"]
            )
        ),
        refuse(ca.issue("none")),
        refuse(ca.issue("two", emails=["alice@example.com", "bob@example.com"])),
        refuse(
            ca.issue(
                "old",
                emails=["alice@example.com"],
                not_before=NOW - 9 * DAY,
                not_after=NOW - DAY,
            )
        ),
    ]
    shown = preview(as_root, rows)
    outcomes = results(shown)
    assert "None of the stored authorities issued this" in outcomes["forged"]
    assert outcomes["none"] == "The certificate contains no such name."
    assert "several such names" in outcomes["two"]
    assert "has expired" in outcomes["old"]
    assert shown.context["adminform"] is None
    assert confirm(as_root, shown).status_code == 200
    assert not CertificateMapping.objects.exists()


def test_what_is_not_in_the_way(
    as_root: Client,
    alice: Any,
    bob: Any,
    authority: Any,
    issued: dict[str, IssuedCertificate],
) -> None:
    """A mapping of the same user, or of the same digest but another kind."""
    map_to(alice, "subject", "CN=a", authority=authority)
    map_to(bob, "public_key", issued["a"].fingerprint)
    shown = preview(as_root, [refuse(issued["a"])])
    assert results(shown) == {"a": "alice"}
    messages_after(confirm(as_root, shown))
    assert not UnknownCertificate.objects.exists()


def test_what_changes_meanwhile_is_not_what_was_shown(
    as_root: Client,
    alice: Any,
    bob: Any,
    ca: ThrowawayCA,
    issued: dict[str, IssuedCertificate],
) -> None:
    """A new certificate of the same key, or another user of the same name."""
    refuse(issued["a"])
    row = refuse(issued["b"])
    shown = preview(as_root, UnknownCertificate.objects.all())
    refuse(ca.issue("a", emails=["bob@example.com"], key=issued["a"].key))
    bob.email = "x@example.com"
    bob.save()
    alice.email = "bob@example.com"
    alice.save()
    again = confirm(as_root, shown)
    assert "Nothing was mapped" in errors_on(again)["which"][0]
    assert results(again) == {"a": "alice", "b": "alice"}
    messages = messages_after(confirm(as_root, shown, "valid"))
    assert [level for level, _text in messages] == ["warning", "warning"]
    assert "changed since the preview" in messages[0][1]
    assert not CertificateMapping.objects.exists()
    row.delete()
    gone = confirm(as_root, again, "all")
    assert "no longer exist" in errors_on(gone)["which"][0]


@pytest.mark.parametrize("which", ["all", "valid"])
def test_what_cannot_be_saved_is_not(
    as_root: Client,
    issued: dict[str, IssuedCertificate],
    monkeypatch: pytest.MonkeyPatch,
    which: str,
) -> None:
    """Another mapping was added between the preview and the save."""
    rows = [refuse(one) for one in issued.values()]
    shown = preview(as_root, rows)
    # The look finds no mapping of bob's key; the model's own rule does.
    value = ClientCertificate(issued["b"].der).public_key_fingerprint
    map_to(get_user_model().objects.get(username="bob"), "public_key", value)
    monkeypatch.setattr(candidates, "_find_mappings", lambda _certificates: {})
    response = confirm(as_root, shown, which)
    if which == "all":
        assert "already maps this to" in errors_on(response)["which"][0]
        assert CertificateMapping.objects.count() == 1
        assert UnknownCertificate.objects.count() == 2
    else:
        messages = messages_after(response)
        assert "already maps this to" in messages[1][1]
        assert CertificateMapping.objects.count() == 2
        assert UnknownCertificate.objects.count() == 1


def test_what_is_sent_has_to_be_rows(
    as_root: Client, issued: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invalid keys, too many rows and invalid choices are refused."""
    address = page(f"{UNKNOWN}_map_san_email")
    assert as_root.get(address).status_code == 302
    for junk in (["x:y:z"], [""], ["\0"], ["9" * 30 + ":a:b"], ["1:a:b"] * 201):
        assert as_root.post(address, {"row": junk}).status_code == 400
    rows = [refuse(one) for one in issued.values()]
    shown = preview(as_root, rows)
    assert errors_on(confirm(as_root, shown, "junk"))
    monkeypatch.setattr(inbox, "MAX_MAPPED", 1)
    response = run_action(as_root, "map_by_email", rows, UNKNOWN)
    assert messages_after(response)[0][0] == "error"


def test_the_preview_costs_the_same_however_many(
    as_root: Client, alice: Any, authority: Any, ca: ThrowawayCA
) -> None:
    """The number of queries does not depend on the number of certificates."""
    counts = []
    for number in range(6):
        refuse(ca.issue(f"c{number}", emails=["alice@example.com"]))
        # After the first preview, this process has read the authorities.
        if number in (0, 1, 5):
            with CaptureQueriesContext(connection) as queries:
                preview(as_root, UnknownCertificate.objects.all())
            counts.append(len(queries))
    assert counts[1] == counts[2]


def test_a_user_model_without_an_email_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have no e-mail address, or none in a column."""
    names = {role: field.name for role, field in users.name_fields().items()}
    assert names == {"username": "username", "email": "email"}

    class User:
        USERNAME_FIELD = "user"  # a relation
        _meta = CertificateMapping._meta

    monkeypatch.setattr(users, "get_user_model", lambda: User)
    assert users.name_fields() == {}
    monkeypatch.setattr(users, "get_user_model", lambda: _WithoutColumn)
    assert set(users.name_fields()) == {"username"}
    assert candidates._find_users(IdentityKind.SAN_EMAIL, {"a"}) == {}


class _WithoutColumn:
    """A user model whose e-mail address is not a field."""

    USERNAME_FIELD = "username"
    _meta = get_user_model()._meta

    @classmethod
    def get_email_field_name(cls) -> str:
        """Return a name that is not a field's."""
        return "no_such_field"


def test_it_is_the_only_admin() -> None:
    """The admin is registered."""
    screens = admin.site.get_model_admin(UnknownCertificate)
    assert isinstance(screens, UnknownCertificateAdmin)
