"""The page of a mapping, and its renewal and revocation."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_clientcert.admin.base.permissions import may_renew
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    RevocationList,
)
from django_clientcert.testing import SERVER_AUTH, IssuedCertificate, ThrowawayCA
from django_clientcert.trust.crl_import import import_crl
from django_clientcert.trust.revoke import (
    revoke_certificate,
    revoke_period,
    revoke_public_key,
)
from tests import der_writer as write
from tests.deciding import decide
from tests.private_keys import TEXTS, UPLOADS, secrets_of

from .pages import (
    ADD_MAPPING,
    MAPPING,
    all_permissions,
    log_in,
    make_staff,
    messages_after,
    page,
    run_action,
    text_of,
)
from .test_revocations import parsed, seen, stored

pytestmark = pytest.mark.django_db

NOW = timezone.now().replace(microsecond=0)
DAY = dt.timedelta(days=1)
RENEWAL = {"pasted": "", "retire_on": "", "valid_from": ""}


@pytest.fixture
def old(alice: Any, authority: Any, alice_cert: IssuedCertificate) -> Any:
    """Alice's mapping of her current certificate."""
    return stored(alice, alice_cert)


def when(days: int) -> str:
    """Return a date in a browser's format."""
    return f"{timezone.localtime(NOW + days * DAY):%Y-%m-%dT%H:%M}"


def renew(client: Client, mapping: CertificateMapping, /, **data: Any) -> Any:
    """Submit the renewal form."""
    sent = {**RENEWAL, "retire_on": when(7), **data}
    return client.post(page(f"{MAPPING}_renew", mapping.pk), sent)


def errors_of(response: Any) -> dict[str, list[str]]:
    """Return the errors of the renewal form."""
    assert response.status_code == 200
    form = response.context["adminform"].form
    errors = {name: [str(one) for one in found] for name, found in form.errors.items()}
    assert errors
    return errors


# --- renewal ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["pasted", "uploaded"])
def test_renewal(
    as_root: Client, old: Any, ca: ThrowawayCA, alice_cert: IssuedCertificate, how: str
) -> None:
    """Both certificates are accepted until the chosen date."""
    text = text_of(as_root.get(page(f"{MAPPING}_change", old.pk)))
    assert "A renewed certificate needs a new mapping" in text
    response = as_root.get(page(f"{MAPPING}_renew", old.pk))
    value = response.context["adminform"].form["retire_on"].value()
    assert abs(timezone.make_aware(value) - NOW - 7 * DAY) < DAY
    new = ca.issue("alice")
    data: dict[str, Any] = {"pasted": new.pem}
    if how == "uploaded":
        data = {"upload": SimpleUploadedFile("new.cer", new.der)}
    ((level, text),) = messages_after(renew(as_root, old, **data))
    successor = CertificateMapping.objects.latest("pk")
    assert (level, successor.value) == ("success", new.fingerprint)
    assert text.startswith(f"Mapping {successor.pk} was added for the renewed")
    old.refresh_from_db()
    assert (old.state, old.valid_until.date()) == (
        "retiring",
        (NOW + 7 * DAY).date(),
    )
    assert decide(new).accepted
    assert decide(alice_cert).accepted
    assert not decide(alice_cert, at=timezone.now() + 8 * DAY).accepted
    assert LogEntry.objects.count() == 2


