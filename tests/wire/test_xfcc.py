"""Envoy's ``x-forwarded-client-cert``: who writes into it, and what they gain (N14)."""

from __future__ import annotations

import hashlib

import pytest

from django_clientcert.exceptions import HeaderDecodeError, Reason
from django_clientcert.testing import encode_escaped_pem
from django_clientcert.wire import decode_xfcc, decode_xfcc_two_hops
from django_clientcert.wire.encodings.xfcc import read_caller_uris
from tests import der_writer as w

REAL = w.tlv(w.SEQUENCE, w.tlv(w.OCTET_STRING, b"the client's own"))
VICTIM = w.tlv(w.SEQUENCE, w.tlv(w.OCTET_STRING, b"somebody else's"))
ISSUER = w.tlv(w.SEQUENCE, w.tlv(w.OCTET_STRING, b"above both"))


def digest(der: bytes) -> str:
    """Return what Envoy writes as Hash."""
    return hashlib.sha256(der).hexdigest()


def pem(*ders: bytes) -> str:
    """Return what Envoy writes as Cert or Chain."""
    return "".join(map(encode_escaped_pem, ders))


def element(der: bytes, **others: str) -> str:
    """Return an element as Envoy writes it; *others* as they are on the wire."""
    pairs = [f"Hash={digest(der)}", f'Cert="{pem(der)}"']
    return ";".join([*pairs, *(f"{key}={value}" for key, value in others.items())])


def refused(value: str, decode: object = decode_xfcc) -> Reason:
    """Return the reason for which *value* is refused."""
    assert callable(decode)
    with pytest.raises(HeaderDecodeError) as error:
        decode(value)
    return error.value.reason


# --- what Envoy writes -----------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "chain"),
    [
        pytest.param(element(REAL), (REAL,), id="certificate"),
        pytest.param(
            element(REAL, Chain=f'"{pem(REAL, ISSUER)}"'), (REAL, ISSUER), id="chain"
        ),
        pytest.param(
            f"By=spiffe://td/app;{element(REAL, Subject=chr(34) + chr(34), URI='')}",
            (REAL,),
            id="by, no subject, no URI",
        ),
        pytest.param(
            element(REAL, Subject=r'"CN=\"a\",O=b;c"', URI="spiffe://td/a", DNS="a.b"),
            (REAL,),
            id="names",
        ),
        pytest.param(
            element(REAL, URI="spiffe://td/a").replace("Hash", "hash"),
            (REAL,),
            id="lower case",
        ),
        pytest.param(
            f'Cert="{pem(REAL)}";Hash={digest(REAL).upper()}', (REAL,), id="order"
        ),
    ],
)
def test_one_element(value: str, chain: tuple[bytes, ...]) -> None:
    """The certificate, and what is above it."""
    assert decode_xfcc(value) == chain


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://td/a,b",
        "spiffe://td/a;b",
        "spiffe://td/a,Hash=1;URI=spiffe://td/b",
        "a,Cert=x",
        "a=b=c",
        "a,,,;;;",
        "a,Subject=x",
        "a\\",
    ],
)
def test_n14_a_name_that_breaks_the_grammar(uri: str) -> None:
    """N14: it is the client's own text, unquoted; its own certificate stays."""
    assert decode_xfcc(element(REAL, URI=uri)) == (REAL,)
    assert decode_xfcc(element(REAL, DNS=uri)) == (REAL,)


