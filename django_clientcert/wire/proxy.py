"""The description of one proxy: what is read, and what the proxy promises."""

from __future__ import annotations

from dataclasses import dataclass, fields

from django_clientcert.exceptions import ClientCertError

from .encodings import OF_CHAINS

# What programs write where there is no certificate
ABSENT = frozenset({"", "-", "(null)", "::", "<nil>"})


class ProxyConfigurationError(ClientCertError, ValueError):
    """``CLIENTCERT_PROXY`` does not describe a proxy; says what is wrong."""


class Source:
    """Where the values of a proxy are found."""

    # Fields of the request's header: whoever is a trusted proxy may set them
    HEADER = "header"
    # Keys of ``request.META`` that no client can set
    ENVIRON = "environ"
    # A key of ``request.META`` with the TLS connection itself
    SOCKET = "socket"

    ALL = (HEADER, ENVIRON, SOCKET)


@dataclass(frozen=True)
class Proxy:
    """One proxy's way of handing over a client certificate.

    Header fields are named in lower case with hyphens, as they stand on the wire.
    With another ``source`` the names are keys of ``request.META``.
    """

    name: str
    certificate: str
    encoding: str
    # Header of the proxy's verdict, the word for success, and how what it says about
    # a certificate that it could not verify begins.
    verdict: str | None = None
    success: str = "SUCCESS"
    failure: tuple[str, ...] = ("FAILED:",)
    # Further headers, each with the one word that it must have beside a certificate
    conditions: tuple[tuple[str, str], ...] = ()
    # Headers with the certificates above the client's, in order, and how each is
    # encoded; an encoding of several certificates needs none.
    chain: tuple[str, ...] = ()
    chain_encoding: str | None = None
    # Headers with the names of the certificate, to compare. Where the proxy always
    # sets them, they must be there.
    subject_dn: str | None = None
    issuer_dn: str | None = None
    names_required: bool = False
    # The URI in the certificate of the gateway in front of a sidecar
    gateway_identity: str | None = None
    # Whether the proxy itself validates the path; CLIENTCERT_PROXY_VERIFIES overrides.
    verifies: bool = True
    source: str = Source.HEADER
    # For people: its name, what becomes of headers of these names that a client sends
    # itself, what else to know, and where all that stands.
    title: str = ""
    client_copies: str = ""
    traps: tuple[str, ...] = ()
    reference: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of every header (or environ key) that is read."""
        return tuple(
            name
            for name in (
                self.certificate,
                self.verdict,
                self.subject_dn,
                self.issuer_dn,
                *(name for name, _ in self.conditions),
                *self.chain,
            )
            if name is not None
        )

    @property
    def forwards_chains(self) -> bool:
        """Whether what is above the client's certificate is forwarded too."""
        return bool(self.chain) or self.encoding in OF_CHAINS

    @property
    def is_header(self) -> bool:
        """Whether the names are header fields."""
        return self.source == Source.HEADER

    def meta_key(self, name: str) -> str:
        """Return the key in ``request.META`` under which *name* arrives."""
        return meta_key(name) if self.is_header else name


def meta_key(header: str) -> str:
    """Return the key of a header field in ``request.META``."""
    return "HTTP_" + header.upper().replace("-", "_")


# What a custom description may change
FIELDS = frozenset(one.name for one in fields(Proxy)) - {"name"}
