"""The header lines that real proxies pass on, before any server folds them.

With the configurations of ``example_project/proxies``. What is asked of them is more
than one server needs: some take ``X_SSL_Client_Cert`` for the same header, and the
last of two lines for the only one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from django_clientcert.testing import proxy_headers
from django_clientcert.wire import PRESETS
from example_project.programs import Program

from .conftest import Answer
from .pki import Pki
from .recorder import arrived, recorder

pytestmark = [
    # The client leaves sockets to the garbage collector where a server hangs up.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

Send = Callable[..., Answer]

PROXIES = {
    "nginx": "nginx",
    "haproxy": "haproxy",
    "caddy": "caddy",
    "traefik": "traefik",
    "envoy": "envoy",
    "apache": "apache2",
}

each_proxy = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.needs_program(program))
        for name, program in PROXIES.items()
    ],
)
each_client = pytest.mark.parametrize("own", [None, "mallory"])


@pytest.fixture(scope="module")
def recorded(folder: Path, pki: Pki) -> Iterator[Callable[[str], Program]]:
    """Start a proxy in front of the recorder when it is asked for."""
    running: dict[str, Program] = {}
    with ExitStack() as stack:
        upstream = stack.enter_context(recorder())

        def get(name: str) -> Program:
            if name not in running:
                running[name] = stack.enter_context(
                    Program(
                        name,
                        folder / f"recorded-{name}",
                        upstream=upstream,
                        certificate=pki.server.chain_pem,
                        key=pki.server.key_pem,
                        ca=pki.ca.pem,
                    )
                )
            return running[name]

        yield get


def assert_nothing_forged(answer: Answer, name: str, forged: dict[str, str]) -> None:
    """Check that no name has two values, and none is the client's."""
    if answer.status in (400, 403):
        return  # the proxy refuses it
    assert answer.status == 200, answer
    for header, value in forged.items():
        values = arrived(answer.body, header)
        if name == "apache":
            # It lets empty copies pass, by which a client makes itself nobody.
            values = [one for one in values if one]
        assert len(values) <= 1, (header, values)
        if header == PRESETS[name].certificate:
            assert value not in values


@each_proxy
@each_client
def test_an_ordinary_request_arrives(
    name: str, own: str | None, recorded: Callable[[str], Program], send: Send
) -> None:
    """Or else nothing below would mean anything."""
    answer = send(recorded(name), "/", own, headers=[("x_other", "1")])
    assert answer.status == (400 if name == "envoy" else 200)
    answer = send(recorded(name), "/", own, headers=[("X-Other", "1")])
    assert arrived(answer.body, "x-other") == ["1"]
    assert any(arrived(answer.body, PRESETS[name].certificate)) or own is None


def forge(name: str, pki: Pki) -> dict[str, str]:
    """Return what the proxy would say of Alice, and of the scheme."""
    return {
        **proxy_headers(pki.certificates["alice"].der, preset=name),
        "x-forwarded-proto": "gopher",
    }


@each_proxy
@each_client
@pytest.mark.parametrize(
    "respell",
    [
        lambda header: header,
        lambda header: header.replace("-", "_"),
        lambda header: header.replace("-", "_", 1),
        lambda header: "-".join(header.rsplit("-", 1)).replace("-", "_").upper(),
        lambda header: "_".join(header.rsplit("-", 1)),
        lambda header: "_".join(header.rsplit("-", 1)).upper(),
    ],
    ids=["same", "underscores", "first", "upper", "last", "last-upper"],
)
def test_n05_one_line_arrives_and_it_is_the_proxys(
    name: str,
    own: str | None,
    respell: Callable[[str], str],
    recorded: Callable[[str], Program],
    send: Send,
    pki: Pki,
) -> None:
    """N05: whatever stands before, behind or between what the client forges."""
    forged = forge(name, pki)
    lines = [(respell(header), value) for header, value in forged.items()]
    empty = [(header, "") for header, _ in lines]
    genuine = list(forged.items())
    # What looks like the header, comes first and says nothing
    decoys = [(f"{header}_x", "") for header, _ in lines]
    for sent in (
        lines,
        empty,
        genuine + empty,
        lines * 2,
        genuine + lines,
        lines + genuine,
        empty + lines,
        decoys + genuine + lines,
        [(f"{header}-x", "") for header, _ in lines] + genuine + lines,
    ):
        answer = send(recorded(name), "/", own, headers=sent)
        assert_nothing_forged(answer, name, forged)


@each_proxy
@each_client
@pytest.mark.parametrize("naming", ["Connection", "Proxy-Connection", "TE", "Trailer"])
def test_n10_no_field_that_names_others_uncovers_one(
    name: str,
    own: str | None,
    naming: str,
    recorded: Callable[[str], Program],
    send: Send,
    pki: Pki,
) -> None:
    """N10: what a client calls hop-by-hop is still the proxy's to set."""
    forged = forge(name, pki)
    before = send(recorded(name), "/", own)
    for named in (*forged, ", ".join(forged), f"close, {', '.join(forged).upper()}"):
        for sent in (
            [(naming, named), *forged.items()],
            [*forged.items(), (naming, "close"), (naming, named)],
        ):
            answer = send(recorded(name), "/", own, headers=sent)
            assert_nothing_forged(answer, name, forged)
            if answer.status == 200:
                for header in PRESETS[name].names:
                    assert arrived(answer.body, header) == arrived(before.body, header)


@each_proxy
@each_client
def test_the_scheme_is_the_proxys(
    name: str,
    own: str | None,
    recorded: Callable[[str], Program],
    send: Send,
    pki: Pki,
) -> None:
    """It is there, once, whatever the client says."""
    sent = [("X-Forwarded-Proto", "http")]
    answer = send(recorded(name), "/", own, headers=sent)
    assert arrived(answer.body, "x-forwarded-proto") == ["https"]


@pytest.mark.needs_program("haproxy")
def test_n12_no_length_at_which_haproxy_forwards_none(
    recorded: Callable[[str], Program], folder: Path, send: Send, pki: Pki
) -> None:
    """N12: DER that fits into a buffer, and in Base64 does not."""
    outcomes = set()
    for count in range(260, 520, 20):
        name = f"long{count}"
        long = pki.ca.issue(
            name, dns=[f"h{n:04}.a.rather.long.example.com" for n in range(count)]
        )
        (folder / f"{name}.pem").write_text(long.chain_pem + long.key_pem)
        answer = send(recorded("haproxy"), "/", name)
        outcomes.add(answer.status)
        if answer.status == 200:
            (value,) = arrived(answer.body, "x-ssl-client-cert")
            assert value, f"{len(long.der)} bytes are silently none"
    assert 200 in outcomes
    assert outcomes - {200}