def test_renewal_from_a_date(as_root: Client, old: Any, ca: ThrowawayCA) -> None:
    """The new mapping is scheduled, with a warning if it will be refused."""
    new = ca.issue("alice", eku=[SERVER_AUTH])
    messages = messages_after(renew(as_root, old, pasted=new.pem, valid_from=when(2)))
    assert [level for level, _ in messages] == ["success", "warning"]
    successor = CertificateMapping.objects.latest("pk")
    assert successor.state == "scheduled"
    text = text_of(as_root.get(page(f"{MAPPING}_changelist"), {"state": "scheduled"}))
    assert "scheduled" in text
    run_action(as_root, "disable", [successor])
    successor.refresh_from_db()
    assert successor.state == "disabled"


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda ca, other, old: {}, "pasted"),
        (lambda ca, other, old: {"pasted": "junk"}, "pasted"),
        (lambda ca, other, old: {"pasted": "a\0b"}, "pasted"),
        (lambda ca, other, old: {"pasted": ca.issue("bob").pem}, "__all__"),
        (lambda ca, other, old: {"pasted": other.issue("alice").pem}, "__all__"),
        (lambda ca, other, old: {"pasted": old.pem}, "__all__"),
        (
            lambda ca, other, old: {
                "pasted": ca.issue("alice").pem,
                "upload": SimpleUploadedFile("a", ca.issue("alice").der),
            },
            "upload",
        ),
        (
            lambda ca, other, old: {
                "pasted": ca.issue("alice").pem,
                "retire_on": "0001-01-01T00:00",
            },
            "retire_on",
        ),
        (
            lambda ca, other, old: {
                "pasted": ca.issue("alice").pem,
                "retire_on": "99999-01-01T00:00",
            },
            "retire_on",
        ),
        (lambda ca, other, old: {"retire_on": ""}, "retire_on"),
        (lambda ca, other, old: {"retire_on": "a\0b"}, "retire_on"),
        (
            lambda ca, other, old: {
                "pasted": ca.issue("alice").pem,
                "valid_from": "9999-12-31T23:59",
            },
            "valid_from",
        ),
        (
            lambda ca, other, old: {
                "upload": SimpleUploadedFile("a", b"x" * (1024 * 1024 + 1))
            },
            "upload",
        ),
    ],
)
def test_what_is_no_renewal(
    as_root: Client,
    old: Any,
    ca: ThrowawayCA,
    other_ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
    make: Any,
    field: str,
) -> None:
    """The error is shown at its field, and nothing is changed."""
    data = make(ca, other_ca, alice_cert)
    assert field in errors_of(renew(as_root, old, **data))
    assert CertificateMapping.objects.get().state == "active"


def test_renewal_of_a_mapping_that_begins_later(
    as_root: Client, old: Any, ca: ThrowawayCA
) -> None:
    """Errors of the model are shown, even of fields that are not in the form."""
    CertificateMapping.objects.update(valid_from=NOW + 30 * DAY)
    errors = errors_of(renew(as_root, old, pasted=ca.issue("alice").pem))
    assert errors == {"__all__": ["This must be later than “valid from”."]}
    assert CertificateMapping.objects.count() == 1


@pytest.mark.parametrize("field", [*RENEWAL, "unheard_of"])
def test_n66_private_key_in_a_renewal(
    as_root: Client, old: Any, field: str, caplog: Any
) -> None:
    """N66: a key is refused in every field, and not in the response or log."""
    for text in TEXTS.values():
        response = renew(as_root, old, **{field: text})
        assert errors_of(response)
        shown = response.content.decode() + caplog.text
        assert not [one for one in secrets_of(text) if one in shown]
    upload = SimpleUploadedFile("a", UPLOADS["der rsa"])
    assert "upload" in errors_of(renew(as_root, old, upload=upload))


def test_n65_renewal_of_one_above(as_root: Client, ca: ThrowawayCA, db: None) -> None:
    """N65: a renewal needs the permissions to change and to add mappings."""
    root = get_user_model().objects.get(username="root")
    CertificateAuthority.objects.create(name="A", bundle=ca.pem)
    mapping = stored(root, ca.issue("alice"))
    new = ca.issue("alice")
    for codenames in (
        all_permissions("certificatemapping"),
        ["view_certificatemapping"],
    ):
        client = log_in(make_staff(str(len(codenames)), *codenames))
        assert renew(client, mapping, pasted=new.pem).status_code == 403
        text = text_of(client.get(page(f"{MAPPING}_change", mapping.pk)))
        assert " Renew " not in text
    alice = make_staff("alice")
    alice.is_staff = False
    alice.save()
    mapping.user = alice
    mapping.save()
    changer = log_in(make_staff("c", "change_certificatemapping"))
    assert renew(changer, mapping, pasted=new.pem).status_code == 403
    both = make_staff("b", "change_certificatemapping", "add_certificatemapping")
    messages_after(renew(log_in(both), mapping, pasted=new.pem))
    assert CertificateMapping.objects.count() == 2


