"""What is said after saving: it was stored, and this is why it may not work."""

from __future__ import annotations

import datetime as dt

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
from django_clientcert.x509.crl import RevocationPolicy
from django_clientcert.x509.escaping import visible, visible_once
from django_clientcert.x509.identities import IdentityKind
from django_clientcert.x509.paths import PROFILES, check_usage, check_validity

from .certificate_facts import show_fact, show_subject

MAX_REMARKS = 20


def certificate_warnings(
    certificate: ClientCertificate,
    kind: IdentityKind,
    authority: CertificateAuthority | None,
) -> list[str]:
    """Return why a certificate that was mapped may be refused, or be the wrong one."""
    said: list[str] = []
    try:
        check_validity(certificate, timezone.now())
    except Refusal as refusal:
        said.append(_on_validity(refusal, kind))
    try:
        check_usage(certificate)
    except Refusal as refusal:
        said.append(
            _(
                "The certificate is not meant for a TLS client (%(detail)s), so it "
                "will be refused."
            )
            % {"detail": visible(refusal.detail)}
        )
    else:
        if certificate.is_ca:
            said.append(_on_ca(certificate, kind))
        elif authority is not None:
            said += _on_path(certificate, authority)
    return said


def authority_warnings(authority: CertificateAuthority) -> list[str]:
    """Return what the verifier cannot do with the certificates of an authority."""
    said: list[str] = []
    examined = examine(
        authority.certificates(),
        at=timezone.now(),
        profile=PROFILES[authority.profile],
    )
    for one in examined:
        name = visible_once(str(one.certificate.subject), 100)
        said += [f"{name}: {problem}" for problem in one.problems]
    return said[:MAX_REMARKS]


def policy_warnings(authority: CertificateAuthority) -> list[str]:
    """Return whom the policy on lists locks out, for want of one."""
    if authority.policy() is not RevocationPolicy.REQUIRED:
        return []
    missing = _without_current_crl(authority, timezone.now())
    if not missing:
        return []
    return [
        _(
            "Revocation lists are required, and no current one is loaded of "
            "%(names)s: everybody whose path leads through it is refused. Import the "
            "list, or choose another policy until you have it."
        )
        % {"names": "; ".join(visible_once(one, 100) for one in missing[:5])}
    ]


def rule_warnings(authority: CertificateAuthority) -> list[str]:
    """Return what may surprise about the identity rule."""
    if not authority.rule_identity:
        return []
    said = []
    name = authority.user_field
    if not is_unique_user_field(name):
        said.append(
            _(
                "The database does not see to it that the users’ “%(field)s” is "
                "unique: where two users have the same, neither is let in; and whoever "
                "may change their own becomes somebody else."
            )
            % {"field": visible(name, 50)}
        )
    if authority.rule_creates_users:
        said.append(
            _(
                "The rule creates users: everybody whom this CA gives a certificate "
                "can come in from now on."
            )
        )
    if authority.rule_allows_privileged:
        said.append(
            _(
                "The rule may log in staff and superusers: whoever runs this CA can "
                "become any of them."
            )
        )
    return said


def _without_current_crl(
    authority: CertificateAuthority, now: dt.datetime
) -> list[str]:
    """Return the names of the CAs for which no current complete list is loaded.

    Raises:
        ClientCertError: the bundle cannot be read.
        ValueError: what is known of the lists cannot.
    """
    loaded = get_state(authority).crls.values()
    current = {
        (one.issuer_name, one.issuer_key)
        for one in loaded
        if not one.is_delta and now <= one.expires()
    }
    return [
        show_fact(one, show_subject)
        for one in authority.certificates()
        if (name_key(one.subject_der), one.public_key_bytes) not in current
    ]


def _on_validity(refusal: Refusal, kind: IdentityKind) -> str:
    if refusal.reason is Reason.NOT_YET_VALID:
        text = _(
            "The certificate is not yet valid (%(detail)s); until then it is refused."
        )
    elif refusal.reason is not Reason.EXPIRED:
        text = _("The certificate will be refused: %(detail)s.")
    elif kind is IdentityKind.FINGERPRINT:
        text = _(
            "The certificate has expired (%(detail)s): this mapping lets nobody in."
        )
    else:
        text = _(
            "The certificate has expired (%(detail)s): only its renewal will be let in."
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
            "The certificate is marked as a CA’s. That is fine for one that a client "
            "has made for itself; do not map the root certificate of a CA."
        )
    return _(
        "The certificate is marked as a CA’s: make sure that it is the client’s own, "
        "and not that of the CA that issued it."
    )


def _on_path(
    certificate: ClientCertificate, authority: CertificateAuthority
) -> list[str]:
    """Return why no path to *authority* validates, apart from today's date."""
    try:
        proxy_verifies = conf.CLIENTCERT_PROXY_VERIFIES
    except ImproperlyConfigured:
        proxy_verifies = True  # `manage.py check` says what is wrong
    try:
        at = certificate.within_validity(timezone.now())
        validator = authority.validator()
        if proxy_verifies:
            validator.find_issuer(certificate, at)
        else:
            validator.validate(certificate, at)
    except ClientCertError as error:
        detail = error.detail if isinstance(error, Refusal) else str(error)
        return [
            _("The path to “%(authority)s” does not validate: %(detail)s")
            % {"authority": authority, "detail": visible_once(detail, 500)}
        ]
    return []
