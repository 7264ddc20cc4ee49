"""The screens of revocations."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base import certificate_facts as facts
from django_clientcert.admin.base.base_admin import (
    ClientCertModelAdmin,
    Fieldsets,
    fieldset,
)
from django_clientcert.admin.base.certificate_page import certificate_field
from django_clientcert.admin.base.markup import breakable_name, column, hex_pairs
from django_clientcert.admin.base.times import moment
from django_clientcert.models import Revocation
from django_clientcert.trust.affected import is_known
from django_clientcert.trust.revoke import UNKNOWN_SERIAL, describe_delay
from django_clientcert.x509.escaping import visible, visible_once

from .forms import RevocationForm, RevocationReasonForm
from .permissions import may_revoke

_CERTIFICATE_FIELDS = (
    # Not named like form fields, which would become read-only on the add page.
    "certificate_subject",
    "certificate_issuer",
    "certificate_serial_number",
    "certificate_validity",
    "sha256_fingerprint",
)


@admin.register(Revocation)
class RevocationAdmin(ClientCertModelAdmin):
    """The model admin of revocations."""

    form = RevocationForm
    list_display = ("what", "authority", "reason", "shown_by", "when")
    list_select_related = ("authority", "revoked_by")
    list_filter = ("reason", "authority")
    search_fields = ("description", "note")
    readonly_fields = (
        *_CERTIFICATE_FIELDS,
        "what",
        "shown_authority",
        "shown_by",
        "when",
        "public_key_digest",
        "issuer_key_digest",
        "shown_serial",
        "period",
    )
    prefilled_fields = ("authority", "note")

    # --- who may do what

    def has_delete_permission(
        self, request: HttpRequest, obj: Revocation | None = None
    ) -> bool:
        """Return whether the user may delete *obj*, see ``may_revoke()``."""
        return super().has_delete_permission(request, obj) and (
            obj is None or may_revoke(request.user, obj)
        )

    # --- the form

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Return the form that revokes, or the one for the reason of a revocation."""
        if obj is not None:
            kwargs = {"form": RevocationReasonForm, **kwargs}
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(
        self, request: HttpRequest, obj: Revocation | None = None
    ) -> Fieldsets:
        """Return the groups of fields."""
        if obj is None:
            return [
                fieldset(
                    _("A certificate"),
                    *("pasted", "upload"),
                    description=_(
                        "Choose what to revoke: a certificate, a serial number, or "
                        "everything issued in a period. It will be refused from "
                        "the next request onwards, regardless of mappings and rules."
                    ),
                ),
                fieldset(
                    _("Or a serial number"), "authority", "serial_number", "issuer"
                ),
                fieldset(
                    _("Or everything issued in a period"),
                    *(("begin", "end"), "confirm", "counted"),
                    description=_("Choose the authority above."),
                ),
                fieldset(_("Why"), "reason", "note"),
            ]
        named = ["what", "shown_authority"]
        if obj.public_key is not None:
            named.append("public_key_digest")
        if obj.serial is not None:
            named += ["issuer_key_digest", "shown_serial"]
        if obj.is_period:
            named.append("period")
        fieldsets = [
            fieldset(_("Revoked"), *named, "shown_by", "when"),
            fieldset(_("Why"), "reason", "note"),
        ]
        if obj.certificate is not None:
            fieldsets.append(fieldset(_("Certificate"), *_CERTIFICATE_FIELDS))
        return fieldsets

    def save_model(
        self, request: HttpRequest, obj: Revocation, form: Any, change: bool
    ) -> None:
        """Save the reason; a new revocation was saved by the form."""
        if change:
            super().save_model(request, obj, form, change)
        elif obj.serial is not None and obj.public_key is None and not is_known(obj):
            self.message_user(request, UNKNOWN_SERIAL, messages.WARNING)
        if delay := describe_delay():
            self.message_user(request, delay, messages.INFO)

    what = column(
        _("what"),
        lambda row: breakable_name(visible_once(row.description, 200)),
        ordering="description",
    )
    shown_by = column(
        _("by"),
        lambda row: (
            gettext("not recorded")
            if row.revoked_by is None
            else visible(str(row.revoked_by), 50)
        ),
        ordering="revoked_by",
    )
    when = column(_("when"), lambda row: moment(row.revoked_at), ordering="revoked_at")
    shown_authority = column(
        _("authority"),
        lambda row: gettext("none") if row.authority is None else str(row.authority),
    )
    public_key_digest = column(
        _("SHA-256 of the public key"), lambda row: _pairs(row.public_key)
    )
    issuer_key_digest = column(
        _("SHA-256 of the issuer’s key"), lambda row: _pairs(row.issuer_key)
    )
    shown_serial = column(_("serial number"), lambda row: _pairs(row.serial))

    @admin.display(description=_("issued"))
    def period(self, obj: Revocation) -> str:
        """Return the period in which everything issued is revoked."""
        bounds = (obj.issued_from, obj.issued_until)
        begin, end = ("—" if at is None else moment(at) for at in bounds)
        return gettext("%(begin)s to %(end)s") % {"begin": begin, "end": end}

    certificate_subject = certificate_field(_("subject"), facts.show_subject)
    certificate_issuer = certificate_field(_("issuer"), facts.show_issuer)
    certificate_serial_number = certificate_field(
        _("serial number"), facts.show_serial_number
    )
    certificate_validity = certificate_field(_("valid"), facts.show_validity)
    sha256_fingerprint = certificate_field(
        _("SHA-256 fingerprint"), facts.show_fingerprint
    )


def _pairs(octets: bytes | None) -> str:
    return gettext("none") if octets is None else hex_pairs(octets.hex())
