"""System checks: each is run on a good project and on a bad one."""

from __future__ import annotations

import ast
import datetime as dt
import importlib.util
import inspect
import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import (
    AuthenticationMiddleware,
    PersistentRemoteUserMiddleware,
)
from django.core.checks import CheckMessage, Tags, run_checks
from django.core.checks.registry import registry
from django.core.exceptions import FieldDoesNotExist
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import OperationalError, transaction

from django_clientcert import checks
from django_clientcert.backends import ClientCertBackend
from django_clientcert.checks import configuration, database
from django_clientcert.checks.configuration import EXAMPLES
from django_clientcert.conf import NAMES, conf
from django_clientcert.middleware import ClientCertMiddleware
from django_clientcert.models import CertificateAuthority, CertificateMapping
from django_clientcert.testing import ThrowawayCA
from django_clientcert.trust.crl_import import import_crl
from tests.check_ids import find_check_ids
from tests.conftest import Wsgi
from tests.deciding import UNKNOWN_STATES, states_unchecked
from tests.queries import dropped

AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
MIDDLEWARE = "django_clientcert.middleware.ClientCertMiddleware"
BACKEND = "django_clientcert.backends.ClientCertBackend"
BROKEN = "tests.test_checks_no_such_module.Class"

NOW = dt.datetime.now(dt.timezone.utc)
DAY = dt.timedelta(days=1)


class OurMiddleware(ClientCertMiddleware):
    """A project's own."""


class OurAuthentication(AuthenticationMiddleware):
    """A project's own."""


class OurBackend(ClientCertBackend):
    """A project's own."""


class SubjectUserMiddleware(PersistentRemoteUserMiddleware):
    """What people write who have not read the warnings."""

    header = "HTTP_SSL_CLIENT_SUBJECT_DN"


class OtherUserMiddleware(PersistentRemoteUserMiddleware):
    """Reads another header."""

    header = "HTTP_X_USER"


def function_middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A middleware that is not a class."""
    return get_response


def own(name: str) -> str:
    """Return the dotted path of something in this module."""
    return f"{__name__}.{name}"


# Every module with checks
MODULES = [
    module
    for name, module in vars(checks).items()
    if isinstance(module, ModuleType) and name in checks.__all__
]


def _is_ours(check: Any) -> bool:
    return check.__module__ in {module.__name__ for module in MODULES}


def check_ids(*, deploy: bool = False, databases: list[str] | None = None) -> list[str]:
    """Return the ids of this package that ``check`` reports, in order."""
    return [message.id for message in messages(deploy=deploy, databases=databases)]


def messages(*, deploy: bool = False, databases: list[str] | None = None) -> list[Any]:
    """Return the messages of this package's checks, in the order of the ids.

    Other packages' checks are left out: some raise if a path cannot be imported.
    """
    reported: list[Any] = []
    for check in registry.get_checks(include_deployment_checks=deploy):
        if not _is_ours(check):
            continue
        if databases or Tags.database not in check.tags:
            reported += check(app_configs=None, databases=databases)
    return sorted(reported, key=lambda message: str(message.id))


def only(**options: Any) -> CheckMessage:
    """Return the one message, which has a hint and stays on its line."""
    (message,) = messages(**options)
    assert isinstance(message, CheckMessage)
    assert message.hint
    assert message.msg.isprintable()
    return message


# --- all of them -----------------------------------------------------------------


def test_a_good_project_has_no_issues() -> None:
    """What the README tells a user to write passes, in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "django", "check", "--settings", "tests.settings"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no issues" in ended.stdout + ended.stderr


def test_a_good_project_has_no_issues_with_deploy(settings: Any) -> None:
    """Every deployment warning can be dealt with."""
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.CLIENTCERT_MAX_HEADER_BYTES = 8190
    assert check_ids(deploy=True) == []


def test_an_error_stops_the_server_before_it_starts(settings: Any) -> None:
    """``check`` fails, and so does every command that runs it."""
    settings.CLIENTCERT_TRUSTED_PROXIES = None
    with pytest.raises(SystemCheckError, match=r"clientcert\.E004"):
        call_command("check", stdout=io.StringIO(), stderr=io.StringIO())


def test_ids_are_unique_and_say_how_bad_it_is() -> None:
    """An id is for good: projects silence by it. E for errors, W for warnings."""
    numbers = [check_id[-3:] for _, check_id in find_check_ids()]
    assert len(set(numbers)) == len(numbers) > 20
    for level, check_id in find_check_ids():
        assert re.fullmatch(rf"clientcert\.{level[0]}\d{{3}}", check_id)


def test_every_id_is_asserted_here() -> None:
    """No check without its test."""
    tests = inspect.getsource(inspect.getmodule(check_ids) or ModuleType("x"))
    for _, check_id in find_check_ids():
        assert f'"{check_id}"' in tests, check_id


def test_only_the_checks_of_the_database_look_into_it(
    django_assert_num_queries: Any, db: None
) -> None:
    """Without --database, no check sends a query."""
    for check in registry.get_checks(include_deployment_checks=True):
        if _is_ours(check):
            wanted = (Tags.database,) if "databases" in _names(check) else ("security",)
            assert check.tags == wanted
    with django_assert_num_queries(0):
        run_checks(include_deployment_checks=True, tags=[Tags.security])


def _names(check: Any) -> Any:
    return inspect.signature(check).parameters


