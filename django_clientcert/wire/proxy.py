"""The description of one proxy: what is read, and what the proxy promises."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

from django_clientcert.exceptions import ClientCertError

from .encodings import CHAIN_ENCODINGS

# What programs write if there is no certificate
ABSENT = frozenset({"", "-", "(null)", "::", "<nil>"})
_EMPTY_BLOCK = "-----BEGINCERTIFICATE----------ENDCERTIFICATE-----"


def is_absent(value: str) -> bool:
    """Return whether *value* stands for nothing, like a PEM block without content."""
    return value in ABSENT or (
        value.startswith("-----")
        and len(value) < 80
        and "".join(value.split()) == _EMPTY_BLOCK
    )


class ProxyConfigurationError(ClientCertError, ValueError):
    """``CLIENTCERT_PROXY`` does not describe a proxy; the message says why."""


class ValueSource:
    """Where the values of a proxy are read from."""

    # Header fields of the request, which any trusted proxy may set
    HEADER = "header"
    # Keys of ``request.META`` that no client can set
    ENVIRON = "environ"
    # A key of ``request.META`` that holds the TLS connection itself
    SOCKET = "socket"

    ALL = (HEADER, ENVIRON, SOCKET)


@dataclass(frozen=True)
class Proxy:
    """How one proxy forwards a client certificate.

    Header fields are named in lower case with hyphens, as on the wire. With another
    ``source`` the names are keys of ``request.META``.
    """

    name: str
    certificate: str
    encoding: str
    # Header of the proxy's verdict, the word for success, and the prefixes of what it
    # says about a certificate that it could not verify
    verdict: str | None = None
    success: str = "SUCCESS"
    failure: tuple[str, ...] = ("FAILED:",)
    # Whether it says the word for success without a certificate, too
    success_for_all: bool = False
    # Further headers, each with the one word that it must have along with a certificate
    conditions: tuple[tuple[str, str], ...] = ()
    # Headers with the intermediate certificates, in order, and their encoding; not
    # needed if ``encoding`` itself holds a chain
    chain: tuple[str, ...] = ()
    chain_encoding: str | None = None
    # Headers with the certificate's names, to compare; required if the proxy always
    # sets them
    subject_dn: str | None = None
    issuer_dn: str | None = None
    names_required: bool = False
    # The URI in the certificate of the gateway that calls a sidecar
    gateway_identity: str | None = None
    # Whether the proxy itself validates the path; CLIENTCERT_PROXY_VERIFIES overrides.
    verifies: bool = True
    source: str = ValueSource.HEADER
    # For people: the proxy's name, and where its headers are documented
    title: str = ""
    reference: str = ""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of every header (or environ key) that is read."""
        named = (self.certificate, self.verdict, self.subject_dn, self.issuer_dn)
        return (
            *(name for name in named if name is not None),
            *(name for name, _ in self.conditions),
            *self.chain,
        )

    @cached_property
    def meta_keys(self) -> dict[str, str]:
        """The key in ``request.META`` of each name."""
        return {name: self.meta_key(name) for name in self.names}

    @cached_property
    def vary(self) -> str:
        """The value of ``Vary`` for a response that depends on these headers."""
        return ", ".join(self.names)

    @property
    def forwards_chains(self) -> bool:
        """Whether the intermediate certificates are forwarded too."""
        return bool(self.chain) or self.encoding in CHAIN_ENCODINGS

    @cached_property
    def is_header(self) -> bool:
        """Whether the names are header fields."""
        return self.source == ValueSource.HEADER

    def meta_key(self, name: str) -> str:
        """Return the key in ``request.META`` under which *name* arrives."""
        return meta_key(name) if self.is_header else name


def meta_key(header: str) -> str:
    """Return the key of a header field in ``request.META``."""
    return "HTTP_" + header.upper().replace("-", "_")


# What a custom description may change
FIELDS = frozenset(field.name for field in fields(Proxy)) - {"name"}
