"""Settings: their defaults, and that nothing is switched off by accident."""

from __future__ import annotations

import datetime as dt
from collections import UserDict
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_clientcert.conf import NAMES, conf
from django_clientcert.wire import INGRESS_NGINX, NGINX

CUSTOM = {"certificate": "X-Cert", "verdict": "X-Verify"}


def test_defaults(settings: Any) -> None:
    """The values for a project that sets nothing."""
    for name in NAMES:
        if hasattr(settings, name):
            delattr(settings, name)
    assert conf.CLIENTCERT_PROXY is INGRESS_NGINX
    assert not conf.CLIENTCERT_TRUSTED_PROXIES
    assert conf.CLIENTCERT_PROXY_VERIFIES is True
    assert conf.CLIENTCERT_HOSTS is None
    assert conf.CLIENTCERT_PROXY_SECRET is None
    assert conf.CLIENTCERT_REQUIRE_SECURE is True
    assert conf.CLIENTCERT_MAX_HEADER_BYTES == 16384
    assert dt.timedelta(minutes=15) == conf.CLIENTCERT_LAST_USED_INTERVAL
    assert conf.CLIENTCERT_SEEN_SIZE == 10000
    assert conf.CLIENTCERT_INBOX_SIZE == 1000


GOOD = [
    ("CLIENTCERT_PROXY", "nginx", NGINX),
    ("CLIENTCERT_PROXY", "tests.face.test_conf.NGINX", NGINX),
    ("CLIENTCERT_PROXY_VERIFIES", None, True),
    ("CLIENTCERT_PROXY_VERIFIES", False, False),
    ("CLIENTCERT_HOSTS", ["API.example.com"], ("api.example.com",)),
    ("CLIENTCERT_PROXY_SECRET", ("X-Secret", "s"), ("HTTP_X_SECRET", ("s",))),
    ("CLIENTCERT_PROXY_SECRET", ("X-S", ["n", "o"]), ("HTTP_X_S", ("n", "o"))),
    ("CLIENTCERT_REQUIRE_SECURE", False, False),
    ("CLIENTCERT_MAX_HEADER_BYTES", 1, 1),
    ("CLIENTCERT_LAST_USED_INTERVAL", None, None),
    ("CLIENTCERT_LAST_USED_INTERVAL", 60, dt.timedelta(minutes=1)),
    ("CLIENTCERT_LAST_USED_INTERVAL", dt.timedelta(0), dt.timedelta(0)),
    ("CLIENTCERT_SEEN_SIZE", 0, 0),
    ("CLIENTCERT_INBOX_SIZE", 0, 0),
    ("CLIENTCERT_INBOX_SIZE", 5, 5),
]


@pytest.mark.parametrize(("name", "value", "expected"), GOOD)
def test_values_that_can_be_used(
    settings: Any, name: str, value: Any, expected: Any
) -> None:
    """Each is read on access."""
    setattr(settings, name, value)
    assert getattr(conf, name) == expected