def test_r02_an_empty_pair_at_the_very_end_is_nothing() -> None:
    """As Microsoft documents the value of Azure Container Apps; only one, and last."""
    chain = element(REAL, Chain=f'"{pem(REAL, ISSUER)}"')
    assert decode_xfcc(f"{chain};") == (REAL, ISSUER)
    assert decode_xfcc(f"{element(REAL)};") == (REAL,)
    elsewhere = [f"{chain};;", f";{chain}", chain.replace(";", ";;", 1), f"{chain}; "]
    for value in [*elsewhere, f"{chain};,", f"Hash={digest(REAL)};", f"{chain};,By=a"]:
        assert refused(value) is Reason.MALFORMED_HEADER
    # It adds no element and hides none.
    assert refused(f"{chain};,{element(VICTIM)};") is Reason.AMBIGUOUS_HEADER
    two_hops = f"{element(REAL)};,By=a;Hash={digest(VICTIM)}"
    assert refused(two_hops, decode_xfcc_two_hops) is Reason.MALFORMED_HEADER


# --- what a client gains by a name -----------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        f"a,{element(VICTIM)}",
        f"a;{element(VICTIM)}",
        f'a;Cert="{pem(VICTIM)}"',
        f'a;Cert="{pem(VICTIM)}";Hash={digest(VICTIM)}',
        f"a;Hash={digest(VICTIM)}",
        f'a;Chain="{pem(VICTIM)}"',
        'a;Subject="CN=admin"',
        'a;x="',
        'a"b',
        f"HASH={digest(VICTIM)}",
    ],
)
@pytest.mark.parametrize("key", ["URI", "DNS"])
def test_n14_a_forged_element_gains_nothing(key: str, name: str) -> None:
    """N14: refused, or the client's own certificate; never another."""
    for value in (element(REAL, **{key: name}), f"{key}={name};{element(REAL)}"):
        try:
            assert decode_xfcc(value) == (REAL,)
        except HeaderDecodeError:
            continue


def test_n14_a_certificate_in_the_subject() -> None:
    """N14: in quotes it is text, and what closes them is refused."""
    subject = f'"CN=x;Cert=\\"{pem(VICTIM)}\\""'
    assert decode_xfcc(element(REAL, Subject=subject)) == (REAL,)
    for broken in (f'"CN=x";Cert="{pem(VICTIM)}"', f'"CN=x"Cert="{pem(VICTIM)}"'):
        assert refused(element(REAL, Subject=broken)) is Reason.MALFORMED_HEADER


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="nothing"),
        pytest.param("SPOOF", id="a word"),
        pytest.param(f"Hash={digest(REAL)}", id="no Cert"),
        pytest.param(f'Cert="{pem(REAL)}"', id="no Hash"),
        pytest.param(f"Hash={digest(REAL)};Cert={pem(REAL)}", id="Cert without quotes"),
        pytest.param(element(REAL, Chain=pem(REAL)), id="Chain without quotes"),
        pytest.param(element(REAL)[:-1], id="an open quote"),
        pytest.param(element(REAL)[:-1] + "\\", id="a backslash at the end"),
        pytest.param(element(REAL)[:-1] + '\\"', id="a closing quote escaped"),
        pytest.param(element(REAL, Cert=f'"{pem(REAL)}"'), id="Cert twice"),
        pytest.param(element(REAL, CERT=f'"{pem(VICTIM)}"'), id="Cert in two cases"),
        pytest.param(element(REAL, Subject='"a"', SUBJECT='"b"'), id="Subject twice"),
        pytest.param(element(REAL, Cert2="x;y"), id="another key"),
        pytest.param(" " + element(REAL), id="a space in front"),
        pytest.param(element(REAL) + " ", id="a space after"),
        pytest.param(
            f'Hash={digest(REAL)};Cert="{pem(REAL, ISSUER)}"', id="two blocks"
        ),
        pytest.param(element(REAL, Chain='""'), id="an empty chain"),
    ],
)
def test_n14_not_as_envoy_writes_it(value: str) -> None:
    """N14: refused as a whole."""
    assert refused(value) is Reason.MALFORMED_HEADER


def test_n09_hash_chain_and_certificate_agree() -> None:
    """N09: a value about two certificates is about none."""
    swapped = f'Hash={digest(VICTIM)};Cert="{pem(REAL)}"'
    assert refused(swapped) is Reason.HEADER_MISMATCH
    chain = element(REAL, Chain=f'"{pem(VICTIM, ISSUER)}"')
    assert refused(chain) is Reason.HEADER_MISMATCH


