"""Which users unknown certificates name: what the preview of a mapping shows.

The issuer of a certificate chooses the names in it. So a name leads to a user only if
a stored authority issued the certificate, and nothing else is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from django_clientcert.admin.base.permissions import why_not_map
from django_clientcert.admin.base.revocation_status import (
    revoked_certificates,
    show_revocation,
)
from django_clientcert.admin.base.warnings import certificate_warnings
from django_clientcert.evaluation.run import is_active
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    UnknownCertificate,
)
from django_clientcert.models.users import find_folded, name_fields
from django_clientcert.trust.issuers import Issuers, find_issuers_of_all, why_not_single
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.identities import (
    IdentityKind,
    find_identities,
    public_key_identity,
)
from django_clientcert.x509.names import fold_ascii, fold_email

# E-mail address and user principal name
KINDS = (IdentityKind.SAN_EMAIL, IdentityKind.SAN_UPN)
_MAX_USERS = 5000
# Per certificate, most specific first; a stranger’s may have a thousand
_MAX_IDENTITIES = 64


class Candidate(NamedTuple):
    """An unknown certificate with the user that it names, or why it is not mapped."""

    row: UnknownCertificate
    name: str = ""
    user: Any = None
    authority: CertificateAuthority | None = None
    why_not: str = ""

    @property
    def key(self) -> str:
        """What must not change after the preview: row, certificate and user."""
        user = "" if self.user is None or self.why_not else self.user.pk
        return f"{self.row.pk}:{self.row.fingerprint.hex()}:{user}"

    def mapping(self, note: str) -> CertificateMapping:
        """Return the mapping of the public key, not saved."""
        certificate = self.row.client_certificate()
        return CertificateMapping.for_identity(
            public_key_identity(certificate),
            certificate,
            user=self.user,
            authority=self.authority,
            note=note,
        )


def find_candidates(
    actor: Any, rows: Sequence[UnknownCertificate], kind: IdentityKind
) -> list[Candidate]:
    """Return which users the certificates of *rows* name, by their name of *kind*.

    *actor* is the user who wants to map them. About ten queries for any number of rows.
    """
    certificates = {row.pk: row.client_certificate() for row in rows}
    names = {
        row.pk: [
            identity.value
            for identity in find_identities(certificates[row.pk]).found
            if identity.kind is kind
        ]
        for row in rows
    }
    users = _find_users(kind, {own[0] for own in names.values() if len(own) == 1})
    issuers = find_issuers_of_all(certificates)
    revoked = revoked_certificates(certificates)
    mappings = _find_mappings(certificates.values())
    candidates = []
    for row in rows:
        certificate, own = certificates[row.pk], names[row.pk]
        named = users.get(_fold(kind, own[0]), []) if len(own) == 1 else []
        user = named[0] if len(named) == 1 else None
        authority = None
        why = _why_no_name(own) or _why_not_issued(certificate, issuers[row.pk])
        if not why:
            authority = issuers[row.pk].signed[0]
            warnings = certificate_warnings(certificate, kind, authority)
            why = (
                (show_revocation(revoked[row.pk]) if row.pk in revoked else "")
                or next(warnings, "")
                or _why_not_user(actor, named)
                or _why_conflicting(certificate, user, mappings)
            )
        name = visible(", ".join(own[:3]), 200)
        candidates.append(Candidate(row, name, user, authority, why))
    return candidates


def _why_no_name(names: Sequence[str]) -> str:
    if not names:
        return _("The certificate contains no such name.")
    if len(names) > 1:
        return _("The certificate contains several such names. Map it individually.")
    return ""


def _why_not_issued(certificate: ClientCertificate, issuers: Issuers) -> str:
    if len(issuers.signed) == 1:
        return ""  # the warnings name any other problem
    error = why_not_single(certificate, issuers)
    return "" if error is None else " ".join(error.messages)


def _why_not_user(actor: Any, users: Sequence[Any]) -> str:
    if not users:
        return _("No user has this name.")
    if len(users) > 1:
        return _("Several users have this name.")
    if not is_active(users[0]):
        return _("The user is not allowed to log in.")
    error = why_not_map(actor, users[0])
    return "" if error is None else " ".join(error.messages)


def _why_conflicting(
    certificate: ClientCertificate,
    user: Any,
    mappings: Mapping[bytes, Sequence[CertificateMapping]],
) -> str:
    """Return which mapping of another user, or of the same key, is in conflict."""
    for identity in find_identities(certificate).found:
        for mapping in mappings.get(identity.key, ()):
            if mapping.kind != identity.kind.value:
                continue
            name = {"pk": mapping.pk}
            if mapping.user_id != user.pk:
                text = _("Mapping %(pk)s maps it to another user. Map it individually.")
                return text % name
            if identity.kind is IdentityKind.PUBLIC_KEY:
                return _("Mapping %(pk)s already exists for this key.") % name
    return ""


def _find_users(kind: IdentityKind, names: Iterable[str]) -> dict[str, list[Any]]:
    """Return the users by their folded name of *kind*, in one query."""
    role = "email" if kind is IdentityKind.SAN_EMAIL else "username"
    field, wanted = name_fields().get(role), set(names)
    if field is None or not wanted:
        return {}
    return find_folded(field.name, wanted, partial(_fold, kind), _MAX_USERS)


def _fold(kind: IdentityKind, name: str) -> str:
    return fold_email(name) if kind is IdentityKind.SAN_EMAIL else fold_ascii(name)


def _find_mappings(
    certificates: Iterable[ClientCertificate],
) -> dict[bytes, list[CertificateMapping]]:
    """Return the mappings of any identity of *certificates*, by key, in one query."""
    keys = {
        identity.key
        for certificate in certificates
        for identity in find_identities(certificate).found[:_MAX_IDENTITIES]
    }
    found: dict[bytes, list[CertificateMapping]] = {}
    for mapping in CertificateMapping.objects.matching(keys):
        found.setdefault(bytes(mapping.key), []).append(mapping)
    return found
