"""The catalogues say all that the source says, and the screens speak them."""

from __future__ import annotations

import ast
import gettext
import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from babel import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern
from django.utils.translation import gettext as translate
from django.utils.translation import ngettext, override, to_language

from django_clientcert.exceptions import Reason
from django_clientcert.explaining.reasons import EXPLANATIONS
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    Revocation,
    RevocationList,
    SeenCertificate,
    UnknownCertificate,
)
from django_clientcert.testing import IssuedCertificate, ThrowawayCA
from django_clientcert.trust.crl_import import import_crl
from django_clientcert.trust.revoke import revoke_certificate
from tests.admin.pages import (
    ADD_MAPPING,
    AUTHORITY,
    MAPPING,
    REVOCATION,
    REVOCATION_LIST,
    SEEN,
    UNKNOWN,
    log_in,
    page,
    run_action,
    text_of,
)
from tests.admin.test_inbox import refuse
from tests.admin.test_revocations import add_crl, parsed, seen, stored
from tests.private_keys import TEXTS

PACKAGE = Path(__file__).resolve().parents[2] / "django_clientcert"
LOCALES = sorted(one.name for one in (PACKAGE / "locale").iterdir())

in_each_locale = pytest.mark.parametrize("locale", LOCALES)

_PERCENT = re.compile(r"%(?:\(\w+\))?[-#0 +]*\d*(?:\.\d+)?[diouxXeEfFgGcrsa%]")
_BRACES = re.compile(r"\{[^{}]*\}")
_TAG = re.compile(r"</?[a-zA-Z][^>]*>")


def catalogue_file(locale: str, ending: str) -> Path:
    """Return the file of a catalogue, "po" or "mo"."""
    return PACKAGE / "locale" / locale / "LC_MESSAGES" / f"django.{ending}"


def read_catalogue(file: Path, locale: str | None = None) -> Catalog:
    """Return what a .po or .pot file says; a broken one raises."""
    with file.open("rb") as stream:
        return read_po(stream, locale=locale, abort_invalid=True)


def texts_of(message: Message) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the texts in English and in the language: one each, or the plurals."""
    source = (message.id,) if isinstance(message.id, str) else tuple(message.id)
    said = message.string
    return source, (said,) if isinstance(said, str) else tuple(said)


def messages_of(locale: str) -> list[Message]:
    """Return the messages of a catalogue, without its header."""
    catalogue = read_catalogue(catalogue_file(locale, "po"), locale)
    found = [one for one in catalogue if one.id]
    assert found
    return found


def identify(message: Message) -> tuple[str | None, tuple[str, ...]]:
    """Return what tells a message from all others."""
    return message.context, texts_of(message)[0]


# --- the catalogues ---------------------------------------------------------------


def extraction_warnings(output: str) -> list[str]:
    """Return what makemessages said, but for what no text is lost by.

    xgettext 1.0 also warns of addresses in texts and of surrogates in literals.
    """
    harmless = re.compile(
        r": warning: (?:lone surrogate |Message contains an embedded )"
    )
    lines = [line for line in output.splitlines() if not harmless.search(line)]
    return [line for line in lines if line != "processing locale de"]


def test_p02_only_harmless_warnings_are_passed_over() -> None:
    """Of xgettext from 0.21 to 1.0; whatever else it says is an error."""
    output = (
        "./models/users.py:116: warning: lone surrogate U+D800\n"
        "./rules.py:71: warning: Message contains an embedded email address.  Better\n"
        "./rules.py:72: warning: unterminated string literal\n"
        "processing locale de\n"
    )
    assert extraction_warnings(output) == [
        "./rules.py:72: warning: unterminated string literal"
    ]


def test_p02_no_text_is_marked_in_an_f_string() -> None:
    """Only xgettext 1.0 reads those: the text would be missing from the catalogues."""
    markers = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy", "pgettext"}
    marked = [
        f"{path.relative_to(PACKAGE)}:{call.lineno}"
        for path in PACKAGE.rglob("*.py")
        for string in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(string, ast.JoinedStr)
        for call in ast.walk(string)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in markers
    ]
    assert marked == []


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """What Django's own command finds in a copy of the package."""
    copy = tmp_path_factory.mktemp("source") / PACKAGE.name
    shutil.copytree(
        PACKAGE, copy, ignore=shutil.ignore_patterns("locale", "__pycache__")
    )
    (copy / "locale").mkdir()
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy)
        call_command("makemessages", locale=["de"], stdout=output)
    assert extraction_warnings(output.getvalue()) == []
    return read_catalogue(copy / "locale" / "de" / "LC_MESSAGES" / "django.po", "de")


