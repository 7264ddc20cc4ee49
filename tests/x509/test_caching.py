"""Caches that a client cannot fill with large things."""

from __future__ import annotations

import threading
import tracemalloc

import pytest

from django_clientcert.evaluation import peer
from django_clientcert.testing import ThrowawayCA, make_key
from django_clientcert.x509.caching import remember
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import Identity, IdentityKind, find_identities


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


def test_a04_strangers_fill_no_memory() -> None:
    """A self-signed certificate of 9 KB, with hundreds of names, from each of many."""
    dns = [f"{number:03}.example.com" for number in range(256)]
    emails = [f"{number:03}@example.com" for number in range(256)]
    uris = [f"x:{number}" for number in range(256)]
    ca = ThrowawayCA.create()
    key = make_key()

    def stranger() -> bytes:
        return ca.issue("x", dns=dns, emails=emails, uris=uris, key=key).der

    find_identities.forget()  # type: ignore[attr-defined]
    strangers = [stranger() for _ in range(160)]
    size = len(strangers[0])
    assert size > 9000
    tracemalloc.start()
    memory = []
    for number, der in enumerate(strangers, 1):
        find_identities(ClientCertificate(der))
        if number in (120, 160):
            memory.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    # The cache is full, so each newcomer takes the place of another.
    assert memory[1] < memory[0] * 1.1
    assert not hasattr(Identity(IdentityKind.SUBJECT, b"", ""), "__dict__")
    find_identities.forget()  # type: ignore[attr-defined]


def test_a04_header_values_are_weighed_with_their_chain() -> None:
    """What is decoded of them takes about as much memory."""
    assert peer._weigh("escaped_pem", "abc", "base64_der", ("de", "f")) == 6
