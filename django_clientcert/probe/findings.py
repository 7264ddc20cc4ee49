"""What an answer means, and what to change."""

from __future__ import annotations

from dataclasses import dataclass

from django_clientcert.exceptions import Reason
from django_clientcert.wire import Proxy

from . import Answer, Arrival
from .attempts import Place, Spelling

HOLE, NOTE, CLOSED, UNREACHED = "HOLE", "note", "closed", "not reached"


@dataclass(frozen=True)
class Finding:
    """The outcome of one attempt, a sentence, and what to change for it."""

    place: str
    spelling: str
    outcome: str
    said: str
    remedy: str = ""


def judge(
    proxy: Proxy,
    place: Place,
    spelling: Spelling,
    answer: Answer,
    *,
    usual: Answer,
) -> Finding:
    """Return what *answer* says of an attempt.

    *usual* is the answer where nothing is forged: what the proxy itself says in the
    words of the forgery, such as SUCCESS, is no sign of anything.
    """

    def found(outcome: str, said: str, remedy: str = "") -> Finding:
        return Finding(place.name, spelling.name, outcome, said, remedy)

    arrived = [
        name
        for name, one in answer.headers.items()
        if one in (Arrival.FORGED, Arrival.MIXED)
        and usual.headers.get(name) != Arrival.FORGED
    ]
    if answer.believed:
        return found(
            HOLE,
            "the forged certificate is believed",
            _remedy(proxy, place, spelling, arrived or [proxy.certificate]),
        )
    if answer.gate and answer.gate != Reason.AMBIGUOUS_HEADER:
        what = f"{_list(arrived)} arrives, and is " if arrived else ""
        return found(CLOSED, f"{what}refused: {answer.gate}")
    if arrived:
        return found(
            HOLE, f"arrives: {_list(arrived)}", _remedy(proxy, place, spelling, arrived)
        )
    if answer.gate:
        return found(
            NOTE,
            "it arrives beside or instead of the proxy’s own, and is refused",
            _remedy(proxy, place, spelling, [proxy.certificate]),
        )
    if (
        spelling.removes
        and usual.headers.get(proxy.certificate) == Arrival.OTHER
        and answer.headers.get(proxy.certificate) == Arrival.ABSENT
    ):
        return found(
            HOLE,
            f"the proxy’s own {proxy.certificate} is removed",
            "Let the proxy drop such a Connection header before it sets its own "
            "(Apache: RequestHeader unset Connection).",
        )
    return found(CLOSED, "")


def _list(names: list[str]) -> str:
    return ", ".join(names)


def _remedy(proxy: Proxy, place: Place, spelling: Spelling, names: list[str]) -> str:
    """Return what to change for headers that arrive."""
    if place.direct:
        return (
            "Let nothing but the proxy reach this address (a firewall, a "
            "NetworkPolicy, a Unix socket), narrow CLIENTCERT_TRUSTED_PROXIES, or set "
            "CLIENTCERT_PROXY_SECRET."
        )
    if "underscore" in spelling.name:
        return (
            "Let the proxy drop header names with underscores, or use an application "
            "server that does."
        )
    if proxy.name in ("ingress-nginx", "traefik-ingress-nginx"):
        if names == [proxy.certificate]:
            return (
                "Set the annotation auth-tls-pass-certificate-to-upstream: "
                '"true" on the Ingress of this host.'
            )
        if spelling.name == "as the proxy writes them":
            return (
                "Set the annotation auth-tls-secret on the Ingress of this host, with "
                "a secret that has the key ca.crt; or leave the host out of "
                "CLIENTCERT_HOSTS."
            )
    return (
        f"Let the proxy set or remove {_list(names)} for every host and path, without "
        "a condition; manage.py clientcert proxy-config prints how. A host that "
        "cannot: leave it out of CLIENTCERT_HOSTS."
    )
