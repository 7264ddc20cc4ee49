"""A throw-away CA and its certificates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
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

UPN_OID = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH

_ONE_DAY = dt.timedelta(days=1)


def make_key(kind: str = "p256") -> PrivateKey:
    """Return a new private key: ``p256``, ``p384``, ``rsa2048`` or ``ed25519``.

    Raises:
        ValueError: *kind* is none of these.
    """
    if kind == "p256":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "p384":
        return ec.generate_private_key(ec.SECP384R1())
    if kind == "rsa2048":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(f"unknown kind of key: {kind!r}")


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
    }
    parts = [
        x509.NameAttribute(oids[key], attributes[key])
        for key in oids
        if key in attributes
    ]
    if common_name is not None:
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(parts)


@dataclass(frozen=True)
class IssuedCertificate:
    """A certificate with its private key and the intermediates above it."""

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
        """The certificate and the intermediates above it, leaf first, PEM."""
        return self.pem + "".join(
            one.public_bytes(Encoding.PEM).decode("ascii") for one in self.intermediates
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
    """A certification authority for tests: a root, or an intermediate of one."""

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
        extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    ) -> ThrowawayCA:
        """Return a new self-signed root. *extensions* are (value, critical) pairs."""
        private = make_key(key) if isinstance(key, str) else key
        name = subject if subject is not None else make_name(common_name)
        builder = _builder(name, name, private, not_before, not_after, None)
        builder = _ca_extensions(builder, private, private, path_length)
        for value, critical in extensions:
            builder = builder.add_extension(value, critical)
        return cls(builder.sign(private, _hash_for(private)), private)

    def issue_ca(
        self,
        common_name: str = "Throw-away Issuing CA",
        *,
        subject: x509.Name | None = None,
        key: PrivateKey | str = "p256",
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
        path_length: int | None = None,
        extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    ) -> ThrowawayCA:
        """Return an intermediate CA below this one."""
        private = make_key(key) if isinstance(key, str) else key
        name = subject if subject is not None else make_name(common_name)
        builder = _builder(
            name, self.certificate.subject, private, not_before, not_after, None
        )
        builder = _ca_extensions(builder, private, self.key, path_length)
        for value, critical in extensions:
            builder = builder.add_extension(value, critical)
        return ThrowawayCA(
            builder.sign(self.key, _hash_for(self.key)), private, self._chain()
        )

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
        extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    ) -> IssuedCertificate:
        """Return an end-entity certificate.

        ``eku=None`` and ``digital_signature=None`` leave the extension out;
        *extensions* are further (value, critical) pairs.
        """
        private = make_key(key) if isinstance(key, str) else key
        name = subject if subject is not None else make_name(common_name)
        builder = _builder(
            name, self.certificate.subject, private, not_before, not_after, serial
        )
        builder = builder.add_extension(
            x509.BasicConstraints(ca=ca, path_length=None), critical=True
        )
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
            critical=False,
        )
        if digital_signature is not None:
            builder = builder.add_extension(
                _key_usage(digital_signature=digital_signature), critical=True
            )
        if eku is not None:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage(list(eku)), critical=False
            )
        san = _general_names(emails, dns, uris, upns, ips)
        if san:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(san), critical=not name.rdns
            )
        for value, critical in extensions:
            builder = builder.add_extension(value, critical)
        return IssuedCertificate(
            builder.sign(self.key, _hash_for(self.key)), private, self._chain()
        )

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
        extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    ) -> bytes:
        """Return a revocation list of this CA, DER.

        *revoked* are certificates, serial numbers, or serial numbers with their
        reasons. With *base_number* it is a delta list. *signer* signs in this CA's
        name with its own key. It begins an hour ago and lasts a week.
        """
        now = dt.datetime.now(dt.timezone.utc)
        begin = this_update or now - dt.timedelta(hours=1)
        key = (signer or self).key
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(begin)
            .next_update(next_update or begin + 7 * _ONE_DAY)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()),
                critical=False,
            )
        )
        if number is not None:
            builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        if base_number is not None:
            builder = builder.add_extension(
                x509.DeltaCRLIndicator(base_number), critical=True
            )
        if distribution_point is not None:
            builder = builder.add_extension(distribution_point, critical=True)
        for value, critical in extensions:
            builder = builder.add_extension(value, critical)
        reasons = revoked if isinstance(revoked, Mapping) else {}
        for one in revoked:
            serial = one if isinstance(one, int) else one.certificate.serial_number
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
        """Return this CA and those above it, without the root."""
        is_root = self.certificate.subject == self.certificate.issuer
        return () if is_root else (self.certificate, *self.intermediates)


def self_signed(
    common_name: str = "client",
    *,
    subject: x509.Name | None = None,
    key: PrivateKey | str = "p256",
    not_before: dt.datetime | None = None,
    not_after: dt.datetime | None = None,
    extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
) -> IssuedCertificate:
    """Return a self-signed client certificate, as a device makes its own."""
    private = make_key(key) if isinstance(key, str) else key
    name = subject if subject is not None else make_name(common_name)
    builder = _builder(name, name, private, not_before, not_after, None)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    return IssuedCertificate(builder.sign(private, _hash_for(private)), private)


def _hash_for(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: PrivateKey,
    not_before: dt.datetime | None,
    not_after: dt.datetime | None,
    serial: int | None,
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
    builder: x509.CertificateBuilder,
    key: PrivateKey,
    issuer_key: PrivateKey,
    path_length: int | None,
) -> x509.CertificateBuilder:
    return (
        builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=path_length), critical=True
        )
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )


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


def _general_names(
    emails: Iterable[str],
    dns: Iterable[str],
    uris: Iterable[str],
    upns: Iterable[str],
    ips: Iterable[str],
) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.RFC822Name(one) for one in emails]
    names += [x509.DNSName(one) for one in dns]
    names += [x509.UniformResourceIdentifier(one) for one in uris]
    for one in upns:
        text = one.encode()
        # UTF8String, short form of the length (X.690, 8.1.3.4)
        names.append(x509.OtherName(UPN_OID, b"\x0c" + bytes([len(text)]) + text))
    names += [x509.IPAddress(ip_address(one)) for one in ips]
    return names
