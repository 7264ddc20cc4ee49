"""What a page shows of a stored certificate, part by part, and its PEM to download."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.x509.bundles import to_pem
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import find_identities

from . import certificate_facts as facts
from .base_admin import ClientCertModelAdmin, Screens
from .markup import column, hex_pairs, link
from .permissions import may_add_revocations
from .screens import screen

# The name of a column, its label, and what it shows of a certificate
Fact = tuple[str, Any, Callable[[ClientCertificate], str]]


def certificate_field(label: Any, show: Callable[[ClientCertificate], str]) -> Any:
    """Return a column with one fact about the stored certificate."""
    return column(label, lambda row: facts.show_fact(row.client_certificate(), show))


def _digest(name: str, label: Any, attribute: str) -> Fact:
    """Return a fact: a digest that a script may put a “Copy” button after."""

    def show(certificate: ClientCertificate) -> SafeString:
        digits = getattr(certificate, attribute)
        return format_html(
            '<span class="clientcert-copyable" data-copy="{}" data-name="{}" '
            'data-label="{}" data-copied="{}" data-failed="{}">{}</span>',
            bytes.fromhex(digits).hex(":").upper(),
            gettext("Copy: %(what)s") % {"what": label},
            gettext("Copy"),
            gettext("Copied."),
            gettext("This browser does not allow copying."),
            hex_pairs(digits),
        )

    return name, label, show


_FACTS: tuple[Fact, ...] = (
    ("full_subject", _("subject"), facts.show_subject),
    ("full_issuer", _("issuer"), facts.show_issuer),
    ("serial_number", _("serial number"), facts.show_serial_number),
    ("certificate_validity", _("valid"), facts.show_validity),
    ("shown_key", _("public key"), facts.show_public_key),
    ("signed_with", _("signed with"), facts.show_signature_hash),
    ("key_usage", _("key usage"), facts.show_key_usage),
    ("extended_key_usage", _("extended key usage"), facts.show_extended_key_usage),
    ("alternative_names", _("alternative names"), facts.show_alternative_names),
    ("policies", _("policies"), facts.show_policies),
    _digest("sha256_fingerprint", _("SHA-256 fingerprint"), "fingerprint"),
    _digest(
        "public_key_fingerprint",
        _("SHA-256 of the public key"),
        "public_key_fingerprint",
    ),
    # To compare by eye with what other tools print
    _digest("sha1_fingerprint", _("SHA-1 fingerprint"), "sha1_fingerprint"),
)
CERTIFICATE_FIELDS = tuple(name for name, _label, _show in _FACTS)


@screen("view")
def download_pem(model_admin: Any, request: HttpRequest, row: Any) -> HttpResponse:
    """Return the certificate as a file.

    Raises:
        Http404: the row stores no certificate.
    """
    certificate = row.client_certificate()
    if certificate is None:
        raise Http404
    name = f"certificate-{certificate.short_fingerprint}.pem"
    return HttpResponse(
        to_pem([certificate]),
        content_type="application/x-pem-file",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Content-Type-Options": "nosniff",
        },
    )


class StoredCertificateAdmin(ClientCertModelAdmin):
    """Base for models whose rows have ``client_certificate()``."""

    class Media:
        js = ("django_clientcert/copy.js",)

    screens: Screens = (("<path:object_id>/certificate.pem", download_pem, "pem"),)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Return whether certificates may be revoked: an action’s permission."""
        return may_add_revocations(request.user)

    def certificate_fields(self, obj: Any) -> tuple[str, ...]:
        """Return the facts that there are about the stored certificate."""
        certificate = obj.client_certificate()
        if certificate is None:
            return ("no_certificate",)
        identities = find_identities(certificate)
        if identities.problems or identities.left_out:
            return (*CERTIFICATE_FIELDS, "problems", "download")
        return (*CERTIFICATE_FIELDS, "download")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return what is shown only, with the facts about the certificate."""
        shown = super().get_readonly_fields(request, obj)
        return (*shown, *CERTIFICATE_FIELDS, "problems", "download", "no_certificate")

    @admin.display(description=_("PEM"))
    def download(self, obj: Any) -> str:
        """Return a link to the file."""
        return link(self.page_url("pem", obj.pk), gettext("Download the certificate"))

    @admin.display(description=_("certificate"))
    def no_certificate(self, obj: Any) -> str:
        """Return that there is nothing to show."""
        return gettext(
            "No certificate is stored, because this mapping was made from a typed "
            "value. Upload the certificate below to see its contents."
        )

    problems = certificate_field(_("unusable"), facts.show_problems)


for _field, _label, _show in _FACTS:
    setattr(StoredCertificateAdmin, _field, certificate_field(_label, _show))