@pytest.mark.parametrize("key", ["abc", "0", "9" * 40, "-1", "1%00", "_2D"])
def test_renewal_of_what_does_not_exist(as_root: Client, key: str) -> None:
    """An unknown primary key is not found."""
    address = page(f"{MAPPING}_renew", "KEY").replace("KEY", key)
    for response in (as_root.get(address), as_root.post(address, RENEWAL)):
        assert response.status_code == 404


def test_successor_is_recognised(
    as_root: Client, old: Any, ca: ThrowawayCA, alice: Any
) -> None:
    """The predecessor is named, with a link that renews it."""
    new = ca.issue("alice")
    data = {**ADD_MAPPING, "user": alice.pk, "kind": "public_key", "pasted": new.pem}
    messages = messages_after(as_root.post(page(f"{MAPPING}_add"), data))
    (text,) = (text for level, text in messages if level == "info")
    assert f">mapping {old.pk}</a>" in text
    assert page(f"{MAPPING}_change", old.pk) in text
    assert page(f"{MAPPING}_renew", old.pk) in text
    adder = make_staff("adder", "add_certificatemapping", "view_certificatemapping")
    data["pasted"] = ca.issue("alice").pem
    messages = messages_after(log_in(adder).post(page(f"{MAPPING}_add"), data))
    shown = [text for level, text in messages if level == "info"]
    assert len(shown) == 2
    assert not any("/renew/" in text for text in shown)


def test_disabled_mapping_is_not_renewed(
    as_root: Client, old: Any, ca: ThrowawayCA, alice: Any
) -> None:
    """A disabled mapping has no link that renews it."""
    CertificateMapping.objects.filter(pk=old.pk).update(state="disabled")
    body = as_root.get(page(f"{MAPPING}_change", old.pk)).content.decode()
    assert page(f"{MAPPING}_renew", old.pk) not in body
    pem = ca.issue("alice").pem
    data = {**ADD_MAPPING, "user": alice.pk, "kind": "public_key", "pasted": pem}
    messages = messages_after(as_root.post(page(f"{MAPPING}_add"), data))
    (text,) = (text for level, text in messages if level == "info")
    assert text.rstrip().endswith("That mapping is disabled.")


# --- what a page and the list say of each mapping ---------------------------------


def test_public_key_is_offered_first(as_root: Client, old: Any) -> None:
    """The add form's default is the public key, which survives a renewal."""
    form = as_root.get(page(f"{MAPPING}_add")).context["adminform"].form
    assert form["kind"].value() == "public_key"
    assert next(iter(form.fields["kind"].choices))[0] == "public_key"
    assert "survives a renewal" in str(form["kind"].help_text)
    address = page(f"{MAPPING}_add")
    form = as_root.get(address, {"kind": "subject"}).context["adminform"].form
    assert form["kind"].value() == "subject"
    response = as_root.get(page(f"{MAPPING}_change", old.pk))
    assert response.context["adminform"].form["kind"].value() == "fingerprint"


@pytest.mark.parametrize(
    ("kind", "value", "strength", "renewal"),
    [
        ("public_key", "ab" * 32, "strong: only the holder", "with the same key"),
        ("fingerprint", "ab" * 32, "strong: only the holder", "needs a new mapping"),
        (
            "issuer_serial",
            "1ead CN=Test Root CA",
            "strong: this certificate only, provided that “Test CA”",
            "needs a new mapping",
        ),
        ("subject", "CN=a", "by name: every certificate", "with the same name"),
    ],
)
def test_strength(
    as_root: Client,
    alice: Any,
    authority: Any,
    kind: str,
    value: str,
    strength: str,
    renewal: str,
) -> None:
    """The page shows how strong a mapping is, and what happens after a renewal."""
    mapping = CertificateMapping.objects.create(
        user=alice,
        kind=kind,
        value=value,
        authority=None if value == "ab" * 32 else authority,
    )
    text = text_of(as_root.get(page(f"{MAPPING}_change", mapping.pk)))
    assert strength in text
    assert renewal in text
    text = text_of(as_root.get(page(f"{MAPPING}_changelist")))
    assert ("by name" in text) is (kind == "subject")