def test_every_setting_has_an_example_that_works(settings: Any) -> None:
    """What a hint tells to type can be typed."""
    assert set(EXAMPLES) == set(NAMES)
    for name, example in EXAMPLES.items():
        setattr(settings, name, ast.literal_eval(example))
        getattr(conf, name)
    assert check_ids() == []


# --- middleware and backend ------------------------------------------------------


@pytest.mark.parametrize("middleware", [[], [AUTHENTICATION], [BROKEN, None], None])
def test_e001_middleware_is_missing(middleware: Any, settings: Any) -> None:
    """Nor does anything that cannot be imported make the check fail."""
    settings.MIDDLEWARE = middleware
    messages = [
        message
        for message in configuration.check_middleware_is_there()
        if message.id == "clientcert.E001"
    ]
    assert len(messages) == 1
    assert MIDDLEWARE in str(messages[0].hint)


@pytest.mark.parametrize("middleware", [MIDDLEWARE, own("OurMiddleware")])
def test_e001_passes_with_the_middleware_or_a_subclass(
    middleware: str, settings: Any
) -> None:
    """Also next to middleware that is a function, or cannot be imported."""
    settings.MIDDLEWARE = [BROKEN, own("function_middleware"), middleware]
    assert list(configuration.check_middleware_is_there()) == []


def test_e001_when_the_middleware_itself_cannot_be_imported(monkeypatch: Any) -> None:
    """Even then, a message and no traceback."""
    monkeypatch.setattr(configuration, "MIDDLEWARE", BROKEN)
    (message,) = configuration.check_middleware_is_there()
    assert message.id == "clientcert.E001"


@pytest.mark.parametrize("ours", [MIDDLEWARE, own("OurMiddleware")])
@pytest.mark.parametrize("django", [AUTHENTICATION, own("OurAuthentication")])
def test_e002_order(ours: str, django: str, settings: Any) -> None:
    """In front of AuthenticationMiddleware, the user would be replaced again."""
    settings.MIDDLEWARE = [BROKEN, ours, own("function_middleware"), django]
    (message,) = configuration.check_middleware_order()
    assert message.id == "clientcert.E002"
    assert message.hint == f'Move "{ours}" after "{django}" in MIDDLEWARE.'
    settings.MIDDLEWARE = [django, BROKEN, ours]
    assert list(configuration.check_middleware_order()) == []


@pytest.mark.parametrize("middleware", [[MIDDLEWARE], [AUTHENTICATION], []])
def test_e002_is_silent_where_one_of_both_is_missing(
    middleware: list[str], settings: Any
) -> None:
    """A service without sessions needs no AuthenticationMiddleware."""
    settings.MIDDLEWARE = middleware
    assert list(configuration.check_middleware_order()) == []


@pytest.mark.parametrize(
    "backends", [[], ["django.contrib.auth.backends.ModelBackend"], [BROKEN], None]
)
def test_e003_backend_is_missing(backends: Any, settings: Any) -> None:
    """Without it, the middleware cannot be built."""
    settings.AUTHENTICATION_BACKENDS = backends
    message = only()
    assert message.id == "clientcert.E003"
    assert BACKEND in str(message.hint)


@pytest.mark.parametrize("backend", [BACKEND, own("OurBackend")])
def test_e003_passes_with_the_backend_or_a_subclass(
    backend: str, settings: Any
) -> None:
    """A subclass is how projects change the rules."""
    settings.AUTHENTICATION_BACKENDS = [BROKEN, backend]
    assert check_ids() == []


def before_ours(middleware: list[str], *paths: str) -> list[str]:
    """Return *middleware* with *paths* in front of the one for certificates."""
    place = middleware.index(MIDDLEWARE)
    return [*middleware[:place], *paths, *middleware[place:]]


def test_e009_remote_user_reads_our_header(settings: Any, monkeypatch: Any) -> None:
    """It would log in any user that the certificate names."""
    settings.MIDDLEWARE = before_ours(settings.MIDDLEWARE, own("SubjectUserMiddleware"))
    message = only()
    assert message.id == "clientcert.E009"
    assert "HTTP_SSL_CLIENT_SUBJECT_DN" in message.msg
    # Under ASGI, Django 5.2 and 6.0 add the prefix.
    monkeypatch.setattr(SubjectUserMiddleware, "header", "ssl-client-cert")
    assert check_ids() == ["clientcert.E009"]
    settings.CLIENTCERT_PROXY = "nginx"  # whose headers have other names
    assert check_ids() == []


def test_e009_passes_with_another_header(settings: Any) -> None:
    """The user of another proxy's single sign-on is none of our business."""
    settings.MIDDLEWARE = before_ours(
        settings.MIDDLEWARE,
        own("OtherUserMiddleware"),
        "django.contrib.auth.middleware.RemoteUserMiddleware",
    )
    assert check_ids() == []


