"""The expiry timeline with its chart, and the card on the app's index page."""

from __future__ import annotations

import datetime as dt
import re
from itertools import pairwise
from typing import Any

import pytest
from django.contrib.admin import AdminSite, site
from django.db import connection
from django.template import Context
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import ResolverMatch
from django.utils import timezone, translation

from django_clientcert.admin import dashboard
from django_clientcert.admin.base import bounded
from django_clientcert.admin.mappings import timeline
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    RevocationList,
    UnknownCertificate,
)
from django_clientcert.templatetags.clientcert_dashboard import clientcert_dashboard
from django_clientcert.testing import ThrowawayCA
from django_clientcert.trust.crl_import import import_crl

from .pages import MAPPING, UNKNOWN, log_in, make_staff, page, text_of

pytestmark = pytest.mark.django_db

NOW = timezone.now()
DAY = dt.timedelta(days=1)
MINUTE = dt.timedelta(minutes=1)
# Longer than the suite takes from here to any test
HOURS = dt.timedelta(hours=6)
TIMELINE = f"{MAPPING}_timeline"
LIVING = "state__in=active,scheduled,retiring"


@pytest.fixture
def ends(alice: Any) -> Any:
    """Return a function that makes mappings: date and certificate expire as given."""
    numbers = iter(range(1, 10_000))

    def make(*spans: Any, **values: Any) -> None:
        rows = [
            CertificateMapping(
                user=alice,
                kind="fingerprint",
                value=f"{number:064x}",
                key=number.to_bytes(32, "big"),
                valid_until=None if date is None else NOW + date,
                certificate_not_after=None if end is None else NOW + end,
                certificate_subject=f"CN=c{number}",
                **values,
            )
            for (date, end), number in zip(spans, numbers, strict=False)
        ]
        CertificateMapping.objects.bulk_create(rows)

    return make


def show(client: Client, what: str | None = None) -> Any:
    """Return the page; *what* is the chosen period."""
    response = client.get(page(TIMELINE), {} if what is None else {"show": what})
    assert response.status_code == 200
    return response


def counts(response: Any) -> dict[str, str]:
    """Return the count of each period."""
    return {one["name"]: str(one["count"]) for one in response.context["choices"]}


def names(response: Any) -> list[str]:
    """Return the names in the table."""
    return [row["name"] for row in response.context["rows"]]


def test_each_choice_has_what_ends_then(as_root: Client, ends: Any) -> None:
    """The earlier of date and certificate counts, and each mapping once."""
    ends(
        (-MINUTE, None),
        (None, -2 * DAY),
        (-3 * DAY, 400 * DAY),  # its date is over, its certificate is not
        (400 * DAY, -4 * DAY),
        (7 * DAY - MINUTE, None),
        (7 * DAY + HOURS, 7 * DAY + HOURS),  # both at the same time
        (None, 29 * DAY),
        (89 * DAY, 300 * DAY),
        (300 * DAY, None),
        (None, 800 * DAY),
        (None, None),
    )
    ends((DAY, DAY), (-DAY, -DAY), state="disabled")
    response = show(as_root)
    assert counts(response) == {
        "expired": "4",
        "week": "1",
        "soon": "3",
        "quarter": "4",
        "year": "5",
    }
    for name, number in counts(response).items():
        assert len(names(show(as_root, name))) == int(number)
    # The soonest first; of what is over, the latest first.
    assert names(show(as_root, "soon"))[-1] == "CN=c7"
    expired = show(as_root, "expired").context["rows"]
    assert [row["what"] for row in expired] == [
        *("mapping", "certificate", "mapping", "certificate")
    ]
    assert [row["name"] for row in expired][1::2] == ["CN=c2", "CN=c4"]
    assert names(show(as_root, "soon")) == names(response)
    assert names(show(as_root, "nonsense")) == names(response)


