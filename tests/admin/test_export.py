"""The admin's exports: selected mappings, all mappings, or the full configuration."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext

from django_clientcert.admin.base import base_admin as guarded
from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.testing import IssuedCertificate, ThrowawayCA

from .pages import (
    MAPPING,
    all_permissions,
    log_in,
    make_staff,
    messages_after,
    page,
    run_action,
)

pytestmark = pytest.mark.django_db

EXPORT = f"{MAPPING}_export"
EVERYTHING = [
    f"view_{name}" for name in ("certificateauthority", "revocationlist", "revocation")
]


def text_in(response: Any) -> str:
    """Return the text of a download."""
    assert response.status_code == 200
    assert response.streaming
    return b"".join(response).decode()


def users_in(text: str) -> list[str]:
    """Return the users of a file, whichever format it has."""
    if text.startswith("{"):
        return [one.get("user", one["type"]) for one in json.loads(text)["records"]]
    return [row["user"] for row in csv.DictReader(io.StringIO(text))]


@pytest.fixture
def mappings(alice: Any, bob: Any, alice_cert: IssuedCertificate) -> list[Any]:
    """One mapping each of Alice and Bob."""
    return [
        CertificateMapping.objects.create(
            user=alice,
            kind="fingerprint",
            value=alice_cert.fingerprint,
            certificate=alice_cert.der,
        ),
        CertificateMapping.objects.create(
            user=bob, kind="fingerprint", value="ab" * 32, note="=1+1"
        ),
    ]


@pytest.mark.parametrize("format", ["csv", "json"])
def test_selected(as_viewer: Client, mappings: list[Any], format: str) -> None:
    """The file contains the selected mappings only."""
    response = run_action(as_viewer, f"export_{format}", mappings[1:])
    assert users_in(text_in(response)) == ["bob"]
    name = response["Content-Disposition"]
    assert name.startswith('attachment; filename="certificate-mappings-2')
    assert name.endswith(f'.{format}"')
    assert format in response["Content-Type"]
    everybody = run_action(as_viewer, f"export_{format}", mappings)
    assert users_in(text_in(everybody)) == ["alice", "bob"]


def test_all_that_a_filter_leaves(as_viewer: Client, mappings: list[Any]) -> None:
    """All mappings that the filters of the changelist leave."""
    address = page(f"{MAPPING}_changelist") + "?q=alice"
    data = {
        "action": "export_csv",
        "_selected_action": [mappings[0].pk],
        "select_across": "1",
    }
    assert users_in(text_in(as_viewer.post(address, data))) == ["alice"]


def test_any_number_of_rows(
    as_viewer: Client, mappings: list[Any], monkeypatch: Any
) -> None:
    """Exports have no limit, unlike the other actions, because they are streamed."""
    monkeypatch.setattr(guarded, "MAX_COUNTED", 1)
    address = page(f"{MAPPING}_changelist")
    data = {
        "_selected_action": [mappings[0].pk],
        "select_across": "1",
        "action": "export_json",
    }
    assert users_in(text_in(as_viewer.post(address, data))) == ["alice", "bob"]
    changer = log_in(make_staff("changer", "change_certificatemapping"))
    for action in ("disable", ["export_json", "disable"]):
        response = changer.post(address, {**data, "action": action})
        ((level, text),) = messages_after(response)
        assert (level, "At most 1 rows at a time" in text) == ("error", True)


@pytest.mark.parametrize("what", ["csv", "json"])
def test_all(as_viewer: Client, mappings: list[Any], what: str) -> None:
    """All mappings; formulas are escaped in CSV."""
    form = as_viewer.get(page(EXPORT)).content.decode()
    assert f'value="{what}"' in form
    assert 'value="everything"' not in form
    text = text_in(as_viewer.post(page(EXPORT), {"what": what}))
    assert users_in(text) == ["alice", "bob"]
    assert ("'=1+1" in text) is (what == "csv")


@pytest.mark.parametrize("what", ["csv", "json"])
def test_a05_only_the_mappings_that_the_changelist_shows(
    as_viewer: Client, mappings: list[Any], monkeypatch: Any, what: str
) -> None:
    """A project's own admin may show each user only some of the mappings."""
    model_admin = admin.site.get_model_admin(CertificateMapping)
    rows = CertificateMapping.objects.filter(user__username="bob")
    monkeypatch.setattr(model_admin, "get_queryset", lambda request: rows)
    response = as_viewer.post(page(EXPORT), {"what": what})
    assert users_in(text_in(response)) == ["bob"]