@pytest.mark.parametrize(
    "path",
    [
        "django.contrib.auth.middleware.RemoteUserMiddleware",
        "django.contrib.auth.middleware.PersistentRemoteUserMiddleware",
        own("OtherUserMiddleware"),
    ],
)
def test_a08_e015_remote_user_comes_after_ours(path: str, settings: Any) -> None:
    """It fails with REMOTE_USER, and without it logs the certificate's user out."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, path]
    message = only()
    assert message.id == "clientcert.E015"
    assert path in str(message.hint)


# --- settings --------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, [], ()])
def test_e004_trusted_proxies_are_not_set(value: Any, settings: Any) -> None:
    """N03: if unset, no proxy is trusted, and the check says so."""
    settings.CLIENTCERT_TRUSTED_PROXIES = value
    assert only().id == "clientcert.E004"


def test_e004_trusted_proxies_are_left_out(settings: Any) -> None:
    """The same without the setting."""
    del settings.CLIENTCERT_TRUSTED_PROXIES
    assert only().id == "clientcert.E004"


def test_e004_is_not_asked_of_an_environ(settings: Any) -> None:
    """No client can write there, so there is nobody to trust."""
    del settings.CLIENTCERT_TRUSTED_PROXIES
    settings.CLIENTCERT_PROXY = "mod_wsgi"
    assert check_ids() == []
    settings.CLIENTCERT_PROXY = "gunicorn"
    assert check_ids() == []


@pytest.mark.parametrize("value", [["unix"], ["10.0.0.0/8"], ["::1"]])
def test_e004_passes(value: list[str], settings: Any) -> None:
    """A socket or a network."""
    settings.CLIENTCERT_TRUSTED_PROXIES = value
    assert check_ids() == []


@pytest.mark.parametrize(
    "value",
    [
        ["0.0.0.0/0"],
        ["::/0"],
        ["10.0.0.0/8", "0.0.0.0/0"],
        ["0.0.0.0/1", "128.0.0.0/1"],
    ],
    ids=" ".join,
)
def test_e005_everybody_is_trusted(value: list[str], settings: Any) -> None:
    """Also if networks add up to all addresses."""
    settings.CLIENTCERT_TRUSTED_PROXIES = value
    assert only().id == "clientcert.E005"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("CLIENTCERT_TRUSTED_PROXY", "CLIENTCERT_TRUSTED_PROXIES"),
        ("CLIENTCERT_HOST", "CLIENTCERT_HOSTS"),
        ("CLIENTCERT_REQUIRE_TLS", "CLIENTCERT_REQUIRE_SECURE"),
        (
            "CLIENTCERT_LEEWAY",
            "Remove it. The settings are: CLIENTCERT_DECISION_SECONDS, ",
        ),
    ],
)
def test_e006_unknown_setting(name: str, hint: str, settings: Any) -> None:
    """N08: a misspelt switch does not look as if it were on."""
    setattr(settings, name, True)
    message = only()
    assert message.id == "clientcert.E006"
    assert name in message.msg
    assert hint in str(message.hint)


def test_first_use_n13_the_nearest_setting_is_proposed(settings: Any) -> None:
    """A word in common says more than letters that are scattered over a name."""
    settings.CLIENTCERT_PROXIES = ["10.42.0.0/16"]
    hint = str(only().hint)
    assert "Did you mean CLIENTCERT_TRUSTED_PROXIES or CLIENTCERT_PROXY?" in hint


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("ngnix", 'Did you mean "nginx"?'),
        ({"preset": "ngnix", "verdict": "x-verified"}, 'Did you mean "nginx"?'),
        ("ingress", 'Did you mean "ingress-nginx"?'),
        ("NGINX", 'Did you mean "nginx"?'),
        ("nginx-ingress", 'Did you mean "ingress-nginx"?'),
        ("mod-wsgi", 'Did you mean "mod_wsgi"?'),
    ],
)
def test_first_use_n13_the_nearest_preset_is_proposed(
    value: Any, hint: str, settings: Any
) -> None:
    """The default would be another proxy than the one that was meant."""
    settings.CLIENTCERT_PROXY = value
    message = only()
    assert message.id == "clientcert.E007"
    assert "CLIENTCERT_PROXY: there is no preset" in message.msg
    assert message.hint == hint


UNUSABLE: list[tuple[str, Any]] = [
    ("CLIENTCERT_PROXY", ""),
    ("CLIENTCERT_PROXY", None),
    ("CLIENTCERT_PROXY", "unheard-of"),
    ("CLIENTCERT_PROXY", {"preset": "unheard-of"}),
    ("CLIENTCERT_PROXY", {"preset": "nginx", "success": ""}),
    ("CLIENTCERT_PROXY", {"preset": 1}),
    ("CLIENTCERT_PROXY", "no.such.thing"),
    ("CLIENTCERT_PROXY", {"verdict": ""}),
    ("CLIENTCERT_PROXY", {"verdict": None}),
    ("CLIENTCERT_PROXY", {"success": ""}),
    ("CLIENTCERT_PROXY", {"failure": ""}),
    ("CLIENTCERT_PROXY", {"certificate": ""}),
    ("CLIENTCERT_PROXY", {"subject_dn": ""}),
    ("CLIENTCERT_PROXY", {"verifies": ""}),
    ("CLIENTCERT_PROXY", {"encoding": ""}),
    ("CLIENTCERT_PROXY", {"source": ""}),
    ("CLIENTCERT_PROXY", {"verify": True}),
    ("CLIENTCERT_TRUSTED_PROXIES", ""),
    ("CLIENTCERT_TRUSTED_PROXIES", "10.0.0.0/8"),
    ("CLIENTCERT_TRUSTED_PROXIES", [""]),
    ("CLIENTCERT_TRUSTED_PROXIES", ["10.0.0.1/8"]),
    ("CLIENTCERT_TRUSTED_PROXIES", ["proxy.example.com"]),
    ("CLIENTCERT_TRUSTED_PROXIES", [10]),
    ("CLIENTCERT_TRUSTED_PROXIES", 10),
    ("CLIENTCERT_PROXY_VERIFIES", ""),
    ("CLIENTCERT_PROXY_VERIFIES", "false"),
    ("CLIENTCERT_HOSTS", ""),
    ("CLIENTCERT_HOSTS", []),
    ("CLIENTCERT_HOSTS", [""]),
    ("CLIENTCERT_HOSTS", "api.example.com"),
    ("CLIENTCERT_HOSTS", 1),
    ("CLIENTCERT_PROXY_SECRET", ""),
    ("CLIENTCERT_PROXY_SECRET", "secret"),
    ("CLIENTCERT_PROXY_SECRET", ("X-Secret", "")),
    ("CLIENTCERT_PROXY_SECRET", ("", "secret")),
    ("CLIENTCERT_PROXY_SECRET", ("X-Secret", [])),
    ("CLIENTCERT_PROXY_SECRET", ("X-Secret", ["secret", ""])),
    ("CLIENTCERT_REQUIRE_SECURE", ""),
    ("CLIENTCERT_REQUIRE_SECURE", "false"),
    ("CLIENTCERT_REQUIRE_SECURE", None),
    ("CLIENTCERT_REQUIRE_SECURE", 0),
    ("CLIENTCERT_MAX_HEADER_BYTES", ""),
    ("CLIENTCERT_MAX_HEADER_BYTES", 0),
    ("CLIENTCERT_MAX_HEADER_BYTES", None),
    ("CLIENTCERT_DECISION_SECONDS", -1),
    ("CLIENTCERT_DECISION_SECONDS", "5"),
    ("CLIENTCERT_LAST_USED_INTERVAL", ""),
    ("CLIENTCERT_LAST_USED_INTERVAL", -1),
    ("CLIENTCERT_SEEN_SIZE", "many"),
    ("CLIENTCERT_SEEN_SIZE", -1),
    ("CLIENTCERT_NOTIFY_EMAILS", ["pki"]),
    ("CLIENTCERT_INBOX_SIZE", ""),
    ("CLIENTCERT_INBOX_SIZE", False),
    ("CLIENTCERT_INBOX_SIZE", None),
]


@pytest.mark.parametrize(("name", "value"), UNUSABLE, ids=str)
def test_e007_unusable_setting(name: str, value: Any, settings: Any) -> None:
    """N08: an empty or odd value never switches anything off; it is reported once."""
    setattr(settings, name, value)
    message = only()
    assert message.id == "clientcert.E007"
    assert name in message.msg
    assert str(message.hint).startswith(f"Write {name} = {EXAMPLES[name]}")


@pytest.mark.parametrize(
    "secret", [("X-Secret", ["s3cr3t", ""]), ("X-Secret", b"s3cr3t")]
)
def test_e007_does_not_repeat_a_secret(secret: Any, settings: Any) -> None:
    """What check prints ends up in logs."""
    settings.CLIENTCERT_PROXY_SECRET = secret
    assert "s3cr3t" not in str(only())


def test_e007_survives_a_value_that_raises(settings: Any) -> None:
    """A lazy value may raise anything; its text is not repeated either."""

    class Lazy(list[str]):
        def __iter__(self) -> Any:
            raise RuntimeError("s3cr3t")

    settings.CLIENTCERT_HOSTS = Lazy(["api.example.com"])
    message = only()
    assert message.id == "clientcert.E007"
    assert message.msg.endswith("a value that cannot be used (RuntimeError).")
    assert "s3cr3t" not in str(message)


def test_e007_passes_with_every_default(settings: Any) -> None:
    """Only the trusted proxies have to be set."""
    for name in NAMES:
        if name != "CLIENTCERT_TRUSTED_PROXIES" and hasattr(settings, name):
            delattr(settings, name)
    assert check_ids() == []


def test_w017_warns_of_decisions_that_are_kept_for_long(settings: Any) -> None:
    """A revocation should reach every process within a minute."""
    settings.CLIENTCERT_DECISION_SECONDS = 60
    assert check_ids() == []
    settings.CLIENTCERT_DECISION_SECONDS = 61
    message = only()
    assert message.id == "clientcert.W017"
    assert "61" in message.msg
    assert "60 or less" in str(message.hint)


def test_every_check_survives_unusable_settings(settings: Any) -> None:
    """One bad value does not hide, or crash, what the other questions find."""
    for name, value in UNUSABLE:
        setattr(settings, name, value)
    assert set(check_ids(deploy=True)) <= {"clientcert.E007"}
    assert len(check_ids()) == len(NAMES)


def test_e008_proxy_does_not_verify(settings: Any) -> None:
    """What is not verified anywhere must not count as verified."""
    settings.CLIENTCERT_PROXY = {"verifies": False}
    settings.CLIENTCERT_PROXY_VERIFIES = True
    assert only().id == "clientcert.E008"
    settings.CLIENTCERT_PROXY_VERIFIES = False
    assert check_ids() == []
    settings.CLIENTCERT_PROXY = "nginx"
    settings.CLIENTCERT_PROXY_VERIFIES = True
    assert check_ids() == []


class Router:
    """Sends one app to another database."""

    def __init__(self, app: str) -> None:
        self.app = app

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        """Return the database to which the rows of *model* are written."""
        return "elsewhere" if model._meta.app_label == self.app else None

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Return one of many replicas at random."""
        return f"replica-{id(model)}"


