"""Path validation and purpose (RFC 5280, 6): pure, time is an argument.

``PathValidator`` uses ``cryptography.x509.verification`` and adds what a
private PKI needs: certificates without a subject alternative name, a look at the
leaf's own key, and name constraints that also hold for the subject. Whatever it
cannot establish it refuses with a reason.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from django_clientcert.exceptions import (
    BundleError,
    CertificateParseError,
    NameNotMatchableError,
    PathError,
    Reason,
    Refusal,
)

from . import attribute_types
from .certificates import (
    CLIENT_AUTH,
    NAME_CONSTRAINTS,
    UNREADABLE,
    ClientCertificate,
)
from .escaping import visible_once
from .names import DistinguishedName
from .text import show_error, show_minute

MAX_INTERMEDIATES = 4
MAX_PRESENTED = 8
MAX_CANDIDATES = 64
MAX_REMEMBERED_PATHS = 4096

_ANY = Criticality.AGNOSTIC
_NOT_CRITICAL = Criticality.NON_CRITICAL


@dataclass(frozen=True)
class Profile:
    """What a path must have beyond what every path must have."""

    name: str
    requires_extended_key_usage: bool
    requires_key_usage: bool
    requires_subject_alternative_name: bool
    requires_ca_key_usage: bool
    min_rsa_bits: int = 2048
    curves: frozenset[str] = frozenset({"secp256r1", "secp384r1", "secp521r1"})


# What private CAs really issue: no SAN, no AKI, CA certificates without keyUsage.
PRIVATE = Profile("private", False, False, False, False)
# What the CA/Browser Forum's rules would have, with clientAuth.
STRICT = Profile("strict", True, True, True, True)

PROFILES = {profile.name: profile for profile in (PRIVATE, STRICT)}


def check_validity(certificate: ClientCertificate, at: dt.datetime) -> None:
    """Raise unless *certificate* is valid at *at* (RFC 5280, 4.1.2.5: inclusive).

    Raises:
        Refusal: not yet valid, or expired.
        CertificateParseError: its dates cannot be read.
    """
    begin, end = certificate.not_before, certificate.not_after
    if at < begin:
        raise Refusal(Reason.NOT_YET_VALID, f"valid from {show_minute(begin)}")
    if at > end:
        raise Refusal(Reason.EXPIRED, f"valid until {show_minute(end)}")


def check_usage(certificate: ClientCertificate, purpose: str = CLIENT_AUTH) -> None:
    """Raise unless the usages of *certificate*, if it states any, allow *purpose*.

    That holds for pinned certificates too: extendedKeyUsage limits what the key may
    be used for (RFC 5280, 4.2.1.12), and a TLS client signs (4.2.1.3).

    Raises:
        Refusal: another purpose.
        CertificateParseError: the extensions cannot be read.
    """
    if not certificate.allows_purpose(purpose):
        raise Refusal(Reason.WRONG_PURPOSE, "extendedKeyUsage lacks clientAuth")
    if not certificate.allows_usage("digitalSignature", "keyAgreement"):
        detail = "keyUsage lacks digitalSignature"
        if certificate.allows_usage("nonRepudiation"):
            detail += (
                ": this certificate is for signing documents; cards hold a second one "
                "for authentication"
            )
        raise Refusal(Reason.WRONG_PURPOSE, detail)


def check_end_entity(
    certificate: ClientCertificate,
    profile: Profile,
    purpose: str = CLIENT_AUTH,
    *,
    further_curves: Collection[str] = (),
) -> None:
    """Raise unless *certificate* may be the end of a path under *profile*.

    Raises:
        Refusal: a CA's certificate, a usage that is missing or too narrow.
        PathError: a key too weak.
        CertificateParseError: it cannot be read.
    """
    check_usage(certificate, purpose)
    usages = certificate.extended_key_usage
    if usages is not None and purpose not in usages:
        raise Refusal(
            Reason.WRONG_PURPOSE, "extendedKeyUsage says “any” instead of clientAuth"
        )
    if certificate.is_ca:
        raise Refusal(Reason.WRONG_PURPOSE, "a CA’s certificate is not a client’s")
    if "keyCertSign" in (certificate.key_usage or ()):
        raise Refusal(Reason.WRONG_PURPOSE, "keyUsage allows signing certificates")
    if profile.requires_extended_key_usage and usages is None:
        raise Refusal(Reason.WRONG_PURPOSE, "extendedKeyUsage is missing")
    if profile.requires_key_usage and certificate.key_usage is None:
        raise Refusal(Reason.WRONG_PURPOSE, "keyUsage is missing")
    key = certificate.public_key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < profile.min_rsa_bits:
        raise _invalid(f"an RSA key of {key.key_size} bits")
    curve = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else None
    if curve is not None and curve not in (*profile.curves, *further_curves):
        raise _invalid(f"a key on the curve {curve}")


# RFC 8734: the proxy can verify them, and the verifier here cannot.
_BRAINPOOL = ("brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1")


def _invalid(detail: str) -> PathError:
    return PathError(Reason.INVALID_PATH, detail)


def may_sign_crls(certificate: ClientCertificate) -> bool:
    """Return whether keyUsage lets *certificate* sign CRLs (RFC 5280, 4.2.1.3).

    One whose extensions cannot be read may not.
    """
    with suppress(CertificateParseError):
        return certificate.allows_usage("cRLSign")
    return False


@dataclass(frozen=True)
class Path:
    """A validated certification path, the leaf first and the anchor last."""

    certificates: tuple[ClientCertificate, ...]
    not_before: dt.datetime
    not_after: dt.datetime

    @classmethod
    def of(cls, certificates: Sequence[ClientCertificate]) -> Path:
        """Return the path with the period in which every certificate is valid."""
        return cls(
            tuple(certificates),
            max(certificate.not_before for certificate in certificates),
            min(certificate.not_after for certificate in certificates),
        )

    def covers(self, at: dt.datetime) -> bool:
        """Return whether every certificate of the path is valid at *at*."""
        return self.not_before <= at <= self.not_after


class PathValidator:
    """Validates paths to one set of anchors. Immutable once built; thread-safe.

    Validation is a pure function of the certificate and the time, so a valid path
    is remembered, and not computed again while all its certificates are valid. A
    refusal is never remembered.
    """

    def __init__(
        self,
        anchors: Sequence[ClientCertificate],
        intermediates: Sequence[ClientCertificate] = (),
        profile: Profile = PRIVATE,
        *,
        purpose: str = CLIENT_AUTH,
        max_intermediates: int = MAX_INTERMEDIATES,
    ) -> None:
        """Build the stores.

        Raises:
            BundleError: there is no anchor ("none" never means "any").
            CertificateParseError: a certificate cannot be read.
        """
        if not anchors:
            raise BundleError("There is no trust anchor.")
        self.profile = profile
        self.purpose = purpose
        self._anchors = frozenset(anchors)
        self._by_subject = _index(intermediates)
        self._cas_by_subject = _index((*anchors, *intermediates))
        builder = (
            PolicyBuilder()
            .store(Store([anchor.x509 for anchor in anchors]))
            .max_chain_depth(max_intermediates)
        )
        ca_policy = _ca_policy(profile, purpose)
        self._builder = builder.extension_policies(
            ca_policy=ca_policy, ee_policy=_end_entity_policy(profile)
        )
        self._issuer_builder = builder.extension_policies(
            ca_policy=ca_policy, ee_policy=ExtensionPolicy.permit_all()
        )
        self._remembered: dict[bytes, Path] = {}
        self._lock = Lock()

    def validate(
        self,
        certificate: ClientCertificate,
        at: dt.datetime,
        presented: Sequence[ClientCertificate] = (),
    ) -> Path:
        """Return a path from *certificate* to an anchor, valid at *at*.

        *presented* (what the client or the proxy sent) may serve as intermediates,
        the first eight of them, and only those that the bundle’s keys have signed,
        directly or through each other. No other key checks a signature: the client
        chooses those, and many CAs of one name and key would cost seconds.

        Raises:
            PathError: ``untrusted_issuer`` if no path leads to an anchor,
                ``invalid_path`` if one does and breaks a rule.
            Refusal: dates, purpose.
            CertificateParseError: it cannot be read.
        """
        # Other presented certificates may lead to another path.
        key = b"".join(item.fingerprint_bytes for item in (*presented, certificate))
        if (remembered := self._recall(key, at)) is not None:
            return remembered
        check_validity(certificate, at)
        check_end_entity(certificate, self.profile, self.purpose)
        return self._remember(key, self._validate(certificate, at, presented))

    def _validate(
        self,
        certificate: ClientCertificate,
        at: dt.datetime,
        presented: Sequence[ClientCertificate],
    ) -> Path:
        if certificate in self._anchors:
            # The verifier would accept it without its issuer; a CA's rule is for
            # the certificates that the CA issued.
            raise PathError(
                Reason.UNTRUSTED_ISSUER, "the certificate is itself an anchor"
            )
        return self._verify(
            self._builder, certificate, at, self.below_bundle(presented)
        )

    def _verify(
        self,
        builder: PolicyBuilder,
        certificate: ClientCertificate,
        at: dt.datetime,
        presented: Sequence[ClientCertificate] = (),
    ) -> Path:
        # A verifier's time is fixed when it is built, so each call builds one.
        verifier = builder.time(at).build_client_verifier()
        candidates = [
            candidate.x509
            for candidate in (
                *presented,
                *_reachable([certificate, *presented], self._by_subject),
            )
        ]
        try:
            verified = verifier.verify(certificate.x509, candidates).chain
        except VerificationError as error:
            reason = _reason_for(str(error))
            if reason is Reason.UNTRUSTED_ISSUER and not presented:
                raise self.not_issued(certificate) from error
            raise PathError(reason, show_error(error)) from error
        except UNREADABLE as error:
            raise CertificateParseError(show_error(error)) from error
        chain = [
            certificate,
            *(
                ClientCertificate(issuer.public_bytes(Encoding.DER))
                for issuer in verified[1:]
            ),
        ]
        _check_subject_constraints(chain)
        return Path.of(chain)

    def find_issuer(self, certificate: ClientCertificate, at: dt.datetime) -> Path:
        """Return the signatures from *certificate* up to an anchor.

        For a certificate whose path the proxy has already validated: this proves
        which authority issued it, with dates, purpose and path lengths, and leaves
        algorithms and policies to the proxy. If a CA of the path limits
        alternative names, it is validated in full. Intermediates come from the bundle.

        Raises:
            PathError, Refusal, CertificateParseError: as ``validate()``.
        """
        key = b"issuer" + certificate.fingerprint_bytes
        if (remembered := self._recall(key, at)) is not None:
            return remembered
        check_validity(certificate, at)
        curves = _BRAINPOOL if self.profile is PRIVATE else ()
        check_end_entity(certificate, self.profile, self.purpose, further_curves=curves)
        budget = iter(range(MAX_CANDIDATES))
        chain = self._climb([certificate], at, budget)
        if chain is None:
            raise self.not_issued(certificate)
        _check_subject_constraints(chain)
        if any(map(_limits_alternative_names, chain[1:])):
            # The proxy may have found another path without these limits.
            path = self._validate(certificate, at, ())
        else:
            path = Path.of(chain)
        if not path.covers(at):
            raise _invalid("a CA’s certificate is not valid at this time")
        return self._remember(key, path)

    def not_issued(self, certificate: ClientCertificate) -> PathError:
        """Return why no CA of the bundle has issued *certificate*, as an error."""
        named = self._cas_by_subject.get(certificate.issuer_der, ())
        if len(named) > MAX_CANDIDATES:
            detail = f"more than {MAX_CANDIDATES} of its CAs have the issuer’s name"
        elif named and not any(map(certificate.is_signed_by, named)):
            issuer = visible_once(str(certificate.issuer), 80)
            detail = (
                f"the authority’s {issuer} has the same name and another key: it was "
                "renewed with a new key, or this is another CA"
            )
        else:
            detail = (
                "no certificate of the authority signed it; is an intermediate missing "
                "from the bundle?"
            )
        return PathError(Reason.UNTRUSTED_ISSUER, detail)

    def __contains__(self, certificate: object) -> bool:
        """Return whether *certificate* is in the bundle."""
        return isinstance(certificate, ClientCertificate) and certificate in (
            self._cas_by_subject.get(certificate.subject_der, ())
        )

    def issuers_of(
        self,
        certificate: ClientCertificate,
        presented: Sequence[ClientCertificate] = (),
    ) -> tuple[ClientCertificate, ...]:
        """Return the CA certificates whose key signed *certificate*.

        They are the bundle's, or were *presented* and lead to the bundle.

        Whether they may sign, and when they are valid, is not checked: this finds
        out which CA the serial number belongs to.

        Raises:
            CertificateParseError: it cannot be read.
        """
        candidates = self._cas_by_subject.get(certificate.issuer_der, ())
        return tuple(
            issuer
            for issuer in (*self.below_bundle(presented), *candidates[:MAX_CANDIDATES])
            if certificate.is_signed_by(issuer)
        )

    def below_bundle(
        self, presented: Sequence[ClientCertificate]
    ) -> list[ClientCertificate]:
        """Return the CAs among *presented* whose signatures lead to the bundle.

        From the bundle downwards, so that each pair is checked once, and only with
        keys that the bundle's have signed. The key of an end entity proves nothing,
        as the client has it and could sign anything.
        """
        below: list[ClientCertificate] = []
        rest = list(filter(_is_ca, presented[:MAX_PRESENTED]))
        level = [lower for lower in rest if self.issuers_of(lower)]
        while level:
            below += level
            rest = [lower for lower in rest if lower not in level]
            level = [lower for lower in rest if any(map(lower.is_signed_by, level))]
        return below

    def signer_paths(
        self, subject: bytes, public_key: bytes, at: dt.datetime
    ) -> tuple[Path, ...]:
        """Return the paths of the certificates that may sign CRLs with a key.

        One for each certificate of the bundle with *subject* (a Name, DER) and
        *public_key* (SHA-256) that may sign CRLs and leads to an anchor: a CA may
        sign them with another key than its certificates (RFC 5280, 6.3.3 (f)).
        """
        paths = []
        for signer in self._cas_by_subject.get(subject, ()):
            with suppress(Refusal):
                if signer.public_key_bytes == public_key and may_sign_crls(signer):
                    paths.append(self._signer_path(signer, at))
        return tuple(paths)

    def _signer_path(self, certificate: ClientCertificate, at: dt.datetime) -> Path:
        check_validity(certificate, at)
        if certificate in self._anchors:
            return Path.of([certificate])
        key = b"signer" + certificate.fingerprint_bytes
        if (remembered := self._recall(key, at)) is not None:
            return remembered
        return self._remember(key, self._verify(self._issuer_builder, certificate, at))

    def _climb(
        self, chain: list[ClientCertificate], at: dt.datetime, budget: Iterator[int]
    ) -> list[ClientCertificate] | None:
        """Return *chain* continued to an anchor; a path valid at *at* is preferred."""
        if len(chain) > MAX_INTERMEDIATES + 1:
            return None
        fallback = None
        lower = chain[-1]
        for issuer in self._cas_by_subject.get(lower.issuer_der, ()):
            if next(budget, None) is None:
                break
            if (
                issuer in chain
                or not self._may_issue(issuer, chain)
                or not lower.is_signed_by(issuer)
            ):
                continue
            longer: list[ClientCertificate] | None = [*chain, issuer]
            if issuer not in self._anchors:
                longer = self._climb([*chain, issuer], at, budget)
            if longer is not None:
                if Path.of(longer).covers(at):
                    return longer
                fallback = fallback or longer
        return fallback

    def _may_issue(
        self, issuer: ClientCertificate, chain: Sequence[ClientCertificate]
    ) -> bool:
        """Return whether *issuer* is a CA that may issue the last of *chain*.

        The proxy may have validated another path, through another CA with the
        same name and key, so this CA's own limits apply here too. An anchor of
        version 1 states none.
        """
        if issuer.x509.version is x509.Version.v1:
            return issuer in self._anchors
        below = sum(not ca.is_self_issued for ca in chain[1:])
        try:
            length = issuer.path_length
            return (
                issuer.is_ca
                and issuer.allows_usage("keyCertSign")
                and issuer.allows_purpose(self.purpose)
                and (length is None or below <= length)
            )
        except CertificateParseError:
            return False

    def _recall(self, key: bytes, at: dt.datetime) -> Path | None:
        path = self._remembered.get(key)
        return path if path is not None and path.covers(at) else None

    def _remember(self, key: bytes, path: Path) -> Path:
        with self._lock:
            while len(self._remembered) >= MAX_REMEMBERED_PATHS:
                self._remembered.pop(next(iter(self._remembered)))
            self._remembered[key] = path
        return path


def _is_ca(certificate: ClientCertificate) -> bool:
    with suppress(CertificateParseError):
        return certificate.is_ca
    return False


def _end_entity_policy(profile: Profile) -> ExtensionPolicy:
    """Return the rules for the leaf; ``check_end_entity`` checks its usages."""
    policy = ExtensionPolicy.webpki_defaults_ee()
    if not profile.requires_subject_alternative_name:
        policy = policy.may_be_present(x509.SubjectAlternativeName, _ANY, None)
        policy = policy.may_be_present(x509.AuthorityKeyIdentifier, _NOT_CRITICAL, None)
    # An override replaces the built-in rule, which is for servers.
    policy = policy.may_be_present(x509.ExtendedKeyUsage, _ANY, None)
    return policy.may_be_present(x509.KeyUsage, _ANY, None)


def _ca_policy(profile: Profile, purpose: str) -> ExtensionPolicy:
    """Return the rules for every CA certificate in the path."""
    allowed = {
        x509.ObjectIdentifier(purpose),
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    }

    def key_usage(
        _policy: Policy, _certificate: x509.Certificate, value: x509.KeyUsage | None
    ) -> None:
        if value is not None and not value.key_cert_sign:
            raise ValueError("a CA’s keyUsage lacks keyCertSign")

    def extended_key_usage(
        _policy: Policy,
        _certificate: x509.Certificate,
        value: x509.ExtendedKeyUsage | None,
    ) -> None:
        if value is not None and not allowed & set(value):
            raise ValueError("a CA’s extendedKeyUsage does not allow clientAuth")

    policy = ExtensionPolicy.webpki_defaults_ca().may_be_present(
        x509.ExtendedKeyUsage, _ANY, extended_key_usage
    )
    if profile.requires_ca_key_usage:
        return policy
    return (
        policy.require_present(x509.BasicConstraints, _ANY, None)
        .may_be_present(x509.KeyUsage, _ANY, key_usage)
        .may_be_present(x509.AuthorityKeyIdentifier, _NOT_CRITICAL, None)
    )


def _index(
    certificates: Iterable[ClientCertificate],
) -> dict[bytes, list[ClientCertificate]]:
    """Return certificates by the DER of their subject; each is parsed once."""
    index: dict[bytes, list[ClientCertificate]] = {}
    for certificate in certificates:
        certificate.x509  # noqa: B018 - raises if it cannot be read
        index.setdefault(certificate.subject_der, []).append(certificate)
    return index


def _reachable(
    certificates: Sequence[ClientCertificate],
    by_subject: dict[bytes, list[ClientCertificate]],
) -> list[ClientCertificate]:
    """Return the intermediates that the issuers' names lead to, at most 64.

    The verifier scans its candidates once per level, so a bundle of
    thousands is narrowed down by name first.
    """
    reached: list[ClientCertificate] = []
    names = [certificate.issuer_der for certificate in reversed(certificates)]
    seen = set()
    while names and len(reached) < MAX_CANDIDATES:
        name = names.pop()
        if name not in seen:
            seen.add(name)
            reached += by_subject.get(name, ())
            names += [ca.issuer_der for ca in by_subject.get(name, ())]
    return reached[:MAX_CANDIDATES]


def _limits_alternative_names(certificate: ClientCertificate) -> bool:
    """Return whether a CA's name constraints limit more than the subject."""
    permitted, excluded = _name_constraints(certificate)
    return any(not isinstance(b, x509.DirectoryName) for b in (*permitted, *excluded))


