"""How a certificate could be mapped: by what, how strong that is, and who answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django.contrib.admin.sites import AdminSite
from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_clientcert.admin.base.base_admin import is_possible_key
from django_clientcert.exceptions import CertificateParseError
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    UnknownCertificate,
)
from django_clientcert.trust.issuers import find_issuers
from django_clientcert.trust.renewals import find_predecessors
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import (
    Identity,
    IdentityKind,
    find_identities,
    show_value,
)

# The parameter of an address that names a row of the inbox
PARAMETER = "unknown"
# Of the many names that a certificate may have
_MAX_NAMES = 10
_MAX_PREDECESSORS = 5
_MAX_VALUE = 80


class Suggestions(NamedTuple):
    """What a certificate can be recognised by, who issued it, what it renews."""

    # That which survives a renewal first
    identities: tuple[Identity, ...]
    authorities: tuple[CertificateAuthority, ...]
    predecessors: tuple[CertificateMapping, ...]

    @property
    def kinds(self) -> frozenset[IdentityKind]:
        """The kinds that make sense: names, only where somebody answers for them."""
        return frozenset(
            one.kind for one in self.identities if one.kind.is_pin or self.authorities
        )

    @property
    def authority(self) -> CertificateAuthority | None:
        """The one authority that issued it, if it is one."""
        return self.authorities[0] if len(self.authorities) == 1 else None


def suggest(certificate: ClientCertificate) -> Suggestions:
    """Return how *certificate* could be mapped. Never raises for what is in it."""
    try:
        authorities = find_issuers(certificate).authorities
    except CertificateParseError:
        authorities = ()
    found = find_identities(certificate).found
    return Suggestions(
        tuple(sorted(found, key=lambda one: one.kind is not IdentityKind.PUBLIC_KEY)),
        authorities,
        tuple(find_predecessors(certificate)[:_MAX_PREDECESSORS]),
    )


def strength(mapping: CertificateMapping) -> str:
    """Return whether the certificate is named beyond doubt, or who answers."""
    if mapping.is_pin:
        return _("strong: whoever holds the key, and nobody else")
    if mapping.is_exact:
        return _(
            "strong: this one certificate, as long as “%(authority)s” uses no "
            "serial number twice"
        ) % {"authority": mapping.authority}
    return _(
        "by name: every certificate with it, and “%(authority)s” answers for that"
    ) % {"authority": mapping.authority}


def renewal(mapping: CertificateMapping) -> str:
    """Return what happens when the certificate is renewed."""
    if mapping.kind == IdentityKind.PUBLIC_KEY.value:
        return _("A renewed certificate with the same key is let in too.")
    if mapping.is_exact:
        return _("A renewed certificate needs a new mapping: renew this one.")
    return _("A renewed certificate with the same name is let in too.")


def _once_renewed(kind: IdentityKind) -> str:
    """Return what a mapping that is not there yet would do with a renewal."""
    if kind in (IdentityKind.FINGERPRINT, IdentityKind.ISSUER_SERIAL):
        return _("A renewed certificate needs a new mapping.")
    return renewal(CertificateMapping(kind=kind.value))


def show_ways(
    suggestions: Suggestions, address: Callable[[IdentityKind], str] | None
) -> SafeString:
    """Return the ways to map as a list; *address* leads to the form of each kind."""
    rows = []
    names = 0
    for identity in suggestions.identities:
        kind = identity.kind
        if kind not in suggestions.kinds:
            continue
        if not kind.is_pin:
            names += 1
            if names > _MAX_NAMES:
                rows.append((_("and more names"),))
                break
        label = str(CertificateMapping.MappingKind(kind.value).label)
        if address is not None:
            label = format_html('<a href="{}">{}</a>', address(kind), label)
        rows += [
            (
                format_html(
                    "{}: <code>{}</code> — {}. {}",
                    label,
                    show_value(kind, identity.value, 16 if kind.is_pin else _MAX_VALUE),
                    strength(like),
                    _once_renewed(kind),
                ),
            )
            for like in [
                CertificateMapping(
                    kind=kind.value,
                    authority=None if kind.is_pin else suggestions.authorities[0],
                )
            ]
        ]
    return format_html("<ul>{}</ul>", format_html_join("", "<li>{}</li>", rows))


def show_authorities(suggestions: Suggestions) -> str:
    """Return which stored authorities issued the certificate, in words."""
    if not suggestions.authorities:
        return _(
            "None of the authorities issued it: nobody answers for the names in it, so "
            "only its key or its fingerprint can be mapped."
        )
    quoted = (
        _("“%(name)s”") % {"name": one} for one in suggestions.authorities[:_MAX_NAMES]
    )
    names = ", ".join(quoted)
    if suggestions.authority is not None:
        return _("Issued by %(names)s.") % {"names": names}
    return _("Issued by a CA that several authorities have: %(names)s.") % {
        "names": names
    }


def show_predecessors(
    suggestions: Suggestions,
    site: AdminSite,
    request: HttpRequest,
    row: UnknownCertificate,
) -> str:
    """Return whose renewal it seems to be, with a link to renew in one step."""
    rows = [
        (
            _("It looks like the renewal of"),
            _("mapping %(pk)s") % {"pk": one.pk},
            _link_to_renew(one, site, request, row),
        )
        for one in suggestions.predecessors
    ]
    return format_html_join(SafeString("<br>"), "{} {}.{}", rows)


def _link_to_renew(
    mapping: CertificateMapping,
    site: AdminSite,
    request: HttpRequest,
    row: UnknownCertificate,
) -> str:
    options = CertificateMapping._meta
    screens = site.get_model_admin(CertificateMapping)
    if mapping.state == CertificateMapping.State.DISABLED:
        return f" {_('That one is disabled.')}"
    if not (
        screens.has_change_permission(request, mapping)
        and screens.has_add_permission(request)
    ):
        return ""
    address = reverse(
        f"admin:{options.app_label}_{options.model_name}_renew",
        args=[quote(mapping.pk)],
        current_app=site.name,
    )
    return format_html(
        ' <a href="{}?{}={}">{}</a>',
        address,
        PARAMETER,
        row.pk,
        _("Renew mapping %(pk)s with it") % {"pk": mapping.pk},
    )


def chosen_row(site: AdminSite, request: HttpRequest) -> UnknownCertificate | None:
    """Return the row of the inbox that the address names, if it may be seen."""
    key: Any = request.GET.get(PARAMETER)
    options = UnknownCertificate._meta
    if key is None or not is_possible_key(options.pk, key):
        return None
    if not site.is_registered(UnknownCertificate):
        return None
    if not site.get_model_admin(UnknownCertificate).has_view_permission(request):
        return None
    return UnknownCertificate.objects.filter(pk=key).first()