USERS = settings.AUTH_USER_MODEL.partition(".")[0]


@pytest.mark.parametrize("app", ["django_clientcert", USERS])
def test_e010_router(app: str, settings: Any) -> None:
    """One query brings mapping, authority and user together, or it cannot."""
    settings.DATABASE_ROUTERS = [Router(app)]
    errors = messages()
    assert [error.id for error in errors] == ["clientcert.E010"] * 2
    assert "django_clientcert.CertificateMapping" in errors[0].msg
    assert "django_clientcert.CertificateAuthority" in errors[1].msg


def test_e010_passes_with_replicas(settings: Any) -> None:
    """Reads go to a random replica; writes go to the database with the table."""
    settings.DATABASE_ROUTERS = [Router("sessions")]
    assert check_ids() == []


def test_e010_survives_a_broken_router(settings: Any) -> None:
    """Django reports it on the first query."""

    class Broken:
        def db_for_write(self, model: Any, **hints: Any) -> str:
            raise LookupError

    settings.DATABASE_ROUTERS = [Broken()]
    assert list(configuration.check_database_router()) == []


# --- check --database ------------------------------------------------------------


def add_mappings(user: Any, count: int, **fields: Any) -> list[int]:
    """Add *count* mappings past the forms; return their ids."""
    return [
        CertificateMapping.objects.create(
            **{"user": user, "kind": "san_dns", "value": f"{number}.example", **fields}
        ).pk
        for number in range(count)
    ]


