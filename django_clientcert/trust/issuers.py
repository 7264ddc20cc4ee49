"""Which stored authorities issued a certificate: the answer that a request gives."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.exceptions import (
    CertificateParseError,
    ClientCertError,
    Reason,
    Refusal,
)
from django_clientcert.models import (
    AuthorityCertificate,
    CertificateAuthority,
    name_key,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible_once
from django_clientcert.x509.paths import PathValidator

logger = logging.getLogger("django_clientcert")

Key = TypeVar("Key", bound=Hashable)


class Issuers(NamedTuple):
    """The authorities that issued a certificate.

    ``refused`` holds the others that have a CA of the issuer's name, each with the
    reason why it does not count. ``untrusted_issuer``: it did not issue the
    certificate. Any other: one of its CAs signed it, but a request would be refused.
    """

    authorities: tuple[CertificateAuthority, ...] = ()
    refused: tuple[tuple[CertificateAuthority, Refusal], ...] = ()

    @property
    def signed(self) -> tuple[CertificateAuthority, ...]:
        """Those that signed it, including those that requests refuse."""
        unproven = (Reason.UNTRUSTED_ISSUER, Reason.TRUST_UNAVAILABLE)
        return (
            *self.authorities,
            *(ca for ca, why in self.refused if why.reason not in unproven),
        )


def find_issuers(certificate: ClientCertificate) -> Issuers:
    """Return the authorities that issued *certificate*: one query.

    Raises:
        CertificateParseError: the certificate cannot be read.
    """
    certificate.issuer_der  # noqa: B018 - raises if it cannot be read
    return find_issuers_of_all({None: certificate})[None]


def find_issuers_of_all(
    certificates: Mapping[Key, ClientCertificate],
) -> dict[Key, Issuers]:
    """Return the authorities that issued each of *certificates*: one query.

    A certificate that cannot be read has no issuers.
    """
    issuers: dict[Key, Issuers] = dict.fromkeys(certificates, Issuers())
    for key, candidates in _candidates(certificates).items():
        refusals = [
            (authority, why_not_issued(authority, certificates[key]))
            for authority in candidates
        ]
        issuers[key] = Issuers(
            tuple(authority for authority, why in refusals if why is None),
            tuple((authority, why) for authority, why in refusals if why is not None),
        )
    return issuers


def find_signer(
    certificate: ClientCertificate,
) -> tuple[CertificateAuthority, ClientCertificate] | None:
    """Return a stored CA certificate whose key signed *certificate*, and its authority.

    Whether that CA was allowed to issue it, and whether a path leads to an anchor, is
    not asked: a revocation must also reach a certificate that requests would refuse.
    One query; None if no stored CA signed it.

    Raises:
        CertificateParseError: the certificate cannot be read.
    """
    certificate.issuer_der  # noqa: B018 - raises if it cannot be read
    signers = (
        (authority, ca)
        for authority in _candidates({None: certificate})[None]
        for ca in signers_in(authority, certificate)
    )
    return next(signers, None)


def signers_in(
    authority: CertificateAuthority, certificate: ClientCertificate
) -> tuple[ClientCertificate, ...]:
    """Return the certificates of *authority* whose key signed *certificate*."""
    with suppress(Refusal):
        return _validator(authority).issuers_of(certificate)
    return ()


def find_authority(certificate: ClientCertificate) -> CertificateAuthority:
    """Return the one stored authority that issued *certificate*.

    Raises:
        ValidationError: there is none, or more than one.
    """
    issuers = find_issuers_of_all({None: certificate})[None]
    error = why_not_single(certificate, issuers)
    if error is not None:
        raise error
    return issuers.authorities[0]


def why_not_single(
    certificate: ClientCertificate, issuers: Issuers
) -> ValidationError | None:
    """Return why the authority of *certificate* has to be chosen, or None."""
    code = "authority_required"
    if len(issuers.authorities) == 1:
        return None
    if issuers.authorities:
        quoted = (gettext("“%(name)s”") % {"name": ca} for ca in issuers.authorities)
        message = _(
            "Several authorities issued this certificate: %(names)s. Choose one."
        )
        return ValidationError(message, code, {"names": ", ".join(islice(quoted, 10))})
    for authority, why in issuers.refused:
        if why.reason is not Reason.UNTRUSTED_ISSUER:
            message = _(
                "Which authority issued this certificate cannot be determined "
                "(%(authority)s: %(detail)s). Choose the authority."
            )
            return ValidationError(message, code, _details(authority, why))
    issuer = "—"
    with suppress(CertificateParseError):
        issuer = visible_once(str(certificate.issuer), 120)
    message = _(
        "None of the stored authorities issued this certificate (its issuer is "
        "%(issuer)s). Add that CA first, or map the public key or the fingerprint."
    )
    errors = [ValidationError(message, code, {"issuer": issuer})]
    message = _("“%(authority)s” has a CA of that name: %(detail)s")
    for authority, why in issuers.refused[:3]:
        errors.append(ValidationError(message, code, _details(authority, why)))
    return ValidationError(errors)


def check_authority(
    authority: CertificateAuthority, certificate: ClientCertificate
) -> None:
    """Refuse an authority that did not issue *certificate*.

    One that did is fine even if requests are refused, for another reason.

    Raises:
        ValidationError: it did not.
    """
    why = why_not_issued(authority, certificate)
    if why is not None and why.reason is Reason.UNTRUSTED_ISSUER:
        message = _("“%(authority)s” did not issue this certificate: %(detail)s")
        raise ValidationError(message, "not_issued", _details(authority, why))


def _details(authority: CertificateAuthority, why: Refusal) -> dict[str, Any]:
    return {"authority": authority, "detail": visible_once(why.detail, 1000)}


def why_not_issued(
    authority: CertificateAuthority, certificate: ClientCertificate
) -> Refusal | None:
    """Return why a request would not accept *authority* as the issuer, or None.

    The certificate is judged at a time at which it is valid: an expired one still has
    an issuer.
    """
    try:
        validator = _validator(authority)
        if not validator.issuers_of(certificate):
            raise validator.not_issued(certificate)
        validator.find_issuer(certificate, certificate.within_validity(timezone.now()))
    except Refusal as refusal:
        return refusal
    return None


def _candidates(
    certificates: Mapping[Key, ClientCertificate],
) -> dict[Key, list[CertificateAuthority]]:
    """Return, per certificate, the authorities with a CA of its issuer's name."""
    names: dict[Key, bytes] = {}
    for key, certificate in certificates.items():
        with suppress(CertificateParseError):
            names[key] = name_key(certificate.issuer_der)
    authorities: dict[bytes, dict[object, CertificateAuthority]] = {}
    for ca in (
        AuthorityCertificate.objects.filter(subject_key__in=set(names.values()))
        .select_related("authority")
        .order_by("authority__name")
    ):
        authorities.setdefault(ca.subject_key, {})[ca.authority_id] = ca.authority
    return {
        key: list(authorities.get(name, {}).values()) for key, name in names.items()
    }


def _validator(authority: CertificateAuthority) -> PathValidator:
    try:
        return authority.validator()
    except ClientCertError as error:
        logger.error("the authority %s cannot be used: %s", authority.pk, error)
        raise Refusal(Reason.TRUST_UNAVAILABLE, str(error)) from error
