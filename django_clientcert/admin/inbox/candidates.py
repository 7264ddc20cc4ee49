"""Who the certificates of the inbox are, by a name in them: what a preview shows.

A name in a certificate was written by whoever issued it. So a stored authority must
have issued it, and all of it must be in order, before its name leads to a user.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.utils.translation import gettext as _

from django_clientcert.admin.base.permissions import why_not_map
from django_clientcert.admin.base.revocation_status import (
    revoked_certificates,
    show_revocation,
)
from django_clientcert.admin.base.warnings import certificate_warnings
from django_clientcert.evaluation import is_active
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    UnknownCertificate,
)
from django_clientcert.models.users import find_folded
from django_clientcert.trust.issuers import (
    Issuers,
    find_issuers_of_all,
    why_not_single,
)
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.escaping import visible
from django_clientcert.x509.identities import (
    IdentityKind,
    find_identities,
    public_key_identity,
)
from django_clientcert.x509.names import fold_ascii, fold_email

# The e-mail address and the user principal name
KINDS = (IdentityKind.SAN_EMAIL, IdentityKind.SAN_UPN)
_MAX_USERS = 5000
# Of one certificate, the best first; a stranger's may have a thousand
_MAX_IDENTITIES = 64


class Candidate(NamedTuple):
    """A row of the inbox with the user whose name is in it, or why nobody is."""

    row: UnknownCertificate
    name: str = ""
    user: Any = None
    authority: CertificateAuthority | None = None
    why_not: str = ""

    @property
    def key(self) -> str:
        """What says that it still is what was shown: row, certificate and user."""
        user = "" if self.user is None or self.why_not else self.user.pk
        return f"{self.row.pk}:{self.row.fingerprint.hex()}:{user}"

    def mapping(self, note: str) -> CertificateMapping:
        """Return the mapping to be saved: the key, issued by the authority."""
        certificate = self.row.client_certificate()
        return CertificateMapping.for_identity(
            public_key_identity(certificate),
            certificate,
            user=self.user,
            authority=self.authority,
            note=note,
        )


def user_field(kind: IdentityKind) -> str | None:
    """Return the field of a user that a name of *kind* is compared with, if any."""
    model: Any = get_user_model()
    name: str = model.USERNAME_FIELD
    if kind is IdentityKind.SAN_EMAIL:
        if not hasattr(model, "get_email_field_name"):
            return None
        name = model.get_email_field_name()
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return None if field.is_relation else name


def find_candidates(
    actor: Any, rows: Sequence[UnknownCertificate], kind: IdentityKind
) -> list[Candidate]:
    """Return who the certificates of *rows* are by their name of *kind*.

    *actor* is the person at the keyboard. Whatever their number, some ten queries.
    """
    certificates = {row.pk: row.client_certificate() for row in rows}
    names = {
        row.pk: [
            one.value
            for one in find_identities(certificates[row.pk]).found
            if one.kind is kind
        ]
        for row in rows
    }
    users = _find_users(kind, {own[0] for own in names.values() if len(own) == 1})
    issuers = find_issuers_of_all(certificates)
    revoked = revoked_certificates(certificates)
    mappings = _find_mappings(certificates.values())
    found = []
    for row in rows:
        certificate, own = certificates[row.pk], names[row.pk]
        one = Candidate(row, visible(", ".join(own[:3]), 200))
        if len(own) == 1:
            one = _with_user(one, users.get(_fold(kind, own[0]), []))
        why = _why_no_name(own) or _why_not_issued(certificate, issuers[row.pk])
        if not why:
            one = one._replace(authority=issuers[row.pk].signed[0])
            why = (
                (show_revocation(revoked[row.pk]) if row.pk in revoked else "")
                or next(
                    iter(certificate_warnings(certificate, kind, one.authority)), ""
                )
                or _why_not_user(actor, users.get(_fold(kind, own[0]), []))
                or _why_not_beside(certificate, one.user, mappings)
            )
        found.append(one._replace(why_not=why))
    return found


def _with_user(one: Candidate, users: Sequence[Any]) -> Candidate:
    return one._replace(user=users[0]) if len(users) == 1 else one


def _why_no_name(names: Sequence[str]) -> str:
    if not names:
        return _("The certificate has no such name.")
    if len(names) > 1:
        return _("The certificate has several such names: map it by itself.")
    return ""


def _why_not_issued(certificate: ClientCertificate, issuers: Issuers) -> str:
    if len(issuers.signed) == 1:
        return ""  # what else is wrong is said by the warnings
    error = why_not_single(certificate, issuers)
    return "" if error is None else " ".join(error.messages)


def _why_not_user(actor: Any, users: Sequence[Any]) -> str:
    if not users:
        return _("No user has this name.")
    if len(users) > 1:
        return _("Several users have this name.")
    if not is_active(users[0]):
        return _("The user may not log in.")
    why = why_not_map(actor, users[0])
    return "" if why is None else " ".join(why.messages)


def _why_not_beside(
    certificate: ClientCertificate,
    user: Any,
    mappings: Mapping[bytes, Sequence[CertificateMapping]],
) -> str:
    """Return which mapping of another user, or of the same key, is in the way."""
    for identity in find_identities(certificate).found:
        for one in mappings.get(identity.key, ()):
            if one.kind != identity.kind.value:
                continue
            if one.user_id != user.pk:
                return _(
                    "Mapping %(pk)s says that it is another user’s: map it by itself."
                ) % {"pk": one.pk}
            if identity.kind is IdentityKind.PUBLIC_KEY:
                return _("Mapping %(pk)s is for this key already.") % {"pk": one.pk}
    return ""


def _find_users(kind: IdentityKind, names: Iterable[str]) -> dict[str, list[Any]]:
    """Return the users by their name of *kind*, folded: one query."""
    field, wanted = user_field(kind), set(names)
    if field is None or not wanted:
        return {}
    return find_folded(field, wanted, partial(_fold, kind), _MAX_USERS)


def _fold(kind: IdentityKind, name: str) -> str:
    return fold_email(name) if kind is IdentityKind.SAN_EMAIL else fold_ascii(name)


def _find_mappings(
    certificates: Iterable[ClientCertificate],
) -> dict[bytes, list[CertificateMapping]]:
    """Return the mappings of any identity of *certificates*, by key: one query."""
    keys = {
        one.key
        for certificate in certificates
        for one in find_identities(certificate).found[:_MAX_IDENTITIES]
    }
    found: dict[bytes, list[CertificateMapping]] = {}
    for mapping in CertificateMapping.objects.matching(keys):
        found.setdefault(bytes(mapping.key), []).append(mapping)
    return found