BAD = [
    ("CLIENTCERT_PROXY", ""),
    ("CLIENTCERT_PROXY", "apache3"),
    ("CLIENTCERT_PROXY", "no.such.module"),
    ("CLIENTCERT_PROXY", None),
    ("CLIENTCERT_PROXY", {"verdict": ""}),
    ("CLIENTCERT_PROXY", {"verdict": None}),
    ("CLIENTCERT_PROXY", {"certificate": "", **CUSTOM, "encoding": "x"}),
    ("CLIENTCERT_PROXY", {"certificate": "X_Cert"}),
    ("CLIENTCERT_PROXY", {"success": ""}),
    ("CLIENTCERT_PROXY", {"failure": ""}),
    ("CLIENTCERT_PROXY", {"subject_dn": ""}),
    ("CLIENTCERT_PROXY", {"verifies": "false"}),
    ("CLIENTCERT_PROXY", {"preset": "no"}),
    ("CLIENTCERT_PROXY", {"verify_header": "X"}),
    ("CLIENTCERT_TRUSTED_PROXIES", "10.0.0.0/8"),
    ("CLIENTCERT_TRUSTED_PROXIES", [10]),
    ("CLIENTCERT_TRUSTED_PROXIES", ["10.0.0.1/8"]),
    ("CLIENTCERT_TRUSTED_PROXIES", ["proxy.example.com"]),
    ("CLIENTCERT_TRUSTED_PROXIES", [""]),
    ("CLIENTCERT_PROXY_VERIFIES", "false"),
    ("CLIENTCERT_PROXY_VERIFIES", ""),
    ("CLIENTCERT_HOSTS", ""),
    ("CLIENTCERT_HOSTS", []),
    ("CLIENTCERT_HOSTS", [""]),
    ("CLIENTCERT_HOSTS", "example.com"),
    ("CLIENTCERT_PROXY_SECRET", ""),
    ("CLIENTCERT_PROXY_SECRET", "secret"),
    ("CLIENTCERT_PROXY_SECRET", 7),
    ("CLIENTCERT_PROXY_SECRET", "ab"),
    ("CLIENTCERT_TRUSTED_PROXIES", 10),
    ("CLIENTCERT_HOSTS", 10),
    ("CLIENTCERT_PROXY_SECRET", ("", "s")),
    ("CLIENTCERT_PROXY_SECRET", ("X-S", "")),
    ("CLIENTCERT_PROXY_SECRET", ("X-S", [])),
    ("CLIENTCERT_PROXY_SECRET", ("X-S", ["a", "b", "c"])),
    ("CLIENTCERT_PROXY_SECRET", ("X-S", ["a", ""])),
    ("CLIENTCERT_PROXY_SECRET", ("X-S", None)),
    ("CLIENTCERT_REQUIRE_SECURE", "false"),
    ("CLIENTCERT_REQUIRE_SECURE", ""),
    ("CLIENTCERT_REQUIRE_SECURE", 0),
    ("CLIENTCERT_MAX_HEADER_BYTES", 0),
    ("CLIENTCERT_MAX_HEADER_BYTES", "16384"),
    ("CLIENTCERT_MAX_HEADER_BYTES", True),
    ("CLIENTCERT_LAST_USED_INTERVAL", "15"),
    ("CLIENTCERT_LAST_USED_INTERVAL", 0),
    ("CLIENTCERT_INBOX_SIZE", -1),
    ("CLIENTCERT_INBOX_SIZE", False),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_n08_values_that_cannot_be_used(settings: Any, name: str, value: Any) -> None:
    """An empty or misspelt value is an error that names the setting."""
    setattr(settings, name, value)
    with pytest.raises(ImproperlyConfigured, match=name):
        getattr(conf, name)


# --- a custom proxy is described once -----------------------------------------------


def test_the_proxy_of_a_dict_is_kept(settings: Any) -> None:
    """The same value describes the same proxy; it is not checked for each request."""
    settings.CLIENTCERT_PROXY = dict(CUSTOM)
    assert conf.CLIENTCERT_PROXY is conf.CLIENTCERT_PROXY
    assert conf.CLIENTCERT_PROXY.certificate == "x-cert"


def test_another_value_is_another_proxy(settings: Any) -> None:
    """The setting is read on every access, also inside ``override_settings``."""
    settings.CLIENTCERT_PROXY = dict(CUSTOM)
    kept = conf.CLIENTCERT_PROXY
    with override_settings(CLIENTCERT_PROXY={"certificate": "X-Other"}):
        assert conf.CLIENTCERT_PROXY.certificate == "x-other"
        with override_settings(CLIENTCERT_PROXY="ingress-nginx"):
            assert conf.CLIENTCERT_PROXY is INGRESS_NGINX
        with override_settings(CLIENTCERT_PROXY={"certificate": "X_Other"}):
            for _ in range(2):
                with pytest.raises(ImproperlyConfigured, match="CLIENTCERT_PROXY"):
                    conf.CLIENTCERT_PROXY  # noqa: B018
        assert conf.CLIENTCERT_PROXY.certificate == "x-other"
    assert kept == conf.CLIENTCERT_PROXY


def test_a_dict_that_is_changed_in_place_is_read_again(settings: Any) -> None:
    """Also a list inside it; a value that became unusable is refused."""
    value: dict[str, Any] = {**CUSTOM, "failure": ["FAILED:"]}
    settings.CLIENTCERT_PROXY = value
    assert conf.CLIENTCERT_PROXY.failure == ("FAILED:",)
    value["failure"].append("NONE")
    assert conf.CLIENTCERT_PROXY.failure == ("FAILED:", "NONE")
    value["certificate"] = "X-Other"
    assert conf.CLIENTCERT_PROXY.certificate == "x-other"
    value["verdict"] = ""
    with pytest.raises(ImproperlyConfigured, match="verdict"):
        conf.CLIENTCERT_PROXY  # noqa: B018


def test_a_mapping_without_a_telling_repr_is_read_again(settings: Any) -> None:
    """It is compared by its items."""

    class Quiet(UserDict[str, Any]):
        def __repr__(self) -> str:
            return "Quiet"

    settings.CLIENTCERT_PROXY = value = Quiet(CUSTOM)
    assert conf.CLIENTCERT_PROXY.certificate == "x-cert"
    value["certificate"] = "X-Other"
    assert conf.CLIENTCERT_PROXY.certificate == "x-other"


def test_the_dict_of_a_dotted_path_is_kept_too(settings: Any) -> None:
    """The path is imported on every access, and what it names is compared."""
    settings.CLIENTCERT_PROXY = "tests.face.test_conf.CUSTOM"
    assert conf.CLIENTCERT_PROXY is conf.CLIENTCERT_PROXY
