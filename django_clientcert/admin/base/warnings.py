"""Warnings shown after saving: why what was saved may not work as intended."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.translation import gettext as _

from django_clientcert.conf import conf
from django_clientcert.exceptions import ClientCertError, Reason, Refusal
from django_clientcert.models import CertificateAuthority, name_key
from django_clientcert.models.authority_state import get_state
from django_clientcert.models.rules import is_unique_user_field
from django_clientcert.x509.bundles import is_self_signed
from django_clientcert.x509.ca_problems import examine
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.crl.status import RevocationPolicy
from django_clientcert.x509.escaping import visible, visible_once
from django_clientcert.x509.identities import IdentityKind
from django_clientcert.x509.paths import PROFILES, check_usage, check_validity

from .certificate_facts import show_fact, show_subject
from .entries import visible_error

MAX_WARNINGS = 20


def certificate_warnings(
    certificate: ClientCertificate,
    kind: IdentityKind,
    authority: CertificateAuthority | None,
) -> Iterator[str]:
    """Yield why a mapped certificate may be refused, or be the wrong one."""
    try:
        check_validity(certificate, timezone.now())
    except Refusal as refusal:
        yield _on_validity(refusal, kind)
    try:
        check_usage(certificate)
    except Refusal as refusal:
        yield _(
            "The certificate will be refused, because it is not meant for TLS clients "
            "(%(detail)s)."
        ) % {"detail": visible(refusal.detail)}
    else:
        if certificate.is_ca:
            yield _on_ca(certificate, kind)
        elif authority is not None:
            yield from _on_path(certificate, authority)


def authority_warnings(authority: CertificateAuthority) -> list[str]:
    """Return what may surprise about an authority: certificates, policy and rule."""
    of_certificates = islice(_on_certificates(authority), MAX_WARNINGS)
    return [*of_certificates, *_on_policy(authority), *_on_rule(authority)]


def _on_certificates(authority: CertificateAuthority) -> Iterator[str]:
    """Yield the problems that path validation has with the certificates."""
    for result in examine(
        authority.certificates(), at=timezone.now(), profile=PROFILES[authority.profile]
    ):
        name = visible_once(str(result.certificate.subject), 100)
        yield from (f"{name}: {problem}" for problem in result.problems)


def _on_policy(authority: CertificateAuthority) -> Iterator[str]:
    """Yield which CAs lack the CRL that the policy requires."""
    if authority.policy() is not RevocationPolicy.REQUIRED:
        return
    now = timezone.now()
    current = {
        (crl.issuer_name, crl.issuer_key)
        for crl in get_state(authority).crls.values()
        if not crl.is_delta and now <= crl.expires()
    }
    missing = [
        visible_once(show_fact(certificate, show_subject), 100)
        for certificate in authority.certificates()
        if (name_key(certificate.subject_der), certificate.public_key_bytes)
        not in current
    ]
    if missing:
        yield _(
            "CRLs are required, and no current one is loaded for %(names)s, so "
            "everyone whose path leads through it is refused. Import the CRL, or "
            "choose another policy until you have it."
        ) % {"names": "; ".join(missing[:5])}


def _on_rule(authority: CertificateAuthority) -> Iterator[str]:
    """Yield what may surprise about the identity rule."""
    if not authority.rule_identity:
        return
    name = authority.user_field
    if not is_unique_user_field(name):
        yield _(
            "The “%(field)s” field is not unique. Users who share a value are "
            "refused, and a user who can edit their own value can impersonate "
            "someone else."
        ) % {"field": visible(name, 50)}
    if authority.rule_creates_users:
        yield _(
            "The rule creates users, so from now on everyone to whom this CA "
            "issues a certificate is authenticated."
        )
    if authority.rule_allows_privileged:
        yield _(
            "The rule may log in staff and superusers, so the operators of this CA "
            "can become any of them."
        )


def _on_validity(refusal: Refusal, kind: IdentityKind) -> str:
    if refusal.reason is Reason.NOT_YET_VALID:
        text = _(
            "The certificate is not yet valid (%(detail)s) and is refused until then."
        )
    elif refusal.reason is not Reason.EXPIRED:
        text = _("The certificate will be refused: %(detail)s.")
    elif kind is IdentityKind.FINGERPRINT:
        text = _(
            "The certificate has expired (%(detail)s), so this mapping accepts nobody."
        )
    else:
        text = _(
            "The certificate has expired (%(detail)s), so only its renewal is accepted."
        )
    return text % {"detail": visible(refusal.detail)}


def _on_ca(certificate: ClientCertificate, kind: IdentityKind) -> str:
    if not kind.is_pin:
        return _(
            "The certificate is marked as a CA’s, so it will be refused: upload the "
            "certificate of the client."
        )
    if is_self_signed(certificate):
        return _(
            "The certificate is marked as a CA’s. That is fine if a client created it "
            "for itself, but do not map the root certificate of a CA."
        )
    return _(
        "The certificate is marked as a CA’s. Make sure that it is the client’s own, "
        "and not that of the CA that issued it."
    )


def _on_path(
    certificate: ClientCertificate, authority: CertificateAuthority
) -> Iterator[str]:
    """Yield why no path to *authority* validates, disregarding today's date."""
    try:
        proxy_verifies = conf.CLIENTCERT_PROXY_VERIFIES
    except ImproperlyConfigured:
        proxy_verifies = True  # `manage.py check` reports it
    try:
        at = certificate.within_validity(timezone.now())
        validator = authority.validator()
        if proxy_verifies:
            validator.find_issuer(certificate, at)
        else:
            validator.validate(certificate, at)
    except ClientCertError as error:
        text = _("The path to “%(authority)s” does not validate: %(detail)s")
        yield text % {"authority": authority, "detail": visible_error(error)}
