"""Untrusted text made safe to show, and the reasons of refusal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_clientcert.exceptions import Reason, Refusal
from django_clientcert.x509.escaping import visible, visible_once


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("alice", "alice"),
        ("José Straße 日本", "José Straße 日本"),
        ("a\nb", r"a\u{a}b"),
        ("a\r\n\tb", r"a\u{d}\u{a}\u{9}b"),
        ("\x1b[31mred", r"\u{1b}[31mred"),
        ("a\0b", r"a\u{0}b"),
        ("a\u202eb", r"a\u{202e}b"),
        ("a\u2066b", r"a\u{2066}b"),
        ("a\u200bb", r"a\u{200b}b"),
        ("a\u00adb", r"a\u{ad}b"),
        ("a\u2028b", r"a\u{2028}b"),
        ("a\ud800b", r"a\u{d800}b"),
        ("a\U000e0041b", r"a\u{e0041}b"),
        (r"a\u{a}b", r"a\\u{a}b"),
        ("a\\", "a\\\\"),
        ("", ""),
    ],
    ids=repr,
)
def test_n29_visible(text: str, shown: str) -> None:
    """N29: one line stays one line, and nothing imitates an escape."""
    assert visible(text) == shown


@given(st.text())
def test_n29_nothing_hidden_is_left(text: str) -> None:
    """N29: no control, format or separator character, whatever the text."""
    for shown in (visible(text), visible_once(text)):
        assert len(shown.splitlines()) <= 1
        hidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        assert not hidden & {unicodedata.category(one) for one in shown}


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_two_texts_look_alike_in_their_escapes(one: str, other: str) -> None:
    """The escaping can be undone, so nothing is hidden by it."""
    assert (visible(one) == visible(other)) is (one == other)


def test_limit() -> None:
    """Long text is cut, and says so."""
    assert visible("a" * 256) == "a" * 256
    assert visible("a" * 257) == "a" * 256 + "…"
    assert visible("\n" * 5, 2) == r"\u{a}\u{a}…"
    assert visible_once("a" * 5, 4) == "aaaa…"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"CN=a\,b", r"CN=a\,b"),
        ("CN=a\nb", r"CN=a\u{a}b"),
        ("CN=a\\\u202e", r"CN=a\\\u{202e}"),
    ],
)
def test_visible_once(text: str, shown: str) -> None:
    """Escaped text stays as it is; other text is escaped."""
    assert visible_once(text) == shown


def test_reasons_are_stable_words() -> None:
    """Scripts may use them: lower case, no spaces, printed as they are."""
    for reason in Reason:
        assert str(reason) == f"{reason}" == reason.value
        assert reason.value == reason.name.lower()


def test_a_refusal_says_why() -> None:
    """The reason for programs, the detail for people."""
    assert str(Refusal(Reason.EXPIRED)) == "expired"
    refusal = Refusal(Reason.EXPIRED, "valid until yesterday")
    assert str(refusal) == "expired: valid until yesterday"
    assert (refusal.reason, refusal.detail) == (
        Reason.EXPIRED,
        "valid until yesterday",
    )
