"""Which stored authority issued a certificate."""

from __future__ import annotations

from collections.abc import Sequence

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
from django_clientcert.models import CertificateAuthority
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible_once

from .entries import visible_error


def why_not_issued(
    authority: CertificateAuthority, certificate: ClientCertificate
) -> Refusal | None:
    """Return why *authority* cannot be shown to have issued *certificate*, or None.

    ``untrusted_issuer`` where it did not; any other reason where that cannot be told.
    Whether the certificate is valid today is another question.
    """
    try:
        at = certificate.within_validity(timezone.now())
        authority.validator().find_issuer(certificate, at)
    except Refusal as refusal:
        return refusal
    except ClientCertError as error:
        return Refusal(Reason.TRUST_UNAVAILABLE, str(error))
    return None


def find_authority(certificate: ClientCertificate) -> CertificateAuthority:
    """Return the one stored authority that issued *certificate*.

    Raises:
        ValidationError: there is none, or more than one.
    """
    issuers, doubts = [], []
    for one in CertificateAuthority.objects.iterator():
        why = why_not_issued(one, certificate)
        if why is None:
            issuers.append(one)
        elif why.reason is not Reason.UNTRUSTED_ISSUER:
            doubts.append(why)
    if len(issuers) == 1:
        return issuers[0]
    raise _no_single_issuer(certificate, issuers, doubts)


def check_authority(
    authority: CertificateAuthority, certificate: ClientCertificate
) -> None:
    """Return unless *authority* certainly did not issue *certificate*.

    Raises:
        ValidationError: it did not.
    """
    why = why_not_issued(authority, certificate)
    if why is not None and why.reason is Reason.UNTRUSTED_ISSUER:
        raise ValidationError(
            _("“%(authority)s” did not issue this certificate: %(detail)s"),
            code="not_issued",
            params={"authority": authority, "detail": visible_error(why)},
        )


def _no_single_issuer(
    certificate: ClientCertificate,
    issuers: Sequence[CertificateAuthority],
    doubts: Sequence[Refusal],
) -> ValidationError:
    if issuers:
        quoted = (gettext("“%(name)s”") % {"name": one} for one in issuers[:10])
        return ValidationError(
            _("Choose one of the authorities that issued it: %(names)s."),
            code="authority_required",
            params={"names": ", ".join(quoted)},
        )
    if doubts:
        return ValidationError(
            _(
                "Choose the authority: which one issued the certificate cannot be "
                "found out (%(detail)s)."
            ),
            code="authority_required",
            params={"detail": visible_error(doubts[0])},
        )
    try:
        issuer = visible_once(str(certificate.issuer), 120)
    except CertificateParseError:
        issuer = "—"
    return ValidationError(
        _(
            "None of the authorities issued this certificate (its issuer is "
            "%(issuer)s). Add that CA first, or choose “public key” or “fingerprint”."
        ),
        code="authority_required",
        params={"issuer": issuer},
    )
