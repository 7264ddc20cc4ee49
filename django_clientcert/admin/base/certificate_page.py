"""What a page shows of a stored certificate, part by part, and its PEM to download."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.x509.bundles import to_pem
from django_clientcert.x509.certificates import ClientCertificate
from django_clientcert.x509.identities import find_identities

from . import certificate_facts as facts
from .base_admin import GuardedAdmin

CERTIFICATE_FIELDS = (
    "full_subject",
    "full_issuer",
    "serial_number",
    "certificate_validity",
    "shown_key",
    "signed_with",
    "key_usage",
    "extended_key_usage",
    "alternative_names",
    "policies",
    "sha256_fingerprint",
    "public_key_fingerprint",
    "sha1_fingerprint",
)


class ShowsCertificate(GuardedAdmin):
    """An admin of rows that store a certificate: ``client_certificate()`` has it."""

    class Media:
        js = ("django_clientcert/copy.js",)

    def certificate_fields(self, obj: Any) -> tuple[str, ...]:
        """Return the facts that there are about the stored certificate."""
        certificate = obj.client_certificate()
        if certificate is None:
            return ("no_certificate",)
        if find_identities(certificate).problems:
            return (*CERTIFICATE_FIELDS, "problems", "download")
        return (*CERTIFICATE_FIELDS, "download")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return what is shown only, with the facts about the certificate."""
        shown = super().get_readonly_fields(request, obj)
        return (*shown, *CERTIFICATE_FIELDS, "problems", "download", "no_certificate")

    # --- the file

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses, with that of the file."""
        own = path(
            "<path:object_id>/certificate.pem",
            self.admin_site.admin_view(self.pem_view),
            name=f"{self.opts.app_label}_{self.opts.model_name}_pem",
        )
        return [own, *super().get_urls()]

    def pem_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the certificate as a file.

        Raises:
            PermissionDenied: this person may not see it.
            Http404: there is none.
        """
        row = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        certificate = None if row is None else row.client_certificate()
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

    @admin.display(description=_("PEM"))
    def download(self, obj: Any) -> str:
        """Return a link to the file."""
        address = self._address("pem", obj.pk)
        text = gettext("Download the certificate")
        return format_html('<a href="{}">{}</a>', address, text)

    # --- the facts

    @admin.display(description=_("certificate"))
    def no_certificate(self, obj: Any) -> str:
        """Return that there is nothing to show."""
        return gettext(
            "None is stored: this mapping was made from a typed value. Upload the "
            "certificate below to see what is in it."
        )

    @admin.display(description=_("subject"))
    def full_subject(self, obj: Any) -> str:
        """Return the subject."""
        return _fact(obj, facts.subject)

    @admin.display(description=_("issuer"))
    def full_issuer(self, obj: Any) -> str:
        """Return the issuer."""
        return _fact(obj, facts.issuer)

    @admin.display(description=_("serial number"))
    def serial_number(self, obj: Any) -> str:
        """Return the serial number."""
        return _fact(obj, facts.serial_number)

    @admin.display(description=_("valid"))
    def certificate_validity(self, obj: Any) -> str:
        """Return the validity period."""
        return _fact(obj, partial(facts.validity, now=timezone.now()))

    @admin.display(description=_("public key"))
    def shown_key(self, obj: Any) -> str:
        """Return algorithm and size of the key, and whether it is weak."""
        return _fact(obj, facts.key)

    @admin.display(description=_("signed with"))
    def signed_with(self, obj: Any) -> str:
        """Return the hash of the CA's signature, and whether it is weak."""
        return _fact(obj, facts.signature)

    @admin.display(description=_("key usage"))
    def key_usage(self, obj: Any) -> str:
        """Return the key usage."""
        return _fact(obj, facts.usage)

    @admin.display(description=_("extended key usage"))
    def extended_key_usage(self, obj: Any) -> str:
        """Return the extended key usage."""
        return _fact(obj, facts.extended_usage)

    @admin.display(description=_("alternative names"))
    def alternative_names(self, obj: Any) -> str:
        """Return the subject alternative names."""
        return _fact(obj, facts.alternative_names)

    @admin.display(description=_("policies"))
    def policies(self, obj: Any) -> str:
        """Return the certificate policies."""
        return _fact(obj, facts.policies)

    @admin.display(description=_("SHA-256 fingerprint"))
    def sha256_fingerprint(self, obj: Any) -> str:
        """Return the fingerprint."""
        return _copyable(
            obj, lambda one: one.fingerprint, gettext("Copy: SHA-256 fingerprint")
        )

    @admin.display(description=_("SHA-256 of the public key"))
    def public_key_fingerprint(self, obj: Any) -> str:
        """Return the digest of the public key."""
        return _copyable(
            obj,
            lambda one: one.public_key_fingerprint,
            gettext("Copy: SHA-256 of the public key"),
        )

    @admin.display(description=_("SHA-1 fingerprint"))
    def sha1_fingerprint(self, obj: Any) -> str:
        """Return the SHA-1, to compare by eye with what other tools print."""
        return _copyable(
            obj, lambda one: one.sha1_fingerprint, gettext("Copy: SHA-1 fingerprint")
        )

    @admin.display(description=_("unusable"))
    def problems(self, obj: Any) -> str:
        """Return which identities the certificate does not have, and why."""
        return _fact(obj, facts.problems)


def _fact(obj: Any, show: Callable[[ClientCertificate], str]) -> str:
    """Return one fact about the stored certificate."""
    certificate = obj.client_certificate()
    if certificate is None:
        return gettext("none")
    return facts.read(lambda: show(certificate))


def _copyable(obj: Any, get: Callable[[ClientCertificate], str], name: str) -> str:
    """Return a digest that a script may put a button behind."""

    def show(certificate: ClientCertificate) -> SafeString:
        digits = get(certificate)
        return format_html(
            '<span class="clientcert-copyable" data-copy="{}" data-name="{}" '
            'data-label="{}" data-copied="{}" data-failed="{}">{}</span>',
            bytes.fromhex(digits).hex(":").upper(),
            name,
            gettext("Copy"),
            gettext("Copied."),
            gettext("This browser does not let it be copied."),
            facts.pairs(digits),
        )

    return _fact(obj, show)
