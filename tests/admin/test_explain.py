"""The page that explains a decision: what it is asked, says, and hides."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_clientcert.admin.explain.form import ExplainForm
from django_clientcert.admin.explain.report_html import OUTCOMES, STEP_TITLES
from django_clientcert.admin.explain.screen import SOURCES
from django_clientcert.evaluation.peer import STEPS
from django_clientcert.explaining.reasons import EXPLANATIONS
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    CertificateMappingQuerySet,
    Revocation,
    SeenCertificate,
)
from django_clientcert.testing import IssuedCertificate, ThrowawayCA, encode_escaped_pem
from django_clientcert.trust.revoke import revoke_certificate
from django_clientcert.wire import PRESETS
from tests.private_keys import TEXTS, UPLOADS, secrets_of

from .pages import MAPPING, REVOCATION, log_in, make_staff, page, text_of
from .test_mappings import ODD
from .test_revocations import parsed, seen, stored

pytestmark = pytest.mark.django_db

NOW = timezone.now().replace(microsecond=0)
DAY = dt.timedelta(days=1)
EXPLAIN = f"{MAPPING}_explain"
FIELDS = ("pasted", "header", "host", "verdict", "peer", "at")


def ask(client: Client, query: str = "", /, **data: Any) -> Any:
    """Send the page; every answer is a page, and is written down nowhere."""
    response = client.post(page(EXPLAIN) + query, {**dict.fromkeys(FIELDS, ""), **data})
    assert response.status_code == 200
    assert not LogEntry.objects.exists()
    return response


def answer(response: Any) -> Any:
    """Return what the page explains."""
    report = response.context["answer"]
    assert report is not None, response.context["errors"]
    return report


def outcomes(response: Any) -> dict[str, str]:
    """Return the outcome of each step, as the page says it."""
    return {step["name"]: str(step["outcome"]) for step in answer(response)["steps"]}


def errors(response: Any) -> dict[str, list[str]]:
    """Return what is wrong with the question."""
    assert response.context["answer"] is None
    errors = response.context["errors"]
    assert errors
    return {name: [str(text) for text in texts] for name, texts in errors.items()}


# --- what is asked ----------------------------------------------------------------


def test_pasted_certificate_that_is_accepted(
    as_root: Client, mapping: CertificateMapping, alice_cert: IssuedCertificate
) -> None:
    """The result first, then each step with its outcome in words."""
    response = ask(as_root, pasted=alice_cert.pem)
    text = text_of(response)
    verdict = f"It would be accepted as alice, by mapping {mapping.pk}"
    assert verdict in text
    assert text.index(verdict) < text.index("Every step") < text.index("Circumstances")
    steps = outcomes(response)
    assert list(steps) == list(STEPS)
    assert steps["peer"] == steps["verdict"] == "not checked"
    assert set(steps.values()) == {"passed", "not checked"}
    assert (
        f'href="{page(f"{MAPPING}_change", mapping.pk)}"' in response.content.decode()
    )
    assert "What would have to change" not in text


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
def test_the_time_zone_is_named(as_root: Client, settings: Any, zone: str) -> None:
    """A date is read in it, whatever is shown in UTC."""
    settings.TIME_ZONE = zone
    shown = text_of(as_root.get(page(EXPLAIN)))
    assert (
        "When the request arrives. If empty, the current time is used. "
        f"In the time zone {zone}." in shown
    )


def test_get_and_links_to_the_page(as_root: Client, mapping: Any) -> None:
    """An empty form; the list and the mapping lead to it."""
    response = as_root.get(page(EXPLAIN))
    assert response.context["answer"] is None
    assert "errornote" not in response.content.decode()
    shown = as_root.get(page(f"{MAPPING}_changelist")).content.decode()
    assert f'href="{page(EXPLAIN)}"' in shown
    shown = as_root.get(page(f"{MAPPING}_change", mapping.pk)).content.decode()
    assert f'href="{page(EXPLAIN)}?mapping={mapping.pk}"' in shown


@pytest.mark.parametrize("how", ["pem", "der", "chain", "base64"])
def test_forms_of_a_certificate(
    as_root: Client,
    mapping: Any,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
    how: str,
) -> None:
    """Whatever can be mapped can be asked about, and asked about again."""
    uploads = {"pem": alice_cert.pem.encode(), "der": alice_cert.der}
    uploads["chain"] = (ca.pem + alice_cert.pem).encode()
    if how == "base64":
        lines = alice_cert.pem.splitlines()[1:-1]
        assert answer(ask(as_root, pasted="\n".join(lines)))["accepted"]
        return
    response = ask(as_root, upload=SimpleUploadedFile("c", uploads[how]))
    assert answer(response)["accepted"]
    assumed = " ".join(answer(response)["assumptions"])
    assert ("ingress-nginx forwards none" in assumed) is (how == "chain")
    again = response.context["adminform"].form["pasted"].value()
    assert answer(ask(as_root, pasted=again))["accepted"]


def test_header(
    as_root: Client, mapping: Any, alice_cert: IssuedCertificate, settings: Any
) -> None:
    """A request is judged, gates and all; what is not said is assumed and told."""
    settings.CLIENTCERT_HOSTS = ["api.example.com"]
    settings.CLIENTCERT_PROXY_SECRET = ("X-Secret", "hush-hush-hush-hush")
    value = encode_escaped_pem(alice_cert.der)
    response = ask(as_root, header=value + "\r\n")
    assert set(outcomes(response).values()) == {"passed"}
    assumed = answer(response)["assumptions"]
    assert "host: api.example.com, the first of CLIENTCERT_HOSTS" in assumed
    assert "verdict: SUCCESS, the proxy’s word for success" in assumed
    assert not [text for text in assumed if "--" in text]
    assert "hush" not in text_of(response)
    for data, reason in (
        ({"host": "other.example.com"}, "host_not_covered"),
        ({"peer": "192.0.2.1"}, "untrusted_peer"),
        ({"verdict": "failure-0"}, "proxy_verdict"),
        ({"verdict": "nothing"}, "proxy_verdict"),
        ({"header": value[:-9]}, "malformed_header"),
        ({"header": "x" * 20_000}, "header_too_large"),
        ({"at": "2001-01-01T00:00"}, "not_yet_valid"),
    ):
        report = answer(ask(as_root, **{"header": value, **data}))
        assert report["reason"] == reason, data
    assert answer(ask(as_root, header=value, host="API.example.com:443"))["accepted"]


@pytest.mark.parametrize("name", ["envoy", "haproxy", "uwsgi", "gunicorn"])
def test_other_proxies(
    as_root: Client, settings: Any, alice_cert: IssuedCertificate, name: str
) -> None:
    """What a proxy does not say cannot be chosen."""
    settings.CLIENTCERT_PROXY = name
    form = ExplainForm(None)
    choices = [key for key, _ in form.fields["verdict"].choices]  # type: ignore[attr-defined]
    assert choices[0] == ""
    assert ("success" in choices) is (PRESETS[name].verdict is not None)
    assert answer(ask(as_root, pasted=alice_cert.pem))["reason"] == "unmapped"
    assert answer(ask(as_root, header="%zz"))["reason"]


def test_verdict_and_date_for_a_certificate(
    as_root: Client, mapping: Any, alice_cert: IssuedCertificate, settings: Any
) -> None:
    """A certificate may be judged as if the proxy had spoken, and on another day."""
    settings.TIME_ZONE = "UTC"
    response = ask(as_root, pasted=alice_cert.pem, verdict="success")
    assert outcomes(response)["verdict"] == "passed"
    response = ask(as_root, pasted=alice_cert.pem, verdict="failure-0")
    assert answer(response)["reason"] == "proxy_verdict"
    response = ask(as_root, pasted=alice_cert.pem, at="2999-01-01T00:00")
    assert answer(response)["reason"] == "expired"
    assert "Evaluated as of 2999-01-01 00:00:00 UTC." in text_of(response)


def test_wrong_questions(
    as_root: Client, alice_cert: IssuedCertificate, mallory_cert: IssuedCertificate
) -> None:
    """Each error stands at its field."""
    other = SimpleUploadedFile("c", mallory_cert.der)
    pem = alice_cert.pem
    for field, data in {
        "pasted": {},
        "upload": {"pasted": pem, "upload": other},
        "header": {"pasted": pem, "header": "x"},
        "peer": {"pasted": pem, "peer": "10.0.0.1"},
        "verdict": {"pasted": pem, "verdict": "<b>"},
        "at": {"pasted": pem, "at": "9999-12-31T23:59"},
        "host": {"pasted": pem, "host": "h" * 999},
    }.items():
        response = ask(as_root, **data)
        assert list(errors(response)) == [field]
        assert "<b>" not in response.content.decode().replace("<b></b>", "")
    for text in ("junk", "junkjunk", "ß", pem + mallory_cert.pem, "a\0b"):
        assert list(errors(ask(as_root, pasted=text))) == ["pasted"]


@pytest.mark.parametrize(
    "host", ["", "[::1]", "a\u202eb", "..", ":", "<b>h", "ß", "[", "a" * 300]
)
def test_odd_hosts(
    as_root: Client, mapping: Any, alice_cert: IssuedCertificate, host: str
) -> None:
    """No host is too odd to be asked for."""
    mapping.hosts = "api.example.com"
    mapping.save()
    for data in (
        {"pasted": alice_cert.pem},
        {"header": encode_escaped_pem(alice_cert.der)},
    ):
        response = ask(as_root, host=host, **data)
        assert answer(response)["reason"] == "host_not_covered"
        assert "<b>h" not in response.content.decode()


# --- what is said -----------------------------------------------------------------


def test_every_step_and_outcome_has_words() -> None:
    """A step that is added gets a title."""
    assert list(STEP_TITLES) == list(STEPS)
    assert len(OUTCOMES) == 4


def test_refusal_says_what_would_have_to_change(
    as_root: Client, mallory_cert: IssuedCertificate, authority: Any
) -> None:
    """Meaning, remedy, the step that refused, and those after it."""
    response = ask(as_root, pasted=mallory_cert.pem)
    report = answer(response)
    (explanation,) = [
        explanation
        for reason, explanation in EXPLANATIONS.items()
        if reason.value == "unmapped"
    ]
    text = text_of(response)
    assert "It would be refused : unmapped" in text.replace("refused:", "refused :")
    assert str(explanation.meaning) in text
    assert str(explanation.remedy) in text
    assert report["detail"] in text
    steps = outcomes(response)
    assert (steps["match"], steps["verify"]) == ("refused", "not reached")
    assert "subject CN=mallory" in text.lower().replace("cn=", "CN=")
    (link,) = report["next_steps"]
    address = re.search('href="([^"]*)"', link)
    assert address is not None
    form = as_root.get(address[1].replace("&amp;", "&")).context["adminform"].form
    assert form["value"].value() == parsed(mallory_cert).public_key_fingerprint


def test_no_certificate_in_the_header(as_root: Client) -> None:
    """What programs write for nothing; no step has said so."""
    response = ask(as_root, header="(null)")
    assert answer(response)["reason"] == "no_certificate"
    assert set(outcomes(response).values()) == {"not reached"}


def test_successor_and_revocation(
    as_root: Client,
    as_viewer: Client,
    alice: Any,
    authority: Any,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
) -> None:
    """What it renews and what revokes it is linked, for whom may see it."""
    old = stored(alice, alice_cert)
    new = ca.issue("alice")
    report = answer(ask(as_root, pasted=new.pem))
    assert page(f"{MAPPING}_change", old.pk) in report["next_steps"][0]
    assert len(answer(ask(as_viewer, pasted=new.pem))["next_steps"]) == 1
    revocation = revoke_certificate(parsed(new))
    report = answer(ask(as_root, pasted=new.pem))
    assert report["reason"] == "revoked"
    assert page(f"{REVOCATION}_change", revocation.pk) in report["next_steps"][0]
    assert answer(ask(as_viewer, pasted=new.pem))["next_steps"] == []


def test_mapping_of_an_authority_and_for_hosts(
    as_root: Client, alice: Any, authority: Any, alice_cert: IssuedCertificate
) -> None:
    """What there is for each identity, with all that limits it."""
    CertificateMapping.objects.create(
        user=alice,
        kind="san_email",
        value="alice@example.com",
        authority=authority,
        hosts="a.example.com",
    )
    text = text_of(ask(as_root, pasted=alice_cert.pem, host="a.example.com"))
    assert ": alice, active, issued by Test CA, for a.example.com" in text
    assert "no mapping" in text


def test_many_mappings(as_root: Client, authority: Any, ca: ThrowawayCA) -> None:
    """They are listed up to a point, in as many queries as one."""
    issued = ca.issue("alice", emails=["a@example.com"])
    counts = []
    for total in (1, 25):
        for number in range(CertificateMapping.objects.count(), total):
            user = get_user_model().objects.create_user(f"u{number}")
            other = CertificateAuthority.objects.create(name=f"{number}", bundle=ca.pem)
            CertificateMapping.objects.create(
                user=user, kind="san_email", value="a@example.com", authority=other
            )
        ask(as_root, pasted=issued.pem)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            response = ask(as_root, pasted=issued.pem)
        counts.append(len(queries))
    assert "and 5 more" in text_of(response)
    assert counts[0] == counts[1]


def test_rule(
    as_root: Client,
    as_viewer: Client,
    alice: Any,
    authority: Any,
    alice_cert: IssuedCertificate,
) -> None:
    """Whom a rule names is told to whom may see users."""
    authority.rule_identity = "san_email"
    authority.rule_user_field = "email"
    authority.save()
    text = text_of(ask(as_root, pasted=alice_cert.pem))
    assert "It would be accepted as alice, by the rule of Test CA" in text
    text = text_of(ask(as_viewer, pasted=alice_cert.pem))
    assert "accepted as a user hidden from you, by the rule of Test CA" in text
    alice.delete()
    authority.rule_creates_users = True
    authority.save()
    text = text_of(ask(as_root, pasted=alice_cert.pem))
    assert "a new user, by the rule of Test CA" in text
    assert not get_user_model().objects.filter(email="alice@example.com").exists()


def test_database_that_fails(
    as_root: Client, monkeypatch: Any, alice_cert: IssuedCertificate
) -> None:
    """A refusal like any other."""

    def fail(*_arguments: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(CertificateMappingQuerySet, "matching", fail)
    response = ask(as_root, pasted=alice_cert.pem)
    assert (
        answer(response)["identities"][0]["mappings"] == "the mappings cannot be read"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("CLIENTCERT_PROXY", "no-such"), ("CLIENTCERT_PROXY_VERIFIES", "maybe")],
)
def test_settings_that_cannot_be_used(
    as_root: Client,
    mapping: Any,
    alice_cert: IssuedCertificate,
    settings: Any,
    name: str,
    value: str,
) -> None:
    """The page says so."""
    settings.MIDDLEWARE = [
        name for name in settings.MIDDLEWARE if "clientcert" not in name
    ]
    setattr(settings, name, value)
    mapping.authority = CertificateAuthority.objects.create(
        name="A", bundle=alice_cert.pem
    )
    mapping.save()
    response = ask(as_root, pasted=alice_cert.pem)
    assert "The settings cannot be used: " in text_of(response)
    assert name in text_of(response)


def test_no_backend(
    as_root: Client, mapping: Any, alice_cert: IssuedCertificate, settings: Any
) -> None:
    """Without the backend, Django's own rule on users counts, and that is said."""
    settings.MIDDLEWARE = [
        name for name in settings.MIDDLEWARE if "clientcert" not in name
    ]
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    response = ask(as_root, pasted=alice_cert.pem)
    assert answer(response)["assumptions"][-1].startswith("backend: none is configured")