@pytest.mark.needs_program("xgettext")
@in_each_locale
def test_the_catalogue_has_the_texts_of_the_source_and_no_other(
    locale: str, source: Catalog
) -> None:
    """CONTRIBUTING.md has the command that brings it up to date."""
    wanted = {identify(one): one.flags for one in source if one.id}
    found = {identify(one): one.flags for one in messages_of(locale)}
    assert set(wanted) - set(found) == set(), "missing"
    assert set(found) - set(wanted) == set(), "not in the source"
    # “python-format”: by it the placeholders are compared.
    assert found == wanted


@in_each_locale
def test_everything_is_translated(locale: str) -> None:
    """In all plural forms; nothing is fuzzy, and nothing is left from before."""
    catalogue = read_catalogue(catalogue_file(locale, "po"), locale)
    assert not catalogue.fuzzy
    assert not catalogue.obsolete
    for message in messages_of(locale):
        source, said = texts_of(message)
        assert not message.fuzzy, source
        assert all(said), source
        assert len(said) == (1 if len(source) == 1 else catalogue.num_plurals), source


@in_each_locale
def test_placeholders_and_markup_are_the_same(locale: str) -> None:
    """And white space at the ends, where texts are put together."""
    for message in messages_of(locale):
        source, said = texts_of(message)
        patterns = [_TAG]
        patterns += [_PERCENT] * ("python-format" in message.flags)
        patterns += [_BRACES] * ("python-brace-format" in message.flags)
        for number, text in enumerate(said):
            original = source[min(number, len(source) - 1)]
            for pattern in patterns:
                assert sorted(pattern.findall(text)) == sorted(
                    pattern.findall(original)
                ), text
            begin, end = text[: -len(text.lstrip())], text[len(text.rstrip()) :]
            assert original.startswith(begin), text
            assert original[len(original.rstrip()) :] == end, text


@in_each_locale
def test_what_is_distributed_is_compiled_from_the_catalogue(locale: str) -> None:
    """Only the .mo files are in the wheel."""
    catalogue = read_catalogue(catalogue_file(locale, "po"), locale)
    assert str(catalogue.locale) == locale
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    wanted: Any = gettext.GNUTranslations(compiled)
    with catalogue_file(locale, "mo").open("rb") as stream:
        found: Any = gettext.GNUTranslations(stream)
    assert found.info()["language"] == locale
    for count in range(200):
        assert found.plural(count) == wanted.plural(count), count
    # Without the header, which each program writes in its own order
    texts, others = dict(found._catalog), dict(wanted._catalog)
    del texts[""], others[""]
    assert texts == others


@in_each_locale
def test_no_text_of_django_is_said_in_another_way(locale: str) -> None:
    """The catalogue of an application overrides Django's, on every page of a project.

    So where both have a text, both say the same.
    """
    import django

    theirs: dict[Any, tuple[str, ...]] = {}
    folder = Path(django.__file__).parent
    for file in folder.glob(f"**/locale/{locale}/LC_MESSAGES/django.po"):
        with file.open("rb") as stream:
            messages = [one for one in read_po(stream, locale) if one.id]
        for message in messages:
            if not message.fuzzy:
                # What one part of Django says, another may say in its own way.
                theirs.setdefault(identify(message), ())
                theirs[identify(message)] += ("\0".join(texts_of(message)[1]),)
    shared = [one for one in messages_of(locale) if identify(one) in theirs]
    assert len(shared) > 3
    for message in shared:
        assert "\0".join(texts_of(message)[1]) in theirs[identify(message)], message.id


