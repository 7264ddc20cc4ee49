"""A throw-away CA and its certificates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey: TypeAlias = (
    ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
)
# An extension, and whether it is critical
Extension: TypeAlias = tuple[x509.ExtensionType, bool]

UPN_OID = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH

_ONE_DAY = dt.timedelta(days=1)


_KEYS: dict[str, Callable[[], PrivateKey]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa2048": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def make_key(kind: str = "p256") -> PrivateKey:
    """Return a new private key: ``p256``, ``p384``, ``rsa2048`` or ``ed25519``.

    Raises:
        ValueError: *kind* is none of these.
    """
    if kind not in _KEYS:
        raise ValueError(
            f"there is no kind of key {kind!r}; use one of {', '.join(_KEYS)}"
        )
    return _KEYS[kind]()


def make_name(common_name: str | None, **attributes: str) -> x509.Name:
    """Return a Name ``C=…, O=…, OU=…, CN=…`` in DER order.

    *attributes* may name ``country``, ``organization``, ``unit``, ``email`` and
    ``serial_number``.
    """
    oids = {
        "country": NameOID.COUNTRY_NAME,
        "organization": NameOID.ORGANIZATION_NAME,
        "unit": NameOID.ORGANIZATIONAL_UNIT_NAME,
        "email": NameOID.EMAIL_ADDRESS,
        "serial_number": NameOID.SERIAL_NUMBER,
        "common_name": NameOID.COMMON_NAME,
    }
    values = {**attributes, "common_name": common_name}
    return x509.Name(
        x509.NameAttribute(oid, value)
        for key, oid in oids.items()
        if (value := values.get(key)) is not None
    )


@dataclass(frozen=True)
class IssuedCertificate:
    """A certificate with its private key and its intermediates."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    intermediates: tuple[x509.Certificate, ...] = field(default=(), repr=False)

    @property
    def der(self) -> bytes:
        """The certificate, DER."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        """The certificate, PEM."""
        return self.certificate.public_bytes(Encoding.PEM).decode("ascii")

    @property
    def chain_pem(self) -> str:
        """The certificate and its intermediates, leaf first, PEM."""
        return self.pem + "".join(
            intermediate.public_bytes(Encoding.PEM).decode("ascii")
            for intermediate in self.intermediates
        )

    @property
    def key_pem(self) -> str:
        """The private key, unencrypted PKCS#8 PEM."""
        return self.key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode("ascii")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER, 64 lower-case hex digits."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def p12(self, password: str, name: str = "client") -> bytes:
        """Return a PKCS#12 file, as browsers import it."""
        return pkcs12.serialize_key_and_certificates(
            name.encode(),
            self.key,
            self.certificate,
            list(self.intermediates) or None,
            BestAvailableEncryption(password.encode()),
        )


