"""Which stored authorities issued a certificate, by their signature."""

from __future__ import annotations

import logging
from typing import NamedTuple

from .certificates import ClientCertificate
from .exceptions import ClientCertError
from .models import CertificateAuthority, name_key

logger = logging.getLogger("django_clientcert")


class Issuer(NamedTuple):
    """An authority, and that of its certificates whose key signed another."""

    authority: CertificateAuthority
    certificate: ClientCertificate


def find_issuers(certificate: ClientCertificate) -> list[Issuer]:
    """Return the authorities whose key signed *certificate*: one query.

    Whether the CA may issue it, and whether it is valid today, is another question.
    An authority that cannot be used is left out, and logged.

    Raises:
        CertificateParseError: the certificate cannot be read.
    """
    found = []
    authorities = CertificateAuthority.objects.filter(
        indexed_certificates__subject_key=name_key(certificate.issuer_der)
    )
    for authority in authorities.distinct():
        try:
            signers = authority.validator().issuers_of(certificate)
        except ClientCertError as error:
            logger.error("the authority %s cannot be used: %s", authority.pk, error)
            continue
        keys = {one.public_key_bytes: one for one in signers}
        found += [Issuer(authority, one) for one in keys.values()]
    return found
