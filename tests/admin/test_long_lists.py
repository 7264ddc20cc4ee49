"""The lists of the admin, where there are a million rows: plans, counts, searches.

What is asked here is how the database goes about it, not how long it takes; that is
what ``benchmarks/admin.py`` is for.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Q
from django.test import Client
from django.utils import timezone

from django_clientcert.admin.base import base_admin, long_lists, search
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
)
from django_clientcert.x509.identities import IdentityKind, parse_identity
from tests.queries import Access, Query, captured

from .pages import AUTHORITY, MAPPING, REVOCATION, page, text_of

LIST = f"{MAPPING}_changelist"
TABLE = CertificateMapping._meta.db_table
ROWS = 400

not_on_mariadb = pytest.mark.skipif(
    connection.vendor == "mysql",
    reason="MariaDB reads a short table from one end to the other, and cannot be told",
)


def make(number: int, user: Any, **fields: Any) -> CertificateMapping:
    """Return a mapping by fingerprint, not saved."""
    value = f"{number:08x}{'5a' * 28}"
    return CertificateMapping(
        user=user,
        **{
            "kind": "fingerprint",
            "value": value,
            "key": bytes.fromhex(value),
            **fields,
        },
    )


@pytest.fixture
def rows(db: None) -> list[CertificateMapping]:
    """Return mappings of which few are anything else than most."""
    user = get_user_model().objects.create_user("alice")
    now = timezone.now()
    made = CertificateMapping.objects.bulk_create(
        make(
            number,
            user,
            kind="fingerprint" if number % 20 else "public_key",
            state="active" if number % 50 else "disabled",
            last_used_at=now if number % 40 else None,
            certificate_not_after=now + dt.timedelta(days=number),
            valid_until=now + dt.timedelta(days=5) if not number % 100 else None,
        )
        for number in range(ROWS)
    )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    return made


@pytest.fixture
def few_plans(db: None) -> None:
    """Let PostgreSQL read or sort a whole table only where it has to."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for way in ("seqscan", "sort", "incremental_sort", "bitmapscan"):
                cursor.execute(f"SET LOCAL enable_{way} = off")


def queries_of(client: Client, **query: str) -> list[Query]:
    """Return the queries of the list that are about the mappings."""
    with captured("cold") as queries:
        assert client.get(page(LIST), query).status_code == 200
    return [query for query in queries if TABLE in query.sql.split("WHERE")[0]]


def result_of(client: Client, name: str = LIST, **query: str) -> Any:
    """Return the list as the page has it."""
    response = client.get(page(name), query)
    assert response.status_code == 200
    return response.context["cl"]


def keys_of(client: Client, **query: str) -> set[Any]:
    """Return the keys of the mappings that the list shows."""
    return {row.pk for row in result_of(client, **query).result_list}


# --- order ------------------------------------------------------------------------


@not_on_mariadb
@pytest.mark.parametrize("order", ["", *"1245", "-2", "-4", "-5", "6", "-6"])
def test_each_order_is_that_of_an_index(
    as_root: Client, rows: Any, few_plans: None, order: str
) -> None:
    """Nothing is sorted, in either direction: the first page reads its own rows."""
    query = {"o": order} if order else {}
    *_, shown = (
        query for query in queries_of(as_root, **query) if "ORDER BY" in query.sql
    )
    assert "LIMIT 100" in shown.sql
    # By user, the few rows of one are.
    assert shown.sorts() <= {"", "last term"} if order == "1" else not shown.sorts()


@not_on_mariadb
def test_the_plans_can_tell_a_sort(rows: Any, few_plans: None) -> None:
    """By the value, that is by no index, everything would be sorted."""
    with captured() as queries:
        list(CertificateMapping.objects.order_by("value", "pk")[:100])
    assert queries[0].sorts()


def test_a_column_without_index_cannot_be_sorted_by(as_root: Client, rows: Any) -> None:
    """Such a request is shown in the usual order."""
    shown = [row.pk for row in result_of(as_root, o="3").result_list]
    assert shown == sorted(shown, reverse=True)
    assert "o=3" not in as_root.get(page(LIST)).content.decode()