def test_everything(mappings: list[Any], authority: CertificateAuthority) -> None:
    """The full configuration, for users who may view all of it."""
    who = log_in(make_staff("most", "view_certificatemapping", *EVERYTHING[1:]))
    refused = who.post(page(EXPORT), {"what": "everything"})
    assert "what" in refused.context["errors"]
    who = log_in(make_staff("all", "view_certificatemapping", *EVERYTHING))
    text = text_in(who.post(page(EXPORT), {"what": "everything"}))
    assert users_in(text) == ["authority", "alice", "bob"]


def test_a05_full_configuration_of_what_the_changelists_show(
    mappings: list[Any],
    authority: CertificateAuthority,
    other_ca: ThrowawayCA,
    monkeypatch: Any,
) -> None:
    """Rows that a project's own admin hides are in no export."""
    other = CertificateAuthority.objects.create(name="Other", bundle=other_ca.pem)
    for rows in (
        CertificateMapping.objects.filter(user__username="alice"),
        CertificateAuthority.objects.filter(pk=other.pk),
    ):
        model_admin = admin.site.get_model_admin(rows.model)
        monkeypatch.setattr(
            model_admin, "get_queryset", lambda request, rows=rows: rows
        )
    client = log_in(get_user_model().objects.create_superuser("root"))
    text = text_in(client.post(page(EXPORT), {"what": "everything"}))
    records = json.loads(text)["records"]
    assert [one.get("user", one.get("name")) for one in records] == ["Other", "alice"]


def test_there_and_back(mappings: list[Any], alice_cert: IssuedCertificate) -> None:
    """An exported file can be imported, with the same result."""
    client = log_in(get_user_model().objects.create_superuser("root"))
    before = list(CertificateMapping.objects.order_by("user").values("key", "note"))
    text = text_in(client.post(page(EXPORT), {"what": "csv"}))
    CertificateMapping.objects.all().delete()
    chosen = client.post(
        page(f"{MAPPING}_import"),
        {
            "uploads": io.BytesIO(text.encode()),
            "user_from": "file-name",
            "kind": "fingerprint",
        },
    )
    client.post(chosen["Location"], {"which": "all"})
    assert before == list(
        CertificateMapping.objects.order_by("user").values("key", "note")
    )


def test_who_may_export(client: Client, mappings: list[Any]) -> None:
    """Exporting needs the permission to view mappings."""
    assert client.get(page(EXPORT)).status_code == 302
    for names, status in (
        (["add_certificatemapping"], 403),
        (all_permissions("certificateauthority"), 403),
        (["change_certificatemapping"], 200),
    ):
        who = log_in(make_staff(f"with {names}", *names))
        assert who.get(page(EXPORT)).status_code == status
        assert who.post(page(EXPORT), {"what": "csv"}).status_code == status
    adder = log_in(make_staff("adder", "add_certificatemapping"))
    assert run_action(adder, "export_csv", mappings).status_code == 403


def test_it_is_streamed(as_viewer: Client, alice: Any) -> None:
    """The file is sent in large pieces, without a query per row."""
    CertificateMapping.objects.bulk_create(
        CertificateMapping(
            user=alice,
            kind="fingerprint",
            value=f"{number:064x}",
            key=number.to_bytes(32, "big"),
        )
        for number in range(2500)
    )
    response = as_viewer.post(page(EXPORT), {"what": "csv"})
    with CaptureQueriesContext(
        connection,
    ) as queries:
        pieces = list(response)
    assert len(queries) <= 4
    assert 3 < len(pieces) < 10
    assert len(users_in(b"".join(pieces).decode())) == 2500


def test_it_is_streamed_under_asgi_too(mappings: list[Any]) -> None:
    """See test_it_is_streamed(); each piece is written in a thread, on demand."""
    user = make_staff("viewer", "view_certificatemapping")

    async def ask() -> tuple[Any, bytes]:
        client = AsyncClient()
        await client.aforce_login(user, "django.contrib.auth.backends.ModelBackend")
        response = await client.post(page(EXPORT), {"what": "csv"})
        assert isinstance(response.asgi_request, ASGIRequest)
        assert isinstance(response.streaming_content, AsyncIterator)
        return response, b"".join([piece async for piece in response])

    response, body = async_to_sync(ask)()
    assert response.status_code == 200
    assert users_in(body.decode()) == ["alice", "bob"]


def test_the_day_in_the_name(as_viewer: Client, settings: Any) -> None:
    """The name has the local day, also without time zone support."""
    settings.USE_TZ = False
    response = as_viewer.post(page(EXPORT), {"what": "csv"})
    assert 'filename="certificate-mappings-2' in response["Content-Disposition"]
