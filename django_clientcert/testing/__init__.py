"""Helpers for tests: a throw-away CA, certificates, and what each proxy forwards.

The rest of the package does not import it. Keys are generated on the spot and not
stored; never trust a certificate made here in production.

    ca = ThrowawayCA.create("Test CA")
    alice = ca.issue("alice", emails=["alice@example.com"])
    client.get("/ledger/", **proxy_meta(alice.der))
"""

from django_clientcert.wire import ENCODERS
from django_clientcert.wire.encodings.writing import encode_escaped_pem
from django_clientcert.x509.bundles import encode_pem

from .forwarding import TlsConnection, headers_to_meta, proxy_headers, proxy_meta
from .pki import (
    CLIENT_AUTH,
    SERVER_AUTH,
    UPN_OID,
    IssuedCertificate,
    PrivateKey,
    ThrowawayCA,
    make_key,
    make_name,
    self_signed,
)

__all__ = [
    "CLIENT_AUTH",
    "ENCODERS",
    "SERVER_AUTH",
    "UPN_OID",
    "IssuedCertificate",
    "PrivateKey",
    "ThrowawayCA",
    "TlsConnection",
    "encode_escaped_pem",
    "encode_pem",
    "headers_to_meta",
    "make_key",
    "make_name",
    "proxy_headers",
    "proxy_meta",
    "self_signed",
]