@pytest.mark.filterwarnings("ignore:Parsed a serial number:UserWarning")
@pytest.mark.filterwarnings("ignore:The parsed certificate contains:UserWarning")
@pytest.mark.parametrize("case", ODD)
def test_n26_n29_odd_certificates_are_explained(
    as_root: Client, alice: Any, ca: ThrowawayCA, case: str
) -> None:
    """N26, N29: a page in every case, pasted, as a header, and as a mapping."""
    der = ODD[case](ca)
    ask(as_root, upload=SimpleUploadedFile("c", der))
    responses = [ask(as_root, header=encode_escaped_pem(der))]
    row = CertificateMapping.objects.create(
        user=alice, kind="fingerprint", value="ab" * 32, certificate=der
    )
    responses.append(as_root.get(page(EXPLAIN), {"mapping": row.pk}))
    for response in responses:
        assert answer(response)["reason"]
        content = response.content.decode()
        assert "<script>alert" not in content
        assert not {"\0", "\x1b", "\u202e"} & set(content)


# --- rows -------------------------------------------------------------------------


def test_row_in_the_address(
    as_root: Client, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """A mapping is explained at once, and again with other circumstances."""
    row = stored(alice, alice_cert, hosts="api.example.com")
    response = as_root.get(page(EXPLAIN), {"mapping": row.pk})
    assert answer(response)["reason"] == "host_not_covered"
    query = f"?mapping={row.pk}"
    assert response.context["action_url"].endswith(query)
    assert f"to explain certificate mapping {row.pk}: " in text_of(response)
    assert answer(ask(as_root, query, host="api.example.com"))["accepted"]


def test_certificate_seen(
    as_root: Client, mapping: Any, alice: Any, alice_cert: IssuedCertificate
) -> None:
    """Under the host that it was seen under; a pin finds it too."""
    row = seen(alice, alice_cert, mapping=mapping, host="a.example.com")
    response = as_root.get(page(EXPLAIN), {"seen": row.pk})
    assert answer(response)["accepted"]
    assert response.context["adminform"].form["host"].value() == "a.example.com"
    assert answer(as_root.get(page(EXPLAIN), {"mapping": mapping.pk}))["accepted"]
    SeenCertificate.objects.update(host="h" * 255)
    assert answer(as_root.get(page(EXPLAIN), {"seen": row.pk}))["accepted"]


def test_mapping_without_a_certificate(as_root: Client, mapping: Any) -> None:
    """It is said that there is none; another may be asked about."""
    response = as_root.get(page(EXPLAIN), {"mapping": mapping.pk})
    assert "No certificate is stored there" in text_of(response)
    assert "answer" not in response.context or response.context["answer"] is None
    assert errors(ask(as_root, f"?mapping={mapping.pk}"))


@pytest.mark.parametrize("word", [*SOURCES, "unheard"])
@pytest.mark.parametrize("key", ["0", "-1", "a\0b", "9" * 40, "<b>", "abc"])
def test_rows_that_do_not_exist(as_root: Client, word: str, key: str) -> None:
    """Nothing is found, and nothing is repeated."""
    response = as_root.get(page(EXPLAIN), {word: key})
    assert response.status_code == 200
    assert "There is no such certificate" in text_of(response)
    assert "?" not in response.context["action_url"]
    assert "<b>" not in response.content.decode()


def test_n66_private_key_in_the_address(as_root: Client) -> None:
    """N66: not even the address brings one back."""
    key = TEXTS["base64 in a sentence"]
    for word in SOURCES:
        shown = as_root.get(page(EXPLAIN), {word: key}).content.decode()
        assert not [secret for secret in secrets_of(key) if secret in shown]


# --- who may ----------------------------------------------------------------------


def test_permissions(client: Client, alice: Any, alice_cert: IssuedCertificate) -> None:
    """To see mappings is what it takes."""
    assert client.get(page(EXPLAIN)).status_code == 302
    for names, status in (
        (["view_certificateauthority"], 403),
        (["view_certificatemapping"], 200),
        (["change_certificatemapping"], 200),
    ):
        who = log_in(make_staff(f"with {names}", *names))
        assert who.get(page(EXPLAIN)).status_code == status
        assert who.post(page(EXPLAIN), {"pasted": "x"}).status_code == status


def test_rows_are_for_those_who_may_see_them(
    as_viewer: Client, alice: Any, mapping: Any, alice_cert: IssuedCertificate
) -> None:
    """Another table needs its own permission; what a project hides stays hidden."""
    row = seen(alice, alice_cert)
    response = as_viewer.get(page(EXPLAIN), {"seen": row.pk})
    assert "you may not view it" in text_of(response)
    response = ask(as_viewer, pasted=alice_cert.pem)
    assert "Map its key" not in text_of(response)
    assert "accepted as alice" in text_of(response)


def test_hidden_mappings(
    as_root: Client, mapping: Any, alice_cert: IssuedCertificate, monkeypatch: Any
) -> None:
    """A project's own admin may show fewer mappings: these keep their users."""
    model_admin = admin.site.get_model_admin(CertificateMapping)
    none = CertificateMapping.objects.none()
    monkeypatch.setattr(model_admin, "get_queryset", lambda request: none)
    text = text_of(ask(as_root, pasted=alice_cert.pem))
    assert "accepted as a user hidden from you, by mapping" in text
    assert "a mapping hidden from you" in text
    assert "alice," not in text
    monkeypatch.undo()
    monkeypatch.setattr(
        model_admin, "has_view_permission", lambda request, obj=None: obj is None
    )
    text = text_of(ask(as_root, pasted=alice_cert.pem))
    assert "a mapping hidden from you" in text


def test_site_without_revocations(
    as_root: Client, mallory_cert: IssuedCertificate, monkeypatch: Any
) -> None:
    """Where revocations have no page, none is linked."""
    revoke_certificate(parsed(mallory_cert))
    monkeypatch.delitem(admin.site._registry, Revocation)
    assert answer(ask(as_root, pasted=mallory_cert.pem))["next_steps"] == []


def test_hidden_predecessor(
    as_viewer: Client,
    alice: Any,
    authority: Any,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
    monkeypatch: Any,
) -> None:
    """A mapping that is hidden is not named as what is renewed."""
    stored(alice, alice_cert)
    model_admin = admin.site.get_model_admin(CertificateMapping)
    none = CertificateMapping.objects.none()
    monkeypatch.setattr(model_admin, "get_queryset", lambda request: none)
    assert answer(ask(as_viewer, pasted=ca.issue("alice").pem))["next_steps"] == []


def test_forgery_protection(as_root: Client, alice_cert: IssuedCertificate) -> None:
    """What is sent needs the token, as everywhere in the admin."""
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = as_root.cookies
    assert strict.post(page(EXPLAIN), {"pasted": alice_cert.pem}).status_code == 403


# --- private keys and markup ------------------------------------------------------


@pytest.mark.parametrize("field", [*FIELDS, "unheard_of"])
def test_n66_private_key_is_not_echoed(
    as_root: Client, alice_cert: IssuedCertificate, field: str, caplog: Any
) -> None:
    """N66: refused in every field, and nowhere in the answer or the log."""
    text = TEXTS["pem pkcs8"]
    response = ask(as_root, **{"pasted": alice_cert.pem, field: text})
    assert errors(response)
    shown = response.content.decode() + caplog.text
    assert not [secret for secret in secrets_of(text) if secret in shown]
    assert "This holds a private key." in text_of(response)


@pytest.mark.parametrize("kind", UPLOADS)
def test_n66_uploaded_private_key(as_root: Client, kind: str) -> None:
    """N66: the same for a file."""
    upload = SimpleUploadedFile("c.pem", UPLOADS[kind])
    assert list(errors(ask(as_root, upload=upload))) == ["upload"]


def test_markup(as_root: Client, mapping: Any, alice_cert: IssuedCertificate) -> None:
    """Nothing inline; a table says what its cells are about; headings in order."""
    content = ask(as_root, pasted=alice_cert.pem).content.decode()
    body = content[content.index('id="content"') :]
    assert not re.search(r"<script(?![^>]* src=)|\sstyle=|\son\w+=", body)
    levels = [int(digit) for digit in re.findall(r"<h([1-6])", body)]
    assert levels[:2] == [1, 2]
    assert set(levels[1:]) == {2}
    assert body.count("<table") == body.count("<table aria-labelledby=")
    identifiers = re.findall(r'\bid="([^"]*)"', content)
    assert len(identifiers) == len(set(identifiers))
    for name in re.findall(r'aria-labelledby="(answer[^"]*)"', body):
        assert name in identifiers