@dataclass(frozen=True)
class ThrowawayCA(IssuedCertificate):
    """A certificate authority for tests: a root, or an intermediate below one."""

    @classmethod
    def create(
        cls,
        common_name: str = "Throw-away Root CA",
        *,
        subject: x509.Name | None = None,
        key: PrivateKey | str = "p256",
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
        path_length: int | None = None,
        extensions: Iterable[Extension] = (),
    ) -> ThrowawayCA:
        """Return a new self-signed root. *extensions* are (value, critical) pairs."""
        private = make_key(key) if isinstance(key, str) else key
        name = make_name(common_name) if subject is None else subject
        builder = _builder(name, name, private, not_before, not_after)
        own = _ca_extensions(private, private, path_length)
        return cls(_sign(builder, private, *own, *extensions), private)

    def issue_ca(
        self,
        common_name: str = "Throw-away Issuing CA",
        *,
        subject: x509.Name | None = None,
        key: PrivateKey | str = "p256",
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
        path_length: int | None = None,
        extensions: Iterable[Extension] = (),
    ) -> ThrowawayCA:
        """Return an intermediate CA below this one."""
        private = make_key(key) if isinstance(key, str) else key
        name = make_name(common_name) if subject is None else subject
        issuer = self.certificate.subject
        builder = _builder(name, issuer, private, not_before, not_after)
        own = _ca_extensions(private, self.key, path_length)
        certificate = _sign(builder, self.key, *own, *extensions)
        return ThrowawayCA(certificate, private, self._chain())

    def issue(
        self,
        common_name: str | None = "client",
        *,
        subject: x509.Name | None = None,
        emails: Iterable[str] = (),
        dns: Iterable[str] = (),
        uris: Iterable[str] = (),
        upns: Iterable[str] = (),
        ips: Iterable[str] = (),
        key: PrivateKey | str = "p256",
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
        serial: int | None = None,
        eku: Iterable[x509.ObjectIdentifier] | None = (CLIENT_AUTH,),
        digital_signature: bool | None = True,
        ca: bool = False,
        extensions: Iterable[Extension] = (),
    ) -> IssuedCertificate:
        """Return an end-entity certificate.

        ``eku=None`` and ``digital_signature=None`` leave the extension out;
        *extensions* are further (value, critical) pairs.
        """
        private = make_key(key) if isinstance(key, str) else key
        name = make_name(common_name) if subject is None else subject
        issuer = self.certificate.subject
        builder = _builder(name, issuer, private, not_before, not_after, serial)
        own: list[Extension] = [
            (x509.BasicConstraints(ca=ca, path_length=None), True),
            (_authority_key(self.key), False),
        ]
        if digital_signature is not None:
            own.append((_key_usage(digital_signature=digital_signature), True))
        if eku is not None:
            own.append((x509.ExtendedKeyUsage(list(eku)), False))
        san: list[x509.GeneralName] = [
            *map(x509.RFC822Name, emails),
            *map(x509.DNSName, dns),
            *map(x509.UniformResourceIdentifier, uris),
            *map(_upn, upns),
            *(x509.IPAddress(ip_address(ip)) for ip in ips),
        ]
        if san:
            own.append((x509.SubjectAlternativeName(san), not name.rdns))
        certificate = _sign(builder, self.key, *own, *extensions)
        return IssuedCertificate(certificate, private, self._chain())

    def crl(
        self,
        revoked: Iterable[IssuedCertificate | int]
        | Mapping[int, x509.ReasonFlags | None] = (),
        *,
        number: int | None = 1,
        base_number: int | None = None,
        this_update: dt.datetime | None = None,
        next_update: dt.datetime | None = None,
        distribution_point: x509.IssuingDistributionPoint | None = None,
        signer: IssuedCertificate | None = None,
        extensions: Iterable[Extension] = (),
    ) -> bytes:
        """Return a CRL of this CA, DER, valid from an hour ago for a week.

        *revoked* are certificates, serial numbers, or serial numbers with their
        reasons. With *base_number* it is a delta CRL. *signer* signs in this CA's
        name with its own key.
        """
        now = dt.datetime.now(dt.timezone.utc)
        begin = this_update or now - dt.timedelta(hours=1)
        key = (signer or self).key
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(begin)
            .next_update(next_update or begin + 7 * _ONE_DAY)
        )
        own: list[Extension] = [(_authority_key(key), False)]
        if number is not None:
            own.append((x509.CRLNumber(number), False))
        if base_number is not None:
            own.append((x509.DeltaCRLIndicator(base_number), True))
        if distribution_point is not None:
            own.append((distribution_point, True))
        for value, critical in (*own, *extensions):
            builder = builder.add_extension(value, critical)
        reasons = revoked if isinstance(revoked, Mapping) else {}
        for item in revoked:
            serial = item if isinstance(item, int) else item.certificate.serial_number
            entry = (
                x509.RevokedCertificateBuilder()
                .serial_number(serial)
                .revocation_date(begin)
            )
            reason = reasons.get(serial)
            if reason is not None:
                entry = entry.add_extension(x509.CRLReason(reason), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(key, _hash_for(key)).public_bytes(Encoding.DER)

    def _chain(self) -> tuple[x509.Certificate, ...]:
        """Return this CA and its intermediates, without the root."""
        is_root = self.certificate.subject == self.certificate.issuer
        return () if is_root else (self.certificate, *self.intermediates)


def self_signed(
    common_name: str = "client",
    *,
    subject: x509.Name | None = None,
    key: PrivateKey | str = "p256",
    not_before: dt.datetime | None = None,
    not_after: dt.datetime | None = None,
    extensions: Iterable[Extension] = (),
) -> IssuedCertificate:
    """Return a self-signed client certificate, such as a device creates."""
    private = make_key(key) if isinstance(key, str) else key
    name = make_name(common_name) if subject is None else subject
    builder = _builder(name, name, private, not_before, not_after)
    return IssuedCertificate(_sign(builder, private, *extensions), private)


def _sign(
    builder: x509.CertificateBuilder, key: PrivateKey, *extensions: Extension
) -> x509.Certificate:
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    return builder.sign(key, _hash_for(key))


def _hash_for(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: PrivateKey,
    not_before: dt.datetime | None,
    not_after: dt.datetime | None,
    serial: int | None = None,
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial if serial is not None else x509.random_serial_number())
        .not_valid_before(not_before or now - _ONE_DAY)
        .not_valid_after(not_after or now + 365 * _ONE_DAY)
    )


def _ca_extensions(
    key: PrivateKey, issuer_key: PrivateKey, path_length: int | None
) -> list[Extension]:
    return [
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (_key_usage(ca=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (_authority_key(issuer_key), False),
    ]


def _authority_key(key: PrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _key_usage(*, digital_signature: bool = False, ca: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        # A KeyUsage without any bit is not allowed (RFC 5280, 4.2.1.3).
        key_encipherment=not digital_signature and not ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _upn(upn: str) -> x509.OtherName:
    text = upn.encode()
    # UTF8String, short form of the length (X.690, 8.1.3.4)
    return x509.OtherName(UPN_OID, b"\x0c" + bytes([len(text)]) + text)
