"""How an unknown certificate could be mapped, and what each way is worth."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_clientcert.admin.base.base_admin import admin_url
from django_clientcert.admin.base.markup import join_lines, link
from django_clientcert.admin.base.permissions import may_renew
from django_clientcert.exceptions import CertificateParseError
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    UnknownCertificate,
)
from django_clientcert.trust.issuers import find_issuers
from django_clientcert.trust.renewals import find_predecessors
from django_clientcert.x509.bundles import to_pem
from django_clientcert.x509.identities import (
    Identity,
    IdentityKind,
    find_identities,
    show_value,
)

# The query parameter that names an unknown certificate
PARAMETER = "unknown"
# A certificate may have many names.
_MAX_NAMES = 10
_MAX_PREDECESSORS = 5
_MAX_VALUE = 80


class Suggestions:
    """What identifies the certificate of *row*, who issued it, and what it renews."""

    def __init__(
        self, site: AdminSite, request: HttpRequest, row: UnknownCertificate
    ) -> None:
        self.site = site
        self.request = request
        self.row = row
        self.certificate = row.client_certificate()

    @property
    def pem(self) -> str:
        """The certificate as PEM."""
        return to_pem([self.certificate])

    @cached_property
    def identities(self) -> list[Identity]:
        """The identities that make sense: names only if an authority issued them.

        The public key, which survives a renewal, comes first.
        """
        return sorted(
            (
                identity
                for identity in find_identities(self.certificate).found
                if identity.kind.is_pin or self.authorities
            ),
            key=lambda identity: identity.kind is not IdentityKind.PUBLIC_KEY,
        )

    @cached_property
    def authorities(self) -> tuple[CertificateAuthority, ...]:
        """The stored authorities that issued the certificate."""
        try:
            return find_issuers(self.certificate).authorities
        except CertificateParseError:
            return ()

    @property
    def authority(self) -> CertificateAuthority | None:
        """The authority that issued the certificate, if there is exactly one."""
        return self.authorities[0] if len(self.authorities) == 1 else None

    @cached_property
    def predecessors(self) -> list[CertificateMapping]:
        """The mappings of certificates that this one seems to renew."""
        return find_predecessors(self.certificate)[:_MAX_PREDECESSORS]

    def show_ways(self, *, linked: bool = False) -> SafeString:
        """Return the ways to map the certificate; *linked* to the form of each kind."""
        items = []
        names = 0
        for identity in self.identities:
            kind = identity.kind
            names += not kind.is_pin
            if names > _MAX_NAMES:
                items.append(_("and more names"))
                break
            label = str(CertificateMapping.MappingKind(kind.value).label)
            if linked:
                label = link(map_url(self.site, self.row.pk, kind), label)
            authority = None if kind.is_pin else self.authorities[0]
            mapping = CertificateMapping(kind=kind.value, authority=authority)
            items.append(
                format_html(
                    "{}: <code>{}</code> — {}. {}",
                    label,
                    show_value(kind, identity.value, 16 if kind.is_pin else _MAX_VALUE),
                    describe_strength(mapping),
                    describe_renewal(mapping),
                )
            )
        rows = ((item,) for item in items)
        return format_html("<ul>{}</ul>", format_html_join("", "<li>{}</li>", rows))

    def show_authorities(self) -> str:
        """Return which stored authorities issued the certificate."""
        if not self.authorities:
            return _(
                "None of the authorities issued this certificate. No authority vouches "
                "for the names in it, so only its public key or fingerprint can be "
                "mapped."
            )
        quoted = (_("“%(name)s”") % {"name": ca} for ca in self.authorities)
        names = {"names": ", ".join([*quoted][:_MAX_NAMES])}
        if self.authority is not None:
            return _("Issued by %(names)s.") % names
        return _("Issued by a CA that several authorities contain: %(names)s.") % names

    def show_predecessors(self) -> str:
        """Return what the certificate seems to renew, with links to renew it."""
        return join_lines(
            format_html(
                "{} {}",
                _("It looks like the renewal of mapping %(pk)s.") % {"pk": mapping.pk},
                self._renew_link(mapping),
            )
            for mapping in self.predecessors
        )

    def _renew_link(self, mapping: CertificateMapping) -> str:
        if mapping.state == CertificateMapping.State.DISABLED:
            return _("That mapping is disabled.")
        if not may_renew(self.site, self.request, mapping):
            return ""
        url = admin_url(self.site, CertificateMapping, "renew", mapping.pk)
        text = _("Renew mapping %(pk)s with it") % {"pk": mapping.pk}
        return link(f"{url}?{PARAMETER}={self.row.pk}", text)


def map_url(site: AdminSite, pk: Any, kind: IdentityKind | None = None) -> str:
    """Return the URL of the form that maps an unknown certificate, by *kind*."""
    query = {PARAMETER: pk}
    if kind is not None:
        query["kind"] = kind.value
    return f"{admin_url(site, CertificateMapping, 'add')}?{urlencode(query)}"


def describe_strength(mapping: CertificateMapping) -> str:
    """Return which certificates *mapping* accepts, and who vouches for them."""
    if mapping.is_pin:
        return _("strong: only the holder of the private key")
    params = {"authority": mapping.authority}
    if mapping.is_exact:
        return (
            _(
                "strong: this certificate only, provided that “%(authority)s” never "
                "reuses a serial number"
            )
            % params
        )
    return (
        _("by name: every certificate with this name; “%(authority)s” vouches for it")
        % params
    )


def describe_renewal(mapping: CertificateMapping) -> str:
    """Return whether *mapping* still matches after the certificate is renewed."""
    if mapping.kind == IdentityKind.PUBLIC_KEY.value:
        return _("A renewed certificate with the same key is accepted too.")
    if mapping.is_exact:
        return _("A renewed certificate needs a new mapping: use “Renew”.")
    return _("A renewed certificate with the same name is accepted too.")