def test_ties_are_broken_the_same_way(as_root: Client, rows: Any) -> None:
    """The key follows the direction of the column before it."""
    for order in ("4", "2"):
        shown = list(result_of(as_root, o=order).result_list)
        back = list(result_of(as_root, o=f"-{order}", p="4").result_list)
        assert shown == back[::-1]


# --- filters ----------------------------------------------------------------------


@not_on_mariadb
@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        ({"state__exact": "disabled"}, {"clientcert_mapping_state"}),
        ({"kind__exact": "public_key"}, {"clientcert_mapping_kind"}),
        ({"used": "never"}, {"clientcert_mapping_used"}),
        ({"used": "before"}, {"clientcert_mapping_used"}),
        (
            {"validity": "week"},
            {"clientcert_mapping_cert_end", "clientcert_mapping_end"},
        ),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_filters_count_by_index(
    as_root: Client, rows: Any, query: dict[str, str], indexes: set[str]
) -> None:
    """What is rare is found without reading all the others."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
    counted = queries_of(as_root, **query)[0]
    assert "COUNT(" in counted.sql
    used = {access.index for access in counted.plan() if access.table == TABLE}
    assert used == indexes


def test_filters_find_what_they_say(as_root: Client, rows: Any) -> None:
    """The same rows as without indexes."""
    now = timezone.now()
    ending = {
        row.pk: min(
            date for date in (row.certificate_not_after, row.valid_until) if date
        )
        for row in rows
    }
    for name, days in (("week", 7), ("soon", 30), ("quarter", 90)):
        until = now + dt.timedelta(days=days)
        expected = {pk for pk, end in ending.items() if now <= end < until}
        assert keys_of(as_root, validity=name) == expected, name
    never = {row.pk for row in rows if row.last_used_at is None}
    assert keys_of(as_root, used="never") == never


@not_on_mariadb
def test_a_fingerprint_is_found_by_its_index_whatever_the_filter(
    as_root: Client, rows: Any
) -> None:
    """SQLite would take the index of the kind, and read half of the table."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
    asked = queries_of(as_root, q="00000014", kind__exact="public_key")
    assert keys_of(as_root, q="00000014", kind__exact="public_key") == {rows[20].pk}
    (by_key,) = [query for query in asked if " BETWEEN " in query.sql]
    assert by_key.plan() == [Access(TABLE, "clientcert_mapping_key")]


@not_on_mariadb
def test_a_twin_is_looked_for_by_its_key(rows: Any) -> None:
    """By no other index: a million rows are of the same kind."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
    with captured() as queries, pytest.raises(ValidationError, match="already"):
        make(3, rows[0].user).clean()
    (asked,) = [query for query in queries if TABLE in query.sql]
    first, *joined = asked.plan()
    assert first == Access(TABLE, "clientcert_mapping_key")
    assert all(access.index for access in joined)


@pytest.mark.parametrize("name", [LIST, f"{AUTHORITY}_changelist"])
def test_no_facets(as_root: Client, rows: Any, name: str) -> None:
    """Each of them would count all rows, whoever asks for them."""
    counts = []
    for query in ({}, {"_facets": "True"}):
        with captured("cold") as queries:
            as_root.get(page(name), query)
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- counting ---------------------------------------------------------------------


@pytest.fixture
def counts_to_20(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long is what has more than 20 rows."""
    for module in (long_lists, base_admin):
        monkeypatch.setattr(module, "MAX_COUNTED", 20)


def test_a_short_list_is_counted(as_root: Client, rows: Any) -> None:
    """And nothing more is said."""
    changelist = result_of(as_root, state__exact="disabled")
    assert changelist.result_count == 8
    assert changelist.count_note == ""