def test_e011_name_without_authority(
    alice: Any, mapping: CertificateMapping, authority: CertificateAuthority
) -> None:
    """N45: a pin may do without, a name may not."""
    add_mappings(alice, 1, authority=authority)
    assert check_ids(databases=["default"]) == []
    ids = add_mappings(alice, 2)
    message = only(databases=["default"])
    assert message.id == "clientcert.E011"
    assert f"{ids[0]}, {ids[1]}." in message.msg


def test_e011_lists_no_more_than_ten(alice: Any) -> None:
    """The others are counted."""
    ids = add_mappings(alice, 13)
    message = only(databases=["default"])
    assert f"{ids[9]} and 3 more." in message.msg
    assert f"{ids[10]}" not in message.msg.split(":")[1]


@pytest.mark.parametrize(
    "fields",
    [
        *({"state": state} for state in UNKNOWN_STATES),
        {"state": "scheduled", "valid_from": None},
    ],
    ids=str,
)
def test_l03_w027_mapping_in_an_unknown_state(
    mapping: CertificateMapping, fields: dict[str, Any]
) -> None:
    """It counts as disabled, so somebody has to be told."""
    for state in ("active", "retiring", "disabled"):
        CertificateMapping.objects.update(state=state)
        assert check_ids(databases=["default"]) == []
    with states_unchecked():
        CertificateMapping.objects.update(**fields)
        message = only(databases=["default"])
        assert message.id == "clientcert.W027"
        assert f"“default”: {mapping.pk}. " in message.msg
        CertificateMapping.objects.update(state="active")


def test_d02_w028_certificate_that_is_no_longer_readable(
    authority: CertificateAuthority,
) -> None:
    """The others work, so it is no error; but somebody may miss it."""
    block = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    CertificateAuthority.objects.update(bundle=authority.bundle + block)
    message = only(databases=["default"])
    assert message.id == "clientcert.W028"
    assert "certificate 2 of 2 (without a subject): not a certificate" in message.msg