def _check_subject_constraints(chain: Sequence[ClientCertificate]) -> None:
    """Apply name constraints to subjects, as RFC 5280 (4.2.1.10) requires.

    The verifier checks alternative names only and ignores a directoryName
    constraint that is not critical, so a CA limited to one organisation could name
    anyone in the subject.

    Raises:
        PathError: a name outside the constraints, or constraints that cannot be
            read.
    """
    for depth, ca in enumerate(chain[1:], 1):
        permitted, excluded = _name_constraints(ca)
        if not (permitted or excluded):
            continue
        for below in chain[:depth]:
            if below is not chain[0] and below.is_self_issued:
                continue  # 6.1.3 (b): a self-issued CA certificate
            _check_directory_names(below.subject, permitted, excluded)
        _check_subject_text(chain[0], [*permitted, *excluded])


def _name_constraints(ca: ClientCertificate) -> tuple[list[x509.GeneralName], ...]:
    """Return the permitted and the excluded subtrees of a CA.

    Raises:
        PathError: they cannot be read. Without any, other extensions may be broken.
    """
    if NAME_CONSTRAINTS not in ca.extensions:
        return [], []
    try:
        limits = ca.x509.extensions.get_extension_for_class(x509.NameConstraints).value
    except UNREADABLE as error:
        raise _invalid(f"the name constraints of a CA: {show_error(error)}") from error
    return list(limits.permitted_subtrees or ()), list(limits.excluded_subtrees or ())


