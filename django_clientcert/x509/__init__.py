"""X.509 without Django: names, certificates, identities, paths and CRLs (RFC 5280).

Nothing here imports Django, does I/O or reads the clock: bytes and times are
arguments, and what cannot be established is an exception. Everything that goes wrong
with a certificate is a ``CertificateParseError`` or another ``Refusal`` with a stable
``reason``; what is wrong with a bundle is a ``BundleError``, and what is wrong with
a typed name a ``NameSyntaxError`` (all in ``django_clientcert.exceptions``).

Validate the certificate in ``alice.pem``, which is followed by its intermediates, up
to a CA in ``ca.crt``, and print what it can be recognised by::

    import datetime
    import pathlib

    from django_clientcert.x509 import (
        STRICT, PathValidator, find_identities, read_certificates, sort_bundle
    )

    store = sort_bundle(read_certificates(pathlib.Path("ca.crt").read_bytes()))
    validator = PathValidator(store.anchors, store.intermediates, STRICT)
    chain = read_certificates(pathlib.Path("alice.pem").read_bytes())
    now = datetime.datetime.now(datetime.timezone.utc)
    path = validator.validate(chain[0], now, chain[1:])
    print(" < ".join(str(certificate.subject) for certificate in path.certificates))
    for identity in find_identities(chain[0]).found:
        print(identity.kind, identity.value)

CRLs are in ``django_clientcert.x509.crl``, what path validation cannot use about
a CA's certificate in ``ca_problems``, and identity rules in ``rules``.
"""

from __future__ import annotations

from .bundles import TrustStore, choose_end_entity, read_certificates, sort_bundle
from .certificates import ClientCertificate, SubjectAlternativeNames
from .identities import (
    Identities,
    Identity,
    IdentityKind,
    find_identities,
    parse_identity,
)
from .names import Attribute, DistinguishedName, Order, parse_name
from .paths import PRIVATE, PROFILES, STRICT, Path, PathValidator, Profile

__all__ = [
    "PRIVATE",
    "PROFILES",
    "STRICT",
    "Attribute",
    "ClientCertificate",
    "DistinguishedName",
    "Identities",
    "Identity",
    "IdentityKind",
    "Order",
    "Path",
    "PathValidator",
    "Profile",
    "SubjectAlternativeNames",
    "TrustStore",
    "choose_end_entity",
    "find_identities",
    "parse_identity",
    "parse_name",
    "read_certificates",
    "sort_bundle",
]