@pytest.mark.django_db
def test_p07_w029_database_that_was_never_tested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Oracle may work, but nobody knows."""
    monkeypatch.setattr(database, "_VENDORS", {"oracle"})
    message = only(databases=["default"])
    assert message.id == "clientcert.W029"
    assert "the database “default”" in message.msg


@pytest.mark.parametrize(
    ("field", "value"),
    [("bundle", ""), ("bundle", "x\u202e"), ("profile", "lax")],
)
def test_e012_authority_that_cannot_be_used(
    field: str, value: str, authority: CertificateAuthority
) -> None:
    """N56: data that cannot be loaded denies; the check reports it in advance."""
    assert check_ids(databases=["default"]) == []
    CertificateAuthority.objects.update(**{field: value})
    message = only(databases=["default"])
    assert message.id == "clientcert.E012"
    assert f"“Test CA” (id {authority.pk})" in message.msg


def test_w020_anchor_that_has_expired(authority: CertificateAuthority) -> None:
    """A root that ended takes everybody with it."""
    assert check_ids(databases=["default"]) == []
    old = ThrowawayCA.create(
        "Old", not_before=NOW - dt.timedelta(9), not_after=NOW - dt.timedelta(1)
    )
    CertificateAuthority.objects.create(name="Old CA", bundle=old.pem)
    message = only(databases=["default"])
    assert message.id == "clientcert.W020"
    assert "“Old CA”" in message.msg
    assert "CN=Old expired on" in message.msg
    assert "Test CA" not in message.msg


def test_w020_says_how_many_mappings_hang_on_it(alice: Any) -> None:
    """They are what an administrator has to think of."""
    old = ThrowawayCA.create(
        "Old", not_before=NOW - dt.timedelta(9), not_after=NOW - dt.timedelta(1)
    )
    authority = CertificateAuthority.objects.create(name="Old CA", bundle=old.pem)
    for value in ("CN=a", "CN=b"):
        CertificateMapping.objects.create(
            user=alice, kind="subject", value=value, authority=authority
        )
    assert ", 2 mappings: CN=Old expired on" in only(databases=["default"]).msg


def test_w024_mappings_whose_authority_did_not_issue_their_certificate(
    ask: Wsgi,
    alice: Any,
    authority: CertificateAuthority,
    ca: ThrowawayCA,
    other_ca: ThrowawayCA,
) -> None:
    """The bundle was replaced and everyone is refused: how many of each kind."""
    for number, kind in enumerate(("subject", "subject", "san_dns"), 1):
        name = f"device-{number}.example"
        certificate = ca.issue(name, dns=[name])
        value = f"CN={name}" if kind == "subject" else name
        CertificateMapping.objects.create(
            user=alice,
            kind=kind,
            value=value,
            authority=authority,
            certificate=certificate.der,
        )
    # Not counted: no certificate, an expired one, or a mapping that is not in force
    old = ca.issue("old", not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    alike = {"user": alice, "kind": "subject", "authority": authority}
    der = ca.issue("x").der
    for number, fields in enumerate(
        (
            {},
            {"certificate": old.der},
            {"certificate": der, "state": "disabled"},
            {"certificate": der, "valid_until": NOW - DAY},
            {"certificate": b"0\0"},
        )
    ):
        CertificateMapping.objects.create(**alike, value=f"CN={number}", **fields)
    assert check_ids(databases=["default"]) == []
    authority.bundle = other_ca.pem
    authority.save()
    message = only(databases=["default"])
    assert message.id == "clientcert.W024"
    assert f"“Test CA” (id {authority.pk}): 1 san_dns, 2 subject." in message.msg
    # A name goes on with the certificates of the next CA.
    renewed = other_ca.issue("device-1.example")
    assert ask("/ledger/", renewed.der).status_code == 200
    assert ": 1 san_dns, 1 subject." in only(databases=["default"]).msg
    CertificateMapping.objects.filter(kind="san_dns").update(certificate=b"0\0")
    assert ": 1 san_dns, 1 subject." in only(databases=["default"]).msg
    authority.bundle = "broken"
    authority.save()
    assert only(databases=["default"]).id == "clientcert.E012"


def test_w024_looks_at_the_newest_only(
    alice: Any, authority: CertificateAuthority, other_ca: ThrowawayCA, monkeypatch: Any
) -> None:
    """However many there are, the check takes no longer."""
    monkeypatch.setattr(database, "_MAX_CHECKED", 2)
    for number in range(3):
        CertificateMapping.objects.create(
            user=alice,
            kind="subject",
            value=f"CN={number}",
            authority=authority,
            certificate=other_ca.issue(f"{number}").der,
        )
    assert ": 2 subject." in only(databases=["default"]).msg


def load_list(
    authority: CertificateAuthority, ca: ThrowawayCA, *, age: int, left: int
) -> None:
    """Load a list that began *age* hours ago and ends in *left*."""
    hour = dt.timedelta(hours=1)
    import_crl(
        authority,
        ca.crl([7], this_update=NOW - age * hour, next_update=NOW + left * hour),
    )


def test_n52_w022_a_list_that_is_stale_or_missing(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """Before everyone is refused; only if the policy requires CRLs."""
    assert check_ids(databases=["default"]) == []
    CertificateAuthority.objects.update(revocation_policy="required")
    message = only(databases=["default"])
    assert message.id == "clientcert.W022"
    assert "“Test CA” (id" in message.msg
    assert "no CRL of CN=Test Root CA is loaded" in message.msg
    load_list(authority, ca, age=9, left=-1)
    message = only(databases=["default"])
    assert "“Test CA” (id" in message.msg
    assert "): CRL number 1, CN=Test Root CA. Under" in message.msg
    CertificateAuthority.objects.update(revocation_policy="off")
    assert check_ids(databases=["default"]) == []


def test_n52_w022_every_ca_of_the_path_needs_a_list(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """The root too, which lists its intermediates; a CA that has expired does not."""
    issuing = ca.issue_ca("Issuing CA")
    day = dt.timedelta(days=1)
    old = ca.issue_ca("Old CA", not_before=NOW - 9 * day, not_after=NOW - day)
    authority.bundle = ca.pem + issuing.pem + old.pem
    authority.revocation_policy = "required"
    authority.save()
    load_list(authority, issuing, age=1, left=99)
    message = only(databases=["default"])
    assert message.id == "clientcert.W022"
    assert "): no CRL of CN=Test Root CA is loaded. Under" in message.msg
    load_list(authority, ca, age=1, left=99)
    assert check_ids(databases=["default"]) == []


def test_w022_leaves_a_broken_bundle_to_another_check(
    authority: CertificateAuthority,
) -> None:
    """Which says what is wrong with it."""
    CertificateAuthority.objects.update(revocation_policy="required", bundle="x")
    assert check_ids(databases=["default"]) == ["clientcert.E012"]


def test_n52_w023_a_list_that_will_be_stale_soon(
    authority: CertificateAuthority, ca: ThrowawayCA
) -> None:
    """A fifth of its time is left."""
    load_list(authority, ca, age=78, left=22)
    assert check_ids(databases=["default"]) == []
    authority.revocation_lists.all().delete()
    load_list(authority, ca, age=82, left=18)
    message = only(databases=["default"])
    assert message.id == "clientcert.W023"
    assert "CRL number 1" in message.msg


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rule_identity": "shoe_size"}, "shoe_size"),
        ({"rule_pattern": "**"}, "exactly one"),
        ({"rule_user_field": "no_such"}, "no text field"),
        ({"rule_pattern": "spiffe://example.org/*"}, "trust domain"),
    ],
)
def test_e014_a_rule_that_cannot_be_used(
    authority: CertificateAuthority, fields: dict[str, str], words: str
) -> None:
    """Written past the forms, or for another user model."""
    CertificateAuthority.objects.update(**{"rule_identity": "common_name", **fields})
    message = only(databases=["default"])
    assert message.id == "clientcert.E014"
    assert words in message.msg
    assert "“Test CA”" in message.msg


def test_a07_w025_a_field_that_users_change_is_a_way_in(
    authority: CertificateAuthority,
) -> None:
    """Whoever enters another’s address gets the requests of its certificate."""
    CertificateAuthority.objects.update(
        rule_identity="san_email", rule_user_field="email"
    )
    message = only(databases=["default"])
    assert message.id == "clientcert.W025"
    assert "users cannot change themselves" in str(message.hint)


def test_w025_and_w026_a_rule_that_may_surprise(
    authority: CertificateAuthority,
) -> None:
    """A field that two users may share, and a rule for administrators."""
    CertificateAuthority.objects.update(rule_identity="common_name")
    assert check_ids(databases=["default"]) == []
    CertificateAuthority.objects.update(rule_user_field="email")
    message = only(databases=["default"])
    assert message.id == "clientcert.W025"
    assert "email" in message.msg
    CertificateAuthority.objects.update(rule_user_field="", rule_allows_privileged=True)
    assert only(databases=["default"]).id == "clientcert.W026"


def test_w021_mappings_of_inactive_users(
    alice: Any, mapping: CertificateMapping
) -> None:
    """They are counted until they are disabled."""
    assert check_ids(databases=["default"]) == []
    get_user_model().objects.update(is_active=False)
    message = only(databases=["default"])
    assert message.id == "clientcert.W021"
    assert "“default”: 1." in message.msg
    CertificateMapping.objects.update(state="disabled")
    assert check_ids(databases=["default"]) == []


def test_w021_is_silent_for_users_without_the_column(
    alice: Any, mapping: CertificateMapping, monkeypatch: Any
) -> None:
    """is_active may be a property of the user model."""
    get_user_model().objects.update(is_active=False)

    def get_field(name: str) -> None:
        raise FieldDoesNotExist

    monkeypatch.setattr(get_user_model()._meta, "get_field", get_field)
    assert database.check_users_are_active(None, databases=["default"]) == []


DATABASE_CHECKS = [
    check
    for module in MODULES
    for check in vars(module).values()
    if Tags.database in getattr(check, "tags", ())
]


@pytest.mark.parametrize("check", DATABASE_CHECKS)
@pytest.mark.parametrize("databases", [None, [], ["nonsense"]])
def test_databases_that_are_not_asked_for_are_left_alone(
    check: Any, databases: Any, django_assert_num_queries: Any, db: None
) -> None:
    """Only --database sends queries, and only there."""
    with django_assert_num_queries(0):
        assert check(None, databases=databases) == []


@pytest.mark.parametrize("check", DATABASE_CHECKS)
def test_databases_without_the_tables_are_left_alone(
    check: Any, settings: Any, django_assert_num_queries: Any, db: None
) -> None:
    """The router says which databases have them."""

    class Elsewhere:
        def allow_migrate(self, alias: str, app_label: str, **hints: Any) -> bool:
            return app_label != "django_clientcert"

    settings.DATABASE_ROUTERS = [Elsewhere()]
    with django_assert_num_queries(0):
        assert check(None, databases=["default"]) == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("check", DATABASE_CHECKS)
def test_missing_tables_are_no_issue(check: Any) -> None:
    """``migrate`` runs the checks before it makes the tables."""
    models = apps.get_app_config("django_clientcert").get_models()
    # Those that refer to others first: each is created after what it refers to.
    with dropped(*reversed(list(models))), transaction.atomic():
        assert check(None, databases=["default"]) == []
        # The transaction is as good as before.
        assert get_user_model().objects.count() == 0


def test_database_that_is_down_is_no_issue(monkeypatch: Any, db: None) -> None:
    """Django reports it."""

    def fail(*args: object, **kwargs: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(transaction, "atomic", fail)
    for check in DATABASE_CHECKS:
        assert check(None, databases=["default"]) == []


def test_check_command_with_a_database(alice: Any) -> None:
    """As an operator types it."""
    add_mappings(alice, 1)
    with pytest.raises(SystemCheckError, match=r"clientcert\.E011"):
        call_command(
            "check", databases=["default"], stdout=io.StringIO(), stderr=io.StringIO()
        )


# --- check --deploy --------------------------------------------------------------


@pytest.fixture
def deployed(settings: Any) -> Any:
    """Settings that have no issues with --deploy."""
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.CLIENTCERT_MAX_HEADER_BYTES = 8190
    return settings


def test_deployment_warnings_are_silent_otherwise(settings: Any) -> None:
    """Nobody is bothered while developing."""
    settings.CLIENTCERT_REQUIRE_SECURE = False
    settings.ALLOWED_HOSTS = ["*"]
    settings.CLIENTCERT_TRUSTED_PROXIES = ["0.0.0.0/1"]
    settings.WSGI_APPLICATION = "x.y"
    assert check_ids() == []


def test_w030_transport(deployed: Any) -> None:
    """A plain port of the proxy may let the client's own headers pass."""
    deployed.CLIENTCERT_REQUIRE_SECURE = False
    assert only(deploy=True).id == "clientcert.W030"
    deployed.CLIENTCERT_REQUIRE_SECURE = True
    assert check_ids(deploy=True) == []