def _check_directory_names(
    subject: DistinguishedName,
    permitted: Iterable[x509.GeneralName],
    excluded: Iterable[x509.GeneralName],
) -> None:
    allowed = [name.value for name in permitted if isinstance(name, x509.DirectoryName)]
    refused = [name.value for name in excluded if isinstance(name, x509.DirectoryName)]
    if not subject or not (allowed or refused):
        return
    try:
        inside = not allowed or any(_is_within(subject, base) for base in allowed)
        outside = any(_is_within(subject, base) for base in refused)
    except (NameNotMatchableError, CertificateParseError) as error:
        raise _invalid(f"a name under a name constraint: {error}") from error
    if outside or not inside:
        raise _invalid("the subject is outside a CA’s name constraints")


def _is_within(name: DistinguishedName, base: x509.Name) -> bool:
    """Return whether *name* begins with *base*, compared in canonical form."""
    parts, start = (
        [
            frozenset((value.oid, value.comparable(fold=True)) for value in rdn)
            for rdn in whole.rdns
        ]
        for whole in (name, DistinguishedName.from_der(base.public_bytes()))
    )
    return parts[: len(start)] == start


def _check_subject_text(
    certificate: ClientCertificate, subtrees: Sequence[x509.GeneralName]
) -> None:
    """Refuse an e-mail address or host name in the subject only."""
    names = certificate.subject_alternative_names
    kinds = set(map(type, subtrees))
    # Those among the alternative names have been compared with the constraints.
    emails = set(certificate.subject.values(attribute_types.EMAIL_ADDRESS))
    if x509.RFC822Name in kinds and not emails <= set(names.emails):
        raise _invalid(
            "an e-mail address in the subject only, under an e-mail name constraint"
        )
    has_host = any("." in (value or ".") for value in certificate.common_names)
    if x509.DNSName in kinds and not names.dns and has_host:
        raise _invalid(
            "a host name in the common name only, under a DNS name constraint"
        )


# The verifier's message if no certificate of the store signed this one. The text
# is not an interface, so a test compares it with the installed version.
_NO_ISSUER = (
    "all candidates exhausted with no interior errors",
    "signature does not match",
)


def _reason_for(message: str) -> Reason:
    if any(text in message for text in _NO_ISSUER):
        return Reason.UNTRUSTED_ISSUER
    return Reason.INVALID_PATH