def test_the_picture_has_the_same_numbers(as_root: Client, ends: Any) -> None:
    """A column of what has expired and one per month, without a gap."""
    months = list(timeline._months(NOW))
    ends(*[(one.until - NOW, None) for one in months], (-DAY, None))
    response = show(as_root)
    columns = response.context["chart"]["columns"]
    assert [str(one["total"]) for one in columns] == ["1"] * (1 + len(months))
    assert all(len(one["bars"]) == 1 for one in columns)
    content = response.content.decode()
    assert content.count('class="clientcert-bar clientcert-bar-plain"') == (
        len(columns) + 1
    )
    assert 'role="img" aria-labelledby="timeline-title timeline-text"' in content


@pytest.mark.parametrize(
    ("now", "number"),
    [
        ("2026-11-26T12:00", 13),
        ("2027-01-31T12:00", 13),
        ("2027-03-01T12:00", 12),  # the 29th of February makes the year one shorter
        ("2028-02-29T12:00", 13),
        ("2027-01-01T00:00", 12),
    ],
)
def test_months(settings: Any, now: str, number: int) -> None:
    """The months cover a year without a gap."""
    settings.TIME_ZONE = "Europe/Berlin"
    begin = timezone.make_aware(dt.datetime.fromisoformat(now))
    months = list(timeline._months(begin))
    assert len(months) == number
    assert (months[0].after, months[-1].until) == (begin, begin + 365 * DAY)
    assert all(one.after is not None and one.after < one.until for one in months)
    assert all(a.until == b.after for a, b in pairwise(months))
    starts = [timezone.localtime(one.until + MINUTE) for one in months[:-1]]
    assert {(one.day, one.hour) for one in starts} == {(1, 0)}


def test_a_certificate_of_a_year_is_there(as_root: Client, ends: Any) -> None:
    """A certificate that was issued today for one year is included."""
    ends((None, 364 * DAY), (365 * DAY + HOURS, None))
    response = show(as_root, "year")
    assert names(response) == ["CN=c1"]
    # On the first of a month, it ends in the month before the last.
    columns = response.context["chart"]["columns"][-2:]
    assert sum(int(str(column["total"])) for column in columns) == 1


def hide(monkeypatch: Any, *models: Any, rows_too: bool) -> None:
    """Let the admin of *models* hide all rows, from the list or one by one."""
    for model in models:
        screens = site.get_model_admin(model)
        if rows_too:
            none = model.objects.none()
            monkeypatch.setattr(screens, "get_queryset", lambda request, n=none: n)
        else:
            monkeypatch.setattr(
                screens, "has_view_permission", lambda request, obj=None: obj is None
            )


@pytest.mark.parametrize("rows_too", [True, False], ids=["list", "each"])
def test_what_a_project_hides_is_hidden_here(
    as_root: Client,
    ca: ThrowawayCA,
    authority: CertificateAuthority,
    ends: Any,
    monkeypatch: Any,
    rows_too: bool,
) -> None:
    """A project's own admin may show each user only some of the rows."""
    ends((DAY, None), (None, 2 * DAY))
    short = ThrowawayCA.create("Short", not_after=NOW + 3 * DAY)
    CertificateAuthority.objects.create(name="Two", bundle=short.pem)
    import_crl(authority, ca.crl(next_update=NOW + 5 * DAY))
    UnknownCertificate.objects.create(
        public_key=b"k" * 32, fingerprint=b"f" * 32, certificate=b"x"
    )
    assert len(names(show(as_root))) == 4
    hide(
        monkeypatch,
        *(CertificateMapping, CertificateAuthority, RevocationList),
        UnknownCertificate,
        rows_too=rows_too,
    )
    response = show(as_root)
    assert names(response) == []
    assert "Short" not in response.content.decode()
    if rows_too:
        assert set(counts(response).values()) == {"0"}
        assert {number for number, _ in card(as_root).values()} == {"0"}