@in_each_locale
def test_the_readme_names_the_language(locale: str) -> None:
    """By its English name."""
    readme = PACKAGE.with_name("README.md").read_text("utf-8")
    (row,) = re.findall(r"(?m)^\| Languages \| (.*) \|$", readme)
    assert Locale.parse(locale).get_display_name("en") in row.split(", ")


@pytest.mark.django_db
@in_each_locale
def test_a_list_is_named_in_the_language(
    authority: CertificateAuthority, ca: ThrowawayCA, locale: str
) -> None:
    """In English as by the modules that know nothing of Django."""
    for data in (ca.crl(number=None), ca.crl(number=7)):
        row = import_crl(authority, data).row
        complete = row.crl_info()
        assert row.label() == complete.label()
        with override(to_language(locale)):
            assert row.label() != complete.label()
    delta = RevocationList.of(
        authority, replace(complete, number=9, base_number=8), issuer="CN=A CA"
    )
    assert delta.label() == delta.crl_info().label() == "delta CRL number 9"
    with override(to_language(locale)):
        name = translate("delta CRL number %(number)s") % {"number": 9}
        assert str(delta) == f"{name}, CN=A CA"


# --- the screens ------------------------------------------------------------------


@pytest.fixture
def as_root(db: None, settings: Any) -> Client:
    """A superuser at the keyboard, whose browser says which language to speak."""
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.middleware.locale.LocaleMiddleware",
    ]
    return log_in(get_user_model().objects.create_superuser("root"))


@pytest.fixture
def rows(
    as_root: Client,
    alice: Any,
    authority: CertificateAuthority,
    ca: ThrowawayCA,
    alice_cert: IssuedCertificate,
    mallory_cert: IssuedCertificate,
) -> dict[str, Any]:
    """A row of each table, by the names of their pages."""
    CertificateAuthority.objects.filter(pk=authority.pk).update(
        rule_identity="san_email", rule_pattern="*@example.com"
    )
    assert add_crl(as_root, authority, ca.crl([alice_cert])).status_code == 302
    mapping = stored(alice, alice_cert)
    revoke_certificate(parsed(ca.issue("eve")), reason=1, note="", by=alice)
    return {
        MAPPING: mapping,
        AUTHORITY: authority,
        REVOCATION_LIST: RevocationList.objects.get(),
        REVOCATION: Revocation.objects.get(),
        SEEN: seen(alice, ca.issue("alice"), mapping=mapping),
        UNKNOWN: refuse(mallory_cert),
    }


def plain(text: str) -> str:
    """Return *text* with ordinary spaces, as ``text_of()`` has it."""
    return " ".join(text.split())


def untranslated_on(response: Any, locale: str) -> Iterator[str]:
    """Return texts of the catalogue that a page shows in English.

    Short ones are left out: they may be a part of something else.
    """
    text = text_of(response)
    for message in messages_of(locale):
        source, said = texts_of(message)
        is_whole = source[0].count(" ") >= 2 and "%" not in source[0]
        if is_whole and source != said and source[0] in text:
            yield source[0]


