"""Requests through the whole project, under WSGI and ASGI."""

from __future__ import annotations

from typing import Any

import pytest

from django_clientcert.testing import IssuedCertificate

VIEWS = ["/ledger/", "/class/"]


def test_mapped_certificate_is_the_user(
    ask: Any, alice_cert: IssuedCertificate, mapping: Any
) -> None:
    """A mapped certificate becomes request.user."""
    answer = ask("/open/", alice_cert.der).json()
    assert answer["user"] == "alice"
    assert answer["fingerprint"] == alice_cert.fingerprint


@pytest.mark.parametrize("path", VIEWS)
def test_required_lets_a_mapped_certificate_in(
    ask: Any, alice_cert: IssuedCertificate, mapping: Any, path: str
) -> None:
    """The decorator and the mixin pass an accepted certificate."""
    assert ask(path, alice_cert.der).json()["user"] == "alice"


@pytest.mark.parametrize("path", VIEWS)
def test_required_refuses_without_certificate(
    ask: Any, mapping: Any, path: str
) -> None:
    """No certificate is 403."""
    assert ask(path).status_code == 403
