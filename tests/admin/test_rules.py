"""The screens of an authority's rule and policy: who may set them, what is said."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from django_clientcert.admin.authorities.crl_table import show_crls, show_revocations
from django_clientcert.admin.base import markup
from django_clientcert.admin.base.permissions import may_change_authority
from django_clientcert.models import CertificateAuthority, RevocationList
from django_clientcert.models.authority_state import get_state
from django_clientcert.testing import ThrowawayCA, encode_pem
from django_clientcert.trust.crl_import import import_crl
from django_clientcert.trust.revoke import revoke_certificate, revoke_period
from tests import der_writer as write
from tests.private_keys import TEXTS, secrets_of

from .pages import (
    ADD_AUTHORITY,
    AUTHORITY,
    all_permissions,
    errors_on,
    log_in,
    make_staff,
    messages_after,
    page,
    text_of,
    warnings_after,
)
from .test_authorities import add, change
from .test_revocations import parsed

pytestmark = pytest.mark.django_db

NOW = timezone.now().replace(microsecond=0)
DAY = dt.timedelta(days=1)
AUTHORITIES = all_permissions("certificateauthority")
CHANGE_USERS = f"change_{get_user_model()._meta.model_name}"

# Who may set what: nothing of a rule, all but what grants, all but what is above
MAY_NOT = "nobody", AUTHORITIES
MAY_MAP = "mapper", [*AUTHORITIES, "add_certificatemapping"]
MAY_CREATE = "creator", [*AUTHORITIES, "add_certificatemapping", CHANGE_USERS]
RULE = {
    "rule_identity": "common_name",
    "rule_user_field": "email",
    "rule_pattern": "*@example.com",
    "rule_hosts": "a.example.com",
    "rule_policies": "1.2.3",
    "rule_extended_key_usages": "1.3.6.1.5.5.7.3.2",
}


def as_one(who: tuple[str, list[str]]) -> Client:
    """Return a member of the staff at the keyboard."""
    return log_in(make_staff(who[0], *who[1]))


def reload(authority: CertificateAuthority) -> CertificateAuthority:
    """Return the row as it is stored now."""
    return CertificateAuthority.objects.get(pk=authority.pk)


# --- who may set a rule -----------------------------------------------------------


@pytest.mark.parametrize("field", [*RULE, "rule_creates_users", "rule_groups"])
def test_n65_rule_needs_the_permission_to_map(
    authority: CertificateAuthority, field: str
) -> None:
    """N65: whoever sets a rule can become whomever it names."""
    group = Group.objects.create(name="g")
    value = {"rule_creates_users": "on", "rule_groups": [group.pk]}.get(
        field, RULE.get(field)
    )
    client = as_one(MAY_NOT)
    messages_after(change(client, authority, **{field: value}, note="x"))
    stored = reload(authority)
    assert stored.note == "x"
    for name in RULE:
        assert getattr(stored, name) == ""
    assert not stored.rule_creates_users
    assert not stored.rule_groups.exists()
    messages_after(add(client, bundle=authority.bundle, **{field: value}))
    made = CertificateAuthority.objects.latest("pk")
    assert not made.rule_identity
    assert not made.rule_creates_users
    body = client.get(page(f"{AUTHORITY}_change", authority.pk)).content
    assert b'name="rule_' not in body
    messages_after(change(client, authority, rule_preset="cac"))
    assert not reload(authority).rule_identity


def test_n65_mapper_sets_a_rule_but_grants_nothing(
    authority: CertificateAuthority,
) -> None:
    """N65: groups carry permissions, and staff are above."""
    group = Group.objects.create(name="g")
    above = {
        "rule_creates_users": "on",
        "rule_groups": [group.pk],
        "rule_allows_privileged": "on",
    }
    client = as_one(MAY_MAP)
    messages_after(change(client, authority, **RULE, **above))
    stored = reload(authority)
    assert {name: getattr(stored, name) for name in RULE} == RULE
    assert not stored.rule_creates_users
    assert not stored.rule_groups.exists()
    assert not stored.rule_allows_privileged
    client = as_one(MAY_CREATE)
    messages_after(change(client, stored, **above))
    stored = reload(authority)
    assert stored.rule_creates_users
    assert stored.rule_groups.get() == group
    assert not stored.rule_allows_privileged


@pytest.mark.parametrize(
    ("who", "rule", "allowed"),
    [
        (MAY_NOT, {}, True),
        (MAY_NOT, {"rule_identity": "edipi"}, False),
        (MAY_NOT, {"rule_creates_users": True}, False),
        (MAY_MAP, {"rule_identity": "edipi"}, True),
        (MAY_MAP, {"rule_identity": "edipi", "rule_creates_users": True}, False),
        (MAY_MAP, {"groups": True}, False),
        (MAY_MAP, {"rule_allows_privileged": True}, False),
        (MAY_CREATE, {"rule_identity": "edipi", "rule_creates_users": True}, True),
        (MAY_CREATE, {"rule_identity": "edipi", "groups": True}, True),
        (
            MAY_CREATE,
            {"rule_identity": "edipi", "rule_allows_privileged": True},
            False,
        ),
    ],
)
def test_n65_authority_with_a_rule(
    authority: CertificateAuthority,
    who: tuple[str, list[str]],
    rule: dict[str, Any],
    allowed: bool,
) -> None:
    """N65: whoever replaces the bundle says whom the rule lets in."""
    if rule.pop("groups", False):
        authority.rule_groups.add(Group.objects.create(name="g"))
    CertificateAuthority.objects.filter(pk=authority.pk).update(**rule)
    stored = reload(authority)
    actor = make_staff(*[who[0]], *who[1])
    assert may_change_authority(actor, stored) is allowed
    client, mine = log_in(actor), ThrowawayCA.create("Mine")
    upload = SimpleUploadedFile("ca.crt", mine.der)
    response = change(client, stored, upload=upload)
    assert (response.status_code == 302) is allowed
    assert (reload(authority).bundle == mine.pem) is allowed
    if allowed:
        return
    for data in ({"rule_identity": ""}, {"crl_urls": "http://a"}, {"note": "x"}):
        assert change(client, stored, **data).status_code == 403
    address = page(f"{AUTHORITY}_delete", authority.pk)
    assert client.post(address, {"post": "yes"}).status_code == 403
    response = client.get(page(f"{AUTHORITY}_change", authority.pk))
    assert response.status_code == 200
    assert b'name="_save"' not in response.content


def test_n65_cas_of_an_authority_above(
    authority: CertificateAuthority, ca: ThrowawayCA, other_ca: ThrowawayCA
) -> None:
    """N65: beside another CA, or alone, what they issued could be revoked."""
    CertificateAuthority.objects.filter(pk=authority.pk).update(
        rule_identity="common_name", rule_allows_privileged=True
    )
    client = as_one(MAY_CREATE)
    upload = SimpleUploadedFile("ca.crt", ca.der)
    for data in ({"bundle": other_ca.pem + ca.pem}, {"upload": upload}):
        errors = errors_on(add(client, **data))
        assert "in an authority that you may not change" in errors["bundle"][0]
    messages_after(add(client, bundle=other_ca.pem))
    own = CertificateAuthority.objects.latest("pk")
    errors = errors_on(change(client, own, bundle=ca.pem))
    assert "in an authority that you may not change" in errors["bundle"][0]
    messages_after(change(client, own, note="mine"))
    assert reload(own).note == "mine"
    # One that has such a CA already is out of reach as a whole.
    twin = CertificateAuthority.objects.create(name="Twin", bundle=ca.pem)
    assert change(client, twin, note="mine").status_code == 403
    address = page(f"{AUTHORITY}_delete", twin.pk)
    assert client.post(address, {"post": "yes"}).status_code == 403
    superuser = get_user_model().objects.create_superuser("root")
    messages_after(add(log_in(superuser), name="Third", bundle=ca.pem))


def test_ca_whose_key_cannot_be_read(as_root: Client, ca: ThrowawayCA) -> None:
    """Left out for what it is; alone, it is refused."""
    broken = encode_pem(write.certificate(ca, spki=b"\x30\x00"))
    assert "bundle" in errors_on(add(as_root, bundle=broken))
    (message,) = warnings_after(add(as_root, bundle=ca.pem + broken))
    assert message.startswith("Left out: certificate 2 of 2 (")


def test_superuser_sets_everything(
    as_root: Client, authority: CertificateAuthority
) -> None:
    """And is told what that means."""
    messages = warnings_after(
        change(
            as_root,
            authority,
            **RULE,
            rule_creates_users="on",
            rule_allows_privileged="on",
        )
    )
    assert ["“email” field is not unique" in messages[0], len(messages)] == [True, 3]
    assert "The rule creates users, so from now on everyone" in messages[1]
    assert "become any of them" in messages[2]
    assert reload(authority).rule_allows_privileged
    text = text_of(as_root.get(page(f"{AUTHORITY}_changelist")))
    assert "common name (subject) → email (*@example.com)" in text
    assert (
        warnings_after(
            change(
                as_root,
                authority,
                rule_identity="common_name",
                rule_user_field="username",
            )
        )
        == []
    )
    text = text_of(as_root.get(page(f"{AUTHORITY}_changelist")))
    assert "common name (subject) → username" in text
    body = as_root.get(page(f"{AUTHORITY}_change", authority.pk)).content.decode()
    assert '<option value="username" selected>' in body


def test_rule_that_is_stored_broken_is_no_exception(
    authority: CertificateAuthority, as_root: Client
) -> None:
    """What somebody cannot change is complained of for the form as a whole."""
    CertificateAuthority.objects.filter(pk=authority.pk).update(
        rule_hosts="a:1", rule_user_field="gone"
    )
    stored = reload(authority)
    client = as_one(MAY_NOT)
    errors = errors_on(change(client, stored, note="x"))
    assert list(errors) == ["__all__"]
    assert "not a host name" in errors["__all__"][0]
    body = as_root.get(page(f"{AUTHORITY}_change", authority.pk)).content.decode()
    assert '<option value="gone" selected>' in body
    assert set(errors_on(change(as_root, stored))) == {"rule_hosts"}


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"rule_identity": "odd"}, "rule_identity"),
        ({"rule_identity": "edipi", "rule_user_field": "nope"}, "rule_user_field"),
        ({"rule_identity": "edipi", "rule_pattern": "a"}, "rule_pattern"),
        ({"rule_identity": "edipi", "rule_pattern": "*\0"}, "rule_pattern"),
        ({"rule_policies": "x"}, "rule_policies"),
        ({"rule_groups": ["abc"]}, "rule_groups"),
        ({"rule_groups": ["9" * 18]}, "rule_groups"),
        ({"rule_preset": "odd"}, "rule_preset"),
        ({"revocation_policy": "odd"}, "revocation_policy"),
        ({"revocation_policy": ""}, "revocation_policy"),
        ({"crl_urls": "ftp://x"}, "crl_urls"),
        ({"crl_urls": "http://a\0b"}, "crl_urls"),
    ],
)
def test_impossible_values(
    as_root: Client,
    authority: CertificateAuthority,
    data: dict[str, Any],
    field: str,
) -> None:
    """Each is an error at its field."""
    assert field in errors_on(change(as_root, authority, **data))


@pytest.mark.parametrize(
    "field", [name for name in ADD_AUTHORITY if name.startswith(("rule", "list", "re"))]
)
def test_n66_private_key_is_not_echoed(
    as_root: Client, ca: ThrowawayCA, field: str, caplog: Any
) -> None:
    """N66: in no field of the rule or the policy."""
    for text in TEXTS.values():
        response = add(as_root, **{"bundle": ca.pem, field: text})
        assert errors_on(response)
        shown = response.content.decode() + caplog.text
        assert not [secret for secret in secrets_of(text) if secret in shown]
    assert not CertificateAuthority.objects.exists()


# --- presets ----------------------------------------------------------------------


def test_presets(as_root: Client, authority: CertificateAuthority) -> None:
    """They fill in what is empty, and say so."""
    messages = messages_after(change(as_root, authority, rule_preset="cac"))
    text = "Filled in from the preset: Certificate value: EDIPI, the number of a CAC."
    assert ("info", text) in messages
    assert reload(authority).rule_identity == "edipi"
    messages = messages_after(change(as_root, reload(authority), rule_preset="piv"))
    assert [level for level, _ in messages] == ["success"]
    assert reload(authority).rule_identity == "edipi"


def test_spiffe_needs_a_trust_domain(
    as_root: Client, authority: CertificateAuthority
) -> None:
    """The example's domain is nobody's."""
    response = change(as_root, authority, rule_preset="spiffe")
    (message,) = errors_on(response)["rule_pattern"]
    assert "“example.org” is only an example" in message
    form = response.context["adminform"].form
    assert form["rule_pattern"].value() == "spiffe://example.org/*"
    assert form["rule_identity"].value() == "san_uri"
    pattern = "spiffe://prod.acme/*"
    data = {"rule_preset": "spiffe", "rule_pattern": pattern}
    messages_after(change(as_root, authority, **data))
    stored = reload(authority)
    assert (stored.rule_identity, stored.rule_pattern) == ("san_uri", pattern)


# --- CRLs and policy --------------------------------------------------------------


def test_required_without_a_list(
    as_root: Client, authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """On save, a warning says whom that refuses, until there is a CRL."""
    (text,) = warnings_after(change(as_root, authority, revocation_policy="required"))
    assert "no current one is loaded for CN=Test Root CA" in text
    authority = reload(authority)
    import_crl(authority, ca.crl(number=1, this_update=NOW - 30 * DAY))
    assert len(warnings_after(change(as_root, authority))) == 1
    import_crl(authority, ca.crl(number=2))
    assert warnings_after(change(as_root, authority)) == []


def test_lists_on_the_page_of_an_authority(
    as_root: Client, authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """Number, issuer, scope, until when, stale, entries; revoked CAs and times."""
    assert "No CRL is loaded." in text_of(
        as_root.get(page(f"{AUTHORITY}_change", authority.pk))
    )
    below, gone = ca.issue_ca("Below"), ca.issue_ca("Gone")
    authority.bundle += below.pem + gone.pem
    authority.revocation_policy = "required"
    authority.save()
    import_crl(authority, ca.crl([gone], number=7, this_update=NOW - 30 * DAY))
    import_crl(authority, ca.crl([1], number=9, base_number=7))
    import_crl(authority, below.crl([3, 4], number=None))
    revoke_certificate(parsed(below))
    revoke_period(authority, NOW - DAY, NOW)
    response = as_root.get(page(f"{AUTHORITY}_change", authority.pk))
    text = text_of(response)
    for expected in (
        "7 CN=Test Root CA stale since",
        "9 (delta, from 7) CN=Test Root CA current until",
        "— CN=Below current until",
        "the CA CN=Below (revocation ",
        "the CA CN=Gone: revoked since",
        "everything issued from",
        "Import a CRL",
    ):
        assert expected in text
    text = text_of(as_root.get(page(f"{AUTHORITY}_changelist")))
    assert "required, 3 CRLs, 1 stale, a CA is revoked, a period is revoked" in text
    viewer = log_in(make_staff("v", "view_certificateauthority"))
    text = text_of(viewer.get(page(f"{AUTHORITY}_change", authority.pk)))
    assert "Import a CRL" not in text
    CertificateAuthority.objects.filter(pk=authority.pk).update(
        revocation_policy="off", bundle=ca.pem
    )
    text = text_of(as_root.get(page(f"{AUTHORITY}_change", authority.pk)))
    assert "no longer in the bundle" in text
    text = text_of(as_root.get(page(f"{AUTHORITY}_changelist")))
    assert "off, 3 CRLs" in text


def test_partition_on_the_page(as_root: Client, ca: ThrowawayCA) -> None:
    """The scope of a CRL is below its issuer; long tables are cut short."""
    from cryptography import x509

    authority = CertificateAuthority.objects.create(name="A", bundle=ca.pem)
    point = x509.IssuingDistributionPoint(
        full_name=None,
        relative_name=None,
        only_contains_user_certs=True,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )
    import_crl(authority, ca.crl(distribution_point=point))
    text = text_of(as_root.get(page(f"{AUTHORITY}_change", authority.pk)))
    assert "CN=Test Root CA certificates of end entities only" in text


def test_more_than_fit(
    as_root: Client, authority: CertificateAuthority, ca: ThrowawayCA, monkeypatch: Any
) -> None:
    """The page of an authority with hundreds of CRLs or periods stays short."""
    monkeypatch.setattr(markup, "MAX_SHOWN", 0)
    import_crl(authority, ca.crl())
    revoke_period(authority, NOW - DAY, NOW)
    authority.refresh_from_db()
    assert "and 1 more" in show_crls(authority, NOW)
    monkeypatch.setattr(markup, "MAX_SHOWN", 1)
    revoke_period(authority, NOW - 3 * DAY, NOW - 2 * DAY)
    authority.refresh_from_db()
    assert "and 1 more" in show_revocations(authority, NOW)


@pytest.mark.parametrize("info", ["junk", '{"scope": 1}', None])
def test_broken_state_is_shown(
    as_root: Client, authority: CertificateAuthority, info: str | None
) -> None:
    """A row that cannot be read is shown, and what is wrong said."""
    if info is None:
        CertificateAuthority.objects.update(revocation_policy="odd")
    else:
        RevocationList.objects.create(
            authority=authority, info=info, this_update=NOW, entry_count=0
        )
    for address in (
        page(f"{AUTHORITY}_change", authority.pk),
        page(f"{AUTHORITY}_changelist"),
    ):
        response = as_root.get(address)
        assert response.status_code == 200
    assert "cannot be read" in text_of(response)


def test_broken_bundle_with_lists(
    as_root: Client, authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """What is loaded is shown though the certificates cannot be."""
    gone = ca.issue_ca("Gone")
    authority.bundle += gone.pem
    authority.save()
    import_crl(authority, ca.crl([gone]))
    revoke_certificate(parsed(gone))
    odd = write.certificate(
        ca, subject=write.common_name(b"\xff"), extensions=write.CA_EXTENSIONS
    )
    unreadable = write.certificate(ca, serial=b"\x02\x00")
    crls = get_state(reload(authority)).crls
    for bundle in (
        "junk",
        gone.pem,
        ca.pem + ThrowawayCA.create().pem,
        ca.pem + encode_pem(unreadable),
    ):
        CertificateAuthority.objects.filter(pk=authority.pk).update(bundle=bundle)
        response = as_root.get(page(f"{AUTHORITY}_change", authority.pk))
        assert response.status_code == 200
        assert show_revocations(reload(authority), NOW)
        assert get_state(reload(authority)).crls == crls
    upload = SimpleUploadedFile("odd.der", odd)
    CertificateAuthority.objects.filter(pk=authority.pk).update(
        bundle=ca.pem, revocation_policy="required"
    )
    messages_after(change(as_root, reload(authority), upload=upload))
    response = as_root.get(page(f"{AUTHORITY}_change", authority.pk))
    assert response.status_code == 200