def test_w031_hosts(deployed: Any) -> None:
    """An ingress sets the headers for annotated hosts only."""
    deployed.ALLOWED_HOSTS = ["*"]
    assert only(deploy=True).id == "clientcert.W031"
    deployed.CLIENTCERT_PROXY = {"preset": "ingress-nginx", "names_required": False}
    assert check_ids(deploy=True) == ["clientcert.W031"]
    deployed.CLIENTCERT_PROXY = "nginx"
    assert check_ids(deploy=True) == []
    deployed.CLIENTCERT_PROXY = "ingress-nginx"
    deployed.CLIENTCERT_HOSTS = ["api.example.com"]
    assert check_ids(deploy=True) == []
    del deployed.CLIENTCERT_HOSTS
    deployed.ALLOWED_HOSTS = ["api.example.com"]
    assert check_ids(deploy=True) == []


@pytest.mark.parametrize(
    ("networks", "wide"),
    [
        (["10.0.0.0/7"], True),
        (["10.0.0.0/8", "11.0.0.0/8"], True),
        (["fc00::/7"], True),
        (["10.0.0.0/8", "12.0.0.0/8"], False),
        (["fd00::/8", "172.16.0.0/12"], False),
        (["unix"], False),
    ],
    ids=str,
)
def test_w032_wide_network(networks: list[str], wide: bool, deployed: Any) -> None:
    """More than a whole private network, and no secret."""
    deployed.CLIENTCERT_TRUSTED_PROXIES = networks
    assert check_ids(deploy=True) == (["clientcert.W032"] if wide else [])
    deployed.CLIENTCERT_PROXY_SECRET = ("X-Proxy-Secret", "open sesame")
    assert check_ids(deploy=True) == []


