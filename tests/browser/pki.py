"""The certificates: of the people who sign in, and of the rows that screens show."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from django_clientcert.testing import (
    SERVER_AUTH,
    IssuedCertificate,
    ThrowawayCA,
    make_name,
)

_DAY = dt.timedelta(days=1)

# May do everything; may look at everything; works with mappings and may lock herself out
ADMINISTRATOR, AUDITOR, CLERK = "olga", "ada", "rita"
# Comes with a certificate that nobody knows; has one that will be revoked; is imported
NEWCOMER, LEAVER, IMPORTED = "nina", "tom", "ivan"


def _name(common_name: str, unit: str = "") -> x509.Name:
    parts = {"organization": "Example Ltd", **({"unit": unit} if unit else {})}
    return make_name(common_name, **parts)


@dataclass
class Pki:
    """A CA with what it issued, and a CA that the application does not know."""

    now: dt.datetime = field(
        default_factory=lambda: dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    )

    def __post_init__(self) -> None:
        end = self.now + 400 * _DAY
        self.ca = ThrowawayCA.create(subject=_name("Example CA"), not_after=end)
        self.partner_ca = ThrowawayCA.create(
            subject=_name("Partner CA"), not_after=self.now + 200 * _DAY
        )
        self.server = self.ca.issue(
            subject=_name("localhost"),
            dns=["localhost"],
            ips=["127.0.0.1"],
            eku=[SERVER_AUTH],
        )
        # Signed in with, from the browser
        self.people = {
            person: self.ca.issue(
                subject=_name(name, "Sales"),
                emails=[f"{person}@example.com"],
                not_after=self.now + 300 * _DAY,
            )
            for person, name in (
                (ADMINISTRATOR, "Olga Admin"),
                (AUDITOR, "Ada Auditor"),
                (CLERK, "Rita Clerk"),
                (NEWCOMER, "Nina Newcomer"),
                (LEAVER, "Tom Leaver"),
                (IMPORTED, "Ivan Imported"),
            )
        }
        # Only shown
        self.erika = self._person("Erika Example", "erika", days=260)
        self.erikas_next = self._person("Erika Example", "erika", days=700)
        self.leo = self._person("Leo Long", "leo", days=20)
        self.lost = self._person("Lena Lost", "lena", days=90)
        self.sam = self._person("Sam Stranger", "sam", days=120)
        self.billing = self.ca.issue(
            subject=_name("billing.partner.example", "Machines"),
            dns=["billing.partner.example"],
            uris=["spiffe://partner.example/billing"],
            not_after=self.now + 5 * _DAY,
        )
        self.foreign = self.partner_ca.issue(
            subject=_name("Fremde Firma"), emails=["someone@partner.example"]
        )
        # As long as names get, and with what has to be made visible
        self.awkward = self.ca.issue(
            subject=_name("A \u202ename\u202c that " + "is-too-long-for-a-line" * 2),
            emails=["an-address-without-any-place-to-break@subdomain.of.example.com"],
            dns=[f"host-{number}.a.rather.long.example.com" for number in range(12)],
        )

    def _person(self, name: str, person: str, days: int) -> IssuedCertificate:
        return self.ca.issue(
            subject=_name(name, "Sales"),
            emails=[f"{person}@example.com"],
            upns=[f"{person}@corp.example"],
            not_before=self.now - 100 * _DAY,
            not_after=self.now + days * _DAY,
        )

    def write(self, folder: Path) -> None:
        """Write what the servers and the browser need: NAME.crt and NAME.key."""
        shown = {"sam": self.sam, "foreign": self.foreign, "renewed": self.erikas_next}
        for name, issued in {
            "ca": self.ca,
            "server": self.server,
            **self.people,
            **shown,
        }.items():
            (folder / f"{name}.crt").write_text(issued.chain_pem)
            (folder / f"{name}.key").write_text(issued.key_pem)
