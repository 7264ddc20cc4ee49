"""A throw-away PKI for the demonstration: everything a request can present.

``create_pki()`` fills a folder with PEM files, ``NAME.crt`` and ``NAME.key``; the
table below says who is who. The keys lie there unencrypted. They prove something
to this demonstration and must never prove anything to anybody else.
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
# A program of another organisation, known by the fingerprint of its certificate
SERVICE = "service"
# Somebody with a browser, known by the e-mail address that the CA put in
PERSON = "person"
# Somebody whose certificate will be revoked one day; until then it is good
LEAVER = "leaver"
# A good certificate of the CA that no administrator has mapped to a user
STRANGER = "stranger"
# The service's certificate of last year
EXPIRED = "expired"
# The person's name and address, in a certificate of another CA
IMPOSTOR = "impostor"

# All that may be written about the service's certificate, as a thief would send it
STOLEN_HEADERS = "stolen-headers.txt"
# The same, spelt with underscores
MISSPELT_HEADERS = "misspelt-headers.txt"

_DAY = dt.timedelta(days=1)
# Browsers refuse longer ones of servers.
_LIFETIME = 365 * _DAY


def create_pki(folder: Path, p12_password: str) -> None:
    """Fill *folder*, which must not exist, with the whole PKI.

    ``person.p12`` is for a browser and is encrypted with *p12_password*.
    """
    now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
    end = now + _LIFETIME
    # Written under another name first: either all is there, or nothing.
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    unfinished.mkdir(mode=0o700, parents=True)

    ca = ThrowawayCA.create(subject=_name("Example CA"), not_after=end + _DAY)
    # Whoever makes a CA chooses its name: only the key tells the two apart.
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
    """Return whether *folder* holds a PKI that is good for another day after *at*."""
    try:
        server = x509.load_pem_x509_certificate((folder / f"{SERVER}.crt").read_bytes())
    except (OSError, ValueError):
        return False
    return at + _DAY < server.not_valid_after_utc


def _name(common_name: str, **attributes: str) -> x509.Name:
    return make_name(common_name, organization=ORGANIZATION, **attributes)


def _write_headers(folder: Path, victim: IssuedCertificate) -> None:
    """Write header files for ``curl -H @FILE``: what nginx would say of *victim*."""
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
    """Write the two files anew for another proxy, with its name before their names."""
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
            path, "".join(f"{respell(one)}: {two}\n" for one, two in headers.items())
        )


def _write(path: Path, content: str | bytes) -> None:
    """Write a new file that only its owner may read."""
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