# --- what a client prepends ----------------------------------------------


@pytest.mark.parametrize(
    "front",
    [
        pytest.param(element(VICTIM), id="a whole element"),
        pytest.param(f'Cert="{pem(VICTIM)}"', id="without a hash"),
        pytest.param(f'Cert="{pem(VICTIM)}";Hash=', id="an empty hash"),
        pytest.param(f'Cert="{pem(VICTIM)}";URI="', id="an open quote after"),
        pytest.param(f'{element(VICTIM)};URI="', id="whole, and an open quote"),
        pytest.param('Subject="', id="an open quote"),
        pytest.param('By="', id="an open quote of By"),
        pytest.param(f'Hash="{digest(VICTIM)}";Cert="{pem(VICTIM)}"', id="quoted hash"),
        pytest.param(f'Hash=%61;Cert="{pem(VICTIM)}"', id="escaped hash"),
        pytest.param(f'xHash={digest(VICTIM)};Cert="{pem(VICTIM)}"', id="xHash"),
        pytest.param(f'_Hash={digest(VICTIM)};Cert="{pem(VICTIM)}"', id="_Hash"),
        pytest.param(
            f'Hash={digest(VICTIM)[:-1]};Cert="{pem(VICTIM)}"', id="63 digits"
        ),
    ],
)
@pytest.mark.parametrize("between", [",", ", ", ";"])
def test_n14_append_forward_gains_nothing(front: str, between: str) -> None:
    """N14: the proxy appends its element; the hop count or the hash reveals it."""
    for value in (f"{front}{between}{element(REAL)}", f"{front}{element(REAL)}"):
        with pytest.raises(HeaderDecodeError):
            decode_xfcc(value)


def test_n14_two_proxies_are_ambiguous_for_one() -> None:
    """It says how many, and what to do."""
    assert refused(f"{element(VICTIM)},{element(REAL)}") is Reason.AMBIGUOUS_HEADER


# --- two hops --------------------------------------------------------------------

SIDECAR = f'By=spiffe://td/app;Hash={"b" * 64};Subject="";URI=spiffe://td/gateway'


def test_two_hops() -> None:
    """The first element is the client's, of exactly two."""
    value = f"{element(REAL, URI='')},{SIDECAR}"
    assert decode_xfcc_two_hops(value) == (REAL,)
    assert read_caller_uris(value) == ("spiffe://td/gateway",)
    assert refused(value) is Reason.AMBIGUOUS_HEADER
    assert refused(element(REAL), decode_xfcc_two_hops) is Reason.MALFORMED_HEADER
    three = f"{element(VICTIM)},{value}"
    assert refused(three, decode_xfcc_two_hops) is Reason.AMBIGUOUS_HEADER


@pytest.mark.parametrize(
    ("last", "uris"),
    [
        (f"Hash={'b' * 64}", ()),
        (f"Hash={'b' * 64};URI=", ()),
        (f"Hash={'b' * 64};URI=a;URI=b", ("a", "b")),
        (f"Hash={'b' * 64};URI=a;DNS=x;DNS=y", ("a",)),
        (f"Hash={'b' * 64};URI=a,URI=b", ()),
        (f'Hash={"b" * 64};Subject="a;URI=b";URI=c', ("c",)),
        (f'Hash={"b" * 64};Subject="open;URI=b', ()),
        (f"Hash={'b' * 64}x;URI=a", ()),
        (f"Hash={'b' * 64};;URI=a", ()),
    ],
)
def test_n14_the_caller_is_what_the_last_proxy_wrote(
    last: str, uris: tuple[str, ...]
) -> None:
    """After the last hash; none if it is not what Envoy writes."""
    forged = element(REAL, URI="spiffe://td/gateway")
    assert read_caller_uris(f"{forged},{last}") == uris