def test_authorities_and_lists(
    as_root: Client, ca: ThrowawayCA, authority: CertificateAuthority, ends: Any
) -> None:
    """The expiries of authorities and CRLs, for users who may view them."""
    short = ThrowawayCA.create("<i>Short", not_after=NOW + 20 * DAY)
    old = ThrowawayCA.create("Old", not_before=NOW - 9 * DAY, not_after=NOW - 2 * DAY)
    CertificateAuthority.objects.create(name="Two", bundle=short.pem + old.pem)
    import_crl(authority, ca.crl(next_update=NOW + 5 * DAY))
    response = show(as_root)
    assert counts(response)["expired"] == "1"
    assert counts(response)["soon"] == "2"
    assert [row["what"] for row in response.context["rows"]] == [
        "CRL",
        "certificate of an authority",
    ]
    content = response.content.decode()
    assert "&lt;i" in content
    assert "<i" not in content[content.index('id="content"') :].replace("<input", "")
    columns = response.context["chart"]["columns"]
    assert {bar["fill"] for one in columns for bar in one["bars"]} == {
        "url(#timeline-stripes)",
        "url(#timeline-dots)",
    }
    viewer = log_in(make_staff("viewer", "view_certificatemapping"))
    assert set(counts(show(viewer)).values()) == {"0"}
    assert names(show(viewer)) == []
    assert "Nothing expires in this period." in text_of(show(viewer))
    both = ("view_certificatemapping", "view_revocationlist")
    assert counts(show(log_in(make_staff("both", *both))))["soon"] == "1"


def test_links(as_root: Client, ends: Any, alice: Any) -> None:
    """The page links to each row, and to the mappings that nobody uses."""
    ends((DAY, None))
    mapping = CertificateMapping.objects.get()
    content = show(as_root).content.decode()
    assert f'href="{page(f"{MAPPING}_change", mapping.pk)}"' in content
    unused = page(f"{MAPPING}_changelist") + f"?used=never&amp;{LIVING}"
    assert f'href="{unused}"' in content
    listed = as_root.get(unused.replace("&amp;", "&"))
    assert list(listed.context["cl"].result_list) == [mapping]
    listed = as_root.get(page(f"{MAPPING}_changelist")).content.decode()
    assert f'href="{page(TIMELINE)}"' in listed


def test_long_lists_are_cut_and_counted(
    as_root: Client, ends: Any, monkeypatch: Any
) -> None:
    """The page says if a list is cut off, or a count is."""
    monkeypatch.setattr(timeline, "MAX_LISTED", 3)
    monkeypatch.setattr(bounded, "MAX_COUNTED", 5)
    ends(*[(number * DAY, None) for number in range(1, 4)])
    assert show(as_root).context["more"] == ""
    ends((None, 5 * DAY))
    response = show(as_root)
    assert response.context["more"] == "Showing 3 of 4."
    assert len(names(response)) == 3
    # Five are counted of those that end by their date, and one by its certificate.
    ends(*[(number * DAY, None) for number in range(1, 4)])
    response = show(as_root)
    assert response.context["more"] == "Showing 3 of more than 6."
    assert counts(response)["soon"] == "more than 6"
    ends(*[(-number * DAY, None) for number in range(1, 7)])
    content = show(as_root).content.decode()
    assert re.search(r"<text[^>]*>5\+</text>", content)


def test_it_costs_the_same_however_many(as_root: Client, ends: Any) -> None:
    """The number of queries does not depend on the number of rows."""
    needed = []
    for _ in range(2):
        ends(*[(number * DAY, None) for number in range(1, 30)])
        with CaptureQueriesContext(connection) as queries:
            show(as_root, "year")
        needed.append(len(queries))
    assert needed[0] == needed[1]


def test_who_may_see_it(client: Client) -> None:
    """The page needs the permission to view mappings."""
    assert client.get(page(TIMELINE)).status_code == 302
    for name, status in (
        ("view_certificateauthority", 403),
        ("add_certificatemapping", 403),
        ("view_certificatemapping", 200),
    ):
        who = log_in(make_staff(name, name))
        assert who.get(page(TIMELINE)).status_code == status


def test_markup(as_root: Client, ends: Any) -> None:
    """There are no inline styles, and the chart's numbers are not localized."""
    ends((DAY, None), (-DAY, None))
    for language in ("en", "de", "he"):
        with translation.override(language):
            response = as_root.get(
                page(TIMELINE), headers={"accept-language": language}
            )
        content = response.content.decode()
        body = content[content.index('id="content"') :]
        assert not re.search(r"<script(?![^>]* src=)|\sstyle=|\son\w+=", body)
        sizes = re.findall(r'<rect x="([^"]*)" y="([^"]*)"', body)
        assert sizes
        assert all(re.fullmatch(r"[0-9.]+", one) for pair in sizes for one in pair)
        identifiers = re.findall(r'\bid="([^"]*)"', content)
        assert len(identifiers) == len(set(identifiers))