def pages_of(rows: dict[str, Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Return name and arguments of every page about the tables, or about a row."""
    for model, model_admin in admin.site._registry.items():
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        if model._meta.app_label != "django_clientcert":
            continue
        for pattern in model_admin.get_urls():
            if isinstance(pattern, URLPattern) and pattern.name:
                arguments = pattern.pattern.regex.groups or len(
                    pattern.pattern.converters
                )
                if not arguments:
                    yield pattern.name, ()
                elif name in rows:
                    yield pattern.name, (rows[name].pk,)


@in_each_locale
def test_no_page_of_the_admin_is_left_in_english(
    as_root: Client, rows: dict[str, Any], locale: str
) -> None:
    """Whatever page there is: a text that is translated too early is found here."""
    language = to_language(locale)
    shown, english = set(), []
    for name, arguments in pages_of(rows):
        response = as_root.get(
            page(name, *arguments), headers={"accept-language": language}
        )
        assert response.status_code in {200, 302, 400, 403, 405}, name
        if response.status_code == 200 and response.get("Content-Type") == (
            "text/html; charset=utf-8"
        ):
            assert f'<html lang="{language}"' in response.content.decode()
            shown.add(name)
            english += [(name, one) for one in untranslated_on(response, locale)]
    assert english == []
    for model in rows:
        assert {f"{model}_changelist", f"{model}_change"} <= shown
    assert {f"{MAPPING}_add", f"{MAPPING}_explain", f"{MAPPING}_renew"} <= shown


@in_each_locale
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("changelist", "Explain a decision"),
        ("changelist", "expires within 30 days"),
        ("add", "Paste a certificate"),
        ("change", "A renewed certificate needs a new mapping: use “Renew”."),
        ("explain", "The host name that the request is for."),
        ("renew", "Until then, both certificates are accepted."),
    ],
)
def test_a_page_speaks_the_language(
    as_root: Client, rows: dict[str, Any], locale: str, name: str, text: str
) -> None:
    """Text of a template, of a filter, a form, a page of a row and a help text."""
    arguments = (rows[MAPPING].pk,) if name in {"change", "renew"} else ()
    address = page(f"{MAPPING}_{name}", *arguments)
    with override(to_language(locale)):
        said = translate(text)
    assert said != text
    headers = {"accept-language": to_language(locale)}
    assert plain(said) in text_of(as_root.get(address, headers=headers))
    assert text in text_of(as_root.get(address))


@in_each_locale
def test_a_refusal_is_explained_in_the_language(
    as_root: Client, mallory_cert: IssuedCertificate, locale: str
) -> None:
    """Verdict, meaning and remedy; the reason is a stable word in every language."""
    sent = dict.fromkeys(("header", "host", "verdict", "peer", "at"), "")
    response = as_root.post(
        page(f"{MAPPING}_explain"),
        {**sent, "pasted": mallory_cert.pem},
        headers={"accept-language": to_language(locale)},
    )
    with override(to_language(locale)):
        explanation = EXPLANATIONS[Reason.UNMAPPED]
        wanted = [
            translate("It would be refused"),
            str(explanation.meaning),
            str(explanation.remedy),
            translate("Evaluated as of %(at)s.").partition("%")[0].strip(),
        ]
    text = text_of(response)
    for one in (*wanted, "unmapped"):
        assert plain(one) in text
    assert list(untranslated_on(response, locale)) == []


@in_each_locale
def test_errors_of_a_form_are_in_the_language(
    as_root: Client, alice: Any, locale: str
) -> None:
    """What is wrong is translated; the detail of what was not read is quoted."""
    errors = {}
    for pasted in ("rubbish", TEXTS["pem rsa"]):
        response = as_root.post(
            page(f"{MAPPING}_add"),
            {**ADD_MAPPING, "user": alice.pk, "pasted": pasted},
            headers={"accept-language": to_language(locale)},
        )
        assert response.status_code == 200
        assert list(untranslated_on(response, locale)) == []
        (errors[pasted],) = response.context["adminform"].form.errors["pasted"]
    with override(to_language(locale)):
        begin = translate("Cannot be used: %(why)s").partition("%")[0]
    assert str(errors["rubbish"]).startswith(begin)
    assert "PRIVATE" not in str(errors[TEXTS["pem rsa"]])
    assert not str(errors[TEXTS["pem rsa"]]).startswith("This holds a private key")


@in_each_locale
@pytest.mark.parametrize("count", [1, 2])
def test_what_was_done_is_said_in_the_plural_of_the_language(
    as_root: Client,
    alice: Any,
    ca: ThrowawayCA,
    settings: Any,
    locale: str,
    count: int,
) -> None:
    """The default language of a project counts as well as the browser's."""
    settings.LANGUAGE_CODE = to_language(locale)
    mappings = [stored(alice, ca.issue(f"alice {one}")) for one in range(count)]
    response = run_action(as_root, "disable", mappings)
    (said,) = response.wsgi_request._messages._queued_messages
    english = "%(count)d mapping was disabled.", "%(count)d mappings were disabled."
    with override(to_language(locale)):
        assert str(said) == ngettext(*english, count) % {"count": count}
    assert str(said) != english[count - 1] % {"count": count}
    assert not CertificateMapping.objects.exclude(state="disabled").exists()
    assert not SeenCertificate.objects.exists()
    assert not UnknownCertificate.objects.exists()