def test_what_is_narrowed_down_is_counted_to_a_limit(
    as_root: Client, rows: Any, counts_to_20: None, monkeypatch: Any
) -> None:
    """The page says that there are more; there is none beyond the limit."""
    monkeypatch.setattr(base_admin.ClientCertModelAdmin, "list_per_page", 10)
    response = as_root.get(page(LIST), {"state__exact": "active"})
    changelist = response.context["cl"]
    assert changelist.result_count == 20
    assert "There are more than these 20 rows: narrow the list down" in text_of(
        response
    )
    assert changelist.paginator.num_pages == 2
    second = result_of(as_root, state__exact="active", p="2")
    assert len(second.result_list) == 10
    beyond = as_root.get(page(LIST), {"state__exact": "active", "p": "3"})
    assert (beyond.status_code, beyond["Location"]) == (302, f"{page(LIST)}?e=1")


def test_deep_pages_are_found_by_their_keys(
    as_root: Client, rows: Any, counts_to_20: None, monkeypatch: Any
) -> None:
    """And have the rows that they would have otherwise."""
    monkeypatch.setattr(base_admin.ClientCertModelAdmin, "list_per_page", 10)
    shown = []
    for number in range(1, ROWS // 10 + 1):
        shown += [row.pk for row in result_of(as_root, p=str(number)).result_list]
    assert shown == sorted((row.pk for row in rows), reverse=True)
    deep = queries_of(as_root, p="30")
    assert any(
        "OFFSET 290" in query.sql and "user_id" not in query.sql for query in deep
    )


@pytest.mark.parametrize("believed", [50, 250, ROWS, 900])
def test_an_estimate_is_put_right_on_the_last_page(
    as_root: Client,
    rows: Any,
    counts_to_20: None,
    monkeypatch: pytest.MonkeyPatch,
    believed: int,
) -> None:
    """However wrong it was, and whichever page is asked for that is not there."""
    monkeypatch.setattr(base_admin.ClientCertModelAdmin, "list_per_page", 10)
    vendor = connection.vendor
    monkeypatch.setitem(long_lists._ESTIMATES, vendor, lambda rows: believed)
    response = as_root.get(page(LIST))
    assert response.context["cl"].result_count == believed
    assert "Approximate count (database estimate)" in text_of(response)
    last = result_of(as_root, p=str(min(believed, ROWS) // 10))
    assert len(last.result_list) == 10
    if believed <= ROWS:
        assert (last.result_count, last.count_note) == (ROWS, "")
        assert last.paginator.num_pages == ROWS // 10
    for beyond in ("70", "90", "91", "1000000"):
        answer = as_root.get(page(LIST), {"p": beyond})
        assert (answer.status_code, answer["Location"]) == (302, f"{page(LIST)}?e=1")


def test_a_small_estimate_is_not_believed(
    as_root: Client, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting is cheap then."""
    monkeypatch.setitem(long_lists._ESTIMATES, connection.vendor, lambda rows: 3)
    changelist = result_of(as_root)
    assert (changelist.result_count, changelist.count_note) == (ROWS, "")


def test_what_postgresql_expects(rows: Any) -> None:
    """The number in its plan; another database has none to give."""
    plan = '[{"Plan": {"Node Type": "Gather", "Plan Rows": 1000123}}]'
    assert long_lists._expected(plan) == 1_000_123
    if connection.vendor == "postgresql":
        assert long_lists._planned(CertificateMapping.objects.all()) == ROWS
        assert set(long_lists._ESTIMATES) == {"postgresql"}
    elif connection.vendor == "sqlite":
        with pytest.raises(ValueError, match="format"):
            long_lists._planned(CertificateMapping.objects.all())


def test_an_authority_says_how_many_rely_on_it(
    as_root: Client, rows: Any, ca: Any, counts_to_20: None
) -> None:
    """Up to a limit; on the list and on its page."""
    many, few = (
        CertificateAuthority.objects.create(name=name, bundle=ca.pem)
        for name in ("Many", "Few")
    )
    pks = [row.pk for row in rows]
    CertificateMapping.objects.filter(pk__in=pks[:30]).update(authority=many)
    CertificateMapping.objects.filter(pk__in=pks[30:50]).update(authority=few)
    text = text_of(as_root.get(page(f"{AUTHORITY}_changelist")))
    assert "more than 20" in text.partition("Many")[2]
    assert "more than" not in text.partition("Few")[2].partition("Many")[0]
    assert "more than 20" in text_of(as_root.get(page(f"{AUTHORITY}_change", many.pk)))
    assert "Mappings: 20" in text_of(as_root.get(page(f"{AUTHORITY}_change", few.pk)))


# --- actions ----------------------------------------------------------------------


@pytest.mark.parametrize("action", ["enable", "disable", "revoke", "delete_selected"])
def test_an_action_on_all_of_too_many_does_nothing(
    as_root: Client, rows: Any, counts_to_20: None, action: str
) -> None:
    """None of them is loaded: the page says what to do."""
    data = {
        "action": action,
        "select_across": "1",
        "_selected_action": [rows[0].pk],
        "post": "yes",
    }
    with captured() as queries:
        answer = as_root.post(page(LIST), data)
    loading = [query.sql for query in queries if "certificate_subject" in query.sql]
    # The page of the list itself
    assert all(sql.endswith("LIMIT 100") for sql in loading)
    assert answer.status_code == 302
    text = text_of(as_root.get(page(LIST)))
    assert "At most 20 rows at a time: narrow the list down first." in text
    assert CertificateMapping.objects.filter(state="disabled").count() == 8
    assert CertificateMapping.objects.count() == ROWS


def test_an_action_on_all_of_some(
    as_root: Client, rows: Any, counts_to_20: None
) -> None:
    """A list that was narrowed down is short enough."""
    answer = as_root.post(
        f"{page(LIST)}?state__exact=disabled",
        {"action": "enable", "select_across": "1", "_selected_action": [rows[0].pk]},
    )
    assert answer.status_code == 302
    assert not CertificateMapping.objects.filter(state="disabled").exists()


# --- searching --------------------------------------------------------------------


@pytest.fixture
def searches_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are looked into in the newest 3 rows of each table."""
    monkeypatch.setattr(search, "MAX_SEARCHED", 3)


def test_old_rows_are_found_by_whole_names(
    db: None, as_root: Client, authority: Any, rows: Any, searches_3: None
) -> None:
    """By value, by subject in either order, and by beginnings of names of users."""
    user = get_user_model().objects.create_user("Carol.Example")
    names = {
        "san_email": "carol@example.com",
        "san_uri": "spiffe://example.com/carol",
        "subject": "CN=Carol,O=Example Corp,C=DE",
        "issuer_serial": "1ead85 CN=Test Root CA,C=DE",
    }
    identities = {
        kind: parse_identity(IdentityKind(kind), it) for kind, it in names.items()
    }
    made = {}
    for kind, identity in identities.items():
        mapping = make(
            0,
            rows[0].user,
            kind=kind,
            value=identity.value,
            key=identity.key,
            authority=authority,
        )
        mapping.save()
        made[kind] = mapping.pk
    pin = make(9000, user, certificate_subject="CN=Carol,O=Example Corp,C=DE")
    pin.save()
    CertificateMapping.objects.filter(pk=pin.pk).update(
        certificate_subject_key=identities["subject"].key,
        certificate_subject="CN=Carol,O=Example Corp,C=DE",
    )
    for number in range(3):
        make(9100 + number, rows[0].user).save()
        get_user_model().objects.create_user(f"later{number}")
    assert keys_of(as_root, q="carol@EXAMPLE.com") == {made["san_email"]}
    assert keys_of(as_root, q=names["san_uri"]) == {made["san_uri"]}
    assert keys_of(as_root, q=names["issuer_serial"]) == {made["issuer_serial"]}
    both = {made["subject"], pin.pk}
    assert keys_of(as_root, q=names["subject"]) == both
    assert keys_of(as_root, q="/C=DE/O=Example Corp/CN=Carol") == both
    assert keys_of(as_root, q="Carol.E") == {pin.pk}
    assert keys_of(as_root, q="Carol.E", state__exact="disabled") == set()
    # A part of a name: not in what is older.
    assert keys_of(as_root, q="arol") == set()
    search.MAX_SEARCHED = 400
    assert keys_of(as_root, q="arol") == {*made.values(), pin.pk} - {
        made["issuer_serial"]
    }


def test_a_user_name_in_another_case(as_root: Client, rows: Any) -> None:
    """As typed, in capitals, in small letters, or capitalised."""
    User = get_user_model()
    users = [User.objects.create_user(name) for name in ("zoe", "Zora", "ZULU")]
    for number, user in enumerate(users):
        make(9000 + number, user).save()
    mapped = {
        mapping.user_id: mapping.pk for mapping in CertificateMapping.objects.all()
    }
    for term, expected in (("ZOE", 0), ("zora", 1), ("zulu", 2)):
        assert keys_of(as_root, q=term) == {mapped[users[expected].pk]}


def test_more_than_is_shown(
    as_root: Client, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many that were found, some; the page says so."""
    response = as_root.get(page(LIST), {"q": "alice"})
    assert response.context["cl"].result_count == ROWS
    assert "Not all results are shown" not in text_of(response)
    monkeypatch.setattr(search, "MAX_FOUND", 10)
    response = as_root.get(page(LIST), {"q": "alice"})
    assert response.context["cl"].result_count == 10
    assert "Not all results are shown." in text_of(response)


def test_how_a_name_begins_on_each_database() -> None:
    """By the index that Django makes there."""
    field: Any = get_user_model()._meta.get_field(get_user_model().USERNAME_FIELD)
    name = field.name
    both = [
        Q(**{f"{name}__startswith": spelling}) for spelling in ("ada", "ADA", "Ada")
    ]
    assert search.begins_with(field, "ada", "postgresql") == both[0] | both[1] | both[2]
    assert search.begins_with(field, "7", "sqlite") == Q(
        **{f"{name}__gte": "7", f"{name}__lte": "7\U0010ffff"}
    )
    assert search.begins_with(field, "Ada", "mysql") == Q(
        **{f"{name}__istartswith": "Ada"}
    )


def test_which_columns_have_an_index() -> None:
    """Of their own, or first in one of the table."""
    options = CertificateMapping._meta
    for name in ("id", "user", "key", "state", "valid_until"):
        assert search.is_indexed(options.get_field(name)), name  # type: ignore[arg-type]
    for name in ("value", "note", "valid_from"):
        assert not search.is_indexed(options.get_field(name)), name  # type: ignore[arg-type]


@not_on_mariadb
def test_the_beginning_of_a_user_name_uses_the_index(as_root: Client) -> None:
    """However many users there are."""
    User = get_user_model()
    field: Any = User._meta.get_field(User.USERNAME_FIELD)
    table = field.model._meta.db_table
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
    with captured() as queries:
        list(User.objects.filter(search.begins_with(field, "al", connection.vendor)))
    accesses = [access for access in queries[0].plan() if access.table == table]
    assert accesses
    assert all(access.index for access in accesses), accesses


def test_lists_without_index_look_at_the_newest(
    as_root: Client, rows: Any, searches_3: None
) -> None:
    """Of what an administrator revoked, too."""
    for number in range(4):
        Revocation.objects.create(
            public_key=bytes(32), description=f"CN=device {number}"
        )
    shown = result_of(as_root, f"{REVOCATION}_changelist", q="device")
    assert {row.description[-1] for row in shown.result_list} == {"1", "2", "3"}


@pytest.mark.parametrize("term", ["a\0b", " ", "a\0 b"])
def test_a_search_that_the_database_cannot_take(
    rf: Any, rows: Any, term: str, as_root: Client
) -> None:
    """Where no form has looked at it, as in the choice of a related row."""
    screen: Any = base_admin.admin.site.get_model_admin(CertificateMapping)
    rows, _ = screen.get_search_results(
        rf.get("/"), CertificateMapping.objects.all(), term
    )
    assert len(rows) == (ROWS if term == " " else 0)
