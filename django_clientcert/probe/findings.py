"""The meaning of an answer, and what to change."""

from __future__ import annotations

from dataclasses import dataclass

from django_clientcert.exceptions import Reason
from django_clientcert.wire import Proxy

from .attempts import Place, Spelling
from .endpoint import Answer, Arrival

HOLE, NOTE, CLOSED, UNREACHED = "HOLE", "note", "closed", "not reached"


@dataclass(frozen=True)
class Finding:
    """The outcome of one attempt, a sentence about it, and what to change."""

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
    """Return the finding of an attempt to which the application replied *answer*.

    *usual* is the answer if nothing is forged: a value that the proxy itself sends,
    such as SUCCESS, does not show that the forged one arrived.
    """

    def finding(outcome: str, said: str, remedy: str = "") -> Finding:
        return Finding(place.name, spelling.name, outcome, said, remedy)

    arrived = [
        name
        for name, arrival in answer.headers.items()
        if arrival in (Arrival.FORGED, Arrival.MIXED)
        and usual.headers.get(name) != Arrival.FORGED
    ]
    if answer.believed:
        return finding(
            HOLE,
            "the forged certificate is believed",
            _remedy(proxy, place, spelling, arrived or [proxy.certificate]),
        )
    if answer.gate and answer.gate != Reason.AMBIGUOUS_HEADER:
        what = f"{', '.join(arrived)} arrives, and is " if arrived else ""
        return finding(CLOSED, f"{what}refused: {answer.gate}")
    if arrived:
        return finding(
            HOLE,
            f"arrives: {', '.join(arrived)}",
            _remedy(proxy, place, spelling, arrived),
        )
    if answer.gate:
        return finding(
            NOTE,
            "it arrives in addition to or in place of the proxy’s own, and is refused",
            _remedy(proxy, place, spelling, [proxy.certificate]),
        )
    if (
        spelling.removes
        and usual.headers.get(proxy.certificate) == Arrival.OTHER
        and answer.headers.get(proxy.certificate) == Arrival.ABSENT
    ):
        return finding(
            HOLE,
            f"the proxy’s own {proxy.certificate} is removed",
            "Configure the proxy to drop such a Connection header before it sets its "
            "own headers (Apache: RequestHeader unset Connection).",
        )
    return finding(CLOSED, "")


def _remedy(proxy: Proxy, place: Place, spelling: Spelling, names: list[str]) -> str:
    """Return what to change, given the headers that arrive."""
    if place.direct:
        return (
            "Allow only the proxy to reach this address (a firewall, a NetworkPolicy, "
            "a Unix socket), narrow CLIENTCERT_TRUSTED_PROXIES, or set "
            "CLIENTCERT_PROXY_SECRET."
        )
    if "underscore" in spelling.name:
        return (
            "Configure the proxy to drop header names with underscores, or use an "
            "application server that does."
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
                "a secret that contains the key ca.crt, or leave the host out of "
                "CLIENTCERT_HOSTS."
            )
    return (
        f"Configure the proxy to set or remove {', '.join(names)} for every host and "
        "path, without a condition; manage.py clientcert proxy-config prints how. If "
        "that is impossible for a host, leave it out of CLIENTCERT_HOSTS."
    )
