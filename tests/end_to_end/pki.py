"""The certificates of the end-to-end tests, made once for a session."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from django_clientcert.testing import (
    SERVER_AUTH,
    IssuedCertificate,
    ThrowawayCA,
    make_name,
    self_signed,
)
from tests.twins import twin_of

_NOW = dt.datetime.now(dt.timezone.utc)
_DAY = dt.timedelta(days=1)


@dataclass
class Pki:
    """A CA with what it issued, and a CA of the same name that nobody trusts."""

    ca: ThrowawayCA = field(default_factory=lambda: ThrowawayCA.create("Root"))
    foreign_ca: ThrowawayCA = field(default_factory=lambda: ThrowawayCA.create("Root"))

    def __post_init__(self) -> None:
        self.issuing = self.ca.issue_ca("Issuing CA")
        # An intermediate that no authority has: only the client sends it.
        self.clients_own = self.ca.issue_ca("The client's own")
        self.server = self.ca.issue(
            "localhost",
            dns=["localhost", "open.example.com"],
            ips=["127.0.0.1"],
            eku=[SERVER_AUTH],
        )
        self.certificates: dict[str, IssuedCertificate] = {
            # mapped by fingerprint
            "alice": self.ca.issue("alice"),
            # mapped by subject, with the authority
            "bob": self.ca.issue(subject=make_name("Bob, Jr. \\ é", unit="CN=alice")),
            # the same through an intermediate
            "carol": self.issuing.issue("carol"),
            # of the CA, and unknown to the application
            "mallory": self.ca.issue("mallory", emails=["mallory@example.com"]),
            # mapped by fingerprint, and out of date
            "expired": self.ca.issue(
                "expired", not_before=_NOW - 9 * _DAY, not_after=_NOW - _DAY
            ),
            # of the other CA: the one pinned, the other with bob's name
            "pinned": self.foreign_ca.issue("pinned"),
            "imitation": self.foreign_ca.issue(
                subject=make_name("Bob, Jr. \\ é", unit="CN=alice")
            ),
            # self-signed with bob's name
            "self_signed": self_signed(
                subject=make_name("Bob, Jr. \\ é", unit="CN=alice")
            ),
            # mapped by fingerprint, and on the CRL of the proxy
            "revoked": self.ca.issue("revoked"),
            # mapped by subject; to be revoked, one by an administrator, one by the CA
            "stolen": self.ca.issue("stolen"),
            "listed": self.ca.issue("listed"),
            # not mapped: the user whose name it has, by the authority's rule
            "dora": self.ca.issue("dora"),
            # mapped by fingerprint, a header of some 13 KB
            "big": self.ca.issue(
                "big", dns=[f"h{n:04}.a.rather.long.example.com" for n in range(240)]
            ),
            # mapped by fingerprint, and too long for a buffer of HAProxy
            "huge": self.ca.issue(
                "huge", dns=[f"h{n:04}.a.rather.long.example.com" for n in range(700)]
            ),
            # mapped by subject, through an intermediate that only the client has
            "erin": self.clients_own.issue("erin"),
            # mapped by fingerprint, with a subject that has to be escaped
            "special": self.ca.issue(
                subject=x509.Name(
                    [
                        x509.RelativeDistinguishedName(
                            [
                                x509.NameAttribute(x509.NameOID.COMMON_NAME, " #x "),
                                x509.NameAttribute(x509.NameOID.USER_ID, "4+2=6"),
                            ]
                        ),
                        x509.RelativeDistinguishedName(
                            [
                                x509.NameAttribute(
                                    x509.NameOID.EMAIL_ADDRESS, 'a"b@example.com'
                                )
                            ]
                        ),
                    ]
                )
            ),
        }
        # The same certificate with the other signature, and so another fingerprint
        stolen = self.certificates["stolen"]
        self.certificates["stolen_twin"] = replace(
            stolen,
            certificate=x509.load_der_x509_certificate(twin_of(stolen.der)),
        )

    def crl(self, name: str = "revoked") -> str:
        """Return the CA's list, with one certificate on it, PEM."""
        revoked = (
            x509.RevokedCertificateBuilder()
            .serial_number(self.certificates[name].certificate.serial_number)
            .revocation_date(_NOW - _DAY)
            .build()
        )
        return (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.ca.certificate.subject)
            .last_update(_NOW - _DAY)
            .next_update(_NOW + _DAY)
            .add_revoked_certificate(revoked)
            .sign(self.ca.key, hashes.SHA256())
            .public_bytes(Encoding.PEM)
            .decode()
        )


PINNED = ("alice", "expired", "pinned", "revoked", "big", "huge", "special")