ENVIRON = {
    "source": "environ",
    "certificate": "SSL_CLIENT_CERT",
    "verdict": "SSL_CLIENT_VERIFY",
    "subject_dn": None,
    "issuer_dn": None,
}


def test_w033_secure_is_unknown(deployed: Any) -> None:
    """Behind a proxy that ends TLS, every certificate would be refused."""
    deployed.SECURE_PROXY_SSL_HEADER = None
    message = only(deploy=True)
    assert message.id == "clientcert.W033"
    assert "SECURE_PROXY_SSL_HEADER = (" in str(message.hint)
    deployed.CLIENTCERT_PROXY = ENVIRON  # the server itself terminates TLS
    assert check_ids(deploy=True) == []


@pytest.mark.parametrize("installed", [True, False])
def test_w034_header_size(installed: bool, deployed: Any, monkeypatch: Any) -> None:
    """N13: who has gunicorn is told about its limit."""
    spec = object() if installed else None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    deployed.CLIENTCERT_MAX_HEADER_BYTES = 8191
    if installed:
        message = only(deploy=True)
        assert message.id == "clientcert.W034"
        assert "limit_request_field_size" in message.msg
        assert "--limit-request-field_size 8447" in str(message.hint)
    else:
        assert check_ids(deploy=True) == []
    deployed.CLIENTCERT_MAX_HEADER_BYTES = 8190
    assert check_ids(deploy=True) == []


def test_w034_survives_a_module_without_a_spec(deployed: Any, monkeypatch: Any) -> None:
    """Such a module is there all the same."""
    module = ModuleType("gunicorn")
    module.__spec__ = None
    monkeypatch.setitem(sys.modules, "gunicorn", module)
    deployed.CLIENTCERT_MAX_HEADER_BYTES = 9000
    assert check_ids(deploy=True) == ["clientcert.W034"]


def test_w035_underscores(deployed: Any) -> None:
    """N05: under WSGI, only the proxy and the server can tell two spellings apart."""
    deployed.WSGI_APPLICATION = "project.wsgi.application"
    message = only(deploy=True)
    assert message.id == "clientcert.W035"
    assert "ssl_client_cert and ssl-client-cert" in message.msg
    for words in ("underscores_in_headers", "header_map", "clientcert.W035"):
        assert words in str(message.hint)
    deployed.CLIENTCERT_PROXY = ENVIRON  # no client can spell those
    assert check_ids(deploy=True) == []


def test_w036_gateway_identity(deployed: Any) -> None:
    """N23: behind a sidecar, whoever may call it may write the gateway's element."""
    deployed.CLIENTCERT_PROXY = "istio-sidecar"
    message = only(deploy=True)
    assert message.id == "clientcert.W036"
    for words in ("gateway_identity", "AuthorizationPolicy", "clientcert.W036"):
        assert words in str(message.hint)
    deployed.CLIENTCERT_PROXY = {
        "preset": "istio-sidecar",
        "gateway_identity": "spiffe://cluster.local/ns/istio-system/sa/ingress",
    }
    assert check_ids(deploy=True) == []


def test_warnings_are_silenced_by_id(deployed: Any) -> None:
    """Each by its own."""
    deployed.WSGI_APPLICATION = "project.wsgi.application"
    # The second is Django's: mail of the tests stays in memory.
    deployed.SILENCED_SYSTEM_CHECKS = ["clientcert.W035", "mail.E001"]
    err = io.StringIO()
    call_command("check", deploy=True, stdout=io.StringIO(), stderr=err)
    assert "clientcert" not in err.getvalue()
