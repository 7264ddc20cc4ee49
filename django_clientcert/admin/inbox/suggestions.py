"""How an unknown certificate could be mapped, and what each way is worth."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_clientcert.admin.base import base_admin, markup, permissions
from django_clientcert.admin.base.warnings import certificate_warnings
from django_clientcert.exceptions import CertificateParseError
from django_clientcert.models import (
    CertificateAuthority,
    CertificateMapping,
    UnknownCertificate,
)
from django_clientcert.trust.issuers import find_issuers
from django_clientcert.trust.renewals import find_predecessors
from django_clientcert.x509.bundles import to_pem
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import (
    Identity,
    IdentityKind,
    find_identities,
    show_value,
)

# The query parameter that names an unknown certificate
PARAMETER = "unknown"
# A certificate may have many names.
_MAX_WAYS = 12
_MAX_PREDECESSORS = 5
_MAX_VALUE = 80
_CACHE = "_clientcert_suggestions"


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

    def show_ways(self, *, linked: bool = False) -> SafeString:
        """Return the ways to map the certificate; *linked* to the form of each kind."""
        items = []
        for identity in self.identities[:_MAX_WAYS]:
            kind = identity.kind
            label = str(CertificateMapping.MappingKind(kind.value).label)
            if linked:
                label = markup.link(map_url(self.site, self.row.pk, kind), label)
            authority = None if kind.is_pin else self.authorities[0]
            mapping = CertificateMapping(kind=kind.value, authority=authority)
            value = show_value(kind, identity.value, 16 if kind.is_pin else _MAX_VALUE)
            strength, renewal = describe_strength(mapping), describe_renewal(mapping)
            items.append((label, value, strength, renewal))
        row = "<li>{}: <code>{}</code> — {}. {}</li>"
        ways = format_html("<ul>{}</ul>", format_html_join("", row, items))
        return markup.with_more(ways, len(self.identities), _MAX_WAYS)

    def show_authorities(self) -> str:
        """Return which stored authorities issued the certificate."""
        if not self.authorities:
            return _(
                "None of the authorities issued this certificate. No authority vouches "
                "for the names in it, so only its public key or fingerprint can be "
                "mapped."
            )
        quoted = [_("“%(name)s”") % {"name": ca} for ca in self.authorities]
        names = {"names": markup.list_some(quoted, _MAX_WAYS)}
        if self.authority is not None:
            return _("Issued by %(names)s.") % names
        return _("Issued by a CA that several authorities contain: %(names)s.") % names

    def show_predecessors(self) -> str:
        """Return what the certificate seems to renew, with links to renew it."""
        return markup.join_lines(
            format_html(
                "{} {}",
                _("It looks like the renewal of mapping %(pk)s.") % {"pk": mapping.pk},
                self._renew_link(mapping),
            )
            for mapping in find_predecessors(self.certificate)[:_MAX_PREDECESSORS]
        )

    def _renew_link(self, mapping: CertificateMapping) -> str:
        if mapping.state == CertificateMapping.State.DISABLED:
            return _("That mapping is disabled.")
        if not permissions.may_renew(self.site, self.request, mapping):
            return ""
        url = base_admin.admin_url(self.site, CertificateMapping, "renew", mapping.pk)
        text = _("Renew mapping %(pk)s with it") % {"pk": mapping.pk}
        return markup.link(f"{url}?{PARAMETER}={self.row.pk}", text)


def map_url(site: AdminSite, pk: Any, kind: IdentityKind | None = None) -> str:
    """Return the URL of the form that maps an unknown certificate, by *kind*."""
    query = {PARAMETER: pk}
    if kind is not None:
        query["kind"] = kind.value
    return f"{base_admin.admin_url(site, CertificateMapping, 'add')}?{urlencode(query)}"


def describe_strength(mapping: CertificateMapping) -> str:
    """Return which certificates *mapping* accepts, and who vouches for them."""
    if mapping.is_pin:
        return _("strong: only the holder of the private key")
    if mapping.is_exact:
        text = _(
            "strong: this certificate only, provided that “%(authority)s” never reuses "
            "a serial number"
        )
    else:
        text = _(
            "by name: every certificate with this name; “%(authority)s” vouches for it"
        )
    return text % {"authority": mapping.authority}


def describe_renewal(mapping: CertificateMapping) -> str:
    """Return whether *mapping* still matches after the certificate is renewed."""
    if mapping.kind == IdentityKind.PUBLIC_KEY.value:
        return _("A renewed certificate with the same key is accepted too.")
    if mapping.is_exact:
        return _("A renewed certificate needs a new mapping: use “Renew”.")
    return _("A renewed certificate with the same name is accepted too.")


# --- forms that are filled in with an unknown certificate, which then leaves the inbox


def find_suggestions(model_admin: Any, request: HttpRequest) -> Suggestions | None:
    """Return how to map the unknown certificate that the query string names, if any.

    The result is cached on the request.
    """
    if not hasattr(request, _CACHE):
        pk: Any = request.GET.get(PARAMETER)
        rows = permissions.visible_rows(
            model_admin.admin_site, request, UnknownCertificate
        )
        field, row = UnknownCertificate._meta.pk, None
        if rows is not None and base_admin.is_possible_key(field, pk):
            row = rows.filter(pk=pk).first()
        suggestions = row and Suggestions(model_admin.admin_site, request, row)
        setattr(request, _CACHE, suggestions)
    cached: Suggestions | None = getattr(request, _CACHE)
    return cached


def describe_suggestions(suggestions: Suggestions) -> str:
    """Return the text above the form that maps an unknown certificate."""
    return format_html(
        "<p>{} {}</p><p>{}</p>{}",
        _("This certificate comes from “Unknown certificates”."),
        suggestions.show_authorities(),
        suggestions.show_predecessors(),
        suggestions.show_ways(),
    )


def report_certificate(
    model_admin: Any,
    request: HttpRequest,
    mapping: CertificateMapping,
    certificate: ClientCertificate,
) -> None:
    """Warn of what will be refused, and remove *certificate* from the inbox."""
    for warning in certificate_warnings(
        certificate, IdentityKind(mapping.kind), mapping.authority
    ):
        model_admin.message_user(request, warning, messages.WARNING)
    if UnknownCertificate.objects.all().of_keys(certificate).delete()[0]:
        text = _(
            "The certificate is now mapped and was removed from “Unknown "
            "certificates”. The next request with it is evaluated again."
        )
        model_admin.message_user(request, text, messages.INFO)