def test_revoked_mappings_say_so(
    as_root: Client,
    alice: Any,
    bob: Any,
    authority: Any,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
    mallory_cert: IssuedCertificate,
) -> None:
    """All ways to revoke are shown, on the changelist without a query per row."""
    listed, before = ca.issue("listed"), ca.issue("old", not_before=NOW - 90 * DAY)
    fine = ca.issue("fine")
    rows = {
        "key": stored(alice, alice_cert),
        "list": stored(alice, listed),
        "time": stored(alice, before),
        "fine": stored(bob, fine),
        "junk": stored(bob, fine, value="12" * 32, certificate=b"junk"),
        "bare": CertificateMapping.objects.create(
            user=bob, kind="public_key", value="cd" * 32
        ),
        "unknown": CertificateMapping.objects.create(
            user=bob, kind="fingerprint", value="ef" * 32
        ),
    }

    def revoked() -> set[str]:
        response = as_root.get(page(f"{MAPPING}_changelist"))
        keys = {row.pk for row in response.context["cl"].result_list if row.is_revoked}
        count = text_of(response).count("certificate revoked")
        assert count == len(keys)
        return {name for name, row in rows.items() if row.pk in keys}

    undated = write.certificate(ca, validity=write.tlv(write.SEQUENCE))
    rows["undated"] = stored(bob, fine, value="34" * 32, certificate=undated)
    assert revoked() == set()
    revoke_certificate(parsed(alice_cert))
    import_crl(authority, ca.crl([listed]))
    revoke_period(authority, NOW - 91 * DAY, NOW - 89 * DAY)
    revoke_public_key(bytes.fromhex("cd" * 32))
    assert revoked() == {"key", "list", "time", "bare"}
    for name, words in (
        ("key", "The certificate is revoked: revocation"),
        ("list", "according to CRL number 1"),
        ("time", "revokes everything issued from"),
        ("bare", "The certificate is revoked: revocation"),
        ("fine", "not revoked"),
        ("unknown", "unknown: the certificate is not stored"),
    ):
        text = text_of(as_root.get(page(f"{MAPPING}_change", rows[name].pk)))
        assert words in text, name

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            as_root.get(page(f"{MAPPING}_changelist"))
        return len(queries)

    first = count()
    for number in range(10):
        stored(alice, ca.issue(f"more {number}"))
    assert count() == first


def test_certificate_that_cannot_be_told(
    as_root: Client, alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """An authority that cannot be read does not cause an exception."""
    mapping = stored(alice, alice_cert)
    RevocationList.objects.create(
        authority=authority,
        info="junk",
        this_update=timezone.now(),
        entry_count=0,
    )
    assert as_root.get(page(f"{MAPPING}_changelist")).status_code == 200
    text = text_of(as_root.get(page(f"{MAPPING}_change", mapping.pk)))
    assert "The certificate is refused, as its status is unknown" in text


def test_links_of_a_mapping(
    as_root: Client, old: Any, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """The page of a mapping links to renewal and revocation."""
    seen(alice, alice_cert, mapping=old)
    body = as_root.get(page(f"{MAPPING}_change", old.pk)).content.decode()
    address = f"{page(f'{MAPPING}_revoke')}?_selected_action={old.pk}"
    assert page(f"{MAPPING}_renew", old.pk) in body
    assert address in body
    assert "CN=alice serial number" in text_of(as_root.get(address))


def test_renewing_a_mapping_takes_the_right_to_see_it(
    alice: Any, alice_cert: IssuedCertificate, rf: RequestFactory
) -> None:
    """Whoever may not view mappings is offered no renewal."""
    mapping = CertificateMapping.objects.create(
        user=alice, kind="fingerprint", value=alice_cert.fingerprint
    )
    request = rf.get("/")
    request.user = make_staff("outsider")
    assert not may_renew(admin.site, request, mapping)
