"""Caches that a client cannot fill with large things."""

from __future__ import annotations

import threading
import tracemalloc
from typing import Any
from urllib.parse import quote

import pytest

from django_clientcert.conf import current
from django_clientcert.evaluation import peer
from django_clientcert.testing import ThrowawayCA, make_key
from django_clientcert.x509.caching import remember
from django_clientcert.x509.identities import Identity, IdentityKind


def test_a04_results_are_kept_as_far_as_they_fit() -> None:
    """Those that were not used for longest go first."""
    calls: list[str] = []

    @remember(10, len)
    def shout(text: str) -> str:
        calls.append(text)
        return text.upper()

    for text in ("aaaa", "bbbb", "aaaa", "cccc", "aaaa", "bbbb"):
        assert shout(text) == text.upper()
    assert calls == ["aaaa", "bbbb", "cccc", "bbbb"]
    shout.forget()  # type: ignore[attr-defined]
    shout("bbbb")
    assert calls[4:] == ["bbbb"]
    assert shout("x" * 11) == shout("x" * 11) == "X" * 11  # too large to be kept
    assert calls[5:] == ["x" * 11] * 2


def test_a04_what_is_raised_is_not_kept() -> None:
    """The next call tries again."""
    calls: list[str] = []

    @remember(10, len)
    def fail(text: str) -> str:
        calls.append(text)
        raise ValueError(text)

    for _ in range(2):
        with pytest.raises(ValueError, match="a"):
            fail("a")
    assert calls == ["a", "a"]


def test_a04_two_threads_at_once_count_once() -> None:
    """Or the sum would grow, and the cache shrink."""
    barrier = threading.Barrier(2)

    @remember(10, len)
    def wait(text: str) -> str:
        if text == "aaaa":
            barrier.wait(10)
        return text.upper()

    threads = [threading.Thread(target=wait, args=["aaaa"]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait("bbbb")
    assert wait("aaaa") == "AAAA"  # kept: nobody would pass the barrier


def test_a04_what_takes_too_much_is_not_kept() -> None:
    """One result must not take the place of many."""
    calls: list[str] = []

    @remember(10, len, most=4)
    def shout(text: str) -> str:
        calls.append(text)
        return text.upper()

    for text in ("aaaa", "bbbbb", "aaaa", "bbbbb"):
        assert shout(text) == text.upper()
    assert calls == ["aaaa", "bbbbb", "bbbbb"]


def test_a04_strangers_fill_no_memory(settings: Any) -> None:
    """A self-signed certificate of 9 KB, with hundreds of names, from each of many."""
    without_names = {"subject_dn": None, "issuer_dn": None, "names_required": False}
    settings.CLIENTCERT_PROXY = {"preset": "nginx", **without_names}
    dns = [f"{number:03}.example.com" for number in range(256)]
    emails = [f"{number:03}@example.com" for number in range(256)]
    uris = [f"x:{number}" for number in range(256)]
    ca = ThrowawayCA.create()
    key = make_key()

    def stranger(names: slice) -> str:
        certificate = ca.issue(
            "x", dns=dns[names], emails=emails[names], uris=uris[names], key=key
        )
        return quote(certificate.pem, safe="")

    def examine(value: str) -> None:
        evidence = peer._weigh_evidence(current(), value, "SUCCESS", (), (), None, None)
        assert evidence.refusal is None, evidence.refusal
        assert len(evidence.facts.identities.found) > 60

    peer._weigh_evidence.forget()  # type: ignore[attr-defined]
    large = [stranger(slice(None)) for _ in range(20)]
    small = [stranger(slice(20)) for _ in range(20)]
    assert len(large[0]) > 12_000
    examine(small[0])  # what is imported and built once
    tracemalloc.start()
    memory = [tracemalloc.get_traced_memory()[0]]
    for strangers in (large, small):
        for value in strangers:
            examine(value)
        memory.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    most = 64 * 1024
    assert memory[1] - memory[0] < most  # of all of them: too large to be kept
    assert memory[2] - memory[1] < most * len(small)
    assert not hasattr(Identity(IdentityKind.SUBJECT, b"", ""), "__dict__")
    peer._weigh_evidence.forget()  # type: ignore[attr-defined]


def test_a04_values_are_weighed_with_their_chain() -> None:
    """What is read of them takes about nine times as much memory."""
    values = ("abc", None, ("d", None), ("ef", "g"), "h", None)
    assert peer._weigh(current(), *values) == peer.OBJECTS + 9 * 8
