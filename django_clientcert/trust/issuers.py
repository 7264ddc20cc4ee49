"""Which stored authorities issued a certificate, by their signature."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from contextlib import suppress
from typing import NamedTuple, TypeVar

from django_clientcert.exceptions import CertificateParseError, ClientCertError
from django_clientcert.models import (
    AuthorityCertificate,
    CertificateAuthority,
    name_key,
)
from django_clientcert.x509.certificates import ClientCertificate

logger = logging.getLogger("django_clientcert")


Key = TypeVar("Key", bound=Hashable)


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


def find_authorities(
    certificates: Mapping[Key, ClientCertificate],
) -> dict[Key, list[CertificateAuthority]]:
    """Return the authorities whose key signed each of *certificates*: one query.

    What cannot be read was issued by nobody.
    """
    names: dict[Key, bytes] = {}
    for key, certificate in certificates.items():
        with suppress(CertificateParseError):
            names[key] = name_key(certificate.issuer_der)
    authorities: dict[bytes, dict[object, CertificateAuthority]] = {}
    for ca in (
        AuthorityCertificate.objects.filter(subject_key__in=set(names.values()))
        .select_related("authority")
        .order_by("authority_id")
    ):
        authorities.setdefault(ca.subject_key, {})[ca.authority_id] = ca.authority
    return {
        key: [
            one
            for one in authorities.get(name, {}).values()
            if _signed(one, certificates[key])
        ]
        for key, name in names.items()
    }


def _signed(authority: CertificateAuthority, certificate: ClientCertificate) -> bool:
    try:
        return bool(authority.validator().issuers_of(certificate))
    except ClientCertError as error:
        logger.error("the authority %s cannot be used: %s", authority.pk, error)
        return False