def test_right_to_left(ends: Any) -> None:
    """In a right-to-left language, the first column is on the right."""
    made = [
        timeline.Column("a", "a", {"mappings": bounded.Count(1)}),
        timeline.Column("b", "b", {"mappings": bounded.Count(2)}),
    ]
    series = {"mappings": timeline.SERIES["mappings"]}
    for language, is_first in (("en", True), ("he", False)):
        with translation.override(language):
            first, second = (
                float(one["middle"])
                for one in timeline.draw_chart(made, series)["columns"]
            )
        assert (first < second) is is_first


# --- the app's index page --------------------------------------------------------


def card(client: Client) -> dict[str, tuple[str, str]]:
    """Return the count and URL of each entry by its label."""
    response = client.get("/admin/django_clientcert/")
    assert response.status_code == 200
    found = re.findall(
        r'<li><a href="([^"]*)"><strong>([^<]*)</strong> ([^<]*)</a>',
        response.content.decode(),
    )
    return {
        words: (number, address.replace("&amp;", "&"))
        for address, number, words in found
    }


def test_the_card(
    as_root: Client, ends: Any, authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """Each count is that of the linked changelist."""
    ends((-DAY, None), (DAY, None), (None, 20 * DAY), (80 * DAY, None), (None, None))
    ends((-DAY, None), (DAY, DAY), state="disabled")
    ends((None, None), last_used_at=NOW - 91 * DAY)
    ends((None, None), last_used_at=NOW - 89 * DAY)
    UnknownCertificate.objects.create(
        public_key=b"k" * 32, fingerprint=b"f" * 32, certificate=b"x"
    )
    import_crl(authority, ca.crl(next_update=NOW + 50 * DAY))
    short = ThrowawayCA.create("Short", not_after=NOW + DAY)
    CertificateAuthority.objects.create(name="Short", bundle=short.pem)
    shown = card(as_root)
    assert {words: number for words, (number, _) in shown.items()} == {
        "expired": "1",
        "expiring within 7 days": "1",
        "expiring within 30 days": "2",
        "expiring within 90 days": "3",
        "never used": "5",
        "not used for 90 days": "1",
        "authority’s certificate expires within 90 days": "1",
        "CRL expires within 90 days": "1",
        "refused certificates": "1",
    }
    for number, address in shown.values():
        response = as_root.get(address)
        assert response.status_code == 200
        if "cl" in response.context:
            assert response.context["cl"].result_count == int(number), address
    assert page(f"{UNKNOWN}_changelist") in shown["refused certificates"][1]


def test_the_card_for_others(ends: Any, authority: CertificateAuthority) -> None:
    """The card has only what the user may view."""
    ends((DAY, None))
    assert "expiring within 7 days" in card(
        log_in(make_staff("a", "view_certificatemapping"))
    )
    assert list(card(log_in(make_staff("b", "view_unknowncertificate")))) == [
        "refused certificates"
    ]
    response = log_in(make_staff("c", "view_certificateauthority")).get(
        "/admin/django_clientcert/"
    )
    assert "clientcert-dashboard" not in response.content.decode()


def test_pages_of_no_site(rf: RequestFactory, as_root: Client) -> None:
    """Outside the admin, there is no card."""
    assert clientcert_dashboard(Context({})) == {"card": None}
    request = rf.get("/")
    assert clientcert_dashboard(Context({"request": request})) == {"card": None}
    request.resolver_match = as_root.get("/admin/").resolver_match
    found = dashboard.find_site(request)
    assert site == found  # which is lazy
    # Another site of the name has other screens: it is not asked.
    other = AdminSite()
    assert other.name == site.name
    (pattern,) = [one for one in other.get_urls() if one.name == "index"]
    request.resolver_match = ResolverMatch(
        pattern.callback, (), {}, namespaces=["admin"]
    )
    assert dashboard.find_site(request) is other
    assert dashboard.make_card(request) is None
