"""A throw-away PKI for the demonstration: every certificate that requests present.

``create_pki()`` fills a folder with PEM files, ``NAME.crt`` and ``NAME.key``; the
names below say who is who. The keys are unencrypted: never use them for anything
except this demonstration.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from django_clientcert.testing import (
    SERVER_AUTH,
    IssuedCertificate,
    ThrowawayCA,
    make_name,
    proxy_headers,
)

ORGANIZATION = "Example Ltd"
PERSON_EMAIL = "erika@example.com"

CA = "ca"
SERVER = "server"
# A program of another organisation, mapped by the fingerprint of its certificate
SERVICE = "service"
# A person with a browser, mapped by the e-mail address in the certificate
PERSON = "person"
# A person whose certificate is good until it is revoked
LEAVER = "leaver"
# A good certificate of the CA that is not mapped to a user
STRANGER = "stranger"
# The service's certificate from last year
EXPIRED = "expired"
# The person's name and address, in a certificate of another CA
IMPOSTOR = "impostor"

# All headers about the service's certificate, as a thief would send them
STOLEN_HEADERS = "stolen-headers.txt"
# The same, spelt with underscores
MISSPELT_HEADERS = "misspelt-headers.txt"

_DAY = dt.timedelta(days=1)
# Browsers refuse server certificates that are valid for longer.
_LIFETIME = 365 * _DAY


def create_pki(folder: Path, p12_password: str) -> None:
    """Fill *folder*, which must not exist, with the whole PKI.

    ``person.p12`` is for a browser and is encrypted with *p12_password*.
    """
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    end = now + _LIFETIME
    # Written under another name first, so that the folder is complete or missing.
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    unfinished.mkdir(mode=0o700, parents=True)

    ca = ThrowawayCA.create(subject=_name("Example CA"), not_after=end + _DAY)
    # Anyone can give a CA any name: only the key distinguishes the two.
    other_ca = ThrowawayCA.create(subject=_name("Example CA"), not_after=end + _DAY)
    server = ca.issue(
        subject=_name("localhost"),
        dns=["localhost"],
        ips=["127.0.0.1", "::1"],
        eku=[SERVER_AUTH],
        not_after=end,
    )
    service = ca.issue(
        subject=_name("billing.partner.example"),
        dns=["billing.partner.example"],
        not_after=end,
    )
    person_name = _name("Erika Example", unit="Sales")
    person = ca.issue(subject=person_name, emails=[PERSON_EMAIL], not_after=end)
    leaver = ca.issue(
        subject=_name("Leo Leaver", unit="Sales"),
        emails=["leo@example.com"],
        not_after=end,
    )
    stranger = ca.issue(
        subject=_name("Sam Stranger"), emails=["sam@example.com"], not_after=end
    )
    expired = ca.issue(
        subject=service.certificate.subject,
        dns=["billing.partner.example"],
        key=service.key,
        not_before=now - _LIFETIME,
        not_after=now - _DAY,
    )
    impostor = other_ca.issue(subject=person_name, emails=[PERSON_EMAIL], not_after=end)

    for name, issued in {
        CA: ca,
        SERVER: server,
        SERVICE: service,
        PERSON: person,
        LEAVER: leaver,
        STRANGER: stranger,
        EXPIRED: expired,
        IMPOSTOR: impostor,
    }.items():
        _write(unfinished / f"{name}.crt", issued.chain_pem)
        _write(unfinished / f"{name}.key", issued.key_pem)
    _write(
        unfinished / f"{PERSON}.p12", person.p12(p12_password, "Erika at Example Ltd")
    )
    _write_headers(unfinished, service)
    unfinished.rename(folder)


def is_usable(folder: Path, at: dt.datetime) -> bool:
    """Return whether *folder* contains a PKI that is valid for a day after *at*."""
    try:
        server = x509.load_pem_x509_certificate((folder / f"{SERVER}.crt").read_bytes())
    except (OSError, ValueError):
        return False
    return at + _DAY < server.not_valid_after_utc


def _name(common_name: str, **attributes: str) -> x509.Name:
    return make_name(common_name, organization=ORGANIZATION, **attributes)


def _write_headers(folder: Path, victim: IssuedCertificate) -> None:
    """Write header files for ``curl -H @FILE``: what nginx would send for *victim*."""
    headers = proxy_headers(victim.der)
    _write(
        folder / STOLEN_HEADERS,
        "".join(f"{name}: {value}\n" for name, value in headers.items()),
    )
    _write(
        folder / MISSPELT_HEADERS,
        "".join(
            f"{name.replace('-', '_')}: {value}\n" for name, value in headers.items()
        ),
    )


def write_headers_for(folder: Path, proxy: str) -> None:
    """Write the two files for another proxy, with its name before the file names."""
    victim = x509.load_pem_x509_certificate((folder / f"{SERVICE}.crt").read_bytes())
    der = victim.public_bytes(Encoding.DER)
    headers = proxy_headers(der, preset=proxy)
    for name, respell in (
        (STOLEN_HEADERS, str),
        (MISSPELT_HEADERS, lambda header: header.replace("-", "_")),
    ):
        path = folder / f"{proxy}-{name}"
        path.unlink(missing_ok=True)
        _write(
            path,
            "".join(
                f"{respell(header)}: {value}\n" for header, value in headers.items()
            ),
        )


def _write(path: Path, content: str | bytes) -> None:
    """Write a new file that only its owner may read."""
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
