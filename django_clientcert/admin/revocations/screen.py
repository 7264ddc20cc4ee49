"""The screens of what is revoked here and now."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_clientcert.admin.base.base_admin import ClientCertModelAdmin, Fieldsets
from django_clientcert.admin.base.certificate_facts import (
    show_fingerprint,
    show_issuer,
    show_serial_number,
    show_subject,
    show_validity,
)
from django_clientcert.admin.base.certificate_page import certificate_field
from django_clientcert.admin.base.markup import breakable_name, hex_pairs
from django_clientcert.admin.base.times import moment
from django_clientcert.models import Revocation
from django_clientcert.x509.escaping import visible, visible_once

from .forms import RevocationForm, RevocationReasonForm
from .permissions import count_period, may_revoke
from .revoking import NOT_IN_REACH

_CERTIFICATE_FIELDS = (
    # Not the names of fields of the form: those would be read-only there.
    "certificate_subject",
    "certificate_issuer",
    "certificate_serial_number",
    "certificate_validity",
    "sha256_fingerprint",
)


@admin.register(Revocation)
class RevocationAdmin(ClientCertModelAdmin):
    """What an administrator has revoked."""

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
        """Tell whether those whom it locks out may be let in again."""
        return super().has_delete_permission(request, obj) and (
            obj is None or may_revoke(request.user, obj)
        )

    # --- the form

    def get_form(
        self,
        request: HttpRequest,
        obj: Revocation | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return the form to revoke, or that of the reason of what is revoked."""
        if obj is not None:
            return super().get_form(
                request, obj, change, **{"form": RevocationReasonForm, **kwargs}
            )
        form: Any = super().get_form(request, obj, change, **kwargs)
        # A class of its own for each call: see modelform_factory.
        form.refuse = staticmethod(partial(_why_not_revoke, request.user))
        form.count = staticmethod(count_period)
        form.by = request.user
        return form

    def get_fieldsets(
        self, request: HttpRequest, obj: Revocation | None = None
    ) -> Fieldsets:
        """Return the groups of fields."""
        if obj is None:
            return [
                (
                    _("A certificate"),
                    {
                        "fields": ("pasted", "upload"),
                        "description": _(
                            "Say one of three things: the certificate; or its serial "
                            "number; or a time. It is refused from the next request "
                            "on, whatever mappings and rules say."
                        ),
                    },
                ),
                (
                    _("Or what an authority issued"),
                    {"fields": ("authority", "serial_number", "issuer")},
                ),
                (
                    _("Or everything that it issued in a time"),
                    {
                        "fields": (("begin", "end"), "confirm", "counted"),
                        "description": _("Choose the authority above."),
                    },
                ),
                (_("Why"), {"fields": ("reason", "note")}),
            ]
        named: tuple[str, ...] = ("what", "shown_authority")
        if obj.public_key is not None:
            named += ("public_key_digest",)
        if obj.serial is not None:
            named += ("issuer_key_digest", "shown_serial")
        if obj.is_period:
            named += ("period",)
        fieldsets: Fieldsets = [
            (_("Revoked"), {"fields": (*named, "shown_by", "when")}),
            (_("Why"), {"fields": ("reason", "note")}),
        ]
        if obj.certificate is not None:
            fieldsets.append((_("Certificate"), {"fields": _CERTIFICATE_FIELDS}))
        return fieldsets

    def save_model(
        self, request: HttpRequest, obj: Revocation, form: Any, change: bool
    ) -> None:
        """Save the reason; what is new was revoked by the form."""
        if change:
            super().save_model(request, obj, form, change)

    # --- the list

    @admin.display(description=_("what"), ordering="description")
    def what(self, obj: Revocation) -> str:
        """Return what is revoked."""
        return breakable_name(visible_once(obj.description, 200))

    @admin.display(description=_("by"), ordering="revoked_by")
    def shown_by(self, obj: Revocation) -> str:
        """Return who revoked it."""
        if obj.revoked_by is None:
            return gettext("not recorded")
        return visible(str(obj.revoked_by), 50)

    @admin.display(description=_("when"), ordering="revoked_at")
    def when(self, obj: Revocation) -> str:
        """Return when it was revoked."""
        return moment(obj.revoked_at)

    # --- one revocation

    @admin.display(description=_("authority"))
    def shown_authority(self, obj: Revocation) -> str:
        """Return the authority; no field to change it."""
        return gettext("none") if obj.authority is None else str(obj.authority)

    @admin.display(description=_("SHA-256 of the public key"))
    def public_key_digest(self, obj: Revocation) -> str:
        """Return the digest of the key that is revoked."""
        return _pairs(obj.public_key)

    @admin.display(description=_("SHA-256 of the issuer’s key"))
    def issuer_key_digest(self, obj: Revocation) -> str:
        """Return the digest of the issuer's key."""
        return _pairs(obj.issuer_key)

    @admin.display(description=_("serial number"))
    def shown_serial(self, obj: Revocation) -> str:
        """Return the serial number, as it is looked up."""
        return _pairs(obj.serial)

    @admin.display(description=_("issued"))
    def period(self, obj: Revocation) -> str:
        """Return the time of which everything is revoked."""
        ends = (obj.issued_from, obj.issued_until)
        begin, end = ("—" if one is None else moment(one) for one in ends)
        return gettext("%(begin)s to %(end)s") % {"begin": begin, "end": end}

    certificate_subject = certificate_field(_("subject"), show_subject)
    certificate_issuer = certificate_field(_("issuer"), show_issuer)
    certificate_serial_number = certificate_field(
        _("serial number"), show_serial_number
    )
    certificate_validity = certificate_field(_("valid"), show_validity)
    sha256_fingerprint = certificate_field(_("SHA-256 fingerprint"), show_fingerprint)


def _why_not_revoke(actor: Any, revocation: Revocation) -> ValidationError | None:
    if may_revoke(actor, revocation):
        return None
    return ValidationError(NOT_IN_REACH, code="not_in_reach")


def _pairs(octets: bytes | None) -> str:
    return gettext("none") if octets is None else hex_pairs(octets.hex())
